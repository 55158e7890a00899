"""Is it skill? What a profit must survive: null tapes, many tries, held-out groups, the path within bars, red teams.

Users import the names below; the modules are for the package itself.
"""

from trading_gymnax.skill.cpcv import combinatorial_splits, cross_validate
from trading_gymnax.skill.nulls import NULLS
from trading_gymnax.skill.overfitting import probability_of_overfitting, superior_ability
from trading_gymnax.skill.permutation import permutation_test, sequential_p_value

__all__ = [
    "NULLS",
    "combinatorial_splits",
    "cross_validate",
    "permutation_test",
    "probability_of_overfitting",
    "sequential_p_value",
    "superior_ability",
]
