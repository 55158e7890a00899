"""A policy judged: walked through every session, counted, set beside baselines, certified.

Users import `evaluate_policy` and `Evaluation`; the modules are for the package itself and for who writes a statistic.
"""

from trading_gymnax.evaluation.evaluate import Evaluation, evaluate_policy

__all__ = ["Evaluation", "evaluate_policy"]
