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
    block = min(block, wanted.shape[0])
    upto = jnp.cumsum(wanted, dtype=jnp.int32)  # rows wanted so far, at each row
    ranks = jnp.arange(1, block + 1, dtype=jnp.int32)

    def body(carry: tuple[jax.Array, Any]) -> tuple[jax.Array, Any]:
        before, value = carry
        rows = jnp.searchsorted(upto, before + ranks, method="scan_unrolled").astype(jnp.int32)
        return before + block, step(value, rows)

    return jax.lax.while_loop(lambda carry: carry[0] < upto[-1], body, (jnp.int32(0), start))[1]
