"""Training: probes of known value, the ratio, seeds and hyperparameters side by side."""

import dataclasses
import functools
import itertools
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo import Hyperparameters, PPOConfig, make_train, make_trainer
from purejaxrl_ppo.devices import plan_for
from purejaxrl_ppo.networks import ActionSpec, distribution, make_network
from purejaxrl_ppo.normalise import normalise
from purejaxrl_ppo.wrappers import prepare
from tests.ppo.probes import ACTIONS, STATES, BoxTarget, DictObservation, Table, table

GAMMA = 0.9
PROBE = PPOConfig(
    num_envs=64,
    num_steps=16,
    total_timesteps=64 * 16 * 60,
    learning_rate=5e-3,
    gamma=GAMMA,
    hidden_sizes=(32,),
    ent_coef=0.0,
    minibatch_by="rows",
)
SMALL = PPOConfig(num_envs=8, num_steps=16, total_timesteps=8 * 16 * 3, hidden_sizes=(8,), num_epochs=2)


@functools.cache
def probe_train() -> Any:
    """One program for all probes: they differ in environment parameters only."""
    return jax.jit(make_train(Table(), PROBE))


@functools.cache
def small_train(**settings: Any) -> Any:
    """Compiled training of three small iterations, shared by the tests."""
    return jax.jit(make_train(Table(), dataclasses.replace(SMALL, log_info=("twice",), **settings)))


def learned(params: Any) -> tuple[np.ndarray, np.ndarray]:
    """Values [STATES] in units of reward, and legal action probabilities [STATES, ACTIONS]."""
    state = probe_train()(jax.random.key(0), params).state
    network, places = make_network(PROBE, ActionSpec(ACTIONS)), jnp.eye(STATES)
    x = normalise(state.obs_moments, places, PROBE.observation_clip)
    _, head, values = network.apply(state.params, (), x, jnp.zeros(STATES, bool))
    var = state.return_moments.var  # values are learned in units of the return's deviation
    scale = float(jnp.sqrt(var)) if var > 1e-8 else 1.0
    return np.asarray(values) * scale, np.asarray(distribution(ActionSpec(ACTIONS), head, params.legal).probs)


def test_value_of_a_constant():
    assert learned(table(reward=1.0))[0][0] == pytest.approx(1.0, abs=0.05)


def test_value_depends_on_the_observation():
    rewards = [-1.0, 0.0, 0.5, 1.0]
    values, _ = learned(table(reward=rewards, start=(1, 1, 1, 1)))
    np.testing.assert_allclose(values, rewards, atol=0.05)


def test_value_two_steps_ahead_is_discounted():
    values, _ = learned(table(reward=[0, 1, 0, 0], following=[1, 1, 1, 1], terminal=[False, True, True, True]))
    np.testing.assert_allclose(values[:2], [GAMMA, 1.0], atol=0.05)


def test_policy_finds_the_better_action_by_observation():
    best = jnp.array([0, 1, 2, 1])
    _, probabilities = learned(table(reward=jax.nn.one_hot(best, ACTIONS), start=(1, 1, 1, 1)))
    assert (probabilities[np.arange(STATES), best] > 0.95).all()


def test_truncation_is_bootstrapped():
    # 0.1 a step for ever, cut every 5 steps: 0.1 / (1 - 0.9) = 1. The last step starts where the first did, so a
    # trainer that takes the cut for a failure learns something below 0.41
    values, _ = learned(table(reward=0.1, terminal=False, limit=5))
    assert values[0] == pytest.approx(1.0, abs=0.05)


def test_termination_is_not_bootstrapped_even_at_the_time_limit():
    # both flags are true at the only step
    assert learned(table(reward=1.0, terminal=True, limit=1))[0][0] == pytest.approx(1.0, abs=0.05)


def test_masked_bandit():
    # the best action is illegal in place 0, the second best in place 1
    legal = [[False, True, True], [True, False, True], [True] * 3, [True] * 3]
    _, probabilities = learned(table(reward=[[5.0, 1.0, 0.0]] * 4, legal=legal, start=(1, 1, 0, 0)))
    assert probabilities[0, 0] == 0
    assert probabilities[0, 1] > 0.95
    assert probabilities[1, 0] > 0.95


def test_other_parameters_do_not_compile_again():
    train = probe_train()
    train(jax.random.key(1), table(reward=1.0))
    before = train._cache_size()
    train(jax.random.key(2), table(reward=2.0, limit=3))
    assert train._cache_size() == before


@pytest.mark.parametrize(
    "settings",
    [
        {},
        pytest.param({"recurrent": True, "gru_size": 8}, marks=pytest.mark.slow),
        {"minibatch_by": "time", "microbatch_rows": 8},
        {"bfloat16": True, "minibatch_by": "envs", "shared_torso": True},
    ],
)
def test_the_first_ratio_is_one(settings):
    # masks, forced rows, termination and truncation at once; statistics change with every iteration
    legal = [[True, True, True], [True, False, True], [False, True, False], [True] * 3]
    params = table(
        reward=[[1.0, -3.0, 7.0]] * 4,
        start=(1, 1, 1, 1),
        following=[[0, 1, 2], [1, 2, 3], [2, 3, 0], [3, 0, 1]],
        terminal=[[False] * 3, [False] * 3, [False] * 3, [False, True, False]],
        legal=legal,
        limit=4,
    )
    result = small_train(**settings)(jax.random.key(0), params)
    tolerance = 1e-5 if not settings.get("bfloat16") else 1e-2
    assert float(result.metrics["first_ratio_error"].max()) < tolerance
    assert 0.3 < float(result.metrics["choice_rows"].mean()) < 0.9
    assert float(result.metrics["truncated"].min()) > 0.1
    assert float(result.metrics["all_illegal_rows"].max()) == 0
    assert float(jnp.abs(result.metrics["policy_loss"]).min()) > 0


def test_rows_without_any_legal_action_are_counted_and_finite():
    result = small_train()(jax.random.key(0), table(reward=1.0, legal=False))
    assert float(result.metrics["all_illegal_rows"][0]) == SMALL.batch_size
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(result.state.params))


def test_forced_rows_teach_the_policy_nothing_and_the_value_something():
    params = table(reward=[[1.0, -3.0, 7.0]] * 4, start=(1, 1, 1, 1), legal=[[False, True, False]] * 4)
    before = make_trainer(Table(), SMALL).init(jax.random.key(0), params)
    after, metrics = (lambda result: (result.state, result.metrics))(small_train()(jax.random.key(0), params))
    old, new = (s.params["params"] for s in (before, after))
    np.testing.assert_array_equal(old["actor_head"]["kernel"], new["actor_head"]["kernel"])
    assert not np.array_equal(old["critic_head"]["kernel"], new["critic_head"]["kernel"])
    for name in ("policy_loss", "entropy", "approx_kl", "choice_rows"):
        np.testing.assert_array_equal(metrics[name], 0.0)


@pytest.mark.parametrize("mode", ["rows", "time"])
def test_parts_of_a_minibatch_make_the_same_update(mode):
    params = table(reward=[[1.0, -3.0, 7.0]] * 4, start=(1, 1, 1, 1), legal=[[True] * 3, [True, False, True]] * 2)
    by = {} if mode == SMALL.minibatch_mode else {"minibatch_by": mode}
    assert plan_for(SMALL, prepare(Table(), params)[1], "cpu").microbatches == 1
    whole, parts = (small_train(**by, **part)(jax.random.key(0), params) for part in ({}, {"microbatch_rows": 8}))
    for a, b in zip(*map(jax.tree.leaves, (whole.state.params, parts.state.params)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.slow
def test_seeds_and_learning_rates_side_by_side_equal_single_runs():
    """Ten iterations: long enough to learn, too short for rounding to reach an action. The test below has three.

    Under `vmap` the compiler fuses and orders sums differently, so that parameters differ by about 3e-8 after
    one iteration. Training amplifies the difference until an action is drawn differently and the runs part:
    one of these six in iteration 51 of 80, others, with two layers of 32, 4 epochs and a rate of 3e-3, in
    iteration 18.
    """
    env, params = gymnax.make("CartPole-v1")
    config = dataclasses.replace(SMALL, num_steps=32, total_timesteps=8 * 32 * 10, hidden_sizes=(16,))
    train = make_train(env, config)
    rates = jnp.array([1e-3, 3e-3])
    hyper: Hyperparameters = config.hyperparameters
    both = hyper.replace(learning_rate=rates)
    axes = jax.tree.map(lambda _: None, hyper).replace(learning_rate=0)
    keys = jax.random.split(jax.random.key(0), 3)
    grid = jax.jit(jax.vmap(jax.vmap(train, (None, None, axes)), (0, None, None)))(keys, params, both).metrics
    single = jax.jit(train)
    for i in range(3):
        for j in range(2):
            one = single(keys[i], params, hyper.replace(learning_rate=rates[j])).metrics
            np.testing.assert_allclose(grid["episode_return"][i, j], one["episode_return"], rtol=0, atol=1e-5)
            np.testing.assert_allclose(grid["episodes"][i, j], one["episodes"], rtol=0, atol=0)
            for name in ("entropy", "value_loss"):
                np.testing.assert_allclose(grid[name][i, j], one[name], rtol=0, atol=1e-5)
    returns = np.asarray(grid["episode_return"]).reshape(6, -1)
    assert len(np.unique(returns[:, 1:], axis=0)) == 6  # six runs, no two alike
    assert (returns[:, -1] > 1.4 * returns[:, 0]).all()  # that have learned something


def test_keys_parameters_and_hyperparameters_side_by_side_equal_single_runs():
    def places(reward):
        return table(reward=reward, start=(1, 1, 1, 1), following=[1, 2, 3, 0], terminal=False, limit=5)

    params, key = places([[1.0, -3.0, 7.0]] * 4), jax.random.key(0)
    hyper = SMALL.hyperparameters
    other = {"learning_rate": 1e-2, "ent_coef": 0.5, "clip_eps": 1e-4, "gamma": 0.5, "gae_lambda": 0.1}
    assert set(other) == set(vars(hyper))
    alone = [(key, params, hyper.replace(**{name: jnp.float32(value)})) for name, value in other.items()]
    alone += [(key, params, hyper), (jax.random.key(1), params, hyper), (key, places(1.0), hyper)]
    alone = [(*one[:2], jax.tree.map(jnp.float32, one[2])) for one in alone]
    single = small_train()
    grid = jax.jit(jax.vmap(single))(*jax.tree.map(lambda *x: jnp.stack(x), *alone))
    flat = []
    for i, one in enumerate(alone):
        got, want = jax.tree.map(lambda x, i=i: x[i], grid), single(*one)
        for a, b in zip(jax.tree.leaves(got.state.params), jax.tree.leaves(want.state.params), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
        flat.append(np.concatenate([np.ravel(x) for x in jax.tree.leaves(got.state.params)]))
    for a, b in itertools.combinations(flat, 2):  # each of them acts
        assert np.abs(a - b).max() > 1e-5
    np.testing.assert_allclose(grid.metrics["episode_return"][-1], 5.0)


def test_gradients_are_clipped_by_their_global_norm():
    # after one gradient step Adam's first moment is a tenth of the clipped gradient
    config = dataclasses.replace(
        SMALL, total_timesteps=SMALL.batch_size, num_epochs=1, num_minibatches=1, max_grad_norm=1e-3
    )
    result = jax.jit(make_train(Table(), config))(jax.random.key(0), table(reward=[[1.0, -3.0, 7.0]] * 4))
    assert float(result.metrics["grad_norm"][0]) > 0.01  # reported as it was
    moment = result.state.opt_state[1].mu
    assert float(jnp.linalg.norm(moment)) == pytest.approx(0.1 * 1e-3, rel=1e-4)
    assert float(jnp.abs(moment).max()) < 0.9e-4  # shared by many parameters


ALL_ROWS_AS_THEY_ARE = {"choice_rows_only": False, "normalise_observations": False, "normalise_rewards": False}


def test_forced_rows_count_when_asked_to():
    # places come in turn, two of four with a choice; a row without one has entropy 0
    legal = [[True] * 3, [False, True, False]] * 2
    params = table(start=(1, 1, 1, 1), following=[1, 2, 3, 0], terminal=False, legal=legal)
    alone, all_rows = (
        small_train(**settings)(jax.random.key(0), params).metrics for settings in ({}, ALL_ROWS_AS_THEY_ARE)
    )
    np.testing.assert_allclose(alone["entropy"], np.log(3), atol=0.01)
    np.testing.assert_allclose(all_rows["entropy"], 0.5 * np.log(3), atol=0.01)


def test_schedules_count_iterations():
    """Those of the hyperparameters, and one of the environment's parameters: rewards 0, 1, 2 and 3."""

    def schedule(progress, params):
        return params.replace(reward=jnp.full_like(params.reward, 4.0 * progress))

    config = dataclasses.replace(
        SMALL, total_timesteps=8 * 16 * 4, ent_coef_schedule="linear", clip_eps_schedule="linear", ent_coef=0.4
    )
    metrics = jax.jit(make_train(Table(), config, schedule))(jax.random.key(0), table()).metrics
    left = np.array([1.0, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(metrics["learning_rate"], 3e-4 * left, rtol=1e-6)
    np.testing.assert_allclose(metrics["clip_eps"], 0.2 * left, rtol=1e-6)
    np.testing.assert_allclose(metrics["ent_coef"], 0.4 * left, rtol=1e-6)
    np.testing.assert_allclose(metrics["episode_return"], [0.0, 1.0, 2.0, 3.0], atol=1e-6)


def test_updates_stop_at_the_target_kl():
    config = dataclasses.replace(SMALL, learning_rate=0.1, target_kl=1e-3, num_epochs=4)
    params = table(reward=[[1.0, -3.0, 7.0]] * 4)
    metrics = jax.jit(make_train(Table(), config))(jax.random.key(0), params).metrics
    assert float(metrics["gradient_steps"].max()) < 16
    assert float(metrics["gradient_steps"].min()) >= 1
    assert np.isfinite(metrics["approx_kl"]).all()


def test_named_info_is_summed_over_the_iteration():
    metrics = small_train()(jax.random.key(0), table(reward=1.0)).metrics
    np.testing.assert_allclose(metrics["info/twice"], 2.0 * SMALL.batch_size)
    with pytest.raises(ValueError, match="did you mean 'twice'"):
        make_train(Table(), dataclasses.replace(SMALL, log_info=("twize",)))(jax.random.key(0), table())


def test_observation_statistics_are_those_of_the_raw_observations():
    # half of the steps in place 0, half in place 1: one-hot mean 0.5, variance 0.25
    params = table(following=[1, 0, 0, 0], terminal=False)
    state = small_train()(jax.random.key(0), params).state
    np.testing.assert_allclose(state.obs_moments.mean, [0.5, 0.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(state.obs_moments.var, [0.25, 0.25, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(state.obs_moments.count, [0, 3 * SMALL.batch_size])


def test_normalisation_off():
    state = small_train(**ALL_ROWS_AS_THEY_ARE)(jax.random.key(0), table(reward=1.0)).state
    np.testing.assert_array_equal(state.obs_moments.count, 0)
    np.testing.assert_array_equal(state.return_moments.count, 0)


def test_episode_log_by_hand():
    # episodes of 5 steps of reward 0.5; 16 steps of 8 environments: 3 episodes each in iteration 1
    params = table(reward=0.5, terminal=False, limit=5)
    metrics = small_train()(jax.random.key(0), params).metrics
    np.testing.assert_allclose(metrics["episodes"], [24, 24, 24])  # at steps 15, 30 and 45
    np.testing.assert_allclose(metrics["episode_return"], 2.5)
    np.testing.assert_allclose(metrics["episode_length"], 5)
    np.testing.assert_allclose(metrics["truncated"], 24 / 128)


def test_box_actions_are_learned_through_a_dict_of_observations():
    config = dataclasses.replace(PROBE, num_steps=8, total_timesteps=64 * 8 * 80)
    env = DictObservation()
    metrics = jax.jit(make_train(env, config))(jax.random.key(0), env.default_params).metrics
    # a random action costs about 4/3 and more; the target known, the noise of the policy is what is left
    assert float(metrics["episode_return"][0]) < -1.0
    assert float(metrics["episode_return"][-1]) > -0.1
    assert isinstance(env, BoxTarget)


def test_old_style_keys_are_taken():
    init = make_trainer(Table(), SMALL).init
    old, new = (init(key, table()) for key in (jax.random.PRNGKey(0), jax.random.key(0)))
    np.testing.assert_array_equal(*(jax.random.key_data(state.key) for state in (old, new)))
    np.testing.assert_array_equal(*(state.params["params"]["actor_critic_0"]["kernel"] for state in (old, new)))
