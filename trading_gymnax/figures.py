"""Figures as text: the list of all that a summary says, for the terminal and the report."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from trading_gymnax.render import usd
from trading_gymnax.statistics import Summary


def percent(share: float, digits: int = 1) -> str:
    """A share as "12.3%"; "-" for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:.{digits}f}%"


def probability(p: float) -> str:
    """Two digits; what is too small to matter as "below 0.0001"."""
    return "-" if math.isnan(p) else "below 0.0001" if p < 1e-4 else f"{p:.2g}"


def chance(p: float) -> str:
    """A probability as a share, never quite 0 or 1; "-" for NaN."""
    return "-" if math.isnan(p) else "above 99.9%" if p > 0.999 else "below 0.1%" if p < 0.001 else percent(p)


def ratio(value: float) -> str:
    """Two digits; "-" for NaN, "no loss" for an infinite one."""
    return "-" if math.isnan(value) else "no loss" if math.isinf(value) else f"{value:,.2f}"


def interval(ends: tuple[float, float]) -> str:
    """Two amounts, "-" for NaN."""
    return "-" if math.isnan(ends[0]) else f"{usd(ends[0])} to {usd(ends[1])}"


def shares(values: dict[str, float]) -> str:
    """Actions and their shares in a line."""
    return ", ".join(f"{name} {percent(share)}" for name, share in values.items())


class Figure(NamedTuple):
    """A figure of a summary."""

    name: str
    show: Callable[[Summary], str]
    tabled: bool = False  # stands in the terminal's table


RESULT: tuple[Figure, ...] = (
    Figure("sessions", lambda row: f"{row.sessions:,}", tabled=True),
    Figure("net, all sessions", lambda row: usd(row.net_usd, cents=True), tabled=True),
    Figure("net without the best day", lambda row: usd(row.net_without_best_day_usd, cents=True)),
    Figure("net per session", lambda row: usd(row.net_per_session_usd, cents=True), tabled=True),
    Figure("net per session, 95 % interval", lambda row: interval(row.interval_usd)),
    Figure("its standard error", lambda row: usd(row.standard_error_usd, sign=False, cents=True), tabled=True),
    Figure("t, mean / standard error", lambda row: ratio(row.t_value)),
    Figure("p, chance of it with a true mean of 0", lambda row: probability(row.p_value)),
)
RISK: tuple[Figure, ...] = (
    Figure("Sharpe ratio, annual", lambda row: ratio(row.sharpe), tabled=True),
    Figure("deflated Sharpe ratio, a probability", lambda row: chance(row.deflated_sharpe)),
    Figure("configurations tried", lambda row: f"{row.configurations_tried:,}"),
    Figure("Sortino ratio, annual", lambda row: ratio(row.sortino)),
    Figure("Calmar ratio, annual", lambda row: ratio(row.calmar)),
    Figure(
        "largest drawdown of the chained equity",
        lambda row: usd(row.max_drawdown_usd, sign=False, cents=True),
        tabled=True,
    ),
    Figure("longest run of losing trades", lambda row: f"{row.longest_losing_trades:,}"),
    Figure("longest run of losing sessions", lambda row: f"{row.longest_losing_sessions:,}"),
)
TRADES: tuple[Figure, ...] = (
    Figure("trades", lambda row: f"{row.trades:,}", tabled=True),
    Figure("trades with a profit", lambda row: percent(row.win_rate), tabled=True),
    Figure("profit factor", lambda row: ratio(row.profit_factor)),
    Figure("expectancy, dollars a trade", lambda row: usd(row.expectancy_usd, cents=True)),
    Figure("expectancy, initial stop distances (R)", lambda row: ratio(row.expectancy_r)),
    Figure("smallest edge a trade that could show", lambda row: usd(row.smallest_edge_usd, sign=False, cents=True)),
    Figure("average win", lambda row: usd(row.average_win_usd, cents=True)),
    Figure("average loss", lambda row: usd(row.average_loss_usd, cents=True)),
    Figure("trades with stop and target in one bar", lambda row: percent(row.ambiguous_trade_share, 2)),
)
ACTIVITY: tuple[Figure, ...] = (
    Figure("commissions and slippage paid, in the net", lambda row: usd(row.costs_usd, sign=False, cents=True)),
    Figure("bars with a position", lambda row: percent(row.exposure)),
    Figure("contracts bought and sold a session", lambda row: ratio(row.contracts_per_session)),
    Figure("turnover a session, times the balance", lambda row: ratio(row.turnover)),
    Figure("entries where one was legal", lambda row: percent(row.entry_rate)),
)
GROUPS: tuple[tuple[str, tuple[Figure, ...]], ...] = (
    ("Result", RESULT),
    ("Risk", RISK),
    ("Trades", TRADES),
    ("Activity", ACTIVITY),
)
"""All figures of a summary, by subject, each as its name and the text of its value."""

NOTES = (
    "Sharpe and Sortino: daily net over the initial balance, 252 days a year, rate 0; Calmar: the same mean over the "
    "largest fall from day to day, nothing compounded. Deflated Sharpe: the chance that the true ratio is above the "
    "best that as many settings without an edge would show; one setting tried unless the number is given. Smallest "
    "edge: a one-sided test at 5 % finds it four times in five with as many trades. Turnover: price times contracts, "
    "bought and sold."
)
"""What the figures mean, in a paragraph."""
