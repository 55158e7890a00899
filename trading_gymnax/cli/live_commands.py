"""What `live`, `paper`, `reconcile` and `export` take; without JAX."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated, Literal

import tyro

from trading_gymnax.cli.commands import check_folder
from trading_gymnax.settings import GAP_MINUTES, read_settings


@dataclasses.dataclass(frozen=True)
class Account:
    """Which policy trades, and within which limits."""

    run_dir: tyro.conf.Positional[pathlib.Path]
    """Folder of the run."""
    checkpoint: Literal["best", "last"] = "last"
    """Which of the run's policies."""
    changes: Annotated[tuple[str, ...], tyro.conf.arg(name="set")] = ()
    """Parameters that differ from the run's, as name=value, position_size=2 say."""
    history: pathlib.Path | None = None
    """File of bars up to now, read as the run's; by default the run's own. Needed once: the folder keeps them."""
    folder: pathlib.Path | None = None
    """Where state and ledger are kept; by default a folder of the command's name in the run's folder."""
    gap_minutes: float = GAP_MINUTES
    """Silence of the feed, inside a session, after which an open position is closed."""
    daily_loss: float | None = None
    """Dollars lost in a session from which on nothing is entered in it; by default the rules' daily limit."""
    trailing: float | None = None
    """Dollars below the highest equity from which on nothing is entered; by default the rules' trailing limit."""
    max_errors: int = 10
    """Errors of a session from which on nothing is entered in it."""

    def check(self) -> None:
        """Refuse what can be told without reading bars. Raises ValueError, FileNotFoundError."""
        read_settings(self.run_dir)
        check_folder(self.folder or self.run_dir, "--folder" if self.folder else "the run's folder")


@dataclasses.dataclass(frozen=True)
class Live(Account):
    """Decide at every new bar of a feed: bars come as CSV or JSON lines, decisions go out as JSON lines.

    The stamps of the feed are read as those of the run's file. Stop it at any moment: it goes on from its folder.
    """

    bars: str = "-"
    """A file, or - for standard input. CSV needs a header with time, open, high, low, close, volume."""
    follow: bool = False
    """Wait at the end of the file for more bars, as `tail -f` does."""
    stale_minutes: float = 5.0
    """Age of a bar from which on its order cannot be sent any more: the policy sees the bar and does nothing. inf takes
    every bar as new, and notices no silence: for bars of another day."""


@dataclasses.dataclass(frozen=True)
class Paper(Account):
    """Trade bars that are known already as if they came now, by the rule book's fills, and end with a report.

    Without --bars it trades the last sessions of the run's own data, of which the policy has not seen those that were
    held out.
    """

    bars: pathlib.Path | None = None
    """File of bars that follow the history, read as the run's."""
    sessions: int = 10
    """Sessions of the run's own bars to trade; with --bars all are."""
    speed: float = 0.0
    """Times as fast as the clock; 0 is as fast as it goes."""


@dataclasses.dataclass(frozen=True)
class Reconcile:
    """Replay a live ledger's bars through the environment and show where the two differ, in dollars."""

    run_dir: tyro.conf.Positional[pathlib.Path]
    """Folder of the run."""
    ledger: tyro.conf.Positional[pathlib.Path]
    """Folder of the live account, or the ledger in it."""
    checkpoint: Literal["best", "last"] = "last"
    """Which of the run's policies traded."""
    changes: Annotated[tuple[str, ...], tyro.conf.arg(name="set")] = ()
    """Parameters that differed from the run's, as given to `live`."""


@dataclasses.dataclass(frozen=True)
class Export:
    """Write a run's policy for programs without this one, with normaliser, mask and memory."""

    run_dir: tyro.conf.Positional[pathlib.Path]
    """Folder of the run."""
    to: Literal["numpy", "stablehlo", "onnx"]
    """numpy: weights and a reader of 60 lines that needs NumPy alone; stablehlo: for jax.export; onnx: for
    onnxruntime."""
    checkpoint: Literal["best", "last"] = "last"
    """Which of the run's policies."""
    out: pathlib.Path | None = None
    """Folder to write to; by default `export` in the run's folder."""

    def check(self) -> None:
        """Refuse what can be told without reading weights. Raises ValueError."""
        check_folder(self.out or self.run_dir, "--out" if self.out else "the run's folder")
