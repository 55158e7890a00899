"""Nobody earns anything on a martingale that charges nothing; and who is given a lunch is caught."""

import dataclasses

import numpy as np
import pytest

from tests.data.tables import PLAIN
from trading_gymnax import TradingPhase1, TradingPhase2, load_market_data
from trading_gymnax.cli.learners import ppo_fold_learner
from trading_gymnax.cli.trader import TRADER
from trading_gymnax.skill.finepath import Kind, fine_tape
from trading_gymnax.skill.redteam import ALLOWED_ERRORS, FREE, SEARCHED, attack, free_lunches
from trading_gymnax.synthetic import martingale


def martingales(seed: int, sessions: int):
    """Several kinds of one shape: four steps a bar, sixty, and with the bounce between bid and ask."""
    first = martingale(sessions, seed=seed, spec=PLAIN).frame
    fine = [fine_tape(sessions, seed=seed, spec=PLAIN, kind=Kind(bounce_ticks=ticks))[1] for ticks in (0, 1)]
    return [load_market_data(frame, PLAIN) for frame in (first, *fine)]


def test_half_a_million_steps_find_no_free_lunch():
    """Of many sessions: in a hundred the rare large losses of a walk that ends at its target may all be missing."""
    markets = martingales(0, 250)
    found = attack(TradingPhase1(markets[0]), markets, steps=500_000)
    assert sum(one.steps for one in found) >= 500_000
    assert len({one.policy for one in found}) > 2
    assert list(free_lunches(found)) == []


def test_a_free_lunch_is_found():
    """With the target first in doubtful bars, narrow stops are paid for the order within the bar."""
    markets = martingales(1, 16)[:1]
    fixed = {"stop_first": False, "sl_atr_mult": 0.3, "tp_sl_ratio": 1.0, "target_through_ticks": 0}
    found = attack(TradingPhase1(markets[0]), markets, steps=40_000, fixed=fixed)
    sentences = list(free_lunches(found))
    assert sentences
    assert "stop_first=0" in sentences[0]
    assert all(one.usd > ALLOWED_ERRORS * one.error_usd for one in found if one.is_free_lunch)


@pytest.mark.slow
@pytest.mark.parametrize("env", [TradingPhase1, TradingPhase2])
def test_twenty_five_million_steps_a_phase_find_no_free_lunch(env):
    steps, found = 0, []
    for seed in range(100):
        markets = martingales(100 + seed, 120)
        found += attack(env(markets[0]), markets, steps=1_000_000, seed=seed)
        steps = sum(one.steps for one in found)
        if steps >= 25_000_000:
            break
    print(f"{len(found)} attacks, {steps:,} steps, {sum(one.trades for one in found):,} trades")
    assert list(free_lunches(found)) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", [0, 2])
def test_ppo_finds_no_free_lunch(kind):
    """Trained on one martingale under drawn parameters, judged on another: four draws, 500,000 steps each."""
    seen, unseen = martingales(7, 120)[kind], martingales(8, 120)[kind]
    env, rng = TradingPhase1(seen), np.random.default_rng(kind)
    learn = ppo_fold_learner(dataclasses.replace(TRADER, total_timesteps=500_000), None, None)
    for seed in range(4):
        drawn = {name: draw(rng) for name, draw in SEARCHED.items()}
        params = env.default_params.replace(**FREE, **drawn)
        (policy,) = learn(env, [params], [seed])
        found = attack(env, [unseen], steps=1, fixed=drawn, policies=lambda market, rng, one=policy: {"PPO": one})
        print(f"PPO, kind {kind}: {found[0].usd:+.2f} dollars a contract, {found[0].trades} trades")
        assert list(free_lunches(found)) == []
