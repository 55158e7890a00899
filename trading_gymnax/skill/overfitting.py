"""Many tries on the same sessions: how likely is it that the best of them is the best by luck only?

All functions take a table of daily nets, [D, N]: a row a date, a column a setting.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings

import numpy as np
from scipy import stats

from trading_gymnax.evaluation import ratios

_MOST_BLOCKS = 16
_LEAST_DAYS_A_BLOCK = 2
_FLAT = 1e-12  # a spread below this share of the largest value is rounding
SPA_RESAMPLES = 2_000


@dataclasses.dataclass(frozen=True)
class Overfitting:
    """Combinatorially symmetric cross-validation."""

    pbo: float  # probability of backtest overfitting
    loss: float  # share of the splits in which the best of one half lost money in the other
    logits: np.ndarray  # of the relative rank out of sample of the best in sample, one a split
    blocks: int


def num_blocks(days: int) -> int:
    """Blocks for so many days: 16 as in the paper, fewer where a block would have less than two days; even."""
    return min(_MOST_BLOCKS, days // _LEAST_DAYS_A_BLOCK // 2 * 2)


def probability_of_overfitting(nets: np.ndarray, blocks: int | None = None) -> Overfitting:
    """How often the setting that is best in one half of the days lies below the median of all in the other half.

    The days are cut into S blocks in order; every choice of S / 2 of them is a half to choose in and the rest a half to
    judge in. Settings are compared by the Sharpe ratio. With rank r of N out of sample (1 the worst; ties share their
    mean rank) the logit is log(w / (1 - w)), w = r / (N + 1), and PBO the share of logits of 0 or less (Bailey,
    Borwein, Lopez de Prado & Zhu, The Probability of Backtest Overfitting, Journal of Computational Finance 20, 2017).

    Args:
        nets: daily nets, [D, N], N >= 2. A column without spread has a Sharpe ratio of 0.
        blocks: S, even; by default `num_blocks`.

    Raises ValueError for fewer than two settings, and for blocks that are odd, fewer than 4, or more than the days.
    """
    nets = np.asarray(nets, np.float64)
    blocks = num_blocks(len(nets)) if blocks is None else blocks
    if nets.ndim != 2 or nets.shape[1] < 2 or not np.isfinite(nets).all():
        raise ValueError(f"nets must be finite, [days, settings] with two settings or more; got shape {nets.shape}")
    if blocks < 4 or blocks % 2 or blocks > len(nets):
        raise ValueError(f"{len(nets)} days in {blocks} blocks: an even number of blocks, 4 or more, no empty one")
    parts = np.array_split(nets, blocks)
    count = np.array([len(part) for part in parts], np.float64)
    chosen = np.zeros((math.comb(blocks, blocks // 2), blocks))
    for row, half in enumerate(itertools.combinations(range(blocks), blocks // 2)):
        chosen[row, list(half)] = 1
    center = nets.mean(axis=0)
    sums = np.stack([(part - center).sum(axis=0) for part in parts])
    squares = np.stack([((part - center) ** 2).sum(axis=0) for part in parts])
    inside, _ = _sharpe(chosen, count, sums, squares, center)
    outside, mean = _sharpe(1 - chosen, count, sums, squares, center)
    best, rows = inside.argmax(axis=1), np.arange(len(chosen))
    rank = stats.rankdata(outside, axis=1)[rows, best] / (nets.shape[1] + 1)
    logits = np.log(rank / (1 - rank))
    return Overfitting(float((logits <= 0).mean()), float((mean[rows, best] < 0).mean()), logits, blocks)


def _sharpe(
    chosen: np.ndarray, count: np.ndarray, sums: np.ndarray, squares: np.ndarray, center: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Sharpe ratio and mean of each setting over the chosen blocks of each split, [splits, N] each."""
    days = (chosen @ count)[:, None]
    moved = chosen @ sums / days
    mean = center + moved
    variance = np.maximum(chosen @ squares / days - moved**2, 0)
    flat = variance <= (_FLAT * np.abs(center)) ** 2 + 1e-300
    return np.where(flat, 0.0, mean / np.sqrt(np.where(flat, 1.0, variance))), mean


@dataclasses.dataclass(frozen=True)
class Superior:
    """p-values of the best setting against doing nothing, all tries allowed for."""

    spa: float  # Hansen's consistent one
    reality_check: float  # White's: studentised as well, and the most careful of the three


def superior_ability(nets: np.ndarray, resamples: int = SPA_RESAMPLES, seed: int = 0) -> Superior:
    """Chance that the best of all settings looks as good as it does though none of them beats doing nothing.

    By the package `arch`: Hansen, A Test for Superior Predictive Ability, Journal of Business & Economic Statistics 23
    (2005), and its upper bound, the reality check of White, Econometrica 68 (2000), both with the stationary bootstrap,
    blocks of sqrt(D) days on average. A setting without spread is left out; NaN where none is left, or fewer than 8
    days.

    Args:
        nets: daily nets, [D, N], finite.
        resamples, seed: of the bootstrap.
    """
    nets = np.asarray(nets, np.float64)
    spreads = nets.std(axis=0) > _FLAT * np.maximum(np.abs(nets).max(axis=0), 1e-300)
    if not spreads.any() or len(nets) < 8:
        return Superior(math.nan, math.nan)
    with warnings.catch_warnings():  # of the package about its own dependencies, while it is imported
        warnings.simplefilter("ignore")
        from arch.bootstrap import SPA  # takes seconds: only who tests waits for it
    test = SPA(np.zeros(len(nets)), -nets[:, spreads], reps=resamples, seed=seed)
    test.compute()
    return Superior(float(test.pvalues["consistent"]), float(test.pvalues["upper"]))


def sharpe_variance(nets: np.ndarray) -> float | None:
    """Variance between settings of a day's Sharpe ratio, for `ratios.deflated_sharpe`; None for fewer than two."""
    nets = np.asarray(nets, np.float64)
    if nets.ndim != 2 or nets.shape[1] < 2 or len(nets) < 2:
        return None
    spread = nets.std(axis=0, ddof=1)
    flat = spread <= _FLAT * np.maximum(np.abs(nets).max(axis=0), 1e-300)
    return float(np.where(flat, 0.0, nets.mean(axis=0) / np.where(flat, 1.0, spread)).var(ddof=1))


def deflated(nets: np.ndarray, at: int, trials: int) -> float:
    """`ratios.deflated_sharpe` of column `at`, with the variance between all columns where there are two or more."""
    return ratios.deflated_sharpe(np.asarray(nets, np.float64)[:, at], trials, sharpe_variance(nets))
