"""Lives played in the environment: one that ignores its account lives as in a replay, one that sees it acts on it."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct

from tests.survival.material import KEY, Script, noisy, recorded
from tests.survival.test_lives import ACCOUNTS, MARKET_FIELDS, stack
from trading_gymnax import TradingPhase2, life
from trading_gymnax.accounts import life_fields, plan
from trading_gymnax.rules import BUY, HOLD, SELL, DoneReason
from trading_gymnax.survival import Bankroll, SurvivalRefused, lifetime_value, value_lives
from trading_gymnax.survival.lives import LifeOutcome, live, tables_of
from trading_gymnax.survival.played import play_lives

FUNDED = -life.NUM_FEATURES  # place of the first number about the life: whether the account is funded
TO_TARGET = -3  # without a life in the environment: room to the profit target, 0 for an account without one
NEVER = 9.0
PATHS, DAYS = 28, 6  # of nine accounts: as many lives as there are lanes, almost


@struct.dataclass
class Until:
    """Takes the actions of a table, and enters no more once a number of the observation has a value."""

    actions: jnp.ndarray
    value: jnp.ndarray
    place: int = struct.field(pytree_node=False)
    reads_state = True

    def __call__(self, key, obs, mask, state):
        action = self.actions[state.market_id, state.step_idx].astype(jnp.int32)
        stops = (obs[:, self.place] == self.value) & ((action == BUY) | (action == SELL))
        return jnp.where(stops, HOLD, action)


@functools.cache
def seeing(account_life, by_risk):
    """An environment that shows the account, and parameters like the recording's."""
    params = recorded(by_risk, by_risk)[1]
    env = TradingPhase2(params.market, account_features=True, account_life=account_life)
    return env, env.default_params.replace(**{name: getattr(params, name) for name in MARKET_FIELDS}, max_contracts=3)


def played(value, account_life=True, by_risk=False):
    """Lives of the accounts of `test_lives` with the wild actions until the account is funded, and their replay."""
    env, params = seeing(account_life, by_risk)
    tape = recorded(by_risk, by_risk)[3].tape
    easy = {"profit_target": 300.0, "payout_buffer": 0.0}
    easy |= {"contracts": 0, "max_contracts": 3} if by_risk else {}
    rules = stack([{**rule, **easy, "payouts_at_most": min(rule["payouts_at_most"], 1)} for rule in ACCOUNTS.values()])
    orders = np.random.default_rng(0).integers(0, len(tape.num_bars), (PATHS, DAYS))
    policy = Until(noisy()[1].actions, jnp.float32(value), FUNDED if account_life else TO_TARGET)
    found = play_lives(policy, env, params, rules, jnp.asarray(orders, jnp.int32), KEY)
    return found, lambda: live(tape, rules, tables_of(tape, rules), jnp.asarray(orders, jnp.int32))


@pytest.mark.parametrize(
    ("account_life", "by_risk"), [(True, False), pytest.param(False, True, marks=pytest.mark.slow)]
)
def test_who_ignores_the_account_lives_as_in_a_replay_to_the_cent(account_life, by_risk):
    """The last days of the markets, in which their data ends, are among the sessions."""
    found, replay = played(NEVER, account_life, by_risk)
    for name, mine, theirs in zip(LifeOutcome._fields, found.lives, replay(), strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=name)
    assert (found.lives.payouts > 0).any()
    assert len(np.unique(found.lives.ended)) == 5  # none, and every way in which an account ends


def test_who_sees_the_account_acts_on_it():
    """Without another entry no funded account is breached, and none is paid but for the day of its pass."""
    found, _ = played(1.0)
    free, _ = played(NEVER)
    funded = found.lives.pass_day > 0
    np.testing.assert_array_equal(found.lives.pass_day, free.lives.pass_day)
    np.testing.assert_array_equal(found.lives.ended[~funded], free.lives.ended[~funded])
    assert funded.sum() > 20
    assert (found.lives.ended[funded] == DoneReason.NONE).all()
    assert (found.lives.payouts == 0).all()
    assert found.entries < free.entries


@pytest.mark.slow
def test_an_environment_without_a_life_shows_the_rules_of_the_phase():
    for mine, theirs in zip(played(0.0, account_life=False)[0].lives, played(1.0)[0].lives, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.slow
def test_the_value_of_an_account_that_is_seen(monkeypatch):
    """That of a plan and that of the same rules in the parameters; the coin stands beside both."""
    monkeypatch.setattr(value_lives, "PLAYED_SETS", 12)
    monkeypatch.setattr(value_lives, "PLAYED_SET_PATHS", 4)
    env, params = seeing(True, False)
    policy = Until(noisy()[1].actions, jnp.float32(NEVER), FUNDED)
    topstep, told = plan("topstep-50k"), []
    easy = {"profit_target": 300, "consistency": None, "consistency_of": None}
    easy_plan = dataclasses.replace(topstep, evaluation=dataclasses.replace(topstep.evaluation, **easy))
    how = {"key": KEY, "env": env, "contracts": [1, 2], "sessions": DAYS, "paths": 40, "coin_seeds": 1}
    one = lifetime_value(policy, params.market, easy_plan, params=params, bankroll=Bankroll(300, 3), **how)
    params = params.replace(**life_fields(easy_plan))
    other = lifetime_value(policy, params.market, None, params=params, progress=lambda *x: told.append(x), **how)
    tables = [found.table().drop(columns="plan") for found in (one, other)]
    assert tables[0][tables[1].columns].equals(tables[1])
    assert [case.name for case in other.cases] == ["own account"] * 2
    assert told[-1] == (2 * (40 + 12 * 4),) * 2 + ("lives of accounts",)
    for case in one.cases:
        for value in (case.policy, case.coin):
            assert 0 <= value.passed.low < value.passed.value < value.passed.high <= 1
            assert 0 <= value.ruin.low <= value.ruin.value <= value.ruin.high <= 1
            assert value.fees_usd == pytest.approx(
                topstep.fees.evaluation + topstep.fees.monthly + topstep.fees.activation * value.passed.value
            )
    assert "its lives were played in the environment" in str(one)


@pytest.mark.slow
def test_lives_of_a_policy_that_chooses_its_size_are_played():
    """Three contracts that are chosen live as three that are set, to the cent."""
    _, params = seeing(True, False)
    env = TradingPhase2(params.market, account_life=True, entry_sizes=(1, 3))
    params = env.default_params.replace(**{name: getattr(params, name) for name in MARKET_FIELDS})
    names = env.action_names
    large = [names.index(f"{name}_3X" if name in ("BUY", "SELL") else name) for name in TradingPhase2.action_names]
    actions = jnp.asarray(large, jnp.int8)[noisy()[1].actions]
    tape = recorded()[3].tape
    orders = jnp.asarray(np.random.default_rng(0).integers(0, len(tape.num_bars), (PATHS, DAYS)), jnp.int32)
    rules = [stack([{**ACCOUNTS["plain"], "contracts": size}]) for size in (1, 3)]
    found = play_lives(Script(actions), env, params, rules[0], orders, KEY).lives
    for mine, theirs in zip(found, live(tape, rules[1], tables_of(tape, rules[1]), orders), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert len(np.unique(found.days)) > 2
    assert (found.pass_day > 0).any()
    asked = {"key": KEY, "env": env, "params": params, "sessions": DAYS, "paths": 20, "coin_seeds": 1}
    value = lifetime_value(Script(actions), params.market, plan("topstep-50k"), **asked)
    assert "chooses from the sizes that its account allows" in str(value)


def test_the_account_of_parameters_that_have_none_is_refused():
    env, params = TradingPhase2(noisy()[0]), None
    with pytest.raises(SurvivalRefused, match="plans=None asks for the account of the parameters"):
        lifetime_value(noisy()[1], noisy()[0], None, key=KEY, env=env, params=params)
