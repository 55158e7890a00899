"""Futures day-trading markets as gymnax environments.

Importing this package registers `TradingPhase1-v0` and `TradingPhase2-v0` with gymnax. Nothing else happens: the names
below, JAX and gymnax are imported where they are used first.

Users import these names, those that the folders' `__init__` show, and of the modules beside this one `curriculum`,
`interop`, `params`, `reference`, `render`, `rewards` and `synthetic`; the other modules are for the package itself.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from trading_gymnax.registration import register_with_gymnax

if TYPE_CHECKING:
    from trading_gymnax.data.contracts import CONTRACTS, ContractSpec
    from trading_gymnax.evaluation.evaluate import Evaluation, evaluate_policy
    from trading_gymnax.market import MarketData, load_market_data
    from trading_gymnax.params import EnvParams, EnvParamsPhase2
    from trading_gymnax.phase1 import EnvState, TradingPhase1
    from trading_gymnax.phase2 import EnvStatePhase2, TradingPhase2
    from trading_gymnax.survival import survival

__all__ = [
    "CONTRACTS",
    "ContractSpec",
    "EnvParams",
    "EnvParamsPhase2",
    "EnvState",
    "EnvStatePhase2",
    "Evaluation",
    "MarketData",
    "TradingPhase1",
    "TradingPhase2",
    "evaluate_policy",
    "load_market_data",
    "survival",
]

_HOMES = {
    "CONTRACTS": "data.contracts",
    "ContractSpec": "data.contracts",
    "EnvParams": "params",
    "EnvParamsPhase2": "params",
    "EnvState": "phase1",
    "EnvStatePhase2": "phase2",
    "Evaluation": "evaluation.evaluate",
    "MarketData": "market",
    "TradingPhase1": "phase1",
    "TradingPhase2": "phase2",
    "evaluate_policy": "evaluation.evaluate",
    "load_market_data": "market",
    "survival": "survival.odds",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Face(ModuleType):
    """`survival` is the function, though a folder of that name is imported as well and would take its place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name == "survival" and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
register_with_gymnax()
