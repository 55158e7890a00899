"""Accounts replayed over orders of recorded sessions, and how such orders are drawn.

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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from trading_gymnax.survival.replay import (
    RUNNING,
    Account,
    AccountRules,
    SessionSummary,
    add_quiet,
    is_quiet,
    open_account,
    play_bar,
    summarise,
)
from trading_gymnax.survival.tape import Tape

CHUNK = 1024  # attempts played side by side
ACCOUNTS_AT_ONCE = 2  # vmapped; more of them leave the cache, and take longer


class Outcome(NamedTuple):
    """How the attempts ended; int32 [A, P]."""

    outcome: Any
    days: Any  # sessions played, that of the end included
    balance: Any  # cents
    equity: Any  # cents; differs from the balance only where the data ended in a position
    out_of_data: Any  # still running, and the order was shorter than the horizon, bool


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
        per_session = jax.vmap(summarise, (0, 0, 0, None, None))
        sessions = per_session(tape.bars, tape.tick_cents, tape.commission, rule, tape)
        play = functools.partial(_play_orders, tape, rule, None if bar_by_bar else sessions)
        return jax.lax.map(lambda chunk: play(*chunk), (orders, keep_open))

    found = jax.lax.map(of_account, accounts, batch_size=ACCOUNTS_AT_ONCE)
    return jax.tree.map(lambda x: x.reshape(len(x), -1)[:, :paths], found)


def _play_orders(
    tape: Tape, rule: AccountRules, sessions: SessionSummary | None, orders: jax.Array, keep_open: jax.Array
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
        quiet = (lanes.day == day) & (next_session(lanes) >= 0) & is_quiet(account, session, rule)
        return _Lanes(_merge(quiet, add_quiet(account, session, rule), account), lanes.day + quiet.astype(jnp.int32))

    def one_round(lanes: _Lanes) -> _Lanes:
        if sessions is not None:
            lanes = jax.lax.fori_loop(0, horizon, quiet_day, lanes)
        session = next_session(lanes)
        account = _play_session(tape, rule, session, lanes.account, keep_open)
        return _Lanes(account, lanes.day + (session >= 0).astype(jnp.int32))

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
    return account._replace(days_traded=account.days_traded + account.traded.astype(jnp.int32))


def consecutive_orders(follows: jax.Array, horizon: int) -> jax.Array:
    """From each session on, those that follow it in its market, then -1; int32 [S, horizon]."""

    def one(session: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        return jnp.where(session >= 0, follows[jnp.maximum(session, 0)], -1), session

    first = jnp.arange(len(follows), dtype=jnp.int32)
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
        0,
        max(1, size.bit_length()),
        lambda _, b: b[b],
        jnp.where(is_follower, before, jnp.arange(size, dtype=jnp.int32)),
    )
    following = jnp.where(follows < 0, first, follows)
    key_start, key_new = jax.random.split(key)
    starts = jax.random.randint(key_start, (horizon, paths), 0, size, jnp.int32)
    new = jax.random.uniform(key_new, (horizon, paths), jnp.float32) < 1 / mean_block

    def day(session: jax.Array, drawn: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        start, is_new = drawn
        session = jnp.where(is_new, start, following[session])
        return session, session

    rest = jax.lax.scan(day, starts[0], (starts[1:], new[1:]))[1]
    return jnp.concatenate([starts[:1], rest]).T


def _merge(wanted: jax.Array, new: Any, old: Any) -> Any:
    return jax.tree.map(functools.partial(jnp.where, wanted), new, old)
