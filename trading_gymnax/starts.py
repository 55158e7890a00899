"""Where episodes start (docs/rules.md, sections 2.4 and 2.5): the sessions' decision ranges, and draws from them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.market import (
    CLOSE_MINUTE,
    END,
    FIRST_DECISION,
    FIRST_FINITE,
    LAST_TIME,
    MINUTES,
    MarketData,
    of_market,
    session_hours,
)
from trading_gymnax.params import EnvParams


class SessionPlan(NamedTuple):
    """Where episodes may start under the present parameters; depends on no state, so vmap computes it once."""

    by_rank: jax.Array  # n-th usable session: first decision bar, number of random starts; int32 [M, S, 2]
    usable_count: jax.Array  # int32 [M]
    next_start: jax.Array  # first decision bar of the next usable session after s, -1 if none; int32 [M, S]


class Start(NamedTuple):
    """How an episode begins; scalars."""

    market_id: jax.Array  # int32
    bar: jax.Array  # first decision bar, int32
    forced_side: jax.Array  # only entry that the first mask allows, 0 for any, int32


def session_plan(params: EnvParams, window: int) -> SessionPlan:
    """Decision ranges of all sessions under the present hours, for windows of `window` bars.

    The decision range of a session are its bars at which the clock allows an entry, after the warm-up, with a window
    of finite features, and with a bar of their session behind them. A session is usable when this range is not empty
    and its bars reach to within five minutes of must-flat. Random starts are the first bars of the range, as many as
    have `min_bars_left` bars before must-flat.
    """
    market = params.market
    opening, closing = session_hours(params.rth_open, params.rth_close, market.session_start_minute)
    flat = jnp.minimum(closing[:, None], market.sessions[..., CLOSE_MINUTE])
    warm = jnp.maximum(market.sessions[..., FIRST_DECISION], market.sessions[..., FIRST_FINITE] + window - 1)
    first = jnp.maximum(_first_bar_at(market, jnp.broadcast_to(opening[:, None], flat.shape)), warm)
    flat_bar = _first_bar_at(market, flat)
    end = jnp.minimum(_first_bar_at(market, flat - market.bar_minutes[:, None]), market.sessions[..., END] - 1)
    random_starts = jnp.clip(jnp.minimum(end, flat_bar - params.min_bars_left) - first, 0)

    index = jnp.arange(flat.shape[1], dtype=jnp.int32)[None]
    in_view = (index >= market.view[:, :1]) & (index < market.view[:, 1:])
    usable = in_view & (first < end) & (market.sessions[..., LAST_TIME] >= flat - 5)
    rank = jnp.where(usable, jnp.cumsum(usable, axis=1) - 1, flat.shape[1])
    rows = jnp.stack([first, random_starts], axis=-1)
    by_rank = jax.vmap(lambda at, row: jnp.zeros_like(row).at[at].set(row, mode="drop"))(rank, rows)
    following = jax.lax.cummin(jnp.where(usable, index, flat.shape[1]), axis=1, reverse=True)
    after = jnp.concatenate([following[:, 1:], jnp.full_like(following[:, :1], flat.shape[1])], axis=1)
    starts = jnp.take_along_axis(first, jnp.minimum(after, flat.shape[1] - 1), axis=1)
    next_start = jnp.where(after < flat.shape[1], starts, -1)
    return SessionPlan(by_rank, usable.sum(axis=1, dtype=jnp.int32), next_start)


def draw_start(key: jax.Array, params: EnvParams, plan: SessionPlan) -> Start:
    """A market by its weight, one of its usable sessions, then its first entry-allowed bar or a random one.

    Contracts of one market share its weight by their sessions, so that each session is as likely as the others.
    """
    bits = _six_words(key)
    weights = jnp.where(plan.usable_count > 0, params.market_weights, 0.0)
    if len(set(params.market.roots)) < params.market.num_markets:
        weights = weights * _shares_of_contracts(plan.usable_count, params.market.root_ids)
    shares = jnp.cumsum(weights) / weights.sum()
    market_id = jnp.sum(_share(bits[0]) >= shares[:-1], dtype=jnp.int32)
    rank = _below(bits[1], of_market(plan.usable_count, market_id))
    first, random_starts = of_market(plan.by_rank, market_id)[rank]
    at_random = (_share(bits[2]) < params.random_start_fraction) & (random_starts > 0)
    bar = first + jnp.where(at_random, _below(bits[3], random_starts), 0)
    forced = _share(bits[4]) < params.forced_entry_fraction
    forced_side = jnp.where(forced, 2 * (bits[5] >> 31).astype(jnp.int32) - 1, 0)
    return Start(market_id, bar, forced_side)


def reset_key(key: jax.Array) -> jax.Array:
    """The second key of `jax.random.split(key)`, put together from its words.

    On a GPU the compiler makes single words where they are used, and a row of them in a kernel of its own before.
    """
    words = jax.random.key_data(jax.random.split(key))
    return jax.random.wrap_key_data(jnp.stack([words[1, 0], words[1, 1]]), impl=jax.random.key_impl(key))


def _six_words(key: jax.Array) -> list[jax.Array]:
    """The numbers of `jax.random.bits(key, (6,), jnp.uint32)`, each by itself for the reason that `reset_key` gives."""
    words = [jax.random.key_data(jax.random.fold_in(key, index)) for index in range(6)]
    return [word[0] ^ word[1] for word in words]


def _shares_of_contracts(usable_count: jax.Array, root_ids: np.ndarray) -> jax.Array:
    """Share of each contract in the usable sessions of its market, float32 [M]."""
    same = jnp.asarray(root_ids[:, None] == root_ids)
    total = jnp.where(same, usable_count[None], 0).sum(axis=1)
    return usable_count.astype(jnp.float32) / jnp.maximum(total, 1).astype(jnp.float32)


def _first_bar_at(market: MarketData, minute: jax.Array) -> jax.Array:
    """First bar of each session that closes at or after a minute, its end if none; int32 [M, S]."""
    return jnp.take_along_axis(market.bar_at, jnp.clip(minute, 0, MINUTES - 1)[..., None], axis=2)[..., 0]


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
