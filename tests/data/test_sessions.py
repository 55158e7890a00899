"""The New York clock, session dates and the calendars' scheduled closes."""

import datetime as dt
import zoneinfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trading_gymnax.data import sessions
from trading_gymnax.data.contracts import CONTRACTS, ContractSpec
from trading_gymnax.data.loader import RTH

NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
NQ, CL = CONTRACTS["NQ"], CONTRACTS["CL"]
PLAIN = ContractSpec("X", 0.25, 20.0, calendar=None)


def utc_minute(text: str) -> int:
    return int(np.datetime64(text, "m").astype(np.int64))


def place(utc: str, spec: ContractSpec = NQ) -> tuple[str, int]:
    """Session date and minute of a bar that closes at this UTC moment."""
    day, time = sessions.place_in_session(sessions.new_york_minutes(np.array([utc_minute(utc)])), spec)
    return str(day[0]), int(time[0])


@pytest.mark.parametrize(
    ("utc", "date", "minute"),
    [
        # Winter, New York is UTC-5. 18:01 on Sunday evening closes the first minute of Monday's session.
        ("2025-01-12T23:01", "2025-01-13", 1),
        ("2025-01-13T14:31", "2025-01-13", 931),  # 09:31: 6 h + 9 h 31 min
        ("2025-01-13T22:00", "2025-01-13", 1380),  # 17:00, the last bar
        ("2025-01-13T22:01", "2025-01-13", 1381),  # in the halt
        ("2025-01-13T23:00", "2025-01-13", 1440),  # 18:00 closes the halt, not the next session
        ("2025-01-13T23:01", "2025-01-14", 1),
        # The clock went forward on Sunday 2023-03-12: from then on UTC-4.
        ("2023-03-10T14:31", "2023-03-10", 931),
        ("2023-03-12T22:01", "2023-03-13", 1),
        ("2023-03-13T13:31", "2023-03-13", 931),
        # And back on Sunday 2022-11-06.
        ("2022-11-04T13:31", "2022-11-04", 931),
        ("2022-11-06T23:01", "2022-11-07", 1),
        ("2022-11-07T14:31", "2022-11-07", 931),
    ],
)
def test_bars_are_placed_by_the_new_york_close(utc: str, date: str, minute: int) -> None:
    assert place(utc) == (date, minute)


def test_a_session_that_starts_in_the_morning_keeps_its_date() -> None:
    stocks = ContractSpec("S", 0.01, 1.0, calendar="NYSE", session_start="09:30")
    assert place("2025-01-13T14:31", stocks) == ("2025-01-13", 1)
    assert sessions.close_minutes(stocks, np.array(["2025-01-13"], "M8[D]")).tolist() == [390]


@given(st.integers(utc_minute("1975-01-01"), utc_minute("2100-01-01")))
def test_wall_clock_agrees_with_the_time_zone_database(minute: int) -> None:
    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(minutes=minute)
    local = moment.astimezone(NEW_YORK).replace(tzinfo=None)
    expected = (local - dt.datetime(1970, 1, 1)) // dt.timedelta(minutes=1)
    assert sessions.new_york_minutes(np.array([minute])).tolist() == [expected]


@given(st.lists(st.integers(0, 2_000_000), min_size=1, max_size=20))
def test_wall_clock_of_many_is_that_of_each(minutes: list[int]) -> None:
    start = utc_minute("2022-10-01")
    together = sessions.new_york_minutes(start + np.array(minutes))
    alone = [sessions.new_york_minutes(np.array([start + minute]))[0] for minute in minutes]
    assert together.tolist() == alone


@pytest.mark.parametrize(
    ("spec", "date", "minute"),
    [
        (NQ, "2025-01-01", 0),  # New Year: closed
        (NQ, "2025-01-02", 1380),  # 17:00
        (NQ, "2025-01-04", 0),  # Saturday
        (
            NQ,
            "2025-01-09",
            1380,
        ),  # the calendar errs: trading stopped at 09:30, so the day ends up not usable
        (NQ, "2025-01-20", 1140),  # Martin Luther King: 13:00
        (NQ, "2025-02-17", 1140),  # Washington's birthday
        (NQ, "2025-04-18", 915),  # Good Friday: 09:15, though nothing traded
        (NQ, "2025-05-26", 1140),  # Memorial Day
        (NQ, "2024-11-29", 1155),  # the day after Thanksgiving: 13:15
        (NQ, "2022-01-17", 1140),
        (CL, "2025-01-20", 1230),  # crude oil trades until 14:30 on that day
        (CL, "2025-04-18", 0),
        (PLAIN, "2025-01-01", 1380),  # without a calendar every weekday is a full session
        (PLAIN, "2025-01-04", 0),
    ],
)
def test_scheduled_closes(spec: ContractSpec, date: str, minute: int) -> None:
    assert sessions.close_minutes(spec, np.array([date], "M8[D]")).tolist() == [minute]


def test_scheduled_closes_do_not_depend_on_the_other_dates() -> None:
    dates = np.arange("2015-06-01", "2026-06-01", dtype="M8[D]")
    together = sessions.close_minutes(NQ, dates)
    for at in range(0, len(dates), 97):
        assert sessions.close_minutes(NQ, dates[at : at + 1])[0] == together[at]


def test_scheduled_dates_are_the_calendars_sessions() -> None:
    dates = sessions.scheduled_dates(NQ, np.datetime64("2024-12-23"), np.datetime64("2025-01-03"))
    # Without the weekend, Christmas Day and New Year's Day.
    assert [str(date)[5:] for date in dates] == [
        "12-23",
        "12-24",
        "12-26",
        "12-27",
        "12-30",
        "12-31",
        "01-02",
        "01-03",
    ]


def test_full_session_is_the_commonest_close() -> None:
    assert sessions.full_session_minutes(NQ, np.array(["2025-01-20"], "M8[D]")) == 1380
    assert sessions.full_session_minutes(PLAIN, np.array([], "M8[D]")) == 1380


@pytest.mark.parametrize(
    ("rth", "minutes"),
    [
        (RTH, (930, 1379)),  # 09:30 is 15 h 30 min after 18:00, 16:59 is 22 h 59 min after it
        ((9.5, 16), (930, 1320)),
        ((18, 17), (0, 1380)),
        ((18, 18), (0, 1440)),
    ],
)
def test_hours_become_minutes_of_the_session(rth: tuple[float, float], minutes: tuple[int, int]) -> None:
    assert sessions.rth_minutes(rth, NQ) == minutes


def test_clock_text() -> None:
    assert [sessions.clock_text(minute, NQ) for minute in (0, 360, 930, 1380)] == [
        "18:00",
        "00:00",
        "09:30",
        "17:00",
    ]


def test_unknown_calendar_names_the_nearest() -> None:
    wrong = ContractSpec("X", 0.25, 20.0, calendar="CME Globx Equity")
    with pytest.raises(ValueError, match="unknown calendar 'CME Globx Equity': did you mean 'CME Globex Equity'"):
        sessions.close_minutes(wrong, np.array(["2025-01-02"], "M8[D]"))


def test_calendar_that_does_not_fit_the_start_is_refused() -> None:
    wrong = ContractSpec("X", 0.25, 20.0, calendar="NYSE", session_start="12:00")  # 28 hours to 16:00
    with pytest.raises(ValueError, match="does not fit session_start '12:00'"):
        sessions.close_minutes(wrong, np.array(["2025-07-03"], "M8[D]"))
