"""Where `fit` writes what it sees: a CSV and the terminal. Other places are `trackers`."""

import contextlib
import csv
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_SECONDS = 2.0  # between two lines of progress
RETURN_UNIT = "reward an episode"


@contextlib.contextmanager
def named_errors(path: pathlib.Path) -> Iterator[None]:
    """The name of the file in the errors of writing it, which have none."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


class CsvLog:
    """Rows of numbers under a header, one per iteration; the file is whole after every chunk."""

    def __init__(self, path: pathlib.Path, resume_at: int) -> None:
        """Open the file; rows beyond iteration `resume_at` were never saved and are dropped."""
        self._path = path
        self._names: list[str] | None = None
        self._file: IO[str] | None = None
        if resume_at and path.is_file():
            self._keep(resume_at)
        elif path.is_file():
            path.unlink()

    def write(self, rows: list[dict[str, float]]) -> None:
        """Append rows; all have the keys of the first row ever written."""
        if not rows:
            return
        with named_errors(self._path):
            self._append(rows)

    def _append(self, rows: list[dict[str, float]]) -> None:
        if self._file is None:
            new = self._names is None
            self._names = self._names or list(rows[0])
            self._file = self._path.open("a", newline="")
            if new:
                csv.writer(self._file).writerow(self._names)
        names = self._names or []
        csv.writer(self._file).writerows([[_text(row.get(name)) for name in names] for row in rows])
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with named_errors(self._path):
                self._file.close()

    def _keep(self, resume_at: int) -> None:
        with self._path.open(newline="") as file:
            header, *rows = list(csv.reader(file)) or [[]]
        if not header:
            self._path.unlink()
            return
        self._names = header
        # a killed process can leave half a row at the end
        rows = [row for row in rows if len(row) == len(header) and row[0] and int(row[0]) <= resume_at]
        with self._path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])


class Terminal:
    """Progress on a terminal as a bar, elsewhere as a line every so often."""

    def __init__(
        self, total: int, done: int, quiet: bool, line_every: float = LINE_SECONDS, unit: str = RETURN_UNIT
    ) -> None:
        """Show `done` of `total` environment steps; `unit` is that of a return."""
        self._console, self._unit = Console(quiet=quiet, highlight=False), unit
        self._line_every, self._last_line = line_every, float("-inf")
        self._bar: Progress | None = None
        if self._console.is_terminal and not quiet:
            columns = (
                TextColumn("steps"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[speed]}"),
                TextColumn("{task.fields[score]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(*columns, console=self._console)
            self._task = self._bar.add_task("", total=total, completed=done, speed="", score="")

    def say(self, text: str) -> None:
        """Print one line."""
        self._console.print(text, soft_wrap=True)

    def start(self) -> None:
        """Show the bar."""
        if self._bar is not None:
            self._bar.start()

    def update(self, done: int, total: int, speed: float, episode_return: float, now: float) -> None:
        """Show where the run stands."""
        score = f"return {episode_return:.4g} {self._unit}"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, speed=f"{speed:,.0f} steps/s", score=score)
        elif now - self._last_line >= self._line_every or done >= total:
            self._last_line = now
            # the first chunk is mostly the compiler's, so it has no speed
            pace = f"{speed:,.0f} steps/s  {(total - done) / speed:.0f} s left" if speed > 0 else "compiled"
            self.say(f"{done:,} of {total:,} steps  {score}  {pace}")

    @contextlib.contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Say that `what` goes on, and for how long, while the caller waits; a bar shows the time by itself."""
        if self._bar is not None or self._console.quiet:
            yield
            return
        over, began = threading.Event(), time.monotonic()

        def tell() -> None:
            while not over.wait(self._line_every):
                self.say(f"{what}: {time.monotonic() - began:.0f} s")

        teller = threading.Thread(target=tell, daemon=True)
        teller.start()
        try:
            yield
        finally:
            over.set()
            teller.join()

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()


def rows_of(metrics: dict[str, Any], count: int, first: int, batch_size: int) -> list[dict[str, float]]:
    """Metrics [>= count] of the iterations first + 1 .. first + count as rows."""
    columns = {name: np.asarray(values)[:count] for name, values in metrics.items()}
    rows = []
    for i in range(count):
        where = {"iteration": first + i + 1, "steps": (first + i + 1) * batch_size}
        rows.append({**where, **{name: float(column[i]) for name, column in columns.items()}})
    return rows


def _text(value: float | None) -> str:
    return "" if value is None else repr(value)
