"""Combinatorial purged cross-validation: every choice of groups of sessions is held out once, and learnt around.

N groups of sessions in order, k of them held out: C(N, k) splits, in which each group is judged C(N - 1, k - 1) times.
As many paths can be put together that go through all sessions out of sample: a distribution in place of one result
(Lopez de Prado, Advances in Financial Machine Learning, 2018, ch. 12). No position lasts over a session's end where
episodes end there, so no trade is shared by two sessions; sessions beside a held-out group are left out on both sides
(`embargo_sessions`), so that no window or average is either.

Training sees sessions after those that it is judged on. That is the price for many paths; what a trader could have
known is `walkforward`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pandas as pd

from trading_gymnax.curriculum import Schedule
from trading_gymnax.evaluation.summary import mean_and_error, upper_tail_of_t
from trading_gymnax.market import LAST_TIME, MarketData
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.text import count_text, number, percent, plain
from trading_gymnax.walkforward.folds import session_days
from trading_gymnax.walkforward.run import FoldLearner, Play, Progress, run_parts

_NEVER = -(2**20)  # minute of the last bar of a session that is shut out: it does not reach its close


class Split(NamedTuple):
    """Two views of the same arrays."""

    number: int  # from 0
    groups: tuple[int, ...]  # that are held out
    train: MarketData
    test: MarketData


def only_sessions(market: MarketData, days: np.ndarray) -> MarketData:
    """The market whose usable sessions are those of its view dated `days` (datetime64[D]).

    The other sessions stay as history, and no episode starts in them or goes on in them. Raises ValueError where none
    is left.
    """
    dates = np.asarray(market.session_date).astype("datetime64[D]")
    sessions = np.array(market.sessions)
    sessions[..., LAST_TIME] = np.where(np.isin(dates, days), sessions[..., LAST_TIME], _NEVER)
    return dataclasses.replace(market, sessions=jnp.asarray(sessions)).with_view(market.view)


def combinatorial_splits(
    market: MarketData, groups: int = 6, held_out: int = 2, embargo_sessions: int = 1
) -> list[Split]:
    """All C(groups, held_out) splits of the sessions of a market's view, in the order of `itertools.combinations`.

    Raises ValueError for numbers that cannot be, and for a split without a session to learn from.
    """
    days = session_days(market)
    if not 1 <= held_out < groups <= len(days) or embargo_sessions < 0:
        raise ValueError(
            f"{len(days)} sessions in {groups} groups, {held_out} of them held out, {embargo_sessions} left out beside "
            "them: at least one group to learn from, none empty"
        )
    parts = np.array_split(np.arange(len(days)), groups)
    splits = []
    for number_, chosen in enumerate(itertools.combinations(range(groups), held_out)):
        test = np.concatenate([parts[group] for group in chosen])
        near = np.unique(np.concatenate([test + shift for shift in range(-embargo_sessions, embargo_sessions + 1)]))
        train = np.setdiff1d(np.arange(len(days)), near)
        if len(train) == 0:
            raise ValueError(f"with groups {chosen} held out no session is left to learn from: use fewer, or more bars")
        splits.append(Split(number_, chosen, only_sessions(market, days[train]), only_sessions(market, days[test])))
    return splits


@dataclasses.dataclass(frozen=True, eq=False)
class SplitRun:
    """One policy: the split and seed, and its held-out sessions."""

    split: int
    seed: int
    seen_usd: float  # dollars a session in sample
    unseen: pd.DataFrame  # date, market, net_usd


@dataclasses.dataclass(frozen=True, eq=False)
class CrossValidation:
    """What came of all splits and seeds."""

    days: np.ndarray  # all sessions, datetime64[D] [D]
    groups: int
    held_out: int
    embargo_sessions: int
    splits: tuple[tuple[int, ...], ...]  # held-out groups of each split
    runs: tuple[SplitRun, ...]

    @property
    def num_paths(self) -> int:
        """Paths through all groups, for a seed: C(N - 1, k - 1)."""
        return math.comb(self.groups - 1, self.held_out - 1)

    def split_usd(self) -> np.ndarray:
        """Dollars a session out of sample of each split, mean of the seeds, [splits]."""
        rows = [[r.unseen["net_usd"].mean() for r in self.runs if r.split == at] for at in range(len(self.splits))]
        return np.array([np.mean(row) for row in rows])

    def paths(self) -> pd.DataFrame:
        """Net by date, a column a path and seed: (path, seed). Path p takes of each group the p-th split that holds it
        out."""
        parts = np.array_split(self.days, self.groups)
        of_run = {(r.split, r.seed): r.unseen.groupby("date")["net_usd"].sum() for r in self.runs}
        columns = {}
        for path, seed in itertools.product(range(self.num_paths), sorted({r.seed for r in self.runs})):
            pieces = []
            for group, dates in enumerate(parts):
                split = [at for at, chosen in enumerate(self.splits) if group in chosen][path]
                nets = of_run[split, seed]
                pieces.append(nets[np.isin(nets.index.to_numpy().astype("datetime64[D]"), dates)])
            columns[path, seed] = pd.concat(pieces).sort_index()
        return pd.DataFrame(columns)

    @property
    def verdict(self) -> str:
        """The distribution over paths, in a sentence. Paths share sessions and policies: they are not independent."""
        paths = self.paths()
        means = paths.mean(axis=0).to_numpy()
        daily = paths.mean(axis=1).to_numpy()
        mean, error = mean_and_error(daily)
        p = upper_tail_of_t(mean / error, len(daily) - 1) if error > 0 else math.nan
        low, high = np.percentile(means, [5, 95])
        return (
            f"Out of sample {mean:+,.0f} dollars a date (standard error {number(error)} between {len(daily)} dates, "
            f"p = {number(p, 2)}); {count_text(len(means), 'path')} through all sessions lie between "
            f"{means.min():+,.0f} and {means.max():+,.0f} (5 to 95 %: {low:+,.0f} to {high:+,.0f}), "
            f"{percent((means > 0).mean(), 0)} of them above zero."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        means = self.paths().mean(axis=0)
        return {
            "verdict": self.verdict,
            "groups": self.groups,
            "held_out": self.held_out,
            "embargo_sessions": self.embargo_sessions,
            "sessions": len(self.days),
            "splits": [
                {"held_out": list(chosen), "usd": plain(float(usd))}
                for chosen, usd in zip(self.splits, self.split_usd(), strict=True)
            ],
            "paths": [{"path": int(p), "seed": int(s), "usd": plain(float(x))} for (p, s), x in means.items()],
            "in_sample_usd": float(np.mean([run.seen_usd for run in self.runs])),
        }

    def __str__(self) -> str:
        lines = ["dollars a session, mean of the seeds, by the groups held out:"]
        for chosen, usd in zip(self.splits, self.split_usd(), strict=True):
            lines.append(f"  {', '.join(f'{group}' for group in chosen):12} {usd:9,.0f}")
        seen = float(np.mean([run.seen_usd for run in self.runs]))
        return "\n".join([*lines, f"in sample {seen:+,.0f}", "", self.verdict])


def cross_validate(
    learn: FoldLearner,
    env: TradingPhase1,
    splits: Sequence[Split],
    *,
    embargo_sessions: int = 1,
    seeds: int = 1,
    schedule: Schedule | None = None,
    known: Mapping[tuple[int, int], SplitRun] | None = None,
    keep: Callable[[SplitRun], None] | None = None,
    progress: Progress | None = None,
) -> CrossValidation:
    """Train and judge every split with every seed, as `run_walk_forward` does with folds.

    Args:
        learn, env, seeds, schedule, progress: as in `run_walk_forward`.
        splits: of `combinatorial_splits`, for the environment's market.
        embargo_sessions: with which they were made, for the record.
        known: runs that are done, by split and seed; `keep` is called with each new one.

    Raises ValueError for no split or seed, and as `evaluate_policy`.
    """
    if not splits or seeds < 1:
        raise ValueError(f"cross-validation needs a split and a seed at least; got {len(splits)} and {seeds}")

    def judge(split: Split, seed: int, play: Play) -> SplitRun:
        unseen = play(split.test).sessions[["date", "market", "net_usd"]]
        return SplitRun(split.number, seed, float(play(split.train).sessions["net_usd"].mean()), unseen)

    runs = run_parts(
        learn, env, splits, judge, seeds=seeds, schedule=schedule, known=known, keep=keep, progress=progress
    )
    return CrossValidation(
        days=session_days(env.default_params.market),
        groups=1 + max(group for split in splits for group in split.groups),
        held_out=len(splits[0].groups),
        embargo_sessions=embargo_sessions,
        splits=tuple(split.groups for split in splits),
        runs=runs,
    )


class Gap(NamedTuple):
    """What one cross-validation earned more than another on the same sessions."""

    usd: float  # a date
    error_usd: float  # between dates
    p_value: float  # chance of such a gap or a larger one if the true one were 0; Student's t


def gap(suspect: CrossValidation, clean: CrossValidation) -> Gap:
    """Out-of-sample gap, paired by date, between a feature set under suspicion and one without it.

    A feature that looks ahead, or was fitted on all sessions, earns out of sample what no other can: a large gap asks
    for `trading-gymnax audit`.
    """
    difference = (suspect.paths().mean(axis=1) - clean.paths().mean(axis=1)).dropna().to_numpy()
    mean, error = mean_and_error(difference)
    p = upper_tail_of_t(mean / error, len(difference) - 1) if error > 0 else math.nan
    return Gap(mean, error, p)
