"""An account's life (docs/rules.md, section 9) beyond the worked examples: its switch, its sums, and its value."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import quick
from tests.rules.handmade import make_bars
from tests.rules.scenario import DRAWDOWN, EXPIRED, NOT_DONE, PROFIT_TARGET
from tests.rules.scenarios_life import LIFE, days
from trading_gymnax import TradingPhase1, TradingPhase2, evaluate_policy, life, life_value, rewards
from trading_gymnax.curriculum import over
from trading_gymnax.live.program import Programs
from trading_gymnax.market import pack
from trading_gymnax.params_life import EnvParamsLife, EnvParamsPhase2Life, life_table

INF = math.inf


@functools.cache
def market() -> Any:
    """Eight days that move by 100 ticks and back."""
    rows, keywords = days(*[100, -60] * 4)
    return pack([make_bars(rows, **keywords)])


@functools.cache
def environment(**more: Any) -> TradingPhase1:
    return TradingPhase1(market(), account_life=True, **LIFE, **more)


def account(**fields: int) -> Any:
    """A fresh account with some fields changed."""
    state = environment().reset_at(environment().default_params, 0, 390)[1].unpack()
    return state.replace(**{name: jnp.asarray(x, getattr(state, name).dtype) for name, x in fields.items()})


def params(**fields: Any) -> EnvParamsLife:
    return environment().default_params.replace(**fields)


# -- the switch --


@pytest.mark.parametrize(("make", "kind"), [(TradingPhase1, EnvParamsLife), (TradingPhase2, EnvParamsPhase2Life)])
def test_the_switch_chooses_parameters_state_and_size(make, kind):
    off, on = make(market()), make(market(), account_life=True, account_features=True, market_one_hot=True)
    assert type(off.default_params) is make.Params
    assert type(on.default_params) is kind
    assert isinstance(on.default_params, make.Params)
    assert on.obs_shape == (off.obs_shape[0] + 4 + life.NUM_FEATURES + 1,)
    assert make(market(), account_life=True).obs_shape == off.obs_shape
    obs, state = on.reset_at(on.default_params, 0, 390)
    names = [field.name for field in dataclasses.fields(life.LifeFields)]
    assert [field.name for field in dataclasses.fields(on.State)] == [
        *(field.name for field in dataclasses.fields(off.State)),
        *names,
    ]
    assert state.kind is on.State
    assert state.funded.dtype == bool
    assert float(obs[-1]) == 1  # the market is last
    assert set(on.state_space(on.default_params).spaces) >= set(names)
    with pytest.raises(ValueError, match="account_life must be True or False"):
        make(market(), account_life="yes")


def test_as_many_values_as_steps():
    assert params().scaling_profit.shape == (4,)
    assert params(payout_cap=100).payout_cap.tolist() == [100] * 6
    assert params(scaling_contracts=[1, 2, 3, 4]).scaling_contracts.tolist() == [1, 2, 3, 4]
    assert params(scaling_contracts=np.ones((5, 4))).scaling_contracts.shape == (5, 4)  # of five accounts
    with pytest.raises(ValueError, match=r"^scaling_profit has 3 values; give one or 4$"):
        params(scaling_profit=[1, 2, 3])
    assert {row.name: row.unit for row in life_table(1)}["payout_cap"] == "dollars, [6]"
    with pytest.raises(ValueError, match=r"^phase is 1 or 2, got 3$"):
        life_table(3)


# -- sums --


def test_a_share_is_exact_for_every_amount():
    rng = np.random.default_rng(0)
    amounts = np.concatenate([rng.integers(0, 2**31, 500), [0, 1, 9_999, 10_000, 2**31 - 1]]).astype(np.int32)
    hundredths = rng.integers(0, 10_001, len(amounts))
    hundredths[-1] = 10_000
    shares = (hundredths / 10_000).astype(np.float32)
    found = np.asarray(life.share_of(jnp.asarray(amounts), jnp.asarray(shares)))
    assert found.tolist() == [int(a) * int(h) // 10_000 for a, h in zip(amounts, hundredths, strict=True)]


@pytest.mark.parametrize(
    ("session", "more", "fees", "reason"),
    [
        (20, {}, 0, NOT_DONE),
        (21, {}, 9_950, NOT_DONE),
        (22, {}, 0, NOT_DONE),
        (42, {}, 9_950, NOT_DONE),
        (21, {"session_limit": 21}, 0, EXPIRED),
        (22, {"session_limit": 21}, 0, EXPIRED),
        (21, {"session_limit": 22}, 9_950, NOT_DONE),
        (1, {"session_limit": 1}, 0, EXPIRED),
        (21, {"profit_target": 0.0}, 0, NOT_DONE),  # passed
        (21, {"profit_target": 0.0, "funded_phase": False}, 0, PROFIT_TARGET),
    ],
)
def test_a_month_is_paid_at_its_end(session, more, fees, reason):
    must_flat, no = jnp.bool_(True), jnp.bool_(False)
    asked = params(monthly_fee=99.5, **more)
    state, found, over = life.end_of_step(account(session_number=session), no, no, must_flat, no, asked)
    assert (int(state.fees), int(found), bool(over)) == (fees, reason, True)
    state, found, over = life.end_of_step(account(session_number=session), no, no, no, no, asked)  # within the day
    if "profit_target" not in more:
        assert (int(state.fees), int(found), bool(over)) == (0, NOT_DONE, False)


def test_nothing_is_booked_where_nothing_was_to_trade_or_the_account_broke():
    must_flat, no = jnp.bool_(True), jnp.bool_(False)
    asked, ahead = params(profit_target=1.0), account(balance=5_010_000, equity=5_010_000, num_trades=1)
    for breached, idle, reason in ((no, must_flat, NOT_DONE), (must_flat, no, DRAWDOWN)):
        state, found, _ = life.end_of_step(ahead, breached, no, must_flat, idle, asked)
        assert (int(found), bool(state.funded), int(state.days_traded)) == (reason, False, 0)
    state, _, over = life.end_of_step(ahead, no, no, no, no, asked)
    assert (bool(state.funded), int(state.trades_before), bool(over)) == (True, 1, True)


def test_a_day_of_profit_is_more_than_the_whole_of_none():
    """To the cent: a best day of a cent is all of a profit of a cent, and more than all of no profit and of a loss."""
    share, no = jnp.float32(1), jnp.bool_(False)
    cycles = [life.Cycle(*map(jnp.int32, (profit, 1, 1, 1, 1))) for profit in (1, 0, -5)]
    assert [bool(life.consistent(cycle, share, no)) for cycle in cycles] == [True, False, False]
    state = account(funded=1, trailing_limit=100, best_day=1)  # a unit is a dollar
    seen = life.features(state, params(payout_consistency=1.0))
    assert float(seen[6]) == pytest.approx(-0.01)  # nothing is allowed
    assert float(life.features(state, params())[6]) == 0
    assert float(life.features(account(trailing_limit=100), params())[7]) == 0  # no payout in evaluation


def test_a_payout_of_the_least_amount_is_taken():
    may, asked = jnp.bool_(True), params(payout_minimum=300.0, payout_split=1.0)
    for balance, taken in ((5_029_999, 0), (5_030_000, 30_000)):
        state = account(funded=1, balance=balance, equity=balance)
        after, takes = life.pay_out(state, may, life.with_today(state, asked), asked)
        assert (int(after.paid_out), bool(takes), int(after.balance)) == (taken, taken > 0, balance - taken)


# -- the value --


def odds(level: float, equity: float, mark: float, floor: float, limit: float, highest_floor: float = INF) -> float:
    return float(life_value.odds_of_reaching(*map(jnp.float32, (level, equity, mark, floor, limit, highest_floor))))


def test_odds_of_a_fair_game():
    assert odds(103, 100, 100, 98, 2) == pytest.approx(math.exp(-1.5))  # the floor trails all the way
    assert odds(103, 100, 100, 98, 2, 98) == pytest.approx(2 / 5)  # it stands still
    # it locks at 100, where the mark is 102: then 2 of 3 dollars are there
    assert odds(103, 100, 100, 98, 2, 100) == pytest.approx(math.exp(-1) * 2 / 3)
    assert odds(101, 100, 100, 98, 2, 100) == pytest.approx(math.exp(-0.5))
    assert odds(103, 99, 101, 99, 2) == 0  # nothing is left
    assert odds(103, 100, 101, 99, 2) == pytest.approx(0.5 * math.exp(-1))  # half way to the mark
    assert odds(100.5, 100, 101, 99, 2) == pytest.approx(1 / 1.5)  # below the mark
    assert odds(103, 101, 102, 100, 2, 100) == pytest.approx(1 / 3)  # locked since
    assert odds(103, 103, 103, 101, 2) == odds(103, 104, 104, 102, 2) == 1
    small = life_value._odds(*map(jnp.float32, (100.25, 100, 100, 99.5, 0.5, INF)))
    assert float(small) == pytest.approx(math.exp(-0.5))


def test_a_share_of_the_way():
    ways = [(0.25, 0.5, 0.5), (-1, 2, 0), (3, 2, 1), (0, 0, 1), (1, -1, 1)]
    assert [float(life_value._share(jnp.float32(part), jnp.float32(whole))) for part, whole, _ in ways] == [
        share for *_, share in ways
    ]


def dollars(state: Any, **fields: Any) -> float:
    return float(life_value.expected_dollars(state, params(**fields)))


def test_dollars_of_a_fair_game():
    """A floor 2,000 below, that locks at the start balance."""
    account_rules = {"funded_trailing_dd_limit": 2_000.0, "funded_floor_lock": 0.0, "payout_split": 0.5}
    funded = life.open_funded(account(), jnp.bool_(True), params(**account_rules))
    # all above 52,000 goes out, 2,000 above the floor, and the account gets so far with odds of 1 / e
    waits = account_rules | {"payout_buffer": 2_000.0}
    assert dollars(funded, **waits) == pytest.approx(0.5 * math.exp(-1) * 2_000, rel=1e-4)
    # taken from the first dollar on, the floor rises by all that is taken: half of the room
    assert dollars(funded, **account_rules) == pytest.approx(0.5 * 1_000, rel=1e-4)
    # the first payout locks the floor where the balance stays
    assert dollars(funded, **account_rules, payout_floor=0.0) == pytest.approx(0.5 * 0.01, rel=0.5)
    assert dollars(funded, **waits, payouts_at_most=2, payout_cap=500) == pytest.approx(
        0.5 * math.exp(-1) * 1_000, rel=1e-4
    )
    assert dollars(funded, **waits, payouts_at_most=1, payout_cap=500) == pytest.approx(
        0.5 * math.exp(-1) * 500, rel=1e-4
    )
    used_up = funded.replace(payouts=jnp.int32(2))
    assert dollars(used_up, **waits, payouts_at_most=2) == 0
    for payouts, caps in ((2, [1, 1, 200, 1, 1, 1]), (7, [1, 1, 1, 1, 1, 200])):
        paid = funded.replace(payouts=jnp.int32(payouts))
        assert dollars(paid, **waits, payout_cap=caps, payouts_at_most=payouts + 1) == pytest.approx(
            0.5 * math.exp(-1) * 200, rel=1e-4
        )
    # a floor that locks 500 above the start rises by 500 of the 2,000 that are taken
    assert dollars(funded, **waits | {"funded_floor_lock": 500.0}) == pytest.approx(
        0.5 * math.exp(-1) * (1_500 + 500**2 / 4_000), rel=1e-4
    )
    # at 51,600 the first payout may be of the 600 above the floor that it lifts to 51,000
    lifts = account_rules | {"payout_floor": 1_000.0, "payout_minimum": 600.0}
    assert dollars(funded, **lifts) == pytest.approx(0.5 * math.exp(-1_600 / 2_000) * 600, rel=1e-4)
    # half of what is there is 600 where 1,200 are
    half = account_rules | {"payout_floor": 0.0, "payout_minimum": 600.0, "payout_share": 0.5}
    assert dollars(funded, **half) == pytest.approx(0.5 * math.exp(-1_200 / 2_000) * 1_200, rel=1e-4)
    # with nothing to end it all that there is may be taken
    endless = funded.replace(trailing_limit=jnp.int32(2**31 - 1), floor=jnp.int32(0))
    assert dollars(endless, **account_rules) == pytest.approx(0.5 * 50_000, rel=1e-6)
    # an evaluation of 3,000 with a floor that trails by 2,500, in front of that
    begun = account(trailing_limit=250_000, floor=4_750_000)
    target = {"profit_target": 3_000.0, "activation_fee": 100.0}
    passing = math.exp(-3_000 / 2_500) * (0.5 * math.exp(-1) * 2_000 - 100)
    assert dollars(begun, **waits, **target) == pytest.approx(passing, rel=1e-4)
    # an account whose floor trails on and one whose floor never moves, 2,500 below the start, from which all goes
    for lock, brings in ((INF, 1_000), (-2_500.0, 2_500)):
        fresh = account_rules | target | {"funded_floor_lock": lock}
        passing = math.exp(-3_000 / 2_500) * (0.5 * brings - 100)
        assert dollars(begun, **fresh) == pytest.approx(passing, rel=1e-4)
    static = waits | target | {"funded_floor_lock": -2_500.0}  # it gets 2,000 up before it is 2,500 down
    passing = math.exp(-3_000 / 2_500) * (0.5 * 2_500 / 4_500 * 4_500 - 100)
    assert dollars(begun, **static) == pytest.approx(passing, rel=1e-4)
    assert dollars(begun, **waits) == 0  # no target, no pass
    assert dollars(begun, **waits, **target, funded_phase=False) == 0
    assert math.isfinite(dollars(funded, funded_trailing_dd_limit=INF))
    assert dollars(account(trailing_limit=2**31 - 1), **waits, **target) == pytest.approx(
        0.5 * math.exp(-1) * 2_000 - 100, rel=1e-4
    )


def test_shaped_rewards_add_up_to_the_dollars_of_the_trader():
    """Eight plans side by side over 16 steps, with the parameters as they are and prepared."""
    env = environment(account_features=True, reward_fn=rewards.account_value(1.0))
    given = params(profit_target=300.0, activation_fee=50.0, trailing_dd_limit=2_000.0, payout_floor=0.0)
    given = given.replace(payout_share=0.5, payout_minimum=50.0, reward_scale=10.0)
    plans = given.replace(funded_trailing_dd_limit=np.linspace(200, 3_000, 8))
    axes = over(plans, "funded_trailing_dd_limit")

    def one_life(used: Any) -> Any:
        _, state = env.reset_at(used, 0, 390)

        def step(state: Any, _: Any) -> Any:
            action = jnp.where(env.action_mask(state, used)[1], 1, 0)
            obs, after, reward, terminated, info = env.step_env(jax.random.key(0), state, action, used)
            money = info["paid_out_cents"] - info["fees_cents"]
            return after, (obs, money, reward, terminated, life_value.expected_dollars(after, used))

        return life_value.expected_dollars(state, used), jax.lax.scan(step, state, None, length=16)[1]

    plain = jax.jit(jax.vmap(one_life, (axes,)), compiler_options=quick.OPTIONS)(plans)
    first, (obs, money, reward, terminated, to_come) = jax.tree.map(np.asarray, plain)
    assert obs.shape == (8, 16, 20 * 11 + 5 + 14)
    ends = np.where(terminated.any(1), terminated.argmax(1), 15)
    assert len(set(ends)) > 1
    for i, end in enumerate(ends):
        left = 0.0 if terminated[i, end] else to_come[i, end]
        assert 10 * reward[i, : end + 1].sum() == pytest.approx(money[i, end] / 100 + left - first[i], abs=0.01)
    assert (money[np.arange(8), ends] > 0).any()

    one = plans.replace(funded_trailing_dd_limit=plans.funded_trailing_dd_limit[-1])
    prepared = jax.jit(lambda used: one_life(env.prepared(used)), compiler_options=quick.OPTIONS)(one)
    for mine, theirs in zip(jax.tree.leaves(prepared), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(mine, theirs[-1], rtol=1e-5, atol=1e-5)


def test_what_account_value_is_not_for():
    with pytest.raises(ValueError, match=r"^discount must be from 0 to 1, got 1\.5$"):
        rewards.account_value(1.5)
    env = TradingPhase1(market(), reward_fn=rewards.account_value())
    _, state = env.reset_at(env.default_params, 0, 390)
    with pytest.raises(ValueError, match=r"^account_value pays for the payouts of an account: .* account_life"):
        env.step(jax.random.key(0), state, jnp.int32(0), env.default_params)
    assert rewards.account_value() == rewards.account_value(0.99) != rewards.account_value(1)


# -- judged by sessions, and live --


def test_an_evaluation_by_sessions_is_of_fresh_evaluations():
    """No account passes into another one there, so that trades and balance add up."""
    env = environment()
    asked = params(profit_target=300.0, start_funded=True, session_limit=1)
    policy = lambda key, obs, mask: mask[..., 1].astype(jnp.int32)  # noqa: E731
    found = evaluate_policy(policy, env, asked, key=jax.random.key(0))
    assert found.sessions["net_usd"].tolist() == [500.0, -300.0] * 4
    assert set(found.sessions["done_reason"]) == {"PROFIT_TARGET", "SESSION_END"}


def test_a_live_account_has_no_life_yet():
    with pytest.raises(ValueError, match="account_life"):
        Programs(environment(), lambda key, obs, mask: jnp.int32(1))
