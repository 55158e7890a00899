"""Running mean and variance, merged batch by batch.

Merging two sets of samples is the formula of Chan, Golub and LeVeque (1979), "Updating formulae and a
pairwise algorithm for computing sample variances", here with the variance in place of the sum of squares so
that nothing grows with the number of samples.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

_HALF = np.uint32(1 << 31)  # one unit of the count's upper word


class RunningMoments(struct.PyTreeNode):
    """Mean and variance of every sample seen, per feature."""

    mean: jax.Array  # float32 [D] (or [])
    var: jax.Array  # float32 [D] (or []): population variance
    count: jax.Array  # uint32 [2]: number of samples, count[0] * 2**31 + count[1]; exact, unlike a float32


def init_moments(shape: tuple[int, ...]) -> RunningMoments:
    """No sample yet: mean 0 and variance 1, so that normalising is the identity."""
    return RunningMoments(jnp.zeros(shape, jnp.float32), jnp.ones(shape, jnp.float32), jnp.zeros(2, jnp.uint32))


def step_moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and population variance of [B, ...] over its first axis."""
    mean = x.mean(axis=0)
    return mean, jnp.square(x - mean[None]).mean(axis=0)


def batch_moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and population variance of [T, B, ...] over its first two axes.

    Sums run over B first and over T afterwards, which keeps float32 rounding small for large batches.
    """
    return combine_steps(*jax.vmap(step_moments)(x))


def combine_steps(step_mean: jax.Array, step_var: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and variance of T equally large sets from their means and variances [T, ...]."""
    mean = step_mean.mean(axis=0)
    return mean, step_var.mean(axis=0) + jnp.square(step_mean - mean[None]).mean(axis=0)


def merge(moments: RunningMoments, mean: jax.Array, var: jax.Array, count: int) -> RunningMoments:
    """`moments` after `count` further samples of the given mean and variance. count < 2**31."""
    total = _add(moments.count, count)
    weight = jnp.float32(count) / _to_float(total)  # share of the new samples
    delta = mean - moments.mean
    new_var = (1 - weight) * moments.var + weight * var + weight * (1 - weight) * jnp.square(delta)
    # the placeholder variance of `init_moments` has weight 0 in the first merge: weight is exactly 1 there
    return RunningMoments(moments.mean + weight * delta, new_var, total)


def normalise(moments: RunningMoments, x: jax.Array, clip: float) -> jax.Array:
    """`x` [..., D] shifted and scaled by the moments [D], clipped to +-clip."""
    shape = (1,) * (x.ndim - moments.mean.ndim) + moments.mean.shape
    scale = jax.lax.rsqrt(moments.var + 1e-8).reshape(shape)
    return jnp.clip((x - moments.mean.reshape(shape)) * scale, -clip, clip)


def scale_rewards(moments: RunningMoments, rewards: jax.Array, clip: float) -> jax.Array:
    """Rewards over the deviation of the discounted return, clipped; unscaled where it has no variance."""
    scale = jnp.where(moments.var > 1e-8, jax.lax.rsqrt(jnp.maximum(moments.var, 1e-8)), 1.0)
    return jnp.clip(rewards * scale, -clip, clip)


def _add(count: jax.Array, more: int) -> jax.Array:
    low = count[1] + jnp.uint32(more)
    carry = low >= _HALF
    return jnp.stack([count[0] + carry.astype(jnp.uint32), jnp.where(carry, low - _HALF, low)])


def _to_float(count: jax.Array) -> jax.Array:
    return count[0].astype(jnp.float32) * float(_HALF) + count[1].astype(jnp.float32)
