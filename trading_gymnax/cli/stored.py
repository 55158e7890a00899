"""What was walked, kept beside the run: used again as long as nothing has changed that it was made of. Without JAX."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any, TypeVar

from trading_gymnax.cli.commands import Report
from trading_gymnax.settings import SETTINGS_FILE, check_files, read_settings

T = TypeVar("T")
WALKS = "walked"
"""Folder in that of the run: a result for each judgement, in a folder by the digest of all that made it."""
JUDGE_SEED = 1
PAGE_FILE, PAGE = "made.json", "report.html"
_CHECKPOINTS = ("checkpoints", "best")
_PACKAGES = ("trading_gymnax", "purejaxrl_ppo")
_SOURCES = (".py", ".css", ".js", ".json")  # accounts are data
_LEDGER = "ledger.jsonl"


def once(run_dir: pathlib.Path, what: str, make: Callable[[], T], **asked: Any) -> tuple[T, bool]:
    """What was made before of the same policy, bars, parameters, keys and program, or else `make()`, which is kept.

    Args:
        run_dir: folder of the run.
        what: name of the result; of each name the newest alone is kept.
        asked: all that it depends on beside the run and the program, as JSON has it.

    Returns the result, and whether it was kept from before.
    """
    from trading_gymnax.cli.codec import read_result, write_result

    home = run_dir / WALKS / what
    place = home / digest_of_walk(run_dir, **asked)
    if place.is_dir():
        return read_result(place), True
    made = make()
    shutil.rmtree(home, ignore_errors=True)
    partial = place.with_suffix(".partial")
    write_result(partial, made)
    partial.rename(place)
    return made, False


def digest_of_walk(run_dir: pathlib.Path, **asked: Any) -> str:
    """Digest of a run's settings, bars and policies, of what is asked, and of this program.

    Raises ValueError for bars that are not those that the run was trained on, FileNotFoundError for what is gone.
    """
    settings = read_settings(run_dir)
    check_files(settings)
    found = hashlib.sha256(json.dumps([asked, JUDGE_SEED, program_digest()], sort_keys=True, default=str).encode())
    found.update((run_dir / SETTINGS_FILE).read_bytes())
    for folder in _CHECKPOINTS:
        for path in sorted(path for path in (run_dir / folder).rglob("*") if path.is_file()):
            found.update(str(path.relative_to(run_dir)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]


@functools.cache
def program_digest() -> str:
    """Digest of the sources of this program, and of the release of JAX that runs them."""
    found = hashlib.sha256(importlib.metadata.version("jax").encode())
    here = pathlib.Path(__file__).resolve().parents[2]
    for package in _PACKAGES:
        for path in sorted(path for path in (here / package).rglob("*") if path.suffix in _SOURCES):
            found.update(str(path.relative_to(here)).encode() + path.read_bytes())
    return found.hexdigest()


def note_page(command: Report, verdict: str) -> None:
    """Remember what the page of a run was made of. To be called when it has been written."""
    values = {"digest": _page_digest(command), "verdict": verdict}
    (_folder(command) / PAGE_FILE).write_text(json.dumps(values, indent=2) + "\n")


def page_stands(command: Report) -> bool:
    """Whether the page is there and would be written again as it is; then that is said."""
    note = _folder(command) / PAGE_FILE
    if not note.is_file() or not note.with_name(PAGE).is_file():
        return False
    values = dict(json.loads(note.read_text()))
    if values["digest"] != _page_digest(command):
        return False
    print(f"{values['verdict']}\nnothing has changed since {note.with_name(PAGE)} was written")
    return True


def _folder(command: Report) -> pathlib.Path:
    return command.run_dir / "report" if command.out is None else command.out


def _page_digest(command: Report) -> str:
    """Of the walk, of the settings that the ledger of the run's folder knows, and of what else stands in the folder."""
    ledger = command.run_dir.resolve().parent / _LEDGER
    lines = ledger.read_text().splitlines() if ledger.is_file() else []
    tried = sorted({json.loads(line)["settings"] for line in lines})
    beside = {path.name: path.read_text() for path in sorted(command.run_dir.glob("*.json"))}
    asked: dict[str, Any] = {
        "checkpoint": command.checkpoint,
        "typed": command.configurations_tried,
        "tried": tried,
        "files": beside,
    }
    asked |= {name: importlib.metadata.version(name) for name in ("plotly", "matplotlib")}
    return digest_of_walk(command.run_dir, **asked)
