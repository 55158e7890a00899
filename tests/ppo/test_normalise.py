"""Running moments against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purejaxrl_ppo.normalise import (
    RunningMoments,
    batch_moments,
    init_moments,
    merge,
    normalise,
    scale_rewards,
)

fast_merge, fast_moments = jax.jit(merge), jax.jit(batch_moments)


def count_of(moments):
    return int(moments.count[0]) * 2**31 + int(moments.count[1])


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(-100, 100), st.floats(0.01, 100))
def test_merging_batches_equals_all_at_once(seed, shift, scale):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(3, 8, 4, 2)) * scale + shift).astype(np.float32)
    moments = init_moments((2,))
    for part in x:
        moments = fast_merge(moments, *fast_moments(jnp.asarray(part)), 32)
    flat = x.reshape(-1, 2).astype(np.float64)
    size = abs(shift) + scale
    np.testing.assert_allclose(moments.mean, flat.mean(0), atol=1e-5 * size)
    np.testing.assert_allclose(moments.var, flat.var(0), rtol=1e-3, atol=1e-6 * size**2)
    assert count_of(moments) == 96


def test_the_count_is_exact_beyond_float32_and_beyond_uint32():
    # 2**24 is where a float32 counter stops; three more of 2**31 - 1 pass the word boundary thrice
    moments = merge(init_moments(()), jnp.float32(0), jnp.float32(1), 2**24)
    moments = merge(moments, jnp.float32(0), jnp.float32(1), 1)
    assert count_of(moments) == 2**24 + 1
    for _ in range(3):
        moments = merge(moments, jnp.float32(0), jnp.float32(1), 2**31 - 1)
    assert count_of(moments) == 2**24 + 1 + 3 * (2**31 - 1)


def test_before_the_first_batch_nothing_changes():
    x = jnp.array([[3.0, -4.0]])
    np.testing.assert_allclose(normalise(init_moments((2,)), x, 10.0), x, rtol=1e-6)


def test_normalising_clips_and_broadcasts_over_leading_axes():
    moments = RunningMoments(jnp.array([1.0]), jnp.array([4.0]), jnp.array([0, 9], jnp.uint32))
    x = jnp.array([[[3.0]], [[1000.0]]])  # (3 - 1) / 2 = 1; (1000 - 1) / 2 is clipped to 10
    np.testing.assert_allclose(normalise(moments, x, 10.0), [[[1.0]], [[10.0]]], rtol=1e-6)


def test_rewards_without_variance_are_left_alone():
    constant = RunningMoments(jnp.float32(1), jnp.float32(0), jnp.array([0, 9], jnp.uint32))
    assert scale_rewards(constant, jnp.array([1.0]), 10.0)[0] == 1.0
    varied = RunningMoments(jnp.float32(1), jnp.float32(4), jnp.array([0, 9], jnp.uint32))
    assert scale_rewards(varied, jnp.array([1.0]), 10.0)[0] == pytest.approx(0.5)
