"""Sums along the episodes of a rollout, taken after it in one pass over time."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct


class EpisodeSums(struct.PyTreeNode):
    """Sums of the episodes that run; 0 where one begins."""

    discounted: jax.Array  # float32 [B], running discounted return
    episode_return: jax.Array  # float32 [B]
    episode_length: jax.Array  # int32 [B]


class Ended(struct.PyTreeNode):
    """What the episodes that ended in a rollout add up to, environment by environment."""

    episode_return: jax.Array  # float32 [B]
    episode_length: jax.Array  # int32 [B]


def follow(
    start: EpisodeSums, rewards: jax.Array, done: jax.Array, gamma: jax.Array | float, unroll: int = 1
) -> tuple[EpisodeSums, Ended, jax.Array]:
    """Go on with the sums through a rollout.

    Args:
        start: sums carried over from before the first step.
        rewards, done: [T, B]; `done` is terminated or truncated.
        gamma: discount of the running return.
        unroll: steps in one turn of the loop.

    Returns:
        The sums to carry on, those of the episodes that ended, and the discounted sum at every step [T, B].
    """

    def step(carry: tuple[EpisodeSums, Ended], xs: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        sums, ended = carry
        reward, over = xs
        discounted = gamma * sums.discounted + reward
        total, length = sums.episode_return + reward, sums.episode_length + 1
        ended = Ended(
            ended.episode_return + jnp.where(over, total, 0.0), ended.episode_length + jnp.where(over, length, 0)
        )
        going = EpisodeSums(discounted, total, length)
        return (jax.tree.map(lambda x: jnp.where(over, jnp.zeros_like(x), x), going), ended), discounted

    none = Ended(jnp.zeros_like(start.episode_return), jnp.zeros_like(start.episode_length))
    (sums, ended), discounted = jax.lax.scan(step, (start, none), (rewards, done), unroll=unroll)
    return sums, ended, discounted
