"""JAX environments against the reference: every integer, cent, decision and reason equal, floats to 1e-5."""

import dataclasses

import numpy as np
import pytest

from tests.rules.handmade import flat, make_bars
from tests.rules.parity import Parity
from trading_gymnax.data.loader import Bars, load_bars
from trading_gymnax.synthetic import SYNTH, regime


@pytest.fixture(scope="module")
def synthetic() -> list[Bars]:
    """Two synthetic markets of unlike tick, price level and length."""
    dow = dataclasses.replace(SYNTH, symbol="DOW", tick_size=1.0, multiplier=5.0)
    first, second = regime(12, seed=1), regime(7, seed=2, spec=dow, price=40_000.0)
    return [load_bars(market.frame, market.spec) for market in (first, second)]


@pytest.fixture(scope="module")
def real(shared_data) -> list[Bars]:
    """The real NQ, ES and YM bars, half days, holes and all."""
    nq = load_bars(shared_data / "NQ_H25_1min_ninjatrader.parquet", "NQ", timestamps_mark="end", repair="stray_prints")
    return [
        nq,
        *(load_bars(shared_data / f"{name}_1min_tradingview_2022-01.parquet", name) for name in ("ES", "YM")),
    ]


@pytest.fixture(scope="module")
def broken() -> Bars:
    """Hand-made sessions with early closes, a day that stops at 12:01, and a table that stops at 10:29."""
    rng = np.random.default_rng(5)
    rows, last = [], 80_000
    for _ in range(4 * 150 + 60):
        close = last + int(rng.integers(-12, 13))
        low, high = min(last, close) - int(rng.integers(0, 6)), max(last, close) + int(rng.integers(0, 6))
        rows.append((last, high, low, close))
        last = close + int(rng.integers(-3, 4))
    sessions = [day for day in (1, 2, 3, 4) for _ in range(150)] + [5] * 60
    closes = {1: 1080, 2: 1080, 3: 1380, 4: 1081, 5: 990}
    return make_bars(rows + flat(last, 0), atr=7.5, sessions=sessions, scheduled_close=closes, tail=False)


@pytest.mark.parametrize("phase", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_synthetic_episodes_agree(synthetic, phase):
    """With the four account features."""
    assert Parity(synthetic, phase, 450, account_features=True).check(seed=phase, num_episodes=40) > 2_000


@pytest.mark.parametrize("phase", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_broken_days_agree(broken, phase):
    """Early closes, jumps of the data and its end, with a short window."""
    assert Parity([broken], phase, 300, window=5).check(seed=10 + phase, num_episodes=40) > 1_600


def coarse(minutes: int, num_sessions: int) -> Bars:
    """A synthetic market in longer bars."""
    market = regime(num_sessions, seed=minutes)
    how = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
    frame = market.frame.set_index("timestamp").resample(f"{minutes}min").agg(how).dropna().reset_index()
    return load_bars(frame, market.spec)


def test_longer_bars_agree():
    """5 and 15 minutes: 276 and 92 bars a session, so the warm-up takes two sessions and five."""
    tables = [coarse(5, 8), coarse(15, 16)]
    assert [table.bar_minutes for table in tables] == [5, 15]
    assert Parity(tables, 1, 150).check(seed=30, num_episodes=40) > 1_000


@pytest.mark.slow
@pytest.mark.parametrize("phase", [1, 2])
def test_real_episodes_agree(real, phase):
    """Three real markets at once."""
    assert Parity(real, phase, 450).check(seed=20 + phase, num_episodes=45) > 2_400


@pytest.mark.slow
@pytest.mark.parametrize("phase", [1, 2])
def test_whole_lives_agree(synthetic, phase):
    """Evaluations, funded accounts and payouts in short sessions, with every rule of a life on in part of them."""
    parity = Parity(synthetic, phase, 450, life=True, account_features=True)
    assert parity.check(seed=40 + phase, num_episodes=100) > 5_000


def test_whole_lives_with_sizes_as_actions_agree(synthetic):
    """The same with limits of contracts that offer some sizes and not others."""
    parity = Parity(synthetic, 2, 450, life=True, account_features=True, entry_sizes=(1, 2, 4))
    assert parity.check(seed=45, num_episodes=100) > 4_500


@pytest.mark.slow
def test_two_thousand_phase_1_episodes_agree(real, synthetic, broken):
    """At least 2,000 episodes over real, synthetic and broken days, and over longer bars."""
    coarser = [coarse(5, 8), coarse(15, 16)]
    for tables, episodes in ((real, 1_200), (synthetic, 600), ([broken], 300), (coarser, 150)):
        parity = Parity(tables, 1, 450)
        assert sum(parity.check(seed, 150) for seed in range(100, 100 + episodes // 150)) > 30 * episodes


@pytest.mark.slow
def test_a_million_phase_2_steps_agree(real, synthetic, broken):
    """At least 1,000,000 steps over real, synthetic and broken days."""
    steps, seed = 0, 1_000
    for tables, share in ((real, 0.6), (synthetic, 0.9), ([broken], 1.0)):
        parity = Parity(tables, 2, 450, account_features=True)
        while steps < share * 1_000_000:
            steps += parity.check(seed, 300)
            seed += 1
    assert steps >= 1_000_000


@pytest.mark.slow
def test_two_hundred_thousand_steps_with_sizes_as_actions_agree(real, synthetic, broken):
    """Of both phases, with and without a life."""
    steps, seed = 0, 70_000
    for tables, phase, life, share in ((real, 2, True, 0.4), (synthetic, 1, False, 0.7), ([broken], 1, True, 1.0)):
        parity = Parity(tables, phase, 450, life=life, account_features=life, entry_sizes=(2, 3, 7))
        while steps < share * 200_000:
            steps += parity.check(seed, 300)
            seed += 1
    assert steps >= 200_000


@pytest.mark.slow
def test_a_million_steps_of_whole_lives_agree(real, synthetic, broken):
    """At least 1,000,000 steps, with every rule of a life on in part of them."""
    steps, seed = 0, 50_000
    for tables, phase, share in ((real, 2, 0.6), (synthetic, 1, 0.95), ([broken], 2, 1.0)):
        parity = Parity(tables, phase, 450, life=True, account_features=True)
        while steps < share * 1_000_000:
            steps += parity.check(seed, 300)
            seed += 1
    assert steps >= 1_000_000
