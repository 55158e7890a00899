"""The environments' ids in gymnax, at the moment in which gymnax is imported and not before.

To import gymnax takes JAX and some seconds, which a command that reads a file of bars has no need of.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

_GYMNAX = "gymnax"


def phase1(**options: Any) -> Any:
    """`TradingPhase1(**options)`."""
    from trading_gymnax.phase1 import TradingPhase1

    return TradingPhase1(**options)


def phase2(**options: Any) -> Any:
    """`TradingPhase2(**options)`."""
    from trading_gymnax.phase2 import TradingPhase2

    return TradingPhase2(**options)


FACTORIES = {"TradingPhase1-v0": phase1, "TradingPhase2-v0": phase2}


def register_with_gymnax() -> None:
    """Register the ids: now where gymnax is imported already, and else when somebody imports it."""
    if _GYMNAX in sys.modules:
        _register(sys.modules[_GYMNAX])
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())


def _register(gymnax: ModuleType) -> None:
    for name, factory in FACTORIES.items():
        if name not in gymnax.registered_envs:
            gymnax.register(name, factory)


class _WhenImported:
    """Finds nothing itself: lets the others find gymnax, and registers as soon as it has been executed."""

    def __init__(self) -> None:
        self._asking = False

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != _GYMNAX or self._asking:
            return None
        self._asking = True
        try:
            spec = importlib.util.find_spec(_GYMNAX)
        finally:
            self._asking = False
        loader = None if spec is None else spec.loader
        if loader is None:
            return spec
        execute = loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            _register(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)

        loader.exec_module = execute_and_register  # type: ignore[method-assign]
        return spec
