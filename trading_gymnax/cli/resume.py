"""Commands of many runs that go on where they stopped: what was asked and what is done stands in their folder."""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from trading_gymnax.cli.codec import in_seconds
from trading_gymnax.walkforward.result import FoldRun

ASKED_FILE, DONE_FILE, RUNS_FOLDER = "asked.json", "done.jsonl", "runs"
_MAY_DIFFER = ("version", "commit")
_FRAMES = ("seen", "unseen", "trades")


def open_folder(folder: pathlib.Path, asked: Mapping[str, Any]) -> bool:
    """Make the folder for a command that was asked so, or go on in it; whether it was begun before.

    asked: plain JSON values; all must be as they were. Raises ValueError for a folder of something else.
    """
    path, values = folder / ASKED_FILE, json.loads(json.dumps(_flat(asked), default=str))
    if path.is_file():
        there = dict(json.loads(path.read_text()))
        names = [name for name in values if there.get(name) != values[name]]
        if names:
            found = "; ".join(f"{name}: {there.get(name)!r} there, {values[name]!r} now" for name in names)
            raise ValueError(f"{folder} was begun with other settings; choose another --run-dir. Differences: {found}")
        return True
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not empty: choose another --run-dir")
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(values, indent=2) + "\n")
    partial.replace(path)
    return False


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Mappings inside as names of their own, without those that may differ when a run goes on."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if name not in _MAY_DIFFER:
            flat |= _flat(value) if isinstance(value, Mapping) else {name: value}
    return flat


def done_lines(folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    """What `note_done` wrote; a last line that a crash cut off is no line."""
    path = folder / DONE_FILE
    if path.is_file():
        for line in path.read_text().split("\n")[:-1]:
            yield json.loads(line)


def note_done(folder: pathlib.Path, values: Mapping[str, Any]) -> None:
    """Remember one finished part of the work, plain JSON values."""
    path = folder / DONE_FILE
    whole = path.read_text() if path.is_file() else ""
    if not whole.endswith("\n") and whole:  # the end of a line that a crash cut off
        path.write_text(whole[: whole.rfind("\n") + 1])
    with path.open("a") as file:
        file.write(json.dumps(values) + "\n")


def keep_run(folder: pathlib.Path, run: FoldRun) -> None:
    """Write a run of a walk-forward as a folder of tables, whole or not at all."""
    home = folder / RUNS_FOLDER / f"{run.fold}-{run.seed}"
    partial = home.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name in _FRAMES:
        getattr(run, name).to_parquet(partial / f"{name}.parquet")
    partial.rename(home)


def kept_runs(folder: pathlib.Path) -> dict[tuple[int, int], FoldRun]:
    """The runs that `keep_run` wrote, by fold and seed."""
    runs = {}
    for home in sorted((folder / RUNS_FOLDER).glob("*")):
        fold, dash, seed = home.name.partition("-")
        if dash and fold.isdigit() and seed.isdigit():
            frames = {name: in_seconds(pd.read_parquet(home / f"{name}.parquet")) for name in _FRAMES}
            runs[int(fold), int(seed)] = FoldRun(int(fold), int(seed), **frames)
    return runs
