"""Where and when: the zone of stamps without an offset, what stamps mark, and whether the bars contradict it.

A layout that several vendors write in several zones is decided by the bars, and the report says what was assumed. Any
other table without an offset is refused with the zones under which its bars lie in the market's sessions: a few days
cannot tell a city's clock from a fixed offset, and the vendor can.
"""

from __future__ import annotations

import shlex

import numpy as np

from trading_gymnax.data import sessions
from trading_gymnax.data.columns import RawTable
from trading_gymnax.data.findings import Findings
from trading_gymnax.data.layouts import Reading
from trading_gymnax.data.rows import Rows
from trading_gymnax.data.spec import EQUITY_CALENDAR, ContractSpec
from trading_gymnax.data.stamps import MICROSECONDS_PER_MINUTE, NOT_A_TIME, Clock, Stamps, as_utc, place
from trading_gymnax.data.zones import Zone, ZoneError, find_zone, fitting_zones
from trading_gymnax.text import count_text

_LISTED = 5
_REGULAR_MINUTES = 10  # outside the sessions, on most days
_REGULAR_SHARE = 0.1  # of all bars, on whatever days
_MARK_SHARE = 0.6  # of the bars in halts: more of them than the one bar a day are a wrong zone
_BUSY_DAYS = 5
_BUSY_STEP = 2.5
_HALF_HOUR = 30
_STOCK_OPEN = 9 * 60 + 30  # New York minute at which index futures become busy


def place_stamps(
    table: RawTable, timezone: str | None, timestamps_mark: str | None, spec: ContractSpec, findings: Findings
) -> tuple[Stamps | None, bool]:
    """The stamps as UTC, and whether they mark the end of a bar; None where nobody can tell, and a finding says so."""
    readings = table.layout.readings
    mark = timestamps_mark or (readings[0].mark if len(readings) == 1 else None)
    try:
        zone = find_zone(timezone)
    except ZoneError as error:
        findings.refuse("timestamp", str(error) + _fits_text(table, spec, advised=True))
        return None, mark == "end"
    if table.clock is None:
        return None, mark == "end"
    if table.clock.is_utc:
        if zone is not None:
            findings.note(
                "timezone", f"timezone={timezone!r} is not used: the stamps say themselves where they are from"
            )
        return as_utc(table.clock), mark == "end"
    if zone is not None:
        return place(table.clock, zone), (mark or _mark_by_fit(table.clock, zone, spec, readings)) == "end"
    reading = _likeliest(table, readings, spec)
    if reading is None or reading.timezone is None:
        findings.refuse("timestamp", _question(table, spec))
        return None, mark == "end"
    known = find_zone(reading.timezone)
    assert known is not None
    because = f", as {reading.vendor}"
    if len(readings) > 1:
        others = ", ".join(f"{one.timezone} as {one.vendor}" for one in readings if one is not reading)
        because += f" (assumed, as the bars fit; not {others})"
    return place(table.clock, known, because), (timestamps_mark or reading.mark) == "end"


def _likeliest(table: RawTable, readings: tuple[Reading, ...], spec: ContractSpec) -> Reading | None:
    """The reading under which the bars are the market's; None where none is, or several are."""
    known = [reading for reading in readings if reading.timezone is not None]
    if len(readings) == 1:
        return readings[0]
    fits = fitting_zones(*_weights(table), spec, tuple(str(reading.timezone) for reading in known))
    chosen = [reading for reading in known if reading.timezone in fits]
    return chosen[0] if len(chosen) == 1 else None


def _weights(table: RawTable) -> tuple[np.ndarray, np.ndarray]:
    """What the clock shows, and how much traded: volume, or where there is none the range of prices."""
    assert table.clock is not None
    wall = table.clock.microseconds
    if table.volume is not None and np.nan_to_num(table.volume).any():
        traded = np.nan_to_num(table.volume)
    elif table.prices is not None:
        traded = np.nan_to_num(table.prices[:, 1] - table.prices[:, 2])
    else:
        traded = np.ones(len(wall))
    known = wall != NOT_A_TIME
    return wall[known], traded[known]


def _mark_by_fit(clock: Clock, zone: Zone, spec: ContractSpec, readings: tuple[Reading, ...]) -> str:
    """What stamps of a layout of several vendors mark: at its start, or at its close, a session has no stamp."""
    if len(readings) == 1:
        return "start"
    utc = place(clock, zone).utc
    minutes = sessions.new_york_minutes(utc[utc != NOT_A_TIME] // MICROSECONDS_PER_MINUTE)
    day, time = sessions.place_in_session(minutes + 1, spec)
    full = sessions.full_session_minutes(spec, day)
    return "end" if int((time == full + 1).sum()) > int((time == 1).sum()) else "start"


def _question(table: RawTable, spec: ContractSpec) -> str:
    assert table.clock is not None
    known = table.clock.wall.dropna()
    first = known.iloc[0] if len(known) else "none"
    return f"the time stamps carry no offset (first: {first}), so nobody knows when these bars were" + (
        _fits_text(table, spec)
        or ": pass timezone='America/New_York' for US Eastern time, 'America/Chicago' for exchange time, 'UTC', or "
        "whatever your source says; the bars themselves do not tell"
    )


def _fits_text(table: RawTable, spec: ContractSpec, advised: bool = False) -> str:
    """ ": pass timezone=..." with the zones that fit; "" where none does, or too many. advised: behind other advice."""
    if table.clock is None or table.clock.is_utc:
        return ""
    return _listed(fitting_zones(*_weights(table), spec), spec, advised)


def _listed(names: list[str], spec: ContractSpec, advised: bool = False) -> str:
    if not names or len(names) > _LISTED:
        return ""
    listed = " or ".join(repr(name) for name in names)
    which = "; which of them, your source says" if len(names) > 1 else ""
    typed = " or ".join([shlex.quote(names[0]), *map(repr, names[1:])])
    given = f"timezone={listed}, --timezone {typed}"
    fit = f"the bars lie in the sessions of {spec.symbol}{which}"
    return f"; under {given} {fit}" if advised else f": pass {given}, under which {fit}"


def clock_is_wrong(
    rows: Rows,
    outside: np.ndarray,
    clock: Clock | None,
    spec: ContractSpec,
    findings: Findings,
    bar_minutes: int,
    mark_is_end: bool,
) -> bool:
    """Whether bars (bool [N]) lie outside the sessions day after day; a finding then says how the stamps are meant."""
    if not outside.any():
        return False
    count, full = int(outside.sum()), sessions.full_session_minutes(spec, rows.day)
    days = max(len(np.unique(rows.day[~outside])), 1)
    mark = _other_mark(rows, outside, full, bar_minutes, mark_is_end)
    if mark is not None:
        where, there = ("just after the close", "first") if mark == "end" else ("just before the start", "last")
        text = (
            f"most days have a bar {where} and none that is the {there} of a session, as stamps that mark the {mark} "
            f"of a bar do: pass timestamps_mark={mark!r}, --timestamps-mark {mark} ({rows.examples(outside)})"
        )
        findings.refuse("timestamps_mark", text, count)
        return True
    daily = count * bar_minutes / days >= _REGULAR_MINUTES and len(np.unique(rows.day[outside])) > days / 2
    if not daily and count < _REGULAR_SHARE * len(rows):
        return False
    text = (
        f"{count_text(count, 'bar')} in the daily halt or on a weekend, {count / days:.0f} on each day of {days:,} "
        f"({rows.examples(outside)}): the clock is wrong and not these bars"
    )
    findings.refuse("timezone", text + _zones_for(rows, clock, spec), count)
    return True


def _other_mark(rows: Rows, outside: np.ndarray, full: int, bar_minutes: int, mark_is_end: bool) -> str | None:
    """What the stamps mark where most sessions have one bar too late, or too early, and lack the one at the other."""
    of_week = sessions.is_weekday(rows.day)
    in_halt, days = int((outside & of_week).sum()), max(len(np.unique(rows.day[~outside])), 1)

    def count(minute: int) -> int:
        return int(((rows.time == minute) & of_week).sum())

    least = max(days / 2, in_halt * _MARK_SHARE)
    late, early = count(full + bar_minutes), count(sessions.MINUTES_PER_DAY)
    if not mark_is_end and late > least and count(bar_minutes) < late / 4:
        return "end"
    if mark_is_end and full < sessions.MINUTES_PER_DAY and early > least and count(full) < early / 4:
        return "start"
    return None


def _zones_for(rows: Rows, clock: Clock | None, spec: ContractSpec) -> str:
    """The end of a refusal: the zones under which these bars are the market's."""
    if clock is None:
        return ""
    traded = rows.volume if rows.volume.any() else (rows.ticks[:, 1] - rows.ticks[:, 2]).astype(np.float64)
    names = fitting_zones(clock.microseconds[rows.row], traded, spec)
    if not names:
        return f"; no zone at all puts them into the sessions of {spec.symbol}: is it another market?"
    if not clock.is_utc:
        return _listed(names, spec)
    if len(names) > _LISTED:
        return ""
    listed = " or ".join(repr(name) for name in names)
    return (
        f"; the bars fit where these stamps, read as UTC, are the clock of {listed}: then the offset in the file is "
        "wrong, and the stamps must be written without it, to be read with that timezone"
    )


def doubt_busy_minutes(
    rows: Rows, clock: Clock | None, spec: ContractSpec, findings: Findings, bar_minutes: int
) -> None:
    """A doubt where index futures become busy at another half hour than that of the stock market's open."""
    if spec.calendar not in (EQUITY_CALENDAR, "NYSE") or bar_minutes > _HALF_HOUR or not rows.volume.any():
        return
    start = (rows.time - bar_minutes + spec.session_start_minute) % sessions.MINUTES_PER_DAY
    block = start // _HALF_HOUR
    days = np.bincount(block, minlength=48)
    if days.max() * bar_minutes < _BUSY_DAYS * _HALF_HOUR:
        return
    traded = np.bincount(block, rows.volume, 48)
    step = traded / np.maximum(np.roll(traded, 1), traded.max() / 1000)
    busiest, due = int(traded.argmax()), _STOCK_OPEN // _HALF_HOUR
    opening = next((at for at in (busiest - 1, busiest) if step[at] >= _BUSY_STEP), busiest)
    if opening == due or step[opening] < _BUSY_STEP or step[due] >= _BUSY_STEP:
        return
    hours = (opening - due) / 2
    at = f"{opening // 2:02d}:{opening % 2 * 30:02d}"
    findings.doubt(
        "timezone",
        f"volume leaps at {at} New York and not at 09:30, where the stock market opens, as if the stamps were "
        f"{abs(hours):g} hours {'late' if hours > 0 else 'early'}: is the time zone right?"
        + _fit_hint(rows, clock, spec),
    )


def _fit_hint(rows: Rows, clock: Clock | None, spec: ContractSpec) -> str:
    names = [] if clock is None or clock.is_utc else fitting_zones(clock.microseconds[rows.row], rows.volume, spec)
    return f" The bars fit timezone={' or '.join(map(repr, names))}" if 0 < len(names) <= _LISTED else ""
