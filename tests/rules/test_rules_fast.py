"""All worked examples of one shape in a single program: seconds instead of minutes.

`test_scenarios.py` plays the same examples one by one, as a user would; this file plays them side by side, and is what
every mutant of the rules meets first (see MUTATION.md).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any
from unittest import mock

import jax
import numpy as np

from tests import quick
from tests.rules.scenario import Scenario
from tests.rules.scenarios import SCENARIOS
from trading_gymnax import EnvParams, EnvParamsPhase2, TradingPhase1, TradingPhase2, life, market, params
from trading_gymnax.params_life import EnvParamsLife, EnvParamsPhase2Life

NUM_BARS, NUM_SESSIONS = 1_200, 12  # every market is padded to these
PER_BAR = {"bars": NUM_BARS + 1, "features": NUM_BARS, "close_minute": NUM_BARS}
PER_SESSION = dict.fromkeys(("sessions", "bar_at", "session_date"), NUM_SESSIONS)
ACCOUNT_NUMBERS = 4  # account_features=True appends them

Shape = tuple[int, int, int, bool, tuple[int, ...]]  # phase, window, markets, account_life, entry_sizes
PARAMS = {
    (1, False): EnvParams,
    (2, False): EnvParamsPhase2,
    (1, True): EnvParamsLife,
    (2, True): EnvParamsPhase2Life,
}


def shape_of(one: Scenario) -> Shape:
    """What fixes the program that a worked example needs."""
    return one.phase, one.window, len(one.others) + 1, one.account_life, one.entry_sizes


def of_shape(shape: Shape) -> list[Scenario]:
    """The worked examples of that shape."""
    return [one for one in SCENARIOS if shape_of(one) == shape]


SHAPES = sorted({shape_of(one) for one in SCENARIOS}, key=lambda s: (-len(of_shape(s)), s))


def padded(data: Any, specs: Any) -> Any:
    """The market in arrays of the common length, under common names."""
    arrays = {}
    for name, length in (PER_BAR | PER_SESSION).items():
        array = np.asarray(getattr(data, name))
        widths = [(0, 0), (0, length - array.shape[1]), *[(0, 0)] * (array.ndim - 2)]
        arrays[name] = np.pad(array, widths, mode="edge")
    return dataclasses.replace(data, **arrays, specs=specs, roots=tuple(spec.symbol for spec in specs), rth=(0.0, 24.0))


def parameters(one: Scenario, num_steps: int) -> list[EnvParams]:
    """Parameters at the reset and at each step."""
    data = market.pack(one.bars())
    if one.view is not None:
        data = data.with_view([one.view])
    make = PARAMS[one.phase, one.account_life]
    steps = [make.create(data, **{"rth_open": data.rth[0], "rth_close": data.rth[1], **one.params})]
    for t in range(num_steps):
        steps.append(steps[-1].replace(**one.changes[t]) if t in one.changes else steps[-1])
    return steps


def stack(trees: Any) -> Any:
    """Trees of equal shapes -> one tree with a new first axis."""
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)


@functools.cache
def inputs(shape: Shape) -> tuple[Any, Any, np.ndarray, np.ndarray]:
    """Markets [N, ...], parameters at reset and steps [N, 1 + T, ...], actions [N, T] and starts [N, 3].

    Made with NumPy alone, so that nothing is compiled, and no JAX backend started, for a hundred small arrays.
    """
    scenarios = of_shape(shape)
    num_steps = max(len(one.actions) for one in scenarios)
    with mock.patch.object(market, "jnp", np), mock.patch.object(params, "jnp", np):
        steps = [parameters(one, num_steps) for one in scenarios]
    specs = steps[0][0].market.specs
    markets = stack([padded(of_one[0].market, specs) for of_one in steps])
    bare = stack([stack([dataclasses.replace(p, market=None) for p in of_one]) for of_one in steps])
    actions = np.array([[*one.actions, *[0] * (num_steps - len(one.actions))] for one in scenarios], np.int32)
    starts = np.array([[one.market_id, one.start, one.forced_side] for one in scenarios], np.int32)
    return markets, bare, actions, starts


def play(env: TradingPhase1, markets: Any, bare: Any, actions: Any, starts: Any) -> Any:
    """What each scenario sees after its reset, and after each step; leaves [N, ...] and [N, T, ...]."""

    def episode(data: Any, bare: Any, actions: jax.Array, start: jax.Array) -> Any:
        first = dataclasses.replace(jax.tree.map(lambda x: x[0], bare), market=data)
        obs, state = env.reset_at(first, start[0], start[1])
        state = state.replace(forced_side=start[2])

        def step(state: Any, now: Any) -> Any:
            at_step, action = dataclasses.replace(now[0], market=data), now[1]
            obs, after, reward, terminated, info = env.step_env(jax.random.key(0), state, action, at_step)
            ends = {"reward": reward, "terminated": terminated, "truncated": env.is_truncated(after, at_step)}
            return after, (obs, after, env.action_mask(after, at_step), info, ends)

        at_start = (obs, state, env.action_mask(state, first))
        return at_start, jax.lax.scan(step, state, (jax.tree.map(lambda x: x[1:], bare), actions))[1]

    return jax.tree.map(
        np.asarray, jax.jit(jax.vmap(episode), compiler_options=quick.OPTIONS)(markets, bare, actions, starts)
    )


def check(shape: Shape) -> int:
    """All numbers of all scenarios of that shape; returns how many scenarios there are."""
    scenarios = of_shape(shape)
    make = TradingPhase1 if shape[0] == 1 else TradingPhase2
    options = {"window": shape[1], "account_features": True, "account_life": shape[3], "entry_sizes": shape[4] or None}
    env = make(market.pack(scenarios[0].bars()), **options)
    starts, steps = play(env, *inputs(shape))
    for i, one in enumerate(scenarios):
        pick = lambda tree, *at: jax.tree.map(lambda x: x[at], tree)  # noqa: E731
        end = None if one.account_features else -(ACCOUNT_NUMBERS + life.NUM_FEATURES * one.account_life)
        obs, state, mask = pick(starts, i)
        nothing = dict.fromkeys(("trade_pnl", "trade_pnl_cents", "exit_reason", "done_reason", "invalid_action"), 0)
        money = {"equity_cents": state.equity, "balance_cents": state.balance}
        money |= {"equity": state.equity / 100, "balance": state.balance / 100}
        one.check(-1, info={**nothing, **money, "position": 0}, state=state, mask=mask, obs=obs[:end])
        for t in range(len(one.actions)):
            obs, state, mask, info, ends = pick(steps, i, t)
            one.check(t, info=info, state=state, mask=mask, obs=obs[:end], **ends)
    return len(scenarios)


def test_worked_examples() -> None:
    """Every number of every scenario. One test, the largest program first, so that a mutant dies early."""
    assert sum(check(shape) for shape in SHAPES) == len(SCENARIOS)
