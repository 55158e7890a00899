"""What a search leaves behind: a table, a plot, and the command that trains its winner."""

import csv
import dataclasses
import json
import pathlib
import shlex
from typing import Any

import numpy as np

from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.sweep.halving import LOG_UNIFORM, NAMES
from purejaxrl_ppo.sweep.run import SweepResult

TABLE, PICTURE, RECORD = "sweep.csv", "sweep.png", "sweep.json"
_WINNER, _DROPPED = "#c44e52", "#4c72b0"


def table_rows(result: SweepResult) -> list[dict[str, Any]]:
    """A row for every configuration, best first.

    `score` is the one at the last rung reached, `score_std` its deviation over seeds, `score_at_<steps>` that of every
    rung (None: dropped before), `train_return` the mean training return there, `diverged` the first iteration with a
    number that is none (None: there was none).
    """
    rows = []
    for rank, i in enumerate(result.ranking, start=1):
        last = result.rungs_reached[i] - 1
        seeds, scores = result.seed_scores[i, last], result.scores[i]
        row: dict[str, Any] = {"rank": rank, "configuration": int(i)}
        row |= {name: float(str(result.hyperparameters[name][i])) for name in NAMES}
        row |= {"steps": result.steps[last], "score": float(scores[last])}
        row["score_std"] = float(seeds.std()) if np.isfinite(seeds).all() else None
        row["train_return"] = float(result.train_returns[i, last].mean())
        at_rungs = zip(result.steps, scores, strict=True)
        row |= {f"score_at_{steps}": None if np.isnan(score) else float(score) for steps, score in at_rungs}
        row["diverged"] = int(result.diverged[i]) or None
        rows.append(row)
    return rows


def write_table(result: SweepResult, path: pathlib.Path) -> None:
    """`table_rows` as CSV."""
    rows = table_rows(result)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def table_text(result: SweepResult) -> str:
    """The table for a terminal: rank, what was searched, steps, score and deviation over seeds."""
    searched = _searched(result)
    lines = [["rank", *searched, "steps", "score", "+-", "training", "remark"]]
    for row in table_rows(result):
        deviation = "" if row["score_std"] is None else f"{row['score_std']:.3g}"
        remark = f"NaN or infinite in iteration {row['diverged']:,}" if row["diverged"] else ""
        values = [f"{row[name]:.4g}" for name in searched]
        numbers = [f"{row['steps']:,}", f"{row['score']:.4g}", deviation, f"{row['train_return']:.4g}"]
        lines.append([str(row["rank"]), *values, *numbers, remark])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.rjust(width) for cell, width in zip(line, widths, strict=False)), line[-1]]).rstrip()
        for line in lines
    )


def write_record(result: SweepResult, path: pathlib.Path, source: dict[str, Any]) -> None:
    """Settings of the search and of its winner (None: there is none) as JSON."""
    try:
        winner: dict[str, Any] | None = result.config_of(result.winner).to_dict()
    except FloatingPointError:
        winner = None
    record = {"source": source, "config": result.config.to_dict(), "ranges": result.ranges, "winner": winner}
    path.write_text(json.dumps(record, indent=2, default=str) + "\n")


def train_command(env: str, config: PPOConfig, default: PPOConfig, pairs: dict[str, tuple[str, ...]]) -> str:
    """`purejaxrl-ppo train` for settings that differ from the environment's defaults.

    Args:
        env: name of the environment as it was typed.
        config: what to train with.
        default: what the command line starts from without options.
        pairs: options that hold name=value texts, by name.
    """
    words = ["purejaxrl-ppo", "train", env]
    for field in dataclasses.fields(PPOConfig):
        value, flag = getattr(config, field.name), field.name.replace("_", "-")
        if value == getattr(default, field.name):
            continue
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            words += [f"--{flag}", *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    for name, texts in pairs.items():
        words += [f"--{name.replace('_', '-')}", *texts] if texts else []
    return shlex.join(words)


def draw_sweep(result: SweepResult, path: pathlib.Path) -> None:
    """A PNG: the score against every hyperparameter that was searched, and against the steps.

    Raises:
        ImportError: one sentence, where matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ImportError(
            'the plot needs matplotlib, which is not installed: pip install "trading-gymnax[report]"'
        ) from error
    names = _searched(result)
    columns = min(3, len(names) + 1) if len(names) != 3 else 2
    rows = -(-(len(names) + 1) // columns)
    picture = Figure(figsize=(4.2 * columns, 3.2 * rows), dpi=120, layout="constrained", facecolor="white")
    FigureCanvasAgg(picture)
    panels = picture.subplots(rows, columns, squeeze=False).ravel()
    _draw_rungs(panels[0], result)
    for panel, name in zip(panels[1:], names, strict=False):
        _draw_against(panel, result, name)
    for panel in panels[len(names) + 1 :]:
        panel.set_axis_off()
    picture.savefig(path)


def _draw_rungs(axes: Any, result: SweepResult) -> None:
    """Score of every configuration from rung to rung, the best one on top."""
    for i in result.ranking[::-1]:
        best = i == result.ranking[0]
        shown = np.isfinite(result.scores[i])
        style = {"color": _WINNER, "linewidth": 2.2} if best else {"color": _DROPPED, "alpha": 0.5, "linewidth": 1.0}
        axes.plot(np.array(result.steps)[shown], result.scores[i][shown], marker="o", markersize=3.5, **style)
    axes.set_xlabel("environment steps of a run")
    axes.set_xlim(0, result.steps[-1] * 1.05)
    axes.set_ylabel("score: mean return over seeds")
    axes.set_title("rungs; the best one red", fontsize=9)


def _draw_against(axes: Any, result: SweepResult, name: str) -> None:
    """Last score of every configuration; the later it was dropped, the darker."""
    values, scores = result.hyperparameters[name], result.last_scores
    known = np.isfinite(scores)
    shades = np.where(
        result.rungs_reached == len(result.steps), 1.0, 0.25 + 0.4 * result.rungs_reached / len(result.steps)
    )
    best = int(result.ranking[0])
    floor = scores[known].min() if known.any() else 0.0
    if known.any():  # matplotlib cannot shade nothing
        axes.scatter(values[known], scores[known], color=_DROPPED, alpha=shades[known], s=26, linewidths=0)
    if known[best]:
        axes.scatter(values[[best]], scores[[best]], color=_WINNER, s=48, zorder=3)
    axes.scatter(values[~known], np.full((~known).sum(), floor), marker="x", color="black", s=30)
    if name in LOG_UNIFORM:
        axes.set_xscale("log")
    axes.set_xlabel(name)
    axes.set_ylabel("score at its last rung")
    note = "; x: NaN or infinite" if (~known).any() else ""
    axes.set_title(f"dark: trained to the end{note}", fontsize=9)


def _searched(result: SweepResult) -> list[str]:
    return [name for name, (low, high) in result.ranges.items() if low < high]
