"""Where `fit` writes what it sees: a CSV, TensorBoard event files, and the terminal."""

import contextlib
import csv
import os
import pathlib
import time
import warnings
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

# TensorBoard's folder of a metric; what is not listed lies under "train"
_FOLDERS = {"episode_return": "episode", "episode_length": "episode", "episodes": "episode"}


@contextlib.contextmanager
def _named(path: pathlib.Path) -> Iterator[None]:
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
        with _named(self._path):
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
            with _named(self._path):
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


class EventLog:
    """TensorBoard event files in the run's folder; the x axis is environment steps.

    Written here and now: `SummaryWriter` leaves it to a thread, and waits for ever once that has met a full disk.
    """

    def __init__(self, folder: pathlib.Path, resume_at_steps: int) -> None:
        # here and not above: it brings PyTorch along where that is installed, and its protobuf code warns
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto import event_pb2
            from tensorboardX.summary import scalar

        self._messages, self._scalar = event_pb2, scalar
        self._path = folder.absolute()  # a relative one like s3:x would be taken for an address
        with _named(self._path):
            self._writer = EventsWriter(str(self._path / "events"), f".{os.getpid()}")
        if resume_at_steps:  # what a killed process wrote beyond its checkpoint is not shown
            log = self._messages.SessionLog
            started = log(status=log.START)
            self._add(resume_at_steps + 1, session_log=started)

    def write(self, rows: list[dict[str, float]], prefix: str = "") -> None:
        """Write rows that hold `steps`."""
        for row in rows:
            for name, value in row.items():
                if name not in ("iteration", "steps"):
                    tag = name if "/" in name else f"{prefix or _FOLDERS.get(name, 'train')}/{name}"
                    self._add(int(row["steps"]), summary=self._scalar(tag, value))
        with _named(self._path):
            self._writer.flush()

    def close(self) -> None:
        """Finish the file."""
        with _named(self._path):
            self._writer.close()

    def _add(self, step: int, **what: Any) -> None:
        with _named(self._path):
            self._writer.write_event(self._messages.Event(wall_time=time.time(), step=step, **what))


class Terminal:
    """Progress on a terminal as a bar, elsewhere as a line every so often."""

    def __init__(self, total: int, done: int, quiet: bool, line_every: float = 10.0) -> None:
        """Show `done` of `total` environment steps."""
        self._console = Console(quiet=quiet, highlight=False)
        self._line_every, self._last_line = line_every, float("-inf")
        self._bar: Progress | None = None
        if self._console.is_terminal and not quiet:
            columns = (
                TextColumn("steps"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[speed]}"),
                TextColumn("{task.fields[score]}"),
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
        score = f"return {episode_return:.4g}"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, speed=f"{speed:,.0f} steps/s", score=score)
        elif now - self._last_line >= self._line_every or done >= total:
            self._last_line = now
            # the first chunk is mostly the compiler's, so it has no speed
            pace = f"{speed:,.0f} steps/s  {(total - done) / speed:.0f} s left" if speed > 0 else "compiled"
            self.say(f"{done:,} of {total:,} steps  {score}  {pace}")

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
