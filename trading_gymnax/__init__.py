"""Futures day-trading markets as gymnax environments.

Importing this package registers `TradingPhase1-v0` and `TradingPhase2-v0` with gymnax.
"""

import gymnax

from trading_gymnax.data.contracts import CONTRACTS, ContractSpec
from trading_gymnax.evaluation.evaluate import Evaluation, evaluate_policy
from trading_gymnax.market import MarketData, load_market_data
from trading_gymnax.params import EnvParams, EnvParamsPhase2
from trading_gymnax.phase1 import EnvState, TradingPhase1
from trading_gymnax.phase2 import EnvStatePhase2, TradingPhase2
from trading_gymnax.survival import survival  # the function: it hides the folder's name, not its modules

for _id, _environment in {"TradingPhase1-v0": TradingPhase1, "TradingPhase2-v0": TradingPhase2}.items():
    if _id not in gymnax.registered_envs:
        gymnax.register(_id, _environment)

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
