"""Every option of both programs misspelt, without a value or with a wrong one: one sentence. Made from the parsers."""

import contextlib
import dataclasses
import functools
import importlib
import inspect
import io
import pathlib
import re
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from purejaxrl_ppo import FitOptions, PPOConfig
from purejaxrl_ppo.cli import main as trainer_cli
from purejaxrl_ppo.cli.commands import commands as trainer_commands
from purejaxrl_ppo.cli.errors import _gathered, _Sentences, parse_command_line
from trading_gymnax import runs
from trading_gymnax.cli import main as trading_cli
from trading_gymnax.cli import skill as skill_cli
from trading_gymnax.cli import training as training_cli
from trading_gymnax.data.contracts import CONTRACTS
from trading_gymnax.synthetic import regime

REACHED = "the work was reached"
NUMBERS, MORE_NUMBERS = ("-1", "nan"), ("0", "1e300", "9" * 30)  # the latter are tried in the slow suite
TEXTS, MORE_TEXTS = ("", "/dev/null/x", "2025-13-01"), ("x", "0")
NEEDED = {  # what a command cannot do without
    "trading-gymnax check": ["nowhere.csv", "--market", "NQ"],
    "trading-gymnax audit": ["nowhere.csv", "--market", "NQ", "--features", "nowhere.py:make"],
    "trading-gymnax evaluate": ["nowhere"],
    "trading-gymnax report": ["nowhere"],
    "trading-gymnax live": ["nowhere"],
    "trading-gymnax paper": ["nowhere"],
    "trading-gymnax reconcile": ["nowhere", "nowhere"],
    "trading-gymnax export": ["nowhere", "--to", "numpy"],
    "purejaxrl-ppo train": ["CartPole-v1"],
    "purejaxrl-ppo resume": ["nowhere"],
    "purejaxrl-ppo evaluate": ["nowhere"],
    "purejaxrl-ppo sweep": ["CartPole-v1"],
}


class Option(NamedTuple):
    """One option of one command."""

    command: str  # "trading-gymnax check", say
    flag: str
    hint: Any  # its type
    owner: type  # dataclass that it is a field of


def of_dataclass(command: str, cls: type) -> Iterator[Option]:
    """The options that a dataclass has on the command line, those of its parts too."""
    for name, annotated in typing.get_type_hints(cls, include_extras=True).items():
        marks = getattr(annotated, "__metadata__", ())
        hint = annotated.__origin__ if marks else annotated
        if dataclasses.is_dataclass(hint):
            yield from of_dataclass(command, typing.cast(type, hint))
        elif not any(str(mark) in ("Positional", "Fixed") for mark in marks):
            renamed = [mark.name for mark in marks if getattr(mark, "name", None)]
            owner = next(base for base in reversed(cls.__mro__) if name in inspect.get_annotations(base))
            yield Option(command, "--" + (renamed or [name])[0].replace("_", "-"), hint, owner)


def of_program(program: str, commands: Any) -> Iterator[Option]:
    for command in typing.get_args(commands):
        yield from of_dataclass(f"{program} {command.__metadata__[0].name}", command.__origin__)


PARSERS = {"trading-gymnax": trading_cli._commands(), "purejaxrl-ppo": trainer_cli.commands(["train", "CartPole-v1"])}
MAINS = {"trading-gymnax": trading_cli.main, "purejaxrl-ppo": trainer_cli.main}
OPTIONS = [option for program, commands in PARSERS.items() for option in of_program(program, commands)]
COMMANDS = sorted({option.command for option in OPTIONS})
# several commands share options: each is tried once
DISTINCT = list({(option.owner, option.flag): option for option in OPTIONS}.values())


def named(option: Option) -> str:
    return f"{option.command} {option.flag}"


def said(command: str, *args: str) -> str:
    """What a command that must be refused prints: one line on stderr that starts with the program's name, status 2."""
    answer, status = run(command, *args)
    assert status == 2, answer
    return answer


def run(command: str, *args: str) -> tuple[str, int]:
    """What a command prints on stderr, and its status; a refusal is one line. Any other exception goes through."""
    program, _, name = command.partition(" ")
    out, err, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            MAINS[program]([name, *args])
        except SystemExit as ended:
            status = int(ended.code or 0)
    if status == 2:
        *progress, sentence = err.getvalue().splitlines()
        assert sentence.startswith(f"{program}: ")
        assert all(re.match(r"\d+ of \d+: ", line) for line in progress), progress
    return err.getvalue(), status


@pytest.fixture(scope="module", autouse=True)
def _help_is_made_once():
    """The hundreds of refusals of this file read the help and the source of one command again and again."""
    made, make = {}, _Sentences._help_text

    def kept(sentences: _Sentences, command: list[str]) -> str:
        key = (sentences._prog, *command)
        if key not in made:
            made[key] = make(sentences, command)
        return made[key]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_Sentences, "_help_text", kept)
        patched.setattr(inspect, "getsource", functools.cache(inspect.getsource))
        yield


@pytest.fixture(autouse=True)
def _nothing_is_trained(request, tmp_path, monkeypatch):
    def reached(*args: Any, **kwargs: Any) -> None:
        raise OSError(REACHED)  # which the command lines print as a sentence, whoever raises it

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("purejaxrl_ppo.cli.training.fit", reached)
    monkeypatch.setattr(importlib.import_module("purejaxrl_ppo.sweep.run")._Runs, "advance", reached)
    monkeypatch.setattr(training_cli, "fit", reached)
    monkeypatch.setattr(training_cli, "ppo_learner", lambda config: reached)
    monkeypatch.setattr(training_cli, "run_walk_forward", reached)
    for name in ("permutation_test", "cross_validate", "run_sweep", "biases"):
        monkeypatch.setattr(skill_cli, name, reached)
    monkeypatch.setattr(runs, "BUILT_IN_SESSIONS", 3)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_found_are_those_of_the_help(command):
    program, _, name = command.partition(" ")
    there = _Sentences(PARSERS[program], program, [name], {})._flags()
    found = [option for option in OPTIONS if option.command == command]
    switches = {"--no-" + option.flag[2:] for option in found if option.hint is bool}
    assert {option.flag for option in found} | switches == set(there)


@pytest.mark.parametrize("option", DISTINCT, ids=named)
def test_a_misspelt_option_names_the_right_one(option):
    wrong = option.flag + option.flag[-1]
    answer = said(option.command, *NEEDED.get(option.command, []), wrong, "1")
    assert f"has no option {wrong}: did you mean {option.flag}?" in answer


def is_choice(hint: Any) -> bool:
    return any(typing.get_origin(one) is typing.Literal for one in (hint, *typing.get_args(hint)))


def takes(hint: Any) -> set[type]:
    """The plain types that an option's values may have."""
    inner = {one for part in typing.get_args(hint) for one in takes(part)} if typing.get_args(hint) else {hint}
    return {one for one in inner if isinstance(one, type) and one not in (type(None), tuple)}


@pytest.mark.parametrize("option", DISTINCT, ids=named)
def test_an_option_without_its_value_or_with_one_of_another_type_is_named(option):
    needed = NEEDED.get(option.command, [])
    if option.hint is bool:
        assert "'maybe'" in said(option.command, *needed, f"{option.flag}=maybe")
        return
    if "..." not in str(option.hint):  # any number of values may be none
        assert option.flag in said(option.command, *needed, option.flag)
    if is_choice(option.hint) or takes(option.hint) <= {int, float}:
        wrong = ["y"] * width(option)
        assert f"{option.flag} cannot be {' '.join(wrong)!r}: " in said(option.command, *needed, option.flag, *wrong)
    if option.flag == "--rth":
        assert "--rth cannot be 'y y': 2 numbers are expected" in said(option.command, *needed, option.flag, "y", "y")
    if takes(option.hint) == {int}:
        assert f"{option.flag} cannot be '1.5'" in said(option.command, *needed, option.flag, "1.5")


def width(option: Option) -> int:
    """How many values an option takes; 1 where any number goes."""
    parts = typing.get_args(option.hint)
    return len(parts) if typing.get_origin(option.hint) is tuple and ... not in parts else 1


@pytest.fixture(scope="module")
def bars(tmp_path_factory) -> pathlib.Path:
    """A file of four sessions."""
    spec = dataclasses.replace(CONTRACTS["NQ"], calendar=None)
    path = tmp_path_factory.mktemp("bars") / "nq.parquet"
    regime(4, spec=spec, first_session="2025-03-03").frame.to_parquet(path)
    return path


@pytest.fixture(scope="module")
def real(bars, tmp_path_factory) -> dict[str, list[str]]:
    """Of each command, arguments with which it comes to its work."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "mine.py").write_text("def make(frame):\n    return frame[['close']].diff().fillna(0)\n")
    tiny = ["--num-envs", "4", "--num-steps", "32", "--total-timesteps", "256", "--hidden-sizes", "8"]
    played = folder / "cartpole"
    trainer_cli.main(["train", "CartPole-v1", *tiny, "--eval-every", "0", "--run-dir", str(played), "--quiet"])
    data = ["--data", str(bars), "--market", "NQ"]
    found = {
        "trading-gymnax check": [str(bars), "--market", "NQ"],
        "trading-gymnax audit": [
            *(str(bars), "--market", "NQ", "--features", f"{folder / 'mine.py'}:make", "--cuts", "2")
        ],
        "trading-gymnax train": data,
        "trading-gymnax walk-forward": [*data, "--train-sessions", "1", "--test-sessions", "1"],
        "trading-gymnax certify": ["--sessions", "3"],
        "trading-gymnax permute": data,
        "trading-gymnax cpcv": [*data, "--groups", "2", "--held-out", "1"],
        "trading-gymnax sweep": data,
        "trading-gymnax path": [],
        "purejaxrl-ppo train": ["CartPole-v1"],
        "purejaxrl-ppo evaluate": [str(played), "--episodes", "2", "--max-steps", "5"],
        "purejaxrl-ppo sweep": ["CartPole-v1", *tiny],
    }
    return found | {"purejaxrl-ppo resume": [str(played)]}


# test_arguments.py has these two: their values are refused when they are built
COMMANDS_OWN = [
    option for option in DISTINCT if option.owner not in (PPOConfig, FitOptions) and option.hint is not bool
]


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [(NUMBERS, TEXTS), pytest.param(MORE_NUMBERS, MORE_TEXTS, marks=pytest.mark.slow)],
    ids=["some", "more"],
)
@pytest.mark.parametrize("option", COMMANDS_OWN, ids=named)
def test_a_wrong_value_is_one_sentence_or_reaches_the_work(option, numbers, texts, real):
    needed = real.get(option.command, NEEDED.get(option.command, []))
    values = numbers if takes(option.hint) <= {int, float} else texts
    for value in () if is_choice(option.hint) else values:
        answer, status = run(option.command, *needed, option.flag, *[value] * width(option))
        assert status in (0, 1, 2)
        assert status != 2 or len(answer) > 30


@pytest.mark.parametrize(
    ("typed", "counted"),
    [
        ("train --set a=1 --set b=2", "train --set a=1 b=2"),
        ("train --set=a=1 x --gamma 0.5 --set b=2 c=3 --seed 1", "train x --gamma 0.5 --seed 1 --set a=1 b=2 c=3"),
        ("train --columns d e --set=a=1 x --set=b=2", "train x --columns d e --set a=1 b=2"),
        ("train --set --gamma 0.5 --gamma 0.6", "train --set --gamma 0.5 --gamma 0.6"),
        ("train --entry_sizes 1 --entry-sizes 2 --set", "train --set --entry-sizes 1 2"),
        ("train --set a=1 b=2 --gamma 0.5", "train --set a=1 b=2 --gamma 0.5"),
    ],
)
def test_values_of_an_option_that_is_typed_again_are_not_lost(typed, counted):
    assert _gathered(typed.split(), {"--set", "--entry-sizes"}.__contains__) == counted.split()


@pytest.mark.parametrize(
    ("program", "typed", "field", "values"),
    [
        ("trading-gymnax", "--set position_size=2 --set atr=3", "changes", ("position_size=2", "atr=3")),
        ("trading-gymnax", "--entry-sizes 1 2 --phase=2 --entry-sizes=4", "entry_sizes", (1, 2, 4)),
        ("purejaxrl-ppo", "CartPole-v1 --hidden-sizes 8 --seed 1 --hidden-sizes 4", "hidden_sizes", (8, 4)),
        ("purejaxrl-ppo", "CartPole-v1 --gamma 0.5 --gamma 0.6", "gamma", 0.6),
    ],
)
def test_both_programs_read_an_option_that_is_typed_again(program, typed, field, values):
    args = ["train", *typed.split()]
    known = {"trading-gymnax": trading_cli._commands, "purejaxrl-ppo": lambda: trainer_commands(args)}[program]
    command = parse_command_line(known(), prog=program, args=args, description="")
    assert getattr(command if hasattr(command, field) else command.config, field) == values
