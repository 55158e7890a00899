"""The page and the file of numbers that `bench.py` and `gpu.py` write."""

from __future__ import annotations

import json
import math
import pathlib
import statistics
from typing import Any

from benchmarks.comparison import Group, Row
from benchmarks.harness import Measured
from benchmarks.machine import markdown_table

Found = dict[str, Measured]
_LONG = 1_000.0  # numbers from here on are written without decimals


def compare(row: Row, found: Found) -> dict[str, Any]:
    """One row as plain values: medians of both sides, the ratios of the rounds, and the verdict.

    Each round gives one ratio, of numbers measured within seconds of each other; the row's is their median.
    """
    needed = [*row.ours.contenders, *row.peer.contenders]
    base = {"row": row.name, "what": row.what, "ours": row.ours.label, "peer": row.peer.label, "target": row.target}
    base |= {"at_most": row.at_most}
    reasons = {name: reason for name in needed if (reason := found[name].reason)}
    missing = [*row.ours.missing(reasons), *row.peer.missing(reasons)]
    if missing:
        why = "; ".join(f"{name}: {reasons[name]}" for name in missing)
        return {**base, "verdict": f"not measured: {why}"}
    rounds = _by_round([name for name in needed if name not in reasons], found)
    ours, peer = [row.ours.of(one) for one in rounds], [row.peer.of(one) for one in rounds]
    hopeless = math.inf if row.at_most else 0.0  # a reward that is not above 0 cannot be compared by its ratio
    ratios = [a / b if b > 0 else hopeless for a, b in zip(ours, peer, strict=True)]
    ratio = statistics.median(ratios)
    return {
        **base,
        "ours_median": statistics.median(ours),
        "peer_median": statistics.median(peer),
        "ratio": ratio,
        "ratios": ratios,
        "verdict": "met" if row.met(ratio) else "missed",
    }


def comparison_table(rows: list[dict[str, Any]]) -> list[str]:
    """Markdown lines: every row with its ratio, the spread over the rounds, the target, and whether it was met."""
    header = ("what", "ours", "beside", "ratio", "over the rounds", "target", "")
    return markdown_table(header, [_comparison_cells(row) for row in rows])


def contender_table(groups: list[Group], found: list[Found]) -> list[str]:
    """Markdown lines: the median and spread of everything that each contender gave, and what it is."""
    header = ("contender", "gives", "median", "lowest to highest", "rounds", "compile s", "what it is")
    rows = []
    for group, numbers in zip(groups, found, strict=True):
        for contender in group.contenders:
            measured = numbers[contender.name]
            compile_s = measured.facts.get("compile_s")
            about = contender.about if measured.reason is None else f"not measured: {measured.reason}"
            for key in sorted({key for one in measured.rounds for key in one}) or [""]:
                values = [one[key] for one in measured.rounds if key in one]  # a sample may fall into no round
                spread = f"{number(min(values))} to {number(max(values))}" if values else ""
                median = number(statistics.median(values)) if values else ""
                compiled = "" if compile_s is None else f"{compile_s:.1f}"
                rows.append((contender.name, key, median, spread, str(len(values)), compiled, about))
                about = ""
    return markdown_table(header, rows)


def write(out: pathlib.Path, name: str, page: list[str], content: dict[str, Any]) -> None:
    """`<name>.md` and `<name>.json` in the folder `out`."""
    write_numbers(out, name, content)
    (out / f"{name}.md").write_text("\n".join(page) + "\n")


def write_numbers(out: pathlib.Path, name: str, content: dict[str, Any]) -> None:
    """`<name>.json` in the folder `out`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


def number(value: float) -> str:
    """A number for a table: whole from a thousand on, three digits below."""
    return f"{value:,.0f}" if abs(value) >= _LONG else f"{value:.3g}"


def _by_round(names: list[str], found: Found) -> list[dict[str, dict[str, float]]]:
    return [
        dict(zip(names, numbers, strict=True)) for numbers in zip(*(found[name].rounds for name in names), strict=True)
    ]


def _comparison_cells(row: dict[str, Any]) -> tuple[str, ...]:
    sign = "<=" if row["at_most"] else ">="
    target = f"{sign} {row['target']:,g}"
    if "ratio" not in row:
        return (row["what"], row["ours"], row["peer"], "", "", target, f"**{row['verdict']}**")
    spread = f"{number(min(row['ratios']))} to {number(max(row['ratios']))}"
    verdict = row["verdict"] if row["verdict"] == "met" else f"**{row['verdict']}**"
    ours, peer = f"{row['ours']}: {number(row['ours_median'])}", f"{row['peer']}: {number(row['peer_median'])}"
    return (row["what"], ours, peer, number(row["ratio"]), spread, target, verdict)
