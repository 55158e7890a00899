"""Walk-forward: train in every fold with several seeds, and judge each policy on the sessions that follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.curriculum import Schedule
from trading_gymnax.evaluation.evaluate import Evaluation, evaluate_policy
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.walkforward.folds import Fold
from trading_gymnax.walkforward.result import FoldRun, WalkForward

FoldLearner = Callable[[TradingPhase1, Sequence[Any], Sequence[int]], Iterable[Any]]
"""(environment, parameters of each run, seed of each run) -> a policy a run, in their order, as `evaluate_policy` takes
it. A run learns from `parameters.market` and nothing else."""
Progress = Callable[[int, int, str], None]
"""Called with runs done, runs in all, and what is done now."""

_SEEDS_APART = 10_000  # a fold's number is added to its seed's number times this


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
    if _SEEDS_APART * seeds > 2**31 or max(fold.number for fold in folds) >= _SEEDS_APART:
        raise ValueError(
            f"walk-forward takes at most {2**31 // _SEEDS_APART:,} seeds and {_SEEDS_APART:,} folds, so that every run "
            f"has a seed of its own; got {seeds:,} and {len(folds):,}"
        )
    wanted = [(fold, seed) for fold in folds for seed in range(seeds)]
    done = known or {}
    runs = {(fold.number, seed): done[fold.number, seed] for fold, seed in wanted if (fold.number, seed) in done}
    jobs = [(fold, seed) for fold, seed in wanted if (fold.number, seed) not in runs]
    params = {fold.number: env.default_params.replace(market=fold.train) for fold in folds}
    numbers = [_SEEDS_APART * seed + fold.number for fold, seed in jobs]
    learnt = learn(env, [params[fold.number] for fold, _ in jobs], numbers) if jobs else ()
    for (fold, seed), policy in zip(jobs, learnt, strict=True):
        run = runs[fold.number, seed] = _judged_run(policy, env, fold, seed, params[fold.number], schedule)
        if keep:
            keep(run)
        if progress:
            progress(len(runs), len(folds) * seeds, f"fold {fold.number}, seed {seed}")
    balance = float(env.default_params.initial_balance)
    return WalkForward(folds, tuple(runs[key] for key in sorted(runs)), configurations_tried, balance)


def _judged_run(
    policy: Any, env: TradingPhase1, fold: Fold, seed: int, params: Any, schedule: Schedule | None
) -> FoldRun:
    judged = params if schedule is None else schedule(1.0, params)

    def played(view: Any) -> Evaluation:
        # the training view's reward scale stays: nothing of the test view is measured before it is played
        there = judged.replace(market=view, reward_scale=params.reward_scale)
        return evaluate_policy(policy, env, there, key=jax.random.key(seed))

    unseen = played(fold.test)
    return FoldRun(fold.number, seed, played(fold.train).sessions, unseen.sessions, unseen.trades)


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
