"""What `permute`, `cpcv`, `sweep` and `path` take; without JAX."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated, Literal

import tyro

from trading_gymnax.cli.commands import Trading, TrainerOptions
from trading_gymnax.cli.trader import TRADER
from trading_gymnax.extras import missing_extra


@dataclasses.dataclass(frozen=True)
class Trained(Trading):
    """What all of these commands train."""

    config: TrainerOptions = TRADER
    seeds: int = 1
    """Runs of each training."""
    memory_limit_gb: float | None = None
    """Memory that runs side by side may take, by an estimate; by default one run after another on a CPU, which is as
    fast there, and elsewhere 8."""
    run_dir: pathlib.Path | None = None
    """Folder to write to; the same command goes on there. runs/<market>-<command> by default."""

    command = ""  # its name, for the folder

    @property
    def folder(self) -> pathlib.Path:
        """The folder to write to."""
        return self.run_dir or pathlib.Path("runs") / f"{self.name()}-{self.command}"

    def check(self) -> None:
        """As `Trading.check`, and that pictures can be drawn and runs are asked for."""
        if self.memory_limit_gb is not None and not self.memory_limit_gb > 0:
            raise ValueError(f"--memory-limit-gb {self.memory_limit_gb:g}: give more than 0")
        if self.seeds < 1:
            raise ValueError(f"--seeds {self.seeds}: one run or more")
        if missing := missing_extra():
            raise missing
        super().check()


@dataclasses.dataclass(frozen=True)
class Permute(Trained):
    """Train on tapes of which nothing can be learnt, as on the real bars, and say how often that does as well.

    The p-value of the real held-out result, for a learner that finds nothing. Stops when the answer is clear.
    """

    command = "permute"

    null: Literal["bars", "within", "blocks", "signs"] = "bars"
    """What a tape keeps of the bars. bars: the bars of each minute of the day; within: each session's own; blocks: half
    hours; signs: everything but direction."""
    tapes: int = 199
    """Most tapes; the smallest p-value there can be is 1 / (tapes + 1)."""
    enough: int = 10
    """Tapes that did as well as the real bars, at which it stops: p is then found to about a third of itself."""
    tapes_at_once: int = 8
    """Tapes in memory at one time."""
    first_tape_seed: int = 0
    """Seed of the tapes."""
    train_until: str | None = None
    """First date that is held out; by default the last third of the usable sessions is."""


@dataclasses.dataclass(frozen=True)
class Cpcv(Trained):
    """Combinatorial purged cross-validation: hold out every choice of groups of sessions, learn around them."""

    command = "cpcv"

    groups: int = 6
    """Groups of sessions that follow one another."""
    held_out: int = 2
    """Groups held out at a time."""
    embargo_sessions: int = 1
    """Sessions left out of training on both sides of a held-out group."""


@dataclasses.dataclass(frozen=True)
class TradingSweep(Trained):
    """Train every combination of environment parameters, judge all on the same held-out sessions, and say what the best
    of so many is worth."""

    command = "sweep"

    vary: tuple[str, ...] = ("sl_atr_mult=1,1.5,2,3", "tp_sl_ratio=1,2,3,4")
    """Parameters as name=value,value,...; all combinations are tried."""
    train_until: str | None = None
    """First date that is held out; by default the last third of the usable sessions is."""


@dataclasses.dataclass(frozen=True)
class BarPath:
    """What one bar hides: random entries on a martingale, settled by the rules and by a path of sixty steps a bar.

    With the folder of a run of phase 1 it is for that run's settings and noise, and its report quotes the answer.
    """

    run_dir: tyro.conf.Positional[pathlib.Path | None] = None
    """Folder of a run; without one the stop widths from 0.25 to 4 ATR are tried on a market like NQ."""
    fine: pathlib.Path | None = None
    """File of second bars or ticks that cover the run's held-out sessions; they settle its doubtful trades."""
    fine_timezone: str = "UTC"
    """Of the file's stamps without an offset."""
    sessions: int = 200
    """Sessions of the martingale."""
    walks: int = 2
    """Times that random entries go through it."""
    bounce_ticks: int = 0
    """Ticks between bid and ask, at which trades alternate."""
    jumps_a_day: float = 0.0
    """Mean number of jumps in a session."""
    jump_noise: float = 0.0
    """Standard deviation of a jump, in bars' noise."""
    checkpoint: Literal["best", "last"] = "last"
    """Which of the run's policies."""


COMMANDS = (
    Annotated[Permute, tyro.conf.subcommand("permute")]
    | Annotated[Cpcv, tyro.conf.subcommand("cpcv")]
    | Annotated[TradingSweep, tyro.conf.subcommand("sweep")]
    | Annotated[BarPath, tyro.conf.subcommand("path")]
)
