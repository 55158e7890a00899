"""Speed and memory on a GPU, all in one call of at most eight minutes.

    python -m benchmarks.gpu                             # everything
    python -m benchmarks.gpu --smoke --out /tmp/bench    # tiny sizes, on a CPU too: shows that it works

Every row is a process of its own, so one that fails or takes too long leaves its reason and the others their numbers.
Programs compile side by side and run one after the other, while `nvidia-smi` is sampled. Written to
`benchmarks/results/gpu_<device>.md` and `.json`.
"""

from __future__ import annotations

import dataclasses
import math
import os
import pathlib
import statistics
import sys
import time
from typing import Any

import tyro

from benchmarks import report
from benchmarks.comparison import Group, Quantity, Row
from benchmarks.harness import Contender, Measured, measure_group
from benchmarks.machine import RESULTS, machine, markdown_table, versions
from benchmarks.sampling import Sampler

DEVICE = "benchmarks.contenders.device"
PACKAGES = ("jax", "jaxlib", "gymnax", "flax", "optax", "distrax")
PATIENCE_S = 150.0  # for one answer of one row


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    minutes: float = 7.0
    """After which nothing more is waited for; rows that are not done by then say so."""
    rounds: int = 3
    """Measurements of every row."""
    out: pathlib.Path = RESULTS
    """Folder to write to."""
    smoke: bool = False
    """Tiny sizes and one round, on any device: whether it works, not how fast anything is."""


@dataclasses.dataclass(frozen=True)
class Scale:
    """Sizes: `FULL` for a GPU of 80 GB or more, `SMOKE` for any machine."""

    stepping: tuple[int, ...] = (100, 1_000, 5_000, 10_000, 100_000, 1_000_000)  # environments
    stepping_steps: int = 200
    updates: tuple[tuple[int, int], ...] = ((100, 128), (1_000, 128), (5_000, 128), (10_000, 128), (100_000, 64))
    wide: tuple[tuple[int, int], ...] = ((10_000, 128),)  # environments x steps with 256 units a layer
    total_timesteps: int = 2_000_000
    training: tuple[int, int] = (1_024, 128)
    seconds: float = 2.0  # of a measurement
    product: int = 8_192  # rows and columns of the matrices of the peak
    copy_mb: int = 2_000


FULL = Scale()
SMOKE = Scale((16,), 8, ((16, 16),), (), 512, (16, 16), 0.05, 64, 1)


def main(options: Options) -> None:
    """Measure, print and write."""
    if not (options.minutes > 0 and options.rounds >= 1):
        raise ValueError("--minutes must be above 0 and --rounds 1 or more")
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # rows share the device while they prepare
    began = time.monotonic()
    chosen = groups(SMOKE if options.smoke else FULL)
    sampler = Sampler()
    try:
        found = measure_group(
            [one for group in chosen for one in group.contenders],
            1 if options.smoke else options.rounds,
            _say,
            PATIENCE_S,
            deadline=began + 60 * options.minutes,
            together=True,
            watch=sampler.watch,
        )
    finally:
        sampler.stop()
    rows = [report.compare(row, found) for group in chosen for row in group.rows]
    about = {"device": _device(found), **machine(), "minutes": f"{(time.monotonic() - began) / 60:.1f}"}
    page = _page(options, about, sampler.reason, chosen, found, rows)
    print("\n".join(page))
    everything = {name: dataclasses.asdict(one) for name, one in found.items()}
    content = {"command": _command(options), "machine": about, "versions": versions(PACKAGES), "rows": rows}
    name = f"gpu_{about['device']}".replace(" ", "_").lower() + "_smoke" * options.smoke
    report.write(options.out, name, page, {**content, "contenders": everything})


def groups(scale: Scale) -> list[Group]:
    """The machine's peaks, environments alone, PPO updates, and one whole training."""
    peaks = {"size": scale.product, "copy_mb": scale.copy_mb, "seconds": scale.seconds / 4}
    return [
        Group((Contender("peaks", f"{DEVICE}:peaks", peaks, "products of square matrices, and a copy"),), ()),
        _stepping(scale),
        _updates(scale),
        _training(scale),
    ]


def _stepping(scale: Scale) -> Group:
    size = {"num_steps": scale.stepping_steps, "seconds": scale.seconds}
    contenders = tuple(
        Contender(f"stepping {count:,}", f"{DEVICE}:stepping", {"num_envs": count, **size}, "observations consumed")
        for count in scale.stepping
    )
    best = Quantity("phase 1, steps/s", tuple(one.name for one in contenders), pick=max, any_of=True)
    what = "environment steps, observations consumed, best size"
    rows = [Row("stepping", what, best, Quantity("300 million", factor=3e8), 1.0)]
    for count in scale.stepping:
        if count == 100_000:
            one = Quantity("phase 1, steps/s", (f"stepping {count:,}",))
            rows.append(Row("many", f"{count:,} environments step", one, Quantity("300 million", factor=3e8), 1.0))
    return Group(contenders, tuple(rows))


def _updates(scale: Scale) -> Group:
    def contenders(sizes: tuple[tuple[int, int], ...], width: int) -> tuple[Contender, ...]:
        return tuple(
            Contender(
                f"PPO {width}x{width}, {count:,} x {steps}",
                f"{DEVICE}:updates",
                {"num_envs": count, "num_steps": steps, "width": width, "num_updates": 1, "seconds": scale.seconds},
                "rollout and 4 epochs x 4 minibatches",
            )
            for count, steps in sizes
        )

    narrow, wide = contenders(scale.updates, 64), contenders(scale.wide, 256)
    rows = []
    for width, some, target in ((64, narrow, 1e7), (256, wide, 5e6)):
        if some:
            best = Quantity("purejaxrl_ppo, steps/s", tuple(one.name for one in some), pick=max, any_of=True)
            goal = Quantity(f"{target / 1e6:g} million", factor=target)
            rows.append(Row(f"ppo-{width}", f"PPO, {width}x{width} networks, best size", best, goal, 1.0))
    return Group((*narrow, *wide), tuple(rows))


def _training(scale: Scale) -> Group:
    num_envs, num_steps = scale.training
    settings = {"total_timesteps": scale.total_timesteps, "num_envs": num_envs, "num_steps": num_steps}
    about = f"{num_envs:,} x {num_steps}, everything else by default"
    whole = Contender("whole training", f"{DEVICE}:training", {**settings, "num_minibatches": 4}, about)
    trained = scale.total_timesteps // (num_envs * num_steps) * num_envs * num_steps
    what = f"{trained:,} steps trained, after compilation"
    seconds = Quantity("purejaxrl_ppo, seconds", (whole.name,), "seconds")
    return Group((whole,), (Row("training", what, seconds, Quantity("2 seconds", factor=2.0), 1.0, at_most=True),))


def share_table(found: dict[str, Measured]) -> list[str]:
    """Markdown lines: each size with its memory, how busy the device was, and its share of the measured peaks.

    Shares are of what a plain loop needs at least: the state read and written, each observation read once where it is
    consumed and written once and read in every epoch by PPO; and the nominal operations of `PPOSettings`, those of the
    plain loop, of which ours leaves out about half (`skip_forced_rows`, `rollout_storage`). A market
    that fits the device's cache lets the share of the copy's bandwidth exceed what memory sees.
    """
    header = ("row", "steps/s", "device MB", "busy %", "share of copy bandwidth", "share of float32 products")
    peaks = _medians(found["peaks"])
    lines: list[tuple[str, ...]] = []
    for name, measured in found.items():
        numbers = _medians(measured)
        if name == "peaks":
            continue
        if measured.reason is not None:
            lines.append((name, f"not measured: {measured.reason}", "", "", "", ""))
            continue
        shares = [
            _percent(numbers.get(mine), peaks.get(peak))
            for mine, peak in (("bytes_per_s", "copy_bytes"), ("flops_per_s", "float32_flops"))
        ]
        cells = [report.number(numbers[key]) if key in numbers else "" for key in ("device_mb", "busy_percent")]
        lines.append((name, report.number(numbers["steps_per_s"]), *cells, *shares))
    return markdown_table(header, lines)


def _medians(measured: Measured) -> dict[str, float]:
    names = {key for one in measured.rounds for key in one}
    return {key: statistics.median(one.get(key, math.nan) for one in measured.rounds) for key in names}


def _percent(mine: float | None, peak: float | None) -> str:
    return f"{mine / peak:.1%}" if mine and peak else ""


def _device(found: dict[str, Measured]) -> str:
    """Kind of device that the rows ran on, as the first of them says that knows."""
    return next((one.facts["device"] for one in found.values() if "device" in one.facts), "unknown device")


def _page(
    options: Options,
    about: dict[str, Any],
    unsampled: str | None,
    chosen: list[Group],
    found: dict[str, Measured],
    rows: list[dict[str, Any]],
) -> list[str]:
    lines = [f"`{_command(options)}`", "", ", ".join(f"{name} {value}" for name, value in about.items()), ""]
    lines += [", ".join(f"{name} {value}" for name, value in versions(PACKAGES).items()), ""]
    if options.smoke:
        lines += ["**A smoke run: the sizes are too small for these numbers to mean anything.**", ""]
    lines += [f"{unsampled}.", ""] if unsampled else []
    lines += [*report.comparison_table(rows), ""]
    lines += [*share_table(found), ""]
    lines += ["Shares are of what a plain loop needs at least, over what a copy and a square float32 product (by JAX's"]
    lines += ["default precision) reach on this device: a step reads and writes its state and reads its window once;"]
    lines += [
        "PPO writes each observation once and reads it in every epoch; operations are the plain loop's.",
        "Ours leaves out about half of both.",
        "",
    ]
    return [*lines, *report.contender_table(chosen, [found] * len(chosen))]


def _command(options: Options) -> str:
    return f"python -m benchmarks.gpu {'--smoke' if options.smoke else f'--rounds {options.rounds}'}"


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except ValueError as error:
        sys.exit(f"gpu: {error}")
