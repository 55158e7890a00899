"""Speed and memory on a CPU, measured against everyone in one run: about ten minutes on two idle cores.

    make bench                                           # every peer installed, every row
    python -m benchmarks.bench --rows stock plain        # some rows, with what is installed
    python -m benchmarks.bench --quick --out /tmp/bench  # shows that the rows work; its sizes mean nothing

Contenders of a row run in processes of their own and are asked in turn, round by round, so that other work on the
machine hits all alike; a row's ratio is the median of its rounds' ratios. Written to
`benchmarks/results/bench_<machine>.md` and `.json`. A row that misses its target says so, and a peer that is not
installed leaves a row "not measured".
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import time
from typing import Any

import tyro

from benchmarks import report
from benchmarks.comparison import Group
from benchmarks.harness import measure_group
from benchmarks.machine import RESULTS, busy_share, machine, versions
from benchmarks.rows import FULL, QUICK, groups
from trading_gymnax.text import check_names

PACKAGES = (
    *("jax", "jaxlib", "gymnax", "flax", "optax", "distrax", "numpy", "pandas"),
    *("rejax", "torchtrade", "torchrl", "torch", "sb3-contrib", "stable-baselines3"),
)
DOUBT = 0.1  # share of the cores that other work took before the start, above which the page says so


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    rows: tuple[str, ...] = ()
    """Names of rows; all by default. An unknown name prints those there are."""
    rounds: int = 5
    """Measurements of every contender."""
    out: pathlib.Path = RESULTS
    """Folder to write to."""
    quick: bool = False
    """Tiny sizes and one round: whether the rows work, not how fast anything is."""


def main(options: Options) -> None:
    """Measure, print and write."""
    if options.rounds < 1:
        raise ValueError(f"--rounds is how often everything is measured, 1 or more; got {options.rounds}")
    scale, rounds = (QUICK, 1) if options.quick else (FULL, options.rounds)
    chosen = choose(groups(scale), options.rows)
    about, busy = machine(), busy_share()
    began, found = time.perf_counter(), []
    for group in chosen:
        print(f"{', '.join(row.name for row in group.rows)}:", flush=True)
        found.append(measure_group(list(group.contenders), group.rounds or rounds, _say))
    rows = [report.compare(row, one) for group, one in zip(chosen, found, strict=True) for row in group.rows]
    minutes = (time.perf_counter() - began) / 60
    page = _page(options, about, busy, chosen, found, rows, minutes)
    print("\n".join(page))
    name = f"bench_cpu_{about['cores']}cores" + "_quick" * options.quick
    content = {"command": _command(options), "minutes": minutes, "machine": about, "busy before": busy}
    content |= {"versions": versions(PACKAGES), "rows": rows, "contenders": _contenders(chosen, found)}
    report.write(options.out, name, page, content)


def choose(everything: list[Group], names: tuple[str, ...]) -> list[Group]:
    """The groups with the named rows, or all. Raises ValueError for an unknown name, with the nearest."""
    known = [row.name for group in everything for row in group.rows]
    check_names(names, known, "no row")
    picked = [group.only(set(names or known)) for group in everything]
    return [group for group in picked if group.rows]


def _say(line: str) -> None:
    print(line, flush=True)


def _page(
    options: Options,
    about: dict[str, Any],
    busy: float,
    chosen: list[Group],
    found: list[report.Found],
    rows: list[dict[str, Any]],
    minutes: float,
) -> list[str]:
    missed = sum(row["verdict"] == "missed" for row in rows)
    absent = sum(row["verdict"].startswith("not") for row in rows)
    lines = [f"`{_command(options)}`, {minutes:.1f} minutes", ""]
    lines += [", ".join(f"{name} {value}" for name, value in about.items()), ""]
    lines += [", ".join(f"{name} {value}" for name, value in versions(PACKAGES).items()), ""]
    if options.quick:
        lines += ["**A smoke run: the sizes are too small for these numbers to mean anything.**", ""]
    if busy > DOUBT:
        lines += [f"Other work took {busy:.0%} of the cores before the start: trust the ratios, not the speeds.", ""]
    lines += [f"{len(rows)} rows: {len(rows) - missed - absent} met, {missed} missed, {absent} not measured.", ""]
    lines += [*report.comparison_table(rows), ""]
    lines += ["Same bars, same observation, random legal actions or the same PPO settings, but for what the last table"]
    lines += ["says of a contender. A ratio is the median over the rounds; in a round the contenders run one after the"]
    lines += ["other, each alone.", ""]
    return [*lines, *report.contender_table(chosen, found)]


def _contenders(chosen: list[Group], found: list[report.Found]) -> dict[str, Any]:
    """Settings, facts and every number of each, by name."""
    return {
        one.name: {"settings": one.settings, "about": one.about, **dataclasses.asdict(numbers[one.name])}
        for group, numbers in zip(chosen, found, strict=True)
        for one in group.contenders
    }


def _command(options: Options) -> str:
    words = ["python -m benchmarks.bench"]
    words += ["--rows", *options.rows] if options.rows else []
    words += ["--quick"] if options.quick else ["--rounds", str(options.rounds)]
    return " ".join(words)


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except ValueError as error:
        sys.exit(f"bench: {error}")
