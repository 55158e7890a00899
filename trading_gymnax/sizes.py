"""Sizes as actions (docs/rules.md, section 4.4): which size an entry may have, and what an action enters with.

Written like `rules`, for one account. `entry_sizes` are whole multiples of the contracts of section 3.3, the smallest
first; the buys and sells of the second and later ones stand behind the ordinary actions, in pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax import rules


def names(entry_sizes: Sequence[int]) -> tuple[str, ...]:
    """Names of the actions that the second and later sizes add."""
    return tuple(f"{side}_{size}X" for size in entry_sizes[1:] for side in ("BUY", "SELL"))


def contracts_offered(
    now: Any, terms: Any, params: Any, entry_sizes: Sequence[int], limit: jax.Array | None
) -> jax.Array:
    """Contracts of an entry of each size decided at `now`, int32 [sizes]; 0 where the size is not offered.

    limit: most contracts that the account allows, int32; None: any. Whether the size of `params` is already cut to it
    makes no difference: its multiples are all cut to the same then.
    """
    wanted = rules.position_contracts(now, terms, params) * np.array(entry_sizes, np.int32)
    most = jnp.where(params.risk_per_trade > 0, params.max_contracts, jnp.int32(rules.OFF))
    most = most if limit is None else jnp.minimum(most, limit)
    cut = jnp.minimum(wanted, most)
    return jnp.where(cut > jnp.pad(cut[:-1], (1, 0)), cut, 0)


def mask_with_sizes(mask: jax.Array, offered: jax.Array) -> jax.Array:
    """The mask of the ordinary actions, bool [n], and behind it of the further sizes' buys and sells."""
    entries = mask[rules.BUY : rules.SELL + 1]
    return jnp.concatenate([mask, ((offered[1:, None] > 0) & entries[None]).reshape(-1)])


def ordinary_action(action: jax.Array, num_ordinary: int, offered: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The action as one of the first `num_ordinary`, and the contracts of its size, both int32 scalars."""
    further = action - num_ordinary
    size = jnp.where(further >= 0, 1 + further // 2, 0)
    contracts = jnp.sum(jnp.where(np.arange(offered.shape[0]) == size, offered, 0))  # fuses where a gather would not
    return jnp.where(further >= 0, rules.BUY + further % 2, action), contracts


def feature(state: Any, params: Any, entry_sizes: Sequence[int]) -> jax.Array:
    """Contracts held, of the most that an entry may have by its parameters; float32 [1], 0 when flat."""
    most = jnp.where(params.risk_per_trade > 0, params.max_contracts, params.position_size * entry_sizes[-1])
    return (state.contracts.astype(jnp.float32) / most.astype(jnp.float32))[None]
