"""Contracts of one market that follow one another: who is the front contract in which session.

Nothing is joined or adjusted. Each contract keeps its own table, and with it the history of its own windows; a view
tells from which session on the next one is traded. So no episode, window or indicator crosses a roll.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from trading_gymnax.data.loader import Bars


def front_sessions(tables: Sequence[Bars], roll: Any) -> list[tuple[int, int]]:
    """First session and end (exclusive) in which each contract is the front one.

    Args:
        tables: the contracts of one market, in the order in which they are traded.
        roll: "volume": the next contract is traded from the session after the first in which it had the larger volume
            of the two, so that the evening before already knows it. A date, or one for each change of contract: it is
            traded from the session of that date on.

    Raises ValueError for a roll that cannot be, for a contract that would never be the front one, and for a date that
    would leave sessions out between two of them.
    """
    if len(tables) == 1:
        if roll is not None:
            raise ValueError(f"roll={roll!r} needs two or more contracts of a market; {tables[0].spec.symbol} has one")
        return [(0, len(tables[0].session_date))]
    for early, late in itertools.pairwise(tables):
        _refuse_wrong_order(early, late)
    days = [_volume_roll(*pair) for pair in itertools.pairwise(tables)] if _is_volume(roll) else _dates(tables, roll)
    edges: list[Any] = [None, *days, None]
    spans = [_span(*row) for row in zip(tables, edges[:-1], edges[1:], strict=True)]
    for table, (first, end) in zip(tables, spans, strict=True):
        if first >= end:
            raise ValueError(
                f"{table.spec.symbol} has no session between its rolls: it goes from {table.session_date[0]} to "
                f"{table.session_date[-1]}; give the contracts in the order in which they are traded, or other dates"
            )
    for pair, (low, high) in zip(itertools.pairwise(tables), itertools.pairwise(spans), strict=True):
        _refuse_gap(*pair, low[1], high[0])
    return spans


def _refuse_wrong_order(early: Bars, late: Bars) -> None:
    """A contract that begins and ends before the one in front of it is not the one that follows."""
    first, second = (table.session_date[[0, -1]] for table in (early, late))
    if (second < first).all():
        raise ValueError(
            f"{late.spec.symbol}, {second[0]} to {second[1]}, comes before {early.spec.symbol}, {first[0]} to "
            f"{first[1]}: give the contracts in the order in which they are traded"
        )


def _refuse_gap(early: Bars, late: Bars, end: int, first: int) -> None:
    """A date before the later contract's first session would leave sessions that neither is traded in."""
    begins = late.session_date[first]
    lost = early.session_date[end:][early.session_date[end:] < begins]
    if len(lost):
        raise ValueError(
            f"{late.spec.symbol} begins on {begins}, after its roll, so that the sessions of {early.spec.symbol} from "
            f"{lost[0]} to {lost[-1]} would not be traded: give the date {begins} or a later one"
        )


def labels(root: str, sources: Any) -> list[str]:
    """Names of a market's contracts: "NQ" alone, "NQ-1", "NQ-2" of a list, "NQ-H25" of a dict's keys."""
    if isinstance(sources, Mapping):
        return [f"{root}-{name}" for name in sources]
    if len(sources) == 1:
        return [root]
    return [f"{root}-{number}" for number in range(1, len(sources) + 1)]


def _is_volume(roll: Any) -> bool:
    return isinstance(roll, str) and roll.strip().lower() == "volume"


def _dates(tables: Sequence[Bars], roll: Any) -> list[Any]:
    changes = len(tables) - 1
    if roll is None:
        raise ValueError(
            f"{tables[0].spec.symbol} is followed by {changes} more: say when the next contract is traded, "
            "roll='volume' or the date of its first session"
        )
    given = [roll] if isinstance(roll, str | bytes) or not isinstance(roll, Iterable) else list(roll)
    if len(given) != changes:
        raise ValueError(f"roll needs 'volume' or {changes} dates for {len(tables)} contracts; got {roll!r}")
    try:
        days = [np.datetime64(dt.date.fromisoformat(str(day)[:10]), "D") for day in given]
    except ValueError:
        raise ValueError(f"roll is 'volume' or a date like '2025-03-17', got {roll!r}") from None
    if days != sorted(set(days)):
        raise ValueError(f"the dates of roll must rise, got {roll!r}")
    return days


def _volume_roll(earlier: Bars, later: Bars) -> np.datetime64:
    """Date of the first session in which the later contract is traded."""
    common, at_earlier, at_later = np.intersect1d(earlier.session_date, later.session_date, return_indices=True)
    names = f"{earlier.spec.symbol} and {later.spec.symbol}"
    if len(common) == 0:
        raise ValueError(f"{names} have no session in common, so their volumes cannot be compared; give roll a date")
    larger = _session_volume(later)[at_later] > _session_volume(earlier)[at_earlier]
    if not larger.any():
        raise ValueError(f"of {names}, the later never has the larger volume in a session; give roll a date")
    first = common[np.argmax(larger)]
    after = later.session_date[later.session_date > first]
    if len(after) == 0:
        raise ValueError(f"{later.spec.symbol} has no session after {first}, when its volume became the larger")
    return after[0]


def _session_volume(table: Bars) -> np.ndarray:
    return np.bincount(table.session, weights=table.volume, minlength=len(table.session_date))


def _span(table: Bars, low: np.datetime64 | None, high: np.datetime64 | None) -> tuple[int, int]:
    dates = table.session_date
    first = 0 if low is None else int(np.searchsorted(dates, low))
    end = len(dates) if high is None else int(np.searchsorted(dates, high))
    return first, end
