"""TensorBoard event files in the run's folder; the x axis is environment steps."""

import os
import time
import warnings
from collections.abc import Sequence
from typing import Any

from purejaxrl_ppo.logs import named_errors
from purejaxrl_ppo.trackers.base import TrackedRun, Tracker, tagged


class TensorBoard(Tracker):
    """Writes here and now: `SummaryWriter` leaves it to a thread, and waits for ever once that has met a full disk."""

    def start(self, run: TrackedRun) -> None:
        """Note where to write; the file is opened with the first row."""
        self._path = run.folder.absolute()  # a relative one like s3:x would be taken for an address
        self._steps_before = run.steps
        self._writer: Any = None  # until the first row

    def _open(self) -> None:
        # here and not above: it brings PyTorch along where that is installed, three seconds that the first line of
        # progress need not wait for; and its protobuf code warns
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto import event_pb2
            from tensorboardX.summary import scalar

        self._messages, self._scalar = event_pb2, scalar
        with named_errors(self._path):
            self._writer = EventsWriter(str(self._path / "events"), f".{os.getpid()}")
        if self._steps_before:  # what a killed process wrote beyond its checkpoint is not shown
            log = self._messages.SessionLog
            self._add(self._steps_before + 1, session_log=log(status=log.START))

    def metrics(self, rows: Sequence[dict[str, float]]) -> None:
        """Write the rows."""
        self._write(rows)

    def evaluation(self, row: dict[str, float]) -> None:
        """Write the row under "evaluation"."""
        self._write([row], "evaluation")

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            with named_errors(self._path):
                self._writer.close()

    def _write(self, rows: Sequence[dict[str, float]], prefix: str = "") -> None:
        if self._writer is None:
            self._open()
        for row in rows:
            for tag, value in tagged(row, prefix).items():
                self._add(int(row["steps"]), summary=self._scalar(tag, value))
        with named_errors(self._path):
            self._writer.flush()

    def _add(self, step: int, **what: Any) -> None:
        with named_errors(self._path):
            self._writer.write_event(self._messages.Event(wall_time=time.time(), step=step, **what))
