"""What makes training fast changes nothing but the order of sums: each path on and off, on the same environment."""

import dataclasses
import functools
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

import trading_gymnax  # noqa: F401  registers its environments
from purejaxrl_ppo import PPOConfig, make_train, make_trainer
from purejaxrl_ppo.blocks import over_wanted
from purejaxrl_ppo.networks import ActionSpec, make_network, run_tower, sample, tower_params
from purejaxrl_ppo.rollout import rebuilds_observations, refreshed
from purejaxrl_ppo.wrappers import Wrapper
from tests.ppo.probes import StateTable, Table, table

CONFIG = PPOConfig(
    num_envs=8,
    num_steps=32,
    total_timesteps=8 * 32 * 3,
    hidden_sizes=(16, 8),
    num_epochs=2,
    num_minibatches=2,
    skip_forced_rows=False,
    rollout_storage="observations",
)


def branching() -> Any:
    """Rows with a choice and without, both kinds of end."""
    return table(
        reward=[[1.0, -3.0, 7.0]] * 4,
        start=(1, 1, 1, 1),
        following=[[0, 1, 2], [1, 2, 3], [2, 3, 0], [3, 0, 1]],
        terminal=[[False] * 3, [False] * 3, [False] * 3, [False, True, False]],
        legal=[[True, True, True], [True, False, True], [False, True, False], [True, False, False]],
        limit=4,
    )


@functools.cache
def trained(backend: str = "cpu", **settings: Any) -> Any:
    config = dataclasses.replace(CONFIG, **settings)
    return jax.jit(make_train(StateTable(), config, backend=backend))(jax.random.key(0), branching())


def leaves(tree: Any) -> dict[str, np.ndarray]:
    return {"/".join(path): np.asarray(x) for path, x in traverse_util.flatten_dict(tree).items()}


@pytest.mark.parametrize(
    "fast",
    [
        {"skip_forced_rows": True, "rollout_storage": "states", "minibatch_by": "time"},
        pytest.param({"skip_forced_rows": True, "minibatch_by": "envs", "layer_norm": True}, marks=pytest.mark.slow),
        pytest.param({"skip_forced_rows": True, "microbatch_rows": 8}, marks=pytest.mark.slow),
        pytest.param({"rollout_storage": "states", "recurrent": True, "gru_size": 8}, marks=pytest.mark.slow),
        pytest.param({"rollout_storage": "auto", "shared_torso": True}, marks=pytest.mark.slow),
        {"backend": "gpu", "minibatch_by": "time"},
        pytest.param(
            {"backend": "gpu", "rollout_storage": "states", "recurrent": True, "gru_size": 8}, marks=pytest.mark.slow
        ),
        pytest.param({"backend": "gpu", "shared_torso": True}, marks=pytest.mark.slow),
        pytest.param({"backend": "gpu", "layer_norm": True, "minibatch_by": "envs"}, marks=pytest.mark.slow),
        pytest.param(  # pairs of layers too wide to be blocks of one matrix, and a narrow one
            {
                **{"backend": "gpu", "rollout_storage": "states"},
                **{"hidden_sizes": (160, 160, 8), "activation": "relu", "target_kl": 0.01},
            },
            marks=pytest.mark.slow,
        ),
    ],
    ids=str,
)
def test_a_fast_path_learns_the_same(fast):
    paths = ("skip_forced_rows", "rollout_storage", "backend")
    slow = {name: value for name, value in fast.items() if name not in paths}
    one, other = trained(**slow), trained(**fast)
    there, here = leaves(one.state.params), leaves(other.state.params)
    assert there.keys() == here.keys()
    for name in there:
        np.testing.assert_allclose(here[name], there[name], atol=2e-5, rtol=0, err_msg=name)
    for name in one.metrics:
        np.testing.assert_allclose(other.metrics[name], one.metrics[name], atol=1e-4, rtol=1e-3, err_msg=name)
    assert 0.2 < float(one.metrics["choice_rows"].mean()) < 0.8
    assert float(one.metrics["truncated"].min()) > 0.1


@pytest.mark.slow
def test_the_market_learns_the_same_by_all_paths():
    env, params = gymnax.make("TradingPhase2-v0")
    config = dataclasses.replace(CONFIG, num_envs=16, num_steps=64, total_timesteps=16 * 64 * 2, minibatch_by="time")
    slow = jax.jit(make_train(env, config))(jax.random.key(1), params)
    fast = dataclasses.replace(config, skip_forced_rows=True, rollout_storage="states")
    for backend in ("cpu", "gpu"):
        result = jax.jit(make_train(env, fast, backend=backend))(jax.random.key(1), params)
        for there, here in zip(jax.tree.leaves(slow.state), jax.tree.leaves(result.state), strict=True):
            if not jnp.issubdtype(there.dtype, jax.dtypes.prng_key):
                np.testing.assert_allclose(here, there, atol=2e-5, rtol=1e-5)
        np.testing.assert_array_equal(slow.state.runner.env_state.balance, result.state.runner.env_state.balance)
        assert float(result.metrics["first_ratio_error"].max()) < 1e-5


@pytest.mark.parametrize("storage", ["observations", pytest.param("states", marks=pytest.mark.slow)])
def test_parameters_that_change_between_iterations_are_seen_from_the_first_step_on(storage):
    env, params = gymnax.make("TradingPhase1-v0", account_features=True, profit_target=9_000.0)

    def schedule(progress, params):
        return params.replace(profit_target=1_000.0 + 8_000.0 * progress)

    config = dataclasses.replace(CONFIG, minibatch_by="time", num_envs=16, num_steps=16, total_timesteps=16 * 16 * 3)
    config = dataclasses.replace(config, rollout_storage=storage)
    result = jax.jit(make_train(env, config, schedule))(jax.random.key(0), params)
    assert float(result.metrics["first_ratio_error"].max()) < 1e-5
    last = params.replace(profit_target=1_000.0 + 8_000.0 * 2 / 3)
    runner = result.state.runner
    seen = jax.vmap(lambda state: env.observe(None, state, None, last))(runner.env_state)
    np.testing.assert_allclose(runner.obs, seen, atol=1e-6)
    # the distance to the target, which the schedule moved
    anew = jax.jit(refreshed, static_argnums=0)(env, params, runner).obs
    assert float(jnp.abs(anew[:, 226] - runner.obs[:, 226]).max()) > 1e-3
    np.testing.assert_allclose(np.delete(anew, 226, axis=1), np.delete(runner.obs, 226, axis=1), atol=1e-6)


class Doubled(StateTable):
    """A subclass that shows something else, and does not say that it can be rebuilt."""

    def step_env(self, key: Any, state: Any, action: Any, params: Any) -> Any:
        obs, *rest = super().step_env(key, state, action, params)
        return 2 * obs, *rest


def test_who_may_be_rebuilt():
    assert rebuilds_observations(StateTable())
    assert rebuilds_observations(gymnax.make("TradingPhase2-v0")[0])
    assert not rebuilds_observations(Table())
    assert not rebuilds_observations(Doubled())
    assert not rebuilds_observations(Wrapper(StateTable()))


def test_states_are_refused_where_observations_cannot_be_rebuilt():
    config = dataclasses.replace(CONFIG, rollout_storage="states")
    with pytest.raises(ValueError, match="observation_from_state = True, as Table does not: use 'observations'"):
        jax.eval_shape(make_train(Table(), config), jax.random.key(0), branching())


def test_a_rollout_of_states_takes_a_quarter_of_the_observations_or_less():
    env, params = gymnax.make("TradingPhase1-v0")
    config = PPOConfig(num_envs=1024, num_steps=128, total_timesteps=1024 * 128, num_epochs=1, num_minibatches=1)
    trainer = make_trainer(env, config)
    state = jax.eval_shape(trainer.init, jax.random.key(0), params)
    update = jax.jit(lambda s, p: trainer.update(s, p, config.hyperparameters)).lower(state, params).compile()
    assert update.memory_analysis().temp_size_in_bytes < 0.25 * config.batch_size * 225 * 4


def test_towers_by_themselves_are_the_network():
    config = PPOConfig(hidden_sizes=(32, 16, 8), layer_norm=True)
    network, obs = make_network(config, ActionSpec(3)), jax.random.normal(jax.random.key(0), (7, 11))
    params = jax.jit(network.init)(jax.random.key(1), (), obs, jnp.zeros(7, bool))
    params = jax.tree.map(lambda x: x + jax.random.normal(jax.random.key(2), x.shape), params)
    _, head, value = network.apply(params, (), obs, jnp.zeros(7, bool))
    np.testing.assert_allclose(run_tower(network, tower_params(params, "actor"), obs), head, rtol=1e-6)
    np.testing.assert_allclose(run_tower(network, tower_params(params, "critic"), obs)[:, 0], value, rtol=1e-6)


@pytest.mark.parametrize("block", [1, 3, 5, 50])
@pytest.mark.parametrize("wanted", [[0, 1, 4, 5, 9, 11, 12], [], list(range(13))], ids=len)
def test_wanted_rows_are_met_once_each_in_order(wanted, block):
    flags = jnp.zeros(13, bool).at[jnp.array(wanted, int)].set(True)

    def step(carry, rows):
        met, calls = carry
        return met.at[rows].add(1, mode="drop"), calls + 1

    met, calls = jax.jit(lambda f: over_wanted(f, block, step, (jnp.zeros(13, int), 0)))(flags)
    np.testing.assert_array_equal(met, np.asarray(flags).astype(int))
    assert calls == -(-len(wanted) // min(block, 13))


def test_without_a_legal_action_all_are_drawn_alike():
    noise = jax.random.gumbel(jax.random.key(0), (3_000, 3))
    head, mask = jnp.array([5.0, 0.0, -5.0]), jnp.zeros(3, bool)
    drawn = np.bincount(sample(ActionSpec(3), head[None], mask[None], noise).action, minlength=3)
    assert drawn.min() > 900
