"""Wrong input on a command line as one sentence: what tyro refuses, in our words."""

import contextlib
import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import tyro

from purejaxrl_ppo.cli.numbers import NUMBERS
from purejaxrl_ppo.words import is_refusal, nearest

_KINDS = {"INT": "a whole number", "FLOAT": "a number", "STR": "a text", "PATH": "a path", "None": "None"}


TRACEBACK = "--traceback"
"""Typed with any command, it shows the trace of an error beside the sentence."""


class _Refused(Exception):
    """Carries the sentence out of tyro's parser."""


def parse_command_line(
    commands: Any, *, prog: str, args: list[str], description: str, elsewhere: Mapping[str, str] | None = None
) -> Any:
    """`tyro.cli` for a union of subcommands, but input that it refuses raises instead of printing a box.

    Numbers are read as people write them, see `numbers`. An option that takes several values may be typed several
    times, too; of another one the last value counts. What was refused is learnt from tyro's private events. Where a
    release lacks or changes them, tyro prints its box and ends with status 2.

    Args:
        commands: dataclasses as subcommands, joined by `|`.
        prog: name of the program.
        args: what was typed after it.
        description: what `--help` says above the list of commands.
        elsewhere: names that somebody may take for options, `commission_per_side` say, and how they are typed.

    Raises:
        ValueError: one sentence that names the option or command and what to write instead.
        SystemExit: after `--help`, with status 0.
    """
    sentences = _Sentences(commands, prog, args, elsewhere or {})

    def refuse(event: Any) -> None:
        try:
            sentence = sentences.of(event)
        except Exception:  # of whatever kind: the event is not what it was, and tyro's own message follows
            return
        raise _Refused(sentence)

    about = f"{description} {TRACEBACK} with any command shows the trace of an error."
    try:
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(Exception):  # private: it may be gone, or take other arguments
                stack.enter_context(tyro._errors.on_parse_error(refuse))
            typed = _gathered(args, sentences.takes_several)
            return tyro.cli(commands, prog=prog, args=typed, description=about, registry=NUMBERS)
    except _Refused as refused:
        raise ValueError(str(refused)) from None


def wants_trace(error: BaseException, args: list[str], *packages: str) -> bool:
    """Whether a command line shows the trace of an error, and not its sentence alone.

    It does where it was asked to, by `--traceback` or, for numbers that are none, by `--debug-nans`; and where a
    ValueError or TypeError is none that `packages` raised themselves (`is_refusal`), for that is a fault of ours.
    """
    if TRACEBACK in args or ("--debug-nans" in args and isinstance(error, FloatingPointError)):
        return True
    return isinstance(error, ValueError | TypeError) and not is_refusal(error, *packages)


class _Sentences:
    """What tyro's events mean to somebody who typed `args`."""

    def __init__(self, commands: Any, prog: str, args: list[str], elsewhere: Mapping[str, str]) -> None:
        self._commands, self._prog, self._args = commands, prog, args
        self._elsewhere = {name.replace("_", "-"): typed for name, typed in elsewhere.items()}
        self._help_texts: dict[tuple[str, ...], str] = {}  # by command; tyro takes long to make one

    def of(self, event: Any) -> str:
        """One sentence for an event of `tyro._errors`, told by the name of its class."""
        kind = type(event).__name__
        if kind == "MissingSubcommand":
            return self._about_command(event.found_token)
        if kind == "UnrecognizedArgs":
            return self._about_unknown(event.tokens)
        if kind == "MissingArgs":
            if event.unrecognized_tokens:
                return self._about_unknown(event.unrecognized_tokens)
            return self._about_missing([_name(missing.arg) for missing in event.missing_arguments])
        if kind == "BadValue":
            return self._about_value(event)
        if kind == "InvalidChoice":
            return f"{_name(event.argument)} cannot be {event.value!r}{nearest(event.value, _as_typed(event.choices))}"
        if kind == "InstantiationFailure":
            if event.argument is None:
                return str(event.message)
            return f"{_name(event.argument)} {_rejected(event.message)}: {_expected(event.argument)}"
        return f"the command line cannot be understood ({kind}): `{self._help()}` says what can be typed"

    def takes_several(self, flag: str) -> bool:
        """Whether the command's option has room for more than one value."""
        place = rf"{re.escape(flag)}[\s│|]+\[[^]]*\.\.\."  # --set [STR [STR ...]]
        return self._command() is not None and bool(re.search(place, self._help_text([str(self._command())])))

    def _about_command(self, token: str | None) -> str:
        names = self._names()
        if token is None:
            return f"a command is missing: {', '.join(names)}; `{self._prog} --help` says what they do"
        return f"there is no command {token!r}{nearest(token, _as_typed(names))}"

    def _about_unknown(self, tokens: list[str]) -> str:
        if self._command() is None:
            return self._about_command(tokens[0])
        flags = self._flags()
        unknown = [flag for flag in map(_flag, tokens) if flag and flag not in flags]
        if unknown:
            known = {flag[2:]: flag for flag in flags} | self._elsewhere
            hint = nearest(unknown[0][2:], known, f"`{self._help()}` lists those it has", cutoff=0.65)
            return f"{self._command()} has no option {unknown[0]}{hint}"
        return f"{self._command()} has no place for {tokens[0]!r}: `{self._help()}` says what it takes"

    def _about_missing(self, names: list[str]) -> str:
        return f"{self._command()} lacks {' and '.join(names)}: `{self._help()}` says what is meant"

    def _about_value(self, event: Any) -> str:
        name = _name(event.argument)
        if event.offending_value is not None:
            return f"{name} takes no value, but {event.offending_value!r} was given"
        if name.startswith("-"):
            return f"{name} lacks its value: {_expected(event.argument)}"
        # an unknown option in front is taken for the end of the places, so that it is what has to be named
        if any(flag and flag not in self._flags() for flag in map(_flag, self._args)):
            return self._about_unknown(self._args)
        return self._about_missing([name])

    def _command(self) -> str | None:
        return self._args[0] if self._args and self._args[0] in self._names() else None

    def _help(self) -> str:
        return " ".join(part for part in (self._prog, self._command(), "--help") if part)

    def _names(self) -> list[str]:
        """Names of the commands."""
        usage = re.search(r"\{([\w,-]+)\}", self._help_text([]))
        return usage.group(1).split(",") if usage else []

    def _flags(self) -> list[str]:
        """Options of the command that was typed."""
        found = re.findall(r"--[a-z][a-z0-9-]*", self._help_text([str(self._command())]))
        return [flag for flag in dict.fromkeys(found) if flag != "--help"]

    def _help_text(self, command: list[str]) -> str:
        if tuple(command) not in self._help_texts:
            text = io.StringIO()
            with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
                tyro.cli(self._commands, prog=self._prog, args=[*command, "--help"], registry=NUMBERS)
            self._help_texts[tuple(command)] = text.getvalue()
        return self._help_texts[tuple(command)]


def _gathered(args: list[str], takes_several: Callable[[str], bool]) -> list[str]:
    """`args` with the values of an option that takes several together, of which tyro forgets all but the last."""
    flags = [flag for flag in map(_flag, args) if flag]
    values: dict[str, list[str]] = {flag: [] for flag in flags if flags.count(flag) > 1 and takes_several(flag)}
    front: list[str] = []  # the command and its places
    rest: list[str] = []
    into = front
    for token in args:
        flag, (_, equals, value) = _flag(token), token.partition("=")
        if flag in values:
            values[flag] += [value] if equals else []
            into = front if equals else values[flag]  # behind --set=a no more of its values can stand
        else:
            into = rest if flag else into
            into.append(token)
    return [*front, *rest, *(token for flag, given in values.items() for token in (flag, *given))]


def _flag(token: str) -> str:
    """The option that a token names, "" for a value."""
    return token.partition("=")[0].replace("_", "-") if token.startswith("--") else ""


def _name(argument: Any) -> str:
    """The argument as it is typed: `--num-envs`, or the name of a place such as ENV."""
    name, place = str(argument.lowered.name_or_flags[-1]), str(argument.lowered.metavar)
    if name.startswith("-"):
        return name
    return name.rpartition(".")[2].replace("-", "_").upper() if place in _KINDS else place


def _expected(argument: Any) -> str:
    """What the argument takes, from a pattern like `{None}|FLOAT`, `[INT [INT ...]]` or `FLOAT FLOAT`."""
    pattern = str(argument.lowered.metavar)
    several = ", or several of them," if "..." in pattern else ""
    kinds = pattern.split()
    if not several and len(kinds) > 1 and len(set(kinds)) == 1 and kinds[0] in _KINDS:
        return f"{len(kinds)} {_KINDS[kinds[0]].removeprefix('a ')}s are expected"
    words = [_KINDS.get(part.strip("{}[] ."), part.strip("{}")) for part in pattern.partition(" [")[0].split("|")]
    return f"{' or '.join(words)}{several} is expected"


def _rejected(message: str) -> str:
    """`cannot be 'abc'`, from what Python or tyro said about the value."""
    first = message.strip().partition("\n")[0]
    values = re.findall(r"'([^']*)'", first.partition("] into ")[0])  # behind it stand the types
    return f"cannot be {' '.join(values)!r}" if values else f"cannot be used ({first})"


def _as_typed(names: Iterable[str]) -> dict[str, str]:
    """Names that are shown as they are typed, without quotes."""
    return {name: name for name in names}
