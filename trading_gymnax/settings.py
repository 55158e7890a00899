"""A run's settings: what it trades and by which rules, and the file that remembers it. Without JAX."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
from typing import Any

SETTINGS_FILE = "trading.json"
BUILT_IN_SESSIONS = 300  # of the built-in market; a policy learns the pattern from these, and not the tape by heart
CERTIFIED_SESSIONS = 500  # of each tape of a certificate
GAP_MINUTES = 10.0  # silence of a live feed after which an open position is closed

_NOT_COMPARED = ("version", "commit", "warm_start")  # of the program; and what a run that goes on has no need of


@dataclasses.dataclass(frozen=True)
class TradingSettings:
    """All that is needed to build a run's environment again; plain JSON values."""

    phase: int = 1
    data: tuple[str, ...] = ()  # files; none: the built-in synthetic market
    market: tuple[str, ...] = ()  # a symbol for each file; contracts of one market have the same
    roll: tuple[str, ...] = ()  # "volume", or the dates on which the next contract is traded
    loader: dict[str, Any] = dataclasses.field(default_factory=dict)  # options of load_bars
    train_until: str | None = None  # first date that is held out; None: the last third of the usable sessions
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)  # environment parameters
    window: int = 20
    account_features: bool = False
    entry_sizes: tuple[int, ...] = ()  # that an entry chooses from; none: of one size
    account: str | None = None  # a plan whose whole life an episode is; its rules stand in `changes`
    accounts_before: dict[str, dict[str, Any]] | None = None  # rules of plans that take turns before it, by name
    value_discount: float | None = None  # paid for the account's value, at this discount; None: for profit
    curriculum: str | None = None  # a name of `CURRICULA`
    warm_start: str | None = None  # folder of the run whose policy it starts from
    digests: tuple[str, ...] = ()  # SHA-256 of each file, filled in by `with_digests`
    version: str | None = None  # of the program that the run was started with; None: not known
    commit: str | None = None  # of its source, where that was known

    def with_digests(self) -> TradingSettings:
        """The same settings that remember the files' contents. Raises FileNotFoundError."""
        check_there(self)
        return dataclasses.replace(self, digests=tuple(_digest(path) for path in self.data))

    @property
    def files(self) -> dict[str, list[str]]:
        """The files of each market, by symbol."""
        files: dict[str, list[str]] = {}
        for symbol, path in zip(self.market, self.data, strict=True):
            files.setdefault(symbol, []).append(path)
        return files

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON has them."""
        return dict(json.loads(json.dumps(dataclasses.asdict(self))))


def check_sources(settings: TradingSettings) -> None:
    """See that files, markets and rolls go together, and that the files are there; nothing is read.

    Raises ValueError, FileNotFoundError.
    """
    if not settings.data:
        if settings.market or settings.loader or settings.roll:
            given = ["--market"] * bool(settings.market) + ["--roll"] * bool(settings.roll)
            given += [flag(name) for name in settings.loader]
            raise ValueError(f"{' and '.join(given)} without --data: give the file of bars as well")
        return
    if len(settings.market) != len(settings.data):
        raise ValueError(
            f"--data names {len(settings.data)} files and --market {len(settings.market)} contracts; "
            "give one contract for each file, for example --market NQ"
        )
    rolled = [symbol for symbol, paths in settings.files.items() if len(paths) > 1]
    if rolled and not settings.roll:
        raise ValueError(
            f"--market names {rolled[0]} for {len(settings.files[rolled[0]])} files: say when the next contract is "
            "traded, --roll volume or --roll with the date of its first session, or put the bars of one contract into "
            "one file"
        )
    if settings.roll and not rolled and len(settings.loader.get("symbol", ())) < 2:
        raise ValueError(
            "--roll needs two or more files of one market, --data h25.csv m25.csv --market NQ NQ say, or two or more "
            "instruments of one file, --symbol NQH5 NQM5: "
            f"here is one for each of {', '.join(settings.files)}"
        )


def check_there(settings: TradingSettings) -> None:
    """Raises FileNotFoundError for a file of bars that is not there."""
    for path in settings.data:
        if not pathlib.Path(path).is_file():
            raise FileNotFoundError(f"there is no file {path}")


def write_settings(run_dir: pathlib.Path, settings: TradingSettings) -> None:
    """Remember the settings in the run's folder, or refuse a folder that remembers others; the program may differ.

    Raises ValueError listing the differences.
    """
    path = run_dir / SETTINGS_FILE
    if path.is_file():
        _refuse_others(run_dir, read_settings(run_dir).to_dict(), settings.to_dict())
        return
    if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
        raise ValueError(f"{run_dir} exists and holds no run of trading-gymnax: choose another --run-dir")
    run_dir.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(settings.to_dict(), indent=2) + "\n")
    partial.replace(path)


def read_settings(run_dir: pathlib.Path) -> TradingSettings:
    """What `write_settings` remembered. Raises FileNotFoundError for a folder without it."""
    path = run_dir / SETTINGS_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{run_dir} holds no run of trading-gymnax: there is no {SETTINGS_FILE} in it")
    try:
        values = dict(json.loads(path.read_text()))
        tuples = {name: tuple(values.get(name, ())) for name in ("data", "market", "roll", "entry_sizes", "digests")}
        return TradingSettings(**{**values, **tuples})
    except (ValueError, TypeError) as error:
        text = f"{path} is damaged ({error}): restore it from a copy, or use another --run-dir"
        raise ValueError(" ".join(text.split())) from error


def check_files(settings: TradingSettings) -> None:
    """See that the run's files are still those that it was trained on.

    Raises ValueError for one that has changed, FileNotFoundError for one that is gone.
    """
    check_there(settings)
    for path, digest in zip(settings.data, settings.digests, strict=True):
        if _digest(path) != digest:
            raise ValueError(f"{path} has changed since the run was trained on it; train a new run on it")


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _refuse_others(run_dir: pathlib.Path, there: dict[str, Any], asked: dict[str, Any]) -> None:
    names = [name for name in asked if name not in _NOT_COMPARED and there[name] != asked[name]]
    found = [f"{name}: {there[name]!r} there, {asked[name]!r} now" for name in names]
    if found:
        raise ValueError(
            f"{run_dir} holds a run with other settings; choose another --run-dir, or the same settings. "
            f"Differences: {'; '.join(found)}"
        )


def flag(name: str) -> str:
    """An option by the name of its field."""
    return "--" + name.replace("_", "-")
