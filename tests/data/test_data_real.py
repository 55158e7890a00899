"""The real files, with what is odd in them: their README says what must be found."""

import pathlib
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.data.tables import assert_same_bars
from trading_gymnax.data.loader import Bars, DataError, load_bars

H25, M25 = "NQ_H25_1min_ninjatrader.parquet", "NQ_M25_1min_ninjatrader.parquet"
END = {"timestamps_mark": "end", "repair": ("stray_prints",)}


@pytest.fixture(scope="module")
def march(shared_data: pathlib.Path) -> Bars:
    return load_bars(shared_data / H25, "NQ", **END)


@pytest.fixture(scope="module")
def june(shared_data: pathlib.Path) -> Bars:
    return load_bars(shared_data / M25, "NQ", **END)


def note(bars: Bars, name: str) -> str:
    finding = bars.report.finding(name)
    assert finding is not None
    return finding.text


def test_stray_prints_of_both_contracts_are_counted(shared_data: pathlib.Path) -> None:
    for file, count in ((H25, 23), (M25, 33)):
        with pytest.raises(DataError) as caught:
            load_bars(shared_data / file, "NQ", timestamps_mark="end")
        assert [finding.name for finding in caught.value.report.refused] == ["stray_prints"]
        assert caught.value.report.refused[0].count == count


def test_march_contract(march: Bars) -> None:
    assert len(march) == 71_192 - 23
    assert len(march.session_date) == 53
    closes = {str(date): int(close) for date, close in zip(march.session_date, march.scheduled_close, strict=True)}
    assert {date: close for date, close in closes.items() if close != 1380} == {
        "2025-01-20": 1140,
        "2025-02-17": 1140,
    }
    # Trading stopped at 09:30 on the day of mourning, and the file ends in the night of 17 March.
    assert [date for date, _ in march.report.unusable] == ["2025-01-09", "2025-03-17"]
    assert "its bars stop at 09:30" in dict(march.report.unusable)["2025-01-09"]


def test_every_session_of_the_march_contract_ends_where_trading_ended(march: Bars) -> None:
    last = march.time[march.session_end - 1]
    dates = [str(date) for date in march.session_date]
    odd = {date: int(minute) for date, minute in zip(dates, last, strict=True) if minute != 1380}
    assert odd == {"2025-01-09": 930, "2025-01-20": 1140, "2025-02-17": 1140, "2025-03-17": 360}
    assert march.time[march.session_start].tolist() == [1] * 53


def test_june_contract(june: Bars) -> None:
    assert len(june) == 78_631 - 33
    closes = {str(date): int(close) for date, close in zip(june.session_date, june.scheduled_close, strict=True)}
    assert {date: close for date, close in closes.items() if close != 1380} == {"2025-05-26": 1140}
    # Good Friday: the calendar has a short session, the market had none.
    assert "2025-04-18" not in closes
    assert note(june, "absent_sessions").endswith("2025-04-18")
    assert dict(june.report.unusable) == {"2025-06-03": "its bars stop at 08:07, 532 minutes before 16:59"}


def test_the_reopen_after_the_tariffs_is_a_jump(june: Bars) -> None:
    # Sunday 2025-04-06, 18:00: the bar of 4.4 % opens the session of the 7th.
    assert "points into session 2025-04-07" in note(june, "jumps")
    first = june.session_start[june.session_date == np.datetime64("2025-04-07")][0]
    before = june.close[first - 1]
    assert (before - june.low[first]) / before == pytest.approx(0.044, abs=0.001)


def test_the_roll_from_one_contract_to_the_next_is_noted(shared_data: pathlib.Path) -> None:
    old, new = (pd.read_parquet(shared_data / file) for file in (H25, M25))
    friday = pd.Timestamp("2025-03-14 15:00", tz="UTC")
    both = pd.concat([old[old["timestamp"] <= friday], new[new["timestamp"] > friday]], ignore_index=True)
    bars = load_bars(both, "NQ", **END)
    # The spread of about 206 points, here between two bars of one session.
    jump = re.search(r"\+(\S+) points into session 2025-03-14", note(bars, "jumps"))
    assert jump is not None
    assert float(jump[1]) == pytest.approx(206, abs=5)


def test_holes_are_counted(march: Bars, june: Bars) -> None:
    # 1379 bars on 01-03, 1362 on 01-23 and 1379 on 02-13 and on 02-24: 1 + 18 + 1 + 1 missing.
    assert march.report.finding("holes").count == 21  # type: ignore[union-attr]
    assert june.report.finding("holes").count > 200  # type: ignore[union-attr]  # thin first days


def test_stamps_read_at_the_wrong_end_are_told(shared_data: pathlib.Path) -> None:
    with pytest.raises(DataError) as caught:
        load_bars(shared_data / H25, "NQ")
    assert "pass timestamps_mark='end'" in " ".join(str(caught.value).split())
    with pytest.raises(DataError, match="timestamps_mark='end'"):  # 50 bars dropped would displace all the others
        load_bars(shared_data / H25, "NQ", repair="stray_prints")


def test_the_change_of_clocks_in_march_2023(shared_data: pathlib.Path) -> None:
    bars = load_bars(shared_data / "ES_1min_firstrate_2023-03.parquet", "ES")
    assert len(bars) == 16_200
    assert bars.report.findings == ()
    # 09:31 New York is minute 931 in winter time (14:31 UTC) and in summer time (13:31 UTC).
    opens = bars.close_time[bars.time == 931].astype(str).tolist()
    assert opens[:2] == ["2023-03-08T14:31", "2023-03-09T14:31"]
    assert opens[3:5] == ["2023-03-13T13:31", "2023-03-14T13:31"]
    # Volume is largest where the stock market opens, on both sides of the change.
    for days in (bars.session < 3, bars.session >= 3):
        morning = days & (bars.time > 900) & (bars.time < 960)
        mean = np.bincount(bars.time[morning], bars.volume[morning])
        assert mean.argmax() == 931


def test_first_rate_without_header_is_the_tidy_table(shared_data: pathlib.Path) -> None:
    raw = shared_data / "raw_ES_1min_firstrate_noheader_2023-03.csv.gz"
    with pytest.raises(DataError, match="carry no offset"):
        load_bars(raw, "ES")
    tidy = load_bars(shared_data / "ES_1min_firstrate_2023-03.parquet", "ES")
    assert_same_bars(load_bars(raw, "ES", timezone="US/Eastern"), tidy)


def test_trading_view_with_its_indicators_is_the_tidy_table(shared_data: pathlib.Path) -> None:
    raw = load_bars(shared_data / "raw_ES_tradingview_20220116-20220128-1.csv.gz", "ES")
    assert_same_bars(raw, load_bars(shared_data / "ES_1min_tradingview_2022-01.parquet", "ES"))


def test_ninja_trader_is_the_tidy_table_without_being_told(shared_data: pathlib.Path, june: Bars) -> None:
    assert_same_bars(load_bars(shared_data / "raw_NQ_06-25.Last.txt.gz", "NQ", repair="stray_prints"), june)


def test_the_dirty_yfinance_file(shared_data: pathlib.Path) -> None:
    raw = shared_data / "raw_MNQ_1min_yfinance_dirty.csv.gz"
    with pytest.raises(DataError) as caught:
        load_bars(raw, "MNQ")
    counts = {finding.name: finding.count for finding in caught.value.report.refused}
    assert counts == {"off_tick": 36, "backward": 8, "repeated": 54_440}
    assert "0 of them with other prices" in str(caught.value)
    bars = load_bars(raw, "MNQ", snap_to_tick=True, repair=("backward", "repeated"))
    assert len(bars) == 6_805  # the week once
    assert len(bars.session_date) == 5
    # 6,363 rows of zero volume in nine copies of the week: 707 in each.
    assert bars.report.finding("zero_volume").count * 9 == 6_363  # type: ignore[union-attr]


@pytest.mark.parametrize("market", ["ES", "NQ", "YM"])
def test_three_markets_of_january_2022(shared_data: pathlib.Path, market: str) -> None:
    bars = load_bars(shared_data / f"{market}_1min_tradingview_2022-01.parquet", market)
    assert [str(date) for date in bars.session_date[[0, -1]]] == ["2022-01-17", "2022-01-28"]
    assert bars.scheduled_close.tolist() == [1140] + [1380] * 9  # Martin Luther King Day: 13:00
    assert bars.report.unusable == ()
    assert np.isfinite(bars.features[19:]).all()
    assert np.abs(bars.features[19:]).max() <= 10


@pytest.mark.parametrize("bar_minutes", [5, 15])
def test_resampled_bars_load_alike(shared_data: pathlib.Path, march: Bars, bar_minutes: int) -> None:
    bars = pd.read_parquet(shared_data / H25).set_index("timestamp")
    how: Any = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    longer = bars.resample(f"{bar_minutes}min", closed="right", label="right").agg(how).dropna()
    loaded = load_bars(longer, "NQ", **END)
    assert loaded.bar_minutes == bar_minutes
    np.testing.assert_array_equal(loaded.session_date, march.session_date)
    np.testing.assert_array_equal(loaded.scheduled_close, march.scheduled_close)
    # The last close of each session is the same one.
    np.testing.assert_array_equal(loaded.close[loaded.session_end - 1], march.close[march.session_end - 1])


def test_cuts_of_real_bars_change_nothing_before_them(shared_data: pathlib.Path, march: Bars) -> None:
    bars = pd.read_parquet(shared_data / H25)
    for cut in (5_000, 8_205, 8_281, 15_000, 17_300, 40_001):  # inside 9 January and a half day, too
        part = load_bars(bars.iloc[:cut], "NQ", **END)
        for name in (
            "close_time",
            "open",
            "high",
            "low",
            "close",
            "volume",
            "atr",
            "features",
            "time",
            "session",
        ):
            np.testing.assert_array_equal(getattr(part, name), getattr(march, name)[: len(part)], err_msg=name)
        np.testing.assert_array_equal(part.scheduled_close, march.scheduled_close[: len(part.session_date)])
