"""Certification: a sound build passes, and each planted fault is refused for its own reason."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax import struct

from trading_gymnax import TradingPhase1, observation, rules
from trading_gymnax.data import loader as data
from trading_gymnax.data.indicators import DEFAULT_FEATURES
from trading_gymnax.evaluation.baselines import BarSignals
from trading_gymnax.evaluation.certify import (
    EDGES,
    MARTINGALE,
    PARAMETERS,
    Certificate,
    Edge,
    Run,
    certify,
    refusals,
    shares,
)
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.evaluation.tape_check import wrong_round_trips
from trading_gymnax.market import CLOCK_COLUMNS, load_market_data
from trading_gymnax.rules import BUY, HOLD, SELL
from trading_gymnax.synthetic import regime

WINDOW = 20


@struct.dataclass
class Lean:
    """Enters with the weighted moves of the last bars, in ATR, where they are large enough."""

    weights: jax.Array  # of the close changes in the window, oldest first, float32 [20]
    least: jax.Array

    def __call__(self, key, obs, mask):
        columns = len(DEFAULT_FEATURES) + CLOCK_COLUMNS
        moves = obs[:, : WINDOW * columns].reshape(-1, WINDOW, columns)[:, :, 0]
        lean = moves @ self.weights
        action = jnp.where(lean > self.least, BUY, jnp.where(lean < -self.least, SELL, HOLD))
        return jnp.where(mask[:, BUY], action, HOLD)


def momentum(env, params, seed) -> Lean:
    """A rule nearly as good as the exact filter of the prices."""
    return Lean(jnp.asarray(0.9 ** np.arange(WINDOW)[::-1], jnp.float32), jnp.float32(0))


def follows_the_last_bar(env, params, seed) -> Lean:
    """Worth nothing, unless the last bar in the window is the next one of the tape."""
    return Lean(jnp.asarray(np.arange(WINDOW) == WINDOW - 1, jnp.float32), jnp.float32(1))


def holds(env, params, seed) -> Lean:
    """Never trades."""
    return Lean(jnp.zeros(WINDOW), jnp.float32(1))


small = functools.partial(certify, seeds=2, sessions=40)  # one length of tape: one program


@pytest.fixture(scope="module")
def sound() -> Certificate:
    return small(momentum)


def reasons(certificate: Certificate) -> str:
    assert not certificate.passed
    return "\n".join(certificate.refusals)


@pytest.fixture(autouse=True, scope="module")
def _quick_programs():
    """Most programs here run for a second: they are to compile fast."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


# -- a sound build --


def test_a_sound_build_passes(sound):
    assert sound.refusals == ()
    assert [run.market for run in sound.runs] == ["regime 1/3"] * 2 + ["regime 1/6"] * 2 + [MARTINGALE] * 2
    assert [run.seed for run in sound.runs] == [0, 1] * 3
    page = str(sound)
    assert "PASSED" in page.splitlines()[-1]
    assert "needs 85%" in page
    assert "default stop of 1.5 ATR" in page
    assert all(len(line) <= 120 for line in page.splitlines())


def test_every_run_has_tapes_of_its_own(sound):
    assert len({run.net_usd for run in sound.runs}) == 6
    assert len({run.oracle_usd for run in sound.runs[:4]}) == 4
    (other,) = small(momentum, seeds=1, first_seed=1, edges=EDGES[:1]).of("regime 1/3")
    assert other == sound.runs[1]


def test_the_figures_of_a_run(sound):
    run = sound.runs[2]
    assert run.share == run.net_usd / run.oracle_usd
    share, weakest = shares(sound.of("regime 1/6"))
    first, second = sound.of("regime 1/6")
    assert share == pytest.approx((first.net_usd + second.net_usd) / (first.oracle_usd + second.oracle_usd))
    assert weakest == min(first.share, second.share)
    values = sound.to_dict()
    assert values["passed"] is True
    assert values["markets"][1]["share"] == share
    assert values["runs"][-1]["oracle_usd"] is None
    assert values["parameters"]["sl_atr_mult"] == 3.0


def test_progress_is_told():
    told = []
    small(holds, seeds=1, edges=EDGES[:1], progress=lambda *x: told.append(x))
    assert told == [(0, 2, "regime 1/3, seed 0"), (1, 2, "martingale, seed 0"), (2, 2, "done")]


def test_the_learner_gets_the_tape_to_learn_from_and_not_the_other():
    seen = []

    def learn(env, params, seed):
        seen.append((seed, int(params.market.bars[0, 1000, 0]), float(params.sl_atr_mult)))
        return holds(env, params, seed)

    small(learn, seeds=1, first_seed=3, edges=EDGES[:1])
    opened = regime(40, seed=10_300, drift=1 / 3).frame["open"][1000]
    assert seen[0] == (300, round(opened / 0.25), 3.0)
    assert seen[1][0] == 301


@pytest.mark.parametrize("numbers", [{"seeds": 0}, {"first_seed": -1}, {"sessions": 1}])
def test_numbers_that_cannot_be(numbers):
    with pytest.raises(ValueError, match=r"certify needs one seed|two sessions or more"):
        certify(momentum, **numbers)


# -- what is refused --


def run(market: str, net: float, **changes) -> Run:
    oracle = math.nan if market == MARTINGALE else 1000.0
    fields = {"p_value": 0.5, "oracle_usd": oracle, "filter_usd": oracle, "p_above_oracle": 0.9, "wrong_costs": ""}
    return Run(market=market, net_usd=net, **{"seed": 0, "trades": 9, "error_usd": 1.0, **fields, **changes})


EDGE = Edge("regime", 1 / 3, 0.85)


def test_the_mean_of_the_seeds_must_reach_the_share():
    assert refusals([run("regime", 800), run("regime", 900)], [EDGE]) == []
    (said,) = refusals([run("regime", 799), run("regime", 900)], [EDGE])
    assert "takes 85.0% of the oracle's profit, the mean over 2 seeds, and must take 85%" in said
    assert "the weakest seed took 79.9%" in said
    assert "takes 0.0%" in refusals([run("regime", 900, oracle_usd=-5.0)], [EDGE])[0]


def test_levels_are_corrected_for_the_number_of_seeds():
    one, two = (run(MARTINGALE, 50, p_value=p) for p in (0.04, 0.024))
    assert "martingale, seed 0: the policy earns 50 dollars" in refusals([one], [])[0]
    assert refusals([one, one], []) == []
    assert len(refusals([one, two], [])) == 1
    better = run("regime", 1100, p_above_oracle=0.03)
    assert "oracle, which is told the hidden regime, 1,000: nobody can" in refusals([better], [EDGE])[0]
    assert refusals([better, better], [EDGE]) == []


def test_a_policy_that_holds_is_refused_for_its_share_only():
    said = reasons(small(holds, seeds=1)).splitlines()
    assert [line.split(":")[0] for line in said] == ["regime 1/3", "regime 1/6"]
    assert all("takes 0.0% of the oracle's profit" in line for line in said)


# -- planted faults --


@pytest.fixture
def later_features(monkeypatch):
    """Every feature is that of the next bar."""
    honest = data.build_features

    def early(*args):
        values, names, first = honest(*args)
        return np.concatenate([values[1:], values[-1:]]), names, first

    monkeypatch.setattr(data, "build_features", early)


@pytest.fixture
def paying_fees(monkeypatch):
    """The environment books a commission as income."""
    honest = TradingPhase1._terms

    def terms(self, market_id, params):
        right = honest(self, market_id, params)
        return right._replace(commission=-right.commission)

    monkeypatch.setattr(TradingPhase1, "_terms", terms)
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.fixture
def tail_wind(monkeypatch):
    """Entries fill better than the open, by the slippage."""
    honest = rules.slippage
    monkeypatch.setattr(rules, "slippage", lambda now, params: -honest(now, params))
    jax.clear_caches()
    yield
    jax.clear_caches()


@pytest.fixture
def told_the_next_bar(monkeypatch):
    """The observation's last number of the window holds the next bar's move, in ATR."""
    honest = observation.market_window

    def window(state, params, size):
        bars = params.market.bars[state.market_id]
        move = (bars[state.step_idx + 1, 3] - bars[state.step_idx + 1, 0]).astype(jnp.float32)
        seen = honest(state, params, size)
        return seen.at[(WINDOW - 1) * (len(DEFAULT_FEATURES) + CLOCK_COLUMNS)].set(move / 30)

    monkeypatch.setattr(observation, "market_window", window)
    jax.clear_caches()
    yield
    jax.clear_caches()


def test_the_last_bar_is_worth_nothing_to_who_sees_no_further():
    certificate = small(follows_the_last_bar, edges=())
    assert certificate.passed


def test_features_shifted_into_the_future_are_refused(later_features):
    said = reasons(small(follows_the_last_bar, edges=())).splitlines()
    assert [line.split(":")[0] for line in said] == ["martingale, seed 0", "martingale, seed 1"]
    assert all("where nothing can be earned: the future leaks into what it sees" in line for line in said)


def test_an_observation_that_holds_the_next_move_is_refused(told_the_next_bar):
    said = reasons(small(follows_the_last_bar, edges=()))
    assert said.count("where nothing can be earned: the future leaks") == 2


def test_fees_of_the_wrong_sign_are_refused(paying_fees):
    said = reasons(small(momentum, seeds=1, edges=EDGES[:1])).splitlines()
    assert len(said) == 2
    assert all("net +10.00 dollars more than their prices less two commissions each" in line for line in said)
    assert all("the fees are not paid as the contract says" in line for line in said)


def test_fills_better_than_the_tape_gives_are_refused(tail_wind):
    said = reasons(small(momentum, seeds=1, edges=()))
    assert "filled at prices that the tape and the slippage do not give, +" in said


def test_more_than_the_oracle_is_refused():
    """A policy that is told the moves of the next half hour."""

    def foresees(env, params, seed):
        tape = regime(40, seed=10_001, drift=1 / 3)  # what seed 0 is judged on
        close = tape.frame["close"].to_numpy()
        ahead = np.append(close[30:], np.repeat(close[-1], 30)) - close
        return BarSignals(jnp.asarray(np.sign(ahead), jnp.int8)[None])

    said = refusals(small(foresees, seeds=1, edges=EDGES[:1]).runs[:1], EDGES[:1])
    assert len(said) == 1
    assert "oracle, which is told the hidden regime, " in said[0]
    assert "nobody can who sees prices only, so the future leaks into what it sees" in said[0]


# -- round trips from the tape --


@pytest.fixture(scope="module")
def traded():
    """Trades of an oracle, their tape, and the parameters."""
    tape = regime(40, seed=5)
    env = TradingPhase1(load_market_data(tape.frame, tape.spec), **PARAMETERS)
    found = evaluate_policy(BarSignals(jnp.asarray(tape.hidden)[None]), env, env.default_params, key=jax.random.key(0))
    return found.trades, tape, env.default_params


def test_round_trips_agree_with_the_tape(traded):
    trades, tape, params = traded
    assert set(trades["exit_reason"]) == {"STOP", "TARGET", "SESSION_CLOSE"}
    assert wrong_round_trips(trades, tape, params) == ""
    assert wrong_round_trips(trades.iloc[:0], tape, params) == ""


@pytest.mark.parametrize("reason", ["STOP", "TARGET", "SESSION_CLOSE"])
@pytest.mark.parametrize("column", ["entry_price", "exit_price"])
def test_a_price_a_tick_off_is_found(traded, reason, column):
    trades, tape, params = traded
    changed = trades.copy()
    at = int(np.flatnonzero(trades["exit_reason"] == reason)[0])
    better = {"entry_price": -1, "exit_price": 1}[column] * trades["side"][at]
    changed.loc[at, column] += 0.25 * better
    said = wrong_round_trips(changed, tape, params)
    assert said.startswith(f"1 round trip of {len(trades)} filled at prices that the tape and the slippage do not give")
    assert "+5.00 dollars each" in said


def test_an_exit_that_was_not_reached_is_found(traded):
    trades, tape, params = traded
    for reason, other in (("STOP", "TARGET"), ("TARGET", "STOP"), ("SESSION_CLOSE", "STOP"), ("STOP", "NEVER")):
        changed = trades.copy()
        at = int(np.flatnonzero(trades["exit_reason"] == reason)[0])
        changed.loc[at, "exit_reason"] = other
        assert "filled at prices" in wrong_round_trips(changed, tape, params)


def test_a_cent_too_much_is_found(traded):
    trades, tape, params = traded
    said = wrong_round_trips(trades.assign(net_usd=trades["net_usd"] + 0.01), tape, params)
    assert f"{len(trades)} round trips of {len(trades)} net +0.01 dollars more" in said
    assert isinstance(trades, pd.DataFrame)


# -- the trainer itself --


@pytest.mark.slow
@pytest.mark.parametrize("fault", [None, "later_features", "paying_fees"])
def test_the_trainer_passes_and_is_refused_with_a_fault(fault, request):
    """One seed on shorter tapes, the whole budget. The level of one seed is 5 %, so the tapes are fixed ones."""
    from trading_gymnax.cli.learners import ppo_learner
    from trading_gymnax.cli.trader import TRADER

    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()
    if fault:
        request.getfixturevalue(fault)
    edges = EDGES if fault is None else ()
    certificate = certify(ppo_learner(TRADER), seeds=1, first_seed=50, sessions=300, edges=edges)
    print(certificate)
    if fault is None:
        assert certificate.passed
    elif fault == "later_features":
        assert "where nothing can be earned: the future leaks into what it sees" in reasons(certificate)
    else:
        assert "net +10.00 dollars more than their prices less two commissions each" in reasons(certificate)
