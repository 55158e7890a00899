"""Words and numbers as a reader wants them: counts, dollars, shares, "did you mean", and JSON's word for NaN."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Iterable
from typing import Any


def count_text(count: int, one: str, many: str | None = None) -> str:
    """1 -> "1 bar", 54440 -> "54,440 bars"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def usd(value: float, *, sign: bool = True, cents: bool = False) -> str:
    """Dollars with thousands separators: +$1,234, -$5.50; "-" for what is not a finite number."""
    if not math.isfinite(value):
        return "-"
    digits = f"{abs(value):,.{2 if cents else 0}f}"
    lead = "-" if value < 0 and digits.strip("0.,") else "+" if sign and digits.strip("0.,") else ""
    return f"{lead}${digits}"


def number(value: float, digits: int = 0) -> str:
    """A number with thousands separators; "-" for what is not finite."""
    return f"{value:,.{digits}f}" if math.isfinite(value) else "-"


def percent(share: float, digits: int = 1) -> str:
    """A share as "12.3%"; "-" for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:.{digits}f}%"


def probability(p: float) -> str:
    """Two digits; what is too small to matter as "below 0.0001"; "-" for NaN."""
    return "-" if math.isnan(p) else "below 0.0001" if p < 1e-4 else f"{p:.2g}"


def chance(p: float) -> str:
    """A probability as a share, never quite 0 or 1; "-" for NaN."""
    return "-" if math.isnan(p) else "above 99.9%" if p > 0.999 else "below 0.1%" if p < 0.001 else percent(p)


def ratio(value: float) -> str:
    """Two digits; "-" for NaN, "no loss" for an infinite one."""
    return "-" if math.isnan(value) else "no loss" if math.isinf(value) else f"{value:,.2f}"


def annual(value: float, doubt: str) -> str:
    """A ratio; where it says nothing, why."""
    return doubt or ratio(value)


def interval(ends: tuple[float, float]) -> str:
    """Two amounts of dollars, "-" for NaN."""
    return "-" if math.isnan(ends[0]) else f"{usd(ends[0])} to {usd(ends[1])}"


def shares(values: dict[str, float]) -> str:
    """Names and their shares in a line."""
    return ", ".join(f"{name} {percent(share)}" for name, share in values.items())


def did_you_mean(name: Any, known: Iterable[str], otherwise: str = "", cutoff: float = 0.4) -> str:
    """The end of an error message: "did you mean 'NQ'?", or `otherwise` where no known name is like it."""
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=cutoff)
    return f"did you mean {near[0]!r}?" if near else otherwise


def check_names(given: Iterable[str], known: Iterable[str], complaint: str) -> None:
    """Raise ValueError for the first name that is not known, with the nearest that is."""
    names = list(known)
    for name in given:
        if name not in names:
            hint = did_you_mean(name, names, f"there are {', '.join(names)}")
            raise ValueError(f"{complaint} {name!r}: {hint}")


def plain(value: Any) -> Any:
    """Plain JSON values: dataclasses, dicts, tuples and lists whole; a number that is not finite as None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(x) for name, x in value.items()}
    if isinstance(value, tuple | list):
        return [plain(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
