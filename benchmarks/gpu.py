"""Speed and memory on a GPU, all in one call of about five minutes.

    python -m benchmarks.gpu                             # everything
    python -m benchmarks.gpu --smoke --out /tmp/bench    # tiny sizes, on a CPU too: shows that it works

Every row is a process of its own, so one that fails or takes too long leaves its reason and the others their numbers.
Programs compile side by side and run one after the other, while `nvidia-smi` is sampled. Written to
`benchmarks/results/gpu_<device>.md` and `.json`.
"""

from __future__ import annotations

import dataclasses
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
TRAINERS = "benchmarks.contenders.trainers"
COMMAND = "benchmarks.contenders.command"
PACKAGES = ("jax", "jaxlib", "gymnax", "flax", "optax", "distrax", "rejax")
PATIENCE_S = 150.0  # for one answer of one row


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    minutes: float = 5.0
    """After which nothing more is waited for; rows that are not done by then say so."""
    rounds: int = 2
    """Measurements of every row."""
    out: pathlib.Path = RESULTS
    """Folder to write to."""
    smoke: bool = False
    """Tiny sizes and one round, on any device: whether it works, not how fast anything is."""


@dataclasses.dataclass(frozen=True)
class Size:
    """Of a training."""

    num_envs: int
    num_steps: int
    num_updates: int  # of one measurement, about a second

    def __str__(self) -> str:
        return f"{self.num_envs:,} x {self.num_steps}"


@dataclasses.dataclass(frozen=True)
class Scale:
    """Sizes: `FULL` for a GPU of 80 GB or more, `SMOKE` for any machine."""

    stepping: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)  # environments
    others: int = 100_000  # environments of phase 2, and of gymnax's own step
    stepping_steps: int = 200
    training: tuple[Size, ...] = (Size(1_024, 128, 96), Size(10_000, 128, 24))
    wide: int = 256  # units of a layer, of the largest training
    command_steps: int = 20_000_000
    seconds: float = 1.0  # of a measurement of stepping
    product: int = 8_192  # rows and columns of the matrices of the peak
    copy_mb: int = 2_000


FULL = Scale()
SMOKE = Scale((16,), 16, 8, (Size(16, 16, 2),), 64, 70_000, 0.05, 64, 1)


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
            watch=lambda go: _told(sampler.watch(go)),
        )
    finally:
        sampler.stop()
    about = {"device": _device(found), **machine(), "minutes": f"{(time.monotonic() - began) / 60:.1f}"}
    name = f"gpu_{about['device']}".replace(" ", "_").lower() + "_smoke" * options.smoke
    content = {"command": _command(options), "machine": about, "versions": versions(PACKAGES)}
    content["contenders"] = {contender: dataclasses.asdict(one) for contender, one in found.items()}
    report.write_numbers(options.out, name, content)  # device time is dear: whatever comes next, these stay
    rows = [report.compare(row, found) for group in chosen for row in group.rows]
    page = _page(options, about, sampler.reason, chosen, found, rows)
    print("\n".join(page))
    report.write(options.out, name, page, {**content, "rows": rows})


def groups(scale: Scale) -> list[Group]:
    """The machine's peaks, environments alone, trainings beside those of others, and the command line."""
    peaks = {"size": scale.product, "copy_mb": scale.copy_mb, "seconds": scale.seconds / 4}
    return [
        Group((Contender("peaks", f"{DEVICE}:peaks", peaks, "products of square matrices, and a copy"),), ()),
        _stepping(scale),
        *(_training(size) for size in scale.training),
        _wide(scale.training[-1], scale.wide),
        _command_line(scale),
    ]


def _stepping(scale: Scale) -> Group:
    size = {"num_steps": scale.stepping_steps, "seconds": scale.seconds}

    def one(name: str, num_envs: int, **more: Any) -> Contender:
        settings = {"num_envs": num_envs, **size, **more}
        return Contender(f"{name}, {num_envs:,}", f"{DEVICE}:stepping", settings, "observations consumed")

    alone = {count: one("stepping", count) for count in scale.stepping}
    rows = []
    for count, target in {10_000: 5e8, 1_000_000: 3e9}.items():
        if count in alone:
            name, goal = alone[count].name, Quantity(f"{target / 1e6:,g} million", factor=target)
            rows.append(Row(name, name, _speed("phase 1", alone[count]), goal, 1.0))
    others = (one("phase 2", scale.others, phase=2), one("gymnax's own step", scale.others, kind="stock"))
    return Group((*alone.values(), *others), tuple(rows))


def _training(size: Size) -> Group:
    """Ours, by settings, beside the plain loop and rejax."""
    settings = dataclasses.asdict(size)

    def trained(name: str, entry: str, about: str, **more: Any) -> Contender:
        return Contender(f"{name}, {size}", f"{TRAINERS}:{entry}", {**settings, **more}, about)

    ours = trained("PPO", "ours", "64x64, 4 epochs x 4 minibatches, all by default")
    plain = trained("plain loop", "plain", "the same sizes")
    rejax = trained("rejax", "rejax", "the same sizes")
    others = [
        trained("PPO in TF32", "ours", "products in TF32 instead of bfloat16", bfloat16=False),
        trained("PPO in float32", "ours", "products in whole float32", bfloat16=False, precision="highest"),
        trained("PPO, phase 2", "ours", "six actions, 231 inputs", phase=2),
    ]
    rows = [
        Row(f"plain-{size.num_envs}", f"PPO, {size}", _speed("ours", ours), _speed("plain loop", plain), 2.0),
        Row(f"rejax-{size.num_envs}", f"PPO, {size}", _speed("ours", ours), _speed("rejax", rejax), 2.0),
        Row(
            f"learning-{size.num_envs}",
            f"reward a step of the last update, {size}",
            _speed("ours", ours, "reward"),
            _speed("plain loop", plain, "reward"),
            1.0,
        ),
    ]
    return Group((ours, plain, rejax, *others), tuple(rows))


def _wide(size: Size, width: int) -> Group:
    settings = {**dataclasses.asdict(size), "width": width, "bfloat16": True}
    one = Contender(
        f"PPO {width}x{width} in bfloat16, {size}", f"{TRAINERS}:ours", settings, "4 epochs x 4 minibatches"
    )
    goal = Quantity("25 million", factor=25e6)
    return Group((one,), (Row("wide", one.name, _speed("ours", one), goal, 1.0),))


def _command_line(scale: Scale) -> Group:
    about = "trading-gymnax train, everything by default"
    one = Contender("command line", f"{COMMAND}:training", {"total_timesteps": scale.command_steps}, about)
    first, again = (Quantity(f"{name} s", factor=seconds) for name, seconds in (("15", 15.0), ("6", 6.0)))
    goal = Quantity("5 million", factor=5e6)
    rows = (
        Row("first", "seconds to the first update, nothing compiled", _speed("s", one, "first_s"), first, 1.0, True),
        Row("again", "seconds to the first update, second time", _speed("s", one, "again_s"), again, 1.0, True),
        Row("command", "steps/s in training by the command line", _speed("steps/s", one), goal, 1.0),
    )
    return Group((one,), rows)


def _speed(label: str, contender: Contender, key: str = "steps_per_s") -> Quantity:
    return Quantity(label, (contender.name,), key)


def share_table(found: dict[str, Measured]) -> list[str]:
    """Markdown lines: each size with its memory, how busy the device was, and its share of the measured peaks.

    Shares are of what is needed at least: a step reads and writes its state and reads its window once; a training does
    the nominal operations of `PPOSettings`. A market that fits the device's cache lets the share of the copy's
    bandwidth exceed what memory sees.
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
    return {key: statistics.median(one[key] for one in measured.rounds if key in one) for key in names}


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
    lines += [
        "Shares are of what is needed at least, over what a copy and a square float32 product (by JAX's default",
        "precision) reach on this device: a step reads and writes its state and reads its window once; a training",
        "does the nominal operations of the plain loop. A share passes 100% where windows come from the device's",
        "cache and one kernel of many environments writes only the numbers that changed.",
        "",
    ]
    return [*lines, *report.contender_table(chosen, [found] * len(chosen))]


def _command(options: Options) -> str:
    return f"python -m benchmarks.gpu {'--smoke' if options.smoke else f'--rounds {options.rounds}'}"


def _told(numbers: dict[str, float]) -> dict[str, float]:
    """The numbers of one measurement, printed as they come."""
    _say("    " + ", ".join(f"{name} {report.number(value)}" for name, value in numbers.items()))
    return numbers


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except ValueError as error:
        sys.exit(f"gpu: {error}")
