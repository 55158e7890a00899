"""Masks, distributions and networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.networks import (
    ActionSpec,
    distribution,
    draw_noise,
    gram_schmidt,
    make_network,
    orthogonal,
    sample,
    to_environment,
)

THREE = ActionSpec(num_actions=3)
BOX = ActionSpec(0, (2,), jnp.array([-2.0, -jnp.inf]), jnp.array([4.0, jnp.inf]))


def build(spec=THREE, **settings):
    network = make_network(PPOConfig(**settings), spec)
    memory = network.initial_memory(5)
    obs = jax.random.normal(jax.random.key(1), (5, 7))
    params = network.init(jax.random.key(0), memory, obs, jnp.ones(5, bool))
    return network, params, memory, obs


def test_illegal_actions_have_no_probability_entropy_or_gradient():
    mask = jnp.array([[True, False, True]])

    def parts(logits):
        dist = distribution(THREE, logits, mask)
        return dist.log_prob(jnp.array([2]))[0] + dist.entropy()[0]

    logits = jnp.array([[1.0, 50.0, 1.0]])
    dist = distribution(THREE, logits, mask)
    np.testing.assert_allclose(dist.probs, [[0.5, 0.0, 0.5]], atol=1e-7)
    assert dist.entropy()[0] == pytest.approx(np.log(2.0), abs=1e-6)  # over the two legal ones
    gradient = jax.grad(parts)(logits)
    assert np.isfinite(gradient).all()
    assert gradient[0, 1] == 0


def test_rows_without_a_legal_action_are_uniform_and_finite():
    mask = jnp.zeros((1, 3), bool)
    logits = jnp.array([[1.0, -5.0, 0.0]])
    dist = distribution(THREE, logits, mask)
    np.testing.assert_allclose(dist.probs, 1 / 3, rtol=1e-6)
    gradient = jax.grad(lambda x: distribution(THREE, x, mask).entropy().sum())(logits)
    np.testing.assert_array_equal(gradient, 0.0)


def test_noise_drawn_beforehand_samples_the_distribution():
    shape = (20_000,)
    head = jnp.broadcast_to(jnp.array([0.0, 1.0, 2.0]), (*shape, 3))
    mask = jnp.broadcast_to(jnp.array([True, True, False]), (*shape, 3))
    action, log_prob = sample(THREE, head, mask, draw_noise(THREE, jax.random.key(0), shape))
    np.testing.assert_allclose(log_prob, distribution(THREE, head, mask).log_prob(action), rtol=1e-5)
    # legal logits 0 and 1: probability of the second 1 / (1 + exp(-1)) = 0.7311; deviation of the mean 0.0031
    assert float((action == 1).mean()) == pytest.approx(0.7311, abs=0.015)
    assert not (action == 2).any()
    box_head = jnp.broadcast_to(jnp.array([1.0, -1.0, np.log(2.0), 0.0]), (*shape, 4))
    drawn, log_prob = sample(BOX, box_head, None, draw_noise(BOX, jax.random.key(0), shape))
    np.testing.assert_allclose(log_prob, distribution(BOX, box_head, None).log_prob(drawn), rtol=1e-4)
    np.testing.assert_allclose(drawn.mean(0), [1.0, -1.0], atol=0.06)
    np.testing.assert_allclose(drawn.std(0), [2.0, 1.0], atol=0.05)


def test_box_actions_span_their_bounds_and_are_clipped():
    # the first side spans -2..4: middle 1, half width 3; the second is unbounded
    action = jnp.array([[0.0, 0.0], [0.5, 7.0], [2.0, -9.0]])
    np.testing.assert_allclose(to_environment(BOX, action), [[1.0, 0.0], [2.5, 7.0], [4.0, -9.0]])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("layer_norm", [False, True])
def test_shapes_and_a_nearly_uniform_start(shared, layer_norm):
    network, params, memory, obs = build(shared_torso=shared, layer_norm=layer_norm, hidden_sizes=(16, 8))
    _, head, value = network.apply(params, memory, obs, jnp.zeros(5, bool))
    assert head.shape == (5, 3)
    assert value.shape == (5,)
    np.testing.assert_allclose(jax.nn.softmax(head), 1 / 3, atol=0.02)


def test_fused_first_layers_are_two_orthogonal_ones():
    _, params, _, _ = build(hidden_sizes=(4, 4))
    kernel = params["params"]["actor_critic_0"]["kernel"]  # [7, 4 + 4]
    for half in (kernel[:, :4], kernel[:, 4:]):
        np.testing.assert_allclose(half.T @ half, 2.0 * np.eye(4), atol=1e-5)  # scale sqrt(2), squared
    assert not np.allclose(kernel[:, :4], kernel[:, 4:])


def test_towers_do_not_see_each_other():
    network, params, memory, obs = build(hidden_sizes=(4, 4))

    def value(params):
        return network.apply(params, memory, obs, jnp.zeros(5, bool))[2].sum()

    gradient = jax.grad(value)(params)["params"]
    assert np.all(gradient["actor_critic_0"]["kernel"][:, :4] == 0)
    assert np.any(gradient["actor_critic_0"]["kernel"][:, 4:] != 0)


def test_bfloat16_keeps_parameters_heads_and_memory_in_float32():
    network, params, memory, obs = build(bfloat16=True, recurrent=True)
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    memory, head, value = network.apply(params, memory, obs, jnp.zeros(5, bool))
    assert (memory.dtype, head.dtype, value.dtype) == (jnp.float32,) * 3
    text = jax.jit(network.apply).lower(params, memory, obs, jnp.zeros(5, bool)).as_text()
    assert "xbf16>" in text


def test_a_gru_over_time_equals_steps_and_forgets_at_episode_ends():
    network, params, memory, _ = build(recurrent=True)
    obs = jax.random.normal(jax.random.key(2), (6, 5, 7))
    reset = jnp.zeros((6, 5), bool).at[3, 0].set(True)
    _, heads, values = network.apply(params, memory, obs, reset)
    carry = memory
    for t in range(6):
        carry, head, value = network.apply(params, carry, obs[t], reset[t])
        np.testing.assert_allclose(head, heads[t], atol=1e-6)
        np.testing.assert_allclose(value, values[t], atol=1e-6)
    # what came before the reset does not matter in environment 0, and does in environment 1
    changed = obs.at[:3].add(1.0)
    _, _, other = network.apply(params, memory, changed, reset)
    np.testing.assert_array_equal(other[3:, 0], values[3:, 0])
    assert not np.allclose(other[3:, 1], values[3:, 1], atol=1e-4)


@pytest.mark.parametrize("shape", [(225, 64), (64, 64), (64, 1), (3, 16)])
def test_kernels_start_orthogonal_with_the_library_s_numbers_and_without_its_decomposition(shape):
    key = jax.random.key(1)
    kernel = orthogonal(1.5)(key, shape)
    np.testing.assert_array_equal(kernel, jax.nn.initializers.orthogonal(1.5)(key, shape))
    normal = jax.random.normal(key, (max(shape), min(shape)))
    columns = gram_schmidt(normal)
    np.testing.assert_allclose(columns.T @ columns, np.eye(min(shape)), atol=1e-6)
    np.testing.assert_allclose(1.5 * (columns if shape[0] >= shape[1] else columns.T), kernel, atol=5e-6)
