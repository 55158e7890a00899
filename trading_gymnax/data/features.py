"""Which features a market gets: the default ones, named columns, or those of a user's function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from trading_gymnax.data import sessions
from trading_gymnax.data.columns import RawTable
from trading_gymnax.data.findings import Findings
from trading_gymnax.data.indicators import DEFAULT_FEATURES, NAMED_FEATURES, default_features
from trading_gymnax.data.names import PRICES
from trading_gymnax.data.rows import Rows
from trading_gymnax.data.spec import ContractSpec
from trading_gymnax.text import count_text, did_you_mean

FeatureFn = Callable[[pd.DataFrame], pd.DataFrame]


def build_features(
    ticks: pd.DataFrame,
    rows: Rows,
    table: RawTable,
    spec: ContractSpec,
    findings: Findings,
    feature_columns: Sequence[str] | None,
    feature_fn: FeatureFn | None,
) -> tuple[np.ndarray, tuple[str, ...], int]:
    """Features (float32 [T, F]), their names, and the first bar from which on all of them are finite."""
    values: pd.DataFrame | None
    if feature_fn is not None:
        values = _from_function(points_frame(ticks, rows.close_minute, spec), feature_fn, findings)
    elif feature_columns is not None:
        values = _from_columns(points_frame(ticks, rows.close_minute, spec), rows, table, feature_columns, findings)
    else:
        values = default_features(ticks)
    if values is None:
        return np.zeros((len(rows), 0), np.float32), (), 0
    with np.errstate(over="ignore"):  # too large for float32: infinite, and refused as such
        features = values.to_numpy(np.float64, na_value=np.nan).astype(np.float32)
    names = tuple(str(name) for name in values.columns)
    return features, names, _first_finite(features, names, rows, findings)


def points_frame(ticks: pd.DataFrame, close_minute: np.ndarray, spec: ContractSpec) -> pd.DataFrame:
    """What a feature function gets: prices in points, and volume, by New York time of the close (UTC minutes, [T])."""
    per_point = round(1.0 / spec.tick_size)
    divides = per_point > 0 and abs(per_point * spec.tick_size - 1.0) < 1e-9
    prices = ticks[list(PRICES)]
    frame = prices / per_point if divides else prices * spec.tick_size  # 63.57 and not 63.570000000000004
    index = pd.DatetimeIndex(close_minute.astype("datetime64[m]").astype("datetime64[s]"), name="close_time")
    return frame.assign(volume=ticks["volume"]).set_index(index.tz_localize("UTC").tz_convert(sessions.NEW_YORK))


def _from_columns(
    frame: pd.DataFrame, rows: Rows, table: RawTable, wanted: Sequence[str], findings: Findings
) -> pd.DataFrame | None:
    """Columns of the source by name, exact or in any case; computed where it has none of that name."""
    columns: dict[str, np.ndarray] = {}
    problems = [] if len(wanted) else ["feature_columns is empty: name at least one column"]
    exact = [str(name) for name in table.frame.columns]
    for name in map(str, wanted):
        lower = name.strip().lower()
        names, key = (exact, name) if name in exact else (list(table.names), lower)
        if name in columns:
            problems.append(f"feature_columns has {name!r} twice")
        elif lower in (*PRICES, "volume"):  # as the rules see them: on the tick
            columns[name] = frame[lower].to_numpy()
        elif names.count(key) > 1:
            problems.append(f"{names.count(key)} columns are called {key!r}: which one is meant?")
        elif key in names:
            columns[name] = table.numbers(names.index(key))[rows.row]
            if lower in NAMED_FEATURES:
                findings.note("feature_columns", f"feature {name!r} is the table's own column, not computed")
        elif lower in NAMED_FEATURES:
            columns[name] = NAMED_FEATURES[lower](frame).to_numpy()
        else:
            otherwise = f"computed by name are {', '.join(NAMED_FEATURES)}"
            hint = did_you_mean(lower, [*table.names, *NAMED_FEATURES], otherwise, cutoff=0.6)
            problems.append(f"the table has no column {name!r}: {hint}")
    for problem in problems:
        findings.refuse("feature_columns", problem)
    return None if problems else pd.DataFrame(columns)


def _from_function(frame: pd.DataFrame, feature_fn: FeatureFn, findings: Findings) -> pd.DataFrame | None:
    """The user's features, computed once more on a shorter table to catch what looks ahead."""
    values = call_feature_fn(frame, feature_fn, findings)
    cut = len(frame) * 2 // 3
    if values is None or cut == 0:
        return values
    again = call_feature_fn(frame.iloc[:cut], feature_fn, findings)
    if again is None:
        return None
    if list(again.columns) != list(values.columns):
        findings.refuse("feature_fn", "feature_fn returns other columns for a shorter table")
        return None
    same = np.isclose(again.to_numpy(), values.to_numpy()[:cut], rtol=1e-5, atol=1e-8, equal_nan=True)
    if not same.all():
        changed = ", ".join(str(name) for name, good in zip(values, same.all(axis=0), strict=True) if not good)
        count = int((~same.all(axis=1)).sum())
        text = (
            f"feature_fn looks ahead: without the bars after number {cut:,} it gives other values of "
            f"{changed} on {count_text(count, 'earlier bar')}"
        )
        findings.repairable("look_ahead", text, count, "kept; results will be too good")
    return values


def call_feature_fn(frame: pd.DataFrame, feature_fn: FeatureFn, findings: Findings) -> pd.DataFrame | None:
    """A user's features of a frame as float64; None for what is none, and the findings say why."""
    values = feature_fn(frame.copy())
    if not isinstance(values, pd.DataFrame) or len(values) != len(frame) or values.shape[1] == 0:
        got = f"a frame of shape {values.shape}" if isinstance(values, pd.DataFrame) else type(values).__name__
        text = f"feature_fn must return a DataFrame with a row for each of the {len(frame):,} bars, got {got}"
        findings.refuse("feature_fn", text)
        return None
    if not isinstance(values.index, pd.RangeIndex) and not values.index.equals(frame.index):
        findings.refuse("feature_fn", "feature_fn must return the bars in their order, under the index it got")
        return None
    try:
        floats = values.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        findings.refuse("feature_fn", "feature_fn must return nothing but numbers")
        return None
    return pd.DataFrame(floats, columns=values.columns)


def _first_finite(features: np.ndarray, names: tuple[str, ...], rows: Rows, findings: Findings) -> int:
    """Bars before it may be NaN, as a feature warms up; bars after it may not."""
    finite = np.isfinite(features)
    never = ~finite.any(axis=0)
    if never.any():
        if names != DEFAULT_FEATURES:  # the default ones only need more bars
            empty = ", ".join(name for name, bad in zip(names, never, strict=True) if bad)
            findings.refuse("features", f"feature {empty} is a finite number on no bar")
            return 0
        return len(features)
    first = np.argmax(finite, axis=0)
    later = ~finite & (np.arange(len(features))[:, None] >= first)
    for name, column in zip(names, later.T, strict=True):
        if column.any():
            count = int(column.sum())
            text = (
                f"feature {name} is not finite on {count_text(count, 'bar')} after its first value "
                f"({rows.examples(column)}): fill these in, or leave it out"
            )
            findings.refuse("features", text, count)
    return int(first.max())
