"""Prices that cannot be are refused by name; real crashes, rolls and gaps load."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.tables import PLAIN, assert_same_bars, load, table
from trading_gymnax.data.contracts import CONTRACTS
from trading_gymnax.data.loader import DataError, load_bars
from trading_gymnax.data.price_ranges import PRICE_RANGES, plausible_range

PRICES = ["open", "high", "low", "close"]
DAYS = ("2025-03-03", "2025-03-04")


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    return table(*DAYS)


def refused(frame: pd.DataFrame, market: Any = "NQ", **options: Any) -> tuple[list[tuple[str, bool]], str]:
    with pytest.raises(DataError) as caught:
        load_bars(frame, market, **options)
    found = [(finding.name, finding.allow) for finding in caught.value.report.refused]
    return found, " ".join(str(caught.value).split())


def at_level(frame: pd.DataFrame, level: float, tick: float = 0.25) -> pd.DataFrame:
    """The same walk around another price."""
    moved = (frame[PRICES] - 20_000 + level).mul(1 / tick).round() * tick
    return frame.assign(**{name: moved[name] for name in PRICES})


# --- single bars -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "change", "market"),
    [
        (700, {"low": 200.0}, "NQ"),  # the wick of the issue: 200 at 20,000
        (700, {"low": 200.0}, PLAIN),
        (700, {"high": 40_000.0}, PLAIN),
        (700, {"high": 21_500.0}, "NQ"),  # 7.5 %
        (700, {"open": 0.25, "low": 0.25}, "NQ"),
        (700, {"close": 0.25, "low": 0.25}, "NQ"),
        (700, dict.fromkeys(PRICES, 0.25), "NQ"),
        (700, dict.fromkeys(PRICES, 200_000.0), PLAIN),
        (700, dict.fromkeys(PRICES, 0.0), "NQ"),
        (700, {"open": 0.0, "low": 0.0}, PLAIN),
        (700, {"low": -19_990.0}, "NQ"),
        (0, dict.fromkeys(PRICES, 0.25), "NQ"),
        (2759, dict.fromkeys(PRICES, 0.25), "NQ"),
    ],
)
def test_one_impossible_bar_is_refused_and_dropped_by_its_name(
    row: int, change: dict[str, float], market: Any, clean: pd.DataFrame
) -> None:
    bad = clean.copy()
    for name, value in change.items():
        bad.loc[row, name] = value
    found, text = refused(bad, market)
    assert found == [("bad_prices", True)]
    assert f"(row {row + 1:,} at " in text
    assert "--repair bad_prices" in text
    assert_same_bars(load_bars(bad, market, repair="bad_prices"), load_bars(clean.drop(index=row), market))


@pytest.mark.parametrize("length", [2, 3, 5])
def test_a_few_bars_in_a_row_at_another_price(length: int, clean: pd.DataFrame) -> None:
    bad, rows = clean.copy(), range(700, 700 + length)
    bad.loc[list(rows), PRICES] = 200.0
    found, _ = refused(bad)
    assert found == [("bad_prices", True)]
    assert len(load_bars(bad, "NQ", repair="bad_prices")) == len(clean) - length


@given(
    row=st.integers(1, 2758),
    factor=st.sampled_from([0.01, 0.1, 0.5, 0.9, 1.1, 2.0, 10.0]),
    name=st.sampled_from(PRICES),
)
@settings(max_examples=20)
def test_a_price_ten_percent_off_is_always_found(row: int, factor: float, name: str) -> None:
    bad = table(*DAYS)
    bad.loc[row, name] = round(bad.loc[row, name] * factor * 4) / 4
    bad["high"], bad["low"] = bad[PRICES].max(axis=1), bad[PRICES].min(axis=1)
    assert refused(bad)[0] == [("bad_prices", True)]
    bars = load_bars(bad, "NQ", repair="bad_prices")
    assert len(bars) == len(bad) - 1


def test_a_doubtful_wick_is_told_on_top(clean: pd.DataFrame) -> None:
    odd = clean.copy()
    odd.loc[700, "low"] -= 600  # 3 %
    bars = load_bars(odd, "NQ")
    (doubt,) = bars.report.doubts
    assert doubt.startswith("1 bar with a price far from the bars around it, by up to 3.0 % (row 701 at ")
    assert str(bars.report).splitlines()[1].startswith("  - DOUBTFUL: 1 bar with a price far from")


# --- what is real ----------------------------------------------------------------------------------------


def path(levels: list[float], dates: tuple[str, ...], start: int, level: float, tick: float = 0.25) -> pd.DataFrame:
    """Quiet bars at a level, but from minute `start` on closes that follow `levels`; each opens at the last close."""
    frame = at_level(table(*dates), level, tick)
    quiet = frame["close"].to_numpy().copy()
    quiet[:] = level
    quiet[start : start + len(levels)] = levels
    quiet[start + len(levels) :] = levels[-1]
    opening = np.concatenate([[level], quiet[:-1]])
    return frame.assign(
        open=opening, close=quiet, high=np.maximum(opening, quiet) + 0.5, low=np.minimum(opening, quiet) - 0.5
    )


def test_the_flash_crash_of_may_2010_loads() -> None:
    # ES fell from about 1,165 that day to 1,056 at 14:45 New York, 60 points of it in 5 minutes, and came back.
    # A bar's wick of its own, of 8 points, lies at the bottom.
    down = [1120, 1115, 1105, 1100, 1095, 1082, 1070, 1058, 1066, 1081, 1095, 1106, 1110, 1118, 1125]
    frame = path([float(x) for x in down], ("2010-05-06", "2010-05-07"), 1240, 1140.0)
    frame.loc[1247, "low"] = 1050.0
    bars = load_bars(frame, "ES")
    assert bars.low.min() == 1050 * 4
    assert bars.report.doubts == ()


def test_a_faster_crash_loads() -> None:
    # A hundred of 1,165 points in two minutes, back in three.
    frame = path([1115.0, 1065.0, 1095.0, 1130.0, 1160.0], ("2010-05-06", "2010-05-07"), 1240, 1165.0)
    bars = load_bars(frame, "ES")
    assert bars.low.min() == round(1064.5 * 4)
    assert bars.report.doubts == ()


def test_the_open_of_24_august_2015_loads() -> None:
    # ES was limit down before the open, then opened, fell to 1,831 and rose by 80 points within minutes.
    moves = [1900, 1885, 1862, 1840, 1831, 1850, 1878, 1905, 1890, 1912, 1880, 1902]
    frame = path([float(x) for x in moves], ("2015-08-24", "2015-08-25"), 929, 1955.0)
    bars = load_bars(frame, "ES")
    assert bars.low.min() == round(1830.5 * 4)
    assert bars.report.doubts == ()


def test_crude_oil_below_zero_loads() -> None:
    # 2020-04-20, the last minutes of the May contract: from 1 dollar to -40 and a settlement at -37.63.
    falls = [1.0, 0.5, -1.0, -4.0, -9.0, -15.0, -22.0, -30.0, -38.0, -40.0, -37.5, -35.0, -37.5]
    bars = load_bars(path(falls, ("2020-04-20", "2020-04-21"), 1200, 2.0, 0.01), "CL")
    assert bars.low.min() == -4050
    found, text = refused(path(falls, ("2020-04-20", "2020-04-21"), 1200, 2.0, 0.25), PLAIN)
    assert found[0][0] == "market" or found == [("bad_prices", True)]
    assert "which PLAIN never had" in text or "PLAIN never had one" in text
    spread = dataclasses.replace(PLAIN, negative_prices=True)
    assert load(path([-3.0], DAYS, 600, 2.0), spread).low.min() == -14


def test_a_gap_between_sessions_is_no_bad_price(clean: pd.DataFrame) -> None:
    for factor in (0.5, 0.93, 1.3):  # a stock split, the tariffs' reopen and more, a takeover
        gapped = clean.copy()
        gapped.loc[1380:, PRICES] = (gapped.loc[1380:, PRICES] * factor * 4).round() / 4
        bars = load(gapped, PLAIN)
        assert len(bars) == len(clean)
        assert bars.report.doubts == ()


# --- whole tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("market", "level", "said"),
    [
        ("ES", 20_000.0, "they are another market's"),  # NQ read as ES
        ("NQ", 5_800.0, "they are another market's"),  # ES read as NQ
        ("NQ", 42_500.0, "they are another market's"),  # YM read as NQ
        ("NQ", 2_000_000.0, "they are 100 times too large"),
        ("ES", 58_000_000.0, "they are 10,000 times too large"),
        ("ES", 58.0, "they are 100 times too small"),
        ("6E", 108.25, "they are 100 times too large"),
    ],
)
def test_another_markets_prices(market: str, level: float, said: str, clean: pd.DataFrame) -> None:
    frame = at_level(clean, level)
    walk = frame[PRICES] - level
    frame[PRICES] = level + (walk * min(level / 20_000, 1) * 4).round() / 4
    found, text = refused(frame, market, repair="bad_prices off_tick")
    assert found == [("market", False)]
    assert said in text
    assert f"{market} cost " in text
    assert "in 2025" in text


def test_all_prices_negative_or_zero(clean: pd.DataFrame) -> None:
    for frame, sign in ((clean.assign(**{name: -clean[name] for name in PRICES}), "negative"), (clean.copy(), "zero")):
        if sign == "negative":
            frame[["high", "low"]] = frame[["low", "high"]].to_numpy()
        else:
            frame[PRICES] = 0.0
        for market in ("NQ", PLAIN):
            found, text = refused(frame, market, repair="bad_prices")
            assert found == [("market", False)]
            assert f"with a price that is {sign}" in text


def test_an_adjusted_series_is_a_doubt() -> None:
    (doubt,) = load_bars(at_level(table("2013-06-04", "2013-06-05"), 2500.0), "ES").report.doubts
    assert "an adjusted series, or another market?" in doubt
    assert doubt.startswith("ES cost 1,400 to 2,200 points in 2013, and the middle price here is 2,5")


@given(symbol=st.sampled_from(sorted(PRICE_RANGES)), year=st.integers(1960, 2040))
@settings(max_examples=50)
def test_ranges_are_ranges(symbol: str, year: int) -> None:
    ranges = PRICE_RANGES[symbol]
    low, high = plausible_range(ranges, np.array([year]))
    assert low < high
    both = plausible_range(ranges, np.array([year, year + 3]))
    assert both[0] <= low
    assert both[1] >= high
    assert symbol in CONTRACTS


def test_hourly_bars_are_called_so() -> None:
    days = [str(day) for day in pd.bdate_range("2025-03-03", periods=18).date]
    (doubt,) = load(table(*days, bar_minutes=60)).report.doubts
    assert doubt.startswith("these are hourly bars")
    with pytest.raises(DataError, match="DOUBTFUL: these are hourly bars"):  # where they are refused as well
        load(table(*days[:3], bar_minutes=60))


def test_bars_that_follow_from_nothing_are_not_told(clean: pd.DataFrame) -> None:
    """Findings that follow from a cause are left out: no holes of a wrong clock, no ticks of another market."""
    daily = clean.iloc[:400].assign(timestamp=pd.date_range("2023-01-02 22:00", periods=400, freq="D", tz="UTC"))
    hourly = clean.iloc[:400].assign(timestamp=pd.date_range("2025-03-03", periods=400, freq="7h", tz="UTC"))
    ticks = clean.iloc[:400].assign(
        timestamp=pd.Timestamp("2025-03-03", tz="UTC")
        + pd.to_timedelta(np.cumsum(np.random.default_rng(0).integers(1, 40, 400)) * 137, unit="ms")
    )
    for frame, name, said in (
        (daily, "bar_minutes", "a bar lasts days, not minutes"),
        (hourly, "bar_minutes", "do not divide a session"),
        (ticks, "bar_minutes", "as those of ticks do"),
    ):
        found, text = refused(frame, PLAIN, repair="nan")
        assert [one for one, _ in found] == [name]
        assert said in text
    nothing = clean.assign(close=np.nan, high=1.0)
    found, text = refused(nothing, PLAIN)
    assert all(not allow for _, allow in found)
    assert "To load it all the same" not in text
