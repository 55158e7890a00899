"""From a file of bars to checked bars: reading, checking, sessions, features, contracts and their rolls.

Users import `load_bars`, `Bars`, `DataError`, `ContractSpec` and `CONTRACTS`; the modules are for the package itself.
"""

from trading_gymnax.data.contracts import CONTRACTS, ContractSpec
from trading_gymnax.data.loader import Bars, DataError, load_bars

__all__ = ["CONTRACTS", "Bars", "ContractSpec", "DataError", "load_bars"]
