"""The commands that ask whether a profit is skill: `permute`, `cpcv`, `sweep` and `path`."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import pathlib
import sys
from typing import Any

import jax
import pandas as pd

from trading_gymnax.cli.learners import ppo_fold_learner
from trading_gymnax.cli.looks import Looking, looking
from trading_gymnax.cli.progress import told
from trading_gymnax.cli.resume import done_lines, note_done, open_folder
from trading_gymnax.cli.skill_commands import BarPath, Cpcv, Permute, TradingSweep, Trained
from trading_gymnax.cli.values import parse_changes
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.market import ORDINARY_STOP_ATR, MarketData
from trading_gymnax.parameters import params_table
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.report.path_section import PATH_FILE
from trading_gymnax.report.skill_files import write_test
from trading_gymnax.runs import (
    TradingSettings,
    build,
    build_environment,
    check_files,
    last_third,
    read_settings,
    schedule_of,
)
from trading_gymnax.skill.cpcv import SplitRun, combinatorial_splits, cross_validate
from trading_gymnax.skill.fine import read_fine_bars, settle_doubtful
from trading_gymnax.skill.finepath import Kind, bias_table, biases
from trading_gymnax.skill.permutation import permutation_test
from trading_gymnax.skill.sweep import grid, run_sweep
from trading_gymnax.skill.tapes import read_source
from trading_gymnax.text import count_text, plain
from trading_gymnax.version import program_version
from trading_gymnax.walkforward.run import FoldLearner

from purejaxrl_ppo import PPOConfig, load_policy  # isort: skip

_ATR_A_NOISE = 1.6  # of synthetic markets: ATR over a bar's noise


@dataclasses.dataclass(frozen=True)
class _Work:
    """What a command works with."""

    settings: TradingSettings
    env: TradingPhase1
    config: PPOConfig
    learn: FoldLearner
    folder: pathlib.Path

    def title(self, what: str) -> str:
        market = self.env.default_params.market
        steps = f"PPO with {self.config.total_timesteps:,} steps a run"
        return f"{program_version()}: {', '.join(market.symbols)}, phase {self.settings.phase}, {what}, {steps}"

    def looking(self, name: str, command: Trained, view: MarketData, **more: Any) -> Looking:
        """The look at a view that is about to be taken."""
        more |= {"config": self.config.to_dict(), "seeds": command.seeds}
        return looking(name, self.folder, self.settings, [view], command.configurations_tried, **more)

    @property
    def made(self) -> dict[str, Any]:
        changes = {name: str(x) if math.isinf(x) else x for name, x in self.settings.changes.items()}
        remembered = dataclasses.replace(self.settings, changes=changes).to_dict()
        return {"commit": program_version(), "settings": remembered, "trainer": self.config.to_dict()}


def _begin(command: Trained, name: str, **asked: Any) -> _Work:
    """Settings, environment, learner, and the folder, new or begun by the same command."""
    limit = command.memory_limit_gb
    settings = command.settings().with_digests()
    config = dataclasses.replace(
        command.config, total_timesteps=command.config.num_iterations * command.config.batch_size
    )
    env = build_environment(settings)
    folder = command.folder
    open_folder(
        folder, {"command": name, **settings.to_dict(), "trainer": config.to_dict(), "seeds": command.seeds, **asked}
    )
    return _Work(settings, env, config, ppo_fold_learner(config, schedule_of(settings), limit), folder)


def permute(command: Permute) -> None:
    """Train on tapes without anything to learn, and say how often luck does as well as the real result."""
    work = _begin(
        command, "permute", null=command.null, first_tape_seed=command.first_tape_seed, until=command.train_until
    )
    market = work.env.default_params.market
    source = read_source(work.settings, market)
    first = command.train_until or last_third(market)
    draw = functools.partial(source.drawn, command.null, command.first_tape_seed)
    known = {int(line["tape"]): line["nets"] for line in done_lines(work.folder)}
    _, held_out = market.split(first)
    looked = work.looking("permute", command, held_out)
    with told("permute") as tell:
        found = permutation_test(
            work.learn,
            work.env,
            lambda tape: draw(tape) if tape else source.real(),
            first,
            null=command.null,
            tapes=command.tapes,
            enough=command.enough,
            seeds=command.seeds,
            schedule=schedule_of(work.settings),
            at_once=command.tapes_at_once,
            known=known,
            keep=lambda tape, nets: note_done(work.folder, {"tape": tape, "nets": list(nets)}),
            look=lambda played: print(looked.taken(pd.concat(played)), file=sys.stderr),
            progress=tell,
        )
    text = f"{work.title(f'null {command.null}')}\n\n{found.verdict}"
    picture = write_test(work.folder, "permutation", found, text, work.made)
    print(f"{text}\n\n{picture} shows it")


def cpcv(command: Cpcv) -> None:
    """Train on every choice of groups of sessions, judge on the others, and show the spread of the paths."""
    sizes = {name: getattr(command, name) for name in ("groups", "held_out", "embargo_sessions")}
    work = _begin(command, "cpcv", **sizes)
    market = work.env.default_params.market
    splits = combinatorial_splits(market, *sizes.values())
    look = looking(
        "cpcv",
        work.folder,
        work.settings,
        [market],
        command.configurations_tried,
        sizes=sizes,
        config=work.config.to_dict(),
    )
    known = {(run.split, run.seed): run for run in map(_split_run, done_lines(work.folder))}
    with told("cpcv") as tell:
        found = cross_validate(
            work.learn,
            work.env,
            splits,
            embargo_sessions=command.embargo_sessions,
            seeds=command.seeds,
            schedule=schedule_of(work.settings),
            known=known,
            keep=lambda run: note_done(work.folder, _split_line(run)),
            progress=tell,
        )
    daily = found.paths().mean(axis=1).rename("net_usd").rename_axis("date").reset_index()
    what = f"{count_text(len(splits), 'split')} x {count_text(command.seeds, 'seed')}"
    text = f"{work.title(what)}\n\n{found}\n{look.taken(daily)}"
    picture = write_test(work.folder, "cpcv", found, text, work.made)
    print(f"{text}\n\n{picture} shows it")


def _split_line(run: SplitRun) -> dict[str, Any]:
    rows = [[f"{r.date:%Y-%m-%d}", r.market, r.net_usd] for r in run.unseen.itertuples()]
    return {"split": run.split, "seed": run.seed, "seen_usd": run.seen_usd, "unseen": rows}


def _split_run(line: dict[str, Any]) -> SplitRun:
    frame = pd.DataFrame(line["unseen"], columns=["date", "market", "net_usd"])
    frame["date"] = pd.to_datetime(frame["date"]).astype("datetime64[s]")
    return SplitRun(line["split"], line["seed"], line["seen_usd"], frame)


def sweep(command: TradingSweep) -> None:
    """Train every setting, judge each on the same held-out sessions, and say how far the best is luck."""
    values = {}
    for text in command.vary:
        name, equals, listed = text.partition("=")
        if not equals or not name or name in values:
            raise ValueError(f"--vary {text} is not of the form name=value,value,..., each name once")
        values[name] = [parse_changes([f"{name}={one}"])[name] for one in listed.split(",")]
    work = _begin(command, "sweep", vary=list(command.vary), until=command.train_until)
    variants, market = grid(values), work.env.default_params.market
    first = command.train_until or last_third(market)
    with told("sweep") as tell:
        found = run_sweep(
            work.learn,
            work.env,
            variants,
            first,
            seeds=command.seeds,
            schedule=schedule_of(work.settings),
            progress=tell,
        )
    order = sorted(range(len(variants)), key=lambda at: at == found.best)  # the best one is looked at last
    _, held_out = market.split(first)
    for at in order:
        nets = found.nets[at].rename("net_usd").rename_axis("date").reset_index()
        counted = work.looking("sweep", command, held_out, variant=variants[at]).taken(nets)
    what = f"{count_text(len(variants), 'setting')} x {count_text(command.seeds, 'seed')}, held out from {first}"
    text = f"{work.title(what)}\n\n{found}\n\nthe best of them:\n{counted}"
    (work.folder / "sweep.txt").write_text(text + "\n")
    found.nets.rename(columns=lambda at: str(variants[at])).to_csv(work.folder / "nets.csv")
    print(text)


def path(command: BarPath) -> None:
    """Settle a run's trades by fine paths and by the rule book, and say what the rules took."""
    if command.sessions < 1 or command.walks < 1 or command.bounce_ticks < 0 or not command.jumps_a_day >= 0:
        raise ValueError("--sessions and --walks are 1 or more, --bounce-ticks and --jumps-a-day 0 or more")
    kind = Kind(command.bounce_ticks, command.jumps_a_day, command.jump_noise)
    size: dict[str, Any] = {"sessions": command.sessions, "walks": command.walks, "kind": kind}
    if command.run_dir is None:
        if command.fine is not None:
            raise ValueError("--fine settles the trades of a run: give its folder as well")
        print(bias_table(biases(**size)))
        return
    settings = read_settings(command.run_dir)
    check_files(settings)
    if settings.phase != 1 or len(settings.data) > 1:
        raise ValueError(
            f"{command.run_dir} is of phase {settings.phase} on {len(settings.data)} files: one of phase 1"
        )
    split = build(settings)
    market, params = split.test_params.market, split.test_params
    spec = dataclasses.replace(market.specs[0], calendar=None)
    noise = float(market.median_risk_usd[0]) / ORDINARY_STOP_ATR / (int(market.tick_cents[0]) / 100) / _ATR_A_NOISE
    of_market = {row.name for row in params_table(1)} - {"sl_atr_mult", "trailing_dd_limit"}
    changes = {name: x for name, x in settings.changes.items() if name in of_market}
    (found,) = biases((float(params.sl_atr_mult),), spec=spec, noise_ticks=noise, **size, **changes)
    sentences = [f"Under these settings {found}, over {found.trades:,} trades on a martingale."]
    if command.fine is not None:
        policy = load_policy(command.run_dir, checkpoint=command.checkpoint)
        evaluation = evaluate_policy(policy, split.env, params, key=jax.random.key(1))
        fine = read_fine_bars(command.fine, market.specs[0], command.fine_timezone)
        sentences.append(f"Held out: {settle_doubtful(evaluation.trades, fine, market, params)}.")
    values = {"sentences": sentences, "bias": plain(found), "commit": program_version()}
    (command.run_dir / PATH_FILE).write_text(json.dumps(values, indent=2) + "\n")
    print("\n".join(sentences))
