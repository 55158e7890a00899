"""A policy trained for its account's value beside one trained for profit with its best size: dollars for each of fees.

    python -m benchmarks.account_training                     # five seeds, about forty minutes on two cores
    python -m benchmarks.account_training --seeds 1 --steps 8192 --lives 16 --sessions 20    # shows that it works

Both learn from one `regime` tape of micro contracts at a drift of a sixth and are judged on another. The one for value
sees its account and is paid by `rewards.account_value`; the size of the other is the best for it on the tape that it
learnt from, and both trade that size. What a life is stands in docs/accounts.md.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from purejaxrl_ppo import make_train, policy_of
from trading_gymnax import TradingPhase2, rewards
from trading_gymnax.accounts import life_fields, plan
from trading_gymnax.cli.trader import TRADER
from trading_gymnax.data.loader import load_bars
from trading_gymnax.market import MarketData, pack
from trading_gymnax.synthetic import SYNTH, regime

MICRO = dataclasses.replace(
    SYNTH,
    symbol="MICRO",
    multiplier=SYNTH.multiplier / 10,
    commission_per_side=SYNTH.commission_per_side / 10,
)
_BARS = 400  # decisions of a session, at most


@dataclasses.dataclass(frozen=True)
class Options:
    """What to train and to judge."""

    account: str = "topstep-50k"
    """The plan."""
    seeds: int = 5
    """Trainings of each kind."""
    steps: int = 400_000
    """Environment steps of a training."""
    gamma: float = 0.9995
    """Discount of the account's value."""
    sessions: int = 300
    """Of either tape."""
    horizon: int = 20
    """Sessions of a life, at most."""
    lives: int = 256
    """Out of sample, of each policy."""
    sizes: tuple[int, ...] = (3, 6, 12)
    """Contracts of an entry that the policy trained for profit chooses from."""


def main(options: Options) -> None:
    """Train, judge, and print each seed and the mean difference."""
    known, fresh = (market(options.sessions, seed) for seed in (11, 12))
    fields = life_fields(plan(options.account), micro=True)
    env, blind = TradingPhase2(known), TradingPhase2(known, account_life=True)
    reward = rewards.account_value(options.gamma)
    sees = TradingPhase2(known, account_life=True, account_features=True, reward_fn=reward)
    config = dataclasses.replace(TRADER, total_timesteps=options.steps, num_envs=64)
    config = dataclasses.replace(config, total_timesteps=config.num_iterations * config.batch_size)
    for_value = dataclasses.replace(config, gamma=options.gamma)
    train_profit, train_value = jax.jit(make_train(env, config)), jax.jit(make_train(sees, for_value))
    live_blind, live_seeing = (lives(one, options.horizon) for one in (blind, sees))

    def account(of: MarketData, size: int) -> Any:
        params = TradingPhase2(of, account_life=True).default_params
        return params.replace(**fields, position_size=size, max_steps_in_episode=10**6)

    differences = []
    for seed in range(options.seeds):
        key, params = jax.random.key(seed), env.default_params
        policy = policy_of(train_profit(key, params).state, env, params, config, sampled=False)
        found = {
            size: live_blind(policy, account(known, size), jax.random.key(100), options.lives // 4)
            for size in options.sizes
        }
        best = max(found, key=lambda size: float((found[size][0] - found[size][1]).mean()))
        profit = live_blind(policy, account(fresh, best), jax.random.key(200), options.lives)
        params = account(known, best)
        policy = policy_of(train_value(key, params).state, sees, params, for_value, sampled=False)
        value = live_seeing(policy, account(fresh, best), jax.random.key(200), options.lives)
        ratios = [float(paid.mean() / fees.mean()) for paid, fees in (value, profit)]
        differences.append(ratios[0] - ratios[1])
        print(f"seed {seed}, {best} contracts: for value {ratios[0]:.1f}, for profit {ratios[1]:.1f}", flush=True)
    spread = np.std(differences, ddof=1) / len(differences) ** 0.5 if len(differences) > 1 else float("nan")
    print(f"dollars for each of fees, value less profit: {np.mean(differences):+.1f}, standard error {spread:.1f}")


def market(sessions: int, seed: int) -> MarketData:
    """A `regime` tape of micro contracts at a drift of a sixth."""
    tape = regime(sessions, seed=seed, drift=1 / 6, spec=MICRO)
    return pack([load_bars(tape.frame, tape.spec)])


def lives(env: TradingPhase2, horizon: int) -> Callable[..., tuple[jax.Array, jax.Array]]:
    """(policy, params, key, number) -> dollars paid out and fees, [number] each, of lives up to `horizon` sessions."""

    @functools.partial(jax.jit, static_argnames="number")
    def play(policy: Any, params: Any, key: jax.Array, number: int) -> tuple[jax.Array, jax.Array]:
        obs, state = jax.vmap(env.reset, (0, None))(jax.random.split(key, number), params)

        def step(carry: Any) -> Any:
            turn, key, obs, state, over, paid, fees = carry
            key, drawn = jax.random.split(key)
            mask = jax.vmap(env.action_mask, (0, None))(state, params)
            action = policy(drawn, obs, mask)
            played = jax.vmap(env.step_env, (None, 0, 0, None))(drawn, state, action, params)
            after_obs, after, _, ended, info = played
            paid = jnp.where(over, paid, info["paid_out_cents"])
            fees = jnp.where(over, fees, info["fees_cents"])

            def kept(new: jax.Array, old: jax.Array) -> jax.Array:
                return jnp.where(over.reshape(-1, *[1] * (new.ndim - 1)), old, new)

            obs, state = jax.tree.map(kept, (after_obs, after), (obs, state))
            account = jax.vmap(lambda one: one.unpack())(state)
            over = over | ended | (account.session_number > horizon)
            return turn + 1, key, obs, state, over, paid, fees

        nothing = jnp.zeros(number, jnp.int32)
        start = (0, key, obs, state, jnp.zeros(number, bool), nothing, nothing)
        *_, paid, fees = jax.lax.while_loop(lambda carry: (carry[0] < horizon * _BARS) & ~carry[4].all(), step, start)
        return paid / 100, fees / 100

    return play


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
