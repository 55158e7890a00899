"""Files of a live account: its state, written anew after every bar, and its ledger, which only grows.

The state has two files that take turns, each written in place: a write that is cut off leaves the other whole, and a
check sum tells. What the bar adds to the ledger stands in the state as well, which is written first: after a kill the
ledger is cut to where the state found it, and the same lines follow. So the disk is waited for once a bar.
"""

from __future__ import annotations

import json
import os
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any

STATE_FILE, OTHER_STATE_FILE = "state.json", "state.2.json"
LEDGER_FILE, HISTORY_FILE = "ledger.jsonl", "history.parquet"
VERSION = 2
_BLOCK = 4096  # bytes; states are padded to whole ones: a file that keeps its length is flushed without its metadata
_REPEATED = 32_768  # bytes of the ledger that a state repeats at most before the disk is waited for there, too
_HEAD = '{"crc32":"%08x",'
_TO_JSON = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode


class StateError(ValueError):
    """A state file that cannot be gone on from; says what to do."""


class Store:
    """The folder of one live account.

    Args:
        folder: made where it is missing.
        durable: wait until the disk has state and lines, so that they outlive the machine and not only the process.
    """

    def __init__(self, folder: pathlib.Path | str, *, durable: bool = True) -> None:
        self.folder, self.durable = pathlib.Path(folder), durable
        self.folder.mkdir(parents=True, exist_ok=True)
        self._files = self.folder / STATE_FILE, self.folder / OTHER_STATE_FILE
        self._ledger = self.folder / LEDGER_FILE
        self._number, self._lengths = 0, [0, 0]  # states so far, and the bytes of their files
        self._lines: list[str] = []  # of the next state
        self.cut_off = ""  # name of the file that `load` passed over
        self._settled = 0  # bytes of the ledger that no state repeats
        self._repeated = ""  # and the lines behind them

    def load(self) -> dict[str, Any] | None:
        """The last whole state, None where there is none; the ledger becomes what it was then.

        Raises StateError where none of the files is whole, for one of another version, and for a ledger too short.
        """
        there = [path for path in self._files if path.is_file()]
        length = self._ledger.stat().st_size if self._ledger.is_file() else 0
        if not there and not length:
            return None
        states = {path: state for path in there if (state := _whole(path)) is not None}
        if not states:
            trouble = f"{there[0]} is damaged" if there else f"{self._ledger} has no {STATE_FILE} beside it"
            raise StateError(f"{trouble}: restore it, or begin in another folder")
        self.cut_off = next((path.name for path in there if path not in states), "")
        saved = max(states.values(), key=lambda state: state["number"])
        self._number, self._settled, self._repeated = (saved[x] for x in ("number", "ledger_bytes", "ledger_lines"))
        self._lengths = [path.stat().st_size if path.is_file() else 0 for path in self._files]
        if length < self._settled:
            raise StateError(f"{self._ledger} is shorter than its state says: restore it, or begin in another folder")
        if length:
            os.truncate(self._ledger, self._settled)
        self._append(self._repeated)
        return saved

    def note(self, line: dict[str, Any]) -> None:
        """A line for the ledger; written with the next state."""
        self._lines.append(_TO_JSON(line) + "\n")

    def save(self, state: dict[str, Any]) -> None:
        """Write the state, whole or not at all, and then the lines noted since the last one."""
        lines = "".join(self._lines)
        self._lines.clear()
        self._repeated += lines
        self._write_state({"ledger_bytes": self._settled, "ledger_lines": self._repeated, **state})
        self._append(lines)

    def _write_state(self, state: dict[str, Any]) -> None:
        turn = self._number % 2
        self._number += 1
        body = _TO_JSON({"version": VERSION, "number": self._number, **state})[1:].encode()
        text = (_HEAD % zlib.crc32(body)).encode() + body
        self._lengths[turn] = max(self._lengths[turn], -(-len(text) // _BLOCK) * _BLOCK)
        text = text.ljust(self._lengths[turn])
        if self._number > 1:
            self._write(self._files[turn], text, flush=self.durable)
        else:  # there is no other that would be whole
            partial = self.folder / (STATE_FILE + ".partial")
            self._write(partial, text, os.O_TRUNC, flush=self.durable)
            os.replace(partial, self._files[turn])

    def _append(self, lines: str) -> None:
        """Add lines to the ledger; they need not be repeated any more once they are where the state is."""
        settles = not self.durable or len(self._repeated) > _REPEATED
        if lines:
            self._write(self._ledger, lines.encode(), os.O_APPEND, flush=self.durable and settles)
        if settles:
            self._settled += len(self._repeated)
            self._repeated = ""

    def _write(self, path: pathlib.Path, data: bytes, how: int = 0, *, flush: bool) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o644)
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            if flush:
                _flush(descriptor)
        finally:
            os.close(descriptor)


_flush = getattr(os, "fdatasync", os.fsync)  # macOS and Windows have no fdatasync


def _whole(path: pathlib.Path) -> dict[str, Any] | None:
    """The state in a file, None where a write was cut off or it is damaged otherwise.

    Raises StateError for one of another version.
    """
    data = path.read_bytes().rstrip()
    try:
        saved = dict(json.loads(data))
        version = saved["version"]
    except (ValueError, TypeError, KeyError):
        return None
    if version != VERSION:
        raise StateError(f"{path} is of version {version} and this program writes {VERSION}")
    head = _HEAD % zlib.crc32(data[len(_HEAD % 0) :])
    return saved if data.startswith(head.encode()) else None


def read_ledger(path: pathlib.Path | str) -> Iterator[dict[str, Any]]:
    """The lines of a ledger; of a folder, of the ledger in it. A last line that is not whole is left out.

    Raises FileNotFoundError, and ValueError for a line that is no JSON.
    """
    path = pathlib.Path(path)
    path = path / LEDGER_FILE if path.is_dir() else path
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith("\n"):
                return
            try:
                yield dict(json.loads(line))
            except (ValueError, TypeError) as error:
                raise ValueError(f"line {number:,} of {path} is no line of a ledger: {error}") from None
