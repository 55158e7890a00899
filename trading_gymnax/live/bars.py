"""A bar as a feed gives it, and the session and minute that it belongs to."""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import zoneinfo
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from trading_gymnax.data import sessions
from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.data.names import PRICES

_EPOCH_UNITS = ((1e8, 1e10, 1.0), (1e11, 1e13, 1e-3), (1e14, 1e16, 1e-6), (1e17, 1e19, 1e-9))
_TIME_NAMES = ("time", "timestamp", "datetime", "date", "t")
_HOURS_KEPT = 48  # a bar asks for its own hour, and for that in which it must be flat
_SHORT = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}


class BadBar(ValueError):
    """A bar that cannot be read or cannot be; says why."""


@dataclasses.dataclass(frozen=True)
class Bar:
    """One bar of a feed."""

    time: Any  # stamp: a datetime, ISO text, np.datetime64 (UTC), or seconds, milli-, micro-, nanoseconds since 1970
    open: float  # points
    high: float
    low: float
    close: float
    volume: float = 0.0
    own: Mapping[str, float] | None = None  # values of the table's own columns, where features are made of them

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Bar:
        """A bar from a CSV row or a JSON object, names in any case, o, h, l, c, v and t understood.

        Raises BadBar for what is no bar.
        """
        named = {str(name).strip().lower(): value for name, value in values.items() if name is not None}
        named = {_SHORT.get(name, name): value for name, value in named.items()}
        stamp = next((named[name] for name in _TIME_NAMES if named.get(name) not in (None, "")), None)
        lacks = ["time"] * (stamp is None) + [name for name in PRICES if named.get(name) in (None, "")]
        if lacks:
            raise BadBar(f"no bar: {', '.join(lacks)} is missing in {dict(values)!r:.200}")
        try:
            numbers = {name: float(named[name]) for name in PRICES}
            volume = named.get("volume")
            numbers["volume"] = 0.0 if volume in (None, "") else float(volume)
            more = {str(k): float(v) for k, v in values.items() if _is_own(str(k)) and _is_number(v)}
        except (TypeError, ValueError):
            raise BadBar(f"no bar: a price or the volume is no number in {dict(values)!r:.200}") from None
        return cls(time=stamp, own=more or None, **numbers)


def _is_own(name: str) -> bool:
    lower = name.strip().lower()
    return lower not in (*_TIME_NAMES, *_SHORT, *PRICES, "volume")


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def utc_minute(stamp: Any, timezone: str | None) -> float:
    """A stamp -> minutes since 1970 UTC; not whole where the stamp has seconds.

    Raises BadBar for what is no stamp, and for text without an offset where no timezone is known.
    """
    if isinstance(stamp, np.datetime64):
        return float(stamp.astype("datetime64[us]").astype(np.int64)) / 60e6
    if isinstance(stamp, bool) or stamp is None:
        raise BadBar(f"{stamp!r} is no time")
    if isinstance(stamp, int | float | np.integer | np.floating):
        for low, high, seconds in _EPOCH_UNITS:
            if low <= stamp < high:
                return float(stamp) * seconds / 60
        raise BadBar(f"the time {stamp!r} is not since 1970")
    if isinstance(stamp, str):
        text = stamp.strip()
        if text.replace(".", "", 1).isdigit() and len(text) > 8:
            return utc_minute(float(text), timezone)
        try:
            stamp = dt.datetime.fromisoformat(text)
        except ValueError:
            raise BadBar(f"the time {text!r} is not like 2025-03-13T14:30:00Z") from None
    if not isinstance(stamp, dt.datetime):
        raise BadBar(f"{stamp!r} is no time")
    if stamp.tzinfo is None:
        if timezone is None:
            raise BadBar(f"the time {stamp} carries no offset: say which timezone the feed's stamps are in")
        stamp = stamp.replace(tzinfo=zoneinfo.ZoneInfo(timezone))
    return stamp.timestamp() / 60


class Place(NamedTuple):
    """Where a bar lies."""

    day: int  # date that names the session, days since 1970
    time: int  # minutes from the session's start to the close of the bar, 1 to 1440
    scheduled_close: int  # of the session, minutes since its start; 0 where the calendar has none
    usual_close: int  # of a full session


class Clock:
    """New York time, session and scheduled close of a bar's close, with a calendar looked up once a session."""

    def __init__(self, spec: ContractSpec) -> None:
        self.spec = spec
        self._offsets: dict[int, int] = {}  # minutes from UTC to New York by hour since 1970, of the hours asked last
        self._day: tuple[int, int, int] = (-1, 0, 0)

    def place(self, close_minute: int) -> Place:
        """The place of a bar that closes at this UTC minute."""
        days, times = sessions.place_in_session(np.array([close_minute + self._offset(close_minute)]), self.spec)
        day = int(days.astype(np.int64)[0])
        if self._day[0] != day:
            closing = int(sessions.close_minutes(self.spec, days)[0])
            self._day = (day, closing, sessions.full_session_minutes(self.spec, days))
        return Place(day, int(times[0]), self._day[1], self._day[2])

    def new_york(self, minute: int) -> str:
        """A UTC minute as New York's clock shows it, ISO."""
        return str(np.datetime64(minute + self._offset(minute), "m"))

    def _offset(self, minute: int) -> int:
        """Minutes from UTC to New York, looked up once an hour: it changes on whole hours only."""
        hour = minute // 60
        if hour not in self._offsets:
            if len(self._offsets) >= _HOURS_KEPT:
                self._offsets.clear()
            self._offsets[hour] = int(sessions.new_york_minutes(np.array([hour * 60]))[0]) - hour * 60
        return self._offsets[hour]

    def look_ahead(self, close_minute: int) -> None:
        """Read the calendar of this year and the next, so that New Year's first bar need not wait for it."""
        day = np.datetime64(close_minute, "m").astype("datetime64[D]")
        for ahead in (0, 366):
            sessions.close_minutes(self.spec, np.array([day + np.timedelta64(ahead, "D")]))

    def sessions_between(self, day: int, other: int) -> int:
        """Sessions of the calendar between two dates, both excluded."""
        if other - day < 2:
            return 0
        first, last = np.datetime64(day + 1, "D"), np.datetime64(other - 1, "D")
        return len(sessions.scheduled_dates(self.spec, first, last))


def iso(close_minute: int) -> str:
    """UTC minute -> "2025-03-13T14:30Z"."""
    return f"{np.datetime64(close_minute, 'm')}Z"
