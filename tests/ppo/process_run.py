"""Two processes that train together: `python -m tests.ppo.process_run FOLDER PORT NUMBER [wait | seeds]` is one."""

import os
import pathlib
import socket
import subprocess
import sys
import time

from purejaxrl_ppo.checkpoint import Checkpoints
from purejaxrl_ppo.cli.main import main as command_line

ROOT = pathlib.Path(__file__).parents[2]
ITERATIONS = 8
TRAIN = (
    *("train", "CartPole-v1", "--num-envs", "16", "--num-steps", "16", "--total-timesteps", str(256 * ITERATIONS)),
    *("--num-epochs", "1", "--minibatch-by", "time", "--hidden-sizes", "8", "--eval-every", "4"),
    *("--eval-episodes", "4", "--checkpoint-every", "2", "--keep-checkpoints", "10", "--chunk-iterations", "1"),
)


def main() -> None:
    """Train; with `wait`, linger after every checkpoint so that a signal finds the run alive,
    with `seeds`, with another seed in each process."""
    folder, port, number, *how = sys.argv[1:]
    if how == ["wait"]:
        save = Checkpoints.save

        def slow_save(self: Checkpoints, iteration: int, *args: object) -> None:
            save(self, iteration, *args)  # type: ignore[arg-type]
            time.sleep(3.0 if self._folder.name == "checkpoints" else 0.0)

        Checkpoints.save = slow_save  # type: ignore[method-assign]
    team = ("--coordinator", f"127.0.0.1:{port}", "--num-processes", "2", "--process-id", number)
    seed = number if how == ["seeds"] else "0"
    command_line([*TRAIN, "--run-dir", folder, *team, "--seed", seed])


def start(folder: pathlib.Path, *args: str) -> "list[subprocess.Popen[str]]":
    """Both processes, with two devices each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    command = [sys.executable, "-m", "tests.ppo.process_run", str(folder), port]
    return [
        subprocess.Popen(
            [*command, number, *args],
            cwd=ROOT,
            env={**os.environ, **flags},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in ("0", "1")
    ]


def finish(processes: "list[subprocess.Popen[str]]") -> list[tuple[int, str, str]]:
    """Status, output and errors of both, once they have ended."""
    ended = []
    for process in processes:
        out, err = process.communicate(timeout=600)
        ended.append((process.returncode, out, err))
    return ended


if __name__ == "__main__":
    main()
