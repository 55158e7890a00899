"""Walk-forward: trained on sessions of the past, judged on those that follow, again and again.

Users import `walk_forward` (the folds) and `run_walk_forward`; the modules are for the package itself.
"""

from trading_gymnax.walkforward.folds import Fold, walk_forward
from trading_gymnax.walkforward.result import WalkForward
from trading_gymnax.walkforward.run import run_walk_forward

__all__ = ["Fold", "WalkForward", "run_walk_forward", "walk_forward"]
