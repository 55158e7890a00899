"""Checks of single bars: numbers, ticks, time stamps, sessions. Each finds, tells and drops; none fills in.

The checks run one after the other, each on what the one before left, so that every count stands on its own;
a table is refused only after the last of them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from trading_gymnax.data import sessions
from trading_gymnax.data.clocks import clock_is_wrong
from trading_gymnax.data.columns import RawTable
from trading_gymnax.data.findings import Findings
from trading_gymnax.data.prices import check_levels, check_neighbours
from trading_gymnax.data.rows import Rows, drop
from trading_gymnax.data.spec import ContractSpec
from trading_gymnax.data.stamps import MICROSECONDS_PER_MINUTE, NOT_A_TIME, Clock, Stamps
from trading_gymnax.text import count_text

# Prices in float32 files miss their tick by less than a thousandth of it.
TICK_TOLERANCE = 0.01
LARGEST_TICKS = 2**30  # differences of two prices must fit int32
_EXAMPLES = 3
# So many bars against the calendar are no stray prints: then the calendar may be the one that errs.
_MANY_BARS = 30
_DAY, _HOUR = 1440, 60  # minutes


def check_rows(
    table: RawTable,
    stamps: Stamps | None,
    spec: ContractSpec,
    findings: Findings,
    bar_minutes: int | None,
    mark_is_end: bool,
) -> tuple[Rows, int | None]:
    """All checks of single bars. Returns the good rows in time order and the length of a bar in minutes.

    The length is None where it, or the time of the bars, is not known; then a finding says why. What follows from a
    cause that was found is not looked for: no sessions under a wrong clock, no ticks of another market.
    """
    rows = _all_rows(table, stamps)
    rows = _check_missing(rows, table, stamps, findings)
    rows = _check_inconsistent(rows, findings)
    if table.prices is not None:
        rows = check_levels(rows, spec, findings)
    if findings.has("market", "numbers") or table.prices is None:
        return rows, None
    rows = _check_ticks(rows, spec, findings)
    if stamps is None or len(rows) == 0:
        return rows, None
    rows = _check_order(rows, findings)
    minutes = None if findings.has("symbol") else _bar_length(rows, spec, findings, bar_minutes)
    if minutes is None:
        return rows, None
    rows = check_neighbours(rows, spec, findings, minutes)
    rows = _check_grid(rows, spec, findings, minutes, mark_is_end)
    rows = _check_sessions(rows, table.clock, spec, findings, minutes, mark_is_end)
    return _check_repeated_hour(rows, findings), minutes


def _all_rows(table: RawTable, stamps: Stamps | None) -> Rows:
    size = len(table)
    none = np.zeros(size, np.int64)
    return Rows(
        row=np.arange(size),
        prices=np.ones((size, 4)) if table.prices is None else table.prices,
        volume=np.zeros(size) if table.volume is None else table.volume,
        utc=none if stamps is None else stamps.utc,
        ticks=np.zeros((size, 4), np.int32),
        close_minute=none,
        day=none.astype("datetime64[D]"),
        time=none.astype(np.int32),
    )


def _check_missing(rows: Rows, table: RawTable, stamps: Stamps | None, findings: Findings) -> Rows:
    clock_change = np.zeros(len(rows), bool) if stamps is None else stamps.clock_change
    no_number = np.isnan(rows.prices).any(axis=1) | np.isnan(rows.volume)
    if no_number.any() and table.refuse_unreadable(findings):
        return rows.take(~no_number)
    missing = no_number | ((rows.utc == NOT_A_TIME) & ~clock_change)
    what = "with a missing or unreadable price, volume or time stamp"
    if no_number.any():
        what += f", the first has {table.missing_value(int(np.argmax(no_number)))}"
    rows, clock_change = drop(rows, missing, findings, "nan", what), clock_change[~missing]
    what = "whose local time exists twice or never, at a change of the clock; stamps in UTC have no such hour"
    return drop(rows, clock_change, findings, "clock_change", what)


def _check_inconsistent(rows: Rows, findings: Findings) -> Rows:
    opening, high, low, close = rows.prices.T
    bad = (high < np.maximum(np.maximum(opening, close), low)) | (low > np.minimum(opening, close))
    what = "whose high is below, or whose low is above, another of its prices, or whose volume is negative"
    return drop(rows, bad | (rows.volume < 0), findings, "inconsistent", what)


def _check_ticks(rows: Rows, spec: ContractSpec, findings: Findings) -> Rows:
    exact = rows.prices / spec.tick_size
    large = np.asarray((np.abs(exact) > LARGEST_TICKS).any(axis=1))
    if large.any():
        text = (
            f"{count_text(int(large.sum()), 'bar')} with a price of more than {LARGEST_TICKS:,} ticks of "
            f"{spec.tick_size:g} ({rows.examples(large)}): is this the right market?"
        )
        findings.refuse("too_large", text, int(large.sum()))
        rows, exact = rows.take(~large), exact[~large]
    _note_off_tick(rows, np.abs(exact - np.rint(exact)) > TICK_TOLERANCE, spec, findings)
    return dataclasses.replace(rows, ticks=np.rint(exact).astype(np.int32))


def _note_off_tick(rows: Rows, off: np.ndarray, spec: ContractSpec, findings: Findings) -> None:
    bad = np.asarray(off.any(axis=1))
    count = int(bad.sum())
    if count == 0:
        return
    text = (
        f"{count_text(count, 'bar')} with a price off the tick of {spec.tick_size:g}, the first is "
        f"{rows.prices[off][0]:.10g} ({rows.examples(bad)})"
    )
    if count > len(rows) // 2:
        text += "; so many come from an adjusted series or from another market"
    findings.repairable("off_tick", text, count, "rounded to the nearest tick")


def _check_order(rows: Rows, findings: Findings) -> Rows:
    """Backward steps and repeated stamps, both counted in the order of the source."""
    backward = np.zeros(len(rows), bool)
    backward[1:] = rows.utc[1:] < rows.utc[:-1]
    if backward.any():
        count = int(backward.sum())
        text = f"time stamps run backward at {count_text(count, 'bar')} ({rows.examples(backward)})"
        findings.repairable("backward", text, count, "sorted all bars by time")
        # Stable sorting keeps the order of the source among equal stamps: the first one of each is kept.
        rows = rows.take(np.argsort(rows.utc, kind="stable"))
    repeated = np.zeros(len(rows), bool)
    repeated[1:] = rows.utc[1:] == rows.utc[:-1]
    if not repeated.any():
        return rows
    kept = np.maximum.accumulate(np.where(repeated, 0, np.arange(len(rows))))
    differ = int((rows.prices != rows.prices[kept]).any(axis=1).sum())
    if differ > max(_MANY_BARS, len(rows) // 20):
        text = (
            f"{count_text(int(repeated.sum()), 'bar')} that repeat an earlier time stamp, {differ:,} of them with "
            f"other prices ({rows.examples(repeated)}): several instruments in one table, or one read twice; without a "
            "column symbol none can be told from the others, so split them"
        )
        findings.refuse("symbol", text, int(repeated.sum()))
        return rows.take(~repeated)
    what = f"that repeat an earlier time stamp, {differ:,} of them with other prices"
    return drop(rows, repeated, findings, "repeated", what)


def _bar_length(rows: Rows, spec: ContractSpec, findings: Findings, bar_minutes: int | None) -> int | None:
    """Length of a bar in minutes: as told, or the commonest step between two stamps."""
    if bar_minutes is not None:
        return int(bar_minutes)
    steps = np.diff(rows.utc)
    if len(steps) == 0:
        return 1
    values, counts = np.unique(steps, return_counts=True)
    step = int(values[np.argmax(counts)])
    minute = MICROSECONDS_PER_MINUTE
    if np.median(steps) >= _DAY * minute:
        often = "days" if np.median(steps) < 4 * _DAY * minute else "weeks"
        text = f"a bar lasts {often}, not minutes ({step // minute:,} mostly): day trading needs bars within the day"
        findings.refuse("bar_minutes", text)
        return None
    if step % minute == 0:
        length = _length_on_grid(rows, spec, step // minute)
        if length >= _HOUR:
            name = "hourly bars" if length == _HOUR else f"bars of {length:,} minutes"
            findings.doubt(
                "bar_minutes", f"these are {name}: what happens within one is hidden, and a session has few decisions"
            )
        return length
    irregular = "" if counts.max() > len(steps) / 2 else ", and steps differ, as those of ticks do"
    text = (
        f"the commonest step between two rows is {step / 1e6:g} seconds{irregular}: bars must last whole minutes, so "
        "make bars of a minute of them first"
    )
    findings.refuse("bar_minutes", text)
    return None


def _length_on_grid(rows: Rows, spec: ContractSpec, step: int) -> int:
    """The step, or the part of it on whose grid the stamps lie: a thin contract may trade in every other minute."""
    since = rows.utc // MICROSECONDS_PER_MINUTE - spec.session_start_minute
    if 60 % step or (since % step != 0).mean() <= 1 / 2:
        return step
    parts = (part for part in range(step - 1, 0, -1) if step % part == 0)
    return next((part for part in parts if (since % part != 0).mean() <= 1 / 100), step)


def _check_grid(rows: Rows, spec: ContractSpec, findings: Findings, bar_minutes: int, mark_is_end: bool) -> Rows:
    """Puts the bars on the New York clock, and tells those that close between two whole bars."""
    close_minute = rows.utc // MICROSECONDS_PER_MINUTE + (0 if mark_is_end else bar_minutes)
    day, time = sessions.place_in_session(sessions.new_york_minutes(close_minute), spec)
    rows = dataclasses.replace(rows, close_minute=close_minute, day=day, time=time)
    full = sessions.full_session_minutes(spec, day)
    if full % bar_minutes:
        what = "hourly bars" if bar_minutes == 60 else f"bars of {bar_minutes:,} minutes"
        text = f"{what} do not divide a session of {full:,} minutes, as 1, 5 or 10 do"
        findings.refuse("bar_minutes", text)
        return rows.take(np.zeros(len(rows), bool))
    bad = (rows.utc % MICROSECONDS_PER_MINUTE != 0) | (time % bar_minutes != 0)
    what = f"that do not close on a whole {bar_minutes}-minute step after {spec.session_start} New York"
    return drop(rows, bad, findings, "off_grid", what)


def _check_repeated_hour(rows: Rows, findings: Findings) -> Rows:
    """Minutes that New York's clock has twice, on a night in autumn in which only markets without a weekend trade."""
    if len(rows) == 0 or findings.has("timezone", "timestamps_mark"):
        return rows
    minute = rows.day.astype(np.int64) * (_DAY + 1) + rows.time
    latest = np.maximum.accumulate(minute)
    again = np.zeros(len(rows), bool)
    again[1:] = minute[1:] <= latest[:-1]
    what = "in the hour that New York's clock has twice in autumn: a session counts its minutes by that clock"
    return drop(rows, again, findings, "clock_change", what)


def _check_sessions(
    rows: Rows, clock: Clock | None, spec: ContractSpec, findings: Findings, bar_minutes: int, mark_is_end: bool
) -> Rows:
    """Bars where nothing trades. A bar counts as inside when it starts before the scheduled close.

    Clock and calendar alone decide, so a bar's fate never depends on later bars. Where a regular share of the bars is
    outside, the clock is wrong and not the bars: then none is dropped, whatever repair is allowed.
    """
    if len(rows) == 0:
        return rows
    days, inverse = np.unique(rows.day, return_inverse=True)
    close = sessions.close_minutes(spec, days)[inverse]
    full = sessions.full_session_minutes(spec, days)
    start = rows.time - bar_minutes
    open_weekends = spec.calendar is None and spec.weekends
    weekend = (close == 0) & ~sessions.is_weekday(rows.day) & (not open_weekends)
    halt = ~weekend & (start >= np.maximum(close, full))
    if clock_is_wrong(rows, weekend | halt, clock, spec, findings, bar_minutes, mark_is_end):
        return rows
    holiday = ~weekend & ~halt & (close == 0)
    late = ~weekend & ~halt & ~holiday & (start >= close)
    against = int((holiday | late).sum())
    advice = ""
    if against and "holiday_trading" in findings.repair:
        text = f"{count_text(against, 'bar')} {_days_against(rows, holiday | late, spec)}"
        findings.repairable("holiday_trading", text, against, "kept as bars of that session")
        holiday, late = np.zeros_like(holiday), np.zeros_like(late)
    elif against > _MANY_BARS:
        days_text = _days_against(rows, holiday | late, spec)
        advice = f"; {against:,} {days_text}; if the calendar errs, repair='holiday_trading' keeps them"
    kinds = (
        (weekend, "on a weekend"),
        (halt, "in the daily halt"),
        (holiday, "on a holiday"),
        (late, "after an early close"),
    )
    listed = ", ".join(f"{int(mask.sum()):,} {words}" for mask, words in kinds if mask.any())
    what = f"outside the sessions, {listed}{advice}"
    return drop(rows, weekend | halt | holiday | late, findings, "stray_prints", what)


def _days_against(rows: Rows, against: np.ndarray, spec: ContractSpec) -> str:
    days, counts = np.unique(rows.day[against], return_counts=True)
    most = np.sort(np.argsort(-counts, kind="stable")[:_EXAMPLES])
    listed = ", ".join(f"{days[at]} ({counts[at]:,})" for at in most)
    more = ", ..." if len(days) > len(most) else ""
    return f"on days that {spec.calendar!r} calls closed by then: {listed}{more}"
