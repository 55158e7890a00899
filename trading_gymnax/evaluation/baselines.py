"""Policies to compare a trained one with: none of them learns anything.

All are called as `policy(key, obs, mask) -> action` with a batch axis first (obs [B, n], mask [B, a]); `BarSignals`
takes the state as a fourth argument.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from trading_gymnax.market import CLOSE, MarketData
from trading_gymnax.rules import BUY, HOLD, MAX_DISTANCE_TICKS, SELL

FAST_BARS, SLOW_BARS = 20, 50
_ENTRY_OF_SIDE = (SELL, HOLD, BUY)  # by side + 1


@struct.dataclass
class RandomLegal:
    """Draws every legal action with the same chance."""

    def __call__(self, key: jax.Array, obs: jax.Array, mask: jax.Array) -> jax.Array:
        """A legal action in every row, int32 [B]."""
        logits = jnp.where(mask, jnp.float32(0), jnp.finfo(jnp.float32).min)
        return jax.random.categorical(key, logits).astype(jnp.int32)


@struct.dataclass
class RandomEntries:
    """Enters with a given chance wherever an entry is legal, long or short by a coin; manages nothing.

    With a policy's own rate it has that policy's number of trades and none of its skill; with its shares of sizes, as
    many contracts.
    """

    rate: jax.Array  # chance of an entry at a step where one is legal, float32 ()
    shares: jax.Array | None = None  # of each of the environment's entry_sizes, float32 [sizes]; None: the smallest

    def __call__(self, key: jax.Array, obs: jax.Array, mask: jax.Array) -> jax.Array:
        """HOLD or an entry in every row, int32 [B]; a size that is not offered leaves its share to the others."""
        key_enter, key_side = jax.random.split(key)
        enters = jax.random.uniform(key_enter, mask.shape[:1], jnp.float32) < self.rate
        side = jax.random.categorical(key_side, jnp.where(mask[:, BUY : SELL + 1], jnp.float32(0), -jnp.inf)) + BUY
        if self.shares is not None:
            side = self._of_a_size(jax.random.fold_in(key_side, 1), side, mask)
        return jnp.where(enters & (mask[:, BUY] | mask[:, SELL]), side, HOLD).astype(jnp.int32)

    def _of_a_size(self, key: jax.Array, side: jax.Array, mask: jax.Array) -> jax.Array:
        """BUY or SELL in every row as the entry of a drawn size."""
        shares = jnp.asarray(self.shares)
        first_further = mask.shape[1] - 2 * (len(shares) - 1)
        places = np.array([[BUY, SELL], *np.arange(first_further, mask.shape[1]).reshape(-1, 2)])  # [sizes, 2]
        actions = jnp.asarray(places)[:, side - BUY].T  # [B, sizes]
        offered = jnp.take_along_axis(mask, actions, axis=1)
        # A share of nothing is drawn only where no other size is offered.
        size = jax.random.categorical(key, jnp.where(offered, jnp.log(shares + 1e-9)[None], -jnp.inf))
        return jnp.take_along_axis(actions, size[:, None], axis=1)[:, 0]


@struct.dataclass
class BarSignals:
    """Enters in the direction that a table holds for the decision bar, whenever the entry is legal.

    With the hidden regime of a synthetic market it is the oracle: nobody who sees prices only can know more.
    """

    side: jax.Array  # wanted side at the close of each bar: +1, -1, or 0 for none; integer [M, T]

    reads_state: ClassVar[bool] = True

    def __call__(self, key: jax.Array, obs: jax.Array, mask: jax.Array, state: object) -> jax.Array:
        """HOLD, BUY or SELL in every row, int32 [B]."""
        side = self.side[state.market_id, state.step_idx].astype(jnp.int32)  # type: ignore[attr-defined]
        action = jnp.asarray(_ENTRY_OF_SIDE)[side + 1]
        return jnp.where(jnp.take_along_axis(mask, action[:, None], axis=1)[:, 0], action, HOLD)


def long_all_day(params: Any) -> tuple[BarSignals, Any]:
    """A policy that is long from the first entry-allowed bar to the close, and the parameters that let it hold.

    The stop distance is set to the largest that there is, `MAX_DISTANCE_TICKS`, by `min_stop_ticks`, and the target
    lies as far: no price comes near. With a stop that far, sizing by risk would allow no contract, so `position_size`
    contracts are traded. Costs, hours and the rules of the account stay: a breach still ends the session.
    """
    market = params.market
    always = jnp.ones(market.bars.shape[:2], jnp.int8)
    ratio = max(1.0, float(params.tp_sl_ratio))
    far = params.replace(min_stop_ticks=MAX_DISTANCE_TICKS, tp_sl_ratio=ratio, risk_per_trade=0.0)
    return BarSignals(always), far


def moving_average_cross(market: MarketData, fast: int = FAST_BARS, slow: int = SLOW_BARS) -> BarSignals:
    """Enters where the mean of the last `fast` closes crosses that of the last `slow`, with the stops of everyone.

    The signal stands at the crossing bar only, in the direction of the cross; a cross met with a position open, or out
    of hours, passes. Means that are equal keep the side before. A bar's signal depends on that bar and earlier ones;
    the first `slow` bars of a table have none. Bars of all hours count, those of the night too.

    Raises ValueError unless 1 <= fast < slow.
    """
    if not 1 <= fast < slow:
        raise ValueError(f"the fast mean needs fewer bars than the slow one, and one at least; got {fast} and {slow}")
    closes = np.asarray(market.bars)[:, :, CLOSE].astype(np.int64)
    return BarSignals(jnp.asarray(np.stack([crosses(row, fast, slow) for row in closes])))


def crosses(closes: np.ndarray, fast: int, slow: int) -> np.ndarray:
    """+1 or -1 at the bars of closes [T] (whole ticks) where the fast mean goes above or below the slow one; int8."""
    total = np.concatenate([[0], np.cumsum(closes)])
    ends = np.arange(slow, len(closes) + 1)
    # Whole numbers, so that equal means are equal.
    gap = slow * (total[ends] - total[ends - fast]) - fast * (total[ends] - total[ends - slow])
    sign = np.concatenate([np.zeros(min(slow - 1, len(closes)), np.int8), np.sign(gap).astype(np.int8)])
    last = np.maximum.accumulate(np.where(sign != 0, np.arange(len(sign)), -1))
    side = np.where(last >= 0, sign[last], 0).astype(np.int8)
    before = np.concatenate([[0], side[:-1]])
    return np.where((before != 0) & (side != before), side, 0).astype(np.int8)


def filtered_regime(moves: np.ndarray, drift: float, mean_regime_bars: float) -> np.ndarray:
    """Log odds of an up regime after each bar, for one who sees moves only and knows how the tape was made; [T].

    The exact Bayesian filter of `synthetic.regime`: `BarSignals` of its sign earns about what can be earned without
    seeing the regime itself, which an oracle's profit is not.

    Args:
        moves: close - open of each bar in standard deviations of its noise, float [T].
        drift: expected move along the regime in the same unit; a bar adds 2 * drift * move to the log odds.
        mean_regime_bars: the regime switches before a bar with probability 1 / this.
    """
    switch, odds = 1 / mean_regime_bars, 0.0
    known = np.empty(len(moves))
    for at, move in enumerate(moves):
        up = 1 / (1 + math.exp(-odds))
        up = up * (1 - switch) + (1 - up) * switch
        odds = math.log(up / (1 - up)) + 2 * drift * float(move)
        known[at] = odds
    return known
