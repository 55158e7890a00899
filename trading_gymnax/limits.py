"""What a parameter may be: unit, limits and sentence beside the default, in its field's metadata; and entry sizes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

HIGH_WATER_MODES = ("BAR_CLOSE", "INTRABAR", "END_OF_DAY")
MAX_DISTANCE_TICKS = 2**20  # of a stop, target or slippage
USD, TICKS, SHARE, HOUR, MODE, SWITCH = "dollars", "ticks", "share", "New York hour", "mode", "switch"


class ParameterRefused(ValueError):
    """A parameter may not have the value that it was given; the message says why, and what it may be."""


class Limits(NamedTuple):
    """What a parameter is: its unit, the values it may have, and a sentence for a reader."""

    unit: str
    low: float | None  # least value; None: no limit of its own
    high: float | None  # largest finite value
    inf_is_off: bool  # inf is allowed, and switches the rule off
    per_market: bool  # [M], one value a market; a scalar serves all
    default_text: str  # where the default comes from the market; else ""
    doc: str
    length: int = 0  # so many values, and a scalar serves for all; 0: one value


def _field(default: Any, dtype: Any, limits: Limits) -> Any:
    return dataclasses.field(default=default, metadata={"dtype": dtype, "limits": limits})


def whole(default: int, unit: str, doc: str, *, low: int = 0, high: int | None = None, length: int = 0) -> Any:
    """A whole-numbered field, or `length` of them; its limits are `low` and `high`, both allowed."""
    return _field(default, np.int32, Limits(unit, low, high, False, False, "", doc, length))


def real(
    default: float | None,
    unit: str,
    doc: str,
    *,
    low: float | None = 0,
    high: float | None = None,
    inf_is_off: bool = False,
    per_market: bool = False,
    default_text: str = "",
    length: int = 0,
) -> Any:
    """A field of real numbers; its limits are `low` and `high`, both allowed, and inf where that switches it off."""
    return _field(default, np.float32, Limits(unit, low, high, inf_is_off, per_market, default_text, doc, length))


def switch(default: bool, doc: str) -> Any:
    """A field that is True or False."""
    return _field(default, np.bool_, Limits(SWITCH, None, None, False, False, "", doc))


def check_value(field: dataclasses.Field[Any], value: np.ndarray) -> None:
    """Refuse what a field may not be, whatever the others are. Raises ParameterRefused."""
    name, limits = field.name, field.metadata["limits"]
    if np.any(np.isnan(value)) or (not limits.inf_is_off and np.any(np.isinf(value))):
        raise ParameterRefused(f"{name} must be finite, got {_in_a_line(value)}")
    low, high = limits.low, limits.high
    below = low is not None and bool(np.any(value < np.asarray(low, value.dtype)))
    above = high is not None and bool(np.any(np.isfinite(value) & (value > high)))
    if below or above:
        raise ParameterRefused(f"{name} {_refusal(limits, below)} got {_in_a_line(value)}")


def _in_a_line(value: np.ndarray) -> str:
    return " ".join(str(value).split())


def _refusal(limits: Limits, below: bool) -> str:
    """What a value outside the limits is told."""
    low, high, unit = limits.low, limits.high, limits.unit
    if unit == SHARE:
        return "is a share between 0 and 1,"
    if unit == HOUR:
        return "is a New York clock hour between 0 and 24,"
    if unit == MODE:
        return f"is one of {_modes()};"
    if below:
        return "must not be negative," if low == 0 else f"must be at least {low:g} {unit},"
    if unit == USD:
        return f"must be at most {high:,} dollars, or inf where the rule may be off;"
    return f"must be at most {high:,} {unit},"


def _modes() -> str:
    return ", ".join(f"{i} {mode}" for i, mode in enumerate(HIGH_WATER_MODES))


class ParamRow(NamedTuple):
    """A line of the table of parameters, as texts."""

    name: str
    default: str
    unit: str
    limits: str
    sentence: str


def row_of(field: dataclasses.Field[Any]) -> ParamRow:
    """The line of a field."""
    limits: Limits = field.metadata["limits"]
    default = limits.default_text or (
        str(field.default) if isinstance(field.default, bool) else f"{field.default:,}".removesuffix(".0")
    )
    if limits.unit == HOUR:
        default = f"{field.default:.6g}"
    unit = f"{limits.unit}, [M]" if limits.per_market else limits.unit
    unit = f"{unit}, [{limits.length}]" if limits.length else unit
    return ParamRow(field.name, default, unit, _limits_text(limits), limits.doc)


def _limits_text(limits: Limits) -> str:
    if limits.unit == SWITCH:
        return "True, False"
    if limits.unit == MODE:
        return _modes()
    if limits.low is None:
        return "any"
    text = f"{limits.low:,} or more" if limits.high is None else f"{limits.low:,} to {limits.high:,}"
    return f"{text}; inf: off" if limits.inf_is_off else text


def checked_sizes(entry_sizes: Any, name: str = "entry_sizes") -> tuple[int, ...]:
    """Sizes that an entry chooses from (docs/rules.md, section 4.4) as a tuple, () for None.

    Raises ParameterRefused, by that name, for what is no rising row of two or more whole numbers.
    """
    if entry_sizes is None:
        return ()
    sizes = tuple(entry_sizes) if isinstance(entry_sizes, Sequence) and not isinstance(entry_sizes, str) else ()
    whole = all(isinstance(size, int | np.integer) and not isinstance(size, bool) and size >= 1 for size in sizes)
    if len(sizes) < 2 or not whole or any(a >= b for a, b in itertools.pairwise(sizes)):
        raise ParameterRefused(
            f"{name}: two or more whole multiples of position_size from 1 on are wanted, the smallest first, 1 2 4 say;"
            f" got {' '.join(map(str, sizes)) or entry_sizes!r}"
        )
    return tuple(int(size) for size in sizes)
