"""How the host runs a training, as the command line and `fit` take it; without JAX."""

import dataclasses
import pathlib
from typing import Literal

from purejaxrl_ppo.config import check_types
from purejaxrl_ppo.trackers.named import missing_package


@dataclasses.dataclass(frozen=True)
class FitOptions:
    """How the host runs a training; none of it changes what is learned.

    Raises:
        ValueError: for a number below its least, or that int32 cannot count, and a tracker that is not installed.
    """

    eval_every: int | None = None
    """Iterations between evaluations; None makes about ten in a run, 0 makes none."""
    eval_episodes: int = 64
    """Episodes of an evaluation, once with sampled and once with the most probable actions."""
    eval_max_steps: int = 10_000
    """Steps after which an evaluated episode is cut off."""
    checkpoint_every: int | None = None
    """Iterations between checkpoints; None writes one about every minute, 0 the last one only."""
    keep_checkpoints: int = 3
    """Newest checkpoints that are kept."""
    chunk_iterations: int | None = None
    """Iterations between two looks of the host; None measures how many make about a second."""
    compilation_cache: pathlib.Path | None = None
    """Folder of JAX's compilation cache, so that later runs start faster; it holds code: never share it."""
    debug_nans: bool = False
    """Stop at the operation that makes a NaN (slow)."""
    tensorboard: bool = True
    """Write TensorBoard event files."""
    track: tuple[Literal["wandb", "mlflow"], ...] = ()
    """Trackers that are told of the run as well; each is an extra, and its own variables say where to."""
    quiet: bool = False
    """Print nothing."""

    def __post_init__(self) -> None:
        check_types(self)
        at_least = {"eval_every": 0, "checkpoint_every": 0, "chunk_iterations": 1}
        at_least |= {"eval_episodes": 1, "eval_max_steps": 1, "keep_checkpoints": 1}
        for name, least in at_least.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name}={value} must be at least {least}")
            if value is not None and value >= 2**31:
                raise ValueError(f"{name}={value} must be below {2**31:,}")
        if missing := missing_package(self.track):
            raise ValueError(missing)


@dataclasses.dataclass(frozen=True)
class Parallel:
    """Over which devices and processes a training runs, as the command line says it."""

    devices: int | None = None
    """Devices that share the environments; None takes one, or all where several processes train together. A CPU is as
    many devices as are asked for: one a core is the fastest."""
    coordinator: str | None = None
    """host:port of process 0, the same for all processes of a run; SLURM says these three by itself."""
    num_processes: int | None = None
    """How many processes train together."""
    process_id: int | None = None
    """Which of them this is, from 0."""
