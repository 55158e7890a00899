"""Time zones by name, and zones by the bars: a wrong clock is named, and no bar is deleted for it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.tables import PLAIN, assert_same_bars, load, table
from trading_gymnax.data.contracts import CONTRACTS
from trading_gymnax.data.loader import DataError, load_bars
from trading_gymnax.data.spec import ContractSpec
from trading_gymnax.data.zones import ZoneError, find_zone, fitting_zones

SUMMER = ("2025-06-03", "2025-06-04", "2025-06-05")
BOTH = ("2025-03-06", "2025-03-07", "2025-03-10", "2025-03-11")  # the clock goes forward on the 9th


def refused(frame: Any, market: Any = PLAIN, **options: Any) -> tuple[list[str], str]:
    with pytest.raises(DataError) as caught:
        load_bars(frame, market, **options)
    return [finding.name for finding in caught.value.report.refused], " ".join(str(caught.value).split())


@pytest.mark.parametrize(
    ("name", "utc"),
    [  # noon of 3 June 2025 there, as UTC
        ("UTC", "12:00"),
        ("America/New_York", "16:00"),
        ("america/new_york", "16:00"),
        ("ET", "16:00"),
        ("ny", "16:00"),
        ("CT", "17:00"),
        ("UTC-5", "17:00"),
        ("utc +7", "05:00"),
        ("UTC+5:30", "06:30"),
        ("UTC+0530", "06:30"),
        ("GMT+2", "10:00"),
        ("-04:00", "16:00"),
        ("Etc/GMT+5", "17:00"),  # the tz database counts to the west
        ("New York+7", "09:00"),  # summer time in New York: UTC+3
        ("New_York+7", "09:00"),
        ("NY + 7", "09:00"),
        ("EST5EDT", "16:00"),
    ],
)
def test_names_mean_what_they_say(name: str, utc: str) -> None:
    zone = find_zone(name)
    assert zone is not None
    noon = zone.utc(pd.Series([pd.Timestamp("2025-06-03 12:00")]))
    assert str(noon[0]) == f"2025-06-03 {utc}:00"
    again = find_zone(zone.key)  # the name that is told can be given
    assert again is not None
    assert again.utc(pd.Series([pd.Timestamp("2025-06-03 12:00")])).equals(noon)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("EST", "pass 'America/New_York' or 'UTC-5'"),
        ("EDT", "pass 'America/New_York' or 'UTC-4'"),
        ("cst", "pass 'America/Chicago' or 'UTC-6' or 'UTC+8' (China)"),
        ("CDT", "pass 'America/Chicago' or 'UTC-5'"),
        ("BST", "'Europe/London'"),
        ("CET", "'Europe/Berlin' or 'UTC+1'"),
        ("XYZ", "it is like 'America/New_York', 'UTC' or 'UTC-5'"),
        ("UTC+15", "no clock is more than 14 hours from UTC"),
        ("US/Easter", "did you mean 'US/Eastern'"),
        ("New York+15", "unknown timezone"),
        ("", "unknown timezone"),
    ],
)
def test_names_that_are_a_question(name: str, said: str) -> None:
    with pytest.raises(ZoneError) as caught:
        find_zone(name)
    assert said in str(caught.value)


def test_advice_is_given_once() -> None:
    """The name is a question, and the bars know another answer."""
    _, text = refused(table(*SUMMER).assign(timestamp=lambda x: x["timestamp"].dt.tz_localize(None)), timezone="EST")
    assert text.count("pass ") == 1
    assert "pass 'America/New_York' or 'UTC-5'; under timezone='UTC', --timezone UTC the bars lie in the" in text


def test_the_reversed_sign_is_told() -> None:
    frame = table(*SUMMER)
    local = frame["timestamp"].dt.tz_convert("UTC").dt.tz_localize(None) - pd.Timedelta(hours=5)
    bars = load(frame.assign(timestamp=local), timezone="Etc/GMT+5")
    assert "read as Etc/GMT+5 time, which is UTC-5" in str(bars.report)
    assert_same_bars(bars, load(frame))


@given(minutes=st.integers(-19, 23).map(lambda half_hours: half_hours * 30))
@settings(max_examples=12)
def test_the_offset_of_whole_sessions_is_always_found(minutes: int) -> None:
    utc = np.array(table("2025-06-03", "2025-06-04")["timestamp"].dt.as_unit("us").astype(np.int64))
    names = fitting_zones(utc + minutes * 60_000_000, np.ones(len(utc)), PLAIN)
    found = [find_zone(name) for name in names]
    moment = pd.Series([pd.Timestamp("2025-06-03 12:00")])
    offsets = {(moment[0] - zone.utc(moment)[0]).total_seconds() / 60 for zone in found if zone is not None}
    assert offsets == {minutes}


@pytest.mark.parametrize("days", [SUMMER, BOTH])
@pytest.mark.parametrize(
    "truth", ["UTC", "America/New_York", "America/Chicago", "UTC-5", "New York+7", "Europe/London"]
)
def test_stamps_without_an_offset_are_asked_for_with_the_zones_that_fit(days: tuple[str, ...], truth: str) -> None:
    frame = table(*days)
    naive = frame.assign(timestamp=written(frame, truth))
    names, text = refused(naive)
    assert names == ["timestamp"]
    assert repr(truth) in text
    asked = [
        name for name in ("UTC", "America/New_York", "America/Chicago", "New York+7") if f"timezone={name!r}" in text
    ]
    for name in asked:  # whatever it suggests first loads, and on these dates it is the truth
        assert_same_bars(load(naive, timezone=name), load(frame))
    assert_same_bars(load(naive, timezone=truth), load(frame))


def written(frame: pd.DataFrame, name: str) -> pd.Series:
    """Stamps as a clock of that zone shows them."""
    if name == "New York+7":
        return frame["timestamp"].dt.tz_convert("America/New_York").dt.tz_localize(None) + pd.Timedelta(hours=7)
    if name == "UTC-5":
        return frame["timestamp"].dt.tz_localize(None) - pd.Timedelta(hours=5)
    return frame["timestamp"].dt.tz_convert(name).dt.tz_localize(None)


@pytest.mark.parametrize("wrong", ["UTC", "America/Chicago", "America/Los_Angeles", "UTC-4:30", "Asia/Tokyo"])
def test_a_wrong_zone_is_named_and_no_bar_is_deleted_for_it(wrong: str) -> None:
    frame = table(*BOTH)
    naive = frame.assign(timestamp=frame["timestamp"].dt.tz_convert("America/New_York").dt.tz_localize(None))
    for repair in ((), "stray_prints", "stray_prints nan too_short"):
        names, text = refused(naive, timezone=wrong, repair=repair)
        assert names == ["timezone"]
        assert "the clock is wrong and not these bars" in text
        assert "pass timezone='America/New_York'" in text
        assert "repair" not in text


def test_an_offset_in_the_file_can_be_wrong_as_well() -> None:
    frame = table(*SUMMER)
    moved = frame.assign(timestamp=frame["timestamp"] - pd.Timedelta(hours=4))  # New York's clock, called UTC
    names, text = refused(moved, repair="stray_prints")
    assert names == ["timezone"]
    assert "are the clock of 'America/New_York' or 'UTC-4': then the offset in the file is wrong" in text
    names, text = refused(frame.assign(timestamp=frame["timestamp"] + pd.Timedelta(minutes=17)), timezone="UTC")
    assert names == ["timezone"]
    assert "no zone at all puts them into the sessions of PLAIN" in text


def test_hours_of_the_day_alone_are_told_by_the_busiest_minutes() -> None:
    days = [str(day) for day in pd.bdate_range("2025-06-02", periods=6).date]
    frame = table(*days, first=930, last=1320)  # 09:30 to 16:00
    minute = np.arange(len(frame)) % 390
    frame["volume"] = np.where((minute < 30) | (minute >= 360), 900, 100)
    spec = ContractSpec("PLAIN", 0.25, 20.0)  # the calendar of index futures
    naive = frame.assign(timestamp=frame["timestamp"].dt.tz_convert("America/Chicago").dt.tz_localize(None))
    names, text = refused(naive, spec)
    assert names == ["timestamp"]
    assert "pass timezone='America/Chicago' or 'UTC-5', --timezone America/Chicago" in text
    options: dict[str, Any] = {"rth": (9.5, 16.0)}
    right = load_bars(naive, spec, timezone="America/Chicago", **options)
    assert right.report.doubts == ()
    (doubt,) = load_bars(naive, spec, timezone="America/New_York", rth=(8.5, 15.0)).report.doubts
    assert "volume leaps at 08:30 New York and not at 09:30" in doubt
    assert "1 hours early" in doubt
    assert "timezone='America/Chicago' or 'UTC-5'" in doubt


def test_settlement_prints_in_the_halt_are_stray_and_no_clock() -> None:
    # A bar at 17:00 on every day, and at 18:00 as well: the stamps mark the start.
    frame = table(*SUMMER)
    last = frame.iloc[1379::1380].assign(timestamp=lambda x: x["timestamp"] + pd.Timedelta(minutes=1))
    both = pd.concat([frame, last]).sort_values("timestamp")
    names, _ = refused(both)
    assert names == ["stray_prints"]
    assert_same_bars(load(both, repair="stray_prints"), load(frame))


# --- names of zones in the stamps themselves -------------------------------------------------------------


def with_names(frame: pd.DataFrame, form: str, zone: str) -> pd.DataFrame:
    return frame.assign(timestamp=frame["timestamp"].dt.tz_convert(zone).dt.strftime(form))


@pytest.mark.parametrize(
    ("form", "zone"),
    [
        ("%Y%m%d  %H:%M:%S US/Eastern", "America/New_York"),
        ("%Y%m%d %H:%M:%S America/Chicago", "America/Chicago"),
        ("%Y-%m-%d %H:%M:%S %Z", "America/New_York"),  # EST before the change, EDT after it
        ("%m/%d/%Y %I:%M %p %Z", "America/Chicago"),
        ("%d.%m.%Y %H:%M:%S.000 GMT+0200", "Etc/GMT-2"),
        ("%m/%d/%Y %H:%M -0600", "Etc/GMT+6"),
    ],
)
def test_zones_in_the_stamps(form: str, zone: str) -> None:
    frame = table(*BOTH, "2025-03-14")
    assert_same_bars(load(with_names(frame, form, zone)), load(frame))


def test_one_abbreviation_all_year_is_a_question() -> None:
    winter, summer = table("2025-01-07", "2025-01-08"), table(*SUMMER)
    stamped = with_names(winter, "%Y-%m-%d %H:%M EST", "America/New_York")
    assert_same_bars(load(stamped), load(winter))  # in winter both meanings are the same
    names, text = refused(with_names(summer, "%Y-%m-%d %H:%M EST", "Etc/GMT+5"))
    assert names == ["timestamp"]
    assert "pass timezone='America/New_York' or 'UTC-5'" in text


def test_a_zone_that_is_not_used_is_told() -> None:
    bars = load(table(*SUMMER), timezone="Asia/Tokyo")
    assert "timezone='Asia/Tokyo' is not used" in str(bars.report)


def test_the_zones_of_a_market_with_other_hours() -> None:
    # Corn trades from 20:00 to 14:20 New York.
    spec = CONTRACTS["ZC"]
    frame = table(*SUMMER, first=120, last=1220)
    prices = frame[["open", "high", "low", "close"]]
    frame[prices.columns] = prices - 20_000 + 450
    naive = frame.assign(timestamp=frame["timestamp"].dt.tz_convert("America/Chicago").dt.tz_localize(None))
    names, text = refused(naive, spec)
    assert names == ["timestamp"]
    assert "'America/Chicago' or 'UTC-5'" in text
    bars = load_bars(naive, spec, timezone="America/Chicago")
    assert bars.scheduled_close.tolist() == [1100] * 3
    assert bars.report.findings == ()
