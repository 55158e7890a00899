"""Feature columns from open, high, low, close and volume: causal, one row a bar (docs/rules.md, section 5.2).

A row depends on that bar and earlier ones only, bit for bit: every smoothing runs forward from the first bar
of the table. Smoothings are exponentially weighted means seeded by their first value: Wilder's with
alpha = 1/n (J. Welles Wilder, New Concepts in Technical Trading Systems, 1978), MACD's with
alpha = 2/(span + 1) (Gerald Appel). The first bars have NaN where a formula needs more bars than there are:
bar 19 is the first with every default feature.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

ATR_BARS = 14
SLOW_ATR_BARS = 390
RSI_BARS = 14
SMA_BARS = 20
MOMENTUM_BARS = 10
MACD_SPANS = (12, 26)
CLIP = 10.0

DEFAULT_FEATURES = (
    "close_change",
    "bar_range",
    "close_to_sma_20",
    "rsi_centred",
    "macd_scaled",
    "momentum_scaled",
    "relative_volume",
    "relative_atr",
)


def true_range(frame: pd.DataFrame) -> pd.Series:
    """Wilder's true range, in the unit of the prices; of the first bar, high - low."""
    before = frame["close"].shift(1)
    reach_up = np.fmax(frame["high"], before)  # fmax and fmin leave out the missing close before the first bar
    reach_down = np.fmin(frame["low"], before)
    return reach_up - reach_down


def wilder_mean(values: pd.Series, bars: int) -> pd.Series:
    """Wilder's smoothing: mean += (value - mean) / bars, seeded by the first value that is not NaN."""
    return values.ewm(alpha=1.0 / bars, adjust=False).mean()


def atr(frame: pd.DataFrame, bars: int = ATR_BARS) -> pd.Series:
    """Average true range by Wilder's smoothing, in the unit of the prices."""
    return wilder_mean(true_range(frame), bars)


def rsi(close: pd.Series, bars: int = RSI_BARS) -> pd.Series:
    """Relative strength index, 0 to 100: 50 while nothing has moved, NaN on the first bar."""
    change = close.diff()
    gain = wilder_mean(change.clip(lower=0.0), bars)
    loss = wilder_mean((-change).clip(lower=0.0), bars)
    both = gain + loss
    strength = 100.0 * gain / both.where(both > 0, 1.0)
    return strength.where((both > 0) | both.isna(), 50.0)


def sma(values: pd.Series, bars: int) -> pd.Series:
    """Mean of the last `bars` values, NaN until there are that many."""
    return values.rolling(bars).mean()


def macd(close: pd.Series) -> pd.Series:
    """Exponential mean of span 12 less that of span 26, seeded by the first close; unit of the prices."""
    fast, slow = (close.ewm(span=span, adjust=False).mean() for span in MACD_SPANS)
    return fast - slow


def momentum(close: pd.Series, bars: int = MOMENTUM_BARS) -> pd.Series:
    """Close less the close `bars` bars before; unit of the prices."""
    return close.diff(bars)


def default_features(frame: pd.DataFrame) -> pd.DataFrame:
    """The eight default features of a frame whose prices are ticks, float64, clipped to +-10.

    close change / ATR, (high - low) / ATR, (close - sma_20) / ATR, rsi / 50 - 1, macd / ATR,
    momentum(10) / ATR, log((volume + 1) / (20-bar mean + 1)), log(ATR / ATR_390); both ATRs are floored at
    one tick. The first 19 bars have NaN where 20 bars, or a bar 10 before, do not exist.
    """
    close, volume = frame["close"], frame["volume"]
    one_tick = 1.0
    ranges = true_range(frame)
    unit = wilder_mean(ranges, ATR_BARS).clip(lower=one_tick)
    slow_unit = wilder_mean(ranges, SLOW_ATR_BARS).clip(lower=one_tick)
    columns = {
        "close_change": close.diff() / unit,
        "bar_range": (frame["high"] - frame["low"]) / unit,
        "close_to_sma_20": (close - sma(close, SMA_BARS)) / unit,
        "rsi_centred": rsi(close) / 50.0 - 1.0,
        "macd_scaled": macd(close) / unit,
        "momentum_scaled": momentum(close) / unit,
        "relative_volume": np.log((volume + 1.0) / (sma(volume, SMA_BARS) + 1.0)),
        "relative_atr": np.log(unit / slow_unit),
    }
    return pd.DataFrame(columns, columns=list(DEFAULT_FEATURES)).clip(-CLIP, CLIP)


NAMED_FEATURES: dict[str, Callable[[pd.DataFrame], pd.Series]] = {
    "close": lambda frame: frame["close"],
    "volume": lambda frame: frame["volume"],
    "sma_5": lambda frame: sma(frame["close"], 5),
    "sma_20": lambda frame: sma(frame["close"], SMA_BARS),
    "rsi": lambda frame: rsi(frame["close"]),
    "macd": lambda frame: macd(frame["close"]),
    "momentum": lambda frame: momentum(frame["close"]),
    "atr": atr,
}
"""Columns that `feature_columns=` computes by name from prices in points and volume; not clipped."""
