"""What is handed to `reset`, `step` and `reward_fn` by mistake: one sentence at the first call, while it is traced."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.rules.test_phase1 import three_days
from trading_gymnax import TradingPhase1, TradingPhase2

KEY = jax.random.key(0)
STEP = r"^step takes \(key, state, action, params\), got \({}\); several environments are stepped by jax.vmap"


@pytest.fixture(scope="module")
def env() -> TradingPhase1:
    return TradingPhase1(three_days(), min_bars_left=10)


@pytest.fixture(scope="module")
def given(env):
    """Key, state, action and parameters that fit; shapes are enough, nothing is computed."""
    return KEY, jax.eval_shape(env.reset, KEY, env.default_params)[1], jnp.int32(0), env.default_params


@pytest.mark.parametrize("method", ["step", "step_env"])
@pytest.mark.parametrize(
    ("order", "named"),
    [
        ((0, 2, 1, 3), "a key, int32, EnvState, EnvParams"),
        ((1, 0, 2, 3), "EnvState, a key, int32, EnvParams"),
        ((0, 1, 3, 2), "a key, EnvState, EnvParams, int32"),
        ((2, 1, 0, 3), "int32, EnvState, a key, EnvParams"),
    ],
)
def test_swapped_arguments_of_step(env, given, method, order, named):
    with pytest.raises(ValueError, match=STEP.format(named)):
        jax.eval_shape(getattr(env, method), *(given[i] for i in order))


def test_what_fits(env, given):
    """Old keys, numbers of Python and NumPy, packed and unpacked states."""
    key, state, action, params = given
    for old in (jax.random.PRNGKey(0), key):
        for one in (action, 2, np.int64(1), jnp.uint8(1)):
            assert len(jax.eval_shape(env.step, old, state, one, params)) == 6
    unpacked = jax.eval_shape(lambda state: state.unpack(), state)
    assert len(jax.eval_shape(env.step_env, key, unpacked, action, params)) == 5
    assert len(jax.eval_shape(env.step, key, state, action)) == 6


@pytest.mark.parametrize(
    ("action", "named"),
    [
        (jnp.zeros(1, jnp.int32), r"int32 \[1\]"),
        (jnp.zeros(3), r"float32 \[3\]"),
        (jnp.float32(1), "float32"),
        (1.0, "float32"),
        (True, "bool"),
    ],
)
def test_an_action_is_one_whole_number(env, given, action, named):
    key, state, _, params = given
    with pytest.raises(ValueError, match=rf"^an action is one whole number, int32 \(\), got {named}; several"):
        jax.eval_shape(env.step, key, state, action, params)


def test_states_of_several_and_of_other_environments(env, given):
    key, _, action, params = given
    many = jax.eval_shape(jax.vmap(env.reset, (0, None)), jax.random.split(KEY, 5), params)[1]
    with pytest.raises(ValueError, match=r"^step got the states of \(5,\) environments; several"):
        jax.eval_shape(env.step, key, many, action, params)
    other = TradingPhase2(three_days())
    state = jax.eval_shape(other.reset, KEY, other.default_params)[1]
    with pytest.raises(ValueError, match=r"^step got the EnvStatePhase2 of another environment; .* are EnvState"):
        jax.eval_shape(env.step, key, state, action, params)


def test_arguments_of_reset(env, given):
    key, _, _, params = given
    for wrong, named in (
        ((params, key), "EnvParams, a key"),
        ((jax.random.split(key, 4), params), r"a key \[4\], EnvParams"),
        ((0, params), "int32, EnvParams"),
        ((key, params.market), "a key, MarketData"),
    ):
        with pytest.raises(ValueError, match=rf"^reset takes \(key, params\), got \({named}\); several"):
            jax.eval_shape(env.reset, *wrong)


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (None, r"must return one number, float32 \(\), got None"),
        (np.zeros(1), r"got float64 \[1\]"),
        ("much", "got str"),
        ((1.0, 2.0), "got tuple"),
        ({"a": 1.0}, "got dict"),
        (1j, "got complex"),
        (float("nan"), "^reward_fn returned NaN"),
    ],
)
def test_a_reward_is_one_number(given, reward, message):
    env = TradingPhase1(three_days(), reward_fn=lambda before, after, fill, params: reward)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(env.step, *given)


def test_a_traced_reward_of_another_shape(given):
    env = TradingPhase1(three_days(), reward_fn=lambda before, after, fill, params: after.equity[None])
    with pytest.raises(ValueError, match=r"^reward_fn must return one number, float32 \(\), got int32 \[1\]"):
        jax.eval_shape(env.step, *given)
