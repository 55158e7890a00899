"""What the commands of the command line take; without JAX."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import pathlib
from typing import Annotated, Any, Literal

import tyro

from purejaxrl_ppo import FitOptions, PPOConfig
from trading_gymnax.accounts import life_fields
from trading_gymnax.accounts.plans import one_plan
from trading_gymnax.cli.trader import TRADER
from trading_gymnax.cli.values import Hour, check_limits, help_of_set, parse_changes
from trading_gymnax.data.contracts import contract
from trading_gymnax.data.spec import RTH
from trading_gymnax.extras import missing_extra
from trading_gymnax.limits import checked_sizes
from trading_gymnax.settings import CERTIFIED_SESSIONS, TradingSettings, check_sources, check_there, flag, read_settings


def check_tried(count: int) -> None:
    """Raises ValueError for fewer than one configuration."""
    if count < 1:
        raise ValueError("--configurations-tried counts the present settings as well: give 1 or more")


def check_folder(folder: pathlib.Path, option: str = "--run-dir") -> None:
    """See that files can be written in a folder, which may be yet to make. Raises ValueError naming it."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        what = "is no folder" if not there.is_dir() else "cannot be written to"
        raise ValueError(f"{option} {folder}: {there} {what}, choose another")


def check_dates(first: str | None, until: str | None) -> None:
    """Raises ValueError for what is no date, and for a first one that is not before the last."""
    read = {option: _date(option, text) for option, text in (("--from", first), ("--until", until)) if text is not None}
    if len(read) == 2 and read["--from"] >= read["--until"]:
        raise ValueError(f"--from {first} is not before --until {until}, the first date that is judged no longer")


def _date(option: str, text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{option} {text} is not a date; write it like 2025-03-17") from None


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
        if len(self.symbol) > 1:
            raise ValueError(
                f"--symbol names {len(self.symbol)} instruments: give one, this command looks at one table"
            )
        return self.options_of_each()[0]

    def options_of_each(self) -> list[dict[str, Any]]:
        """The options for each instrument of one file, as `load_bars` takes them."""
        values = self.options()
        return [values | {"symbol": symbol} for symbol in self.symbol] or [values]


# groups of options, by the titles that they have in the help
FileOptions = tyro.conf.OmitArgPrefixes[Annotated[Loader, tyro.conf.arg(name="file")]]
TrainerOptions = tyro.conf.OmitArgPrefixes[Annotated[PPOConfig, tyro.conf.arg(name="trainer")]]
HostOptions = tyro.conf.OmitArgPrefixes[Annotated[FitOptions, tyro.conf.arg(name="host")]]


@dataclasses.dataclass(frozen=True)
class Check:
    """Say what is wrong with a file of bars, in plain words; exit status 0 when it can be loaded, 1 when not."""

    file: tyro.conf.Positional[pathlib.Path]
    """A CSV, JSON (gzip too) or parquet file, or a zip or a folder of such files."""
    market: str
    """Symbol of the contract, NQ say."""
    roll: tuple[str, ...] = ()
    """When the next of several contracts (--symbol) is traded, as for `train`: it says which sessions are whose."""
    loader: FileOptions = dataclasses.field(default_factory=Loader)


@dataclasses.dataclass(frozen=True)
class Contracts:
    """List the contracts that are known by symbol: tick, dollars, session, calendar, and the source of each."""


@dataclasses.dataclass(frozen=True)
class Params:
    """List the parameters of market, costs and account: name, default, unit, and what they do."""

    phase: Literal[1, 2] = 1
    """1: choose entries; 2: manage the stop as well."""
    account_life: bool = False
    """Those of an account's whole life, too, which `train` sets from the plan of an account."""


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
    loader: FileOptions = dataclasses.field(default_factory=Loader)


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
    allow_earlier: bool = False
    """Judge bars that are older than those that the run learnt from, too, and say so wherever the result stands."""
    loader: FileOptions = dataclasses.field(default_factory=Loader)

    def check(self) -> None:
        """Refuse what can be told without reading bars. Raises ValueError, FileNotFoundError."""
        check_tried(self.configurations_tried)
        check_dates(self.first, self.until)
        read_settings(self.run_dir)
        check_folder(self.run_dir, "the run's folder")
        if self.data:
            check_sources(self.other)
            check_there(self.other)
            return
        given: dict[str, Any] = {"market": self.market, "roll": self.roll, "from": self.first, "until": self.until}
        given |= {"allow_earlier": self.allow_earlier or None, **self.loader.options()}
        names = [flag(name) for name, value in given.items() if value not in (None, ())]
        if names:
            raise ValueError(f"{' and '.join(names)} without --data: give the file of bars as well")

    @property
    def other(self) -> TradingSettings:
        """Where the other bars come from. Raises ValueError for an unknown symbol."""
        return TradingSettings(
            data=tuple(map(str, self.data)),
            market=tuple(contract(symbol).symbol for symbol in self.market),
            roll=self.roll,
            loader=self.loader.options(),
        )


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
    changes: Annotated[tuple[str, ...], tyro.conf.arg(name="set", help=help_of_set())] = ()
    window: int = 20
    """Bars that an observation shows."""
    account_features: bool = False
    """Let observations show the account's limits."""
    entry_sizes: tuple[int, ...] = ()
    """Sizes that each entry chooses from, in multiples of position_size, the smallest first, 1 2 4 say; by default all
    entries are of one size."""
    curriculum: Literal["original-plan"] | None = None
    """Parameters that change while training goes on. original-plan: trailing limit from 15,000 to 2,500 dollars, stop
    from 2.0 to 1.5 ATR, a quarter to the whole of the commission, half of the episodes to none started in a position.
    Judged is under the last values."""
    configurations_tried: int = 1
    """Settings that were judged before these were chosen, these too; the deflated Sharpe ratio allows for them."""
    loader: FileOptions = dataclasses.field(default_factory=Loader)
    config_file: Annotated[pathlib.Path | None, tyro.conf.arg(name="config")] = None
    """TOML file of options, total-timesteps = 2e6 say, and of parameters under [set]; what is typed wins over it."""
    show_config: bool = False
    """Print all options as such a file, and do nothing else."""

    def check(self) -> None:
        """Refuse what can be told from the arguments alone, before JAX is imported. Raises ValueError, OSError."""
        check_tried(self.configurations_tried)
        if not self.show_config:
            if self.entry_sizes:
                checked_sizes(self.entry_sizes, "--entry-sizes")
            settings = self.settings()
            check_limits(settings.changes, self.phase, settings.account is not None)
            check_sources(settings)
            check_there(settings)
            check_folder(self.folder)

    def settings(self, **more: Any) -> TradingSettings:
        """As they are remembered; raises ValueError for an unknown symbol and for what is no name=value."""
        return TradingSettings(
            phase=self.phase,
            data=tuple(str(path.resolve()) for path in self.data),
            market=tuple(contract(symbol).symbol for symbol in self.market),
            roll=self.roll,
            loader=self.loader.options(),
            changes=self.typed_changes(),
            window=self.window,
            account_features=self.account_features,
            entry_sizes=self.entry_sizes,
            curriculum=self.curriculum,
            **more,
        )

    def typed_changes(self) -> dict[str, float | bool]:
        """What --set says. Raises ValueError."""
        return parse_changes(self.changes, self.phase)

    @property
    def folder(self) -> pathlib.Path:
        """What the command writes to."""
        raise NotImplementedError

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

    def check(self) -> None:
        """Refuse what can be told without reading bars. Raises MissingExtra, ValueError, FileNotFoundError."""
        check_tried(self.configurations_tried)
        if missing := missing_extra():
            raise missing
        read_settings(self.run_dir)
        check_folder(self.run_dir if self.out is None else self.out, "--out" if self.out else "the run's folder")


@dataclasses.dataclass(frozen=True)
class Train(Trading):
    """Train a policy, then walk it once through every session it has not seen; in the folder of a run, go on with it.

    Without --data it trades a built-in synthetic market.
    """

    config: TrainerOptions = TRADER
    options: HostOptions = FitOptions(eval_every=0)
    train_until: str | None = None
    """First date that is held out, 2025-02-15 say; by default the last third of the sessions is."""
    warm_start: pathlib.Path | None = None
    """Folder of a run whose last policy a new run starts from, of phase 1 for phase 2 say; what is new in observations
    has no weight at first. A new action is a nineteenth as likely as HOLD where HOLD alone was legal."""
    account: tuple[str, ...] = ()
    """A plan, topstep-50k say, or a file with one: an episode is then the whole life of such an account, evaluation,
    funded account and payouts; --set changes its rules. `trading-gymnax accounts` lists them. Several take equal turns
    while training goes on, and judged is under the last."""
    reward: Literal["profit", "account-value"] = "profit"
    """What a step pays: its profit, or the change of what the account of --account is still worth to its trader. The
    latter needs a --gamma near 1, 0.9995 say, as payouts are days away."""
    devices: int | None = None
    """Devices that share the environments; one by default. A CPU is as many devices as are asked for, and one for each
    core is the fastest in long trainings."""
    run_dir: pathlib.Path | None = None
    """Folder of the run; runs/<market>-phase<phase> by default."""

    @property
    def folder(self) -> pathlib.Path:
        """The run's folder."""
        return self.run_dir or pathlib.Path("runs") / f"{self.name()}-phase{self.phase}"

    def typed_changes(self) -> dict[str, float | bool]:
        """What --set says, of the account's life as well where there is one. Raises ValueError."""
        return parse_changes(self.changes, self.phase, bool(self.account))

    def settings(self, **more: Any) -> TradingSettings:
        """As they are remembered: under what --set says lie the rules of the plan. Raises ValueError, OSError."""
        settings = super().settings(**more)
        if not self.account:
            if self.reward == "account-value":
                raise ValueError("--reward account-value pays for payouts: give --account with a plan as well")
            return settings
        micros = {symbol.startswith("M") for symbol in settings.market} or {False}
        if len(micros) > 1:
            raise ValueError("--account: a plan limits micro contracts or full ones, and --market names both")
        *before, last = self._rules(settings.changes, micro=micros == {True}).items()
        return dataclasses.replace(
            settings,
            account=last[0],
            accounts_before=dict(before) or None,
            value_discount=self.config.gamma if self.reward == "account-value" else None,
            changes={**last[1], **settings.changes},
        )

    def _rules(self, changes: dict[str, Any], *, micro: bool) -> dict[str, dict[str, Any]]:
        """Rules of the accounts by the names of their plans, as --set leaves them."""
        plans = {plan.name: plan for plan in map(one_plan, self.account)}
        if len(plans) < len(self.account):
            raise ValueError("--account names a plan twice: each takes one turn")
        if len(plans) > 1 and self.curriculum is not None:
            raise ValueError(f"--account with several plans is a curriculum: leave out --curriculum {self.curriculum}")
        rules = {name: life_fields(plan, micro=micro) for name, plan in plans.items()}
        return {name: {field: changes.get(field, x) for field, x in own.items()} for name, own in rules.items()}

    def check(self) -> None:
        """As `Trading.check`, the date too."""
        if self.train_until is not None:
            _date("--train-until", self.train_until)
        super().check()


@dataclasses.dataclass(frozen=True)
class WalkForward(Folds, Trading):
    """Train on sessions of the past and judge on those that follow, fold after fold, with several seeds.

    Sessions that no policy has seen are chained to one equity. Without --data it trades a built-in synthetic market.
    """

    config: TrainerOptions = TRADER
    run_dir: pathlib.Path | None = None
    """Folder to write to; runs/<market>-walk-forward by default."""

    @property
    def folder(self) -> pathlib.Path:
        """The folder to write to."""
        return self.run_dir or pathlib.Path("runs") / f"{self.name()}-walk-forward"

    def check(self) -> None:
        """As `Trading.check`, and that pictures can be drawn and runs are asked for."""
        if self.memory_limit_gb is not None and not self.memory_limit_gb > 0:
            raise ValueError(f"--memory-limit-gb {self.memory_limit_gb:g}: give more than 0")
        if self.seeds < 1:
            raise ValueError(f"--seeds {self.seeds}: a fold needs one run or more")
        if missing := missing_extra():
            raise missing
        super().check()


@dataclasses.dataclass(frozen=True)
class Certify:
    """Train on synthetic markets of known edge, judge on others of their kind, and say whether to trust the build.

    Exit status 0 when it passes, 1 when it is refused. The defaults take some ten minutes on two CPU cores.
    """

    seeds: int = 5
    """Runs on each of the three markets."""
    first_seed: int = 0
    """Seed of the first run; another number gives other tapes and other networks."""
    total_timesteps: int = TRADER.total_timesteps
    """Environment steps of each training."""
    sessions: int = CERTIFIED_SESSIONS
    """Length of each tape, of those learnt from and of those judged on."""
    out: pathlib.Path | None = None
    """JSON file to write the certificate to."""

    def check(self) -> None:
        """Refuse a file that cannot be written, before the work. Raises ValueError."""
        if self.out and (self.out.is_dir() or not self.out.parent.is_dir()):
            raise ValueError(f"--out {self.out} is no file in a folder that exists: name one before the work begins")
