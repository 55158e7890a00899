"""Features of a user's function, bar by bar: the function is called with the last bars, as it was with a whole table.

A function of whole tables cannot be streamed, but what it says of the newest bar seldom needs more than the last few
thousand. Whether these are enough is not taken on trust: a trader compares the last bars of its history with the batch
before it starts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.data.features import FeatureFn, call_feature_fn, points_frame
from trading_gymnax.data.findings import Findings
from trading_gymnax.data.loader import Bars
from trading_gymnax.data.names import PRICES
from trading_gymnax.live.features import StreamingFeatures

FEATURE_BARS = 10_000


class FunctionFeatures:
    """ATR and the features of a `feature_fn`, bar by bar; work and memory are those of `bars` bars.

    Args:
        make: as `load_bars(feature_fn=...)` takes it.
        names: of the columns that it returns.
        spec: the contract, for prices in points.
        bars: with how many of the last bars it is called, the newest included.

    Raises ValueError for no bars.
    """

    if_not_equal = "feature_fn needs more bars than these, feature_bars=..., or does not give the same twice"

    def __init__(self, make: FeatureFn, names: Sequence[str], spec: ContractSpec, bars: int = FEATURE_BARS) -> None:
        if bars < 1:
            raise ValueError(f"feature_bars counts from 1, got {bars!r}")
        self.make, self.names, self.spec = make, tuple(names), spec
        self._atr = StreamingFeatures((), spec)
        self._rows: deque[tuple[int, int, int, int, int, float]] = deque(maxlen=bars)  # minute, ticks, volume
        self._texts: deque[str] = deque(maxlen=bars)  # the same as they are saved, each written once

    def begin(self, history: Bars, checked: int) -> int:
        """Take in the history but for its last `checked` bars, which are to come by `update`. Returns their first."""
        first = max(0, len(history) - checked)
        columns = [getattr(history, name)[:first].tolist() for name in (*PRICES, "volume")]
        minutes = history.close_time[:first].astype("datetime64[m]").astype(np.int64).tolist()
        for minute, *ticks, volume in zip(minutes, *columns, strict=True):
            self._take((ticks[0], ticks[1], ticks[2], ticks[3]), volume, minute)
        return first

    def update(
        self, ticks: tuple[int, int, int, int], volume: float, own: Mapping[str, float] | None, minute: int
    ) -> tuple[np.float32, np.ndarray]:
        """One more bar, which closes at a UTC minute. Returns its ATR in ticks, and its features, float32 [F].

        Raises ValueError where the function does not return the columns that it had in the batch, a row for each bar.
        """
        atr = self._take(ticks, volume, minute)
        table = pd.DataFrame(np.array(self._rows, np.float64), columns=["minute", *PRICES, "volume"])
        findings = Findings("the last bars")
        points = points_frame(table, table["minute"].to_numpy(np.int64), self.spec)
        made = call_feature_fn(points, self.make, findings)
        if made is None:
            raise ValueError("; ".join(finding.text for finding in findings.items))
        if tuple(map(str, made.columns)) != self.names:
            raise ValueError(f"feature_fn returned {tuple(made.columns)}, and the policy sees {self.names}")
        return atr, made.to_numpy(np.float64)[-1].astype(np.float32)

    def _take(self, ticks: tuple[int, int, int, int], volume: float, minute: int) -> np.float32:
        self._rows.append((minute, *ticks, volume))
        self._texts.append(" ".join(map(str, self._rows[-1])))
        return self._atr.update(ticks, volume)[0]

    def snapshot(self) -> list[Any]:
        """All that is remembered of the bars so far, as plain values."""
        return [self._atr.snapshot(), "\n".join(self._texts)]

    def restore(self, snapshot: Sequence[Any]) -> None:
        """Go on from a snapshot. Raises ValueError where it is of other features."""
        atr, text = snapshot
        self._atr.restore(atr)
        self._texts.extend(str(text).splitlines())
        for row in self._texts:
            minute, opening, high, low, close, volume = row.split()
            self._rows.append((int(minute), int(opening), int(high), int(low), int(close), float(volume)))
