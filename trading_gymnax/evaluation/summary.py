"""Statistics of an evaluation, each a small function, and the sentence that says what they prove."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from trading_gymnax.evaluation import ratios
from trading_gymnax.evaluation import trades as trade
from trading_gymnax.evaluation.evaluate import Evaluation
from trading_gymnax.evaluation.trades import profit_factor, share
from trading_gymnax.text import count_text, plain

SIGNIFICANCE = 0.05
"""One-sided level at which a mean is called different from zero."""
CONFIDENCE = 0.95
"""Of the bootstrap interval."""
RESAMPLES = 9_999
DOUBTFUL_SHARE = 0.02
"""Of the trades: with more ambiguous bars than that a result is a matter of the order within bars."""
RATIO_DAYS, LOSING_DAYS = 20, 5
"""Fewest days of an annual ratio, whose standard error is sqrt(252 / days) at least (Lo, The Statistics of Sharpe
Ratios, 2002): 3.5 at 20 days. Fewest losing days of a ratio that divides by losses alone."""
UNDECIDABLE = "undecidable on bars of this length"


@dataclasses.dataclass(frozen=True)
class Summary:
    """One row of the table. Dollars; shares from 0 to 1; NaN where there is nothing to measure."""

    sessions: int
    days: int  # dates: the markets of one together
    losing_days: int  # of them
    trades: int
    win_rate: float  # trades with a net profit > 0, of all
    net_per_session_usd: float  # mean
    standard_error_usd: float  # of that mean, from the spread between days
    interval_usd: tuple[float, float]  # of that mean, 95 %, days drawn with replacement (BCa)
    t_value: float  # mean / standard error
    p_value: float  # chance of such a mean or a higher one if the true mean were 0; Student's t
    net_usd: float
    net_without_best_day_usd: float
    sharpe: float  # annual, on daily returns over the initial balance
    sortino: float  # the same
    calmar: float  # the same, against the largest fall from day to day; nothing compounds
    deflated_sharpe: float  # chance that the true Sharpe ratio beats the best of as many settings without an edge
    configurations_tried: int  # this one too
    max_drawdown_usd: float  # of the chained equity, bar by bar
    profit_factor: float  # dollars won / dollars lost
    expectancy_usd: float  # mean net of a trade
    expectancy_r: float  # the same in initial stop distances
    average_win_usd: float
    average_loss_usd: float  # below 0
    longest_losing_trades: int  # that follow one another
    longest_losing_sessions: int
    smallest_edge_usd: float  # per trade that as many trades can show: one-sided 5 %, power 80 %
    costs_usd: float  # commissions and slippage, contained in the net
    exposure: float  # share of the bars with a position
    contracts_per_session: float  # bought and sold
    turnover: float  # dollars of contracts bought and sold a session / initial balance
    ambiguous_trade_share: float  # bars with stop and target inside, by trade
    entry_rate: float  # entries / steps at which one was legal
    action_shares: dict[str, float]  # of all steps
    action_shares_when_legal: dict[str, float]  # of the steps at which it was legal

    def ratio_doubt(self, *, of_losses: bool = False) -> str:
        """Why an annual ratio says nothing, "" where it may say something; `of_losses` where losses alone divide it."""
        if self.days < RATIO_DAYS:
            return f"too few days ({self.days})"
        if of_losses and self.losing_days < LOSING_DAYS:
            return f"only {count_text(self.losing_days, 'losing day')}" if self.losing_days else "no losing day"
        return ""

    @property
    def undecidable(self) -> bool:
        """Whether too many trades hang on the order within a bar."""
        return self.ambiguous_trade_share > DOUBTFUL_SHARE

    @property
    def significant(self) -> bool:
        """Whether chance would rarely make as much, the best of all settings that were tried allowed for."""
        beats_the_best = self.configurations_tried == 1 or self.deflated_sharpe > 1 - SIGNIFICANCE
        return self.p_value < SIGNIFICANCE and beats_the_best

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; NaN and infinite ones as None."""
        return plain(dataclasses.asdict(self))


def summarise(evaluation: Evaluation, configurations_tried: int = 1, *, resamples: int = RESAMPLES) -> Summary:
    """All statistics of one evaluation.

    Args:
        evaluation: what a policy did.
        configurations_tried: settings that were judged before this one was chosen, this one too.
        resamples: of the bootstrap interval; with 0 there is none.

    Raises ValueError for fewer than one configuration.
    """
    sessions, trades = evaluation.sessions, evaluation.trades
    net, nets = sessions["net_usd"].to_numpy(), trades["net_usd"].to_numpy()
    dates = sessions["date"].to_numpy()
    days = len(np.unique(dates))
    mean, error = mean_and_error(net, dates)
    t_value = mean / error if error > 0 else math.nan
    returns = ratios.daily_returns(evaluation)
    return Summary(
        sessions=len(net),
        days=days,
        losing_days=int((returns < 0).sum()),
        trades=len(trades),
        win_rate=share((nets > 0).sum(), len(nets)),
        net_per_session_usd=mean,
        standard_error_usd=error,
        interval_usd=bootstrap_interval(net, dates, resamples),
        t_value=t_value,
        p_value=upper_tail_of_t(t_value, days - 1),
        net_usd=float(net.sum()),
        net_without_best_day_usd=trade.without_best_day(sessions),
        sharpe=ratios.sharpe(returns),
        sortino=ratios.sortino(returns),
        calmar=ratios.calmar(returns),
        deflated_sharpe=ratios.deflated_sharpe(returns, configurations_tried),
        configurations_tried=configurations_tried,
        max_drawdown_usd=max_drawdown(chained_bar_equity(evaluation), evaluation.initial_balance_usd),
        profit_factor=profit_factor(nets),
        expectancy_usd=trade.expectancy(nets),
        expectancy_r=trade.expectancy_r(nets, trades["risk_usd"].to_numpy()),
        average_win_usd=trade.average_win(nets),
        average_loss_usd=trade.average_loss(nets),
        longest_losing_trades=trade.longest_losing_run(nets),
        longest_losing_sessions=trade.longest_losing_run(net),
        smallest_edge_usd=trade.smallest_edge(nets),
        costs_usd=float(trades["commission_usd"].sum() + trades["slippage_usd"].sum()),
        exposure=share(sessions["steps_in_position"].sum(), sessions["steps"].sum()),
        contracts_per_session=trade.contracts_per_session(trades, len(net)),
        turnover=trade.turnover(trades, len(net), evaluation.initial_balance_usd),
        ambiguous_trade_share=share(sessions["ambiguous_bars"].sum(), len(trades)),
        entry_rate=share(sessions["entries"].sum(), sessions["entry_steps"].sum()),
        action_shares=_by_action(evaluation, "share"),
        action_shares_when_legal=_by_action(evaluation, "share_when_legal"),
    )


def mean_summary(rows: Sequence[Summary]) -> Summary:
    """Several policies of one kind as one row: the mean of each statistic, NaN left out, whole numbers rounded.

    Its standard error is the standard deviation between their nets per session, and its interval holds the middle 95 %
    of these; t and p, which belong to one policy, are NaN.
    """
    nets = np.array([row.net_per_session_usd for row in rows])
    low, high = np.quantile(nets, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    spread = float(nets.std(ddof=1)) if len(nets) > 1 else math.nan
    statistics = {
        field.name: _mean_of([getattr(row, field.name) for row in rows]) for field in dataclasses.fields(Summary)
    }
    statistics |= {"standard_error_usd": spread, "interval_usd": (float(low), float(high))}
    return Summary(**statistics | {"t_value": math.nan, "p_value": math.nan})


def _mean_of(values: list[Any]) -> Any:
    if isinstance(values[0], dict):
        return {name: _mean_of([one[name] for one in values]) for name in values[0]}
    if isinstance(values[0], tuple):
        return tuple(_mean_of(list(ends)) for ends in zip(*values, strict=True))
    known = np.array([value for value in values if not math.isnan(value)], float)
    mean = float(known.mean()) if len(known) else math.nan
    return round(mean) if isinstance(values[0], int) else mean


def _by_action(evaluation: Evaluation, column: str) -> dict[str, float]:
    return {str(name): float(value) for name, value in evaluation.actions[column].items()}


def mean_and_error(values: np.ndarray, groups: np.ndarray | None = None) -> tuple[float, float]:
    """Mean of values [N] and its standard error; NaN for fewer than two values or groups.

    Without groups s / sqrt(N), N - 1 in s. With groups [N] (dates, whose markets move together) the values of one are
    not taken for independent: sqrt(G / (G - 1) * sum over groups of (sum of value - mean)^2) / N (Cochran, Sampling
    Techniques, 1977, ch. 9), which is the same where every group holds one value.
    """
    if len(values) == 0:
        return math.nan, math.nan
    mean = float(values.mean())
    group = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(group, weights=values - mean)
    if len(sums) < 2:
        return mean, math.nan
    return mean, float(np.sqrt(len(sums) / (len(sums) - 1) * np.sum(sums**2)) / len(values))


def bootstrap_interval(values: np.ndarray, groups: np.ndarray, resamples: int = RESAMPLES) -> tuple[float, float]:
    """95 % interval of the mean of values [N]: whole groups [N] (dates) are drawn with replacement, 9,999 times.

    Bias-corrected and accelerated (Efron, Better Bootstrap Confidence Intervals, 1987), by scipy with a fixed seed. NaN
    for fewer than two groups or no resamples; the mean twice where the groups do not differ.
    """
    group = np.unique(groups, return_inverse=True)[1]
    sums, counts = np.bincount(group, weights=values), np.bincount(group)
    if len(sums) < 2 or resamples == 0:
        return math.nan, math.nan
    means = sums / counts
    if means.max() == means.min():
        return float(means[0]), float(means[0])

    def mean(sums: np.ndarray, counts: np.ndarray, axis: int = -1) -> np.ndarray:
        return sums.sum(axis=axis) / counts.sum(axis=axis)

    found = stats.bootstrap(
        (sums, counts),
        mean,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=1_000,
        confidence_level=CONFIDENCE,
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def upper_tail_of_t(t_value: float, degrees: int) -> float:
    """P(T >= t) of Student's t; NaN for NaN and fewer than one degree of freedom."""
    if math.isnan(t_value) or degrees < 1:
        return math.nan
    return float(stats.t.sf(t_value, degrees))


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


def percentile_among(value: float, others: np.ndarray) -> float:
    """Share of `others` [N] below `value`, ties counted half; 0 to 1."""
    return float(((others < value).sum() + 0.5 * (others == value).sum()) / len(others))


def verdict(summary: Summary, where: str) -> str:
    """One sentence on what a policy's sessions prove; plain when it loses, is luck, or cannot be known."""
    mean, error = summary.net_per_session_usd, summary.standard_error_usd
    if summary.days < 2:
        return f"One {'session' if summary.sessions < 2 else 'day'} {where} proves nothing: judge the policy on more."
    if summary.trades == 0:
        return f"The policy never traded {where}: it neither earns nor loses."
    found = f"{mean:+,.0f} dollars a session, standard error {error:,.0f}, over {summary.sessions} sessions"
    if math.isfinite(summary.t_value):
        found += f" (t = {summary.t_value:.1f})"
    if summary.undecidable:
        return (
            f"The result {where} is {UNDECIDABLE}: {summary.ambiguous_trade_share:.1%} of the trades met a bar that "
            f"reached both stop and target, and more than {DOUBTFUL_SHARE:.0%} is too many; as counted, {found}."
        )
    if mean <= 0:
        surely = summary.p_value > 1 - SIGNIFICANCE
        weight = "" if surely else "; chance alone could lose as much"
        return f"The policy LOSES {where}: {found}{weight}."
    if not summary.p_value < SIGNIFICANCE:
        return f"The policy CANNOT BE TOLD FROM ZERO {where}: {found}; chance alone could make as much."
    if not summary.significant:
        best = f"the best of {summary.configurations_tried} settings without any edge could make as much"
        deflated = f"deflated Sharpe ratio {summary.deflated_sharpe:.2f}"
        return f"The policy CANNOT BE TOLD FROM LUCK {where}: {found}; {best} ({deflated})."
    return f"The policy earns {where}: {found}."
