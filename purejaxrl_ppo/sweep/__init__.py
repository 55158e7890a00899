"""Many runs in one program: seeds and settings side by side, losers dropped early, and what came of them.

Users import `sweep` from the package; the modules are for the package itself.
"""

from purejaxrl_ppo.sweep.run import SweepResult, sweep

__all__ = ["SweepResult", "sweep"]
