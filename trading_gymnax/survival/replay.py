"""One account over one recorded session: the rules of the account and nothing else.

A session in which no rule can act changes the account by a few numbers that are known beforehand, and is added as a
whole. A session in which one might act is played bar by bar, by the functions of `rules` that the environments use.
Both ways give the same account.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from trading_gymnax import rules
from trading_gymnax.evaluation import codes
from trading_gymnax.market import Bar
from trading_gymnax.parameters import Parameters
from trading_gymnax.survival import tape as tapes
from trading_gymnax.survival.tape import Tape

RUNNING, PASSED, BREACHED = range(3)
_UNSEEN = -(2**29)  # cents; below any change of a session


class AccountRules(NamedTuple):
    """What an account asks, dollars float32 as in `EnvParams` (inf: off); scalars, or [A] for several accounts."""

    initial_balance: Any
    trailing_dd_limit: Any
    floor_lock: Any
    daily_loss_limit: Any
    profit_target: Any
    high_water_mode: Any  # int32
    daily_loss_fails: Any  # bool
    contracts: Any  # of every entry, int32; 0: as recorded
    max_contracts: Any  # of recorded sizes, int32
    minimum_days: Any  # sessions with a closed trade before a pass counts, int32


def stacked_rules(accounts: Sequence[Mapping[str, Any]]) -> AccountRules:
    """The rules of several accounts, each field [A] and of its own type, whatever JAX takes numbers for."""
    known = Parameters.__dataclass_fields__
    kinds = [known[name].metadata["dtype"] if name in known else jnp.int32 for name in AccountRules._fields]
    columns = ([account[name] for account in accounts] for name in AccountRules._fields)
    return AccountRules(*(jnp.asarray(column, kind) for column, kind in zip(columns, kinds, strict=True)))


class Account(NamedTuple):
    """An account between two bars; int32 scalars, cents."""

    balance: Any
    equity: Any
    high_water_mark: Any
    floor: Any
    session_start: Any  # equity at the start of the session
    days_traded: Any  # sessions before this one with a closed trade
    traded: Any  # a trade was closed in this session, bool
    day_over: Any  # bool
    outcome: Any  # RUNNING, PASSED or BREACHED


class SessionSummary(NamedTuple):
    """What a session does to an account on which no rule acts but the daily limit; cents from the session's start."""

    net: Any
    lowest: Any  # equity, extremes of the bars included
    sure_lowest: Any  # equity that is surely reached, whatever the floor; between the two the bars must tell
    drawdown: Any  # largest fall below what the high-water mark has seen in the session
    seen: Any  # highest equity that counts for the high-water mark
    best_flat: Any  # highest balance after an exit
    traded: Any  # bool
    lost: Any  # the session ends the account by itself, bool
    must_play: Any  # it does, or the data ends in it, bool


class _Params(NamedTuple):
    """The parameters that the functions of `rules` read, by their names."""

    floor_lock: Any
    daily_loss_limit: Any
    profit_target: Any
    high_water_mode: Any
    daily_loss_fails: Any
    stop_first: Any
    target_through_ticks: Any
    slippage_ticks: Any
    stop_slippage_ticks: Any
    slippage_atr_mult: float = 0.0  # the recorded slippage holds it already
    stop_slippage_atr_mult: float = 0.0
    terminate_at_session_end: bool = False


@struct.dataclass
class PositionState:
    """The fields of `EnvState` that the functions of `rules` read; a long position bought at 0."""

    position: Any
    contracts: Any
    entry_price: Any
    sl_price: Any
    tp_price: Any
    entry_balance: Any
    balance: Any
    equity: Any
    high_water_mark: Any
    floor: Any
    session_start_equity: Any
    initial_balance: Any
    trailing_limit: Any
    num_trades: Any
    winning_trades: Any

    def position_fields(self) -> dict[str, Any]:
        names = ("position", "contracts", "entry_price", "sl_price", "tp_price", "entry_balance")
        return {name: getattr(self, name) for name in names}


def open_account(rule: AccountRules) -> Account:
    """A fresh account of each of the rules."""
    balance, limit = rules.cents(rule.initial_balance), rules.cents(rule.trailing_dd_limit)
    zero, no = jnp.zeros_like(balance), jnp.zeros_like(balance, bool)
    floor = rules.floor_of(balance, limit, balance, rule)
    return Account(balance, balance, balance, floor, balance, zero, no, no, zero + RUNNING)


def play_bar(
    account: Account,
    row: jax.Array,
    tick_cents: jax.Array,
    commission: jax.Array,
    keep_open: jax.Array,
    rule: AccountRules,
    tape: Tape,
) -> tuple[Account, SessionSummary]:
    """One recorded bar on one account that is running, in the order of docs/rules.md, section 3; scalars.

    Also returns what the bar adds to a `SessionSummary`, with absolute equity. `keep_open`: a position at the end of
    the data stays open, as in the environment; else it is closed there like one at the end of a day.
    """
    params, terms, bar = as_market(row, tick_cents, commission, rule, tape, keep_open)
    state = _as_state(account, row, commission, rule)
    before = state.balance
    state, fill, breached, reached = play_position(state, bar, terms, params)
    reason = rules.termination(state, breached, reached, fill.must_flat, params)
    traded = account.traded | (state.num_trades > 0)
    passed = codes.among(reason, codes.done(codes.PASSED)) & (
        account.days_traded + traded.astype(jnp.int32) >= rule.minimum_days
    )
    lost = codes.among(reason, codes.done(codes.BREACHED, codes.LAPSED))
    after = account._replace(
        balance=state.balance,
        equity=state.equity,
        high_water_mark=state.high_water_mark,
        floor=state.floor,
        traded=traded,
        day_over=account.day_over | reached | fill.must_flat,
        outcome=jnp.where(lost, BREACHED, jnp.where(passed, PASSED, RUNNING)).astype(jnp.int32),
    )
    return after, _seen(state, fill, before, row, tick_cents, traded, lost)


def play_position(
    state: Any, bar: Bar, terms: rules.Terms, params: _Params
) -> tuple[Any, rules.Fill, jax.Array, jax.Array]:
    """One bar on an account that holds its position: state, fill, breached by drawdown, daily limit reached."""
    before = state.balance
    fill = rules.play_bar(state, bar, bar, terms, params, jnp.int32(rules.ExitReason.STOP))
    state, fill = rules.settle(state, fill, terms)
    state = rules.mark_to_market(state, bar, terms)
    state = rules.raise_floor(state, fill, before, terms, params)
    state, fill, breached = rules.close_breach(state, fill, bar, bar, terms, params)
    return state, fill, breached, rules.daily_limit_reached(state, fill, params)


def _seen(
    state: PositionState,
    fill: rules.Fill,
    before: jax.Array,
    row: jax.Array,
    tick_cents: jax.Array,
    traded: jax.Array,
    lost: jax.Array,
) -> SessionSummary:
    """What a bar adds to a summary; `before` is the balance before any exit."""
    # A stop that is reached is the nearest level, or the bar is decided by the floor, which shows in the equity.
    low = before + jnp.maximum(row[tapes.WORST], row[tapes.STOP_LEVEL]) * tick_cents * fill.contracts
    lowest = jnp.where(fill.side > 0, jnp.minimum(low, state.equity), state.equity)
    # An exit at a target or a limit of the account may have come before the bar's worst price.
    left = codes.among(fill.exit_reason, codes.exits(codes.AT_TARGET) + codes.exits(codes.AT_LEVEL, by=codes.ACCOUNT))
    return SessionSummary(
        net=state.balance,
        lowest=lowest,
        sure_lowest=jnp.where(left, state.equity, lowest),
        drawdown=state.high_water_mark - lowest,
        seen=state.high_water_mark,
        best_flat=jnp.where(state.num_trades > 0, state.balance, _UNSEEN),
        traded=traded,
        lost=lost,
        must_play=lost | (row[tapes.DATA_END] > 0),
    )


def _as_state(account: Account, row: jax.Array, commission: jax.Array, rule: AccountRules) -> PositionState:
    """The account with the position of a recorded bar, in the terms of `rules`."""
    holding, zero = row[tapes.HOLDING], jnp.int32(0)
    sized = jnp.where(rule.contracts > 0, rule.contracts, jnp.minimum(row[tapes.CONTRACTS], rule.max_contracts))
    return PositionState(
        position=holding,
        contracts=sized * holding,
        entry_price=zero,
        sl_price=row[tapes.STOP_LEVEL],
        tp_price=row[tapes.TARGET_LEVEL],
        entry_balance=zero,
        balance=account.balance - sized * row[tapes.ENTERED] * commission,
        equity=account.equity,
        high_water_mark=account.high_water_mark,
        floor=account.floor,
        session_start_equity=account.session_start,
        initial_balance=rules.cents(rule.initial_balance),
        trailing_limit=rules.cents(rule.trailing_dd_limit),
        num_trades=zero,
        winning_trades=zero,
    )


def as_market(
    row: jax.Array, tick_cents: jax.Array, commission: jax.Array, rule: Any, tape: Tape, keep_open: jax.Array
) -> tuple[_Params, rules.Terms, Bar]:
    """A recorded bar in the terms of `rules`: parameters, terms, and a bar that serves as its decision bar, too."""
    params = _Params(
        floor_lock=rule.floor_lock,
        daily_loss_limit=rule.daily_loss_limit,
        profit_target=rule.profit_target,
        high_water_mode=rule.high_water_mode,
        daily_loss_fails=rule.daily_loss_fails,
        stop_first=tape.stop_first,
        target_through_ticks=tape.target_through_ticks,
        slippage_ticks=row[tapes.SLIP],
        stop_slippage_ticks=row[tapes.STOP_SLIP],
    )
    zero, one = jnp.int32(0), jnp.int32(1)
    terms = rules.Terms(tick_cents, commission, zero, one, one, jnp.float32(1), zero)
    flat = (row[tapes.MUST_FLAT] > 0) | ((row[tapes.DATA_END] > 0) & ~keep_open)
    bar = Bar(
        open=row[tapes.OPENED],
        high=row[tapes.BEST],
        low=row[tapes.WORST],
        close=row[tapes.CLOSED],
        time=zero,
        scheduled_close=one,
        session=zero,
        breaks=flat,
        atr=jnp.float32(0),
    )
    return params, terms, bar


def summarise(
    rows: jax.Array, tick_cents: jax.Array, commission: jax.Array, rule: AccountRules, tape: Tape
) -> SessionSummary:
    """One session on one account that nothing but the daily limit can stop; rows [E, 13]."""
    zero, no = jnp.int32(0), jnp.bool_(False)
    off = jnp.float32(math.inf)
    rule = rule._replace(initial_balance=jnp.float32(0), trailing_dd_limit=off, profit_target=off)
    account = Account(zero, zero, zero + _UNSEEN, zero + rules.FLOOR_OFF, zero, zero, no, no, zero)
    nothing = SessionSummary(zero, zero, zero, zero, zero + _UNSEEN, zero + _UNSEEN, no, no, no)

    def bar(carry: tuple[Account, SessionSummary], row: jax.Array) -> tuple[tuple[Account, SessionSummary], None]:
        account, known = carry
        after, seen = play_bar(account, row, tick_cents, commission, no, rule, tape)
        both = SessionSummary(
            net=seen.net,
            lowest=jnp.minimum(known.lowest, seen.lowest),
            sure_lowest=jnp.minimum(known.sure_lowest, seen.sure_lowest),
            drawdown=jnp.maximum(known.drawdown, seen.drawdown),
            seen=seen.seen,
            best_flat=jnp.maximum(known.best_flat, seen.best_flat),
            traded=seen.traded,
            lost=known.lost | seen.lost,
            must_play=known.must_play | seen.must_play,
        )
        over = account.day_over | (account.outcome != RUNNING)
        return jax.tree.map(functools.partial(jnp.where, over), carry, (after, both)), None

    return jax.lax.scan(bar, (account, nothing), rows)[0][1]


def stays_above(account: Any, session: SessionSummary, limit: jax.Array, initial: jax.Array, rule: Any) -> jax.Array:
    """No floor of the session is reached; limit and initial balance in cents.

    The floor of any bar is the present one, or what `rules.floor_of` makes of a mark of the session: that is no higher
    than the mark less the limit, nor than the floor of the highest mark that can be. So equity stays above the floor
    where it stays above the present one and, if it ever falls by more than the limit, above the last.
    """
    lowest = account.balance + session.lowest
    highest_floor = rules.floor_of(jnp.int32(rules.OFF), limit, initial, rule)
    return (lowest >= account.floor) & ((session.drawdown <= limit) | (lowest >= highest_floor))


def is_quiet(account: Account, session: SessionSummary, rule: AccountRules) -> jax.Array:
    """No rule of the account can act in the session. `tests/survival` plays every rule of an account both ways.

    Only a yes must be right to the cent: after a no the bars are played, which gives the same account and takes longer.
    """
    initial, limit = rules.cents(rule.initial_balance), rules.cents(rule.trailing_dd_limit)
    above = stays_above(account, session, limit, initial, rule)
    target = rules.cents(rule.profit_target)
    days_done = account.days_traded + session.traded.astype(jnp.int32) >= rule.minimum_days
    met = account.balance - initial + session.best_flat >= target
    return ~session.must_play & above & ~(days_done & met)


def add_quiet(account: Account, session: SessionSummary, rule: AccountRules) -> Account:
    """The account after a quiet session."""
    mark = jnp.maximum(account.high_water_mark, account.balance + session.seen)
    limit, initial = rules.cents(rule.trailing_dd_limit), rules.cents(rule.initial_balance)
    balance = account.balance + session.net
    return account._replace(
        balance=balance,
        equity=balance,
        high_water_mark=mark,
        floor=jnp.maximum(account.floor, rules.floor_of(mark, limit, initial, rule)),
        days_traded=account.days_traded + session.traded.astype(jnp.int32),
    )
