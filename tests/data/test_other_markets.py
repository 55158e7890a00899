"""A stock, an ETF and a coin that trades all day and all week, each by a `ContractSpec` of the user's, end to end."""

import datetime as dt
import zoneinfo

import numpy as np
import pandas as pd
import pytest

from tests.data.tables import assert_same_bars
from trading_gymnax.data.loader import Bars, DataError, load_bars
from trading_gymnax.data.spec import ContractSpec
from trading_gymnax.market import load_market_data
from trading_gymnax.reference import Action, ReferenceEnv

NEW_YORK = zoneinfo.ZoneInfo("America/New_York")
STOCK = ContractSpec("ACME", 0.01, 1.0, 0.01, calendar="NYSE", session_start="09:30")
ETF = ContractSpec("FUND", 0.01, 1.0, 0.0, calendar="NYSE", session_start="04:00")
COIN = ContractSpec("COIN", 0.01, 1.0, 0.5, calendar=None, session_start="00:00", session_minutes=1440, weekends=True)


def flat(dates: list[str], start: str, minutes: int, price: float, reach: float) -> pd.DataFrame:
    """Bars that open and close at one price and reach as far up as down, so that ATR is twice the reach."""
    first = [dt.datetime.fromisoformat(f"{date} {start}").replace(tzinfo=NEW_YORK).astimezone(dt.UTC) for date in dates]
    stamps = [moment + dt.timedelta(minutes=minute) for moment in first for minute in range(minutes)]
    values = {"open": price, "high": price + reach, "low": price - reach, "close": price, "volume": 1000}
    frame = pd.DataFrame({"timestamp": pd.DatetimeIndex(stamps), **values})
    frame.loc[5, "low"] -= 0.01  # one bar on a tick that is no multiple of another
    return frame


def one_winning_trade(bars: Bars, bar: int, position_size: int) -> tuple[float, ReferenceEnv]:
    """Dollars of a purchase at that bar that ends at its target in the next one."""
    env = ReferenceEnv(bars, position_size=position_size)
    env.reset(options={"bar": bar})
    before = env.state.balance
    env.step(Action.BUY)
    assert env.state.position == 0
    return (env.state.balance - before) / 100, env


def test_a_stock() -> None:
    # 100.00 with a reach of 0.05: an ATR of 10 ticks, the stop 15 and the target 45 ticks away from the fill, 100.01.
    frame = flat(["2025-06-02", "2025-06-03", "2025-06-04"], "09:30", 390, 100.0, 0.05)
    bar = 2 * 390 - 200  # of the second session; the first one is the warm-up
    frame.loc[bar + 1, "high"] = 100.60
    bars = load_bars(frame, STOCK)
    assert bars.scheduled_close.tolist() == [390] * 3
    assert dict(bars.report.unusable) == {"2025-06-02": "lies in the first 390 bars, the warm-up"}
    dollars, env = one_winning_trade(bars, bar, 100)
    assert dollars == pytest.approx(100 * 0.45 - 2 * 100 * 0.01)  # 100 shares, a cent a share and side
    env.reset(options={"bar": 2 * 390 - 2})  # the last decision: the session ends flat
    assert env.step(Action.BUY)[4]["invalid_action"]
    market = load_market_data(frame, STOCK)
    assert np.asarray(market.usable_sessions()).tolist() == [1, 2]


def test_an_etf_with_the_hours_before_the_open() -> None:
    # Trades from 04:00; the calendar closes the session at 16:00 on the whole day, at 13:00 on 3 July.
    frame = pd.concat(
        [flat(["2025-07-02"], "04:00", 720, 50.0, 0.02), flat(["2025-07-03"], "04:00", 540, 50.0, 0.02)],
        ignore_index=True,
    )
    bars = load_bars(frame, ETF)
    assert bars.scheduled_close.tolist() == [720, 540]
    assert bars.report.findings == ()
    evening = flat(["2025-07-02"], "16:00", 240, 50.0, 0.02)
    with pytest.raises(DataError, match=r"240 bars in the daily halt"):  # after hours belong to no session
        load_bars(pd.concat([frame, evening]).sort_values("timestamp"), ETF)
    frame.loc[720 + 331, "high"] = 50.50  # 09:31 on the third
    dollars, _ = one_winning_trade(load_bars(frame, ETF), 720 + 330, 10)
    assert dollars == pytest.approx(10 * 0.18)  # an ATR of 4 ticks, the target 18 away


def test_a_coin_that_never_closes() -> None:
    days = [str(day) for day in pd.date_range("2025-06-06", periods=4).date]  # Friday to Monday
    frame = flat(days, "00:00", 1440, 60_000.0, 5.0)
    bar = 1440 + 900  # 15:00 on Saturday
    frame.loc[bar + 1, "high"] = 60_100.0
    bars = load_bars(frame, COIN)
    assert bars.report.findings == ()
    assert [str(date) for date in bars.session_date] == days
    assert bars.scheduled_close.tolist() == [1440] * 4
    assert bars.report.unusable == ()
    dollars, _ = one_winning_trade(bars, bar, 2)
    assert dollars == pytest.approx(2 * 45.0 - 2 * 2 * 0.5)  # an ATR of 10 dollars, two coins
    whole_day = load_bars(frame, COIN, rth=(0, 24))
    assert np.flatnonzero(whole_day.time == 1440).tolist() == [1439, 2879, 4319, 5759]
    with pytest.raises(DataError, match="weekend"):  # as an ordinary contract it would trade in a halt
        load_bars(frame, ContractSpec("WEEKDAYS", 0.01, 1.0, calendar=None), repair="stray_prints")


def test_the_hour_that_a_coin_has_twice() -> None:
    days = [str(day) for day in pd.date_range("2025-11-01", periods=3).date]  # the clock goes back on the 2nd
    stamps = pd.date_range("2025-11-01 00:00", "2025-11-03 23:59", freq="min", tz="America/New_York")
    frame = flat(days, "00:00", 1460, 60_000.0, 5.0).iloc[: len(stamps)].assign(timestamp=stamps.tz_convert("UTC"))
    assert len(frame) == 3 * 1440 + 60
    with pytest.raises(DataError, match=r"60 bars in the hour that New York's clock has twice"):
        load_bars(frame, COIN)
    bars = load_bars(frame, COIN, repair="clock_change")
    assert np.bincount(bars.session).tolist() == [1440, 1440, 1440]
    spring = pd.date_range("2025-03-08 00:00", "2025-03-10 23:59", freq="min", tz="America/New_York")
    frame = frame.iloc[: len(spring)].assign(timestamp=spring.tz_convert("UTC"))
    bars = load_bars(frame, COIN)
    assert np.bincount(bars.session).tolist() == [1440, 1380, 1440]
    assert_same_bars(bars, load_bars(frame, COIN, timezone="UTC"))
