"""Features against slow loops of the formulas of docs/rules.md, hand-worked cases, and cuts of the table."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_gymnax.data import indicators as features

LENGTH = 900


def market(length: int = LENGTH, seed: int = 3) -> pd.DataFrame:
    """Random bars in ticks, with stretches where nothing moves and volumes of zero."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(-6, 7, length)
    steps[100:160] = 0
    close = 4000.0 + np.cumsum(steps)
    opening = np.concatenate([[4000.0], close[:-1]]) + rng.integers(-1, 2, length)
    reach = rng.integers(0, 4, (2, length))
    reach[:, 100:160] = 0
    frame = pd.DataFrame({"open": opening, "close": close})
    frame["high"] = np.maximum(opening, close) + reach[0]
    frame["low"] = np.minimum(opening, close) - reach[1]
    frame["volume"] = rng.integers(0, 50, length).astype(float)
    return frame


def smoothed(values: list[float], alpha: float) -> list[float]:
    """Exponentially weighted mean seeded by the first value, as one would write it down."""
    means = [values[0]]
    for value in values[1:]:
        means.append(means[-1] + alpha * (value - means[-1]))
    return means


def slow_default_features(frame: pd.DataFrame) -> list[list[float]]:
    """The eight features of section 5.2, bar by bar in plain Python; NaN where a formula lacks bars."""
    high, low, close, volume = (frame[name].tolist() for name in ("high", "low", "close", "volume"))
    size = len(close)
    ranges = [high[0] - low[0]]
    ranges += [max(high[t], close[t - 1]) - min(low[t], close[t - 1]) for t in range(1, size)]
    atr = [max(value, 1.0) for value in smoothed(ranges, 1 / 14)]
    slow = [max(value, 1.0) for value in smoothed(ranges, 1 / 390)]
    moves = [close[t] - close[t - 1] for t in range(1, size)]
    gain = [math.nan, *smoothed([max(move, 0.0) for move in moves], 1 / 14)]
    loss = [math.nan, *smoothed([max(-move, 0.0) for move in moves], 1 / 14)]
    fast_mean, slow_mean = smoothed(close, 2 / 13), smoothed(close, 2 / 27)
    rows = []
    for t in range(size):
        rsi = 50.0 if gain[t] + loss[t] == 0 else 100 * gain[t] / (gain[t] + loss[t])
        sma = sum(close[t - 19 : t + 1]) / 20 if t >= 19 else math.nan
        mean_volume = sum(volume[t - 19 : t + 1]) / 20 if t >= 19 else math.nan
        row = [
            (close[t] - close[t - 1]) / atr[t] if t else math.nan,
            (high[t] - low[t]) / atr[t],
            (close[t] - sma) / atr[t],
            rsi / 50 - 1,
            (fast_mean[t] - slow_mean[t]) / atr[t],
            (close[t] - close[t - 10]) / atr[t] if t >= 10 else math.nan,
            math.log((volume[t] + 1) / (mean_volume + 1)),
            math.log(atr[t] / slow[t]),
        ]
        rows.append([value if math.isnan(value) else min(max(value, -10.0), 10.0) for value in row])
    return rows


def test_default_features_are_the_formulas() -> None:
    frame = market()
    fast = features.default_features(frame)
    assert tuple(fast.columns) == features.DEFAULT_FEATURES
    np.testing.assert_allclose(fast.to_numpy(), slow_default_features(frame), rtol=1e-9, atol=1e-9)


def test_every_default_feature_is_finite_from_bar_19_on() -> None:
    finite = np.isfinite(features.default_features(market(60)).to_numpy()).all(axis=1)
    assert finite.tolist() == [False] * 19 + [True] * 41


def test_hand_worked_atr() -> None:
    # True ranges: 10 - 6 = 4 (the first bar has none before it), max(12, 8) - min(9, 8) = 4,
    # max(9, 11) - min(5, 11) = 6. ATR(2): 4, 4 + (4 - 4)/2 = 4, 4 + (6 - 4)/2 = 5.
    frame = pd.DataFrame({"high": [10.0, 12.0, 9.0], "low": [6.0, 9.0, 5.0], "close": [8.0, 11.0, 6.0]})
    assert features.true_range(frame).tolist() == [4.0, 4.0, 6.0]
    assert features.atr(frame, bars=2).tolist() == [4.0, 4.0, 5.0]


def test_hand_worked_rsi() -> None:
    # Changes +4, -2. Gains with alpha 1/2: 4, 4 + (0 - 4)/2 = 2; losses: 0, 1. RSI: 100, then 2/3 of it.
    strength = features.rsi(pd.Series([10.0, 14.0, 12.0]), bars=2).tolist()
    assert math.isnan(strength[0])
    assert strength[1:] == [100.0, pytest.approx(200 / 3)]


def test_rsi_is_50_while_nothing_moves() -> None:
    assert features.rsi(pd.Series([5.0] * 4)).tolist()[1:] == [50.0, 50.0, 50.0]


def test_hand_worked_macd() -> None:
    # alpha 2/13 and 2/27: means of 26, 53 are 26 + 54/13 and 26 + 54/27 = 28.
    difference = features.macd(pd.Series([26.0, 53.0])).tolist()
    assert difference == [0.0, pytest.approx(54 / 13 - 2)]


def test_a_market_that_stands_still_has_features_of_zero() -> None:
    frame = pd.DataFrame({name: [100.0] * 40 for name in ("open", "high", "low", "close", "volume")})
    last = features.default_features(frame).iloc[-1]
    assert last.tolist() == [0.0] * 8  # ATR floored at one tick; log(1) = 0


def test_one_wild_bar_is_clipped() -> None:
    frame = market(200)
    frame.loc[150:, ["open", "high", "low", "close"]] += 100_000.0
    wild = features.default_features(frame).iloc[150]
    # The change is 100,000 of an ATR that has jumped by 1/14 of it: 14, clipped to 10.
    assert wild["close_change"] == 10.0
    assert features.default_features(frame).abs().max().max() == 10.0


def test_named_features_of_the_original_system() -> None:
    frame = market(40)
    close = frame["close"]
    named = {name: compute(frame) for name, compute in features.NAMED_FEATURES.items()}
    assert list(named) == ["close", "volume", "sma_5", "sma_20", "rsi", "macd", "momentum", "atr"]
    assert named["sma_5"].iloc[30] == pytest.approx(close.iloc[26:31].sum() / 5)
    assert named["momentum"].iloc[30] == close.iloc[30] - close.iloc[20]
    assert named["close"].iloc[30] == close.iloc[30]
    assert named["atr"].iloc[0] == frame["high"].iloc[0] - frame["low"].iloc[0]


@given(cut=st.integers(1, LENGTH - 1), seed=st.integers(0, 3))
@settings(max_examples=40)
def test_cutting_the_table_changes_nothing_before_the_cut(cut: int, seed: int) -> None:
    frame = market(seed=seed)
    whole = features.default_features(frame).iloc[:cut]
    shorter = features.default_features(frame.iloc[:cut])
    np.testing.assert_array_equal(shorter.to_numpy(), whole.to_numpy())  # bit for bit, NaN equals NaN
    for name, compute in features.NAMED_FEATURES.items():
        np.testing.assert_array_equal(compute(frame.iloc[:cut]), compute(frame).iloc[:cut], err_msg=name)
