"""Checks of single bars: numbers, ticks, time stamps, sessions. Each finds, tells and drops; none fills in.

The checks run one after the other, each on what the one before left, so that every count stands on its own;
a table is refused only after the last of them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from trading_gymnax.data import sessions
from trading_gymnax.data.columns import RawTable
from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.data.findings import Findings
from trading_gymnax.data.stamps import MICROSECONDS_PER_MINUTE, NOT_A_TIME
from trading_gymnax.text import count_text

# Prices in float32 files miss their tick by less than a thousandth of it.
_TICK_TOLERANCE = 0.01
_LARGEST_TICKS = 2**30  # differences of two prices must fit int32
_EXAMPLES = 3
# So many bars against the calendar are no stray prints: then the calendar may be the one that errs.
_MANY_BARS = 30


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows that are left, N of them."""

    row: np.ndarray  # position in the source, int64 [N]
    prices: np.ndarray  # float64 [N, 4]: open, high, low, close, points
    volume: np.ndarray  # float64 [N]
    utc: np.ndarray  # stamp as the source has it, microseconds since 1970, int64 [N]
    ticks: np.ndarray  # prices in ticks, int32 [N, 4]; 0 until the prices are checked
    close_minute: np.ndarray  # UTC minute of the close since 1970, int64 [N]; 0 until the bar length is known
    day: np.ndarray  # date of the session, datetime64[D] [N]; likewise
    time: np.ndarray  # minute of the close since the session's start, int32 [N]; likewise

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: np.ndarray) -> Rows:
        """The rows of a mask or an index array."""
        return Rows(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))

    def examples(self, mask: np.ndarray) -> str:
        """ "row 12 at 2025-01-11 10:20 New York, ..." of the first chosen rows, counted from 1."""
        chosen = np.flatnonzero(mask)
        texts = []
        for at in chosen[:_EXAMPLES]:
            utc = self.utc[at : at + 1]
            when = f" at {_new_york_text(utc)}" if utc[0] not in (0, NOT_A_TIME) else ""
            texts.append(f"row {self.row[at] + 1:,}{when}")
        return ", ".join(texts) + (", ..." if len(chosen) > len(texts) else "")


def check_rows(
    table: RawTable, spec: ContractSpec, findings: Findings, bar_minutes: int | None, mark_is_end: bool
) -> tuple[Rows, int | None]:
    """All checks of single bars. Returns the good rows in time order and the length of a bar in minutes.

    The length is None where it, or the time of the bars, is not known; then a finding says why.
    """
    size = len(table)
    none = np.zeros(size, np.int64)
    rows = Rows(
        row=np.arange(size),
        prices=np.zeros((size, 4)) if table.prices is None else table.prices,
        volume=np.zeros(size) if table.volume is None else table.volume,
        utc=none if table.stamps is None else table.stamps.utc,
        ticks=np.zeros((size, 4), np.int32),
        close_minute=none,
        day=none.astype("datetime64[D]"),
        time=none.astype(np.int32),
    )
    rows = _check_missing(rows, table, findings)
    rows = _check_prices(rows, spec, findings)
    if table.stamps is None or len(rows) == 0:
        return rows, None
    rows = _check_order(rows, findings)
    minutes = _bar_length(rows, findings, bar_minutes)
    if minutes is None:
        return rows, None
    rows = _check_grid(rows, spec, findings, minutes, mark_is_end)
    return _check_sessions(rows, spec, findings, minutes, mark_is_end), minutes


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
    no_number = np.isnan(rows.prices).any(axis=1) | np.isnan(rows.volume)
    missing = no_number | ((rows.utc == NOT_A_TIME) & ~clock_change)
    what = "with a missing or unreadable price, volume or time stamp"
    if no_number.any():
        what += f", the first has {table.missing_value(int(np.argmax(no_number)))}"
    rows, clock_change = _drop(rows, missing, findings, "nan", what), clock_change[~missing]
    what = "whose local time exists twice or never, at a change of the clock; stamps in UTC have no such hour"
    return _drop(rows, clock_change, findings, "clock_change", what)


def _check_prices(rows: Rows, spec: ContractSpec, findings: Findings) -> Rows:
    opening, high, low, close = rows.prices.T
    bad = (high < np.maximum(np.maximum(opening, close), low)) | (low > np.minimum(opening, close))
    what = "whose high is below, or whose low is above, another of its prices, or whose volume is negative"
    rows = _drop(rows, bad | (rows.volume < 0), findings, "inconsistent", what)
    exact = rows.prices / spec.tick_size
    large = np.asarray((np.abs(exact) > _LARGEST_TICKS).any(axis=1))
    if large.any():
        text = (
            f"{count_text(int(large.sum()), 'bar')} with a price of more than {_LARGEST_TICKS:,} ticks of "
            f"{spec.tick_size:g} ({rows.examples(large)}): is this the right market?"
        )
        findings.refuse("too_large", text, int(large.sum()))
        rows, exact = rows.take(~large), exact[~large]
    _note_off_tick(rows, np.abs(exact - np.rint(exact)) > _TICK_TOLERANCE, spec, findings)
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
    what = f"that repeat an earlier time stamp, {differ:,} of them with other prices"
    return _drop(rows, repeated, findings, "repeated", what)


def _bar_length(rows: Rows, findings: Findings, bar_minutes: int | None) -> int | None:
    """Length of a bar in minutes: as told, or the commonest step between two stamps."""
    if bar_minutes is not None:
        return int(bar_minutes)
    steps = np.diff(rows.utc)
    if len(steps) == 0:
        return 1
    values, counts = np.unique(steps, return_counts=True)
    step = int(values[np.argmax(counts)])
    if step % MICROSECONDS_PER_MINUTE == 0:
        return step // MICROSECONDS_PER_MINUTE
    text = f"the commonest step between two bars is {step / 1e6:g} seconds: bars must last whole minutes"
    findings.refuse("bar_minutes", text)
    return None


def _check_grid(rows: Rows, spec: ContractSpec, findings: Findings, bar_minutes: int, mark_is_end: bool) -> Rows:
    """Puts the bars on the New York clock, and tells those that close between two whole bars."""
    close_minute = rows.utc // MICROSECONDS_PER_MINUTE + (0 if mark_is_end else bar_minutes)
    day, time = sessions.place_in_session(sessions.new_york_minutes(close_minute), spec)
    rows = dataclasses.replace(rows, close_minute=close_minute, day=day, time=time)
    full = sessions.full_session_minutes(spec, day)
    if full % bar_minutes:
        text = f"bars of {bar_minutes:,} minutes do not divide a session of {full:,}, as 1, 5 or 15 do"
        findings.refuse("bar_minutes", text)
        return rows.take(np.zeros(len(rows), bool))
    bad = (rows.utc % MICROSECONDS_PER_MINUTE != 0) | (time % bar_minutes != 0)
    what = f"that do not close on a whole {bar_minutes}-minute step after {spec.session_start} New York"
    return _drop(rows, bad, findings, "off_grid", what)


def _check_sessions(rows: Rows, spec: ContractSpec, findings: Findings, bar_minutes: int, mark_is_end: bool) -> Rows:
    """Bars where nothing trades. A bar counts as inside when it starts before the scheduled close.

    Clock and calendar alone decide, so a bar's fate never depends on later bars.
    """
    if len(rows) == 0:
        return rows
    days, inverse = np.unique(rows.day, return_inverse=True)
    close = sessions.close_minutes(spec, days)[inverse]
    full = sessions.full_session_minutes(spec, days)
    start = rows.time - bar_minutes
    weekend = (close == 0) & ~sessions.is_weekday(rows.day)
    halt = ~weekend & (start >= np.maximum(close, full))
    holiday = ~weekend & ~halt & (close == 0)
    late = ~weekend & ~halt & ~holiday & (start >= close)
    against = int((holiday | late).sum())
    full_days = len(np.unique(rows.day[close == full]))
    advice = _mark_advice(rows.time[halt], full_days, full + bar_minutes, mark_is_end)
    if against and "holiday_trading" in findings.repair:
        text = f"{count_text(against, 'bar')} {_days_against(rows, holiday | late, spec)}"
        findings.repairable("holiday_trading", text, against, "kept as bars of that session")
        holiday, late = np.zeros_like(holiday), np.zeros_like(late)
    elif against > _MANY_BARS:
        days_text = _days_against(rows, holiday | late, spec)
        advice += f"; {against:,} {days_text}; if the calendar errs, repair='holiday_trading' keeps them"
    kinds = (
        (weekend, "on a weekend"),
        (halt, "in the daily halt"),
        (holiday, "on a holiday"),
        (late, "after an early close"),
    )
    listed = ", ".join(f"{int(mask.sum()):,} {words}" for mask, words in kinds if mask.any())
    what = f"outside the sessions, {listed}{advice}"
    return _drop(rows, weekend | halt | holiday | late, findings, "stray_prints", what)


def _days_against(rows: Rows, against: np.ndarray, spec: ContractSpec) -> str:
    days, counts = np.unique(rows.day[against], return_counts=True)
    most = np.sort(np.argsort(-counts, kind="stable")[:_EXAMPLES])
    listed = ", ".join(f"{days[at]} ({counts[at]:,})" for at in most)
    more = ", ..." if len(days) > len(most) else ""
    return f"on days that {spec.calendar!r} calls closed by then: {listed}{more}"


def _mark_advice(time_in_halt: np.ndarray, full_days: int, after_close: int, mark_is_end: bool) -> str:
    """A word of advice where on most days a bar lies one bar too late or too early."""
    enough = 0.5 * max(full_days, len(time_in_halt))
    late = int((time_in_halt == after_close).sum())
    early = int((time_in_halt == sessions.MINUTES_PER_DAY).sum())
    if not mark_is_end and late > enough:
        return "; most days have one just after the close: pass timestamps_mark='end' if stamps mark the end"
    if mark_is_end and early > enough:
        return "; most days have one before the start: pass timestamps_mark='start' if stamps mark the start"
    return ""


def _new_york_text(utc: np.ndarray) -> str:
    minute = sessions.new_york_minutes(utc // MICROSECONDS_PER_MINUTE).astype("datetime64[m]")[0]
    return f"{str(minute).replace('T', ' ')} New York"
