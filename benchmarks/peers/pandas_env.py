"""The rules on DataFrames: every look-up of a bar is a row of a pandas table, as a first Gymnasium environment has it.

Written to compare with: the reference environment, whose arrays are replaced by columns of one DataFrame. A price of a
bar is `frame.iloc[bar]["close"]`, the observation is made from slices `frame.iloc[first:end]`. Every number is the
reference's; only the way to it differs.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from trading_gymnax.data.loader import Bars
from trading_gymnax.reference import ReferenceEnv

COLUMNS = ("open", "high", "low", "close", "atr", "time", "hour", "session")


class Column:
    """One or several columns of a table, indexed by bar as an array is."""

    def __init__(self, frame: pd.DataFrame, names: str | list[str]) -> None:
        self._frame, self._names = frame, names

    def __len__(self) -> int:
        return len(self._frame)

    def __getitem__(self, bars: int | slice) -> Any:
        found = self._frame.iloc[bars][self._names]
        return found.to_numpy() if isinstance(bars, slice) else found


class FrameBars:
    """A market's bars whose columns are those of a DataFrame; all else is that of the checked bars."""

    def __init__(self, bars: Bars) -> None:
        features = list(bars.feature_names)
        frame = pd.DataFrame({name: getattr(bars, name) for name in COLUMNS})
        frame[features] = bars.features
        self._bars = bars
        self._columns = {name: Column(frame, name) for name in COLUMNS} | {"features": Column(frame, features)}

    def __getattr__(self, name: str) -> Any:
        return self._columns[name] if name in self._columns else getattr(self._bars, name)


class PandasEnv(ReferenceEnv):
    """`ReferenceEnv` that looks everything up in a DataFrame, step by step; the same arguments and the same numbers."""

    def __init__(self, bars: Bars, **options: Any) -> None:
        super().__init__(bars, **options)
        for session in self.usable_sessions(0):
            self.random_start_bars(0, session)  # the cached start bars are found before, with arrays
        self.markets = (FrameBars(bars),)  # type: ignore[assignment]

    def random_start_bars(self, market_id: int, session: int) -> list[int]:
        """Start bars of a session, found once: a slow reset is not what is to be measured."""
        known = self.__dict__.setdefault("_starts", {})
        if session not in known:
            known[session] = super().random_start_bars(market_id, session)
        return known[session]

    def usable_sessions(self, market_id: int) -> list[int]:
        """Usable sessions, found once."""
        known = self.__dict__.setdefault("_usable", [])
        if not known:
            known += super().usable_sessions(market_id)
        return list(known)
