"""Whole lives of accounts: days added as a whole against bars, a slow simulation in plain numbers, closed forms."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.survival.material import HORIZON, fair_walks, recorded, step_tape
from trading_gymnax import TradingPhase2
from trading_gymnax.accounts import life_fields, plan
from trading_gymnax.evaluation.evaluate import session_starts
from trading_gymnax.market import SESSION_AND_BREAK
from trading_gymnax.params_life import EnvParamsLife
from trading_gymnax.rules import BAR_CLOSE, END_OF_DAY, INTRABAR, DoneReason
from trading_gymnax.survival.lives import LifeRules, live, tables_of
from trading_gymnax.survival.paths import consecutive_orders

OFF = math.inf
MARKET_FIELDS = (
    *("stop_first", "target_through_ticks", "slippage_ticks", "stop_slippage_atr_mult", "tp_sl_ratio", "sl_atr_mult"),
    *("risk_per_trade", "position_size"),
)
BASE = life_fields(plan("topstep-50k"))


def account(**changes):
    """Rules of one account of 50,000 dollars: no days, consistency, fees or scaling but those that are given."""
    plain = {"consistency": OFF, "payout_winning_days": 0, "contract_limit": 0, "funded_contract_limit": 0}
    plain |= {"scaling_profit": (OFF,) * 4, "funded_scaling_profit": (OFF,) * 4, "payout_floor": OFF}
    plain |= {"payout_minimum": 0.01, "payout_share": 1.0, "payout_cap": (OFF,) * 6, "payout_split": 1.0}
    plain |= dict.fromkeys(("evaluation_fee", "monthly_fee", "activation_fee"), 0.0)
    unknown = set(changes) - {*BASE, "contracts", "max_contracts"}
    assert not unknown
    return BASE | plain | {"contracts": 1, "max_contracts": 10} | changes


def stack(accounts) -> LifeRules:
    """Rules of several accounts, each field [A] or [A, n]."""
    fields = EnvParamsLife.__dataclass_fields__
    arrays = {}
    for name in accounts[0]:
        kind = jnp.int32 if name not in fields else fields[name].metadata["dtype"]
        arrays[name] = jnp.asarray([account[name] for account in accounts], kind)
    return LifeRules(**arrays, max_steps_in_episode=jnp.zeros(len(accounts), jnp.int32))


def run(tape, accounts, orders, *, bar_by_bar=False):
    """`live` on the host."""
    rules = stack(accounts)
    orders = jnp.asarray(orders, jnp.int32)
    return jax.device_get(live(tape, rules, tables_of(tape, rules), orders, bar_by_bar=bar_by_bar))


# -- days as a whole --

# Small against the noise of the tape, so that every rule acts on many of the lives.
SMALL = {"trailing_dd_limit": 1_500.0, "funded_trailing_dd_limit": 1_000.0, "profit_target": 700.0, "floor_lock": OFF}
ACCOUNTS = {
    "plain": account(**SMALL),
    "intrabar, locked": account(
        **{**SMALL, "floor_lock": 100.0, "high_water_mode": INTRABAR, "funded_high_water_mode": INTRABAR}
    ),
    "bar close": account(**{**SMALL, "high_water_mode": BAR_CLOSE, "funded_high_water_mode": BAR_CLOSE}),
    "static, consistent": account(**{**SMALL, "floor_lock": -1_500.0, "consistency": 0.5, "minimum_days": 2}),
    "of wins": account(
        **SMALL, consistency=0.6, consistency_of_wins=True, winning_days=2, winning_day_profit=150.0, session_limit=6
    ),
    "intrabar, consistent": account(**{**SMALL, "high_water_mode": INTRABAR, "consistency": 0.7}),
    "daily limits": account(
        **SMALL,
        daily_loss_limit=400.0,
        funded_daily_loss_limit=300.0,
        funded_daily_loss_fails=True,
        evaluation_fee=50.0,
    ),
    "payouts": account(
        **{**SMALL, "payout_winning_days": 1, "payout_winning_day_profit": 100.0, "payout_consistency": 0.8},
        **{"payout_buffer": 200.0, "payout_share": 0.5, "payout_cap": (300.0, 400.0, *[OFF] * 4), "payout_floor": 0.0},
        **{"payouts_at_most": 2, "payout_split": 0.9, "activation_fee": 130.0},
    ),
    "scaling": account(
        **SMALL,
        **{"contracts": 4, "contract_limit": 1, "scaling_profit": (200.0, 500.0, OFF, OFF)},
        **{
            "scaling_contracts": (2, 3, 1, 1),
            "funded_contract_limit": 2,
            "funded_scaling_profit": (300.0, OFF, OFF, OFF),
        },
        **{"funded_scaling_contracts": (4, 1, 1, 1), "payout_buffer": 2_000.0},
    ),
}


@pytest.mark.parametrize("by_risk", [pytest.param(False, marks=pytest.mark.slow), True])
def test_days_added_as_a_whole_are_those_played_bar_by_bar(by_risk):
    tape = recorded(by_risk, by_risk)[3].tape
    rules = [{**rule, "contracts": 0, "max_contracts": 3} if by_risk else rule for rule in ACCOUNTS.values()]
    orders = np.random.default_rng(0).integers(0, len(tape.num_bars), (400, HORIZON))
    whole, bars = (run(tape, rules, orders, bar_by_bar=slow) for slow in (False, True))
    for name, one, other in zip(whole._fields, whole, bars, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    assert (whole.pass_day > 0).any(axis=1).all()
    ends = {int(end) for end in np.unique(whole.ended)}
    assert ends == {
        DoneReason.NONE,
        DoneReason.DRAWDOWN,
        DoneReason.DAILY_LOSS,
        DoneReason.EXPIRED,
        DoneReason.LAST_PAYOUT,
    }
    assert set(np.unique(whole.payouts)) >= {0, 1, 2, 3}


def lived_in_the_environment(env, params, script, accounts):
    """The environment's own lives from each session on to their ends, or to the last day of their market; [A, S].

    Returns done reason, sessions, session of the pass and of the first payout, payouts, cents paid out and of fees.
    """
    env = TradingPhase2(params.market, account_life=True)
    market_id, first = session_starts(env, env.default_params)
    sessions = np.asarray(params.market.bars)[..., SESSION_AND_BREAK] >> 1
    last = jnp.asarray([sessions[m, first[market_id == m].max()] for m in np.unique(market_id)])
    of_market = {name: getattr(params, name) for name in MARKET_FIELDS}
    stacked = [env.default_params.replace(**of_market, **rule, max_steps_in_episode=10**6) for rule in accounts]

    def one(params, m, bar):
        def step(carry, _):
            state, over = carry
            now = jnp.where(over, 0, state.step_idx)
            after, _, fill = env.play(state, script.actions[m, now].astype(jnp.int32), params)
            over |= params.market.bars[m, now + 1, SESSION_AND_BREAK] >> 1 == last[m]
            after = jax.tree.map(lambda new, old: jnp.where(over, old, new), after, state)
            reason = jnp.where(over, 0, fill.done_reason)
            told = (reason, state.session_number, after.funded, after.payouts, after.paid_out, after.fees)
            return (after, over | (reason != 0)), (*told, over)

        start = (env.reset_at(params, m, bar)[1].unpack(), jnp.bool_(False))
        return jax.lax.scan(step, start, None, length=HORIZON * int(np.bincount(sessions[0]).max()))[1]

    lives = jax.jit(jax.vmap(one, (None, 0, 0)), compiler_options={"xla_backend_optimization_level": 1})
    found = [jax.device_get(lives(each, jnp.asarray(market_id), jnp.asarray(first))) for each in stacked]
    return [np.stack(x) for x in zip(*(in_numbers(*one) for one in found), strict=True)]


def in_numbers(reason, number, funded, payouts, paid_out, fees, over):
    """What became of lives, from what they were after each step, [S, T]."""
    rows = np.arange(len(reason))
    end = np.maximum(np.where(over.any(1), over.argmax(1), over.shape[1]) - 1, 0)

    def first_day(happened):
        return np.where(happened.any(1), number[rows, happened.argmax(1)], 0)

    ended = np.where(over[:, 0], 0, reason[rows, end])
    at_end = [np.where(over[:, 0], 0, x[rows, end]) for x in (payouts, paid_out)]
    days = np.where(over[:, 0], 0, number[rows, end])
    return ended, days, first_day(funded & ~over), first_day((payouts > 0) & ~over), *at_end, fees[rows, end]


@pytest.mark.slow  # `test_played.py` sets a replay beside the environment's lives in the fast suite
def test_lives_of_consecutive_sessions_are_those_of_the_environment_to_the_cent():
    env, params, script, found = recorded()
    follows = np.asarray(found.tape.follows)
    ends = np.flatnonzero(follows < 0)
    orders = np.asarray(consecutive_orders(found.tape.follows, HORIZON))
    orders = np.where(np.isin(orders, ends), -1, orders)  # a market's last day ends differently
    # The noise has no drift, and these sessions come one after another: little is asked, so that much is paid.
    easy = {"profit_target": 50.0, "payout_cap": (25.0, 40.0, *[15.0] * 4)}
    bought = [{**rule, **easy} for name, rule in ACCOUNTS.items() if name != "scaling"]
    funded = {"start_funded": True, "funded_trailing_dd_limit": 1_500.0, "payout_winning_days": 0}
    funded |= {"payout_buffer": 0.0, "payout_consistency": OFF}
    accounts = bought + [{**bought[at], **funded} for at in (0, 1, -1)]
    out = run(found.tape, accounts, orders)
    without = ("contracts", "max_contracts")
    rules = [{name: x for name, x in rule.items() if name not in without} for rule in accounts]
    real = lived_in_the_environment(env, params, script, rules)
    real[2][len(bought) :] = 0  # an account that starts funded has no pass
    fields = ("ended", "days", "pass_day", "payout_day", "payouts", "paid_out", "fees")
    for name, mine, theirs in zip(fields, (getattr(out, name) for name in fields), real, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=name)
    assert (out.pass_day > 0).sum() > 60
    assert (out.payouts > 0).sum() > 25
    assert (out.payouts > 1).sum() > 5
    ended = (DoneReason.NONE, DoneReason.DRAWDOWN, DoneReason.DAILY_LOSS, DoneReason.EXPIRED, DoneReason.LAST_PAYOUT)
    assert set(np.unique(out.ended)) == set(ended)


# -- a slow simulation in plain numbers --


@dataclasses.dataclass
class Slow:
    """One account in whole dollars, trade by trade: a second reading that shares nothing with the first."""

    target: int
    limit: int
    minimum_days: int
    share: float
    balance: int = 0
    top: int = 0
    days: int = 0
    best: int = 0

    def day(self, trades) -> str:
        start, floor = self.balance, min(self.top - self.limit, 0)
        for trade in trades:
            self.balance += int(trade)
            today = self.balance - start
            if self.balance < floor:
                return "breached"
            met = self.balance >= self.target and self.days + 1 >= self.minimum_days
            allowed = 100 * self.balance * round(10_000 * self.share) // 10_000  # cents, rounded down
            if met and 100 * max(self.best, today) <= allowed:
                return "passed"
        self.days, self.best = self.days + 1, max(self.best, self.balance - start)
        self.top = max(self.top, self.balance)
        return ""


@pytest.mark.parametrize(
    ("days", "share"),
    [pytest.param(5, 1.0, marks=pytest.mark.slow), pytest.param(0, 0.5, marks=pytest.mark.slow), (3, 0.35)],
)
def test_consistency_and_minimum_days_are_those_of_a_slow_simulation(days, share):
    moves = 25 * fair_walks(200, 12)
    orders = np.random.default_rng(1).integers(0, len(moves), (600, 40))
    rule = account(
        **{"profit_target": 300.0, "trailing_dd_limit": 200.0, "floor_lock": 0.0, "minimum_days": days},
        **{"consistency": share, "high_water_mode": END_OF_DAY, "funded_phase": False},
    )
    found = run(step_tape(moves), [rule], orders)
    codes = {"breached": DoneReason.DRAWDOWN, "passed": DoneReason.PROFIT_TARGET, "": DoneReason.NONE}
    for path, order in enumerate(orders):
        slow, end, day = Slow(300, 200, days, share), "", 0
        while not end and day < len(order):
            end, day = slow.day(moves[order[day]]), day + 1
        assert (found.ended[0, path], found.days[0, path]) == (codes[end], day)
    assert 0.05 < (found.ended == DoneReason.PROFIT_TARGET).mean() < 0.5


# -- closed forms --


@pytest.mark.slow
def test_fair_walks_pass_as_often_as_the_closed_forms_say():
    """Trailing distance with and without lock, both modes: within one standard error of 10,000 lives, by 40,000.

    The sessions are all that eight fair steps can be, each once: what is drawn of them is a fair walk without a rest.
    """
    limit, target, far_target, lock, step = 64, 96, 160, 32, 16  # dollars
    common = {"trailing_dd_limit": float(limit), "profit_target": float(target), "funded_phase": False}
    far = {"profit_target": float(far_target), "floor_lock": float(lock)}
    modes, forms = (BAR_CLOSE, INTRABAR), ({}, far)
    rules = [
        account(**common | {"floor_lock": OFF, "high_water_mode": mode} | more) for mode in modes for more in forms
    ]
    signs = 1 - 2 * (np.arange(256)[:, None] >> np.arange(8) & 1)
    orders = np.random.default_rng(1).integers(0, len(signs), (40_000, 40))
    found = run(step_tape(step * signs), rules, orders)
    passed = (found.ended == DoneReason.PROFIT_TARGET).mean(axis=1)
    n, m, k, locked = (x // step for x in (limit, target, far_target, lock))
    up = (n + 1) / (n + 2)
    exact = np.array([up**m, up ** (n + locked) * (n + 1) / (k - locked + 1)] * 2)
    assert (found.ended == DoneReason.NONE).mean() < 1e-4
    assert (np.abs(passed - exact) < np.sqrt(exact * (1 - exact) / 10_000)).all(), passed - exact
    np.testing.assert_array_equal(found.ended[:2], found.ended[2:])  # flat at every close: both modes see the same


# -- by hand --


def test_a_life_worked_by_hand():
    """Days of one trade each: 600, 500, -100, 400, 300, -900 dollars; target 1,000, then payouts above a buffer of 200.

    Passed on the second day. Funded: -100, then 300 in all: 100 above the buffer is paid, 90 to the trader. The 200
    that are left and 300 more: 300 above the buffer, of which the cap leaves 150 to be taken, 135 to the trader. With
    350 left, the loss of 900 goes below the floor, which rose to the start with the first payout.
    """
    tape = step_tape(np.array([[600], [500], [-100], [400], [300], [-900]]))
    rule = account(
        **{"profit_target": 1_000.0, "trailing_dd_limit": 800.0, "funded_trailing_dd_limit": 1_500.0},
        **{"payout_buffer": 200.0, "payout_cap": (1_000.0, *[150.0] * 5), "payout_split": 0.9, "payout_floor": 0.0},
        **{"evaluation_fee": 49.0, "monthly_fee": 49.0, "activation_fee": 149.0},
    )
    found = run(tape, [rule], [[0, 1, 2, 3, 4, 5], [0, 2, 2, 2, 2, 2]])
    assert found.ended[0].tolist() == [DoneReason.DRAWDOWN, DoneReason.NONE]
    assert found.pass_day[0].tolist() == [2, 0]
    assert found.payout_day[0].tolist() == [4, 0]
    assert (found.payouts[0, 0], found.paid_out[0, 0]) == (2, 9_000 + 13_500)
    assert found.fees[0].tolist() == [4_900 + 14_900, 4_900]
    assert found.days[0].tolist() == [6, 6]


def test_months_are_paid_while_the_evaluation_goes_on():
    tape = step_tape(np.array([[1], [2]]))
    orders = np.zeros((1, 50), int)
    fees = [
        account(evaluation_fee=49.0, monthly_fee=49.0),
        account(evaluation_fee=49.0, monthly_fee=49.0, session_limit=21),
    ]
    found = run(tape, fees, orders)
    assert found.fees[:, 0].tolist() == [3 * 4_900, 4_900]  # at the start, and on the evenings of days 21 and 42
    assert found.ended[:, 0].tolist() == [DoneReason.NONE, DoneReason.EXPIRED]
    assert found.days[:, 0].tolist() == [50, 21]
    assert not found.out_of_data.any()


def test_sizes_follow_the_scaling_plan():
    """100 dollars a contract and day: 1 contract, from a profit of 100 on 2, from 300 on 4, of the 5 asked for."""
    tape = step_tape(np.array([[100]]))
    rule = account(
        **{"contracts": 5, "contract_limit": 1, "scaling_profit": (100.0, 300.0, OFF, OFF), "profit_target": 1_101.0},
        **{"scaling_contracts": (2, 4, 1, 1), "funded_phase": False},
    )
    found = run(tape, [rule, {**rule, "profit_target": 1_100.0}], np.zeros((1, 6), int))
    assert found.pass_day[:, 0].tolist() == [5, 4]  # 100, 300, 700, 1,100, 1,500
