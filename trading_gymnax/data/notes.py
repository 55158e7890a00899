"""What is worth knowing about a table without refusing it: holes, zero volume, jumps, sessions not usable."""

from __future__ import annotations

import dataclasses

import numpy as np

from trading_gymnax.data import sessions
from trading_gymnax.data.findings import Findings
from trading_gymnax.data.rows import Rows
from trading_gymnax.data.spec import ContractSpec
from trading_gymnax.text import count_text

_EXAMPLES = 3
_USABLE_WITHIN = 5  # minutes: a session is usable when its bars reach so near (docs/rules.md, section 2.4)
# A step from one close to the next open of so many ordinary bar ranges is a contract roll, or great news.
_ROLL_RANGES = 15.0
_STOCK_OPEN = 9 * 60 + 30  # New York minute at which volume jumps in every market of the table
_CLEAR_PEAK = 1.5
_PEAK_DAYS = 5
_MANY_BARS = 100
_LISTED_JUMPS = 8


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
        """Group rows in time order. A kept holiday gets the usual close: the calendar knows no other."""
        date, start, inverse = np.unique(rows.day, return_index=True, return_inverse=True)
        closes = sessions.close_minutes(spec, date)
        usual = sessions.full_session_minutes(spec, date)
        return cls(
            session=inverse.astype(np.int32),
            date=date,
            start=start.astype(np.int32),
            end=np.append(start[1:], len(rows)).astype(np.int32),
            scheduled_close=np.where(closes > 0, closes, usual).astype(np.int32),
        )


def note_table(
    rows: Rows, day: SessionTable, spec: ContractSpec, findings: Findings, bar_minutes: int, mark_is_end: bool
) -> None:
    """Holes, zero volume, jumps that look like a roll, doubtful stamps or ticks, sessions without a bar."""
    _note_holes(rows, day, spec, findings, bar_minutes)
    empty = rows.volume == 0
    if empty.any() and not empty.all():
        share = 100.0 * empty.mean()
        text = f"{count_text(int(empty.sum()), 'bar')} of zero volume, {share:.2g} % ({rows.examples(empty)})"
        findings.note("zero_volume", text, int(empty.sum()))
    _note_jumps(rows, day, spec, findings)
    if bar_minutes == 1:
        _note_volume_peak(rows, spec, findings, mark_is_end)
    _note_coarse_ticks(rows, spec, findings)
    absent = np.setdiff1d(sessions.scheduled_dates(spec, day.date[0], day.date[-1]), day.date)
    if len(absent):
        listed = ", ".join(map(str, absent[:8])) + (", ..." if len(absent) > 8 else "")
        text = f"{count_text(len(absent), 'session')} of the calendar without a single bar: {listed}"
        findings.note("absent_sessions", text, len(absent))


def _note_holes(rows: Rows, day: SessionTable, spec: ContractSpec, findings: Findings, bar_minutes: int) -> None:
    """Bars missing inside a session, or before it where sessions usually begin earlier.

    The first session of a table may begin anywhere. What is missing at the end of one is told with it.
    """
    first = rows.time[day.start]
    usual = int(np.bincount(first).argmax())
    before = np.zeros(len(rows), np.int64)
    before[1:] = rows.time[:-1]
    before[day.start] = np.minimum(first, usual) - bar_minutes
    before[0] = rows.time[0] - bar_minutes
    missing = (rows.time - before) // bar_minutes - 1
    holes = np.flatnonzero(missing > 0)
    if len(holes) == 0:
        return
    longest = holes[np.argsort(-missing[holes], kind="stable")[:_EXAMPLES]]
    listed = ", ".join(
        f"{missing[at]:,} from {sessions.clock_text(before[at], spec)} in session {rows.day[at]}" for at in longest
    )
    total = int(missing.sum())
    text = f"{count_text(len(holes), 'hole')} in sessions, {count_text(total, 'bar')} missing; longest: {listed}"
    findings.note("holes", text, total)


def _note_jumps(rows: Rows, day: SessionTable, spec: ContractSpec, findings: Findings) -> None:
    """Steps from one close to the next open as large as the spread between two contract months."""
    if len(rows) < 2:
        return
    ticks = rows.ticks.astype(np.int64)
    usual = max(float(np.median(ticks[:, 1] - ticks[:, 2])), 1.0)
    step = ticks[1:, 0] - ticks[:-1, 3]
    large = np.flatnonzero(np.abs(step) > _ROLL_RANGES * usual)
    if len(large) == 0:
        return
    between = int((day.session[large] != day.session[large + 1]).sum())
    largest = large[np.argsort(-np.abs(step[large]), kind="stable")[:_LISTED_JUMPS]]
    listed = ", ".join(f"{step[at] * spec.tick_size:+.10g} points into session {rows.day[at + 1]}" for at in largest)
    jumps = f"{count_text(len(large), 'jump')} from one bar to the next ({between:,} between sessions)"
    text = (
        f"{jumps} that may be a contract roll, largest: {listed}; several contracts in one series must be "
        "adjusted, or cut at the roll"
    )
    findings.note("jumps", text, len(large))


def _note_volume_peak(rows: Rows, spec: ContractSpec, findings: Findings, mark_is_end: bool) -> None:
    """Volume jumps in the minute from 09:30 to 09:31; if it does beside it, stamps are read wrongly."""
    beside, words, mark = (-1, "a minute early", "start") if mark_is_end else (1, "a minute late", "end")
    opening = (_STOCK_OPEN + 1 - spec.session_start_minute) % sessions.MINUTES_PER_DAY
    at_open, at_beside = rows.time == opening, rows.time == opening + beside
    if min(int(at_open.sum()), int(at_beside.sum())) < _PEAK_DAYS:
        return
    if rows.volume[at_beside].mean() > _CLEAR_PEAK * rows.volume[at_open].mean():
        closes = sessions.clock_text(opening + beside, spec)
        text = (
            f"volume peaks in the bar that closes at {closes}, as if the bars were stamped {words}; is "
            f"timestamps_mark={mark!r} right?"
        )
        findings.note("timestamps_mark", text)


def _note_coarse_ticks(rows: Rows, spec: ContractSpec, findings: Findings) -> None:
    """Prices that all lie on a coarser grid than the contract's tick come from another contract."""
    step = int(np.gcd.reduce(rows.ticks.ravel()))
    if step > 1 and len(rows) >= _MANY_BARS:
        text = f"all prices are multiples of {step:,} ticks of {spec.tick_size:g}: is this {spec.symbol}?"
        findings.note("coarse_ticks", text)


def note_sessions(
    rows: Rows,
    day: SessionTable,
    spec: ContractSpec,
    findings: Findings,
    bar_minutes: int,
    rth: tuple[float, float],
    first_decision_bar: int,
) -> list[tuple[str, str]]:
    """Sessions not usable under these hours, each with the reason; a table that has no other is too short."""
    opening, closing = sessions.rth_minutes(rth, spec)
    flat = np.minimum(closing, day.scheduled_close)
    last = rows.time[day.end - 1]
    allowed = (rows.time >= opening) & (rows.time + bar_minutes < flat[day.session])
    allowed[-1] = False  # no bar is left to play
    by_clock = np.bincount(day.session, allowed, len(day.date)) > 0
    warm = np.arange(len(rows)) >= first_decision_bar
    after_warm_up = np.bincount(day.session, allowed & warm, len(day.date)) > 0
    reaches = last >= flat - _USABLE_WITHIN
    unusable = []
    for at in np.flatnonzero(~(reaches & after_warm_up)):
        due = sessions.clock_text(flat[at], spec)
        if not reaches[at]:
            stop = sessions.clock_text(last[at], spec)
            reason = f"its bars stop at {stop}, {count_text(int(flat[at] - last[at]), 'minute')} before {due}"
        elif not by_clock[at]:
            reason = f"no bar from {sessions.clock_text(opening, spec)} on allows an entry before {due}"
        else:
            reason = f"lies in the first {first_decision_bar:,} bars, the warm-up"
        unusable.append((str(day.date[at]), reason))
    if len(unusable) == len(day.date):
        _refuse_too_short(rows, unusable, findings, first_decision_bar, bool(reaches.any()))
    return unusable


def _refuse_too_short(
    rows: Rows,
    unusable: list[tuple[str, str]],
    findings: Findings,
    first_decision_bar: int,
    any_reaches: bool,
) -> None:
    if len(rows) < first_decision_bar + 2:
        why = f"{count_text(len(rows), 'bar')}, of which the first {first_decision_bar:,} are warm-up"
    else:
        date, reason = unusable[-1]
        why = f"none of {count_text(len(unusable), 'session')} is usable; the last one, {date}: {reason}"
        if not any_reaches:
            why += "; for data cut to other hours pass them, rth=(9.5, 16) say"
    findings.repairable("too_short", f"too short for one episode: {why}", len(rows), "loaded, for history only")
