"""What `nvidia-smi` says while something runs."""

from __future__ import annotations

import statistics
import subprocess
import threading
import time
from collections.abc import Callable

FIELDS = {"utilization.gpu": "busy_percent", "utilization.memory": "memory_busy_percent"}
_QUERY = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
_EVERY_S = 0.2


class Sampler:
    """Asks `nvidia-smi` again and again; `watch(go)` adds medians of what it said during `go()` to the numbers of `go`.

    Where it is missing or says something else than numbers nothing is added, and `reason` says why.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._rows: list[tuple[float, list[float]]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

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
        """No more samples."""
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        # a fresh process each time: what one in a loop writes may lie in a buffer while the work is long over
        while not self._over.wait(_EVERY_S) and self.reason is None:
            try:
                said = subprocess.run(_QUERY, capture_output=True, text=True, check=True, timeout=10).stdout
                self._rows.append((time.monotonic(), [float(cell) for cell in said.split(",")]))
            except FileNotFoundError:
                self.reason = "nvidia-smi is not here, so utilisation was not sampled"
            except (subprocess.SubprocessError, ValueError) as error:
                self.reason = f"utilisation was not sampled: {error}"
