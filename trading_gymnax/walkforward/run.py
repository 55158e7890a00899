"""Walk-forward: train in every fold with several seeds, and judge each policy on the sessions that follow."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.curriculum import Schedule
from trading_gymnax.evaluation.evaluate import Evaluation, evaluate_policy
from trading_gymnax.keys import stream
from trading_gymnax.market import MarketData
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.walkforward.folds import Fold
from trading_gymnax.walkforward.result import FoldRun, WalkForward

FoldLearner = Callable[[TradingPhase1, Sequence[Any], Sequence[int]], Iterable[Any]]
"""(environment, parameters of each run, seed of each run) -> a policy a run, in their order, as `evaluate_policy` takes
it. A run learns from `parameters.market` and nothing else."""
Progress = Callable[[int, int, str], None]
"""Called with runs done, runs in all, and what is done now."""

Play = Callable[[MarketData], Evaluation]
"""Plays a policy through every session of a view."""
Run = TypeVar("Run")
PartType = TypeVar("PartType", bound=Any)  # with `number` and `train`

SEEDS_APART = 10_000  # a part's number is added to its seed's number times this


def run_walk_forward(
    learn: FoldLearner,
    env: TradingPhase1,
    folds: Iterable[Fold],
    *,
    seeds: int = 3,
    schedule: Schedule | None = None,
    configurations_tried: int = 1,
    known: Mapping[tuple[int, int], FoldRun] | None = None,
    keep: Callable[[FoldRun], None] | None = None,
    progress: Progress | None = None,
) -> WalkForward:
    """Train and judge every fold with every seed.

    All that is fitted (network, normalisers, reward scale) is fitted on a fold's training view; a policy is judged on
    the fold's test view by its most probable actions, each session on a fresh account.

    Args:
        learn: trains all runs.
        env: its default parameters are those of the runs, but for the view.
        folds: views of the environment's market, from `walk_forward`.
        seeds: runs a fold.
        schedule: curriculum that the learner applies; policies are judged under its last values.
        configurations_tried: settings that were judged before these were chosen, these too.
        known: runs that are done, by fold and seed, to go on from; `keep` is called with each new one.

    Raises ValueError for no fold, fewer than one seed or configuration, and as `evaluate_policy`.
    """
    folds = tuple(folds)
    if not folds or seeds < 1 or configurations_tried < 1:
        raise ValueError(
            f"walk-forward needs a fold, a seed and a configuration at least; got {len(folds)} folds, {seeds} seeds, "
            f"{configurations_tried} configurations"
        )

    def judge(fold: Fold, seed: int, play: Play) -> FoldRun:
        unseen = play(fold.test)
        return FoldRun(fold.number, seed, play(fold.train).sessions, unseen.sessions, unseen.trades)

    runs = run_parts(
        learn, env, folds, judge, seeds=seeds, schedule=schedule, known=known, keep=keep, progress=progress
    )
    return WalkForward(folds, runs, configurations_tried, float(env.default_params.initial_balance))


def run_parts(
    learn: FoldLearner,
    env: TradingPhase1,
    parts: Sequence[PartType],
    judge: Callable[[PartType, int, Play], Run],
    *,
    seeds: int,
    schedule: Schedule | None = None,
    known: Mapping[tuple[int, int], Run] | None = None,
    keep: Callable[[Run], None] | None = None,
    progress: Progress | None = None,
) -> tuple[Run, ...]:
    """Train on the training view of every part with every seed, and judge each policy: one run each, by part and seed.

    Args:
        learn, env, seeds, schedule, known, keep, progress: as in `run_walk_forward`.
        parts: named tuples with a number of their own and a training view of the environment's market.
        judge: part, seed, function from a view to the policy's `Evaluation` there -> the run.

    Raises ValueError where the runs could not have seeds of their own, and as `evaluate_policy`.
    """
    if SEEDS_APART * seeds > 2**31 or max(part.number for part in parts) >= SEEDS_APART:
        raise ValueError(
            f"at most {2**31 // SEEDS_APART:,} seeds and {SEEDS_APART:,} parts, so that every run has a seed of its "
            f"own; got {seeds:,} and {len(parts):,}"
        )
    wanted, done = [(part, seed) for part in parts for seed in range(seeds)], known or {}
    runs = {(part.number, seed): done[part.number, seed] for part, seed in wanted if (part.number, seed) in done}
    jobs = [(part, seed) for part, seed in wanted if (part.number, seed) not in runs]
    params = {part.number: env.default_params.replace(market=part.train) for part in parts}
    numbers = [SEEDS_APART * seed + part.number for part, seed in jobs]
    learnt = learn(env, [params[part.number] for part, _ in jobs], numbers) if jobs else ()
    for (part, seed), policy in zip(jobs, learnt, strict=True):
        key = jax.random.key(SEEDS_APART * seed + part.number)
        play = functools.partial(_played, policy, env, params[part.number], schedule, key)
        run = runs[part.number, seed] = judge(part, seed, play)
        if keep:
            keep(run)
        if progress:
            progress(len(runs), len(wanted), f"{type(part).__name__.lower()} {part.number}, seed {seed}")
    return tuple(runs[key] for key in sorted(runs))


def _played(
    policy: Any, env: TradingPhase1, params: Any, schedule: Schedule | None, key: jax.Array, view: MarketData
) -> Evaluation:
    judged = params if schedule is None else schedule(1.0, params)
    # the training view's reward scale stays: nothing of the test view is measured before it is played
    there = judged.replace(market=view, reward_scale=params.reward_scale)
    return evaluate_policy(policy, env, there, key=stream(key, view.date_text()))


def shared_and_stacked(trees: Sequence[Any]) -> tuple[list[Any], list[int | None], Any]:
    """Trees of one shape as one: leaves that are the same in all are kept once, others stacked along a new axis 0.

    Returns the leaves, the `in_axes` of each (None where it is shared, 0 where stacked), and the tree's structure.
    """
    rows = [jax.tree.leaves(tree) for tree in trees]
    leaves: list[Any] = []
    axes: list[int | None] = []
    for column in zip(*rows, strict=True):
        first = column[0]
        same = all(leaf is first or np.array_equal(np.asarray(leaf), np.asarray(first)) for leaf in column[1:])
        leaves.append(first if same else jnp.stack(column))
        axes.append(None if same else 0)
    return leaves, axes, jax.tree.structure(trees[0])
