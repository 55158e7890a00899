"""The command line `trading-gymnax`: what each command does."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import pathlib
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import jax
import tyro

from trading_gymnax.cli import live, skill
from trading_gymnax.cli.commands import Audit, Check, Contracts, Evaluate, Folds, Params, Report, Trading
from trading_gymnax.cli.config_file import config_path, config_text, merged, read_config
from trading_gymnax.cli.learners import TRADER, device_note, ppo_fold_learner, ppo_learner, trader_for
from trading_gymnax.cli.looks import looking
from trading_gymnax.cli.progress import told
from trading_gymnax.cli.resume import keep_run, kept_runs, open_folder
from trading_gymnax.cli.values import params_text, typed_parameters
from trading_gymnax.data.audit import audit_features, feature_table, load_function
from trading_gymnax.data.contracts import contract, contract_lines
from trading_gymnax.data.loader import DataError, load_bars
from trading_gymnax.evaluation.certify import SESSIONS, certify
from trading_gymnax.render import MissingExtra, missing_extra, new_picture
from trading_gymnax.report.judge import ACCOUNTS, Judgement, judge
from trading_gymnax.report.sections import program_version
from trading_gymnax.report.walkforward_files import write_walk_forward
from trading_gymnax.report.write import trainer_settings, write_report
from trading_gymnax.runs import (
    Split,
    TradingSettings,
    build,
    build_environment,
    build_other,
    check_files,
    check_warm_start,
    read_settings,
    schedule_of,
    write_settings,
)
from trading_gymnax.skill.ledger import Tries
from trading_gymnax.synthetic import SYNTH
from trading_gymnax.text import count_text
from trading_gymnax.walkforward.folds import walk_forward
from trading_gymnax.walkforward.run import run_walk_forward

with warnings.catch_warnings():  # distrax and its own dependencies warn while they are imported
    warnings.simplefilter("ignore")
    from purejaxrl_ppo import (
        TRACEBACK,
        CheckpointError,
        FitOptions,
        Policy,
        PPOConfig,
        check_memory,
        fit,
        load_policy,
        memory_in_words,
        parse_command_line,
        use_compilation_cache,
        wants_trace,
    )

_JUDGE_SEED = 1
_TAPE_BYTES = 137  # of a bar of a synthetic market: 57 in its table, 80 in `MarketData`


@dataclasses.dataclass(frozen=True)
class Train(Trading):
    """Train a policy, then walk it once through every session it has not seen; in the folder of a run, go on with it.

    Without --data it trades a built-in synthetic market.
    """

    config: tyro.conf.OmitArgPrefixes[PPOConfig] = TRADER
    options: tyro.conf.OmitArgPrefixes[FitOptions] = FitOptions(eval_every=0)
    train_until: str | None = None
    """First date that is held out, 2025-02-15 say; by default the last third of the sessions is."""
    warm_start: pathlib.Path | None = None
    """Folder of a run whose last policy a new run starts from, of phase 1 for phase 2 say; what is new in observations
    has no weight at first. A new action is a nineteenth as likely as HOLD where HOLD alone was legal."""
    run_dir: pathlib.Path | None = None
    """Folder of the run; runs/<market>-phase<phase> by default."""


@dataclasses.dataclass(frozen=True)
class WalkForward(Folds, Trading):
    """Train on sessions of the past and judge on those that follow, fold after fold, with several seeds.

    Sessions that no policy has seen are chained to one equity. Without --data it trades a built-in synthetic market.
    """

    config: tyro.conf.OmitArgPrefixes[PPOConfig] = TRADER
    run_dir: pathlib.Path | None = None
    """Folder to write to; runs/<market>-walk-forward by default."""


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
    """Run the command line; wrong input ends with one sentence and status 2, a fault of ours with its trace and 1."""
    if args is None:  # a process of its own, and not a call from Python
        use_compilation_cache()
    typed = sys.argv[1:] if args is None else list(args)
    args = [arg for arg in typed if arg != TRACEBACK]
    try:
        command = _command(args)
        if getattr(command, "configurations_tried", 1) < 1:
            raise ValueError("--configurations-tried counts the present settings as well: give 1 or more")
        if getattr(command, "show_config", False):
            print(config_text(command))
            return
        with memory_in_words(args[0], _LOWER.get(type(command), "the number of bars")):
            _RUN[type(command)](command)
    except BrokenPipeError:
        raise  # nobody reads: no sentence either
    except (ValueError, OSError, FloatingPointError, CheckpointError, MissingExtra, MemoryError) as error:
        if wants_trace(error, typed, "trading_gymnax", "purejaxrl_ppo"):
            raise
        print(f"trading-gymnax: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        rest = "; the same command goes on from the last checkpoint" if args[:1] == ["train"] else ""
        print(f"trading-gymnax: stopped at once{rest}", file=sys.stderr)
        raise SystemExit(130) from None


def _command(args: list[str]) -> Any:
    """The command that was typed, on top of the file of options that it names."""
    trader = _trader(args)

    def read(args: list[str], base: Any = None) -> Any:
        about = "Day trading of index futures: check bars, train policies, judge them honestly."
        commands = _commands(trader, base)
        return parse_command_line(
            commands, prog="trading-gymnax", args=args, description=about, elsewhere=typed_parameters()
        )

    path = config_path(args) if args[:1] and args[0] in ("train", "walk-forward") else None
    if path is None:
        return read(args)
    base = read_config(path, args[0], read)
    return merged(read(args, base), base)


def _trader(args: Sequence[str]) -> PPOConfig:
    """The trainer's settings by default: those of the device for a command that trains, and else of a CPU.

    To ask for the device starts it, which help and mistakes need not wait for.
    """
    trains = args[:1] and args[0] in ("train", "walk-forward") and not {"-h", "--help"} & set(args)
    return trader_for(jax.default_backend()) if trains else TRADER


def _commands(trader: PPOConfig = TRADER, base: Any = None) -> Any:
    """The commands, of which those that train have `trader` as their settings by default, or all options of `base`."""
    subcommand = tyro.conf.subcommand
    train = base if isinstance(base, Train) else Train(config=trader)
    walk_forward = base if isinstance(base, WalkForward) else WalkForward(config=trader)
    return (
        Annotated[Check, subcommand("check")]
        | Annotated[Contracts, subcommand("contracts")]
        | Annotated[Params, subcommand("params")]
        | Annotated[Audit, subcommand("audit")]
        | Annotated[Train, subcommand("train", default=train)]
        | Annotated[WalkForward, subcommand("walk-forward", default=walk_forward)]
        | skill.COMMANDS
        | Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Report, subcommand("report")]
        | Annotated[Certify, subcommand("certify")]
        | Annotated[live.Live, subcommand("live")]
        | Annotated[live.Paper, subcommand("paper")]
        | Annotated[live.Reconcile, subcommand("reconcile")]
        | Annotated[live.Export, subcommand("export")]
    )


def _check(command: Check) -> None:
    try:
        print(load_bars(command.file, command.market, **command.loader.options_of_one()).report)
    except DataError as refused:
        print(refused.report)
        raise SystemExit(1) from None


def _contracts(command: Contracts) -> None:
    print("\n".join(contract_lines()))


def _params(command: Params) -> None:
    print(params_text(command.phase))


def _audit(command: Audit) -> None:
    make = load_function(command.features)
    table = feature_table(command.file, command.market, **command.loader.options_of_one())
    found = audit_features(make, table, command.cuts)
    print(found)
    if not found.passed:
        raise SystemExit(1)


def _train(command: Train) -> None:
    missing = missing_extra()
    if missing:
        print(f"no report will be written: {missing}")
    version, _, commit = program_version().partition(", commit ")
    start = str(command.warm_start.resolve()) if command.warm_start else None
    settings = command.settings(
        train_until=command.train_until, warm_start=start, version=version, commit=commit or None
    ).with_digests()
    policy = _warm_start(command, settings)
    run_dir = command.run_dir or pathlib.Path("runs") / f"{command.name()}-phase{command.phase}"
    split = build(settings)
    print(split.note)
    if jax.default_backend() != "cpu":
        print(device_note(jax.default_backend(), command.config))
    write_settings(run_dir, settings)
    started_by = read_settings(run_dir).commit
    if started_by not in (None, settings.commit):
        print(f"the run was started by commit {started_by}; this is {program_version()}")
    try:
        result = fit(
            split.env,
            split.learning_params,
            command.config,
            run_dir=run_dir,
            options=command.options,
            params_schedule=split.schedule,
            eval_params=split.train_params if split.schedule else None,
            warm_start=policy,
        )
    except SystemExit:
        print(f"the same command goes on where it stopped: {_command_line()}")
        raise
    print(f"trained for {result.iterations * command.config.batch_size:,} steps; the run is in {run_dir}\n")
    seen, held_out = _judge_run(run_dir, split, "last", command.configurations_tried)
    if not missing:
        print(f"\n{write_report(run_dir, split, seen, held_out)} shows the rest")


def _warm_start(command: Train, settings: TradingSettings) -> Policy | None:
    """The policy to start from. Raises ValueError where it does not fit, FileNotFoundError where there is none."""
    if command.warm_start is None:
        return None
    check_warm_start(settings, read_settings(command.warm_start))
    policy = load_policy(command.warm_start, checkpoint="last")
    for name in ("hidden_sizes", "shared_torso", "recurrent", "gru_size"):
        there, here = getattr(policy.config, name), getattr(command.config, name)
        if there != here and (name != "gru_size" or command.config.recurrent):
            raise ValueError(
                f"the policy to start from, {command.warm_start}, has {name}={there}: use it here, too, not {here}"
            )
    return policy


def _settings_of(run_dir: pathlib.Path) -> TradingSettings:
    settings = read_settings(run_dir)
    check_files(settings)
    return settings


def _report(command: Report) -> None:
    missing = missing_extra()
    if missing:
        raise missing
    split = build(_settings_of(command.run_dir))
    seen, held_out, counted = _judgements(command.run_dir, split, command.checkpoint, command.configurations_tried)
    page = write_report(command.run_dir, split, seen, held_out, out=command.out)
    print(f"{held_out.verdict}\n{counted}\n{page} and the pictures beside it show the rest")


def _evaluate(command: Evaluate) -> None:
    settings = _settings_of(command.run_dir)
    loader = command.loader.options()
    if command.data:
        other = TradingSettings(
            data=tuple(map(str, command.data)),
            market=tuple(contract(symbol).symbol for symbol in command.market),
            roll=command.roll,
            loader=loader,
        )
        _judge_other(command, build_other(settings, command.first, command.until, other))
        return
    given = {"market": command.market, "roll": command.roll, "from": command.first, "until": command.until, **loader}
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value not in (None, ())]
    if names:
        raise ValueError(f"{' and '.join(names)} without --data: give the file of bars as well")
    _judge_run(command.run_dir, build(settings), command.checkpoint, command.configurations_tried)


def _judge_other(command: Evaluate, split: Split) -> None:
    print(f"{split.note}\n")
    policy = load_policy(command.run_dir, checkpoint=command.checkpoint)
    settings, typed = read_settings(command.run_dir), command.configurations_tried
    views, config = [split.test_params.market], trainer_settings(command.run_dir)
    look = looking("evaluate", command.run_dir, settings, views, typed, config=config, checkpoint=command.checkpoint)
    judged = functools.partial(judge, policy, split.env, split.test_params, label="out of sample", accounts=ACCOUNTS)
    found = judged(key=jax.random.key(_JUDGE_SEED), configurations_tried=look.tried)
    print(f"{found}\n{look.taken(found.evaluation.sessions)}")
    path = command.run_dir / f"evaluation-{'-'.join(path.stem for path in command.data)}.json"
    values = {"data": [str(path) for path in command.data], "note": split.note, "out_of_sample": found.to_dict()}
    path.write_text(json.dumps(values, indent=2, allow_nan=False) + "\n")


def _certify(command: Certify) -> None:
    if command.out and (command.out.is_dir() or not command.out.parent.is_dir()):
        raise ValueError(f"--out {command.out} is no file in a folder that exists: name one before the work begins")
    config = dataclasses.replace(TRADER, total_timesteps=command.total_timesteps)
    tapes = {"the number of sessions": command.sessions * SYNTH.session_minutes * _TAPE_BYTES}
    check_memory("certify", tapes)
    learn = ppo_learner(config)
    with told("certify") as tell:
        certificate = certify(
            learn, seeds=command.seeds, first_seed=command.first_seed, sessions=command.sessions, progress=tell
        )
    print(f"{program_version()}, PPO with {config.num_iterations * config.batch_size:,} steps a run\n\n{certificate}")
    if command.out:
        made = {"commit": program_version(), "trainer": config.to_dict()}
        command.out.write_text(json.dumps({**made, **certificate.to_dict()}, indent=2, allow_nan=False) + "\n")
    if not certificate.passed:
        raise SystemExit(1)


def _walk_forward(command: WalkForward) -> None:
    settings = command.settings().with_digests()
    limit = command.memory_limit_gb
    if limit is not None and not limit > 0:
        raise ValueError(f"--memory-limit-gb {limit:g}: give more than 0")
    schedule, env = schedule_of(settings), build_environment(settings)
    named = ("train_sessions", "test_sessions", "step", "anchored", "embargo_sessions")
    sizes = {name: getattr(command, name) for name in named}
    folds = list(walk_forward(env.default_params.market, **sizes))
    if command.seeds < 1:
        raise ValueError(f"--seeds {command.seeds}: a fold needs one run or more")
    run_dir = command.run_dir or pathlib.Path("runs") / f"{command.name()}-walk-forward"
    config = dataclasses.replace(
        command.config, total_timesteps=command.config.num_iterations * command.config.batch_size
    )
    new_picture(1, 1)  # what is missing is told before the work, not after it
    asked = {**settings.to_dict(), **sizes, "seeds": command.seeds, "trainer": config.to_dict()}
    open_folder(run_dir, asked)
    tests, typed = [fold.test for fold in folds], command.configurations_tried
    look = looking("walk-forward", run_dir, settings, tests, typed, sizes=sizes, config=config.to_dict())
    learn = ppo_fold_learner(config, schedule, limit)
    with told("walk-forward") as tell:
        found = run_walk_forward(
            learn,
            env,
            folds,
            seeds=command.seeds,
            schedule=schedule,
            configurations_tried=look.tried,
            known=kept_runs(run_dir),
            keep=functools.partial(keep_run, run_dir),
            progress=tell,
        )
    nets = found.nets().mean(axis=1).rename("net_usd").reset_index()
    runs = f"{count_text(len(folds), 'fold')} x {count_text(command.seeds, 'seed')}"
    text = (
        f"{program_version()}: {', '.join(env.default_params.market.symbols)}, phase {command.phase}, {runs}, PPO with "
        f"{config.total_timesteps:,} steps a run\n\n{found}\n{look.taken(nets)}"
    )
    changes = {name: str(x) if math.isinf(x) else x for name, x in settings.changes.items()}
    remembered = dataclasses.replace(settings, changes=changes).to_dict()
    made = {"commit": program_version(), "settings": remembered, "walk_forward": sizes}
    picture = write_walk_forward(run_dir, found, text, {**made, "trainer": config.to_dict()})
    print(f"{text}\n\n{picture} shows it; figures and sessions lie beside it")


def _judge_run(
    run_dir: pathlib.Path, split: Split, checkpoint: Literal["best", "last"], tried: int
) -> tuple[Judgement, Judgement]:
    seen, held_out, counted = _judgements(run_dir, split, checkpoint, tried)
    print(f"{seen}\n\n{held_out}\n{counted}")
    write_judgement(run_dir, seen, held_out)
    return seen, held_out


def _judgements(
    run_dir: pathlib.Path, split: Split, checkpoint: Literal["best", "last"], typed: int
) -> tuple[Judgement, Judgement, Tries]:
    """In sample and out of sample, and what the ledger says of so many looks at the latter."""
    policy = load_policy(run_dir, checkpoint=checkpoint)
    settings, config = read_settings(run_dir), trainer_settings(run_dir)
    look = looking(
        "evaluate", run_dir, settings, [split.test_params.market], typed, config=config, checkpoint=checkpoint
    )
    judged = functools.partial(
        judge, policy, split.env, key=jax.random.key(_JUDGE_SEED), configurations_tried=look.tried
    )
    seen = judged(split.train_params, label="in sample", baselines=False)
    held_out = judged(split.test_params, label="out of sample", accounts=ACCOUNTS)
    return seen, held_out, look.taken(held_out.evaluation.sessions)


def write_judgement(run_dir: pathlib.Path, seen: Judgement, held_out: Judgement) -> None:
    """evaluation.json with both tables, and the held-out trades and sessions as CSV files."""
    both = {"in_sample": seen.to_dict(), "out_of_sample": held_out.to_dict()}
    (run_dir / "evaluation.json").write_text(json.dumps(both, indent=2, allow_nan=False) + "\n")
    held_out.evaluation.trades.to_csv(run_dir / "trades.csv", index=False)
    held_out.evaluation.sessions.to_csv(run_dir / "sessions.csv", index=False)


def _command_line() -> str:
    return " ".join(["trading-gymnax", *sys.argv[1:]])


_LOWER = {
    Train: "num_envs, num_steps, hidden_sizes, window or the number of bars",
    WalkForward: "num_envs, num_steps, hidden_sizes, window or the number of bars",
    Certify: "the number of sessions",
    **skill.LOWER,
}
_RUN: dict[type, Callable[[Any], None]] = {
    Check: _check,
    Contracts: _contracts,
    Params: _params,
    Audit: _audit,
    Train: _train,
    Evaluate: _evaluate,
    Report: _report,
    Certify: _certify,
    WalkForward: _walk_forward,
    live.Live: live.live,
    live.Paper: live.paper,
    live.Reconcile: live.run_reconcile,
    live.Export: live.export,
    **skill.RUN,
}


if __name__ == "__main__":
    main()
