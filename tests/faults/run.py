"""A tiny training in a process of its own: `python -m tests.faults.run FOLDER [ITERATIONS]`."""

import pathlib
import sys

from purejaxrl_ppo import CheckpointError, FitOptions, PPOConfig, fit
from tests.ppo.probes import Table, table

ENVS, STEPS = 4, 8
OPTIONS = FitOptions(checkpoint_every=2, chunk_iterations=1, eval_every=0, keep_checkpoints=3)


def config(iterations: int) -> PPOConfig:
    """Settings of so many iterations."""
    return PPOConfig(
        num_envs=ENVS,
        num_steps=STEPS,
        total_timesteps=ENVS * STEPS * iterations,
        hidden_sizes=(8,),
        num_epochs=1,
        minibatch_by="rows",
        learning_rate_schedule="constant",  # so that a shorter run is the beginning of a longer one
    )


def train(folder: pathlib.Path, iterations: int = 6) -> None:
    """Begin the run in that folder, or go on with it."""
    params = table(
        reward=[[1.0, -3.0, 7.0]] * 4, start=(1, 1, 1, 1), following=[[1, 2, 3]] * 4, terminal=False, limit=7
    )
    fit(Table(), params, config(iterations), run_dir=folder, options=OPTIONS)


def main() -> None:
    """Train; an error that a user may meet is printed as the command lines do."""
    try:
        train(pathlib.Path(sys.argv[1]), *map(int, sys.argv[2:]))
    except (ValueError, OSError, CheckpointError) as error:
        print(f"faults: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
