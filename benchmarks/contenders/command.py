"""What a user waits for: the command line from its start to the first line of training, and how fast it trains."""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

PROGRESS = re.compile(r"^([\d,]+) of ([\d,]+) steps .*?(?:compiled|([\d,]+) steps/s)")


def training(total_timesteps: int, *options: str) -> tuple[Callable[[], dict[str, float]], dict[str, Any]]:
    """`trading-gymnax train` on the built-in market, twice: with nothing compiled before, and with what that left.

    Each until its training is over; the judging that follows is cut off. `options` are more words of the command.
    It takes too long for several rounds: all give the numbers of the first.
    """

    @functools.cache
    def measure() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as folder:
            cold, _ = _run(pathlib.Path(folder), "cold", total_timesteps, options)
            warm, speed = _run(pathlib.Path(folder), "warm", total_timesteps, options)
        return {"first_s": cold, "again_s": warm, "steps_per_s": speed}

    return measure, {"total_timesteps": total_timesteps}


def _run(folder: pathlib.Path, name: str, total: int, options: tuple[str, ...]) -> tuple[float, float]:
    """Seconds to the first line of training, and steps per second of the last."""
    command = [sys.executable, "-W", "ignore", "-m", "trading_gymnax", "train", "--run-dir", str(folder / name)]
    kept = {key: value for key, value in os.environ.items() if key != "JAX_ENABLE_COMPILATION_CACHE"}
    began = time.perf_counter()
    with subprocess.Popen(
        [*command, "--total-timesteps", str(total), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**kept, "XDG_CACHE_HOME": str(folder / "cache"), "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        first, speed, said = None, 0.0, []
        for line in process.stdout:
            said.append(line)
            found = PROGRESS.match(line)
            if found:
                first = time.perf_counter() - began if first is None else first
                done, whole, pace = found.groups()
                speed = float((pace or "0").replace(",", ""))
                if done == whole:
                    break
        with contextlib.suppress(ProcessLookupError):
            process.kill()
    if first is None:
        raise RuntimeError("".join(said[-3:]).strip() or "it said nothing")
    return first, speed
