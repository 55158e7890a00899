"""What is known of a vendor's layout: its clock, what its stamps mark, and the scale of its prices.

One row of `LAYOUTS` is all that a new vendor needs here; its words for columns belong into `names`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from trading_gymnax.data.names import normal_name, says_utc
from trading_gymnax.data.source import Source

_COMPACT = re.compile(r"\d{8} \d{6}")


@dataclasses.dataclass(frozen=True)
class Reading:
    """One way in which a layout's stamps can be meant."""

    vendor: str  # who writes it so
    timezone: str | None  # of stamps without an offset; None: the layout does not fix it
    mark: str | None = None  # "start" or "end" of the bar; None: the layout does not fix it


@dataclasses.dataclass(frozen=True)
class Layout:
    """A way of writing tables that is recognised by its look."""

    name: str
    matches: Callable[[Source, tuple[str, ...]], bool]  # of a source and its columns' names in lower case
    readings: tuple[Reading, ...]  # of several the one under which the bars are a market's
    fixed_point: bool = False  # whole prices count thousand-millionths of a point
    timestamp_format: str | None = None  # where the layout fixes what the stamps alone leave open


ANY = Layout("any other", lambda source, names: True, (Reading("", None),))


def _compact_stamps(source: Source, names: tuple[str, ...]) -> bool:
    """`yyyyMMdd HHmmss;open;high;low;close;volume` without a header."""
    if not source.headless or source.separator != ";" or source.frame.empty:
        return False
    return _COMPACT.fullmatch(str(source.frame.iloc[0, 0]).strip()) is not None


def _has(*wanted: str) -> Callable[[Source, tuple[str, ...]], bool]:
    return lambda source, names: set(wanted) <= set(names)


def _stamps_say_utc(source: Source, names: tuple[str, ...]) -> bool:
    return any(says_utc(name) for name in names)


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "yyyyMMdd HHmmss;open;high;low;close;volume",
        _compact_stamps,
        (Reading("NinjaTrader exports them", "UTC", "end"), Reading("HistData writes them", "UTC-5", "start")),
    ),
    Layout(
        "Databento",
        _has("ts_event"),
        (Reading("Databento writes them", "UTC", "start"),),
        fixed_point=True,
    ),
    Layout(
        "Dukascopy",
        _has("gmt time"),
        (Reading("the name of their column says", "UTC", "start"),),
        timestamp_format="%d.%m.%Y %H:%M:%S.%f",
    ),
    Layout("MultiCharts", _has("date", "time", "totalvolume"), (Reading("MultiCharts marks them", None, "end"),)),
    Layout("TradeStation", _has("date", "time", "up", "down"), (Reading("TradeStation marks them", None, "end"),)),
    Layout("a column that says UTC", _stamps_say_utc, (Reading("the name of their column says", "UTC"),)),
)


def recognise(source: Source) -> Layout:
    """The first layout that matches."""
    names = tuple(normal_name(name) for name in source.frame.columns)
    return next((layout for layout in LAYOUTS if layout.matches(source, names)), ANY)
