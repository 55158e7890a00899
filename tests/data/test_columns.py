"""Columns by their vendors' names and by the caller's, numbers in every notation, halves of stamps."""

import pathlib
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.tables import PLAIN, assert_same_bars, load, table
from trading_gymnax.data.contracts import CONTRACTS
from trading_gymnax.data.loader import Bars, DataError, load_bars
from trading_gymnax.data.names import check_columns
from trading_gymnax.data.numerals import NotationError, find_notation
from trading_gymnax.data.spec import ContractSpec

PRICES = ["open", "high", "low", "close"]


@pytest.fixture(scope="module")
def tidy() -> pd.DataFrame:
    return table("2025-03-03", "2025-03-04")


@pytest.fixture(scope="module")
def expected(tidy: pd.DataFrame) -> Bars:
    return load(tidy)


def refused(frame: Any, market: Any = PLAIN, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load_bars(frame, market, **options)
    return " ".join(str(caught.value).split())


# --- names -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        ({"close": "Latest"}, ()),
        ({"volume": "TotalVolume"}, ()),
        ({"timestamp": "Gmt time"}, ()),
        ({"timestamp": "window_start"}, ()),
        ({"timestamp": "timestamp_utc"}, ()),
        ({"timestamp": "Local time"}, ()),
        ({"close": "Settle"}, "close=Settle"),
        ({"close": "Settle", "timestamp": "Bar time"}, 'close=Settle,timestamp="Bar time"'),
        ({"close": "Settle", "timestamp": "Bar time"}, ("close=Settle", "timestamp=Bar time")),
        ({"close": "Settle", "volume": "Lots"}, {"close": "settle", "volume": "Lots"}),
        ({"open": "close", "close": "open"}, {"open": "close", "close": "open"}),
    ],
)
def test_names_of_vendors_and_of_the_caller(
    names: dict[str, str], columns: Any, tidy: pd.DataFrame, expected: Bars
) -> None:
    assert_same_bars(load(tidy.rename(columns=names), columns=columns), expected)


def test_a_told_column_comes_before_one_of_the_usual_name(tidy: pd.DataFrame, expected: Bars) -> None:
    both = tidy.rename(columns={"close": "Raw"}).assign(close=1.0, timestamp_utc="never")
    assert_same_bars(load(both, columns={"close": "Raw", "timestamp": "timestamp"}), expected)


def test_a_zone_in_the_name_of_the_stamps(tidy: pd.DataFrame, expected: Bars) -> None:
    naive = tidy.assign(timestamp=tidy["timestamp"].dt.tz_localize(None))
    for name in ("Gmt time", "timestamp_utc", "time (UTC)"):
        bars = load(naive.rename(columns={"timestamp": name}))
        assert_same_bars(bars, expected)
        assert "read as UTC time, as the name of their column says" in str(bars.report)


@pytest.mark.parametrize("parts", [("Up", "Down"), ("up_volume", "down_volume")])
def test_volume_in_two_parts(parts: tuple[str, str], tidy: pd.DataFrame, expected: Bars) -> None:
    frame = tidy.drop(columns="volume").assign(**{parts[0]: tidy["volume"] // 3})
    frame[parts[1]] = tidy["volume"] - frame[parts[0]]
    assert_same_bars(load(frame), expected)


def test_every_missing_column_lists_those_that_there_are(tidy: pd.DataFrame) -> None:
    text = refused(tidy.rename(columns={"close": "Settle", "timestamp": "Zeit"}))
    assert "no column close: the table has 'zeit', 'open', 'high', 'low', 'settle', 'volume'" in text
    assert "--columns close=NAME" in text
    assert "the table has 'Zeit', 'open', 'high', 'low', 'Settle', 'volume'; name the one that is meant" in text
    assert "--columns timestamp=NAME" in text
    assert "no column is 'Setle': did you mean 'settle'?" in refused(
        tidy.rename(columns={"close": "Settle"}), columns="close=Setle"
    )


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("close", "not of the form field=name"),
        ("shut=Last", "names no field 'shut'"),
        ("close=A,close=B", "gives 'close' twice"),
        ({"close": "A", "open": "A"}, "gives 'A' twice"),
    ],
)
def test_columns_that_cannot_be(columns: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_columns(columns)


@given(st.dictionaries(st.sampled_from(["open", "close", "volume", "timestamp"]), st.text(max_size=6), max_size=3))
@settings(max_examples=40)
def test_any_columns_are_taken_or_refused_in_plain_words(columns: dict[str, str]) -> None:
    frame = table("2025-03-03", first=900, last=920)
    said = ""
    try:
        load(frame, columns=columns, repair="too_short")
    except ValueError as error:
        said = str(error)
    assert not said or "column" in said


# --- halves of stamps ------------------------------------------------------------------------------------


def halves(frame: pd.DataFrame, date: str, clock: str, names: tuple[str, str] = ("Date", "Time")) -> pd.DataFrame:
    local = frame["timestamp"].dt.tz_convert("America/New_York")
    parts = pd.DataFrame({names[0]: local.dt.strftime(date), names[1]: local.dt.strftime(clock)})
    return pd.concat([parts, frame[[*PRICES, "volume"]]], axis=1)


@pytest.mark.parametrize(
    ("date", "clock", "names"),
    [
        ("%Y-%m-%d 00:00:00", "%H:%M", ("Date", "Time")),
        ("%Y-%m-%dT00:00:00", "%H:%M:%S", ("datetime", "time")),
        ("%Y-%m-%d 00:00", "%I:%M %p", ("timestamp", "time")),
        ("%Y%m%d", "%H:%M:%S", ("Date", "Timestamp")),
        ("%Y-%m-%d", "%H:%M:%S.000", ("day", "clock")),
    ],
)
def test_dates_at_midnight_are_half_a_stamp(
    date: str, clock: str, names: tuple[str, str], tidy: pd.DataFrame, expected: Bars
) -> None:
    frame = halves(tidy, date, clock, names)
    assert_same_bars(load(frame, timezone="America/New_York"), expected)


def test_clocks_as_python_and_pandas_have_them(tidy: pd.DataFrame, expected: Bars) -> None:
    local = tidy["timestamp"].dt.tz_convert("America/New_York").dt.tz_localize(None)
    frame = tidy.drop(columns="timestamp").assign(date=local.dt.normalize(), time=local.dt.time)
    assert_same_bars(load(frame, timezone="America/New_York"), expected)
    frame["time"] = local - local.dt.normalize()
    assert_same_bars(load(frame, timezone="America/New_York"), expected)


# --- numbers ---------------------------------------------------------------------------------------------


def german(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


WRITTEN = {
    "thousands": ("{:,.2f}".format, "{:,}".format, ","),
    "decimal commas": (lambda x: f"{x:.2f}".replace(".", ","), str, ";"),
    "decimal commas and points": (german, lambda x: f"{x:,}".replace(",", "."), ";"),
    "quoted decimal commas": (lambda x: f"{x:.2f}".replace(".", ","), str, ","),
    "Swiss": (lambda x: f"{x:,.2f}".replace(",", "'"), str, ";"),
    "narrow blanks": (lambda x: f"{x:,.2f}".replace(",", "\u202f"), str, ";"),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_notations(name: str, tidy: pd.DataFrame, tmp_path: pathlib.Path) -> None:
    price, volume, separator = WRITTEN[name]
    frame = tidy.assign(volume=tidy["volume"] * 100)
    written = frame.assign(volume=frame["volume"].map(volume), **{one: frame[one].map(price) for one in PRICES})
    path = tmp_path / "bars.csv"
    path.write_text(written.to_csv(index=False, sep=separator))
    bars = load_bars(path, PLAIN)
    assert_same_bars(bars, load(frame))
    assert "numbers with" in str(bars.report)


@pytest.mark.parametrize(
    ("prices", "volumes", "separator", "values"),
    [  # worked out by hand
        (["5900,00", "5900,5"], ["1.234", "12"], ";", ([5900, 5900.5], [1234, 12])),
        (["5,900.25", "5,900.5"], ["2,430", "99"], ",", ([5900.25, 5900.5], [2430, 99])),
        (["5900.25", "5900.5"], ["2,430", "999"], ";", ([5900.25, 5900.5], [2430, 999])),
        (["1.234.567,5", "12,25"], ["1", "2"], ";", ([1_234_567.5, 12.25], [1, 2])),
        (["-37,63", "0,01"], ["1", "2"], ";", ([-37.63, 0.01], [1, 2])),
        (["5,900", "5,901"], ["1", "2"], ",", ([5900, 5901], [1, 2])),
        (["5,900.25", "5,90"], ["1", "2"], None, None),  # two notations
        (["5900.25", "5900.5"], ["0,135", "1,5"], ";", None),
        (["5,900", "5,901"], ["1", "2"], ";", None),  # 5.9 or 5900
        (["5,900.25", "59,00.5"], ["1", "2"], ",", ([5900.25, np.nan], [1, 2])),  # a slip is no number
    ],
)
def test_numbers_by_hand(prices: list[str], volumes: list[str], separator: str | None, values: Any) -> None:
    columns = [pd.Series(prices)], [pd.Series(volumes)]
    if values is None:
        with pytest.raises(NotationError):
            find_notation(*columns, separator, PLAIN)
        return
    notation = find_notation(*columns, separator, PLAIN)
    for column, expected in zip((columns[0][0], columns[1][0]), values, strict=True):
        np.testing.assert_array_equal(notation.numbers(column), np.array(expected, float))


@pytest.mark.parametrize(
    ("text", "value", "market"),
    [
        ("110'16", 110.5, "ZB"),
        ("110'165", 110 + 16.5 / 32, "UB"),
        ("110-31", 110 + 31 / 32, "ZB"),
        ("110'002", 110 + 0.25 / 32, "ZF"),
        ("110'107", 110 + 10.75 / 32, "ZF"),
        ("103'318", 103 + 31.875 / 32, "ZT"),
        ("110'32", np.nan, "ZB"),
        ("110'164", np.nan, "ZB"),
        ("450'2", 450.25, "ZC"),
        ("1050'6", 1050.75, "ZS"),
    ],
)
def test_fractions_of_bonds_and_grains(text: str, value: float, market: str) -> None:
    column = pd.Series([text] * 3)
    notation = find_notation([column], [], ",", CONTRACTS[market])
    np.testing.assert_array_equal(notation.numbers(column), [value] * 3)


def test_fractions_of_a_market_that_has_none_are_refused() -> None:
    frame = table("2025-03-03").assign(**dict.fromkeys(PRICES, "110'165"))
    text = refused(frame, "NQ")
    assert 'prices such as "110\'165" look like 32nds or eighths of a point, and a tick of NQ is 0.25' in text
    assert "repair" not in text


def test_bonds_in_32nds_load_whole(tidy: pd.DataFrame) -> None:
    points = (tidy[PRICES] - 20_000) * 4 / 32 + 118  # a quarter point of the walk is a 32nd here
    written = points.map(lambda x: f"{int(x)}'{round((x - int(x)) * 32):02d}")
    bars = load_bars(tidy.assign(**{name: written[name] for name in PRICES}), "ZB")
    np.testing.assert_array_equal(bars.close, (points["close"] * 32).round().astype(int))
    assert "prices in 32nds of a point" in str(bars.report)


def test_cells_that_hold_digits_and_are_no_number_are_refused(tidy: pd.DataFrame) -> None:
    busy = tidy.assign(volume=tidy["volume"].astype(str))
    busy.loc[busy.index[::400], "volume"] = "1.2K"  # the busiest bars, which a repair would drop
    text = refused(busy, repair="nan")
    assert "7 cells of volume hold no number that is understood, the first '1.2K'" in text
    assert "To load it" not in text


def test_volume_that_is_none(tidy: pd.DataFrame, expected: Bars) -> None:
    bars = load(tidy.assign(volume=-1))
    assert not bars.volume.any()
    assert "the volume column is empty" in str(bars.report)
    some = tidy.copy()
    some.loc[::10, "volume"] = -1
    assert load(some).volume[::10].tolist() == [0.0] * 276
    assert "276 bars of volume -1" in str(load(some).report)
    ticks = load(tidy.assign(volume=0, tickvol=tidy["volume"]))
    assert_same_bars(ticks, expected)
    assert "counts of price changes, 'tickvol', serve as volume, as the volume column is empty" in str(ticks.report)


def test_a_contract_of_half_cents_is_refused_at_once(tidy: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match=r"a tick of ZN is worth 1562\.5 cents.*2 contracts taken as one"):
        load_bars(tidy, "ZN")
    pair = ContractSpec("2xZN", 1 / 64, 2000.0, 5.0, CONTRACTS["ZN"].calendar)
    frame = tidy.assign(**{name: (tidy[name] - 20_000) / 16 + 110 for name in PRICES})
    assert load_bars(frame, pair).spec.tick_value_cents == 3125


def test_two_whole_rows_at_the_end_are_no_footer(tidy: pd.DataFrame, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bars.csv"
    text = tidy.assign(timestamp=tidy["timestamp"].astype(str)).to_csv(index=False)
    path.write_text(text + "2025-03-05 23:00:00+00:00,,,,,\n")
    assert "1 bar with a missing or unreadable price" in refused(path)


def test_a_list_of_trades_is_called_so(tidy: pd.DataFrame) -> None:
    """Three trades in each minute: that their stamps repeat follows from it."""
    trades = pd.DataFrame({"timestamp": tidy["timestamp"].repeat(3), "price": 100.0, "size": 1})
    with pytest.raises(DataError) as caught:
        load(trades)
    (finding,) = caught.value.report.refused
    assert finding.name == "columns"
    assert "if 'price' is the only price, as of trades, make bars of a minute first" in finding.text


def test_databento_columns_alone_are_fixed_point(tidy: pd.DataFrame, expected: Bars) -> None:
    raw = tidy.rename(columns={"timestamp": "ts_event"})
    raw = raw.assign(**{name: (tidy[name] * 1e9).astype("int64") for name in ("open", "high", "low", "close")})
    assert_same_bars(load(raw), expected)
