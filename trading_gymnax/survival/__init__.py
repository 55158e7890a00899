"""Would the policy pass an evaluation account? Its sessions played again in many orders, beside a coin's.

Users import `survival` and `SurvivalRefused`; the modules are for the package itself.
"""

from trading_gymnax.survival.odds import survival
from trading_gymnax.survival.refused import SurvivalRefused
from trading_gymnax.survival.result import Survival

__all__ = ["Survival", "SurvivalRefused", "survival"]
