"""Synthetic markets: a well-formed tape, a planted edge as strong as it says, and no other edge."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trading_gymnax.data.contracts import ContractSpec, contract
from trading_gymnax.data.loader import load_bars
from trading_gymnax.synthetic import (
    OVERNIGHT_PULL,
    SYNTH,
    SyntheticMarket,
    default_market,
    martingale,
    regime,
)

BARS = 1380  # of a session from 18:00 to 17:00
PRICES = ["open", "high", "low", "close"]
QUIET = 5.0  # ticks of noise: a night bar moves by a tick or two, where an edge made by rounding would be largest
LIMIT = 3.5  # standard errors; the seeds are fixed, so a test either always passes or never


@pytest.fixture(scope="module")
def no_edge() -> SyntheticMarket:
    return martingale(400, seed=1, noise_ticks=QUIET)


@pytest.fixture(scope="module")
def planted() -> SyntheticMarket:
    return regime(400, seed=2)


def ticks_of(market: SyntheticMarket) -> np.ndarray:
    """Open, high, low, close as whole ticks by session, int64 [4, S, 1380]."""
    exact = market.frame[PRICES].to_numpy().T / market.spec.tick_size
    ticks = np.rint(exact)
    np.testing.assert_allclose(exact, ticks, rtol=0, atol=1e-6)
    return ticks.astype(np.int64).reshape(4, -1, BARS)


def standard_errors(values: np.ndarray, expected: float = 0.0) -> float:
    """How many standard errors the mean of independent values lies from what is expected."""
    return float((values.mean() - expected) / (values.std(ddof=1) / math.sqrt(values.size)))


def by_session(values: np.ndarray, market: SyntheticMarket) -> np.ndarray:
    return values.reshape(len(market.frame) // BARS, BARS)


# The tape


def test_the_table_is_tidy() -> None:
    market = regime(3)
    assert list(market.frame.columns) == ["timestamp", "open", "high", "low", "close", "volume"]
    assert len(market.frame) == len(market.hidden) == len(market.noise_ticks) == 3 * BARS
    assert str(market.frame["timestamp"].dt.tz) == "UTC"
    assert market.hidden.dtype == np.int8
    assert set(np.unique(market.hidden)) == {-1, 1}
    assert not martingale(3).hidden.any()
    assert (market.frame["volume"] >= 1).all()
    assert market.frame["open"].iloc[0] == 20_000
    assert (market.spec, market.drift, martingale(1).drift) == (SYNTH, 1 / 3, 0.0)


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**63),
    drift=st.floats(-1, 1),
    mean_regime_bars=st.floats(1, 500),
    noise_ticks=st.floats(5, 60),
    tick_size=st.sampled_from([0.01, 0.1, 0.25, 1.0]),
)
def test_bars_are_consistent_on_the_grid_and_without_gaps(
    seed: int, drift: float, mean_regime_bars: float, noise_ticks: float, tick_size: float
) -> None:
    spec = dataclasses.replace(SYNTH, tick_size=tick_size, multiplier=100.0)
    market = regime(
        2,
        seed=seed,
        drift=drift,
        mean_regime_bars=mean_regime_bars,
        noise_ticks=noise_ticks,
        spec=spec,
        price=200_000 * tick_size,
    )
    opens, highs, lows, closes = ticks_of(market)
    assert (highs >= np.maximum(opens, closes)).all()
    assert (lows <= np.minimum(opens, closes)).all()
    assert (lows > 0).all()
    np.testing.assert_array_equal(opens[:, 1:], closes[:, :-1])


def test_the_seed_decides_everything() -> None:
    first, again, other = regime(5, seed=7), regime(5, seed=7), regime(5, seed=8)
    pd.testing.assert_frame_equal(first.frame, again.frame, check_exact=True)
    np.testing.assert_array_equal(first.hidden, again.hidden)
    assert (first.frame["close"] != other.frame["close"]).mean() > 0.9
    assert (first.hidden != other.hidden).any()


def test_a_longer_tape_begins_with_the_shorter() -> None:
    # 32 sessions are made at a time: 40 need two blocks.
    short, long = regime(5, seed=3), regime(40, seed=3)
    pd.testing.assert_frame_equal(short.frame, long.frame.iloc[: 5 * BARS], check_exact=True)
    np.testing.assert_array_equal(short.hidden, long.hidden[: 5 * BARS])


def test_without_drift_the_regime_market_is_the_martingale() -> None:
    pd.testing.assert_frame_equal(regime(5, seed=3, drift=0.0).frame, martingale(5, seed=3).frame, check_exact=True)


@pytest.mark.parametrize(
    ("first_session", "stamps"),
    [
        # Winter, five hours behind UTC: Sunday 18:00 is 23:00; the last bar starts at 16:59, which is 21:59.
        ("2025-01-06", [("2025-01-05T23:00", "2025-01-06T21:59"), ("2025-01-06T23:00", "2025-01-07T21:59")]),
        # Summer, four hours behind.
        ("2025-07-07", [("2025-07-06T22:00", "2025-07-07T20:59"), ("2025-07-07T22:00", "2025-07-08T20:59")]),
        # The clocks go forward on Sunday 2025-03-09, and no bar falls between Friday 17:00 and Sunday 18:00.
        ("2025-03-07", [("2025-03-06T23:00", "2025-03-07T21:59"), ("2025-03-09T22:00", "2025-03-10T20:59")]),
        # They go back on Sunday 2025-11-02.
        ("2025-10-31", [("2025-10-30T22:00", "2025-10-31T20:59"), ("2025-11-02T23:00", "2025-11-03T21:59")]),
    ],
)
def test_sessions_run_from_18_to_17_new_york(first_session: str, stamps: list[tuple[str, str]]) -> None:
    frame = martingale(2, first_session=first_session).frame
    for at, (start, last) in enumerate(stamps):
        session = frame["timestamp"].iloc[at * BARS : (at + 1) * BARS]
        assert session.iloc[0] == pd.Timestamp(start, tz="UTC")
        assert session.iloc[-1] == pd.Timestamp(last, tz="UTC")
        assert (session.diff().dropna() == pd.Timedelta("1min")).all()


def test_volume_and_noise_follow_the_day() -> None:
    market = martingale(20)
    hour = market.frame["timestamp"].dt.tz_convert("America/New_York").dt.hour
    noise = pd.Series(market.noise_ticks).groupby(hour).mean()
    volume = market.frame["volume"].groupby(hour).mean()
    for shape in (noise, volume):
        assert shape[10] > shape[12]
        assert shape[15] > shape[12] > shape[4] > shape[0]
    clock = market.frame["timestamp"].dt.tz_convert("America/New_York")
    minute = clock.dt.hour * 60 + clock.dt.minute
    day = (minute >= 9 * 60 + 30) & (minute < 16 * 60)
    assert market.noise_ticks[day].mean() == pytest.approx(26.0)
    atr = load_bars(market.frame, market.spec).atr
    assert 30 < atr[day & (minute >= 10 * 60)].mean() < 60


def test_overnight_a_part_of_the_way_back_is_taken(planted: SyntheticMarket) -> None:
    opens, _, _, closes = ticks_of(planted)
    distance = 80_000 - closes[:-1, -1]  # 20,000 points are 80,000 ticks
    np.testing.assert_array_equal(opens[1:, 0] - closes[:-1, -1], np.rint(OVERNIGHT_PULL * distance))


def test_a_long_tape_stays_near_its_level() -> None:
    # 1,380,000 bars. The noise of a session is about 560 ticks; pulled back by 3 % each night, the level
    # spreads by 560 / sqrt(1 - 0.97^2) = 2,300 ticks = 580 points; five of these are 2,900 points.
    frame = martingale(1000, seed=4).frame
    assert frame["low"].min() > 20_000 - 2_900
    assert frame["high"].max() < 20_000 + 2_900


# The loader


@pytest.mark.parametrize(
    ("spec", "price"),
    [
        (SYNTH, 20_000.0),
        (dataclasses.replace(contract("RTY"), calendar=None), 2_000.0),
        (dataclasses.replace(contract("GC"), calendar=None), 2_900.0),
        (dataclasses.replace(contract("YM"), calendar=None), 44_000.0),
        (ContractSpec("MIDNIGHT", 0.01, 1000.0, calendar=None, session_start="00:00"), 700.0),
    ],
)
def test_the_loader_finds_nothing_wrong(spec: ContractSpec, price: float) -> None:
    # From February to April: across a change of the clocks.
    market = regime(40, seed=5, spec=spec, price=price, noise_ticks=8.0, first_session="2025-02-17")
    bars = load_bars(market.frame, market.spec)
    assert bars.report.refused == ()
    assert bars.report.unusable == ()
    assert {finding.name for finding in bars.report.findings} <= {"jumps"}
    opens, highs, lows, closes = ticks_of(market)
    for loaded, made in zip((bars.open, bars.high, bars.low, bars.close), (opens, highs, lows, closes), strict=True):
        np.testing.assert_array_equal(loaded, made.ravel())
    assert bars.bar_minutes == 1
    assert len(bars.session_date) == 40
    assert bars.session_date[0] == np.datetime64("2025-02-17")
    np.testing.assert_array_equal(bars.time, np.tile(np.arange(1, BARS + 1), 40))


def test_the_default_market_is_the_loaded_regime_market() -> None:
    market = default_market()
    assert market.symbols == ("SYNTH",)
    assert int(market.num_bars[0]) == 40 * BARS
    assert int(market.num_sessions[0]) == 40


# The planted edge


def test_regimes_last_a_geometric_number_of_bars(planted: SyntheticMarket) -> None:
    changes = np.flatnonzero(np.diff(planted.hidden)) + 1
    length = np.diff(changes)
    assert abs(standard_errors(length, 60.0)) < LIMIT
    # Without memory: of regimes that reached 60 bars the rest is as long again as a whole one.
    assert abs(standard_errors(length[length > 60] - 60, 60.0)) < LIMIT
    # Carried through the ends of sessions: there a change is as rare as elsewhere, 400 / 60 = 6.7 of 399.
    at_starts = np.count_nonzero(changes % BARS == 0)
    assert at_starts < 20
    # Up and down are equally common: shares of regimes vary like 1 / sqrt(number of regimes).
    assert abs(planted.hidden.mean()) < LIMIT / math.sqrt(len(length) / 2)


def test_mean_regime_bars_is_respected() -> None:
    assert abs(np.diff(regime(2, mean_regime_bars=1.0).hidden)).min() == 2  # a new regime in every bar
    length = np.diff(np.flatnonzero(np.diff(regime(100, seed=6, mean_regime_bars=20.0).hidden)))
    assert abs(standard_errors(length, 20.0)) < LIMIT


def test_the_drift_is_the_stated_share_of_the_noise(planted: SyntheticMarket) -> None:
    opens, _, _, closes = ticks_of(planted)
    move = (closes - opens).ravel() / planted.noise_ticks
    assert abs(standard_errors(move * planted.hidden, 1 / 3)) < LIMIT
    night = np.tile(np.arange(BARS) < 900, 400)
    for part in (night, ~night, planted.hidden > 0, planted.hidden < 0):
        assert abs(standard_errors((move * planted.hidden)[part], 1 / 3)) < LIMIT
    noise = move - planted.hidden / 3
    assert abs(standard_errors(noise**2, 1.0)) < LIMIT  # its standard deviation is as stated


def test_a_small_drift_survives_the_tick_grid() -> None:
    # A fiftieth of 1.4 ticks in a night bar: far below a tick, and yet not rounded away.
    market = regime(700, seed=7, drift=0.02, noise_ticks=QUIET)
    opens, _, _, closes = ticks_of(market)
    move = (closes - opens).ravel() * market.hidden / market.noise_ticks
    assert standard_errors(move) > 10
    assert abs(standard_errors(move, 0.02)) < LIMIT


def test_knowing_the_regime_foretells_the_next_bar(planted: SyntheticMarket) -> None:
    opens, _, _, closes = ticks_of(planted)
    move = by_session((closes - opens).ravel() / planted.noise_ticks, planted)
    known = by_session(planted.hidden, planted)
    # It goes on with probability 59/60 and turns with 1/60: (1 - 2/60) / 3.
    assert abs(standard_errors((known[:, :-1] * move[:, 1:]).ravel(), (1 - 2 / 60) / 3)) < LIMIT


# No other edge


@pytest.mark.parametrize("lag", [1, 2, 3, 5, 10, 30, 60, 120])
def test_following_or_fading_the_last_bars_earns_nothing(no_edge: SyntheticMarket, lag: int) -> None:
    closes = ticks_of(no_edge)[3]
    past = np.sign(closes[:, lag:-1] - closes[:, : -lag - 1])
    move = (closes[:, lag + 1 :] - closes[:, lag:-1]) / by_session(no_edge.noise_ticks, no_edge)[:, lag + 1 :]
    assert abs(standard_errors((past * move)[past != 0])) < LIMIT


def test_nothing_seen_in_a_bar_foretells_the_next(no_edge: SyntheticMarket) -> None:
    opens, highs, lows, closes = ticks_of(no_edge)
    noise = by_session(no_edge.noise_ticks, no_edge)
    volume = by_session(no_edge.frame["volume"].to_numpy(), no_edge)
    move = (closes - opens) / noise
    seen = {
        "place of the close in the bar": np.sign((closes - lows) - (highs - closes)),
        "upper shadow": np.sign(highs - np.maximum(opens, closes)),
        "distance from the level": np.sign(80_000 - closes),
        "odd and even price": closes % 2 * 2 - 1,
        "volume": np.where(volume > np.median(volume, axis=0), 1, -1),
    }
    for name, signal in seen.items():
        earned = signal[:, :-1] * move[:, 1:]
        assert abs(standard_errors(earned[signal[:, :-1] != 0])) < LIMIT, name


@pytest.mark.parametrize("noise_ticks", [QUIET, 26.0])
@pytest.mark.parametrize("distance_noises", [1.0, 3.0])
@pytest.mark.parametrize("side", [1, -1])
def test_a_stop_filled_at_its_level_is_fair(noise_ticks: float, distance_noises: float, side: int) -> None:
    """Enter at every 30th open; leave at a level some noises below (side 1) or above, or after 30 bars.

    A price that is a martingale bar by bar is not enough for this: if the path could jump over the level, a
    fill at the level would earn, or cost, half a step each time.
    """
    market = martingale(400, seed=9, noise_ticks=noise_ticks)
    opens, highs, lows, closes = (side * table.reshape(-1, 30) for table in ticks_of(market))
    worst = lows if side > 0 else highs
    noise = market.noise_ticks.reshape(-1, 30)[:, 0]
    distance = np.maximum(np.rint(distance_noises * noise), 1)
    stopped = worst.min(axis=1) <= opens[:, 0] - distance
    profit = np.where(stopped, -distance, closes[:, -1] - opens[:, 0]) / noise
    assert 0.3 < stopped.mean() < 0.95
    assert abs(standard_errors(profit)) < LIMIT


def test_the_range_of_a_bar_is_that_of_a_brownian_path() -> None:
    # E[high - low] = sqrt(8 / pi) sigma = 1.596 sigma (W. Feller, 1951). Cut to whole ticks, the extremes
    # lose half a tick each.
    market = martingale(100, seed=10, noise_ticks=100.0, price=100_000.0)
    _, highs, lows, _ = ticks_of(market)
    ratio = ((highs - lows).ravel() + 1) / market.noise_ticks
    assert ratio.mean() == pytest.approx(math.sqrt(8 / math.pi), rel=0.005)


# Arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_sessions": 0}, "num_sessions must be an integer, 1 or more"),
        ({"num_sessions": 2.5}, "num_sessions must be an integer, 1 or more"),
        ({"seed": -1}, "seed must be an integer, 0 or more"),
        ({"spec": "NQ"}, "spec must be a ContractSpec"),
        ({"spec": contract("NQ")}, "calendar of NQ must be None"),
        ({"price": -5.0}, "price must be a number of points above 0"),
        ({"price": math.nan}, "price must be a number of points above 0"),
        ({"price": 100.0}, "the price falls to zero within 40 sessions"),
        ({"noise_ticks": 1.0}, "noise_ticks must be a number of ticks, 4.59 or more"),
        ({"first_session": "soon"}, "first_session must be the date of a weekday"),
        ({"first_session": "2025-01-04"}, "first_session must be the date of a weekday"),
        ({"first_session": "NaT"}, "first_session must be the date of a weekday"),
        ({"drift": math.inf}, "drift must be a number"),
        ({"mean_regime_bars": 0.5}, "mean_regime_bars must be a number of bars, 1 or more"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        regime(**arguments)  # type: ignore[arg-type]
