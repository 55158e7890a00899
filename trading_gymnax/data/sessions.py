"""The New York clock: which session a bar belongs to, at which minute of it, and when that session closes.

A session runs from 18:00 of the evening before to 17:00 New York and is named by the date on which it ends.
All times are wall clock minutes since the session's start, taken at the close of a bar, so daylight saving
needs no care after the one conversion from UTC. What a calendar publishes in advance (holidays, early
closes) comes from `pandas_market_calendars` and never from the bars.
"""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pandas as pd

from trading_gymnax.data.calendar_cache import Schedule, kept_schedule
from trading_gymnax.data.spec import ContractSpec
from trading_gymnax.text import did_you_mean

NEW_YORK = "America/New_York"
MINUTES_PER_DAY = 1440


def new_york_minutes(utc_minutes: np.ndarray) -> np.ndarray:
    """UTC minutes since 1970 -> minutes since 1970-01-01 00:00 of the New York wall clock, both int64 [N]."""
    if len(utc_minutes) == 0:
        return utc_minutes.astype(np.int64)
    # New York's offset changes only on whole UTC hours, so it is looked up once an hour and not once a bar.
    hours = utc_minutes // 60
    first = int(hours.min())
    present = np.unique(hours)
    utc = pd.DatetimeIndex(present.astype("datetime64[h]").astype("datetime64[s]")).tz_localize("UTC")
    wall = utc.tz_convert(NEW_YORK).tz_localize(None).to_numpy().astype("datetime64[m]").astype(np.int64)
    offset = np.zeros(int(hours.max()) - first + 1, np.int64)
    offset[present - first] = wall - present * 60
    return utc_minutes + offset[hours - first]


def place_in_session(wall_close: np.ndarray, spec: ContractSpec) -> tuple[np.ndarray, np.ndarray]:
    """Where bars that close at these New York minutes (int64 [N]) lie.

    Returns the session's date (datetime64[D] [N]) and the minute of the close since the session's start
    (int32 [N], 1 to 1440): a bar that closes exactly at 18:00 is the last of the day before.
    """
    since = wall_close - spec.session_start_minute - 1
    day = since // MINUTES_PER_DAY + spec.date_shift_days
    return day.astype("datetime64[D]"), (since % MINUTES_PER_DAY + 1).astype(np.int32)


def close_minutes(spec: ContractSpec, dates: np.ndarray) -> np.ndarray:
    """Scheduled close of the sessions of `dates` (datetime64[D] [S]), minutes since their start, int32 [S].

    0 where the calendar knows no session (weekend, full holiday). Raises ValueError for an unknown calendar.
    """
    dates = np.asarray(dates, "datetime64[D]")
    if len(dates) == 0:
        return np.zeros(0, np.int32)
    if spec.calendar is None:
        return np.where(is_weekday(dates) | spec.weekends, spec.session_minutes, 0).astype(np.int32)
    known, closes = _schedule(spec, dates)
    at = np.minimum(np.searchsorted(known, dates), len(known) - 1)
    return np.where(known[at] == dates, closes[at], 0).astype(np.int32)


def full_session_minutes(spec: ContractSpec, dates: np.ndarray) -> int:
    """Minute of the usual close: the calendar's commonest one in the years of `dates` (datetime64[D] [S])."""
    if spec.calendar is None or len(dates) == 0:
        return spec.session_minutes
    _, closes = _schedule(spec, np.asarray(dates, "datetime64[D]"))
    return int(np.bincount(closes).argmax())


def scheduled_dates(spec: ContractSpec, first: np.datetime64, last: np.datetime64) -> np.ndarray:
    """Dates (datetime64[D]) of all sessions that the calendar has from first to last, both included."""
    dates = np.arange(first, last + np.timedelta64(1, "D"), dtype="datetime64[D]")
    return dates[close_minutes(spec, dates) > 0]


def is_weekday(dates: np.ndarray) -> np.ndarray:
    """True from Monday to Friday; day 0 of the epoch was a Thursday."""
    return (np.asarray(dates, "datetime64[D]").astype(np.int64) + 3) % 7 < 5


def rth_minutes(rth: tuple[float, float], spec: ContractSpec) -> tuple[int, int]:
    """Hours -> (open minute, close minute) since the session's start (docs/rules.md, section 2.1).

    The hours are New York clock hours, converted by rint(60 h) in float32. An opening hour equal to the
    session's start is minute 0, a closing hour equal to it is minute 1440.
    """
    start = spec.session_start_minute
    opening, closing = (int(np.rint(np.float32(60) * np.float32(hour))) for hour in rth)
    return (opening - start) % MINUTES_PER_DAY, (closing - start - 1) % MINUTES_PER_DAY + 1


def clock_text(minute: int, spec: ContractSpec) -> str:
    """Minute since the session's start -> "13:00" on the New York clock."""
    of_day = (int(minute) + spec.session_start_minute) % MINUTES_PER_DAY
    return f"{of_day // 60:02d}:{of_day % 60:02d}"


def _schedule(spec: ContractSpec, dates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Session dates, and close minutes since the session's start, in the years of `dates`."""
    years = np.array([dates.min(), dates.max()]).astype("datetime64[Y]").astype(int) + 1970
    known, closes = _calendar(str(spec.calendar), int(years[0]), int(years[1]))
    start = spec.session_start_minute - MINUTES_PER_DAY * spec.date_shift_days
    minutes = closes - known.astype(np.int64) * MINUTES_PER_DAY - start
    if np.any((minutes < 1) | (minutes > MINUTES_PER_DAY)):
        raise ValueError(
            f"calendar {spec.calendar!r} does not fit session_start {spec.session_start!r} of {spec.symbol}: "
            "some of its sessions close before they start or last more than a day; choose another of the two"
        )
    return known, minutes


@functools.lru_cache(maxsize=64)
def _calendar(name: str, first_year: int, last_year: int) -> Schedule:
    """Session dates (datetime64[D]) and closes (New York minutes since 1970) over whole years."""
    return kept_schedule(name, first_year, last_year, lambda: _published(name, first_year, last_year))


def _published(name: str, first_year: int, last_year: int) -> Schedule:
    """What the library says, as `_calendar`. Raises ValueError for an unknown calendar."""
    import pandas_market_calendars  # takes a quarter of a second, and the built-in market needs no calendar

    known = pandas_market_calendars.get_calendar_names()
    if name not in known:
        hint = did_you_mean(name, known)
        text = f"unknown calendar {name!r}: {hint} names are those of pandas_market_calendars, or None"
        raise ValueError(text)
    with warnings.catch_warnings():  # some of its calendars use what pandas will drop one day
        warnings.simplefilter("ignore")
        # Holidays are observed across New Year, so a day is only right with its neighbours in the schedule.
        calendar = pandas_market_calendars.get_calendar(name)
        table = calendar.schedule(f"{first_year - 1}-12-01", f"{last_year + 1}-01-31")
    utc = table["market_close"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
    closes = new_york_minutes(utc.astype("datetime64[m]").astype(np.int64))
    return table.index.to_numpy().astype("datetime64[D]"), closes
