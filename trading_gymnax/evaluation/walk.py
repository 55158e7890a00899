"""One policy through many sessions side by side: what each step did, and the trades as they close.

The program depends on what fixes the environment's rules and shapes, on the policy's structure, and on the number of
sessions, FEW or steps of BATCH; bars and network weights are its arguments. A session that has ended stands still
until the last one ends.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax import rules
from trading_gymnax.evaluation import codes
from trading_gymnax.keys import stream
from trading_gymnax.market import pair_of_bars
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.rules import ExitReason

CHUNK_STEPS = 64  # between two looks of the host, which keeps only what was played
FEW, BATCH = 32, 256  # sessions are padded to FEW or a multiple of BATCH: other lengths then need no other program


class Excursion(NamedTuple):
    """The open position so far, beyond what the state knows; scalars, ticks from the fill, int32."""

    worst: jax.Array  # lowest open profit, 0 or less
    best: jax.Array  # highest open profit, 0 or more
    slippage: jax.Array  # by which the entry filled worse


class Step(NamedTuple):
    """One step of one session; arrays [steps, sessions] as they come from the program, [N] when flattened.

    The fields of the trade are those of the position held in the bar; it is closed in this step where `exit_reason` is
    not NONE, and left open for good where `left_open`.
    """

    active: Any  # the session had not ended before, bool
    bar: Any  # outcome bar in its market's table, int32
    action: Any  # as chosen, int32
    legal: Any  # mask at the decision bar, bool [..., a]
    reward: Any  # float32
    equity: Any  # after the step, cents, int32
    balance: Any  # cents, int32
    floor: Any  # cents, int32; rules.FLOOR_OFF without one
    position: Any  # side after the step, int32
    ambiguous: Any  # stop and target inside the bar, bool
    done_reason: Any  # int32
    exit_reason: Any  # int32
    left_open: Any  # the episode was truncated with this position open, bool
    side: Any  # held in the bar, int32
    contracts: Any  # int32
    entry_bar: Any  # first bar of the position, int32
    entry_price: Any  # ticks, int32
    stop_price: Any  # in force in the bar, ticks, int32; 0 when flat
    target_price: Any  # likewise
    exit_price: Any  # ticks, int32; the close where left open
    pnl: Any  # net cents of the round trip; of the open position where left open, int32
    stop_ticks: Any  # initial stop distance, int32
    slippage_ticks: Any  # by which entry and exit together filled worse, int32
    worst_ticks: Any  # lowest open profit, ticks, int32
    best_ticks: Any  # highest open profit, ticks, int32


def walk(
    env: TradingPhase1, policy: Any, params: Any, market_id: np.ndarray, bar: np.ndarray, key: jax.Array
) -> tuple[Step, np.ndarray]:
    """Play fresh accounts that start at decision bars `bar` of markets `market_id` (int [B]) to their ends.

    Returns the steps that were played as NumPy arrays [N, ...], ordered by session and time, and the session (row of
    `bar`) of each, int [N].

    Raises ValueError for a policy that returns anything but one action number per session, and AssertionError for an
    exit or done reason of the rules that nobody knows how to book.
    """
    structure, kind, arrays = split_policy(policy)
    program, count, own_key = Rules(env), len(bar), stream(key, "walk")
    pad = (0, max(FEW - count, 0) if count <= FEW else -count % BATCH)
    starts = (jnp.asarray(np.pad(x, pad, mode="edge"), jnp.int32) for x in (market_id, bar))
    state, memory = _begin(program, kind, structure, arrays, params, *starts)
    size = count + pad[1]
    carry = (state, memory, _no_excursion(size), jnp.arange(size) >= count)
    chunks, sessions, chunk, running = [], [], 0, True
    while running:
        carry, steps = _play(program, kind, structure, arrays, params, carry, jax.random.fold_in(own_key, chunk))
        steps = jax.device_get(steps)
        _check_actions(steps, env)
        codes.check_known(steps.exit_reason[steps.active], rules.EXIT_REASONS, "the exit reason")
        codes.check_known(steps.done_reason[steps.active], rules.DONE_REASONS, "the done reason")
        chunks.append(Step(*(field[steps.active] for field in steps)))
        sessions.append(np.nonzero(steps.active)[1])
        running, chunk = not bool(carry[3].all()), chunk + 1
    session = np.concatenate(sessions)
    order = np.argsort(session, kind="stable")
    played = Step(*(np.concatenate(parts)[order] for parts in zip(*chunks, strict=True)))
    return played, session[order]


class Rules:
    """An environment without its market, equal to every other one that makes the same program."""

    def __init__(self, env: TradingPhase1) -> None:
        self.env = copy.copy(env)
        self.env.__dict__.pop("_default_params")  # a program in the cache must not keep the bars alive
        self._key = (type(env), tuple(sorted(vars(self.env).items())))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rules) and self._key == other._key


class Kind(NamedTuple):
    """How a policy is called; hashable."""

    memory: bool
    reads_state: bool


class Structure(NamedTuple):
    """A policy without its arrays; hashable."""

    kind: type  # tree structures of different classes with equal leaves compare equal
    treedef: Any
    rest: tuple[Any, ...]  # leaves that are no arrays, None in the places of arrays

    def with_arrays(self, arrays: list[jax.Array]) -> Any:
        filled = iter(arrays)
        leaves = [next(filled) if leaf is None else leaf for leaf in self.rest]
        return jax.tree.unflatten(self.treedef, leaves)


def split_policy(policy: Any) -> tuple[Structure, Kind, list[jax.Array]]:
    """Arrays apart from structure: weights travel as arguments and are not baked into the program."""
    leaves, treedef = jax.tree.flatten(policy)
    is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]
    arrays = [jnp.asarray(leaf) for leaf, yes in zip(leaves, is_array, strict=True) if yes]
    rest = tuple(None if yes else leaf for leaf, yes in zip(leaves, is_array, strict=True))
    initial_carry = getattr(policy, "initial_carry", None)
    remembers = initial_carry is not None and bool(jax.tree.leaves(jax.eval_shape(lambda: initial_carry(1))))
    return Structure(type(policy), treedef, rest), Kind(remembers, getattr(policy, "reads_state", False)), arrays


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _begin(
    program: Rules,
    kind: Kind,
    structure: Structure,
    arrays: list[jax.Array],
    params: Any,
    market_id: jax.Array,
    bar: jax.Array,
) -> tuple[Any, Any]:
    """Fresh accounts and the policy's memory before its first step."""
    state = jax.vmap(program.env._new_account, (None, 0, 0, None))(params, market_id, bar, jnp.int32(0))
    policy = structure.with_arrays(arrays)
    return state, policy.initial_carry(len(bar)) if kind.memory else ()


@functools.partial(jax.jit, static_argnums=(0, 1, 2), donate_argnums=5)
def _play(
    program: Rules,
    kind: Kind,
    structure: Structure,
    arrays: list[jax.Array],
    params: Any,
    carry: tuple[Any, ...],
    key: jax.Array,
) -> tuple[tuple[Any, ...], Step]:
    """CHUNK_STEPS steps of all sessions."""
    choose, env = chooser(structure.with_arrays(arrays), kind), program.env

    @jax.jit  # traced once for both branches
    def play(state: Any, action: jax.Array) -> Any:
        return jax.vmap(env.play, (0, 0, None))(state, action, params)

    def idle(state: Any, action: jax.Array) -> Any:
        nothing = jax.eval_shape(play, state, action)
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), nothing)

    # A branch of its own keeps the rules apart: XLA would fuse them into each of the row's many fields anew, which
    # takes four times as long to compile.
    def one_step(carry: tuple[Any, ...], key: jax.Array) -> tuple[tuple[Any, ...], Step]:
        state, memory, excursion, done = carry
        obs = jax.vmap(env.observe, (None, 0, None, None))(None, state, None, params)
        mask = jax.vmap(env.action_mask, (0, None))(state, params)
        action, memory = choose(key, obs, mask, memory, state)
        after, reward, fill = jax.lax.cond(done.all(), idle, play, state, action)
        record = jax.vmap(functools.partial(_record, env), (0, 0, 0, 0, 0, 0, None))
        excursion, step = record(state, action, after, reward, fill, excursion, params)
        ended = after.terminated | jax.vmap(env.is_truncated, (0, None))(after, params)
        frozen = jax.tree.map(functools.partial(jnp.where, done), state, after)
        return (frozen, memory, excursion, done | ended), step._replace(active=~done, legal=mask)

    return jax.lax.scan(one_step, carry, jax.random.split(key, CHUNK_STEPS))


def chooser(policy: Any, kind: Kind) -> Callable[..., tuple[jax.Array, Any]]:
    """(key, obs, mask, memory, state) -> (action, memory) for every way a policy may be called."""

    def choose(key: jax.Array, obs: jax.Array, mask: jax.Array, memory: Any, state: Any) -> tuple[jax.Array, Any]:
        if kind.memory:
            action, memory = policy(key, obs, mask, memory, *((state,) if kind.reads_state else ()))
        elif kind.reads_state:
            action = policy(key, obs, mask, state)
        else:
            action = _stateless(policy, key, obs, mask)
        _check_shape(action, mask.shape[0])
        return action.astype(jnp.int32), memory

    return choose


def _stateless(policy: Any, key: jax.Array, obs: jax.Array, mask: jax.Array) -> jax.Array:
    """A policy for batches is called once; one for a single observation is vmapped, a key for each session."""
    batch = mask.shape[:1]
    try:
        of_batch = jax.eval_shape(policy, key, obs, mask)
    except (TypeError, ValueError, IndexError):  # a function of one observation may refuse the batch axis
        of_batch = None
    if getattr(of_batch, "shape", None) == batch:
        return policy(key, obs, mask)
    return jax.vmap(policy)(jax.random.split(key, batch[0]), obs, mask)


def _check_shape(action: Any, batch: int) -> None:
    shape, dtype = getattr(action, "shape", None), getattr(action, "dtype", None)
    if shape != (batch,) or dtype is None or not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(
            f"the policy must return one action number per observation, int [{batch}] for obs [{batch}, n]; "
            f"it returned {type(action).__name__} of shape {shape} and dtype {dtype}"
        )


def _check_actions(steps: Step, env: TradingPhase1) -> None:
    wrong = steps.active & ((steps.action < 0) | (steps.action >= env.num_actions))
    if wrong.any():
        names = ", ".join(f"{i} {name}" for i, name in enumerate(env.action_names))
        raise ValueError(f"the policy returned action {steps.action[wrong][0]}; there are {names}")


def _no_excursion(batch: int) -> Excursion:
    return Excursion(*(jnp.zeros(batch, jnp.int32) for _ in Excursion._fields))


def _record(
    env: TradingPhase1,
    state: Any,
    action: jax.Array,
    after: Any,
    reward: jax.Array,
    fill: rules.Fill,
    excursion: Excursion,
    params: Any,
) -> tuple[Excursion, Step]:
    """One bar of one account: the position's excursion, and the row for the host."""
    now, bar = pair_of_bars(params.market, state.market_id, state.step_idx)
    fresh = Excursion(jnp.int32(0), jnp.int32(0), rules.slippage(now, params))
    excursion = jax.tree.map(functools.partial(jnp.where, fill.entered), fresh, excursion)
    excursion = _widen(excursion, fill, bar)
    left_open = env.is_truncated(after, params) & ~after.terminated & (after.position != 0)
    step = Step(
        active=jnp.bool_(True),
        bar=state.step_idx + 1,
        action=action,
        legal=jnp.bool_(True),
        reward=reward,
        equity=after.equity,
        balance=after.balance,
        floor=after.floor,
        position=after.position,
        ambiguous=fill.ambiguous,
        done_reason=fill.done_reason,
        exit_reason=fill.exit_reason,
        left_open=left_open,
        side=fill.side,
        contracts=fill.contracts,
        entry_bar=jnp.where(fill.entered, state.step_idx + 1, state.position_entry_step),
        entry_price=fill.entry_price,
        stop_price=fill.stop_price,
        target_price=fill.target_price,
        exit_price=jnp.where(left_open, bar.close, fill.exit_price),
        pnl=jnp.where(left_open, after.equity - after.entry_balance, fill.trade_pnl),
        stop_ticks=jnp.where(fill.entered, rules.stop_distance(now, params), state.initial_stop_ticks),
        slippage_ticks=excursion.slippage + _exit_slippage(fill, now, params),
        worst_ticks=excursion.worst,
        best_ticks=excursion.best,
    )
    return excursion, step


def _widen(excursion: Excursion, fill: rules.Fill, bar: Any) -> Excursion:
    """The position's lowest and highest open profit with this bar.

    A bar that it lived through to the close counts with both extremes. Of a bar in which a level or the target took it
    out only the open and the exit count: the bar does not tell which extreme came before the exit.
    """
    entry_up = fill.side * fill.entry_price
    open_up, exit_up = fill.side * bar.open - entry_up, fill.side * fill.exit_price - entry_up
    low_up = jnp.where(fill.side > 0, bar.low, -bar.high) - entry_up
    high_up = jnp.where(fill.side > 0, bar.high, -bar.low) - entry_up
    exited, reason = fill.exit_reason != ExitReason.NONE, fill.exit_reason
    whole_bar = ~exited | codes.among(reason, codes.exits(codes.AT_CLOSE))
    # A gap beyond the target fills at the target, so its open was never to be had.
    at_target = codes.among(reason, codes.exits(codes.AT_TARGET))
    open_up = jnp.where(at_target, jnp.minimum(open_up, exit_up), open_up)
    low, high = jnp.where(whole_bar, low_up, open_up), jnp.where(whole_bar, high_up, open_up)
    low = jnp.where(exited, jnp.minimum(low, exit_up), low)
    high = jnp.where(exited, jnp.maximum(high, exit_up), high)
    return excursion._replace(worst=jnp.minimum(excursion.worst, low), best=jnp.maximum(excursion.best, high))


def _exit_slippage(fill: rules.Fill, now: Any, params: Any) -> jax.Array:
    """Ticks by which the exit filled worse than its level or close; 0 at a target and without an exit."""
    at_level, at_close = (codes.among(fill.exit_reason, codes.exits(x)) for x in (codes.AT_LEVEL, codes.AT_CLOSE))
    slip = jnp.where(at_close, rules.slippage(now, params), rules.stop_slippage(now, params))
    return jnp.where(at_level | at_close, slip, 0)
