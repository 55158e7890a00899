"""What a tracker is told, and when."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

# folder of a metric in a tracker; what is not listed lies under "train"
_FOLDERS = {"episode_return": "episode", "episode_length": "episode", "episodes": "episode"}


class TrackedRun(NamedTuple):
    """A run as it starts or goes on."""

    folder: pathlib.Path
    description: dict[str, Any]  # as `run.json` holds it: config, env, values, ...
    steps: int  # environment steps that are done; what was told beyond them is void


class Tracker:
    """Callbacks of `fit`, each of which may be left out. Process 0 alone calls them, in this order.

    What a callback raises ends the training; its last checkpoint stays.
    """

    def start(self, run: TrackedRun) -> None:
        """Before the first iteration."""

    def metrics(self, rows: Sequence[dict[str, float]]) -> None:
        """Rows of metrics.csv, one an iteration, after every chunk of iterations."""

    def evaluation(self, row: dict[str, float]) -> None:
        """A row of evaluations.csv."""

    def files(self, paths: Sequence[pathlib.Path]) -> None:
        """What to keep of a run that ended or was stopped: run.json, both CSV files, the folder of the best policy."""

    def close(self) -> None:
        """At the end, also where an error ends the training: then without `files` before it."""


def tagged(row: dict[str, float], prefix: str = "") -> dict[str, float]:
    """The numbers of a row by folder and name, "episode/episode_return" say, without iteration and steps."""
    return {
        name if "/" in name else f"{prefix or _FOLDERS.get(name, 'train')}/{name}": value
        for name, value in row.items()
        if name not in ("iteration", "steps")
    }
