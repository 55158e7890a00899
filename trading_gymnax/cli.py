"""The command line: `trading-gymnax check | train | evaluate | report`."""

from __future__ import annotations

import dataclasses
import difflib
import json
import pathlib
import sys
import warnings
from typing import Annotated, Any, Literal

import jax
import tyro

from trading_gymnax.contracts import contract
from trading_gymnax.data import RTH, DataError, load_bars
from trading_gymnax.judge import Judgement, judge
from trading_gymnax.render import MissingExtra
from trading_gymnax.report import write_report
from trading_gymnax.runs import (
    Split,
    TradingSettings,
    build,
    check_files,
    read_settings,
    write_settings,
)

with warnings.catch_warnings():  # distrax and its own dependencies warn while they are imported
    warnings.simplefilter("ignore")
    from purejaxrl_ppo import CheckpointError, FitOptions, PPOConfig, fit, load_policy

TRADER = PPOConfig(num_envs=256, learning_rate=1e-3, ent_coef=0.003, gae_lambda=0.98)
"""Settings that learn to trade, measured on `synthetic.regime` out of sample: many small iterations rather than few
large ones, and long advantages: one entry decides about twenty bars, and one step in fifteen is a choice."""

_JUDGE_SEED = 1


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
class Train:
    """Train a policy, then walk it once through every session it has not seen; in the folder of a run, go on with it.

    Without --data it trades a built-in synthetic market.
    """

    config: tyro.conf.OmitArgPrefixes[PPOConfig]
    options: tyro.conf.OmitArgPrefixes[FitOptions]
    data: tuple[pathlib.Path, ...] = ()
    """Files of bars, one a market."""
    market: tuple[str, ...] = ()
    """Symbol of each file's contract, NQ say."""
    phase: Literal[1, 2] = 1
    """1: choose entries; 2: manage the stop as well."""
    train_until: str | None = None
    """First date that is held out, 2025-02-15 say; by default the last third of the sessions is."""
    run_dir: pathlib.Path | None = None
    """Folder of the run; runs/<market>-phase<phase> by default."""
    changes: Annotated[tuple[str, ...], tyro.conf.arg(name="set")] = ()
    """Environment parameters as name=value, sl_atr_mult=2.0 say."""
    window: int = 20
    """Bars that an observation shows."""
    account_features: bool = False
    """Let observations show the account's limits."""
    loader: tyro.conf.OmitArgPrefixes[Loader] = dataclasses.field(default_factory=Loader)


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Walk a run's policy through its held-out sessions once more, and print the table."""

    run_dir: tyro.conf.Positional[pathlib.Path]
    """Folder of the run."""
    checkpoint: Literal["best", "last"] = "last"
    """Which of the run's policies; the best one was chosen by its return in training."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Judge a run's policy once more and write what it did: a page that opens without a network, and PNG files."""

    run_dir: tyro.conf.Positional[pathlib.Path]
    """Folder of the run."""
    checkpoint: Literal["best", "last"] = "last"
    """Which of the run's policies; the best one was chosen by its return in training."""
    out: pathlib.Path | None = None
    """Folder to write to; by default `report` in the run's folder."""


_PARTS: dict[str, tuple[type, ...]] = {
    "check": (Check, Loader),
    "train": (Train, Loader, PPOConfig, FitOptions),
    "evaluate": (Evaluate,),
    "report": (Report,),
}
_NO_FLAGS = {"file", "loader", "config", "options"}  # fields that are places or groups of options
_RENAMED = {"changes": "set"}


def main(args: list[str] | None = None) -> None:
    """Run the command line; wrong input ends with one sentence and status 2."""
    args = sys.argv[1:] if args is None else list(args)
    try:
        refuse_unknown(args)
        command = tyro.cli(_commands(), prog="trading-gymnax", args=args, description=__doc__)
        if isinstance(command, Check):
            _check(command)
        elif isinstance(command, Train):
            _train(command)
        elif isinstance(command, Report):
            _report(command)
        else:
            _judge_run(command.run_dir, build(_settings_of(command.run_dir)), command.checkpoint)
    except (ValueError, FileNotFoundError, FloatingPointError, CheckpointError, MissingExtra) as error:
        if "--debug-nans" in args:
            raise  # the trace is what was asked for
        print(f"trading-gymnax: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _commands() -> Any:
    subcommand = tyro.conf.subcommand
    train = Train(config=TRADER, options=FitOptions(eval_every=0))
    return (
        Annotated[Check, subcommand("check")]
        | Annotated[Train, subcommand("train", default=train)]
        | Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Report, subcommand("report")]
    )


def refuse_unknown(args: list[str]) -> None:
    """Raises ValueError for a command or an option that does not exist, with the nearest one that does."""
    if not args or args[0] in ("-h", "--help"):
        return
    if args[0] not in _PARTS:
        raise ValueError(f"there is no command {args[0]!r}{_nearest(args[0], list(_PARTS))}")
    fields = [field.name for part in _PARTS[args[0]] for field in dataclasses.fields(part)]
    names = [_RENAMED.get(name, name).replace("_", "-") for name in fields if name not in _NO_FLAGS]
    flags = [f"--{name}" for name in names]
    known = {*flags, *(f"--no-{name}" for name in names), "--help"}
    for arg in args[1:]:
        flag = arg.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known:
            raise ValueError(f"{args[0]} has no option {flag}{_nearest(flag, flags)}")


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else f": there are {', '.join(names)}"


def _check(command: Check) -> None:
    try:
        print(load_bars(command.file, command.market, **command.loader.options()).report)
    except DataError as refused:
        print(refused.report)
        raise SystemExit(1) from None


def _train(command: Train) -> None:
    settings = TradingSettings(
        phase=command.phase,
        data=tuple(str(path.resolve()) for path in command.data),
        market=tuple(contract(symbol).symbol for symbol in command.market),
        loader=command.loader.options(),
        train_until=command.train_until,
        changes=parse_changes(command.changes),
        window=command.window,
        account_features=command.account_features,
    ).with_digests()
    name = "-".join(settings.market) or "builtin"
    run_dir = command.run_dir or pathlib.Path("runs") / f"{name}-phase{command.phase}"
    split = build(settings)
    print(split.note)
    write_settings(run_dir, settings)
    try:
        result = fit(split.env, split.train_params, command.config, run_dir=run_dir, options=command.options)
    except SystemExit:
        print(f"the same command goes on where it stopped: {_command_line()}")
        raise
    print(f"trained for {result.iterations * command.config.batch_size:,} steps; the run is in {run_dir}\n")
    seen, held_out = _judge_run(run_dir, split, "last")
    try:
        print(f"\n{write_report(run_dir, split, seen, held_out)} shows the rest")
    except MissingExtra as missing:
        print(f"\nno report was written: {missing}")


def _settings_of(run_dir: pathlib.Path) -> TradingSettings:
    settings = read_settings(run_dir)
    check_files(settings)
    return settings


def _report(command: Report) -> None:
    split = build(_settings_of(command.run_dir))
    seen, held_out = _judgements(command.run_dir, split, command.checkpoint)
    page = write_report(command.run_dir, split, seen, held_out, out=command.out)
    print(f"{held_out.verdict}\n{page} and the pictures beside it show the rest")


def _judge_run(
    run_dir: pathlib.Path, split: Split, checkpoint: Literal["best", "last"]
) -> tuple[Judgement, Judgement]:
    seen, held_out = _judgements(run_dir, split, checkpoint)
    print(f"{seen}\n\n{held_out}")
    write_judgement(run_dir, seen, held_out)
    return seen, held_out


def _judgements(
    run_dir: pathlib.Path, split: Split, checkpoint: Literal["best", "last"]
) -> tuple[Judgement, Judgement]:
    """In sample and out of sample."""
    policy = load_policy(run_dir, checkpoint=checkpoint)
    key = jax.random.key(_JUDGE_SEED)
    seen = judge(policy, split.env, split.train_params, key=key, label="in sample", baselines=False)
    held_out = judge(policy, split.env, split.test_params, key=key, label="out of sample")
    return seen, held_out


def write_judgement(run_dir: pathlib.Path, seen: Judgement, held_out: Judgement) -> None:
    """evaluation.json with both tables, and the held-out trades and sessions as CSV files."""
    both = {"in_sample": seen.to_dict(), "out_of_sample": held_out.to_dict()}
    (run_dir / "evaluation.json").write_text(json.dumps(both, indent=2, allow_nan=False) + "\n")
    held_out.evaluation.trades.to_csv(run_dir / "trades.csv", index=False)
    held_out.evaluation.sessions.to_csv(run_dir / "sessions.csv", index=False)


def parse_changes(pairs: tuple[str, ...]) -> dict[str, float | bool]:
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


def _command_line() -> str:
    return " ".join(["trading-gymnax", *sys.argv[1:]])


if __name__ == "__main__":
    main()
