"""Buying and holding: the market's own moves, the costs of two orders, and a roll that makes no jump."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data.tables import PLAIN
from trading_gymnax import TradingPhase1, load_market_data
from trading_gymnax.evaluation.baselines import RandomEntries
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.evaluation.holding import buy_and_hold
from trading_gymnax.market import CLOSE, END, OPEN
from trading_gymnax.synthetic import martingale

SIDE_USD = 2 * (2.5 + 5.0)  # of two contracts: commission, and a tick of slippage


def held(market) -> np.ndarray:
    env = TradingPhase1(market, position_size=2, commission_per_side=2.5, slippage_ticks=1)
    found = evaluate_policy(RandomEntries(jnp.float32(0)), env, env.default_params, key=jax.random.key(0))
    return buy_and_hold(found, market, env.default_params)


@pytest.fixture(scope="module")
def frame():
    return martingale(5, spec=PLAIN).frame


def test_moves_from_close_to_close(frame):
    market = load_market_data(frame, PLAIN)
    bars, ends = np.asarray(market.bars)[0], np.asarray(market.sessions)[0, :, END]
    usable = market.usable_sessions()
    # Bought at the open of the bar that closes at 09:31 New York.
    minutes = np.asarray(market.close_minute)[0, : ends[-1]].astype("datetime64[m]")
    first = np.flatnonzero((minutes - minutes.astype("datetime64[D]")).astype(int) == 14 * 60 + 31)
    bought = bars[first[first >= np.asarray(market.sessions)[0, usable[0], 0]][0], OPEN]
    prices = np.concatenate([[bought], bars[ends[usable] - 1, CLOSE]]).astype(float)
    expected = np.diff(prices) * 5.0 * 2
    expected[[0, -1]] -= SIDE_USD
    np.testing.assert_allclose(held(market), expected)


def test_a_roll_costs_two_orders_and_makes_no_jump(frame):
    later = frame.assign(**{name: frame[name] + 100 for name in ("open", "high", "low", "close")})
    alone = held(load_market_data(frame, PLAIN))
    dates = sorted(frame["timestamp"].dt.tz_convert("America/New_York").dt.date.unique())
    rolled = held(load_market_data([frame, later], PLAIN, roll=[str(dates[3])]))
    differs = np.flatnonzero(rolled != alone)
    assert len(rolled) == len(alone)
    assert len(differs) == 1
    assert differs[0] > 0
    assert rolled[differs[0]] == alone[differs[0]] - 2 * SIDE_USD
