"""A market's table -> checked bars: integer ticks, sessions, ATR, features (docs/rules.md, sections 1, 2 and 5).

`load_bars` reads a file or a DataFrame, collects everything that is wrong with it and refuses it once with
all of that in plain words; each thing can be allowed by name (`repair=`). What is odd but harmless is in
`Bars.report`.

Bars count where the market trades: in the sessions of the calendar, up to their scheduled close. A calendar
can err; then `repair="holiday_trading"` trusts the bars, but the scheduled closes stay the calendar's, and
a session whose bars stop before them is history and never ground for an episode. Nothing of this depends
on later bars, so cutting a table changes nothing before the cut.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.data import sessions
from trading_gymnax.data.checks import check_rows
from trading_gymnax.data.clocks import doubt_busy_minutes, place_stamps
from trading_gymnax.data.columns import RawTable, open_source, read_columns
from trading_gymnax.data.contracts import contract
from trading_gymnax.data.features import FeatureFn, build_features
from trading_gymnax.data.findings import REPAIRS, DataError, Finding, Findings, Report
from trading_gymnax.data.formats import title_of
from trading_gymnax.data.indicators import atr
from trading_gymnax.data.instruments import choose_instrument
from trading_gymnax.data.names import PRICES, check_columns
from trading_gymnax.data.notes import SessionTable, note_sessions, note_table
from trading_gymnax.data.rows import Rows
from trading_gymnax.data.spec import RTH as RTH  # where its users look for it
from trading_gymnax.data.spec import ContractSpec, check_switch
from trading_gymnax.data.stamps import Stamps
from trading_gymnax.text import count_text

__all__ = ["REPAIRS", "WARM_UP_BARS", "Bars", "DataError", "Finding", "Report", "load_bars"]

WARM_UP_BARS = 390
"""Bars at the start of a table that are never a decision bar (docs/rules.md, section 5.2)."""

_CAUSES = ("symbol", "market", "numbers", "columns", "timestamp", "timezone", "timestamps_mark", "bar_minutes")
"""Findings that make all that is told of sessions, holes and features of the table follow from them."""


@dataclasses.dataclass(frozen=True, eq=False)
class Bars:
    """One market's bars after checking: T bars, S sessions, F features. NumPy only."""

    spec: ContractSpec
    bar_minutes: int  # length of a bar
    close_time: np.ndarray  # UTC moment of the bar's close, datetime64[m] [T], strictly rising
    open: np.ndarray  # ticks, int32 [T]
    high: np.ndarray  # ticks, int32 [T]
    low: np.ndarray  # ticks, int32 [T]
    close: np.ndarray  # ticks, int32 [T]
    volume: np.ndarray  # float64 [T]; 0 where the source has none
    atr: np.ndarray  # ATR(14) in ticks, Wilder's, computed in float64, float32 [T]
    features: np.ndarray  # float32 [T, F]; finite from first_finite_bar on
    feature_names: tuple[str, ...]
    time: np.ndarray  # minutes from the session's start to the close of the bar, int32 [T], 1 to 1440
    hour: np.ndarray  # New York clock hour of the close, float32 [T], [0, 24)
    session: np.ndarray  # index of the bar's session, int32 [T]
    session_date: np.ndarray  # date that names the session, datetime64[D] [S]
    session_start: np.ndarray  # first bar of the session, int32 [S]
    session_end: np.ndarray  # one past its last bar, int32 [S]
    scheduled_close: np.ndarray  # calendar's close, minutes since the session's start, int32 [S]
    first_decision_bar: int  # the warm-up: no bar before it is a decision bar
    first_finite_bar: int  # from here on all features are finite
    rth: tuple[float, float]  # hours of the loader, New York clock
    report: Report  # what was found; `str(report)` is the page for a reader

    def __len__(self) -> int:
        return len(self.close)

    def __repr__(self) -> str:
        days = f", {self.session_date[0]} to {self.session_date[-1]}" if len(self.session_date) else ""
        bars, sessions = f"{len(self):,} {self.bar_minutes}-minute bars", count_text(len(self.session_date), "session")
        return f"Bars({self.spec.symbol}: {bars} in {sessions}{days})"


def load_bars(
    source: Any,
    market: str | ContractSpec,
    *,
    timezone: str | None = None,
    timestamps_mark: str | None = None,
    timestamp_format: str | None = None,
    bar_minutes: int | None = None,
    snap_to_tick: bool = False,
    repair: str | Iterable[str] = (),
    rth: tuple[float, float] = RTH,
    feature_columns: Sequence[str] | None = None,
    feature_fn: FeatureFn | None = None,
    symbol: str | None = None,
    columns: Mapping[str, str] | str | Sequence[str] = (),
) -> Bars:
    """Read a table of bars, check it and build sessions, ATR and features.

    Args:
        source: path of a CSV, JSON (gzip too) or parquet file, of a zip or a folder of such files that are one table,
            or a DataFrame. Columns are found by their usual names, in any case (`names.COLUMN_NAMES`), stamps also in
            the index.
        market: symbol of the contract table, or a ContractSpec.
        timezone: of stamps without an offset: "America/New_York", "UTC-5", or "New York+7" for the clock of brokers
            whose day ends with New York's. An offset in the stamps comes first.
        timestamps_mark: "start" or "end" of the bar. Default: what the vendor's layout fixes, else "start".
        timestamp_format: of text stamps, as for `datetime.strptime`, where it cannot be told from them.
        bar_minutes: length of a bar; default: the commonest step between two stamps.
        snap_to_tick: rounds prices off the tick to the nearest tick instead of refusing them.
        repair: names of `REPAIRS` that are allowed.
        rth: opening and closing hour, New York clock; a session is usable when it reaches the closing one.
        feature_columns: instead of the default features, columns of the source by name; close, volume, sma_5,
            sma_20, rsi, macd, momentum and atr (points) are computed where the source has none of that name.
        feature_fn: instead of the default features, a function of a frame with columns open, high, low, close
            (points) and volume, indexed by the bar's close in New York time; it returns a frame of as many
            rows. It is called a second time on a shorter frame, to see that it does not look ahead.
        symbol: which instrument of a table that holds several.
        columns: names of columns that are called unusually, {"close": "Settle", "timestamp": "Zeit"} or
            "close=Settle,timestamp=Zeit"; fields are those of `names.FIELDS`.

    Raises:
        FileNotFoundError: there is no such file.
        DataError: everything that is wrong with the table, at once (a ValueError).
        ValueError: an argument that cannot be, and a contract whose tick is no whole number of cents.
    """
    spec = contract(market)
    _ = spec.tick_value_cents
    _check_options(spec, timestamps_mark, bar_minutes, rth, feature_columns, feature_fn)
    _check_reading(timestamp_format, snap_to_tick, symbol)
    findings = Findings(f"{title_of(source)} as {spec.symbol}", repair)
    findings.repair |= {"off_tick"} if snap_to_tick else set()
    reading = (timezone, timestamps_mark, timestamp_format, symbol, check_columns(columns))
    return _build(
        _read(source, spec, findings, *reading), spec, findings, bar_minutes, rth, feature_columns, feature_fn
    )


def _build(
    read: tuple[RawTable, Stamps | None, bool],
    spec: ContractSpec,
    findings: Findings,
    bar_minutes: int | None,
    rth: tuple[float, float],
    feature_columns: Sequence[str] | None,
    feature_fn: FeatureFn | None,
) -> Bars:
    """Checked bars, sessions, ATR and features of a table that was read; raises DataError with all that is wrong."""
    table, stamps, mark_is_end = read
    rows, minutes = check_rows(table, stamps, spec, findings, bar_minutes, mark_is_end)
    summary = [f"{count_text(len(table), 'row')}: {stamps.note}" if stamps else "no time stamps that can be used"]
    if len(rows) == 0:
        _refuse_nothing_left(findings)
    if len(rows) == 0 or minutes is None or table.prices is None or findings.has(*_CAUSES):
        raise DataError(findings.report(summary))
    summary.append(f"{minutes}-minute bars, stamped at their {'end' if mark_is_end else 'start'}")
    day = SessionTable.of(rows, spec)
    ticks = pd.DataFrame(rows.ticks.astype(np.float64), columns=list(PRICES)).assign(volume=rows.volume)
    features = build_features(ticks, rows, table, spec, findings, feature_columns, feature_fn)
    doubt_busy_minutes(rows, table.clock, spec, findings, minutes)
    note_table(rows, day, spec, findings, minutes, mark_is_end)
    first_decision_bar = max(WARM_UP_BARS, features[2])
    unusable = note_sessions(rows, day, spec, findings, minutes, rth, first_decision_bar)
    summary += _summary(rows, day, len(unusable))
    report = findings.report(summary, unusable)
    if report.refused:
        raise DataError(report)
    return _assemble(rows, day, ticks, features, spec, minutes, rth, report)


def _check_reading(timestamp_format: object, snap_to_tick: object, symbol: object) -> None:
    if timestamp_format is not None and not isinstance(timestamp_format, str):
        raise ValueError(f"timestamp_format must be a text such as '%Y-%m-%d %H:%M', got {timestamp_format!r}")
    check_switch("snap_to_tick", snap_to_tick)
    if symbol is not None and (not isinstance(symbol, str) or not symbol.strip()):
        raise ValueError(f"symbol is the name of one instrument of the table, 'ESM5' say, got {symbol!r}")


def _read(
    source: Any,
    spec: ContractSpec,
    findings: Findings,
    timezone: str | None,
    timestamps_mark: str | None,
    timestamp_format: str | None,
    symbol: str | None,
    columns: dict[str, str],
) -> tuple[RawTable, Stamps | None, bool]:
    """The table of one instrument, its stamps, and whether they mark the end; DataError where there is no table."""
    opened = open_source(source, findings)
    chosen = None if opened is None else choose_instrument(opened, spec, symbol, columns, findings)
    if chosen is None:
        raise DataError(findings.report())
    table = read_columns(chosen, findings, spec, timestamp_format, columns)
    return table, *place_stamps(table, timezone, timestamps_mark, spec, findings)


def _refuse_nothing_left(findings: Findings) -> None:
    """All repairs together leave no bar: then none of them is a way to load the table."""
    if findings.refused:
        findings.offer_no_repair()
    else:
        findings.refuse("source", "no bar is left")


def _assemble(
    rows: Rows,
    day: SessionTable,
    ticks: pd.DataFrame,
    features: tuple[np.ndarray, tuple[str, ...], int],
    spec: ContractSpec,
    bar_minutes: int,
    rth: tuple[float, float],
    report: Report,
) -> Bars:
    opening, high, low, close = (np.ascontiguousarray(column) for column in rows.ticks.T)
    clock = (rows.time + spec.session_start_minute) % sessions.MINUTES_PER_DAY
    values, names, first_finite_bar = features
    return Bars(
        spec=spec,
        bar_minutes=bar_minutes,
        close_time=rows.close_minute.astype("datetime64[m]"),
        open=opening,
        high=high,
        low=low,
        close=close,
        volume=rows.volume,
        atr=atr(ticks).to_numpy(np.float32),
        features=values,
        feature_names=names,
        time=rows.time,
        hour=(clock / 60.0).astype(np.float32),
        session=day.session,
        session_date=day.date,
        session_start=day.start,
        session_end=day.end,
        scheduled_close=day.scheduled_close,
        first_decision_bar=WARM_UP_BARS,
        first_finite_bar=first_finite_bar,
        rth=(float(rth[0]), float(rth[1])),
        report=report,
    )


def _check_options(
    spec: ContractSpec,
    timestamps_mark: str | None,
    bar_minutes: int | None,
    rth: tuple[float, float],
    feature_columns: Sequence[str] | None,
    feature_fn: FeatureFn | None,
) -> None:
    if timestamps_mark not in (None, "start", "end"):
        raise ValueError(f"timestamps_mark must be 'start' or 'end' of the bar, got {timestamps_mark!r}")
    whole = isinstance(bar_minutes, (int, np.integer)) and not isinstance(bar_minutes, bool)
    if bar_minutes is not None and (not whole or not 1 <= bar_minutes <= 1440):
        raise ValueError(f"bar_minutes must be a whole number of minutes from 1 to 1440, got {bar_minutes!r}")
    try:
        hours = [float(hour) for hour in rth]
    except (TypeError, ValueError):
        hours = []
    if len(hours) != 2 or not all(math.isfinite(hour) and 0 <= hour <= 24 for hour in hours):
        raise ValueError(f"rth must be two New York clock hours from 0 to 24, (9.5, 16) say, got {rth!r}")
    opening, closing = sessions.rth_minutes((hours[0], hours[1]), spec)
    if opening >= closing:
        start = spec.session_start
        raise ValueError(f"rth must open before it closes, in a session from {start} on, got {rth!r}")
    if feature_columns is not None and feature_fn is not None:
        raise ValueError("give feature_columns or feature_fn, not both")
    if feature_fn is not None and not callable(feature_fn):
        raise ValueError(f"feature_fn must be a function of a frame of bars, got {feature_fn!r}")
    if isinstance(feature_columns, str):
        raise ValueError(f"feature_columns must be a list of names, got the text {feature_columns!r}")


def _summary(rows: Rows, day: SessionTable, unusable: int) -> list[str]:
    sessions_text = count_text(len(day.date), "session")
    usable = count_text(len(day.date) - unusable, "session")
    return [
        f"{count_text(len(rows), 'bar')} in {sessions_text}, {day.date[0]} to {day.date[-1]}",
        f"{usable} in which an episode can start",
    ]
