"""Curricula by progress, and parameters that differ between environments."""

from __future__ import annotations

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.handmade import make_bars
from tests.rules.scenario import q
from trading_gymnax import EnvParams, TradingPhase1, TradingPhase2
from trading_gymnax.accounts import life_fields, plan
from trading_gymnax.curriculum import linear, original_plan, over, over_plans, piecewise, times, vary
from trading_gymnax.market import MarketData, pack
from trading_gymnax.params import EnvParamsPhase2, numbers_of

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def market() -> MarketData:
    return pack([make_bars([q(), q(), q(), q()])])


@pytest.fixture(scope="module")
def params(market) -> EnvParams:
    return EnvParams.create(market)


# progress, trailing limit, stop, commission of 2.50, forced share: worked by hand from the plan's points
@pytest.mark.parametrize(
    ("progress", "limit", "stop", "commission", "forced"),
    [
        (0.0, 15_000, 2.0, 0.625, 0.5),
        (0.25, 10_000, 1.875, 1.09375, 0.375),
        (0.5, 5_000, 1.75, 1.5625, 0.25),
        (0.75, 3_750, 1.625, 2.03125, 0.125),
        (1.0, 2_500, 1.5, 2.5, 0.0),
    ],
)
def test_the_original_plan(params, progress, limit, stop, commission, forced):
    for schedule in (original_plan(), jax.jit(original_plan())):
        now = schedule(progress, params)
        assert (float(now.trailing_dd_limit), float(now.sl_atr_mult)) == (limit, stop)
        assert (now.commission_per_side.tolist(), float(now.forced_entry_fraction)) == ([commission], forced)
        assert now.market is params.market or now.market.symbols == params.market.symbols
    logged = original_plan().values(progress)
    assert float(logged["trailing_dd_limit"]) == limit
    assert float(logged["commission_per_side_factor"]) == commission / 2.5


def test_whole_numbers_are_rounded_half_to_even(params):
    schedule = linear(slippage_ticks=(0, 4))
    found = [int(schedule(at, params).slippage_ticks) for at in (0, 0.125, 0.2, 0.375, 0.9, 1)]
    assert found == [0, 0, 1, 2, 4, 4]  # 0.5 and 1.5 go to the even neighbour
    assert schedule(0.3, params).slippage_ticks.dtype == jnp.int32


def test_hold_stays_until_the_next_point(params):
    schedule = piecewise(
        (0, 0.25, 1), hold=True, fill_at_close=(True, False, False), daily_loss_limit=(500, 900, np.inf)
    )
    found = [
        (bool(now.fill_at_close), float(now.daily_loss_limit)) for now in (schedule(p, params) for p in (0, 0.2499))
    ]
    assert found == [(True, 500.0)] * 2
    assert float(schedule(0.25, params).daily_loss_limit) == 900.0
    assert float(schedule(0.99, params).daily_loss_limit) == 900.0
    assert float(schedule(1.0, params).daily_loss_limit) == np.inf
    assert not bool(schedule(0.25, params).fill_at_close)


def test_progress_outside_stays_at_the_ends(params):
    schedule = linear(sl_atr_mult=(1.0, 3.0))
    assert [float(schedule(at, params).sl_atr_mult) for at in (-1.0, 2.0)] == [1.0, 3.0]


def test_a_schedule_is_one_program_and_can_be_kept(params):
    schedule = linear(sl_atr_mult=(1.0, 3.0))
    assert hash(schedule) == hash(linear(sl_atr_mult=(1.0, 3.0)))
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    traced = 0

    @jax.jit
    def stop(progress, params):
        nonlocal traced
        traced += 1
        return schedule(progress, params).sl_atr_mult

    assert [float(stop(jnp.float32(at), params)) for at in (0, 0.25, 0.5)] == [1.0, 1.5, 2.0]
    assert traced == 1


def test_plans_take_turns_to_the_field(market):
    params = TradingPhase2(market, account_life=True).default_params.replace(payout_split=0.5, sl_atr_mult=1.25)
    named = [plan(name) for name in ("topstep-50k", "apex-eod-100k", "tpt-25k")]
    thirds, late = over_plans(named), over_plans(named, points=(0, 0.2, 0.9), micro=True)
    turns = [(thirds, at, turn, False) for at, turn in ((0, 0), (0.33, 0), (0.34, 1), (0.66, 1), (0.67, 2), (1, 2))]
    turns += [(late, at, turn, True) for at, turn in ((0.19, 0), (0.2, 1), (0.89, 1), (0.9, 2), (1, 2))]
    for schedule, at, turn, micro in turns:
        held = params.replace(**life_fields(named[turn], micro=micro))
        for now in (schedule(at, params), jax.jit(schedule)(at, params)):
            for field in numbers_of(type(params)):
                mine, theirs = getattr(now, field.name), getattr(held, field.name)
                np.testing.assert_array_equal(mine, theirs, err_msg=f"{field.name} at {at}")
                assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape)
        assert float(schedule.values(at)["plan"]) == turn
    assert float(thirds(0.5, params).sl_atr_mult) == 1.25
    assert pickle.loads(pickle.dumps(thirds)) == thirds == over_plans(named)
    assert hash(thirds) != hash(late)
    with pytest.raises(ValueError, match="EnvParamsPhase2 has no field"):
        thirds(0.0, TradingPhase2(market).default_params)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: over_plans([]), "there is one at least; got none"),
        (lambda: over_plans([plan("tpt-50k")] * 2), "plans take turns once each, .* got tpt-50k, tpt-50k"),
        (lambda: over_plans([plan("tpt-50k")], points=(0, 0.5)), "1 plans need a point each"),
        (lambda: over_plans([plan("tpt-50k"), plan("tpt-25k")], points=(0, 1)), "points of progress rise from 0 to 1"),
        (lambda: piecewise((0, 1), payout_cap=((1.0,) * 6,) * 2), "payout_cap needs 2 numbers"),
        (lambda: piecewise((0, 1), hold=True, payout_cap=((1.0,) * 5,) * 2), "payout_cap needs 2 numbers"),
    ],
)
def test_turns_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: linear(sl_atr_mul=(1, 2)), "no field 'sl_atr_mul': did you mean 'sl_atr_mult'"),
        (lambda: linear(market=(1, 2)), "no field 'market'"),
        (lambda: linear(), "needs a field"),
        (lambda: linear(sl_atr_mult=2.0), "sl_atr_mult needs 2 numbers, one for each point; got 2.0"),
        (lambda: linear(sl_atr_mult=(1, 2, 3)), "sl_atr_mult needs 2 numbers"),
        (lambda: linear(sl_atr_mult=("1", "x")), "sl_atr_mult needs numbers"),
        (lambda: linear(sl_atr_mult=(1, -2)), "sl_atr_mult must be at least 0.01 ATR"),
        (lambda: linear(forced_entry_fraction=(0, 2)), "share between 0 and 1"),
        (lambda: linear(fill_at_close=(0, 1)), "fill_at_close is a switch"),
        (lambda: linear(daily_loss_limit=(100, np.inf)), "inf only with hold=True"),
        (lambda: linear(sl_atr_mult=(1, np.nan)), "finite"),
        (lambda: linear(commission_per_side=times(-1, 1)), "multiplied by -1; factors are 0 or more"),
        (lambda: piecewise((0.5, 1), sl_atr_mult=(1, 2)), r"rise from 0 to 1, \(0, 0.5, 1\) say; got \(0.5, 1\)"),
        (lambda: piecewise((0, 0.6, 0.5, 1), sl_atr_mult=(1, 2, 3, 4)), "rise from 0 to 1"),
        (lambda: piecewise((0,), sl_atr_mult=(1,)), "rise from 0 to 1"),
    ],
)
def test_a_wrong_schedule_gets_one_clear_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_phase_1_refuses_a_schedule_of_phase_2(params):
    with pytest.raises(ValueError, match="EnvParams has no field 'trail_atr_mult'"):
        linear(trail_atr_mult=(1, 2))(0.5, params)


# -- domain randomisation --


def test_vary_draws_within_the_ranges_and_shares_the_market(market):
    params = EnvParamsPhase2.create(market)
    ranges = {"slippage_ticks": (0, 3), "sl_atr_mult": (1.0, 2.0), "fill_at_close": (False, True)}
    varied, axes = vary(params, key=KEY, num_envs=4096, **ranges, commission_per_side=times(0.5, 2.0))
    assert varied.market is params.market
    assert varied.commission_per_side.shape == (4096, 1)
    counts = np.bincount(varied.slippage_ticks)
    assert len(counts) == 4
    assert np.all(np.abs(counts - 1024) < 5 * np.sqrt(1024 * 0.75))  # both ends as likely as the others
    for values, low, high in ((varied.sl_atr_mult, 1, 2), (varied.commission_per_side, 1.25, 5)):
        assert low <= float(values.min()) < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < float(values.max()) <= high
    assert 0.45 < float(varied.fill_at_close.mean()) < 0.55
    mapped = {name for name in EnvParamsPhase2.__dataclass_fields__ if getattr(axes, name) == 0}
    assert mapped == {*ranges, "commission_per_side"}
    assert jax.tree.leaves(axes.market) == []


def test_the_axes_are_those_of_vmap(market):
    env = TradingPhase2(market)
    varied, axes = vary(env.default_params, key=KEY, num_envs=3, position_size=(1, 4), initial_balance=(1e4, 2e4))
    obs, state = jax.vmap(env.reset, in_axes=(0, axes))(jax.random.split(KEY, 3), varied)
    assert np.array_equal(state.balance, np.rint(np.float32(100) * varied.initial_balance))
    assert np.unique(state.balance).size == 3
    mask = jax.vmap(env.action_mask, in_axes=(0, axes))(state, varied)
    assert mask.shape == (3, 6)
    # the reward scale that was the median R follows the size of each environment
    scale = np.asarray(env.default_params.reward_scale) * np.asarray(varied.position_size)[:, None]
    assert np.array_equal(varied.reward_scale, scale)


def test_axes_of_one_field(market):
    """Stops of 0.5 and 2 ATR of 8 ticks are 4 and 16 ticks; a size that varies takes its reward scale along."""
    env = TradingPhase1(market)
    many = env.default_params.replace(sl_atr_mult=np.array([0.5, 2.0]))
    axes = over(many, "sl_atr_mult")
    assert axes == jax.tree.map(lambda _: None, env.default_params).replace(sl_atr_mult=0)
    assert (axes.sl_atr_mult, jax.tree.leaves(axes)) == (0, [0])
    keys = jax.random.split(KEY, 2)
    _, state = jax.vmap(env.reset, (0, axes))(keys, many)
    state = jax.vmap(env.step, (0, 0, None, axes))(keys, state, jnp.int32(1), many)[1]
    assert state.initial_stop_ticks.tolist() == [4, 16]
    sizes = env.default_params.replace(position_size=np.array([1, 2, 3]))
    assert jax.tree.leaves(over(sizes, "position_size")) == [0, 0]
    with pytest.raises(ValueError, match="sl_atr_mult has no axis to map over: first give it a value"):
        over(env.default_params, "sl_atr_mult")
    with pytest.raises(ValueError, match="has no field 'sl_atr_mul': did you mean 'sl_atr_mult'"):
        over(many, "sl_atr_mul")


@given(low=st.integers(0, 5), width=st.integers(0, 5), seed=st.integers(0, 2**31))
def test_vary_never_leaves_its_range(params, low, width, seed):
    varied, _ = vary(params, key=jax.random.key(seed), num_envs=16, slippage_ticks=(low, low + width))
    assert low <= int(varied.slippage_ticks.min()) <= int(varied.slippage_ticks.max()) <= low + width


@pytest.mark.parametrize(
    ("ranges", "message"),
    [
        ({"slipage_ticks": (0, 1)}, "EnvParams has no field 'slipage_ticks': did you mean 'slippage_ticks'"),
        ({"slippage_ticks": (3, 0)}, "the lower end first"),
        ({"slippage_ticks": 3}, "needs 2 numbers"),
        ({"sl_atr_mult": (-1, 2)}, "must be at least 0.01 ATR"),
        ({"commission_per_side": (-1, 2)}, "must not be negative"),
        ({"daily_loss_limit": (100, np.inf)}, "finite range"),
        ({"position_size": (1, 10**7)}, "use fewer contracts"),
        ({"slippage_ticks": (0.5, 2)}, "whole"),
        ({}, "needs a field"),
    ],
)
def test_a_wrong_range_gets_one_clear_sentence(params, ranges, message):
    with pytest.raises(ValueError, match=message):
        vary(params, key=KEY, num_envs=4, **ranges)


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_the_number_of_environments_is_checked(params, count):
    with pytest.raises(ValueError, match="num_envs is a number of environments"):
        vary(params, key=KEY, num_envs=count, sl_atr_mult=(1, 2))
