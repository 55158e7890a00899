"""Rewards: exact numbers on worked examples, and bonuses that toggling cannot earn."""

from __future__ import annotations

import functools
import pickle
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import quick
from tests.rules.handmade import LEVEL, make_bars
from tests.rules.scenario import BUY, HOLD, TO_BE, TRAIL_OFF, TRAIL_ON, b, q
from trading_gymnax import TradingPhase1, TradingPhase2, rewards
from trading_gymnax.market import pack

SCALE = 100.0  # dollars that make a reward of 1; a tick of the NQ is 5 dollars, a commission 2.50


@functools.cache
def environment(phase: int = 2) -> TradingPhase1:
    """Eleven bars: a long is entered at 1 with its stop at -11 (ATR 8), and the market climbs to 30."""
    rows = [q(), b(0, 10, 0, 10), b(10, 12, 10, 12), b(12, 20, 12, 20), b(20, 20, 18, 18)]
    rows += [b(18, 24, 18, 24), b(24, 28, 24, 28), b(28, 30, 28, 30), b(30, 30, 30, 30), b(30, 30, 26, 26), q(26)]
    make = TradingPhase1 if phase == 1 else TradingPhase2
    return make(pack([make_bars(rows)]), reward_scale=SCALE, tp_sl_ratio=100.0)


@functools.cache
def played(actions: tuple[int, ...], phase: int = 2, **fields: Any) -> list[tuple[Any, Any, Any, Any]]:
    """(before, after, fill, params) of each step."""
    env = environment(phase)
    params = env.default_params.replace(**fields)
    _, state = env.reset_at(params, 0, 390)
    steps = []
    for action in actions:
        after, _, fill = step(env, state, jnp.int32(action), params)
        steps.append((state, after, fill, params))
        state = after
    return steps


@functools.partial(jax.jit, static_argnums=0, compiler_options=quick.OPTIONS)
def step(env: TradingPhase1, state: Any, action: Any, params: Any) -> Any:
    """One step with its fill."""
    return env.play(state, action, params)


def paid(reward: Any, *actions: int, **options: Any) -> list[float]:
    """Rewards of the steps."""
    return [float(reward(*now)) for now in played(actions, **options)]


def test_profit_is_the_default():
    """Entry at 1, one commission: at the close of 10 the equity is 9 ticks - 2.50 = 42.50 dollars up, then 2 ticks."""
    assert paid(rewards.profit(), BUY, HOLD) == pytest.approx([0.425, 0.1], abs=1e-6)
    for before, after, fill, params in played((BUY, HOLD, HOLD)):
        _, default, _ = step(environment(), before, jnp.int32(BUY if int(before.time) == 0 else HOLD), params)
        np.testing.assert_array_equal(rewards.profit()(before, after, fill, params), default)


def test_profit_knows_realised_changes_and_the_two_extras():
    """Realised: only the commission at first. A target of 40 dollars is not reached while the position is open."""
    assert paid(rewards.profit(), BUY, HOLD, reward_realized=True) == pytest.approx([-0.025, 0.0], abs=1e-6)
    before, after, fill, params = played((BUY,), pass_reward=2.0, violation_penalty=3.0)[0]
    passed, failed = (fill._replace(done_reason=jnp.int32(code)) for code in (3, 1))
    assert float(rewards.profit()(before, after, passed, params)) == pytest.approx(2.425, abs=1e-6)
    assert float(rewards.profit()(before, after, failed, params)) == pytest.approx(0.425 - 3, abs=1e-6)


def test_risk_adjusted_takes_the_squared_shortfall():
    """Bars 10, 12, 20, 18: changes 0.425, 0.1, 0.4 and -0.1 (two ticks down): penalty 0.5 * 0.01 on the last one.

    Against a target of 0.2 the shortfalls are 0, 0.1, 0 and 0.3.
    """
    actions = (BUY, HOLD, HOLD, HOLD)
    assert paid(rewards.risk_adjusted(0.5), *actions) == pytest.approx([0.425, 0.1, 0.4, -0.105], abs=1e-6)
    on_target = paid(rewards.risk_adjusted(0.5, target=0.2), *actions)
    assert on_target == pytest.approx([0.425, 0.1 - 0.5 * 0.01, 0.4, -0.1 - 0.5 * 0.09], abs=1e-6)
    assert paid(rewards.risk_adjusted(0.0), *actions) == paid(rewards.profit(), *actions)


def test_risk_adjusted_adds_up_to_profit_less_downside_variance():
    """Sum of rewards = profit - penalty * T * mean of min(x, 0)^2."""
    actions = (BUY, HOLD, HOLD, HOLD, HOLD, HOLD, HOLD, HOLD, HOLD)
    x = np.array(paid(rewards.profit(), *actions))
    wanted = x.sum() - 0.3 * len(x) * np.mean(np.minimum(x, 0) ** 2)
    assert sum(paid(rewards.risk_adjusted(0.3), *actions)) == pytest.approx(wanted, abs=1e-5)


def test_risk_adjusted_counts_open_losses_where_rewards_are_realised():
    """The fall from 20 to 18 costs 0.5 * 0.1^2 although nothing is realised."""
    risky = paid(rewards.risk_adjusted(0.5), BUY, HOLD, HOLD, HOLD, reward_realized=True)
    assert risky == pytest.approx([-0.025, 0, 0, -0.005], abs=1e-6)


def shaping(*actions: int, **options: Any) -> list[float]:
    """What `shaped` adds to the profit: a bar held costs 0.01, a move to break-even pays 0.1, the trail 0.3."""
    shaped = paid(rewards.shaped(0.01, 0.1, 0.3), *actions, **options)
    plain = paid(rewards.profit(), *actions, **options)
    return [round(a - p, 5) for a, p in zip(shaped, plain, strict=True)]


def test_holding_costs_by_the_bar():
    assert shaping(HOLD, BUY, HOLD, HOLD) == [0, -0.01, -0.01, -0.01]
    assert shaping(HOLD, BUY, HOLD, phase=1) == [0, -0.01, -0.01]


def test_break_even_pays_once_and_only_when_the_stop_moved():
    """The second move is legal while in profit, but the stop stands at break-even already."""
    assert shaping(BUY, TO_BE, TO_BE) == [-0.01, 0.09, -0.01]
    assert shaping(TO_BE, BUY, HOLD) == [0, -0.01, -0.01]  # flat: illegal


def test_the_trail_pays_when_it_takes_the_stop_over():
    """Close 10: the candidate 10 - 8 = 2 is better than the stop at -11. Then the stop is the trail's."""
    assert shaping(BUY, TRAIL_ON, HOLD, HOLD) == [-0.01, 0.29, -0.01, -0.01]


def test_a_trail_that_moves_nothing_pays_nothing():
    """A trail of 10 ATR, 80 ticks, is worse than the stop of 12 ticks throughout."""
    assert shaping(BUY, TRAIL_ON, TRAIL_OFF, TRAIL_ON, trail_atr_mult=10.0) == [-0.01] * 4


def test_toggling_earns_nothing():
    """On and off while the market climbs from 10 to 30: ENABLE_TRAIL moves the stop four times and is paid once."""
    actions = (BUY, TRAIL_ON, TRAIL_OFF, TRAIL_ON, TRAIL_OFF, TRAIL_ON, TRAIL_OFF, TRAIL_ON)
    stops = [int(after.sl_price) for _, after, _, _ in played(actions)]
    assert len(set(stops)) == 5  # the first stop, and four better ones
    assert shaping(*actions) == [-0.01, 0.29, *[-0.01] * 6]


def test_break_even_between_two_trails_is_the_most_there_is():
    """Trail 20 ticks. Stops: -11; 12 - 20 by the ratchet of the bar; the same; 1, the entry; 24 - 20; the same; 10."""
    actions = (BUY, TRAIL_ON, TRAIL_OFF, TO_BE, TRAIL_ON, TRAIL_OFF, TRAIL_ON, TO_BE, TRAIL_ON)
    stops = [int(after.sl_price) - LEVEL for _, after, _, _ in played(actions, trail_atr_mult=2.5)]
    assert stops == [-11, -8, -8, 1, 4, 4, 10, 10, 10]
    assert shaping(*actions, trail_atr_mult=2.5) == [-0.01, 0.29, -0.01, 0.09, 0.29, *[-0.01] * 4]


def test_the_environment_pays_the_reward_it_was_given():
    reward = rewards.shaped(0.01, 0.1, 0.3)
    market = environment().default_params.market
    env = TradingPhase2(market, reward_scale=SCALE, tp_sl_ratio=100.0, reward_fn=reward)
    before, after, fill, params = played((BUY, TRAIL_ON))[1]
    *_, given, terminated, truncated, info = env.step(jax.random.key(0), before, TRAIL_ON, params)
    assert given.dtype == jnp.float32
    assert float(given) == pytest.approx(float(reward(before, after, fill, params)), abs=1e-6)


@pytest.mark.parametrize("make", [rewards.profit, rewards.risk_adjusted, rewards.shaped])
def test_rewards_are_values(make):
    """Hashable, picklable, equal by their numbers, float32 scalars."""
    one = make()
    assert {one: 1}[make()] == 1
    assert pickle.loads(pickle.dumps(one)) == one
    assert one(*played((BUY,))[0]).dtype == jnp.float32
    assert one(*played((BUY,))[0]).shape == ()
    assert rewards.risk_adjusted(0.2) != rewards.risk_adjusted(0.3)


@pytest.mark.parametrize(
    ("make", "numbers", "message"),
    [
        (rewards.risk_adjusted, {"penalty": -1.0}, "penalty must be a finite number, 0 or more"),
        (rewards.risk_adjusted, {"target": float("nan")}, "target must be a finite number, in"),
        (rewards.shaped, {"holding_cost": float("inf")}, "holding_cost must be"),
        (rewards.shaped, {"trail_bonus": -0.1}, "trail_bonus must be"),
    ],
)
def test_bad_numbers_get_one_clear_sentence(make, numbers, message):
    with pytest.raises(ValueError, match=message):
        make(**numbers)


def test_scale_is_that_of_the_market():
    """The same account in two markets of unlike scale."""
    tables = [make_bars([q(), b(0, 10, 0, 10), q(10)]) for _ in range(2)]
    env = TradingPhase2(pack(tables), reward_scale=[100.0, 50.0])
    params = env.default_params
    for market_id, wanted in ((0, 0.425), (1, 0.85)):
        _, state = env.reset_at(params, market_id, 390)
        after, _, fill = step(env, state, jnp.int32(BUY), params)
        for reward in (rewards.profit(), rewards.risk_adjusted(), rewards.shaped(0.0)):
            assert float(reward(state, after, fill, params)) == pytest.approx(wanted, abs=1e-6)


def test_gymnax_make_takes_a_reward():
    env, params = gymnax.make("TradingPhase1-v0", data=environment().default_params.market, reward_fn=rewards.profit())
    assert env.reward_fn == rewards.profit()
