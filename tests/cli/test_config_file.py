"""`--config FILE.toml` and `--show-config`: options from a file, and a file from options."""

import pytest

from trading_gymnax.cli import main as cli
from trading_gymnax.cli.config_file import read_config

FILE = """
phase = 2
total_timesteps = "500k"
train-until = 2025-03-01
hidden-sizes = [32, 16]
quiet = true
tensorboard = false
rth = [09:45:00, 15]

[set]
sl_atr_mult = 2.5
rth_close = 15:45:00
trailing_dd_limit = inf
stop_first = false
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(FILE)
    return path


def shown(capsys, *args: str) -> list[str]:
    cli.main([*args, "--show-config"])
    return capsys.readouterr().out.splitlines()


def refusal(capsys, *args: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", *args])
    said = capsys.readouterr()
    assert (ended.value.code, said.err.count("\n")) == (2, 1)
    return said.err


def test_a_file_gives_options_and_what_is_typed_wins(file, capsys):
    lines = shown(capsys, "train", "--config", str(file), "--phase", "1", "--quiet", "--set", "sl_atr_mult=3")
    expected = ["phase = 1", "total-timesteps = 500000", 'train-until = "2025-03-01"', "hidden-sizes = [32, 16]"]
    assert {*expected, "quiet = true", "tensorboard = false", "rth = [9.75, 15.0]", "num-envs = 256"} <= set(lines)
    parameters = lines[lines.index("[set]") + 1 :]
    assert parameters == ["sl_atr_mult = 3", "rth_close = 15.75", "trailing_dd_limit = inf", "stop_first = false"]


@pytest.mark.parametrize("command", ["train", "walk-forward"])
def test_what_is_shown_is_a_file_that_gives_the_same(command, tmp_path, capsys):
    first = shown(
        capsys, command, "--data", 'odd "name".csv', "--market", "NQ", "--set", "rth_open=10:10", "--seed", "7"
    )
    path = tmp_path / "shown.toml"
    path.write_text("\n".join(first))
    assert shown(capsys, command, "--config", str(path)) == first
    assert 'data = ["odd \\"name\\".csv"]' in first
    assert shown(capsys, command, f"--config={path}", "--seed", "8") == [
        x.replace("seed = 7", "seed = 8") for x in first
    ]


def test_wrong_files_are_one_sentence_with_their_name(file, tmp_path, capsys):
    def said(text: str) -> str:
        file.write_text(text)
        return refusal(capsys, "--config", str(file))

    assert f"{file}: train has no option --total-timestep: did you mean --total-timesteps?" in said(
        "total_timestep = 5"
    )
    assert f"{file}: --num-envs cannot be 'many'" in said('num-envs = "many"')
    assert f"{file}: there is no table [trainer]" in said("[trainer]\nseed = 1")
    assert f"{file}: config cannot stand in a file" in said('config = "other.toml"')
    assert f"{file}: " in said("phase: 2")
    assert "did you mean 'sl_atr_mult'?" in said("[set]\nsl_atr_mul = 2")
    missing = tmp_path / "missing.toml"
    assert str(missing) in refusal(capsys, "--config", str(missing))


def test_a_fault_of_the_program_is_not_laid_to_the_file(file):
    with pytest.raises(ValueError, match=r"^invalid literal"):
        read_config(file, "train", lambda args: int(args[0]))
