"""The kernel that plays a step of many accounts on a GPU, interpreted: the ordinary step's numbers, to the bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.rules.handmade import LEVEL, make_bars
from trading_gymnax import restarts
from trading_gymnax.market import pack
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.phase2 import TradingPhase2

COUNT, STEPS = 133, 60  # two programs, of which one is not full
BUSY = {
    **{"random_start_fraction": 1.0, "forced_entry_fraction": 0.5, "max_steps_in_episode": 9, "min_bars_left": 0},
    **{"risk_per_trade": 400.0, "slippage_atr_mult": 0.1, "stop_slippage_atr_mult": 0.2, "high_water_mode": 1},
    **{"floor_lock": 0.0, "trailing_dd_limit": 300.0, "daily_loss_limit": 60.0, "profit_target": 200.0},
}


def market(count):
    """Two sessions a market, whose bars wander by some ticks."""
    tables = []
    for index, symbol in enumerate(("ES", "NQ")[:count]):
        rng = np.random.default_rng(index)
        open_, close = LEVEL + np.cumsum(rng.integers(-9, 10, (2, 120)), axis=1)
        spread = rng.integers(0, 4, (2, 120))
        rows = np.stack([open_, np.maximum(open_, close) + spread[0], np.minimum(open_, close) - spread[1], close], 1)
        closes = {1: 930 + 59, 2: 930 + 59}
        sessions = [1] * 60 + [2] * 60
        tables.append(make_bars(rows.tolist(), symbol=symbol, sessions=sessions, scheduled_close=closes, tail=False))
    return pack(tables)


@pytest.mark.parametrize(("kind", "markets"), [(TradingPhase1, 2), (TradingPhase2, 1)])
def test_a_step_of_many_accounts(kind, markets):
    env = kind(market(markets), account_features=True, **BUSY)
    params = env.prepared(env.default_params)
    alone = jax.vmap(env.step, (0, 0, 0, None))

    def both(state, key):
        keys = jax.random.split(key, COUNT)
        action = jax.random.randint(key, COUNT, -1, env.num_actions + 1)
        *one_by_one, info = alone(keys, state, action, params)
        return one_by_one[1], (one_by_one, env._step_together(keys, state, action, params), info["done_reason"])

    _, state = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), COUNT), env.default_params)
    keys = jax.random.split(jax.random.key(1), STEPS)
    _, (one_by_one, together, reasons) = jax.jit(lambda *args: jax.lax.scan(both, *args))(state, keys)
    for expected, got in zip(jax.tree.leaves(one_by_one), jax.tree.leaves(together), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert len(np.unique(reasons)) >= 5  # among them each end of an account, the clock's and the session's
    assert np.unique(one_by_one[1].market_id).tolist() == list(range(markets))


def test_fewer_or_unlike_accounts_are_played_one_by_one(monkeypatch):
    calls = []

    def alone(key, state, action, params):
        return action + params, {"seen": state}

    def together(key, state, action, params):
        calls.append(len(action))
        return (action + params,)

    monkeypatch.setattr(restarts, "_LEAST", COUNT)
    step = restarts.of_many(alone, together)
    for count, key, axis, found in (
        (COUNT, jax.random.key(0), None, [COUNT]),
        (COUNT, jax.random.PRNGKey(0), None, [COUNT]),
        (COUNT - 1, jax.random.key(0), None, []),
        (COUNT, jax.random.key(0, impl="rbg"), None, []),
        (COUNT, jax.random.key(0), 0, []),
    ):
        calls.clear()
        state, params = jnp.zeros(count), jnp.ones(()) if axis is None else jnp.ones(count)
        inputs = jax.random.split(key, count), state, jnp.arange(count, dtype=jnp.float32)
        got, info = jax.jit(jax.vmap(step, (0, 0, 0, axis)))(*inputs, params)  # traced for every kind of device
        np.testing.assert_array_equal(got, np.arange(count) + 1)
        np.testing.assert_array_equal(info["seen"], state)
        assert calls == found


def test_gradients_are_those_of_one_by_one(monkeypatch):
    """A kernel has none of its own."""

    def alone(key, state, action, params):
        return action * params, {}

    def together(key, state, action, params):
        return (jax.lax.stop_gradient(action * params),)

    monkeypatch.setattr(restarts, "_LEAST", COUNT)
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *inputs, cuda, default: cuda(*inputs))
    step = jax.vmap(restarts.of_many(alone, together), (0, 0, 0, None))
    inputs = jax.random.split(jax.random.key(0), COUNT), jnp.zeros(COUNT), jnp.arange(COUNT, dtype=jnp.float32)
    assert jax.grad(lambda params: step(*inputs, params)[0].sum())(2.0) == inputs[2].sum()
