"""Files of a live account: its state, replaced whole after every bar, and its ledger, which only grows.

The ledger's lines of a bar are written first, the state second, and the state says how long the ledger was: whatever a
killed process wrote after its last state is cut off, and comes again, the same, from the bars that come again.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

STATE_FILE, LEDGER_FILE, HISTORY_FILE = "state.json", "ledger.jsonl", "history.parquet"
VERSION = 1


class StateError(ValueError):
    """A state file that cannot be gone on from; says what to do."""


class Store:
    """The folder of one live account.

    Args:
        folder: made where it is missing.
        durable: wait until the disk has the state, so that it outlives the machine and not only the process.
    """

    def __init__(self, folder: pathlib.Path | str, *, durable: bool = True) -> None:
        self.folder, self.durable = pathlib.Path(folder), durable
        self.folder.mkdir(parents=True, exist_ok=True)
        self._state, self._partial = self.folder / STATE_FILE, self.folder / (STATE_FILE + ".partial")
        self._lines: list[str] = []
        self._size = 0

    def load(self) -> dict[str, Any] | None:
        """The last state, None where there is none; the ledger is cut to the length that it had then.

        Raises StateError for a damaged file and for one of another version.
        """
        if not self._state.is_file():
            return None
        try:
            saved = dict(json.loads(self._state.read_text("utf-8")))
            version, size = saved["version"], int(saved["ledger_bytes"])
        except (ValueError, TypeError, KeyError) as error:
            raise StateError(f"{self._state} is damaged ({error}): restore it, or begin in another folder") from error
        if version != VERSION:
            raise StateError(f"{self._state} is of version {version} and this program writes {VERSION}")
        ledger = self.folder / LEDGER_FILE
        if (ledger.stat().st_size if ledger.is_file() else 0) < size:
            raise StateError(f"{ledger} is shorter than {self._state} says: restore it, or begin in another folder")
        if ledger.is_file():
            os.truncate(ledger, size)
        self._size = size
        return saved

    def note(self, line: dict[str, Any]) -> None:
        """A line for the ledger; written with the next state."""
        self._lines.append(json.dumps(line, separators=(",", ":"), allow_nan=False) + "\n")

    def save(self, state: dict[str, Any]) -> None:
        """Write the lines noted since the last state, then the state, whole or not at all."""
        if self._lines:
            data = "".join(self._lines).encode()
            self._write(self.folder / LEDGER_FILE, data, os.O_APPEND)
            self._size += len(data)
            self._lines.clear()
        text = json.dumps({"version": VERSION, "ledger_bytes": self._size, **state}, separators=(",", ":"))
        self._write(self._partial, text.encode(), os.O_TRUNC)
        os.replace(self._partial, self._state)

    def _write(self, path: pathlib.Path, data: bytes, how: int) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how, 0o644)
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            if self.durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)


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
