"""Tables for the loader's tests: whole sessions of bars whose prices are easy to recompute."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.data.loader import Bars, load_bars

NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
UTC = dt.UTC
PLAIN = ContractSpec("PLAIN", 0.25, 20.0, 2.5, calendar=None)  # every weekday is a full session


def stamps(date: str, first: int = 0, last: int = 1380, bar_minutes: int = 1) -> list[dt.datetime]:
    """UTC starts of the bars of that session, from `first` to `last` minutes after 18:00 New York."""
    evening = dt.datetime.fromisoformat(date) - dt.timedelta(days=1) + dt.timedelta(hours=18)
    local = (evening + dt.timedelta(minutes=minute) for minute in range(first, last, bar_minutes))
    return [moment.replace(tzinfo=NEW_YORK).astimezone(UTC) for moment in local]


def table(*dates: str, first: int = 0, last: int = 1380, bar_minutes: int = 1, seed: int = 0) -> pd.DataFrame:
    """Tidy bars of whole sessions: a random walk on the tick of 0.25, volumes from 1 to 99."""
    moments = [moment for date in dates for moment in stamps(date, first, last, bar_minutes)]
    rng = np.random.default_rng(seed)
    size = len(moments)
    close = 20_000 + np.cumsum(rng.integers(-8, 9, size)) * 0.25
    opening = np.concatenate([[20_000.0], close[:-1]])
    return pd.DataFrame(
        {
            "timestamp": pd.DatetimeIndex(moments),
            "open": opening,
            "high": np.maximum(opening, close) + rng.integers(0, 5, size) * 0.25,
            "low": np.minimum(opening, close) - rng.integers(0, 5, size) * 0.25,
            "close": close,
            "volume": rng.integers(1, 100, size),
        }
    )


def load(frame: pd.DataFrame, market: ContractSpec | str = PLAIN, **options: Any) -> Bars:
    """`load_bars` with the contract that needs no calendar."""
    return load_bars(frame, market, **options)


def assert_same_bars(one: Bars, other: Bars) -> None:
    """All arrays are equal bit for bit; the reports may differ."""
    for name in ("close_time", "open", "high", "low", "close", "volume", "atr", "features", "time", "hour"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for name in ("session", "session_date", "session_start", "session_end", "scheduled_close"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
