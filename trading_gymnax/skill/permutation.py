"""The permutation test that retrains: how likely is such a result for a learner that found nothing?

The same learner, with the same settings, is trained on tapes drawn from a null and judged on their held-out part, as it
was on the real bars. Its statistic is the net dollars a session there, mean of the seeds. Unlike a test of the policy's
trades this one allows for all that training can do, luck with the sessions to learn from included.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd

from trading_gymnax.curriculum import Schedule
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.evaluation.summary import SIGNIFICANCE
from trading_gymnax.market import MarketData
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.skill.nulls import NULLS
from trading_gymnax.text import count_text, plain, probability
from trading_gymnax.walkforward.run import FoldLearner, Progress

REAL = 0  # number of the tape that is the real one
_SEEDS_APART = 1_000  # a tape's number times this is added to the number of its seed


@dataclasses.dataclass(frozen=True)
class MonteCarlo:
    """A sequential Monte Carlo p-value."""

    p_value: float
    error: float  # standard error of the p-value, from the finite number of tapes
    exceedances: int  # tapes that did as well as the real bars, or better
    tapes: int  # that were looked at
    stopped: bool  # before all were drawn, because so many exceedances had come


def sequential_p_value(real: float, nulls: Sequence[float], enough: int) -> MonteCarlo:
    """Chance of a null result as large as `real`, from nulls [N] in the order in which they were drawn.

    Drawing stops at the l-th tape, where the `enough`-th exceedance comes: p = enough / l. Without a stop it is
    (exceedances + 1) / (N + 1), since under the null the real result is one more of them (Besag & Clifford, Sequential
    Monte Carlo p-values, Biometrika 78, 1991). Both are valid for any N and `enough`: P(p <= a) <= a. Equal results
    count as exceedances.
    """
    reached = np.cumsum(np.asarray(nulls, np.float64) >= real)
    stop = np.flatnonzero(reached == enough)
    looked = int(stop[0]) + 1 if len(stop) else len(reached)
    count = int(reached[looked - 1]) if looked else 0
    p = enough / looked if len(stop) else (count + 1) / (looked + 1)
    return MonteCarlo(p, math.sqrt(p * (1 - p) / max(looked, 1)), count, looked, bool(len(stop)))


@dataclasses.dataclass(frozen=True)
class PermutationTest:
    """What came of it. Dollars a session on the held-out part."""

    null: str
    held_out: str  # dates
    seeds: int
    real: tuple[float, ...]  # by seed
    tapes: tuple[tuple[float, ...], ...]  # of each null tape, by seed, in the order of drawing
    enough: int  # exceedances at which drawing stops

    @property
    def real_usd(self) -> float:
        """The result on the real bars, mean of the seeds."""
        return float(np.mean(self.real))

    @property
    def null_usd(self) -> np.ndarray:
        """Result of each null tape, mean of the seeds, [N]."""
        return np.array([np.mean(nets) for nets in self.tapes])

    @property
    def found(self) -> MonteCarlo:
        """The p-value."""
        return sequential_p_value(self.real_usd, self.null_usd.tolist(), self.enough)

    @property
    def verdict(self) -> str:
        """What it proves, in one or two sentences."""
        found, nulls = self.found, self.null_usd
        text = (
            f"{self.real_usd:+,.0f} dollars a session on {self.held_out}, mean of {count_text(self.seeds, 'seed')}; "
            f"the same training on {count_text(found.tapes, 'tape')} of the null `{self.null}` came to "
            f"{nulls.mean():+,.0f} on average and did as well or better on {found.exceedances} "
            f"(p = {probability(found.p_value)} +- {found.error:.2g})"
        )
        if found.p_value < SIGNIFICANCE:
            return f"It is UNLIKELY TO BE LUCK: {text}."
        if not found.stopped and found.tapes + 1 < 1 / SIGNIFICANCE:
            return f"TOO FEW TAPES to tell: {text}; {math.ceil(1 / SIGNIFICANCE)} or more can."
        return f"It CANNOT BE TOLD FROM LUCK: {text}: a learner that can find nothing would do as well that often."

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**plain(self), "real_usd": self.real_usd, "verdict": self.verdict, "p": plain(self.found)}


def permutation_test(
    learn: FoldLearner,
    env: TradingPhase1,
    draw: Callable[[int], MarketData],
    first_held_out: str,
    *,
    null: str = NULLS[0],
    tapes: int = 199,
    enough: int = 10,
    seeds: int = 1,
    schedule: Schedule | None = None,
    at_once: int = 8,
    known: Mapping[int, Sequence[float]] | None = None,
    keep: Callable[[int, Sequence[float]], None] | None = None,
    look: Callable[[Sequence[pd.DataFrame]], None] | None = None,
    progress: Progress | None = None,
) -> PermutationTest:
    """Train and judge on the real bars, then on null tapes until the answer is clear or all of them are done.

    Args:
        learn: trains all runs of a group of tapes, in one program where it can.
        env: its default parameters are those of every run, but for the market.
        draw: number of a tape -> its market, all of one shape; 0 gives the real bars.
        first_held_out: date from which on sessions are judged, and not learnt from.
        null: name, for the record.
        tapes: most null tapes.
        enough: exceedances at which drawing stops.
        seeds: runs a tape, the real one too.
        schedule: curriculum that the learner applies; policies are judged under its last values.
        at_once: tapes that are handed to the learner together; they are in memory at one time.
        known: nets by seed of tapes that are done, to go on from; `keep` is called with each new one.
        look: called with the held-out sessions of the real bars, a frame a seed, where they are played.

    Raises ValueError for numbers that cannot be, and as `evaluate_policy`.
    """
    if min(tapes, enough, seeds, at_once) < 1 or seeds > _SEEDS_APART or tapes * _SEEDS_APART >= 2**31:
        raise ValueError(
            f"a permutation test needs a tape, an exceedance, a seed and a tape at once at least, and at most "
            f"{_SEEDS_APART:,} seeds; got {tapes}, {enough}, {seeds}, {at_once}"
        )
    nets = {number: tuple(map(float, values)) for number, values in (known or {}).items()}

    def result() -> PermutationTest:
        done = tuple(nets[number] for number in range(1, tapes + 1) if number in nets)
        return PermutationTest(null, dates, seeds, nets[REAL], done, enough)

    _, held_out = env.default_params.market.split(first_held_out)
    dates = held_out.date_text()
    left = [number for number in range(tapes + 1) if number not in nets]
    for number, played in _played(learn, env, draw, first_held_out, left, seeds, at_once, schedule, nets, enough):
        nets[number] = tuple(float(sessions["net_usd"].mean()) for sessions in played)
        if keep:
            keep(number, nets[number])
        if look and number == REAL:
            look(played)
        if progress:
            progress(len(nets), tapes + 1, "the real bars" if number == REAL else f"tape {number}")
    return result()


def _clear(nets: Mapping[int, Sequence[float]], enough: int) -> bool:
    """The real bars and so many tapes are done that no more are needed."""
    if REAL not in nets:
        return False
    nulls = [float(np.mean(nets[number])) for number in sorted(nets) if number != REAL]
    return sequential_p_value(float(np.mean(nets[REAL])), nulls, enough).stopped


def _played(
    learn: FoldLearner,
    env: TradingPhase1,
    draw: Callable[[int], MarketData],
    first_held_out: str,
    left: Sequence[int],
    seeds: int,
    at_once: int,
    schedule: Schedule | None,
    nets: Mapping[int, Sequence[float]],
    enough: int,
) -> Iterator[tuple[int, list[pd.DataFrame]]]:
    """Held-out sessions of each tape that is left, by seed, until the answer is clear."""
    for first in range(0, len(left), at_once):
        if _clear(nets, enough):
            return
        numbers = left[first : first + at_once]
        views = [draw(number).split(first_held_out) for number in numbers]
        # The last group is filled up with its last tape: a learner that trains side by side then needs no new program,
        # and one that trains in turn is never asked for those.
        rows = [min(row, len(numbers) - 1) for row in range(at_once if len(left) > at_once else len(numbers))]
        params = [env.default_params.replace(market=train) for train, _ in views]
        jobs = [(row, seed) for row in rows for seed in range(seeds)]
        learnt = iter(
            learn(env, [params[row] for row, _ in jobs], [_SEEDS_APART * numbers[row] + seed for row, seed in jobs])
        )
        for row, number in enumerate(numbers):
            keys = [jax.random.key(_SEEDS_APART * number + seed) for seed in range(seeds)]
            held_out = views[row][1]
            yield number, [_sessions(next(learnt), env, params[row], held_out, schedule, key) for key in keys]
            if _clear(nets, enough):
                return


def _sessions(
    policy: Any, env: TradingPhase1, params: Any, held_out: MarketData, schedule: Schedule | None, key: jax.Array
) -> pd.DataFrame:
    judged = params if schedule is None else schedule(1.0, params)
    # nothing of the held-out sessions is measured before they are played
    judged = judged.replace(market=held_out, reward_scale=params.reward_scale)
    return evaluate_policy(policy, env, judged, key=key).sessions
