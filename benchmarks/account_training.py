"""A policy trained for its account's value that chooses sizes, beside one trained for profit with its best fixed size.

    python -m benchmarks.account_training                     # five seeds of a short training
    python -m benchmarks.account_training --help              # the plan, the tapes, and both trainers' settings
    python -m benchmarks.account_training --seeds 2 --sessions 20 --lives 16 --horizon 4 \\
        --profit.total-timesteps 8192 --value.total-timesteps 8192                       # shows that it works

Both learn from one `regime` tape of micro contracts and are judged on another, by dollars paid out for each of fees.

- For value: it sees its account, is paid by `rewards.account_value` at its own gamma, and each entry chooses one of
  `sizes` (`entry_sizes`). A life ends after `horizon` sessions while it learns as well, worth nothing from then on, and
  it sees the session's number; with `--endless` it goes on, and only what is judged ends there. With `--warm-start` it
  begins with what the policy for profit of the same seed has learnt.
- For profit: it sees no account and enters with one contract while it learns; what it does then is traded with each of
  `sizes`, and the one that pays best on the tape that it learnt from is its size. What the others would have paid is
  printed as well, and no part of the verdict.

All seeds of a kind are trained by one compiled program, side by side on an accelerator; all lives of a kind are lived
in one, too. What a life is stands in docs/accounts.md. `--drift 0` makes the tape a martingale, on which none may pay.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from purejaxrl_ppo import Policy, PPOConfig, make_trainer, policy_of, warm_started
from trading_gymnax import TradingPhase2, rewards, rules
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
_ENDLESS = 10**6  # steps of an episode
_PROFIT = dataclasses.replace(TRADER, total_timesteps=400_000, num_envs=64)


@dataclasses.dataclass(frozen=True)
class Options:
    """What to train and to judge."""

    account: str = "topstep-50k"
    """The plan."""
    seeds: int = 5
    """Trainings of each kind."""
    first_seed: int = 0
    """Seed of the first one."""
    sessions: int = 300
    """Of either tape."""
    drift: float = 1 / 6
    """Of the tapes' regimes, in units of their noise; 0: a martingale."""
    horizon: int = 20
    """Sessions of a life, at most."""
    lives: int = 256
    """Of each policy with each size, on either tape."""
    sizes: tuple[int, ...] = (3, 6, 12)
    """Contracts of an entry, the smallest first."""
    endless: bool = False
    """Train for the value of lives that go on beyond the horizon; gamma then says how far the policy looks."""
    warm_start: bool = False
    """Begin the training for value with what the policy for profit has learnt; both need networks of one kind."""
    sampled: bool = False
    """Judge policies that draw their actions; otherwise they take the most probable one. Where several sizes are about
    as good, each is less probable than all of them together are against HOLD, so that this may keep an entry back."""
    profit: PPOConfig = _PROFIT
    """Trainer of the policy for profit."""
    value: PPOConfig = dataclasses.replace(_PROFIT, gamma=0.9999)
    """Trainer of the policy for value; its gamma is the discount of the account's value, too."""


class EndingPhase2(TradingPhase2):
    """Lives that end with the session number `last_session`, whatever the account is worth then."""

    last_session = _ENDLESS

    def _next_decision(self, *args: Any) -> Any:
        state = super()._next_decision(*args)
        return state.replace(terminated=state.terminated | (state.session_number > self.last_session))


class Lives(NamedTuple):
    """What S policies with each of K sizes made of N accounts."""

    paid: Any  # dollars to the trader, float [S, K, N]
    fees: Any  # dollars, float [S, K, N]
    entries: Any  # by phase (evaluation, funded) and size, int [S, K, 2, sizes of the environment]


def main(options: Options) -> None:
    """Train, judge, and print each seed and the mean difference."""
    began = time.perf_counter()

    def say(text: str) -> None:
        print(f"{time.perf_counter() - began:6.0f} s: {text}", flush=True)

    known, fresh = (market(options.sessions, options.drift, seed) for seed in (11, 12))
    unit = math.gcd(*options.sizes)
    reward = rewards.account_value(options.value.gamma)
    env, blind = TradingPhase2(known), TradingPhase2(known, account_life=True)
    sees = EndingPhase2(
        known,
        account_life=True,
        account_features=True,
        entry_sizes=tuple(size // unit for size in options.sizes),
        reward_fn=reward,
    )
    sees.last_session = _ENDLESS if options.endless else options.horizon
    fields = {**life_fields(plan(options.account), micro=True), "max_steps_in_episode": _ENDLESS}
    of_account = [blind.default_params.replace(market=tape, **fields) for tape in (known, fresh)]
    keys = [jax.random.key(options.first_seed + seed) for seed in range(options.seeds)]
    say(f"{len(keys)} seeds, {options.sessions} sessions a tape, {jax.devices()[0].device_kind}")

    profit = trained(env, options.profit, env.default_params, keys, sampled=options.sampled)
    say(f"trained for profit, {options.profit.total_timesteps:,} steps each")
    live = lives(blind, options.horizon, options.lives)
    of_profit = [live(profit, params, np.array(options.sizes)) for params in of_account]
    say("its lives are lived")
    value = trained(
        sees,
        options.value,
        sees.default_params.replace(**fields, position_size=unit),
        keys,
        sampled=options.sampled,
        start_from=profit if options.warm_start else None,
    )
    say(f"trained for value, {options.value.total_timesteps:,} steps each")
    live = lives(sees, options.horizon, options.lives)
    of_value = [live(value, params, np.array([unit])) for params in of_account]
    say("its lives are lived")
    report(options, of_profit, of_value)


def report(options: Options, of_profit: Sequence[Lives], of_value: Sequence[Lives]) -> None:
    """Print what each seed made on the fresh tape, how the sizes were chosen, and the difference of the two kinds."""
    known, fresh = (ratios(found) for found in of_profit)  # [S, K]
    best = known.argmax(axis=1)
    profit, value = fresh[np.arange(len(best)), best], ratios(of_value[1])[:, 0]
    for seed, size in enumerate(best):
        others = ", ".join(
            f"{contracts}: {ratio:.1f}" for contracts, ratio in zip(options.sizes, fresh[seed], strict=True)
        )
        print(
            f"seed {options.first_seed + seed}: for value {value[seed]:.1f}, for profit {profit[seed]:.1f} with "
            f"{options.sizes[size]} contracts ({others})"
        )
    entries = np.asarray(of_value[1].entries).sum(axis=(0, 1))
    for phase, counts in zip(("evaluation", "funded"), entries, strict=True):
        shares = zip(options.sizes, counts / max(counts.sum(), 1), strict=True)
        print(f"for value, {counts.sum():,} entries in {phase}: {', '.join(f'{n}: {x:.0%}' for n, x in shares)}")
    differences = value - profit
    spread = differences.std(ddof=1) / len(best) ** 0.5 if len(best) > 1 else float("nan")
    print(f"dollars for each of fees, value less profit: {differences.mean():+.1f}, standard error {spread:.1f}")
    found = {"value": value, "profit": profit, "profit_by_size": fresh, "profit_known": known}
    found |= {"value_known": ratios(of_value[0])[:, 0], "entries": entries}
    print(json.dumps({name: np.round(numbers, 3).tolist() for name, numbers in found.items()}))


def ratios(found: Lives) -> np.ndarray:
    """Dollars paid out for each of fees, [S, K]."""
    return np.asarray(found.paid).mean(axis=-1) / np.asarray(found.fees).mean(axis=-1)


def market(sessions: int, drift: float, seed: int) -> MarketData:
    """A `regime` tape of micro contracts."""
    tape = regime(sessions, seed=seed, drift=drift, spec=MICRO)
    return pack([load_bars(tape.frame, tape.spec)])


def trained(
    env: TradingPhase2,
    config: PPOConfig,
    params: Any,
    keys: Sequence[jax.Array],
    *,
    sampled: bool,
    start_from: Policy | None = None,
) -> Policy:
    """One policy a key, as one `Policy` whose arrays have a leading axis; `start_from` is such a one."""
    config = dataclasses.replace(config, total_timesteps=config.num_iterations * config.batch_size)
    trainer = make_trainer(env, config)

    def learn(state: Any, params: Any) -> Any:
        def iteration(state: Any, _: Any) -> Any:
            return trainer.update(state, params, config.hyperparameters)[0], None

        return jax.lax.scan(iteration, state, None, config.num_iterations)[0]

    init = jax.jit(trainer.init)
    states = [init(key, params) for key in keys]
    if start_from is not None:
        begun = [jax.tree.map(lambda x, seed=seed: x[seed], arrays_of(start_from)) for seed in range(len(keys))]
        policies = [start_from.replace(params=one[0], moments=one[1]) for one in begun]
        warm = [warm_started(*pair, env, params, config) for pair in zip(states, policies, strict=True)]
        states = [state for state, _ in warm]
        print("\n".join(line for line in warm[0][1] if " new " in line))
    if jax.default_backend() == "cpu":  # its fast paths are those of a single run
        learn_one = jax.jit(learn)
        state = stacked([learn_one(one, params) for one in states])
    else:
        state = jax.jit(jax.vmap(learn, (0, None)))(stacked(states), params)
    return policy_of(state, env, params, config, sampled=sampled)


def stacked(trees: Sequence[Any]) -> Any:
    """Trees of one structure as one with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def arrays_of(policy: Policy) -> tuple[Any, Any]:
    """What differs between policies of one kind."""
    return policy.params, policy.moments


def lives(env: TradingPhase2, horizon: int, number: int) -> Callable[[Policy, Any, np.ndarray], Lives]:
    """(S policies, params, K sizes) -> what `number` lives of up to `horizon` sessions each came to.

    `params` has the account and the tape; `position_size` is each of the sizes.
    """

    def live(kind: Policy, arrays: Any, params: Any, size: jax.Array) -> Any:
        policy = kind.replace(params=arrays[0], moments=arrays[1])
        params = dataclasses.replace(params, params=dataclasses.replace(params.params, position_size=size))
        keys = jax.random.split(jax.random.key(200), number)  # the same for all policies and sizes
        return _live(env, policy, params, keys, horizon)

    @jax.jit
    def play(policy: Policy, params: Any, sizes: jax.Array) -> Lives:
        one = functools.partial(live, policy)
        by_size = jax.vmap(one, (None, None, 0))
        return Lives(*jax.vmap(by_size, (0, None, None))(arrays_of(policy), env.prepared(params), sizes))

    return lambda policy, params, sizes: jax.device_get(play(policy, params, jnp.asarray(sizes, jnp.int32)))


def _live(env: TradingPhase2, policy: Policy, params: Any, keys: jax.Array, horizon: int) -> tuple[Any, ...]:
    number, num_sizes = len(keys), max(len(env.entry_sizes), 1)
    obs, state = jax.vmap(env.reset, (0, None))(keys, params)
    variants = jnp.array([env.action_variants.get(action, action) for action in range(env.num_actions)])
    first_further = env.num_actions - len(env.action_variants)

    def step(carry: Any) -> Any:
        turn, obs, state, over, paid, fees, entries = carry
        mask = jax.vmap(env.action_mask, (0, None))(state, params)
        action = policy(jax.random.fold_in(keys[0], turn), obs, mask)
        played = jax.vmap(env.step_env, (None, 0, 0, None))(keys[0], state, action, params)
        after_obs, after, _, ended, info = played
        ordinary = variants[action]
        enters = ~over & ((ordinary == rules.BUY) | (ordinary == rules.SELL))  # policies do what is legal
        size = jnp.where(action < first_further, 0, 1 + (action - first_further) // 2)
        at = jax.nn.one_hot(state.funded * num_sizes + size, 2 * num_sizes, dtype=jnp.int32)
        entries += (at * enters[:, None]).sum(axis=0).reshape(2, num_sizes)
        paid = jnp.where(over, paid, info["paid_out_cents"])
        fees = jnp.where(over, fees, info["fees_cents"])

        def kept(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(over.reshape(-1, *[1] * (new.ndim - 1)), old, new)

        obs, state = jax.tree.map(kept, (after_obs, after), (obs, state))
        over = over | ended | (state.session_number > horizon)
        return turn + 1, obs, state, over, paid, fees, entries

    nothing = jnp.zeros(number, jnp.int32)
    start = (0, obs, state, jnp.zeros(number, bool), nothing, nothing, jnp.zeros((2, num_sizes), jnp.int32))
    *_, paid, fees, entries = jax.lax.while_loop(
        lambda carry: (carry[0] < horizon * _BARS) & ~carry[3].all(), step, start
    )
    return paid / 100, fees / 100, entries


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
