"""Schedules kept on disk: the same as the library's, and computed anew wherever a file is not exactly what was kept."""

import importlib.metadata
import os
import subprocess
import sys

import numpy as np
import pytest

from trading_gymnax.data import sessions
from trading_gymnax.data.calendar_cache import LIBRARY, SWITCH, cache_folder, kept_schedule

SCHEDULE = np.array(["2025-01-02", "2025-01-03"], "M8[D]"), np.array([28_930_980, 28_932_420])
OTHER = np.array(["2025-01-06"], "M8[D]"), np.array([28_936_740])
NAME, YEARS = "CME Globex Equity", (2025, 2025)


@pytest.fixture(autouse=True)
def fresh_home(monkeypatch, tmp_path):
    """A cache of its own, in a process that has not imported the library."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(SWITCH, raising=False)
    monkeypatch.delitem(sys.modules, LIBRARY, raising=False)


def never():
    raise AssertionError("computed, though it was kept")


def same(one, other):
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def keep():
    """The one file that is kept."""
    kept_schedule(NAME, *YEARS, lambda: SCHEDULE)
    (path,) = cache_folder().iterdir()
    return path


@pytest.mark.parametrize("name", [NAME, "CMEGlobex_CrudeAndRefined", "NYSE"])
def test_what_is_kept_is_what_the_library_says(name, monkeypatch):
    said = sessions._published(name, 2021, 2026)
    monkeypatch.delitem(sys.modules, LIBRARY)
    assert same(kept_schedule(name, 2021, 2026, lambda: said), said)
    assert same(kept_schedule(name, 2021, 2026, never), said)


def test_a_second_process_does_not_import_the_library():
    program = [
        "import sys",
        "import numpy as np",
        "from trading_gymnax.data import sessions",
        "from trading_gymnax.data.contracts import CONTRACTS",
        "dates = np.array(['2025-01-01', '2025-01-20', '2025-01-21'], 'M8[D]')",
        "print(sessions.close_minutes(CONTRACTS['NQ'], dates).tolist(), 'exchange_calendars' in sys.modules)",
    ]
    line = [sys.executable, "-c", "\n".join(program)]
    said = [subprocess.run(line, capture_output=True, text=True, check=True).stdout for _ in range(2)]
    assert said == ["[0, 1140, 1380] True\n", "[0, 1140, 1380] False\n"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:-8],
        lambda content: content + bytes(16),
        lambda content: content[:-1] + bytes([content[-1] ^ 1]),
        lambda content: content.replace(b'"format": 1', b'"format": 0'),
        lambda content: b"notes of somebody else\n",
    ],
    ids=["empty", "truncated", "longer", "a bit", "older format", "foreign"],
)
def test_a_file_that_is_not_what_was_kept_is_replaced(damage):
    path = keep()
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert path.read_bytes() != whole
    assert same(kept_schedule(NAME, *YEARS, lambda: SCHEDULE), SCHEDULE)
    assert path.read_bytes() == whole


@pytest.mark.parametrize("package", [LIBRARY, "exchange_calendars", "pandas", "tzdata"])
def test_another_version_is_computed_anew(package, monkeypatch):
    path = keep()
    installed = importlib.metadata.version

    def version(name):
        if name == package:
            return "9.9"
        return installed(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert same(kept_schedule(NAME, *YEARS, lambda: OTHER), OTHER)
    assert list(cache_folder().iterdir()) == [path]  # in the old one's place
    assert same(kept_schedule(NAME, *YEARS, never), OTHER)


def test_other_time_zones_are_computed_anew(monkeypatch, tmp_path):
    keep()
    (tmp_path / "zones" / "America").mkdir(parents=True)
    (tmp_path / "zones" / "America" / "New_York").write_bytes(b"")
    monkeypatch.setattr("zoneinfo.TZPATH", (str(tmp_path / "zones"),))
    assert same(kept_schedule(NAME, *YEARS, lambda: OTHER), OTHER)
    monkeypatch.setattr("zoneinfo.TZPATH", ())
    assert same(kept_schedule(NAME, *YEARS, lambda: SCHEDULE), SCHEDULE)


def test_other_years_and_names_are_not_taken_for_these():
    path = keep()
    assert same(kept_schedule(NAME, 2024, 2025, lambda: OTHER), OTHER)
    assert same(kept_schedule(NAME.replace(" ", "/"), *YEARS, lambda: OTHER), OTHER)  # the same file
    assert {kept.name for kept in cache_folder().iterdir()} == {path.name, path.name.replace("2025-", "2024-")}
    assert same(kept_schedule(NAME, *YEARS, lambda: SCHEDULE), SCHEDULE)


def test_who_has_imported_the_library_is_told_what_it_says_now(monkeypatch):
    """It may hold a calendar of his own, or one that he changed."""
    before = keep().read_bytes()
    monkeypatch.setitem(sys.modules, LIBRARY, object())
    assert same(kept_schedule(NAME, *YEARS, lambda: OTHER), OTHER)
    assert [path.read_bytes() for path in cache_folder().iterdir()] == [before]


@pytest.mark.parametrize("off", ["false", "0"])
def test_it_can_be_turned_off(off, monkeypatch):
    before = keep().read_bytes()
    monkeypatch.setenv(SWITCH, off)
    assert same(kept_schedule(NAME, *YEARS, lambda: OTHER), OTHER)
    assert [path.read_bytes() for path in cache_folder().iterdir()] == [before]


def test_a_folder_that_cannot_be_written_is_left_alone(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert same(kept_schedule(NAME, *YEARS, lambda: SCHEDULE), SCHEDULE)
    assert (tmp_path / "file").read_text() == ""


def test_a_file_that_cannot_be_replaced_leaves_no_draft(monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "replace", refuse)
    assert same(kept_schedule(NAME, *YEARS, lambda: SCHEDULE), SCHEDULE)
    assert list(cache_folder().iterdir()) == []


def test_the_folder_is_below_the_home_where_nothing_else_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "trading_gymnax" / "calendars"
