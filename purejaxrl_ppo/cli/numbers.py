"""Numbers as people write them: 2_000_000, 1e6, 50k, 1.5M."""

import decimal
import re
from typing import Any

from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

_TIMES = {"k": 1_000, "K": 1_000, "m": 1_000_000, "M": 1_000_000}
_MOST_DIGITS = 400  # of a whole number; more would take for ever to write out


def read_float(text: str) -> float:
    """A number; raises ValueError for what is none."""
    digits = re.fullmatch(r"(.*[\d.])([kKmM])", text)
    try:
        return float(_exact(text)) if digits else float(text)
    except (ValueError, decimal.DecimalException):
        raise ValueError(f"{text!r} is not a number") from None


def read_int(text: str) -> int:
    """A whole number, 1e6 and 1.5M too; raises ValueError for what is none."""
    try:
        value = _exact(text)
    except decimal.DecimalException:
        raise ValueError(f"{text!r} is not a number") from None
    if not value.is_finite() or value.adjusted() > _MOST_DIGITS or value != value.to_integral_value():
        raise ValueError(f"{text!r} is not a whole number")
    return int(value)


def read_number(text: str) -> int | float:
    """A whole number where it has neither point nor exponent, and else a float; raises ValueError for what is none."""
    return read_int(text) if re.fullmatch(r"[+-]?[\d_]+[kKmM]?", text.strip()) else read_float(text)


def _exact(text: str) -> decimal.Decimal:
    text = text.strip()
    times = _TIMES.get(text[-1:], 1)
    return decimal.Decimal(text[:-1] if times > 1 else text) * times


NUMBERS = ConstructorRegistry()
"""What tyro needs to read whole numbers and floats in this way."""


@NUMBERS.primitive_rule
def _numbers(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    readers: dict[Any, Any] = {int: read_int, float: read_float}
    if info.type not in readers:
        return None
    kind, read = info.type, readers[info.type]
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=kind.__name__.upper(),
        instance_from_str=lambda args: read(args[0]),
        is_instance=lambda value: isinstance(value, kind) or (kind is float and isinstance(value, int)),
        str_from_instance=lambda value: [str(value)],
    )
