"""How columns are called: one table of names for all vendors.

A vendor's word for a column is added here, and nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

PRICES = ("open", "high", "low", "close")

COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "open": ("open", "o", "open_price", "open price", "openprice"),
    "high": ("high", "h", "high_price", "high price", "highprice", "max"),
    "low": ("low", "l", "low_price", "low price", "lowprice", "min"),
    "close": ("close", "c", "last", "latest", "close/last", "close_price", "close price", "closeprice", "price"),
    "volume": ("volume", "vol", "v", "vol.", "totalvolume", "total_volume", "total volume", "total vol"),
}
"""Names of each column in lower case; the first that a table has counts."""

TICK_VOLUMES = ("tickvol", "tick_volume", "tick volume", "tickvolume")
"""Counts of price changes: taken where there is no volume, or only an empty one beside them (MetaTrader)."""

VOLUME_PARTS = (("up", "down"), ("upvolume", "downvolume"), ("up_volume", "down_volume"), ("upvol", "downvol"))
"""Volumes that are given in two parts (TradeStation, MultiCharts): their sum is the volume."""

STAMP_NAMES = (
    "timestamp", "datetime", "date_time", "date time", "date/time", "datetime_utc", "timestamp_utc", "time_utc",
    "utc", "gmt time", "utc time", "time (utc)", "time (gmt)", "local time", "open_time", "open time", "opentime",
    "window_start", "bar_start", "time", "date", "ts_event", "ts", "t",
)  # fmt: skip
"""Names of stamps; of several the first."""

DATE_NAMES = ("date", "day", "trade date", "trading date", "trade_date", "trading_date")
CLOCK_NAMES = ("time", "timestamp", "clock", "hour")
"""Two halves of a stamp, where one holds days and the other clocks."""

SYMBOL_NAMES = (
    "symbol", "raw_symbol", "ticker", "instrument", "contract", "security", "sym", "root", "s", "instrument_id",
)  # fmt: skip
"""Names of the column that tells instruments apart; of several the first."""

FIELDS = ("timestamp", "date", "time", *COLUMN_NAMES, "symbol")
"""What `columns=` can name."""

_UTC = re.compile(r"(^|[\s_(])(utc|gmt)($|[\s_)])")


class UnreadableError(ValueError):
    """The source is no table; the text says why."""


def normal_name(name: Any) -> str:
    """A column's name as it is looked up: lower case, without blanks and MetaTrader's angle brackets."""
    return str(name).strip().strip("<>[]\"'").strip().lower()


def says_utc(name: str) -> bool:
    """Whether a stamp column's own name says that it is UTC: "Gmt time", "timestamp_utc"."""
    return _UTC.search(normal_name(name)) is not None


def plain_text(value: Any) -> str:
    """A cell as text. What is no Unicode (half of a surrogate pair) becomes "?", as Arrow would not keep it."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def check_columns(columns: Any) -> dict[str, str]:
    """`columns=` as {field: name in the source}.

    Args:
        columns: a mapping, "close=Latest,timestamp=Gmt time", or several such texts.

    Raises ValueError for an unknown field, a pair without "=", and a field or a name given twice.
    """
    if isinstance(columns, Mapping):
        pairs = [(str(field), str(name)) for field, name in columns.items()]
    else:
        texts = [columns] if isinstance(columns, str) else list(columns)
        parts = [part for text in texts for part in re.split(r",(?=\s*\w+\s*=)", str(text))]
        pairs = [_pair(part) for part in parts if part.strip()]
    found: dict[str, str] = {}
    for field, name in pairs:
        key = field.strip().lower()
        if key not in FIELDS:
            raise ValueError(f"columns names no field {field!r}: there are {', '.join(FIELDS)}")
        if key in found or name in found.values():
            raise ValueError(f"columns gives {key if key in found else name!r} twice")
        found[key] = name
    return found


def _pair(text: str) -> tuple[str, str]:
    field, equals, name = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"columns: {text!r} is not of the form field=name, close=Latest say")
    return field, name.strip().strip("\"'")
