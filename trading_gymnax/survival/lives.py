"""Whole lives of accounts, replayed over orders of recorded sessions: evaluation, funded account, payouts.

A day that no rule decides changes the account by a few numbers that are known beforehand (`replay.summarise`), and so
does one that surely ends it, or surely passes its evaluation: its end is then booked by the functions of `life` that
the environment uses. A day that those numbers leave open is played bar by bar, by the same functions after every bar.
Both ways give the same life; the balance of one that a breach has ended is all that the first does not know.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from trading_gymnax import life, rules
from trading_gymnax.evaluation import codes
from trading_gymnax.params_life import AccountLife
from trading_gymnax.rules import DoneReason
from trading_gymnax.survival.replay import (
    AccountRules,
    PositionState,
    SessionSummary,
    as_market,
    play_position,
    stays_above,
    summarise,
)
from trading_gymnax.survival.tape import CONTRACTS, ENTERED, HOLDING, STOP_LEVEL, TARGET_LEVEL, Tape

_CHUNK = 16384  # lives side by side
_OPEN_DAYS = 64  # days that are played bar by bar side by side


@struct.dataclass(frozen=True)
class LifeRules(AccountLife):
    """What an account asks over its life, by the names of `EnvParamsLife`, and the size; [A] or [A, n] for several."""

    initial_balance: Any = None
    trailing_dd_limit: Any = None
    floor_lock: Any = None
    daily_loss_limit: Any = None
    daily_loss_fails: Any = None
    profit_target: Any = None
    high_water_mode: Any = None
    contracts: Any = None  # of every entry, int32; 0: as recorded
    max_contracts: Any = None  # of recorded sizes, int32


class LifeOutcome(NamedTuple):
    """How lives went; int32 [A, P]."""

    ended: Any  # DoneReason that ended the account; NONE: it goes on
    days: Any  # sessions lived, that of the end included
    pass_day: Any  # session of the pass, 0 without one
    payout_day: Any  # session of the first payout, 0 without one
    payouts: Any
    paid_out: Any  # to the trader, cents
    fees: Any  # cents
    out_of_data: Any  # still running, and the order was shorter than the horizon, bool


class Tables(NamedTuple):
    """Summaries of S sessions for each of U sets of rules that differ in what happens within a day."""

    sessions: SessionSummary  # [U, S]
    which: Any  # the set of account, phase and step of its scaling plan, int32 [A, 2, steps]


@struct.dataclass
class _State(life.LifeFields, PositionState):
    """An account between two bars."""

    session_number: Any


class _Lane(NamedTuple):
    """A life between two days."""

    state: Any  # _State
    ended: Any
    pass_day: Any
    payout_day: Any


def tables_of(tape: Tape, accounts: LifeRules) -> Tables:
    """What the sessions do to accounts under the accounts' rules, each set of rules once."""
    many = jax.device_get(accounts)
    sets: dict[tuple[Any, ...], int] = {}
    which = np.zeros((len(many.initial_balance), 2, many.scaling_profit.shape[1] + 1), np.int32)
    for a in range(len(which)):
        account = jax.tree.map(lambda x, a=a: x[a], many)
        limits = np.asarray(_limits(account))
        for phase, prefix in enumerate(("", "funded_")):
            within = [getattr(account, f"{prefix}{name}").item() for name in _WITHIN_A_DAY]
            for step, limit in enumerate(limits[phase].tolist()):
                contracts = min(int(account.contracts), limit)
                key = (*within, contracts, 0 if contracts else min(int(account.max_contracts), limit))
                which[a, phase, step] = sets.setdefault(key, len(sets))
    return Tables(_summaries(tape, _as_account_rules(list(sets))), jnp.asarray(which))


_WITHIN_A_DAY = ("daily_loss_limit", "daily_loss_fails", "high_water_mode")


def _as_account_rules(sets: list[tuple[Any, ...]]) -> AccountRules:
    limit, fails, mode, contracts, most = (np.array(column) for column in zip(*sets, strict=True))
    zero = np.zeros(len(sets), np.float32)
    return AccountRules(
        *(zero, zero, zero),
        daily_loss_limit=limit.astype(np.float32),
        profit_target=zero,
        high_water_mode=mode.astype(np.int32),
        daily_loss_fails=fails.astype(bool),
        contracts=contracts.astype(np.int32),
        max_contracts=most.astype(np.int32),
        minimum_days=np.zeros(len(sets), np.int32),
    )


@jax.jit
def _summaries(tape: Tape, sets: AccountRules) -> SessionSummary:
    each = jax.vmap(summarise, (0, 0, 0, None, None))
    return jax.lax.map(lambda rule: each(tape.bars, tape.tick_cents, tape.commission, rule, tape), sets)


def _limits(rule: LifeRules) -> jax.Array:
    """Contracts that each phase allows without a step of its scaling plan, and on each; int32 [2, steps + 1]."""
    base = jnp.stack([jnp.asarray(rule.contract_limit), jnp.asarray(rule.funded_contract_limit)])
    steps = jnp.stack([jnp.asarray(rule.scaling_contracts), jnp.asarray(rule.funded_scaling_contracts)])
    return jnp.concatenate([jnp.where(base == 0, life.NO_LIMIT, base)[:, None], steps], axis=1)


@functools.partial(jax.jit, static_argnames="bar_by_bar")
def live(
    tape: Tape, accounts: LifeRules, tables: Tables, orders: jax.Array, *, bar_by_bar: bool = False
) -> LifeOutcome:
    """Live through orders of sessions, each until its account ends or the order does.

    Args:
        tape: S recorded sessions. A position that is open when its data ends is closed as at the end of a day.
        accounts: rules of A accounts, each field [A] or [A, n].
        tables: `tables_of` these two.
        orders: sessions to play, int32 [P, D]; -1 from where there is none on.
        bar_by_bar: play every day bar by bar, which is slow and gives the same.
    """
    paths, horizon = orders.shape
    chunk = min(_CHUNK, max(_OPEN_DAYS, paths))
    chunks = jnp.pad(orders, ((0, -paths % chunk), (0, 0)), constant_values=-1).reshape(-1, chunk, horizon)

    def of_account(account: tuple[LifeRules, jax.Array]) -> LifeOutcome:
        rule, which = account
        days = functools.partial(_live_chunk, tape, rule, tables.sessions, which, bar_by_bar)
        return jax.lax.map(days, chunks)

    found = jax.lax.map(of_account, (accounts, tables.which))
    return jax.tree.map(lambda x: x.reshape(len(x), -1)[:, :paths], found)


def _live_chunk(
    tape: Tape, rule: LifeRules, sessions: SessionSummary, which: jax.Array, bar_by_bar: bool, orders: jax.Array
) -> LifeOutcome:
    """One account over orders [C, D], day by day."""
    size, horizon = orders.shape
    steps = _limits(rule)
    by_whole = jax.vmap(functools.partial(_whole_day, rule))
    by_bars = jax.vmap(functools.partial(_one_day, tape, rule))

    def day(at: jax.Array, lanes: _Lane) -> _Lane:
        session = orders[:, at]
        goes = (lanes.ended == DoneReason.NONE) & (session >= 0)
        step = jax.vmap(lambda state: _step_of(state, rule, steps))(lanes.state)
        known = jax.tree.map(lambda x: x[which[lanes.state.funded.astype(jnp.int32), step], session], sessions)
        after, sure = by_whole(lanes, known)
        sure &= not bar_by_bar
        lanes = _merge(goes & sure, after, lanes)
        return _play_open(by_bars, goes & ~sure, session, lanes)

    lanes = jax.lax.fori_loop(0, horizon, day, jax.tree.map(lambda x: jnp.broadcast_to(x, size), _open(rule)))
    state = lanes.state
    lived = state.session_number - (lanes.ended == DoneReason.NONE).astype(jnp.int32)
    return LifeOutcome(
        ended=lanes.ended,
        days=lived,
        pass_day=lanes.pass_day,
        payout_day=lanes.payout_day,
        payouts=state.payouts,
        paid_out=state.paid_out,
        fees=state.fees,
        out_of_data=(lanes.ended == DoneReason.NONE) & (lived < horizon),
    )


def _play_open(by_bars: Any, open_: jax.Array, session: jax.Array, lanes: _Lane) -> _Lane:
    """The days that are not decided yet, a few at a time."""
    size = len(open_)

    def some(carry: tuple[jax.Array, _Lane]) -> tuple[jax.Array, _Lane]:
        left, lanes = carry
        at = jnp.nonzero(left, size=_OPEN_DAYS, fill_value=size)[0]  # beyond the lanes: played, and not kept
        mine = jax.tree.map(lambda x: x[jnp.minimum(at, size - 1)], lanes)
        played = by_bars(mine, jnp.where(at < size, session[jnp.minimum(at, size - 1)], -1))
        lanes = jax.tree.map(lambda all_, new: all_.at[at].set(new, mode="drop"), lanes, played)
        return left.at[at].set(False, mode="drop"), lanes

    return jax.lax.while_loop(lambda carry: carry[0].any(), some, (open_, lanes))[1]


def _open(rule: LifeRules) -> _Lane:
    """A fresh life."""
    zero, no = jnp.int32(0), jnp.bool_(False)
    start, limit = rules.cents(rule.initial_balance), rules.cents(rule.trailing_dd_limit)
    blank = {name: no if name == "funded" else zero for name in _State.__dataclass_fields__}
    account = dict.fromkeys(("balance", "equity", "high_water_mark", "session_start_equity", "initial_balance"), start)
    account |= {"trailing_limit": limit, "floor": rules.floor_of(start, limit, start, rule)}
    state = _State(**(blank | account | {"session_number": jnp.int32(1)}))
    return _Lane(life.open_account(state, rule), jnp.int32(DoneReason.NONE), zero, zero)


def _step_of(state: _State, rule: LifeRules, limits: jax.Array) -> jax.Array:
    """Which of `limits` the account's phase and profit allow today."""
    allowed = life.contract_limit(state.funded, state.session_start_equity - state.initial_balance, rule)
    return jnp.argmax(limits[state.funded.astype(jnp.int32)] == allowed)


def _in_force(state: _State, rule: Any) -> Any:
    """The rules of the account's phase, its size cut to the contracts of today."""
    allowed = life.contract_limit(state.funded, state.session_start_equity - state.initial_balance, rule)
    return rule.replace(
        **life.rules_in_force(state.funded, rule),
        contracts=jnp.minimum(rule.contracts, allowed),
        max_contracts=jnp.minimum(rule.max_contracts, allowed),
    )


# -- a day as a whole --


def _whole_day(rule: LifeRules, lane: _Lane, session: SessionSummary) -> tuple[_Lane, jax.Array]:
    """The life after the day, and whether that is sure."""
    state = lane.state
    rule = _in_force(state, rule)
    above = stays_above(state, session, state.trailing_limit, state.initial_balance, rule) & ~session.lost
    may_pass, passes = _pass_today(state, session, rule)
    breached = (state.balance + session.sure_lowest < state.floor) & ~may_pass
    sure = breached | (above & (~may_pass | passes))
    balance = state.balance + jnp.where(passes, session.best_flat, session.net)
    mark = jnp.maximum(state.high_water_mark, state.balance + session.seen)
    floor = jnp.maximum(state.floor, rules.floor_of(mark, state.trailing_limit, state.initial_balance, rule))
    after = state.replace(
        balance=balance,
        equity=balance,
        high_water_mark=mark,
        floor=floor,
        num_trades=state.num_trades + session.traded.astype(jnp.int32),
    )
    no, yes = jnp.bool_(False), jnp.bool_(True)
    after, reason, _ = life.end_of_step(after, breached, no, yes, no, rule)
    return _next_day(lane, after, reason), sure


def _pass_today(state: Any, session: SessionSummary, rule: Any) -> tuple[jax.Array, jax.Array]:
    """Whether the evaluation may be passed today at some exit, and whether it surely is, if no floor is reached.

    It surely is where all holds at the day's highest balance. With a consistency that does not hold there a lower one
    may do: best where today's profit is as high as the best day before, since up to there the profit grows and the best
    day does not, and beyond both grow alike, of which a share grows less.
    """
    at_best = state.replace(
        balance=state.balance + session.best_flat, num_trades=state.num_trades + session.traded.astype(jnp.int32)
    )
    passes = life.passes(at_best, life.with_today(at_best, rule), rule) & session.traded
    least = state.cycle_start + rules.cents(rule.profit_target)
    reaches = session.traded & ~state.funded & (at_best.balance >= least)
    lower = jnp.clip(state.session_start_equity + state.best_day, least, at_best.balance)
    cycle = life.with_today(at_best, rule)._replace(
        profit=lower - state.cycle_start,
        best_day=jnp.maximum(state.best_day, lower - state.session_start_equity),
    )
    # What the winning days' profit would be at a lower balance is not known: there the bars tell.
    share = jnp.where(rule.consistency_of_wins, jnp.inf, rule.consistency)
    return reaches & (passes | life.goals_met(cycle, state.funded, rule.replace(consistency=share))), passes


def _next_day(lane: _Lane, state: Any, reason: jax.Array) -> _Lane:
    """The life after a day whose end is booked."""
    today, before = lane.state.session_number, lane.state
    passed = ~before.funded & (state.funded | codes.among(reason, codes.done(codes.PASSED)))
    first = (state.payouts > 0) & (before.payouts == 0)
    return _Lane(
        state=state.replace(
            session_start_equity=state.equity,
            session_number=today + (reason == DoneReason.NONE).astype(jnp.int32),
        ),
        ended=reason.astype(jnp.int32),
        pass_day=jnp.where(passed, today, lane.pass_day),
        payout_day=jnp.where(first, today, lane.payout_day),
    )


# -- a day bar by bar --


def _one_day(tape: Tape, rule: LifeRules, lane: _Lane, session: jax.Array) -> _Lane:
    """The life after a session that is played bar by bar; session -1 is none."""
    index = jnp.maximum(session, 0)
    tick, fee = tape.tick_cents[index], tape.commission[index]
    num_bars = jnp.where(session >= 0, tape.num_bars[index], 0)
    rule = _in_force(lane.state, rule)
    no = jnp.bool_(False)

    def bar(carry: tuple[jax.Array, _State, jax.Array, jax.Array]) -> tuple[jax.Array, _State, jax.Array, jax.Array]:
        at, state, _, _ = carry
        row = tape.bars[index, at]
        params, terms, outcome_bar = as_market(row, tick, fee, rule, tape, no)
        state, fill, breached, reached = play_position(_holding(state, row, fee, rule), outcome_bar, terms, params)
        state, reason, day_over = life.end_of_step(state, breached, reached, fill.must_flat, no, rule)
        return at + 1, state, reason, day_over | reached | (reason != DoneReason.NONE)

    start = (jnp.int32(0), lane.state, jnp.int32(DoneReason.NONE), no)
    _, state, reason, _ = jax.lax.while_loop(lambda carry: (carry[0] < num_bars) & ~carry[3], bar, start)
    return _merge(session >= 0, _next_day(lane, state, reason), lane)


def _holding(state: Any, row: jax.Array, commission: jax.Array, rule: LifeRules) -> Any:
    """The account with the position of a recorded bar, a long one bought at 0, its entry paid."""
    sized = jnp.where(rule.contracts > 0, rule.contracts, jnp.minimum(row[CONTRACTS], rule.max_contracts))
    return state.replace(
        position=row[HOLDING],
        contracts=sized * row[HOLDING],
        entry_price=jnp.int32(0),
        sl_price=row[STOP_LEVEL],
        tp_price=row[TARGET_LEVEL],
        entry_balance=jnp.int32(0),
        balance=state.balance - sized * row[ENTERED] * commission,
    )


def _merge(wanted: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(functools.partial(jnp.where, wanted), new, old)
