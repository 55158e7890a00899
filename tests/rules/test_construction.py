"""What needs no long program: the constructor, the spaces, observations of a state, `reset_at`."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.data.tables import PLAIN, table
from tests.rules.handmade import make_bars
from tests.rules.test_phase1 import OPENING, assert_trees_equal, three_days, wavy
from trading_gymnax import TradingPhase1
from trading_gymnax.market import pack

NO_DATA = "says how to load bars, but there is no data=; give a file or a DataFrame, or neither"
LOADED = "cannot change how it was loaded"


@pytest.fixture(scope="module")
def env() -> TradingPhase1:
    return TradingPhase1(three_days(), min_bars_left=10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"window": 0}, "window is the number of bars seen, from 1 to 390; got 0"),
        ({"window": 391}, "window is the number of bars seen, from 1 to 390; got 391"),
        ({"window": 2.5}, "window is the number of bars seen, from 1 to 390; got 2.5"),
        ({"window": True}, "window is the number of bars seen, from 1 to 390; got True"),
        ({"market": "NQ"}, f"market {NO_DATA}"),
        ({"rth": (9.5, 16)}, f"rth {NO_DATA}"),
        ({"market": "NQ", "rth": (9.5, 16)}, f"market, rth {NO_DATA}"),
        ({"data": three_days, "market": "NQ"}, f"data is already a MarketData; market {LOADED}"),
        ({"data": three_days, "rth": (9, 16)}, f"data is already a MarketData; rth {LOADED}"),
        (
            {"data": three_days, "market": "NQ", "repair": "a", "rth": (9, 16)},
            f"data is already a MarketData; market, repair, rth {LOADED}",
        ),
        ({"timestamp_mark": "end"}, "TradingPhase1-v0 has no option 'timestamp_mark': did you mean 'timestamps_mark'?"),
        ({"sl_atr_mul": 2}, "TradingPhase1-v0 has no option 'sl_atr_mul': did you mean 'sl_atr_mult'?"),
        ({"data": {}}, "data is an empty dict; give at least one {symbol: source}"),
    ],
)
def test_bad_constructor_arguments_get_one_clear_sentence(arguments, message):
    if callable(arguments.get("data")):
        arguments = {**arguments, "data": arguments["data"]()}
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        TradingPhase1(**arguments)


@pytest.mark.parametrize("given", [(), (2,), (1, 1), (2, 1), (0, 1), (1, 2.0), (True, 2), "12", 3, (1, None)])
def test_sizes_that_are_none_get_one_clear_sentence(given):
    with pytest.raises(ValueError, match=r"^entry_sizes: two or more whole multiples of position_size from 1 on"):
        TradingPhase1(three_days(), entry_sizes=given)


def test_sizes_add_actions_a_number_and_a_limit_of_the_largest_order():
    env = TradingPhase1(three_days(), entry_sizes=[1, 2, 5])
    assert (env.entry_sizes, env.num_actions, env.obs_shape) == ((1, 2, 5), 7, (226,))
    assert env.action_names == ("HOLD", "BUY", "SELL", "BUY_2X", "SELL_2X", "BUY_5X", "SELL_5X")
    assert env.action_variants == {3: 1, 4: 2, 5: 1, 6: 2}
    assert (TradingPhase1(three_days()).action_variants, TradingPhase1.action_names) == ({}, ("HOLD", "BUY", "SELL"))
    most = 10_000
    TradingPhase1(three_days(), position_size=most)
    with pytest.raises(ValueError, match=r"50000 contracts of .* could exceed"):
        TradingPhase1(three_days(), position_size=most, entry_sizes=(1, 5))


def test_an_unknown_option_is_answered_with_those_there_are():
    with pytest.raises(
        ValueError, match=r"^TradingPhase1-v0 has no option 'xyzzy': there are timezone, .*, roll, symbol, max_"
    ):
        TradingPhase1(xyzzy=1)


def test_what_the_constructor_remembers():
    market = three_days(rth=(9.0, 15.0))
    env = TradingPhase1(market, window=1, account_features=1, sl_atr_mult=2, reward_fn=print)
    assert (env.window, env.account_features, env.num_features, env.reward_fn) == (1, True, 8, print)
    params = env.default_params
    assert params.market is market
    assert (float(params.rth_open), float(params.rth_close), float(params.sl_atr_mult)) == (9.0, 15.0, 2.0)
    assert env.obs_shape == (1 * 11 + 5 + 4,)
    own = TradingPhase1(market, rth_open=10.0, window=390)
    assert (float(own.default_params.rth_open), own.window, own.account_features, own.reward_fn) == (
        10,
        390,
        False,
        None,
    )
    built_in = TradingPhase1()
    assert built_in.default_params.market.symbols == ("SYNTH",)
    assert (built_in.name, built_in.window, built_in.obs_shape) == ("TradingPhase1-v0", 20, (225,))


def test_spaces_describe_what_reset_returns(env):
    obs, state = env.reset(jax.random.key(0), env.default_params)
    box = env.observation_space(env.default_params)
    assert (box.shape, box.dtype, box.low, box.high) == (obs.shape, obs.dtype, -1e30, 1e30)
    found = env.state_space(env.default_params).spaces
    assert set(found) == {field.name for field in dataclasses.fields(state)}
    for name, space in found.items():
        value = getattr(state, name)
        assert space.shape == value.shape, name
        if value.dtype == jnp.bool_:
            assert space.n == 2, name
        else:
            assert (space.low, space.high, space.dtype) == (-(2**31), 2**31 - 1, jnp.int32), name


def test_an_observation_is_a_function_of_the_state(env):
    obs, state = env.reset(jax.random.key(0), env.default_params)
    assert_trees_equal(env.observe(None, state, None, env.default_params), obs)
    assert_trees_equal(env.get_obs(state, env.default_params), obs)
    assert_trees_equal(env.get_obs(state), obs)
    later = env.default_params.replace(rth_open=9.0)
    assert not np.array_equal(env.get_obs(state, later), obs)  # other minutes since the opening


def test_reset_at_starts_there_and_refuses_impossible_bars(env):
    obs, state = env.reset_at(env.default_params, 0, 400)
    assert (int(state.step_idx), int(state.time), int(state.position)) == (400, 0, 0)
    assert [int(env.reset_at(env.default_params, 0, bar)[1].step_idx) for bar in (390, 648)] == [390, 648]
    for bar in (20, 389, 649):
        with pytest.raises(ValueError, match=f"bar {bar} cannot be a decision bar: choose one from 390 to 648"):
            env.reset_at(env.default_params, 0, bar)
    with pytest.raises(ValueError, match="not one of the 1 markets"):
        env.reset_at(env.default_params, 1, 400)
    with pytest.raises(ValueError, match="market_id -1 is not"):
        env.reset_at(env.default_params, -1, 400)


def test_reset_at_takes_traced_bars_and_markets(env):
    """One traced argument is enough to leave the check out; the other may be a number."""
    starts = jnp.array([400, 500])
    _, states = jax.vmap(lambda bar: env.reset_at(env.default_params, 0, bar))(starts)
    assert_trees_equal(states.step_idx, starts)
    _, states = jax.vmap(lambda m: env.reset_at(env.default_params, m, 400))(jnp.zeros(2, jnp.int32))
    assert states.step_idx.tolist() == [400, 400]


def test_bars_are_loaded_as_the_constructor_is_told():
    env = TradingPhase1(table("2025-03-03"), PLAIN, rth=(9.5, 12.0))
    market = env.default_params.market
    assert (market.symbols, market.rth, float(env.default_params.rth_close)) == (("PLAIN",), (9.5, 12.0), 12.0)
    with pytest.raises(ValueError, match="say which contract the bars are of"):
        TradingPhase1(table("2025-03-03"))


def test_a_place_for_each_market_behind_the_rest():
    market = three_days()
    plain, placed = TradingPhase1(market), TradingPhase1(market, market_one_hot=True)
    assert (plain.num_one_hot, placed.num_one_hot) == (0, 1)
    assert placed.obs_shape == (plain.obs_shape[0] + 1,)


@pytest.mark.parametrize("reward", [1, np.int32(1), True])
def test_a_reward_of_ones_own_becomes_float32(reward):
    env = TradingPhase1(three_days(), reward_fn=lambda before, after, fill, params: reward)
    state = env.reset_at(env.default_params, 0, 400)[1]
    _, given, _ = jax.eval_shape(env.play, state, jnp.int32(0), env.default_params)
    assert (given.dtype, given.shape) == (jnp.float32, ())


def test_the_market_stands_behind_the_rest():
    pair = pack(
        [make_bars(wavy(40), symbol=symbol, scheduled_close=OPENING + 39, tail=False) for symbol in ("ES", "NQ")]
    )
    env, plain = TradingPhase1(pair, market_one_hot=True), TradingPhase1(pair)
    for market_id, place in ((0, [1.0, 0.0]), (1, [0.0, 1.0])):
        obs, _ = env.reset_at(env.default_params, market_id, 400)
        assert obs[-2:].tolist() == place
        assert_trees_equal(obs[:-2], plain.reset_at(plain.default_params, market_id, 400)[0])
