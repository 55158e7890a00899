"""Short sessions and a learner of microseconds: the tests of this folder train some thousand times."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from flax import struct

from tests.data.tables import PLAIN
from trading_gymnax import TradingPhase1, load_market_data
from trading_gymnax.data.indicators import DEFAULT_FEATURES
from trading_gymnax.data.loader import load_bars
from trading_gymnax.market import CLOCK_COLUMNS, CLOSE, END, LAST_TIME, START
from trading_gymnax.rules import BUY, HOLD, SELL
from trading_gymnax.skill.tapes import Source
from trading_gymnax.synthetic import SyntheticMarket, martingale, regime

WINDOW = 20
RTH = (9.5, 11.0)
FREE = {"sl_atr_mult": 3.0, "commission_per_side": 0.0, "slippage_ticks": 0, "stop_slippage_ticks": 0}


def short(tape: SyntheticMarket) -> pd.DataFrame:
    """The bars from 8:30 to 11:00, New York: 150 a session."""
    minute = tape.frame["timestamp"].dt.tz_convert("America/New_York").dt
    minute = minute.hour * 60 + minute.minute
    return tape.frame[(minute >= 510) & (minute < 660)].reset_index(drop=True)


def source(sessions: int, seed: int, drift: float = 0.0) -> Source:
    """A short tape, a martingale without a drift."""
    tape = (
        regime(sessions, seed=seed, drift=drift, spec=PLAIN) if drift else martingale(sessions, seed=seed, spec=PLAIN)
    )
    return Source(PLAIN, (load_bars(short(tape), PLAIN, rth=RTH),), {"rth": RTH})


def env_of(bars: Source, **changes: float) -> TradingPhase1:
    """An environment on the source's bars, where nothing is charged."""
    return TradingPhase1(bars.real(), window=WINDOW, min_bars_left=0, **{**FREE, **changes})


@struct.dataclass
class Lean:
    """Enters with the weighted sum of the last moves, in ATR."""

    weights: jax.Array  # of the close changes in the window, oldest first, float32 [20]

    def __call__(self, key: Any, obs: jax.Array, mask: jax.Array) -> jax.Array:
        columns = len(DEFAULT_FEATURES) + CLOCK_COLUMNS
        lean = obs[:, : WINDOW * columns].reshape(-1, WINDOW, columns)[:, :, 0] @ self.weights
        action = jnp.where(lean > 0, BUY, jnp.where(lean < 0, SELL, HOLD))
        return jnp.where(mask[:, BUY], action, HOLD)


def fitted(env: TradingPhase1, params: Sequence[Any], seeds: Sequence[int]) -> Iterator[Lean]:
    """Learns whether to follow or to fade the recent moves, from its own sessions only."""
    for one in params:
        bars, sessions = np.asarray(one.market.bars)[0], np.asarray(one.market.sessions)[0]
        first, end = np.asarray(one.market.view)[0]
        score = 0.0
        for row in sessions[first:end]:
            if row[LAST_TIME] > 0:
                score += _score(bars[row[START] : row[END], CLOSE].astype(float))
        yield Lean(jnp.asarray(np.sign(score) * 0.9 ** np.arange(WINDOW)[::-1], jnp.float32))


def _score(close: np.ndarray) -> float:
    """How the next ten bars went along the recent ones."""
    moves = np.diff(close)
    lean = np.convolve(moves, 0.9 ** np.arange(WINDOW))[: len(moves)]
    ahead = close[11:] - close[1:-10]
    return float((lean[: len(ahead)] * ahead).sum())


def numbers() -> Iterator[int]:
    """0, 1, 2 and so on."""
    return itertools.count()


__all__ = ["FREE", "RTH", "WINDOW", "Lean", "env_of", "fitted", "load_market_data", "numbers", "short", "source"]
