"""Tapes for the tests of accounts: wild actions on noise, and sessions of trades that win or lose given ticks."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from trading_gymnax import TradingPhase2
from trading_gymnax.data.loader import load_bars
from trading_gymnax.market import pack
from trading_gymnax.survival import tape as tapes
from trading_gymnax.survival.tape import FAR, MUST_FLAT, NUM_COLUMNS, Tape, record
from trading_gymnax.synthetic import martingale

KEY = jax.random.key(0)
HORIZON = 12


@struct.dataclass
class Script:
    """Takes the action that a table [M, T] holds for the decision bar."""

    actions: jax.Array
    reads_state = True

    def __call__(self, key, obs, mask, state):
        return self.actions[state.market_id, state.step_idx].astype(jnp.int32)


@functools.cache
def noisy():
    """Twelve sessions of two markets of other ticks and costs, and wild actions of phase 2."""
    tape = martingale(HORIZON, seed=3, noise_ticks=20)
    other = martingale(
        HORIZON - 2,
        seed=4,
        noise_ticks=20,
        spec=dataclasses.replace(tape.spec, symbol="OTHER", multiplier=28, commission_per_side=0.75),
    )
    market = pack([load_bars(x.frame, x.spec) for x in (tape, other)])
    draws = np.random.default_rng(0)
    chances = [0.904, 0.003, 0.003, 0.03, 0.04, 0.02]
    return market, Script(jnp.asarray(draws.choice(6, size=market.bars.shape[:2], p=chances).astype(np.int8)))


@functools.cache
def recorded(stop_first=True, by_risk=False):
    """Environment, parameters and recording of the wild actions."""
    market, script = noisy()
    env = TradingPhase2(market)
    params = env.default_params.replace(
        stop_first=stop_first,
        target_through_ticks=0,
        slippage_ticks=1,
        stop_slippage_atr_mult=0.2,
        tp_sl_ratio=1.0,
        sl_atr_mult=1.0,
        risk_per_trade=400.0 if by_risk else 0.0,
    )
    return env, params, script, record(script, env, params, key=KEY, max_contracts=10)


def step_tape(moves) -> Tape:
    """Sessions [S, E] of trades that each win or lose `moves` ticks of a dollar within their bar, without costs."""
    rows = np.zeros((*moves.shape, NUM_COLUMNS), np.int32)
    rows[..., [tapes.HOLDING, tapes.ENTERED, tapes.CONTRACTS]] = 1
    rows[..., tapes.BEST], rows[..., tapes.WORST] = np.maximum(moves, 0), np.minimum(moves, 0)
    rows[..., tapes.CLOSED] = moves
    rows[..., tapes.STOP_LEVEL] = np.where(moves < 0, moves, -FAR)
    rows[..., tapes.TARGET_LEVEL] = np.where(moves > 0, moves, FAR)
    rows[:, -1, MUST_FLAT] = 1
    size = len(moves)
    return Tape(
        bars=jnp.asarray(rows),
        num_bars=jnp.full(size, moves.shape[1], jnp.int32),
        tick_cents=jnp.full(size, 100, jnp.int32),
        commission=jnp.zeros(size, jnp.int32),
        follows=jnp.asarray(np.append(np.arange(1, size), -1), jnp.int32),
        stop_first=jnp.bool_(True),
        target_through_ticks=jnp.int32(0),
    )


def fair_walks(sessions: int, steps: int, seed: int = 0):
    """Signs [S, E], each session with its mirror image, so that no drift is left."""
    half = np.random.default_rng(seed).choice([-1, 1], (sessions // 2, steps))
    return np.concatenate([half, -half])
