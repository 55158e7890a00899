"""Figures about an evaluation, each a small function, and the sentence that says what they prove."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
from jax.scipy.special import betainc

from trading_gymnax.evaluate import Evaluation

SIGNIFICANCE = 0.05
"""One-sided level at which a mean is called different from zero."""


@dataclasses.dataclass(frozen=True)
class Summary:
    """One row of the table. Dollars; shares from 0 to 1; NaN where there is nothing to measure."""

    sessions: int
    trades: int
    win_rate: float  # trades with a net profit > 0, of all
    net_per_session_usd: float  # mean
    standard_error_usd: float  # of that mean, from the spread between sessions
    t_value: float  # mean / standard error
    p_value: float  # chance of such a mean or a higher one if the true mean were 0; Student's t
    net_usd: float
    max_drawdown_usd: float  # of the chained equity, bar by bar
    profit_factor: float  # dollars won / dollars lost
    costs_usd: float  # commissions and slippage, contained in the net
    exposure: float  # share of the bars with a position
    ambiguous_trade_share: float  # bars with stop and target inside, by trade
    entry_rate: float  # entries / steps at which one was legal
    action_shares: dict[str, float]  # of all steps

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; NaN and infinite ones as None."""
        values = dataclasses.asdict(self)
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def summarise(evaluation: Evaluation) -> Summary:
    """All figures of one evaluation."""
    sessions, trades = evaluation.sessions, evaluation.trades
    net = sessions["net_usd"].to_numpy()
    mean, error = mean_and_error(net)
    t_value = mean / error if error > 0 else math.nan
    costs = trades["commission_usd"].sum() + trades["slippage_usd"].sum()
    return Summary(
        sessions=len(net),
        trades=len(trades),
        win_rate=_ratio((trades["net_usd"] > 0).sum(), len(trades)),
        net_per_session_usd=mean,
        standard_error_usd=error,
        t_value=t_value,
        p_value=upper_tail_of_t(t_value, len(net) - 1),
        net_usd=float(net.sum()),
        max_drawdown_usd=max_drawdown(chained_bar_equity(evaluation), evaluation.initial_balance_usd),
        profit_factor=profit_factor(trades["net_usd"].to_numpy()),
        costs_usd=float(costs),
        exposure=_ratio(sessions["steps_in_position"].sum(), sessions["steps"].sum()),
        ambiguous_trade_share=_ratio(sessions["ambiguous_bars"].sum(), len(trades)),
        entry_rate=_ratio(sessions["entries"].sum(), sessions["entry_steps"].sum()),
        action_shares={str(k): float(v) for k, v in evaluation.actions["share"].items()},
    )


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """Mean of values [N] and its standard error, s / sqrt(N) with N - 1 in s; NaN for fewer than two."""
    if len(values) < 2:
        return (float(values[0]) if len(values) else math.nan), math.nan
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values)))


def upper_tail_of_t(t_value: float, degrees: int) -> float:
    """P(T >= t) of Student's t, by the regularised incomplete beta function (Abramowitz & Stegun 26.7.1)."""
    if math.isnan(t_value) or degrees < 1:
        return math.nan
    outside = 0.5 * float(betainc(degrees / 2, 0.5, degrees / (degrees + t_value**2)))
    return outside if t_value >= 0 else 1 - outside


def chained_bar_equity(evaluation: Evaluation) -> np.ndarray:
    """Equity after every bar as if the sessions had followed one another on one account, dollars [bars].

    Sessions of several markets on one date follow one another, too.
    """
    steps = evaluation.sessions["steps"].to_numpy()
    net = evaluation.sessions["net_usd"].to_numpy()
    before = np.cumsum(net) - net
    return evaluation.bars["equity_usd"].to_numpy() + np.repeat(before, steps)


def max_drawdown(equity: np.ndarray, start: float) -> float:
    """Largest fall of equity [N] below its highest value so far, `start` included; 0 or more."""
    path = np.concatenate([[start], equity])
    return float(np.max(np.maximum.accumulate(path) - path))


def profit_factor(nets: np.ndarray) -> float:
    """Sum of the winning trades / sum of the losing ones; infinite without losers, NaN without trades."""
    won, lost = nets[nets > 0].sum(), -nets[nets < 0].sum()
    if lost == 0:
        return math.inf if won > 0 else math.nan
    return float(won / lost)


def percentile_among(value: float, others: np.ndarray) -> float:
    """Share of `others` [N] below `value`, ties counted half; 0 to 1."""
    return float(((others < value).sum() + 0.5 * (others == value).sum()) / len(others))


def verdict(summary: Summary, where: str) -> str:
    """One sentence on what a policy's sessions prove; plain when it loses or cannot be told from zero."""
    mean, error = summary.net_per_session_usd, summary.standard_error_usd
    if summary.sessions < 2:
        return f"One session {where} proves nothing: judge the policy on more."
    if summary.trades == 0:
        return f"The policy never traded {where}: it neither earns nor loses."
    figures = f"{mean:+,.0f} dollars a session, standard error {error:,.0f}, over {summary.sessions} sessions"
    if math.isfinite(summary.t_value):
        figures += f" (t = {summary.t_value:.1f})"
    if mean <= 0:
        surely = summary.p_value > 1 - SIGNIFICANCE
        weight = "" if surely else "; chance alone could lose as much"
        return f"The policy LOSES {where}: {figures}{weight}."
    if not summary.p_value < SIGNIFICANCE:
        return f"The policy CANNOT BE TOLD FROM ZERO {where}: {figures}; chance alone could make as much."
    return f"The policy earns {where}: {figures}."


def _ratio(part: Any, whole: Any) -> float:
    return float(part) / float(whole) if whole else math.nan
