"""`TradingPhase2`: phase 1, and managing the open position."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from trading_gymnax import life, observation, rules
from trading_gymnax.market import Bar
from trading_gymnax.packed import packable
from trading_gymnax.params import EnvParams, EnvParamsPhase2
from trading_gymnax.params_life import EnvParamsPhase2Life
from trading_gymnax.phase1 import EnvState, TradingPhase1


@packable("trailing_stop_active")
@struct.dataclass
class EnvStatePhase2(EnvState):
    """The account of phase 1, and how its stop is managed. All 0 when flat."""

    trailing_stop_active: jax.Array  # bool
    highest_profit_point: jax.Array  # best open profit at a close since entry, from 0, ticks, int32
    be_move_count: jax.Array  # real moves of the stop to break-even, int32
    original_sl_price: jax.Array  # stop at entry, ticks, int32
    stop_origin: jax.Array  # what moved the stop last: 0 nothing, ExitReason.TRAIL or BREAKEVEN, int32

    def position_fields(self) -> dict[str, jax.Array]:
        """The fields that are 0 when flat, by name."""
        return {**super().position_fields(), **{name: getattr(self, name) for name in _MANAGEMENT_FIELDS}}


@packable("funded")
@struct.dataclass
class EnvStatePhase2Life(life.LifeFields, EnvStatePhase2):
    """The account of phase 2 with `account_life=True`."""


_MANAGEMENT_FIELDS = (
    *("trailing_stop_active", "highest_profit_point", "be_move_count"),
    *("original_sl_price", "stop_origin"),
)


class TradingPhase2(TradingPhase1):
    """Day trading of index futures, phase 2: enter, and manage the stop of the open position.

    Adds to `TradingPhase1`, whose docstring holds here too:

    Actions: 3 MOVE_SL_TO_BE (stop to the entry price, while the position is in profit), 4 ENABLE_TRAIL (the stop
    follows the close at trail_atr_mult ATR, at once and after every bar), 5 DISABLE_TRAIL. A stop only ever moves to a
    better level. With `mask_no_ops` actions that would change nothing are illegal.

    Observation, float32 [231] by default: behind index 224

    | index | meaning |
    |---|---|
    | 225 | trailing stop active |
    | 226 | stop at break-even or better |
    | 227 | open profit / D |
    | 228 | highest open profit at a close since entry / D |
    | 229 | profit locked by the stop / D |
    | 230 | (high-water mark - equity) / trailing limit, 0 where it is off |

    D is the initial stop distance; 225 to 229 are 0 when flat.
    """

    Params = EnvParamsPhase2
    State = EnvStatePhase2
    LifeParams = EnvParamsPhase2Life
    LifeState = EnvStatePhase2Life
    action_names = ("HOLD", "BUY", "SELL", "MOVE_SL_TO_BE", "ENABLE_TRAIL", "DISABLE_TRAIL")
    plays_in_kernel = True
    manages_stops = True

    @property
    def num_position_features(self) -> int:
        """Numbers about the position behind the window."""
        return super().num_position_features + 6

    def _mask(self, state: EnvStatePhase2, now: Bar, terms: rules.Terms, params: EnvParamsPhase2) -> jax.Array:
        entries = super()._mask(state, now, terms, params)
        return jnp.concatenate([entries, rules.management_mask(state, now, params)])

    def _manage_stop(
        self, state: EnvStatePhase2, action: jax.Array, now: Bar, params: EnvParamsPhase2
    ) -> EnvStatePhase2:
        return rules.manage_stop(state, action, now, params)

    def _note_entry(self, state: EnvStatePhase2, entered: jax.Array) -> EnvStatePhase2:
        return state.replace(original_sl_price=jnp.where(entered, state.sl_price, state.original_sl_price))

    def _stop_reason(self, state: EnvStatePhase2) -> jax.Array:
        return jnp.where(state.stop_origin == 0, rules.ExitReason.STOP, state.stop_origin)

    def _trail(self, state: EnvStatePhase2, bar: Bar, params: EnvParamsPhase2) -> EnvStatePhase2:
        return rules.trail(state, bar, params)

    def _new_account(
        self, params: EnvParams, market_id: jax.Array, bar: jax.Array, forced_side: jax.Array, idle: Any = False
    ) -> EnvStatePhase2:
        state = super()._new_account(params, market_id, bar, forced_side, idle)
        return state.replace(trailing_stop_active=jnp.bool_(False))

    def _position_features(self, state: EnvStatePhase2, now: Bar) -> jax.Array:
        return jnp.concatenate([super()._position_features(state, now), observation.management_features(state, now)])
