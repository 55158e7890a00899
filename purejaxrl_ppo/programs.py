"""Compiled programs: how a GPU's are compiled, and how long they are kept.

An environment holds its market, so a cache that held environments would keep every market of a process in memory:
programs are kept as long as the environment that they are for, and no longer.
"""

import functools
import weakref
from collections.abc import Callable
from typing import Any

import jax

_WITHOUT_COMPARISONS = {"xla_gpu_experimental_enable_fusion_autotuner": False}
_MOST = 8  # programs of one environment that are kept: the last ones asked for


def kept_with_environment(build: Callable[..., Any]) -> Callable[..., Any]:
    """Cache of `build(env_of, *rest)` as a function of (env, *rest), which drops what it holds when `env` goes.

    Args:
        build: takes a function that gives the environment, to be called while programs are traced and never before,
            so that they do not hold it; and hashable arguments. For environments that are equal it is called once.
    """
    kept: weakref.WeakKeyDictionary[Any, dict[Any, Any]] = weakref.WeakKeyDictionary()

    @functools.wraps(build)
    def find(env: Any, *rest: Any) -> Any:
        mine = kept.setdefault(env, {})
        found = mine.pop(rest, None) or build(weakref.ref(env), *rest)
        mine[rest] = found  # at the end: the last one asked for
        while len(mine) > _MOST:
            del mine[next(iter(mine))]
        return found

    return find


def compiler_options() -> dict[str, Any] | None:
    """For `jax.jit` of a training's programs: on a GPU without comparing several ways to compute each fusion.

    That takes more than half of XLA's time, and what it finds makes nothing faster here (`benchmarks/NOTES.md`). None
    elsewhere, and for an XLA that does not know the option, which is an experimental one.
    """
    if jax.default_backend() != "gpu":
        return None
    try:
        jax.jit(lambda x: x, compiler_options=_WITHOUT_COMPARISONS).lower(0.0).compile()
    except jax.errors.JaxRuntimeError:
        return None
    return _WITHOUT_COMPARISONS
