"""Options of a command from a TOML file, and back: `--config FILE.toml` and `--show-config`.

A key is an option without its dashes, the table [set] holds parameters of the environment. What is typed wins.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import json
import pathlib
import tomllib
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

from purejaxrl_ppo import wants_trace

_OWN = ("config_file", "show_config")  # fields that say where the others come from


def config_path(args: Sequence[str]) -> pathlib.Path | None:
    """The file that the arguments of a command name, the last one where there are several."""
    named = [value for name, value in itertools.pairwise(args) if name == "--config"]
    named += [arg.partition("=")[2] for arg in args if arg.startswith("--config=")]
    return pathlib.Path(named[-1]) if named else None


def read_config(path: pathlib.Path, command: str, parse: Callable[[list[str]], Any]) -> Any:
    """The command with the options of a file.

    Args:
        path: a TOML file.
        command: name of the command, `train` say.
        parse: makes a command of the arguments that are typed after the program's name.

    Raises ValueError, with the file's name, for what is no TOML and for what the command refuses; OSError.
    """
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    try:
        return parse([command, *_arguments(values)])
    except ValueError as error:
        if wants_trace(error, [], "trading_gymnax", "purejaxrl_ppo"):
            raise  # no refusal of what the file says, but a fault of ours
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error


def merged(command: Any, base: Any) -> Any:
    """A command whose --set adds to that of the file, name by name."""
    pairs = dict(pair.split("=", 1) if "=" in pair else (pair, "") for pair in base.changes)
    for pair in command.changes:
        name, equals, text = pair.partition("=")
        if not equals:
            return command  # refused where it is read
        pairs[name] = text
    return dataclasses.replace(command, changes=tuple(f"{name}={text}" for name, text in pairs.items()))


def _arguments(values: dict[str, Any]) -> list[str]:
    """The table of a file as it would be typed."""
    typed: list[str] = []
    for key, value in values.items():
        name = key.replace("_", "-")
        if name in ("config", "show-config"):
            raise ValueError(f"{key} cannot stand in a file: type --{name}")
        if name == "set" and isinstance(value, dict):
            typed += ["--set", *(f"{parameter}={_text(x)}" for parameter, x in value.items())]
        elif isinstance(value, dict):
            raise ValueError(f"there is no table [{key}]: options stand on top, parameters of the environment in [set]")
        elif isinstance(value, bool):
            typed.append(f"--{name}" if value else f"--no-{name}")
        elif isinstance(value, list):
            typed += [f"--{name}", *map(_text, value)]
        else:
            typed += [f"--{name}={_text(value)}"]
    return typed


def _text(value: Any) -> str:
    if isinstance(value, dt.time):
        return value.strftime("%H:%M")
    return value.isoformat() if isinstance(value, dt.date) else str(value)


def config_text(command: Any) -> str:
    """A file that gives the command as it is, all its options written out; those that are None are left out."""
    lines = [f"{name.replace('_', '-')} = {_toml(value)}" for name, value in _options(command) if value is not None]
    lines += ["", "[set]"]
    lines += [f"{name} = {_toml(value)}" for name, value in command.typed_changes().items()]
    return "\n".join(lines)


def _options(part: Any) -> list[tuple[str, Any]]:
    """Options and their values, those of the parts too."""
    found: list[tuple[str, Any]] = []
    hints = get_type_hints(type(part), include_extras=True)
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if field.name in (*_OWN, "changes"):
            continue
        if dataclasses.is_dataclass(value):
            found += _options(value)
            continue
        marks = getattr(hints[field.name], "__metadata__", ())
        found.append((next((mark.name for mark in marks if getattr(mark, "name", None)), field.name), value))
    return found


def _toml(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value) if isinstance(value, int | float) else json.dumps(str(value), ensure_ascii=False)
