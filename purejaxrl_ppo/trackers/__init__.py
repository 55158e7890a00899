"""Where `fit` sends what it sees, beside the CSV files of the run: TensorBoard, Weights & Biases, MLflow, or your own.

A tracker of your own is a subclass of `Tracker`, given to `fit(..., trackers=[mine])`. The modules of the trackers
import the packages that they serve when a run starts, and none of them is imported unless it was asked for.
"""

from purejaxrl_ppo.trackers.base import TrackedRun, Tracker, tagged
from purejaxrl_ppo.trackers.named import NAMES, missing_package, named_trackers

__all__ = ["NAMES", "TrackedRun", "Tracker", "missing_package", "named_trackers", "tagged"]
