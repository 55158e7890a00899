"""Whole numbers of the rules: divisions round down for losses, too, up to the ends of int32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trading_gymnax import rules

ENDS = (-(2**31), -(2**31) + 1, -2, -1, 0, 1, 2, 2**31 - 2, 2**31 - 1)


@pytest.mark.parametrize(("x", "y", "floor"), [(7, 2, 3), (-7, 2, -4), (-8, 2, -4), (-1, 9, -1), (0, 9, 0), (8, 9, 0)])
def test_division_rounds_down(x, y, floor):
    assert int(rules.floor_div(jnp.int32(x), jnp.int32(y))) == floor


def test_division_is_exact_to_the_ends():
    random = np.random.default_rng(0)
    x = np.concatenate([np.repeat(ENDS, len(ENDS)), random.integers(-(2**31), 2**31, 10_000)])
    y = np.concatenate([np.tile(np.clip(np.abs(ENDS), 1, 2**31 - 1), len(ENDS)), random.integers(1, 2**31, 5_000)])
    y = np.concatenate([y, random.integers(1, 200, 5_000)])
    found = jax.jit(rules.floor_div)(jnp.asarray(x, jnp.int32), jnp.asarray(y, jnp.int32))
    np.testing.assert_array_equal(found, x // y)  # of int64


@pytest.mark.parametrize(("low", "high"), [(-(2**30), 2**30), (1, 2**20), (-(2**20), 2**20)])
def test_rounding_is_rint_in_a_compiled_program(low, high):
    """Half to even, as by the ordinary operation: none that the compiler sees through."""
    random = np.random.default_rng(1)
    ends = [0, -0.0, 0.5, 1.5, -2.5, 2**23 - 0.5, -(2**23) + 0.5, 2**23, -(2**23) - 1, np.inf, -np.inf]
    halves = random.integers(-(2**22), 2**22, 10_000) + 0.5
    x = np.concatenate([ends, halves, *(random.uniform(-s, s, 10_000) for s in (10, 2**20, 2**31))]).astype(np.float32)
    found = jax.jit(rules.rounded, static_argnums=(1, 2))(x, low, high)
    np.testing.assert_array_equal(found, np.clip(np.rint(x), low, high).astype(np.int64))
    assert float(jax.jit(rules.distance)(jnp.float32(2.5), jnp.float32(1.0))) == 2
