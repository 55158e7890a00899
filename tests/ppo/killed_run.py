"""A run in a process of its own, for tests that kill it: `python -m tests.ppo.killed_run FOLDER [wait]`."""

import pathlib
import sys
import time

from purejaxrl_ppo import FitOptions, fit
from purejaxrl_ppo.checkpoint import Checkpoints
from tests.ppo.test_fit import CONFIG, ENV, PARAMS


def main() -> None:
    """Train ten iterations; with `wait`, linger after every checkpoint so that a signal finds the run alive."""
    folder = pathlib.Path(sys.argv[1])
    if "wait" in sys.argv[2:]:
        save = Checkpoints.save

        def slow_save(self: Checkpoints, iteration: int, *args: object) -> None:
            save(self, iteration, *args)  # type: ignore[arg-type]
            time.sleep(0.5 if self._folder.name == "checkpoints" else 0.0)

        Checkpoints.save = slow_save  # type: ignore[method-assign]
    options = FitOptions(checkpoint_every=2, chunk_iterations=1, eval_every=5, eval_episodes=4, keep_checkpoints=10)
    fit(ENV, PARAMS, CONFIG, run_dir=folder, options=options)


if __name__ == "__main__":
    main()
