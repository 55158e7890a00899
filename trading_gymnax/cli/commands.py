"""What the commands of the command line take, but for the trainer's settings."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Annotated, Any, Literal

import tyro

from trading_gymnax.cli.values import Hour, parse_changes
from trading_gymnax.data.contracts import contract
from trading_gymnax.data.loader import RTH
from trading_gymnax.runs import TradingSettings


@dataclasses.dataclass(frozen=True)
class Loader:
    """How a file of bars is read."""

    timezone: str | None = None
    """Of stamps without an offset: America/New_York, UTC-5, or New_York+7 for brokers who follow New York's close."""
    timestamps_mark: Literal["start", "end"] | None = None
    """What a stamp marks of its bar; by default what the vendor's layout fixes, else the start."""
    timestamp_format: str | None = None
    """Of text stamps, as for strptime, where it cannot be told from them."""
    bar_minutes: int | None = None
    """Length of a bar; by default the commonest step between two stamps."""
    snap_to_tick: bool = False
    """Round prices off the tick instead of refusing them."""
    repair: tuple[str, ...] = ()
    """Names of repairs that are allowed; `check` names those that a file needs."""
    rth: tuple[Hour, Hour] = RTH
    """Opening and closing hour, New York clock, 9:30 16:00 say."""
    feature_columns: tuple[str, ...] = ()
    """Columns of the file, or sma_5, rsi and so on, in place of the default features."""
    symbol: tuple[str, ...] = ()
    """Instrument of a file that holds several; one for each file, or the contracts of one file that roll."""
    columns: tuple[str, ...] = ()
    """Columns that are called unusually: close=Settle,timestamp="Bar time" say."""

    def options(self) -> dict[str, Any]:
        """Those that differ from the defaults, as `load_bars` takes them."""
        values = dataclasses.asdict(self)
        return {name: value for name, value in values.items() if value != getattr(Loader(), name)}

    def options_of_one(self) -> dict[str, Any]:
        """The options for one file, as `load_bars` takes them; ValueError for several instruments of it."""
        values = self.options()
        if len(self.symbol) > 1:
            raise ValueError(
                f"--symbol names {len(self.symbol)} instruments: give one, this command looks at one table"
            )
        return values | ({"symbol": self.symbol[0]} if self.symbol else {})


@dataclasses.dataclass(frozen=True)
class Check:
    """Say what is wrong with a file of bars, in plain words; exit status 0 when it can be loaded, 1 when not."""

    file: tyro.conf.Positional[pathlib.Path]
    """A CSV, JSON (gzip too) or parquet file, or a zip or a folder of such files."""
    market: str
    """Symbol of the contract, NQ say."""
    loader: tyro.conf.OmitArgPrefixes[Loader] = dataclasses.field(default_factory=Loader)


@dataclasses.dataclass(frozen=True)
class Contracts:
    """List the contracts that are known by symbol: tick, dollars, session, calendar, and the source of each."""


@dataclasses.dataclass(frozen=True)
class Params:
    """List the parameters of market, costs and account: name, default, unit, and what they do."""

    phase: Literal[1, 2] = 1
    """1: choose entries; 2: manage the stop as well."""


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
    """Files of other bars to judge it on, one a market, or contracts of one that follow one another."""
    market: tuple[str, ...] = ()
    """Symbol of each file's contract, NQ say."""
    roll: tuple[str, ...] = ()
    """When the next contract of a market is traded, as for `train`."""
    first: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """First date of the other bars to judge, 2025-03-17 say."""
    until: str | None = None
    """First date no longer judged."""
    loader: tyro.conf.OmitArgPrefixes[Loader] = dataclasses.field(default_factory=Loader)


@dataclasses.dataclass(frozen=True)
class Trading:
    """What is traded, and by which rules."""

    data: tuple[pathlib.Path, ...] = ()
    """Files of bars, one a market, or contracts of one market in the order in which they are traded."""
    market: tuple[str, ...] = ()
    """Symbol of each file's contract, NQ say; contracts of one market have the same."""
    roll: tuple[str, ...] = ()
    """When the next contract of a market is traded: "volume", or the date of its first session, for each change one."""
    phase: Literal[1, 2] = 1
    """1: choose entries; 2: manage the stop as well."""
    changes: Annotated[tuple[str, ...], tyro.conf.arg(name="set")] = ()
    """Parameters of market, costs and account as name=value, commission_per_side=2.5 initial_balance=50k
    rth_close=15:55 say; `trading-gymnax params` lists them."""
    window: int = 20
    """Bars that an observation shows."""
    account_features: bool = False
    """Let observations show the account's limits."""
    curriculum: Literal["original-plan"] | None = None
    """Parameters that change while training goes on. original-plan: trailing limit from 15,000 to 2,500 dollars, stop
    from 2.0 to 1.5 ATR, a quarter to the whole of the commission, half of the episodes to none started in a position.
    Judged is under the last values."""
    configurations_tried: int = 1
    """Settings that were judged before these were chosen, these too; the deflated Sharpe ratio allows for them."""
    loader: tyro.conf.OmitArgPrefixes[Loader] = dataclasses.field(default_factory=Loader)
    config_file: Annotated[pathlib.Path | None, tyro.conf.arg(name="config")] = None
    """TOML file of options, total-timesteps = 2e6 say, and of parameters under [set]; what is typed wins over it."""
    show_config: bool = False
    """Print all options as such a file, and do nothing else."""

    def settings(self, **more: Any) -> TradingSettings:
        """As they are remembered; raises ValueError for an unknown symbol and for what is no name=value."""
        return TradingSettings(
            phase=self.phase,
            data=tuple(str(path.resolve()) for path in self.data),
            market=tuple(contract(symbol).symbol for symbol in self.market),
            roll=self.roll,
            loader=self.loader.options(),
            changes=parse_changes(self.changes, self.phase),
            window=self.window,
            account_features=self.account_features,
            curriculum=self.curriculum,
            **more,
        )

    def name(self, otherwise: str = "builtin") -> str:
        """The markets' symbols, for the name of a folder."""
        return "-".join(dict.fromkeys(contract(symbol).symbol for symbol in self.market)) or otherwise


@dataclasses.dataclass(frozen=True)
class Folds:
    """How sessions are divided and who is trained on them."""

    train_sessions: int = 30
    """Sessions to learn from, in each fold; with --anchored in the first."""
    test_sessions: int = 10
    """Sessions to judge on, which follow."""
    step: int | None = None
    """Sessions from one fold to the next; by default as many as are judged on."""
    anchored: bool = False
    """Learn from the first session on in every fold."""
    embargo_sessions: int = 1
    """Sessions left out between the two."""
    seeds: int = 3
    """Runs a fold."""
    memory_limit_gb: float | None = None
    """Memory that runs side by side may take, by an estimate; by default one run after another on a CPU, which is as
    fast there, and elsewhere 8."""


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
