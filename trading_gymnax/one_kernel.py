"""A step of many accounts as one GPU kernel, in Pallas (Triton).

The compiler plays the rules in kernels that write every field of the state to memory as an array of its own, and puts
the row of a packed state together from them in another. Here each account's row is read once and written in its place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from trading_gymnax import rules, starts
from trading_gymnax.market import BAR_COLUMNS, unpack_bar
from trading_gymnax.packed import PackedState, columns

_ACCOUNTS = 128  # of a program, one for each of its threads: what a thread writes twice is written in this order


class Tables(NamedTuple):
    """What a step looks up."""

    bars: jax.Array  # as of `MarketData`
    num_bars: jax.Array  # likewise
    plan: starts.SessionPlan
    terms: rules.Terms  # of all markets, [M] each


class Outcome(NamedTuple):
    """What a step gives beside the state; scalars."""

    change: jax.Array  # profit of the step, cents, int32
    done_reason: jax.Array  # int32
    terminated: jax.Array  # bool
    truncated: jax.Array  # bool


class Account(NamedTuple):
    """What an environment does with one account, by operations on numbers alone."""

    kind: type  # of its states
    play: Callable[..., tuple[Any, Outcome]]  # (state, legal action, seen, params) -> (state, outcome)
    fresh: Callable[..., Any]  # (params, start) -> state


def step(
    account: Account, rows: jax.Array, action: jax.Array, key: tuple[jax.Array, jax.Array], tables: Tables, params: Any
) -> tuple[jax.Array, Outcome]:
    """One bar of each account, and a fresh one where the episode ends: rows int32 [N, K], outcomes [N].

    Args:
        account: see there.
        rows: of the states; the new ones take their place.
        action: legal, int32 [N].
        key: the step's keys, as their two words [N].
        tables: see there.
        params: parameters, of which arrays are left out.
    """
    params = jax.tree.map(lambda x: x if jnp.ndim(x) == 0 else None, params)
    others = (action, key, tables, params)
    size, names = rows.shape[0], columns(account.kind)
    # Stored with the accounts innermost, so that neighbouring threads read neighbouring numbers.
    structure: Any
    leaves, structure = jax.tree.flatten((rows.swapaxes(0, 1), *others))

    def kernel(*refs: Any) -> None:
        row, action, key, tables, params = structure.unflatten(refs[: len(leaves)])
        new_row, *outcomes = refs[len(leaves) :]
        at = pl.program_id(0) * _ACCOUNTS + jnp.arange(_ACCOUNTS)
        inside = at < size

        def load(ref: Any) -> jax.Array:
            return triton.load(ref.at[at], mask=inside, other=0)

        def by_rank(market_id: jax.Array, rank: jax.Array) -> list[jax.Array]:
            return [tables.plan.by_rank[market_id, rank, column] for column in range(2)]

        before = [triton.load(row.at[k, at], mask=inside, other=0) for k in range(len(names))]
        params = jax.tree.map(lambda ref: ref[...], params)
        state = PackedState(_Columns(before), account.kind).unpack()
        after, outcome = account.play(state, load(action), _seen(state, tables), params)
        for k, (name, old) in enumerate(zip(names, before, strict=True)):
            new = _block(getattr(after, name)).astype(jnp.int32)
            # most fields stay as they are in most steps: memory that is not written takes no time
            triton.store(new_row.at[k, at], new, mask=inside & (new != old))
        for ref, value in zip(outcomes, outcome, strict=True):
            triton.store(ref.at[at], _block(value), mask=inside)
        done = inside & (outcome.terminated | outcome.truncated)

        @pl.when(done.astype(jnp.int32).max() > 0)
        def _() -> None:
            words = _six_words((load(key[0]), load(key[1])))
            start = starts.start_of(words, params, tables.plan, by_rank)
            fresh = account.fresh(params, start._replace(idle=start.idle[...]))
            for k, name in enumerate(names):
                triton.store(new_row.at[k, at], _block(getattr(fresh, name)).astype(jnp.int32), mask=done)

    new_rows, *outcome = _call(kernel, rows.shape[::-1])(*leaves)
    return new_rows.swapaxes(0, 1), Outcome(*outcome)


def _call(kernel: Callable[..., None], shape: tuple[int, ...]) -> Callable[..., list[jax.Array]]:
    """The kernel as a function of arrays, of which the first [K, N] gives its place to the first result."""
    size = shape[1]
    results = [(shape, jnp.int32), *(((size,), dtype) for dtype in (jnp.int32, jnp.int32, bool, bool))]
    options: dict[str, Any] = {"compiler_params": triton.CompilerParams(num_warps=_ACCOUNTS // 32, num_stages=1)}
    called: Callable[..., list[jax.Array]] = pl.pallas_call(
        kernel,
        grid=(pl.cdiv(size, _ACCOUNTS),),
        out_shape=[jax.ShapeDtypeStruct(*result) for result in results],
        input_output_aliases={0: 0},
        name="step",
        **({"interpret": True} if jax.default_backend() != "gpu" else options),
    )
    return called


class _Columns(list[jax.Array]):
    """Columns that are read like those of a row."""

    def __getitem__(self, at: Any) -> Any:
        return super().__getitem__(at[1])


def _block(value: Any) -> jax.Array:
    return jnp.broadcast_to(value, (_ACCOUNTS,))


def _seen(state: Any, tables: Any) -> rules.Seen:
    """As the environment looks it up; of tables or of references to them."""
    markets, length, _ = tables.bars.shape
    market = state.market_id if markets > 1 else 0
    bar = jnp.clip(state.step_idx, 0, length - 2)
    now, after = (unpack_bar([tables.bars[market, bar + i, column] for column in range(BAR_COLUMNS)]) for i in (0, 1))
    terms = jax.tree.map(lambda values: values[market], tables.terms)
    return rules.Seen(now, after, terms, tables.plan.next_start[market, after.session], tables.num_bars[market])


# -- the numbers of `jax.random`, which Pallas cannot draw in a kernel --


def _six_words(key: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, ...]:
    """What `starts.draw_start(starts.reset_key(key), ...)` draws, by JAX's partitionable Threefry."""
    own = _threefry(key, 1)
    return tuple(jnp.bitwise_xor(*_threefry(own, index)) for index in range(6))


def _threefry(key: tuple[jax.Array, jax.Array], index: int) -> tuple[jax.Array, jax.Array]:
    """The words of `jax.random.fold_in(key, index)`: Threefry 2x32 of (0, index), 20 rounds (Salmon et al., 2011)."""
    keys = (*key, key[0] ^ key[1] ^ jnp.uint32(0x1BD11BDA))
    x, y = keys[0], keys[1] + jnp.uint32(index)
    for turn in range(5):
        for rotation in ((13, 15, 26, 6), (17, 29, 16, 24))[turn % 2]:
            x = x + y
            y = x ^ ((y << jnp.uint32(rotation)) | (y >> jnp.uint32(32 - rotation)))
        x, y = x + keys[(turn + 1) % 3], y + keys[(turn + 2) % 3] + jnp.uint32(turn + 1)
    return x, y
