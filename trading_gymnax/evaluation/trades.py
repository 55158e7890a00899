"""Statistics of a list of trades, or of sessions in order: each one number, NaN where there is nothing to measure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

POWER_LEVEL, POWER = 0.05, 0.80  # of `smallest_edge`


def share(part: Any, whole: Any) -> float:
    """part / whole; NaN for a whole of 0."""
    return float(part) / float(whole) if whole else math.nan


def profit_factor(nets: np.ndarray) -> float:
    """Sum of the winning trades / sum of the losing ones; infinite without losers, NaN without trades."""
    won, lost = nets[nets > 0].sum(), -nets[nets < 0].sum()
    if lost == 0:
        return math.inf if won > 0 else math.nan
    return float(won / lost)


def average_win(nets: np.ndarray) -> float:
    """Mean of the nets above 0, dollars."""
    return _mean(nets[nets > 0])


def average_loss(nets: np.ndarray) -> float:
    """Mean of the nets below 0, dollars, below 0."""
    return _mean(nets[nets < 0])


def expectancy(nets: np.ndarray) -> float:
    """Mean net of a trade, dollars (Tharp, Trade Your Way to Financial Freedom, 1998)."""
    return _mean(nets)


def expectancy_r(nets: np.ndarray, risks: np.ndarray) -> float:
    """Mean of net / R, where R is the initial stop distance in dollars (Tharp, as above)."""
    return _mean(nets / risks)


def longest_losing_run(nets: np.ndarray) -> int:
    """Most losses (net < 0) that follow one another in nets [N]."""
    longest = run = 0
    for lost in nets < 0:
        run = run + 1 if lost else 0
        longest = max(longest, run)
    return longest


def without_best_day(sessions: pd.DataFrame) -> float:
    """Net of all sessions less that of the best date, all its markets together; dollars."""
    by_date = sessions.groupby("date")["net_usd"].sum()
    return float(by_date.sum() - by_date.max())


def smallest_edge(nets: np.ndarray) -> float:
    """Smallest mean net of a trade that as many trades of this spread could show, dollars.

    (z(0.95) + z(0.80)) s / sqrt(N): a one-sided test at 5 % finds a true mean of this size four times in five (Cohen,
    Statistical Power Analysis for the Behavioral Sciences, 1988). NaN for fewer than two trades.
    """
    if len(nets) < 2:
        return math.nan
    quantiles = stats.norm.ppf(1 - POWER_LEVEL) + stats.norm.ppf(POWER)
    return float(quantiles * nets.std(ddof=1) / math.sqrt(len(nets)))


def contracts_per_session(trades: pd.DataFrame, sessions: int) -> float:
    """Contracts bought and sold a session: two for each contract of a round trip, one where it was left open."""
    return share((trades["contracts"] * np.where(trades["exit_reason"] == "OPEN", 1, 2)).sum(), sessions)


def turnover(trades: pd.DataFrame, sessions: int, initial_balance_usd: float) -> float:
    """Dollars of contracts bought and sold a session / initial balance: how often the balance is turned over a day."""
    return share(trades["notional_usd"].sum(), sessions * max(0.0, initial_balance_usd))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan
