"""The policies of a walk-forward as one: each session is traded by the policy of the last fold before it."""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from trading_gymnax.market import SESSION_AND_BREAK, MarketData
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.walkforward.folds import Fold, session_days
from trading_gymnax.walkforward.run import SEEDS_APART, FoldLearner

with warnings.catch_warnings():  # distrax and its own dependencies warn while they are imported
    warnings.simplefilter("ignore")
    from purejaxrl_ppo import PPOConfig, make_trainer, policy_of

POLICIES = "policies"


@struct.dataclass
class FoldedPolicy:
    """Chooses as the policy of the bar's fold does; with a memory for each policy where they have one."""

    policies: tuple[Any, ...]
    fold: jax.Array  # of each bar, int32 [M, T]
    sampled: bool = struct.field(pytree_node=False, default=False)

    reads_state: ClassVar[bool] = True

    def initial_carry(self, batch: int) -> tuple[Any, ...]:
        """The memories of all policies; without leaves where they have none."""
        return tuple(policy.initial_carry(batch) for policy in self.policies)

    def __call__(self, key: jax.Array, obs: jax.Array, mask: jax.Array, *rest: Any) -> Any:
        """An action in every row, int32 [B]; with memories (key, obs, mask, carry, state), and the carry behind it."""
        *carry, state = rest
        actions, carries = [], []
        for number, policy in enumerate(self.policies):
            switched = policy.replace(sampled=self.sampled)
            found = switched(key, obs, mask, carry[0][number]) if carry else (switched(key, obs, mask), ())
            actions.append(found[0])
            carries.append(found[1])
        fold = self.fold[state.market_id, state.step_idx]
        action = jnp.take_along_axis(jnp.stack(actions), fold[None], axis=0)[0]
        return (action, tuple(carries)) if carry else action


def tested_view(folds: Sequence[Fold], market: MarketData) -> MarketData:
    """All sessions from the first test to the end of the last one; those between two tests, too."""
    return market.between(session_days(folds[0].test)[0], session_days(folds[-1].test)[-1] + np.timedelta64(1, "D"))


def folds_of_bars(folds: Sequence[Fold], market: MarketData) -> np.ndarray:
    """The fold whose policy trades each bar: the last one whose test has begun, and the first before; int32 [M, T]."""
    begins = np.array([session_days(fold.test)[0] for fold in folds]).astype("datetime64[D]")
    dates = np.asarray(market.session_date).astype("datetime64[D]")
    of_session = np.maximum(np.searchsorted(begins, dates, side="right") - 1, 0)
    session = np.asarray(market.bars)[:, :, SESSION_AND_BREAK] >> 1
    return np.take_along_axis(of_session, np.clip(session, 0, dates.shape[1] - 1), axis=1).astype(np.int32)


def keeping(folder: pathlib.Path, learn: FoldLearner) -> FoldLearner:
    """The same learner, which also writes the policies of the first seed to a folder."""

    def learnt(env: TradingPhase1, params: Sequence[Any], numbers: Sequence[int]) -> Iterator[Any]:
        for number, policy in zip(numbers, learn(env, params, numbers), strict=True):
            if number < SEEDS_APART:
                _write(_path(folder, number), policy)
            yield policy

    return learnt


def kept_policies(
    folder: pathlib.Path, folds: Sequence[Fold], env: TradingPhase1, config: PPOConfig
) -> tuple[Any, ...] | None:
    """The policies of the first seed that `keeping` wrote, one a fold; None where the folder lacks one."""
    if not all(_path(folder, fold.number).is_file() for fold in folds):
        return None
    make: Callable[[jax.Array], Any] = lambda key: policy_of(  # noqa: E731
        make_trainer(env, config).init(key, env.default_params), env, env.default_params, config, sampled=False
    )
    structure = jax.tree.structure(jax.eval_shape(make, jax.random.key(0)))
    return tuple(_read(_path(folder, fold.number), structure) for fold in folds)


def _path(folder: pathlib.Path, fold: int) -> pathlib.Path:
    return folder / POLICIES / f"{fold}.npz"


def _write(path: pathlib.Path, policy: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, *map(np.asarray, jax.tree.leaves(policy)))
    partial.replace(path)


def _read(path: pathlib.Path, structure: Any) -> Any:
    with np.load(path, allow_pickle=False) as arrays:
        return jax.tree.unflatten(structure, [arrays[f"arr_{i}"] for i in range(len(arrays.files))])
