"""PPO in the PureJaxRL manner for any gymnax environment."""

from purejaxrl_ppo.checkpoint import CheckpointError
from purejaxrl_ppo.cli.errors import TRACEBACK, parse_command_line, wants_trace
from purejaxrl_ppo.cli.numbers import read_float, read_number
from purejaxrl_ppo.compilation_cache import use_compilation_cache
from purejaxrl_ppo.config import Hyperparameters, PPOConfig
from purejaxrl_ppo.estimate import training_memory
from purejaxrl_ppo.evaluate import Episodes, evaluate
from purejaxrl_ppo.export import export_policy
from purejaxrl_ppo.fit import FitResult, fit
from purejaxrl_ppo.host import FitOptions
from purejaxrl_ppo.memory import check_memory, memory_in_words
from purejaxrl_ppo.policy import Policy, policy_of
from purejaxrl_ppo.processes import ProcessLost, start_processes
from purejaxrl_ppo.rundir import load_policy
from purejaxrl_ppo.sharding import make_mesh
from purejaxrl_ppo.sweep.run import SweepResult, sweep
from purejaxrl_ppo.trackers import TrackedRun, Tracker
from purejaxrl_ppo.train import TrainResult, TrainState, make_train, make_trainer
from purejaxrl_ppo.transfer import transfer_parameters
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
    "start_processes",
    "sweep",
    "training_memory",
    "transfer_parameters",
    "use_compilation_cache",
    "wants_trace",
]
