"""Accounts replayed over orders of recorded sessions: the rules of the account and nothing else.

A session in which no rule can act changes the account by a few numbers that are known beforehand, and is added as a
whole. A session in which one might act is played bar by bar, by the functions of `rules` that the environments use.
Both ways give the same account.

Closed forms, by which this is calibrated. Equity without drift in steps of h, flat after each; a trailing distance
d = n h below the highest equity; a target of T = m h:

- A breach is equity *below* the floor, so it takes n + 1 steps down from a new high. From there one step up comes
  first with probability (n + 1) / (n + 2) (a fair game: the chance of winning 1 before losing n + 1), and the target
  takes m of them: P(pass) = ((n + 1) / (n + 2))^m.
- h to 0 with d and T fixed: m ln(1 - 1 / (n + 2)) goes to -m / n = -T / d, so P(pass) = exp(-T / d). (The highest
  equity at the first fall of d below it is exponential with mean d: Taylor, "A stopped Brownian motion formula", Annals
  of Probability 3 (1975), 234-246, at drift 0.)
- A floor that locks at start + L: first the high water must reach d + L, with exp(-(d + L) / d); from then on the
  floor stays at L and equity goes from d + L to T or to L, with d / (T - L), for T > d + L. Together
  exp(-(d + L) / d) d / (T - L); for T <= d + L the lock is never met: exp(-T / d). In steps, with l = L / h:
  ((n + 1) / (n + 2))^(n + l) (n + 1) / (m - l + 1).
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from trading_gymnax import rules
from trading_gymnax import survival_tape as tapes
from trading_gymnax.market import Bar
from trading_gymnax.rules import DoneReason
from trading_gymnax.survival_tape import Tape

RUNNING, PASSED, BREACHED = range(3)
CHUNK = 2048  # attempts played side by side
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


class Outcome(NamedTuple):
    """How the attempts ended; int32 [A, P]."""

    outcome: Any
    days: Any  # sessions played, that of the end included
    balance: Any  # cents
    equity: Any  # cents; differs from the balance only where the data ended in a position
    out_of_data: Any  # still running, and the order was shorter than the horizon, bool


class _Session(NamedTuple):
    """What a session does to an account on which no rule acts but the daily limit; cents from the session's start."""

    net: Any
    lowest: Any  # equity, extremes of the bars included
    drawdown: Any  # largest fall below what the high-water mark has seen in the session
    seen: Any  # highest equity that counts for the high-water mark
    best_flat: Any  # highest balance after an exit
    traded: Any  # bool
    must_play: Any  # the session can end the account by itself, or the data ends in it, bool


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
class _State:
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
) -> tuple[Account, _Session]:
    """One recorded bar on one account that is running, in the order of the rule book, section 3; scalars.

    Also returns what the bar adds to a `_Session`, with absolute equity. `keep_open`: a position at the end of the data
    stays open, as in the environment; else it is closed there like one at the end of a day.
    """
    params, terms, now, bar = _as_market(row, tick_cents, commission, rule, tape, keep_open)
    holding = row[tapes.HOLDING]
    sized = jnp.where(rule.contracts > 0, rule.contracts, jnp.minimum(row[tapes.CONTRACTS], rule.max_contracts))
    zero = jnp.int32(0)
    state = _State(
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
    before = state.balance
    fill = rules.play_bar(state, now, bar, terms, params, zero + rules.ExitReason.STOP)
    state, fill = rules.settle(state, fill, terms)
    state = rules.mark_to_market(state, bar, terms)
    state = rules.raise_floor(state, fill, before, terms, params)
    state, fill, breached = rules.close_breach(state, fill, now, bar, terms, params)
    reached = rules.daily_limit_reached(state, fill, params)
    reason = rules.termination(state, breached, reached, fill.must_flat, params)
    traded = account.traded | (state.num_trades > 0)
    passed = (reason == DoneReason.PROFIT_TARGET) & (account.days_traded + traded >= rule.minimum_days)
    lost = (reason == DoneReason.DRAWDOWN) | (reason == DoneReason.DAILY_LOSS)
    # A stop that is reached is the nearest level, or the bar is decided by the floor, which shows in the equity.
    low = before + jnp.maximum(row[tapes.WORST], row[tapes.STOP_LEVEL]) * tick_cents * sized * holding
    lowest = jnp.where(holding > 0, jnp.minimum(low, state.equity), state.equity)
    seen = _Session(
        net=state.balance,
        lowest=lowest,
        drawdown=state.high_water_mark - lowest,
        seen=state.high_water_mark,
        best_flat=jnp.where(state.num_trades > 0, state.balance, _UNSEEN),
        traded=traded,
        must_play=lost | (row[tapes.DATA_END] > 0),
    )
    after = Account(
        balance=state.balance,
        equity=state.equity,
        high_water_mark=state.high_water_mark,
        floor=state.floor,
        session_start=account.session_start,
        days_traded=account.days_traded,
        traded=traded,
        day_over=account.day_over | reached | fill.must_flat,
        outcome=jnp.where(lost, BREACHED, jnp.where(passed, PASSED, RUNNING)).astype(jnp.int32),
    )
    return after, seen


def _as_market(
    row: jax.Array, tick_cents: jax.Array, commission: jax.Array, rule: AccountRules, tape: Tape, keep_open: jax.Array
) -> tuple[_Params, rules.Terms, Bar, Bar]:
    """A recorded bar in the terms of `rules`: parameters, terms, decision bar and outcome bar."""
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
    terms = rules.Terms(tick_cents, commission, zero, one, one, jnp.float32(1))
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
    return params, terms, bar, bar


def _summarise(
    rows: jax.Array, tick_cents: jax.Array, commission: jax.Array, rule: AccountRules, tape: Tape
) -> _Session:
    """One session on one account that nothing but the daily limit can stop; rows [E, 13]."""
    zero, no = jnp.int32(0), jnp.bool_(False)
    off = jnp.float32(math.inf)
    rule = rule._replace(initial_balance=jnp.float32(0), trailing_dd_limit=off, profit_target=off)
    account = Account(zero, zero, zero + _UNSEEN, zero + rules.FLOOR_OFF, zero, zero, no, no, zero)
    nothing = _Session(zero, zero, zero, zero + _UNSEEN, zero + _UNSEEN, no, no)

    def bar(carry: tuple[Account, _Session], row: jax.Array) -> tuple[tuple[Account, _Session], None]:
        account, known = carry
        after, seen = play_bar(account, row, tick_cents, commission, no, rule, tape)
        both = _Session(
            net=seen.net,
            lowest=jnp.minimum(known.lowest, seen.lowest),
            drawdown=jnp.maximum(known.drawdown, seen.drawdown),
            seen=seen.seen,
            best_flat=jnp.maximum(known.best_flat, seen.best_flat),
            traded=seen.traded,
            must_play=known.must_play | seen.must_play,
        )
        over = account.day_over | (account.outcome != RUNNING)
        return jax.tree.map(functools.partial(jnp.where, over), carry, (after, both)), None

    return jax.lax.scan(bar, (account, nothing), rows)[0][1]


def _is_quiet(account: Account, session: _Session, rule: AccountRules) -> jax.Array:
    """No rule of the account can act in the session.

    The floor of any bar is at most the larger of the present one and min(what the mark has seen in the session - limit,
    lock): so equity stays above it where it stays above the first and, if it ever falls by more than the limit, above
    the lock.
    """
    lowest = account.balance + session.lowest
    limit, lock = rules.cents(rule.trailing_dd_limit), rules.cents(rule.floor_lock)
    highest_floor = jnp.where(
        lock == rules.OFF, rules.OFF, rules.cents(rule.initial_balance) + jnp.where(lock == rules.OFF, 0, lock)
    )
    above = (lowest >= account.floor) & ((session.drawdown <= limit) | (lowest >= highest_floor))
    target = rules.cents(rule.profit_target)
    days_done = account.days_traded + session.traded >= rule.minimum_days
    profit = account.balance - rules.cents(rule.initial_balance) + session.best_flat
    return ~session.must_play & above & ~(days_done & (profit >= target))


def _add(account: Account, session: _Session, rule: AccountRules) -> Account:
    """The account after a quiet session."""
    mark = jnp.maximum(account.high_water_mark, account.balance + session.seen)
    limit, initial = rules.cents(rule.trailing_dd_limit), rules.cents(rule.initial_balance)
    balance = account.balance + session.net
    return account._replace(
        balance=balance,
        equity=balance,
        high_water_mark=mark,
        floor=jnp.maximum(account.floor, rules.floor_of(mark, limit, initial, rule)),
        days_traded=account.days_traded + session.traded,
    )


def _merge(wanted: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(functools.partial(jnp.where, wanted), new, old)


class _Lanes(NamedTuple):
    """Attempts side by side on one account; [C]."""

    account: Account
    day: Any  # sessions played


@functools.partial(jax.jit, static_argnames="bar_by_bar")
def replay(
    tape: Tape, accounts: AccountRules, orders: jax.Array, keep_open: jax.Array, *, bar_by_bar: bool = False
) -> Outcome:
    """Play fresh accounts over orders of sessions, each until it passes, is breached, or the order ends.

    Args:
        tape: S recorded sessions.
        accounts: rules of A accounts, each field [A].
        orders: sessions to play, int32 [P, D]; -1 from where there is none on.
        keep_open: a position that is open when the data ends stays open, as in the environment: for orders in which
            that session is the last; bool [P].
        bar_by_bar: play every session bar by bar, which is slow and gives the same.
    """
    paths, horizon = orders.shape
    pad = -paths % CHUNK  # chunks whose accounts fit the processor's cache
    orders = jnp.pad(orders, ((0, pad), (0, 0)), constant_values=-1).reshape(-1, CHUNK, horizon)
    keep_open = jnp.pad(keep_open, (0, pad)).reshape(-1, CHUNK)

    def of_account(rule: AccountRules) -> Outcome:
        per_session = jax.vmap(_summarise, (0, 0, 0, None, None))
        sessions = per_session(tape.bars, tape.tick_cents, tape.commission, rule, tape)
        play = functools.partial(_play_orders, tape, rule, None if bar_by_bar else sessions)
        return jax.lax.map(lambda chunk: play(*chunk), (orders, keep_open))

    return jax.tree.map(lambda x: x.reshape(len(x), -1)[:, :paths], jax.lax.map(of_account, accounts))


def _play_orders(
    tape: Tape, rule: AccountRules, sessions: _Session | None, orders: jax.Array, keep_open: jax.Array
) -> Outcome:
    """One account over orders [C, D]: quiet sessions at a stroke, then one bar by bar, until no attempt is left."""
    size, horizon = orders.shape

    def next_session(lanes: _Lanes) -> jax.Array:
        """That of each attempt's next day, -1 where it has ended; int32 [C]."""
        session = orders[jnp.arange(size), jnp.minimum(lanes.day, horizon - 1)]
        return jnp.where((lanes.account.outcome == RUNNING) & (lanes.day < horizon), session, -1)

    def quiet_day(day: jax.Array, lanes: _Lanes) -> _Lanes:
        account = lanes.account
        session = jax.tree.map(lambda x: x[jnp.maximum(orders[:, day], 0)], sessions)
        quiet = (lanes.day == day) & (next_session(lanes) >= 0) & _is_quiet(account, session, rule)
        return _Lanes(_merge(quiet, _add(account, session, rule), account), lanes.day + quiet)

    def one_round(lanes: _Lanes) -> _Lanes:
        if sessions is not None:
            lanes = jax.lax.fori_loop(0, horizon, quiet_day, lanes)
        session = next_session(lanes)
        account = _play_session(tape, rule, session, lanes.account, keep_open)
        return _Lanes(account, lanes.day + (session >= 0))

    fresh = jax.tree.map(lambda x: jnp.broadcast_to(x, size), open_account(rule))
    start = _Lanes(fresh, jnp.zeros(size, jnp.int32))
    account, day = jax.lax.while_loop(lambda lanes: jnp.any(next_session(lanes) >= 0), one_round, start)
    cut = (account.outcome == RUNNING) & (day < horizon)
    return Outcome(account.outcome, day, account.balance, account.equity, cut)


def _play_session(
    tape: Tape, rule: AccountRules, session: jax.Array, account: Account, keep_open: jax.Array
) -> Account:
    """Attempts [C] through a session each, bar by bar; those of session -1 stand still."""
    playing, index = session >= 0, jnp.maximum(session, 0)
    tick, fee = tape.tick_cents[index], tape.commission[index]
    num_bars = jnp.where(playing, tape.num_bars[index], 0)
    step = jax.vmap(play_bar, (0, 0, 0, 0, 0, None, None))
    no = jnp.zeros_like(playing)
    account = account._replace(session_start=account.equity, traded=no, day_over=no)

    def bar(at: jax.Array, account: Account) -> Account:
        after, _ = step(account, tape.bars[index, at], tick, fee, keep_open, rule, tape)
        goes = (at < num_bars) & ~account.day_over & (account.outcome == RUNNING)
        return _merge(goes, after, account)

    account = jax.lax.fori_loop(0, num_bars.max(), bar, account)
    return account._replace(days_traded=account.days_traded + account.traded)


def consecutive_orders(tape: Tape, horizon: int) -> jax.Array:
    """From each session on, those that follow it in its market, then -1; int32 [S, horizon]."""

    def one(session: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return jnp.where(session >= 0, tape.follows[jnp.maximum(session, 0)], -1), session

    first = jnp.arange(len(tape.follows), dtype=jnp.int32)
    return jax.lax.scan(one, first, None, length=horizon)[1].T


@functools.partial(jax.jit, static_argnames=("paths", "horizon"))
def bootstrap_orders(
    key: jax.Array, follows: jax.Array, mean_block: jax.Array, *, paths: int, horizon: int
) -> jax.Array:
    """Orders of sessions by the stationary bootstrap; int32 [paths, horizon].

    A block starts at any session with equal chance and goes on with the session that follows, its market's first after
    its last; each session is a block's last with probability 1 / mean_block, so that what one session tells about the
    next is kept within blocks. Source: Politis and Romano, "The stationary bootstrap", Journal of the American
    Statistical Association 89 (1994), 1303-1313.

    follows: the session that follows in its market, -1 after the market's last, int32 [S].
    """
    size = follows.shape[0]
    is_follower = jnp.zeros(size + 1, bool).at[jnp.where(follows < 0, size, follows)].set(True)[:size]
    # The first session of the chain that a session belongs to: walking back S times from anywhere arrives there.
    before = (
        jnp.arange(size, dtype=jnp.int32)
        .at[jnp.where(follows < 0, size, follows)]
        .set(jnp.arange(size, dtype=jnp.int32), mode="drop")
    )
    first = jax.lax.fori_loop(
        0, max(1, size.bit_length()), lambda _, b: b[b], jnp.where(is_follower, before, jnp.arange(size))
    )
    following = jnp.where(follows < 0, first, follows)
    key_start, key_new = jax.random.split(key)
    starts = jax.random.randint(key_start, (horizon, paths), 0, size, jnp.int32)
    new = jax.random.uniform(key_new, (horizon, paths)) < 1 / mean_block

    def day(session: jax.Array, drawn: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        start, is_new = drawn
        session = jnp.where(is_new, start, following[session])
        return session, session

    rest = jax.lax.scan(day, starts[0], (starts[1:], new[1:]))[1]
    return jnp.concatenate([starts[:1], rest]).T
