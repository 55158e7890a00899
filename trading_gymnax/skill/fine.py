"""A run's doubtful trades, settled by second bars or ticks from a file."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.data.names import PRICES
from trading_gymnax.market import HIGH, LOW, MarketData
from trading_gymnax.rules import MAX_DISTANCE_TICKS
from trading_gymnax.skill.finepath import FineBars, settle_finely
from trading_gymnax.text import count_text, usd


def read_fine_bars(path: pathlib.Path, spec: ContractSpec, timezone: str = "UTC") -> FineBars:
    """Fine bars from a CSV (gzip too) or parquet file: timestamp (start of the bar), and open, high, low, close or, for
    ticks, price; further columns are left.

    Args:
        path: the file.
        spec: contract, whose tick the prices lie on.
        timezone: of stamps without an offset.

    Raises ValueError for missing columns, stamps that run backward or cannot be read, and prices off the tick.
    """
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    frame.columns = [str(name).strip().lower() for name in frame.columns]
    names = PRICES if set(PRICES) <= set(frame) else ("price",) * 4
    missing = [name for name in ("timestamp", *names) if name not in frame]
    if missing:
        raise ValueError(
            f"{path} has no column {missing[0]}: fine bars have timestamp and open, high, low, close or price"
        )
    stamps = pd.DatetimeIndex(pd.to_datetime(frame["timestamp"], utc=False))
    stamps = stamps.tz_localize(timezone) if stamps.tz is None else stamps
    start = stamps.tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[s]")
    if np.isnat(start).any() or (start[1:] < start[:-1]).any():
        raise ValueError(f"the stamps of {path} must run forward, none missing: sort the file by timestamp")
    ratio = frame[list(dict.fromkeys(names))].to_numpy(np.float64) / spec.tick_size
    ticks = np.rint(ratio)
    if not np.isfinite(ratio).all() or np.abs(ratio - ticks).max() > 1e-3:
        raise ValueError(f"prices of {path} do not lie on the tick of {spec.symbol}, {spec.tick_size}")
    columns = ticks.astype(np.int64).T
    return FineBars(start, *(columns if len(columns) == 4 else np.repeat(columns, 4, axis=0)))


@dataclasses.dataclass(frozen=True)
class Settled:
    """What fine bars say of the doubtful trades."""

    doubtful: int  # trades that left in a bar which reached stop and target
    settled: int  # of them, where there are fine bars and they tell
    target_first: int  # of those, the target came first
    change_usd: float  # by which the net of all trades changes

    def __str__(self) -> str:
        return (
            f"{count_text(self.doubtful, 'trade')} left in a bar that reached stop and target; fine bars settle "
            f"{self.settled} of them, {self.target_first} with the target first: the net changes by "
            f"{usd(self.change_usd, cents=True)}"
        )


def settle_doubtful(trades: pd.DataFrame, fine: FineBars, market: MarketData, params: Any) -> Settled:
    """Settle by fine bars what the bars do not tell; args as of `settle_finely`."""
    unsure = doubtful(trades, market, params)
    rows = trades[unsure].reset_index(drop=True)
    if len(rows) == 0:
        return Settled(0, 0, 0, 0.0)
    path = settle_finely(rows, fine, market, params)
    tells = path["known"] & ~path["undecided"] & path["exit_reason"].isin(("STOP", "TARGET"))
    change = (path["net_usd"] - rows["net_usd"])[tells].sum()
    return Settled(len(rows), int(tells.sum()), int((path["exit_reason"][tells] == "TARGET").sum()), float(change))


def doubtful(trades: pd.DataFrame, market: MarketData, params: Any) -> np.ndarray:
    """Trades of phase 1 that left in a bar whose open lay between stop and target and which reached both, bool [N]."""
    tick_usd, tick = int(market.tick_cents[0]) / 100, market.specs[0].tick_size
    minutes = trades["exit_time"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[m]")
    count = int(market.num_bars[0])
    at = np.searchsorted(np.asarray(market.close_minute)[0, :count], minutes.astype(np.int64))
    bars, side = np.asarray(market.bars)[0, at].astype(np.int64), trades["side"].to_numpy()
    entry = np.rint(trades["entry_price"].to_numpy() / tick).astype(np.int64)
    stop = np.rint(trades["risk_usd"].to_numpy() / tick_usd / trades["contracts"].to_numpy())
    target = np.clip(np.rint(stop * float(params.tp_sl_ratio)), 1, MAX_DISTANCE_TICKS)
    best = np.where(side > 0, bars[:, HIGH] - entry, entry - bars[:, LOW])
    worst = np.where(side > 0, bars[:, LOW] - entry, entry - bars[:, HIGH])
    opened = side * (bars[:, 0] - entry)
    inside = (opened > -stop) & (opened < target)
    return inside & (worst <= -stop) & (best >= target + int(params.target_through_ticks))
