"""Arguments of `load_market_data` and `MarketData.split` made from bytes, and what must hold of the answer.

Shared by `fuzz_loader.py`, whose bytes a fuzzer chooses, and `tests/fuzz/test_fuzz_markets.py`, where hypothesis does.
"""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from trading_gymnax.data.contracts import ContractSpec, contract
from trading_gymnax.data.loader import REPAIRS, Bars, load_bars
from trading_gymnax.market import CLOSE, HIGH, LOW, OPEN, TIME, MarketData, load_market_data

T = TypeVar("T")
SPECS = tuple(ContractSpec(name, tick, 20.0, 2.5, calendar=None) for name, tick in (("A", 0.25), ("B", 0.5)))
KEYS: tuple[Any, ...] = (*SPECS * 4, "NQ")
ODD_KEYS: tuple[Any, ...] = ("nq", " NQ", "NX", "", None, 5, ("NQ",), b"NQ")
DAYS = ("2025-01-13", "2025-01-14", "2025-01-16", "2025-01-20", "2025-01-22", "2025-02-03", "2024-01-01")
ODD_DAYS: tuple[Any, ...] = (
    *("", "soon", "20250116", "2025", "2025-1-16", "volume", None, 5, -1, 1e300, float("nan"), pd.NaT, (), [], b"x"),
    *(
        np.datetime64("NaT", "D"),
        dt.date(2025, 1, 16),
        pd.Timestamp("2025-01-16 12:00", tz="UTC"),
        np.datetime64("2025"),
    ),
)
_MINUTES = 15  # length of a bar: the shortest table with a usable session is then a few hundred rows
_SESSIONS = 12


class Choices:
    """Bytes read as choices; the first of each when they have run out.

    The first byte says how many of the choices may be odd ones, so that most inputs get far.
    """

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)
        self._odd = (0, 0, 1, 1, 2, 3)[next(self._data, 0) % 6]

    def of(self, options: Sequence[T], odd: Sequence[T] = ()) -> T:
        """One of some options, or of the odd ones as long as some are left."""
        if self._odd and odd and next(self._data, 0) % 4 == 3:
            self._odd -= 1
            options = odd
        return options[next(self._data, 0) % len(options)]


@functools.cache
def whole_table(tick: float) -> pd.DataFrame:
    """Twelve sessions of quarter hours from 2025-01-06 on: a random walk, volume that rises."""
    evenings = pd.bdate_range("2025-01-06", periods=_SESSIONS) - pd.Timedelta("6h")
    starts = [day + pd.Timedelta(minutes=_MINUTES * i) for day in evenings for i in range(1380 // _MINUTES)]
    rng = np.random.default_rng(0)
    close = 1000 + np.cumsum(rng.integers(-3, 4, len(starts)))
    opening = np.concatenate([[1000], close[:-1]])
    high, low = np.maximum(opening, close) + 1, np.minimum(opening, close) - 1
    prices = {"open": opening, "high": high, "low": low, "close": close}
    frame = pd.DataFrame({name: tick * column.astype(float) for name, column in prices.items()})
    stamps = pd.DatetimeIndex(starts).tz_localize("America/New_York")
    return frame.assign(timestamp=stamps, volume=np.arange(len(starts), dtype=float))


def table_of(choose: Choices) -> pd.DataFrame:
    """Some sessions of it, later or earlier, perhaps with another volume, perhaps damaged."""
    frame = whole_table(choose.of((0.5,), (0.25, 0.1)))
    first, sessions = choose.of((0, 0, 1, 3)), choose.of((12, 9, 8, 7), (6, 5, 1, 0))
    rows = 1380 // _MINUTES
    frame = frame.iloc[first * rows : (first + sessions) * rows].reset_index(drop=True)
    shift = pd.Timedelta(days=choose.of((0, 0, 3, 7), (14, -7, 365)))
    frame = frame.assign(timestamp=frame["timestamp"] + shift, volume=choose.of((1.0, 1.0, 5.0, 0.0)) * frame["volume"])
    return _damaged(frame, choose) if len(frame) else frame


def _damaged(frame: pd.DataFrame, choose: Choices) -> pd.DataFrame:
    kind = choose.of(("", "", "", "cell", "repeat", "hole", "shuffle"), ("column", "drop"))
    name = choose.of(tuple(frame.columns))
    row = choose.of(range(251)) * len(frame) // 251
    if kind == "cell" and name != "timestamp":
        value = choose.of((np.nan, np.inf, 0.0, -1.0, 1e9, 1e300, 1000.1))
        frame = frame.assign(**{name: frame[name].mask(frame.index == row, value)})
    elif kind == "column":
        frame = frame.assign(**{name: choose.of((None, "x", 1.0, np.nan))})
    elif kind == "repeat":
        frame = pd.concat([frame, frame.iloc[row : row + 2]])
    elif kind == "shuffle":
        frame = frame.sample(frac=1.0, random_state=row)
    elif kind == "drop":
        frame = frame.drop(columns=name)
    elif kind == "hole":
        frame = frame.drop(index=range(row, min(row + 100, len(frame))))
    return frame


def source_of(choose: Choices, folder: pathlib.Path, depth: int = 0) -> Any:
    """A table, a file of it, contracts in a list or a dict, or what is none of these."""
    kinds = ("frame", "frame", "list", "list", "dict", "csv", "parquet")
    kind = choose.of(kinds if depth == 0 else ("frame", "frame", "frame", "csv"), ("odd", "list"))
    if kind in ("list", "dict") and depth < 2:
        parts = [source_of(choose, folder, depth + 1) for _ in range(choose.of((2, 2, 3), (1, 0)))]
        if kind == "dict":
            return {choose.of(("H25", "M25", "U25", 1, "1", None)): part for part in parts}
        return choose.of((list, list, tuple))(parts)
    if kind in ("csv", "parquet"):
        path = folder / f"{choose.of(range(4))}.{kind}"
        frame = table_of(choose)
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
        return choose.of((path, str(path)))
    odd = (None, 5, "", "nowhere.csv", folder, b"x", object, np.zeros(3), pd.Series([1.0]), {1, 2})
    return choose.of(odd) if kind == "odd" else table_of(choose)


def day_of(choose: Choices) -> Any:
    """A date that may be meant, or something else."""
    return choose.of(DAYS, ODD_DAYS)


def _roll(choose: Choices, contracts: int) -> Any:
    if contracts < 2:
        return choose.of((None,), ODD_DAYS)
    days = sorted((day_of(choose) for _ in range(contracts - choose.of((1,), (0, 2)))), key=str)
    return choose.of(("volume", days), (*ODD_DAYS, *days[:1], days[::-1]))


def arguments_of(choose: Choices, folder: pathlib.Path) -> tuple[Any, dict[str, Any]]:
    """Source and keyword arguments of `load_market_data`."""
    count = choose.of((1, 2, 2, 3), (0,))
    source: Any = {choose.of(KEYS, ODD_KEYS): source_of(choose, folder) for _ in range(count)}
    options: dict[str, Any] = {"repair": choose.of((tuple(REPAIRS),), (("too_short",), ()))}
    lone = next(iter(source.items())) if choose.of(range(5)) == 4 and source else None
    rolled = [len(one) for one in source.values() if isinstance(one, list | tuple | dict)] if source else []
    options["roll"] = _roll(choose, max(rolled, default=0))
    options["rth"] = choose.of(((9.5, 16.75), (9.5, 15.75)), ((16, 9), (9.5,), "x", None))
    return (source, options) if lone is None else (lone[1], options | {"market": lone[0]})


def play(data: bytes, folder: pathlib.Path) -> str:
    """Load and split what the bytes say: "refused", "market" or "views".

    Raises ValueError or FileNotFoundError as the library does, AssertionError where it alters or loses something.
    """
    choose = Choices(data)
    source, options = arguments_of(choose, folder)
    market = load_market_data(source, **options)
    check_market(market, source, options)
    days = sorted((day_of(choose) for _ in range(choose.of((1, 2)))), key=str)
    check_views(market, market.split(*days), days)
    return "views"


def check_market(market: MarketData, source: Any, options: Mapping[str, Any]) -> None:
    """Every table is held as `load_bars` reads it alone, and each date of a market belongs to one contract."""
    markets = {options["market"]: source} if "market" in options else source
    loader = {name: value for name, value in options.items() if name not in ("market", "roll")}
    tables: list[Bars] = []
    for symbol, one in markets.items():
        several = one.values() if isinstance(one, Mapping) else one if isinstance(one, list | tuple) else [one]
        contracts = [load_bars(table, symbol, **loader) for table in several]
        check_rolls(market, contracts, len(tables), contract(symbol).symbol)
        tables += contracts
    assert market.num_markets == len(tables)
    assert len(set(market.symbols)) == len(tables)
    for m, table in enumerate(tables):
        bars, count = np.asarray(market.bars)[m], len(table)
        assert int(market.num_bars[m]) == count
        for column, name in ((OPEN, "open"), (HIGH, "high"), (LOW, "low"), (CLOSE, "close"), (TIME, "time")):
            np.testing.assert_array_equal(bars[:count, column], getattr(table, name))
        features = np.asarray(market.features)[m, :count, : market.num_features]
        known = np.isfinite(table.features)
        np.testing.assert_array_equal(features, np.where(known, table.features, 0))  # no NaN is staged
        dates = np.asarray(market.session_date)[m, : len(table.session_date)]
        np.testing.assert_array_equal(dates.astype("datetime64[D]"), table.session_date)


def check_rolls(market: MarketData, contracts: Sequence[Bars], first: int, symbol: str) -> None:
    """The views of a market's contracts follow one another and leave no session of the front one out."""
    view = np.asarray(market.view)[first : first + len(contracts)]
    assert market.roots[first : first + len(contracts)] == (symbol,) * len(contracts)
    assert view[0, 0] == 0
    assert view[-1, 1] == len(contracts[-1].session_date)
    assert (view[:, 0] < view[:, 1]).all()
    for (early, late), (low, high) in zip(itertools.pairwise(contracts), itertools.pairwise(view), strict=True):
        roll = late.session_date[high[0]]
        assert early.session_date[low[1] - 1] < roll
        assert low[1] == len(early.session_date) or early.session_date[low[1]] >= roll
        assert high[0] == 0 or late.session_date[high[0] - 1] < roll


def check_views(market: MarketData, views: Sequence[MarketData], days: Sequence[Any]) -> None:
    """The views of a split hold each session of the market's own view once, by its date."""
    edges = [np.datetime64(str(pd.Timestamp(str(day)).date()), "D").astype(int) for day in days]
    assert len(views) == len(days) + 1
    for m, (low, high) in enumerate(np.asarray(market.view)):
        spans = [np.asarray(view.view)[m] for view in views]
        assert sum(max(int(end - first), 0) for first, end in spans) == high - low
        for (first, end), (after, before) in zip(spans, itertools.pairwise([None, *edges, None]), strict=True):
            dates = np.asarray(market.session_date)[m, first:end]
            assert after is None or (dates >= after).all()
            assert before is None or (dates < before).all()
