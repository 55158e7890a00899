"""What the loader found in a table: findings, the page of `trading-gymnax check`, and the refusal."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Callable, Iterable

from trading_gymnax.text import count_text, did_you_mean

REPAIRS: dict[str, str] = {
    "nan": "drops bars with a missing price, volume or time stamp",
    "inconsistent": "drops bars whose high or low lies inside their other prices, or of negative volume",
    "bad_prices": "drops bars with a price that the contract cannot have had, or far from the bars before and after it",
    "off_tick": "rounds prices to the nearest tick (as snap_to_tick=True does)",
    "clock_change": "drops bars whose local time stamp exists twice or never on a day of clock change",
    "off_grid": "drops bars that do not close on a whole bar length after the session's start",
    "backward": "sorts bars whose time stamps run backward",
    "repeated": "keeps the first bar of each time stamp and drops the later ones",
    "holiday_trading": "keeps bars on the calendar's holidays and after its early closes",
    "stray_prints": "drops bars outside the sessions",
    "look_ahead": "keeps features of feature_fn whose values change when later bars are cut off",
    "too_short": "loads a table without a single bar on which an episode can start",
}
"""Names for `repair=(...)` and `--repair`, each with what it does."""

_WIDTH = 110
_LISTED_SESSIONS = 40


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing found in a table."""

    name: str  # what it is about; the name of the repair where there is one
    text: str  # plain words with counts and first examples
    kind: str  # "refused", "repaired", "doubt" or "note"
    count: int = 0  # rows or sessions concerned
    allow: bool = False  # refused, and the repair of that name would allow it

    @property
    def line(self) -> str:
        """The text, with the repair that there is."""
        return f"{self.text} [to allow: repair={self.name!r}, {REPAIRS[self.name]}]" if self.allow else self.text


@dataclasses.dataclass(frozen=True)
class Report:
    """All findings about one table; `str(report)` is the page for a reader."""

    title: str  # what was read
    summary: tuple[str, ...] = ()  # what the table became
    findings: tuple[Finding, ...] = ()  # in the order in which they were found
    unusable: tuple[tuple[str, str], ...] = ()  # session date and the reason why no episode starts there

    @property
    def refused(self) -> tuple[Finding, ...]:
        """Findings that stop the table from being loaded."""
        return tuple(finding for finding in self.findings if finding.kind == "refused")

    @property
    def doubts(self) -> tuple[str, ...]:
        """What does not stop the table, and may make every result of it wrong: on top of all pages about it."""
        return tuple(finding.text for finding in self.findings if finding.kind == "doubt")

    def finding(self, name: str) -> Finding | None:
        """The first finding of that name, or None."""
        return next((finding for finding in self.findings if finding.name == name), None)

    def __str__(self) -> str:
        return self.page()

    def page(self, say: Callable[[str], str] = str) -> str:
        """The page for a reader; `say` may word each finding anew."""
        lines = [self.title]
        for doubt in self.doubts:
            lines += _bullet(say(f"DOUBTFUL: {doubt}"))
        lines += [f"  {line}" for line in self.summary]
        for kind, heading in (("refused", "Refused"), ("repaired", "Repaired"), ("note", "Noted")):
            chosen = [finding for finding in self.findings if finding.kind == kind]
            if chosen:
                lines += ["", heading]
            for finding in chosen:
                lines += _bullet(say(finding.line))
        if self.unusable:
            heading = f"Sessions in which no episode starts ({len(self.unusable):,})"
            lines += ["", f"{heading}; their bars serve as history"]
            lines += [f"  {date}  {reason}" for date, reason in self.unusable[:_LISTED_SESSIONS]]
            more = len(self.unusable) - _LISTED_SESSIONS
            lines += [f"  ... and {more:,} more"] if more > 0 else []
        return "\n".join(lines)


class DataError(ValueError):
    """A table that is refused: says everything that is wrong with it, and the repairs that would allow it.

    What is doubtful comes first, as it is often the cause. `report` is the whole page, with the notes as well.
    """

    def __init__(self, report: Report) -> None:
        self.report = report
        super().__init__(refusal_text(report))

    def __reduce__(self) -> tuple[type[DataError], tuple[Report]]:
        return type(self), (self.report,)


def refusal_text(report: Report, say: Callable[[str], str] = str) -> str:
    """Everything that is wrong with a table, and the repairs that would allow it; `say` may word each part anew."""
    lines = [f"{report.title}: refused, {count_text(len(report.refused), 'thing')} wrong"]
    for doubt in report.doubts:
        lines += _bullet(say(f"DOUBTFUL: {doubt}"))
    for finding in report.refused:
        lines += _bullet(say(finding.line))
    names = list(dict.fromkeys(finding.name for finding in report.refused))
    if all(finding.allow for finding in report.refused):
        listed = ", ".join(repr(name) for name in names) + ("," if len(names) == 1 else "")
        lines.append(say(f"To load it all the same: repair=({listed}), or --repair {' '.join(names)}"))
    return "\n".join(lines)


class Findings:
    """Collects findings while a table is read; knows which repairs the caller allows."""

    def __init__(self, title: str, repair: str | Iterable[str] = ()) -> None:
        self.title = title
        self.repair = check_repairs(repair)
        self.items: list[Finding] = []

    def has(self, *names: str) -> bool:
        """Whether one of these stops the table: then what follows from it is not looked for."""
        return any(finding.kind == "refused" and finding.name in names for finding in self.items)

    @property
    def refused(self) -> bool:
        """Whether anything stops the table so far."""
        return any(finding.kind == "refused" for finding in self.items)

    def refuse(self, name: str, text: str, count: int = 0) -> None:
        """Something that no repair allows."""
        self.items.append(Finding(name, text, "refused", count))

    def note(self, name: str, text: str, count: int = 0) -> None:
        """Something that the reader should know and that does not stop the table."""
        self.items.append(Finding(name, text, "note", count))

    def doubt(self, name: str, text: str, count: int = 0) -> None:
        """Something that may make every result wrong and that the table alone cannot tell."""
        self.items.append(Finding(name, text, "doubt", count))

    def repairable(self, name: str, text: str, count: int, done: str) -> None:
        """Something refused unless the repair of that name is allowed; `done` says what it did."""
        if name in self.repair:
            self.items.append(Finding(name, f"{text} [{name}: {done}]", "repaired", count))
        else:
            self.items.append(Finding(name, text, "refused", count, allow=True))

    def offer_no_repair(self) -> None:
        """Take back the offers: all repairs together would leave no bar."""
        self.items = [dataclasses.replace(finding, allow=False) for finding in self.items]

    def report(self, summary: Iterable[str] = (), unusable: Iterable[tuple[str, str]] = ()) -> Report:
        """The page so far."""
        return Report(self.title, tuple(summary), tuple(self.items), tuple(unusable))


def check_repairs(repair: str | Iterable[str]) -> frozenset[str]:
    """The names as a set; ValueError for one that does not exist. "a b" and "a,b" are two names each."""
    if isinstance(repair, str):
        repair = repair.replace(",", " ").split()
    try:
        names = frozenset(repair)
    except TypeError:
        raise ValueError(f"repair must be names such as ('nan', 'stray_prints'), got {repair!r}") from None
    for name in sorted(names, key=str):
        if name not in REPAIRS:
            raise ValueError(f"unknown repair {name!r}: {did_you_mean(name, REPAIRS)} there are {', '.join(REPAIRS)}")
    return names


def _bullet(text: str) -> list[str]:
    wrapper = textwrap.TextWrapper(_WIDTH, initial_indent="  - ", subsequent_indent="    ")
    wrapper.break_long_words = wrapper.break_on_hyphens = False  # names and dates stay in one piece
    return wrapper.wrap(text)
