"""Would the policy pass an evaluation account, and what would it be paid? Sessions in many orders, beside a coin's.

Users import `survival`, `lifetime_value` and what they give; the modules are for the package itself.
"""

from trading_gymnax.survival.odds import survival
from trading_gymnax.survival.refused import SurvivalRefused
from trading_gymnax.survival.result import Survival
from trading_gymnax.survival.value import lifetime_value
from trading_gymnax.survival.value_result import AccountValues, Bankroll

__all__ = ["AccountValues", "Bankroll", "Survival", "SurvivalRefused", "lifetime_value", "survival"]
