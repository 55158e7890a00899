"""A trader fed bar by bar is the environment: observations, masks and actions to the bit, money to the cent."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.live.material import NO_GUARD, feed, play_environment, small_policy
from trading_gymnax import TradingPhase1, TradingPhase2
from trading_gymnax.data.loader import load_bars
from trading_gymnax.evaluation.evaluate import session_starts
from trading_gymnax.live import Decision, Trader
from trading_gymnax.live.bars import iso
from trading_gymnax.market import MarketData, load_market_data, pack
from trading_gymnax.synthetic import martingale, regime

NO_LIMIT = 2**30


def compare(decisions: list[Decision], env: Any, params: Any, policy: Any, market_id: int, after: int) -> int:
    """Every session of the view that begins after a minute; returns how many were compared. Fails where one differs."""
    at = {decision.id: number for number, decision in enumerate(decisions) if decision.mask}
    params = params.replace(max_steps_in_episode=NO_LIMIT)
    minutes, sessions = np.asarray(params.market.close_minute)[market_id], 0
    for m, bar in zip(*session_starts(env, params), strict=True):
        if m != market_id or minutes[bar] <= after:
            continue
        steps = play_environment(env, params, policy, market_id, int(bar))
        for step in steps:
            decision = decisions[at[iso(step.minute)]]
            assert decision.observation.tobytes() == step.obs.tobytes()
            assert decision.mask == tuple(step.mask.tolist())
            assert decision.wanted == env.action_names[step.action]
        first = at[iso(steps[0].minute)]
        session = decisions[first].session
        later = next((d for d in decisions[first:] if d.session != session), decisions[-1])
        earned = round(100 * (later.account.balance_usd - decisions[first - 1].account.balance_usd))
        assert earned == steps[-1].balance - round(float(params.initial_balance) * 100)
        sessions += 1
    return sessions


def last_minute(history: Any) -> int:
    return int(history.close_time[-1].astype("datetime64[m]").astype(int))


def run(frame: pd.DataFrame, symbol: Any, cut: int, env_of: Any, loader: dict, live: dict, **config: Any) -> int:
    """Load the whole table for the environment, its first rows for a trader, and feed the others."""
    market = load_market_data(frame, symbol, **loader)
    env = env_of(market)
    policy = small_policy(env, env.default_params, **config)
    history = load_bars(frame[:cut], symbol, **loader)
    trader = Trader(policy, env, env.default_params, history, guard=NO_GUARD, gap_minutes=np.inf, **live)
    decisions = feed(trader, frame[cut:])
    return compare(decisions, env, env.default_params, policy, 0, last_minute(history))


@pytest.mark.slow  # the same by one account through several sessions, below
@pytest.mark.parametrize("recurrent", [False, True])
def test_a_synthetic_market(recurrent):
    tape = regime(3)
    made = run(
        tape.frame,
        tape.spec,
        2 * 1380 + 880,
        lambda m: TradingPhase2(m, account_features=True),
        {},
        {},
        recurrent=recurrent,
    )
    assert made == 1


def test_one_account_goes_on_through_the_sessions():
    """Without an end of the session the account sleeps, and its floor, number of session and books go on.

    Each entry chooses its size, and the order has so many contracts.
    """
    tape = martingale(5, seed=3)
    market = load_market_data(tape.frame, tape.spec)
    rules = {"terminate_at_session_end": False, "trailing_dd_limit": 100_000.0, "position_size": 2}
    env = TradingPhase2(market, account_features=True, entry_sizes=(1, 2, 4), **rules)
    params = env.default_params
    policy, history = small_policy(env, params), load_bars(tape.frame[: 2 * 1380], tape.spec)
    trader = Trader(policy, env, params, history, guard=NO_GUARD)
    decisions = feed(trader, tape.frame[2 * 1380 :])
    live = {decision.id: decision for decision in decisions if decision.mask}
    starts = session_starts(env, params)[1]
    steps = play_environment(env, params.replace(max_steps_in_episode=NO_LIMIT), policy, 0, int(starts[2]))
    assert len(steps) == len(live)
    for step in steps:
        decision = live[iso(step.minute)]
        assert decision.observation.tobytes() == step.obs.tobytes()
        assert decision.wanted == env.action_names[step.action]
    assert round(decisions[-1].account.balance_usd * 100) == steps[-1].balance
    orders = [decision for decision in decisions if decision.order]
    size = {"BUY": 2, "SELL": 2, "BUY_2X": 4, "SELL_2X": 4, "BUY_4X": 8, "SELL_4X": 8}
    for decision in orders:
        assert decision.order.contracts == size[decision.action]
        assert decision.order.side == (1 if decision.action.startswith("BUY") else -1)
    assert len({decision.order.contracts for decision in orders}) > 1
    assert trader.books.account["session_number"] == 4  # it has slept after each of the three


@pytest.mark.slow
def test_one_of_several_markets():
    """A policy that sees which market it is."""
    first, second = regime(4, seed=1), martingale(4, seed=2)
    spec = dataclasses.replace(second.spec, symbol="OTHER", commission_per_side=1.25)
    tables = [load_bars(first.frame, first.spec), load_bars(second.frame, spec)]
    market: MarketData = pack(tables)
    env = TradingPhase1(market, market_one_hot=True)
    policy = small_policy(env, env.default_params)
    history = load_bars(second.frame[: 2 * 1380], spec)
    trader = Trader(policy, env, env.default_params, history, market="OTHER", guard=NO_GUARD)
    decisions = feed(trader, second.frame[2 * 1380 :])
    assert compare(decisions, env, env.default_params, policy, 1, last_minute(history)) == 2


@pytest.mark.slow
def test_named_columns_and_rules_of_an_account():
    tape = regime(3, seed=5)
    columns = {"feature_columns": ("close", "volume", "sma_5", "sma_20", "rsi", "macd", "momentum", "atr")}

    def env_of(market: MarketData) -> TradingPhase1:
        limits = {"daily_loss_limit": 500.0, "trailing_dd_limit": 1500.0, "risk_per_trade": 600.0}
        return TradingPhase1(market, high_water_mode=1, profit_target=900.0, account_features=True, **limits)

    assert run(tape.frame, tape.spec, 1380, env_of, columns, {}) == 2


NQ = {"timestamps_mark": "end", "repair": ("stray_prints",)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "symbol", "loader", "env_of", "config", "at_least"),
    [
        ("NQ_H25_1min_ninjatrader", "NQ", NQ, lambda m: TradingPhase1(m), {}, 45),
        (
            "NQ_M25_1min_ninjatrader",
            "NQ",
            NQ,
            lambda m: TradingPhase2(m, account_features=True),
            {"recurrent": True},
            50,
        ),
        ("ES_1min_firstrate_2023-03", "ES", {}, lambda m: TradingPhase2(m), {}, 8),
        ("ES_1min_tradingview_2022-01", "ES", {}, lambda m: TradingPhase1(m, account_features=True), {}, 7),
    ],
)
def test_real_sessions(shared_data, name, symbol, loader, env_of, config, at_least):
    """Half days, holidays, stray prints, sessions cut short, and the clock changes of March 2025 and 2023."""
    frame = pd.read_parquet(shared_data / f"{name}.parquet")
    live = {"timestamps_mark": loader.get("timestamps_mark")}
    market = load_market_data(frame, symbol, **loader)
    env = env_of(market)
    policy = small_policy(env, env.default_params, **config)
    cut = next(n for n in range(1500, len(frame), 500) if _is_history(frame[:n], symbol, loader))
    history = load_bars(frame[:cut], symbol, **loader)
    trader = Trader(policy, env, env.default_params, history, guard=NO_GUARD, gap_minutes=np.inf, **live)
    decisions = feed(trader, frame[cut:])
    assert compare(decisions, env, env.default_params, policy, 0, last_minute(history)) >= at_least


def _is_history(frame: pd.DataFrame, symbol: str, loader: dict) -> bool:
    """Whether the rows end before a session's hours and make a table."""
    bars = load_bars(frame, symbol, **{**loader, "repair": (*loader.get("repair", ()), "too_short")})
    return len(bars.report.unusable) < len(bars.session_date) and int(bars.time[-1]) < 900
