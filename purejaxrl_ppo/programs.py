"""Compiled programs, kept as long as the environment that they are for, and no longer.

An environment holds its market, so a cache that held environments would keep every market of a process in memory.
"""

import functools
import weakref
from collections.abc import Callable
from typing import Any

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
