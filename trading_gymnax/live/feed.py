"""What happens to each bar of a feed before the rules see it: taken, repaired or left out, and always said.

| the bar | treatment | counts as an error |
|---|---|---|
| unreadable, a price missing or not finite, high below another price | left out | yes |
| off the tick | rounded to the nearest tick | unless `snap_to_tick` |
| between two whole bars of the session | left out | yes |
| outside the sessions (weekend, halt, holiday, after an early close) | left out | no |
| the same time as one before, same prices | left out | no |
| the same time as one before, other prices (revised) | the first one stands | yes |
| older than the last one and never seen (late, out of order) | left out | yes |
| after missing bars | taken; the hole is counted | no |

Each agrees with what the loader does with a table under the repairs `nan`, `inconsistent`, `off_tick`, `off_grid`,
`stray_prints`, `repeated`: so a table of the bars that came is the table that the live account saw. Only a late bar
makes a difference: a table is sorted, and a decision cannot be taken back.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trading_gymnax.data.checks import LARGEST_TICKS, TICK_TOLERANCE
from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.data.names import PRICES
from trading_gymnax.live.bars import BadBar, Bar, Clock, Place, iso, utc_minute

_REMEMBERED = 32  # bars in which a repetition is told from a revision


class Row(NamedTuple):
    """A bar as the rules see it."""

    minute: int  # UTC minute of the close since 1970
    place: Place
    ticks: tuple[int, int, int, int]  # open, high, low, close
    volume: float
    own: dict[str, float]
    missing: int  # bars of the session that did not come before it


class Note(NamedTuple):
    """A line of the log about a bar."""

    event: str  # "repeated", "revised", "late", "off_tick", ...
    text: str
    is_error: bool


class Feed:
    """The gate of a trader; remembers the last bars."""

    def __init__(
        self,
        spec: ContractSpec,
        bar_minutes: int,
        *,
        mark_is_end: bool = False,
        timezone: str | None = None,
        snap_to_tick: bool = False,
        keeps_holidays: bool = False,
        own: Sequence[str] = (),
    ) -> None:
        self.spec, self.bar_minutes, self.mark_is_end = spec, bar_minutes, mark_is_end
        self.timezone, self.snap_to_tick, self.keeps_holidays = timezone, snap_to_tick, keeps_holidays
        self.own = tuple(own)
        self.clock = Clock(spec)
        self.seen: OrderedDict[int, tuple[Any, ...]] = OrderedDict()
        self.last: int | None = None  # UTC minute of the last bar that was taken
        self.last_place: Place | None = None

    def take(self, bar: Bar) -> tuple[Row | None, list[Note]]:
        """The bar as the rules see it, or None where it is left out; and what is to be said about it."""
        try:
            minute = self.close_minute(bar)
            notes: list[Note] = []
            ticks = self._ticks(bar, minute, notes)
            own = self._own_values(bar, minute)
        except BadBar as bad:
            return None, [Note("bad_bar", f"left out: {bad}", True)]
        known = self._known(minute, (*ticks, float(bar.volume)))
        if known is not None:
            return None, [known]
        place = self.clock.place(minute)
        outside = self._outside(place, minute)
        if outside is not None:
            return None, [outside]
        if place.scheduled_close == 0:  # a kept holiday: the calendar knows no close, so the usual one serves
            place = place._replace(scheduled_close=place.usual_close)
        missing = self._missing(place, minute, notes)
        self.admit(minute, place, (*ticks, float(bar.volume)))
        return Row(minute, place, ticks, float(bar.volume), own, missing), notes

    def admit(self, minute: int, place: Place, values: tuple[Any, ...]) -> None:
        """Remember a bar that was taken."""
        self.last, self.last_place = minute, place
        self.seen[minute] = values
        if len(self.seen) > _REMEMBERED:
            self.seen.popitem(last=False)

    def close_minute(self, bar: Bar) -> int:
        """UTC minute of the bar's close. Raises BadBar for a stamp that is none."""
        minute = utc_minute(bar.time, self.timezone) + (0 if self.mark_is_end else self.bar_minutes)
        if minute != math.floor(minute):
            raise BadBar(f"the bar of {bar.time} does not close on a whole minute")
        return int(minute)

    def _ticks(self, bar: Bar, minute: int, notes: list[Note]) -> tuple[int, int, int, int]:
        prices = [float(getattr(bar, name)) for name in PRICES]
        if not all(map(math.isfinite, (*prices, bar.volume))):
            raise BadBar(f"a price or the volume of the bar of {iso(minute)} is not a finite number")
        opening, high, low, close = prices
        if high < max(opening, close, low) or low > min(opening, close) or bar.volume < 0:
            text = (
                f"open {opening:.10g}, high {high:.10g}, low {low:.10g}, close {close:.10g}, volume {bar.volume:.10g}"
            )
            raise BadBar(f"the prices of the bar of {iso(minute)} contradict one another: {text}")
        exact = [price / self.spec.tick_size for price in prices]
        if max(map(abs, exact)) > LARGEST_TICKS:
            raise BadBar(f"the bar of {iso(minute)} has a price of more than {LARGEST_TICKS:,} ticks")
        off = [p for p, x in zip(prices, exact, strict=True) if abs(x - round(x)) > TICK_TOLERANCE]
        if off:
            text = f"{iso(minute)}: {off[0]:.10g} is off the tick of {self.spec.tick_size:g}; rounded to the nearest"
            notes.append(Note("off_tick", text, not self.snap_to_tick))
        rounded = [round(x) for x in exact]  # half to even, as the loader rounds
        return rounded[0], rounded[1], rounded[2], rounded[3]

    def _own_values(self, bar: Bar, minute: int) -> dict[str, float]:
        given = bar.own or {}
        missing = [name for name in self.own if not math.isfinite(given.get(name, math.nan))]
        if missing:
            raise BadBar(f"the bar of {iso(minute)} lacks {', '.join(missing)}, of which features are made")
        return {name: float(given[name]) for name in self.own}

    def _known(self, minute: int, values: tuple[Any, ...]) -> Note | None:
        """What is to be said of a bar that is not later than the last one; None where it is later."""
        if self.last is None or minute > self.last:
            return None
        before = self.seen.get(minute)
        if before == values:
            return Note("repeated", f"{iso(minute)}: the bar came again, the same; left out", False)
        if before is not None:
            text = f"{iso(minute)}: the bar came again with other values, {values} after {before}; the first one stands"
            return Note("revised", text, True)
        if minute < next(iter(self.seen)):
            return Note("old", f"{iso(minute)}: older than the bars that are remembered; left out", False)
        return Note("late", f"{iso(minute)}: the bar came after that of {iso(self.last)}; left out", True)

    def _outside(self, place: Place, minute: int) -> Note | None:
        """Clock and calendar alone decide, as in the loader."""
        when = f"{iso(minute)}: the bar"
        if place.time % self.bar_minutes:
            text = f"{when} does not close on a whole {self.bar_minutes}-minute step; left out"
            return Note("off_grid", text, True)
        start = place.time - self.bar_minutes
        if place.scheduled_close == 0 and (place.day + 3) % 7 >= 5:
            return Note("outside", f"{when} lies on a weekend; left out", False)
        if start >= max(place.scheduled_close, place.usual_close):
            return Note("outside", f"{when} lies in the daily halt; left out", False)
        if self.keeps_holidays or start < place.scheduled_close:
            return None
        what = "on a holiday" if place.scheduled_close == 0 else "after an early close"
        return Note("outside", f"{when} lies {what}; left out", False)

    def _missing(self, place: Place, minute: int, notes: list[Note]) -> int:
        last = self.last_place
        if last is None:
            return 0
        if last.day == place.day:
            missing = (place.time - last.time) // self.bar_minutes - 1
            if missing > 0:
                notes.append(Note("missing", f"{iso(minute)}: {missing} bars are missing before it", False))
            return missing
        skipped = self.clock.sessions_between(last.day, place.day)
        if skipped:
            notes.append(Note("missing", f"{iso(minute)}: {skipped} whole sessions are missing before it", False))
        return 0

    def snapshot(self) -> dict[str, Any]:
        """All that is remembered, as plain values."""
        return {"last": self.last, "place": self.last_place, "seen": list(self.seen.items())}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        self.last = saved["last"]
        self.last_place = None if saved["place"] is None else Place(*saved["place"])
        self.seen = OrderedDict((int(minute), tuple(values)) for minute, values in saved["seen"])


def date_of(day: int) -> str:
    """Days since 1970 -> "2025-03-13"."""
    return str(np.datetime64(day, "D"))
