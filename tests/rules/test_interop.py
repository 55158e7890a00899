"""The interfaces of other libraries, without the libraries."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import gymnasium
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnax.environments import spaces

from benchmarks.peers import plain_ppo
from tests.rules.test_phase1 import assert_trees_equal, three_days
from trading_gymnax import TradingPhase1, TradingPhase2, interop
from trading_gymnax.interop import (
    FiveValueStep,
    MaskedGymEnv,
    MaskedVectorEnv,
    five_value_make,
    with_mask_in_observation,
)
from trading_gymnax.market import load_market_data
from trading_gymnax.synthetic import regime

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def env() -> TradingPhase2:
    return TradingPhase2(three_days(), window=3, min_bars_left=10, max_steps_in_episode=30)


# -- five values --


def test_five_values_are_the_six_with_one_end(env):
    old, params = FiveValueStep(env), env.default_params
    obs, state = old.reset(KEY, params)
    assert_trees_equal((obs, state), env.reset(KEY, params))
    ends = 0
    for step, key in enumerate(jax.random.split(KEY, 45)):
        given = old.step(key, state, step % 3, params)
        obs, after, reward, terminated, truncated, info = env.step(key, state, step % 3, params)
        assert_trees_equal(given, (obs, after, reward, terminated | truncated, info))
        assert bool(given[3]) == (int(state.time) == 29)
        state, ends = after, ends + int(given[3])
    assert ends == 1


def test_a_five_value_environment_is_copied_pickled_hashed_and_vmapped(env):
    old = FiveValueStep(env)
    assert old == FiveValueStep(env)
    assert hash(old) == hash(FiveValueStep(env))
    assert old != env
    assert old != FiveValueStep(TradingPhase1(three_days()))
    for other in (copy.deepcopy(old), copy.copy(old), pickle.loads(pickle.dumps(old))):
        assert other.num_actions == 6
        assert_trees_equal(other.reset(KEY, env.default_params), old.reset(KEY, env.default_params))
    with pytest.raises(AttributeError, match="no_such"):
        getattr(old, "no_such")  # noqa: B009
    keys = jax.random.split(KEY, 4)
    _, states = jax.vmap(old.reset, (0, None))(keys, env.default_params)
    values = jax.vmap(old.step, (0, 0, 0, None))(keys, states, jnp.zeros(4, jnp.int32), env.default_params)
    assert len(values) == 5
    assert values[3].shape == (4,)
    assert old.default_params is env.default_params
    assert len(old.step(KEY, env.reset(KEY)[1], 0)) == 5  # the defaults


# -- masks inside the observation --


def test_the_mask_as_a_second_entry(env):
    both, params = with_mask_in_observation(env), env.default_params
    obs, state = both.reset(KEY, params)
    assert_trees_equal(obs, {"obs": env.reset(KEY, params)[0], "action_mask": env.action_mask(state, params)})
    space = both.observation_space(params)
    assert isinstance(space, spaces.Dict)
    assert all(space.spaces[name].contains(obs[name]) for name in ("obs", "action_mask"))
    assert (space.spaces["obs"].shape, space.spaces["action_mask"].shape) == (env.obs_shape, (6,))


@pytest.mark.parametrize("layout", ["dict", "append"])
def test_the_last_observation_has_the_mask_of_its_own_state(env, layout):
    """The last step before the time limit enters: the mask at its end is that of a position, after the reset flat."""
    both, params = with_mask_in_observation(env, layout), env.default_params
    _, state = env.reset_at(params, 0, 400)
    state = state.replace(time=jnp.int32(29))
    obs, after, _, terminated, truncated, info = both.step(KEY, state, 1, params)
    assert (bool(terminated), bool(truncated), int(after.position)) == (False, True, 0)
    ended = env.step_env(KEY, state, 1, params)[1]
    assert int(ended.position) == 1
    final = info["final_observation"]
    masks = [x["action_mask"] if layout == "dict" else x[-6:] == 1 for x in (final, obs)]
    assert_trees_equal(masks[0], env.action_mask(ended, params))
    assert_trees_equal(masks[1], env.action_mask(after, params))
    assert masks[0].tolist()[:5] == [True, False, False, bool(masks[0][3]), True]
    assert masks[1].tolist() == [True, True, True, False, False, False]
    inner = final["obs"] if layout == "dict" else final[:-6]
    assert_trees_equal(inner, env.observe(None, ended, None, params))


def test_the_mask_behind_the_observation(env):
    both, params = with_mask_in_observation(env, "append"), env.default_params
    obs, state = both.reset(KEY, params)
    assert obs.shape == both.observation_space(params).shape == (env.obs_shape[0] + 6,)
    assert obs[-6:].tolist() == env.action_mask(state, params).astype(float).tolist()
    assert both == with_mask_in_observation(env, "append") != with_mask_in_observation(env)
    assert_trees_equal(pickle.loads(pickle.dumps(both)).reset(KEY)[0], obs)


def test_wrong_masks_get_one_clear_sentence(env):
    with pytest.raises(ValueError, match="layout is 'dict' or 'append', got 'list'"):
        with_mask_in_observation(env, "list")
    with pytest.raises(ValueError, match=r"object has no action_mask\(state, params\)"):
        with_mask_in_observation(object())


# -- Gymnasium --


def test_gymnasiums_own_check_passes(env):
    check_env(MaskedGymEnv(env), skip_render_check=True)


def test_an_episode_of_gymnasium_is_that_of_the_environment(env):
    gym, params = MaskedGymEnv(env, seed=3), env.default_params
    with pytest.raises(gymnasium.error.ResetNeeded):
        gym.step(0)
    obs, info = gym.reset(seed=5)
    state = gym._state
    assert (type(obs), obs.dtype, info) == (np.ndarray, np.float32, {})
    np.testing.assert_allclose(env.observe(None, state, None, params), obs, rtol=1e-6)
    for step in range(30):
        assert_trees_equal(gym.action_masks(), env.action_mask(state, params))
        action = 1 if step == 2 else 0
        obs, reward, terminated, truncated, info = gym.step(action)
        expected, state, wanted, ended, _ = env.step_env(KEY, state, action, params)
        np.testing.assert_allclose(obs, expected, rtol=1e-6)
        assert (reward, terminated, truncated) == (pytest.approx(float(wanted)), bool(ended), step == 29)
        assert all(isinstance(value, bool | int | float) for value in info.values())
    assert gym.render().shape == (450, 800, 3)
    assert_trees_equal(gym.reset(seed=5)[0], MaskedGymEnv(env).reset(seed=5)[0])
    with pytest.raises(ValueError, match="no reset options, got bar"):
        gym.reset(options={"bar": 1})


def test_the_vector_interface_resets_in_the_same_step(env):
    many = MaskedVectorEnv(env, 4, seed=1)
    assert isinstance(many, gymnasium.vector.VectorEnv)
    assert many.observation_space.shape == (4, *env.obs_shape)
    with pytest.raises(gymnasium.error.ResetNeeded):
        many.action_masks()
    with pytest.raises(gymnasium.error.ResetNeeded):
        many.step(np.zeros(4, int))
    obs, _ = many.reset(seed=2)
    assert obs.shape == (4, *env.obs_shape)
    assert many.action_masks().shape == (4, 6)
    rng = np.random.default_rng(0)
    seen = 0
    for _ in range(35):
        masks = many.action_masks()
        actions = np.array([rng.choice(np.flatnonzero(mask)) for mask in masks])
        before = many._state
        obs, reward, terminated, truncated, info = many.step(actions)
        ended = terminated | truncated
        assert not info["invalid_action"].any()
        assert ("final_obs" in info) == ended.any()
        for row in np.flatnonzero(ended):
            state = jax.tree.map(lambda x, row=row: x[row], before)
            last = env.step_env(KEY, state, actions[row], env.default_params)
            np.testing.assert_allclose(info["final_obs"][row], last[0], rtol=1e-6)
            np.testing.assert_allclose(reward[row], last[2], rtol=1e-6)
        assert_trees_equal(many._state.time == 0, jnp.asarray(ended))
        seen += ended.sum()
    assert seen >= 4
    assert_trees_equal(many.reset(seed=2)[0], MaskedVectorEnv(env, 4).reset(seed=2)[0])
    with pytest.raises(ValueError, match="1 or more; got 0"):
        MaskedVectorEnv(env, 0)
    with pytest.raises(ValueError, match="no reset options"):
        many.reset(options={"bar": 1})


# -- a loop that knows five values and no masks --


@pytest.mark.slow
def test_a_plain_ppo_loop_of_the_five_value_kind_trains():
    """Ten updates of 8,192 steps on a strong drift: from the costs of random trading to a profit."""
    tape = regime(40, seed=4, drift=0.5)
    env = FiveValueStep(TradingPhase1(load_market_data(tape.frame, tape.spec), random_start_fraction=1.0))
    settings = plain_ppo.Settings(num_envs=128, num_steps=64, num_updates=24, learning_rate=2e-3, gae_lambda=0.9)
    state, reward = jax.jit(plain_ppo.make_train(env, settings))(KEY, env.default_params)
    assert int(state[0].step) == 24 * 16
    assert float(reward[-5:].mean()) > float(reward[:5].mean()) + 0.01


def test_programs_go_with_their_environment_and_leave_no_market_behind():
    market = three_days()
    kept, before = weakref.ref(market.bars), len(interop._PROGRAMS)
    inner = with_mask_in_observation(TradingPhase1(market, window=3, min_bars_left=10), "append")
    batch = MaskedVectorEnv(inner, 2)
    assert batch._reset is MaskedVectorEnv(inner, 2)._reset  # compiled once
    batch.reset(seed=0)
    batch.step(np.zeros(2))
    assert len(interop._PROGRAMS) == before + 1
    del market, inner, batch
    gc.collect()
    assert kept() is None
    assert len(interop._PROGRAMS) == before


def test_a_market_goes_with_its_environment_though_programs_stay():
    """JAX's caches keep what the compiled methods belong to."""
    env = FiveValueStep(TradingPhase1(three_days(), window=3, min_bars_left=10))
    kept, params = weakref.ref(env.default_params.market.bars), env.default_params
    _, state = env.reset(KEY, params)
    env.step(KEY, state, 0)
    env.reset_at(params, 0, 400)
    del env, params, state
    gc.collect()
    assert kept() is None


# -- libraries that make their environments themselves --


def test_make_gives_five_values_until_it_is_undone():
    """The data is that of the call; what a library passes goes first; gymnax's own environments follow as well."""
    market = three_days()
    with five_value_make(data=market, max_steps_in_episode=30):
        made, params = gymnax.make("TradingPhase1-v0")
        assert (type(made), params.market, int(params.max_steps_in_episode)) == (FiveValueStep, market, 30)
        assert int(gymnax.make("TradingPhase1-v0", max_steps_in_episode=7)[1].max_steps_in_episode) == 7
        with five_value_make():  # once more changes nothing
            assert type(vars(gymnax.make("CartPole-v1")[0])["_env"]).__name__ == "CartPole"
    state = jax.eval_shape(made.reset, KEY, params)[1]
    assert len(jax.eval_shape(made.step, KEY, state, jnp.int32(0), params)) == 5
    env, params = gymnax.make("TradingPhase1-v0")
    assert (type(env), int(params.max_steps_in_episode)) == (TradingPhase1, 450)


def test_make_stays_as_it_was_told_without_a_context():
    before = gymnax.make
    undo = five_value_make()
    try:
        assert type(gymnax.make("CartPole-v1")[0]) is FiveValueStep
    finally:
        undo.close()
    assert gymnax.make is before


# -- seeds --


def test_environments_without_a_seed_differ(env):
    """Two of 32 random bits are alike by chance once in four billion draws; with a seed they are the same."""
    keys = {jax.random.key_data(MaskedGymEnv(env)._key).tolist()[1] for _ in range(4)}
    keys |= {jax.random.key_data(MaskedVectorEnv(env, 2)._key).tolist()[1] for _ in range(4)}
    assert len(keys) == 8
    assert MaskedGymEnv(env, seed=5)._key == MaskedGymEnv(env, seed=5)._key == MaskedVectorEnv(env, 1, seed=5)._key
