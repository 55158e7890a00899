"""Damaged files and tables: refused in plain words, or loaded without a bar that the source does not hold.

`tests/fuzz/fuzz_loader.py` looks for the same with a coverage-guided fuzzer; what it found stands here as tests.
"""

import csv
import datetime as dt
import gzip
import io
import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.tables import PLAIN, load, table
from trading_gymnax.data.formats import _sound_text
from trading_gymnax.data.loader import REPAIRS, Bars, DataError, load_bars

BARS = table("2025-03-03", first=900, last=960)
HEADER = list(BARS.columns)
ALL = tuple(REPAIRS)
DROPS = ("nan", "inconsistent", "bad_prices", "clock_change", "off_grid", "repeated", "stray_prints", "footer")
TEXT = BARS.to_csv(index=False)
PARQUET = BARS.to_parquet(compression=None)

no_checks = settings(max_examples=80, suppress_health_check=list(HealthCheck))


def rows_of(text: str) -> tuple[set[tuple[Any, ...]], int]:
    """(stamp, four prices in ticks, volume) of each sound row by Python's own readers, and the number of rows."""
    lines = [row for row in csv.reader(io.StringIO(text, newline="")) if any(field.strip() for field in row)]
    known = set()
    for row in lines[1:]:
        try:
            stamp = dt.datetime.fromisoformat(row[0].strip()).astimezone(dt.UTC).replace(tzinfo=None)
            ticks = [round(float(field) / PLAIN.tick_size) for field in row[1:5]]
            known.add((np.datetime64(stamp, "m"), *ticks, float(row[5])))
        except (ValueError, OverflowError, IndexError):
            continue
    return known, len(lines) - 1


def told(bars: Bars) -> int:
    """Rows that the report says were dropped."""
    return sum(finding.count for finding in bars.report.findings if finding.name in DROPS)


def assert_from(text: str, bars: Bars) -> None:
    """Every bar is a row of the text; every row is a bar, or was told."""
    known, count = rows_of(text)
    opens = bars.close_time - np.timedelta64(bars.bar_minutes, "m")
    for bar in zip(opens, bars.open, bars.high, bars.low, bars.close, bars.volume, strict=True):
        assert (bar[0], *map(int, bar[1:5]), float(bar[5])) in known
    assert count == len(bars) + told(bars)


def answer(source: Any, **options: Any) -> Bars | None:
    """Bars, or None for a refusal in plain words; anything else fails the test."""
    try:
        return load_bars(source, PLAIN, repair=ALL, **options)
    except (ValueError, FileNotFoundError) as error:
        refusal = error
    assert not isinstance(refusal, UnicodeError)
    assert type(refusal).__module__.split(".")[0] in ("builtins", "trading_gymnax")
    assert len(str(refusal)) > 20
    return None


def test_the_independent_reader_holds_the_sound_table():
    assert_from(TEXT, load(BARS, repair=ALL))
    with pytest.raises(AssertionError):  # it can fail: one price moved by a tick
        assert_from(TEXT.replace(",20000.0,", ",20000.25,", 1), load(BARS, repair=ALL))


fields = st.sampled_from(
    [
        "",
        "nan",
        "inf",
        "-1",
        "0",
        "1e9",
        "20000",
        "20000.1",
        "2e4",
        " 20000.25 ",
        "1_000",
        "0x10",
        "1,5",
        '"',
        "x",
        "\x00",
    ]
)
edits = st.lists(
    st.one_of(
        st.tuples(st.just("field"), st.integers(1, 60), st.integers(0, 5), fields),
        st.tuples(st.just("repeat"), st.integers(1, 60), st.integers(1, 60)),
        st.tuples(st.just("move"), st.integers(1, 60), st.integers(1, 60)),
        st.tuples(st.just("drop"), st.integers(0, 60)),
        st.tuples(st.just("blank"), st.integers(1, 60)),
        st.tuples(st.just("cut"), st.integers(1, 60), st.integers(0, 40)),
    ),
    max_size=6,
)


def edited(text: str, changes: list[tuple[Any, ...]]) -> str:
    lines = text.splitlines()
    for kind, first, *more in changes:
        at = min(first, len(lines) - 1)
        if kind == "field":
            parts = lines[at].split(",")
            parts[more[0] % len(parts)] = more[1]
            lines[at] = ",".join(parts)
        elif kind == "repeat":
            lines.insert(min(more[0], len(lines)), lines[at])
        elif kind == "move":
            lines.insert(min(more[0], len(lines) - 1), lines.pop(at))
        elif kind == "drop" and len(lines) > 1:
            lines.pop(at)
        elif kind == "blank":
            lines.insert(at, "")
        elif kind == "cut":
            lines[at] = lines[at][: more[0]]
    return "\n".join(lines)


@given(changes=edits, zipped=st.booleans())
@no_checks
def test_a_damaged_file_gives_its_own_rows_or_a_refusal(changes, zipped, tmp_path_factory):
    text = edited(TEXT, changes)
    path = tmp_path_factory.getbasetemp() / "damaged.csv"
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    bars = answer(path)
    header = text.partition("\n")[0].split(",")
    if bars is not None and header == HEADER and not bars.report.finding("volume"):
        assert_from(text, bars)


@given(
    content=st.sampled_from([TEXT.encode(), gzip.compress(TEXT.encode(), 1), PARQUET]),
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=12),
    cut=st.none() | st.integers(0, 10**6),
)
@no_checks
def test_altered_bytes_never_end_in_another_exception(content, flips, cut, tmp_path_factory):
    data = bytearray(content)
    for where, value in flips:
        data[where % len(data)] = value
    path = tmp_path_factory.getbasetemp() / "altered"
    path.write_bytes(data if cut is None else data[: cut % len(data)])
    answer(path)


names = st.one_of(
    st.sampled_from([*HEADER, "Open", "CLOSE ", "<HIGH>", "date", "time", "vol", 0, 1, None, 1.5, ("a", "b"), b"open"]),
    st.text(max_size=5),
)
values = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True),
    st.sampled_from([None, 20000.25, "20000.25", "", "x", b"1", True, 1 + 1j, [], {}, float("inf"), 2**70, "\ud800"]),
    st.datetimes(),
    st.datetimes(timezones=st.timezones()),
)
columns = st.integers(0, 5).flatmap(
    lambda size: st.lists(st.tuples(names, st.lists(values, min_size=size, max_size=size)), max_size=7)
)


@given(columns=columns, timezone=st.sampled_from([None, "UTC", "Asia/Kolkata", "Nowhere"]), index=st.booleans())
@no_checks
def test_any_table_is_bars_or_a_refusal(columns, timezone, index):
    size = len(columns[0][1]) if columns else 0
    frame = pd.DataFrame({at: pd.Series(column, dtype=object) for at, (_, column) in enumerate(columns)})
    frame = frame if columns else pd.DataFrame(index=range(size))
    frame.columns = pd.Index(np.fromiter((name for name, _ in columns), object, len(columns)), tupleize_cols=False)
    if index and columns:
        frame = frame.set_index(frame.iloc[:, 0])
    answer(frame, timezone=timezone)


@given(rows=st.lists(st.integers(0, len(BARS) - 1), min_size=1, max_size=80))
@no_checks
def test_repeated_missing_and_shuffled_rows_are_all_told(rows):
    frame = BARS.iloc[rows]
    bars = answer(frame, bar_minutes=1)
    assert bars is not None
    assert_from(frame.to_csv(index=False), bars)


@pytest.mark.parametrize("name", ["timestamp", "open", "volume"])
def test_half_a_surrogate_pair_is_a_missing_value(name):
    cells = BARS[name].map(str).tolist()
    frame = BARS.assign(**{name: pd.Series([*cells[:-1], "\udc00"], dtype=object)})
    with pytest.raises(DataError, match=r"1 bar with a missing or unreadable price, volume or time stamp"):
        load(frame, repair="too_short")
    assert len(load(frame, repair=("too_short", "nan"))) == len(BARS) - 1


@pytest.mark.parametrize("kind", ["json lines", "json", "parquet", "csv", "frame", "frame of arrow"])
def test_a_stamp_that_is_no_utf8_is_a_missing_value(kind, tmp_path):
    """Arrow reads such bytes without a word, and fails where the cell is looked at."""
    stamps = [str(stamp).encode() for stamp in BARS["timestamp"]]
    stamps[7] = stamps[7][:12] + b"\xf0\x98" + stamps[7][14:]
    arrow = pyarrow.table(BARS.assign(timestamp=""))
    arrow = arrow.set_column(0, "timestamp", pyarrow.array(stamps, pyarrow.binary()).view(pyarrow.string()))
    path = tmp_path / "bars"
    if kind == "parquet":
        pyarrow.parquet.write_table(arrow, path)
    elif kind in ("json", "json lines", "csv"):
        text = BARS.assign(timestamp=BARS["timestamp"].astype(str))
        text = text.to_csv(index=False) if kind == "csv" else text.to_json(orient="records", lines=kind != "json")
        sound = str(BARS["timestamp"][7]).encode()
        assert text.encode().count(sound) == 1
        path.write_bytes(text.encode().replace(sound, stamps[7]))
    types = {pyarrow.string(): pd.StringDtype("pyarrow", na_value=np.nan)}.get
    frames = {
        "frame": arrow.to_pandas(types_mapper=types),
        "frame of arrow": arrow.to_pandas(types_mapper=pd.ArrowDtype),
    }
    source = frames.get(kind, path)
    with pytest.raises(DataError, match=r"unreadable price, volume or time stamp \(row 8\)"):
        load_bars(source, PLAIN, repair="too_short")
    assert len(load_bars(source, PLAIN, repair=("too_short", "nan"))) == len(BARS) - 1


@pytest.mark.parametrize("kind", ["str", "arrow", "dictionary"])
def test_only_the_cell_that_is_no_utf8_changes(kind):
    text = pyarrow.array([b"ES", b"\xf0\x98S", b"", None], pyarrow.binary()).view(pyarrow.string())
    coded = text.dictionary_encode()
    columns = {
        "str": pd.Series(pd.array(text, dtype="str")),
        "arrow": pd.Series(text, dtype=pd.ArrowDtype(text.type)),
        "dictionary": pd.Series(coded, dtype=pd.ArrowDtype(coded.type)),
    }
    found = _sound_text(pd.DataFrame({"x": columns[kind]}))["x"]
    assert [None if pd.isna(cell) else cell for cell in found] == ["ES", "\ufffdS", "", None]


def test_volumes_that_cannot_be_read_are_not_taken_for_none():
    with pytest.raises(DataError, match=r"60 cells of volume hold no number that is understood, the first '1.5K'"):
        load(BARS.assign(volume="1.5K"), repair="too_short")
    for nothing in (None, np.nan, "", "  "):
        bars = load(BARS.assign(volume=nothing), repair="too_short")
        assert "the volume column is empty" in str(bars.report)
        assert not bars.volume.any()


def test_lists_in_a_column_that_is_said_to_name_instruments():
    with pytest.raises(DataError, match=r"2 instruments in one table"):
        load(BARS.assign(kind=[[1]] * 30 + [{}] * 30), columns={"symbol": "kind"}, repair="too_short")


def test_a_file_that_is_gone_is_named():
    with pytest.raises(FileNotFoundError, match=r"there is no file nowhere\.csv"):
        load_bars(pathlib.Path("nowhere.csv"), PLAIN)
