"""The command line as a trader types it: check, train, evaluate, and what wrong input says."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from trading_gymnax import cli, runs
from trading_gymnax.contracts import CONTRACTS
from trading_gymnax.judge import HOLD, POLICY
from trading_gymnax.synthetic import regime

TINY = ["--total-timesteps", "2048", "--num-envs", "16", "--num-steps", "64", "--quiet", "--no-tensorboard"]


@pytest.fixture(scope="module")
def bars(tmp_path_factory) -> pathlib.Path:
    """A file of six sessions that NQ's calendar has in full, 2025-03-03 to 2025-03-10."""
    spec = dataclasses.replace(CONTRACTS["NQ"], calendar=None)
    path = tmp_path_factory.mktemp("bars") / "nq.parquet"
    regime(6, spec=spec, first_session="2025-03-03").frame.to_parquet(path)
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
    assert "repair='nan'" in capsys.readouterr().out
    cli.main(["check", str(path), "--market", "NQ", "--repair", "nan"])
    assert "Repaired" in capsys.readouterr().out


def test_wrong_input_is_one_sentence_with_the_nearest_right_name(bars, tmp_path, capsys):
    file = str(bars)
    assert "there is no command 'chek': did you mean check?" in refusal(capsys, "chek", file)
    said = refusal(capsys, "check", file, "--market", "NQ", "--repare", "nan")
    assert "check has no option --repare: did you mean --repair?" in said
    assert "did you mean --total-timesteps?" in refusal(capsys, "train", "--total_timestep", "5")
    assert "did you mean 'NQ'?" in refusal(capsys, "check", file, "--market", "NX")
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
    train(bars, trained)  # the run is finished: nothing is trained, the policy is judged again
    first = capsys.readouterr().out
    before = (trained / "evaluation.json").read_text()
    cli.main(["evaluate", str(trained)])
    again = capsys.readouterr().out
    assert first.index("IN SAMPLE") < first.index("OUT OF SAMPLE")
    table, report = first[first.index("IN SAMPLE") :].strip().rsplit("\n\n", 1)
    assert again.strip() == table
    assert report == f"{trained / 'report' / 'report.html'} shows the rest"
    assert "out of sample" in again.splitlines()[-1]
    assert (trained / "evaluation.json").read_text() == before


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


def test_without_data_the_last_third_of_the_built_in_market_is_held_out(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runs, "BUILT_IN_SESSIONS", 6)
    cli.main(["train", "--phase", "2", "--run-dir", str(tmp_path / "builtin"), *TINY])
    page = capsys.readouterr().out
    note = page.splitlines()[0]
    assert note.startswith("the built-in market: 2025-01-06 to 2025-01-09 to train, 2025-01-10 to 2025-01-13 held out")
    assert "--train-until 2025-01-10 says the same" in note
    assert "DISABLE %" in page


def test_set_reads_numbers_and_switches():
    pairs = ("a=2", "b=2.5", "c=inf", "d=true", "e=False", "f=-1e3")
    assert cli.parse_changes(pairs) == {"a": 2, "b": 2.5, "c": float("inf"), "d": True, "e": False, "f": -1000.0}


def test_help_is_the_real_command(tmp_path):
    program = [sys.executable, "-m", "trading_gymnax.cli", "train", "--help"]
    ran = subprocess.run(program, capture_output=True, text=True, cwd=tmp_path, env=dict(os.environ), timeout=120)
    assert ran.returncode == 0
    assert "--train-until" in ran.stdout
    assert "--total-timesteps" in ran.stdout
