"""What an account's plan consists of, and what each rule of it may be: the fields that a file of plans must have.

Amounts are dollars, profits are counted from the balance at which the phase starts; None stands for a rule that the
plan does not have. Every field is required, so that what a plan does not say cannot be mistaken for what nobody asked.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Callable
from typing import Any

MODES = ("STATIC", "INTRABAR", "END_OF_DAY")
ENDS = ("day", "account")
CONSISTENCY_OF = ("profit", "winning_days")
MOST_CAPS, MOST_STEPS = 6, 5  # that a life in the environment has room for
_MOST_USD = 10_000_000


@dataclasses.dataclass(frozen=True)
class Kind:
    """What the value of a rule may be."""

    says: str  # after "must be"
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_usd(value: Any) -> bool:
    return _is_number(value) and 0 <= value <= _MOST_USD


def _is_amounts(value: Any) -> bool:
    return isinstance(value, list | tuple) and 0 < len(value) <= MOST_CAPS and all(map(_is_usd, value))


def _is_steps(value: Any) -> bool:
    """Pairs of a profit and the contracts from it on, both rising."""
    if not isinstance(value, list | tuple) or not 0 < len(value) <= MOST_STEPS:
        return False
    pairs = all(
        isinstance(step, list | tuple) and len(step) == 2 and _is_usd(step[0]) and _is_count(step[1]) for step in value
    )
    return pairs and all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(value))


def _is_clock(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value) is not None


def _one_of(names: tuple[str, ...]) -> Kind:
    return Kind(" or ".join(map(repr, names)), lambda value: value in names)


USD = Kind("dollars, from 0 to ten million", _is_usd)
COUNT = Kind("a whole number, 0 or more", _is_count)
SHARE = Kind("a share, above 0 and at most 1", lambda value: _is_number(value) and 0 < value <= 1)
AMOUNTS = Kind(f"a list of dollars, 1 to {MOST_CAPS}", _is_amounts)
STEPS = Kind(f"a list of [profit, contracts], 1 to {MOST_STEPS}, both rising", _is_steps)
CLOCK = Kind("an hour of the New York clock as 'HH:MM'", _is_clock)


def rule(kind: Kind, says: str, *, optional: bool = False) -> Any:
    """A field of a plan: what it may be, what it means in a line, and whether a plan may do without (null)."""
    return dataclasses.field(metadata={"kind": kind, "says": says, "optional": optional})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Phase:
    """Rules that evaluation and funded account share. Days are counted from the phase's start, or the last payout."""

    drawdown: float = rule(USD, "Distance of the floor below the highest balance or equity that counts.")
    drawdown_mode: str = rule(
        _one_of(MODES), "What raises the floor: nothing, open profit too, or the close of the day."
    )
    drawdown_lock: float | None = rule(USD, "The floor stops at the start plus this.", optional=True)
    daily_limit: float | None = rule(USD, "Loss of a day that ends it.", optional=True)
    daily_limit_ends: str | None = rule(_one_of(ENDS), "What the daily limit ends.", optional=True)
    contracts: int = rule(COUNT, "Full-size contracts that may be held at once.")
    micros: int = rule(COUNT, "Micro contracts that count as one of them.")
    scaling: tuple[tuple[float, int], ...] | None = rule(
        STEPS, "Contracts by the profit at the end of the day before.", optional=True
    )
    minimum_days: int = rule(COUNT, "Days with a trade before a pass, or a payout.")
    winning_days: int = rule(COUNT, "Days with at least `winning_day` of profit before a pass, or a payout.")
    winning_day: float = rule(USD, "Profit that makes a day a winning one.")
    consistency: float | None = rule(SHARE, "Most that the best day may be of the profit.", optional=True)
    consistency_of: str | None = rule(_one_of(CONSISTENCY_OF), "Of which profit.", optional=True)
    flat_by: str = rule(CLOCK, "Positions must be closed by then.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation(Phase):
    """Until the pass."""

    profit_target: float = rule(USD, "Profit that passes.")
    calendar_days: int | None = rule(COUNT, "Days of the calendar within which it must be reached.", optional=True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Funded(Phase):
    """From the pass on."""

    buffer: float = rule(USD, "Profit that must stay in the account.")
    floor_after_payout: float | None = rule(
        USD, "The floor goes to the start plus this with the first payout.", optional=True
    )
    payout_minimum: float = rule(USD, "Least payout.")
    payout_share: float = rule(SHARE, "Most of the profit that one payout may take.")
    payout_caps: tuple[float, ...] | None = rule(
        AMOUNTS, "Most of the first payout, the second and so on; the last one holds on.", optional=True
    )
    payouts_at_most: int | None = rule(COUNT, "Payouts after which the account ends.", optional=True)
    split: float = rule(SHARE, "Share of a payout that the trader keeps.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fees:
    """What the trader pays."""

    evaluation: float = rule(USD, "Once, for the evaluation.")
    monthly: float = rule(USD, "For each month of the evaluation.")
    reset: float | None = rule(USD, "For a fresh start after a breach.", optional=True)
    activation: float = rule(USD, "Once, for the funded account.")


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a rule was read; `assumed` says why where no page gives it."""

    page: str = ""
    dated: str = ""  # what the page says of its own age, "undated" where it says nothing
    read: str = ""  # ISO date; else by which way the figure came, "second-hand" say
    assumed: str = ""

    def __str__(self) -> str:
        if self.assumed:
            return f"assumed: {self.assumed}"
        return f"{self.page}, {self.dated}, read {self.read}"


@dataclasses.dataclass(frozen=True)
class Plan:
    """An account of one size that a firm sells, as a whole life: evaluation, funded account, fees."""

    name: str  # "topstep-50k"
    firm: str
    title: str
    size: int  # dollars at which both phases start
    evaluation: Evaluation
    funded: Funded
    fees: Fees
    origins: tuple[tuple[str, Origin], ...]  # of each rule, by "evaluation.drawdown" and so on
    note: str = ""  # what a variant is one of

    @property
    def assumptions(self) -> dict[str, str]:
        """Rules that no page gives, by name, and why they are what they are."""
        return {name: origin.assumed for name, origin in self.origins if origin.assumed}


PARTS: dict[str, type] = {"evaluation": Evaluation, "funded": Funded, "fees": Fees}


def rules_of(part: str) -> dict[str, dataclasses.Field[Any]]:
    """The rules of "evaluation", "funded" or "fees", by name."""
    return {field.name: field for field in dataclasses.fields(PARTS[part])}
