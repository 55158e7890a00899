"""What is worth knowing about a table without refusing it: holes, zero volume, jumps, sessions not usable."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd

from trading_gymnax import sessions
from trading_gymnax.contracts import ContractSpec
from trading_gymnax.data_checks import Rows
from trading_gymnax.data_report import Findings, count_text
from trading_gymnax.features import ATR_BARS, true_range, wilder_mean

_EXAMPLES = 3
_USABLE_WITHIN = (
    5  # minutes: a session is usable when its bars reach so near to its end (rule book, section 2)
)
# An overnight gap of so many ordinary bar ranges is a roll, or news of the size of one.
_ROLL_RANGES = 15.0


@dataclasses.dataclass(frozen=True)
class SessionTable:
    """The S sessions that have bars."""

    session: np.ndarray  # index of each bar's session, int32 [T]
    date: np.ndarray  # datetime64[D] [S]
    start: np.ndarray  # first bar, int32 [S]
    end: np.ndarray  # one past the last bar, int32 [S]
    scheduled_close: np.ndarray  # minutes since the session's start, int32 [S]

    @classmethod
    def of(cls, rows: Rows, spec: ContractSpec) -> SessionTable:
        """Group rows in time order by session. A day that the calendar does not know gets a full session's close."""
        date, start, inverse = np.unique(rows.day, return_index=True, return_inverse=True)
        closes = sessions.close_minutes(spec, date)
        return cls(
            session=inverse.astype(np.int32),
            date=date,
            start=start.astype(np.int32),
            end=np.append(start[1:], len(rows)).astype(np.int32),
            scheduled_close=np.where(closes > 0, closes, spec.session_minutes).astype(np.int32),
        )


def note_table(
    rows: Rows,
    day: SessionTable,
    ticks: pd.DataFrame,
    spec: ContractSpec,
    findings: Findings,
    bar_minutes: int,
) -> None:
    """Holes, zero volume, jumps that look like a roll, sessions of the calendar without a bar."""
    _note_holes(rows, day, spec, findings, bar_minutes)
    if rows.volume.any():
        empty = rows.volume == 0
        if empty.any():
            share = 100.0 * empty.mean()
            text = f"{count_text(int(empty.sum()), 'bar')} of zero volume ({share:.2g} %; {rows.examples(empty)})"
            findings.note("zero_volume", text, int(empty.sum()))
    _note_jumps(rows, day, ticks, spec, findings)
    known, _ = sessions.scheduled_sessions(spec, day.date[0], day.date[-1])
    absent = np.setdiff1d(known, day.date)
    if len(absent):
        listed = ", ".join(map(str, absent[:8])) + (", ..." if len(absent) > 8 else "")
        text = f"no bar at all in {count_text(len(absent), 'session')} of the calendar: {listed}"
        findings.note("absent_sessions", text, len(absent))


def _note_holes(
    rows: Rows, day: SessionTable, spec: ContractSpec, findings: Findings, bar_minutes: int
) -> None:
    """Bars missing inside a session, or before its first one; what is missing at its end is told session by session."""
    before = np.zeros(len(rows), np.int32)
    before[1:] = rows.time[:-1]
    before[day.start] = 0
    missing = (rows.time - before) // bar_minutes - 1
    hole = missing > 0
    if not hole.any():
        return
    worst = np.argsort(-missing, kind="stable")[:_EXAMPLES]
    listed = ", ".join(
        f"{day.date[day.session[at]]} {sessions.clock_text(before[at], spec)}-"
        f"{sessions.clock_text(rows.time[at] - bar_minutes, spec)}"
        for at in worst
        if missing[at] > 0
    )
    text = (
        f"{count_text(int(hole.sum()), 'hole')} inside sessions, {count_text(int(missing.sum()), 'bar')} missing; "
        f"longest: {listed}"
    )
    findings.note("holes", text, int(missing.sum()))


def _note_jumps(
    rows: Rows, day: SessionTable, ticks: pd.DataFrame, spec: ContractSpec, findings: Findings
) -> None:
    """Gaps between sessions that are as large as the spread between two contract months."""
    first = day.start[1:]
    if len(first) == 0:
        return
    usual = wilder_mean(true_range(ticks), ATR_BARS).median()
    gap = rows.ticks[first, 0].astype(np.int64) - rows.ticks[first - 1, 3]
    large = np.flatnonzero(np.abs(gap) > _ROLL_RANGES * max(usual, 1.0))
    if len(large) == 0:
        return
    listed = ", ".join(
        f"{day.date[at + 1]} {gap[at] * spec.tick_size:+.10g} points"
        for at in large[np.argsort(-np.abs(gap[large]), kind="stable")][:_EXAMPLES]
    )
    text = (
        f"{count_text(len(large), 'jump')} between sessions that may be a contract roll, largest: {listed}; a series "
        "of several contracts must be adjusted, or cut at the roll"
    )
    findings.note("jumps", text, len(large))


def note_sessions(
    rows: Rows,
    day: SessionTable,
    spec: ContractSpec,
    findings: Findings,
    bar_minutes: int,
    rth: tuple[float, float],
    first_decision_bar: int,
) -> list[tuple[str, str]]:
    """Sessions that are not usable under these hours, each with the reason; refuses a table that has no other."""
    opening, closing = sessions.rth_minutes(rth, spec)
    flat = np.minimum(closing, day.scheduled_close)
    last = rows.time[day.end - 1]
    flat_of_bar = flat[day.session]
    allowed = (rows.time >= opening) & (rows.time + bar_minutes < flat_of_bar)
    allowed[-1] = False  # no bar is left to play
    by_clock = np.bincount(day.session, allowed, len(day.date)) > 0
    warm = np.arange(len(rows)) >= first_decision_bar
    by_warm_up = np.bincount(day.session, allowed & warm, len(day.date)) > 0
    reaches = last >= flat - _USABLE_WITHIN
    unusable = []
    for at in np.flatnonzero(~(reaches & by_warm_up)):
        ends, due = sessions.clock_text(last[at], spec), sessions.clock_text(flat[at], spec)
        if not reaches[at]:
            reason = f"its bars stop at {ends}, {flat[at] - last[at]} minutes before {due}"
        elif not by_clock[at]:
            reason = (
                f"no bar between {sessions.clock_text(opening, spec)} and {due} at which an entry is allowed"
            )
        else:
            reason = f"lies in the first {first_decision_bar} bars, the warm-up of the features"
        unusable.append((str(day.date[at]), reason))
    if len(unusable) == len(day.date):
        _refuse_too_short(rows, unusable, findings, first_decision_bar, reaches)
    return unusable


def _refuse_too_short(
    rows: Rows,
    unusable: list[tuple[str, str]],
    findings: Findings,
    first_decision_bar: int,
    reaches: np.ndarray,
) -> None:
    if len(rows) < first_decision_bar + 2:
        text = f"{count_text(len(rows), 'bar')}: too short for one episode, the first {first_decision_bar} are warm-up"
    else:
        date, reason = unusable[-1]
        text = f"too short for one episode: none of {count_text(len(unusable), 'session')} is usable ({date}: {reason})"
        if not reaches.any():
            text += "; for data cut to other hours pass rth=(9.5, 16), say"
    findings.repairable("too_short", text, len(rows), "loaded, but no episode can start in it")
