"""The command line as a user types it."""

import contextlib
import json
import pathlib
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tyro

from purejaxrl_ppo import PPOConfig, SweepResult
from purejaxrl_ppo.cli.commands import _named_environment, commands
from purejaxrl_ppo.cli.errors import _Sentences, parse_command_line
from purejaxrl_ppo.cli.main import main
from purejaxrl_ppo.environments import make_environment, parse_pairs
from purejaxrl_ppo.rundir import read_run
from purejaxrl_ppo.sweep.halving import NAMES
from tests.ppo.probes import Table

TINY = "--num-envs 4 --num-steps 32 --total-timesteps 256 --hidden-sizes 8 --eval-episodes 2 --eval-max-steps 20"


def sized(size: int) -> Table:
    """A factory that has to be told something."""
    assert size
    return Table()


def fails(args: list[str], capsys: Any) -> str:
    """What is printed by a command that must end with status 2 and without a trace."""
    with pytest.raises(SystemExit) as end:
        main(args)
    assert end.value.code == 2
    captured = capsys.readouterr()
    text = captured.err + captured.out
    assert "Traceback" not in text
    return text


def test_train_evaluate_and_resume(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["train", "CartPole-v1", *TINY.split()])
    printed = capsys.readouterr().out
    assert "2 iterations of 4 x 32 = 256 steps" in printed
    assert "best return" in printed
    folder = pathlib.Path("runs/CartPole-v1-0")
    assert read_run(folder)["config"]["learning_rate"] == 2.5e-4  # the preset's, not the default's
    main(["evaluate", str(folder), "--episodes", "3", "--max-steps", "20"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("sampled  return ")
    assert printed[1].startswith("argmax   return ")
    main(["resume", str(folder), "--eval-every", "0"])
    assert "resuming runs/CartPole-v1-0 after iteration 2" in capsys.readouterr().out


SEARCH = "--num-envs 4 --num-steps 32 --total-timesteps 512 --hidden-sizes 8 --eval-episodes 2 --eval-max-steps 20"


def test_sweep_prints_what_it_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    few = "--configurations 2 --seeds 1 --rungs --learning-rate 1e-4 1e-2 --ent-coef"
    judged = ["--validation-env-params", "gravity=5.0"]
    main(["sweep", "CartPole-v1", *SEARCH.split(), *few.split(), *judged, "--env-params", "length=0.4"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "2 configurations x 1 seeds = 2 runs of 4 iterations of 4 x 32 = 512 steps"
    assert printed[1].startswith("512 steps: 2 configurations, best score ")
    assert printed[2].split() == ["rank", "learning_rate", "steps", "score", "+-", "training", "remark"]
    assert printed[5] == "table and plot are in sweeps/CartPole-v1-0/sweep.csv and sweeps/CartPole-v1-0/sweep.png"
    folder = tmp_path / "sweeps" / "CartPole-v1-0"
    assert len((folder / "sweep.csv").read_text().splitlines()) == 3
    assert (folder / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    words = printed[7].split()
    assert words[-2:] == ["--env-params", "length=0.4"]  # what it was judged by is no part of the training
    retrained = parse_command_line(
        commands(words[1:]), prog="purejaxrl-ppo", args=words[1:], description=""
    ).config.to_dict()
    record = json.loads((folder / "sweep.json").read_text())
    assert record["winner"] == retrained
    assert record["source"]["validation_env_params"] == ["gravity=5.0"]
    refused = fails(["sweep", "CartPole-v1", *SEARCH.split(), *few.split()], capsys)
    assert "sweeps/CartPole-v1-0 is not empty, and a search cannot be resumed" in refused


def test_without_matplotlib_the_table_is_written(tmp_path, monkeypatch, capsys):
    scores = np.array([[[1.0]], [[2.0]]])
    values = {name: np.array([0.1, 0.2], np.float32) for name in NAMES}
    ranges = dict.fromkeys(NAMES, (0.1, 0.2))
    result = SweepResult(PPOConfig(), ranges, values, (512,), scores, scores, np.zeros(2, int), 1)
    monkeypatch.setattr("purejaxrl_ppo.cli.sweep.sweep", lambda *args, **options: result)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    main(["sweep", "CartPole-v1", "--output", str(tmp_path / "found")])
    sentence = 'the plot needs matplotlib, which is not installed: pip install "trading-gymnax[report]"'
    printed = capsys.readouterr().out.splitlines()
    assert f"the table is in {tmp_path / 'found' / 'sweep.csv'}; {sentence}" in printed
    assert printed[-1].startswith("purejaxrl-ppo train CartPole-v1 ")
    assert [path.name for path in sorted((tmp_path / "found").iterdir())] == ["sweep.csv", "sweep.json"]


def test_a_search_without_a_winner_says_so_and_leaves_its_table(tmp_path, monkeypatch, capsys):
    lost, values = np.full((2, 1, 1), -np.inf), {name: np.array([0.1, 0.2], np.float32) for name in NAMES}
    ranges = dict.fromkeys(NAMES, (0.1, 0.2))
    result = SweepResult(PPOConfig(), ranges, values, (512,), lost, lost, np.ones(2, int), 1)
    monkeypatch.setattr("purejaxrl_ppo.cli.sweep.sweep", lambda *args, **options: result)
    printed = fails(["sweep", "CartPole-v1", "--output", str(tmp_path / "found")], capsys)
    assert printed.startswith("purejaxrl-ppo: no configuration is left, all that were not dropped became NaN")
    assert (tmp_path / "found" / "sweep.csv").is_file()
    assert json.loads((tmp_path / "found" / "sweep.json").read_text())["winner"] is None


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["train", "CartPol-v1"], "did you mean 'CartPole-v1'?"),
        (["train", "no_such_module:X-v0"], "there is no module 'no_such_module'"),
        (["train", "CartPole-v1", "--total-timesteps", "10"], "less than one iteration of 512 steps"),
        (["train", "CartPole-v1", "--num-env", "10"], "train has no option --num-env: did you mean --num-envs?"),
        (["train", "--num_env", "10", "CartPole-v1"], "train has no option --num-env: did you mean --num-envs?"),
        (["resume", "x", "--seed", "3"], "resume has no option --seed: `purejaxrl-ppo resume --help` lists those"),
        (["train", "CartPole-v1", "--num-envs", "abc"], "--num-envs cannot be 'abc': a whole number is expected"),
        (["train", "CartPole-v1", "--target-kl", "x"], "--target-kl cannot be 'x': None or a number is expected"),
        (
            ["train", "CartPole-v1", "--hidden-sizes", "8", "b"],
            "cannot be '8 b': a whole number, or several of them, is",
        ),
        (["train", "CartPole-v1", "--num-envs"], "--num-envs lacks its value: a whole number is expected"),
        (["train", "CartPole-v1", "--activation", "tahn"], "--activation cannot be 'tahn': did you mean tanh?"),
        (["evaluate", "x", "--checkpoint", "new"], "--checkpoint cannot be 'new': there are best, last"),
        (["train", "CartPole-v1", "8"], "train has no place for '8': `purejaxrl-ppo train --help` says what it takes"),
        (["train"], "train lacks ENV: `purejaxrl-ppo train --help` says what is meant"),
        (["evaluate"], "evaluate lacks RUN: `purejaxrl-ppo evaluate --help` says what is meant"),
        (["trian", "CartPole-v1"], "there is no command 'trian': did you mean train?"),
        (["--verbose"], "there is no command '--verbose': there are train, resume, evaluate, sweep"),
        ([], "a command is missing: train, resume, evaluate, sweep; `purejaxrl-ppo --help` says what they do"),
        (["train", "CartPole-v1", "--env-args", "foo=1"], "CartPole-v1 is made without an argument 'foo' (env_args)"),
        (["train", "tests.ppo.test_cli:sized"], "tests.ppo.test_cli:sized cannot be made without 'size'"),
        (["train", "CartPole-v1", "--eval-episodes", "0"], "eval_episodes=0 must be at least 1"),
        (["train", "CartPole-v1", "--env-params", "gravty=3.0"], "did you mean 'gravity'?"),
        (["train", "CartPole-v1", "--env-params", "gravity=abc"], "gravity='abc' is not a number"),
        (["train", "CartPole-v1", "--num-minibatches", "3"], "purejaxrl-ppo: num_envs x num_steps = 512 cannot be"),
        (["train", "CartPole-v1", "--exact-budget"], "use 499712 or 500224"),
        (["train", "CartPole-v1", "--run-dir", "/dev/null/x"], "Not a directory"),
        (["train", "json:Nope"], "no environment 'Nope' in the module 'json'"),
        (["train", "CartPole-v1", "--env-params", "gravity"], "is not of the form name=value"),
        (["resume", "nowhere"], "nowhere holds no run"),
        (["evaluate", "nowhere"], "nowhere holds no run"),
        (["sweep"], "sweep lacks ENV: `purejaxrl-ppo sweep --help` says what is meant"),
        (["sweep", "CartPol-v1"], "did you mean 'CartPole-v1'?"),
        (["sweep", "CartPole-v1", "--gama", "0.9"], "sweep has no option --gama: did you mean --gamma?"),
        (["sweep", "CartPole-v1", "--gamma", "0.9", "x"], "--gamma cannot be '0.9 x': a number, or several of them,"),
        (["sweep", "CartPole-v1", "--gamma", "0.99", "0.9"], "gamma needs a finite range, the lower end first"),
        (["sweep", "CartPole-v1", "--gamma", "0.9", "0.95", "0.99"], "gamma takes one number or two, the lower first"),
        (["sweep", "CartPole-v1", "--learning-rate", "0", "1"], "learning_rate=0.0 must be greater than 0"),
        (["sweep", "CartPole-v1", "--learning-rate", "1", "--ent-coef", "0"], "there is nothing to search"),
        (["sweep", "CartPole-v1", "--rungs", "0.5", "1.5"], "rungs are fractions of the budget that rise between 0"),
        (["sweep", "CartPole-v1", "--seeds", "0"], "seeds=0 must be a whole number, 1 or more"),
        (["sweep", "CartPole-v1", "--seeds", "two"], "--seeds cannot be 'two': a whole number is expected"),
        (["sweep", "CartPole-v1", "--configurations", "1"], "configurations=1 must be a whole number, 2 or more"),
        (["sweep", "CartPole-v1", "--validation-env-params", "gravty=3.0"], "did you mean 'gravity'?"),
        (["sweep", "CartPole-v1", "--output", "/dev/null/x"], "Not a directory"),
    ],
)
def test_wrong_input_is_answered_in_a_sentence(args, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = fails(args, capsys)
    assert printed.startswith("purejaxrl-ppo: ")
    assert printed.count("\n") == 1  # one line and no box
    assert message in printed


def test_what_tyro_refuses_in_a_new_way_is_still_a_sentence():
    class Strange:
        """An event that is not known here."""

    sentence = _Sentences(commands(["train"]), "purejaxrl-ppo", ["train"], {}).of(Strange())
    assert sentence.startswith("the command line cannot be understood (Strange): `purejaxrl-ppo train --help`")


@pytest.mark.parametrize("change", ["gone", "no hook", "another signature", "an event without its parts", "no enter"])
def test_where_tyros_private_parts_change_it_answers_itself(monkeypatch, capsys, change):
    if change == "gone":
        monkeypatch.delattr(tyro, "_errors")
    elif change == "no hook":
        monkeypatch.delattr(tyro._errors, "on_parse_error")
    elif change == "another signature":
        monkeypatch.setattr(tyro._errors, "on_parse_error", lambda: None)
    elif change == "no enter":
        monkeypatch.setattr(tyro._errors, "on_parse_error", lambda hook: None)
    else:

        class UnrecognizedArgs:
            """As today, but for what it holds."""

        @contextlib.contextmanager
        def hooked(hook):
            hook(UnrecognizedArgs())
            yield

        monkeypatch.setattr(tyro._errors, "on_parse_error", hooked)
    printed = fails(["train", "CartPole-v1", "--num-env", "3"], capsys)
    assert "--num-env" in printed
    assert "did you mean --num-envs?" not in printed  # our own words


def test_the_preset_is_found_wherever_the_environment_stands():
    for line in (
        "CartPole-v1 --seed 3",
        "--seed 3 CartPole-v1",
        "--seed=3 CartPole-v1",
        "--exact-budget CartPole-v1",
        "--no-tensorboard --run-dir Acrobot-v1 CartPole-v1",
    ):
        assert _named_environment(["train", *line.split()]) == "CartPole-v1"
    assert _named_environment(["train", "--hidden-sizes", "8", "9", "--seed", "3", "CartPole-v1"]) == "CartPole-v1"
    line = "sweep --gamma 0.9 0.99 --no-clip-value --rungs 0.5 --output=a --eta 2 CartPole-v1"
    assert _named_environment(line.split()) == "CartPole-v1"
    assert _named_environment(["train", "--seed", "3"]) == ""
    assert _named_environment(["resume", "CartPole-v1"]) == ""


def test_an_impatient_user_gets_a_sentence(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("purejaxrl_ppo.cli.training.fit", interrupted)
    with pytest.raises(SystemExit) as end:
        main(["train", "CartPole-v1"])
    assert end.value.code == 130
    assert "`resume` goes on from the last checkpoint" in capsys.readouterr().err
    monkeypatch.setattr("purejaxrl_ppo.cli.sweep.run_sweep", interrupted)
    with pytest.raises(SystemExit):
        main(["sweep", "CartPole-v1"])
    assert "stopped at once; a search starts anew" in capsys.readouterr().err


def test_a_damaged_description_is_named(capsys, tmp_path):
    (tmp_path / "run.json").write_text("{")
    assert "run.json is damaged" in " ".join(fails(["resume", str(tmp_path)], capsys).split())


def test_help_shows_the_settings_of_the_environment(capsys):
    with pytest.raises(SystemExit):
        main(["train", "CartPole-v1", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "Environments that run side by side, on all devices together. (default: 4)" in text
    assert "Iterations between evaluations" in text
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "ENV A gymnax id such as CartPole-v1" in " ".join(capsys.readouterr().out.replace("│", "").split())


def test_environments_by_name():
    env, params = make_environment("CartPole-v1", params={"gravity": 1.0})
    assert params.gravity == 1.0
    env, _ = make_environment("tests.ppo.probes:Table")
    assert type(env).__name__ == "Table"
    env, _ = make_environment("MemoryChain-bsuite", {"num_bits": 3})
    assert env.num_bits == 3
    assert parse_pairs(("a=1", "b=x.csv", "c=(1, 2)")) == {"a": 1, "b": "x.csv", "c": (1, 2)}


@pytest.mark.slow
def test_the_installed_command_trains_cartpole_as_a_new_user_types_it(tmp_path):
    command = [str(pathlib.Path(sys.executable).parent / "purejaxrl-ppo"), "train", "CartPole-v1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=True)
    assert done.stderr == ""
    assert "best return 500 reward an episode; policy, logs and checkpoints are in runs/CartPole-v1-0" in done.stdout
