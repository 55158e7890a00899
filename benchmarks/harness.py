"""Contenders side by side: processes that are asked in turn, round by round, so that the noise of a machine hits all.

`measure_group` starts every contender of a group, asks each once a round (A B C A B C ...) and stops them. A contender
that is not installed or fails leaves its reason instead of numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.machine import usable_cores

PATIENCE_S = 900.0  # for one answer; a contender that takes longer is stopped and named
_PLAIN = {"JAX_ENABLE_COMPILATION_CACHE": "false", "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}


Numbers = dict[str, float]


class Refused(Exception):
    """A contender that cannot be measured, with the reason."""


@dataclasses.dataclass(frozen=True)
class Contender:
    """One of those that are measured side by side."""

    name: str
    entry: str  # "module:function", see `contenders`
    settings: dict[str, Any]  # keyword arguments of the function, plain JSON values
    about: str = ""  # a sentence for the page: what it is, and what favours whom
    fresh: bool = False  # a new process for every round, for the time that starting takes
    all_cores: bool = False  # a CPU is a device for each core to it, and not one device of several threads


@dataclasses.dataclass
class Measured:
    """What one contender gave: a dict of numbers a round, facts of its preparation, or why there is nothing."""

    rounds: list[Numbers]
    facts: dict[str, Any]
    reason: str | None = None


class Worker:
    """A contender's process. Raises `Refused` when it is not installed, fails, or does not answer in time."""

    def __init__(self, contender: Contender, patience_s: float = PATIENCE_S, deadline: float = math.inf) -> None:
        """patience_s: for one answer; deadline: moment of `time.monotonic()` after which none is waited for."""
        self.patience_s, self.deadline = patience_s, deadline
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115  (closed by `stop`)
        cores = {"JAX_NUM_CPU_DEVICES": str(usable_cores())} if contender.all_cores else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", contender.entry, json.dumps(contender.settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, **_PLAIN, **cores},
        )
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def ready(self) -> dict[str, Any]:
        """Facts of the preparation, once it is done."""
        return self._answer("ready")

    def go(self) -> Numbers:
        """One measurement."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # where it has died, the answer says how
            print("go", file=self._process.stdin, flush=True)
        return self._answer("measured")

    def stop(self) -> None:
        """End the process, by closing its input, or by force where that is not enough."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(10)
        self._process.stdout.close()
        self._log.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._answers.put(line)
        self._answers.put(None)

    def _answer(self, kind: str) -> Any:
        left = self.deadline - time.monotonic()
        try:
            line = self._answers.get(timeout=max(0.0, min(self.patience_s, left)))
        except queue.Empty:
            self._process.kill()
            late = f"no answer within {self.patience_s:,.0f} seconds"
            raise Refused(late if self.patience_s < left else "the time of the whole run was used up") from None
        if line is None:
            raise Refused(f"its process ended with status {self._process.wait()}{self._last_words()}")
        answer = json.loads(line)
        if kind in answer:
            return answer[kind]
        [(what, reason)] = answer.items()
        raise Refused(f"not installed ({reason})" if what == "missing" else str(reason))

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().strip().splitlines()
        return f": {lines[-1]}" if lines else ""


def measure_group(
    contenders: list[Contender],
    rounds: int,
    say: Callable[[str], None] = print,
    patience_s: float = PATIENCE_S,
    deadline: float = math.inf,
    together: bool = False,
    watch: Callable[[Callable[[], Numbers]], Numbers] = lambda go: go(),
) -> dict[str, Measured]:
    """Numbers of every contender by name, `rounds` of each where nothing goes wrong.

    together: let all prepare at the same time, on a machine with cores to spare. watch: calls a measurement, and may
    add to its numbers what it saw meanwhile.
    """
    found = {one.name: Measured([], {}) for one in contenders}
    workers: dict[str, Worker] = {}

    def attempt(contender: Contender, act: Callable[[Contender], None]) -> None:
        if found[contender.name].reason is not None:
            return
        try:
            act(contender)
        except Refused as error:
            found[contender.name].reason = str(error)
            say(f"  {contender.name}: not measured, {error}")

    def start(contender: Contender) -> None:
        workers[contender.name] = Worker(contender, patience_s, deadline)

    def await_ready(contender: Contender) -> None:
        facts = found[contender.name].facts = workers[contender.name].ready()
        say(f"  {contender.name}: ready after {facts['prepare_s']:.1f} s")

    def ask(contender: Contender) -> None:
        if contender.fresh:
            start(contender)
            await_ready(contender)
        found[contender.name].rounds.append(watch(workers[contender.name].go))
        if contender.fresh:
            workers.pop(contender.name).stop()

    lasting = [one for one in contenders if not one.fresh]
    try:
        for contender in lasting if together else ():
            start(contender)
        for contender in lasting:
            if not together:
                start(contender)
            attempt(contender, await_ready)
        for _ in range(rounds):
            for contender in contenders:
                attempt(contender, ask)
    finally:
        for worker in workers.values():
            worker.stop()
    return found
