"""What `evaluate` and `report` do: a run's policy judged, once more or on other bars."""

from __future__ import annotations

import functools
import json
import pathlib
import warnings
from typing import Any, Literal

import jax

from trading_gymnax.cli.commands import Evaluate, Report
from trading_gymnax.cli.looks import looking
from trading_gymnax.cli.progress import told
from trading_gymnax.cli.stored import JUDGE_SEED, note_page, once
from trading_gymnax.extras import missing_extra
from trading_gymnax.report.judge import ACCOUNTS, Judgement, judge
from trading_gymnax.report.write import trainer_settings, write_report
from trading_gymnax.runs import Split, TradingSettings, build, build_other, check_files, read_settings
from trading_gymnax.skill.ledger import Tries

with warnings.catch_warnings():  # distrax and its own dependencies warn while they are imported
    warnings.simplefilter("ignore")
    from purejaxrl_ppo import load_policy

Checkpoint = Literal["best", "last"]


def report(command: Report) -> None:
    """Write the page of a run."""
    split = build(_settings_of(command.run_dir))
    seen, held_out, counted = _judgements(command.run_dir, split, command.checkpoint, command.configurations_tried)
    page = write_page(command, split, seen, held_out)
    print(f"{held_out.verdict}\n{counted}\n{page} and the pictures beside it show the rest")


def write_page(command: Report, split: Split, seen: Judgement, held_out: Judgement) -> pathlib.Path:
    """Write the page, and remember what it was made of."""
    page = write_report(command.run_dir, split, seen, held_out, out=command.out)
    note_page(command, held_out.verdict)
    return page


def evaluate(command: Evaluate) -> None:
    """Judge a run's policy on its held-out sessions, or on other bars."""
    settings = _settings_of(command.run_dir)
    if not command.data:
        judge_run(command.run_dir, build(settings), command.checkpoint, command.configurations_tried)
        return
    if missing := missing_extra():
        print(f"no report will be written: {missing}")
    split = build_other(settings, command.first, command.until, command.other, allow_earlier=command.allow_earlier)
    folder = command.run_dir / f"evaluation-{'-'.join(path.stem for path in command.data)}"
    print(f"{split.note}\n")
    seen, held_out, counted = _judged_other(command, folder.name, split)
    print(f"{held_out}\n{counted}")
    folder.mkdir(exist_ok=True)
    about = {"data": [str(path) for path in command.data], "note": split.note, "earlier": split.earlier}
    write_judgement(folder, seen, held_out, about)
    if not missing:
        assert split.settings is not None
        read = split.settings.with_digests()
        page = write_report(command.run_dir, split, seen, held_out, out=folder / "report", settings=read)
        print(f"\n{page} shows the rest")


def _judged_other(command: Evaluate, name: str, split: Split) -> tuple[Judgement, Judgement, Tries]:
    """In sample and on the other bars, and what the ledger says of so many looks at the latter."""
    settings, config = read_settings(command.run_dir), trainer_settings(command.run_dir)
    views, typed = [split.test_params.market], command.configurations_tried
    look = looking("evaluate", command.run_dir, settings, views, typed, config=config, checkpoint=command.checkpoint)
    assert split.settings is not None
    asked: dict[str, Any] = {"tried": look.tried, "checkpoint": command.checkpoint, "earlier": split.earlier}
    asked |= {"from": command.first, "until": command.until, **split.settings.with_digests().to_dict()}
    label = "out of sample, on bars EARLIER than the training" if split.earlier else "out of sample"
    seen, held_out = _walked(command.run_dir, name, split, command.checkpoint, label, asked)
    return seen, held_out, look.taken(held_out.evaluation.sessions)


def _settings_of(run_dir: pathlib.Path) -> TradingSettings:
    settings = read_settings(run_dir)
    check_files(settings)
    return settings


def judge_run(run_dir: pathlib.Path, split: Split, checkpoint: Checkpoint, tried: int) -> tuple[Judgement, Judgement]:
    """Judge a run in and out of sample, print both tables, write them."""
    seen, held_out, counted = _judgements(run_dir, split, checkpoint, tried)
    print(f"{seen}\n\n{held_out}\n{counted}")
    write_judgement(run_dir, seen, held_out)
    return seen, held_out


def _judgements(
    run_dir: pathlib.Path, split: Split, checkpoint: Checkpoint, typed: int
) -> tuple[Judgement, Judgement, Tries]:
    """In sample and out of sample, and what the ledger says of so many looks at the latter."""
    settings, config = read_settings(run_dir), trainer_settings(run_dir)
    look = looking(
        "evaluate", run_dir, settings, [split.test_params.market], typed, config=config, checkpoint=checkpoint
    )
    asked = {"tried": look.tried, "checkpoint": checkpoint}
    seen, held_out = _walked(run_dir, "run", split, checkpoint, "out of sample", asked)
    return seen, held_out, look.taken(held_out.evaluation.sessions)


def _walked(
    run_dir: pathlib.Path, what: str, split: Split, checkpoint: Checkpoint, label: str, asked: dict[str, Any]
) -> tuple[Judgement, Judgement]:
    """Both judgements, from the files of an earlier walk where nothing has changed since."""

    def walk() -> tuple[Judgement, Judgement]:
        policy = load_policy(run_dir, checkpoint=checkpoint)
        with told("judging") as tell:
            judged = functools.partial(
                judge,
                policy,
                split.env,
                configurations_tried=asked["tried"],
                progress=tell,
            )
            keys = jax.random.split(jax.random.key(JUDGE_SEED))
            seen = judged(split.train_params, key=keys[0], label="in sample", baselines=False)
            account = read_settings(run_dir).account or ""
            return seen, judged(split.test_params, key=keys[1], label=label, accounts=ACCOUNTS, account=account)

    found, kept = once(run_dir, what, walk, **asked)
    if kept:
        print("nothing has changed since the sessions were walked: the results are those that were kept\n")
    return found


def write_judgement(
    folder: pathlib.Path, seen: Judgement, held_out: Judgement, about: dict[str, Any] | None = None
) -> None:
    """evaluation.json with both tables, and the held-out trades and sessions as CSV files."""
    values = {**(about or {}), "in_sample": seen.to_dict(), "out_of_sample": held_out.to_dict()}
    (folder / "evaluation.json").write_text(json.dumps(values, indent=2, allow_nan=False) + "\n")
    held_out.evaluation.trades.to_csv(folder / "trades.csv", index=False)
    held_out.evaluation.sessions.to_csv(folder / "sessions.csv", index=False)
