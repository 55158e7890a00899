"""Would the policy pass an evaluation account? Its sessions played again in many orders, beside a coin's.

The policy is walked once through every session of the view; its sessions are then played in other orders on every
account (`paths.replay`): block-bootstrapped ones (`bootstrap_orders`), and consecutive ones from each
session on. Of a consecutive order outcome, sessions and cents are those of the environment.

- A pass is the first moment at which the account is flat, its balance is at or above start + target, and it has
  closed a trade in `minimum_days` sessions, the present one included. An account that meets the target earlier
  trades on, its floor still in force, and can breach or fall below the target again; the environment, which knows
  no minimum days, ends there.
- A breach is an end by DRAWDOWN, or by DAILY_LOSS where `daily_loss_fails`.
- The fee of a preset is a month's. It is paid for every started `MONTH` sessions of the attempt, which a breach or
  the horizon ends. An attempt still running at the horizon is worth nothing.
- Intervals (95 %) contain what few sessions leave unknown: the figures are found anew for 200 resampled sets of
  sessions (the same bootstrap, as many sessions as there are), and the Monte Carlo error is added.
- The coin enters at the policy's rate where an entry is legal, long or short evenly, and manages nothing; it is
  walked `coin_seeds` times, and each session of an attempt takes one of these walks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.accounts import AccountPreset
from trading_gymnax.keys import stream
from trading_gymnax.market import MarketData
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.phase2 import TradingPhase2
from trading_gymnax.survival.cases import all_cases, presets_of
from trading_gymnax.survival.draws import (
    BLOCK,
    COIN_SEEDS,
    PATHS,
    SET_PATHS,
    SETS,
    check_numbers,
    dates_of,
    draw_orders,
    environment_of,
    record_both,
)
from trading_gymnax.survival.estimates import Attempts, Estimate, curve, days_to_pass, mean
from trading_gymnax.survival.paths import Outcome, consecutive_orders, replay
from trading_gymnax.survival.refused import SurvivalRefused
from trading_gymnax.survival.replay import BREACHED, PASSED, RUNNING, AccountRules, stacked_rules
from trading_gymnax.survival.result import Case, Consecutive, Odds, Survival
from trading_gymnax.survival.tape import Recording, join_tapes

MONTH = 21  # sessions that a monthly fee pays for
SESSIONS = 30


def survival(
    policy: Any,
    market: MarketData,
    account: AccountPreset | Sequence[AccountPreset],
    *,
    key: jax.Array,
    env: TradingPhase1 | None = None,
    params: Any = None,
    phase: int = 2,
    contracts: int | Sequence[int] | None = None,
    high_water_modes: Sequence[str] | None = None,
    sessions: int = SESSIONS,
    block_sessions: float = BLOCK,
    paths: int = PATHS,
    pass_value_usd: float | None = None,
    sampled: bool = False,
    coin_seeds: int = COIN_SEEDS,
) -> Survival:
    """Probability that a policy passes an evaluation account, breaches it, or is still running, and what that is worth.

    How attempts are made and counted stands at the head of this module.

    Args:
        policy: as in `evaluate_policy`. It decides by what it sees; one with a memory starts each session afresh.
        market: its view is walked.
        account: presets whose fields are rules of the account; what they ask of the constructor is not used.
        key: typed key.
        env: environment that the policy belongs to; default: that of `phase` with its defaults.
        params: market rules, costs and size; their market is replaced, their account's rules do not count.
        phase: 1 or 2, of the default environment.
        contracts: sizes of an entry to compare; default: that of the parameters, or by risk where they say so.
        high_water_modes: names of `HIGH_WATER_MODES` to compare instead of each account's own.
        sessions: most sessions of an attempt.
        block_sessions: mean length of a block of the bootstrap, sessions.
        paths: attempts of each account.
        pass_value_usd: worth of a pass, dollars; default: the account's profit target, though a passed account pays
            out less or more by what follows.
        sampled: as in `evaluate_policy`.
        coin_seeds: walks of the coin.

    Raises:
        SurvivalRefused: an environment with `account_features=True`; fewer sessions than a block; an account without a
            profit target, or one that changes other rules than its own; more contracts than it allows; a number that
            cannot be.
        ValueError: as `evaluate_policy`.
    """
    _check(pass_value_usd, block_sessions, sessions=(sessions, 1), paths=(paths, 2), coin_seeds=(coin_seeds, 1))
    env, params = environment_of(env, params, phase, market)
    plan = all_cases(presets_of(account), params, contracts, high_water_modes)
    keys = jax.random.split(stream(key, "survival"), 6)
    walking = params.replace(initial_balance=plan[0][3]["initial_balance"])
    how: dict[str, Any] = {"sampled": sampled, "block": block_sessions, "coin_seeds": coin_seeds}
    asked = stacked_rules([fields for *_, fields in plan])
    recorded, coins = record_both(policy, env, walking, keys[:2], **how, max_contracts=int(asked.max_contracts.max()))
    found = _play_all(recorded, coins, asked, keys[2:], (sessions, block_sessions, paths))
    data = (len(recorded.date), float(block_sessions))
    values = [fields["profit_target"] if pass_value_usd is None else pass_value_usd for *_, fields in plan]
    cases = [_case(found, at, data, sessions, value, plan[at][:3]) for at, value in enumerate(values)]
    notes = _notes(env, recorded, cases, pass_value_usd)
    return Survival(tuple(cases), data[0], sessions, data[1], paths, dates_of(recorded), notes)


def _check(pass_value_usd: float | None, block_sessions: float, **least: tuple[int, int]) -> None:
    check_numbers(block_sessions, **least)
    if pass_value_usd is not None and not math.isfinite(pass_value_usd):
        raise SurvivalRefused(f"pass_value_usd is a number of dollars; got {pass_value_usd!r}")


# -- attempts --


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    """Outcomes of all accounts: [A, P] of the orders, [A, B, Q] of the sets, [A, N] of the consecutive orders."""

    orders: Outcome
    sets: Outcome
    alone: Outcome


def _play_all(
    recorded: Recording, coins: list[Recording], asked: AccountRules, keys: jax.Array, asked_for: tuple[int, float, int]
) -> tuple[_Found, _Found]:
    """What became of the policy's attempts, and of the coin's: in each session the coin takes one of its walks."""
    tape, count, seeds = join_tapes([x.tape for x in (recorded, *coins)]), len(recorded.date), len(coins)
    orders, sets = draw_orders(recorded.tape.follows, keys[:3], *asked_for)
    alone = consecutive_orders(recorded.tape.follows, asked_for[0])
    drawn = jnp.concatenate([orders, sets])
    walk = 1 + jax.random.randint(keys[3], drawn.shape, 0, seeds, jnp.int32)
    of_coins = [jnp.where(alone >= 0, alone + count * seed, -1) for seed in range(1, seeds + 1)]
    parts = [drawn, alone, drawn + count * walk, *of_coins]
    ends = np.cumsum([len(orders), len(sets), count, len(orders), len(sets)])
    in_turn = jnp.concatenate([jnp.full(len(part), at not in (0, 2)) for at, part in enumerate(parts)])
    found = jax.device_get(replay(tape, asked, jnp.concatenate(parts), in_turn))
    pieces = list(zip(*(np.split(x, ends, axis=1) for x in found), strict=True))
    own, tossed = (
        _Found(Outcome(*first), Outcome(*(x.reshape(len(x), SETS, SET_PATHS) for x in second)), Outcome(*third))
        for first, second, third in (pieces[:3], pieces[3:])
    )
    return own, tossed


def _attempts(found: _Found, at: int, data: tuple[int, float]) -> Attempts:
    """Of account `at`; data: sessions, and their mean block."""
    return Attempts(found.orders.outcome[at], found.orders.days[at], found.sets.outcome[at], found.sets.days[at], *data)


def _odds(found: _Found, at: int, data: tuple[int, float], horizon: int, value: float, fee: float) -> Odds:
    attempts = _attempts(found, at, data)
    shares = {outcome: attempts.share(outcome) for outcome in (PASSED, BREACHED, RUNNING)}
    worth, of_sets = (
        value * (x.outcome[at] == PASSED) - fee * -(-x.days[at] // MONTH) for x in (found.orders, found.sets)
    )
    alone, cut = found.alone.outcome[at], found.alone.out_of_data[at]
    return Odds(
        passed=shares[PASSED],
        breached=shares[BREACHED],
        running=shares[RUNNING],
        days=days_to_pass(attempts),
        usd=_at_least_as_wide(mean(worth, of_sets, attempts.widening), shares[PASSED], value),
        curve=curve(attempts, horizon),
        consecutive=Consecutive(
            attempts=len(alone),
            passed=float((alone == PASSED).mean()),
            breached=float((alone == BREACHED).mean()),
            running=float(((alone == RUNNING) & ~cut).mean()),
            out_of_data=float(cut.mean()),
        ),
    )


def _case(
    found: tuple[_Found, _Found],
    at: int,
    data: tuple[int, float],
    horizon: int,
    value: float,
    asked: tuple[AccountPreset, int | None, str],
) -> Case:
    """Account `at` with the policy's odds and the coin's; asked: preset, contracts, high-water mode."""
    fee = asked[0].fee_usd or 0.0
    policy, coin = (_odds(one, at, data, horizon, value, fee) for one in found)
    over = _difference(*found, at, _attempts(found[0], at, data).widening)
    return Case(*asked, float(value), policy, coin, over)


def _at_least_as_wide(usd: Estimate, passed: Estimate, value: float) -> Estimate:
    """Dollars cannot be known better than the pass that earns them where no set has shown both ends."""
    if passed.value not in (0.0, 1.0):
        return usd
    ends = [usd.value + value * (end - passed.value) for end in (passed.low, passed.high)]
    return Estimate(usd.value, min(usd.low, *ends), max(usd.high, *ends))


def _difference(own: _Found, tossed: _Found, at: int, widening: float) -> Estimate:
    """P(pass) of the policy less the coin's; both played the same orders of the same sessions."""
    values, sets = (
        (mine.outcome[at] == PASSED).astype(float) - (other.outcome[at] == PASSED)
        for mine, other in ((own.orders, tossed.orders), (own.sets, tossed.sets))
    )
    found = mean(values, sets, widening)
    return Estimate(found.value, max(found.low, -1.0), min(found.high, 1.0))


def _notes(env: TradingPhase1, recorded: Recording, cases: list[Case], pass_value: float | None) -> tuple[str, ...]:
    notes = []
    if recorded.trades == 0:
        notes.append("The policy never trades: every account stays as it is.")
    if isinstance(env, TradingPhase2):
        notes.append(
            "Phase 2 shows the policy its drawdown. Here it saw that of an account which starts each session at its "
            "high-water mark, under the trailing limit and the size of the parameters; a policy that heeds it would "
            "act somewhat differently on an account that starts lower."
        )
    if any(case.account.fee_usd is None for case in cases):
        notes.append("Where the fee is unknown, the dollars an attempt are those before the fee.")
    if pass_value is None:
        notes.append("A pass is counted as worth the profit target; what a passed account pays out is another matter.")
    return tuple(notes)
