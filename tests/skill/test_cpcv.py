"""Cross-validation around held-out groups: who is learnt from, how paths are put together, and that leaks show."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.skill.small import WINDOW, Lean, env_of, fitted, source
from trading_gymnax.evaluation.baselines import BarSignals
from trading_gymnax.market import ATR_BITS, CLOSE, END, OPEN, START
from trading_gymnax.skill.cpcv import CrossValidation, combinatorial_splits, cross_validate, gap, only_sessions
from trading_gymnax.walkforward.folds import session_days


@pytest.fixture(scope="module")
def env():
    return env_of(source(20, 0))


@pytest.fixture(scope="module")
def splits(env):
    return combinatorial_splits(env.default_params.market, 6, 2)


def usable(market):
    return session_days(market)


def test_every_choice_of_groups_is_held_out_once(env, splits):
    days = usable(env.default_params.market)
    parts = np.array_split(np.arange(len(days)), 6)
    assert [split.groups for split in splits[:3]] == [(0, 1), (0, 2), (0, 3)]
    assert len({split.groups for split in splits}) == len(splits) == 15
    for split in splits:
        held = np.concatenate([parts[group] for group in split.groups])
        np.testing.assert_array_equal(usable(split.test), days[held])
        learnt = np.searchsorted(days, usable(split.train))
        distance = np.abs(learnt[:, None] - held).min(axis=1)
        assert distance.min() == 2  # one session between
        assert len(learnt) == sum(np.abs(at - held).min() > 1 for at in range(len(days)))
    without = combinatorial_splits(env.default_params.market, 6, 2, embargo_sessions=0)
    assert len(usable(without[0].train)) + len(usable(without[0].test)) == len(days)


def test_splits_that_cannot_be(env):
    market = env.default_params.market
    for groups, held_out in ((6, 6), (6, 0), (99, 2)):
        with pytest.raises(ValueError, match=r"in \d+ groups"):
            combinatorial_splits(market, groups, held_out)
    with pytest.raises(ValueError, match="no session is left to learn from"):
        combinatorial_splits(market, 3, 2, embargo_sessions=9)
    with pytest.raises(ValueError, match="no usable session"):
        only_sessions(market, np.array([], "datetime64[D]"))


@pytest.fixture(scope="module")
def rollout(env):
    """(parameters) -> bars met, last observations and rewards of 16 accounts that trade at random for 400 steps."""

    @jax.jit
    def run(params):
        def step(state, key):
            keys = jax.random.split(key, 16)
            action = jax.random.randint(key, (16,), 0, 3)
            obs, state, reward, *_ = jax.vmap(env.step, (0, 0, 0, None))(keys, state, action, params)
            return state, (state.step_idx, obs, reward)

        keys = jax.random.split(jax.random.key(0), 401)
        _, state = jax.vmap(env.reset, (0, None))(jax.random.split(keys[0], 16), params)
        _, (bars, obs, rewards) = jax.lax.scan(step, state, keys[1:])
        return bars, obs[-1], rewards

    return lambda params: [np.asarray(x) for x in run(params)]


def endless(env, market):
    """Accounts that sleep over the night."""
    return env.default_params.replace(market=market, terminate_at_session_end=False, max_steps_in_episode=10_000)


def test_no_episode_starts_or_goes_on_in_a_session_that_is_shut_out(env, splits, rollout):
    market = splits[6].train
    bars, _, _ = rollout(endless(env, market))
    session = np.asarray(market.bars)[0, bars, 6] >> 1
    met = np.asarray(market.session_date)[0, session].astype("datetime64[D]")
    np.testing.assert_array_equal(np.unique(met), usable(market))
    assert min(len(np.unique(column)) for column in met.T) > 1  # each went on from one session to another


def poisoned(market, days):
    """NaN features, NaN ATR and prices far away in all bars of these dates."""
    bars, features = np.array(market.bars), np.array(market.features)
    dates = np.asarray(market.session_date)[0].astype("datetime64[D]")
    for session in np.flatnonzero(np.isin(dates, days)):
        first, end = np.asarray(market.sessions)[0, session, [START, END]]
        bars[0, first:end, OPEN : CLOSE + 1] = 2**20 * np.array([1, 2, -3, 1])
        bars[0, first:end, ATR_BITS] = np.float32(np.nan).view(np.int32)
        features[0, first:end] = np.nan
    return dataclasses.replace(market, bars=jnp.asarray(bars), features=jnp.asarray(features))


def test_poisoned_held_out_bars_change_nothing_in_training(env, splits, rollout):
    """Held-out sessions and those beside them are poisoned: the ordinary stop, the scale and what is met stay."""
    market, split = env.default_params.market, splits[6]
    days = usable(split.train)
    shut = np.setdiff1d(usable(market), days)
    clean = endless(env, split.train)
    spoilt = endless(env, only_sessions(poisoned(market, shut), days))
    assert float(spoilt.reward_scale[0]) == float(clean.reward_scale[0])
    assert float(spoilt.market.median_risk_usd[0]) == float(clean.market.median_risk_usd[0])
    for one, other in zip(rollout(clean), rollout(spoilt), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, other)
    rules = [np.asarray(next(iter(fitted(env, [one], [0]))).weights) for one in (clean, spoilt)]
    np.testing.assert_array_equal(*rules)
    touched = endless(env, only_sessions(poisoned(market, days[:1]), days))  # the control
    assert not np.array_equal(rollout(touched)[1], rollout(clean)[1], equal_nan=True)


@pytest.fixture(scope="module")
def found(env, splits) -> CrossValidation:
    return cross_validate(fitted, env, splits, seeds=2)


def test_paths_go_through_every_session_once(found, env, splits):
    paths = found.paths()
    assert found.num_paths == 5
    assert paths.shape == (len(usable(env.default_params.market)), 10)
    assert not paths.isna().any().any()
    parts = np.array_split(found.days, 6)
    # group 2 is held out by splits (0,2) (1,2) (2,3) (2,4) (2,5): the third of them serves path 2
    split = [s.number for s in splits if 2 in s.groups][2]
    run = next(r for r in found.runs if (r.split, r.seed) == (split, 1))
    own = run.unseen.set_index("date")["net_usd"]
    chosen = np.isin(paths.index.to_numpy().astype("datetime64[D]"), parts[2])
    np.testing.assert_allclose(
        paths.loc[chosen, (2, 1)], own[np.isin(own.index.to_numpy().astype("datetime64[D]"), parts[2])]
    )


def test_what_is_said_of_it(found):
    values = found.to_dict()
    assert len(values["splits"]) == 15
    assert len(values["paths"]) == 10
    assert values["verdict"].startswith("Out of sample ")
    assert "10 paths through all sessions" in found.verdict
    assert str(found).count("\n") > 16


def test_it_goes_on_where_it_stopped(found, env, splits):
    kept = {}
    known = {(run.split, run.seed): run for run in found.runs[:20]}
    again = cross_validate(
        fitted, env, splits, seeds=2, known=known, keep=lambda run: kept.__setitem__((run.split, run.seed), run)
    )
    assert len(kept) == 10
    np.testing.assert_array_equal(again.paths(), found.paths())


def signals(side):
    policy = BarSignals(jnp.asarray(side, jnp.int8)[None])
    return lambda env, params, seeds: iter([policy] * len(params))


def test_a_leak_shows_as_a_gap():
    """On a martingale: the next bar's move as a feature, and a mean fitted on all bars, against none of that."""
    env = env_of(source(20, 0), sl_atr_mult=0.5, tp_sl_ratio=1.0)  # a trade lives for a bar or two
    splits = combinatorial_splits(env.default_params.market, 6, 2)
    bars = np.asarray(env.default_params.market.bars)[0]
    close, session = bars[:, CLOSE].astype(float), bars[:, 6] >> 1
    clean = cross_validate(fitted, env, splits)
    following = cross_validate(signals(np.sign(np.append(close[1:], close[-1]) - close)), env, splits)
    assert gap(following, clean).p_value < 1e-3
    mean = np.bincount(session, close) / np.bincount(session)  # knows the rest of the session
    everything = cross_validate(signals(np.sign(mean[session] - close)), env, splits)
    assert gap(everything, clean).p_value < 1e-2
    past = np.sign(np.convolve(np.diff(close, prepend=close[0]), 0.9 ** np.arange(WINDOW))[: len(close)])
    assert gap(cross_validate(signals(past), env, splits), clean).p_value > 0.02
    assert math.isnan(gap(clean, clean).p_value)


def test_numbers_that_cannot_be(env, splits):
    with pytest.raises(ValueError, match="a split and a seed at least"):
        cross_validate(fitted, env, splits, seeds=0)
    assert isinstance(next(iter(fitted(env, [env.default_params], [0]))), Lean)
