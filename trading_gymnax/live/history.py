"""Checked bars cut, joined, streamed and turned back into a table: what a trader starts from, and what came after."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.data.loader import Bars, load_bars
from trading_gymnax.data.names import PRICES
from trading_gymnax.live.bars import Bar
from trading_gymnax.live.features import StreamingFeatures
from trading_gymnax.live.feed import Feed, Row
from trading_gymnax.live.function import FunctionFeatures
from trading_gymnax.live.store import HISTORY_FILE
from trading_gymnax.live.tape import Tape

_PER_BAR = ("close_time", *PRICES, "volume", "atr", "features", "time", "hour", "session")
_PER_SESSION = ("session_date", "session_start", "session_end", "scheduled_close")
_KEPT = ("rth", "feature_columns")  # of the loader's options, those that a table of checked bars still needs


def until(bars: Bars, count: int) -> Bars:
    """The first `count` bars: what `load_bars` makes of the table's beginning. Raises ValueError for none of them."""
    if not 0 < count <= len(bars):
        raise ValueError(f"{count:,} bars of {len(bars):,} are asked for")
    sessions = int(bars.session[count - 1]) + 1
    fields = {name: getattr(bars, name)[:count] for name in _PER_BAR}
    fields |= {name: getattr(bars, name)[:sessions] for name in _PER_SESSION}
    fields["session_end"] = np.minimum(fields["session_end"], count)
    return dataclasses.replace(bars, **fields)


def bars_from(bars: Bars, first: int, own: tuple[str, ...] = ()) -> Iterator[Bar]:
    """The bars from number `first` on, as a feed whose stamps mark the start of a bar gives them."""
    start = bars.close_time.astype("datetime64[m]") - np.timedelta64(bars.bar_minutes, "m")
    columns = {name: bars.feature_names.index(name) for name in own}
    for at in range(first, len(bars)):
        prices = {name: float(getattr(bars, name)[at]) * bars.spec.tick_size for name in PRICES}
        values = {name: float(bars.features[at, column]) for name, column in columns.items()}
        yield Bar(start[at], **prices, volume=float(bars.volume[at]), own=values or None)


def to_frame(bars: Bars, own: tuple[str, ...] = ()) -> pd.DataFrame:
    """Checked bars as a table: timestamp (UTC, start of the bar), prices in points, volume, own columns."""
    start = bars.close_time.astype("datetime64[m]") - np.timedelta64(bars.bar_minutes, "m")
    table = {"timestamp": pd.DatetimeIndex(start.astype("datetime64[s]")).tz_localize("UTC")}
    table |= {name: getattr(bars, name) * bars.spec.tick_size for name in PRICES}
    table["volume"] = bars.volume
    table |= {name: bars.features[:, bars.feature_names.index(name)] for name in own}
    return pd.DataFrame(table)


def save_history(folder: pathlib.Path, bars: Bars, own: tuple[str, ...] = ()) -> None:
    """Keep the bars that a trader starts from, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / (HISTORY_FILE + ".partial")
    to_frame(bars, own).to_parquet(partial)
    partial.replace(folder / HISTORY_FILE)


def load_frame(frame: pd.DataFrame, spec: ContractSpec, bar_minutes: int, loader: Mapping[str, Any]) -> Bars:
    """Checked bars of a table that `to_frame` made, or of one that goes on from it."""
    options: dict[str, Any] = {name: loader[name] for name in _KEPT if name in loader}
    options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    repair = ("holiday_trading", "too_short")
    return load_bars(frame, spec, bar_minutes=bar_minutes, repair=repair, snap_to_tick=True, **options)


def stream(
    history: Bars, features: StreamingFeatures | FunctionFeatures, feed: Feed, tape: Tape, checked: int
) -> tuple[int, int, int]:
    """Stream a history into a trader's parts, and see that its features come out as they did in the batch.

    Args:
        history: checked bars.
        features, feed, tape: the parts, none of which has seen a bar.
        checked: of the history's last bars the features are compared at least; those of the tape must be among them.

    Returns the UTC minute of the last close, the day of its session and its price in ticks. Raises RuntimeError where a
    feature is not, to the bit, that of the batch.
    """
    first = features.begin(history, checked)
    ticks = np.stack([getattr(history, name) for name in PRICES], axis=1).tolist()
    minutes = history.close_time.astype("datetime64[m]").astype(np.int64).tolist()
    days = history.session_date.astype("datetime64[D]").astype(np.int64)[history.session].tolist()
    closes = history.scheduled_close[history.session].tolist()
    own = [history.feature_names.index(name) for name in feed.own]
    for at, row in enumerate(ticks[first:], first):
        given = {name: float(history.features[at, i]) for name, i in zip(feed.own, own, strict=True)}
        volume = float(history.volume[at])
        atr, values = features.update((row[0], row[1], row[2], row[3]), volume, given, minutes[at])
        batch = history.features[at]
        if atr != history.atr[at] or not np.array_equal(values, batch, equal_nan=True):
            text = f"bar {at:,} of the history has other features when streamed, {values} and not {batch}"
            raise RuntimeError(f"{text}: {features.if_not_equal}")
        if at >= len(ticks) - tape.size:
            place = feed.clock.place(minutes[at])._replace(day=days[at], scheduled_close=closes[at])
            tape.push(Row(minutes[at], place, tuple(row), volume, given, 0), atr, values)
            feed.admit(minutes[at], place, (*row, volume))
    tape.count = len(ticks)
    return minutes[-1], days[-1], ticks[-1][3]
