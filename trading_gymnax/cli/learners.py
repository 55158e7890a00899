"""The bundled PPO as the learner of `certify` and `walk-forward`."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.curriculum import Schedule
from trading_gymnax.evaluation.certify import Learner
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.text import count_text
from trading_gymnax.walkforward.run import FoldLearner, shared_and_stacked

with warnings.catch_warnings():  # distrax and its own dependencies warn while they are imported
    warnings.simplefilter("ignore")
    from purejaxrl_ppo import Policy, PPOConfig, check_memory, make_train, policy_of, training_memory

_DEVICE_GB = 8.0  # that runs side by side may take where nothing else is said


def ppo_learner(config: PPOConfig) -> Learner:
    """`certify`'s learner: trains with PPO and returns the policy of most probable actions. Compiles once."""
    config = dataclasses.replace(config, total_timesteps=config.num_iterations * config.batch_size)
    programs: dict[Any, Any] = {}

    def learn(env: TradingPhase1, params: Any, seed: int) -> Policy:
        train = programs.setdefault(env, jax.jit(make_train(env, config)))
        state = train(jax.random.key(seed), params).state
        return policy_of(state, env, params, config, sampled=False)

    return learn


def ppo_fold_learner(config: PPOConfig, schedule: Schedule | None, memory_limit_gb: float | None) -> FoldLearner:
    """`run_walk_forward`'s learner: one compiled program trains as many runs side by side as fit the memory.

    Only what differs between runs is stacked (the view, its ordinary stop, the reward scale); the bars are shared. The
    limit is compared with an estimate; None is one run at a time on a CPU and 8 gigabytes elsewhere. A last group that
    is not full is filled up with its last run, so that one program serves all.
    """
    programs: dict[Any, Any] = {}

    def learn(env: TradingPhase1, params: Sequence[Any], seeds: Sequence[int]) -> Iterator[Policy]:
        leaves, axes, structure = shared_and_stacked(params)
        together = min(len(seeds), _runs_at_once(env, config, params[0], memory_limit_gb))
        train = make_train(env, config, schedule)
        sizes = {name: size * together for name, size in training_memory(env, config, params[0]).items()}
        check_memory(f"training {count_text(together, 'run')} at once", sizes)

        def one(key: jax.Array, leaves: Any) -> Policy:
            mine = jax.tree.unflatten(structure, leaves)
            return policy_of(train(key, mine).state, env, mine, config, sampled=False)

        known = (env, structure, together, None if together == 1 else tuple(axes))
        program = programs.setdefault(known, jax.jit(one if together == 1 else jax.vmap(one, (0, axes))))
        for first in range(0, len(seeds), together):
            rows = np.minimum(np.arange(first, first + together), len(seeds) - 1)
            rows = rows[0] if together == 1 else rows
            chosen = [leaf if axis is None else leaf[rows] for leaf, axis in zip(leaves, axes, strict=True)]
            keys = jax.vmap(jax.random.key)(jnp.asarray(seeds))[rows]
            learnt = program(keys, chosen)
            for at, seed in enumerate(seeds[first : first + together]):
                mine = learnt if together == 1 else jax.tree.map(lambda x, at=at: x[at], learnt)
                if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(mine)):
                    raise FloatingPointError(f"the run with seed {seed} ended in numbers that are not finite")
                yield mine

    return learn


def _runs_at_once(env: TradingPhase1, config: PPOConfig, params: Any, limit_gb: float | None) -> int:
    if limit_gb is None and jax.default_backend() == "cpu":
        return 1
    sizes = training_memory(env, config, params)
    estimate = sum(sizes.values()) + 2 * sizes["num_envs x num_steps"]  # the rollout three times
    return max(1, int((limit_gb or _DEVICE_GB) * 1e9 // estimate))
