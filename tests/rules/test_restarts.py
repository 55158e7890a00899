"""Fresh accounts for many environments at once are those of each environment by itself, to the bit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trading_gymnax.phase2 import TradingPhase2
from trading_gymnax.restarts import _BLOCK, restart

COUNT = 2 * _BLOCK + 3


def fresh(key, params):
    return {"draw": jax.random.bits(key), "balance": params}


def states(count=COUNT):
    return {"draw": jnp.arange(count, dtype=jnp.uint32), "balance": -jnp.arange(count, dtype=jnp.int32)}


@pytest.mark.parametrize("ended", [0, 1, _BLOCK, _BLOCK + 1, COUNT], ids=lambda n: f"{n} ended")
def test_finished_ones_are_replaced_and_no_other(ended):
    keys = jax.random.split(jax.random.key(0), COUNT)
    where = np.random.default_rng(ended).permutation(COUNT)[:ended]
    done = jnp.zeros(COUNT, bool).at[where].set(True)
    got = jax.jit(jax.vmap(functools.partial(restart, fresh), (0, 0, 0, None)))(keys, done, states(), jnp.int32(7))
    draws = jax.vmap(jax.random.bits)(keys)
    np.testing.assert_array_equal(got["draw"], np.where(done, draws, np.arange(COUNT)))
    np.testing.assert_array_equal(got["balance"], np.where(done, 7, -np.arange(COUNT)))


def test_parameters_that_differ_between_environments():
    keys, params = jax.random.split(jax.random.key(0), COUNT), jnp.arange(COUNT, dtype=jnp.int32) + 100
    done = jnp.arange(COUNT) % 3 == 0
    got = jax.vmap(functools.partial(restart, fresh))(keys, done, states(), params)
    np.testing.assert_array_equal(got["balance"], np.where(done, params, -np.arange(COUNT)))


def test_several_runs_side_by_side_and_a_constant_state():
    keys = jax.random.split(jax.random.key(0), (2, COUNT))
    done = jnp.stack([jnp.arange(COUNT) % 2 == 0, jnp.zeros(COUNT, bool)])
    constant = {"draw": jnp.uint32(5), "balance": jnp.int32(6)}
    inner = jax.vmap(functools.partial(restart, fresh), (0, 0, None, None))
    got = jax.vmap(inner, (0, 0, None, 0))(keys, done, constant, jnp.array([1, 2]))
    np.testing.assert_array_equal(got["balance"], np.where(done, 1, 6))
    np.testing.assert_array_equal(got["draw"][1], np.full(COUNT, 5))


def test_steps_side_by_side_are_single_steps():
    env = TradingPhase2()
    params = env.default_params.replace(max_steps_in_episode=3, random_start_fraction=1.0)
    keys = jax.random.split(jax.random.key(1), COUNT)
    _, state = jax.vmap(env.reset, (0, None))(keys, params)
    many = jax.jit(jax.vmap(env.step, (0, 0, 0, None)))
    one = jax.jit(lambda *args: jax.lax.map(lambda x: env.step(*x, params), args))
    ended = 0
    for i in range(4):
        keys = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
        action = jnp.arange(COUNT, dtype=jnp.int32) % env.num_actions
        got, expected = many(keys, state, action, params), one(keys, state, action)
        for a, b in zip(jax.tree.leaves(got[1]), jax.tree.leaves(expected[1]), strict=True):
            np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(got[0], expected[0], rtol=1e-6, atol=1e-6)
        np.testing.assert_array_equal(got[4], expected[4])
        state, ended = got[1], ended + int(got[4].sum())
    assert ended == COUNT  # all of them in the third step
    assert len(np.unique(np.asarray(state.step_idx))) > COUNT // 2


def test_gradients_pass_a_step():
    env = TradingPhase2()
    params = env.default_params

    def reward(scale):
        scaled = jax.tree.map(lambda x: x, params).replace(reward_scale=scale)
        _, state = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), 4), scaled)
        step = jax.vmap(env.step, (0, 0, 0, None))
        return step(jax.random.split(jax.random.key(1), 4), state, jnp.ones(4, jnp.int32), scaled)[2].sum()

    scale = jnp.array([500.0])
    total = reward(scale)
    assert float(total) != 0
    np.testing.assert_allclose(jax.grad(reward)(scale), -total / scale, rtol=1e-5)
