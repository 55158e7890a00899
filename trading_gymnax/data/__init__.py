"""From a file of bars to checked bars: reading, checking, sessions, features, contracts and their rolls.

Users import `load_bars`, `Bars`, `DataError`, `ContractSpec` and `CONTRACTS`, and from `audit` what proves features of
their own; the other modules are for the package itself.
The loader, and pandas with it, is imported where it is used first: the table of contracts has no need of either.
"""

import importlib
from typing import TYPE_CHECKING, Any

from trading_gymnax.data.contracts import CONTRACTS, ContractSpec

if TYPE_CHECKING:
    from trading_gymnax.data.loader import Bars, DataError, load_bars

__all__ = ["CONTRACTS", "Bars", "ContractSpec", "DataError", "load_bars"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(importlib.import_module("trading_gymnax.data.loader"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
