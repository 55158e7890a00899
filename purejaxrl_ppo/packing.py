"""Many small arrays as one: a loop on an accelerator stores one array a step for the price of one kernel."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_MOST = 64  # numbers a row of an array that is packed; wider ones are stored by themselves


def packing(shapes: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """(pack, unpack) for trees of arrays [B, ...] of these shapes.

    `pack` gives int32 words [k, B], one row for every number of a row of the narrow arrays of bool, int32, uint32 and
    float32, and the list of all others. `unpack` makes trees [..., B, ...] of both with any leading axes [..., k, B].
    """
    leaves, structure = jax.tree.flatten(shapes)
    narrow = [_fits(leaf) for leaf in leaves]

    def pack(tree: Any) -> tuple[jax.Array, list[jax.Array]]:
        found = jax.tree.leaves(tree)
        rows = [_words(x) for x, fits in zip(found, narrow, strict=True) if fits]
        words = jnp.stack([row for block in rows for row in block]) if rows else jnp.zeros((0, 0), jnp.int32)
        return words, [x for x, fits in zip(found, narrow, strict=True) if not fits]

    def unpack(packed: tuple[jax.Array, list[jax.Array]]) -> Any:
        words, others = packed
        found, wide, at = [], iter(others), 0
        for leaf, fits in zip(leaves, narrow, strict=True):
            if not fits:
                found.append(next(wide))
                continue
            count = math.prod(leaf.shape[1:])
            found.append(_values(words[..., at : at + count, :], leaf))
            at += count
        return jax.tree.unflatten(structure, found)

    return pack, unpack


def _fits(leaf: Any) -> bool:
    kinds = (jnp.bool_, jnp.int32, jnp.uint32, jnp.float32)
    return leaf.dtype in [np.dtype(kind) for kind in kinds] and math.prod(leaf.shape[1:]) <= _MOST


def _words(x: jax.Array) -> list[jax.Array]:
    """The rows [B] of `x` [B, ...] as int32, number by number."""
    x = x.astype(jnp.int32) if x.dtype == jnp.bool_ else jax.lax.bitcast_convert_type(x, jnp.int32)
    flat = x.reshape(x.shape[0], -1)
    return [flat[:, i] for i in range(flat.shape[1])]


def _values(words: jax.Array, leaf: Any) -> jax.Array:
    """Inverse of `_words`: words [..., n, B] -> [..., B, ...]."""
    x = words != 0 if leaf.dtype == jnp.bool_ else jax.lax.bitcast_convert_type(words, leaf.dtype)
    x = x[..., 0, :] if len(leaf.shape) == 1 else jnp.moveaxis(x, -2, -1)
    return x.reshape(*words.shape[:-2], *leaf.shape)
