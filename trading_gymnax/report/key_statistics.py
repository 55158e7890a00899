"""The list of all statistics that a summary holds, each with its text, for the terminal and the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from trading_gymnax.evaluation.summary import Summary
from trading_gymnax.text import annual, chance, interval, percent, probability, ratio, usd


class Statistic(NamedTuple):
    """A number of a summary and how it is shown."""

    name: str
    show: Callable[[Summary], str]
    tabled: bool = False  # stands in the terminal's table


RESULT: tuple[Statistic, ...] = (
    Statistic("sessions", lambda row: f"{row.sessions:,}", tabled=True),
    Statistic("net, all sessions", lambda row: usd(row.net_usd, cents=True), tabled=True),
    Statistic("net without the best day", lambda row: usd(row.net_without_best_day_usd, cents=True)),
    Statistic("net per session", lambda row: usd(row.net_per_session_usd, cents=True), tabled=True),
    Statistic("net per session, 95 % interval", lambda row: interval(row.interval_usd)),
    Statistic("its standard error", lambda row: usd(row.standard_error_usd, sign=False, cents=True), tabled=True),
    Statistic("t, mean / standard error", lambda row: ratio(row.t_value)),
    Statistic("p, chance of it with a true mean of 0", lambda row: probability(row.p_value)),
)
RISK: tuple[Statistic, ...] = (
    Statistic("Sharpe ratio, annual", lambda row: annual(row.sharpe, row.ratio_doubt()), tabled=True),
    Statistic("deflated Sharpe ratio, a probability", lambda row: chance(row.deflated_sharpe)),
    Statistic("configurations tried", lambda row: f"{row.configurations_tried:,}"),
    Statistic("Sortino ratio, annual", lambda row: annual(row.sortino, row.ratio_doubt(of_losses=True))),
    Statistic("Calmar ratio, annual", lambda row: annual(row.calmar, row.ratio_doubt(of_losses=True))),
    Statistic(
        "largest drawdown of the chained equity",
        lambda row: usd(row.max_drawdown_usd, sign=False, cents=True),
        tabled=True,
    ),
    Statistic("longest run of losing trades", lambda row: f"{row.longest_losing_trades:,}"),
    Statistic("longest run of losing sessions", lambda row: f"{row.longest_losing_sessions:,}"),
)
TRADES: tuple[Statistic, ...] = (
    Statistic("trades", lambda row: f"{row.trades:,}", tabled=True),
    Statistic("trades with a profit", lambda row: percent(row.win_rate), tabled=True),
    Statistic("profit factor", lambda row: ratio(row.profit_factor)),
    Statistic("expectancy, dollars a trade", lambda row: usd(row.expectancy_usd, cents=True)),
    Statistic("expectancy, initial stop distances (R)", lambda row: ratio(row.expectancy_r)),
    Statistic("smallest edge a trade that could show", lambda row: usd(row.smallest_edge_usd, sign=False, cents=True)),
    Statistic("average win", lambda row: usd(row.average_win_usd, cents=True)),
    Statistic("average loss", lambda row: usd(row.average_loss_usd, cents=True)),
    Statistic("trades with stop and target in one bar", lambda row: percent(row.ambiguous_trade_share, 2)),
)
ACTIVITY: tuple[Statistic, ...] = (
    Statistic("commissions and slippage paid, in the net", lambda row: usd(row.costs_usd, sign=False, cents=True)),
    Statistic("bars with a position", lambda row: percent(row.exposure)),
    Statistic("contracts bought and sold a session", lambda row: ratio(row.contracts_per_session)),
    Statistic("turnover a session, times the balance", lambda row: ratio(row.turnover)),
    Statistic("entries where one was legal", lambda row: percent(row.entry_rate)),
)
GROUPS: tuple[tuple[str, tuple[Statistic, ...]], ...] = (
    ("Result", RESULT),
    ("Risk", RISK),
    ("Trades", TRADES),
    ("Activity", ACTIVITY),
)
"""All statistics of a summary, by subject, each as its name and the text of its value."""

NOTES = (
    "Sharpe and Sortino: daily net over the initial balance, 252 days a year, rate 0; Calmar: the same mean over the "
    "largest fall from day to day, nothing compounded; below 20 days, and these two below five losing days, they say "
    "nothing. Deflated Sharpe: the chance that the true ratio is above the "
    "best that as many settings without an edge would show; one setting tried unless the number is given. Smallest "
    "edge: a one-sided test at 5 % finds it four times in five with as many trades. Turnover: price times contracts, "
    "bought and sold."
)
"""What the statistics mean, in a paragraph."""
