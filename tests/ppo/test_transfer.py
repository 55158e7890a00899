"""Transfer between networks of different shapes."""

import dataclasses
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces

from purejaxrl_ppo import PPOConfig, make_trainer, policy_of, transfer_parameters
from purejaxrl_ppo.networks import ActionSpec, distribution, make_network
from purejaxrl_ppo.normalise import RunningMoments, init_moments
from purejaxrl_ppo.transfer import transfer_moments, warm_started
from tests.ppo.probes import MarketTable, Table, no_bars_left, table


def build(inputs, spec, seed=0, **settings):
    network = make_network(PPOConfig(hidden_sizes=(8, 8), gru_size=6, **settings), spec)
    memory = network.initial_memory(1)
    params = network.init(jax.random.key(seed), memory, jnp.zeros((1, inputs)), jnp.ones(1, bool))
    return params, lambda p, x: network.apply(p, network.initial_memory(len(x)), x, jnp.zeros(len(x), bool))[1:]


@pytest.mark.parametrize("settings", [{}, {"shared_torso": True}, {"recurrent": True}])
def test_new_inputs_change_nothing_at_first(settings):
    old, apply_old = build(5, ActionSpec(3), 1, **settings)
    new, apply_new = build(7, ActionSpec(3), 2, **settings)
    moved, report = transfer_parameters(old, new)
    x = jax.random.normal(jax.random.key(3), (4, 7))
    for a, b in zip(apply_old(old, x[:, :5]), apply_new(moved, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert sum("2 new inputs at zero weight" in line for line in report) == 1
    assert not any("does not fit" in line for line in report)


def test_new_actions_keep_the_proportions_of_the_old_ones():
    old, apply_old = build(5, ActionSpec(3), 1)
    new, apply_new = build(5, ActionSpec(5), 2)
    moved, report = transfer_parameters(old, new, new_action_probability=0.1)
    x = jax.random.normal(jax.random.key(3), (4, 5))
    before, after = jax.nn.softmax(apply_old(old, x)[0]), jax.nn.softmax(apply_new(moved, x)[0])
    np.testing.assert_allclose(after[:, :3] / after[:, :3].sum(1, keepdims=True), before, atol=1e-6)
    # where the head sees zeros, which an untrained tanh network gives for zeros
    at_zero = jax.nn.softmax(apply_new(moved, jnp.zeros((1, 5)))[0])
    np.testing.assert_allclose(at_zero[0, 3:], 0.1, atol=1e-6)
    assert any("2 new actions at probability 0.1" in line for line in report)
    with pytest.raises(ValueError, match="their sum must lie between 0 and 1"):
        transfer_parameters(old, new, new_action_probability=0.5)


def test_new_actions_have_their_probability_on_average_over_given_logits():
    old, apply_old = build(5, ActionSpec(3), 1)
    new, apply_new = build(5, ActionSpec(5), 2)
    # a policy that has learned: large logits that differ from observation to observation
    old = jax.tree_util.tree_map_with_path(lambda path, x: x * (500.0 if "actor_head" in str(path) else 1.0), old)
    x = jax.random.normal(jax.random.key(3), (64, 5))
    logits = apply_old(old, x)[0]
    assert float(jnp.ptp(jax.nn.logsumexp(logits, axis=1))) > 2.0
    moved, report = transfer_parameters(old, new, new_action_probability=0.1, old_logits=logits)
    after = jax.nn.softmax(apply_new(moved, x)[0])
    np.testing.assert_allclose(after[:, 3:].mean(0), 0.1, atol=1e-5)
    np.testing.assert_allclose(after[:, :3] / after[:, :3].sum(1, keepdims=True), jax.nn.softmax(logits), atol=1e-5)
    assert any("2 new actions at probability 0.1 each on average over 64 observations" in line for line in report)
    with pytest.raises(ValueError, match=r"\[N, 3\] is expected"):
        transfer_parameters(old, new, old_logits=logits[:, :2])


def test_new_actions_like_an_old_one_have_their_probability_exactly():
    old, apply_old = build(5, ActionSpec(3), 1)
    new, apply_new = build(5, ActionSpec(5), 2)
    old = jax.tree_util.tree_map_with_path(lambda path, x: x * (500.0 if "actor_head" in str(path) else 1.0), old)
    x = jax.random.normal(jax.random.key(3), (64, 5))
    before = apply_old(old, x)[0]
    moved, report = transfer_parameters(old, new, new_action_probability=0.1, like=1)
    after = apply_new(moved, x)[0]
    np.testing.assert_allclose(after[:, :3], before, atol=1e-5)
    # action 1 the only old one: 0.8 of it and 0.1 of each new one, in every observation
    legal = jnp.broadcast_to(jnp.array([False, True, False, True, True]), after.shape)
    alone = distribution(ActionSpec(5), after, legal).probs
    np.testing.assert_allclose(alone, np.tile([0, 0.8, 0, 0.1, 0.1], (64, 1)), atol=1e-5)
    # elsewhere 0.1 / 0.8 of action 1's probability, and old ones in proportion
    probs = np.asarray(jax.nn.softmax(after))
    np.testing.assert_allclose(probs[:, 3:], 0.125 * probs[:, [1, 1]], rtol=1e-4)
    np.testing.assert_allclose(probs[:, :3] / probs[:, :3].sum(1, keepdims=True), jax.nn.softmax(before), atol=1e-5)
    assert any("2 new actions at probability 0.1 each exactly where action 1 is the only other" in x for x in report)
    with pytest.raises(ValueError, match="like=3 is none of the 3 old actions"):
        transfer_parameters(old, new, like=3)


def test_variants_share_the_probability_of_an_old_action():
    old, apply_old = build(5, ActionSpec(3), 1)
    new, apply_new = build(5, ActionSpec(6), 2)
    old = jax.tree_util.tree_map_with_path(lambda path, x: x * (500.0 if "actor_head" in str(path) else 1.0), old)
    x = jax.random.normal(jax.random.key(3), (64, 5))
    before = np.asarray(jax.nn.softmax(apply_old(old, x)[0]))
    moved, report = transfer_parameters(old, new, variants={3: 1, 4: 2, 5: 1})
    after = np.asarray(jax.nn.softmax(apply_new(moved, x)[0]))
    np.testing.assert_allclose(after, before[:, [0, 1, 2, 1, 2, 1]] / [1, 3, 2, 3, 2, 3], atol=1e-5)
    assert "params.actor_head.bias: 3 new actions as variants of old ones" in report
    # beside one that is none, which is 0.1 / 0.9 as likely as action 0
    moved, report = transfer_parameters(old, new, variants={3: 1, 5: 1}, like=0, new_action_probability=0.1)
    logits = np.asarray(apply_new(moved, x)[0])
    np.testing.assert_allclose(logits[:, 4] - logits[:, 0], np.log(0.1 / 0.9), atol=1e-4)
    after = np.asarray(jax.nn.softmax(logits))
    np.testing.assert_allclose(after[:, [1, 3, 5]].sum(1) / after[:, 2], before[:, 1] / before[:, 2], rtol=1e-3)
    for wrong in ({2: 1}, {6: 1}, {3: 3}):
        with pytest.raises(ValueError, match="keys are new actions, from 3 to 5, of old ones"):
            transfer_parameters(old, new, variants=wrong)


class TwoActions(Table):
    """The table without its last action."""

    def action_mask(self, state, params):
        return params.legal[state.place][:2]

    def action_space(self, params=None):
        return spaces.Discrete(2)


SMALL = PPOConfig(num_envs=16, num_steps=8, total_timesteps=128, hidden_sizes=(8,))


def started(legal, **settings):
    """Old and new action probabilities at every place, under the masks `legal`, and the report."""
    config = dataclasses.replace(SMALL, **settings)
    params = table(reward=1.0, start=(1, 1, 1, 1), following=[1, 2, 3, 0], terminal=False, legal=legal)
    source = make_trainer(TwoActions(), config).init(jax.random.key(1), params)
    scaled = jax.tree_util.tree_map_with_path(
        lambda path, x: x * (99.0 if "actor_head" in str(path) else 1.0), source.params
    )
    moments = RunningMoments(jnp.full(4, 0.3), jnp.full(4, 0.2), jnp.array([0, 99], jnp.uint32))
    policy = policy_of(source.replace(params=scaled, obs_moments=moments), TwoActions(), params, config)
    env = MarketTable()
    fresh = make_trainer(env, config).init(jax.random.key(2), params)
    state, report = warm_started(fresh, policy, env, params, config)
    new = policy_of(state, env, params, config)
    bars = weakref.ref(env.bars)
    del env
    assert no_bars_left(bars)

    def probs(policy, mask):
        reset = jnp.ones(4, bool)
        head = policy.head(jnp.eye(4), policy.initial_carry(4), reset)[1]
        return np.asarray(distribution(policy.spec.action, head, mask).probs)

    return probs(policy, params.legal[:, :2]), probs(new, params.legal), report


@pytest.mark.parametrize("settings", [{}, {"recurrent": True, "gru_size": 6}])
def test_a_warm_start_is_exact_where_new_actions_join_a_single_old_one(settings):
    # as where a position is held: the old policy could only wait (action 0), the new one may do more (action 2)
    before, after, report = started(
        [[True, True, False], [True, False, True], [True, True, False], [True, False, True]], **settings
    )
    np.testing.assert_allclose(after[[1, 3]], [[0.95, 0, 0.05]] * 2, atol=1e-5)
    np.testing.assert_allclose(after[[0, 2], :2], before[[0, 2]], atol=1e-5)
    assert not np.allclose(before[[0, 2]], 0.5, atol=0.01)  # a policy with preferences
    assert any("1 new actions at probability 0.05 each exactly where action 0 is the only" in line for line in report)


def test_a_warm_start_is_exact_on_average_elsewhere():
    before, after, report = started([[True, True, False], [True, True, True], [True, True, False], [True, False, True]])
    np.testing.assert_allclose(after[[0, 2], :2], before[[0, 2]], atol=1e-5)
    # places come in turn, so that half of the rows with a choice are in place 1, half in place 3
    assert after[[1, 3], 2].mean() == pytest.approx(0.05, abs=5e-3)
    np.testing.assert_allclose(after[1, :2] / after[1, :2].sum(), before[1], atol=1e-5)
    assert any("0.05 each on average over 6" in line for line in report)  # about 64 of 128 rows


def test_a_warm_start_into_other_eyes_is_refused():
    params = table(reward=1.0)
    state = make_trainer(Table(), SMALL).init(jax.random.key(0), params)
    other = dataclasses.replace(SMALL, normalise_observations=False)
    policy = policy_of(state, Table(), params, other)
    with pytest.raises(ValueError, match="was trained with normalise_observations=False: use it here, too, not True"):
        warm_started(state, policy, Table(), params, SMALL)


def test_a_wider_box_keeps_its_old_sides():
    box = lambda n: ActionSpec(0, (n,), jnp.full(n, -1.0), jnp.full(n, 1.0))  # noqa: E731
    old, apply_old = build(5, box(1), 1)
    new, apply_new = build(5, box(2), 2)
    moved, _ = transfer_parameters(old, new)
    x = jax.random.normal(jax.random.key(3), (4, 5))
    before, after = apply_old(old, x)[0], apply_new(moved, x)[0]  # means, then log deviations
    np.testing.assert_allclose(after[:, 0], before[:, 0], atol=1e-6)
    np.testing.assert_allclose(after[:, 1:], 0.0, atol=1e-6)


def test_what_does_not_fit_is_left_and_reported():
    old, _ = build(5, ActionSpec(3), 1)
    new, _ = build(4, ActionSpec(3), 2, shared_torso=True)
    moved, report = transfer_parameters(old, new)
    text = "\n".join(report)
    assert "params.shared_0.kernel: new, left as initialised" in text
    assert "params.actor_1.kernel: has no place in the new network" in text
    assert "params.actor_head.kernel: copied" in text
    fewer, _ = build(4, ActionSpec(3), 2)
    moved, report = transfer_parameters(old, fewer)
    assert "params.actor_critic_0.kernel: (5, 16) does not fit (4, 16), left as initialised" in report
    np.testing.assert_array_equal(
        moved["params"]["actor_critic_0"]["kernel"], fewer["params"]["actor_critic_0"]["kernel"]
    )


def test_statistics_of_new_inputs():
    old = RunningMoments(jnp.array([1.0, 2.0]), jnp.array([3.0, 4.0]), jnp.array([1, 5], jnp.uint32))
    same = transfer_moments(old, init_moments((2,)))
    np.testing.assert_array_equal(same.count, [1, 5])
    wide = transfer_moments(old, init_moments((3,)))
    np.testing.assert_array_equal(wide.mean, [1, 2, 0])
    np.testing.assert_array_equal(wide.var, [3, 4, 1])
    np.testing.assert_array_equal(wide.count, [0, 131072])
    few = old.replace(count=jnp.array([0, 7], jnp.uint32))
    np.testing.assert_array_equal(transfer_moments(few, init_moments((3,))).count, [0, 7])
    np.testing.assert_array_equal(transfer_moments(old, init_moments((1,))).mean, [0.0])
