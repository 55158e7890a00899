"""The command line as a trader types it: check, train, evaluate, and what wrong input says."""

import dataclasses
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from purejaxrl_ppo.cli import main as trainer
from tests.survival.few import few_attempts, policy_alone
from trading_gymnax import runs
from trading_gymnax.cli import main as cli
from trading_gymnax.data.contracts import CONTRACTS
from trading_gymnax.report.judge import HOLD, POLICY
from trading_gymnax.synthetic import regime

NUM_SESSIONS = 6  # of every file of one contract, so that one set of programs serves all
TINY = ["--total-timesteps", "2048", "--num-envs", "16", "--num-steps", "64", "--quiet", "--no-tensorboard"]


@pytest.fixture(scope="module", autouse=True)
def _few_attempts():
    with few_attempts():
        yield


@pytest.fixture(scope="module")
def bars(tmp_path_factory) -> pathlib.Path:
    """A file of six sessions that NQ's calendar has in full, 2025-03-03 to 2025-03-10."""
    spec = dataclasses.replace(CONTRACTS["NQ"], calendar=None)
    path = tmp_path_factory.mktemp("bars") / "nq.parquet"
    regime(NUM_SESSIONS, spec=spec, first_session="2025-03-03").frame.to_parquet(path)
    return path


@pytest.fixture(scope="module")
def trained(bars, tmp_path_factory) -> pathlib.Path:
    """The folder of a finished run on that file."""
    run_dir = tmp_path_factory.mktemp("runs") / "nq"
    train(bars, run_dir)
    return run_dir


def train(path: pathlib.Path, run_dir: pathlib.Path, *more: str) -> None:
    """The main job, made tiny."""
    where = ["--data", str(path), "--market", "NQ", "--train-until", "2025-03-07", "--run-dir", str(run_dir)]
    cli.main(["train", *where, "--set", "sl_atr_mult=2.0", "trailing_dd_limit=inf", *TINY, *more])


def refusal(capsys, *args: str) -> str:
    """What a wrong command line prints: one line on stderr, and status 2."""
    with pytest.raises(SystemExit) as ended:
        cli.main(list(args))
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert "Traceback" not in said.err
    assert said.err.count("\n") == 1
    assert said.err.startswith("trading-gymnax: ")
    return said.err


def test_check_prints_the_report_of_a_sound_file(bars, capsys):
    cli.main(["check", str(bars), "--market", "NQ"])
    page = capsys.readouterr().out
    assert "8,280 bars in 6 sessions, 2025-03-03 to 2025-03-10" in page
    assert "Refused" not in page


def test_check_of_a_refused_file_says_why_and_ends_with_1(bars, tmp_path, capsys):
    frame = pd.read_parquet(bars)
    frame.loc[[5, 9], "high"] = np.nan
    path = tmp_path / "holes.csv"
    frame.to_csv(path, index=False)
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", str(path), "--market", "NQ"])
    assert ended.value.code == 1
    assert "--repair nan" in capsys.readouterr().out
    cli.main(["check", str(path), "--market", "NQ", "--repair", "nan"])
    assert "Repaired" in capsys.readouterr().out


def test_wrong_input_is_one_sentence_with_the_nearest_right_name(bars, tmp_path, capsys):
    file = str(bars)
    assert "there is no command 'chek': did you mean check?" in refusal(capsys, "chek", file)
    said = refusal(capsys, "check", file, "--market", "NQ", "--repare", "nan")
    assert "check has no option --repare: did you mean --repair?" in said
    assert "did you mean --total-timesteps?" in refusal(capsys, "train", "--total_timestep", "5")
    assert "did you mean 'NQ'?" in refusal(capsys, "check", file, "--market", "NQQ")
    assert "there is no file missing.csv" in refusal(capsys, "check", "missing.csv", "--market", "NQ")
    assert "unknown repair 'stray'" in refusal(capsys, "check", file, "--market", "NQ", "--repair", "stray")
    where = ["--data", file, "--market", "NQ", "--run-dir", str(tmp_path / "run")]
    assert "did you mean 'sl_atr_mult'?" in refusal(capsys, "train", *where, "--set", "sl_atr_mul=2")
    assert "not of the form name=value" in refusal(capsys, "train", *where, "--set", "sl_atr_mult")
    assert "'two' is not a number" in refusal(capsys, "train", *where, "--set", "sl_atr_mult=two")
    assert "names sl_atr_mult twice" in refusal(capsys, "train", *where, "--set", "sl_atr_mult=2", "sl_atr_mult=3")
    assert "is not a date" in refusal(capsys, "train", *where, "--train-until", "soon")
    assert "no usable session" in refusal(capsys, "train", *where, "--train-until", "2026-01-01")
    assert "--market without --data" in refusal(capsys, "train", "--market", "NQ")
    assert "give one contract for each file" in refusal(capsys, "train", "--data", file)
    assert "holds no run of trading-gymnax" in refusal(capsys, "evaluate", str(tmp_path))
    assert not (tmp_path / "run").exists()


def test_wrong_values_end_with_2_and_no_trace(capsys):
    for args in (["train", "--total-timesteps", "many"], ["check", "x.csv"], []):
        with pytest.raises(SystemExit) as ended:
            cli.main(args)
        said = capsys.readouterr()
        assert ended.value.code == 2
        assert "Traceback" not in said.err


def test_train_prints_both_tables_and_writes_its_files(trained, capsys):
    judged = json.loads((trained / "evaluation.json").read_text())
    assert judged["in_sample"]["dates"] == "2025-03-03 to 2025-03-06"
    assert judged["out_of_sample"]["dates"] == "2025-03-07 to 2025-03-10"
    rows = judged["out_of_sample"]["rows"]
    assert rows[HOLD]["net_usd"] == 0
    sessions, trades = pd.read_csv(trained / "sessions.csv"), pd.read_csv(trained / "trades.csv")
    assert sessions["date"].tolist() == ["2025-03-07", "2025-03-10"]
    assert sessions["net_usd"].sum() == pytest.approx(rows[POLICY]["net_usd"])
    assert trades["net_usd"].sum() == pytest.approx(rows[POLICY]["net_usd"])
    assert "OUT OF SAMPLE" in (trained / "report" / "report.html").read_text().upper()
    remembered = json.loads((trained / "trading.json").read_text())
    assert remembered["changes"] == {"sl_atr_mult": 2.0, "trailing_dd_limit": float("inf")}


def test_evaluate_says_again_what_train_said(trained, bars, capsys):
    with policy_alone():
        train(bars, trained)  # the run is finished: nothing is trained, the policy is judged again
    first = capsys.readouterr().out
    before = (trained / "evaluation.json").read_text()
    cli.main(["evaluate", str(trained)])
    again = capsys.readouterr().out
    assert first.index("IN SAMPLE") < first.index("OUT OF SAMPLE")
    table, report = first[first.index("IN SAMPLE") :].strip().rsplit("\n\n", 1)
    looks = re.compile(r"tried on these sessions in (\d+) looks?, by the ledger")
    kept = "nothing has changed since the sessions were walked: the results are those that were kept\n\n"
    assert looks.sub("", again.strip()) == kept + looks.sub("", table.replace(kept, ""))
    assert int(looks.search(again)[1]) == int(looks.search(first)[1]) + 1
    assert report == f"{trained / 'report' / 'report.html'} shows the rest"
    assert "out of sample" in again[: again.index(" setting")].splitlines()[-2]
    assert (trained / "evaluation.json").read_text() == before


def test_bars_older_than_the_training_are_judged_where_asked_and_marked(trained, capsys, tmp_path):
    spec = dataclasses.replace(CONTRACTS["NQ"], calendar=None)
    older = tmp_path / "february.parquet"
    regime(NUM_SESSIONS, spec=spec, first_session="2025-02-20").frame.to_parquet(older)
    where = ["evaluate", str(trained), "--data", str(older), "--market", "NQ"]
    assert "or with --allow-earlier, before the first one" in refusal(capsys, *where)
    with policy_alone():
        cli.main([*where, "--allow-earlier", "--from", "2025-02-24"])
    said = capsys.readouterr().out
    assert "EARLIER than the training: 4 sessions" in said
    folder = trained / "evaluation-february"
    judged = json.loads((folder / "evaluation.json").read_text())
    assert judged["earlier"] == 4
    assert judged["out_of_sample"]["label"] == "out of sample, on bars EARLIER than the training"
    assert "EARLIER than the training" in (folder / "report" / "report.html").read_text()


def test_what_was_walked_is_used_again_until_something_changes(trained, tmp_path, capsys, monkeypatch):
    run_dir = tmp_path / "runs" / "nq"
    shutil.copytree(trained, run_dir)
    cli.main(["evaluate", str(run_dir)])  # of the copy's own ledger
    first, trades = capsys.readouterr().out, (run_dir / "trades.csv").read_bytes()
    monkeypatch.setattr("trading_gymnax.cli.judging.judge", lambda *args, **more: pytest.fail("walked again"))
    cli.main(["evaluate", str(run_dir)])
    again = capsys.readouterr().out
    kept = "nothing has changed since the sessions were walked: the results are those that were kept\n\n"
    assert again.replace(kept, "").replace("2 looks", "1 look") == first.replace(kept, "")
    assert kept in again
    assert (run_dir / "trades.csv").read_bytes() == trades
    with pytest.raises(pytest.fail.Exception, match="walked again"):
        cli.main(["evaluate", str(run_dir), "--checkpoint", "best"])


def test_a_report_that_stands_is_not_written_again_and_needs_no_jax(trained, capsys):
    cli.main(["report", str(trained)])
    verdict = capsys.readouterr().out.splitlines()[0]
    page = trained / "report" / "report.html"
    before = page.stat().st_mtime_ns
    said = without_jax(["report", str(trained)])
    assert said == f"{verdict}\nnothing has changed since {page} was written\n"
    assert page.stat().st_mtime_ns == before


def test_mistakes_tables_and_files_need_no_jax(bars, tmp_path):
    """Nor a GPU that is named and not there."""
    commands = [["check", str(bars), "--market", "NQ"], ["params"], ["contracts"], ["--version"], ["train", "--help"]]
    commands += [["trian"], ["train", "--set", "x=1"], ["train", "--num-envs", "0"], ["report", str(tmp_path)]]
    commands += [
        ["train", "--set", "sl_atr_mult=-1"],
        ["train", "--run-dir", "/dev/null/x"],
        ["walk-forward", "--seeds", "0"],
    ]
    commands += [["evaluate", str(tmp_path), "--from", "2025-03-05", "--until", "2025-03-01"]]
    commands += [["train", "--data", "no.csv", "--market", "NQ"], ["evaluate", str(tmp_path)], ["check", "no.csv"]]
    said = without_jax(*commands)
    assert "8,280 bars in 6 sessions" in said
    assert "sl_atr_mult" in said
    assert "trading-gymnax 0." in said


def test_the_trainers_own_program_says_what_to_type(trained, capsys):
    for command, typed in (("evaluate", f"trading-gymnax evaluate {trained}"), ("resume", "trading-gymnax")):
        with pytest.raises(SystemExit):
            trainer.main([command, str(trained)])
        assert f"holds a run of another program: type `{typed}" in capsys.readouterr().err


def without_jax(*commands: list[str]) -> str:
    """What commands print, one after another in a process in which nothing imports JAX or gymnax."""
    program = [
        "import contextlib, json, sys",
        "from trading_gymnax.cli.main import main",
        "for args in json.loads(sys.argv[1]):",
        "    with contextlib.suppress(SystemExit):",
        "        main(args)",
        "    assert not {'jax', 'gymnax', 'flax', 'distrax'} & {*sys.modules}, args",
    ]
    line = [sys.executable, "-c", "\n".join(program), json.dumps(commands)]
    environment = os.environ | {"JAX_PLATFORMS": "cuda"}
    done = subprocess.run(line, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_of_other_settings_is_refused_with_the_differences(trained, bars, capsys):
    where = ["--data", str(bars), "--market", "NQ", "--run-dir", str(trained)]
    said = refusal(capsys, "train", *where, "--train-until", "2025-03-06", *TINY)
    assert "train_until: '2025-03-07' there, '2025-03-06' now" in said
    assert "sl_atr_mult" in said


def test_a_folder_of_something_else_is_left_alone(bars, tmp_path, capsys):
    (tmp_path / "diary.txt").write_text("mine")
    where = ["--data", str(bars), "--market", "NQ", "--run-dir", str(tmp_path)]
    assert "holds no run of trading-gymnax: choose another" in refusal(capsys, "train", *where, *TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["diary.txt"]


def test_a_file_that_changed_after_the_training_is_refused(trained, bars, tmp_path, capsys):
    run_dir, copy = tmp_path / "run", tmp_path / "nq.parquet"
    shutil.copytree(trained, run_dir)
    settings = json.loads((run_dir / "trading.json").read_text())
    (run_dir / "trading.json").write_text(json.dumps({**settings, "data": [str(copy)]}))
    assert "there is no file" in refusal(capsys, "evaluate", str(run_dir))
    pd.read_parquet(bars).iloc[:-5].to_parquet(copy)
    assert "has changed since the run was trained" in refusal(capsys, "evaluate", str(run_dir))


class Begins(Exception):
    """Everything is ready, and the training would begin."""


@pytest.fixture
def no_training(monkeypatch) -> None:
    """A command goes as far as its training and ends with Begins."""

    def begin(*args, **settings):
        raise Begins

    monkeypatch.setattr("trading_gymnax.cli.training.fit", begin)


def test_without_data_the_last_third_of_the_built_in_market_is_held_out(tmp_path, capsys, monkeypatch, no_training):
    monkeypatch.setattr(runs, "BUILT_IN_SESSIONS", 6)
    with pytest.raises(Begins):
        cli.main(["train", "--phase", "2", "--run-dir", str(tmp_path / "builtin"), *TINY])
    note = capsys.readouterr().out.splitlines()[0]
    assert note.startswith("the built-in market: 2025-01-06 to 2025-01-09 to train, 2025-01-10 to 2025-01-13 held out")
    assert "--train-until 2025-01-10 says the same" in note


def test_help_is_the_real_command(tmp_path):
    program = [sys.executable, "-m", "trading_gymnax.cli.main", "train", "--help"]
    ran = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ), timeout=120)
    assert ran.returncode == 0
    assert "--train-until" in ran.stdout
    assert "--total-timesteps" in ran.stdout


# -- the commit, other bars, audit, certify --


def test_a_run_remembers_the_commit_that_started_it(trained, bars, capsys, monkeypatch, no_training):
    remembered = json.loads((trained / "trading.json").read_text())
    assert remembered["version"].startswith("trading-gymnax 0.")
    assert re.match("[0-9a-f]{12}", remembered["commit"])  # the tests run in a checkout
    monkeypatch.setattr("trading_gymnax.cli.training.program_version", lambda: "trading-gymnax 9.9, commit 0123abc")
    with pytest.raises(Begins):
        train(bars, trained)
    said = capsys.readouterr().out
    assert f"started by commit {remembered['commit']}; this is trading-gymnax 9.9, commit 0123abc" in said
    assert json.loads((trained / "trading.json").read_text()) == remembered


def test_a_run_of_an_earlier_version_still_loads(trained, tmp_path):
    values = json.loads((trained / "trading.json").read_text())
    for name in ("commit", "version", "roll", "curriculum", "warm_start"):
        del values[name]
    (tmp_path / "trading.json").write_text(json.dumps(values))
    settings = runs.read_settings(tmp_path)
    assert settings.commit is None
    assert (settings.roll, settings.curriculum, settings.warm_start) == ((), None, None)
    runs.write_settings(tmp_path, dataclasses.replace(settings, version="another", commit="another"))
    assert runs.read_settings(tmp_path).commit is None


@pytest.fixture(scope="module")
def later_bars(tmp_path_factory) -> pathlib.Path:
    """Six sessions of the same contract, 2025-03-05 to 2025-03-12: some of them the run has learnt from."""
    spec = dataclasses.replace(CONTRACTS["NQ"], calendar=None)
    path = tmp_path_factory.mktemp("later") / "june.parquet"
    frame = regime(NUM_SESSIONS, spec=spec, first_session="2025-03-05", seed=1).frame
    frame.assign(timestamp=frame["timestamp"] + pd.Timedelta("1min")).to_parquet(path)
    return path


def test_a_run_is_judged_on_other_bars(trained, later_bars, capsys):
    before = (trained / "evaluation.json").read_text()
    where = ["--data", str(later_bars), "--market", "NQ", "--timestamps-mark", "end"]
    dates = ["--from", "2025-03-10", "--until", "2025-03-12", "--configurations-tried", "7"]
    with policy_alone():
        cli.main(["evaluate", str(trained), *where, *dates])
    page = capsys.readouterr().out.splitlines()
    assert page[0] == "NQ: 2025-03-10 to 2025-03-11 to judge; the run learnt from 2025-03-03 to 2025-03-06"
    assert page[2].startswith("OUT OF SAMPLE: 2025-03-10 to 2025-03-11, 2 sessions")
    judged = json.loads((trained / "evaluation-june" / "evaluation.json").read_text())["out_of_sample"]
    assert judged["rows"][POLICY]["sessions"] == 2
    assert judged["rows"][POLICY]["configurations_tried"] == 7
    assert (trained / "evaluation.json").read_text() == before
    written = {path.name for path in (trained / "evaluation-june").rglob("*")}
    assert {"trades.csv", "sessions.csv", "report.html", "equity.png"} <= written


def test_the_rules_and_the_reward_scale_are_those_of_the_run(trained, later_bars):
    settings = runs.read_settings(trained)
    other = runs.TradingSettings(data=(str(later_bars),), market=("NQ",), loader={"timestamps_mark": "end"})
    split = runs.build_other(settings, "2025-03-07", None, other)
    assert float(split.test_params.sl_atr_mult) == 2.0
    assert np.isinf(split.test_params.trailing_dd_limit)
    learnt = runs.build(settings).train_params
    assert split.test_params.reward_scale.tolist() == learnt.reward_scale.tolist()
    assert split.test_params.market.median_risk_usd.tolist() != learnt.market.median_risk_usd.tolist()


def test_another_market_on_the_same_dates_is_remarked(trained, later_bars):
    settings = runs.read_settings(trained)
    other = runs.TradingSettings(data=(str(later_bars),), market=("MNQ",), loader={"timestamps_mark": "end"})
    split = runs.build_other(settings, None, None, other)
    assert "note: the run learnt from NQ on some of these dates" in split.note
    assert split.test_params.commission_per_side.tolist() == [0.75]
    assert split.test_params.reward_scale.tolist() == split.test_params.market.median_risk_usd.tolist()


def test_wrong_other_bars_are_one_sentence(trained, later_bars, capsys):
    file, run_dir = str(later_bars), str(trained)
    where = ["evaluate", run_dir, "--data", file, "--market", "NQ", "--timestamps-mark", "end"]
    said = refusal(capsys, *where)
    assert "2 sessions of NQ, 2025-03-05 to 2025-03-06, not later than 2025-03-06" in said
    assert "judge with --from 2025-03-07 or later" in said
    assert "no usable session" in refusal(capsys, *where, "--from", "2025-04-01")
    assert "is not a date" in refusal(capsys, *where, "--from", "soon")
    assert "--rth is part of what the policy sees" in refusal(capsys, *where, "--rth", "10", "16")
    assert "--feature-columns is part of what" in refusal(capsys, *where, "--feature-columns", "rsi")
    assert "give one contract for each file" in refusal(capsys, "evaluate", run_dir, "--data", file)
    said = refusal(capsys, "evaluate", run_dir, "--market", "NQ", "--from", "2025-03-10", "--repair", "nan")
    assert "--market and --from and --repair without --data: give the file of bars as well" in said
    assert "give 1 or more" in refusal(capsys, "evaluate", run_dir, "--configurations-tried", "0")
    assert "did you mean --from?" in refusal(capsys, "evaluate", run_dir, "--form", "2025-03-10")


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["nothing-50k"], "there is no plan and no folder 'nothing-50k'"),
        (["--contracts", "0"], "contracts are whole numbers from 1 on"),
        (["--bankroll", "-1"], "a bankroll is dollars, 0 or more"),
        (["--lives", "1"], "paths is a whole number, 2 or more"),
    ],
)
def test_accounts_and_sizes_that_cannot_be_are_one_sentence(more, complaint, trained, capsys):
    assert complaint in refusal(capsys, "accounts", str(trained), *more)


def test_audit_passes_causal_features_and_names_the_others(bars, tmp_path, capsys):
    path = tmp_path / "mine.py"
    path.write_text(
        "def causal(frame):\n    return frame[['close']].diff().fillna(0)\n\n\n"
        "def early(frame):\n    return causal(frame).assign(next=frame['close'].shift(-1))\n"
    )
    cli.main(["audit", "--features", f"{path}:causal", str(bars), "--market", "NQ", "--cuts", "9"])
    assert capsys.readouterr().out == "no column changes when later bars are cut off (9 cuts)\n"
    with pytest.raises(SystemExit) as ended:
        cli.main(["audit", "--features", f"{path}:early", str(bars), "--market", "NQ", "--cuts", "9"])
    assert ended.value.code == 1
    page = capsys.readouterr().out.splitlines()
    assert page[0] == "1 of 2 columns look ahead (9 cuts):"
    assert page[1].startswith("  next: bar ")
    said = refusal(capsys, "audit", "--features", f"{path}:earl", str(bars), "--market", "NQ")
    assert "has no function 'earl': did you mean 'early'?" in said
    path.write_text("def make(frame):\n    return frame['clse']\n")
    assert "make fails on the first 8,280 bars: KeyError: 'clse'" in refusal(
        capsys, "audit", "--features", f"{path}:make", str(bars), "--market", "NQ"
    )


@pytest.mark.slow
def test_certify_says_refused_with_status_1_and_writes_its_file(tmp_path, capsys):
    out = tmp_path / "certificate.json"
    small = ["--seeds", "1", "--first-seed", "7", "--sessions", "3", "--total-timesteps", "32768"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["certify", *small, "--out", str(out)])
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert "REFUSED:" in said.out
    assert "PPO with 32,768 steps a run" in said.out
    assert "certify" not in said.out.splitlines()[-1]
    made = json.loads(out.read_text())
    assert made["passed"] is False
    assert made["commit"].startswith("trading-gymnax")
    assert made["trainer"]["total_timesteps"] == 32768
    assert [run["seed"] for run in made["runs"]] == [7, 7, 7]


def test_certify_with_wrong_numbers_is_one_sentence(capsys):
    assert "needs one seed or more" in refusal(capsys, "certify", "--seeds", "0")
    assert "less than one iteration" in refusal(capsys, "certify", "--total-timesteps", "5")
    assert "is no file in a folder that exists" in refusal(capsys, "certify", "--out", "nowhere/certificate.json")
    assert "did you mean --seeds?" in refusal(capsys, "certify", "--seed", "3")


# -- contracts that roll, and a curriculum --


@pytest.fixture(scope="module")
def contracts(tmp_path_factory) -> list[str]:
    """Two contracts of NQ, 2025-03-03 to 03-10 and 03-07 to 03-12; the later has the larger volume from the start."""
    spec, folder = dataclasses.replace(CONTRACTS["NQ"], calendar=None), tmp_path_factory.mktemp("contracts")
    for name, sessions, first, times in (("h25", 6, "2025-03-03", 1), ("m25", 4, "2025-03-07", 1000)):
        frame = regime(sessions, spec=spec, first_session=first, seed=times).frame
        frame.assign(volume=frame["volume"] * times + times).to_parquet(folder / f"{name}.parquet")
    return [str(folder / "h25.parquet"), str(folder / "m25.parquet")]


@pytest.fixture(scope="module")
def rolled(contracts, tmp_path_factory) -> pathlib.Path:
    """A finished run over both contracts with the curriculum of the original plan."""
    run_dir = tmp_path_factory.mktemp("runs") / "rolled"
    cli.main(["train", *rolled_arguments(contracts, run_dir)])
    return run_dir


def rolled_arguments(contracts: list[str], run_dir: pathlib.Path, *more: str) -> list[str]:
    where = ["--data", *contracts, "--market", "NQ", "NQ", "--roll", "volume", "--run-dir", str(run_dir)]
    return [*where, "--train-until", "2025-03-11", "--curriculum", "original-plan", *TINY, *more]


@pytest.mark.slow
def test_contracts_of_one_market_roll_by_volume(rolled):
    """By volume the later one is traded from 03-10 on: after 03-07, its first session with more."""
    settings = runs.read_settings(rolled)
    assert settings.roll == ("volume",)
    split = runs.build(settings)
    assert split.note == "NQ-1, NQ-2: 2025-03-03 to 2025-03-10 to train, 2025-03-11 to 2025-03-12 held out"
    assert split.env.default_params.market.view.tolist() == [[0, 5], [1, 4]]
    assert pd.read_csv(rolled / "sessions.csv")["market"].tolist() == ["NQ-2", "NQ-2"]
    by_date = runs.build(dataclasses.replace(settings, roll=("2025-03-07",)))
    assert by_date.env.default_params.market.view.tolist() == [[0, 4], [0, 4]]


@pytest.mark.slow
def test_a_curriculum_is_driven_and_judged_under_its_last_values(rolled):
    rows = pd.read_csv(rolled / "metrics.csv")
    assert rows["schedule/trailing_dd_limit"].tolist() == [15_000, 5_000]  # progress 0 and 0.5 of two iterations
    assert rows["schedule/commission_per_side_factor"].tolist() == [0.25, 0.625]
    split = runs.build(runs.read_settings(rolled))
    full = CONTRACTS["NQ"].commission_per_side
    for params in (split.train_params, split.test_params):
        assert float(params.trailing_dd_limit) == 2_500
        assert float(params.sl_atr_mult) == 1.5
        assert params.commission_per_side.tolist() == pytest.approx([full, full])
    assert float(split.learning_params.trailing_dd_limit) == 15_000
    assert split.learning_params.market is split.train_params.market
    trades = pd.read_csv(rolled / "trades.csv")
    assert trades["commission_usd"].tolist() == pytest.approx([2 * full] * len(trades))


@pytest.mark.slow
def test_a_run_with_a_curriculum_goes_on_with_it_only(rolled, contracts, capsys):
    cli.main(["train", *rolled_arguments(contracts, rolled)])
    assert "OUT OF SAMPLE" in capsys.readouterr().out
    without = [word for word in rolled_arguments(contracts, rolled) if word not in ("--curriculum", "original-plan")]
    assert "curriculum: 'original-plan' there, None now" in refusal(capsys, "train", *without)
    by_date = ["2025-03-10" if word == "volume" else word for word in rolled_arguments(contracts, rolled)]
    assert "roll: ['volume'] there, ['2025-03-10'] now" in refusal(capsys, "train", *by_date)


@pytest.mark.slow
def test_a_run_is_judged_on_contracts_that_roll(trained, contracts, capsys):
    where = ["evaluate", str(trained), "--data", *contracts, "--market", "NQ", "NQ"]
    cli.main([*where, "--roll", "volume", "--from", "2025-03-07"])
    assert "NQ-1, NQ-2: 2025-03-07 to 2025-03-12 to judge" in capsys.readouterr().out
    assert "--market names NQ for 2 files" in refusal(capsys, *where)
    assert "--roll without --data" in refusal(capsys, "evaluate", str(trained), "--roll", "volume")


def test_wrong_rolls_and_curricula_are_one_sentence(contracts, tmp_path, capsys):
    new = ["train", "--run-dir", str(tmp_path / "new"), "--data"]
    two = [*new, *contracts, "--market", "NQ", "NQ"]
    assert "--market names NQ for 2 files: say when the next contract is traded" in refusal(capsys, *two)
    one = [*new, contracts[0], "--market", "NQ"]
    assert "--roll needs two or more files of one market" in refusal(capsys, *one, "--roll", "volume")
    turned = [*new, *reversed(contracts), "--market", "NQ", "NQ", "--roll", "volume"]
    assert "comes before NQ-1, 2025-03-07 to 2025-03-12: give the contracts in the order" in refusal(capsys, *turned)
    assert "roll is 'volume' or a date" in refusal(capsys, *two, "--roll", "soon")
    assert "roll needs 'volume' or 1 dates" in refusal(capsys, *two, "--roll", "2025-03-07", "2025-03-10")
    assert "has no session between its rolls" in refusal(capsys, *two, "--roll", "2026-01-01")
    assert "--roll without --data" in refusal(capsys, "train", "--roll", "volume")
    assert "--curriculum cannot be 'orignal-plan': did you mean original-plan?" in refusal(
        capsys, *one, "--curriculum", "orignal-plan"
    )
    both = ["--curriculum", "original-plan", "--set", "trailing_dd_limit=1000", "commission_per_side=1"]
    said = refusal(capsys, *one, *both)
    assert "--set trailing_dd_limit: the curriculum original-plan has values of its own for that" in said
    assert not (tmp_path / "new").exists()


def test_an_unknown_curriculum_in_a_file_is_one_sentence():
    settings = runs.TradingSettings(curriculum="orignal-plan")
    with pytest.raises(ValueError, match="there is no curriculum 'orignal-plan': did you mean 'original-plan'"):
        runs.schedule_of(settings)
