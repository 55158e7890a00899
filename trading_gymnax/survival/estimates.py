"""Estimates from many attempts, each with an interval that holds what few sessions leave unknown."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy import special

from trading_gymnax.survival.replay import BREACHED, PASSED

CONFIDENCE = 0.95
_TAILS = (50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE))  # percentiles
_NORMAL = 1.959964  # standard deviations that hold CONFIDENCE of a normal law


@dataclasses.dataclass(frozen=True)
class Estimate:
    """An estimate and its 95 % interval; NaN where there is nothing to measure."""

    value: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, eq=False)
class Attempts:
    """Attempts of one account: P from all sessions, and Q from each of B resampled sets of sessions."""

    outcome: np.ndarray  # int [P]
    days: np.ndarray  # sessions played, int [P]
    set_outcome: np.ndarray  # int [B, Q]
    set_days: np.ndarray  # int [B, Q]
    sessions: int  # that there are to draw from
    block_sessions: float  # mean length of the blocks in which they are drawn

    def share(self, outcome: int) -> Estimate:
        """Probability of PASSED, BREACHED or RUNNING at the end of the orders."""
        found, sets = self.outcome == outcome, self.set_outcome == outcome
        return probability(found, sets, self.widening, self.independent_attempts)

    @property
    def independent_attempts(self) -> float:
        """Sessions / sessions of a mean attempt, at least 1: how many attempts the data holds end to end."""
        return max(1.0, self.sessions / float(self.days.mean()))

    @property
    def widening(self) -> float:
        """Factor by which percentiles of the sets are too near: sqrt(k / (k - 1)) t / z for k independent blocks.

        t and z are the 97.5 % quantiles of Student's t with k - 1 degrees and of the normal law. Source: Hesterberg,
        "What teachers should know about the bootstrap", The American Statistician 69 (2015), 371-386, whose expanded
        percentile interval moves the percentiles so; here the distances are stretched.
        """
        k = max(2.0, self.sessions / self.block_sessions)
        return math.sqrt(k / (k - 1)) * float(special.stdtrit(k - 1, (1 + CONFIDENCE) / 2)) / _NORMAL


def interval(
    value: np.ndarray, sets: np.ndarray, error: np.ndarray, sets_error: np.ndarray, widening: float = 1.0
) -> np.ndarray:
    """Ends of the interval of estimates, float [2, ...]: bootstrap over sets of sessions, and Monte Carlo.

    The estimate of a set scatters because other sessions are in it and because its paths are few; the second part is
    taken out by shrinking the scatter to its variance less the mean square error. Percentiles of what is left, about
    the mean of the sets, go to both sides of the estimate, widened in squares by its own Monte Carlo error. The
    outer bootstrap is that of Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 8 and 13.

    Args:
        value: estimates from all sessions, [...].
        sets: the same from each set, [B, ...].
        error, sets_error: standard errors of both from the number of paths alone.
        widening: factor on the distances to the percentiles.
    """
    centre, spread = sets.mean(axis=0), sets.var(axis=0, ddof=1)
    noise = np.square(sets_error).mean(axis=0)
    left = np.sqrt(np.maximum(spread - noise, 0) / np.where(spread > 0, spread, 1))
    ends = widening * np.percentile((sets - centre) * left, _TAILS, axis=0)
    away = np.sqrt(np.square(ends) + np.square(_NORMAL * error))
    return np.stack([value - away[0], value + away[1]])


def probability(found: np.ndarray, sets: np.ndarray, widening: float, attempts: float) -> Estimate:
    """Share of paths, bool [P], with its interval from those of the sets, bool [B, Q].

    Where every path of every set agrees the bootstrap is blind to what no session has shown. Then the end is that of
    Clopper and Pearson (Biometrika 26 (1934), 404-413) for as many attempts as the data holds end to end.
    """
    value = float(found.mean())
    if value in (0.0, 1.0) and (sets == value).all():
        far = 1 - ((1 - CONFIDENCE) / 2) ** (1 / attempts)
        return Estimate(value, 0.0, far) if value == 0 else Estimate(value, 1 - far, 1.0)
    low, high = np.clip(interval(*_means(found[None], sets[..., None]), widening), 0, 1)
    return Estimate(value, float(low[0]), float(high[0]))


def mean(values: np.ndarray, sets: np.ndarray, widening: float) -> Estimate:
    """Mean of a value of each path, float [P], with its interval from those of the sets, [B, Q]."""
    low, high = interval(*_means(values[None], sets[..., None]), widening)
    return Estimate(float(values.mean()), float(low[0]), float(high[0]))


def _means(values: np.ndarray, sets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Means and their Monte Carlo errors: of values [k, P] and sets [B, Q, k]."""
    error, sets_error = values.std(axis=1) / math.sqrt(values.shape[1]), sets.std(axis=1) / math.sqrt(sets.shape[1])
    return values.mean(axis=1), sets.mean(axis=1), error, sets_error


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """Probabilities after n = 0 ... D sessions, each float [3, D + 1]: running, passed, breached."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def curve(attempts: Attempts, horizon: int) -> Curve:
    """Probability to be running, to have passed and to be breached after each number of sessions."""
    both = []
    for outcome, days in ((attempts.outcome, attempts.days), (attempts.set_outcome, attempts.set_days)):
        ended = np.stack([_by_day((outcome == end), days, horizon) for end in (PASSED, BREACHED)], axis=-1)
        both.append(np.concatenate([1 - ended.sum(axis=-1, keepdims=True), ended], axis=-1))
    value, sets = both  # [D + 1, 3], [B, D + 1, 3]
    error, sets_error = (
        np.sqrt(x * (1 - x) / n)
        for x, n in zip((value, sets), (attempts.outcome.size, attempts.set_outcome.shape[1]), strict=True)
    )
    low, high = np.clip(interval(value, sets, error, sets_error, attempts.widening), 0, 1)
    return Curve(value.T, low.T, high.T)


def _by_day(ended: np.ndarray, days: np.ndarray, horizon: int) -> np.ndarray:
    """Share of paths [..., P] that had so ended after n sessions, [..., horizon + 1]."""
    flat_ended, flat_days = ended.reshape(-1, ended.shape[-1]), days.reshape(-1, days.shape[-1])
    rows = np.arange(len(flat_days))[:, None] * (horizon + 1) + flat_days
    counts = np.bincount(rows.ravel(), weights=flat_ended.ravel(), minlength=len(flat_days) * (horizon + 1))
    share = counts.reshape(len(flat_days), horizon + 1).cumsum(axis=1) / ended.shape[-1]
    return share.reshape(*ended.shape[:-1], horizon + 1)


@dataclasses.dataclass(frozen=True)
class Days:
    """Sessions until the pass, of the attempts that passed; NaN without any."""

    median: Estimate
    fast: float  # 5 % of the passes take so many sessions or fewer
    slow: float  # 95 %


def days_to_pass(attempts: Attempts) -> Days:
    """Sessions to a pass, that of the pass included; the median's interval is that of the sets' medians."""
    passed = attempts.days[attempts.outcome == PASSED]
    if len(passed) == 0:
        return Days(Estimate(math.nan, math.nan, math.nan), math.nan, math.nan)
    medians = np.array(
        [
            np.median(days[outcome == PASSED])
            for outcome, days in zip(attempts.set_outcome, attempts.set_days, strict=True)
            if (outcome == PASSED).any()
        ]
    )
    middle = float(np.median(passed))
    away = np.percentile(medians - middle, _TAILS) if len(medians) else np.full(2, math.nan)
    low, high = np.clip(middle + attempts.widening * away, 1, attempts.days.max())
    fast, slow = np.percentile(passed, (5, 95))
    return Days(Estimate(middle, min(float(low), middle), max(float(high), middle)), float(fast), float(slow))
