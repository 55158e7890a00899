"""The user's bars as tables, and markets of the same shape drawn from a null."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.data.contracts import ContractSpec, contract
from trading_gymnax.data.indicators import NAMED_FEATURES
from trading_gymnax.data.loader import Bars, load_bars
from trading_gymnax.market import MarketData, load_market_data
from trading_gymnax.runs import BUILT_IN_SESSIONS, TradingSettings
from trading_gymnax.skill.nulls import permute
from trading_gymnax.synthetic import regime

_OF_THE_FILE = ("timezone", "timestamp_format", "snap_to_tick", "timestamps_mark", "bar_minutes")


@dataclasses.dataclass(frozen=True, eq=False)
class Source:
    """Checked bars of one market: one table, or contracts that follow one another."""

    spec: ContractSpec
    tables: tuple[Bars, ...]
    options: dict[str, Any]  # of the loader, for tables whose stamps mark the end of a bar
    roll: tuple[str, ...] = ()  # first session of the second contract, of the third, and so on

    def drawn(self, null: str, seed: int, tape: int) -> MarketData:
        """Tape number `tape` of a null; the same arguments give the same tape."""
        rng = np.random.default_rng(np.random.SeedSequence((seed, tape)))
        return self._market([_frame(table, *permute(table, null, rng)) for table in self.tables])

    def real(self) -> MarketData:
        """The bars as they came, by the same way through the loader."""
        prices = [np.stack([table.open, table.high, table.low, table.close]) for table in self.tables]
        return self._market([_frame(t, ticks, t.volume) for t, ticks in zip(self.tables, prices, strict=True)])

    def _market(self, frames: list[pd.DataFrame]) -> MarketData:
        options = {**self.options, "timestamps_mark": "end", "bar_minutes": self.tables[0].bar_minutes}
        if len(frames) == 1:
            return load_market_data(frames[0], self.spec, **options)
        return load_market_data({self.spec.symbol: frames}, roll=list(self.roll), **options)


def read_source(settings: TradingSettings, market: MarketData) -> Source:
    """The tables of a run's settings; `market` is what `runs` made of them, and says where contracts change.

    Raises ValueError for several markets, whose common moves a permutation of each would break, and for feature columns
    of the user's own, which cannot be permuted.
    """
    own = [name for name in settings.loader.get("feature_columns", ()) if name not in NAMED_FEATURES]
    if own:
        raise ValueError(f"column {own[0]} of the file cannot be computed for other bars: use features by name")
    if len(set(settings.market)) > 1:
        raise ValueError(
            f"--market names {', '.join(dict.fromkeys(settings.market))}: their bars move together, which permuting "
            "each of them would destroy; test one market at a time"
        )
    options = {name: x for name, x in settings.loader.items() if name not in _OF_THE_FILE}
    if not settings.data:
        tape = regime(BUILT_IN_SESSIONS)
        return Source(tape.spec, (load_bars(tape.frame, tape.spec),), options)
    spec = contract(settings.market[0])
    loader: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in settings.loader.items()}
    tables = tuple(load_bars(path, spec, **loader) for path in settings.data)
    first = np.asarray(market.view)[1:, 0]
    dates = np.asarray(market.session_date)[np.arange(1, market.num_markets), first].astype("datetime64[D]")
    return Source(spec, tables, options, tuple(str(date) for date in dates))


def _frame(table: Bars, ticks: np.ndarray, volume: np.ndarray) -> pd.DataFrame:
    """A tidy table in points. Rounding takes away what binary fractions add to a tick of 0.1, say."""
    stamps = pd.DatetimeIndex(table.close_time.astype("datetime64[s]")).tz_localize("UTC")
    points = np.round(ticks * table.spec.tick_size, 9)
    return pd.DataFrame(
        {"timestamp": stamps, **dict(zip(("open", "high", "low", "close"), points, strict=True)), "volume": volume}
    )
