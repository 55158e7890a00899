"""The sessions of an evaluation as charts: bars, the stop and target that were in force, entries and exits."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.data.sessions import new_york_minutes
from trading_gymnax.evaluation.evaluate import Evaluation
from trading_gymnax.market import CLOSE, HIGH, LOW, OPEN, MarketData
from trading_gymnax.render import price_decimals

LEAD_BARS = 30  # shown before the first decision
MAX_SESSIONS = 3_000  # on a page, some 4 kB each


@dataclasses.dataclass(frozen=True)
class ChartTrade:
    """A round trip on a session's chart; prices in ticks, rows of the chart's bars."""

    entry_row: int
    exit_row: int
    side: int
    contracts: int
    entry: int
    exit: int
    reason: str
    net_usd: float
    entry_clock: str  # New York time at which the order filled, "09:30": before the entry bar's close


@dataclasses.dataclass(frozen=True, eq=False)
class SessionChart:
    """One session; prices in ticks, N bars from `LEAD_BARS` before the first decision to the last bar played."""

    row: int  # of the evaluation's sessions
    date: str
    symbol: str
    net_usd: float
    tick_size: float
    time: np.ndarray  # New York wall clock of the closes, datetime64[m] [N]
    bars: np.ndarray  # open, high, low, close: int64 [N, 4]
    stop: np.ndarray  # in force during the bar, int64 [N]; 0 without a position
    target: np.ndarray  # int64 [N]; 0 without a position
    trades: list[ChartTrade]

    def to_json(self) -> dict[str, Any]:
        """Small numbers for the page's script, which undoes this to draw the session: differences, and levels in runs.

        c: close less the close before (the first: the close); o: open less the close before; h: high above the higher
        of open and close; l: low below the lower; step: minutes from a close to the next, with the rows that differ in
        gaps; levels: [first row, rows, stop, target].
        """
        opening, high, low, close = self.bars.T
        before = np.concatenate([opening[:1], close[:-1]])
        minutes = np.diff(self.time.astype(np.int64))
        step = int(np.bincount(minutes).argmax()) if len(minutes) else 1
        return {
            "start": str(self.time[0]),
            "step": step,
            "gaps": [[int(i) + 1, int(minutes[i])] for i in np.flatnonzero(minutes != step)],
            "base": int(before[0]),
            "c": (close - before).tolist(),
            "o": (opening - before).tolist(),
            "h": (high - np.maximum(opening, close)).tolist(),
            "l": (np.minimum(opening, close) - low).tolist(),
            "levels": level_runs(self.stop, self.target),
            "trades": [list(dataclasses.astuple(trade)) for trade in self.trades],
        }

    @property
    def decimals(self) -> int:
        """Of a price."""
        return price_decimals(self.tick_size)


def level_runs(stop: np.ndarray, target: np.ndarray) -> list[list[int]]:
    """[first row, rows, stop, target] of every stretch of bars with one pair of levels; int [N] each, 0 for none."""
    change = np.flatnonzero((np.diff(stop, prepend=-1) != 0) | (np.diff(target, prepend=-1) != 0))
    ends = np.append(change[1:], len(stop))
    runs = zip(change, ends, strict=True)
    return [[int(a), int(b - a), int(stop[a]), int(target[a])] for a, b in runs if stop[a] or target[a]]


def session_charts(evaluation: Evaluation, market: MarketData, max_sessions: int = MAX_SESSIONS) -> list[SessionChart]:
    """Charts of the evaluation's sessions, in order; of more than `max_sessions` the best, the worst and others evenly.

    market: that of the evaluation.
    """
    chosen = choose_sessions(evaluation.sessions["net_usd"].to_numpy(), max_sessions)
    tape = _Tape(evaluation, market)
    return [tape.chart(int(row)) for row in chosen]


def choose_sessions(net_usd: np.ndarray, limit: int) -> np.ndarray:
    """Rows of at most `limit` sessions (2 or more) of these results [N], rising: the best, the worst, others evenly."""
    count = len(net_usd)
    if count <= limit:
        return np.arange(count)
    extremes = {int(net_usd.argmax()), int(net_usd.argmin())}
    others = np.setdiff1d(np.arange(count), list(extremes))
    evenly = others[np.linspace(0, len(others) - 1, limit - len(extremes)).round().astype(int)]
    return np.unique([*extremes, *evenly])


class _Tape:
    """What the charts read, once on the host."""

    def __init__(self, evaluation: Evaluation, market: MarketData) -> None:
        self.sessions, self.trades, self.market = evaluation.sessions, evaluation.trades, market
        self.bars = np.asarray(market.bars)
        counts = np.asarray(market.num_bars)
        self.closes = [row[:count] for row, count in zip(np.asarray(market.close_minute), counts, strict=True)]
        self.step_ends = np.cumsum(evaluation.sessions["steps"].to_numpy())
        self.trade_ends = np.cumsum(evaluation.sessions["trades"].to_numpy())
        self.played = _utc_minutes(evaluation.bars["time"])
        self.exits = _utc_minutes(evaluation.trades["exit_time"])
        self.levels = [evaluation.bars[name].fillna(0).to_numpy() for name in ("stop_price", "target_price")]

    def chart(self, row: int) -> SessionChart:
        """Session `row` of the evaluation."""
        session, end = self.sessions.iloc[row], self.step_ends[row]
        m = self.market.symbols.index(str(session["market"]))
        steps, closes, tick = slice(end - session["steps"], end), self.closes[m], self.market.specs[m].tick_size
        begin = int(np.searchsorted(closes, self.played[steps.start]))
        shown = slice(max(0, begin - LEAD_BARS), begin + int(session["steps"]))
        lead = np.zeros(begin - shown.start, np.int64)
        stop, target = (np.concatenate([lead, np.rint(level[steps] / tick).astype(np.int64)]) for level in self.levels)
        own = slice(self.trade_ends[row] - session["trades"], self.trade_ends[row])
        exit_rows = np.searchsorted(closes, self.exits[own]) - shown.start
        trades = zip(self.trades.iloc[own].itertuples(), exit_rows, strict=True)
        return SessionChart(
            row=row,
            date=f"{session['date']:%Y-%m-%d}",
            symbol=self.market.symbols[m],
            net_usd=float(session["net_usd"]),
            tick_size=tick,
            time=new_york_minutes(closes[shown].astype(np.int64)).astype("datetime64[m]"),
            bars=self.bars[m, shown][:, [OPEN, HIGH, LOW, CLOSE]].astype(np.int64),
            stop=stop,
            target=target,
            trades=[_trade(trade, int(exit_row), tick) for trade, exit_row in trades],
        )


def _utc_minutes(times: pd.Series) -> np.ndarray:
    """Minutes since 1970 of stamps with a zone, int64."""
    return times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[m]").astype(np.int64)


def _trade(trade: Any, exit_row: int, tick: float) -> ChartTrade:
    return ChartTrade(
        entry_row=exit_row - int(trade.bars_held) + 1,
        exit_row=exit_row,
        side=int(trade.side),
        contracts=int(trade.contracts),
        entry=round(trade.entry_price / tick),
        exit=round(trade.exit_price / tick),
        reason=str(trade.exit_reason),
        net_usd=float(trade.net_usd),
        entry_clock=f"{trade.entry_time:%H:%M}",
    )
