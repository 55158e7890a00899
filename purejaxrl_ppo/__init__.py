"""PPO in the PureJaxRL manner for any gymnax environment; its names, and JAX, are imported where they are used.

Users import the names below, and trackers of their own derive from those of `purejaxrl_ppo.trackers`; all other modules
are for the package itself.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from purejaxrl_ppo.cli.errors import TRACEBACK, parse_command_line, wants_trace
    from purejaxrl_ppo.cli.numbers import read_float, read_number
    from purejaxrl_ppo.compilation_cache import use_compilation_cache
    from purejaxrl_ppo.config import PPOConfig
    from purejaxrl_ppo.estimate import training_memory
    from purejaxrl_ppo.evaluate import Episodes, evaluate
    from purejaxrl_ppo.export import export_policy
    from purejaxrl_ppo.failures import CheckpointError, ProcessLost
    from purejaxrl_ppo.fit import FitResult, fit
    from purejaxrl_ppo.hyperparameters import Hyperparameters
    from purejaxrl_ppo.memory import check_memory, memory_in_words
    from purejaxrl_ppo.options import FitOptions
    from purejaxrl_ppo.policy import Policy, policy_of
    from purejaxrl_ppo.processes import split_cpu, start_processes
    from purejaxrl_ppo.rundir import load_policy
    from purejaxrl_ppo.sharding import make_mesh
    from purejaxrl_ppo.sweep.run import SweepResult, sweep
    from purejaxrl_ppo.trackers import TrackedRun, Tracker
    from purejaxrl_ppo.train import TrainResult, TrainState, make_train, make_trainer
    from purejaxrl_ppo.transfer import transfer_parameters, warm_started
    from purejaxrl_ppo.wrappers import FiveValueAdapter

__all__ = [
    "TRACEBACK",
    "CheckpointError",
    "Episodes",
    "FitOptions",
    "FitResult",
    "FiveValueAdapter",
    "Hyperparameters",
    "PPOConfig",
    "Policy",
    "ProcessLost",
    "SweepResult",
    "TrackedRun",
    "Tracker",
    "TrainResult",
    "TrainState",
    "check_memory",
    "evaluate",
    "export_policy",
    "fit",
    "load_policy",
    "make_mesh",
    "make_train",
    "make_trainer",
    "memory_in_words",
    "parse_command_line",
    "policy_of",
    "read_float",
    "read_number",
    "split_cpu",
    "start_processes",
    "sweep",
    "training_memory",
    "transfer_parameters",
    "use_compilation_cache",
    "wants_trace",
    "warm_started",
]

_HOMES = {
    "CheckpointError": "failures",
    "Episodes": "evaluate",
    "FitOptions": "options",
    "FitResult": "fit",
    "FiveValueAdapter": "wrappers",
    "Hyperparameters": "hyperparameters",
    "PPOConfig": "config",
    "Policy": "policy",
    "ProcessLost": "failures",
    "SweepResult": "sweep.run",
    "TRACEBACK": "cli.errors",
    "TrackedRun": "trackers",
    "Tracker": "trackers",
    "TrainResult": "train",
    "TrainState": "train",
    "check_memory": "memory",
    "evaluate": "evaluate",
    "export_policy": "export",
    "fit": "fit",
    "load_policy": "rundir",
    "make_mesh": "sharding",
    "make_train": "train",
    "make_trainer": "train",
    "memory_in_words": "memory",
    "parse_command_line": "cli.errors",
    "policy_of": "policy",
    "read_float": "cli.numbers",
    "read_number": "cli.numbers",
    "split_cpu": "processes",
    "start_processes": "processes",
    "sweep": "sweep.run",
    "training_memory": "estimate",
    "transfer_parameters": "transfer",
    "use_compilation_cache": "compilation_cache",
    "wants_trace": "cli.errors",
    "warm_started": "transfer",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Face(ModuleType):
    """`evaluate`, `fit` and `sweep` are the functions, though modules of these names are imported as well."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
