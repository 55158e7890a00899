"""Successive halving by hand: who stays, where the rungs lie, what is drawn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from purejaxrl_ppo import PPOConfig
from purejaxrl_ppo.sweep.halving import NAMES, check_ranges, draw, rung_iterations, survivors

CONFIG = PPOConfig(num_envs=8, num_steps=16, total_timesteps=8 * 16 * 10)
INF = float("inf")


@pytest.mark.parametrize(
    ("scores", "eta", "want"),
    [
        ([3.0, 9.0, 1.0, 5.0], 2, [1, 3]),
        ([3.0, 9.0, 1.0, 5.0, 4.0], 2, [1, 3, 4]),  # five halved are three
        ([3.0, 9.0, 1.0, 5.0, 4.0, 2.0, 0.0], 3, [1, 3, 4]),
        ([2.0, 2.0, 2.0, 2.0], 2, [0, 1]),  # the earlier of equals
        ([1.0, -INF, -INF, -INF], 2, [0]),  # what diverged never stays
        ([-INF, float("nan")], 2, []),
        ([-4.0], 2, [0]),
    ],
)
def test_who_stays(scores, eta, want):
    assert survivors(np.array(scores), eta).tolist() == want


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.integers(2, 5))
def test_none_that_goes_is_better_than_one_that_stays(values, eta):
    scores = np.array(values)
    stay = survivors(scores, eta)
    assert len(stay) == -(-len(scores) // eta)
    assert (np.diff(stay) > 0).all()
    gone = np.delete(scores, stay)
    assert not len(gone) or gone.max() <= scores[stay].min()


def test_rungs_are_iterations_of_the_budget():
    assert rung_iterations((0.25, 0.5), CONFIG) == (2, 5, 10)
    assert rung_iterations((), CONFIG) == (10,)
    assert rung_iterations((0.99,), dataclasses.replace(CONFIG, total_timesteps=8 * 16 * 100)) == (99, 100)


@pytest.mark.parametrize(
    ("rungs", "message"),
    [
        ((0.0, 0.5), "rise between 0 and 1, 0.25 0.5 say; got [0.0, 0.5]"),
        ((0.5, 1.0), "rise between 0 and 1"),
        ((0.5, 0.25), "rise between 0 and 1"),
        ((0.5, 0.5), "rise between 0 and 1"),
        ((float("nan"),), "rise between 0 and 1"),
        ((0.01,), "of 10 iterations fall on [0, 10]: choose rungs further apart, or raise total_timesteps"),
        ((0.5, 0.51), "fall on [5, 5, 10]"),
        ((0.99,), "fall on [10, 10]"),
    ],
)
def test_wrong_rungs(rungs, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        rung_iterations(rungs, CONFIG)
    assert message in str(error.value)


def test_draws_fill_their_ranges_by_their_own_measure():
    ranges = check_ranges({"learning_rate": (1e-4, 1e-2), "gamma": [0.9, 1.0], "clip_eps": 0.3}, CONFIG)
    drawn = draw(ranges, 4000, jax.random.key(0))
    logs, gammas = np.log10(drawn.learning_rate), np.asarray(drawn.gamma)
    assert -4.0001 <= logs.min() < -3.99 < -2.01 < logs.max() <= -1.9999
    assert abs(np.median(logs) + 3) < 0.05  # half of them below 1e-3
    assert 0.9 <= gammas.min() < 0.901 < 0.999 < gammas.max() <= 1.0
    assert abs(np.median(gammas) - 0.95) < 0.003
    assert abs(np.corrcoef(logs, gammas)[0, 1]) < 0.05
    assert set(np.unique(drawn.clip_eps)) == {np.float32(0.3)}
    assert set(np.unique(drawn.ent_coef)) == {np.float32(CONFIG.ent_coef)}
    fewer = draw(ranges | {"gamma": (0.5, 0.6)}, 4000, jax.random.key(0))
    np.testing.assert_array_equal(fewer.learning_rate, drawn.learning_rate)


@given(st.floats(1e-6, 1.0), st.floats(1.001, 1e4), st.integers(0, 100))
def test_no_draw_leaves_its_range(low, factor, seed):
    ranges = check_ranges({"learning_rate": (low, low * factor)}, CONFIG)
    drawn = draw(ranges, 8, jax.random.key(seed)).learning_rate
    assert drawn.dtype == jnp.float32
    assert (np.float32(low) <= drawn).all()
    assert (drawn <= np.float32(low * factor)).all()


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"lerning_rate": (1e-4, 1e-2)}, "no hyperparameter 'lerning_rate' can be searched: did you mean 'learning_ra"),
        ({"num_envs": (1, 2)}, "no hyperparameter 'num_envs' can be searched: there are clip_eps, ent_coef, gae_lam"),
        ({"gamma": (0.99, 0.9)}, "gamma needs a finite range, the lower end first; got [0.99, 0.9]"),
        ({"gamma": (0.9, 0.9)}, "gamma needs a finite range, the lower end first"),
        ({"gamma": (0.9, 0.95, 0.99)}, "gamma takes one number or two, the lower first; got [0.9, 0.95, 0.99]"),
        ({"gamma": ()}, "gamma takes one number or two"),
        ({"gamma": (0.9, 1.1)}, "gamma=1.1 must lie between 0 and 1"),
        ({"learning_rate": (0.0, 1.0)}, "learning_rate=0.0 must be greater than 0"),
        ({"learning_rate": (1e-4, INF)}, "learning_rate needs a finite range"),
        ({"ent_coef": (0.0, 0.1)}, "ent_coef is drawn by its logarithm, so its range must begin above 0"),
        ({"gamma": 0.9}, "there is nothing to search: give a range of two numbers"),
        ({}, "there is nothing to search"),
    ],
)
def test_wrong_ranges(ranges, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        check_ranges(ranges, CONFIG)
    assert message in str(error.value)


def test_what_has_no_range_is_the_configs():
    checked = check_ranges({"learning_rate": (1e-4, 1e-2), "ent_coef": 0.0}, CONFIG)
    assert list(checked) == list(NAMES)
    assert checked["ent_coef"] == (0.0, 0.0)
    assert checked["gae_lambda"] == (0.95, 0.95)
