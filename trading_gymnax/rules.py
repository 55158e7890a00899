"""docs/rules.md as pure functions of one account: integer ticks, integer cents, no framework but JAX.

Each function takes the account's state (any dataclass with the fields of `EnvState`), bars and parameters, and gives
the next state. All are written for scalars and vmapped by the caller. Where long and short mirror each other, prices
are multiplied by the side: then "worse" is always lower, and `side * price` is called `..._up` (up is better).
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp

from trading_gymnax.limits import HIGH_WATER_MODES as HIGH_WATER_MODES  # beside the other names of codes
from trading_gymnax.limits import MAX_DISTANCE_TICKS as MAX_DISTANCE_TICKS

if TYPE_CHECKING:
    from trading_gymnax.market import Bar

HOLD, BUY, SELL, MOVE_SL_TO_BE, ENABLE_TRAIL, DISABLE_TRAIL = range(6)
EXIT_REASONS = (
    *("NONE", "STOP", "TRAIL", "BREAKEVEN", "TARGET", "LIQUIDATION", "DAILY_LOSS"),
    *("SESSION_CLOSE", "BREACH_CLOSE"),
)
DONE_REASONS = (
    *("NONE", "DRAWDOWN", "DAILY_LOSS", "PROFIT_TARGET", "SESSION_END", "TIME_LIMIT", "DATA_END"),
    *("EXPIRED", "LAST_PAYOUT"),
)
BAR_CLOSE, INTRABAR, END_OF_DAY = range(3)

OFF = 2**31 - 1  # cents of a rule that is switched off: never converted, only compared
FLOOR_OFF = -OFF  # floor of an account without a trailing limit: below any equity
MAX_WINDOW = 390  # bars in an observation: no more than the warm-up of a table
_FAR = 2**30  # ticks; a level that no price reaches
_MOST_CENTS = 2**30  # of any amount that is allowed
_WHOLE, _BITS_OF_WHOLE = 2.0**23, 0x4B000000


class ExitReason:
    """Codes of `info["exit_reason"]`; names in `EXIT_REASONS`."""

    NONE, STOP, TRAIL, BREAKEVEN, TARGET, LIQUIDATION, DAILY_LOSS, SESSION_CLOSE, BREACH_CLOSE = range(9)


class DoneReason:
    """Codes of `info["done_reason"]`; names in `DONE_REASONS`."""

    NONE, DRAWDOWN, DAILY_LOSS, PROFIT_TARGET, SESSION_END, TIME_LIMIT, DATA_END, EXPIRED, LAST_PAYOUT = range(9)


class Terms(NamedTuple):
    """What the state's market charges and when it may be traded; scalars."""

    tick_cents: jax.Array  # value of a tick of one contract, int32
    commission: jax.Array  # cents per contract and side, int32
    open_minute: jax.Array  # entries from this minute of the session on, int32
    close_minute: jax.Array  # flat from this minute on, or from an earlier scheduled close, int32
    bar_minutes: jax.Array  # length of a bar, int32
    reward_scale: jax.Array  # dollars that make a reward of 1, float32
    risk_ticks: jax.Array  # a contract's distance to its stop that `risk_per_trade` pays for, ticks, int32


class Seen(NamedTuple):
    """What a step looks up at the account's decision bar."""

    now: Bar  # the decision bar
    bar: Bar  # the outcome bar
    terms: Terms
    next_start: jax.Array  # first decision bar of the usable session after the outcome bar's, -1 if none, int32
    num_bars: jax.Array  # of the market's table, int32


class Fill(NamedTuple):
    """What one step did to the position; scalars. `side` and `contracts` are those held in the bar, 0 when flat."""

    side: jax.Array  # int32
    contracts: jax.Array  # int32
    entered: jax.Array  # a position was opened in this step, bool
    entry_price: jax.Array  # of the position held in the bar, ticks, int32
    stop_price: jax.Array  # in force in the bar, ticks, int32; 0 when flat
    target_price: jax.Array  # likewise
    exit_price: jax.Array  # ticks, int32; 0 without an exit
    exit_reason: jax.Array  # int32, see ExitReason
    done_reason: jax.Array  # int32, see DoneReason
    trade_pnl: jax.Array  # net cents of the round trip closed in this step, int32; 0 without an exit
    best_up: jax.Array  # side * best price seen by the high-water mark, ticks; meaningful while `alive`
    alive: jax.Array  # a position lived in the bar and did not leave it at its worse side, bool
    ambiguous: jax.Array  # stop and target both lay inside the bar, bool
    invalid: jax.Array  # the action was not legal and acted as HOLD, bool
    must_flat: jax.Array  # the bar ends the trading day, bool


def cents(dollars: jax.Array) -> jax.Array:
    """Dollars float32 -> cents int32, rint(float32(x) * float32(100)); inf gives OFF."""
    off = jnp.isinf(dollars)
    return jnp.where(off, OFF, rounded(jnp.where(off, 0.0, dollars) * jnp.float32(100), -_MOST_CENTS, _MOST_CENTS))


def rounded(x: jax.Array, low: int, high: int) -> jax.Array:
    """rint(x) of float32, clipped to whole numbers, int32; by operations that Pallas has for a GPU's kernels, too.

    A float32 from 2^23 on has no fractions, and its last bits count whole numbers. Clipped first: else a compiler could
    join the product that `x` may be and the sum, and round only once.
    """
    x = jnp.clip(x, low, high)
    size = jnp.abs(x)
    near = jax.lax.bitcast_convert_type(size + _WHOLE, jnp.int32) - _BITS_OF_WHOLE
    near = jnp.where(size < _WHOLE, near, size.astype(jnp.int32))
    return jnp.where(x < 0, -near, near)


def floor_div(x: jax.Array, y: jax.Array) -> jax.Array:
    """floor(x / y) of int32 with y > 0: one division, where `//` makes two for the signs of both."""
    sign = x >> 31  # 0, or -1 whose bits are all set: x ^ -1 is -1 - x
    return jax.lax.div(x ^ sign, y) ^ sign


def distance(atr: jax.Array, multiple: jax.Array, at_least: int = 1) -> jax.Array:
    """rint(multiple * ATR) in float32, clipped to [at_least, 2^20] ticks, int32."""
    return rounded(multiple * atr, at_least, MAX_DISTANCE_TICKS)


def slippage(now: Bar, params: Any) -> jax.Array:
    """Ticks by which entries and closing orders fill worse, from the ATR of the decision bar."""
    return params.slippage_ticks + distance(now.atr, params.slippage_atr_mult, 0)


def stop_slippage(now: Bar, params: Any) -> jax.Array:
    """Ticks by which stop orders fill worse, from the ATR of the decision bar."""
    return params.stop_slippage_ticks + distance(now.atr, params.stop_slippage_atr_mult, 0)


def stop_distance(now: Bar, params: Any) -> jax.Array:
    """Initial distance from fill to stop, ticks, int32."""
    return jnp.maximum(params.min_stop_ticks, distance(now.atr, params.sl_atr_mult))


def position_contracts(now: Bar, terms: Terms, params: Any) -> jax.Array:
    """Contracts of an entry decided at `now`, int32.

    Fixed, or by risk: floor(floor(risk / v) / D) is floor(risk / (D v)) for whole numbers, and cannot overflow.
    """
    by_risk = jax.lax.div(terms.risk_ticks, stop_distance(now, params))  # of numbers that are not negative
    by_risk = jnp.clip(by_risk, 0, params.max_contracts)
    return jnp.where(params.risk_per_trade > 0, by_risk, params.position_size)


def flat_minute(bar: Bar, terms: Terms) -> jax.Array:
    """Minute of the bar's session from which on a position must be flat, by the calendar."""
    return jnp.minimum(terms.close_minute, bar.scheduled_close)


# -- actions and masks (section 4) --


def entry_allowed(state: Any, now: Bar, terms: Terms, params: Any) -> jax.Array:
    """Whether an order to enter may be given at the decision bar: clock, day and size, not the side."""
    in_hours = (now.time >= terms.open_minute) & (now.time + terms.bar_minutes < flat_minute(now, terms))
    return in_hours & ~state.day_over & (position_contracts(now, terms, params) > 0) & (state.position == 0)


def entry_mask(state: Any, now: Bar, terms: Terms, params: Any) -> jax.Array:
    """Legal among HOLD, BUY, SELL, bool [3]. A forced start leaves one entry and nothing else at the first decision."""
    entry = entry_allowed(state, now, terms, params)
    forced = jnp.where((state.time == 0) & entry, state.forced_side, 0)
    return jnp.stack([forced == 0, entry & (forced >= 0), entry & (forced <= 0)])


def management_mask(state: Any, now: Bar, params: Any) -> jax.Array:
    """Legal among MOVE_SL_TO_BE, ENABLE_TRAIL, DISABLE_TRAIL, bool [3]."""
    side = state.position
    holding = side != 0
    profit = (side * (now.close - state.entry_price)).astype(jnp.float32)
    hides_no_ops = params.mask_no_ops
    break_even = holding & (profit > params.be_min_profit_atr * now.atr)
    break_even &= ~hides_no_ops | is_better(state, state.entry_price)
    enable = holding & ~(
        hides_no_ops & state.trailing_stop_active & ~is_better(state, trail_candidate(state, now, params))
    )
    disable = holding & ~(hides_no_ops & ~state.trailing_stop_active)
    return jnp.stack([break_even, enable, disable])


def enforce_legality(action: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(action, False) when legal, (HOLD, True) when not; integers that are no action are not legal."""
    legal = functools.reduce(jnp.logical_or, [(action == index) & mask[index] for index in range(len(mask))])
    return jnp.where(legal, action, HOLD).astype(jnp.int32), ~legal


# -- Phase 2: stop management (sections 3.2 and 3.9) --


def is_better(state: Any, stop: jax.Array) -> jax.Array:
    """Whether `stop` lies nearer to the market than the present one, seen from the position held."""
    return state.position * (stop - state.sl_price) > 0


def trail_candidate(state: Any, bar: Bar, params: Any) -> jax.Array:
    """Where the trail wants the stop after the close of `bar`, ticks."""
    return bar.close - state.position * distance(bar.atr, params.trail_atr_mult)


def tighten_stop(state: Any, stop: jax.Array, wanted: jax.Array, origin: int) -> tuple[Any, jax.Array]:
    """Move the stop where `wanted` and better; returns the state and whether it moved."""
    moved = wanted & is_better(state, stop)
    state = state.replace(
        sl_price=jnp.where(moved, stop, state.sl_price),
        stop_origin=jnp.where(moved, origin, state.stop_origin),
    )
    return state, moved


def manage_stop(state: Any, action: jax.Array, now: Bar, params: Any) -> Any:
    """MOVE_SL_TO_BE, ENABLE_TRAIL and DISABLE_TRAIL at the close of the decision bar; `action` is legal."""
    state, moved = tighten_stop(state, state.entry_price, action == MOVE_SL_TO_BE, ExitReason.BREAKEVEN)
    active = (state.trailing_stop_active | (action == ENABLE_TRAIL)) & (action != DISABLE_TRAIL)
    state = state.replace(be_move_count=state.be_move_count + moved.astype(jnp.int32), trailing_stop_active=active)
    return tighten_stop(state, trail_candidate(state, now, params), action == ENABLE_TRAIL, ExitReason.TRAIL)[0]


def trail(state: Any, bar: Bar, params: Any) -> Any:
    """After the outcome bar's close: the ratchet, which serves from the next bar on, and the best profit so far."""
    wanted = state.trailing_stop_active & (state.position != 0)
    state, _ = tighten_stop(state, trail_candidate(state, bar, params), wanted, ExitReason.TRAIL)
    profit = state.position * (bar.close - state.entry_price)
    return state.replace(highest_profit_point=jnp.maximum(state.highest_profit_point, profit))


# -- entry, the bar, exits (sections 3.3 to 3.7) --


def enter(
    state: Any, action: jax.Array, now: Bar, bar: Bar, terms: Terms, params: Any, contracts: jax.Array | None = None
) -> tuple[Any, jax.Array]:
    """Fill BUY or SELL; returns the state and whether a position was opened.

    contracts: of the entry where its size is part of the action; None: what the parameters say.
    """
    side = jnp.where(action == BUY, 1, jnp.where(action == SELL, -1, 0))
    entered = side != 0
    price = jnp.where(params.fill_at_close, now.close, bar.open) + side * slippage(now, params)
    stop_ticks = stop_distance(now, params)
    target_ticks = distance(stop_ticks.astype(jnp.float32), params.tp_sl_ratio)
    contracts = position_contracts(now, terms, params) if contracts is None else contracts

    def when_entered(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(entered, new, old)

    state = state.replace(
        position=when_entered(side, state.position),
        contracts=when_entered(contracts, state.contracts),
        entry_price=when_entered(price, state.entry_price),
        sl_price=when_entered(price - side * stop_ticks, state.sl_price),
        tp_price=when_entered(price + side * target_ticks, state.tp_price),
        initial_stop_ticks=when_entered(stop_ticks, state.initial_stop_ticks),
        position_entry_step=when_entered(state.step_idx + 1, state.position_entry_step),
        entry_balance=when_entered(state.balance, state.entry_balance),
        balance=state.balance - jnp.where(entered, contracts * terms.commission, 0),
    )
    return state, entered


def liquidation_level_up(state: Any, unit: jax.Array) -> jax.Array:
    """side * the first price at which equity < floor; `unit` is cents per tick of the position."""
    room = state.balance - jnp.where(state.trailing_limit == OFF, state.balance, state.floor)
    ticks = floor_div(room, unit) + 1
    return jnp.where(state.trailing_limit == OFF, -_FAR, state.position * state.entry_price - ticks)


def daily_level_up(state: Any, unit: jax.Array, params: Any) -> jax.Array:
    """side * the first price at which the session's profit <= -daily_loss_limit."""
    limit = cents(params.daily_loss_limit)
    room = state.balance - state.session_start_equity + jnp.where(limit == OFF, 0, limit)
    ticks = -floor_div(-room, unit)
    return jnp.where(limit == OFF, -_FAR, state.position * state.entry_price - ticks)


def play_bar(state: Any, now: Bar, bar: Bar, terms: Terms, params: Any, stop_reason: jax.Array) -> Fill:
    """How the outcome bar treats the position: gap, stop-like level, target, or flat by the close.

    `stop_reason` is the exit reason of the stop. The state is not changed; `settle` books the exit.
    """
    side = state.position
    holding = side != 0
    unit = jnp.maximum(terms.tick_cents * state.contracts, 1)
    open_up, close_up = side * bar.open, side * bar.close
    worst_up, best_up = jnp.where(side > 0, bar.low, -bar.high), jnp.where(side > 0, bar.high, -bar.low)
    stop_up, target_up = side * state.sl_price, side * state.tp_price
    liquidation_up, daily_up = liquidation_level_up(state, unit), daily_level_up(state, unit, params)
    level_up = jnp.maximum(stop_up, jnp.maximum(liquidation_up, daily_up))
    level_reason = jnp.where(liquidation_up == level_up, ExitReason.LIQUIDATION, ExitReason.DAILY_LOSS)
    level_reason = jnp.where(stop_up == level_up, stop_reason, level_reason)

    gap_level = open_up <= level_up
    gap_target = ~gap_level & (open_up >= target_up)
    inside = ~gap_level & ~gap_target
    hit_level = inside & (worst_up <= level_up)
    hit_target = inside & (best_up >= target_up + params.target_through_ticks)
    ambiguous = holding & hit_level & hit_target
    # The bar does not tell which came first; stop_first takes the answer that hurts.
    at_level = holding & (gap_level | (hit_level & (~hit_target | params.stop_first)))
    at_target = holding & ~at_level & (gap_target | hit_target)
    must_flat = (bar.time >= flat_minute(bar, terms)) | bar.breaks
    at_close = holding & ~at_level & ~at_target & must_flat

    exit_up = jnp.where(gap_level, open_up, level_up) - stop_slippage(now, params)
    exit_up = jnp.where(at_target, target_up, jnp.where(at_close, close_up - slippage(now, params), exit_up))
    reason = jnp.where(at_target, ExitReason.TARGET, jnp.where(at_close, ExitReason.SESSION_CLOSE, ExitReason.NONE))
    reason = jnp.where(at_level, level_reason, reason)
    return Fill(
        side=side,
        contracts=state.contracts,
        entered=jnp.bool_(False),
        entry_price=state.entry_price,
        stop_price=state.sl_price,
        target_price=state.tp_price,
        exit_price=jnp.where(reason != ExitReason.NONE, side * exit_up, 0),
        exit_reason=reason,
        done_reason=jnp.int32(DoneReason.NONE),
        trade_pnl=jnp.int32(0),
        best_up=jnp.where(at_target, target_up, best_up),
        alive=holding & ~at_level,
        ambiguous=ambiguous,
        invalid=jnp.bool_(False),
        must_flat=must_flat,
    )


def settle(state: Any, fill: Fill, terms: Terms) -> tuple[Any, Fill]:
    """Book the exit of `fill`, if there is one: profit, one commission per contract, the round trip; then flat."""
    exited = (fill.exit_reason != ExitReason.NONE) & (state.position != 0)
    profit_ticks = state.position * (fill.exit_price - state.entry_price)
    proceeds = state.contracts * (profit_ticks * terms.tick_cents - terms.commission)
    balance = state.balance + jnp.where(exited, proceeds, 0)
    trade_pnl = jnp.where(exited, balance - state.entry_balance, 0)
    state = state.replace(
        balance=balance,
        num_trades=state.num_trades + exited.astype(jnp.int32),
        winning_trades=state.winning_trades + (exited & (trade_pnl > 0)).astype(jnp.int32),
        **{name: jnp.where(exited, jnp.zeros_like(old), old) for name, old in state.position_fields().items()},
    )
    return state, fill._replace(trade_pnl=fill.trade_pnl + trade_pnl)


def mark_to_market(state: Any, bar: Bar, terms: Terms) -> Any:
    """Equity at the close of the outcome bar; no exit cost is deducted before it is paid."""
    open_profit = state.position * (bar.close - state.entry_price) * terms.tick_cents * state.contracts
    return state.replace(equity=state.balance + open_profit)


# -- the account (sections 3.8, 3.10 and 3.11) --


def floor_of(
    high_water_mark: jax.Array, trailing_limit: jax.Array, initial_balance: jax.Array, params: Any
) -> jax.Array:
    """min(high-water mark - trailing limit, initial balance + floor_lock), cents; FLOOR_OFF without a limit."""
    lock = cents(params.floor_lock)
    floor = high_water_mark - jnp.where(trailing_limit == OFF, 0, trailing_limit)
    floor = jnp.where(lock == OFF, floor, jnp.minimum(floor, initial_balance + jnp.where(lock == OFF, 0, lock)))
    return jnp.where(trailing_limit == OFF, FLOOR_OFF, floor)


def raise_floor(state: Any, fill: Fill, balance_in_bar: jax.Array, terms: Terms, params: Any) -> Any:
    """High-water mark by its mode, then the floor, which never falls. `balance_in_bar` is that before any exit."""
    mode = params.high_water_mode
    in_bar = balance_in_bar + (fill.best_up - fill.side * fill.entry_price) * terms.tick_cents * fill.contracts
    seen = jnp.where(fill.alive & (mode == INTRABAR), jnp.maximum(state.equity, in_bar), state.equity)
    counts = (mode != END_OF_DAY) | fill.must_flat
    mark = jnp.where(counts, jnp.maximum(state.high_water_mark, seen), state.high_water_mark)
    floor = floor_of(mark, state.trailing_limit, state.initial_balance, params)
    return state.replace(high_water_mark=mark, floor=jnp.maximum(state.floor, floor))


def close_breach(state: Any, fill: Fill, now: Bar, bar: Bar, terms: Terms, params: Any) -> tuple[Any, Fill, jax.Array]:
    """Equity at the close below the floor: what is open is closed there. Returns whether the account is breached."""
    breached = state.equity < state.floor
    closing = breached & (state.position != 0)
    price = bar.close - state.position * slippage(now, params)
    fill = fill._replace(
        exit_reason=jnp.where(closing, ExitReason.BREACH_CLOSE, fill.exit_reason),
        exit_price=jnp.where(closing, price, fill.exit_price),
    )
    state, fill = settle(state, fill, terms)
    state = state.replace(equity=jnp.where(closing, state.balance, state.equity))
    return state, fill, breached | (fill.exit_reason == ExitReason.LIQUIDATION)


def daily_limit_reached(state: Any, fill: Fill, params: Any) -> jax.Array:
    """The daily level was hit, or the session's profit is at or below the limit."""
    limit = cents(params.daily_loss_limit)
    session_profit = state.equity - state.session_start_equity
    below = (limit != OFF) & (session_profit <= -jnp.where(limit == OFF, 0, limit))
    return below | (fill.exit_reason == ExitReason.DAILY_LOSS)


def termination(state: Any, breached: jax.Array, reached: jax.Array, must_flat: jax.Array, params: Any) -> jax.Array:
    """First reason of section 3.10 that terminates the episode, int32; NONE if there is none."""
    target = cents(params.profit_target)
    passed = (target != OFF) & (state.balance - state.initial_balance >= target) & (state.position == 0)
    reason = jnp.where(must_flat & params.terminate_at_session_end, jnp.int32(DoneReason.SESSION_END), DoneReason.NONE)
    reason = jnp.where(passed, DoneReason.PROFIT_TARGET, reason)
    day_ends_it = reached & (params.daily_loss_fails | params.terminate_at_session_end)
    reason = jnp.where(day_ends_it, DoneReason.DAILY_LOSS, reason)
    return jnp.where(breached, DoneReason.DRAWDOWN, reason)


def truncation_reason(done_reason: jax.Array, over_time: jax.Array, data_end: jax.Array) -> jax.Array:
    """The termination's reason, else TIME_LIMIT or DATA_END."""
    reason = jnp.where(data_end, jnp.int32(DoneReason.DATA_END), DoneReason.NONE)
    reason = jnp.where(over_time, DoneReason.TIME_LIMIT, reason)
    return jnp.where(done_reason == DoneReason.NONE, reason, done_reason)


def by_trading(change: jax.Array, before: Any, after: Any) -> jax.Array:
    """A change of the account's cents without what a pass or a payout took, where the account has such (section 9)."""
    return change + (after.withdrawn - before.withdrawn) if hasattr(after, "withdrawn") else change


def profit_reward(before: Any, after: Any, fill: Fill, reward_scale: jax.Array, params: Any) -> jax.Array:
    """Change of equity (or balance) in units of the market's reward scale, plus the two extras, float32."""
    return reward_of(profit(before, after, params), fill.done_reason, reward_scale, params)


def profit(before: Any, after: Any, params: Any) -> jax.Array:
    """Change of equity (or balance) by trading, cents, int32."""
    change = jnp.where(params.reward_realized, after.balance - before.balance, after.equity - before.equity)
    return by_trading(change, before, after)


def reward_of(change: jax.Array, done_reason: jax.Array, reward_scale: jax.Array, params: Any) -> jax.Array:
    """The reward of a profit of so many cents, float32."""
    reward = change.astype(jnp.float32) / 100 / reward_scale
    passed, failed = done_reason == DoneReason.PROFIT_TARGET, done_reason == DoneReason.DRAWDOWN
    return reward + jnp.where(passed, params.pass_reward, 0.0) - jnp.where(failed, params.violation_penalty, 0.0)
