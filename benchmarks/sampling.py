"""What `nvidia-smi` says while something runs."""

from __future__ import annotations

import statistics
import subprocess
import threading
import time
from collections.abc import Callable

FIELDS = {"utilization.gpu": "busy_percent", "utilization.memory": "memory_busy_percent", "memory.used": "used_mib"}
_EVERY_MS = 100


class Sampler:
    """`nvidia-smi` in the background; `watch(go)` adds medians of what it said during `go()` to the numbers of `go`.

    Without `nvidia-smi` nothing is added, and `reason` says so.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._rows: list[tuple[float, list[float]]] = []
        self._process: subprocess.Popen[str] | None = None
        query = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
        try:
            self._process = subprocess.Popen([*query, f"-lms={_EVERY_MS}"], stdout=subprocess.PIPE, text=True)
        except FileNotFoundError:
            self.reason = "nvidia-smi is not here, so utilisation was not sampled"
            return
        threading.Thread(target=self._listen, daemon=True).start()

    def watch(self, go: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Numbers of `go()`, with those of `FIELDS` where samples fell into its time."""
        began = time.monotonic()
        numbers = go()
        seen = [row for at, row in list(self._rows) if at >= began]
        if not seen:
            return numbers
        columns = zip(FIELDS.values(), zip(*seen, strict=True), strict=True)
        return {**numbers, **{name: statistics.median(column) for name, column in columns}}

    def stop(self) -> None:
        """End the background process."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _listen(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                self._rows.append((time.monotonic(), [float(cell) for cell in line.split(",")]))
            except ValueError:
                self.reason = self.reason or f"nvidia-smi said {line.strip()!r}"  # a column that this card has not
