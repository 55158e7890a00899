"""What an account is worth to a policy over its whole life, beside a coin's and at other sizes.

The policy's sessions are played in bootstrapped orders (`draws.draw_orders`) on accounts that live through evaluation,
funded account and payouts (`value_lives`); of the same orders the coin lives through its own. What is counted stands in
`value_result.Value`. Intervals (95 %) contain what few sessions leave unknown, as in `odds`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.accounts import Plan, life_fields
from trading_gymnax.evaluation import codes
from trading_gymnax.keys import stream
from trading_gymnax.market import MarketData
from trading_gymnax.params_life import EnvParamsLife
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.phase2 import TradingPhase2
from trading_gymnax.survival.cases import check_amounts, is_micro
from trading_gymnax.survival.draws import BLOCK, COIN_SEEDS, PATHS, check_numbers, environment_of
from trading_gymnax.survival.estimates import Attempts, Days, Estimate, days_to_pass, interval, mean
from trading_gymnax.survival.lives import LifeOutcome, LifeRules
from trading_gymnax.survival.refused import SurvivalRefused
from trading_gymnax.survival.replay import BREACHED, PASSED, RUNNING
from trading_gymnax.survival.tape import acts_on_account
from trading_gymnax.survival.value_lives import Asked, Found, Lived, default_paths, played, replayed
from trading_gymnax.survival.value_result import AccountCase, AccountValues, Bankroll, Value

SESSIONS = 60
SIZES = (1, 2, 3, 5)
"""Contracts of an entry to compare where nobody says others."""
_NOT_OF_PLANS = ("contracts", "max_contracts", "max_steps_in_episode")
_FIELDS = EnvParamsLife.__dataclass_fields__
_PORTFOLIOS = 200  # bankrolls of each resampled set of sessions


def lifetime_value(
    policy: Any,
    market: MarketData,
    plans: Plan | Sequence[Plan] | None,
    *,
    key: jax.Array,
    env: TradingPhase1 | None = None,
    params: Any = None,
    phase: int = 2,
    contracts: int | Sequence[int] | None = None,
    sessions: int = SESSIONS,
    block_sessions: float = BLOCK,
    paths: int | None = None,
    bankroll: Bankroll | None = None,
    sampled: bool = False,
    coin_seeds: int = COIN_SEEDS,
    progress: Callable[[int, int, str], None] | None = None,
) -> AccountValues:
    """Odds of pass and payout, dollars after fees, and the odds to be ruined by buying accounts, of each plan.

    A policy of an environment with `account_features=True` or `entry_sizes` plays its lives in the environment itself,
    which takes a thousand times as long as the replay of a recording; its memory, if it has one, lasts over the nights.

    Args:
        policy: as in `evaluate_policy`. It decides by what it sees; one with a memory starts each session afresh.
        market: its view is walked.
        plans: of `trading_gymnax.accounts`; None: the account that the parameters describe.
        key: typed key.
        env: environment that the policy belongs to; default: that of `phase` with its defaults.
        params: market rules, costs and size; their market is replaced, their account's rules do not count.
        phase: 1 or 2, of the default environment.
        contracts: sizes of an entry to compare, cut to what the account allows each day; default: that of the
            parameters, or by risk where they say so.
        sessions: most sessions of a life; what is not paid out by then is worth nothing.
        block_sessions: mean length of a block of the bootstrap, sessions.
        paths: lives of each account; default: 10,000, or 500 where they are played.
        bankroll: dollars with which accounts are bought one after another, and how many; None: not asked.
        sampled: as in `evaluate_policy`.
        coin_seeds: walks of the coin.
        progress: called with lives done, lives in all and what is done, where they are played.

    Raises:
        SurvivalRefused: fewer sessions than a block; a market of micro contracts beside others; no plans and an
            environment without `account_life=True`; a number that cannot be. ValueError: as `evaluate_policy`.
    """
    env, params = environment_of(env, params, phase, market)
    paths = default_paths(env) if paths is None else paths
    check_numbers(block_sessions, sessions=(sessions, 1), paths=(paths, 2), coin_seeds=(coin_seeds, 1))
    cases = _cases(_plans_of(plans, env), params, contracts)
    rules = stacked(cases, params)
    asked = Asked(sampled, block_sessions, sessions, paths, coin_seeds, progress)
    made = played if acts_on_account(env) else replayed
    lived = made(policy, env, params, rules, asked, jax.random.split(stream(key, "lifetime value"), 6))
    data = (len(lived.date), float(block_sessions))
    found = tuple(
        AccountCase(plan, size, *(_value(lives, at, data, plan, bankroll) for lives in (lived.policy, lived.coin)))
        for at, (plan, size) in enumerate(cases)
    )
    sums = data[0], sessions, data[1], paths, f"{lived.date.min()} to {lived.date.max()}", bankroll
    return AccountValues(found, *sums, _notes(env, lived, found))


def sizes_of(params: Any) -> tuple[int, ...] | None:
    """Contracts to compare: those of the parameters, and SIZES; None where they size entries by risk."""
    by_risk = float(params.risk_per_trade) > 0
    return None if by_risk else tuple(dict.fromkeys((int(params.position_size), *SIZES)))


# -- what is asked --


def _plans_of(plans: Plan | Sequence[Plan] | None, env: TradingPhase1) -> list[Plan | None]:
    if plans is None:
        if not env.account_life:
            raise SurvivalRefused("plans=None asks for the account of the parameters: give account_life=True, or plans")
        return [None]
    found: list[Any] = [plans] if isinstance(plans, Plan) else list(plans)
    for one in found:
        if not isinstance(one, Plan):
            raise SurvivalRefused(f"plans are those of trading_gymnax.accounts, plan('topstep-50k') say; got {one!r}")
    if not found:
        raise SurvivalRefused("plans is an empty list; give at least one")
    return found


def _cases(
    plans: list[Plan | None], params: Any, contracts: int | Sequence[int] | None
) -> list[tuple[Plan | None, int | None]]:
    """Every plan with every size; None: by risk."""
    by_risk = float(params.risk_per_trade) > 0
    if by_risk and contracts is not None:
        raise SurvivalRefused("the parameters size entries by risk_per_trade; leave out contracts=, or set it to 0")
    given: Any = [int(params.position_size)] if contracts is None else contracts
    sizes = list(given) if isinstance(given, Sequence) else [given]
    for size in sizes:
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
            raise SurvivalRefused(f"contracts are whole numbers from 1 on; got {size!r}")
    if not sizes:
        raise SurvivalRefused("contracts is an empty list; give at least one number of contracts")
    return [(plan, None if by_risk else int(size)) for plan in plans for size in sizes]


def stacked(asked: Sequence[tuple[Plan | None, int | None]], params: Any) -> LifeRules:
    """The rules of all cases, each field [A] or [A, n]; without a plan those of the parameters."""
    micros = {is_micro(spec) for spec in params.market.specs}
    if len(micros) > 1:
        raise SurvivalRefused("the view has markets of micro contracts beside others; judge them one by one")
    rows = []
    for plan, size in asked:
        fields = _own_fields(params) if plan is None else life_fields(plan, micro=micros == {True})
        check_amounts(
            f"plan {plan.name!r}" if plan else "the account",
            params,
            {"initial_balance": fields["initial_balance"]},
            size,
        )
        rows.append({**fields, "contracts": size or 0, "max_contracts": int(params.max_contracts)})
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    of_kind = {"contracts": jnp.int32, "max_contracts": jnp.int32}
    arrays = {
        name: jnp.asarray(values, of_kind[name] if name in of_kind else _FIELDS[name].metadata["dtype"])
        for name, values in columns.items()
    }
    return LifeRules(**arrays, max_steps_in_episode=jnp.zeros(len(rows), jnp.int32))


def _own_fields(params: Any) -> dict[str, Any]:
    """What `life_fields` gives, from parameters of a life."""
    names = [field.name for field in dataclasses.fields(LifeRules) if field.name not in _NOT_OF_PLANS]
    return {name: np.asarray(getattr(params, name)) for name in names} | {"terminate_at_session_end": False}


# -- estimates --


def _value(found: Found, at: int, data: tuple[int, float], plan: Plan | None, bankroll: Bankroll | None) -> Value:
    lives, sets = (LifeOutcome(*(x[at] for x in outcome)) for outcome in (found.orders, found.sets))

    def share(happened: np.ndarray, in_sets: np.ndarray) -> Estimate:
        return Attempts(happened.astype(int), lives.days, in_sets.astype(int), sets.days, *data).share(1)

    def days(of: np.ndarray, in_sets: np.ndarray) -> Days:
        outcomes = (np.where(x > 0, PASSED, RUNNING) for x in (of, in_sets))
        own, drawn = outcomes
        return days_to_pass(Attempts(own, np.maximum(of, 1), drawn, np.maximum(in_sets, 1), *data))

    widening = Attempts(lives.days, lives.days, sets.days, sets.days, *data).widening
    paid, paid_sets = lives.paid_out / 100, sets.paid_out / 100
    fees, fees_sets = lives.fees / 100, sets.fees / 100
    return Value(
        passed=share(lives.pass_day > 0, sets.pass_day > 0),
        paid=share(lives.payouts > 0, sets.payouts > 0),
        breached=share(_broken(lives), _broken(sets)),
        days_to_pass=days(lives.pass_day, sets.pass_day),
        days_to_payout=days(lives.payout_day, sets.payout_day),
        payouts=mean(lives.payouts.astype(float), sets.payouts.astype(float), widening),
        fees_usd=float(fees.mean()),
        usd=mean(paid - fees, paid_sets - fees_sets, widening),
        per_fee=_ratio(paid, fees, paid_sets, fees_sets, widening),
        ruin=None if bankroll is None else _ruin(lives, sets, plan, bankroll, data),
    )


def _broken(lives: LifeOutcome) -> np.ndarray:
    """Which lives a limit of the account ended."""
    return np.isin(lives.ended, codes.done(codes.BREACHED))


def _ratio(
    paid: np.ndarray, fees: np.ndarray, paid_sets: np.ndarray, fees_sets: np.ndarray, widening: float
) -> Estimate:
    """Dollars paid out for each of fees; its Monte Carlo error is that of paid - ratio * fees (delta method)."""
    if fees.mean() == 0 or (fees_sets.mean(axis=-1) == 0).any():
        return Estimate(math.nan, math.nan, math.nan)

    def found(paid: np.ndarray, fees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value = paid.mean(axis=-1) / fees.mean(axis=-1)
        left = paid - value[..., None] * fees
        return value, left.std(axis=-1) / fees.mean(axis=-1) / math.sqrt(paid.shape[-1])

    (value, error), (sets, sets_error) = found(paid, fees), found(paid_sets, fees_sets)
    low, high = interval(value[None], sets[:, None], error[None], sets_error[:, None], widening)
    return Estimate(float(value), max(0.0, float(low[0])), float(high[0]))


def _ruin(
    lives: LifeOutcome, sets: LifeOutcome, plan: Plan | None, bankroll: Bankroll, data: tuple[int, float]
) -> Estimate:
    """Probability that the money does not suffice for the fees of the next account."""
    draws = np.random.default_rng(0)
    ruined = _portfolios(lives, plan, bankroll, draws.integers(len(lives.fees), size=(PATHS, bankroll.accounts)))
    many, paths = sets.fees.shape
    of_sets = np.stack(
        [
            _portfolios(
                LifeOutcome(*(x[at] for x in sets)),
                plan,
                bankroll,
                draws.integers(paths, size=(_PORTFOLIOS, bankroll.accounts)),
            )
            for at in range(many)
        ]
    )
    spent = np.full(len(ruined), float(lives.days.mean()) * bankroll.accounts)
    as_attempts = Attempts(
        np.where(ruined, BREACHED, RUNNING), spent, np.where(of_sets, BREACHED, RUNNING), spent, *data
    )
    return as_attempts.share(BREACHED)


def _portfolios(lives: LifeOutcome, plan: Plan | None, bankroll: Bankroll, drawn: np.ndarray) -> np.ndarray:
    """Whether each row of accounts, int [N, k], runs out of money; bool [N].

    All fees of an account come before its first payout. After a breach of an evaluation the next one starts by a reset
    where a plan has one that is cheaper.
    """
    failed = (lives.pass_day == 0) & _broken(lives)
    fees, paid = lives.fees[drawn] / 100, lives.paid_out[drawn] / 100
    if plan is not None and plan.fees.reset is not None:
        saved = max(0.0, plan.fees.evaluation + plan.fees.monthly - plan.fees.reset)
        fees[:, 1:] -= saved * failed[drawn[:, :-1]]
    before = bankroll.usd + np.cumsum(paid - fees, axis=1) - (paid - fees)
    return np.asarray((before < fees).any(axis=1))


def _notes(env: TradingPhase1, lived: Lived, cases: Sequence[AccountCase]) -> tuple[str, ...]:
    notes = []
    if lived.trades == 0:
        notes.append("The policy never trades: an evaluation costs its fees and nothing comes of it.")
    if acts_on_account(env):
        why = "sees its account" if env.account_features else "chooses from the sizes that its account allows"
        notes.append(
            f"The policy {why}, so its lives were played in the environment, on each account anew; the coin "
            "enters at the rate of all of them together."
        )
    elif isinstance(env, TradingPhase2):
        notes.append(
            "Phase 2 shows the policy its drawdown. Here it saw that of an account which starts each session at its "
            "high-water mark, under the trailing limit and the size of the parameters."
        )
    if len(cases) > 1:
        notes.append(
            f"{len(cases)} accounts and sizes were compared on the same sessions: the best of them looks better than "
            "it is."
        )
    if any(case.fees_assumed for case in cases):
        notes.append("Prices marked * are assumed; `trading-gymnax accounts PLAN` says what else is.")
    return tuple(notes)
