"""What a table is made of: a row compares two quantities of contenders that are measured in turns."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

from benchmarks.harness import Contender


@dataclasses.dataclass(frozen=True)
class Quantity:
    """One side of a ratio: a number that one contender gives, the `pick` of several, or a constant."""

    label: str
    contenders: tuple[str, ...] = ()  # none: `factor` is the value
    key: str = "steps_per_s"
    factor: float = 1.0
    pick: Callable[[Iterable[float]], float] = min
    any_of: bool = False  # leave out the contenders that could not be measured

    def of(self, replies: dict[str, dict[str, float]]) -> float:
        """Its value in one round, given every contender's numbers."""
        if not self.contenders:
            return self.factor
        names = [name for name in self.contenders if name in replies or not self.any_of]
        return self.factor * self.pick(replies[name][self.key] for name in names)

    def missing(self, reasons: dict[str, str]) -> list[str]:
        """Which of its contenders, among those without numbers, keep it from having a value."""
        gone = [name for name in self.contenders if name in reasons]
        return [] if self.any_of and len(gone) < len(self.contenders) else gone


@dataclasses.dataclass(frozen=True)
class Row:
    """A ratio ours / peer, taken round by round, and the target for its median."""

    name: str  # on the command line
    what: str
    ours: Quantity
    peer: Quantity
    target: float
    at_most: bool = False  # the ratio is to stay at or below the target

    def met(self, ratio: float) -> bool:
        """Whether a median ratio reaches the target."""
        return ratio <= self.target if self.at_most else ratio >= self.target


@dataclasses.dataclass(frozen=True)
class Group:
    """Contenders that are measured in turns, and the rows made of them."""

    contenders: tuple[Contender, ...]
    rows: tuple[Row, ...]
    rounds: int | None = None  # None: as many as asked for

    def only(self, names: set[str]) -> Group:
        """The group with the rows of these names, and the contenders that they need."""
        rows = tuple(row for row in self.rows if row.name in names)
        needed = {name for row in rows for side in (row.ours, row.peer) for name in side.contenders}
        return dataclasses.replace(
            self, rows=rows, contenders=tuple(one for one in self.contenders if one.name in needed)
        )
