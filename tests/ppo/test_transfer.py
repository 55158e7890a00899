"""Transfer between networks of different shapes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo import PPOConfig, transfer_parameters
from purejaxrl_ppo.networks import ActionSpec, make_network
from purejaxrl_ppo.normalise import RunningMoments, init_moments
from purejaxrl_ppo.transfer import transfer_moments


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
