"""Whatever is thrown at the loader: bars that keep their promises, or one DataError in plain words."""

import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.data.tables import PLAIN, assert_same_bars, load, table
from trading_gymnax.data.contracts import CONTRACTS, ContractSpec
from trading_gymnax.data.loader import REPAIRS, Bars, DataError, load_bars

CLEAN = table("2025-03-03", "2025-03-04")
EXPECTED = load(CLEAN)
COLUMNS = ("timestamp", "open", "high", "low", "close", "volume")
ODD_VALUES: tuple[Any, ...] = (np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, 20_000.1, None)
ODD_STAMPS = (
    "2025-03-01 12:00",
    "2025-03-03 22:30",
    "1900-01-01",
    "2199-12-31 23:59",
    "2025-03-03 15:00:30",
    None,
)

faults = st.lists(
    st.one_of(
        st.tuples(
            st.just("value"),
            st.integers(0, len(CLEAN) - 1),
            st.sampled_from(COLUMNS[1:]),
            st.sampled_from(ODD_VALUES),
        ),
        st.tuples(st.just("stamp"), st.integers(0, len(CLEAN) - 1), st.sampled_from(ODD_STAMPS)),
        st.tuples(st.just("repeat"), st.integers(0, len(CLEAN) - 2), st.integers(1, 300)),
        st.tuples(st.just("drop"), st.integers(0, len(CLEAN) - 2), st.integers(1, 1500)),
        st.tuples(st.just("swap"), st.integers(0, 1000), st.integers(0, 1000)),
        st.tuples(st.just("column"), st.sampled_from(COLUMNS)),
        st.tuples(st.just("double"), st.sampled_from(COLUMNS)),
        st.tuples(st.just("text"), st.sampled_from(COLUMNS)),
    ),
    max_size=5,
)


def apply(frame: pd.DataFrame, fault: tuple[Any, ...]) -> pd.DataFrame:
    kind, *details = fault
    frame = frame.reset_index(drop=True)
    where = min(details[0], len(frame) - 1) if isinstance(details[0], int) else 0
    if kind == "value" and details[1] in frame and len(frame):
        at = list(frame.columns).index(details[1])
        column = frame.iloc[:, at].astype(object)
        column.iloc[where] = details[2]
        frame = frame.assign(**{details[1]: column})
    elif kind == "stamp" and list(frame.columns).count("timestamp") == 1 and len(frame):
        stamps = frame["timestamp"].astype(object)
        stamps.iloc[where] = None if details[1] is None else pd.Timestamp(details[1], tz="UTC")
        frame = frame.assign(timestamp=stamps)
    elif kind == "repeat":
        frame = pd.concat([frame, frame.iloc[where : where + details[1]]], ignore_index=True)
    elif kind == "drop":
        frame = frame.drop(index=range(where, min(where + details[1], len(frame))))
    elif kind == "swap" and len(frame) > 1:
        order = np.arange(len(frame))
        one, other = (value % len(frame) for value in details)
        order[[one, other]] = order[[other, one]]
        frame = frame.iloc[order]
    elif kind == "column":
        frame = frame.drop(columns=details[0], errors="ignore")
    elif kind == "double" and details[0] in frame:
        frame = pd.concat([frame, frame[details[0]]], axis=1)
    elif kind == "text" and list(frame.columns).count(details[0]) == 1:
        frame = frame.assign(**{details[0]: frame[details[0]].astype(object).map(str)})
    return frame


def check_promises(bars: Bars) -> None:
    """What every environment relies on."""
    size, sessions = len(bars), len(bars.session_date)
    assert size > 0
    assert (np.diff(bars.close_time) > np.timedelta64(0, "m")).all()
    assert (bars.high >= np.maximum(np.maximum(bars.open, bars.close), bars.low)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.volume >= 0).all()
    assert (bars.time >= 1).all()
    assert (bars.time <= 1440).all()
    assert ((bars.hour >= 0) & (bars.hour < 24)).all()
    assert bars.features.shape == (size, len(bars.feature_names))
    assert np.isfinite(bars.features[bars.first_finite_bar :]).all()
    assert np.isfinite(bars.atr).all()
    np.testing.assert_array_equal(bars.session_start, np.searchsorted(bars.session, np.arange(sessions)))
    np.testing.assert_array_equal(bars.session_end[:-1], bars.session_start[1:])
    assert bars.session_end[-1] == size
    assert (np.diff(bars.session_date) > np.timedelta64(0, "D")).all()
    for start, end in zip(bars.session_start, bars.session_end, strict=True):
        assert (np.diff(bars.time[start:end]) > 0).all()
    assert (bars.scheduled_close > 0).all()


def load_or_refuse(frame: pd.DataFrame, spec: ContractSpec, repair: Iterable[str]) -> tuple[Any, Any]:
    """Bars and None, or None and the error; anything else fails the test."""
    try:
        return load(frame, spec, repair=repair), None
    except DataError as error:
        return None, error


@given(
    damage=faults,
    market=st.sampled_from(["PLAIN", "NQ", "CL"]),
    repair=st.sets(st.sampled_from(sorted(REPAIRS))),
)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_any_damaged_table_is_bars_or_one_error(damage: list[tuple[Any, ...]], market: str, repair: set[str]) -> None:
    frame = CLEAN
    for fault in damage:
        frame = apply(frame, fault)
    spec = PLAIN if market == "PLAIN" else CONTRACTS[market]
    bars, error = load_or_refuse(frame, spec, repair)
    if bars is not None:
        check_promises(bars)
        assert not bars.report.refused
    else:
        assert error.report.refused
        assert not repair & {finding.name for finding in error.report.refused}
        assert len(str(error)) > 40


@given(damage=faults)
@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
def test_what_the_error_names_is_what_loads_it(damage: list[tuple[Any, ...]]) -> None:
    frame = CLEAN
    for fault in damage:
        frame = apply(frame, fault)
    bars, error = load_or_refuse(frame, PLAIN, ())
    names = [] if bars is not None else [finding.name for finding in error.report.refused]
    if names and all(name in REPAIRS for name in names):
        check_promises(load(frame, repair=names))


@given(content=st.binary(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_of_bytes_is_refused_in_plain_words(content: bytes, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(content)
    with pytest.raises(DataError):
        load_bars(path, PLAIN)


cells = st.one_of(
    st.sampled_from(["", "nan", "1", "2.5", "-3", "1e400", "date", "time", "open", "close", "high", "low", "x"]),
    st.sampled_from(["2025-03-03 10:00", "20250303 100000", "03/03/2025", "10:00", "1741000000", '"', "'", "\\"]),
    st.text(max_size=6),
)


@given(
    rows=st.lists(st.lists(cells, max_size=8), max_size=8),
    separator=st.sampled_from(",;\t|"),
    timezone=st.sampled_from([None, "UTC", "America/New_York"]),
)
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_table_is_refused_in_plain_words(
    rows: list[list[str]], separator: str, timezone: str | None, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "text"
    path.write_text("\n".join(separator.join(row) for row in rows), encoding="utf-8", errors="replace")
    with pytest.raises(DataError):
        load_bars(path, PLAIN, timezone=timezone)


odd_columns = st.sampled_from(
    [
        pd.Series([True, False, None], dtype="boolean"),
        pd.Series([1 + 2j, 3, 4]),
        pd.Series(pd.to_timedelta([1, 2, 3], unit="min")),
        pd.Series(pd.period_range("2025-03-03", periods=3, freq="min")),
        pd.Series(pd.interval_range(0, 3)),
        pd.Series([{}, [], ()]),
        pd.Series([b"1", b"2", b"3"]),
        pd.Series(["1", 2, None]),
        pd.Series([1, 2, 3], dtype="category"),
        pd.Series(pd.arrays.SparseArray([1.0, np.nan, 3.0])),
        pd.Series([2**63, 2**64, 1], dtype=object),
        pd.Series([1.5, None, 2], dtype="float64[pyarrow]"),
        pd.Series(pd.date_range("2025-03-03", periods=3, freq="min")),
        pd.Series(pd.date_range("2025-03-03", periods=3, freq="min", tz="Asia/Tokyo")),
    ]
)


@given(columns=st.fixed_dictionaries(dict.fromkeys(COLUMNS, odd_columns)))
@settings(max_examples=150)
def test_columns_of_any_type_are_refused_in_plain_words(columns: dict[str, pd.Series]) -> None:
    with pytest.raises(DataError):
        load(pd.DataFrame(columns))


@given(
    order=st.permutations(range(6)),
    capitals=st.booleans(),
    index=st.booleans(),
    zone=st.sampled_from(["UTC", "America/Chicago", "Asia/Tokyo", "America/New_York"]),
    unit=st.sampled_from(["s", "ms", "us", "ns"]),
)
@settings(max_examples=30)
def test_order_and_case_of_columns_and_zone_of_stamps_do_not_matter(
    order: list[int], capitals: bool, index: bool, zone: str, unit: str
) -> None:
    frame = CLEAN.assign(timestamp=CLEAN["timestamp"].dt.tz_convert(zone).dt.as_unit(unit))
    frame = frame[[COLUMNS[at] for at in order]]
    frame = frame.set_index("timestamp") if index else frame
    assert_same_bars(load(frame.rename(columns=str.upper) if capitals else frame), EXPECTED)


@given(rows=st.permutations(range(40)))
@settings(max_examples=30)
def test_rows_in_any_order_are_sorted_into_the_same_bars(rows: list[int]) -> None:
    order = np.concatenate([np.array(rows) + 700, np.delete(np.arange(len(CLEAN)), np.arange(700, 740))])
    assert_same_bars(load(CLEAN.iloc[order], repair="backward"), EXPECTED)
