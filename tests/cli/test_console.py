"""What a console does to a program: a pipe that closes, Ctrl-C at once, letters it lacks, extras that are missing."""

import importlib.util
import os
import pathlib
import signal
import subprocess
import sys

import pytest

import _console_start
from trading_gymnax.cli import main as cli
from trading_gymnax.extras import MissingExtra

ROOT = pathlib.Path(__file__).resolve().parents[2]
SLOW = "import time\nprint('importing', flush=True)\ntime.sleep(60)\n"
TALKATIVE = "def main():\n    for _ in range(100_000):\n        print('a line, and another one')\n"
COLLECTING = "import gc\nx = gc.isenabled()\ndef main():\n    print(x, gc.isenabled(), bool(gc.get_freeze_count()))\n"
SELDOM = (
    "import sys\nimport scipy.stats\nimport scipy.stats as stats\nbefore = 'scipy.stats._stats_py' in sys.modules\n"
    "def main():\n    print(before, stats.norm.cdf(0.0), type(stats) is type(sys), type(stats.__loader__).__name__)\n"
)
ACCENTED = "def main():\n    print('caf\\u00e9')\n"


def program(folder: pathlib.Path, source: str, **more: str) -> subprocess.Popen[str]:
    """The start of a program whose module has this source."""
    (folder / "stand_in.py").write_text(source)
    line = "import _console_start; _console_start.start('trading-gymnax', 'stand_in')"
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", **more}
    # Python's own handler, also where these tests run in the background of a shell, which has SIGINT ignored
    command = [sys.executable, "-c", f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {line}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_ctrl_c_while_the_program_is_imported_is_one_line(tmp_path):
    with program(tmp_path, SLOW) as process:
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ("", "trading-gymnax: stopped before it began\n")
    assert process.returncode == _console_start.STOPPED


def test_a_pipe_that_closes_ends_the_program_without_a_word(tmp_path):
    with program(tmp_path, TALKATIVE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == _console_start.CLOSED_PIPE


def test_a_console_without_a_letter_shows_another(tmp_path):
    with program(tmp_path, ACCENTED, PYTHONIOENCODING="ascii", PYTHONUTF8="0") as process:
        assert process.communicate(timeout=30) == ("caf?\n", "")
    assert process.returncode == 0


def test_what_is_seldom_used_is_executed_when_it_is_used(tmp_path):
    with program(tmp_path, SELDOM) as process:
        assert process.communicate(timeout=60) == ("False 0.5 True SourceFileLoader\n", "")


def test_garbage_is_looked_for_in_what_was_made_after_the_imports(tmp_path):
    with program(tmp_path, COLLECTING) as process:
        assert process.communicate(timeout=30) == ("False True True\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("package", ["trading_gymnax", "purejaxrl_ppo"])
def test_both_programs_run_as_modules(package, tmp_path):
    command = [sys.executable, "-m", package, "--help"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert package.replace("_", "-") in ran.stdout


def test_ctrl_c_at_work_is_one_line(monkeypatch, capsys):
    def stop(command):
        raise KeyboardInterrupt

    for command, kind, rest in (("params", cli.Params, ""), ("train", cli.Train, "the same command goes on")):
        monkeypatch.setitem(cli._RUN, kind, stop)
        with pytest.raises(SystemExit) as ended:
            cli.main([command])
        said = capsys.readouterr().err
        assert (ended.value.code, said.count("\n")) == (130, 1)
        assert said.startswith("trading-gymnax: stopped at once")
        assert rest in said


def test_a_missing_extra_is_told_before_the_work(monkeypatch, capsys, tmp_path):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "plotly" else found(name, *more)
    )
    with pytest.raises(SystemExit) as ended:
        cli.main(["report", str(tmp_path)])
    assert ended.value.code == 2
    assert str(MissingExtra("plotly")) in capsys.readouterr().err
    monkeypatch.setattr("trading_gymnax.cli.training.build", stop)
    with pytest.raises(KeyError, match="the work"):
        cli._RUN[cli.Train](cli._command(["train", "--run-dir", str(tmp_path / "run")]))
    assert capsys.readouterr().out == f"no report will be written: {MissingExtra('plotly')}\n"


def stop(settings):
    raise KeyError("the work")
