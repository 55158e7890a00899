"""Time zones by name, and which zones fit the bars: those under which nothing trades in the daily halt or at weekends.

A zone is a name of the tz database, a fixed offset ("UTC-5", "UTC+5:30"), or "New York+7": the clock of brokers who
keep the New York close at midnight. An abbreviation that stands for a city's clock as well as for a fixed offset is
answered with a question.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import re
import zoneinfo
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.data import sessions
from trading_gymnax.data.spec import EQUITY_CALENDAR, ContractSpec
from trading_gymnax.text import did_you_mean

MICROSECONDS_PER_MINUTE = 60_000_000
_CITIES = {"ET": "America/New_York", "NY": "America/New_York", "CT": "America/Chicago", "Z": "UTC"}
_QUESTIONS = {  # abbreviation: what it may mean
    "EST": ("America/New_York", "UTC-5"),
    "EDT": ("America/New_York", "UTC-4"),
    "CST": ("America/Chicago", "UTC-6", "UTC+8 (China)"),
    "CDT": ("America/Chicago", "UTC-5"),
    "MST": ("America/Denver", "UTC-7"),
    "MDT": ("America/Denver", "UTC-6"),
    "PST": ("America/Los_Angeles", "UTC-8"),
    "PDT": ("America/Los_Angeles", "UTC-7"),
    "BST": ("Europe/London", "UTC+1"),
    "CET": ("Europe/Berlin", "UTC+1"),
    "CEST": ("Europe/Berlin", "UTC+2"),
    "EET": ("Europe/Helsinki", "UTC+2", "New York+7 (brokers)"),
    "EEST": ("Europe/Helsinki", "UTC+3", "New York+7 (brokers)"),
    "MET": ("Europe/Berlin", "UTC+1"),
    "WET": ("Europe/Lisbon", "UTC+0"),
    "IST": ("Asia/Kolkata", "Asia/Jerusalem", "Europe/Dublin"),
    "AEST": ("Australia/Sydney", "UTC+10"),
    "HST": ("Pacific/Honolulu", "UTC-10"),
}
OFFSETS_OF_NAMES = {  # hours from UTC of an abbreviation that stands in a stamp itself, beside its summer twin
    "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}  # fmt: skip
_FIXED = re.compile(r"(?:UTC|GMT)?\s*([+-])\s*(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
_SHIFTED = re.compile(r"(?:america/new[_ ]york|new[_ ]york|ny)\s*\+\s*(\d{1,2})(?:\s*h(?:ours?)?)?", re.IGNORECASE)
BROKER = "New York+7"
_NAMED = (
    "America/New_York", "America/Chicago", "UTC", "Europe/London", "Europe/Berlin", BROKER, "Asia/Tokyo",
    "Australia/Sydney",
)  # fmt: skip
_BLOCK = 30  # minutes: session starts and closes lie on whole and half hours, nearly
_FITS, _BEYOND_BEST = 0.005, 0.003  # shares of the bars outside the sessions
_CLEARLY_BUSY = 1.3
_STOCK_HOURS = ((9 * 60 + 30, 10 * 60), (15 * 60 + 30, 16 * 60))  # New York; the busiest of an index future's day


class ZoneError(ValueError):
    """A name that is no zone, or more than one; the text says what to do."""


@dataclasses.dataclass(frozen=True)
class Zone:
    """A zone, or a zone's clock moved ahead by some hours."""

    key: str  # its name as it can be given again
    tz: dt.tzinfo
    ahead: int = 0  # hours that the clock is ahead of `tz`
    remark: str = ""  # for the report

    def utc(self, wall: pd.Series) -> pd.Series:
        """Naive wall clock times -> naive UTC times; NaT where the clock skips or repeats an hour it cannot tell."""
        moved = wall - pd.Timedelta(hours=self.ahead) if self.ahead else wall
        try:  # the hour that comes twice in autumn, where the table has it twice
            aware = moved.dt.tz_localize(self.tz, ambiguous="infer", nonexistent="NaT")
        except ValueError:
            aware = moved.dt.tz_localize(self.tz, ambiguous="NaT", nonexistent="NaT")
        return aware.dt.tz_convert("UTC").dt.tz_localize(None)


def find_zone(name: Any) -> Zone | None:
    """The zone of that name, None for None. Raises ZoneError with the nearest name, or with what it may mean."""
    if name is None:
        return None
    text = " ".join(name.split()) if isinstance(name, str) else ""
    if text.upper() in _QUESTIONS:
        listed = " or ".join(_quoted(one) for one in _QUESTIONS[text.upper()])
        raise ZoneError(
            f"timezone {name!r} can be a city's clock, with summer time, or the same offset all year: pass {listed}"
        )
    fixed, shifted = _FIXED.fullmatch(text), _SHIFTED.fullmatch(text)
    if fixed is not None:
        return _fixed_zone(name, fixed)
    if shifted is not None and int(shifted[1]) <= 14:
        return Zone(f"New York+{int(shifted[1])}", zoneinfo.ZoneInfo("America/New_York"), int(shifted[1]))
    key = _CITIES.get(text.upper(), text)
    try:
        zone = zoneinfo.ZoneInfo(key)
    except (KeyError, ValueError, OSError, TypeError, AttributeError):
        names = sorted(zoneinfo.available_timezones())
        exact = {known.lower(): known for known in names}.get(key.lower().replace(" ", "_"))
        if exact is not None:
            return find_zone(exact)
        otherwise = "it is like 'America/New_York', 'UTC' or 'UTC-5'"
        hint = did_you_mean(name, names, otherwise, cutoff=0.5) if len(text) > 4 else otherwise
        raise ZoneError(f"unknown timezone {name!r}: {hint}") from None
    reversed_sign = re.fullmatch(r"Etc/GMT([+-])(\d+)", key)
    remark = ""
    if reversed_sign is not None and reversed_sign[2] != "0":
        remark = f", which is UTC{'-' if reversed_sign[1] == '+' else '+'}{reversed_sign[2]}"
    return Zone(key, zone, remark=remark)


def fixed_zone(minutes: int) -> Zone:
    """The zone that is so many minutes ahead of UTC all year."""
    hours, rest = divmod(abs(minutes), 60)
    text = f"UTC{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02d}" if rest else "")
    return Zone(text, dt.timezone(dt.timedelta(minutes=minutes)))


def _fixed_zone(name: Any, found: re.Match[str]) -> Zone:
    minutes = int(found[2]) * 60 + int(found[3] or 0)
    if minutes > 14 * 60:
        raise ZoneError(f"timezone {name!r}: no clock is more than 14 hours from UTC")
    return fixed_zone(-minutes if found[1] == "-" else minutes)


def _quoted(text: str) -> str:
    name, blank, rest = text.partition(" (")
    return f"{name!r}{blank}{rest}"


def fitting_zones(wall: np.ndarray, weight: np.ndarray, spec: ContractSpec, names: tuple[str, ...] = ()) -> list[str]:
    """Names of the zones under which these wall clock times are a market's, the likeliest first; [] where none fits.

    Args:
        wall: what the clock shows, microseconds since 1970, int64 [N].
        weight: how much traded in each bar, float64 [N]: where bars cover a part of the day only, the busiest half
            hours of an index future decide.
        names: zones to try; by default all whole and half hours from UTC, and the clocks of some cities.
    """
    blocks, share, traded = _half_hours(wall, weight)
    zones = [find_zone(name) for name in names or _NAMED]
    tried: list[Zone] = [zone for zone in zones if zone is not None]
    if not names:
        tried += [fixed_zone(minutes) for minutes in range(-12 * 60, 14 * 60 + 1, _BLOCK)]
    if len(blocks) == 0:
        return []
    stamps = pd.Series((blocks * _BLOCK).astype("datetime64[m]").astype("datetime64[us]"))
    outside, busy = np.ones(len(tried)), np.zeros(len(tried))
    for at, zone in enumerate(tried):
        utc = zone.utc(stamps)
        known = utc.notna().to_numpy()
        if not known.any():
            continue
        local = sessions.new_york_minutes(utc[known].to_numpy().astype("datetime64[m]").astype(np.int64))
        outside[at] = share[known][_outside(local, spec)].sum() + share[~known].sum() / 2
        busy[at] = traded[known][_in_stock_hours(local)].sum()
    best = outside.min()
    fits = np.flatnonzero((outside <= best + _BEYOND_BEST) & (outside <= _FITS))
    if len(fits) > 1 and spec.calendar in (EQUITY_CALENDAR, "NYSE") and traded.any():
        most = busy[fits].max()
        if most > _CLEARLY_BUSY * np.median(busy[fits]) or np.all(busy[fits] > 0.98 * most):
            fits = fits[busy[fits] > 0.98 * most]
    found = list(dict.fromkeys(tried[at].key for at in fits))
    return _without_twins(found, stamps)


def _without_twins(names: list[str], stamps: pd.Series) -> list[str]:
    """Fixed offsets that are what a named zone was on all of these dates come after the names, and one only."""
    named = [name for name in names if not re.fullmatch(r"UTC[+-].*", name)]
    fixed = [name for name in names if name not in named]
    return named + [name for name in fixed if not (name == "UTC+0" and "UTC" in named)]


def _half_hours(wall: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half hours that have bars, and their shares of the bars and of what was traded."""
    blocks, inverse, counts = np.unique(
        wall // (_BLOCK * MICROSECONDS_PER_MINUTE), return_inverse=True, return_counts=True
    )
    traded = np.bincount(inverse, np.clip(weight, 0, None), len(blocks))
    return blocks, counts / max(len(wall), 1), traded / max(traded.sum(), 1e-300)


def _outside(local: np.ndarray, spec: ContractSpec) -> np.ndarray:
    """Half hours of the New York clock that lie wholly outside a week's usual sessions, bool [N]."""
    day, time = sessions.place_in_session(local + 1, spec)  # the minute after the start lies in the session itself
    full = sessions.full_session_minutes(spec, day)
    closed = (time - 1) >= full
    if spec.calendar is None and spec.weekends:
        return closed
    return closed | ~sessions.is_weekday(day)


def _in_stock_hours(local: np.ndarray) -> np.ndarray:
    of_day = local % sessions.MINUTES_PER_DAY
    return np.any([(of_day >= low) & (of_day < high) for low, high in _STOCK_HOURS], axis=0)
