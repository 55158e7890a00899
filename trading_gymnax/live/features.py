"""Features one bar at a time, with constant work and memory, equal to the batch bit for bit.

`trading_gymnax.data.indicators` smooths whole tables with pandas. Here is the same arithmetic, float64 operation by
operation, of its two kernels: the exponentially weighted mean (`adjust=False`) and the rolling mean, which adds and
removes values with Kahan's compensation (Kahan 1965, "Further remarks on reducing truncation errors") and knows runs of
one value. Whether a machine's pandas does that arithmetic is not taken on trust: a trader compares its whole history
with the batch before it starts.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.data.indicators import (
    ATR_BARS,
    CLIP,
    DEFAULT_FEATURES,
    MACD_SPANS,
    MOMENTUM_BARS,
    RSI_BARS,
    SLOW_ATR_BARS,
    SMA_BARS,
)
from trading_gymnax.data.loader import Bars
from trading_gymnax.data.names import PRICES

NAN = math.nan


class ExponentialMean:
    """pandas' `ewm(alpha=..., adjust=False).mean()`: seeded by the first value that is a number."""

    def __init__(self, alpha: float) -> None:
        alpha = 1.0 / (1.0 + (1.0 - alpha) / alpha)  # pandas goes from alpha to the centre of mass and back
        self._old, self._new = 1.0 - alpha, alpha
        self.mean = NAN

    @classmethod
    def of_span(cls, span: int) -> ExponentialMean:
        """alpha = 2 / (span + 1), through the centre of mass (span - 1) / 2 as pandas has it."""
        made = cls(0.5)
        made._new = 1.0 / (1.0 + (span - 1) / 2.0)
        made._old = 1.0 - made._new
        return made

    def update(self, value: float) -> float:
        """The mean with one more value, none of which after the first is NaN."""
        mean = self.mean
        if mean != mean:
            self.mean = value
        elif mean != value:  # a constant series stays as it is, without rounding
            self.mean = (self._old * mean + self._new * value) / (self._old + self._new)
        return self.mean


class RollingMean:
    """pandas' `rolling(bars).mean()`; NaN until there are that many values, none of which is NaN."""

    def __init__(self, bars: int) -> None:
        self.bars = bars
        self.values: deque[float] = deque(maxlen=bars)
        self.total = self.lost_adding = self.lost_removing = 0.0
        self.negative = self.same = 0
        self.last = NAN

    def update(self, value: float) -> float:
        """The mean with one more value."""
        if not self.values:
            self.last, self.same = value, 0  # as if a bar before had had the first value
        elif len(self.values) == self.bars:
            self._remove(self.values[0])
        self.values.append(value)
        self._add(value)
        return self._mean() if len(self.values) == self.bars else NAN

    def _add(self, value: float) -> None:
        small = value - self.lost_adding
        total = self.total + small
        self.lost_adding = total - self.total - small
        self.total = total
        self.negative += math.copysign(1.0, value) < 0
        self.same = self.same + 1 if value == self.last else 1
        self.last = value

    def _remove(self, value: float) -> None:
        small = -value - self.lost_removing
        total = self.total + small
        self.lost_removing = total - self.total - small
        self.total = total
        self.negative -= math.copysign(1.0, value) < 0

    def _mean(self) -> float:
        if self.same >= self.bars:
            return self.last
        mean = self.total / self.bars
        if (self.negative == 0 and mean < 0) or (self.negative == self.bars and mean > 0):
            return 0.0
        return mean


class _Rsi:
    """Relative strength index of a series of closes."""

    def __init__(self, bars: int = RSI_BARS) -> None:
        self.gain, self.loss = ExponentialMean(1.0 / bars), ExponentialMean(1.0 / bars)

    def update(self, change: float) -> float:
        if change != change:
            return NAN
        gain, loss = self.gain.update(max(change, 0.0)), self.loss.update(max(-change, 0.0))
        both = gain + loss
        return 100.0 * gain / both if both > 0 else 50.0


class _Macd:
    """Fast less slow exponential mean of the closes."""

    def __init__(self) -> None:
        self.fast, self.slow = (ExponentialMean.of_span(span) for span in MACD_SPANS)

    def update(self, close: float) -> float:
        return self.fast.update(close) - self.slow.update(close)


class _Lag:
    """Value less the one `bars` before; NaN while there is none."""

    def __init__(self, bars: int) -> None:
        self.values: deque[float] = deque(maxlen=bars)

    def update(self, value: float) -> float:
        before = self.values[0] if len(self.values) == self.values.maxlen else NAN
        self.values.append(value)
        return value - before


class _Range:
    """Wilder's true range."""

    def __init__(self) -> None:
        self.before = NAN

    def update(self, high: float, low: float, close: float) -> float:
        before, self.before = self.before, close
        if before != before:
            return high - low
        return max(high, before) - min(low, before)


class _Atr:
    """Average true range."""

    def __init__(self) -> None:
        self.range, self.mean = _Range(), ExponentialMean(1.0 / ATR_BARS)

    def update(self, high: float, low: float, close: float) -> float:
        return self.mean.update(self.range.update(high, low, close))


class _DefaultFeatures:
    """The eight default features (docs/rules.md, section 5), prices in ticks."""

    def __init__(self) -> None:
        self.change, self.momentum = _Lag(1), _Lag(MOMENTUM_BARS)
        self.range = _Range()
        self.atr, self.slow_atr = ExponentialMean(1.0 / ATR_BARS), ExponentialMean(1.0 / SLOW_ATR_BARS)
        self.close_mean, self.volume_mean = RollingMean(SMA_BARS), RollingMean(SMA_BARS)
        self.rsi, self.macd = _Rsi(), _Macd()

    def update(self, high: float, low: float, close: float, volume: float) -> tuple[float, list[float]]:
        """ATR in ticks, and the features in the order of `DEFAULT_FEATURES`; NaN where the first bars lack them."""
        change = self.change.update(close)
        ranges = self.range.update(high, low, close)
        atr = self.atr.update(ranges)
        unit, slow_unit = max(atr, 1.0), max(self.slow_atr.update(ranges), 1.0)
        row = [
            change / unit,
            (high - low) / unit,
            (close - self.close_mean.update(close)) / unit,
            self.rsi.update(change) / 50.0 - 1.0,
            self.macd.update(close) / unit,
            self.momentum.update(close) / unit,
            (volume + 1.0) / (self.volume_mean.update(volume) + 1.0),
            unit / slow_unit,
        ]
        row[6:] = np.log(row[6:]).tolist()  # NumPy's logarithm, as in the batch: the one of `math` differs in last bits
        return atr, [x if -CLIP <= x <= CLIP or x != x else math.copysign(CLIP, x) for x in row]


class _NamedFeatures:
    """Columns that `feature_columns=` names: prices in points, those computed by name, and the bar's own ones."""

    def __init__(self, names: Sequence[str], spec: ContractSpec, own: Sequence[str]) -> None:
        self.atr = _Atr()
        per_point = round(1.0 / spec.tick_size)
        divides = per_point > 0 and abs(per_point * spec.tick_size - 1.0) < 1e-9
        self._scale = (float(per_point), True) if divides else (spec.tick_size, False)
        self.columns = [_column(name, own) for name in names]

    def update(
        self, ticks: tuple[float, float, float, float], volume: float, own: Mapping[str, float]
    ) -> tuple[float, list[float]]:
        """ATR in ticks, and the features."""
        factor, divides = self._scale
        values = dict(own)
        values |= {name: x / factor if divides else x * factor for name, x in zip(PRICES, ticks, strict=True)}
        values["volume"] = volume
        row = [column.update(*(values[name] for name in names)) for names, column in self.columns]
        return self.atr.update(*ticks[1:]), row


class _Same:
    """A value as it is."""

    def update(self, value: float) -> float:
        return value


class _RsiOfClose(_Rsi):
    """Relative strength index, from the closes themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.change = _Lag(1)

    def update(self, close: float) -> float:
        return super().update(self.change.update(close))


_COMPUTED: dict[str, tuple[tuple[str, ...], Callable[[], Any]]] = {
    "sma_5": (("close",), lambda: RollingMean(5)),
    "sma_20": (("close",), lambda: RollingMean(SMA_BARS)),
    "rsi": (("close",), _RsiOfClose),
    "macd": (("close",), _Macd),
    "momentum": (("close",), lambda: _Lag(MOMENTUM_BARS)),
    "atr": (("high", "low", "close"), _Atr),
}


def _column(name: str, own: Sequence[str]) -> tuple[tuple[str, ...], Any]:
    """What a feature is computed from, and by what."""
    lower = name.strip().lower()
    if lower in (*PRICES, "volume"):
        return (lower,), _Same()
    if name in own:
        return (name,), _Same()
    if lower not in _COMPUTED:
        text = f"feature {name!r} cannot be computed bar by bar: it is the table's own column or a function's"
        raise ValueError(f"{text}; name it in own=(...) and give its value with each bar")
    names, make = _COMPUTED[lower]
    return names, make()


class StreamingFeatures:
    """ATR and features of a market, bar by bar.

    Args:
        names: the market's feature names; `DEFAULT_FEATURES`, or what `feature_columns=` named.
        spec: the contract, for prices in points.
        own: names among them that are columns of the table itself, whose values come with each bar.

    Raises ValueError for a feature that can neither be computed by name nor comes with the bars.
    """

    if_not_equal = (
        "if the table holds columns of that name, say so with own=(...); else this machine's pandas rounds otherwise"
    )

    def __init__(self, names: Sequence[str], spec: ContractSpec, own: Sequence[str] = ()) -> None:
        self.names = tuple(names)
        self._default = _DefaultFeatures() if self.names == DEFAULT_FEATURES else None
        self._named = None if self._default else _NamedFeatures(self.names, spec, own)
        self._memory = list(_parts(self._default or self._named))

    def begin(self, history: Bars, checked: int) -> int:
        """Number of the history's first bar that is to come by `update`: all of them are streamed and checked."""
        return 0

    def update(
        self,
        ticks: tuple[float, float, float, float],
        volume: float,
        own: Mapping[str, float] | None = None,
        minute: int | None = None,
    ) -> tuple[np.float32, np.ndarray]:
        """One more bar: open, high, low, close in ticks. Returns its ATR in ticks, and its features, float32 [F].

        No feature that is computed by name depends on the minute of its close.
        """
        if self._default is not None:
            atr, row = self._default.update(ticks[1], ticks[2], ticks[3], volume)
        else:
            assert self._named is not None
            atr, row = self._named.update(ticks, volume, own or {})
        return np.float32(atr), np.array(row, np.float64).astype(np.float32)

    def snapshot(self) -> list[Any]:
        """All that is remembered of the bars so far, as plain numbers."""
        return [_remembered(part) for part in self._memory]

    def restore(self, snapshot: Sequence[Any]) -> None:
        """Go on from a snapshot. Raises ValueError where it is of other features."""
        if len(self._memory) != len(snapshot):
            raise ValueError(f"{len(snapshot)} parts of features were saved, and {len(self._memory)} are computed here")
        for part, saved in zip(self._memory, snapshot, strict=True):
            _restore(part, saved)


def _parts(made: Any) -> Iterator[Any]:
    """The pieces that remember something, in the order in which they were made."""
    for value in vars(made).values():
        several = [column for _, column in value] if isinstance(made, _NamedFeatures) and value is made.columns else ()
        for part in several or (value,):
            if isinstance(part, ExponentialMean | RollingMean | _Lag | _Range):
                yield part
            elif isinstance(part, _Rsi | _Macd | _Atr):
                yield from _parts(part)


_MEMORY = {
    ExponentialMean: ("mean",),
    RollingMean: ("values", "total", "lost_adding", "lost_removing", "negative", "same", "last"),
    _Lag: ("values",),
    _Range: ("before",),
}


def _remembered(part: Any) -> list[Any]:
    values = (getattr(part, name) for name in _MEMORY[type(part)])
    return [list(value) if isinstance(value, deque) else _null(value) for value in values]  # no window holds NaN


def _restore(part: Any, saved: Sequence[Any]) -> None:
    for name, value in zip(_MEMORY[type(part)], saved, strict=True):
        before = getattr(part, name)
        if isinstance(before, deque):
            setattr(part, name, deque(map(_number, value), maxlen=before.maxlen))
        else:
            setattr(part, name, _number(value))


def _null(value: float) -> float | None:
    return None if value != value else value  # JSON has no NaN


def _number(value: float | None) -> float:
    return NAN if value is None else value
