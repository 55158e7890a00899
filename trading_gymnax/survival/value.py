"""What an account is worth to a policy over its whole life, beside a coin's and at other sizes.

The policy's sessions are played in bootstrapped orders (`draws.draw_orders`) on accounts that live through evaluation,
funded account and payouts (`lives.live`); of the same orders the coin lives through its own. What is counted stands in
`value_result.Value`. Intervals (95 %) contain what few sessions leave unknown, as in `odds`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
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
from trading_gymnax.survival.estimates import Attempts, Days, Estimate, days_to_pass, interval, mean
from trading_gymnax.survival.lives import LifeOutcome, LifeRules, live, tables_of
from trading_gymnax.survival.refused import SurvivalRefused
from trading_gymnax.survival.replay import BREACHED, PASSED, RUNNING
from trading_gymnax.survival.tape import Recording, join_tapes
from trading_gymnax.survival.value_result import AccountCase, AccountValues, Bankroll, Value

SESSIONS = 60
_FIELDS = EnvParamsLife.__dataclass_fields__
_PORTFOLIOS = 200  # bankrolls of each resampled set of sessions


def lifetime_value(
    policy: Any,
    market: MarketData,
    plans: Plan | Sequence[Plan],
    *,
    key: jax.Array,
    env: TradingPhase1 | None = None,
    params: Any = None,
    phase: int = 2,
    contracts: int | Sequence[int] | None = None,
    sessions: int = SESSIONS,
    block_sessions: float = BLOCK,
    paths: int = PATHS,
    bankroll: Bankroll | None = None,
    sampled: bool = False,
    coin_seeds: int = COIN_SEEDS,
) -> AccountValues:
    """Odds of pass and payout, dollars after fees, and the odds to be ruined by buying accounts, of each plan.

    Args:
        policy: as in `evaluate_policy`. It decides by what it sees; one with a memory starts each session afresh.
        market: its view is walked.
        plans: of `trading_gymnax.accounts`.
        key: typed key.
        env: environment that the policy belongs to; default: that of `phase` with its defaults.
        params: market rules, costs and size; their market is replaced, their account's rules do not count.
        phase: 1 or 2, of the default environment.
        contracts: sizes of an entry to compare, cut to what the account allows each day; default: that of the
            parameters, or by risk where they say so.
        sessions: most sessions of a life; what is not paid out by then is worth nothing.
        block_sessions: mean length of a block of the bootstrap, sessions.
        paths: lives of each account.
        bankroll: dollars with which accounts are bought one after another, and how many; None: not asked.
        sampled: as in `evaluate_policy`.
        coin_seeds: walks of the coin.

    Raises:
        SurvivalRefused: an environment with `account_features=True`; fewer sessions than a block; a market of micro
            contracts beside others; a number that cannot be.
        ValueError: as `evaluate_policy`.
    """
    check_numbers(block_sessions, sessions=(sessions, 1), paths=(paths, 2), coin_seeds=(coin_seeds, 1))
    env, params = environment_of(env, params, phase, market)
    asked = _cases(_plans_of(plans), params, contracts)
    keys = jax.random.split(stream(key, "lifetime value"), 6)
    rules = stacked(asked, params)
    asked_for: dict[str, Any] = {"sampled": sampled, "block": block_sessions, "coin_seeds": coin_seeds}
    most = int(rules.max_contracts.max())
    recorded, coins = record_both(policy, env, params, keys[:2], **asked_for, max_contracts=most)
    orders = draw_orders(recorded.tape.follows, keys[2:5], sessions, block_sessions, paths)
    own, tossed = _live_both(recorded, coins, rules, orders, keys[5])
    data = (len(recorded.date), float(block_sessions))
    cases = [
        AccountCase(plan, size, *(_value(found, at, data, plan, bankroll) for found in (own, tossed)))
        for at, (plan, size) in enumerate(asked)
    ]
    notes = _notes(env, recorded, cases)
    return AccountValues(tuple(cases), data[0], sessions, data[1], paths, dates_of(recorded), bankroll, notes)


# -- what is asked --


def _plans_of(plans: Plan | Sequence[Plan]) -> list[Plan]:
    found: list[Any] = [plans] if isinstance(plans, Plan) else list(plans)
    for one in found:
        if not isinstance(one, Plan):
            raise SurvivalRefused(f"plans are those of trading_gymnax.accounts, plan('topstep-50k') say; got {one!r}")
    if not found:
        raise SurvivalRefused("plans is an empty list; give at least one")
    return found


def _cases(plans: list[Plan], params: Any, contracts: int | Sequence[int] | None) -> list[tuple[Plan, int | None]]:
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


def stacked(asked: list[tuple[Plan, int | None]], params: Any) -> LifeRules:
    """The rules of all cases, each field [A] or [A, n]."""
    micros = {is_micro(spec) for spec in params.market.specs}
    if len(micros) > 1:
        raise SurvivalRefused("the view has markets of micro contracts beside others; judge them one by one")
    rows = []
    for plan, size in asked:
        fields = life_fields(plan, micro=micros == {True})
        check_amounts(f"plan {plan.name!r}", params, {"initial_balance": fields["initial_balance"]}, size)
        rows.append({**fields, "contracts": size or 0, "max_contracts": int(params.max_contracts)})
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    of_kind = {"contracts": jnp.int32, "max_contracts": jnp.int32}
    arrays = {
        name: jnp.asarray(values, of_kind[name] if name in of_kind else _FIELDS[name].metadata["dtype"])
        for name, values in columns.items()
    }
    return LifeRules(**arrays, max_steps_in_episode=jnp.zeros(len(rows), jnp.int32))


# -- lives --


@dataclasses.dataclass(frozen=True, eq=False)
class _Found:
    """Lives of all accounts: [A, P] of the orders, [A, B, Q] of the resampled sets of sessions."""

    orders: LifeOutcome
    sets: LifeOutcome


def _live_both(
    recorded: Recording, coins: list[Recording], rules: LifeRules, orders: tuple[jax.Array, jax.Array], key: jax.Array
) -> tuple[_Found, _Found]:
    """What became of the policy's accounts, and of the coin's: in each session the coin takes one of its walks."""
    tape, count = join_tapes([x.tape for x in (recorded, *coins)]), len(recorded.date)
    drawn = jnp.concatenate(orders)
    walk = 1 + jax.random.randint(key, drawn.shape, 0, len(coins), jnp.int32)
    both = jnp.concatenate([drawn, drawn + count * walk])
    found = jax.device_get(live(tape, rules, tables_of(tape, rules), both))
    paths = len(orders[0])
    ends = (paths, len(drawn), len(drawn) + paths)
    pieces = list(zip(*(np.split(x, ends, axis=1) for x in found), strict=True))
    own, tossed = (
        _Found(LifeOutcome(*first), LifeOutcome(*(x.reshape(len(x), SETS, SET_PATHS) for x in second)))
        for first, second in (pieces[:2], pieces[2:])
    )
    return own, tossed


def _value(found: _Found, at: int, data: tuple[int, float], plan: Plan, bankroll: Bankroll | None) -> Value:
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
        ruin=None if bankroll is None else _ruin(lives, sets, plan, bankroll, widening, data),
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
    lives: LifeOutcome, sets: LifeOutcome, plan: Plan, bankroll: Bankroll, widening: float, data: tuple[int, float]
) -> Estimate:
    """Probability that the money does not suffice for the fees of the next account."""
    draws = np.random.default_rng(0)
    ruined = _portfolios(lives, plan, bankroll, draws.integers(len(lives.fees), size=(PATHS, bankroll.accounts)))
    of_sets = np.stack(
        [
            _portfolios(
                LifeOutcome(*(x[at] for x in sets)),
                plan,
                bankroll,
                draws.integers(SET_PATHS, size=(_PORTFOLIOS, bankroll.accounts)),
            )
            for at in range(SETS)
        ]
    )
    spent = np.full(len(ruined), float(lives.days.mean()) * bankroll.accounts)
    as_attempts = Attempts(
        np.where(ruined, BREACHED, RUNNING), spent, np.where(of_sets, BREACHED, RUNNING), spent, *data
    )
    return as_attempts.share(BREACHED)


def _portfolios(lives: LifeOutcome, plan: Plan, bankroll: Bankroll, drawn: np.ndarray) -> np.ndarray:
    """Whether each row of accounts, int [N, k], runs out of money; bool [N].

    All fees of an account come before its first payout. After a breach of an evaluation the next one starts by a reset
    where that is cheaper.
    """
    failed = (lives.pass_day == 0) & _broken(lives)
    fees, paid = lives.fees[drawn] / 100, lives.paid_out[drawn] / 100
    entry = plan.fees.evaluation + plan.fees.monthly
    saved = 0.0 if plan.fees.reset is None else max(0.0, entry - plan.fees.reset)
    fees[:, 1:] -= saved * failed[drawn[:, :-1]]
    before = bankroll.usd + np.cumsum(paid - fees, axis=1) - (paid - fees)
    return np.asarray((before < fees).any(axis=1))


def _notes(env: TradingPhase1, recorded: Recording, cases: list[AccountCase]) -> tuple[str, ...]:
    notes = []
    if recorded.trades == 0:
        notes.append("The policy never trades: an evaluation costs its fees and nothing comes of it.")
    if isinstance(env, TradingPhase2):
        notes.append(
            "Phase 2 shows the policy its drawdown. Here it saw that of an account which starts each session at its "
            "high-water mark, under the trailing limit and the size of the parameters."
        )
    if len(cases) > 1:
        notes.append(
            f"{len(cases)} accounts and sizes were compared on the same sessions: the best of them looks better than "
            "it is."
        )
    if any("fees.monthly" in case.plan.assumptions or "fees.evaluation" in case.plan.assumptions for case in cases):
        notes.append("Prices marked * are assumed; `trading-gymnax accounts PLAN` says what else is.")
    return tuple(notes)
