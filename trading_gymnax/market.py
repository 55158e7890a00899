"""`MarketData`: checked bars packed as JAX arrays, several markets stacked, date splits as views."""

from __future__ import annotations

import dataclasses
import datetime as dt
import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from trading_gymnax.data.contracts import ContractSpec, contract
from trading_gymnax.data.loader import Bars, load_bars
from trading_gymnax.data.rolls import front_sessions, labels
from trading_gymnax.text import check_names, count_text

# Columns of `MarketData.bars`.
OPEN, HIGH, LOW, CLOSE, TIME, SCHEDULED_CLOSE, SESSION_AND_BREAK, ATR_BITS = range(8)
BAR_COLUMNS = 8
# Columns of `MarketData.sessions`.
START, END, CLOSE_MINUTE, LAST_TIME, FIRST_DECISION, FIRST_FINITE = range(6)
MINUTES = 1441  # 0 to 1440 since a session's start
CLOCK_COLUMNS = 3  # hour / 24, time, minutes to the scheduled close: behind the features of each bar
ORDINARY_STOP_ATR = 1.5  # an "ordinary stop" of the default reward scale, in ATR


class Bar(NamedTuple):
    """One bar of one market; every field a scalar, prices int32 ticks."""

    open: jax.Array
    high: jax.Array
    low: jax.Array
    close: jax.Array
    time: jax.Array  # minutes from the session's start to the bar's close, int32
    scheduled_close: jax.Array  # of its session, minutes since the session's start, int32
    session: jax.Array  # index of its session in the market, int32
    breaks: jax.Array  # the next bar of the table belongs to another session, bool
    atr: jax.Array  # ticks, float32


@struct.dataclass
class MarketData:
    """Bars of M markets, padded to the longest (T bars, S sessions). One copy serves every environment.

    A view (`split`, `between`) shares all arrays and differs in `view` and `median_risk_usd` only. The arrays travel
    as an argument of jitted functions, inside `EnvParams`; closed over, they would be baked into the program.
    """

    bars: (
        jax.Array
    )  # open, high, low, close, time, scheduled close, 2*session + breaks, bits of ATR: int32 [M, T + 1, 8]
    features: jax.Array  # per bar: F, hour/24, time, minutes to scheduled close: float32 [M, T, F + 3]; 0 where missing
    close_minute: jax.Array  # UTC minute of the close since 1970, int32 [M, T]
    sessions: jax.Array  # start, end, scheduled close, last bar's time, first decision, first finite: int32 [M, S, 6]
    bar_at: jax.Array  # first bar of a session that closes at or after a minute, its end if none: int32 [M, S, 1441]
    session_date: jax.Array  # days since 1970 of the date that names the session, int32 [M, S]
    view: jax.Array  # first session and end (exclusive) of the view, int32 [M, 2]
    num_bars: jax.Array  # bars before the padding, int32 [M]
    num_sessions: jax.Array  # sessions before the padding, int32 [M]
    bar_minutes: jax.Array  # length of a bar, int32 [M]
    session_start_minute: jax.Array  # New York minute of the day at which sessions start, int32 [M]
    tick_cents: jax.Array  # value of a tick of one contract, int32 [M]
    price_range: jax.Array  # highest less lowest price, ticks, int32 [M]
    median_risk_usd: jax.Array  # 1.5 median ATR of the view's entry-allowed bars, dollars a contract, float32 [M]
    specs: tuple[ContractSpec, ...] = struct.field(pytree_node=False)
    roots: tuple[str, ...] = struct.field(pytree_node=False)  # symbol of each one's market; contracts share it
    feature_names: tuple[str, ...] = struct.field(pytree_node=False)
    rth: tuple[float, float] = struct.field(pytree_node=False)  # the loader's hours
    doubts: tuple[str, ...] = struct.field(pytree_node=False, default=())  # what may make all results wrong

    def __repr__(self) -> str:
        """Symbols and dates; a market without numbers of its own, inside `jit` say, by its symbols alone."""
        parts = (self.session_date, self.view)
        known = all(isinstance(x, np.ndarray | jax.Array) and not isinstance(x, jax.core.Tracer) for x in parts)
        if not known or np.ndim(self.view) != 2:
            return f"MarketData({', '.join(self.symbols)})"
        sessions = count_text(int(np.diff(np.asarray(self.view), axis=1).sum()), "session")
        return f"MarketData({', '.join(self.symbols)}: {sessions}, {self.date_text()})"

    @property
    def num_markets(self) -> int:
        """Number of markets M."""
        return len(self.specs)

    @property
    def num_features(self) -> int:
        """Number of market features F of a bar."""
        return len(self.feature_names)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbol of each market; contracts that follow one another have one each, "NQ-1" and "NQ-2" say."""
        return tuple(spec.symbol for spec in self.specs)

    @property
    def root_ids(self) -> np.ndarray:
        """Number of each one's market among the different `roots`, int [M]; 0 to M - 1 where none is rolled."""
        order = list(dict.fromkeys(self.roots))
        return np.array([order.index(root) for root in self.roots])

    def decision_bars(self) -> np.ndarray:
        """Entry-allowed bars of each market's view by the loader's hours, int [M].

        As `market_weights` they give every bar the same chance, instead of every market.
        """
        view = np.asarray(self.view)
        return np.array([self._entry_allowed(m, view[m]).sum() for m in range(self.num_markets)])

    def market_id(self, symbol: str) -> int:
        """Index of the market with that symbol; ValueError names those there are."""
        if symbol not in self.symbols:
            raise ValueError(f"no market {symbol!r} here; there are {', '.join(self.symbols)}")
        return self.symbols.index(symbol)

    def split(self, *dates: Any) -> tuple[MarketData, ...]:
        """Views before the first date, between the dates, and from the last date on; no array is copied.

        A session belongs to the view that holds the date naming it. Raises ValueError for dates out of order and for
        a view without a usable session.
        """
        days = [_day(date) for date in dates]
        if not days or sorted(set(days)) != days:
            raise ValueError("split needs one or more dates in rising order, for example split('2025-02-15')")
        edges = [None, *days, None]
        return tuple(self._between_days(low, high) for low, high in itertools.pairwise(edges))

    def between(self, first: Any = None, end: Any = None) -> MarketData:
        """View of the sessions dated from `first` up to, not including, `end`; None leaves that side open."""
        return self._between_days(None if first is None else _day(first), None if end is None else _day(end))

    def _between_days(self, low: int | None, high: int | None) -> MarketData:
        dates, view = np.asarray(self.session_date), np.asarray(self.view).copy()
        for m, count in enumerate(np.asarray(self.num_sessions)):
            if low is not None:
                view[m, 0] = max(view[m, 0], np.searchsorted(dates[m, :count], low))
            if high is not None:
                view[m, 1] = min(view[m, 1], np.searchsorted(dates[m, :count], high))
        return self.with_view(view)

    def with_view(self, view: Any) -> MarketData:
        """The same arrays, seen through sessions `view` = int [M, 2] (first, end exclusive).

        Raises ValueError where no market has a usable session in it.
        """
        view = np.array(view, np.int32).reshape(self.num_markets, 2)
        risk = np.array([self._median_risk(m, view[m]) for m in range(self.num_markets)], np.float32)
        if not risk.any():
            raise ValueError(
                f"the view holds no usable session: the data has sessions from {self.date_text()}; choose other dates"
            )
        return dataclasses.replace(self, **jax.device_put({"view": view, "median_risk_usd": risk}))

    def date_text(self) -> str:
        """First and last session date of the view, as "2025-01-02 to 2025-03-17"."""
        dates, view = np.asarray(self.session_date), np.asarray(self.view)
        firsts = [dates[m, low] for m, (low, high) in enumerate(view) if high > low]
        lasts = [dates[m, high - 1] for m, (low, high) in enumerate(view) if high > low]
        if not firsts:
            return "no date at all"
        return " to ".join(str(np.datetime64(int(day), "D")) for day in (min(firsts), max(lasts)))

    def usable_sessions(self, market_id: int = 0) -> np.ndarray:
        """Indices of the view's sessions that are usable by the loader's hours, int [N]."""
        bars = np.flatnonzero(self._entry_allowed(market_id, np.asarray(self.view)[market_id]))
        return np.unique(np.asarray(self.bars)[market_id, bars, SESSION_AND_BREAK] >> 1)

    def usable_counts(self, rth_open: Any, rth_close: Any, window: int = 1) -> np.ndarray:
        """Usable sessions of each market's view under these hours, for windows of `window` bars, int [M]."""
        usable, view = decision_ranges(self, rth_open, rth_close, window, np).usable, np.asarray(self.view)
        index = np.arange(usable.shape[1])[None]
        return np.asarray(usable & (index >= view[:, :1]) & (index < view[:, 1:])).sum(axis=1)

    def _entry_allowed(self, m: int, view: np.ndarray) -> np.ndarray:
        """Bars of usable sessions of the view that are entry-allowed by the loader's hours, bool [T]."""
        ranges = decision_ranges(self, *self.rth, xp=np)
        index = np.arange(len(ranges.usable[m]))
        usable = ranges.usable[m] & (index >= view[0]) & (index < view[1])
        session = np.asarray(self.bars)[m, :, SESSION_AND_BREAK] >> 1
        bar = np.arange(len(session))
        return usable[session] & (bar >= ranges.first[m, session]) & (bar < ranges.end[m, session])

    def _median_risk(self, m: int, view: np.ndarray) -> float:
        """Dollars of an ordinary stop of one contract; 0 where the market has no bar to measure it on."""
        atr = np.asarray(self.bars)[m, self._entry_allowed(m, view), ATR_BITS].view(np.float32)
        if len(atr) == 0:
            return 0.0
        return ORDINARY_STOP_ATR * float(np.median(atr)) * int(np.asarray(self.tick_cents)[m]) / 100


def session_hours(rth_open: Any, rth_close: Any, start_minute: Any, xp: Any = jnp) -> tuple[Any, Any]:
    """New York hours -> (open minute, close minute) since the session's start, int32 of start_minute's shape.

    rint(60 h) in float32; opening at the session's start is minute 0, closing at it minute 1440.
    """
    opening, closing = (
        xp.rint(xp.float32(60) * xp.asarray(h, xp.float32)).astype(xp.int32) for h in (rth_open, rth_close)
    )
    return (opening - start_minute) % 1440, (closing - start_minute - 1) % 1440 + 1


class DecisionRanges(NamedTuple):
    """Decision range of every session, and whether the session is usable (docs/rules.md, section 2.4); all [M, S]."""

    first: jax.Array  # first bar of the range, int32
    end: jax.Array  # bar behind it, int32
    flat: jax.Array  # first bar that is must-flat by the calendar, int32
    usable: jax.Array  # whatever the view, bool


def decision_ranges(
    market: MarketData, rth_open: Any, rth_close: Any, window: int = 1, xp: Any = jnp
) -> DecisionRanges:
    """Decision ranges under these hours, for windows of `window` bars; `xp` is the library that computes them."""
    sessions, bar_at, length = (xp.asarray(x) for x in (market.sessions, market.bar_at, market.bar_minutes))
    opening, closing = session_hours(rth_open, rth_close, xp.asarray(market.session_start_minute), xp)
    flat = xp.minimum(closing[:, None], sessions[..., CLOSE_MINUTE])

    def first_at(minute: Any) -> Any:
        """First bar of each session that closes at or after a minute, its end if none."""
        return xp.take_along_axis(bar_at, xp.clip(minute, 0, MINUTES - 1)[..., None], axis=2)[..., 0]

    warm = xp.maximum(sessions[..., FIRST_DECISION], sessions[..., FIRST_FINITE] + window - 1)
    first = xp.maximum(first_at(xp.broadcast_to(opening[:, None], flat.shape)), warm)
    end = xp.minimum(first_at(flat - length[:, None]), sessions[..., END] - 1)
    usable = (first < end) & (sessions[..., LAST_TIME] >= flat - 5)
    return DecisionRanges(first, end, first_at(flat), usable)


def of_market(values: jax.Array, market_id: jax.Array) -> jax.Array:
    """The market's row of an [M, ...] array; without a gather where there is one market."""
    return values[0] if values.shape[0] == 1 else values[market_id]


def pair_of_bars(market: MarketData, market_id: jax.Array, bar: jax.Array) -> tuple[Bar, Bar]:
    """Bar `bar` of a market and the one after it, by a single gather of two neighbouring rows."""
    rows = jax.lax.dynamic_slice(market.bars, (market_id, bar, jnp.int32(0)), (1, 2, BAR_COLUMNS))[0]
    return unpack_bar(rows[0]), unpack_bar(rows[1])


def unpack_bar(row: Any) -> Bar:
    """The bar of the numbers of a row of `MarketData.bars`, each a scalar or an array."""
    packed = row[SESSION_AND_BREAK]
    return Bar(
        open=row[OPEN],
        high=row[HIGH],
        low=row[LOW],
        close=row[CLOSE],
        time=row[TIME],
        scheduled_close=row[SCHEDULED_CLOSE],
        session=packed >> 1,
        breaks=(packed & 1) == 1,
        atr=jax.lax.bitcast_convert_type(row[ATR_BITS], jnp.float32),
    )


def pack(tables: Sequence[Bars], roots: Sequence[str] | None = None) -> MarketData:
    """Stack the checked bars of one or more markets; shorter ones are padded and never sampled in the padding.

    roots: symbol of the market of which each table is a contract; by default each is a market of its own.

    Raises ValueError for markets of different features or loader's hours, and where no session is usable.
    """
    first = tables[0]
    for table in tables[1:]:
        if table.feature_names != first.feature_names or table.rth != first.rth:
            raise ValueError(
                "markets that are stacked need the same features and the same rth hours; "
                f"{table.spec.symbol} differs from {first.spec.symbol}"
            )
    counts = np.array([len(table.close) for table in tables])
    sessions = np.array([len(table.session_date) for table in tables])
    market = MarketData(
        bars=_stack([_bar_rows(table) for table in tables]),
        features=_stack([_feature_rows(table) for table in tables]),
        close_minute=_stack([table.close_time.astype("datetime64[m]").astype(np.int32) for table in tables]),
        sessions=_stack([_session_rows(table) for table in tables]),
        bar_at=_stack([_bar_at_minute(table) for table in tables]),
        session_date=_stack([table.session_date.astype("datetime64[D]").astype(np.int32) for table in tables]),
        view=_numbers([[0, n] for n in sessions]),
        num_bars=_numbers(counts),
        num_sessions=_numbers(sessions),
        bar_minutes=_numbers([table.bar_minutes for table in tables]),
        session_start_minute=_numbers([table.spec.session_start_minute for table in tables]),
        tick_cents=_numbers([table.spec.tick_value_cents for table in tables]),
        price_range=_numbers([int(table.high.max()) - int(table.low.min()) for table in tables]),
        median_risk_usd=_numbers([0.0] * len(tables), np.float32),
        specs=tuple(table.spec for table in tables),
        roots=tuple(roots or [table.spec.symbol for table in tables]),
        feature_names=first.feature_names,
        rth=first.rth,
        doubts=tuple(f"{table.spec.symbol}: {doubt}" for table in tables for doubt in table.report.doubts),
    )
    return jax.device_put(market.with_view(market.view))  # whole: array by array, each would be a program to compile


_BARS_OPTIONS = tuple(
    name
    for name, option in inspect.signature(load_bars).parameters.items()
    if option.kind is option.KEYWORD_ONLY and name != "symbol"
)
LOADER_OPTIONS = (*_BARS_OPTIONS, "roll", "symbol")


def load_market_data(
    source: Any,
    market: str | ContractSpec | None = None,
    *,
    roll: Any = None,
    symbol: str | Sequence[str] | None = None,
    **options: Any,
) -> MarketData:
    """Read, check and pack bars: a CSV, JSON (gzip too), parquet, zip, folder, DataFrame, or a dict of them by symbol.

    Args:
        source: bars of one market, or {symbol: bars}. In place of one table, a list of contracts that follow one
            another, or a dict of them by name: {"NQ": ["h25.csv", "m25.csv"]}. They become one series of views without
            a jump: no episode and no window crosses a roll, and each session is traded in the contract of its day.
        market: symbol or `ContractSpec` of a single source; the keys of a dict are the symbols.
        roll: when the next contract is traded: "volume" or dates, see `rolls.front_sessions`.
        symbol: which instrument of a table that holds several; one name for each table, in their order, or several
            names for the one table there is: contracts that follow one another, with roll=.
        options: those of `trading_gymnax.data.loader.load_bars`, for every source.

    Raises ValueError with all that is wrong.
    """
    check_names(options, _BARS_OPTIONS, "load_market_data has no option")
    if isinstance(source, Mapping):
        if market is not None:
            raise ValueError("with data={symbol: source} the keys name the markets; leave out market=")
        if not source:
            raise ValueError("data is an empty dict; give at least one {symbol: source}")
        markets = dict(source)
    elif market is None:
        raise ValueError("say which contract the bars are of, for example market='NQ'")
    else:
        markets = {contract(market): source}
    names = _chosen_symbols(symbol)
    if len(names) > 1 and len(markets) == 1 and not isinstance(next(iter(markets.values())), list | tuple | Mapping):
        markets = {key: dict.fromkeys(names, table) for key, table in markets.items()}
    several = [isinstance(one, list | tuple | Mapping) for one in markets.values()]
    each = _symbol_of_each(names, sum(len(x) if many else 1 for x, many in zip(markets.values(), several, strict=True)))
    if roll is not None and not any(several):
        raise ValueError(f"roll={roll!r} needs two or more contracts of a market, data={{'NQ': [first, second]}} say")
    tables, roots, spans = [], [], []
    for (key, one), rolled in zip(markets.items(), several, strict=True):
        spec = contract(key)
        contracts = _contracts(spec, one, each, options) if rolled else [_load(one, spec, next(each), options)]
        tables += contracts
        roots += [spec.symbol] * len(contracts)
        spans += front_sessions(contracts, roll if rolled else None)
    _refuse_twice([table.spec.symbol for table in tables])
    packed = pack(tables, roots)
    return packed.with_view(spans) if any(several) else packed


def _refuse_twice(symbols: list[str]) -> None:
    for symbol in symbols:
        if symbols.count(symbol) > 1:
            raise ValueError(f"data names {symbol} twice: give each market once, with a list of its contracts in order")


def _chosen_symbols(symbol: Any) -> list[str]:
    names = [] if symbol is None else [symbol] if isinstance(symbol, str) else list(symbol)
    if not all(isinstance(name, str) and name.strip() for name in names) or len(set(names)) < len(names):
        raise ValueError(f"symbol is the name of an instrument of the table, or several different ones; got {symbol!r}")
    return names


def _symbol_of_each(names: list[str], tables: int) -> Iterator[str | None]:
    """The instrument to choose of each table."""
    if len(names) > 1 and len(names) != tables:
        raise ValueError(
            f"symbol names {len(names)} instruments for {tables} tables: give one for each, or one for all"
        )
    return iter(names) if len(names) == tables else itertools.repeat(names[0] if names else None)


def _load(source: Any, spec: ContractSpec, symbol: str | None, options: dict[str, Any]) -> Bars:
    return load_bars(source, spec, symbol=symbol, **options)


def _contracts(spec: ContractSpec, sources: Any, symbols: Iterator[str | None], options: dict[str, Any]) -> list[Bars]:
    """The checked bars of each contract of a market."""
    if not sources:
        raise ValueError(f"{spec.symbol} has an empty list of contracts; give at least one")
    tables = list(sources.values()) if isinstance(sources, Mapping) else list(sources)
    names = labels(spec.symbol, sources)
    return [
        _load(table, dataclasses.replace(spec, symbol=name), next(symbols), options)
        for table, name in zip(tables, names, strict=True)
    ]


def _bar_rows(table: Bars) -> np.ndarray:
    """The packed row of each bar, int32 [T + 1, 8]; the last row twice, so that every bar has one behind it."""
    breaks = np.append(table.session[1:] != table.session[:-1], False)
    columns = [
        table.open,
        table.high,
        table.low,
        table.close,
        table.time,
        table.scheduled_close[table.session],
    ]
    columns += [2 * table.session + breaks, np.nan_to_num(table.atr.astype(np.float32)).view(np.int32)]
    rows = np.stack(columns, axis=1).astype(np.int32)
    return np.concatenate([rows, rows[-1:]])


def _feature_rows(table: Bars) -> np.ndarray:
    """Features and clock of each bar, float32 [T, F + 3]."""
    clock = [table.hour / 24, table.time, table.scheduled_close[table.session] - table.time]
    # What is missing gets a number: `first_finite_bar` keeps it out of all windows, and a NaN would stop `debug_nans`.
    features = np.where(np.isfinite(table.features), table.features, 0)
    return np.column_stack([features, *clock]).astype(np.float32)


def _session_rows(table: Bars) -> np.ndarray:
    """The packed row of each session, int32 [S, 6]."""
    ones = np.ones_like(table.session_start)
    columns = [
        table.session_start,
        table.session_end,
        table.scheduled_close,
        table.time[table.session_end - 1],
    ]
    columns += [table.first_decision_bar * ones, table.first_finite_bar * ones]
    return np.stack(columns, axis=1).astype(np.int32)


def _bar_at_minute(table: Bars) -> np.ndarray:
    """First bar at or after each minute of each session, int32 [S, 1441]."""
    key = table.session.astype(np.int64) * MINUTES + table.time
    return np.searchsorted(key, np.arange(len(table.session_date) * MINUTES)).astype(np.int32).reshape(-1, MINUTES)


def _stack(rows: list[np.ndarray]) -> Any:
    """Arrays of unequal first dimension -> one array, padded by repeating the last row."""
    length = max(len(array) for array in rows)
    return np.stack([np.concatenate([array, np.repeat(array[-1:], length - len(array), axis=0)]) for array in rows])


def _numbers(values: Any, dtype: Any = np.int32) -> Any:
    return np.asarray(values, dtype)


def _day(date: Any) -> int:
    """A date, or a text that begins with one in ISO's form -> days since 1970."""
    try:
        return int(np.datetime64(dt.date.fromisoformat(str(date)[:10]), "D").astype(np.int64))
    except ValueError as error:
        raise ValueError(f"{date!r} is not a date; write it like '2025-02-15'") from error
