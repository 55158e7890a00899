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
  `sizes`, and the one that pays best on the tape that it learnt from is its size.
- With `--by-phase` the policy for value has a limit of contracts in the evaluation and another one in the funded
  account, which the mask of its sizes keeps: the two of `sizes` with which the policies for profit would have earned
  most on the tape that all learnt from. What those earn with the same two is printed as well, and tells what the limits
  bring and what the training.

All seeds of a kind are trained by one compiled program, side by side on an accelerator; all lives of a kind are lived
in one, too. Sizes are chosen on thousands of lives that are replayed, and the verdict is of lives that are played. What
a life is stands in docs/accounts.md. `--drift 0` makes the tape a martingale, on which none may pay.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
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
from trading_gymnax.survival.lives import live as replay
from trading_gymnax.survival.lives import tables_of
from trading_gymnax.survival.paths import bootstrap_orders
from trading_gymnax.survival.tape import record
from trading_gymnax.survival.value import stacked as rules_of
from trading_gymnax.synthetic import SYNTH, regime

MICRO = dataclasses.replace(
    SYNTH,
    symbol="MICRO",
    multiplier=SYNTH.multiplier / 10,
    commission_per_side=SYNTH.commission_per_side / 10,
)
_BARS = 400  # decisions of a session, at most
_ENDLESS = 10**6  # steps of an episode
_REPLAYED, _BLOCK = 2000, 5  # lives that sizes are chosen on, and mean length of the blocks that they are drawn in
_LIMITS = (("contract_limit", "scaling_contracts"), ("funded_contract_limit", "funded_scaling_contracts"))  # by phase
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
    """Of each policy, on the fresh tape."""
    sizes: tuple[int, ...] = (3, 6, 12)
    """Contracts of an entry, the smallest first."""
    by_phase: bool = False
    """Limit the policy for value to one of `sizes` in the evaluation and to another one when funded."""
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
    """What S policies made of N accounts."""

    paid: Any  # dollars to the trader, float [S, N]
    fees: Any  # dollars, float [S, N]
    entries: Any  # by phase (evaluation, funded) and size, int [S, 2, sizes of the environment]


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
    keys = [jax.random.key(options.first_seed + seed) for seed in range(options.seeds)]
    say(f"{len(keys)} seeds, {options.sessions} sessions a tape, {jax.devices()[0].device_kind}")

    profit = trained(env, options.profit, env.default_params, keys, sampled=options.sampled)
    say(f"trained for profit, {options.profit.total_timesteps:,} steps each")
    known_ratios = replayed(profit, env, known, options)
    fixed = np.diagonal(known_ratios, axis1=1, axis2=2).argmax(axis=1)
    pair = np.unravel_index(known_ratios.mean(axis=0).argmax(), known_ratios.shape[1:])
    phases = tuple(options.sizes[at] for at in pair)
    say(f"best sizes on the tape that they learnt from: {[options.sizes[at] for at in fixed]}, by phase {phases}")
    limits = _limited(fields, phases) if options.by_phase else fields
    value = trained(
        sees,
        options.value,
        sees.default_params.replace(**limits, position_size=unit),
        keys,
        sampled=options.sampled,
        start_from=profit if options.warm_start else None,
    )
    live = lives(sees, options.horizon, options.lives)
    of_value = live(value, sees.default_params.replace(**limits, market=fresh), np.full(len(keys), unit))
    say(f"trained for value, {options.value.total_timesteps:,} steps each, and its lives are lived")
    live = lives(blind, options.horizon, options.lives)
    of_account = blind.default_params.replace(market=fresh, **fields)
    of_profit = [live(profit, of_account, np.array(options.sizes)[fixed])]
    if options.by_phase:
        of_account = of_account.replace(**_limited(fields, phases))
        of_profit.append(live(profit, of_account, np.full(len(keys), max(options.sizes))))
    say("the lives of those for profit are lived")
    report(options, [options.sizes[at] for at in fixed], phases, of_profit, of_value)


def _limited(fields: dict[str, Any], sizes: tuple[int, ...]) -> dict[str, Any]:
    """The account's fields with a limit of contracts in the evaluation and one when funded, or the plan's if lower."""
    limits = {}
    for size, (base, steps) in zip(sizes, _LIMITS, strict=True):
        limits[base] = min(size, int(fields[base]) or size)
        limits[steps] = np.minimum(np.asarray(fields[steps]), size)
    return {**fields, **limits}


def replayed(policies: Policy, env: TradingPhase2, tape: MarketData, options: Options) -> np.ndarray:
    """Dollars for each of fees of each policy by its size in the evaluation and its size when funded, [S, K, K]."""
    of_plan, most = plan(options.account), max(options.sizes)
    fields = life_fields(of_plan, micro=True)
    pairs = list(itertools.product(options.sizes, repeat=2))
    params = env.default_params.replace(market=tape)
    of_pairs = [_limited(fields, pair) for pair in pairs]
    names = itertools.chain(*_LIMITS)
    limits = {name: jnp.asarray(np.stack([one[name] for one in of_pairs]), jnp.int32) for name in names}
    accounts = dataclasses.replace(rules_of([(of_plan, most)] * len(pairs), params), **limits)
    draw = {"paths": _REPLAYED, "horizon": options.horizon}
    found = []
    for at in range(options.seeds):
        one = jax.tree.map(lambda x, at=at: x[at], arrays_of(policies))
        policy = policies.replace(params=one[0], moments=one[1])
        recorded = record(policy, env, params, key=jax.random.key(300), max_contracts=most, sampled=options.sampled)
        orders = bootstrap_orders(jax.random.key(301), recorded.tape.follows, jnp.float32(_BLOCK), **draw)
        lived = replay(recorded.tape, accounts, tables_of(recorded.tape, accounts), orders)
        found.append(np.asarray(lived.paid_out).mean(axis=1) / np.asarray(lived.fees).mean(axis=1))
    return np.reshape(found, (options.seeds, len(options.sizes), len(options.sizes)))


def report(
    options: Options, fixed: list[int], phases: tuple[int, ...], of_profit: list[Lives], of_value: Lives
) -> None:
    """Print what each seed made on the fresh tape, how the sizes were chosen, and the difference of the two kinds."""
    value, profit, *by_phase = (ratios(found) for found in (of_value, *of_profit))
    for seed, size in enumerate(fixed):
        with_both = f", with {phases[0]} and {phases[1]} contracts {by_phase[0][seed]:.1f}" if by_phase else ""
        print(
            f"seed {options.first_seed + seed}: for value {value[seed]:.1f}, for profit {profit[seed]:.1f} with {size} "
            f"contracts{with_both}"
        )
    entries = np.asarray(of_value.entries).sum(axis=0)
    for phase, counts in zip(("evaluation", "funded"), entries, strict=True):
        shares = zip(options.sizes, counts / max(counts.sum(), 1), strict=True)
        print(f"for value, {counts.sum():,} entries in {phase}: {', '.join(f'{n}: {x:.0%}' for n, x in shares)}")
    for name, other in zip(("profit", "profit with a size for each phase"), (profit, *by_phase), strict=False):
        differences = value - other
        spread = differences.std(ddof=1) / len(fixed) ** 0.5 if len(fixed) > 1 else float("nan")
        print(f"dollars for each of fees, value less {name}: {differences.mean():+.1f}, standard error {spread:.1f}")
    found = {"value": value, "profit": profit, "fixed": fixed, "by_phase": by_phase, "phases": phases}
    found |= {"entries": entries}
    print(json.dumps({name: np.round(numbers, 3).tolist() for name, numbers in found.items()}))


def ratios(found: Lives) -> np.ndarray:
    """Dollars paid out for each of fees, [S]."""
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
    """(S policies, params, a size each) -> what `number` lives of up to `horizon` sessions each came to.

    `params` has the account and the tape; `position_size` is the size.
    """

    def one(kind: Policy, params: Any, arrays: Any, size: jax.Array) -> Any:
        policy = kind.replace(params=arrays[0], moments=arrays[1])
        params = dataclasses.replace(params, params=dataclasses.replace(params.params, position_size=size))
        keys = jax.random.split(jax.random.key(200), number)  # the same for all policies
        return _live(env, policy, params, keys, horizon)

    @jax.jit
    def play(policy: Policy, params: Any, sizes: jax.Array) -> Lives:
        each = functools.partial(one, policy, env.prepared(params))
        return Lives(*jax.vmap(each)(arrays_of(policy), sizes))

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
