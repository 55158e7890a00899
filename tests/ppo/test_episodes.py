"""Sums along the episodes of a rollout, worked out by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo.episodes import EpisodeSums, follow


@pytest.mark.parametrize("unroll", [1, 3])
def test_sums_begin_anew_with_the_episode(unroll):
    start = EpisodeSums(jnp.array([2.0, 0.0]), jnp.array([10.0, 0.0]), jnp.array([5, 0]))
    rewards = jnp.array([[1.0, 1.0], [1.0, 2.0], [3.0, 4.0]])
    done = jnp.array([[False, False], [True, False], [False, False]])
    sums, ended, discounted = follow(start, rewards, done, 0.5, unroll)
    # first: 0.5*2 + 1 = 2; 0.5*2 + 1 = 2 and ends; 3. Second: 1; 0.5*1 + 2 = 2.5; 0.5*2.5 + 4 = 5.25
    np.testing.assert_array_equal(discounted, [[2.0, 1.0], [2.0, 2.5], [3.0, 5.25]])
    np.testing.assert_array_equal(sums.discounted, [3.0, 5.25])
    np.testing.assert_array_equal(sums.episode_return, [3.0, 7.0])
    np.testing.assert_array_equal(sums.episode_length, [1, 3])
    np.testing.assert_array_equal(ended.episode_return, [12.0, 0.0])  # 10 + 1 + 1
    np.testing.assert_array_equal(ended.episode_length, [7, 0])


def test_an_episode_that_ends_with_the_rollout_leaves_nothing():
    start = EpisodeSums(jnp.array([2.0]), jnp.array([1.0]), jnp.array([1]))
    sums, ended, _ = follow(start, jnp.ones((3, 1)), jnp.ones((3, 1), bool), 0.5)
    assert (float(sums.discounted[0]), float(sums.episode_return[0]), int(sums.episode_length[0])) == (0.0, 0.0, 0)
    assert (float(ended.episode_return[0]), int(ended.episode_length[0])) == (4.0, 4)  # three episodes: 2 + 1 + 1
