"""`env.render`: what a picture of hand-made bars shows, flat and on both sides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.wrappers import GymnaxToGymWrapper

from tests.rules.handmade import LEVEL, WARMUP, flat, make_bars
from trading_gymnax import TradingPhase1, TradingPhase2
from trading_gymnax.market import pack
from trading_gymnax.render import ENTRY, STOP, TARGET, render, snapshot
from trading_gymnax.rules import BUY, HOLD, SELL

# A bar up, the decision bar, and two quiet bars behind it. NQ: a tick is a quarter point and 5 dollars.
ROWS = [
    *flat(count=2),
    (LEVEL, LEVEL + 4, LEVEL - 2, LEVEL + 3),
    (LEVEL + 3, LEVEL + 6, LEVEL, LEVEL + 2),
    (LEVEL + 2, LEVEL + 5, LEVEL + 1, LEVEL + 4),
    *flat(LEVEL + 4, 3),
]


@pytest.fixture(scope="module")
def env() -> TradingPhase1:
    return TradingPhase1(pack([make_bars(ROWS)]))


def state_after(env, action: int):
    """Two bars after an order given at row 2: the decision bar is row 4."""
    params = env.default_params
    _, state = env.reset_at(params, 0, WARMUP + 2)
    for taken in (action, HOLD):
        state, _, _ = env.play(state, jnp.int32(taken), params)
    return state, params


def rows_of(picture: np.ndarray, color: str) -> np.ndarray:
    """Rows of the picture with a long line of this colour; the labels beside it are too thin to count."""
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    found = (np.abs(picture.astype(int) - wanted).max(axis=-1) < 12).sum(axis=1)
    return np.flatnonzero(found >= 15)


# ATR 8: the stop is 12 ticks and the target 36 ticks from the fill, a tick worse than the open of LEVEL + 3.
@pytest.mark.parametrize(("action", "side", "fill"), [(BUY, 1, 4), (SELL, -1, 2)])
def test_a_position_is_shown(env, action, side, fill):
    state, params = state_after(env, action)
    shown = snapshot(state, params, 20)
    price = 20_000 + 0.25 * fill
    assert (shown.symbol, shown.side, shown.contracts, shown.entry) == ("NQ", side, 1, price)
    assert (shown.stop, shown.target) == (price - side * 3, price + side * 9)
    assert shown.entered_at == 18  # row 3 of the bars; row 4, the last of 20, is 19
    assert shown.open_profit_usd == side * (4 - fill) * 5
    assert shown.equity_usd == 50_000 + shown.open_profit_usd - 2.5
    np.testing.assert_array_equal(shown.bars[-2:], np.array(ROWS[3:5]) * 0.25)
    assert str(shown.time[-1]) == "2025-01-07T09:34"
    picture = env.render(state, params)
    assert (picture.shape, picture.dtype) == ((450, 800, 3), np.uint8)
    entry, stop, target = (rows_of(picture, color).mean() for color in (ENTRY, STOP, TARGET))
    # rows count downwards: a long position has its target above and its stop below
    assert side * target < side * entry < side * stop


def test_a_flat_account_has_no_levels(env):
    state, params = state_after(env, HOLD)
    shown = snapshot(state, params, 20)
    assert (shown.side, shown.entry, shown.stop, shown.target, shown.open_profit_usd) == (0, 0, 0, 0, 0)
    picture = env.render(state, params)
    assert picture.shape == (450, 800, 3)
    for color in (ENTRY, STOP, TARGET):
        assert len(rows_of(picture, color)) == 0


def test_the_window_ends_at_the_table(env):
    _, state = env.reset_at(env.default_params, 0, 390)
    assert len(snapshot(state, env.default_params, 500).bars) == 391
    assert render(state, env.default_params, 1).shape == (450, 800, 3)


def test_a_batch_is_refused(env):
    _, states = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), 2), env.default_params)
    with pytest.raises(ValueError, match="one state"):
        env.render(states, env.default_params)
    assert env.render(jax.tree.map(lambda x: x[1], states), env.default_params).dtype == np.uint8


def test_gymnax_asks_for_it(env):
    wrapped = GymnaxToGymWrapper(TradingPhase2(env.default_params.market))
    wrapped.reset(seed=0)
    assert wrapped.render().shape == (450, 800, 3)


def test_the_picture_shows_the_windows_bars(env):
    state, params = state_after(env, HOLD)
    narrow = TradingPhase1(params.market, window=3)
    assert not np.array_equal(narrow.render(state, params), env.render(state, params))
    assert np.array_equal(narrow.render(state, params), render(state, params, 3))
