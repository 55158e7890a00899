"""What the commands of the command line take that need no trainer, and the reading of name=value pairs."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import tyro

from trading_gymnax.data import RTH


@dataclasses.dataclass(frozen=True)
class Loader:
    """How a file of bars is read."""

    timezone: str | None = None
    """Of stamps without an offset, America/New_York say."""
    timestamps_mark: Literal["start", "end"] | None = None
    """What a stamp marks of its bar; by default the start, in NinjaTrader's text layout the end."""
    timestamp_format: str | None = None
    """Of text stamps, as for strptime, where it cannot be told from them."""
    bar_minutes: int | None = None
    """Length of a bar; by default the commonest step between two stamps."""
    snap_to_tick: bool = False
    """Round prices off the tick instead of refusing them."""
    repair: tuple[str, ...] = ()
    """Names of repairs that are allowed; `check` names those that a file needs."""
    rth: tuple[float, float] = RTH
    """Opening and closing hour, New York clock."""
    feature_columns: tuple[str, ...] = ()
    """Columns of the file, or sma_5, rsi and so on, in place of the default features."""

    def options(self) -> dict[str, Any]:
        """Those that differ from the defaults, as `load_bars` takes them."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if value != getattr(Loader(), name)}


@dataclasses.dataclass(frozen=True)
class Check:
    """Say what is wrong with a file of bars, in plain words; exit status 0 when it can be loaded, 1 when not."""

    file: tyro.conf.Positional[pathlib.Path]
    """A CSV (gzip too) or parquet file."""
    market: str
    """Symbol of the contract, NQ say."""
    loader: tyro.conf.OmitArgPrefixes[Loader] = dataclasses.field(default_factory=Loader)


@dataclasses.dataclass(frozen=True)
class Audit:
    """Cut a file at many bars, rebuild your features, and name each column that changed; exit status 1 where one did.

    A column that changes when later bars are cut off has looked ahead.
    """

    file: tyro.conf.Positional[pathlib.Path]
    """A CSV (gzip too) or parquet file."""
    features: str
    """Your function as FILE.py:function. It gets open, high, low, close and volume by New York time of the bar's close,
    and returns a frame of as many rows."""
    market: str
    """Symbol of the contract, NQ say."""
    cuts: int = 50
    """How many cuts."""
    loader: tyro.conf.OmitArgPrefixes[Loader] = dataclasses.field(default_factory=Loader)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Walk a run's policy through its held-out sessions once more; with --data, through other bars.

    Other bars are read as the run's were, unless a loader option says otherwise, and must be later than those that the
    run learnt from.
    """

    run_dir: tyro.conf.Positional[pathlib.Path]
    """Folder of the run."""
    checkpoint: Literal["best", "last"] = "last"
    """Which of the run's policies; the best one was chosen by its return in training."""
    configurations_tried: int = 1
    """Settings that were judged before these were chosen, these too; the deflated Sharpe ratio allows for them."""
    data: tuple[pathlib.Path, ...] = ()
    """Files of other bars to judge it on, one a market."""
    market: tuple[str, ...] = ()
    """Symbol of each file's contract, NQ say."""
    first: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """First date of the other bars to judge, 2025-03-17 say."""
    until: str | None = None
    """First date no longer judged."""
    loader: tyro.conf.OmitArgPrefixes[Loader] = dataclasses.field(default_factory=Loader)


@dataclasses.dataclass(frozen=True)
class Report:
    """Judge a run's policy once more and write what it did: a page that opens without a network, and PNG files."""

    run_dir: tyro.conf.Positional[pathlib.Path]
    """Folder of the run."""
    checkpoint: Literal["best", "last"] = "last"
    """Which of the run's policies; the best one was chosen by its return in training."""
    configurations_tried: int = 1
    """Settings that were judged before these were chosen, these too; the deflated Sharpe ratio allows for them."""
    out: pathlib.Path | None = None
    """Folder to write to; by default `report` in the run's folder."""


def parse_changes(pairs: Sequence[str]) -> dict[str, float | bool]:
    """`name=value` arguments as numbers; inf, true and false are understood.

    Raises ValueError for a pair without "=", a value that is no number, and a name given twice.
    """
    values: dict[str, float | bool] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"--set {pair} is not of the form name=value, sl_atr_mult=2.0 say")
        if name in values:
            raise ValueError(f"--set names {name} twice")
        values[name] = _number(name, text)
    return values


def _number(name: str, text: str) -> float | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--set {name}={text}: {text!r} is not a number") from None
