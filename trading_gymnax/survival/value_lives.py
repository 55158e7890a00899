"""The lives that `lifetime_value` judges: the policy's and the coin's, of the same orders of sessions.

Those of a policy that does not see its account are replayed from one recording of its sessions (`lives`). Those of one
that does are played in the environment (`played`), fewer of them, as each takes a thousand times as long; the coin's,
which sees nothing, are replayed all the same.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.evaluation.evaluate import session_dates, session_starts
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.survival.draws import (
    PATHS,
    SET_PATHS,
    SETS,
    check_enough,
    draw_orders,
    record_both,
    record_coin,
)
from trading_gymnax.survival.lives import LifeOutcome, LifeRules, live, tables_of
from trading_gymnax.survival.played import play_lives
from trading_gymnax.survival.tape import Recording, acts_on_account, join_tapes, next_sessions

PLAYED_PATHS, PLAYED_SETS, PLAYED_SET_PATHS = 500, 50, 10  # as PATHS, SETS and SET_PATHS, of lives that are played


@dataclasses.dataclass(frozen=True)
class Asked:
    """What lives are wanted."""

    sampled: bool
    block: float  # mean length of a block of the bootstrap, sessions
    sessions: int  # most sessions of a life
    paths: int
    coin_seeds: int
    progress: Callable[[int, int, str], None] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Found:
    """Lives of all accounts: [A, P] of the orders, [A, B, Q] of B resampled sets of sessions."""

    orders: LifeOutcome
    sets: LifeOutcome


@dataclasses.dataclass(frozen=True, eq=False)
class Lived:
    """The lives of both, and what they were made of."""

    policy: Found
    coin: Found
    date: np.ndarray  # of each session, datetime64[D] [S]
    trades: int  # that the policy entered, in its recording or in all its lives


def replayed(policy: Any, env: TradingPhase1, params: Any, rules: LifeRules, asked: Asked, keys: jax.Array) -> Lived:
    """Both recorded once, and replayed in all orders. Raises as `record_both`."""
    how: dict[str, Any] = {"sampled": asked.sampled, "block": asked.block, "coin_seeds": asked.coin_seeds}
    most = int(rules.max_contracts.max())
    recorded, coins = record_both(policy, env, params, keys[:2], **how, max_contracts=most)
    sets = SETS, SET_PATHS
    orders = _orders(recorded.tape.follows, asked, sets, keys[2:5])
    tossed = _tossed(orders, len(recorded.date), len(coins), keys[5])
    both = _replay([recorded, *coins], rules, jnp.concatenate([orders, tossed + len(recorded.date)]))
    halves = [LifeOutcome(*half) for half in zip(*(np.split(x, 2, axis=1) for x in both), strict=True)]
    own, coin = (_found(half, asked.paths, sets) for half in halves)
    return Lived(own, coin, recorded.date, recorded.trades)


def played(policy: Any, env: TradingPhase1, params: Any, rules: LifeRules, asked: Asked, keys: jax.Array) -> Lived:
    """The policy's lives played; the coin's replayed, at the rate at which the policy entered over all of them.

    Raises as `play_lives`, and SurvivalRefused for fewer sessions than a block.
    """
    market_id, bar = session_starts(env, params)
    check_enough(len(market_id), asked.block)
    sets = PLAYED_SETS, PLAYED_SET_PATHS
    follows = jnp.asarray(next_sessions(market_id), jnp.int32)
    orders = _orders(follows, asked, sets, keys[2:5])
    how: dict[str, Any] = {"sampled": asked.sampled, "progress": asked.progress}
    found = play_lives(policy, env, params, rules, orders, keys[0], **how)
    blind = copy.copy(env)
    blind.account_features, blind.entry_sizes, blind.action_names = False, (), type(env).action_names
    most = int(rules.max_contracts.max())
    coins = record_coin(found.entry_rate, blind, params, keys[1], coin_seeds=asked.coin_seeds, max_contracts=most)
    tossed = _replay(coins, rules, _tossed(orders, len(market_id), len(coins), keys[5]))
    own, coin = (_found(lives, asked.paths, sets) for lives in (found.lives, tossed))
    return Lived(own, coin, session_dates(params.market, market_id, bar), found.entries)


def _orders(follows: jax.Array, asked: Asked, sets: tuple[int, int], keys: jax.Array) -> jax.Array:
    """Those of all sessions, and behind them those of the resampled sets, int32 [P + B * Q, D]."""
    return jnp.concatenate(draw_orders(follows, keys, asked.sessions, asked.block, asked.paths, sets))


def _tossed(orders: jax.Array, count: int, walks: int, key: jax.Array) -> jax.Array:
    """The orders for a coin that takes one of its walks in each session."""
    return orders + count * jax.random.randint(key, orders.shape, 0, walks, jnp.int32)


def _replay(recorded: list[Recording], rules: LifeRules, orders: jax.Array) -> LifeOutcome:
    tape = join_tapes([one.tape for one in recorded])
    found: LifeOutcome = jax.device_get(live(tape, rules, tables_of(tape, rules), orders))
    return found


def _found(lives: LifeOutcome, paths: int, sets: tuple[int, int]) -> Found:
    """Lives [A, P + B * Q] by what their orders were drawn from."""
    of_sets = [x[:, paths:].reshape(len(x), *sets) for x in lives]
    return Found(LifeOutcome(*(x[:, :paths] for x in lives)), LifeOutcome(*of_sets))


def default_paths(env: TradingPhase1) -> int:
    """Lives of each account where no number is asked for."""
    return PLAYED_PATHS if acts_on_account(env) else PATHS
