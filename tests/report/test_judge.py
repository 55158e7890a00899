"""`judge`: the table, the baselines, other fills, and a verdict that says when nothing can be decided."""

import dataclasses
import functools
import json
import math
import re
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.handmade import LEVEL, WARMUP, make_bars
from tests.survival.few import few_attempts
from trading_gymnax import EnvParams, TradingPhase1, TradingPhase2
from trading_gymnax.data.loader import load_bars
from trading_gymnax.evaluation.baselines import BarSignals, crosses, long_all_day, moving_average_cross
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.evaluation.per_market import by_market
from trading_gymnax.evaluation.robustness import SLIPPAGE_TICKS, robustness
from trading_gymnax.evaluation.summary import UNDECIDABLE
from trading_gymnax.evaluation.walk import _play
from trading_gymnax.keys import stream
from trading_gymnax.market import load_market_data, pack
from trading_gymnax.report.judge import (
    ACCOUNTS,
    CROSS,
    HOLD,
    LONG,
    POLICY,
    POLICY_SAMPLED,
    RANDOM,
    RANDOM_ENTRIES,
    _survival,
    judge,
    table,
)
from trading_gymnax.rules import SELL
from trading_gymnax.survival.odds import survival
from trading_gymnax.synthetic import SYNTH, regime
from trading_gymnax.text import plain

KEY = jax.random.key(0)
MODULE = sys.modules[judge.__module__]  # whose name is that of the function
SESSIONS = 6
SHORT = ["HOLD", "BUY", "SELL", "BE", "ENABLE", "DISABLE"]
DOUBT = "SYNTH: bars of another instrument, say"


@struct.dataclass
class Switch:
    """Sells always, or by a coin."""

    sampled: bool = struct.field(pytree_node=False, default=True)

    def __call__(self, key, obs, mask):
        coin = jax.random.bernoulli(key, 0.5, mask.shape[:1]) if self.sampled else True
        return jnp.where(mask[:, SELL] & coin, SELL, 0)


@pytest.fixture(scope="module")
def env() -> TradingPhase1:
    tape = regime(SESSIONS, seed=0)
    return TradingPhase1(dataclasses.replace(load_market_data(tape.frame, tape.spec), doubts=(DOUBT,)))


@pytest.fixture(scope="module", autouse=True)
def _few_attempts():
    with few_attempts():
        yield


@pytest.fixture(scope="module")
def judgement(env):
    look = functools.partial(judge, Switch(), env, env.default_params, key=KEY, label="out of sample")
    return look(luck_seeds=3, configurations_tried=4, accounts=ACCOUNTS[:1])


def test_the_odds_of_an_account_stand_in_the_judgement(env, judgement):
    case = judgement.survival.cases[0]
    assert case.account == ACCOUNTS[0]
    key = jax.random.split(stream(KEY, "judge"), 5)[4]
    alone = survival(Switch(), env.default_params.market, ACCOUNTS[0], key=key, env=env)
    assert alone.cases[0].policy.passed == case.policy.passed
    said = judgement.to_dict()["survival"]
    assert [row["who"] for row in said] == ["policy", "coin"]
    assert said[0]["passed"] == case.policy.passed.value
    assert "evaluation accounts: 6 sessions" in str(judgement)


def test_what_is_no_finite_number_is_none_in_json():
    row = {"a": math.inf, "b": math.nan, "c": np.float64(-np.inf), "d": 1.5, "e": "text", "f": 3, "g": None}
    assert plain(row) == {"a": None, "b": None, "c": None, "d": 1.5, "e": "text", "f": 3, "g": None}


def test_odds_that_cannot_be_had_have_a_reason(env):
    few = env.default_params.replace(market=env.default_params.market.between(None, "2025-01-09"))
    look = functools.partial(judge, Switch(), env, few, key=KEY, label="out of sample", luck_seeds=1)
    found = look(accounts=ACCOUNTS, account="mine")
    assert found.survival is None
    assert found.no_survival.startswith("not estimated, since the view has 3 usable sessions, fewer than a block of 5")
    assert found.to_dict()["no_survival"] == found.no_survival
    assert found.no_survival in str(found)
    assert found.verdict.startswith("What the account mine earns was not estimated, since plans=None asks for the")


def test_only_refusals_of_survival_are_reasons(env, monkeypatch):
    """An error of the program goes on, though it is a ValueError too: JAX raises that for shapes that do not fit."""

    def broken(*args, **options):
        return jnp.zeros(2).reshape(3)

    monkeypatch.setattr(MODULE, "survival", broken)
    with pytest.raises((TypeError, ValueError), match="reshape"):
        _survival(Switch(), env, env.default_params, ACCOUNTS, KEY)

    def shapes(*args, **options):
        raise ValueError("shapes (2,) and (3,) do not fit")

    monkeypatch.setattr(MODULE, "survival", shapes)
    with pytest.raises(ValueError, match="do not fit"):
        _survival(Switch(), env, env.default_params, ACCOUNTS, KEY)


def test_no_key_serves_twice(env, judgement, monkeypatch):
    """Only what draws nothing, or must draw alike, shares a key: the policy under other fills, and fixed baselines."""
    seen: dict[str, list[bytes]] = {}

    def note(name, answer):
        def called(*args, key, **options):
            seen.setdefault(name, []).append(np.asarray(jax.random.key_data(key)).tobytes())
            return answer

        monkeypatch.setattr(MODULE, name, called)

    for name, answer in (("evaluate_policy", judgement.evaluation), ("robustness", None), ("survival", None)):
        note(name, answer)
    judge(Switch(), env, env.default_params, key=KEY, label="out of sample", luck_seeds=2, accounts=ACCOUNTS)
    argmax, drawn, baseline, *tosses = dict.fromkeys(seen["evaluate_policy"])
    assert seen["robustness"] == [argmax]
    assert seen["survival"][0] not in seen["evaluate_policy"]
    assert len({argmax, drawn, baseline, *tosses, *seen["survival"]}) == 6


def test_results_by_market():
    """Two markets of unlike length: rows add up to the whole, and the page names both."""
    one, two = (regime(n, seed=n, spec=dataclasses.replace(SYNTH, symbol=name)) for n, name in ((3, "AAA"), (4, "BBB")))
    env = TradingPhase1(pack([load_bars(tape.frame, tape.spec) for tape in (one, two)]))
    found = judge(Switch(), env, env.default_params, key=KEY, label="in sample", baselines=False)
    table = by_market(found.evaluation)
    assert table["sessions"].to_dict() == {"AAA": 3, "BBB": 4}
    assert table["trades"].sum() == found.rows[POLICY].trades
    assert table["net_usd"].sum() == pytest.approx(found.rows[POLICY].net_usd)
    sessions = found.evaluation.sessions
    net = sessions.loc[sessions["market"] == "BBB", "net_usd"].to_numpy()
    row = table.loc["BBB"]
    assert row["net_per_session_usd"] == pytest.approx(net.mean())
    assert row["standard_error_usd"] == pytest.approx(net.std(ddof=1) / 2)
    trades = found.evaluation.trades
    won = trades.loc[trades["market"] == "BBB", "net_usd"] > 0
    assert row["win_rate"] == won.mean()
    assert f"{POLICY}, by market:" in str(found)
    assert found.to_dict()["by_market"]["AAA"]["sessions"] == 3


def test_the_table_has_policy_and_baselines(judgement):
    assert list(judgement.rows) == [POLICY, POLICY_SAMPLED, RANDOM, RANDOM_ENTRIES, LONG, CROSS, HOLD]
    page = str(judgement)
    assert judgement.to_dict()["doubts"] == [DOUBT]
    assert page.startswith(f"DOUBTFUL: {DOUBT}\nOUT OF SAMPLE: 2025-01-06 to 2025-01-13, {SESSIONS} sessions")
    lines = page.splitlines()
    for name, row in judgement.rows.items():
        line = next(line for line in lines if line.startswith(name))
        assert f"{row.trades:,}" in line
        assert f"{row.net_usd:,.0f}" in line
    row = judgement.rows[POLICY]
    assert any("profit factor" in line and f"{row.profit_factor:,.2f}" in line for line in lines)
    assert any(line.startswith("net by ticks of slippage: 0: ") for line in lines)
    assert lines[-1] == judgement.verdict
    assert max(map(len, lines[:-1])) <= 140
    assert "policies that enter as often" in judgement.verdict
    assert len(judgement.luck_usd) == 3
    coins, luck = judgement.rows[RANDOM_ENTRIES], judgement.luck_usd
    assert coins.net_per_session_usd == pytest.approx(luck.mean())
    assert coins.standard_error_usd == judgement.luck_spread_usd == pytest.approx(luck.std(ddof=1))
    assert (
        f"their mean: {luck.mean():+,.0f} dollars a session, spread between them {luck.std(ddof=1):,.0f})" in lines[-1]
    )
    assert f"({RANDOM_ENTRIES}: means of 3 seeds; std.err. is the spread between them)" in lines
    # six days are too few for a ratio of a year, and the table says so
    assert any(re.fullmatch(r"Sortino ratio, annual( +too few days \(6\)){2}", line) for line in lines)
    assert judgement.long_usd.sum() == pytest.approx(judgement.rows[LONG].net_usd)
    assert judgement.rows[HOLD].net_usd == 0.0


def test_the_table_names_the_actions_of_phase_2(judgement):
    shares = dict.fromkeys(TradingPhase2.action_names, 0.125)
    header, row = table({POLICY: dataclasses.replace(judgement.rows[POLICY], action_shares=shares)})
    assert [name.strip() for name in header.split("Sharpe")[1].split("%")] == [*SHORT, ""]
    assert row.split()[-6:] == ["12.5"] * 6


def test_the_table_as_json(judgement):
    values = json.loads(json.dumps(judgement.to_dict(), allow_nan=False))
    assert list(values["rows"]) == list(judgement.rows)
    assert values["rows"][HOLD]["win_rate"] is None
    assert values["rows"][POLICY]["configurations_tried"] == 4
    assert values["rows"][LONG]["configurations_tried"] == 1
    assert [row["ticks"] for row in values["robustness"]["slippage"]] == [0, 1, 2, 3, 4]
    assert values["robustness"]["stop_first"]["net_usd"] == judgement.rows[POLICY].net_usd
    assert values["verdict"] == judgement.verdict


def test_without_baselines_there_are_two_rows_and_nothing_else(env):
    short = judge(Switch(), env, env.default_params, key=KEY, label="in sample", baselines=False)
    assert list(short.rows) == [POLICY, POLICY_SAMPLED]
    assert short.robustness is None
    assert math.isnan(short.percentile)
    assert short.to_dict()["robustness"] is None
    assert "slippage:" not in str(short)
    with pytest.raises(ValueError, match="configurations_tried"):
        judge(Switch(), env, env.default_params, key=KEY, label="in sample", baselines=False, configurations_tried=0)


# -- baselines --


def test_long_all_day_holds_from_the_open_to_the_close(env, judgement):
    params = env.default_params.replace(
        risk_per_trade=500.0, position_size=2, tp_sl_ratio=0.5, trailing_dd_limit=math.inf
    )
    policy, far = long_all_day(params)
    found = evaluate_policy(policy, env, far, key=KEY)
    trades = found.trades
    assert trades["exit_reason"].tolist() == ["SESSION_CLOSE"] * SESSIONS
    assert trades["entry_time"].dt.strftime("%H:%M").tolist() == ["09:30"] * SESSIONS
    assert trades["exit_time"].dt.strftime("%H:%M").tolist() == ["16:59"] * SESSIONS
    assert set(trades["side"]) == {1}
    assert set(trades["contracts"]) == {2}
    row = judgement.rows[LONG]
    assert (row.trades, row.exposure) == (SESSIONS, 1.0)
    assert math.isnan(row.expectancy_r)


def test_long_all_day_makes_what_the_bars_made():
    rows = [(LEVEL, LEVEL, LEVEL, LEVEL), (LEVEL, LEVEL + 900, LEVEL - 900, LEVEL + 100)]
    market = pack([make_bars(rows)])
    env = TradingPhase1(market)
    policy, far = long_all_day(EnvParams.create(market))
    found = evaluate_policy(policy, env, far, key=KEY)
    # 1,000 ticks each way reach no level; in a tick worse, out a tick worse: 98 ticks of 5 dollars, less 5 dollars
    assert found.trades["net_usd"].tolist() == [98 * 5 - 5]


def test_crosses_worked_by_hand():
    # mean of 1 against mean of 2: the close against half-way to the one before
    closes = np.array([5, 5, 6, 6, 7, 6, 6, 5, 9])
    #         above:  .  =  +  =  +  -  =  -  +    (equal keeps the side before)
    assert crosses(closes, 1, 2).tolist() == [0, 0, 0, 0, 0, -1, 0, 0, 1]
    assert crosses(closes[:1], 1, 2).tolist() == [0]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=60), st.integers(1, 4), st.integers(1, 4), st.integers(0, 60))
def test_crosses_are_those_of_the_means_and_know_no_future(moves, fast, more, cut):
    closes, slow = 1_000 + np.cumsum(moves), fast + more
    found = crosses(closes, fast, slow)
    np.testing.assert_array_equal(crosses(closes[:cut], fast, slow) if cut else [], found[:cut])
    side = 0
    for at in range(len(closes)):
        signal = 0
        if at >= slow - 1:
            gap = slow * closes[at - fast + 1 : at + 1].sum() - fast * closes[at - slow + 1 : at + 1].sum()
            now = int(np.sign(gap)) or side
            signal, side = (now if side and now != side else 0), now
        assert found[at] == signal


def test_the_moving_average_cross_enters_at_crosses_only(env):
    market = env.default_params.market
    policy = moving_average_cross(market)
    found = evaluate_policy(policy, env, env.default_params, key=KEY)
    assert len(found.trades) > SESSIONS
    signals = np.asarray(policy.side)[0]
    closes = np.asarray(market.close_minute)[0]
    at = np.searchsorted(closes, [int(moment.timestamp()) // 60 for moment in found.trades["entry_time"]])
    # the order fills at the open of the bar after the cross, which is the minute at which the cross closed
    np.testing.assert_array_equal(signals[at], found.trades["side"])
    with pytest.raises(ValueError, match="the fast mean needs fewer bars than the slow one"):
        moving_average_cross(market, 20, 20)


# -- other fills --


def test_the_slippage_sweep_is_that_of_separate_evaluations(env, judgement):
    policy = Switch(sampled=False)
    compiled = _play._cache_size()
    held = robustness(policy, env, env.default_params, key=KEY)
    assert _play._cache_size() == compiled
    assert tuple(held.slippage) == SLIPPAGE_TICKS == (0, 1, 2, 3, 4)
    for ticks, made in held.slippage.items():
        params = env.default_params.replace(slippage_ticks=ticks, stop_slippage_ticks=ticks)
        found = evaluate_policy(policy, env, params, key=KEY)
        assert made.net_usd == found.sessions["net_usd"].sum()
        assert made.net_per_session_usd == pytest.approx(found.sessions["net_usd"].mean())
        assert made.standard_error_usd == pytest.approx(found.sessions["net_usd"].sem())
        assert made.trades == len(found.trades)
    # the sweep of the judgement used the walk that was there, and came to the same
    assert judgement.robustness == held


def test_slippage_worked_by_hand():
    # ATR 8: long a tick above 0 at the open, stop 12 ticks lower, hit: what is lost is 12 ticks and a slip
    rows = [(LEVEL,) * 4, (LEVEL,) * 4, (LEVEL, LEVEL, LEVEL - 30, LEVEL - 30)]
    held = by_hand(rows)
    assert {ticks: made.net_usd for ticks, made in held.slippage.items()} == {
        ticks: -(12 + ticks) * 5.0 - 5.0 for ticks in (0, 1, 2, 3, 4)
    }
    assert held.answers_differ_usd == 0.0


def test_both_answers_worked_by_hand():
    # The second bar holds stop (-11) and target (37): -13 ticks or +36, and 5 dollars of commission.
    rows = [(LEVEL,) * 4, (LEVEL,) * 4, (LEVEL, LEVEL + 40, LEVEL - 20, LEVEL)]
    held = by_hand(rows)
    assert held.stop_first.net_usd == -13 * 5 - 5
    assert held.target_first.net_usd == 36 * 5 - 5
    assert held.answers_differ_usd == 49 * 5
    assert held.to_dict()["stop_first"] == {
        **{"net_usd": -70.0, "net_per_session_usd": -70.0, "standard_error_usd": None, "trades": 1},
        "commission_usd": 5.0,
    }


def by_hand(rows):
    """Robustness of one long entry at the first row."""
    market = pack([make_bars(rows)])
    side = np.zeros((1, market.bars.shape[1]), np.int8)
    side[0, WARMUP] = 1
    env = TradingPhase1(market)
    return robustness(BarSignals(jnp.asarray(side)), env, EnvParams.create(market), key=KEY)


def test_a_result_that_hangs_on_the_order_within_bars_is_undecidable(env):
    # Stops and targets of half an ATR: many bars hold both.
    params = env.default_params.replace(sl_atr_mult=0.5, tp_sl_ratio=1.0)
    found = judge(Switch(), env, params, key=KEY, label="out of sample", luck_seeds=2)
    row = found.rows[POLICY]
    assert row.ambiguous_trade_share > 0.02
    assert found.verdict.startswith(f"The result out of sample is {UNDECIDABLE}: ")
    assert UNDECIDABLE == "undecidable on bars of this length"
    stop, target = found.robustness.stop_first, found.robustness.target_first
    assert stop.net_usd < target.net_usd
    assert f"With the stop first in such bars it makes {stop.net_per_session_usd:+,.0f} dollars" in found.verdict
    assert f"with the target first {target.net_per_session_usd:+,.0f}." in found.verdict
    assert UNDECIDABLE in str(found)
    alone = dataclasses.replace(found, robustness=None)
    assert UNDECIDABLE in alone.verdict
    assert "With the stop first" not in alone.verdict
