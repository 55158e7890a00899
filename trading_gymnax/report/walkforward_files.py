"""A walk-forward as files: statistics as JSON, sessions as CSV, and a picture."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np

from trading_gymnax.render import ENTRY, INK, TARGET, calm, new_picture
from trading_gymnax.text import usd
from trading_gymnax.walkforward.result import WalkForward

TRADES_FILE = "trades.csv"
JSON_FILE, CSV_FILE, TEXT_FILE, PICTURE = "walk_forward.json", "sessions.csv", "walk_forward.txt", "walk_forward.png"
_SEED = "#9aa3ad"  # the single seeds stay behind their mean


def write_walk_forward(folder: pathlib.Path, found: WalkForward, text: str, made: dict[str, Any]) -> pathlib.Path:
    """Write all files; `text` is what was printed and `made` says how, as plain JSON values. Returns the picture."""
    values = {**found.to_dict(), **made}
    (folder / JSON_FILE).write_text(json.dumps(values, indent=2, allow_nan=False) + "\n")
    found.sessions().to_csv(folder / CSV_FILE, index=False)
    found.trades().to_csv(folder / TRADES_FILE, index=False)
    (folder / TEXT_FILE).write_text(text + "\n")
    draw_walk_forward(found).savefig(folder / PICTURE, dpi=110)
    return folder / PICTURE


def draw_walk_forward(found: WalkForward) -> Any:
    """The chained out-of-sample equity of each seed and of their mean, above each fold in and out of sample."""
    picture = new_picture(10, 7.2)
    top, low = picture.subplots(2, height_ratios=[3, 2])
    _draw_equity(top, found)
    _draw_folds(low, found)
    return picture


def _draw_equity(axes: Any, found: WalkForward) -> None:
    equity = found.equity()
    at = np.arange(len(equity) + 1)  # before the first session, and after each
    for number, name in enumerate(name for name in equity if name != "mean"):
        path = np.concatenate([[found.initial_balance_usd], equity[name]])
        axes.plot(at, path, color=_SEED, linewidth=1, label="each seed" if number == 0 else None)
    mean = np.concatenate([[found.initial_balance_usd], equity["mean"]])
    axes.plot(at, mean, color=ENTRY, linewidth=2.2, label="mean of the seeds")
    axes.axhline(found.initial_balance_usd, color=INK, linewidth=0.8, linestyle=":")
    begins = np.cumsum([0, *(row.test_sessions for row in found.by_fold())])
    for begin in begins[1:-1]:
        axes.axvline(begin, color="#d5dade", linewidth=0.8, zorder=0)
    rows = found.by_fold()
    places = _some(len(rows), 8)
    axes.set_xticks([begins[i] for i in places], [rows[i].test[:10] for i in places])
    axes.set_xlim(0, len(equity))
    axes.set_title("Out of sample: chained equity, the folds one after another", loc="left", fontsize=11)
    axes.set_ylabel("equity, dollars")
    axes.set_xlabel("first session of the fold's test")
    _finish(axes)


def _draw_folds(axes: Any, found: WalkForward) -> None:
    rows = found.by_fold()
    at = np.arange(len(rows))
    axes.bar(at - 0.2, [row.seen_usd for row in rows], 0.4, color=TARGET, alpha=0.45, label="in sample")
    unseen = [row.unseen_usd for row in rows]
    axes.bar(at + 0.2, unseen, 0.4, color=ENTRY, label="out of sample, mean of the seeds")
    dots = [(row.number, run.unseen["net_usd"].mean()) for row in rows for run in found.runs if run.fold == row.number]
    x, y = np.array(dots).T
    axes.plot(x + 0.2, y, "o", color=INK, markersize=3.5, linestyle="none", label="each seed")
    axes.axhline(0, color="#8d949d", linewidth=0.8)
    places = _some(len(rows), 12)
    axes.set_xticks(places, [f"fold {rows[i].number}" for i in places])
    axes.set_title("Dollars a session", loc="left", fontsize=11)
    axes.set_ylabel("net, dollars")
    _finish(axes)


def _finish(axes: Any) -> None:
    calm(axes)
    axes.yaxis.set_major_formatter(lambda value, _: usd(value, sign=False))
    style = {"frameon": False, "fontsize": 9, "ncols": 3, "loc": "lower right", "bbox_to_anchor": (1, 1)}
    axes.legend(borderaxespad=0.2, **style)


def _some(count: int, most: int) -> list[int]:
    """At most so many of the numbers 0 to count - 1, evenly spread."""
    return list(range(0, count, -(-count // most)))
