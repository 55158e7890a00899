"""Work on the few rows of an array that need it, whose number no shape can tell: gathered a block at a time."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def over_wanted(wanted: jax.Array, block: int, step: Callable[[Any, jax.Array], Any], start: Any) -> Any:
    """`step(carry, rows)` over the rows where `wanted`, `block` of them at a time; nothing runs where there is none.

    Args:
        wanted: bool [N].
        block: rows of one call; the last one is filled up with the row number N, which is out of range.
        step: takes the carry and row numbers int32 [block], in rising order, and gives the next carry.
        start: the first carry.
    """
    size = wanted.shape[0]
    block = min(block, size)
    count = wanted.sum(dtype=jnp.int32)
    # padded so that the last block lies inside
    rows = jnp.nonzero(wanted, size=size + block, fill_value=size)[0].astype(jnp.int32)

    def body(carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
        at, value = carry
        return at + block, step(value, jax.lax.dynamic_slice_in_dim(rows, at, block))

    return jax.lax.while_loop(lambda carry: carry[0] < count, body, (jnp.int32(0), start))[1]
