"""Every look at held-out sessions goes into the ledger beside the run folders, and is told how many there were."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from trading_gymnax.cli.values import fields_of
from trading_gymnax.market import MarketData
from trading_gymnax.runs import TradingSettings
from trading_gymnax.skill.ledger import Tries, digest_of, ledger_of, look_at, read_ledger, tries, write_look
from trading_gymnax.walkforward.folds import session_days

_NOT_COMPARED = ("version", "commit", "digests")  # of the program, and of what the files' names say already
_LATER = (
    "account",
    "accounts_before",
    "value_discount",
)  # settings that ledgers do not know which were begun before there were any


@dataclasses.dataclass(frozen=True)
class Looking:
    """A look that is about to be taken."""

    command: str
    run_dir: pathlib.Path
    markets: tuple[str, ...]
    dates: tuple[str, ...]
    settings: str  # digest
    typed: int  # settings tried, as the user says

    @property
    def tried(self) -> int:
        """Settings tried on any of these sessions, this one too: by the ledger, or more where the user says so."""
        looks = read_ledger(ledger_of(self.run_dir))
        others = {look.settings for look in looks if look.overlaps(self.markets, self.dates)}
        return max(self.typed, len(others | {self.settings}))

    def taken(self, sessions: pd.DataFrame) -> Tries:
        """Write the look, and say what the ledger knows now; sessions: as of `Evaluation.sessions`."""
        path = ledger_of(self.run_dir)
        look = look_at(self.command, self.run_dir.name, self.markets, self.settings, sessions)
        write_look(path, look)
        return tries(read_ledger(path), look, self.typed)


def looking(
    command: str,
    run_dir: pathlib.Path,
    settings: TradingSettings,
    views: Sequence[MarketData],
    typed: int,
    variant: Mapping[str, Any] | None = None,
    **more: Any,
) -> Looking:
    """A look at the sessions of some views.

    Args:
        settings, more: all that makes the policy; equal ones are one setting, whichever command tries it.
        variant: parameters that differ from the settings'.
    """
    dates = sorted({str(day) for view in views for day in session_days(view)})
    asked = {name: value for name, value in settings.to_dict().items() if name not in _NOT_COMPARED}
    asked = {name: value for name, value in asked.items() if name not in _LATER or value is not None}
    asked["changes"] = _changes(settings, variant or {})
    return Looking(command, run_dir, tuple(dict.fromkeys(views[0].roots)), tuple(dates), digest_of(asked, more), typed)


def _changes(settings: TradingSettings, variant: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that are not as they are by default, 2 and 2.0 being one value."""
    default = {field.name: field.default for field in fields_of(settings.phase, settings.account is not None)}
    changed = {name: x for name, x in {**settings.changes, **variant}.items() if x != default[name]}
    return {name: float(x) if isinstance(x, int | float) else x for name, x in changed.items()}
