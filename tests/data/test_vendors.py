"""Each vendor's file: exactly as it comes, and with the options that its own message suggests.

Nine of them hold the same 4,140 invented bars of ES, so one independent reading by Python's `csv` is the right answer
of all: of Databento's text, whose stamps are UTC and whose prices are decimal numbers.
"""

import csv
import datetime as dt
import gzip
import io
import json
import pathlib
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.data.tables import PLAIN, assert_same_bars, table
from trading_gymnax.data.loader import Bars, DataError, load_bars
from trading_gymnax.market import load_market_data

SEVERAL = "dbn_parent.csv.gz"


@pytest.fixture(scope="module")
def vendors(shared_data: pathlib.Path) -> pathlib.Path:
    return shared_data / "vendors"


@pytest.fixture(scope="module")
def right(vendors: pathlib.Path) -> dict[str, list[tuple[Any, ...]]]:
    """(UTC minute of the close, four prices in quarter points, volume) of each row, by instrument."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    with gzip.open(vendors / SEVERAL, "rt") as file:
        for row in csv.DictReader(file):
            start = dt.datetime.strptime(row["ts_event"][:19], "%Y-%m-%dT%H:%M:%S")
            ticks = [round(float(row[name]) * 4) for name in ("open", "high", "low", "close")]
            close = np.datetime64(start + dt.timedelta(minutes=1), "m")
            found.setdefault(row["symbol"], []).append((close, *ticks, float(row["volume"])))
    return found


def rows_of(bars: Bars) -> list[tuple[Any, ...]]:
    columns = (bars.close_time, bars.open, bars.high, bars.low, bars.close, bars.volume)
    return [(row[0], *map(int, row[1:5]), float(row[5])) for row in zip(*columns, strict=True)]


def refusal(path: pathlib.Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load_bars(path, "ES", **options)
    return " ".join(str(caught.value).split())


def test_the_right_answer_is_the_one_that_the_file_shows(right: dict[str, list[tuple[Any, ...]]]) -> None:
    # 22:00 UTC on Monday 2 June 2025 is 18:00 New York; 5900.00 points are 23,600 ticks.
    assert right["ESM5"][0] == (np.datetime64("2025-06-02T22:01", "m"), 23_600, 23_603, 23_599, 23_602, 135.0)
    assert right["ESM5"][-1] == (np.datetime64("2025-06-05T21:00", "m"), 23_773, 23_773, 23_771, 23_771, 109.0)
    assert {name: len(rows) for name, rows in right.items()} == {"ESM5": 4140, "ESU5": 2070, "ESM5-ESU5": 1380}


AS_THEY_COME = ("dbn_raw.csv.gz", "ib_tz.csv.gz", "histdata.csv.gz", "duka.csv.gz")
ASKED = {  # file: (what its refusals say, option that they suggest), one after the other
    "ib_tws.csv.gz": [("pass timezone='America/Chicago' or 'UTC-5'", {"timezone": "America/Chicago"})],
    "barchart.csv.gz": [
        ("pass timezone='America/Chicago' or 'UTC-5'", {"timezone": "America/Chicago"}),
        ("time stamps run backward at 4,139 bars", {"repair": "backward"}),
    ],
    "multicharts.txt.gz": [("pass timezone='America/New_York' or 'UTC-4'", {"timezone": "America/New_York"})],
    "eu_decimal.csv.gz": [
        ("pass timestamp_format='%d/%m/%Y %H:%M' or", {"timestamp_format": "%d/%m/%Y %H:%M"}),
        ("pass timezone='America/New_York' or 'UTC-4'", {"timezone": "America/New_York"}),
    ],
    SEVERAL: [("ESM5 (4,140), ESU5 (2,070), ESM5-ESU5 (1,380). Choose one: symbol='ESM5'", {"symbol": "ESM5"})],
    "alpaca_multi.csv.gz": [("ES (4,140), NQ (4,140). Choose one: symbol='ES'", {"symbol": "ES"})],
}


@pytest.mark.parametrize("name", [*AS_THEY_COME, *ASKED])
def test_every_vendor_gives_the_same_bars(
    name: str, vendors: pathlib.Path, right: dict[str, list[tuple[Any, ...]]]
) -> None:
    options: dict[str, Any] = {}
    for text, option in ASKED.get(name, []):
        assert text in refusal(vendors / name, **options)
        options |= option
    expected = right["ESM5"]
    if name == "histdata.csv.gz":  # writes no volume
        expected = [(*row[:5], 0.0) for row in expected]
    elif name == "duka.csv.gz":  # counts thousands, to four digits
        expected = [(*row[:5], row[5] / 1000) for row in expected]
    bars = load_bars(vendors / name, "ES", **options)
    assert rows_of(bars) == expected
    assert bars.report.doubts == ()


def test_what_is_said_of_what_was_assumed(vendors: pathlib.Path) -> None:
    said = {name: " ".join(str(load_bars(vendors / name, "ES").report).split()) for name in AS_THEY_COME}
    assert (
        "read as UTC-5 time, as HistData writes them (assumed, as the bars fit; not UTC as" in said["histdata.csv.gz"]
    )
    assert "the volume is 0 in all bars" in said["histdata.csv.gz"]
    assert "stamps with the name of a zone (US/Central)" in said["ib_tz.csv.gz"]
    assert "fixed point: 1 is 1e-09 points" in said["dbn_raw.csv.gz"]
    assert "volumes are fractions, 0.001 at least" in said["duka.csv.gz"]


@pytest.mark.parametrize("name", ["thousands.csv.gz", "mt5_min.csv.gz"])
def test_two_days_of_a_simple_tape(name: str, vendors: pathlib.Path) -> None:
    assert "pass timezone='UTC', --timezone UTC" in refusal(vendors / name)
    bars = load_bars(vendors / name, "ES", timezone="UTC")
    assert (len(bars), str(bars.close_time[0])) == (2760, "2025-06-03T22:01")
    assert [bars.open[0], bars.high[0], bars.low[0], bars.close[0]] == [23_600, 23_602, 23_598, 23_601]
    at = int(np.flatnonzero(bars.close_time == np.datetime64("2025-06-04T13:31"))[0])  # "2,430" beside "129"
    assert bars.volume[[0, at - 1, at]].tolist() == [100, 129, 2430 if name == "thousands.csv.gz" else 130]
    expected = "counts of price changes, 'tickvol'" if name == "mt5_min.csv.gz" else "thousands separators (2,430)"
    assert expected in str(bars.report)


def test_contracts_of_one_file_are_a_list_of_contracts(vendors: pathlib.Path) -> None:
    text = "symbol=('ESM5', 'ESU5') with roll='volume', --symbol ESM5 ESU5 --roll volume"
    assert text in refusal(vendors / SEVERAL)
    market = load_market_data(vendors / SEVERAL, "ES", symbol=("ESM5", "ESU5"), roll="2025-06-05", repair="too_short")
    assert market.symbols == ("ES-ESM5", "ES-ESU5")
    assert np.asarray(market.view).tolist() == [[0, 2], [2, 3]]
    assert np.asarray(market.num_bars).tolist() == [4140, 2070]
    assert np.asarray(market.bar_minutes).tolist() == [1, 1]  # ESU5 traded in every other minute only, the odd ones
    with pytest.raises(ValueError, match="the later never has the larger volume"):
        load_market_data(vendors / SEVERAL, "ES", symbol=("ESM5", "ESU5"), roll="volume", repair="too_short")


def test_a_symbol_for_each_table(vendors: pathlib.Path) -> None:
    path = vendors / "alpaca_multi.csv.gz"
    market = load_market_data({"ES": path, "NQ": path}, symbol=("ES", "NQ"))
    assert np.asarray(market.bars)[:, 0, 0].tolist() == [23_600, (20_900 * 4)]
    assert market.doubts == ()
    for symbol, text in ((("ES", "NQ", "YM"), "3 instruments for 2 tables"), (("ES", "ES"), "several different ones")):
        with pytest.raises(ValueError, match=text):
            load_market_data({"ES": path, "NQ": path}, symbol=symbol)


def test_a_symbol_that_is_not_there_and_one_that_is_another_market(vendors: pathlib.Path) -> None:
    assert "no instrument 'ESH5': did you mean 'ES" in refusal(vendors / SEVERAL, symbol="ESH5")
    assert "and the table has none" in refusal(vendors / "ib_tz.csv.gz", symbol="ES")
    tidy = table("2025-03-03").assign(symbol="ESM5")
    bars = load_bars(tidy, "NQ")
    assert bars.report.doubts == ("the table says that its bars are of ESM5, and they are read as NQ",)
    assert "DOUBTFUL: the table says" in str(bars.report).splitlines()[1]
    assert load_bars(tidy.assign(symbol="NQH5"), "MNQ").report.doubts == ()  # a micro contract has the same prices
    assert load_market_data(tidy, "NQ").doubts == (
        "NQ: the table says that its bars are of ESM5, and they are read as NQ",
    )


def test_instruments_without_a_name_are_not_spliced() -> None:
    one = table("2025-03-03")
    other = one.assign(**{name: one[name] + 200 for name in ("open", "high", "low", "close")})
    both = pd.concat([one, other]).sort_values("timestamp", kind="stable")
    with pytest.raises(DataError) as caught:
        load_bars(both, PLAIN, repair="repeated")
    assert [(found.name, found.allow) for found in caught.value.report.refused] == [("symbol", False)]
    assert "1,380 of them with other prices" in " ".join(str(caught.value).split())


# --- archives and JSON -----------------------------------------------------------------------------------


def zipped(path: pathlib.Path, files: dict[str, str]) -> pathlib.Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.fixture(scope="module")
def days() -> pd.DataFrame:
    return table("2025-03-03", "2025-03-04")


def test_a_zip_and_a_folder_of_days_are_one_table(days: pd.DataFrame, tmp_path: pathlib.Path) -> None:
    halves = {"b.csv": days.iloc[1380:].to_csv(index=False), "a.csv": days.iloc[:1380].to_csv(index=False)}
    expected = load_bars(days, PLAIN)
    assert_same_bars(load_bars(zipped(tmp_path / "bars.zip", halves), PLAIN), expected)
    folder = tmp_path / "days"
    folder.mkdir()
    for name, text in halves.items():
        (folder / name).write_text(text)
    assert_same_bars(load_bars(folder, PLAIN), expected)
    (folder / "c.csv").write_text("time,price\n1,2\n")
    with pytest.raises(DataError, match=r"c\.csv has other columns than a\.csv"):
        load_bars(folder, PLAIN)


def lean(days: pd.DataFrame, scale: int) -> dict[str, str]:
    """One file a day of New York: milliseconds since midnight, whole prices, no header."""
    local = days["timestamp"].dt.tz_convert("America/New_York")
    since = (local.dt.hour * 60 + local.dt.minute) * 60_000
    rows = days[["open", "high", "low", "close"]].mul(scale).round().astype(int)
    rows = rows.assign(volume=days["volume"]).set_axis(range(1, 6), axis=1)
    rows.insert(0, "since", since)
    form = local.dt.strftime("%Y%m%d") + "_xyz_minute_trade.csv"
    return {str(name): part.to_csv(index=False, header=False) for name, part in rows.groupby(form)}


def test_lean_writes_milliseconds_since_midnight(days: pd.DataFrame, tmp_path: pathlib.Path) -> None:
    files = lean(days, 10_000)
    assert sorted(files) == [f"202503{day}_xyz_minute_trade.csv" for day in ("02", "03", "04")]
    path = zipped(tmp_path / "minute.zip", files)
    with pytest.raises(DataError, match="timezone='America/New_York'"):
        load_bars(path, PLAIN)
    assert_same_bars(load_bars(path, PLAIN, timezone="America/New_York"), load_bars(days, PLAIN))
    with pytest.raises(DataError, match="no date stands in its name"):
        load_bars(zipped(tmp_path / "other.zip", {"day.csv": files["20250303_xyz_minute_trade.csv"]}), PLAIN)


def test_two_contracts_of_lean_are_two_instruments(days: pd.DataFrame, tmp_path: pathlib.Path) -> None:
    text = lean(days, 10_000)["20250303_xyz_minute_trade.csv"]
    names = {f"20250303_xyz_minute_trade_{month}.csv": text for month in ("202503", "202506")}
    with pytest.raises(DataError, match=r"xyz_202503 \(1,380\), xyz_202506 \(1,380\)"):
        load_bars(zipped(tmp_path / "futures.zip", names), PLAIN)


@pytest.mark.parametrize(
    "shape",
    [
        *("records", "lines", "nested records", "nested lines", "a field of two kinds", "below a key"),
        *("records that look like more of them", "records with lists"),
    ],
)
def test_json(shape: str, days: pd.DataFrame, tmp_path: pathlib.Path) -> None:
    records = days.assign(timestamp=days["timestamp"].astype(str)).to_dict("records")
    nested = [{"hd": {"ts_event": row.pop("timestamp"), "rtype": 33}, **row} for row in map(dict, records)]
    texts = {
        "records": json.dumps(records),
        "lines": "\n".join(map(json.dumps, records)),
        "nested records": json.dumps(nested, indent=1),
        "nested lines": "\n".join(map(json.dumps, nested)),
        "records that look like more of them": json.dumps([row | {"note": "{1},{2}, } , {"} for row in records]),
        "records with lists": json.dumps([row | {"ticks": [{"price": 1}, {"price": 2}]} for row in records]),
        "a field of two kinds": "\n".join(json.dumps(row | {"close": str(row["close"])}) for row in records[:9])
        + "\n"
        + "\n".join(map(json.dumps, records[9:])),
        "below a key": json.dumps({"ticker": "X", "results": records}),
    }
    path = tmp_path / "bars.json"
    path.write_text(texts[shape])
    assert_same_bars(load_bars(path, PLAIN), load_bars(days, PLAIN))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "b": [1, 2]}', "JSON without a list of bars"),
        ('[{"o": 1, "h": 1, "l": 1, "c": 1}, "x"]', "JSON without a list of bars"),
        ('{"open": 1}\n{"open": ', "line 2 of the JSON file is damaged"),
        (
            json.dumps({"ES": [{"a": 1, "b": 1, "c": 1, "d": 1}], "NQ": [{"a": 1, "b": 1, "c": 1, "d": 1}]}),
            "several lists",
        ),
    ],
)
def test_json_that_is_no_table(text: str, said: str, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "bars"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        load_bars(path, PLAIN)


def test_a_zip_of_anything_else(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DataError, match="the zip file is empty"):
        load_bars(zipped(tmp_path / "a", {}), PLAIN)
    with pytest.raises(DataError, match=r"readme: no column|no column open"):
        load_bars(zipped(tmp_path / "b", {"readme": "a,b\nc,d\n"}), PLAIN)
    content = io.BytesIO((tmp_path / "b").read_bytes())
    (tmp_path / "c").write_bytes(content.getvalue()[:40])
    with pytest.raises(DataError, match="the zip file is broken"):
        load_bars(tmp_path / "c", PLAIN)
