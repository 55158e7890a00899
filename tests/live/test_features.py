"""Streaming features are the batch's, bit for bit, whatever the bars hold."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from trading_gymnax.data.contracts import contract
from trading_gymnax.data.indicators import DEFAULT_FEATURES, NAMED_FEATURES, atr, default_features
from trading_gymnax.live.features import StreamingFeatures

NAMED = ("close", "volume", "sma_5", "sma_20", "rsi", "macd", "momentum", "atr", "open")


def odd_bars(count: int, seed: int) -> pd.DataFrame:
    """Bars with stretches that do not move, volumes of 0, of fractions, of one value, and of 15 digits."""
    rng = np.random.default_rng(seed)
    close = 80_000 + np.cumsum(rng.integers(-30, 31, count))
    opening = close + rng.integers(-5, 6, count)
    high, low = np.maximum(opening, close) + rng.integers(0, 9, count), np.minimum(opening, close)
    still = slice(count // 2, count // 2 + count // 10)
    for prices in (close, opening, high, low):
        prices[still] = close[count // 2]
    volume = np.where(rng.random(count) < 0.3, 0.0, rng.lognormal(5, 3, count))
    volume[count // 3 : count // 3 + 40] = 1e15 * rng.random(40)
    volume[count // 4 : count // 4 + 40] = 7.7
    return pd.DataFrame({"open": opening, "high": high, "low": low, "close": close, "volume": volume}).astype(float)


def streamed(frame: pd.DataFrame, made: StreamingFeatures) -> tuple[np.ndarray, np.ndarray]:
    rows = [made.update((o, h, low, c), v) for o, h, low, c, v in frame.to_numpy().tolist()]
    return np.array([row[0] for row in rows]), np.stack([row[1] for row in rows])


def same_bits(one: np.ndarray, other: np.ndarray) -> None:
    assert one.dtype == other.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(one), np.isnan(other))
    np.testing.assert_array_equal(np.nan_to_num(one).view(np.int32), np.nan_to_num(other).view(np.int32))


@pytest.mark.parametrize("count", [3_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_default_features(count):
    frame = odd_bars(count, seed=count)
    units, features = streamed(frame, StreamingFeatures(DEFAULT_FEATURES, contract("NQ")))
    same_bits(units, atr(frame).to_numpy(np.float32))
    same_bits(features, default_features(frame).to_numpy(np.float64).astype(np.float32))


@pytest.mark.parametrize("symbol", ["NQ", "CL"])
def test_named_features(symbol):
    frame, spec = odd_bars(3_000, seed=5), contract(symbol)
    points = frame / round(1 / spec.tick_size)
    points["volume"] = frame["volume"]
    batch = pd.DataFrame({name: NAMED_FEATURES.get(name, lambda x: x["open"])(points) for name in NAMED})
    units, features = streamed(frame, StreamingFeatures(NAMED, spec))
    same_bits(units, atr(frame).to_numpy(np.float32))
    same_bits(features, batch.to_numpy(np.float64).astype(np.float32))


@pytest.mark.parametrize("names", [DEFAULT_FEATURES, NAMED])
@pytest.mark.parametrize("cut", [0, 7, 400])
def test_a_snapshot_loses_nothing(names, cut):
    frame, spec = odd_bars(800, seed=1), contract("NQ")
    whole, first, second = (StreamingFeatures(names, spec) for _ in range(3))
    features = streamed(frame, whole)[1]
    if cut:
        streamed(frame[:cut], first)
    second.restore(json.loads(json.dumps(first.snapshot(), allow_nan=False)))
    same_bits(streamed(frame[cut:], second)[1], features[cut:])


def test_columns_of_the_table():
    made = StreamingFeatures(("close", "mood"), contract("NQ"), own=("mood",))
    assert made.update((4, 8, 4, 8), 1.0, {"mood": 0.5})[1].tolist() == [2.0, 0.5]
    with pytest.raises(ValueError, match="'mood' cannot be computed bar by bar"):
        StreamingFeatures(("mood",), contract("NQ"))
    with pytest.raises(ValueError, match="parts of features were saved"):
        made.restore([[1.0]])
