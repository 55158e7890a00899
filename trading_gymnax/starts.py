"""Where episodes start (docs/rules.md, sections 2.4 and 2.5): the sessions' decision ranges, and draws from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.market import START, MarketData, decision_ranges, of_market
from trading_gymnax.params import EnvParams


class SessionPlan(NamedTuple):
    """Where episodes may start under the present parameters; depends on no state, so vmap computes it once."""

    by_rank: jax.Array  # n-th usable session: first decision bar, number of random starts; int32 [M, S, 2]; see `_idle`
    usable_count: jax.Array  # int32 [M]
    next_start: jax.Array  # first decision bar of the next usable session after s, -1 if none; int32 [M, S]
    shares: jax.Array  # chance that a start is in this market or one before it, float32 [M]
    idle: jax.Array  # no session is usable in any market that has a weight, bool


class Start(NamedTuple):
    """How an episode begins; scalars."""

    market_id: jax.Array  # int32
    bar: jax.Array  # first decision bar, int32
    forced_side: jax.Array  # only entry that the first mask allows, 0 for any, int32
    idle: jax.Array  # no session is usable: nothing can be traded, and the first step ends the episode, bool


def session_plan(params: EnvParams, window: int) -> SessionPlan:
    """Decision ranges of all sessions under the present hours, for windows of `window` bars.

    The decision range of a session are its bars at which the clock allows an entry, after the warm-up, with a window
    of finite features, and with a bar of their session behind them. A session is usable when this range is not empty
    and its bars reach to within five minutes of must-flat. Random starts are the first bars of the range, as many as
    have `min_bars_left` bars before must-flat.
    """
    market = params.market
    first, end, flat_bar, usable = decision_ranges(market, params.rth_open, params.rth_close, window)
    random_starts = jnp.clip(jnp.minimum(end, flat_bar - params.min_bars_left) - first, 0)

    count = first.shape[1]
    index = jnp.arange(count, dtype=jnp.int32)[None]
    usable &= (index >= market.view[:, :1]) & (index < market.view[:, 1:])
    rank = jnp.where(usable, jnp.cumsum(usable, axis=1, dtype=jnp.int32) - 1, count)
    rows = jnp.stack([first, random_starts], axis=-1)
    idle = jnp.broadcast_to(_idle(market, window)[:, None], rows.shape)
    by_rank = jax.vmap(lambda at, row, empty: empty.at[at].set(row, mode="drop"))(rank, rows, idle)
    following = jax.lax.cummin(jnp.where(usable, index, count), axis=1, reverse=True)
    after = jnp.concatenate([following[:, 1:], jnp.full_like(following[:, :1], count)], axis=1)
    starts = jnp.take_along_axis(first, jnp.minimum(after, count - 1), axis=1)
    next_start = jnp.where(after < count, starts, -1)
    usable_count = usable.sum(axis=1, dtype=jnp.int32)
    return SessionPlan(by_rank, usable_count, next_start, *_shares(params, usable_count))


def _shares(params: EnvParams, usable_count: jax.Array) -> tuple[jax.Array, jax.Array]:
    weights = jnp.where(usable_count > 0, params.market_weights, 0.0)
    idle = weights.sum() <= 0
    weights = jnp.where(idle, params.market_weights, weights)
    if len(set(params.market.roots)) < params.market.num_markets:
        weights = weights * _shares_of_contracts(usable_count, params.market.root_ids)
    return jnp.cumsum(weights) / jnp.where(idle, 1.0, weights.sum()), idle


def draw_start(key: jax.Array, params: EnvParams, plan: SessionPlan) -> Start:
    """A market by its weight, one of its usable sessions, then its first entry-allowed bar or a random one.

    Contracts of one market share its weight by their sessions, so that each session is as likely as the others.
    """

    def by_rank(market_id: jax.Array, rank: jax.Array) -> jax.Array:
        return of_market(plan.by_rank, market_id)[rank]

    return start_of(_six_words(key), params, plan, by_rank)


def start_of(bits: tuple[jax.Array, ...], params: EnvParams, plan: SessionPlan, by_rank: Callable[..., Any]) -> Start:
    """The start that six words of 32 random bits give; `plan` may be references to its arrays in a GPU's kernel.

    by_rank: looks up both numbers of a market and a rank.
    """
    markets = plan.shares.shape[0]
    reached = [_share(bits[0]) >= plan.shares[market] for market in range(markets - 1)]
    market_id = sum((x.astype(jnp.int32) for x in reached), jnp.int32(0))
    market = market_id if markets > 1 else 0
    rank = _below(bits[1], plan.usable_count[market])
    first, random_starts = by_rank(market_id, rank)
    at_random = (_share(bits[2]) < params.random_start_fraction) & (random_starts > 0)
    bar = first + jnp.where(at_random, _below(bits[3], random_starts), 0)
    forced = _share(bits[4]) < params.forced_entry_fraction
    forced_side = jnp.where(forced, 2 * (bits[5] >> 31).astype(jnp.int32) - 1, 0)
    return Start(market_id, bar, forced_side, plan.idle)


def reset_key(key: jax.Array) -> jax.Array:
    """The second key of `jax.random.split(key)`, put together from its words.

    On a GPU the compiler makes single words where they are used, and a row of them in a kernel of its own before.
    """
    words = jax.random.key_data(jax.random.split(key))  # of two numbers each, or the four of JAX's other generators
    own = jnp.stack([words[1, at] for at in range(words.shape[1])])  # taken as a row first, it is two kernels more
    return jax.random.wrap_key_data(own, impl=jax.random.key_impl(key))


def _six_words(key: jax.Array) -> tuple[jax.Array, ...]:
    """The numbers of `jax.random.bits(key, (6,), jnp.uint32)`: each by itself for the reason that `reset_key` gives.

    On a CPU all at once: there each generator of numbers is a loop of some eighty small kernels.
    """

    def word(key: jax.Array, index: jax.typing.ArrayLike) -> jax.Array:
        words = jax.random.key_data(jax.random.fold_in(key, index))
        return words[0] ^ words[1]

    def one_by_one(key: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(word(key, index) for index in range(6))

    def at_once(key: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(jax.vmap(word, (None, 0))(key, jnp.arange(6)))

    return jax.lax.platform_dependent(key, cpu=at_once, default=one_by_one)


def _shares_of_contracts(usable_count: jax.Array, root_ids: np.ndarray) -> jax.Array:
    """Share of each contract in the usable sessions of its market, float32 [M]."""
    same = jnp.asarray(root_ids[:, None] == root_ids)
    total = jnp.where(same, usable_count[None], 0).sum(axis=1)
    return usable_count.astype(jnp.float32) / jnp.maximum(total, 1).astype(jnp.float32)


def _idle(market: MarketData, window: int) -> jax.Array:
    """Bar and number of random starts where no session is usable: the view's first bar with a window, int32 [M, 2]."""
    session = jnp.minimum(market.view[:, 0], market.sessions.shape[1] - 1)
    first = jnp.take_along_axis(market.sessions[..., START], session[:, None], axis=1)[:, 0]
    bar = jnp.clip(first, jnp.int32(window), market.num_bars - 2)
    return jnp.stack([bar, jnp.zeros_like(bar)], axis=-1)


def _share(bits: jax.Array) -> jax.Array:
    """Random bits -> float32 in [0, 1)."""
    return (bits >> 8).astype(jnp.float32) * jnp.float32(2**-24)


def _below(bits: jax.Array, count: jax.Array) -> jax.Array:
    """Random bits -> int32 in [0, count), each equally likely to 1 in 2^32 / count; 0 for count 0.

    The upper half of the 48-bit product bits * count, for counts below 2^16.
    """
    count = count.astype(jnp.uint32)
    low = ((bits & 0xFFFF) * count) >> 16
    return (((bits >> 16) * count + low) >> 16).astype(jnp.int32)
