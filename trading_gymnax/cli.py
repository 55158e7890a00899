"""The command line: `trading-gymnax check | audit | train | evaluate | report | certify`."""

from __future__ import annotations

import dataclasses
import functools
import json
import pathlib
import sys
import warnings
from collections.abc import Callable
from typing import Annotated, Any, Literal

import jax
import tyro
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from trading_gymnax.audit import audit_features, feature_table, load_function
from trading_gymnax.certify import SESSIONS, Learner, certify
from trading_gymnax.commands import Audit, Check, Evaluate, Loader, Report, parse_changes
from trading_gymnax.contracts import contract
from trading_gymnax.data import DataError, load_bars
from trading_gymnax.judge import ACCOUNTS, Judgement, judge
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.render import MissingExtra
from trading_gymnax.report import write_report
from trading_gymnax.report_sections import program_version
from trading_gymnax.runs import (
    Split,
    TradingSettings,
    build,
    build_other,
    check_files,
    read_settings,
    write_settings,
)

with warnings.catch_warnings():  # distrax and its own dependencies warn while they are imported
    warnings.simplefilter("ignore")
    from purejaxrl_ppo import CheckpointError, FitOptions, Policy, PPOConfig, fit, load_policy, make_train
    from purejaxrl_ppo.cli_errors import parse
    from purejaxrl_ppo.wrappers import concrete_spec, prepare

TRADER = PPOConfig(num_envs=256, learning_rate=1e-3, ent_coef=0.003, gae_lambda=0.98)
"""Settings that learn to trade, measured on `synthetic.regime` out of sample: many small iterations rather than few
large ones, and long advantages: one entry decides about twenty bars, and one step in fifteen is a choice."""

_JUDGE_SEED = 1


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
    configurations_tried: int = 1
    """Settings that were judged before these were chosen, these too; the deflated Sharpe ratio allows for them."""
    loader: tyro.conf.OmitArgPrefixes[Loader] = dataclasses.field(default_factory=Loader)


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
    sessions: int = SESSIONS
    """Length of each tape, of those learnt from and of those judged on."""
    out: pathlib.Path | None = None
    """JSON file to write the certificate to."""


def main(args: list[str] | None = None) -> None:
    """Run the command line; wrong input ends with one sentence and status 2."""
    args = sys.argv[1:] if args is None else list(args)
    try:
        about = "Day trading of index futures: check bars, train policies, judge them honestly."
        command = parse(_commands(), prog="trading-gymnax", args=args, description=about)
        if getattr(command, "configurations_tried", 1) < 1:
            raise ValueError("--configurations-tried counts the present settings as well: give 1 or more")
        _RUN[type(command)](command)
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
        | Annotated[Audit, subcommand("audit")]
        | Annotated[Train, subcommand("train", default=train)]
        | Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Report, subcommand("report")]
        | Annotated[Certify, subcommand("certify")]
    )


def _check(command: Check) -> None:
    try:
        print(load_bars(command.file, command.market, **command.loader.options()).report)
    except DataError as refused:
        print(refused.report)
        raise SystemExit(1) from None


def _audit(command: Audit) -> None:
    make = load_function(command.features)
    table = feature_table(command.file, command.market, **command.loader.options())
    found = audit_features(make, table, command.cuts)
    print(found)
    if not found.passed:
        raise SystemExit(1)


def _train(command: Train) -> None:
    version, _, commit = program_version().partition(", commit ")
    settings = TradingSettings(
        phase=command.phase,
        data=tuple(str(path.resolve()) for path in command.data),
        market=tuple(contract(symbol).symbol for symbol in command.market),
        loader=command.loader.options(),
        train_until=command.train_until,
        changes=parse_changes(command.changes),
        window=command.window,
        account_features=command.account_features,
        version=version,
        commit=commit or None,
    ).with_digests()
    name = "-".join(settings.market) or "builtin"
    run_dir = command.run_dir or pathlib.Path("runs") / f"{name}-phase{command.phase}"
    split = build(settings)
    print(split.note)
    write_settings(run_dir, settings)
    started_by = read_settings(run_dir).commit
    if started_by not in (None, settings.commit):
        print(f"the run was started by commit {started_by}; this is {program_version()}")
    try:
        result = fit(split.env, split.train_params, command.config, run_dir=run_dir, options=command.options)
    except SystemExit:
        print(f"the same command goes on where it stopped: {_command_line()}")
        raise
    print(f"trained for {result.iterations * command.config.batch_size:,} steps; the run is in {run_dir}\n")
    seen, held_out = _judge_run(run_dir, split, "last", command.configurations_tried)
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
    seen, held_out = _judgements(command.run_dir, split, command.checkpoint, command.configurations_tried)
    page = write_report(command.run_dir, split, seen, held_out, out=command.out)
    print(f"{held_out.verdict}\n{page} and the pictures beside it show the rest")


def _evaluate(command: Evaluate) -> None:
    settings = _settings_of(command.run_dir)
    loader = command.loader.options()
    if command.data:
        other = TradingSettings(
            data=tuple(map(str, command.data)),
            market=tuple(contract(symbol).symbol for symbol in command.market),
            loader=loader,
        )
        _judge_other(command, build_other(settings, command.first, command.until, other))
        return
    given = {"market": command.market, "from": command.first, "until": command.until, **loader}
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value not in (None, ())]
    if names:
        raise ValueError(f"{' and '.join(names)} without --data: give the file of bars as well")
    _judge_run(command.run_dir, build(settings), command.checkpoint, command.configurations_tried)


def _judge_other(command: Evaluate, split: Split) -> None:
    print(f"{split.note}\n")
    policy = load_policy(command.run_dir, checkpoint=command.checkpoint)
    key, tried = jax.random.key(_JUDGE_SEED), command.configurations_tried
    look = functools.partial(judge, policy, split.env, split.test_params, key=key, label="out of sample")
    found = look(configurations_tried=tried, accounts=ACCOUNTS)
    print(found)
    path = command.run_dir / f"evaluation-{'-'.join(path.stem for path in command.data)}.json"
    values = {"data": [str(path) for path in command.data], "note": split.note, "out_of_sample": found.to_dict()}
    path.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n")


def _certify(command: Certify) -> None:
    if command.out and (command.out.is_dir() or not command.out.parent.is_dir()):
        raise ValueError(f"--out {command.out} is no file in a folder that exists: name one before the work begins")
    config = dataclasses.replace(TRADER, total_timesteps=command.total_timesteps)
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("certify")

        def tell(done: int, total: int, what: str) -> None:
            bar.update(task, completed=done, total=total, description=what)
            if not console.is_terminal:
                console.print(f"{done} of {total}: {what}")

        learn = ppo_learner(config)
        certificate = certify(
            learn, seeds=command.seeds, first_seed=command.first_seed, sessions=command.sessions, progress=tell
        )
    print(f"{program_version()}, PPO with {config.num_iterations * config.batch_size:,} steps a run\n\n{certificate}")
    if command.out:
        made = {"commit": program_version(), "trainer": config.to_dict()}
        command.out.write_text(json.dumps({**made, **certificate.to_dict()}, indent=2, allow_nan=False) + "\n")
    if not certificate.passed:
        raise SystemExit(1)


def ppo_learner(config: PPOConfig) -> Learner:
    """`certify`'s learner: trains with PPO and returns the policy of most probable actions. Compiles once."""
    config = dataclasses.replace(config, total_timesteps=config.num_iterations * config.batch_size)
    programs: dict[Any, Any] = {}

    def learn(env: TradingPhase1, params: Any, seed: int) -> Policy:
        train = programs.setdefault(env, jax.jit(make_train(env, config)))
        state = train(jax.random.key(seed), params).state
        return Policy(state.params, state.obs_moments, concrete_spec(prepare(env, params)[1]), config, sampled=False)

    return learn


def _judge_run(
    run_dir: pathlib.Path, split: Split, checkpoint: Literal["best", "last"], tried: int
) -> tuple[Judgement, Judgement]:
    seen, held_out = _judgements(run_dir, split, checkpoint, tried)
    print(f"{seen}\n\n{held_out}")
    write_judgement(run_dir, seen, held_out)
    return seen, held_out


def _judgements(
    run_dir: pathlib.Path, split: Split, checkpoint: Literal["best", "last"], tried: int
) -> tuple[Judgement, Judgement]:
    """In sample and out of sample."""
    policy = load_policy(run_dir, checkpoint=checkpoint)
    look = functools.partial(judge, policy, split.env, key=jax.random.key(_JUDGE_SEED), configurations_tried=tried)
    seen = look(split.train_params, label="in sample", baselines=False)
    held_out = look(split.test_params, label="out of sample", accounts=ACCOUNTS)
    return seen, held_out


def write_judgement(run_dir: pathlib.Path, seen: Judgement, held_out: Judgement) -> None:
    """evaluation.json with both tables, and the held-out trades and sessions as CSV files."""
    both = {"in_sample": seen.to_dict(), "out_of_sample": held_out.to_dict()}
    (run_dir / "evaluation.json").write_text(json.dumps(both, indent=2, allow_nan=False) + "\n")
    held_out.evaluation.trades.to_csv(run_dir / "trades.csv", index=False)
    held_out.evaluation.sessions.to_csv(run_dir / "sessions.csv", index=False)


def _command_line() -> str:
    return " ".join(["trading-gymnax", *sys.argv[1:]])


_RUN: dict[type, Callable[[Any], None]] = {
    Check: _check,
    Audit: _audit,
    Train: _train,
    Evaluate: _evaluate,
    Report: _report,
    Certify: _certify,
}


if __name__ == "__main__":
    main()
