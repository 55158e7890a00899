"""What estimates over orders of sessions begin with: numbers checked, policy and coin walked, orders drawn."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from trading_gymnax.evaluation.baselines import RandomEntries
from trading_gymnax.market import MarketData
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.phase2 import TradingPhase2
from trading_gymnax.survival.paths import bootstrap_orders
from trading_gymnax.survival.refused import SurvivalRefused
from trading_gymnax.survival.tape import Recording, record
from trading_gymnax.text import count_text

BLOCK, PATHS, COIN_SEEDS = 5, 10_000, 8
SETS, SET_PATHS = 200, 100  # resampled sets of sessions, and attempts in each
_PHASES = {1: TradingPhase1, 2: TradingPhase2}


def check_numbers(block: float, **counts: tuple[Any, int]) -> None:
    """Refuse a mean block that cannot be, and counts, each (value, least), that are no whole numbers from there on."""
    for name, (value, least) in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise SurvivalRefused(f"{name} is a whole number, {least} or more; got {value!r}")
    if not 1 <= block < math.inf:
        raise SurvivalRefused(f"block_sessions is a mean length of 1 session or more; got {block!r}")


def environment_of(env: TradingPhase1 | None, params: Any, phase: int, market: MarketData) -> tuple[TradingPhase1, Any]:
    """The environment, by default that of the phase, and its parameters on the market."""
    if not isinstance(market, MarketData):
        raise SurvivalRefused(f"market must be a MarketData, made by load_market_data; got {type(market).__name__}")
    if env is None:
        if phase not in _PHASES:
            raise SurvivalRefused(f"phase is 1 or 2; got {phase!r}")
        env = _PHASES[phase](market)
    params = env.default_params if params is None else params
    return env, params.replace(market=market)


def dates_of(recorded: Recording) -> str:
    """First and last day of what was recorded, in words."""
    return f"{recorded.date.min()} to {recorded.date.max()}"


def record_both(
    policy: Any,
    env: TradingPhase1,
    params: Any,
    keys: jax.Array,
    *,
    sampled: bool,
    block: float,
    coin_seeds: int,
    max_contracts: int,
) -> tuple[Recording, list[Recording]]:
    """The policy's sessions, and those of the coin at its rate, one recording a seed."""
    recorded = record(policy, env, params, key=keys[0], sampled=sampled, max_contracts=max_contracts)
    check_enough(len(recorded.date), block)
    how: dict[str, Any] = {"coin_seeds": coin_seeds, "max_contracts": max_contracts}
    return recorded, record_coin(recorded.entry_rate, env, params, keys[1], **how)


def record_coin(
    rate: float, env: TradingPhase1, params: Any, key: jax.Array, *, coin_seeds: int, max_contracts: int
) -> list[Recording]:
    """The sessions of a coin that enters at a rate, one recording a seed."""
    coin, seeds = RandomEntries(jnp.float32(rate)), jax.random.split(key, coin_seeds)
    return [record(coin, env, params, key=seed, max_contracts=max_contracts) for seed in seeds]


def check_enough(count: int, block: float) -> None:
    """Refuse a view of fewer sessions than a block has on average."""
    if count < block:
        raise SurvivalRefused(
            f"the view has {count_text(count, 'usable session')}, fewer than a block of {block:g}; give more sessions "
            "or a smaller block_sessions"
        )


def draw_orders(
    follows: jax.Array, keys: jax.Array, sessions: int, block: float, paths: int, sets: tuple[int, int] | None = None
) -> tuple[jax.Array, jax.Array]:
    """Bootstrapped orders, int32 [paths, sessions]; those of resampled sets of sessions, [B * Q, sessions].

    sets: how many of them, B, and orders of each, Q; default: SETS and SET_PATHS.
    """
    (count, of_each), size, mean_block = sets or (SETS, SET_PATHS), len(follows), jnp.float32(block)
    orders = bootstrap_orders(keys[0], follows, mean_block, paths=paths, horizon=sessions)
    drawn = bootstrap_orders(keys[1], follows, mean_block, paths=count, horizon=size)
    following = 1 + jnp.arange(size, dtype=jnp.int32)
    ring = jnp.where(following < size, following, -1)
    places = bootstrap_orders(keys[2], ring, mean_block, paths=count * of_each, horizon=sessions)
    of_set = jnp.repeat(jnp.arange(count), of_each)[:, None]
    return orders, drawn[of_set, places]
