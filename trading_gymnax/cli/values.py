"""Environment parameters on the command line: name=value pairs, what they mean, and the table that lists them."""

from __future__ import annotations

import dataclasses
import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from tyro.constructors import PrimitiveConstructorSpec

from purejaxrl_ppo import read_float, read_number
from trading_gymnax.limits import HIGH_WATER_MODES, HOUR, MODE, SWITCH, ParamRow, check_value
from trading_gymnax.parameters import Parameters, ParametersPhase2, numbers_of, params_table
from trading_gymnax.parameters_life import ParametersLife, ParametersPhase2Life, life_table
from trading_gymnax.text import did_you_mean

_LIKE = 0.65  # how alike a name must be to be proposed; below it a proposal misleads more often than it helps
_SWITCHES = {"true": True, "false": False, "yes": True, "no": False, "on": True, "off": False, "1": True, "0": False}


def read_hour(text: str) -> float:
    """An hour of the clock, 9:30 or 9.5; raises ValueError for what is neither."""
    clock = re.fullmatch(r"(\d{1,2}):([0-5]\d)", text.strip())
    try:
        return int(clock[1]) + int(clock[2]) / 60 if clock else read_float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a time, 9:30 or 9.5 say") from None


Hour = Annotated[
    float,
    PrimitiveConstructorSpec(
        nargs=1,
        metavar="FLOAT",
        instance_from_str=lambda args: read_hour(args[0]),
        is_instance=lambda value: isinstance(value, int | float),
        str_from_instance=lambda value: [hour_text(value)],
    ),
]
"""An option that takes an hour."""


def hour_text(hour: float) -> str:
    """9.5 -> "9:30"; an hour that is no whole minute as a number."""
    minutes = round(hour * 60)
    return f"{minutes // 60}:{minutes % 60:02}" if abs(hour * 60 - minutes) < 0.01 else f"{hour:g}"


def table_of(phase: int, account_life: bool = False) -> list[ParamRow]:
    """The parameters of phase 1 or 2, with those of an account's life or without."""
    return life_table(phase) if account_life else params_table(phase)


def fields_of(phase: int, account_life: bool = False) -> list[dataclasses.Field[Any]]:
    """The same, as fields."""
    plain, living = (Parameters, ParametersLife) if phase == 1 else (ParametersPhase2, ParametersPhase2Life)
    return numbers_of(living if account_life else plain)


def parse_changes(pairs: Sequence[str], phase: int = 2, account_life: bool = False) -> dict[str, float | bool]:
    """`name=value` arguments as values of the parameters of phase 1 or 2; a name alone switches nothing on.

    Where a parameter has several values the one that is given serves for all.

    Raises ValueError for a pair without "=", an unknown name, a value that the parameter cannot read, and a name given
    twice.
    """
    units = {row.name: row.unit for row in table_of(phase, account_life)}
    values: dict[str, float | bool] = {}
    for pair in pairs:
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not equals or not name:
            raise ValueError(f"--set {pair} is not of the form name=value, sl_atr_mult=2.0 say")
        if name not in units:
            raise ValueError(unknown_parameter(name, phase, account_life))
        if name in values:
            raise ValueError(f"--set names {name} twice")
        try:
            values[name] = _read(text, units[name])
        except ValueError as error:
            raise ValueError(f"--set {name}={text}: {error}") from None
    return values


def check_limits(changes: Mapping[str, Any], phase: int, account_life: bool = False) -> None:
    """Refuse values that a parameter may not have, whatever the market is. Raises ValueError."""
    fields = {field.name: field for field in fields_of(phase, account_life)}
    for name, value in changes.items():
        check_value(fields[name], np.asarray(value, np.float64))


def _read(text: str, unit: str) -> float | bool:
    if unit == SWITCH and text.lower() in _SWITCHES:
        return _SWITCHES[text.lower()]
    if unit == SWITCH:
        raise ValueError(f"{text!r} is neither true nor false")
    if unit == HOUR:
        return read_hour(text)
    if unit == MODE and text in HIGH_WATER_MODES:
        return list(HIGH_WATER_MODES).index(text)
    return read_number(text)


def unknown_parameter(name: str, phase: int, account_life: bool = False) -> str:
    """What is said of a name that no parameter of this phase has."""
    known = [row.name for row in table_of(phase, account_life)]
    if not account_life and name in {row.name for row in life_table(phase)} - {row.name for row in params_table(2)}:
        return f"--set {name}: that is a parameter of an account's whole life: give --account with a plan as well"
    if phase == 1 and name in {row.name for row in params_table(2)}:
        return f"--set {name}: that is a parameter of phase 2: give --phase 2 as well"
    lists = f"`trading-gymnax params{' --phase 2' * (phase == 2)}` lists them"
    hint = did_you_mean(name.replace("-", "_"), known, lists, _LIKE)
    return f"--set {name}: there is no such parameter: {hint}"


def typed_parameters() -> dict[str, str]:
    """Every parameter of both phases by its name, and how it is given."""
    return {row.name: f"--set {row.name}=..." for row in params_table(2)}


def help_of_set() -> str:
    """What `--help` says of --set: how it is written, and every parameter with default, unit and sentence."""
    phase1 = {row.name: row for row in params_table(1)}
    lines = [
        "Parameters of market, costs and account as name=value, commission_per_side=2.5 initial_balance=50k "
        "rth_close=15:55 say:"
    ]
    for row in params_table(2):
        default = _shown_default(phase1.get(row.name, row))
        if row.name in phase1 and row.default != phase1[row.name].default:
            default += f", phase 2: {_shown_default(row)}"
        only = "" if row.name in phase1 else "phase 2 alone; "
        lines.append(f"{row.name} ({only}{default}; {row.unit}): {row.sentence}")
    return "\n".join(lines)


def _shown_default(row: ParamRow) -> str:
    return hour_text(float(row.default)) if row.unit == HOUR else row.default


def params_text(phase: int, width: int | None = None, account_life: bool = False) -> str:
    """The parameters of a phase as a table of name, default and unit, each with its sentence and limits."""
    rows = table_of(phase, account_life)
    width = max(100, width or shutil.get_terminal_size((120, 24)).columns)
    defaults = [_shown_default(row) for row in rows]
    columns = [
        max(len(text) for text in texts) for texts in ([row.name for row in rows], defaults, [r.unit for r in rows])
    ]
    lines = []
    for row, default in zip(rows, defaults, strict=True):
        cells = (row.name, default, row.unit)
        lead = "  ".join(text.ljust(size) for text, size in zip(cells, columns, strict=True)) + "  "
        limits = "" if row.limits in ("any", "True, False") else f" ({row.limits})"
        lines += textwrap.wrap(row.sentence + limits, width, initial_indent=lead, subsequent_indent=" " * len(lead))
    return "\n".join(lines)
