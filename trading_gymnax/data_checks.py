"""Checks of single bars: numbers, ticks, time stamps, sessions. Each finds, tells and drops; nothing is filled in.

The checks run one after the other, each on what the one before left, so that every count stands on its own; a table is
refused only after the last of them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from trading_gymnax import sessions
from trading_gymnax.contracts import ContractSpec
from trading_gymnax.data_report import Findings, count_text
from trading_gymnax.formats import RawTable
from trading_gymnax.stamps import MICROSECONDS_PER_MINUTE, NOT_A_TIME

# Prices in float32 files miss their tick by less than a thousandth of it.
_TICK_TOLERANCE = 0.01
_LARGEST_TICKS = 2**30  # differences of two prices must fit int32
_EXAMPLES = 3
# So many bars on a holiday are no stray prints: then the calendar may be the one that errs.
_MANY_BARS = 30


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows that are left, N of them."""

    row: np.ndarray  # position in the source, int64 [N]
    prices: np.ndarray  # float64 [N, 4]: open, high, low, close, points
    volume: np.ndarray  # float64 [N]
    utc: np.ndarray  # stamp as the source has it, microseconds since 1970, int64 [N]
    ticks: np.ndarray  # int32 [N, 4]; 0 before the prices are checked
    close_minute: np.ndarray  # UTC minute of the close since 1970, int64 [N]; this one and the
    day: np.ndarray  # date of the session, datetime64[D] [N];                  next two are 0
    time: np.ndarray  # minute of the close since the session's start, int32 [N]; until the grid is known

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: np.ndarray) -> Rows:
        """The rows of a mask or an index array."""
        return Rows(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))

    def examples(self, mask: np.ndarray) -> str:
        """ "row 12 at 2025-01-11 10:20 New York, ..." for the first chosen rows, counted from 1 below the header."""
        chosen = np.flatnonzero(mask)
        texts = []
        for at in chosen[:_EXAMPLES]:
            utc = self.utc[at : at + 1]
            when = f" at {_new_york_text(utc)}" if utc[0] not in (0, NOT_A_TIME) else ""
            texts.append(f"row {self.row[at] + 1:,}{when}")
        return ", ".join(texts) + (", ..." if len(chosen) > len(texts) else "")


def check_rows(
    table: RawTable, spec: ContractSpec, findings: Findings, bar_minutes: int | None, mark_is_end: bool
) -> tuple[Rows, int]:
    """All checks of single bars. Returns the good rows in time order and the length of a bar in minutes."""
    size = len(table)
    nothing = np.zeros(size, np.int64)
    rows = Rows(
        row=np.arange(size),
        prices=np.zeros((size, 4)) if table.prices is None else table.prices,
        volume=np.zeros(size) if table.volume is None else table.volume,
        utc=nothing if table.stamps is None else table.stamps.utc,
        ticks=np.zeros((size, 4), np.int32),
        close_minute=nothing,
        day=nothing.astype("datetime64[D]"),
        time=nothing.astype(np.int32),
    )
    rows = _check_missing(rows, table, findings)
    rows = _check_prices(rows, spec, findings)
    if table.stamps is None or len(rows) == 0:
        return rows, bar_minutes or 1
    rows = _check_order(rows, findings)
    bar_minutes = _bar_length(rows, spec, findings, bar_minutes)
    rows = _check_grid(rows, spec, findings, bar_minutes, mark_is_end)
    return _check_sessions(rows, spec, findings, bar_minutes, mark_is_end), bar_minutes


def _drop(rows: Rows, bad: np.ndarray, findings: Findings, repair: str, what: str) -> Rows:
    """Report and drop the bad rows under the name of their repair."""
    count = int(bad.sum())
    if count == 0:
        return rows
    text = f"{count_text(count, 'bar')} {what} ({rows.examples(bad)})"
    findings.repairable(repair, text, count, f"dropped {'it' if count == 1 else 'them'}")
    return rows.take(~bad)


def _check_missing(rows: Rows, table: RawTable, findings: Findings) -> Rows:
    clock_change = np.zeros(len(rows), bool) if table.stamps is None else table.stamps.clock_change
    missing = (
        np.isnan(rows.prices).any(axis=1) | np.isnan(rows.volume) | ((rows.utc == NOT_A_TIME) & ~clock_change)
    )
    what = "with a missing or unreadable price, volume or time stamp"
    rows, clock_change = _drop(rows, missing, findings, "nan", what), clock_change[~missing]
    what = "whose local time exists twice or never, because a clock change falls on it; stamps in UTC have no such hour"
    return _drop(rows, clock_change, findings, "clock_change", what)


def _check_prices(rows: Rows, spec: ContractSpec, findings: Findings) -> Rows:
    opening, high, low, close = rows.prices.T
    bad = (
        (high < np.maximum(np.maximum(opening, close), low))
        | (low > np.minimum(opening, close))
        | (rows.volume < 0)
    )
    what = "whose high is below, or whose low is above, another of its prices, or whose volume is negative"
    rows = _drop(rows, bad, findings, "inconsistent", what)
    exact = rows.prices / spec.tick_size
    large = (np.abs(exact) > _LARGEST_TICKS).any(axis=1)
    if large.any():
        findings.refuse(
            "too_large",
            f"{count_text(int(large.sum()), 'bar')} with a price of more than {_LARGEST_TICKS:,} ticks of "
            f"{spec.tick_size:g} ({rows.examples(large)}): is this the right market?",
            int(large.sum()),
        )
        rows, exact = rows.take(~large), exact[~large]
    nearest = np.rint(exact)
    off = np.abs(exact - nearest) > _TICK_TOLERANCE
    bad = off.any(axis=1)
    if bad.any():
        count = int(bad.sum())
        text = (
            f"{count_text(count, 'bar')} with a price off the tick of {spec.tick_size:g}, the first is "
            f"{rows.prices[off][0]:.10g} ({rows.examples(bad)})"
        )
        if count > len(rows) // 2:
            text += "; so many come from an adjusted series or another market"
        findings.repairable("off_tick", text, count, "rounded to the nearest tick")
    return dataclasses.replace(rows, ticks=nearest.astype(np.int32))


def _check_order(rows: Rows, findings: Findings) -> Rows:
    """Backward steps and repeated stamps, both counted in the order of the source."""
    backward = np.zeros(len(rows), bool)
    backward[1:] = rows.utc[1:] < rows.utc[:-1]
    order = np.argsort(rows.utc, kind="stable") if backward.any() else np.arange(len(rows))
    in_time = rows.take(order)
    repeated = np.zeros(len(rows), bool)
    repeated[1:] = in_time.utc[1:] == in_time.utc[:-1]
    if backward.any():
        count = int(backward.sum())
        what = f"time stamps run backward at {count_text(count, 'bar')} ({rows.examples(backward)})"
        findings.repairable("backward", what, count, "sorted all bars by time")
    if repeated.any():
        # Stable sorting keeps the order of the source among equal stamps: the first one of each is kept.
        first = np.maximum.accumulate(np.where(repeated, 0, np.arange(len(rows))))
        differ = int((repeated & (in_time.prices != in_time.prices[first]).any(axis=1)).sum())
        what = f"that repeat an earlier time stamp, {differ:,} of them with other prices"
        return _drop(in_time, repeated, findings, "repeated", what)
    return in_time


def _bar_length(rows: Rows, spec: ContractSpec, findings: Findings, bar_minutes: int | None) -> int:
    """Length of a bar in minutes: as told, or the commonest step between two stamps."""
    if bar_minutes is None:
        steps = np.diff(rows.utc)
        if len(steps) == 0:
            return 1
        values, counts = np.unique(steps, return_counts=True)
        step = int(values[np.argmax(counts)])
        if step % MICROSECONDS_PER_MINUTE:
            findings.refuse(
                "bar_minutes",
                f"the commonest step between two bars is {step / 1e6:g} s: bars must last whole minutes",
            )
        bar_minutes = max(step // MICROSECONDS_PER_MINUTE, 1)
    if spec.session_minutes % bar_minutes:
        findings.refuse(
            "bar_minutes",
            f"bars of {bar_minutes:,} minutes do not divide a session of {spec.session_minutes:,} minutes: "
            "1, 5, 10, 15 or 30 do",
        )
        return 1
    return bar_minutes


def _check_grid(
    rows: Rows, spec: ContractSpec, findings: Findings, bar_minutes: int, mark_is_end: bool
) -> Rows:
    """Puts the bars on the New York clock, and tells those that close between two whole bars."""
    close_minute = rows.utc // MICROSECONDS_PER_MINUTE + (0 if mark_is_end else bar_minutes)
    day, time = sessions.place_in_session(sessions.new_york_minutes(close_minute), spec)
    bad = (rows.utc % MICROSECONDS_PER_MINUTE != 0) | (time % bar_minutes != 0)
    rows = dataclasses.replace(rows, close_minute=close_minute, day=day, time=time)
    what = f"that do not close on a whole {bar_minutes}-minute step after {spec.session_start} New York"
    return _drop(rows, bad, findings, "off_grid", what)


def _check_sessions(
    rows: Rows, spec: ContractSpec, findings: Findings, bar_minutes: int, mark_is_end: bool
) -> Rows:
    """Bars where nothing trades. A bar counts as inside when it starts before the scheduled close.

    The decision looks at the clock and the calendar alone, so a bar's fate never depends on later bars.
    """
    days, inverse = np.unique(rows.day, return_inverse=True)
    closes = sessions.close_minutes(spec, days)[inverse]
    start = rows.time - bar_minutes
    weekend = (closes == 0) & ~sessions.is_weekday(rows.day)
    halt = ~weekend & (start >= spec.session_minutes)
    holiday = ~weekend & ~halt & (closes == 0)
    after_close = ~weekend & ~halt & ~holiday & (start >= closes)
    rows_against = holiday | after_close
    keep = np.zeros(len(rows), bool)
    if rows_against.any():
        text = _against_calendar(rows, holiday, after_close, spec)
        if "holiday_trading" in findings.repair:
            count = int(rows_against.sum())
            findings.repairable("holiday_trading", text, count, "kept as bars of that session")
            keep = rows_against
    stray = (weekend | halt | rows_against) & ~keep
    if not stray.any():
        return rows
    kinds = (("on a weekend", weekend), ("in the daily halt", halt), ("on a holiday", holiday & ~keep))
    kinds += (("after an early close", after_close & ~keep),)
    listed = ", ".join(f"{int(mask.sum()):,} {words}" for words, mask in kinds if mask.any())
    what = f"outside the sessions, {listed}{_mark_hint(rows, halt, bar_minutes, mark_is_end)}"
    count = int(rows_against.sum())
    if count > _MANY_BARS and not keep.any():
        findings.note("calendar", text)
    return _drop(rows, stray, findings, "stray_prints", what)


def _against_calendar(rows: Rows, holiday: np.ndarray, after_close: np.ndarray, spec: ContractSpec) -> str:
    days, counts = np.unique(rows.day[holiday | after_close], return_counts=True)
    listed = [
        f"{day} ({count_text(int(count), 'bar')})" for day, count in zip(days[:5], counts[:5], strict=True)
    ]
    return (
        f"calendar {spec.calendar!r} has a holiday or an early close where these days have bars: {', '.join(listed)}"
        f"{', ...' if len(days) > 5 else ''}; where the calendar errs, repair='holiday_trading' keeps them"
    )


def _mark_hint(rows: Rows, halt: np.ndarray, bar_minutes: int, mark_is_end: bool) -> str:
    """A word of advice where the bars of most days lie one bar too late or too early."""
    days = len(np.unique(rows.day[~halt]))
    late = int((halt & (rows.time == rows.time[~halt].max(initial=0) + bar_minutes)).sum())
    early = int((halt & (rows.time == sessions.MINUTES_PER_DAY)).sum())
    if not mark_is_end and days and late > 0.5 * days:
        return "; most days have one just after the close: the stamps mark the end of a bar, pass timestamps_mark='end'"
    if mark_is_end and days and early > 0.5 * days:
        return "; most days have one at the start: the stamps mark the start of a bar, pass timestamps_mark='start'"
    return ""


def _new_york_text(utc: np.ndarray) -> str:
    minute = sessions.new_york_minutes(utc // MICROSECONDS_PER_MINUTE).astype("datetime64[m]")[0]
    return f"{str(minute).replace('T', ' ')} New York"
