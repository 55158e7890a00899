"""Steps of many environments at once: by one kernel, and fresh accounts in the place of finished ones."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

_BLOCK = 64  # accounts that are made at once
_LEAST = 32_768  # accounts that one kernel pays for: with fewer, the number of kernels counts and not their bytes


def restart(
    fresh_state: Callable[[jax.Array, Any], Any], key: jax.Array, done: jax.Array, after: Any, params: Any
) -> Any:
    """`after`, or `fresh_state(key, params)` where `done`.

    In one of a few hundred steps an episode ends. Under `vmap`, on a CPU, fresh accounts are therefore made for the
    finished ones only, a block at a time; the result is the same to the bit. It also keeps XLA from playing the whole
    bar anew for each field of the state, to know whether to replace it. Elsewhere, and where the parameters differ
    between the environments, all accounts are made and one is chosen.
    """

    def chosen(key: jax.Array, done: jax.Array, after: Any, params: Any) -> Any:
        return jax.tree.map(lambda new, old: jnp.where(done, new, old), fresh_state(key, params), after)

    one = jax.custom_batching.custom_vmap(chosen)

    @one.def_vmap
    def many(size: int, batched: Any, key: jax.Array, done: jax.Array, after: Any, params: Any) -> Any:
        def everywhere(key: jax.Array, done: jax.Array, after: Any, params: Any) -> Any:
            axes = jax.tree.map(lambda is_batched: 0 if is_batched else None, tuple(batched))
            return jax.vmap(chosen, axes, axis_size=size)(key, done, after, params)

        def finished(key: jax.Array, done: jax.Array, after: Any, params: Any) -> Any:
            after = jax.tree.map(lambda x, has: x if has else jnp.broadcast_to(x, (size, *x.shape)), after, batched[2])
            return _replace_finished(lambda keys: jax.vmap(fresh_state, (0, None))(keys, params), key, done, after)

        shared = batched[0] and batched[1] and not any(jax.tree.leaves(batched[3]))
        paths = {"cpu": finished, "default": everywhere} if shared else {"default": everywhere}
        state = jax.lax.platform_dependent(key, done, after, params, **paths)
        return state, jax.tree.map(lambda _: True, state)

    return one(key, done, after, params)


def of_many(alone: Callable[..., Any], together: Callable[..., Any]) -> Callable[..., Any]:
    """`alone(key, state, action, params)`, for which `together` stands under `vmap` on a GPU where accounts are many.

    `alone` returns a tuple with `info` at its end, and `together` the same for [N] accounts without it: what `info`
    holds is played once more where it is read.
    """
    one = jax.custom_batching.custom_vmap(alone)

    @one.def_vmap
    def many(size: int, batched: Any, *inputs: Any) -> Any:
        axes = jax.tree.map(lambda is_batched: 0 if is_batched else None, tuple(batched))
        every = jax.vmap(alone, axes, axis_size=size)

        def one_by_one(*inputs: Any) -> Any:
            return every(*inputs)[:-1]

        *found, info = every(*inputs)
        *accounts, params = (jax.tree.leaves(part) for part in batched)
        if size >= _LEAST and all(map(all, accounts)) and not any(params) and _is_known(inputs[0]):
            kernel = jax.custom_jvp(together)
            kernel.defjvp(functools.partial(jax.jvp, one_by_one))
            found = jax.lax.platform_dependent(*inputs, cuda=kernel, default=one_by_one)
        result = (*found, info)
        return result, jax.tree.map(lambda _: True, result)

    return one


def _is_known(keys: jax.Array) -> bool:
    """Whether they are of that generator, the only one whose keys are two words."""
    partitionable: bool = jax.config.jax_threefry_partitionable  # type: ignore[attr-defined]
    return partitionable and jax.random.key_data(keys).shape[-1] == 2


def _replace_finished(fresh: Callable[[jax.Array], Any], keys: jax.Array, done: jax.Array, states: Any) -> Any:
    """States [N, ...] of which those that are `done` [N] are replaced by `fresh(keys of some)`."""
    typed = jnp.issubdtype(keys.dtype, jax.dtypes.prng_key)
    # As their words: no key serves twice, but `debug_key_reuse` cannot know that the blocks take different ones.
    words = jax.random.key_data(keys) if typed else keys
    upto = jnp.cumsum(done, dtype=jnp.int32)  # how many are done so far, at each
    ranks = jnp.arange(1, min(_BLOCK, len(done)) + 1, dtype=jnp.int32)

    def block(carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
        before, states = carry
        rows = jnp.searchsorted(upto, before + ranks, method="scan_unrolled")  # N behind the last, and dropped
        mine = words.at[rows].get(mode="clip")
        new = fresh(jax.random.wrap_key_data(mine, impl=jax.random.key_impl(keys)) if typed else mine)
        return before + len(ranks), jax.tree.map(lambda old, x: old.at[rows].set(x, mode="drop"), states, new)

    return jax.lax.while_loop(lambda carry: carry[0] < upto[-1], block, (jnp.int32(0), states))[1]
