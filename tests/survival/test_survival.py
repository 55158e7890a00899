"""Account survival: the replay against the environment to the cent, closed forms, orders, intervals and figures."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.handmade import LEVEL, make_bars
from tests.survival.few import few_attempts
from tests.survival.material import HORIZON, KEY, fair_walks, noisy, recorded, step_tape
from trading_gymnax import TradingPhase1
from trading_gymnax.accounts import AccountPreset, evaluation_account, original
from trading_gymnax.evaluation.evaluate import session_starts
from trading_gymnax.evaluation.walk import walk
from trading_gymnax.market import SESSION_AND_BREAK, pack
from trading_gymnax.params import EnvParamsPhase2, numbers_of
from trading_gymnax.report.page import embed
from trading_gymnax.report.survival_section import survival_section
from trading_gymnax.rules import BAR_CLOSE, BUY, END_OF_DAY, HIGH_WATER_MODES, HOLD, INTRABAR, DoneReason
from trading_gymnax.survival import tape as tapes
from trading_gymnax.survival.cases import ACCOUNT_FIELDS, TIME_FIELDS, all_cases
from trading_gymnax.survival.draws import SETS, draw_orders
from trading_gymnax.survival.estimates import Attempts, curve, days_to_pass, interval, probability
from trading_gymnax.survival.odds import MONTH, survival
from trading_gymnax.survival.paths import bootstrap_orders, consecutive_orders, replay
from trading_gymnax.survival.refused import SurvivalRefused
from trading_gymnax.survival.replay import BREACHED, PASSED, RUNNING, AccountRules
from trading_gymnax.survival.tape import DATA_END, FAR, MUST_FLAT, NUM_COLUMNS, join_tapes, record

OFF = math.inf
FIELDS = AccountRules._fields
DTYPES = (*[jnp.float32] * 5, jnp.int32, jnp.bool_, *[jnp.int32] * 3)


def account(trail=1_500.0, target=1_500.0, *, mode=BAR_CLOSE, lock=OFF, daily=OFF, fails=False, contracts=1, days=0):
    """Rules of one account of 50,000 dollars."""
    return AccountRules(50_000.0, trail, lock, daily, target, mode, fails, contracts, 10, days)


def stack(accounts) -> AccountRules:
    """Rules of several accounts, each field [A]."""
    return AccountRules(*(jnp.asarray(x, kind) for x, kind in zip(zip(*accounts, strict=True), DTYPES, strict=True)))


def run(tape, accounts, orders, *, keep_open=False, bar_by_bar=False):
    """`replay` on the host."""
    flags = jnp.full(len(orders), keep_open)
    orders = jnp.asarray(orders, jnp.int32)
    return jax.device_get(replay(tape, stack(accounts), orders, flags, bar_by_bar=bar_by_bar))


# -- against the environment --

# Small against the noise of the tape, so that every rule acts on many of the starts; 2 contracts and risk, too.
ACCOUNTS = {
    "bar close": account(1_500, 700),
    "intrabar": account(1_500, 1_000, mode=INTRABAR),
    "end of day": account(1_500, 500, mode=END_OF_DAY),
    "intrabar, locked": account(1_000, 4_000, mode=INTRABAR, lock=100.0),
    "end of day, daily limit": account(900, 2_000, mode=END_OF_DAY, daily=300.0),
    "daily limit fails": account(900, 2_000, daily=300.0, fails=True),
    "locked below the start": account(1_000, 1_000, lock=-250.0),
    "two contracts": account(1_500, 2_500, mode=INTRABAR, lock=100.0, daily=700.0, contracts=2),
    "far": account(20_000, 20_000, contracts=3),
}


def played_for_real(env, params, policy, rule):
    """Outcome, sessions, balance and equity of the environment from each session on; [N] each."""
    contracts = {"position_size": rule.contracts} if rule.contracts else {}
    fields = {name: value for name, value in rule._asdict().items() if name not in ("contracts", "minimum_days")}
    params = params.replace(**fields, **contracts, terminate_at_session_end=False, max_steps_in_episode=10**6)
    market_id, first = session_starts(env, params)
    steps, start = walk(env, policy, params, market_id, first, KEY)
    last = np.append(start[1:] != start[:-1], True)
    session = np.asarray(params.market.bars)[market_id[start], steps.bar, SESSION_AND_BREAK] >> 1
    days = [len(np.unique(session[start == at])) for at in range(len(first))]
    codes = {DoneReason.DRAWDOWN: BREACHED, DoneReason.DAILY_LOSS: BREACHED, DoneReason.PROFIT_TARGET: PASSED}
    outcome = [codes.get(int(reason), RUNNING) for reason in steps.done_reason[last]]
    return np.array(outcome), np.array(days), steps.balance[last], steps.equity[last]


@pytest.mark.parametrize(("stop_first", "by_risk"), [(True, False), (False, True)])
def test_consecutive_orders_are_the_environment_to_the_cent(stop_first, by_risk):
    env, params, script, found = recorded(stop_first, by_risk)
    orders = consecutive_orders(found.tape.follows, HORIZON)
    rules = [rule._replace(contracts=0, max_contracts=3) if by_risk else rule for rule in ACCOUNTS.values()]
    out = run(found.tape, rules, orders, keep_open=True)
    seen = set()
    for at, (name, rule) in enumerate(zip(ACCOUNTS, rules, strict=True)):
        outcome, days, balance, equity = played_for_real(env, params, script, rule)
        np.testing.assert_array_equal(out.outcome[at], outcome, err_msg=name)
        np.testing.assert_array_equal(out.days[at], days, err_msg=name)
        np.testing.assert_array_equal(out.balance[at], balance, err_msg=name)
        np.testing.assert_array_equal(out.equity[at], equity, err_msg=name)
        seen |= {(int(x), bool(d > 1)) for x, d in zip(outcome, days, strict=True)}
    # every kind of end, within the first session and later
    assert seen >= {(PASSED, False), (PASSED, True), (BREACHED, False), (BREACHED, True), (RUNNING, True)}


_DOLLARS = st.integers(0, 4_000).map(float)
RULES = {  # what a rule of an account is drawn from
    "initial_balance": st.sampled_from([50_000.0, 10_000.0]),
    "trailing_dd_limit": _DOLLARS | st.just(OFF),
    "floor_lock": _DOLLARS.map(lambda x: x - 1_000) | st.just(OFF),
    "daily_loss_limit": _DOLLARS | st.just(OFF),
    "profit_target": st.integers(1, 6_000).map(float),
    "high_water_mode": st.sampled_from(range(len(HIGH_WATER_MODES))),
    "daily_loss_fails": st.booleans(),
    "contracts": st.integers(0, 3),
    "max_contracts": st.integers(1, 3),
    "minimum_days": st.integers(0, 6),
}


def test_every_parameter_is_a_rule_of_the_account_or_of_the_market():
    """A rule that is added to one of them and not here would be skipped by quiet sessions, and nobody would see it."""
    assert set(RULES) == set(FIELDS)
    of_account = {*ACCOUNT_FIELDS, *TIME_FIELDS}
    of_market = """
        risk_per_trade position_size sl_atr_mult tp_sl_ratio min_stop_ticks slippage_ticks slippage_atr_mult
        stop_slippage_ticks stop_slippage_atr_mult target_through_ticks commission_per_side fill_at_close stop_first
        rth_open rth_close random_start_fraction min_bars_left forced_entry_fraction reward_scale reward_realized
        pass_reward violation_penalty market_weights trail_atr_mult be_min_profit_atr mask_no_ops
    """
    assert {field.name for field in numbers_of(EnvParamsPhase2)} == of_account | set(of_market.split())


@settings(max_examples=5)
@given(data=st.data())
def test_sessions_added_as_a_whole_are_those_played_bar_by_bar(data):
    found = recorded(by_risk=True, stop_first=False)[3]
    rules = data.draw(st.lists(st.builds(AccountRules, **RULES), min_size=9, max_size=9))
    orders = np.random.default_rng(data.draw(st.integers(0, 2**32))).integers(0, len(found.date), (256, HORIZON))
    short, long = (run(found.tape, rules, orders, bar_by_bar=slow) for slow in (False, True))
    for one, other in zip(short, long, strict=True):
        np.testing.assert_array_equal(one, other)


# -- closed forms --


@pytest.mark.slow
def test_fair_walks_pass_as_often_as_the_closed_forms_say():
    limit, target, far_target, lock = 64, 96, 160, 32  # dollars
    rules = [account(limit, target, mode=mode) for mode in (BAR_CLOSE, INTRABAR)]
    rules += [account(limit, far_target, mode=INTRABAR, lock=float(lock)), account(limit, target, lock=float(lock))]
    signs = fair_walks(2_000, 128)
    orders = np.random.default_rng(1).integers(0, len(signs), (10_000, 30))
    limits = [math.exp(-target / limit)] * 2
    limits += [math.exp(-(limit + lock) / limit) * limit / (far_target - lock), limits[0]]
    errors = []
    for step in (32, 16, 8, 4):
        out = run(step_tape(step * signs), rules, orders)
        found = (out.outcome == PASSED).mean(axis=1)
        n, m, k, locked = (x // step for x in (limit, target, far_target, lock))
        up = (n + 1) / (n + 2)
        exact = np.array([up**m, up**m, up ** (n + locked) * (n + 1) / (k - locked + 1), up**m])
        assert (out.outcome == RUNNING).mean() < 0.002
        np.testing.assert_allclose(found, exact, atol=0.02)  # four standard errors of 10,000 paths
        np.testing.assert_array_equal(out.outcome[0], out.outcome[1])  # flat at every close: both modes see the same
        errors.append(np.abs(found - limits))
    errors = np.array(errors)
    assert (errors[1:] < errors[:-1]).all(), errors
    # the last bias is O(h / d), too: exp(-T / d) is approached as the steps shrink
    assert (errors[-1] < 0.2 * errors[0]).all(), errors


def always_buy(key, obs, mask):
    """BUY wherever it is legal."""
    return jnp.where(mask[:, BUY], BUY, HOLD)


def always_hold(key, obs, mask):
    """HOLD in every row."""
    return jnp.full(len(mask), HOLD)


FREE = {"commission_per_side": 0.0, "slippage_ticks": 0, "stop_slippage_ticks": 0, "target_through_ticks": 0}


@functools.cache
def tick_market(sessions=80, bars=60):
    """A market whose bars move one tick up or down, and parameters with which a trade wins or loses that tick."""
    moves = fair_walks(sessions, bars, seed=2)
    moves[:, 0] = 0  # the first bar of a session is a decision bar only
    close = LEVEL + moves.reshape(-1).cumsum()
    opened = close - moves.reshape(-1)
    rows = np.stack([opened, np.maximum(opened, close), np.minimum(opened, close), close], axis=1).tolist()
    days = np.repeat(np.arange(1, sessions + 1), bars).tolist()
    market = pack([make_bars(rows, sessions=days, scheduled_close=930 + bars - 1, tail=False)])
    env = TradingPhase1(market)
    return market, env, env.default_params.replace(sl_atr_mult=0.01, min_stop_ticks=1, tp_sl_ratio=1.0, **FREE)


def preset(name="walk", *, fee=None, days=0, limit=None, **fields):
    """An account of that name."""
    return AccountPreset(name, tuple(fields.items()), (), days, fee, limit)


@pytest.mark.slow
def test_a_real_tape_of_ticks_passes_as_often_as_a_fair_walk():
    market, env, params = tick_market()
    # a tick is 5 dollars: a limit of 3 and of 6 ticks, a target of 4 and of 8
    accounts = [preset(trailing_dd_limit=15.0 * k, profit_target=20.0 * k) for k in (1, 2)]
    how = {"block_sessions": 1, "coin_seeds": 20}  # with two, the coin's own luck is as large as 0.07
    found = survival(always_buy, market, accounts, key=KEY, env=env, params=params, **how)
    for case, n, m in zip(found.cases, (3, 6), (4, 8), strict=True):
        exact = ((n + 1) / (n + 2)) ** m
        for odds in (case.policy, case.coin):  # whoever trades each bar of a fair walk passes as often
            assert odds.passed.value == pytest.approx(exact, abs=0.025)
            assert odds.passed.low < exact < odds.passed.high
        assert case.over_coin.low < 0 < case.over_coin.high
    assert found.num_sessions == 80


# -- hand-made sessions --


def test_minimum_days_worked_by_hand():
    moves = np.array([[200], [-100], [50], [40], [-150], [0]])
    tape = step_tape(moves)
    rules = [account(1_000, 150, days=3), account(100, 150, days=3, mode=INTRABAR), account(1_000, 150)]
    orders = [[0, 1, 2, 0], [0, 1, 3, 5], [0, 4, 0, 0], [0, 0, 0, 0]]
    out = run(tape, rules, orders)
    # 200, 100, 150: the target is met again on the third day; 140 is not; 50, 250; 600 on the third day
    assert out.outcome[0].tolist() == [PASSED, RUNNING, PASSED, PASSED]
    assert out.days[0].tolist() == [3, 4, 3, 3]
    assert out.balance[0].tolist() == [5_015_000, 5_014_000, 5_025_000, 5_060_000]
    # with a limit of 100 the fall of 150 breaches while the account waits: the first tick below the floor is -101
    assert out.outcome[1].tolist() == [PASSED, RUNNING, BREACHED, PASSED]
    assert (out.days[1, 2], out.balance[1, 2]) == (2, 5_000_000 + 20_000 - 10_100)
    assert out.outcome[2].tolist() == [PASSED] * 4
    assert out.days[2].tolist() == [1] * 4


def test_a_session_is_quiet_to_the_cent():
    """A loss of 100.00 dollars with its fees: the floor itself is no breach, a cent below it is one."""
    tape = step_tape(np.array([[-99], [30]]))._replace(commission=jnp.full(2, 50, jnp.int32))
    # in the second order a day of 29 dollars has raised the mark, and with it the floor
    out = run(tape, [account(100.0), account(99.99)], [[0, -1], [1, 0]])
    assert out.outcome.tolist() == [[RUNNING, RUNNING], [BREACHED, BREACHED]]
    assert out.balance.tolist() == [[4_990_000, 4_992_900]] * 2


def test_a_position_at_the_end_of_the_data_stays_open_or_is_closed():
    tape = step_tape(np.array([[7]]))
    row = np.asarray(tape.bars).copy()
    row[0, 0, [tapes.TARGET_LEVEL, MUST_FLAT, DATA_END, tapes.SLIP]] = FAR, 0, 1, 2
    tape = tape._replace(bars=jnp.asarray(row), commission=jnp.asarray([250], jnp.int32))
    orders = [[0, -1]]
    kept, closed = (run(tape, [account()], orders, keep_open=keep) for keep in (True, False))
    assert (kept.balance.item(), kept.equity.item()) == (5_000_000 - 250, 5_000_000 - 250 + 700)
    assert (closed.balance.item(), closed.equity.item()) == (5_000_000 - 500 + 500,) * 2
    assert kept.out_of_data.item()
    assert kept.days.item() == 1


def test_an_order_that_fills_the_horizon_is_not_cut():
    out = run(step_tape(np.array([[1], [1]])), [account()], [[0, 1], [1, -1], [-1, -1]])
    assert out.out_of_data[0].tolist() == [False, True, True]
    assert out.days[0].tolist() == [2, 1, 0]


def test_an_end_that_the_tape_cannot_book_is_an_error(monkeypatch):
    env, params, script, _ = recorded()
    steps, session = walk(env, script, params, *session_starts(env, params), KEY)
    steps.done_reason[:] = [DoneReason.NONE] * (len(session) - 1) + [DoneReason.TIME_LIMIT]
    monkeypatch.setattr(tapes, "walk", lambda *_: (steps, session))
    with pytest.raises(AssertionError, match="no account without rules can end"):
        record(script, env, params, key=KEY, max_contracts=10)


# -- orders --


def test_bootstrapped_orders_go_on_within_a_market_and_draw_every_session_alike():
    follows = np.array([1, 2, 4, 5, 6, 7, -1, -1])  # two markets: 0 1 2 4 6 and 3 5 7
    following = np.array([1, 2, 4, 5, 6, 7, 0, 3])
    draw = functools.partial(bootstrap_orders, KEY, jnp.asarray(follows), paths=4_000, horizon=25)
    orders = np.asarray(draw(jnp.float32(5)))
    assert orders.shape == (4_000, 25)
    goes_on = following[orders[:, :-1]] == orders[:, 1:]
    assert goes_on.mean() == pytest.approx(1 - 1 / 5 * 7 / 8, abs=0.005)
    np.testing.assert_allclose(np.bincount(orders.ravel(), minlength=8) / orders.size, 1 / 8, atol=0.004)
    whole = np.asarray(draw(jnp.float32(1e9)))
    assert (following[whole[:, :-1]] == whole[:, 1:]).all()
    assert set(whole[0]) in ({0, 1, 2, 4, 6}, {3, 5, 7})
    alone = np.asarray(draw(jnp.float32(1)))
    assert (following[alone[:, :-1]] == alone[:, 1:]).mean() == pytest.approx(1 / 8, abs=0.005)


def test_consecutive_orders_stop_where_the_market_does():
    orders = consecutive_orders(jnp.asarray([2, 3, 4, -1, -1]), 3)
    assert orders.tolist() == [[0, 2, 4], [1, 3, -1], [2, 4, -1], [3, -1, -1], [4, -1, -1]]


def test_joined_walks_follow_their_own_sessions():
    tape = join_tapes([step_tape(np.array([[1, 2], [3, 4]])), step_tape(np.array([[5, 6, 7], [7, 8, 9]]))])
    assert tape.follows.tolist() == [1, -1, 3, -1]
    assert tape.num_bars.tolist() == [2, 2, 3, 3]
    assert tape.bars.shape == (4, 64, NUM_COLUMNS)
    out = run(tape, [account()], [[0, 2, -1], [1, 3, -1]])
    assert out.balance[0].tolist() == [5_000_000 + 100 * (1 + 2 + 5 + 6 + 7), 5_000_000 + 100 * (3 + 4 + 7 + 8 + 9)]


# -- estimates --


def test_an_interval_is_the_spread_of_sets_without_the_noise_of_their_paths():
    draws = np.random.default_rng(0)
    true, noise = draws.normal(0.5, 0.06, 20_000), draws.normal(0, 0.08, 20_000)
    low, high = interval(np.array([0.4]), (true + noise)[:, None], np.array([0.0]), np.full((20_000, 1), 0.08))
    np.testing.assert_allclose([low.item(), high.item()], [0.4 - 1.96 * 0.06, 0.4 + 1.96 * 0.06], atol=0.004)
    wide = interval(np.array([0.4]), true[:, None], np.array([0.0]), np.zeros((20_000, 1)), 1.5)
    np.testing.assert_allclose(wide.ravel(), [0.4 - 1.5 * 1.96 * 0.06, 0.4 + 1.5 * 1.96 * 0.06], atol=0.004)
    # no scatter but noise: only the figure's own Monte Carlo error is left
    low, high = interval(np.array([0.4]), noise[:, None], np.array([0.01]), np.full((20_000, 1), 0.2))
    np.testing.assert_allclose([low.item(), high.item()], [0.4 - 0.0196, 0.4 + 0.0196], atol=1e-6)


def test_agreement_of_all_paths_does_not_prove_certainty():
    none = probability(np.zeros(100, bool), np.zeros((5, 10), bool), 1.0, attempts=3)
    assert (none.value, none.low) == (0, 0)
    assert none.high == pytest.approx(1 - 0.025 ** (1 / 3))
    every = probability(np.ones(100, bool), np.ones((5, 10), bool), 1.0, attempts=3)
    assert (every.value, every.high) == (1, 1)
    assert every.low == pytest.approx(0.025 ** (1 / 3))


def test_curve_and_days_worked_by_hand():
    outcome, days = np.array([PASSED, PASSED, BREACHED, RUNNING]), np.array([1, 3, 2, 3])
    attempts = Attempts(outcome, days, np.stack([outcome] * 3), np.stack([days] * 3), 12, 4)
    found = curve(attempts, 3)
    np.testing.assert_allclose(found.value, [[1, 0.75, 0.5, 0.25], [0, 0.25, 0.25, 0.5], [0, 0, 0.25, 0.25]])
    assert (found.low <= found.value).all()
    assert (found.high >= found.value).all()
    took = days_to_pass(attempts)
    assert (took.median.value, took.median.low, took.median.high) == (2, 2, 2)
    assert (took.fast, took.slow) == (1.1, 2.9)
    assert attempts.independent_attempts == 12 / 2.25
    assert attempts.widening == pytest.approx(math.sqrt(3 / 2) * 4.302653 / 1.959964)  # three blocks: t of 2 degrees
    nobody = days_to_pass(dataclasses.replace(attempts, outcome=np.zeros(4)))
    assert math.isnan(nobody.median.value)
    assert math.isnan(nobody.fast)


# -- the whole --


@functools.cache
def judged():
    """A few accounts on a small tape; the second has a fee and minimum days."""
    market, env, params = tick_market()
    accounts = [
        preset("plain", trailing_dd_limit=60.0, profit_target=80.0),
        preset("monthly", fee=100.0, days=7, trailing_dd_limit=90.0, profit_target=80.0, floor_lock=10.0),
    ]
    asked = {"contracts": [1, 2], "high_water_modes": ["INTRABAR", "END_OF_DAY"], "pass_value_usd": 1_000.0}
    options = {"env": env, "params": params, "coin_seeds": 2}
    with few_attempts():
        return survival(always_buy, market, accounts, key=KEY, **asked, **options)


def test_all_combinations_stand_in_order():
    found = judged()
    combinations = [(case.account.name, case.high_water_mode, case.contracts) for case in found.cases]
    modes = ("INTRABAR", "END_OF_DAY")
    assert combinations == [(name, mode, n) for name in ("plain", "monthly") for mode in modes for n in (1, 2)]
    assert found.cases[0].name == "plain, INTRABAR, 1 contract"
    assert found.cases[1].name == "plain, INTRABAR, 2 contracts"
    assert [case.fee_text for case in found.cases[3:5]] == ["fee unknown", "100 dollars a month"]
    table = found.table()
    assert len(table) == 2 * len(found.cases)
    for name in ("passed", "breached", "running", "usd", "days"):
        assert ((table[f"{name}_low"] <= table[name]) & (table[name] <= table[f"{name}_high"])).all(), name
    np.testing.assert_allclose(table[["passed", "breached", "running"]].sum(axis=1), 1)
    ends = ["consecutive_passed", "consecutive_breached", "consecutive_running", "consecutive_out_of_data"]
    np.testing.assert_allclose(table[ends].sum(axis=1), 1)
    assert table["consecutive_attempts"].tolist() == [80, 160] * len(found.cases)
    # seven days before a pass counts
    assert (table["days_5"][table["case"].str.startswith("monthly")] >= 7).all()
    assert "plain, INTRABAR, 1 contract (fee unknown)" in str(found)


def test_dollars_are_the_value_of_a_pass_less_the_fees_of_the_months():
    found = judged()
    for case in found.cases:
        for odds in (case.policy, case.coin):
            if case.account.fee_usd is None:
                assert odds.usd.value == pytest.approx(1_000 * odds.passed.value)
            else:
                ended = 1 - odds.curve.value[RUNNING]
                months = 1 + (1 - ended[MONTH])  # every attempt pays one, those that go on after 21 sessions two
                assert odds.usd.value == pytest.approx(1_000 * odds.passed.value - 100 * months)


def test_one_who_never_trades_keeps_the_account_and_pays_for_it():
    market, env, params = tick_market()
    monthly = preset(fee=100.0, trailing_dd_limit=60.0, profit_target=80.0)
    with few_attempts():
        found = survival(always_hold, market, monthly, key=KEY, env=env, params=params, coin_seeds=1)
    case = found.cases[0]
    for odds in (case.policy, case.coin):
        assert odds.running.value == 1
        assert odds.usd.value == -200
        assert odds.passed.low == 0
        assert odds.passed.high == pytest.approx(1 - 0.025 ** (30 / 80))
        assert odds.usd.high == pytest.approx(-200 + 80 * odds.passed.high)
        assert math.isnan(odds.days.median.value)
        # 51 of 80 starts have thirty sessions before them
        assert (odds.consecutive.running, odds.consecutive.out_of_data) == (51 / 80, 29 / 80)
    assert "The policy never trades" in found.notes[0]
    assert case.over_coin.value == 0
    assert "to a pass -" in str(found)


@pytest.mark.slow
def test_phase_2_says_what_its_policy_saw():
    market, script = noisy()
    few = {"coin_seeds": 1, "block_sessions": 2, "sessions": 4}
    with few_attempts():
        found = survival(script, market, evaluation_account(50_000), key=KEY, env=recorded()[0], **few)
    assert any("Phase 2 shows the policy its drawdown" in note for note in found.notes)
    assert any("fee is unknown" in note for note in found.notes)
    assert any("worth the profit target" in note for note in found.notes)
    assert found.cases[0].pass_value_usd == 3_000


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"account": "apex"}, "account is an AccountPreset or several"),
        ({"account": []}, "empty list; give at least one AccountPreset"),
        ({"account": original()}, "also changes fill_at_close, stop_slippage_ticks, target_through_ticks"),
        ({"account": preset()}, "has no profit target that could be reached"),
        ({"account": preset(profit_target=0.0)}, "has no profit target that could be reached"),
        ({"account": preset(profit_target=10.0, trailing_dd_limit=-5.0)}, "trailing_dd_limit must not be negative"),
        ({"contracts": 5}, "5 contracts of NQ are more than the 4 that account"),
        ({"contracts": 0}, "contracts are whole numbers from 1 on; got 0"),
        ({"contracts": [1, 1.5]}, "contracts are whole numbers from 1 on; got 1.5"),
        ({"contracts": []}, "contracts is an empty list"),
        ({"high_water_modes": ["DAILY"]}, "high_water_modes are of BAR_CLOSE, INTRABAR, END_OF_DAY; got 'DAILY'"),
        ({"sessions": 0}, "sessions is a whole number, 1 or more; got 0"),
        ({"paths": 1.5}, "paths is a whole number, 2 or more; got 1.5"),
        ({"coin_seeds": True}, "coin_seeds is a whole number, 1 or more; got True"),
        ({"block_sessions": 0.5}, "block_sessions is a mean length of 1 session or more; got 0.5"),
        ({"block_sessions": 100}, "the view has 80 usable sessions, fewer than a block of 100"),
        ({"pass_value_usd": math.nan}, "pass_value_usd is a number of dollars; got nan"),
        ({"market": "NQ"}, "market must be a MarketData, made by load_market_data; got str"),
        ({"env": None, "phase": 3}, "phase is 1 or 2; got 3"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options, complaint):
    market, env, params = tick_market()
    asked = {"market": market, "account": evaluation_account(25_000), "env": env, "params": params, **options}
    with pytest.raises(SurvivalRefused, match=complaint):
        survival(always_buy, asked.pop("market"), asked.pop("account"), key=KEY, **asked)


def test_a_policy_that_sees_its_account_is_refused():
    market, _, params = tick_market()
    env = TradingPhase1(market, account_features=True)
    with pytest.raises(ValueError, match="account_features=True, so its policy acts on the account"):
        survival(always_buy, market, evaluation_account(50_000), key=KEY, env=env)
    with pytest.raises(ValueError, match="an entry chooses its size"):
        survival(always_buy, market, evaluation_account(50_000), key=KEY, env=TradingPhase1(market, entry_sizes=(1, 2)))
    by_risk = params.replace(risk_per_trade=100.0)
    with pytest.raises(ValueError, match="size entries by risk_per_trade; leave out contracts="):
        survival(always_buy, market, evaluation_account(50_000), key=KEY, params=by_risk, contracts=1, phase=1)


def test_ten_micros_count_as_one_contract():
    assert [all_cases([evaluation_account(25_000)], micro(), n, None)[0][1] for n in (1, 40)] == [1, 40]
    with pytest.raises(ValueError, match="41 contracts of MNQ are more than the 40 that account"):
        all_cases([evaluation_account(25_000)], micro(), 41, None)


@functools.cache
def micro():
    """Parameters of a micro's market."""
    rows = [(LEVEL, LEVEL, LEVEL, LEVEL)] * 3
    return TradingPhase1(pack([make_bars(rows, symbol="MNQ")])).default_params


# -- the report --


def test_the_section_shows_every_case_with_its_interval():
    found = judged()
    section = survival_section(found)
    assert len(section.charts) == len(found.cases)
    assert all(f'id="{name}"' in section.body for name in section.charts)
    assert "OUT OF SAMPLE" in section.body.upper()
    first = found.cases[0].policy.passed
    assert f"{100 * first.value:.0f}%<br>({100 * first.low:.0f} to {100 * first.high:.0f})" in section.body
    assert section.body.count("CANNOT BE TOLD FROM THE COIN") + section.body.count("than the coin") == len(found.cases)
    chart = section.charts["survival-out-of-sample-0"]
    names = {trace.get("name") for trace in chart["data"]}
    assert {"policy: passed", "coin: passed", "95 % interval of passed"} <= names
    passed = next(trace for trace in chart["data"] if trace.get("name") == "policy: passed")
    np.testing.assert_allclose(passed["y"][-1], 100 * first.value, atol=0.006)
    assert passed["x"] == list(range(31))
    embed(section.charts)  # plain numbers only
    hostile = dataclasses.replace(found.cases[0], account=preset("<script>alert(1)</script>"))
    assert "<script" not in survival_section(dataclasses.replace(found, cases=(hostile,)), "In sample").body


@pytest.mark.slow
def test_intervals_hold_the_truth_about_as_often_as_they_say():
    """Normal sessions of a known law: the odds found from 40 of them, in blocks of 5, against those of the law."""
    draws, rule = np.random.default_rng(0), [account(1_500, 1_500, mode=INTRABAR, lock=100.0)]

    def sessions(count):
        return step_tape(np.rint(draws.normal(60, 400, (count, 1))).astype(int))

    law = run(sessions(50_000), rule, draws.integers(0, 50_000, (40_000, 30)))
    truth = {outcome: float((law.outcome == outcome).mean()) for outcome in (PASSED, BREACHED, RUNNING)}
    held, repeats = 0, 40
    for at in range(repeats):
        tape = sessions(40)
        keys = jax.random.split(jax.random.key(at), 3)
        orders, sets = draw_orders(tape.follows, keys, 30, 5, 2_048)
        out = run(tape, rule, jnp.concatenate([orders, sets]))
        found, days = out.outcome[0], out.days[0]
        in_sets = (x[2_048:].reshape(SETS, -1) for x in (found, days))
        attempts = Attempts(found[:2_048], days[:2_048], *in_sets, 40, 5)
        odds = {outcome: attempts.share(outcome) for outcome in truth}
        held += sum(odds[outcome].low <= value <= odds[outcome].high for outcome, value in truth.items())
    # 95 % is asked; so few sessions give somewhat less
    assert held / (3 * repeats) > 0.85
