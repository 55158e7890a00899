"""What `train`, `walk-forward` and `certify` do."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import pathlib
import shlex
import sys
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.cli.commands import Certify, Report, Train, WalkForward
from trading_gymnax.cli.folded import FoldedPolicy, folds_of_bars, keeping, kept_policies, tested_view
from trading_gymnax.cli.judging import judge_run, write_page
from trading_gymnax.cli.learners import ppo_fold_learner, ppo_learner
from trading_gymnax.cli.looks import looking
from trading_gymnax.cli.progress import told
from trading_gymnax.cli.resume import keep_run, kept_runs, open_folder
from trading_gymnax.cli.stored import JUDGE_SEED
from trading_gymnax.cli.trader import TRADER, device_note
from trading_gymnax.evaluation.certify import certify as certificate_of
from trading_gymnax.extras import missing_extra
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.report.judge import ACCOUNTS, judge
from trading_gymnax.report.walkforward_files import write_walk_forward
from trading_gymnax.report.write import write_report
from trading_gymnax.runs import (
    Split,
    TradingSettings,
    build,
    build_environment,
    check_warm_start,
    final_params,
    read_settings,
    schedule_of,
    write_settings,
)
from trading_gymnax.synthetic import SYNTH
from trading_gymnax.text import count_text
from trading_gymnax.version import program_version
from trading_gymnax.walkforward.folds import Fold
from trading_gymnax.walkforward.folds import walk_forward as folds_of
from trading_gymnax.walkforward.run import run_walk_forward

with warnings.catch_warnings():  # distrax and its own dependencies warn while they are imported
    warnings.simplefilter("ignore")
    from purejaxrl_ppo import Policy, check_memory, fit, load_policy, make_mesh, make_trainer

_TAPE_BYTES = 137  # of a bar of a synthetic market: 57 in its table, 80 in `MarketData`


def train(command: Train) -> None:
    """Train, judge in and out of sample, write the report."""
    missing = missing_extra()
    if missing:
        print(f"no report will be written: {missing}")
    version, _, commit = program_version().partition(", commit ")
    start = str(command.warm_start.resolve()) if command.warm_start else None
    settings = command.settings(
        train_until=command.train_until, warm_start=start, version=version, commit=commit or None
    ).with_digests()
    policy = _warm_start(command, settings)
    run_dir = command.folder
    split = build(settings)
    print(split.note)
    mesh = None if command.devices is None else make_mesh(command.devices)
    make_trainer(split.env, command.config, split.schedule, mesh=mesh)  # refuses what cannot be shared out evenly
    if jax.default_backend() != "cpu":
        print(device_note(jax.default_backend(), command.config))
    write_settings(run_dir, settings)
    started_by = read_settings(run_dir).commit
    if started_by not in (None, settings.commit):
        print(f"the run was started by commit {started_by}; this is {program_version()}")
    result = fit(
        split.env,
        split.learning_params,
        command.config,
        run_dir=run_dir,
        options=command.options,
        params_schedule=split.schedule,
        eval_params=split.train_params if split.schedule else None,
        warm_start=policy,
        mesh=mesh,
        env_source={"typed": {"resume": _command_line(), "evaluate": f"trading-gymnax evaluate {run_dir}"}},
        return_unit=_return_unit(split.learning_params),
        made_from=json.dumps(settings.to_dict(), sort_keys=True),
    )
    print(f"trained for {result.iterations * command.config.batch_size:,} steps; the run is in {run_dir}\n")
    seen, held_out = judge_run(run_dir, split, "last", command.configurations_tried)
    if not missing:
        page = write_page(Report(run_dir, configurations_tried=command.configurations_tried), split, seen, held_out)
        print(f"\n{page} shows the rest")


def _return_unit(params: Any) -> str:
    """What a return is counted in: R, the ordinary stop's dollars, where rewards are profits and nothing besides."""
    scale = np.asarray(params.reward_scale)
    if scale.size != 1 or float(params.pass_reward) or float(params.violation_penalty):
        return "reward an episode"
    return f"R (${float(scale.item()):,.0f}) an episode"


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


def certify(command: Certify) -> None:
    """Train on markets of known edge, and say whether the build passes."""
    config = dataclasses.replace(TRADER, total_timesteps=command.total_timesteps)
    tapes = {"the number of sessions": command.sessions * SYNTH.session_minutes * _TAPE_BYTES}
    check_memory("certify", tapes)
    learn = ppo_learner(config)
    with told("certify") as tell:
        certificate = certificate_of(
            learn, seeds=command.seeds, first_seed=command.first_seed, sessions=command.sessions, progress=tell
        )
    print(f"{program_version()}, PPO with {config.num_iterations * config.batch_size:,} steps a run\n\n{certificate}")
    if command.out:
        made = {"commit": program_version(), "trainer": config.to_dict()}
        command.out.write_text(json.dumps({**made, **certificate.to_dict()}, indent=2, allow_nan=False) + "\n")
    if not certificate.passed:
        raise SystemExit(1)


def walk_forward(command: WalkForward) -> None:
    """Train and judge fold after fold."""
    settings = command.settings().with_digests()
    schedule, env = schedule_of(settings), build_environment(settings)
    named = ("train_sessions", "test_sessions", "step", "anchored", "embargo_sessions")
    sizes = {name: getattr(command, name) for name in named}
    folds = list(folds_of(env.default_params.market, **sizes))
    run_dir = command.folder
    config = dataclasses.replace(
        command.config, total_timesteps=command.config.num_iterations * command.config.batch_size
    )
    asked = {**settings.to_dict(), **sizes, "seeds": command.seeds, "trainer": config.to_dict()}
    open_folder(run_dir, asked)
    tests, typed = [fold.test for fold in folds], command.configurations_tried
    look = looking("walk-forward", run_dir, settings, tests, typed, sizes=sizes, config=config.to_dict())
    learn = keeping(run_dir, ppo_fold_learner(config, schedule, command.memory_limit_gb))
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
    print(f"{text}\n\n{picture} shows it; statistics and sessions lie beside it\n")
    policies = kept_policies(run_dir, folds, env, config)
    if policies is None:
        print("no report is written: this folder was begun by a version that kept no policies")
        return
    page = _report_of_folds(run_dir, settings, env, folds, policies, look.tried)
    print(f"\n{page} shows the rest")


def _report_of_folds(
    run_dir: pathlib.Path,
    settings: TradingSettings,
    env: TradingPhase1,
    folds: Sequence[Fold],
    policies: Sequence[Any],
    tried: int,
) -> pathlib.Path:
    """Judge the policies of the first seed, each on the sessions after its training, as one; write table and page."""
    whole, schedule = env.default_params, schedule_of(settings)
    learnt = whole.replace(market=folds[-1].train)
    tested = whole.replace(market=tested_view(folds, whole.market), reward_scale=learnt.reward_scale)
    params = [final_params(schedule, one) for one in (learnt, tested)]
    policy = FoldedPolicy(tuple(policies), jnp.asarray(folds_of_bars(folds, whole.market)))
    note = (
        f"Walk-forward, {count_text(len(folds), 'fold')}: each session is traded by the policy of seed 0 that was "
        f"trained before it; in sample is the last fold's training, {folds[-1].train.date_text()}"
    )
    print(note)
    with told("judging") as tell:
        judged = functools.partial(judge, env=env, configurations_tried=tried, progress=tell)
        keys = jax.random.split(jax.random.key(JUDGE_SEED))
        seen = judged(policies[-1], params=params[0], key=keys[0], label="in sample, last fold", baselines=False)
        held_out = judged(policy, params=params[1], key=keys[1], label="out of sample, walk-forward", accounts=ACCOUNTS)
    print(f"\n{held_out}")
    values = {"note": note, "in_sample": seen.to_dict(), "out_of_sample": held_out.to_dict()}
    (run_dir / "evaluation.json").write_text(json.dumps(values, indent=2, allow_nan=False) + "\n")
    split = Split(env, params[0], params[1], note, settings=settings)
    return write_report(run_dir, split, seen, held_out, settings=settings)


def _command_line() -> str:
    return shlex.join(["trading-gymnax", *sys.argv[1:]])
