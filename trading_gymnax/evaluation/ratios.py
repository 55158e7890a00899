"""Ratios on daily returns, and what a Sharpe ratio is worth after many trials.

A daily return is the net of a date, all its markets together, over the initial balance: every session starts on a
fresh account, so nothing compounds. Dates without a session of the view do not count. Annual figures take 252 days.
Sharpe and Sortino ratios are empyrical's.
"""

from __future__ import annotations

import math

import empyrical
import numpy as np
from scipy import stats

from trading_gymnax.evaluation.evaluate import Evaluation

DAYS_A_YEAR = 252
_FLAT = 1e-12  # a spread below this share of the largest value is rounding


def daily_returns(evaluation: Evaluation) -> np.ndarray:
    """Net of each date over the initial balance, by date, float64 [D]; NaN for a balance that is not positive."""
    by_date = evaluation.sessions.groupby("date", sort=True)["net_usd"].sum().to_numpy()
    balance = evaluation.initial_balance_usd
    return by_date / balance if balance > 0 else np.full(len(by_date), math.nan)


def sharpe(returns: np.ndarray) -> float:
    """Annual Sharpe ratio of daily returns [D] against a rate of 0: mean / s * sqrt(252), D - 1 in s (Sharpe 1994).

    NaN for fewer than two days or returns without spread.
    """
    return float(empyrical.sharpe_ratio(returns, annualization=DAYS_A_YEAR)) if _spreads(returns) else math.nan


def sortino(returns: np.ndarray) -> float:
    """Annual Sortino ratio of daily returns [D] against 0: mean * 252 / (root mean square of losses * sqrt(252)).

    The losses are min(return, 0) of all days (Sortino & van der Meer 1991). Infinite without a losing day, NaN as
    `sharpe`.
    """
    if not _spreads(returns):
        return math.nan
    if returns.min() >= 0:
        return math.inf
    return float(empyrical.sortino_ratio(returns, annualization=DAYS_A_YEAR))


def calmar(returns: np.ndarray) -> float:
    """Mean of daily returns [D] * 252 / the largest fall of their sum below its highest value so far (Young 1991).

    Without compounding, as the sessions are: a yearly growth compounded from a month of trading would mean nothing. For
    small returns it is empyrical's `calmar_ratio`. NaN as `sharpe`, and without a fall.
    """
    if not _spreads(returns):
        return math.nan
    path = np.concatenate([[0.0], np.cumsum(returns)])
    fall = float(np.max(np.maximum.accumulate(path) - path))
    return float(returns.mean()) * DAYS_A_YEAR / fall if fall > 0 else math.nan


def probabilistic_sharpe(returns: np.ndarray, benchmark: float = 0.0) -> float:
    """Chance that the true Sharpe ratio exceeds `benchmark` (a day's, not annual), given daily returns [D].

    Z((SR - SR*) sqrt(D - 1) / sqrt(1 - skew SR + (kurtosis - 1) / 4 SR^2)), Bailey & Lopez de Prado, The Sharpe Ratio
    Efficient Frontier, Journal of Risk 15 (2012). NaN as `sharpe`.
    """
    if not _spreads(returns):
        return math.nan
    daily = returns.mean() / returns.std(ddof=1)
    return chance_above(daily, benchmark, len(returns), stats.skew(returns), stats.kurtosis(returns, fisher=False))


def chance_above(sharpe_ratio: float, benchmark: float, days: int, skew: float, kurtosis: float) -> float:
    """`probabilistic_sharpe` from moments: a day's Sharpe ratios, kurtosis 3 for a normal law."""
    variance = 1 - skew * sharpe_ratio + (kurtosis - 1) / 4 * sharpe_ratio**2
    if variance <= 0:
        return math.nan
    return float(stats.norm.cdf((sharpe_ratio - benchmark) * math.sqrt(days - 1) / math.sqrt(variance)))


def expected_best_sharpe(trials: int, variance: float) -> float:
    """Highest Sharpe ratio to expect of `trials` independent ones with true value 0 and this variance; 0 for one.

    sqrt(V) ((1 - g) Z^-1(1 - 1 / N) + g Z^-1(1 - 1 / (N e))), g Euler's constant (Bailey & Lopez de Prado 2014, eq. 1).
    Raises ValueError for fewer than one trial.
    """
    if trials < 1:
        raise ValueError(f"configurations_tried counts the settings that were tried, this one too: got {trials}")
    if trials == 1:
        return 0.0
    g = float(np.euler_gamma)
    high, higher = stats.norm.ppf(1 - 1 / trials), stats.norm.ppf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * float((1 - g) * high + g * higher)


def deflated_sharpe(returns: np.ndarray, trials: int = 1, variance: float | None = None) -> float:
    """Chance that the true Sharpe ratio exceeds what the best of `trials` settings without any edge would show.

    Bailey & Lopez de Prado, The Deflated Sharpe Ratio, Journal of Portfolio Management 40 (2014). With one trial it is
    the probabilistic Sharpe ratio against 0.

    Args:
        returns: daily returns of the setting that was chosen, [D].
        trials: settings tried, this one too.
        variance: of a day's Sharpe ratio between the trials; None where the others were not kept: 1 / (D - 1), that
            of an estimate over D days when there is no edge.

    NaN as `sharpe`; raises ValueError for fewer than one trial.
    """
    spread = 1 / max(1, len(returns) - 1) if variance is None else variance
    return probabilistic_sharpe(returns, expected_best_sharpe(trials, spread))


def _spreads(returns: np.ndarray) -> bool:
    """Whether there are two days or more that differ by more than rounding."""
    if len(returns) < 2 or not np.isfinite(returns).all():
        return False
    return bool(returns.std() > _FLAT * np.abs(returns).max())
