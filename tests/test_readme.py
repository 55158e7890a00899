"""The programs in README run, and print what README says."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

README = (pathlib.Path(__file__).resolve().parents[1] / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
SMALLER = {"2_000_000": "131_072", "=131_072, eval_freq=65_536": "=2_048, eval_freq=1_024"}


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_the_first_program_prints_what_stands_under_it():
    output = re.search(r"```python\n.*?```\s+```\n(.*?)```", README, re.DOTALL)[1]
    done = run(PROGRAMS[0])
    assert (done.stdout, done.returncode) == (output, 0), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS[1:], ids=lambda text: re.findall(r"(?:from|import) (\w+)", text)[1])
def test_the_others_run(program):
    """With the environment of the first one, and smaller numbers."""
    if "rejax" in program and importlib.util.find_spec("rejax") is None:
        pytest.skip("rejax is not installed: pip install '.[interop]'")
    for text, smaller in SMALLER.items():
        program = program.replace(text, smaller)
    made = "import gymnax, trading_gymnax\nenv, params = gymnax.make('TradingPhase1-v0')\n"
    done = run(made + program)
    assert done.returncode == 0, done.stderr


def test_every_command_in_readme_exists():
    from purejaxrl_ppo.cli import main as trainer
    from trading_gymnax.cli import main as trader

    found = set(re.findall(r"^(trading-gymnax|purejaxrl-ppo)\s+([\w-]+)", README, re.MULTILINE))
    assert len(found) > 6
    for program, command in found:
        main = trader.main if program == "trading-gymnax" else trainer.main
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code in (0, None), (program, command)
