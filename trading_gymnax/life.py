"""docs/rules.md, section 9: an account from its evaluation to its last payout, as pure functions of one account.

Like `rules`: integer cents, from state to state, for any state and parameters with the fields read here. `params` are
those of `in_force` where the state's phase matters, and have the fields of `params_life.AccountLife`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from trading_gymnax import rules
from trading_gymnax.observation import in_units_of
from trading_gymnax.params import PreparedParams
from trading_gymnax.rules import DoneReason, cents

MONTH = 21  # sessions that a monthly fee pays for
NUM_FEATURES = 10
NO_LIMIT = rules.OFF  # contracts
_HUNDREDTHS = 10_000  # of a percent in a whole


@struct.dataclass
class LifeFields:
    """What an account's life remembers, to be mixed into a state; cents and counts int32, of the present cycle."""

    funded: jax.Array  # past its evaluation, bool
    cycle_start: jax.Array  # balance from which the profit of the cycle counts, cents
    days_traded: jax.Array  # days with a closed round trip, today not counted
    days_won: jax.Array  # winning days, today not counted
    best_day: jax.Array  # highest profit of a day, from 0, today not counted, cents
    won_profit: jax.Array  # profits of the winning days, today not counted, cents
    trades_before: jax.Array  # round trips that the episode closed before today
    payouts: jax.Array  # taken since reset
    paid_out: jax.Array  # received by the trader since reset, cents
    fees: jax.Array  # paid by the trader since reset, cents
    withdrawn: jax.Array  # what passes and payouts took from the account since reset, cents


class Cycle(NamedTuple):
    """An evaluation, or the time between two payouts, as it stands; int32 scalars."""

    profit: jax.Array  # cents
    days_traded: jax.Array
    days_won: jax.Array
    best_day: jax.Array  # cents, from 0
    won_profit: jax.Array  # of winning days, cents


class _Lock(NamedTuple):
    floor_lock: jax.Array


# -- what is in force (section 9.1) --


def rules_in_force(funded: jax.Array, params: Any) -> dict[str, jax.Array]:
    """The account's rules of the phase by the names that `rules` reads: a funded account has its own, and no target."""
    names = ("floor_lock", "high_water_mode", "daily_loss_limit", "daily_loss_fails")
    chosen = {name: jnp.where(funded, getattr(params, f"funded_{name}"), getattr(params, name)) for name in names}
    return chosen | {"profit_target": jnp.where(funded, jnp.inf, params.profit_target)}


def contract_limit(funded: jax.Array, profit: jax.Array, params: Any) -> jax.Array:
    """Most contracts of an entry, int32; NO_LIMIT where there is none.

    profit: balance at the session's start less the start balance, cents.
    """
    steps = jnp.where(funded, params.funded_scaling_profit, params.scaling_profit)
    sizes = jnp.where(funded, params.funded_scaling_contracts, params.scaling_contracts)
    base = jnp.where(funded, params.funded_contract_limit, params.contract_limit)
    limit = jnp.where(base == 0, NO_LIMIT, base)
    levels = cents(steps)
    for step in range(steps.shape[-1]):
        level = levels[..., step]
        limit = jnp.where((level != rules.OFF) & (profit >= level), sizes[..., step], limit)
    return limit


def contracts_allowed(state: Any, params: Any) -> jax.Array:
    """Most contracts of an entry that the account allows now, int32; NO_LIMIT where there is no limit."""
    return contract_limit(state.funded, state.session_start_equity - state.initial_balance, params)


def in_force(state: Any, params: Any) -> Any:
    """The parameters as they count for this account now; prepared ones stay prepared."""
    if isinstance(params, PreparedParams):
        return dataclasses.replace(params, params=in_force(state, params.params))
    limit = contracts_allowed(state, params)
    return dataclasses.replace(
        params,
        **rules_in_force(state.funded, params),
        position_size=jnp.minimum(params.position_size, limit),
        max_contracts=jnp.minimum(params.max_contracts, limit),
    )


# -- beginnings (sections 9.2 and 9.5) --


def open_account(state: Any, params: Any) -> Any:
    """A fresh account of the market at the beginning of its life; `start_funded` skips the evaluation."""
    state = state.replace(funded=jnp.bool_(False), cycle_start=state.initial_balance, fees=cents(params.evaluation_fee))
    return open_funded(state, params.start_funded, params)


def open_funded(state: Any, opens: jax.Array, params: Any) -> Any:
    """Where `opens`: the account is funded from here on, fresh, at its start balance."""
    start, limit = state.initial_balance, cents(params.funded_trailing_dd_limit)
    fresh = {
        "funded": jnp.bool_(True),
        "balance": start,
        "equity": start,
        "high_water_mark": start,
        "trailing_limit": limit,
        "floor": rules.floor_of(start, limit, start, _Lock(params.funded_floor_lock)),
        "fees": state.fees + cents(params.activation_fee),
        "withdrawn": state.withdrawn + state.balance - start,
    }
    state = _where(opens, state, **fresh)
    return _new_cycle(state, opens)


def _where(condition: jax.Array, state: Any, **fields: jax.Array) -> Any:
    """The state with these fields where the condition holds."""
    return state.replace(**{name: jnp.where(condition, new, getattr(state, name)) for name, new in fields.items()})


def _new_cycle(state: Any, begins: jax.Array) -> Any:
    counts = dict.fromkeys(("days_traded", "days_won", "best_day", "won_profit"), jnp.int32(0))
    return _where(begins, state, cycle_start=state.balance, **counts)


# -- goals (sections 9.2 and 9.4) --


def with_today(state: Any, params: Any) -> Cycle:
    """The cycle as if the day ended now; the account is flat."""
    today = state.balance - state.session_start_equity
    won = today >= cents(jnp.where(state.funded, params.payout_winning_day_profit, params.winning_day_profit))
    traded = state.num_trades > state.trades_before
    return Cycle(
        profit=state.balance - state.cycle_start,
        days_traded=state.days_traded + traded.astype(jnp.int32),
        days_won=state.days_won + won.astype(jnp.int32),
        best_day=jnp.maximum(state.best_day, today),
        won_profit=state.won_profit + jnp.where(won, today, 0),
    )


def share_of(amount: jax.Array, share: jax.Array) -> jax.Array:
    """floor(amount * rint(10,000 * share) / 10,000), cents; exact for every amount, shares from 0 to 1."""
    hundredths = jnp.rint(share * jnp.float32(_HUNDREDTHS)).astype(jnp.int32)
    return amount // _HUNDREDTHS * hundredths + amount % _HUNDREDTHS * hundredths // _HUNDREDTHS


def consistent(cycle: Cycle, share: jax.Array, of_wins: jax.Array) -> jax.Array:
    """Whether the best day is at most the share of the cycle's profit, or of its winning days'; inf is off."""
    off = jnp.isinf(share)
    profit = jnp.maximum(jnp.where(of_wins, cycle.won_profit, cycle.profit), 0)
    return off | (cycle.best_day <= share_of(profit, jnp.where(off, 0.0, share)))


def goals_met(cycle: Cycle, funded: jax.Array, params: Any) -> jax.Array:
    """Days, winning days and consistency that a pass asks for, or a payout of a funded account."""

    def of_phase(name: str) -> jax.Array:
        return jnp.where(funded, getattr(params, f"payout_{name}"), getattr(params, name))

    enough = (cycle.days_traded >= of_phase("minimum_days")) & (cycle.days_won >= of_phase("winning_days"))
    return enough & consistent(cycle, of_phase("consistency"), of_phase("consistency_of_wins"))


def passes(state: Any, cycle: Cycle, params: Any) -> jax.Array:
    """Whether the evaluation is passed now; `params` are those in force, so that a funded account has no target."""
    target = cents(params.profit_target)
    reached = (target != rules.OFF) & (cycle.profit >= target) & (state.position == 0)
    return reached & goals_met(cycle, state.funded, params)


# -- payouts (section 9.4) --


def payout_floor(state: Any, params: Any) -> jax.Array:
    """The floor after a payout, cents: the first one raises it."""
    lift = cents(params.payout_floor)
    lifts = (state.payouts == 0) & (lift != rules.OFF) & (state.trailing_limit != rules.OFF)
    return jnp.where(lifts, jnp.maximum(state.floor, state.initial_balance + jnp.where(lifts, lift, 0)), state.floor)


def payout_room(state: Any, params: Any) -> jax.Array:
    """Equity above what a payout leaves in the account, cents; negative below it."""
    stays = jnp.maximum(state.initial_balance + cents(params.payout_buffer), payout_floor(state, params))
    return state.equity - stays


def payout_amount(state: Any, params: Any) -> jax.Array:
    """What a payout would take from a flat account now, cents, from 0."""
    caps = cents(params.payout_cap)
    cap = caps[jnp.minimum(state.payouts, caps.shape[-1] - 1)]
    return jnp.minimum(share_of(jnp.maximum(payout_room(state, params), 0), params.payout_share), cap)


def pay_out(state: Any, may: jax.Array, cycle: Cycle, params: Any) -> tuple[Any, jax.Array]:
    """Take a payout where it `may` be and is allowed; returns the state and whether one was taken."""
    amount = payout_amount(state, params)
    takes = may & goals_met(cycle, state.funded, params) & (amount >= cents(params.payout_minimum))
    state = _where(
        takes,
        state,
        floor=payout_floor(state, params),
        balance=state.balance - amount,
        equity=state.balance - amount,
        payouts=state.payouts + 1,
        paid_out=state.paid_out + share_of(amount, params.payout_split),
        withdrawn=state.withdrawn + amount,
    )
    return _new_cycle(state, takes), takes


# -- the end of a step (section 9.3) --


def end_of_step(
    state: Any, breached: jax.Array, reached: jax.Array, must_flat: jax.Array, idle: jax.Array, params: Any
) -> tuple[Any, jax.Array, jax.Array]:
    """Book the day where it ends, and what follows from it.

    breached, reached: by drawdown and daily limit. idle: nothing was there to trade. Returns the state, the reason
    that terminates the episode, int32, and whether the day ended by the clock or by a pass, bool.
    """
    cycle = with_today(state, params)
    day_fails = reached & (params.daily_loss_fails | params.terminate_at_session_end)
    sound = ~breached & ~day_fails & ~idle
    passed = sound & passes(state, cycle, params)
    ends = sound & (must_flat | reached | passed)
    evaluated = ends & ~state.funded & ~passed
    expired = evaluated & (params.session_limit > 0) & (state.session_number >= params.session_limit)
    month_over = evaluated & ~expired & (state.session_number % MONTH == 0)
    state, paid = pay_out(_book(state, ends, cycle), ends & state.funded, cycle, params)
    state = open_funded(state, passed & params.funded_phase, params)
    state = state.replace(fees=state.fees + jnp.where(month_over, cents(params.monthly_fee), 0))
    last = paid & (params.payouts_at_most > 0) & (state.payouts >= params.payouts_at_most)

    day_over = must_flat | passed
    reason = jnp.where(day_over & params.terminate_at_session_end, jnp.int32(DoneReason.SESSION_END), DoneReason.NONE)
    reason = jnp.where(last, DoneReason.LAST_PAYOUT, reason)
    reason = jnp.where(expired, DoneReason.EXPIRED, reason)
    reason = jnp.where(passed & ~params.funded_phase, DoneReason.PROFIT_TARGET, reason)
    reason = jnp.where(day_fails, DoneReason.DAILY_LOSS, reason)
    return state, jnp.where(breached, DoneReason.DRAWDOWN, reason), day_over


def _book(state: Any, ends: jax.Array, cycle: Cycle) -> Any:
    counts = cycle._asdict()
    del counts["profit"]  # follows from the balance
    return _where(ends, state, trades_before=state.num_trades, **counts)


# -- what is seen of it (sections 9.5 and 9.6) --


def info(state: Any) -> dict[str, jax.Array]:
    """Money of the trader in dollars and cents, payouts, and the phase; scalars."""
    money = {"paid_out": state.paid_out, "fees": state.fees}
    return {
        **{name: value.astype(jnp.float32) / 100 for name, value in money.items()},
        **{f"{name}_cents": value for name, value in money.items()},
        "payouts": state.payouts,
        "funded": state.funded,
    }


def features(state: Any, params: Any) -> jax.Array:
    """What the observation shows of the life, float32 [10]; `params` as given, not those in force."""
    funded = state.funded

    def of_phase(name: str) -> jax.Array:
        return jnp.where(funded, getattr(params, f"payout_{name}"), getattr(params, name))

    profit = state.equity - state.cycle_start
    share, base = of_phase("consistency"), jnp.where(of_phase("consistency_of_wins"), state.won_profit, profit)
    off = jnp.isinf(share)
    allowed = share_of(jnp.maximum(base, 0), jnp.where(off, 0.0, share))
    money = jnp.stack(
        [
            profit,
            state.equity - state.session_start_equity,
            state.best_day,
            jnp.where(off, 0, allowed - state.best_day),
            jnp.where(funded, payout_room(state, params), 0),
        ]
    )
    missing = jnp.stack(
        [of_phase("minimum_days") - state.days_traded, of_phase("winning_days") - state.days_won, state.payouts]
    )
    tenths = jnp.maximum(missing, 0).astype(jnp.float32) / 10
    limit = contract_limit(funded, state.session_start_equity - state.initial_balance, params)
    size = jnp.where(limit == NO_LIMIT, 0, limit).astype(jnp.float32) / 10
    return jnp.concatenate(
        [
            funded.astype(jnp.float32)[None],
            tenths[:2],
            in_units_of(money, state.trailing_limit),
            tenths[2:],
            size[None],
        ]
    )
