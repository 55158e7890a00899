"""What `reset` and `step` are given, looked at while a program is traced: one sentence for a misfit, at no cost."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.packed import PackedState
from trading_gymnax.params import EnvParams, PreparedParams


def check_reset(key: Any, params: Any) -> None:
    """Refuse arguments of `reset(key, params)` that stand in each other's place, or belong to several environments."""
    if not _is_key(key) or not isinstance(params, EnvParams | PreparedParams):
        raise ValueError(f"reset takes (key, params), got ({_named(key)}, {_named(params)}); {_SEVERAL}")


def check_step(key: Any, state: Any, action: Any, params: Any, kind: Any) -> None:
    """Refuse arguments of `step(key, state, action, params)`; `kind` is the environment's class of states."""
    fit = _is_key(key) and isinstance(params, EnvParams | PreparedParams)
    if not fit or not isinstance(state, kind | PackedState) or isinstance(action, PackedState | EnvParams | kind):
        given = ", ".join(_named(x) for x in (key, state, action, params))
        raise ValueError(f"step takes (key, state, action, params), got ({given}); {_SEVERAL}")
    own = state.kind if isinstance(state, PackedState) else type(state)
    if own is not kind:
        raise ValueError(f"step got the {own.__name__} of another environment; this one's states are {kind.__name__}")
    shape = jnp.shape(getattr(state, "time"))  # noqa: B009  (of either kind of state)
    if shape:
        raise ValueError(f"step got the states of {shape} environments; {_SEVERAL}")
    if jnp.shape(action) or not jnp.issubdtype(jnp.result_type(action), jnp.integer):
        raise ValueError(f"an action is one whole number, int32 (), got {_named(action)}; {_SEVERAL}")


def one_reward(value: Any) -> jax.Array:
    """What a `reward_fn` returned, float32 (); refuses what is not one number, and a NaN that is known already."""
    known = None if isinstance(value, jax.Array) else np.asarray(value)  # a number that needs no computing
    like = value if known is None else known
    if like.shape or not any(jnp.issubdtype(like.dtype, kind) for kind in (jnp.floating, jnp.integer, jnp.bool_)):
        raise ValueError(f"reward_fn must return one number, float32 (), got {_named(value)}")
    if known is not None and np.isnan(known.astype(np.float64)):
        raise ValueError("reward_fn returned NaN")
    return jnp.asarray(value, jnp.float32)


_SEVERAL = "several environments are stepped by jax.vmap(env.step, (0, 0, 0, None)), and reset by (0, None)"


def _is_key(key: Any) -> bool:
    """One typed key, or one of the old kind: 2 or 4 words of uint32."""
    dtype = getattr(key, "dtype", None)
    if dtype is None:
        return False
    typed = jnp.issubdtype(dtype, jax.dtypes.prng_key)
    return key.shape == () if typed else dtype == jnp.uint32 and key.shape in ((2,), (4,))


def _named(value: Any) -> str:
    """An argument as a reader would call it: int32 [4], EnvParams, None."""
    if isinstance(value, PackedState):
        return value.kind.__name__
    if not hasattr(value, "dtype") or not hasattr(value, "shape"):
        return "None" if value is None else type(value).__name__
    kind = "a key" if jnp.issubdtype(value.dtype, jax.dtypes.prng_key) else str(value.dtype)
    return f"{kind} {list(value.shape) or ''}".strip()
