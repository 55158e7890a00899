"""What the loader says, in the syntax of the command line: --repair off_tick, and not repair='off_tick'."""

from __future__ import annotations

import dataclasses
import re
import shlex

from trading_gymnax.cli.commands import Loader
from trading_gymnax.data.findings import DataError, refusal_text

_NAMES = "|".join(sorted(("roll", *(field.name for field in dataclasses.fields(Loader))), key=len, reverse=True))
_QUOTED = r"'[^']*'|\"[^\"]*\""
_VALUE = rf"\([^()]*\)|\{{[^{{}}]*\}}|{_QUOTED}|True\b|\.\.\.|[\w.+-]+"
_ARGUMENT = re.compile(rf"\b({_NAMES})=({_VALUE})")
_TWICE = re.compile(r"(--[a-z-]+ [^,;\[\]]+?),(?: or)? \1(?![\w/-])")
_ROLLED = re.compile(r"(--symbol [^,;]+) with (?=--roll )")


def sentence(error: BaseException) -> str:
    """An error as the command line tells it."""
    return refusal_text(error.report, as_typed) if isinstance(error, DataError) else as_typed(str(error))


def as_typed(text: str) -> str:
    """A text whose arguments of `load_bars` are options instead; what then stands there twice stands there once."""
    return _TWICE.sub(r"\1", _ROLLED.sub(r"\1 ", _ARGUMENT.sub(_option, text)))


def _option(found: re.Match[str]) -> str:
    name, value = found[1], found[2]
    option = "--" + name.replace("_", "-")
    if value == "True":
        return option
    if value.startswith("{"):
        pairs = re.findall(rf"({_QUOTED}): ({_QUOTED}|\.\.\.)", value)
        return " ".join([option, *(f"{_plain(key)}={_plain(x) if x != '...' else 'NAME'}" for key, x in pairs)])
    if value.startswith("("):
        return " ".join([option, *(_plain(x) for x in re.findall(rf"{_QUOTED}|[\w.+-]+", value))])
    return f"{option} {_plain(value)}"


def _plain(text: str) -> str:
    """A value without Python's quotes, and with a shell's where it needs them."""
    return shlex.quote(text[1:-1]) if text[:1] in ("'", '"') else text
