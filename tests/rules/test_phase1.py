"""The phase 1 environment as a gymnax environment: starts, auto-reset, views, parameters, wrappers, programs."""

import copy
import dataclasses
import functools
import pickle

import gymnasium
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import environment
from gymnax.wrappers import GymnaxToGymWrapper, GymnaxToVectorGymWrapper
from hypothesis import given, settings
from hypothesis import strategies as st

import trading_gymnax
from tests.rules.handmade import LEVEL, flat, make_bars
from trading_gymnax import EnvParams, TradingPhase1, TradingPhase2
from trading_gymnax.market import MarketData, pack
from trading_gymnax.rules import DoneReason

OPENING = 930  # 9:30 in minutes since 18:00


def wavy(count: int, seed: int = 0) -> list[tuple[int, int, int, int]]:
    """Bars that wander by some ticks."""
    rng = np.random.default_rng(seed)
    closes = LEVEL + np.cumsum(rng.integers(-9, 10, count))
    opens = np.concatenate([[LEVEL], closes[:-1]])
    highs = np.maximum(opens, closes) + rng.integers(0, 4, count)
    lows = np.minimum(opens, closes) - rng.integers(0, 4, count)
    return [tuple(int(x) for x in row) for row in zip(opens, highs, lows, closes, strict=True)]


def three_days(seed: int = 0, **options) -> MarketData:
    """Sessions 1 to 3 of 100, 60 and 100 bars from 9:30 on, scheduled to close at the time of their last bar."""
    sessions = [1] * 100 + [2] * 60 + [3] * 100
    closes = {1: OPENING + 99, 2: OPENING + 59, 3: OPENING + 99}
    return pack([make_bars(wavy(260, seed), sessions=sessions, scheduled_close=closes, tail=False, **options)])


@pytest.fixture(scope="module")
def env() -> TradingPhase1:
    return TradingPhase1(three_days(), min_bars_left=10)


@functools.lru_cache(maxsize=32)
def stepper(env, num_envs, num_steps, step):
    """Compiled: random legal actions under scan."""
    step = env.step if step is None else step

    def one(params, state, key):
        mask = jax.vmap(env.action_mask, (0, None))(state, params)
        action = jax.random.categorical(key, jnp.where(mask, 0.0, -1e9))
        obs, after, *rest = jax.vmap(step, (0, 0, 0, None))(jax.random.split(key, num_envs), state, action, params)
        return after, (state, action, obs, after, *rest)

    @jax.jit
    def play(key, params):
        _, start = jax.vmap(env.reset, (0, None))(jax.random.split(key, num_envs), params)
        return jax.lax.scan(
            functools.partial(one, params), start, jax.random.split(jax.random.fold_in(key, 1), num_steps)
        )[1]

    return play


def random_steps(env, params, num_envs, num_steps, seed=0, step=None):
    """Per step the state before, the action and all that `step` gave, for random legal actions."""
    return stepper(env, num_envs, num_steps, step)(jax.random.key(seed), params)


def assert_trees_equal(one, other):
    """Bit for bit."""
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


# -- gymnax --


def test_make_without_a_file_gives_the_documented_shapes():
    env, params = gymnax.make("TradingPhase1-v0")
    obs, state = env.reset(jax.random.key(0), params)
    assert obs.shape == env.observation_space(params).shape == env.obs_shape == (225,)
    assert obs.dtype == jnp.float32
    assert env.action_space(params).n == env.num_actions == 3
    obs, state, reward, terminated, truncated, info = env.step(jax.random.key(1), state, 1, params)
    assert (reward.dtype, terminated.dtype, truncated.dtype) == (jnp.float32, jnp.bool_, jnp.bool_)
    assert env.observation_space(params).contains(obs)


def test_importing_again_registers_once():
    import importlib

    importlib.reload(trading_gymnax)
    assert gymnax.registered_envs.count("TradingPhase1-v0") == 1


def test_params_none_takes_the_defaults(env):
    obs, state = env.reset(jax.random.key(0))
    assert_trees_equal((obs, state), env.reset(jax.random.key(0), env.default_params))
    assert_trees_equal(env.step(jax.random.key(1), state, 1), env.step(jax.random.key(1), state, 1, env.default_params))


@pytest.mark.parametrize("make", [pytest.param(TradingPhase1, marks=pytest.mark.slow), TradingPhase2])
def test_stock_step_gives_the_same(make):
    """gymnax's own `step` on the same environment, ends included: all six values equal, bit for bit."""
    env = make(three_days(), min_bars_left=10, trailing_dd_limit=300.0)
    stock = random_steps(env, env.default_params, 16, 150, step=lambda *args: environment.Environment.step(env, *args))
    ours = random_steps(env, env.default_params, 16, 150)
    assert bool(ours[5].any())
    assert_trees_equal(stock, ours)


def test_after_an_end_obs_and_state_are_those_of_a_fresh_start(env):
    params = env.default_params
    before, action, obs, after, reward, terminated, truncated, info = random_steps(env, params, 8, 200)
    ended = np.argwhere(np.asarray(terminated | truncated))
    assert len(ended) > 8
    for t, i in ended[:20]:
        pick = lambda tree, t=t, i=i: jax.tree.map(lambda x: x[t, i], tree)  # noqa: E731
        state = pick(after)
        assert int(state.time) == 0
        assert int(state.balance) == 5_000_000
        assert_trees_equal(env.reset_at(params, 0, int(state.step_idx))[0], obs[t, i])
        last_obs, last, *_ = env.step_env(jax.random.key(0), pick(before), action[t, i], params)
        np.testing.assert_allclose(last_obs, info["final_observation"][t, i], rtol=1e-6, atol=1e-6)
        assert int(last.step_idx) == int(before.step_idx[t, i]) + 1


def test_final_observation_is_the_observation_where_nothing_ended(env):
    *_, terminated, truncated, info = played = random_steps(env, env.default_params, 8, 200)
    goes_on = ~np.asarray(terminated | truncated)
    np.testing.assert_array_equal(np.asarray(played[2])[goes_on], np.asarray(info["final_observation"])[goes_on])


def test_gymnax_wrappers_run_it(env):
    single = GymnaxToGymWrapper(env, env.default_params, seed=1)
    obs, _ = single.reset()
    assert single.observation_space.contains(np.asarray(obs))
    obs, reward, terminated, truncated, info = single.step(1)
    assert np.asarray(obs).shape == (225,)
    many = GymnaxToVectorGymWrapper(env, num_envs=3, params=env.default_params, seed=1)
    obs, _ = many.reset()
    obs, reward, terminated, truncated, info = many.step(np.array([0, 1, 2]))
    assert obs.shape == (3, 225)
    assert reward.shape == (3,)
    assert isinstance(single.action_space, gymnasium.spaces.Discrete)


def test_deepcopy_shares_the_arrays_and_pickle_keeps_them(env):
    copied = copy.deepcopy(env)
    assert copied is not env
    assert copied.default_params.market.bars is env.default_params.market.bars
    loaded = pickle.loads(pickle.dumps(env))
    assert_trees_equal(loaded.default_params, env.default_params)
    assert {env: 1}[env] == 1


# -- starts --


def starts(env, params, count=4_000) -> np.ndarray:
    """Decision bars of `count` resets."""
    keys = jax.random.split(jax.random.key(3), count)
    return np.asarray(jax.vmap(env.reset, (0, None))(keys, params)[1].step_idx)


def test_starts_cover_exactly_the_allowed_bars_in_the_stated_shares(env):
    """Sessions 1 to 3 begin at bars 390, 490 and 550. In session 1 the scheduled close is minute 1029, the time of its
    last bar 489, so entry is allowed up to minute 1027: bars 390 to 487. At least 10 bars before must-flat are left by
    bars up to 478 (479 to 488 are ten): 390 to 478. Likewise 490 to 538 and 550 to 638."""
    allowed = {*range(390, 479), *range(490, 539), *range(550, 639)}
    drawn = starts(env, env.default_params.replace(random_start_fraction=1.0))
    assert set(drawn) == allowed
    share = np.mean((drawn >= 490) & (drawn < 550))
    assert abs(share - 1 / 3) < 4 * np.sqrt(2 / 9 / 4_000)  # sessions are drawn evenly, however long
    assert abs(np.mean(drawn[drawn < 490]) - (390 + 478) / 2) < 4 * 89 / np.sqrt(12 * 1_300)


def test_first_bars_and_the_random_fraction(env):
    assert set(starts(env, env.default_params.replace(random_start_fraction=0.0))) == {390, 490, 550}
    drawn = starts(env, env.default_params.replace(random_start_fraction=0.25))
    first = np.isin(drawn, [390, 490, 550]).mean()  # three quarters, and 1/89, 1/49, 1/89 of the rest
    assert abs(first - (0.75 + 0.25 * (2 / 89 + 1 / 49) / 3)) < 4 * np.sqrt(0.25 * 0.75 / 4_000)


def test_forced_starts_come_in_the_stated_share_and_leave_one_entry(env):
    params = env.default_params.replace(forced_entry_fraction=0.4)
    state = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(3), 4_000), params)[1]
    side = np.asarray(state.forced_side)
    assert abs(np.mean(side != 0) - 0.4) < 4 * np.sqrt(0.4 * 0.6 / 4_000)
    assert abs(np.mean(side[side != 0])) < 4 / np.sqrt(1_600)
    masks = np.asarray(jax.vmap(env.action_mask, (0, None))(state, params))
    for forced, mask in ((0, [True, True, True]), (1, [False, True, False]), (-1, [False, False, True])):
        assert (masks[side == forced] == mask).all()
    _, free = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(3), 50), env.default_params)
    assert not np.asarray(free.forced_side).any()


def test_hours_of_the_parameters_move_the_starts(env):
    """Open at 10:00 (minute 960), flat at 10:20 (minute 980): bars of minutes 960 to 978, ten left up to 969."""
    params = env.default_params.replace(rth_open=10.0, rth_close=10 + 20 / 60, random_start_fraction=1.0)
    minutes = np.asarray(params.market.bars)[0, starts(env, params), 4]
    assert set(minutes) == set(range(960, 970))


def test_views_split_by_session_date(env):
    """Sessions 0 (warm-up) to 3 are Monday 2025-01-06 to Thursday the 9th."""
    market = env.default_params.market
    train, test = market.split("2025-01-08")
    assert train.bars is market.bars
    assert (train.usable_sessions().tolist(), test.usable_sessions().tolist()) == ([1], [2, 3])
    assert set(starts(env, env.default_params.replace(market=test, random_start_fraction=0.0))) == {490, 550}
    with pytest.raises(ValueError, match="no usable session"):
        market.split("2025-01-07")
    with pytest.raises(ValueError, match="rising order"):
        market.split("2025-01-09", "2025-01-08")
    with pytest.raises(ValueError, match="not a date"):
        market.split("tomorrow")


def test_windows_with_unknown_features_are_no_start():
    """Features finite from bar 400 on: the first window of 20 bars ends at 419."""
    market = pack([make_bars(wavy(100), first_finite_bar=400, scheduled_close=OPENING + 99, tail=False)])
    env = TradingPhase1(market, random_start_fraction=0.0)
    assert set(starts(env, env.default_params, 50)) == {419}


def test_two_markets_are_drawn_by_weight_and_never_in_the_padding():
    short = make_bars(wavy(60), symbol="ES", scheduled_close=OPENING + 59, tail=False)
    long = make_bars(wavy(100, 1), symbol="NQ", scheduled_close=OPENING + 99, tail=False)
    env = TradingPhase1(pack([short, long]), random_start_fraction=1.0, min_bars_left=0)
    params = env.default_params.replace(market_weights=[1.0, 3.0])
    keys = jax.random.split(jax.random.key(0), 4_000)
    state = jax.vmap(env.reset, (0, None))(keys, params)[1]
    share = float((state.market_id == 1).mean())
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 4_000)
    bars = np.asarray(state.step_idx)
    assert bars[np.asarray(state.market_id) == 0].max() == 390 + 57
    assert bars[np.asarray(state.market_id) == 1].max() == 390 + 97
    assert params.commission_per_side.tolist() == [2.5, 2.5]
    assert params.market.tick_cents.tolist() == [1250, 500]


# -- rewards --


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31 - 1), limit=st.sampled_from([100.0, 500.0, 15_000.0]))
def test_rewards_add_up_to_the_profit(env, seed, limit):
    """Sum of rewards * reward_scale = final equity - initial balance, to float32's rounding."""
    params = env.default_params.replace(trailing_dd_limit=limit)
    _, _, _, _, reward, terminated, truncated, info = random_steps(env, params, 8, 200, seed)
    ended = np.asarray(terminated | truncated)
    for i in range(8):
        stop = int(np.argmax(ended[:, i])) if ended[:, i].any() else len(ended) - 1
        earned = float(np.sum(np.asarray(reward)[: stop + 1, i], dtype=np.float64)) * float(params.reward_scale[0])
        assert earned == pytest.approx(float(info["equity"][stop, i]) - 50_000.0, abs=0.02)


def test_reward_scale_is_the_median_ordinary_stop_and_follows_view_and_size(env):
    """ATR 8 ticks throughout: 1.5 * 8 ticks * 5 dollars = 60 dollars a contract."""
    params = env.default_params
    assert params.reward_scale.tolist() == [60.0]
    assert params.replace(position_size=3).reward_scale.tolist() == [180.0]
    assert params.replace(reward_scale=10.0).replace(position_size=3).reward_scale.tolist() == [10.0]
    atr = [8.0] * 100 + [4.0] * 60 + [2.0] * 100
    day = three_days(atr=atr)
    assert TradingPhase1(day).default_params.reward_scale.tolist() == [30.0]
    assert TradingPhase1(day.split("2025-01-08")[0]).default_params.reward_scale.tolist() == [60.0]
    # one that was given stays, even where it equals the median of the market that it was given for
    for fixed in (params.replace(reward_scale=60.0), EnvParams.create(params.market, reward_scale=60)):
        assert fixed.replace(market=day).reward_scale.tolist() == [60.0]
        assert jax.tree.map(jnp.asarray, fixed).replace(position_size=3).reward_scale.tolist() == [60.0]
    assert params.replace(market=day).replace(position_size=3).reward_scale.tolist() == [90.0]
    with pytest.raises(ValueError, match="has no field 'reward_scale_given'"):
        params.replace(reward_scale_given=True)


def test_truncation_leaves_the_position_open(env):
    params = env.default_params.replace(max_steps_in_episode=3, sl_atr_mult=50.0)
    _, state = env.reset_at(params, 0, 400)
    state = state.replace(time=jnp.int32(2))
    _, after, _, terminated, info = env.step_env(jax.random.key(0), state, 1, params)
    assert int(after.position) == 1
    assert not bool(terminated)
    assert bool(env.is_truncated(after, params))
    assert int(info["done_reason"]) == DoneReason.TIME_LIMIT


# -- parameters and programs --


def test_values_of_any_kind_share_one_program(env):
    traces = []

    @jax.jit
    def step(state, params):
        traces.append(None)
        return env.step(jax.random.key(0), state, 1, params)[1]

    params = env.default_params
    _, state = env.reset(jax.random.key(0), params)
    for value in (2, 2.0, np.float32(1.5), jnp.float32(3), jnp.int32(2), np.float64(2.5)):
        step(state, params.replace(sl_atr_mult=value, commission_per_side=value))
    for view in params.market.split("2025-01-08"):
        step(state, params.replace(market=view, slippage_ticks=3, fill_at_close=1))
    assert len(traces) == 1


def test_the_program_does_not_grow_with_the_data():
    """Lowered text of a vmapped step over 10,000 and 1,000,000 bars: equal but for the numbers in the shapes."""

    def lowered(num_bars: int) -> str:
        env = TradingPhase1(three_days())
        market = env.default_params.market
        wide = lambda x: jax.ShapeDtypeStruct((1, num_bars, *x.shape[2:]), x.dtype)  # noqa: E731
        shapes = {name: wide(getattr(market, name)) for name in ("bars", "features", "close_minute")}
        params = dataclasses.replace(env.default_params, market=dataclasses.replace(market, **shapes))
        keys = jax.random.split(jax.random.key(0), 4)
        state = jax.eval_shape(jax.vmap(env.reset, (0, None)), keys, params)[1]
        actions = jax.ShapeDtypeStruct((4,), jnp.int32)
        return jax.jit(jax.vmap(env.step, (0, 0, 0, None))).lower(keys, state, actions, params).as_text()

    small, large = lowered(10_000), lowered(1_000_000)
    assert abs(len(large) - len(small)) < 0.01 * len(small)
    assert small.count("\n") == large.count("\n")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sl_atr_mul": 2}, "did you mean 'sl_atr_mult'"),
        ({"slippage_ticks": -1}, "slippage_ticks must not be negative"),
        ({"slippage_ticks": 1.5}, "counts whole units"),
        ({"commission_per_side": "free"}, "must be a number"),
        ({"rth_open": 25}, "hour between 0 and 24"),
        ({"high_water_mode": 3}, "0 BAR_CLOSE, 1 INTRABAR, 2 END_OF_DAY"),
        ({"initial_balance": float("nan")}, "must be finite"),
        ({"initial_balance": float("inf")}, "must be finite"),
        ({"trailing_dd_limit": 2e7}, "at most 10,000,000 dollars"),
        ({"random_start_fraction": 1.5}, "share between 0 and 1"),
        ({"reward_scale": 0}, "must be at least 0.01 dollars"),
        ({"min_stop_ticks": 2**20 + 1}, "at most 1,048,576 ticks"),
        ({"target_through_ticks": 2**31 - 1}, "at most 1,048,576 ticks"),
        ({"commission_per_side": 1e8}, "at most 10,000,000 dollars"),
        ({"commission_per_side": 1e7, "position_size": 2}, "could exceed"),
        ({"slippage_atr_mult": 1e6, "position_size": 10}, "could exceed"),
        ({"market_weights": [3.4e38]}, "a sum from"),
        ({"max_steps_in_episode": 0}, "at least 1"),
        ({"stop_first": 2}, "True or False"),
        ({"market_weights": [0.0]}, "a value above 0"),
        ({"commission_per_side": [1.0, 2.0]}, "2 values for 1 markets"),
        ({"position_size": 100_000}, "could exceed"),
        ({"sl_atr_mult": None}, "must be a number"),
        ({"market": None}, "market must be a MarketData"),
    ],
)
def test_bad_parameters_get_one_clear_sentence(env, fields, message):
    with pytest.raises(ValueError, match=message):
        env.default_params.replace(**fields)
    if "market" not in fields:
        with pytest.raises(ValueError, match=message):
            EnvParams.create(env.default_params.market, **fields)


def test_stacked_markets_need_the_same_features():
    one = make_bars(flat(count=60))
    other = dataclasses.replace(make_bars(flat(count=60)), feature_names=tuple("abcdefgh"))
    with pytest.raises(ValueError, match="same features"):
        pack([one, other])
