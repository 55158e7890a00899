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
