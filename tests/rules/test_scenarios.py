"""The worked examples of docs/rules.md, played on the JAX environments one by one, as a user would.

`test_rules_fast.py` plays the same examples in a few programs and is what the fast suite has.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.rules.scenario import Scenario
from tests.rules.scenarios import SCENARIOS
from tests.rules.scenarios_starts import STARTS, Starts
from trading_gymnax import TradingPhase1, TradingPhase2
from trading_gymnax.market import MarketData, pack

NUM_BARS, NUM_SESSIONS = 2_000, 12  # every market is padded to these, so that few programs serve all scenarios


def padded(market: MarketData, num_bars: int = NUM_BARS, num_sessions: int = NUM_SESSIONS) -> MarketData:
    """The same market in longer arrays."""

    def lengthen(array: jax.Array, length: int) -> jax.Array:
        widths = [(0, 0), (0, length - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]
        return jnp.asarray(np.pad(array, widths, mode="edge"))  # jnp.pad is a program for every length

    long = {"bars": num_bars + 1, "features": num_bars, "close_minute": num_bars}
    long |= dict.fromkeys(("sessions", "bar_at", "session_date"), num_sessions)
    arrays = {name: lengthen(getattr(market, name), length) for name, length in long.items()}
    return dataclasses.replace(market, **arrays)


@functools.cache
def environment(
    phase: int, window: int, account_features: bool, account_life: bool = False, entry_sizes: tuple[int, ...] = ()
) -> TradingPhase1:
    """One object, and so one set of compiled programs, for all scenarios of that shape."""
    market = padded(pack([STARTS[0].bars()]))
    make = TradingPhase1 if phase == 1 else TradingPhase2
    return make(
        market,
        window=window,
        account_features=account_features,
        account_life=account_life,
        entry_sizes=entry_sizes or None,
    )


@functools.partial(jax.jit, static_argnums=0)
def play(env: TradingPhase1, state: Any, action: Any, params: Any) -> Any:
    """One step without auto-reset, and the mask after it."""
    obs, after, reward, terminated, info = env.step_env(jax.random.key(0), state, action, params)
    return (
        obs,
        after,
        env.action_mask(after, params),
        info,
        reward,
        terminated,
        env.is_truncated(after, params),
    )


def parameters(env: TradingPhase1, given: Starts | Scenario, tables: list[Any]) -> Any:
    """Default parameters of the scenario's markets and view, then its own."""
    market = pack(tables)
    if given.view is not None:
        market = market.with_view([given.view])
    settings = {"rth_open": market.rth[0], "rth_close": market.rth[1], **given.params}
    return env.Params.create(padded(market), **settings)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: Scenario) -> None:
    shape = (scenario.phase, scenario.window, scenario.account_features, scenario.account_life, scenario.entry_sizes)
    env = environment(*shape)
    params = parameters(env, scenario, scenario.bars())
    obs, state = env.reset_at(params, scenario.market_id, scenario.start)
    state = state.replace(forced_side=jnp.int32(scenario.forced_side))
    nothing = dict.fromkeys(("trade_pnl", "trade_pnl_cents", "exit_reason", "done_reason", "invalid_action"), 0)
    money = {"equity_cents": state.equity, "balance_cents": state.balance}
    money |= {"equity": state.equity / 100, "balance": state.balance / 100}
    mask = env.action_mask(state, params)
    scenario.check(-1, info={**nothing, **money, "position": 0}, state=state, mask=mask, obs=obs)
    for t, action in enumerate(scenario.actions):
        if t in scenario.changes:
            params = params.replace(**scenario.changes[t])
        obs, state, mask, info, reward, terminated, truncated = play(env, state, jnp.int32(action), params)
        ends = {"reward": reward, "terminated": terminated, "truncated": truncated}
        scenario.check(t, info=info, state=state, mask=mask, obs=obs, **ends)


@pytest.mark.parametrize("starts", STARTS, ids=lambda starts: starts.name)
def test_start_sets(starts: Starts) -> None:
    env = environment(1, starts.window, False)
    if not starts.usable:
        with pytest.raises(ValueError, match="no usable session"):
            parameters(env, starts, [starts.bars()])
        return
    plan = jax.tree.map(np.asarray, env._plan(parameters(env, starts, [starts.bars()])))
    assert plan.usable_count.tolist() == [len(starts.usable)]
    drawn = dict(zip(starts.usable, plan.by_rank[0], strict=False))
    for session in starts.usable:
        first, random_starts = drawn[session]
        if session in starts.decision:
            assert first == starts.decision[session][0]
        if session in starts.random:
            assert list(range(first, first + max(random_starts, 1))) == list(starts.random[session])
