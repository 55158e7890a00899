"""Account presets: their figures, and that the environments take them."""

from __future__ import annotations

import dataclasses
import functools
import pickle
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import quick
from tests.data import tables
from tests.rules.handmade import make_bars
from tests.rules.scenario import BUY, HOLD, b, q
from trading_gymnax import TradingPhase1, TradingPhase2
from trading_gymnax.accounts import BARS_PER_SESSION, evaluation_account, original
from trading_gymnax.market import MarketData, pack
from trading_gymnax.rules import DoneReason, ExitReason


@functools.cache
def market() -> MarketData:
    """A long entered at 1; the next bar rises to 1,001 and closes at 0."""
    return pack([make_bars([q(), q(), b(0, 1001, 0, 0), q()])])


@pytest.mark.parametrize(
    ("size", "terms", "mode", "target", "limit", "daily", "contracts"),
    [
        (25_000, "2026", "INTRABAR", 1_500, 1_000, np.inf, 4),
        (50_000, "2026", "END_OF_DAY", 3_000, 2_000, 1_000, 10),
        (100_000, "2026", "END_OF_DAY", 6_000, 3_000, 1_500, 14),
        (150_000, "2026", "END_OF_DAY", 9_000, 4_000, 2_000, 17),
        (25_000, "2025", "INTRABAR", 1_500, 1_500, np.inf, 4),
        (50_000, "2025", "INTRABAR", 3_000, 2_500, np.inf, 10),
        (100_000, "2025", "INTRABAR", 6_000, 3_000, np.inf, 14),
        (150_000, "2025", "INTRABAR", 9_000, 5_000, np.inf, 17),
    ],
)
def test_figures(size, terms, mode, target, limit, daily, contracts):
    account = evaluation_account(size, high_water_mode=mode, terms=terms)
    params = TradingPhase2(market()).default_params.replace(**account.params())
    found = (params.initial_balance, params.profit_target, params.trailing_dd_limit, params.daily_loss_limit)
    assert tuple(float(x) for x in found) == (size, target, limit, daily)
    assert int(params.high_water_mode) == {"INTRABAR": 1, "END_OF_DAY": 2}[mode]
    assert (int(params.max_contracts), account.contract_limit) == (contracts, contracts)
    assert float(params.floor_lock) == 100
    assert not bool(params.terminate_at_session_end)
    assert not bool(params.daily_loss_fails)
    assert account.minimum_days == {"2026": 0, "2025": 7}[terms]
    assert account.options() == {"account_features": True}


def test_fees_are_told_where_they_are_known():
    assert [evaluation_account(size, terms="2025").fee_usd for size in (25_000, 50_000, 100_000)] == [147, 167, None]
    assert evaluation_account(50_000).fee_usd is None


def test_thirty_sessions_fit():
    """9:30 to 16:59 are 449 one-minute bars, and the first decision falls on the close of the bar of 9:30."""
    assert BARS_PER_SESSION >= 16 * 60 + 59 - (9 * 60 + 30)
    assert evaluation_account(50_000).params()["max_steps_in_episode"] == 30 * BARS_PER_SESSION
    assert evaluation_account(50_000, sessions=5).params()["max_steps_in_episode"] == 5 * BARS_PER_SESSION


@pytest.mark.parametrize("make", [TradingPhase1, TradingPhase2])
def test_make_takes_all_arguments(make):
    env, params = gymnax.make(f"{make.__name__}-v0", data=market(), **evaluation_account(50_000).arguments())
    obs, state = env.reset(jax.random.key(0), params)
    assert obs.shape == ({TradingPhase1: 229, TradingPhase2: 235}[make],)
    assert int(state.floor) == 4_800_000


@functools.cache
def program() -> Any:
    """An environment, and compiled: one step of it with its fill."""
    env = TradingPhase2(market())
    return env, jax.jit(env.play, compiler_options=quick.OPTIONS)


def last_of(params: Any, *actions: int) -> tuple[Any, Any, Any]:
    """State, fill and floor after the actions from bar 390 on."""
    env, play = program()
    _, state = env.reset_at(params, 0, 390)
    for action in actions:
        state, _, fill = play(state, jnp.int32(action), params)
    return state, fill, int(state.floor)


def test_the_floor_follows_open_profit_and_locks_a_hundred_dollars_above_the_start():
    """1,000 ticks of 5 dollars are seen in the bar: an intrabar mark of 54,997.50 locks the floor at 50,100.

    At the close of 0 the equity, 49,992.50, is below it: a breach. The end of the day sees only its close.
    """
    account = evaluation_account(50_000)
    params = TradingPhase2(market()).default_params.replace(**account.params(), sl_atr_mult=100.0, tp_sl_ratio=10.0)
    state, fill, floor = last_of(params, BUY, HOLD)
    assert floor == 5_010_000
    assert int(state.high_water_mark) == 5_000_000 - 250 + 1_000 * 500
    assert (int(fill.done_reason), int(fill.exit_reason)) == (DoneReason.DRAWDOWN, ExitReason.BREACH_CLOSE)
    daily = evaluation_account(50_000, high_water_mode="END_OF_DAY")
    state, fill, floor = last_of(params.replace(**daily.params()), BUY, HOLD)
    assert (floor, int(state.position), int(fill.done_reason)) == (4_800_000, 1, DoneReason.NONE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 75_000}, "25,000, 50,000, 100,000, 150,000 dollars; got 75000"),
        ({"size": 50_000, "high_water_mode": "BAR_CLOSE"}, "'INTRABAR' or 'END_OF_DAY'"),
        ({"size": 50_000, "high_water_mode": "intra_bar"}, "did you mean 'INTRABAR'"),
        ({"size": 50_000, "terms": "1999"}, "'2026' or '2025'; got '1999'"),
        ({"size": 50_000, "sessions": 0}, "whole number of trading days"),
    ],
)
def test_unknown_accounts_get_one_clear_sentence(arguments, message):
    with pytest.raises(ValueError, match=message):
        evaluation_account(**arguments)


def test_presets_cannot_be_changed_by_their_users():
    account = evaluation_account(50_000)
    account.params()["profit_target"] = 0
    assert account.params()["profit_target"] == 3_000
    with pytest.raises(dataclasses.FrozenInstanceError):
        account.name = "mine"
    assert {pickle.loads(pickle.dumps(account)): 1}[evaluation_account(50_000)] == 1


def test_original_fills_at_the_close_and_shows_raw_columns():
    """The close of the table's last bar, in points, stands in the observation; stops fill without slippage."""
    frame = tables.table("2025-01-06", "2025-01-07", "2025-01-08")
    env, params = gymnax.make("TradingPhase1-v0", data=frame, market=tables.PLAIN, **original().arguments())
    assert params.market.feature_names[:2] == ("close", "volume")
    obs, state = env.reset(jax.random.key(0), params)
    close = int(np.asarray(params.market.bars)[0, int(state.step_idx), 3])
    assert float(obs[19 * 11]) == close * 0.25
    _, after, *_ = env.step_env(jax.random.key(0), state, jnp.int32(BUY), params)
    assert int(after.entry_price) == close + 1 or int(after.position) == 0
    assert (int(params.stop_slippage_ticks), int(params.target_through_ticks)) == (0, 0)
    assert bool(params.fill_at_close)
