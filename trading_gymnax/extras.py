"""Packages that only some commands need, and what is said where one is missing."""

from __future__ import annotations

import importlib.util


class MissingExtra(ImportError):
    """A package of the extra `report` is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(f'pictures need {package}, which is not installed: pip install "trading-gymnax[report]"')


def missing_extra() -> MissingExtra | None:
    """What a report will lack, to be told before the work and not after it; None where all is installed."""
    lacking = [name for name in ("matplotlib", "plotly") if importlib.util.find_spec(name) is None]
    return MissingExtra(lacking[0]) if lacking else None
