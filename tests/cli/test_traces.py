"""What a command line says of an error: a sentence where it is a refusal, the trace where it is a fault of ours."""

import runpy
import sys

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from purejaxrl_ppo.cli import main as trainer
from purejaxrl_ppo.words import is_refusal
from trading_gymnax.cli import main as cli

CHECK = ["check", "x.csv", "--market", "NQ"]


def caught(call) -> BaseException:
    """What a call raises."""
    try:
        call()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def refuse() -> None:
    raise ValueError("a sentence")


def refuse_after(call) -> None:
    try:
        call()
    except Exception as error:
        raise ValueError("a sentence about it") from error


FAULTS = {
    "JAX": lambda: jnp.zeros(2).reshape(3),
    "NumPy": lambda: np.zeros(2).reshape(3),
    "NumPy, a ufunc": lambda: np.zeros(2) + np.zeros(3),
    "pandas": lambda: pd.Timestamp("soon"),
    "Python": lambda: int("two"),
    "unpacking": lambda: (lambda a, b: a)(*range(3)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_others_raise_is_no_refusal(name):
    error = caught(FAULTS[name])
    assert isinstance(error, ValueError | TypeError)
    assert not is_refusal(error, "tests")
    assert is_refusal(caught(lambda: refuse_after(FAULTS[name])), "tests")


def test_a_refusal_is_raised_by_one_of_the_packages():
    error = caught(refuse)
    assert is_refusal(error, "jax", "tests")
    assert not is_refusal(error, "trading_gymnax")
    assert not is_refusal(ValueError("never raised"), "tests")


@pytest.mark.parametrize("fault", ["JAX", "Python"])
def test_a_fault_of_the_program_shows_its_trace(monkeypatch, fault):
    monkeypatch.setitem(cli._RUN, cli.Check, lambda command: FAULTS[fault]())
    monkeypatch.setattr(trainer, "_run", lambda *command: FAULTS[fault]())
    with pytest.raises((TypeError, ValueError)):
        cli.main(CHECK)
    with pytest.raises((TypeError, ValueError)):
        trainer.main(["evaluate", "nowhere"])


def test_a_refusal_is_a_sentence_and_with_traceback_its_trace(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for main, args, words in ((cli.main, CHECK, "no file x.csv"), (trainer.main, ["resume", "no"], "no holds no run")):
        with pytest.raises(SystemExit) as ended:
            main(args)
        assert ended.value.code == 2
        assert words in capsys.readouterr().err
        for place in (0, len(args)):
            with pytest.raises((ValueError, OSError), match=words):
                main([*args[:place], "--traceback", *args[place:]])


def test_a_sentence_of_the_environment_is_one(capsys):
    """Raised by `trading_gymnax`, of which the trainer knows nothing but that it was asked for."""
    made = ["train", "trading_gymnax:TradingPhase1-v0", "--env-args", "window=0"]
    with pytest.raises(SystemExit) as ended:
        trainer.main(made)
    assert ended.value.code == 2
    assert "window is the number of bars seen, from 1 to 390; got 0" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["trading_gymnax", "purejaxrl_ppo"])
def test_a_package_is_its_command(package, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [package, "evaluat"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(package, run_name="__main__")
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said == f"{package.replace('_', '-')}: there is no command 'evaluat': did you mean evaluate?\n"
