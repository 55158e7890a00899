"""A run in a process of its own, for tests that kill it: `python -m tests.ppo.killed_run FOLDER SETUP [wait]`.

SETUP is a module whose `setup()` gives environment, parameters, a config of ten iterations, and a schedule or None.
"""

import importlib
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np

from purejaxrl_ppo import FitOptions, fit
from purejaxrl_ppo.checkpoint import Checkpoints

ROOT = pathlib.Path(__file__).parents[2]
ITERATIONS = 10


def main() -> None:
    """Train ten iterations; with `wait`, linger after every checkpoint so that a signal finds the run alive."""
    folder, setup = pathlib.Path(sys.argv[1]), sys.argv[2]
    if "wait" in sys.argv[3:]:
        save = Checkpoints.save

        def slow_save(self: Checkpoints, iteration: int, *args: object) -> None:
            save(self, iteration, *args)  # type: ignore[arg-type]
            time.sleep(0.5 if self._folder.name == "checkpoints" else 0.0)

        Checkpoints.save = slow_save  # type: ignore[method-assign]
    env, params, config, schedule = importlib.import_module(setup).setup()
    options = FitOptions(checkpoint_every=2, chunk_iterations=1, eval_every=5, eval_episodes=4, keep_checkpoints=10)
    fit(env, params, config, run_dir=folder, options=options, params_schedule=schedule)


def start(folder: pathlib.Path, setup: str, *args: str) -> "subprocess.Popen[str]":
    """The run as a process."""
    command = [sys.executable, "-m", "tests.ppo.killed_run", str(folder), setup, *args]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: "subprocess.Popen[str]", status: int) -> None:
    """Wait for the process, which must end with `status`."""
    printed = process.communicate(timeout=300)[0]
    assert process.returncode == status, printed


def kill_and_resume(folder: pathlib.Path, setup: str, number: int) -> None:
    """Send a signal to a run after its fourth iteration was saved, and let another process end it."""
    broken = start(folder, setup, "wait")
    while not (folder / "checkpoints" / "4").is_dir():
        assert broken.poll() is None
        time.sleep(0.01)
    broken.send_signal(number)
    finish(broken, 0 if number == signal.SIGTERM else -signal.SIGKILL)
    assert not (folder / "checkpoints" / str(ITERATIONS)).exists()
    finish(start(folder, setup), 0)


def assert_same_end(one: pathlib.Path, other: pathlib.Path) -> None:
    """Two finished runs hold the same complete state, bit for bit, and the same logs."""
    want, got = _arrays(one), _arrays(other)
    assert want.keys() == got.keys()
    for name in want:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)
    for name in ("metrics.csv", "evaluations.csv"):
        assert (one / name).read_text() == (other / name).read_text()


def _arrays(folder: pathlib.Path) -> dict[str, np.ndarray]:
    found = Checkpoints(folder / "checkpoints", keep=None, read_only=True).restore(("state",))
    assert found is not None
    assert found[1]["iteration"] == ITERATIONS
    return found[0]["state"]


if __name__ == "__main__":
    main()
