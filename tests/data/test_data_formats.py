"""Every shape in which people keep bars gives the same bars; what is no table is refused in plain words."""

import decimal
import gzip
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.data.tables import PLAIN, assert_same_bars, load, table
from trading_gymnax.data.loader import Bars, DataError, load_bars
from trading_gymnax.data.rows import Rows
from trading_gymnax.data.stamps import place, read_clock
from trading_gymnax.data.zones import find_zone

DAYS = ("2025-03-06", "2025-03-07", "2025-03-14")  # the clock goes forward on Sunday the 9th
TEXT_COLUMNS = ["open", "high", "low", "close", "volume"]
EASTERN = {"timezone": "America/New_York"}
Shape = Callable[[pd.DataFrame], Any]


@pytest.fixture(scope="module")
def tidy() -> pd.DataFrame:
    return table(*DAYS)


@pytest.fixture(scope="module")
def expected(tidy: pd.DataFrame) -> Bars:
    return load(tidy)


def local(frame: pd.DataFrame, form: str) -> pd.Series:
    return frame["timestamp"].dt.tz_convert("America/New_York").dt.strftime(form)


def with_stamps(stamps: Any, **columns: Any) -> Shape:
    """The tidy frame with its stamps as a function of itself gives them."""
    return lambda frame: frame.assign(timestamp=stamps(frame), **columns)


def date_and_time(day: str, clock: str) -> Shape:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        halves = pd.DataFrame({"Date": local(frame, day), "Time": local(frame, clock)})
        return pd.concat([halves, frame[TEXT_COLUMNS]], axis=1)

    return change


def two_levels(frame: pd.DataFrame) -> pd.DataFrame:
    """As yfinance downloads it: price above ticker, Datetime in the index."""
    prices = frame.set_index("timestamp")[["close", "high", "low", "open", "volume"]]
    columns = [name.title() for name in prices.columns]
    prices.columns = pd.MultiIndex.from_product([columns, ["NQ=F"]], names=["Price", "Ticker"])
    return prices.rename_axis("Datetime")


FRAMES: dict[str, tuple[Shape, dict[str, Any]]] = {
    "names in capitals": (lambda frame: frame.rename(columns=str.upper), {}),
    "names with blanks": (lambda frame: frame.rename(columns=lambda name: f" {name} "), {}),
    "one-letter names": (lambda frame: frame.rename(columns=lambda name: name[0]), {}),
    "datetime": (lambda frame: frame.rename(columns={"timestamp": "DateTime"}), {}),
    "time": (lambda frame: frame.rename(columns={"timestamp": "time"}), {}),
    "date": (lambda frame: frame.rename(columns={"timestamp": "date"}), {}),
    "index": (lambda frame: frame.set_index("timestamp"), {}),
    "index without a name": (lambda frame: frame.set_index("timestamp").rename_axis(None), {}),
    "index of text": (
        lambda frame: frame.assign(timestamp=frame["timestamp"].astype(str)).set_index("timestamp"),
        {},
    ),
    "index beside a row number": (lambda frame: frame.set_index("timestamp").assign(date=1), {}),
    "other order and more columns": (lambda frame: frame[frame.columns[::-1]].assign(vwap=np.nan, x="?"), {}),
    "no names": (lambda frame: frame.set_axis(range(6), axis=1), {}),
    "two levels": (two_levels, {}),
    "New York time zone": (with_stamps(lambda f: f["timestamp"].dt.tz_convert("America/New_York")), {}),
    "nanoseconds": (with_stamps(lambda f: f["timestamp"].dt.as_unit("ns")), {}),
    "seconds": (with_stamps(lambda f: f["timestamp"].dt.as_unit("s")), {}),
    "Python datetimes": (with_stamps(lambda f: f["timestamp"].astype(object)), {}),
    "Chicago offsets": (
        with_stamps(lambda f: f["timestamp"].dt.tz_convert("America/Chicago").astype(str)),
        {},
    ),
    "ISO with T and Z": (with_stamps(lambda f: f["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")), {}),
    "offset of four digits": (
        with_stamps(lambda f: f["timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S +0000")),
        {},
    ),
    "UTC spelt out": (with_stamps(lambda f: f["timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S UTC")), {}),
    "naive datetimes": (with_stamps(lambda f: f["timestamp"].dt.tz_localize(None)), {"timezone": "UTC"}),
    "naive text": (with_stamps(lambda f: local(f, "%Y-%m-%d %H:%M:%S")), EASTERN),
    "naive text of exchange time": (
        with_stamps(lambda f: f["timestamp"].dt.tz_convert("America/Chicago").dt.strftime("%Y-%m-%d %H:%M")),
        {"timezone": "America/Chicago"},
    ),
    "month first": (with_stamps(lambda f: local(f, "%m/%d/%Y %H:%M")), EASTERN),
    "day first": (with_stamps(lambda f: local(f, "%d.%m.%Y %H:%M:%S")), EASTERN),
    "AM and PM": (with_stamps(lambda f: local(f, "%m/%d/%Y %I:%M:%S %p")), EASTERN),
    "compact text": (with_stamps(lambda f: local(f, "%Y%m%d %H%M%S")), EASTERN),
    "compact numbers": (with_stamps(lambda f: local(f, "%Y%m%d%H%M").astype("int64")), EASTERN),
    "format told": (
        with_stamps(lambda f: local(f, "%M past %H, %d %b %Y")),
        EASTERN | {"timestamp_format": "%M past %H, %d %b %Y"},
    ),
    "digits in the American order": (
        with_stamps(lambda f: local(f, "%m%d%Y%H%M%S")),
        EASTERN | {"timestamp_format": "%m%d%Y%H%M%S"},
    ),
    "epoch seconds": (with_stamps(lambda f: f["timestamp"].dt.as_unit("s").astype("int64")), {}),
    "epoch milliseconds": (with_stamps(lambda f: f["timestamp"].dt.as_unit("ms").astype("int64")), {}),
    "epoch microseconds": (with_stamps(lambda f: f["timestamp"].dt.as_unit("us").astype("int64")), {}),
    "epoch nanoseconds": (with_stamps(lambda f: f["timestamp"].dt.as_unit("ns").astype("int64")), {}),
    "epoch as float": (
        with_stamps(lambda f: f["timestamp"].dt.as_unit("s").astype("int64").astype(float)),
        {},
    ),
    "epoch as text": (with_stamps(lambda f: f["timestamp"].dt.as_unit("s").astype("int64").astype(str)), {}),
    "date and time": (date_and_time("%Y-%m-%d", "%H:%M:%S"), EASTERN),
    "date and time, month first": (date_and_time("%m/%d/%Y", "%H:%M"), EASTERN),
    "date and time as digits": (date_and_time("%Y%m%d", "%H%M%S"), EASTERN),
    "time without leading zeros": (
        lambda frame: date_and_time("%Y%m%d", "%H%M%S")(frame).astype({"Date": "int64", "Time": "int64"}),
        EASTERN,
    ),
    "whole date beside the time": (
        lambda frame: date_and_time("%Y-%m-%d %H:%M", "%H:%M")(frame),
        EASTERN,
    ),
    "whole time beside the date": (
        lambda frame: date_and_time("%Y-%m-%d", "%Y-%m-%d %H:%M")(frame),
        EASTERN,
    ),
    "numbers as text": (lambda frame: frame.astype(dict.fromkeys(TEXT_COLUMNS, str)), {}),
    "text put together from tables": (
        lambda frame: pd.concat([part.astype(dict.fromkeys(TEXT_COLUMNS, "str")) for part in (frame[:99], frame[99:])]),
        {},
    ),
    "Decimal": (lambda f: f.assign(open=[decimal.Decimal(str(value)) for value in f["open"]]), {}),
    "float32": (lambda frame: frame.astype(dict.fromkeys(TEXT_COLUMNS, np.float32)), {}),
    "nullable numbers": (lambda frame: frame.astype({"open": "Float64", "volume": "Int64"}), {}),
    "categories": (lambda frame: frame.astype({"open": "category"}), {}),
    "settled as last": (lambda frame: frame.rename(columns={"close": "Last"}), {}),
}


@pytest.mark.parametrize("name", FRAMES)
def test_frames(name: str, tidy: pd.DataFrame, expected: Bars) -> None:
    shape, options = FRAMES[name]
    assert_same_bars(load(shape(tidy), **options), expected)


def comma(frame: pd.DataFrame, **options: Any) -> str:
    return frame.to_csv(index=False, **options)


def local_text(frame: pd.DataFrame, form: str = "%Y-%m-%d %H:%M:%S") -> pd.DataFrame:
    return frame.assign(timestamp=local(frame, form))


def ninjatrader(frame: pd.DataFrame) -> str:
    """NinjaTrader 8: UTC, the end of the bar, no header."""
    end = (frame["timestamp"] + pd.Timedelta(minutes=1)).dt.strftime("%Y%m%d %H%M%S")
    return frame.assign(timestamp=end).to_csv(index=False, header=False, sep=";")


def metatrader(frame: pd.DataFrame) -> str:
    halves = date_and_time("%Y.%m.%d", "%H:%M:%S")(frame)
    return halves.rename(columns=lambda name: f"<{name.upper()}>").to_csv(index=False, sep="\t")


FILES: dict[str, tuple[Callable[[pd.DataFrame], str | bytes], dict[str, Any]]] = {
    "comma": (comma, {}),
    "semicolon": (lambda frame: comma(frame, sep=";"), {}),
    "tab": (lambda frame: comma(frame, sep="\t"), {}),
    "bar": (lambda frame: comma(frame, sep="|"), {}),
    "quotes": (lambda frame: comma(frame, quoting=1), {}),
    "blanks after commas": (lambda frame: comma(frame).replace(",", ", "), {}),
    "Windows lines": (lambda frame: comma(frame, lineterminator="\r\n"), {}),
    "blank lines above": (lambda frame: "\n\n" + comma(frame), {}),
    "notes above": (lambda frame: "# bars of NQ, front month\n# in points, unadjusted\n" + comma(frame), {}),
    "byte order mark": (lambda frame: comma(frame).encode("utf-8-sig"), {}),
    "UTF-16": (lambda frame: comma(frame).encode("utf-16"), {}),
    "Latin-1": (lambda frame: ("# Börse\n" + comma(frame)).encode("latin-1"), {}),
    "no header": (lambda frame: comma(local_text(frame), header=False), EASTERN),
    "no header, date and time": (
        lambda frame: comma(date_and_time("%m/%d/%Y", "%H:%M")(frame), header=False),
        EASTERN,
    ),
    "no header, date and time as digits": (
        lambda frame: comma(date_and_time("%Y%m%d", "%H%M%S")(frame), header=False),
        EASTERN,
    ),
    "yfinance": (lambda frame: two_levels(frame).to_csv(), {}),
    "NinjaTrader": (ninjatrader, {}),
    "MetaTrader": (metatrader, EASTERN),
    "gzip": (lambda frame: gzip.compress(comma(frame).encode()), {}),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, tidy: pd.DataFrame, expected: Bars, tmp_path: pathlib.Path) -> None:
    write, options = FILES[name]
    content = write(tidy)
    path = tmp_path / "bars.any"  # its name tells nothing
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    assert_same_bars(load_bars(path, PLAIN, **options), expected)
    assert_same_bars(load_bars(str(path), PLAIN, **options), expected)


def test_parquet(tidy: pd.DataFrame, expected: Bars, tmp_path: pathlib.Path) -> None:
    tidy.to_parquet(tmp_path / "column")
    tidy.set_index("timestamp").to_parquet(tmp_path / "index")
    assert_same_bars(load_bars(tmp_path / "column", PLAIN), expected)
    assert_same_bars(load_bars(tmp_path / "index", PLAIN), expected)


def test_a_headless_file_without_volume(tidy: pd.DataFrame, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(comma(tidy.drop(columns="volume"), header=False))
    bars = load_bars(path, PLAIN)
    assert len(bars) == len(tidy)
    assert not bars.volume.any()


def test_ninjatrader_files_are_utc_and_mark_the_end_unless_told(
    tidy: pd.DataFrame, expected: Bars, tmp_path: pathlib.Path
) -> None:
    path = tmp_path / "NQ 03-25.Last.txt"
    path.write_text(ninjatrader(tidy))
    page = " ".join(str(load_bars(path, PLAIN).report).split())
    assert "read as UTC time, as NinjaTrader exports them (assumed, as the bars fit; not UTC-5 as HistData" in page
    assert "stamped at their end" in page
    # Read otherwise, a bar lies in the halt on every day: that is the clock, and no bar of them is stray.
    with pytest.raises(DataError) as caught:
        load_bars(path, PLAIN, timestamps_mark="start", repair="stray_prints")
    assert [finding.name for finding in caught.value.report.refused] == ["timestamps_mark"]
    with pytest.raises(DataError) as caught:
        load_bars(path, PLAIN, timezone="Asia/Tokyo", repair="stray_prints")
    assert [finding.name for finding in caught.value.report.refused] == ["timezone"]
    assert "pass timezone='UTC'" in " ".join(str(caught.value).split())


# --- stamps that nobody can place ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamps", "options", "text"),
    [
        (lambda f: f["timestamp"].dt.tz_localize(None), {}, "carry no offset (first: 2025-03-05 23:00:00)"),
        (lambda f: local(f, "%Y-%m-%d %H:%M"), {}, "pass timezone='America/New_York'"),
        (lambda f: local(f, "%Y-%m-%d %H:%M"), {"timezone": "US/Easter"}, "did you mean 'US/Eastern'"),
        (lambda f: f["timestamp"], {"timezone": "Mars"}, "unknown timezone 'Mars'"),
        (lambda f: f["timestamp"], {"timezone": 5}, "unknown timezone 5"),
        (lambda f: "some day", {}, "cannot be read (first: 'some day'): pass timestamp_format"),
        (lambda f: None, {}, "the column of time stamps is empty"),
        (lambda f: np.arange(len(f)), {}, "numbers (first: 0), neither since 1970 nor like 202503130930"),
        (lambda f: local(f, "%H:%M"), EASTERN, "cannot be read"),
        (
            lambda f: f["timestamp"].astype(str),
            {"timestamp_format": "%Q"},
            "timestamp_format '%Q' cannot be used",
        ),
        (lambda f: f["timestamp"].astype(str), {"timestamp_format": "%H"}, "'%H' fits none of the stamps"),
    ],
)
def test_stamps_that_cannot_be_read(
    stamps: Callable[[pd.DataFrame], Any], options: dict[str, Any], text: str, tidy: pd.DataFrame
) -> None:
    with pytest.raises(DataError) as caught:
        load(tidy.assign(timestamp=stamps(tidy)), **options)
    assert [finding.name for finding in caught.value.report.refused] == ["timestamp"]
    assert text in " ".join(str(caught.value).split())


def test_some_stamps_with_an_offset_and_some_without(tidy: pd.DataFrame) -> None:
    mixed = tidy.assign(timestamp=tidy["timestamp"].astype(str))
    mixed.loc[5, "timestamp"] = "2025-03-05 23:05:00"
    with pytest.raises(DataError, match=r"1 of 4,140 time stamps carry no offset"):
        load(mixed)


def test_one_bad_stamp_among_good_ones_is_one_bad_bar(tidy: pd.DataFrame) -> None:
    for junk in ("junk", "0001-01-01 00:00:00+00:00", "9999-12-31 00:00:00+00:00", None):
        bad = tidy.assign(timestamp=tidy["timestamp"].astype(str))
        bad.loc[5, "timestamp"] = junk
        with pytest.raises(DataError, match=r"1 bar with a missing or unreadable .*\(row 6\)"):
            load(bad)
        assert len(load(bad, repair="nan")) == len(tidy) - 1


def test_day_and_month_that_nothing_tells_apart(expected: Bars) -> None:
    frame = table("2025-03-06", "2025-03-07")
    stamps = frame["timestamp"].dt.strftime("%m/%d/%Y %H:%M")  # March 5 to 7, or 3 May to 3 July
    with pytest.raises(DataError) as caught:
        load(frame.assign(timestamp=stamps), timezone="UTC")
    text = " ".join(str(caught.value).split())
    assert "pass timestamp_format='%m/%d/%Y %H:%M' or '%d/%m/%Y %H:%M'" in text
    told = load(frame.assign(timestamp=stamps), timezone="UTC", timestamp_format="%m/%d/%Y %H:%M")
    assert_same_bars(told, load(frame))


@pytest.mark.parametrize(
    ("first", "days"),
    [
        ("2022-11-06 01:30", ("2022-11-04", "2022-11-07")),  # twice: the clock went back at 02:00
        ("2023-03-12 02:15", ("2023-03-10", "2023-03-13")),  # never: it went forward at 02:00
    ],
)
def test_local_hours_that_exist_twice_or_never(first: str, days: tuple[str, str]) -> None:
    frame = table(*days)
    stamps = pd.DatetimeIndex(frame["timestamp"]).tz_convert("America/New_York").tz_localize(None)
    frame_local = frame.assign(timestamp=stamps)
    extra = frame.iloc[:30].assign(timestamp=pd.date_range(first, periods=30, freq="min"))
    naive = pd.concat([frame_local.iloc[:1380], extra, frame_local.iloc[1380:]], ignore_index=True)
    with pytest.raises(DataError) as caught:
        load(naive, **EASTERN)
    assert [finding.name for finding in caught.value.report.refused] == ["clock_change"]
    assert caught.value.report.refused[0].count == 30
    assert_same_bars(load(naive, **EASTERN, repair="clock_change"), load(frame))


def test_the_hour_that_comes_twice_is_known_when_the_table_has_it_twice() -> None:
    autumn = pd.date_range("2022-11-06 04:00", periods=180, freq="min", tz="UTC")
    frame = table("2022-11-04", "2022-11-07")
    extra = frame.iloc[:180].assign(timestamp=autumn)
    whole = pd.concat([frame.iloc[:1380], extra, frame.iloc[1380:]], ignore_index=True)
    stamps = pd.DatetimeIndex(whole["timestamp"]).tz_convert("America/New_York").tz_localize(None)
    local_frame = whole.assign(timestamp=stamps)
    with pytest.raises(DataError) as caught:
        load(local_frame, **EASTERN)
    assert [finding.name for finding in caught.value.report.refused] == ["stray_prints"]  # and no clock_change
    assert caught.value.report.refused[0].count == 180
    series = local_frame["timestamp"]
    expected = pd.DatetimeIndex(whole["timestamp"]).as_unit("us").asi8
    zone = find_zone("America/New_York")
    assert zone is not None
    forward, newest_first = (
        place(read_clock(one.reset_index(drop=True), None), zone) for one in (series, series[::-1])
    )
    np.testing.assert_array_equal(forward.utc, expected)
    np.testing.assert_array_equal(newest_first.utc, expected[::-1])


# --- what is no table ------------------------------------------------------------------------------------

BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n \n\n", "the file is empty"),
    "header only": (b"time,open,high,low,close\n", "the table has no rows"),
    "binary": (bytes(range(256)) * 40, "neither text nor parquet"),
    "zip": (b"PK\x03\x04\x00\x00\x00", "the zip file is broken"),
    "false gzip": (b"\x1f\x8b nothing", "the gzip file is broken"),
    "false parquet": (b"PAR1 nothing", "the parquet file cannot be read"),
    "poem": (b"once upon a time, bars\nof music, were read\n", "no column open, high, low, close"),
    "web page": (b"<html><body>404\n<p>not found</body></html>\n", "no column open, high, low, close"),
    "ragged": (
        b"time,open,high,low,close\n" + b"1,2,3,4,5\n" * 30 + b"1,2,3,4,5,6,7\n",
        "line 32 has 7 fields where the header has 5",
    ),
    "ragged at once": (
        b"time,open,high,low,close\n" + b"2025-03-06 10:00,5900,25,5901,5899,5900\n" * 3,
        "line 2 has 6 fields where the header has 5",
    ),
    "open quote": (b'time,open,high,low,close\n"1,2,3,4,5\n', "the file is no table"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(name: str, tmp_path: pathlib.Path) -> None:
    content, text = BROKEN[name]
    path = tmp_path / "broken"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_bars(path, PLAIN)
    assert text in " ".join(str(caught.value).split())


def test_a_gzip_file_cut_short(tidy: pd.DataFrame, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bars.csv.gz"
    path.write_bytes(gzip.compress(comma(tidy).encode())[:5000])
    with pytest.raises(DataError, match="the gzip file is broken"):
        load_bars(path, PLAIN)


def test_a_missing_file_is_a_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no file .*bars\.csv"):
        load_bars(tmp_path / "bars.csv", PLAIN)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (None, "not a NoneType"),
        ({}, "not a dict"),
        (3, "not a int"),
        ("", "is a folder"),
        ("a\0b", "cannot be opened"),
    ],
)
def test_sources_that_are_no_table(source: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        load_bars(source, PLAIN)


def test_an_empty_folder(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match="is a folder without a file"):
        load_bars(tmp_path, PLAIN)


def test_two_columns_of_one_name_in_a_file(tidy: pd.DataFrame, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(comma(pd.concat([tidy, tidy[["close"]]], axis=1)))
    with pytest.raises(DataError, match="2 columns are called 'close'"):
        load_bars(path, PLAIN)


@pytest.mark.parametrize("shape", ["columns", "levels swapped", "stamps in a column", "file"])
def test_several_tickers_side_by_side(shape: str, tidy: pd.DataFrame, expected: Bars, tmp_path: pathlib.Path) -> None:
    """The other ticker misses ten bars, and has one where the chosen one has none: neither is a bar of the chosen."""
    one = two_levels(tidy)
    other = (one * 2).rename(columns={"NQ=F": "ES=F"}).iloc[10:]
    later = other.iloc[-1:].set_axis(other.index[-1:] + pd.Timedelta(minutes=1))
    table: Any = pd.concat([pd.concat([other, later]), one], axis=1, sort=True)
    if shape == "levels swapped":
        table = table.swaplevel(axis=1)
    elif shape == "stamps in a column":
        table = table.reset_index()
    elif shape == "file":
        table.to_csv(tmp_path / "both.csv")
        table = tmp_path / "both.csv"
    rows = len(tidy)
    with pytest.raises(DataError, match=rf"2 instruments .*: NQ=F \({rows:,}\), ES=F \({rows - 9:,}\)"):
        load_bars(table, PLAIN)
    assert_same_bars(load_bars(table, PLAIN, symbol="NQ=F"), expected)


def test_text_that_was_put_together_of_parts(tidy: pd.DataFrame, expected: Bars) -> None:
    """pandas holds it in as many arrays: stamps with offsets and with zone names, prices as text."""
    text = tidy.astype(str)
    named = text.assign(timestamp=local(tidy, "%Y-%m-%d %H:%M:%S") + " America/New_York")
    for frame in (text, named):
        assert_same_bars(load(pd.concat([frame.iloc[:700], frame.iloc[700:]])), expected)


def test_several_tickers_and_a_column_of_symbols(tidy: pd.DataFrame) -> None:
    both = pd.concat([two_levels(tidy), two_levels(tidy).rename(columns={"NQ=F": "ES=F"})], axis=1)
    both["Symbol", "NQ=F"] = "NQ"
    with pytest.raises(DataError, match="several tickers and a column of symbols"):
        load(both)


def test_an_index_of_several_levels(tidy: pd.DataFrame, expected: Bars) -> None:
    both = pd.concat([tidy.assign(symbol="NQ"), tidy.assign(symbol="ES", close=1.0)])
    table = both.set_index(["symbol", "timestamp"])  # as Alpaca's client gives it
    assert_same_bars(load_bars(table, PLAIN, symbol="NQ"), expected)
    with pytest.raises(DataError, match="the index has several levels"):
        load(table.rename_axis(index=[None, None]))


def test_stamps_in_the_index_stay_with_the_rows_of_a_symbol(tidy: pd.DataFrame, expected: Bars) -> None:
    both = pd.concat([tidy.assign(symbol="NQ"), tidy.assign(symbol="ES")]).set_index("timestamp")
    assert_same_bars(load_bars(both, PLAIN, symbol="NQ"), expected)


def test_a_footer_is_no_bar(tidy: pd.DataFrame, expected: Bars, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text(comma(tidy) + "total 4140 rows\nDownloaded, as of yesterday\n")
    bars = load_bars(path, PLAIN)
    assert_same_bars(bars, expected)
    assert "2 lines below the bars left out: 'total 4140 rows'" in str(bars.report)


def test_examples_name_three_rows_at_most() -> None:
    size = 10
    minutes = np.arange(size) * 60_000_000 + 1_700_000_000_000_000 // 60_000_000 * 60_000_000
    none = np.zeros(size, np.int64)
    rows = Rows(none + np.arange(size), np.zeros((size, 4)), none, minutes, none, none, none, none)
    text = rows.examples(np.arange(size) % 2 == 1)
    # 1,700,000,000 s are 2023-11-14 22:13:20 UTC, 17:13 in New York; the second row is a minute later.
    assert text == (
        "row 2 at 2023-11-14 17:14 New York, row 4 at 2023-11-14 17:16 New York, "
        "row 6 at 2023-11-14 17:18 New York, ..."
    )
