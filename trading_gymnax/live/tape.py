"""The last bars as a `MarketData` of fixed shape, so that the environment's own rules run on a growing tape.

The table holds the window and two bars more. The newest bar always lies in the last row: a step is played from the row
before it. All that looks further, such as the start of the next session, is unknown to a live account; the table says
"there will be a next session, and it starts at the newest row", which is where the account is when it wakes.
"""

from __future__ import annotations

import dataclasses
import json
from collections import deque
from typing import Any

import jax.numpy as jnp
import numpy as np

from trading_gymnax.live.feed import Row
from trading_gymnax.market import CLOCK_COLUMNS, MINUTES, MarketData, session_hours

_ROW_COLUMNS = 8  # of `MarketData.bars`
_SESSION, _NEXT_SESSION = 0, 1


class Tape:
    """Ring of the last bars of one of a policy's markets."""

    def __init__(self, market: MarketData, market_id: int, window: int) -> None:
        self.market_id, self.size = market_id, window + 2
        self.newest = self.size - 1  # row of the newest bar
        self.features = np.zeros((market.num_markets, self.size, market.num_features + CLOCK_COLUMNS), np.float32)
        self.bars = np.zeros((market.num_markets, self.size + 1, _ROW_COLUMNS), np.int32)
        self.count = 0  # bars so far
        self._texts: deque[str] = deque(maxlen=self.size)
        self._start_minute = int(np.asarray(market.session_start_minute)[market_id])

    def push(self, row: Row, atr: np.float32, features: np.ndarray) -> None:
        """One more bar; the oldest falls out."""
        self.count += 1
        bars, table = self.bars[self.market_id], self.features[self.market_id]
        bars[:-2] = bars[1:-1]
        table[:-1] = table[1:]
        place = row.place
        bars[-2, :4] = row.ticks
        bars[-2, 4:] = (place.time, place.scheduled_close, 2 * _SESSION, int(atr.view(np.int32)))
        bars[-1] = bars[-2]  # no step looks at it: every bar has one behind it
        clock = (place.time + self._start_minute) % 1440
        hour = np.float32(clock / 60.0) / np.float32(24)
        table[-1, :-CLOCK_COLUMNS] = features
        table[-1, -CLOCK_COLUMNS:] = (hour, place.time, place.scheduled_close - place.time)
        self._texts.append(self._text(-1))

    def _text(self, at: int) -> str:
        """A row of both tables as JSON; each is written once, and saved as often as it is there."""
        return json.dumps([self.bars[self.market_id, at - 1].tolist(), self.features[self.market_id, at].tolist()])

    def mark_break(self) -> None:
        """The newest bar turned out to be the last of its session."""
        self.bars[self.market_id, -2, 6] |= 1
        self._texts[-1] = self._text(-1)

    def snapshot(self) -> dict[str, Any]:
        """The market's rows as JSON texts; a float32 is a JSON number without loss."""
        return {"count": self.count, "rows": list(self._texts)}

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a snapshot. Raises ValueError where it is of another window or other features."""
        rows = [json.loads(text) for text in saved["rows"]]
        bars, table = (np.array([row[part] for row in rows], dtype) for part, dtype in ((0, np.int32), (1, np.float32)))
        if table.shape != self.features.shape[1:]:
            needs = self.features.shape[1:]
            raise ValueError(f"the saved bars have the shape {table.shape}, and this policy needs {needs}")
        self.count, self._texts = int(saved["count"]), deque(saved["rows"], self.size)
        self.bars[self.market_id] = np.concatenate([bars, bars[-1:]])
        self.features[self.market_id] = table


def live_params(params: Any, market_id: int, window: int) -> Any:
    """The parameters with a market of the tape's shape; its bars and features are given with every call."""
    market: MarketData = params.market
    newest = window + 1
    opening, closing = session_hours(params.rth_open, params.rth_close, np.asarray(market.session_start_minute), np)
    sessions = np.zeros((market.num_markets, 2, 6), np.int32)
    sessions[:, _SESSION] = (0, newest + 1, MINUTES - 1, MINUTES - 1, 0, -window)
    sessions[:, _NEXT_SESSION] = (newest, newest + 2, MINUTES - 1, MINUTES - 1, 0, -window)
    bar_at = np.zeros((market.num_markets, 2, MINUTES), np.int32)
    # The next session's first bar closes when entries begin, its second when positions must be flat.
    bar_at[:, _NEXT_SESSION] = np.where(np.arange(MINUTES) <= np.asarray(opening)[:, None], newest, newest + 1)
    size, count = window + 2, market.num_markets
    small = dataclasses.replace(
        market,
        bars=jnp.zeros((count, size + 1, _ROW_COLUMNS), jnp.int32),
        features=jnp.zeros((count, size, market.num_features + CLOCK_COLUMNS), jnp.float32),
        close_minute=jnp.zeros((count, size), jnp.int32),
        sessions=jnp.asarray(sessions),
        bar_at=jnp.asarray(bar_at),
        session_date=jnp.zeros((count, 2), jnp.int32),
        view=jnp.tile(jnp.array([[0, 2]], jnp.int32), (count, 1)),
        num_bars=jnp.full(count, 2**30, jnp.int32),
        num_sessions=jnp.full(count, 2, jnp.int32),
    )
    return dataclasses.replace(params, market=small)
