"""What was measured on, without names of machines or people."""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Sequence
from typing import Any

RESULTS = pathlib.Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """Processor, cores that this process may use, Python, and the commit; starts no library."""
    model = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "processor": model or platform.processor(),
        "cores": usable_cores(),
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def busy_share(seconds: float = 2.0) -> float:
    """Share of the usable cores' time that other work takes while this process sleeps, 0 to 1; Linux only."""
    before = _core_times()
    time.sleep(seconds)
    spent = [[b - a for a, b in zip(*pair, strict=True)] for pair in zip(before, _core_times(), strict=True)]
    total = sum(map(sum, spent))
    return 1.0 - sum(row[3] + row[4] for row in spent) / total if total else 0.0


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Installed version of each package by name, "not installed" where there is none."""
    found = {}
    for name in packages:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def resident_mb(peak: bool = False) -> float:
    """Resident memory of this process now, or its highest so far, megabytes (of 10^6 bytes); Linux only."""
    wanted = "VmHWM" if peak else "VmRSS"
    line = next((x for x in _lines("/proc/self/status") if x.startswith(wanted)), f"{wanted}: nan kB")
    return float(line.split()[1]) * 1024 / 1e6


def device_memory() -> dict[str, float]:
    """Most megabytes that this process has held on its first device, where the device tells."""
    import jax  # whoever only writes a page does without

    stats = jax.devices()[0].memory_stats() or {}
    return {"device_mb": stats["peak_bytes_in_use"] / 1e6} if "peak_bytes_in_use" in stats else {}


def device_name() -> dict[str, str]:
    """Platform and kind of the first device."""
    import jax

    device = jax.devices()[0]
    return {"platform": device.platform, "device": device.device_kind}


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _core_times() -> list[list[int]]:
    """Ticks of each usable core by kind; the fourth and fifth are idle."""
    names = {f"cpu{core}" for core in (os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ())}
    rows = [line.split() for line in _lines("/proc/stat")]
    return [[int(cell) for cell in row[1:]] for row in rows if row and row[0] in names]


def _lines(path: str) -> list[str]:
    file = pathlib.Path(path)
    return file.read_text().splitlines() if file.exists() else []
