"""Whole lives of accounts played in the environment, for a policy that sees the account it trades.

Its decisions depend on the account, so no recording of its sessions serves another one. Lives are played bar by bar, in
the same orders of sessions as a replay: at the end of a day the account goes to the first decision bar of the order's
next session. A batch of lanes works through a list of lives, those of all accounts behind one another, each lane under
the parameters of its life's account: a life that ends makes room for the next, so that none waits for a longer one.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax import life, rules
from trading_gymnax.evaluation import codes
from trading_gymnax.evaluation.evaluate import session_starts, switched
from trading_gymnax.evaluation.walk import Kind, Rules, Structure, chooser, split_policy
from trading_gymnax.keys import stream
from trading_gymnax.market import SESSION_AND_BREAK
from trading_gymnax.params import PreparedParams, numbers_of
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.rules import DoneReason
from trading_gymnax.survival.lives import LifeOutcome, LifeRules

LANES = 256  # lives side by side
_CHUNK_STEPS = 256  # between two looks of the host
_NO_LIMIT = 2**30  # steps; longer than any life
_OF_REPLAY = ("contracts", "max_contracts")  # what the rules of a replay have beside the parameters


class Played(NamedTuple):
    """What became of the lives, and how often their policy entered."""

    lives: LifeOutcome  # int32 [A, P]
    entries: int
    entry_rate: float  # entries / steps at which one was legal; 0 without such steps


class _Programs(NamedTuple):
    """Who plays by the rules of a life, and who says what the policy sees; hashable."""

    playing: Rules
    seeing: Rules


class _Lanes(NamedTuple):
    """Lives side by side, [L]."""

    state: Any  # of the environment with `account_life=True`
    memory: Any  # the policy's, () without one
    life: Any  # which of the list; its length where none is left, int32
    pass_day: Any  # session of the pass, 0 before it, int32
    payout_day: Any  # likewise of the first payout


class _List(NamedTuple):
    """All lives, N = A * P of them, account after account."""

    accounts: dict[str, Any]  # rules of A accounts by the names of the parameters, [A, ...]
    orders: Any  # sessions of each path, int32 [P, D]
    starts: Any  # market and first decision bar of each session, int32 [S, 2]


class _Book(NamedTuple):
    """What is known of the lives so far."""

    lives: LifeOutcome  # [N]
    next: Any  # the first one that no lane has begun, int32


def play_lives(
    policy: Any,
    env: TradingPhase1,
    params: Any,
    accounts: LifeRules,
    orders: jax.Array,
    key: jax.Array,
    *,
    sampled: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> Played:
    """Live through orders of sessions on each account, each until its account ends or the order does.

    A position that is open when its market's data ends is closed as at the end of a day.

    Args:
        policy, env, params, sampled: as in `evaluate_policy`. A policy with a memory keeps it over the nights of a
            life. One of an environment without a life sees the rules of the phase that its account is in.
        accounts: rules of A accounts, each field [A] or [A, n], with the size of an entry.
        orders: sessions to play, int32 [P, D], by their place in `session_starts`.
        key: typed key for a policy that draws.
        progress: called with lives done, lives in all, and what is done.

    Raises ValueError as `evaluate_policy` does.
    """
    structure, kind, arrays = split_policy(switched(policy, sampled))
    living = _with_life(env)
    prepared = _prepared(living, _of_life(living, params))
    market_id, bar = session_starts(env, params)
    todo = _List(_fields(accounts), orders, jnp.asarray(np.stack([market_id, bar], axis=1), jnp.int32))
    programs = _Programs(Rules(living), Rules(env))
    number = len(accounts.initial_balance) * len(orders)
    carry = _begin(programs, kind, structure, arrays, prepared, todo)
    own_key, chunk, entries, legal, running = stream(key, "lives"), 0, 0, 0, True
    while running:
        at = jax.random.fold_in(own_key, chunk)
        carry, counted = _play(programs, kind, structure, arrays, prepared, todo, carry, at)
        wrong, entered, could, left = (int(x) for x in counted)
        if wrong:
            raise ValueError(f"the policy returned an action that is none of the {env.num_actions} that there are")
        entries, legal, chunk, running = entries + entered, legal + could, chunk + 1, left > 0
        if progress:
            progress(number - left, number, "lives of accounts")
    found = jax.device_get(carry[1].lives)
    lives = LifeOutcome(*(x.reshape(-1, len(orders)) for x in found))
    return Played(lives, entries, entries / max(legal, 1))


# -- what is played --


def _with_life(env: TradingPhase1) -> TradingPhase1:
    """The environment with `account_life=True`."""
    living = copy.copy(env)
    living.account_life = True
    living.Params, living.State = living.LifeParams, living.LifeState
    return living


def _of_life(living: TradingPhase1, params: Any) -> Any:
    """Parameters of a life with these rules of the market, in which nothing but the account ends an episode."""
    fields = {field.name: getattr(params, field.name) for field in numbers_of(type(params))}
    fields |= {"max_steps_in_episode": _NO_LIMIT, "terminate_at_session_end": False, "forced_entry_fraction": 0.0}
    return living.Params.create(_closed(params.market), **fields)


def _closed(market: Any) -> Any:
    """The market whose last bars end their sessions, so that no position stays open beyond them."""
    last = (np.arange(market.num_markets), np.asarray(market.num_bars) - 1, SESSION_AND_BREAK)
    bars = jnp.asarray(market.bars)
    return dataclasses.replace(market, bars=bars.at[last].set(bars[last] | 1))


def _prepared(living: TradingPhase1, params: Any) -> PreparedParams:
    """The parameters for a loop of steps; each session is followed by another one, which the order then names."""
    prepared = living.prepared(params)
    plan = prepared.plan._replace(next_start=jnp.maximum(prepared.plan.next_start, 0))
    return dataclasses.replace(prepared, plan=plan)


def _fields(accounts: LifeRules) -> dict[str, Any]:
    """The accounts' rules by the names of the parameters, and their size where it is not chosen by risk."""
    names = [field.name for field in dataclasses.fields(accounts)]
    fields = {name: getattr(accounts, name) for name in names if name not in (*_OF_REPLAY, "max_steps_in_episode")}
    sized = bool(np.asarray(accounts.contracts).any())
    return fields | ({"position_size": accounts.contracts} if sized else {})


# -- the program --


def _of_lanes(prepared: PreparedParams, todo: _List, lives: jax.Array) -> tuple[Any, Any]:
    """Each lane's parameters, those of its life's account, and their `in_axes`."""
    last = len(todo.accounts["initial_balance"]) - 1
    account = jnp.minimum(lives // len(todo.orders), last)
    own: dict[str, Any] = {name: jnp.asarray(values)[account] for name, values in todo.accounts.items()}
    shared: Any = jax.tree.map(lambda _: None, prepared)
    mine = dataclasses.replace(prepared, params=dataclasses.replace(prepared.params, **own))
    return mine, dataclasses.replace(shared, params=dataclasses.replace(shared.params, **dict.fromkeys(own, 0)))


def _fresh(env: TradingPhase1, prepared: PreparedParams, todo: _List, lives: jax.Array) -> Any:
    """The accounts of lives at their beginnings."""
    params, axes = _of_lanes(prepared, todo, lives)
    place = todo.starts[todo.orders[lives % len(todo.orders), 0]]
    return jax.vmap(env._new_account, (axes, 0, 0, None))(params, place[:, 0], place[:, 1], jnp.int32(0))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _begin(
    programs: _Programs,
    kind: Kind,
    structure: Structure,
    arrays: list[jax.Array],
    prepared: PreparedParams,
    todo: _List,
) -> tuple[_Lanes, _Book]:
    """The first lives of the list, and an empty book."""
    number = len(todo.accounts["initial_balance"]) * len(todo.orders)
    lives, zeros = jnp.arange(LANES, dtype=jnp.int32), jnp.zeros(LANES, jnp.int32)
    memory = structure.with_arrays(arrays).initial_carry(LANES) if kind.memory else ()
    state = _fresh(programs.playing.env, prepared, todo, lives)
    blank = dict.fromkeys(LifeOutcome._fields, jnp.zeros(number, jnp.int32))
    blank["out_of_data"] = jnp.zeros(number, jnp.bool_)
    return _Lanes(state, memory, lives, zeros, zeros), _Book(LifeOutcome(**blank), jnp.int32(LANES))


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=6)
def _play(
    programs: _Programs,
    kind: Kind,
    structure: Structure,
    arrays: list[jax.Array],
    prepared: PreparedParams,
    todo: _List,
    carry: tuple[_Lanes, _Book],
    key: jax.Array,
) -> tuple[tuple[_Lanes, _Book], tuple[jax.Array, ...]]:
    """Some steps of all lanes; beside them how many actions were none, entries, steps with a legal one, lives left."""
    policy, env = structure.with_arrays(arrays), programs.playing.env
    choose, memory = chooser(policy, kind), policy.initial_carry(LANES) if kind.memory else ()
    number = len(carry[1].lives.ended)

    def one_step(carry: tuple[_Lanes, _Book], key: jax.Array) -> tuple[tuple[_Lanes, _Book], tuple[jax.Array, ...]]:
        lanes, book = carry
        params, axes = _of_lanes(prepared, todo, lanes.life)
        obs = jax.vmap(functools.partial(_observation, programs), (0, axes))(lanes.state, params)
        mask = jax.vmap(env.action_mask, (0, axes))(lanes.state, params)
        action, remembered = choose(key, obs, mask, lanes.memory, lanes.state)
        after, _, fill = jax.vmap(env.play, (0, 0, axes))(lanes.state, action, params)
        going = lanes.life < number
        wrong = going & ((action < 0) | (action >= env.num_actions))
        legal = going & (mask[:, rules.BUY] | mask[:, rules.SELL])
        lanes, book = _next(todo, lanes._replace(memory=remembered), after, fill.done_reason, book, begin)
        return (lanes, book), tuple(x.sum(dtype=jnp.int32) for x in (wrong, going & fill.entered, legal))

    def begin(over: jax.Array, lanes: _Lanes) -> _Lanes:
        """The lanes of which some begin another life."""
        new = _Lanes(_fresh(env, prepared, todo, lanes.life), memory, lanes.life, *(jnp.zeros_like(lanes.life),) * 2)
        return jax.tree.map(lambda x, y: jnp.where(over.reshape(-1, *[1] * (x.ndim - 1)), x, y), new, lanes)

    (lanes, book), counted = jax.lax.scan(one_step, carry, jax.random.split(key, _CHUNK_STEPS))
    left = number - jnp.minimum(book.next, number) + (lanes.life < number).sum(dtype=jnp.int32)
    return (lanes, book), (*(x.sum() for x in counted), left)


def _observation(programs: _Programs, state: Any, params: Any) -> jax.Array:
    """What the policy sees of the account; one that knows no life sees the rules of the account's phase."""
    env = programs.seeing.env
    return env.observe(None, state, None, params if env.account_life else life.in_force(state, params))


def _next(
    todo: _List,
    lanes: _Lanes,
    after: Any,
    reason: jax.Array,
    book: _Book,
    begin: Callable[[jax.Array, _Lanes], _Lanes],
) -> tuple[_Lanes, _Book]:
    """From one step to the next: days are noted, nights end where the order says, ended lives are booked."""
    before, number, (paths, horizon) = lanes.state, len(book.lives.ended), todo.orders.shape
    today, now = before.session_number, after.session_number
    passed = ~before.funded & (after.funded | codes.among(reason, codes.done(codes.PASSED)))
    paid = (after.payouts > 0) & (before.payouts == 0)
    slept = now > today
    place = todo.starts[todo.orders[lanes.life % paths, jnp.minimum(now, horizon) - 1]]
    market_id, bar = (jnp.where(slept, place[:, at], x) for at, x in enumerate((after.market_id, after.step_idx)))
    lanes = lanes._replace(
        state=after.replace(market_id=market_id, step_idx=bar),
        pass_day=jnp.where(passed, today, lanes.pass_day),
        payout_day=jnp.where(paid, today, lanes.payout_day),
    )
    over = (lanes.life < number) & (after.terminated | (slept & (now > horizon)))
    ended = jnp.where(after.terminated, reason, DoneReason.NONE).astype(jnp.int32)
    found = LifeOutcome(
        *(ended, today, lanes.pass_day, lanes.payout_day, after.payouts, after.paid_out, after.fees),
        out_of_data=jnp.zeros_like(over),
    )

    def end(lanes: _Lanes, book: _Book) -> tuple[_Lanes, _Book]:
        at = jnp.where(over, lanes.life, number)
        booked = jax.tree.map(lambda all_, new: all_.at[at].set(new, mode="drop"), book.lives, found)
        new = jnp.minimum(book.next + jnp.cumsum(over, dtype=jnp.int32) - 1, number)
        lanes = begin(over, lanes._replace(life=jnp.where(over, new, lanes.life)))
        return lanes, _Book(booked, book.next + over.sum(dtype=jnp.int32))

    return jax.lax.cond(over.any(), end, lambda *same: same, lanes, book)
