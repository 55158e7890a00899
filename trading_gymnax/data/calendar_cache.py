"""Schedules kept on disk, so that the second look at a file does not wait for the calendars' libraries.

To import them and to ask them for a schedule takes a third of the time that `check` takes. What they said is kept in a
small file for each calendar and span of years, below XDG_CACHE_HOME or below `.cache` in the home folder. A file counts
only as a whole and under the very versions that wrote it; any other is computed anew, and replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import re
import sys
import tempfile
import zoneinfo
from collections.abc import Callable

import numpy as np

SWITCH = "TRADING_GYMNAX_CALENDAR_CACHE"
"""Environment variable: "false" or "0" reads and keeps nothing."""

LIBRARY = "pandas_market_calendars"
_SAY_WHEN = (LIBRARY, "exchange_calendars", "pandas", "tzdata")  # distributions that a schedule depends on
_FORMAT = 1

Schedule = tuple[np.ndarray, np.ndarray]
"""Session dates (datetime64[D] [S]), rising, and closes in New York minutes since 1970 (int64 [S])."""


def kept_schedule(name: str, first_year: int, last_year: int, compute: Callable[[], Schedule]) -> Schedule:
    """The schedule that was kept of a calendar in these years; else what `compute` says, which is then kept.

    A program that has imported the library may have calendars of its own in it, or changed some: it gets what
    `compute` says, and that is kept for nobody.
    """
    if LIBRARY in sys.modules or os.environ.get(SWITCH, "").lower() in ("false", "0"):
        return compute()
    header = _header(name, first_year, last_year)
    path = cache_folder() / f"{re.sub(r'[^A-Za-z0-9]+', '_', name)}-{first_year}-{last_year}"
    schedule = _read(path, header)
    if schedule is None:
        schedule = compute()
        _write(path, header, schedule)
    return schedule


def cache_folder() -> pathlib.Path:
    """`trading_gymnax/calendars` below XDG_CACHE_HOME, or below `.cache` in the home folder."""
    base = os.environ.get("XDG_CACHE_HOME")
    root = pathlib.Path(base) if base else pathlib.Path(os.path.expanduser("~")) / ".cache"
    return root / "trading_gymnax" / "calendars"


def _header(name: str, first_year: int, last_year: int) -> bytes:
    """What a schedule is made of, one line: another header is another schedule."""
    versions: dict[str, str | None] = {}
    for package in _SAY_WHEN:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # as tzdata may be, where the system has its own
            versions[package] = None
    what = {"format": _FORMAT, "calendar": name, "years": [first_year, last_year]}
    return json.dumps({**what, "versions": versions, "zones": _zones_changed()}).encode()


def _zones_changed() -> int | None:
    """When the system's time zones changed last, nanoseconds; None where it has none."""
    for folder in zoneinfo.TZPATH:
        with contextlib.suppress(OSError):
            return os.stat(os.path.join(folder, "America", "New_York")).st_mtime_ns
    return None


def _content(header: bytes, body: bytes) -> bytes:
    """A file: the header, a digest of all of it, and days and closes as little-endian int64 [2, S]."""
    return b"\n".join((header, hashlib.sha256(header + body).hexdigest().encode(), body))


def _read(path: pathlib.Path, header: bytes) -> Schedule | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    body = content[len(_content(header, b"")) :]
    if content != _content(header, body):
        return None
    days, closes = np.frombuffer(body, "<i8").astype(np.int64).reshape(2, -1)
    return days.astype("datetime64[D]"), closes


def _write(path: pathlib.Path, header: bytes, schedule: Schedule) -> None:
    """Whole or not at all; a folder that cannot be written is left alone."""
    body = np.stack([schedule[0].astype(np.int64), schedule[1]]).astype("<i8").tobytes()
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_content(header, body))
            os.replace(draft, path)
        except BaseException:
            os.unlink(draft)
            raise
