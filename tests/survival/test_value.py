"""What an account is worth over its life: figures by hand, on a tape of ticks, and what is refused."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from tests.survival.material import KEY
from tests.survival.test_survival import always_buy, always_hold, tick_market
from trading_gymnax import TradingPhase1
from trading_gymnax.accounts import plan
from trading_gymnax.evaluation import codes
from trading_gymnax.rules import DoneReason
from trading_gymnax.survival import Bankroll, SurvivalRefused, lifetime_value
from trading_gymnax.survival.cases import check_amounts
from trading_gymnax.survival.lives import LifeOutcome
from trading_gymnax.survival.value import _portfolios, _ratio

# of one program for the tests of this file
SIZES = {"block_sessions": 1, "coin_seeds": 2, "paths": 4_000, "sessions": 12, "contracts": [1, 2]}


def tiny(**fees):
    """Topstep's plan made small: a tick of the tape is 5 dollars."""
    topstep = plan("topstep-50k")
    evaluation = {
        "profit_target": 20,
        "drawdown": 15,
        "drawdown_lock": None,
        "consistency": None,
        "consistency_of": None,
    }
    funded = {"drawdown": 15, "drawdown_lock": None, "winning_days": 0, "scaling": None, "payout_minimum": 5}
    return dataclasses.replace(
        topstep,
        evaluation=dataclasses.replace(topstep.evaluation, **evaluation, drawdown_mode="INTRABAR"),
        funded=dataclasses.replace(topstep.funded, **funded, floor_after_payout=None, payout_share=1),
        fees=dataclasses.replace(topstep.fees, **fees),
    )


@functools.cache
def found():
    market, env, params = tick_market()
    cheap = tiny(monthly=1, activation=0, reset=None)
    return lifetime_value(always_buy, market, cheap, key=KEY, env=env, params=params, bankroll=Bankroll(3, 6), **SIZES)


@pytest.mark.slow
def test_a_fair_walk_passes_as_often_as_the_closed_form_says():
    case = found().cases[0]
    exact = ((3 + 1) / (3 + 2)) ** 4  # a limit of 3 ticks, a target of 4
    for value in (case.policy, case.coin):  # whoever trades each bar of a fair walk passes as often
        assert value.passed.low < exact < value.passed.high
        assert value.passed.value == pytest.approx(exact, abs=0.025)


def test_dollars_are_what_is_paid_less_the_fees():
    for case in found().cases:
        for value in (case.policy, case.coin):
            assert value.fees_usd == 1  # no life of twelve sessions pays for a second month
            assert value.per_fee.value == pytest.approx(value.usd.value + 1)
            assert value.usd.low <= value.usd.value <= value.usd.high
            assert value.paid.value <= value.passed.value
            assert 0 < value.ruin.low <= value.ruin.value <= value.ruin.high < 1


def test_the_table_the_text_and_the_best_size():
    values = found()
    table = values.table()
    assert table["who"].tolist() == ["policy", "coin"] * 2
    assert table["contracts"].tolist() == [1, 1, 2, 2]
    for name in ("passed", "paid", "breached", "usd", "per_fee", "ruin"):
        assert ((table[f"{name}_low"] <= table[name]) & (table[name] <= table[f"{name}_high"])).all(), name
    best = values.best_size(values.cases[0].plan)
    assert best.policy.usd.value == max(case.policy.usd.value for case in values.cases)
    assert [case.contracts for case in values.first_size()] == [1]
    text = str(values)
    assert values.verdict in text
    assert "2 accounts and sizes were compared on the same sessions" in text
    assert "ruined" in text


def test_one_who_never_trades_pays_and_earns_nothing():
    market, env, params = tick_market()
    values = lifetime_value(always_hold, market, tiny(monthly=10), key=KEY, env=env, params=params, **SIZES)
    value = values.cases[0].policy
    assert (value.usd.value, value.per_fee.value, value.passed.value) == (-10, 0, 0)
    assert np.isnan(value.days_to_pass.fast)
    assert "NO ACCOUNT PAYS" in values.verdict
    assert "never trades" in str(values)


def test_a_bankroll_worked_by_hand(monkeypatch):
    """Life 0 fails at a cost of 100, 1 earns 300 for 150. A reset at 60 instead of 100 saves 40 after a failure."""
    lives = LifeOutcome(
        ended=np.array([DoneReason.DRAWDOWN, DoneReason.NONE]),
        days=np.array([3, 9]),
        pass_day=np.array([0, 4]),
        payout_day=np.array([0, 8]),
        payouts=np.array([0, 1]),
        paid_out=np.array([0, 30_000]),
        fees=np.array([10_000, 15_000]),
        out_of_data=np.array([False, False]),
    )
    drawn = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    priced = tiny(evaluation=100, monthly=0, reset=60)
    # of 210: 110, 50, then 60 are due; 360, 260, 200; 110, then 110 are due, 300, 200; 110, 50, then 110 are due
    assert _portfolios(lives, priced, Bankroll(210, 3), drawn).tolist() == [True, False, False, True]
    assert _portfolios(lives, priced, Bankroll(220, 3), drawn).tolist() == [False, False, False, True]
    # no reset for one that ran out of time, and one after any reason that the table calls a breach
    late = lives._replace(ended=np.array([DoneReason.EXPIRED, DoneReason.NONE]))
    assert _portfolios(late, priced, Bankroll(220, 3), drawn).tolist() == [True, False, True, True]
    monkeypatch.setitem(codes._DONE, "EXPIRED", codes.BREACHED)
    assert _portfolios(late, priced, Bankroll(220, 3), drawn).tolist() == [False, False, False, True]
    full = tiny(evaluation=100, monthly=0, reset=None)
    assert _portfolios(lives, full, Bankroll(249, 3), drawn).tolist() == [True, False, True, True]
    assert _portfolios(lives, full, Bankroll(99, 1), drawn[:, :1]).tolist() == [True] * 4


def test_a_ratio_is_that_of_the_means():
    paid, fees = np.array([0.0, 300.0, 0.0, 100.0]), np.array([50.0, 150.0, 50.0, 150.0])
    ratio = _ratio(paid, fees, np.stack([paid, 2 * paid]), np.stack([fees, fees]), 1.0)
    assert ratio.value == 1
    assert 0 <= ratio.low < 1 < ratio.high
    free = _ratio(paid, 0 * fees, np.stack([paid] * 2), 0 * np.stack([fees] * 2), 1.0)
    assert np.isnan(free.value)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"plans": []}, "plans is an empty list"),
        ({"plans": "topstep-50k"}, "plans are those of trading_gymnax.accounts"),
        ({"contracts": 0}, "contracts are whole numbers from 1 on; got 0"),
        ({"contracts": ()}, "contracts is an empty list"),
        ({"contracts": 10**6}, "plan 'topstep-50k': 1000000 contracts"),
        ({"sessions": 0}, "sessions is a whole number, 1 or more"),
        ({"block_sessions": 0.5}, "block_sessions is a mean length"),
        ({"block_sessions": 81}, "fewer than a block of 81"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(options, complaint):
    market, env, params = tick_market()
    asked = {"plans": plan("topstep-50k"), **options}
    with pytest.raises(SurvivalRefused, match=complaint):
        lifetime_value(always_hold, market, key=KEY, env=env, params=params, paths=50, coin_seeds=1, **asked)


def test_a_fault_behind_the_parameters_is_no_refusal(monkeypatch):
    """JAX says ValueError, too: printed as "not estimated, since ..." it would hide a fault of the program."""
    params = tick_market()[2]
    with pytest.raises(SurvivalRefused, match="plan 'x': initial_balance must be at least"):
        check_amounts("plan 'x'", params, {"initial_balance": -1.0}, 1)
    monkeypatch.setattr("trading_gymnax.params._check_money", lambda *_: jnp.broadcast_to(jnp.zeros(2), (3,)))
    with pytest.raises(ValueError, match="for broadcasting") as fault:
        check_amounts("plan 'x'", params, {}, 1)
    assert not isinstance(fault.value, SurvivalRefused)


@pytest.mark.slow
def test_a_life_environment_without_a_view_of_it_is_recorded_without_its_rules():
    """Fifteen dollars end any account of `tiny` within a day, and the tape holds the whole day all the same."""
    market, env, params = tick_market()
    living = TradingPhase1(market, account_life=True)
    own = {name: getattr(params, name) for name in ("sl_atr_mult", "min_stop_ticks", "tp_sl_ratio")}
    free = {"commission_per_side": 0.0, "slippage_ticks": 0, "stop_slippage_ticks": 0, "target_through_ticks": 0}
    strict = living.default_params.replace(**own, **free, session_limit=1, contract_limit=1, profit_target=5.0)
    plain, of_life = (
        lifetime_value(always_buy, market, tiny(), key=KEY, env=e, params=p, **SIZES)
        for e, p in ((env, params), (living, strict))
    )
    assert plain.table().equals(of_life.table())
