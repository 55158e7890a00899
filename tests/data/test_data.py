"""What the loader makes of a good table, and what it refuses, repairs and notes in a bad one."""

import dataclasses
import pickle
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.data.tables import PLAIN, assert_same_bars, load, stamps, table
from trading_gymnax.data.contracts import CONTRACTS, ContractSpec
from trading_gymnax.data.indicators import DEFAULT_FEATURES, atr, default_features
from trading_gymnax.data.loader import REPAIRS, WARM_UP_BARS, Bars, DataError, load_bars

CRUDE = dataclasses.replace(CONTRACTS["CL"], price_ranges=())  # takes any price
DAYS = ("2025-03-03", "2025-03-04", "2025-03-05")  # Monday to Wednesday, full sessions on every calendar


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    """Three full sessions without a fault; tests change copies."""
    return table(*DAYS)


def refusal(frame: Any, market: ContractSpec | str = PLAIN, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        load_bars(frame, market, **options)
    return caught.value


def names_of(error: DataError) -> list[str]:
    return [finding.name for finding in error.report.refused]


# --- a good table ----------------------------------------------------------------------------------------


def test_a_clean_table_becomes_bars(clean: pd.DataFrame) -> None:
    bars = load(clean)
    assert isinstance(bars, Bars)
    assert len(bars) == 3 * 1380
    assert bars.bar_minutes == 1
    for name in ("open", "high", "low", "close"):
        values = getattr(bars, name)
        assert values.dtype == np.int32
        np.testing.assert_array_equal(values * 0.25, clean[name])
    assert bars.volume.dtype == np.float64
    assert bars.time.tolist() == list(range(1, 1381)) * 3
    assert bars.session.tolist() == [0] * 1380 + [1] * 1380 + [2] * 1380
    assert [str(date) for date in bars.session_date] == list(DAYS)
    assert bars.session_start.tolist() == [0, 1380, 2760]
    assert bars.session_end.tolist() == [1380, 2760, 4140]
    assert bars.scheduled_close.tolist() == [1380] * 3
    assert (bars.first_decision_bar, bars.first_finite_bar) == (WARM_UP_BARS, 19) == (390, 19)
    assert bars.report.findings == ()
    assert bars.report.unusable == ()


def test_dtypes_are_the_promised_ones(clean: pd.DataFrame) -> None:
    bars = load(clean)
    expected = {
        "close_time": "datetime64[m]",
        "atr": "float32",
        "features": "float32",
        "time": "int32",
        "hour": "float32",
        "session": "int32",
        "session_date": "datetime64[D]",
        "session_start": "int32",
        "session_end": "int32",
        "scheduled_close": "int32",
    }
    assert {name: str(getattr(bars, name).dtype) for name in expected} == expected
    assert bars.features.shape == (len(bars), 8)
    assert bars.feature_names == DEFAULT_FEATURES


def test_time_and_hour_are_those_of_the_close(clean: pd.DataFrame) -> None:
    bars = load(clean)
    # The first bar of Monday's session starts on Sunday at 18:00 New York = 23:00 UTC and closes at 18:01.
    assert str(bars.close_time[0]) == "2025-03-02T23:01"
    assert bars.hour[0] == np.float32(18 + 1 / 60)
    assert bars.hour[359] == 0.0  # the 360th minute closes at midnight
    assert bars.hour[930] == np.float32(9 + 31 / 60)
    assert bars.hour.min() >= 0
    assert bars.hour.max() < 24


def test_stamps_that_mark_the_end_give_the_same_bars(clean: pd.DataFrame) -> None:
    later = clean.assign(timestamp=clean["timestamp"] + pd.Timedelta(minutes=1))
    assert_same_bars(load(later, timestamps_mark="end"), load(clean))


def test_atr_and_features_are_those_of_the_ticks(clean: pd.DataFrame) -> None:
    bars = load(clean)
    prices = clean[["open", "high", "low", "close"]] * 4  # four ticks a point
    ticks = prices.assign(volume=clean["volume"].astype(float))
    np.testing.assert_array_equal(bars.atr, atr(ticks).to_numpy(np.float32))
    np.testing.assert_array_equal(bars.features, default_features(ticks).to_numpy(np.float32))


@pytest.mark.parametrize("bar_minutes", [5, 15, 30])
def test_longer_bars(bar_minutes: int) -> None:
    days = [str(date) for date in pd.bdate_range("2025-03-03", periods=14).date]
    bars = load(table(*days, bar_minutes=bar_minutes))
    per_session = 1380 // bar_minutes
    assert bars.bar_minutes == bar_minutes
    assert bars.time[:per_session].tolist() == list(range(bar_minutes, 1381, bar_minutes))
    assert len(bars) == 14 * per_session
    # Sessions that end within the 390 bars of warm-up are the only ones without an episode.
    assert len(bars.report.unusable) == WARM_UP_BARS // per_session


def test_a_long_bar_may_reach_over_an_early_close() -> None:
    # 2024-11-29 closes at 13:15, in the middle of the bar from 13:00 to 13:30: that one still counts.
    days = [str(date) for date in pd.bdate_range("2024-11-01", "2024-11-27").date]
    frame = pd.concat([table(*days, bar_minutes=30), table("2024-11-29", bar_minutes=30, last=1170)])
    bars = load(frame, "NQ")
    assert bars.scheduled_close[-1] == 1155
    assert bars.time[-1] == 1170
    assert "2024-11-29" not in dict(bars.report.unusable)


def test_negative_prices_are_prices() -> None:
    # Crude oil in April 2020, on its tick of 0.01 from 5.00 down to -40.
    frame = table("2020-04-20", "2020-04-21")
    shift = (frame[["open", "high", "low", "close"]] - 20_000) / 25 - 37.63
    frame[["open", "high", "low", "close"]] = shift.round(2)
    bars = load(frame, "CL")
    assert bars.close.min() < 0
    np.testing.assert_allclose(bars.close / 100, frame["close"])
    assert np.isfinite(bars.features[19:]).all()


def test_float32_files_are_on_their_tick() -> None:
    frame = table("2025-03-03", "2025-03-04")
    prices = ["open", "high", "low", "close"]
    frame[prices] = (frame[prices] / 250).round(2).astype(np.float32)  # around 80.37
    assert load(frame, "CL").report.finding("off_tick") is None


def test_a_table_without_volume_says_so(clean: pd.DataFrame) -> None:
    for frame in (clean.drop(columns="volume"), clean.assign(volume=np.nan)):
        bars = load(frame)
        assert not bars.volume.any()
        assert not bars.features[19:, DEFAULT_FEATURES.index("relative_volume")].any()
        assert "volume feature" in bars.report.finding("volume").text  # type: ignore[union-attr]


def test_nan_in_columns_that_nobody_uses_is_no_matter(clean: pd.DataFrame) -> None:
    assert_same_bars(load(clean.assign(indicator=np.nan)), load(clean))


def test_the_callers_frame_is_left_alone(clean: pd.DataFrame) -> None:
    before = clean.copy(deep=True)
    load(clean[::-1], repair="backward")
    pd.testing.assert_frame_equal(clean, before)


# --- refusals --------------------------------------------------------------------------------------------


def spoil(column: str, row: int, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype({column: object}) if isinstance(value, str) else frame.copy()
        frame.loc[row, column] = value
        return frame

    return change


def repeat_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame.iloc[:101], frame.iloc[100:]], ignore_index=True)


def swap_rows(frame: pd.DataFrame) -> pd.DataFrame:
    order = [*range(200), 201, 200, *range(202, len(frame))]
    return frame.iloc[order].reset_index(drop=True)


def print_on_saturday(frame: pd.DataFrame) -> pd.DataFrame:
    bar = frame.iloc[[-1]].assign(timestamp=pd.Timestamp("2025-03-08 15:20", tz="UTC"))
    return pd.concat([frame, bar], ignore_index=True)


def print_in_the_halt(frame: pd.DataFrame) -> pd.DataFrame:
    bar = frame.iloc[[1379]].assign(timestamp=pd.Timestamp("2025-03-03 22:10", tz="UTC"))  # 17:10 New York
    return pd.concat([frame.iloc[:1380], bar, frame.iloc[1380:]], ignore_index=True)


@pytest.mark.parametrize(
    ("name", "change", "text", "bars_left"),
    [
        ("nan", spoil("close", 7, np.nan), r"1 bar with a missing .* first has close=nan \(row 8 ", 4139),
        ("nan", spoil("open", 7, "n/a"), r"the first has open='n/a' \(row 8 ", 4139),
        ("nan", spoil("low", 7, np.inf), "missing or unreadable", 4139),
        ("nan", spoil("volume", 7, np.nan), "volume=nan", 4139),
        ("nan", spoil("timestamp", 7, pd.NaT), r"time stamp \(row 8\)", 4139),
        (
            "inconsistent",
            spoil("high", 9, 1.0),
            r"1 bar whose high is below, .*row 10 at 2025-03-02 18:09",
            4139,
        ),
        ("inconsistent", spoil("low", 9, 1e6), "whose low is above", 4139),
        ("inconsistent", spoil("volume", 9, -1), "volume is negative", 4139),
        ("off_tick", spoil("high", 9, 20_199.13), "off the tick of 0.25, the first is 20199.13", 4140),
        ("repeated", repeat_rows, r"1 bar that repeat.*0 of them with other prices \(row 102 ", 4140),
        ("backward", swap_rows, r"run backward at 1 bar \(row 202 at 2025-03-02 21:20 New York\)", 4140),
        ("stray_prints", print_on_saturday, r"1 on a weekend \(row 4,141 at 2025-03-08 10:20", 4140),
        ("stray_prints", print_in_the_halt, "1 in the daily halt", 4140),
    ],
)
def test_each_fault_is_refused_by_name_and_repaired_by_it(
    clean: pd.DataFrame,
    name: str,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    text: str,
    bars_left: int,
) -> None:
    bad = change(clean)
    error = refusal(bad)
    assert names_of(error) == [name]
    flat = " ".join(str(error).split())
    assert re.search(text, flat)
    assert f"repair=('{name}',)" in flat
    assert f"--repair {name}" in flat
    bars = load(bad, repair=(name,))
    assert len(bars) == bars_left
    finding = bars.report.finding(name)
    assert finding is not None
    assert finding.kind == "repaired"
    assert finding.count == 1


def test_all_faults_are_listed_at_once(clean: pd.DataFrame) -> None:
    bad = clean.copy()
    bad.loc[7, "close"] = np.nan
    bad.loc[9, "high"] = 1.0
    bad.loc[11, "low"] -= 0.1
    bad = print_on_saturday(swap_rows(repeat_rows(bad)))
    error = refusal(bad)
    assert names_of(error) == ["nan", "inconsistent", "off_tick", "backward", "repeated", "stray_prints"]
    flat = " ".join(str(error).split())
    assert "DataFrame as PLAIN: refused, 6 things wrong" in flat
    assert "--repair nan inconsistent off_tick backward repeated stray_prints" in flat
    allowed = tuple(names_of(error))
    for name in allowed:  # each of them is still wrong without its own name
        others = [other for other in allowed if other != name]
        assert names_of(refusal(bad, repair=others)) == [name]
    assert len(load(bad, repair=allowed)) == len(clean) - 2


def test_faults_of_prices_are_found_although_the_stamps_cannot_be_read(clean: pd.DataFrame) -> None:
    bad = spoil("high", 9, 1.0)(clean)
    bad["timestamp"] = bad["timestamp"].dt.tz_localize(None)
    assert names_of(refusal(bad)) == ["timestamp", "inconsistent"]


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "timestamp"])
def test_missing_columns(clean: pd.DataFrame, column: str) -> None:
    error = refusal(clean.drop(columns=column))
    assert len(error.report.refused) == 1
    assert f"no column {column}" in str(error)


def test_two_columns_of_one_name(clean: pd.DataFrame) -> None:
    assert "2 columns are called 'close'" in str(refusal(clean.assign(Close=1.0)))
    twice = pd.concat([clean, clean[["timestamp"]]], axis=1)
    assert "2 columns are called 'timestamp'" in str(refusal(twice))


def test_snap_to_tick_rounds_as_the_repair_does(clean: pd.DataFrame) -> None:
    bad = clean.copy()
    bad.loc[5, "high"] += 0.1  # nearer to the tick below
    bad.loc[6, "high"] += 0.2  # nearer to the tick above
    snapped = load(bad, snap_to_tick=True)
    assert_same_bars(snapped, load(bad, repair="off_tick"))
    assert snapped.high[5] == round(clean["high"][5] * 4)
    assert snapped.high[6] == round(clean["high"][6] * 4) + 1
    assert "rounded to the nearest tick" in str(snapped.report)


def test_prices_of_another_market_are_refused(clean: pd.DataFrame) -> None:
    coarse = dataclasses.replace(CONTRACTS["YM"], price_ranges=())
    assert "so many come from an adjusted series or from another market" in " ".join(
        str(refusal(clean, coarse)).split()
    )
    huge = clean.assign(high=1e300)
    assert "more than 1,073,741,824 ticks" in str(refusal(huge))


def test_the_wrong_market_with_a_finer_tick_is_noted(clean: pd.DataFrame) -> None:
    finding = load(clean, CRUDE).report.finding("coarse_ticks")
    assert finding is not None
    assert "multiples of 25 ticks of 0.01: is this CL" in finding.text


def test_repeated_rows_with_other_prices_keep_the_first(clean: pd.DataFrame) -> None:
    later = clean.iloc[[100]].assign(open=99.0, high=99.0, low=99.0, close=99.0)
    bad = pd.concat([clean, later], ignore_index=True)
    bars = load(bad, repair="repeated backward")
    assert_same_bars(bars, load(clean))
    assert "1 of them with other prices" in str(bars.report)


def test_a_table_with_the_newest_bar_first_is_sorted(clean: pd.DataFrame) -> None:
    assert names_of(refusal(clean[::-1])) == ["backward"]
    assert_same_bars(load(clean[::-1], repair="backward"), load(clean))


@pytest.mark.parametrize("length", [1, 2, 390, 391])
def test_too_short_for_one_episode(clean: pd.DataFrame, length: int) -> None:
    error = refusal(clean.iloc[:length])
    assert names_of(error) == ["too_short"]
    bars = load(clean.iloc[:length], repair="too_short")
    assert len(bars) == length


def test_no_usable_session_is_too_short_as_well(clean: pd.DataFrame) -> None:
    morning = table(*DAYS, last=900)  # every session stops at 09:00
    text = " ".join(str(refusal(morning)).split())
    assert "none of 3 sessions is usable" in text
    assert "its bars stop at 09:00, 479 minutes before 16:59" in text
    assert "rth=(9.5, 16)" in text


def test_no_rows() -> None:
    assert "no rows" in str(refusal(pd.DataFrame()))
    assert "no rows" in str(refusal(table("2025-03-03").iloc[:0]))


def test_every_bar_repaired_away_is_refused(clean: pd.DataFrame) -> None:
    error = refusal(clean.assign(high=1.0), repair=tuple(REPAIRS))
    assert "no bar is left" in str(error)


# --- bar length ------------------------------------------------------------------------------------------


def test_bars_between_two_steps_are_refused() -> None:
    frame = table(*DAYS)
    frame.loc[50, "timestamp"] += pd.Timedelta(seconds=17)
    assert names_of(refusal(frame)) == ["off_grid"]
    assert len(load(frame, repair="off_grid")) == len(frame) - 1


def test_five_minute_bars_taken_from_one_minute_bars(clean: pd.DataFrame) -> None:
    # Every minute that does not close on the five-minute grid is off it: four of five.
    error = refusal(clean, bar_minutes=5)
    assert error.report.refused[0].count == len(clean) * 4 // 5


@pytest.mark.parametrize(
    ("step", "text"), [("30s", "30 seconds"), ("1D", "a bar lasts days, not minutes"), ("7min", "7 minutes")]
)
def test_bar_lengths_that_no_session_holds(step: str, text: str) -> None:
    frame = table("2025-03-03").iloc[:600]
    frame["timestamp"] = pd.date_range("2025-03-03", periods=600, freq=step, tz="UTC")
    error = refusal(frame)
    assert names_of(error) == ["bar_minutes"]
    assert text in str(error)


# --- sessions --------------------------------------------------------------------------------------------


def test_stray_prints_on_holidays_and_after_early_closes() -> None:
    # Monday 2025-01-20 closes at 13:00; New Year's Day is no session.
    good = [table("2024-12-31"), table("2025-01-02"), table("2025-01-20", last=1140)]
    holiday = table("2025-01-01", first=600, last=602)
    late = table("2025-01-20", first=1140, last=1143)
    frame = pd.concat([good[0], holiday, good[1], good[2], late], ignore_index=True)
    error = refusal(frame, "NQ")
    assert names_of(error) == ["stray_prints"]
    assert "5 bars outside the sessions, 2 on a holiday, 3 after an early close" in str(error)
    bars = load_bars(frame, "NQ", repair="stray_prints")
    assert len(bars) == 2 * 1380 + 1140
    assert bars.scheduled_close.tolist() == [1380, 1380, 1140]


def test_many_bars_against_the_calendar_can_be_kept_by_name() -> None:
    frame = pd.concat([table("2024-12-31"), table("2025-01-01"), table("2025-01-20")], ignore_index=True)
    text = " ".join(str(refusal(frame, "NQ")).split())
    assert "1,620 on days that 'CME Globex Equity' calls closed by then: 2025-01-01 (1,380), 2025-01-20 (240)" in text
    assert "if the calendar errs, repair='holiday_trading' keeps them" in text
    bars = load_bars(frame, "NQ", repair="holiday_trading")
    assert len(bars) == 3 * 1380
    # A kept holiday has the usual close; an early close stays what was published in advance.
    assert bars.scheduled_close.tolist() == [1380, 1380, 1140]
    kept = bars.report.finding("holiday_trading")
    assert kept is not None
    assert kept.count == 1620


def test_scheduled_closes_come_from_the_calendar_and_not_from_the_bars() -> None:
    # Trading stops at 09:30 on 2025-01-09, which nobody could read in the calendar the day before.
    frame = pd.concat([table("2025-01-08"), table("2025-01-09", last=930)], ignore_index=True)
    bars = load_bars(frame, "NQ")
    assert bars.scheduled_close.tolist() == [1380, 1380]
    assert dict(bars.report.unusable) == {"2025-01-09": "its bars stop at 09:30, 449 minutes before 16:59"}


def test_reasons_why_a_session_is_not_usable() -> None:
    # Good Friday 2025 closes at 09:15, before entries open; the first session lies in the warm-up when its
    # 300 bars end the day, and 2025-04-16 stops ten minutes early.
    frame = pd.concat(
        [
            table("2025-04-15", first=1080),
            table("2025-04-16", last=1369),
            table("2025-04-17"),
            table("2025-04-18", last=915),
        ],
        ignore_index=True,
    )
    bars = load_bars(frame, "NQ")
    assert dict(bars.report.unusable) == {
        "2025-04-15": "lies in the first 390 bars, the warm-up",
        "2025-04-16": "its bars stop at 16:49, 10 minutes before 16:59",
        "2025-04-18": "no bar from 09:30 on allows an entry before 09:15",
    }


@pytest.mark.parametrize(("last", "usable"), [(1379, True), (1374, True), (1373, False)])
def test_a_session_reaches_to_within_five_minutes(last: int, usable: bool) -> None:
    # Flat at minute 1379 (16:59): bars to minute 1374 are five short of it, to 1373 six.
    bars = load(pd.concat([table("2025-03-03"), table("2025-03-04", last=last)], ignore_index=True))
    assert ("2025-03-04" not in dict(bars.report.unusable)) == usable


def test_hours_of_the_loader_make_other_sessions_usable() -> None:
    day = table(*DAYS, first=930, last=1320)  # 09:30 to 16:00
    assert names_of(refusal(day)) == ["too_short"]
    bars = load(day, rth=(9.5, 16))
    assert bars.rth == (9.5, 16.0)
    assert [date for date, _ in bars.report.unusable] == ["2025-03-03"]  # 390 bars of warm-up


def test_the_hint_for_stamps_read_at_the_wrong_end(clean: pd.DataFrame) -> None:
    later = clean.assign(timestamp=clean["timestamp"] + pd.Timedelta(minutes=1))
    assert "pass timestamps_mark='end'" in " ".join(str(refusal(later)).split())
    assert "pass timestamps_mark='start'" in " ".join(str(refusal(clean, timestamps_mark="end")).split())


# --- notes -----------------------------------------------------------------------------------------------


def test_holes_are_noted(clean: pd.DataFrame) -> None:
    bars = load(clean.drop(index=[*range(100, 110), 2000]))
    finding = bars.report.finding("holes")
    assert finding is not None
    # Row 100 starts 100 minutes after 18:00, at 19:40; row 2000 is minute 620 of 2025-03-04, 04:20.
    assert finding.text == (
        "2 holes in sessions, 11 bars missing; longest: 10 from 19:40 in session 2025-03-03, "
        "1 from 04:20 in session 2025-03-04"
    )
    assert finding.count == 11


def test_the_first_session_may_start_anywhere_and_day_sessions_have_no_holes() -> None:
    late_start = pd.concat([table("2025-03-03", first=500), table("2025-03-04")], ignore_index=True)
    assert load(late_start).report.finding("holes") is None
    assert load(table(*DAYS, first=930, last=1320), rth=(9.5, 16)).report.finding("holes") is None
    delayed = pd.concat([table("2025-03-03", "2025-03-04"), table("2025-03-05", first=30)], ignore_index=True)
    assert "30 from 18:00 in session 2025-03-05" in load(delayed).report.finding("holes").text  # type: ignore[union-attr]


def test_zero_volume_is_noted(clean: pd.DataFrame) -> None:
    quiet = clean.copy()
    quiet.loc[10:30, "volume"] = 0
    finding = load(quiet).report.finding("zero_volume")
    assert finding is not None
    assert finding.count == 21
    assert "21 bars of zero volume" in finding.text


def test_a_jump_like_a_roll_is_noted(clean: pd.DataFrame) -> None:
    # The last close is brought to the next open so that nothing but the roll of 206 points remains.
    rolled = clean.copy()
    gap = rolled.loc[2760, "open"] - rolled.loc[2759, "close"]
    rolled.loc[2760:, ["open", "high", "low", "close"]] += 206 - gap
    finding = load(rolled).report.finding("jumps")
    assert finding is not None
    assert "1 jump from one bar to the next (1 between sessions)" in finding.text
    assert "+206 points into session 2025-03-05" in finding.text


def test_sessions_without_a_bar_are_noted() -> None:
    frame = table("2025-03-03", "2025-03-05")
    finding = load(frame).report.finding("absent_sessions")
    assert finding is not None
    assert finding.text.endswith("without a single bar: 2025-03-04")


def test_a_volume_peak_in_the_wrong_minute_is_noted() -> None:
    days = [str(date) for date in pd.bdate_range("2025-03-03", periods=6).date]
    frame = table(*days, first=900, last=1320)
    minute = frame.groupby(frame["timestamp"].dt.date).cumcount() + 901  # close of the bar
    options: dict[str, Any] = {"rth": (9.5, 16)}
    right = frame.assign(volume=np.where(minute == 931, 1000, 10))  # 09:31
    assert load(right, **options).report.finding("timestamps_mark") is None
    late = load(frame.assign(volume=np.where(minute == 932, 1000, 10)), **options)
    assert "timestamps_mark='end' right?" in late.report.finding("timestamps_mark").text  # type: ignore[union-attr]
    ended = right.assign(timestamp=right["timestamp"])
    early = load(ended, timestamps_mark="end", **options)  # the bar of 09:31 is taken for that of 09:30
    assert "timestamps_mark='start' right?" in early.report.finding("timestamps_mark").text  # type: ignore[union-attr]


# --- arguments, errors and pages -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"repair": ("stray_print",)}, "unknown repair 'stray_print': did you mean 'stray_prints'"),
        ({"repair": 5}, "repair must be names"),
        ({"timestamps_mark": "begin"}, "timestamps_mark must be 'start' or 'end'"),
        ({"bar_minutes": 0}, "bar_minutes must be a whole number"),
        ({"bar_minutes": 1.5}, "bar_minutes must be a whole number"),
        ({"rth": (9.5,)}, "rth must be two New York clock hours"),
        ({"rth": (9.5, 25)}, "rth must be two"),
        ({"rth": (16, 9.5)}, "rth must open before it closes"),
        ({"feature_columns": "rsi"}, "feature_columns must be a list"),
        ({"feature_columns": ["rsi"], "feature_fn": len}, "not both"),
    ],
)
def test_arguments_that_cannot_be(clean: pd.DataFrame, options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text) as caught:
        load(clean, **options)
    assert not isinstance(caught.value, DataError)


def test_an_unknown_market_is_named(clean: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="did you mean 'NQ'"):
        load(clean, "NQQ")


@pytest.mark.parametrize("names", [("nan", "repeated"), "nan repeated", "nan,repeated", {"nan", "repeated"}])
def test_repairs_are_given_as_names_or_as_text(clean: pd.DataFrame, names: Any) -> None:
    assert len(load(repeat_rows(spoil("close", 7, np.nan)(clean)), repair=names)) == len(clean) - 1


def test_errors_and_bars_survive_pickling(clean: pd.DataFrame) -> None:
    error = refusal(clean[::-1])
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert again.report == error.report
    assert_same_bars(pickle.loads(pickle.dumps(load(clean))), load(clean))


def test_the_page_of_a_report(clean: pd.DataFrame) -> None:
    bad = spoil("close", 7, np.nan)(clean).drop(index=3000)
    page = str(load(bad, repair="nan").report)
    assert page.splitlines()[0] == "DataFrame as PLAIN"
    for line in (
        "  4,139 rows: stamps with a time zone",
        "  1-minute bars, stamped at their start",
        "  4,138 bars in 3 sessions, 2025-03-03 to 2025-03-05",
        "  3 sessions in which an episode can start",
        "Repaired",
        "Noted",
    ):
        assert line in page.splitlines()
    assert "[nan: dropped it]" in page
    assert max(map(len, page.splitlines())) <= 110


def test_the_page_of_a_refused_table_has_the_notes_as_well(clean: pd.DataFrame) -> None:
    page = str(refusal(swap_rows(clean).drop(index=range(2000, 2010))).report)
    assert "Refused" in page
    assert "1 hole in sessions, 10 bars missing" in page


def test_a_long_list_of_sessions_is_cut_short() -> None:
    days = [str(date) for date in pd.bdate_range("2025-01-02", periods=60).date]
    page = str(refusal(table(*days, first=930, last=960)).report)
    assert "Sessions in which no episode starts (60)" in page
    assert "... and 20 more" in page


# --- cuts ------------------------------------------------------------------------------------------------


def test_cutting_the_table_changes_no_earlier_bar() -> None:
    # A half day, a day that stops at 09:30 against the calendar, holes and a weekend are in it.
    frame = pd.concat(
        [
            table("2025-01-08"),
            table("2025-01-09", last=930),
            table("2025-01-10").drop(index=range(200, 260)),
            table("2025-01-20", last=1140),
            table("2025-01-21"),
        ],
        ignore_index=True,
    )
    whole = load_bars(frame, "NQ")
    for cut in (1400, 1381, 2309, 2311, 3000, 3631, 4769, 4770, len(frame) - 1):
        part = load_bars(frame.iloc[:cut], "NQ", repair="too_short")
        for name in ("close_time", "open", "close", "volume", "atr", "features", "time", "hour", "session"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[:cut], err_msg=name)
        sessions = len(part.session_date)
        np.testing.assert_array_equal(part.scheduled_close, whole.scheduled_close[:sessions])
        np.testing.assert_array_equal(part.session_date, whole.session_date[:sessions])


def test_the_contract_decides_ticks_only(clean: pd.DataFrame) -> None:
    coarse = load(clean, CONTRACTS["MNQ"])
    fine = load(clean, CRUDE)  # 25 ticks of 0.01 where the other has one
    np.testing.assert_array_equal(coarse.close * 25, fine.close)


def test_stamps_helper_is_utc() -> None:
    assert str(stamps("2025-03-03")[0]) == "2025-03-02 23:00:00+00:00"
