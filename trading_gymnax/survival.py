"""Would the policy pass an evaluation account? Its sessions played again in many orders, beside a coin's."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from trading_gymnax import rules
from trading_gymnax.baselines import RandomEntries
from trading_gymnax.contracts import CONTRACTS, ContractSpec
from trading_gymnax.curriculum import AccountPreset
from trading_gymnax.market import MarketData
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.phase2 import TradingPhase2
from trading_gymnax.survival_estimates import Attempts, Curve, Days, Estimate, curve, days_to_pass, mean
from trading_gymnax.survival_paths import (
    BREACHED,
    PASSED,
    RUNNING,
    AccountRules,
    Outcome,
    bootstrap_orders,
    consecutive_orders,
    replay,
)
from trading_gymnax.survival_tape import Recording, Tape, record

MONTH = 21  # sessions that a monthly fee pays for
SESSIONS, BLOCK, PATHS, COIN_SEEDS = 30, 5, 10_000, 8
_SETS, _SET_PATHS = 200, 200  # resampled sets of sessions, and attempts in each
_PHASES = {1: TradingPhase1, 2: TradingPhase2}
_ACCOUNT_FIELDS = ("initial_balance", "trailing_dd_limit", "floor_lock", "daily_loss_limit", "profit_target")
_OTHER_FIELDS = (
    *("high_water_mode", "daily_loss_fails", "max_contracts"),
    *("terminate_at_session_end", "max_steps_in_episode"),  # an account goes on over night, for `sessions` sessions
)


@dataclasses.dataclass(frozen=True)
class Consecutive:
    """Attempts that start on every session of the view and go on with those that follow; shares of all, from 0 to 1."""

    attempts: int  # sessions, for a coin times the seeds
    passed: float
    breached: float
    running: float  # through all sessions of the horizon
    out_of_data: float  # neither passed nor breached when the data ended


@dataclasses.dataclass(frozen=True, eq=False)
class Odds:
    """What became of the attempts; probabilities after the last session of the horizon."""

    passed: Estimate
    breached: Estimate
    running: Estimate
    days: Days  # sessions to a pass
    usd: Estimate  # value of a pass * P(pass) - fees paid, dollars an attempt; before fees where they are unknown
    curve: Curve  # the three over the sessions
    consecutive: Consecutive


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One account, size and high-water mode."""

    account: AccountPreset
    contracts: int | None  # of every entry; None: chosen by risk
    high_water_mode: str
    pass_value_usd: float
    policy: Odds
    coin: Odds  # enters at the policy's rate and with its size, long or short by a coin
    over_coin: Estimate  # P(pass) of the policy less the coin's, over the same orders

    @property
    def name(self) -> str:
        """The account with what was changed about it."""
        size = "sized by risk" if self.contracts is None else f"{self.contracts} contract{'s'[: self.contracts != 1]}"
        mode = "" if self.high_water_mode in self.account.name else f", {self.high_water_mode}"
        return f"{self.account.name}{mode}, {size}"

    @property
    def fee_text(self) -> str:
        """The fee, or that it is unknown."""
        fee = self.account.fee_usd
        return "fee unknown" if fee is None else f"{fee:,.0f} dollars a month"


@dataclasses.dataclass(frozen=True, eq=False)
class Survival:
    """How accounts fare with a policy."""

    cases: tuple[Case, ...]  # by account, high-water mode, contracts
    num_sessions: int  # in the view
    horizon: int  # sessions of an attempt at most
    block_sessions: float
    paths: int
    dates: str
    notes: tuple[str, ...]  # what a reader must know, a sentence each

    def table(self) -> pd.DataFrame:
        """Two rows a case, the policy's and the coin's: each figure with the ends of its interval."""
        rows = []
        for case in self.cases:
            for who, odds in (("policy", case.policy), ("coin", case.coin)):
                row: dict[str, Any] = {"case": case.name, "who": who}
                figures = {"passed": odds.passed, "breached": odds.breached, "running": odds.running, "usd": odds.usd}
                figures["days"] = odds.days.median
                for name, found in figures.items():
                    row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
                row |= {"days_5": odds.days.fast, "days_95": odds.days.slow, "fee_usd": case.account.fee_usd}
                row |= {f"consecutive_{k}": v for k, v in dataclasses.asdict(odds.consecutive).items()}
                rows.append(row)
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        lines = [
            f"{self.num_sessions} sessions, {self.dates}; {self.paths:,} attempts of up to {self.horizon} sessions"
        ]
        for case in self.cases:
            lines.append(f"{case.name} ({case.fee_text})")
            for who, odds in (("policy", case.policy), ("coin", case.coin)):
                shares = (("pass", odds.passed), ("breach", odds.breached), ("running", odds.running))
                texts = [f"{name} {share_text(found)}" for name, found in shares]
                money = f"{odds.usd.value:+,.0f} ({odds.usd.low:+,.0f} to {odds.usd.high:+,.0f}) dollars an attempt"
                lines.append(f"  {who:6}  {'  '.join(texts)}  {days_text(odds.days)}  {money}")
        return "\n".join([*lines, *self.notes])


def share_text(found: Estimate) -> str:
    """ "12 % (8 to 17)"."""
    return f"{100 * found.value:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})"


def days_text(days: Days) -> str:
    """ "9 sessions (3 to 21)": the median, and 5 and 95 % of the passes; "-" without a pass."""
    if math.isnan(days.fast):
        return "-"
    return f"{days.median.value:.0f} sessions ({days.fast:.0f} to {days.slow:.0f})"


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

    The policy is walked once through every session of the view; its sessions are then played in other orders on every
    account (`survival_paths.replay`): block-bootstrapped ones (`bootstrap_orders`), and consecutive ones from each
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
        ValueError: an environment with `account_features=True`; no usable session, or fewer than a block; an account
            without a profit target, or one that changes other rules than its own; more contracts than it allows; a
            number that cannot be; and as `evaluate_policy`.
    """
    _check_numbers(sessions, block_sessions, paths, coin_seeds, pass_value_usd)
    env, params = _environment(env, params, phase, market)
    plan = _cases(_presets(account), params, contracts, high_water_modes)
    walking = params.replace(initial_balance=plan[0][3]["initial_balance"])
    most = max(fields["max_contracts"] for *_, fields in plan)
    keys = jax.random.split(key, 6)
    recorded = record(policy, env, walking, key=keys[0], sampled=sampled, max_contracts=most)
    count = len(recorded.date)
    if count < block_sessions:
        raise ValueError(
            f"the view has {count} usable sessions, fewer than a block of {block_sessions:g}; give more sessions or a "
            "smaller block_sessions"
        )
    coin = RandomEntries(jnp.float32(recorded.entry_rate))
    coins = [record(coin, env, walking, key=k, max_contracts=most) for k in jax.random.split(keys[1], coin_seeds)]
    asked = AccountRules(*(jnp.asarray([fields[name] for *_, fields in plan]) for name in AccountRules._fields))
    orders, sets, alone = _orders(recorded.tape, keys[2:5], sessions, block_sessions, paths)
    own = _attempts(recorded.tape, asked, orders, sets, alone)
    tossed = _attempts(*_tossed(coins, asked, orders, sets, alone, keys[5]))
    cases = []
    for at, (preset, size, mode, fields) in enumerate(plan):
        value = fields["profit_target"] if pass_value_usd is None else pass_value_usd
        both = [_odds(found, at, sessions, value, preset.fee_usd or 0.0, count) for found in (own, tossed)]
        over = _difference(own, tossed, at)
        cases.append(Case(preset, size, mode, float(value), both[0], both[1], over))
    dates = f"{recorded.date.min()} to {recorded.date.max()}"
    notes = _notes(env, recorded, cases, pass_value_usd)
    return Survival(tuple(cases), count, sessions, float(block_sessions), paths, dates, notes)


# -- what is asked --


def _check_numbers(sessions: int, block: float, paths: int, seeds: int, pass_value: float | None) -> None:
    for name, value, least in (("sessions", sessions, 1), ("paths", paths, 2), ("coin_seeds", seeds, 1)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"{name} is a whole number, {least} or more; got {value!r}")
    if not 1 <= block < math.inf:
        raise ValueError(f"block_sessions is a mean length of 1 session or more; got {block!r}")
    if pass_value is not None and not math.isfinite(pass_value):
        raise ValueError(f"pass_value_usd is a number of dollars; got {pass_value!r}")


def _environment(env: TradingPhase1 | None, params: Any, phase: int, market: MarketData) -> tuple[TradingPhase1, Any]:
    if not isinstance(market, MarketData):
        raise ValueError(f"market must be a MarketData, made by load_market_data; got {type(market).__name__}")
    if env is None:
        if phase not in _PHASES:
            raise ValueError(f"phase is 1 or 2; got {phase!r}")
        env = _PHASES[phase](market)
    params = env.default_params if params is None else params
    return env, params.replace(market=market)


def _presets(account: AccountPreset | Sequence[AccountPreset]) -> list[AccountPreset]:
    presets: list[Any] = list(account) if isinstance(account, Sequence) else [account]
    for preset in presets:
        if not isinstance(preset, AccountPreset):
            raise ValueError(
                f"account is an AccountPreset or several, for example evaluation_account(50_000); got {preset!r}"
            )
    if not presets:
        raise ValueError("account is an empty list; give at least one AccountPreset")
    return presets


def _cases(
    presets: list[AccountPreset], params: Any, contracts: int | Sequence[int] | None, modes: Sequence[str] | None
) -> list[tuple[AccountPreset, int | None, str, dict[str, Any]]]:
    """Preset, contracts, high-water mode and the fields of `AccountRules` of every combination."""
    wanted = _mode_codes(modes)
    made = []
    for preset in presets:
        fields = _fields(preset, params)
        for mode, size in itertools.product(wanted or [fields["high_water_mode"]], _sizes(contracts, params)):
            _check_size(preset, size, params)
            # Refuses amounts that cannot be, and sizes whose money would not fit.
            params.replace(**{**fields, "high_water_mode": mode}, **({} if size is None else {"position_size": size}))
            of_case = {"contracts": size or 0, "high_water_mode": mode, "minimum_days": preset.minimum_days}
            made.append((preset, size, rules.HIGH_WATER_MODES[mode], fields | of_case))
    return made


def _mode_codes(modes: Sequence[str] | None) -> list[int]:
    names = [modes] if isinstance(modes, str) else list(modes or ())
    for name in names:
        if name not in rules.HIGH_WATER_MODES:
            raise ValueError(f"high_water_modes are of {', '.join(rules.HIGH_WATER_MODES)}; got {name!r}")
    return [rules.HIGH_WATER_MODES.index(name) for name in names]


def _fields(preset: AccountPreset, params: Any) -> dict[str, Any]:
    """The account's own rules, and the parameters' where it says nothing."""
    given = preset.params()
    strange = sorted(set(given) - {*_ACCOUNT_FIELDS, *_OTHER_FIELDS})
    if strange:
        raise ValueError(
            f"account {preset.name!r} also changes {', '.join(strange)}, which are rules of the market and not of an "
            "account; put them into params="
        )
    fields: dict[str, Any] = {name: float(given.get(name, getattr(params, name))) for name in _ACCOUNT_FIELDS}
    for name, kind in (("high_water_mode", int), ("daily_loss_fails", bool), ("max_contracts", int)):
        fields[name] = kind(given.get(name, getattr(params, name)))
    if not 0 < fields["profit_target"] < math.inf:
        raise ValueError(
            f"account {preset.name!r} has no profit target that could be reached; set profit_target, in dollars above 0"
        )
    return fields


def _sizes(contracts: int | Sequence[int] | None, params: Any) -> list[int | None]:
    by_risk = float(params.risk_per_trade) > 0
    if contracts is None:
        return [None if by_risk else int(params.position_size)]
    if by_risk:
        raise ValueError("the parameters size entries by risk_per_trade; leave out contracts=, or set it to 0")
    sizes: list[Any] = list(contracts) if isinstance(contracts, Sequence) else [contracts]
    if not sizes:
        raise ValueError("contracts is an empty list; give at least one number of contracts")
    return sizes


def _check_size(preset: AccountPreset, size: int | None, params: Any) -> None:
    if size is None:
        return
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise ValueError(f"contracts are whole numbers from 1 on; got {size!r}")
    if preset.contract_limit is None:
        return
    for spec in params.market.specs:
        most = preset.contract_limit * (10 if _is_micro(spec) else 1)
        if size > most:
            raise ValueError(
                f"{size} contracts of {spec.symbol} are more than the {most} that account {preset.name!r} allows"
            )


def _is_micro(spec: ContractSpec) -> bool:
    """Ten of them count as one in a contract limit; the table's micros are those whose symbol starts with M."""
    return spec.symbol in CONTRACTS and spec.symbol.startswith("M")


# -- attempts --


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    """Outcomes of all accounts: [A, P] of the orders, [A, B, Q] of the sets, [A, N] of the consecutive orders."""

    orders: Outcome
    sets: Outcome
    alone: Outcome


def _orders(
    tape: Tape, keys: jax.Array, sessions: int, block: float, paths: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Bootstrapped orders [P, D], those from resampled sets of sessions [B * Q, D], and the consecutive ones [N, D]."""
    size, mean_block = len(tape.follows), jnp.float32(block)
    orders = bootstrap_orders(keys[0], tape.follows, mean_block, paths=paths, horizon=sessions)
    drawn = bootstrap_orders(keys[1], tape.follows, mean_block, paths=_SETS, horizon=size)
    ring = jnp.where(jnp.arange(size) + 1 < size, jnp.arange(size) + 1, -1)
    places = bootstrap_orders(keys[2], ring, mean_block, paths=_SETS * _SET_PATHS, horizon=sessions)
    of_set = jnp.repeat(jnp.arange(_SETS), _SET_PATHS)[:, None]
    return orders, drawn[of_set, places], consecutive_orders(tape, sessions)


def _attempts(tape: Tape, asked: AccountRules, orders: jax.Array, sets: jax.Array, alone: jax.Array) -> _Found:
    """All orders on all accounts, on the host."""
    found = jax.device_get(replay(tape, asked, jnp.concatenate([orders, sets])))
    cut = len(orders)
    in_sets = (x[:, cut:].reshape(len(x), _SETS, _SET_PATHS) for x in found)
    return _Found(
        orders=Outcome(*(x[:, :cut] for x in found)),
        sets=Outcome(*in_sets),
        alone=jax.device_get(replay(tape, asked, alone, keep_open=True)),
    )


def _tossed(
    coins: list[Recording], asked: AccountRules, orders: jax.Array, sets: jax.Array, alone: jax.Array, key: jax.Array
) -> tuple[Tape, AccountRules, jax.Array, jax.Array, jax.Array]:
    """The coin's walks as one tape, and the same orders with one of the walks drawn for each session."""
    longest, count = max(c.tape.bars.shape[1] for c in coins), len(coins[0].date)
    bars = [jnp.pad(c.tape.bars, ((0, 0), (0, longest - c.tape.bars.shape[1]), (0, 0))) for c in coins]
    of_sessions = ("num_bars", "tick_cents", "commission")
    joined = {name: jnp.concatenate([getattr(c.tape, name) for c in coins]) for name in of_sessions}
    tape = coins[0].tape._replace(bars=jnp.concatenate(bars), **joined)
    keys = jax.random.split(key)
    drawn = [
        order + count * jax.random.randint(k, order.shape, 0, len(coins), jnp.int32)
        for order, k in zip((orders, sets), keys, strict=True)
    ]
    every = jnp.concatenate([jnp.where(alone >= 0, alone + count * seed, -1) for seed in range(len(coins))])
    return tape, asked, drawn[0], drawn[1], every


def _odds(found: _Found, at: int, horizon: int, value: float, fee: float, count: int) -> Odds:
    attempts = Attempts(
        found.orders.outcome[at], found.orders.days[at], found.sets.outcome[at], found.sets.days[at], count
    )
    shares = {outcome: attempts.share(outcome) for outcome in (PASSED, BREACHED, RUNNING)}
    worth = [value * (x.outcome[at] == PASSED) - fee * -(-x.days[at] // MONTH) for x in (found.orders, found.sets)]
    alone, cut = found.alone.outcome[at], found.alone.out_of_data[at]
    return Odds(
        passed=shares[PASSED],
        breached=shares[BREACHED],
        running=shares[RUNNING],
        days=days_to_pass(attempts),
        usd=_at_least_as_wide(mean(*worth), shares[PASSED], value),
        curve=curve(attempts, horizon),
        consecutive=Consecutive(
            attempts=len(alone),
            passed=float((alone == PASSED).mean()),
            breached=float((alone == BREACHED).mean()),
            running=float(((alone == RUNNING) & ~cut).mean()),
            out_of_data=float(cut.mean()),
        ),
    )


def _at_least_as_wide(usd: Estimate, passed: Estimate, value: float) -> Estimate:
    """Dollars cannot be known better than the pass that earns them where no set has shown both ends."""
    if passed.value not in (0.0, 1.0):
        return usd
    ends = [usd.value + value * (end - passed.value) for end in (passed.low, passed.high)]
    return Estimate(usd.value, min(usd.low, *ends), max(usd.high, *ends))


def _difference(own: _Found, tossed: _Found, at: int) -> Estimate:
    """P(pass) of the policy less the coin's; both played the same orders of the same sessions."""
    values, sets = (
        (mine.outcome[at] == PASSED).astype(float) - (other.outcome[at] == PASSED)
        for mine, other in ((own.orders, tossed.orders), (own.sets, tossed.sets))
    )
    return mean(values, sets)


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
