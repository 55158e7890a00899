"""Buying at the start of a view and holding to its end: what the market itself did while a policy traded it."""

from __future__ import annotations

from typing import Any

import numpy as np

from trading_gymnax import rules
from trading_gymnax.evaluation.evaluate import Evaluation
from trading_gymnax.market import CLOSE, END, OPEN, MarketData


def buy_and_hold(evaluation: Evaluation, market: MarketData, params: Any) -> np.ndarray:
    """Net of each session, close to close, for one who holds `position_size` contracts of every market; dollars [N].

    Bought at the open of the first bar that the evaluation played, held over every night, sold at the last session's
    last close; `slippage_ticks` and the commission are paid there and at every roll. A contract that takes over is
    bought at its own price at the time of the old one's last close, or at its first open where it has no bar yet.
    """
    sessions, nets = evaluation.sessions, np.zeros(len(evaluation.sessions))
    table = np.array([market.symbols.index(name) for name in sessions["market"]])
    roots = np.array(market.roots)[table]
    bars, minutes = np.asarray(market.bars), np.asarray(market.close_minute)
    bounds, dates = np.asarray(market.sessions), np.asarray(market.session_date)
    days = sessions["date"].to_numpy().astype("datetime64[D]").astype(np.int64)
    steps = sessions["steps"].to_numpy()
    played = evaluation.bars["time"].iloc[np.cumsum(steps) - steps].dt.tz_convert("UTC").dt.tz_localize(None)
    opening = played.to_numpy().astype("datetime64[m]").astype(np.int64)
    tick_usd = np.asarray(market.tick_cents) / 100 * np.asarray(params.position_size)
    paid = np.asarray(rules.cents(params.commission_per_side)) / 100 * np.asarray(params.position_size)
    side_usd = paid + np.asarray(params.slippage_ticks) * tick_usd

    def known_bar(m: int, when: int) -> int:
        """Last bar that has closed by then; -1 without one."""
        return int(np.searchsorted(minutes[m, : int(market.num_bars[m])], when, side="right")) - 1

    for root in dict.fromkeys(roots):
        held, price, minute = -1, 0, 0
        for i in np.flatnonzero(roots == root):
            m = int(table[i])
            last = int(bounds[m, np.searchsorted(dates[m, : int(market.num_sessions[m])], days[i]), END]) - 1
            if held != m:
                at = known_bar(m, minute) if held >= 0 else -1
                price = int(bars[m, at, CLOSE] if at >= 0 else bars[m, known_bar(m, int(opening[i])), OPEN])
                nets[i] -= side_usd[m] + (side_usd[held] if held >= 0 else 0)
            nets[i] += (int(bars[m, last, CLOSE]) - price) * tick_usd[m]
            held, price, minute = m, int(bars[m, last, CLOSE]), int(minutes[m, last])
        nets[i] -= side_usd[held]
    return nets
