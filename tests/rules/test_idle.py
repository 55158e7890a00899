"""Hours and views under which no session is usable: refused where they are given, an idle account where traced."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.rules.handmade import make_bars
from tests.rules.test_phase1 import OPENING, three_days, wavy
from trading_gymnax import TradingPhase1, TradingPhase2
from trading_gymnax.curriculum import linear, vary
from trading_gymnax.market import FIRST_FINITE, pack
from trading_gymnax.reference import ReferenceEnv
from trading_gymnax.rules import DoneReason

NOT_USABLE = r"^no session from 2025-01-.* to 2025-01-.* is usable with rth_open .* and rth_close .*; choose other"
LATE = {"rth_open": 15.0, "rth_close": 16.0}  # the sessions of `three_days` end at 11:09 and 10:29


@pytest.fixture(scope="module")
def env() -> TradingPhase1:
    return TradingPhase1(three_days(), min_bars_left=10)


def test_hours_that_no_session_reaches_are_refused_wherever_they_are_given(env):
    params = env.default_params
    for make in (params.replace, lambda **hours: env.Params.create(params.market, **hours)):
        with pytest.raises(ValueError, match=NOT_USABLE):
            make(**LATE)
    with pytest.raises(ValueError, match=NOT_USABLE):
        TradingPhase1(three_days(), **LATE)
    with pytest.raises(ValueError, match=NOT_USABLE):
        vary(params, key=jax.random.key(0), num_envs=4, rth_open=(9.5, 15.0))
    with pytest.raises(ValueError, match=NOT_USABLE):
        linear(rth_open=(9.5, 15.0), rth_close=(16.0, 16.0))(1.0, params)


def test_hours_are_judged_by_the_view_that_they_meet(env):
    """Until 10:29 only session 2, of Tuesday the 8th, reaches 10:25; sessions 1 and 3 go on, and are usable as well.

    From 10:30 on no bar of session 2 is entry-allowed, so that the hours fit the whole market and not that day.
    """
    late = env.default_params.replace(rth_open=10.5)
    day = late.market.between("2025-01-08", "2025-01-09")
    assert env.default_params.replace(market=day).market.usable_counts(9.5, 16.0).tolist() == [1]
    with pytest.raises(ValueError, match=NOT_USABLE):
        late.replace(market=day)


def test_a_window_that_no_session_has_is_refused():
    """Features are finite from bar 400 on, and the last bar that plays another one is 488: 90 bars reach 489."""
    market = pack([make_bars(wavy(100), first_finite_bar=400, scheduled_close=OPENING + 99, tail=False)])
    assert TradingPhase1(market, window=88).window == 88
    with pytest.raises(ValueError, match="and a window of 90 bars; choose other hours"):
        TradingPhase1(market, window=90)


def test_a_market_that_is_never_drawn_does_not_help():
    """NQ's session goes on for 100 minutes, ES's for 60: from 10:30 on only NQ can be traded."""
    tables = [
        make_bars(wavy(count), symbol=symbol, scheduled_close=OPENING + count - 1, tail=False)
        for symbol, count in (("NQ", 100), ("ES", 60))
    ]
    params = TradingPhase1(pack(tables), rth_open=10.5).default_params
    with pytest.raises(ValueError, match="one of market_weights 0 is never drawn"):
        params.replace(market_weights=[0, 1])


def played(kind: Any, given: dict[str, Any], view: list[int]) -> tuple[Any, ...]:
    """Reset under hours that the compiled program alone knows, and one step of BUY."""
    env = kind(three_days(), account_features=True, market_one_hot=False)
    params = env.default_params.replace(market=env.default_params.market.with_view([view]))

    def run(params: Any, given: Any) -> Any:
        params = params.replace(**given)
        obs, state = env.reset(jax.random.key(0), params)
        return obs, state, env.action_mask(state, params), env.step(jax.random.key(1), state, jnp.int32(1), params)

    return jax.jit(run)(params, {name: jnp.float32(value) for name, value in given.items()})


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize("ends", [{}, {"profit_target": 0.0, "daily_loss_limit": 0.0}], ids=["plain", "limits of 0"])
def test_traced_hours_that_no_session_reaches_end_the_episode_at_once(phase, ends):
    """The view begins with session 2, whose first bar is 490: there the account stands, and its step truncates."""
    kind = TradingPhase1 if phase == 1 else TradingPhase2
    obs, state, mask, (after_obs, after, reward, terminated, truncated, info) = played(kind, {**LATE, **ends}, [2, 4])
    assert mask.tolist() == [True] + [False] * (2 if phase == 1 else 5)
    assert int(state.step_idx) == 490
    assert (bool(terminated), bool(truncated), int(info["done_reason"])) == (False, True, DoneReason.DATA_END)
    assert (float(reward), bool(info["invalid_action"]), int(info["position"])) == (0.0, True, 0)
    assert int(after.step_idx) == 490  # the automatic reset lands there again
    assert np.array_equal(after_obs, obs)

    reference = ReferenceEnv(
        [make_three_days()], phase=phase, account_features=True, view=(2, 4), reward_scale=60.0, **LATE, **ends
    )
    seen, said = reference.reset(seed=0)
    np.testing.assert_allclose(seen, obs, rtol=1e-5, atol=1e-5)
    assert (reference.state.step_idx, said["action_mask"].tolist()) == (490, mask.tolist())
    seen, paid, over, cut, said = reference.step(1)
    np.testing.assert_allclose(seen, info["final_observation"], rtol=1e-5, atol=1e-5)
    assert (paid, over, cut, said["done_reason"]) == (0.0, False, True, DoneReason.DATA_END)
    assert (said["invalid_action"], said["position"]) == (True, 0)


def make_three_days() -> Any:
    """The table of `three_days`."""
    sessions = [1] * 100 + [2] * 60 + [3] * 100
    closes = {1: OPENING + 99, 2: OPENING + 59, 3: OPENING + 99}
    return make_bars(wavy(260), sessions=sessions, scheduled_close=closes, tail=False)


def test_missing_features_are_numbers_and_kept_out_of_windows():
    """Column 0 begins at bar 400: before it stands 0, and the first window of 20 bars ends at bar 419."""
    features = np.ones((490, 8), np.float32)
    features[:400, 0] = np.nan
    features[:13, 1] = np.inf
    table = make_bars(wavy(100), features=features, first_finite_bar=400, scheduled_close=OPENING + 99, tail=False)
    env = TradingPhase1(pack([dataclasses.replace(table, atr=np.where(np.arange(490) < 13, np.nan, 8.0))]))
    market = env.default_params.market
    assert np.isfinite(np.asarray(market.features)).all()
    assert np.isfinite(np.asarray(market.bars)[..., 7].view(np.float32)).all()
    assert np.asarray(market.features)[0, [0, 399, 400], 0].tolist() == [0, 0, 1]
    assert int(market.sessions[0, 0, FIRST_FINITE]) == 400
    for bar in (390, 418):
        with pytest.raises(ValueError, match=f"bar {bar} cannot be a decision bar: choose one from 419 to 488"):
            env.reset_at(env.default_params, 0, bar)
    obs, _ = env.reset_at(env.default_params, 0, 419)
    assert np.asarray(obs)[:220].reshape(20, 11)[:, :2].min() == 1
