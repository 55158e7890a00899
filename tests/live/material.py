"""What the tests of live trading share: small policies, and the environment played as anyone would play it."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_ppo import Policy, PPOConfig
from purejaxrl_ppo.normalise import RunningMoments
from purejaxrl_ppo.policy import fresh_policy
from purejaxrl_ppo.wrappers import concrete_spec, prepare
from trading_gymnax.live import Bar, Decision, Guard, Trader
from trading_gymnax.phase1 import TradingPhase1

NO_GUARD = Guard(max_errors=None)


def small_policy(env: TradingPhase1, params: Any, seed: int = 0, **config: Any) -> Policy:
    """A network that never learnt, with a normaliser: its actions change from bar to bar."""
    spec = concrete_spec(prepare(env, params)[1])
    settings = PPOConfig(**{"hidden_sizes": (16, 16), "gru_size": 8, **config})
    keys = jax.random.split(jax.random.key(seed), 3)
    fresh = fresh_policy(keys[0], spec, settings, sampled=False)
    mean = 0.1 * jax.random.normal(keys[1], (spec.obs_size,))
    moments = RunningMoments(mean, 0.5 + jax.random.uniform(keys[2], mean.shape), jnp.ones(2, jnp.uint32))
    return fresh.replace(params=jax.tree.map(lambda x: 3 * x, fresh.params), moments=moments)


class Played(NamedTuple):
    """One step of the environment."""

    minute: int  # UTC minute of the decision bar's close
    obs: np.ndarray
    mask: np.ndarray
    action: int
    equity: int  # cents after the step
    balance: int
    trade: int  # net cents of a trade closed in the step
    exit_reason: int
    done: bool


@functools.partial(jax.jit, static_argnums=0)
def _step(env: TradingPhase1, state: Any, params: Any, policy: Policy, carry: Any) -> Any:
    obs, mask = env.observe(None, state, None, params), env.action_mask(state, params)
    if policy.config.recurrent:
        action, carry = policy(jax.random.key(0), obs[None], mask[None], carry)
    else:
        action = policy(jax.random.key(0), obs[None], mask[None])
    after, _, fill = env.play(state, action[0], params)
    done = after.terminated | env.is_truncated(after, params)
    numbers = [action[0], after.equity, after.balance, fill.trade_pnl, fill.exit_reason, done, after.step_idx]
    return obs, mask, jnp.stack([jnp.asarray(x, jnp.int32) for x in numbers]), after, carry


def play_environment(env: TradingPhase1, params: Any, policy: Policy, market_id: int, bar: int) -> list[Played]:
    """An episode from a decision bar to its end, a step at a time."""
    minutes = np.asarray(params.market.close_minute)[market_id]
    _, state = env.reset_at(params, market_id, bar)
    carry, steps, at = policy.initial_carry(1), [], bar
    while True:
        obs, mask, numbers, state, carry = _step(env, state, params, policy, carry)
        action, equity, balance, trade, reason, done, after = np.asarray(numbers).tolist()
        fields = (action, equity, balance, trade, reason, bool(done))
        steps.append(Played(int(minutes[at]), np.asarray(obs), np.asarray(mask), *fields))
        at = after
        if done:
            return steps


def bar_of(row: Any) -> Bar:
    """A row of a table with timestamp, open, high, low, close and volume."""
    return Bar(row.timestamp.to_pydatetime(), row.open, row.high, row.low, row.close, row.volume)


def feed(trader: Trader, rows: Any) -> list[Decision]:
    """Every row of a table, bar by bar."""
    return [trader.on_bar(bar_of(row)) for row in rows.itertuples()]
