"""The parts of an observation (docs/rules.md, section 5), as functions of a state."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax import rules
from trading_gymnax.market import CLOCK_COLUMNS, Bar, of_market, session_hours
from trading_gymnax.params import PreparedParams

DAY_MINUTES = 390  # regular trading hours; the unit of the clocks


def market_tape(params: Any) -> jax.Array:
    """Features and clocks of all bars of each market, as they stand in observations, float32 [M, T * (F + 3)]."""
    market = params.market
    opening, closing = session_hours(params.rth_open, params.rth_close, market.session_start_minute)
    opened, closed = (x.astype(jnp.float32)[:, None] for x in (opening, closing))
    time, to_close = market.features[..., -2], market.features[..., -1]
    since_open, to_flat = _clocks(time, time, to_close, opened, closed)
    clocks = jnp.stack([since_open, to_flat], axis=-1)
    return jnp.concatenate([market.features[..., :-2], clocks], axis=-1).reshape(market.num_markets, -1)


def market_window(state: Any, params: Any, window: int) -> jax.Array:
    """Features and clocks of the last `window` bars, oldest first, float32 [window * (F + 3)].

    One slice of neighbouring numbers and no concatenation, the clocks turned in place: this is the largest part of a
    step. A tape that was prepared has its clocks turned already.
    """
    market = params.market
    columns = market.num_features + CLOCK_COLUMNS
    size, start = window * columns, (state.step_idx - window + 1) * columns
    if isinstance(params, PreparedParams):
        return jax.lax.dynamic_slice(params.tape, (state.market_id, start), (1, size))[0]
    tape = market.features.reshape(market.num_markets, -1)
    numbers = jax.lax.dynamic_slice(tape, (state.market_id, start), (1, size))[0]
    # Each number's left neighbour: minutes to the scheduled close stand beside the time.
    before = jax.lax.dynamic_slice(tape, (state.market_id, start - 1), (1, size))[0]
    opening, closing = session_hours(params.rth_open, params.rth_close, market.session_start_minute)
    opened, closed = (of_market(x, state.market_id).astype(jnp.float32) for x in (opening, closing))
    since_open, to_flat = _clocks(numbers, before, numbers, opened, closed)
    column = np.arange(size) % columns
    return jnp.where(column == columns - 2, since_open, jnp.where(column == columns - 1, to_flat, numbers))


def _clocks(
    time: jax.Array, time_before: jax.Array, to_close: jax.Array, opened: jax.Array, closed: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(since rth_open, to must-flat) in days, of a bar that closes at `time`, float32."""
    return (time - opened) / DAY_MINUTES, jnp.minimum(closed - time_before, to_close) / DAY_MINUTES


def joined(window: jax.Array, account: jax.Array) -> jax.Array:
    """Both parts of an observation, one behind the other.

    On a GPU without a concatenation, which the compiler would take apart again where the observation's numbers are
    added up or multiplied, at the price of a few kernels more; on a CPU a concatenation is the faster way.
    """

    def padded(window: jax.Array, account: jax.Array) -> jax.Array:
        first = np.arange(window.size + account.size) < window.size
        nothing = jnp.zeros((), window.dtype)
        behind = jax.lax.pad(window, nothing, [(0, account.size, 0)])
        before = jax.lax.pad(account, nothing, [(window.size, 0, 0)])
        return jnp.where(first, behind, before)

    def concatenated(window: jax.Array, account: jax.Array) -> jax.Array:
        return jnp.concatenate([window, account])

    return jax.lax.platform_dependent(window, account, cpu=concatenated, default=padded)


def position_features(state: Any, now: Bar) -> jax.Array:
    """[side, open profit / ATR, close to stop / ATR, close to target / ATR, bars held / 390], float32 [5]; 0 when flat.

    ATR is floored at one tick. Both distances are positive while the market lies between stop and target.
    """
    side = state.position
    ticks = jnp.stack([now.close - state.entry_price, now.close - state.sl_price, state.tp_price - now.close])
    in_atr = (side * ticks).astype(jnp.float32) / jnp.maximum(now.atr, 1.0)
    held = jnp.where(side != 0, state.step_idx - state.position_entry_step + 1, 0).astype(jnp.float32)
    return jnp.concatenate([side.astype(jnp.float32)[None], in_atr, held[None] / DAY_MINUTES])


def management_features(state: Any, now: Bar) -> jax.Array:
    """[trailing, stop at break-even or better, profit / D, best profit / D, locked profit / D, drawdown / limit].

    float32 [6]; D is the initial stop distance. The first five are 0 when flat, the last where the limit is off.
    """
    side = state.position
    profit, locked = side * (now.close - state.entry_price), side * (state.sl_price - state.entry_price)
    ticks = jnp.stack([profit, state.highest_profit_point, locked])
    in_stops = ticks.astype(jnp.float32) / jnp.maximum(state.initial_stop_ticks, 1).astype(jnp.float32)
    flags = jnp.stack([state.trailing_stop_active, (side != 0) & (locked >= 0)]).astype(jnp.float32)
    drawdown = in_units_of(state.high_water_mark - state.equity, state.trailing_limit)
    return jnp.concatenate([flags, in_stops, drawdown[None]])


def account_features(state: Any, params: Any) -> jax.Array:
    """Room to the floor, to the profit target and to the daily limit, each in units of its rule; session / 30.

    float32 [4]; the first three are 0 where their rule is off.
    """
    target, daily = rules.cents(params.profit_target), rules.cents(params.daily_loss_limit)
    limits = jnp.stack([state.trailing_limit, target, daily])
    used = jnp.stack([state.floor, state.initial_balance + target, state.session_start_equity - daily])
    room = jnp.where(limits == rules.OFF, 0, (used - state.equity) * np.array([-1, 1, -1], np.int32))
    return jnp.concatenate([in_units_of(room, limits), state.session_number.astype(jnp.float32)[None] / 30])


def market_one_hot(state: Any, market: Any, count: int) -> jax.Array:
    """1 at the number of the state's market, else 0; float32 [count]. Contracts of one market have the same number.

    Raises ValueError where the market data is of another number of markets.
    """
    if len(set(market.roots)) != count:
        raise ValueError(
            f"the environment was made for {count} markets and these parameters hold {len(set(market.roots))}: "
            f"{', '.join(market.symbols)}; make another environment, or one without market_one_hot"
        )
    number = of_market(jnp.asarray(market.root_ids, jnp.int32), state.market_id)
    return (jnp.arange(count, dtype=jnp.int32) == number).astype(jnp.float32)


def in_units_of(cents: jax.Array, limit: jax.Array) -> jax.Array:
    """cents / limit, float32; 0 where the rule of the limit is off. A limit of nothing counts as one cent."""
    on = limit != rules.OFF
    counted = jnp.maximum(jnp.where(on, limit, 1), 1)
    return jnp.where(on, cents.astype(jnp.float32) / counted.astype(jnp.float32), 0.0)
