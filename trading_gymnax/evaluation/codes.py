"""What the codes of `rules` mean to a book-keeper: how each exit fills, and how each done reason ends a walk.

Whoever books by code reads it here, so that a reason which is added to the rules and not here stops the import, and is
not booked as something else.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from trading_gymnax import rules

AT_LEVEL, AT_TARGET, AT_CLOSE = "level", "target", "close"
OWN, ACCOUNT, MARKET = "position", "account", "session"
_EXITS = {  # where the exit fills, and who asked for it
    "STOP": (AT_LEVEL, OWN),
    "TRAIL": (AT_LEVEL, OWN),
    "BREAKEVEN": (AT_LEVEL, OWN),
    "TARGET": (AT_TARGET, OWN),
    "LIQUIDATION": (AT_LEVEL, ACCOUNT),
    "DAILY_LOSS": (AT_LEVEL, ACCOUNT),
    "SESSION_CLOSE": (AT_CLOSE, MARKET),
    "BREACH_CLOSE": (AT_CLOSE, ACCOUNT),
}
BREACHED, LAPSED, PASSED, ENDED = "breached", "lapsed", "passed", "ended"
_DONE = {  # what became of the account: lost by breaking a limit or by running out of time, and two that lose nothing
    "DRAWDOWN": BREACHED,
    "DAILY_LOSS": BREACHED,
    "PROFIT_TARGET": PASSED,
    "SESSION_END": ENDED,
    "TIME_LIMIT": ENDED,
    "DATA_END": ENDED,
    "EXPIRED": LAPSED,
    "LAST_PAYOUT": PASSED,
}


def check_complete(names: Iterable[str], table: Mapping[str, Any], what: str) -> None:
    """Every name but NONE needs a row, and no row may be left over. Raises LookupError naming those."""
    odd = sorted({*names} - {"NONE"} ^ {*table})
    if odd:
        raise LookupError(f"{what} {', '.join(odd)}: evaluation/codes.py must say what to book, and no more")


check_complete(rules.EXIT_REASONS, _EXITS, "exit reasons")
check_complete(rules.DONE_REASONS, _DONE, "done reasons")


def exits(place: str, by: str | None = None) -> tuple[int, ...]:
    """Codes of the exits that fill at AT_LEVEL, AT_TARGET or AT_CLOSE; with `by`, of those that OWN and so on asked."""
    chosen = (name for name, (at, who) in _EXITS.items() if at == place and by in (None, who))
    return tuple(rules.EXIT_REASONS.index(name) for name in chosen)


def done(*fates: str) -> tuple[int, ...]:
    """Codes of the done reasons with which the account is BREACHED, LAPSED, PASSED or ENDED: of any of `fates`."""
    return tuple(rules.DONE_REASONS.index(name) for name, found in _DONE.items() if found in fates)


def among(code: Any, codes: Iterable[int]) -> Any:
    """Whether `code` is one of `codes`; works on arrays of NumPy and JAX alike."""
    return functools.reduce(operator.or_, [code == one for one in codes])


def check_known(codes: np.ndarray, names: tuple[str, ...], what: str) -> None:
    """Raises AssertionError for a code without a name."""
    strange = codes[(codes < 0) | (codes >= len(names))]
    if len(strange):
        raise AssertionError(f"{what} {strange[0]} has no name; report this as a fault of the rules")
