"""Which features a market gets: the default ones, named columns, or those of a user's function."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax import sessions
from trading_gymnax.contracts import ContractSpec
from trading_gymnax.data_checks import Rows
from trading_gymnax.data_report import Findings, count_text
from trading_gymnax.features import DEFAULT_FEATURES, NAMED_FEATURES, default_features
from trading_gymnax.formats import RawTable

FeatureFn = Callable[[pd.DataFrame], pd.DataFrame]
_NO_FEATURES = (np.zeros((0, 0), np.float32), (), 0)


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
    if feature_fn is not None:
        values = _from_function(points_frame(ticks, rows, spec), feature_fn, findings)
    elif feature_columns is not None:
        values = _from_columns(points_frame(ticks, rows, spec), rows, table, feature_columns, findings)
    else:
        values = default_features(ticks)
    if values is None:
        return _NO_FEATURES
    with np.errstate(over="ignore"):  # too large for float32: infinite, and refused as such
        features = values.to_numpy(np.float64, na_value=np.nan).astype(np.float32)
    names = tuple(str(name) for name in values.columns)
    return features, names, _first_finite(features, names, rows, findings)


def points_frame(ticks: pd.DataFrame, rows: Rows, spec: ContractSpec) -> pd.DataFrame:
    """What a feature function gets: open, high, low, close in points and volume, by New York time of the close."""
    per_point = round(1.0 / spec.tick_size)
    whole = per_point > 0 and abs(per_point * spec.tick_size - 1.0) < 1e-9
    prices = ticks[["open", "high", "low", "close"]]
    frame = prices / per_point if whole else prices * spec.tick_size  # 63.57 and not 63.570000000000004
    index = pd.DatetimeIndex(
        rows.close_minute.astype("datetime64[m]").astype("datetime64[s]"), name="close_time"
    )
    return frame.assign(volume=ticks["volume"]).set_index(
        index.tz_localize("UTC").tz_convert(sessions.NEW_YORK)
    )


def _from_columns(
    frame: pd.DataFrame, rows: Rows, table: RawTable, wanted: Sequence[str], findings: Findings
) -> pd.DataFrame | None:
    columns: dict[str, Any] = {}
    exact = [str(name) for name in table.frame.columns]
    own = ("open", "high", "low", "close", "volume")
    for name in wanted:
        lower = str(name).strip().lower()
        names, key = (exact, str(name)) if str(name) in exact else (list(table.names), lower)
        if lower in own:  # as the rules see them: on the tick
            columns[str(name)] = frame[lower].to_numpy()
        elif names.count(key) > 1:
            findings.refuse(
                "feature_columns", f"{names.count(key)} columns are called {key!r}: which one is meant?"
            )
        elif key in names:
            column = pd.to_numeric(table.frame.iloc[:, names.index(key)], errors="coerce")
            columns[str(name)] = column.to_numpy(np.float64, na_value=np.nan)[rows.row]
        elif lower in NAMED_FEATURES:
            columns[str(name)] = NAMED_FEATURES[lower](frame).to_numpy()
        else:
            near = difflib.get_close_matches(lower, [*table.names, *NAMED_FEATURES], n=1)
            hint = (
                f"did you mean {near[0]!r}?" if near else f"computed by name are {', '.join(NAMED_FEATURES)}"
            )
            findings.refuse("feature_columns", f"the table has no column {str(name)!r}: {hint}")
    if len(columns) < len(wanted):
        if not findings.report().refused:
            findings.refuse("feature_columns", "feature_columns names a column twice")
        return None
    if not columns:
        findings.refuse("feature_columns", "feature_columns is empty: name at least one column")
        return None
    return pd.DataFrame(columns)


def _from_function(frame: pd.DataFrame, feature_fn: FeatureFn, findings: Findings) -> pd.DataFrame | None:
    """The user's features, computed once more on a shorter table to catch what looks ahead."""
    values = _call(frame, feature_fn, findings)
    if values is None:
        return None
    cut = len(frame) * 2 // 3
    again = _call(frame.iloc[:cut], feature_fn, findings) if cut else None
    if again is None:
        return values
    if list(again.columns) != list(values.columns):
        findings.refuse("feature_fn", "feature_fn returns other columns for a shorter table")
        return values
    same = np.isclose(again.to_numpy(), values.to_numpy()[:cut], rtol=1e-5, atol=1e-8, equal_nan=True)
    changed = [str(name) for name, good in zip(values.columns, same.all(axis=0), strict=True) if not good]
    if changed:
        count = int((~same.all(axis=1)).sum())
        text = (
            f"feature_fn looks ahead: cutting the table after bar {cut:,} changes {', '.join(changed)} on "
            f"{count_text(count, 'earlier bar')}"
        )
        findings.repairable("look_ahead", text, count, "kept, a policy will know the future")
    return values


def _call(frame: pd.DataFrame, feature_fn: FeatureFn, findings: Findings) -> pd.DataFrame | None:
    values = feature_fn(frame.copy())
    if not isinstance(values, pd.DataFrame) or len(values) != len(frame) or values.shape[1] == 0:
        shape = (
            f"a frame of shape {values.shape}" if isinstance(values, pd.DataFrame) else type(values).__name__
        )
        text = (
            f"feature_fn must return a DataFrame with a row for each of the {len(frame):,} bars, got {shape}"
        )
        findings.refuse("feature_fn", text)
        return None
    if not isinstance(values.index, pd.RangeIndex) and not values.index.equals(frame.index):
        findings.refuse(
            "feature_fn", "feature_fn must return the bars in their order, under the index that it got"
        )
        return None
    try:
        numbers = values.to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        findings.refuse("feature_fn", "feature_fn must return numbers only")
        return None
    return pd.DataFrame(numbers, columns=values.columns)


def _first_finite(features: np.ndarray, names: tuple[str, ...], rows: Rows, findings: Findings) -> int:
    """Bars before it may be NaN (a feature warms up), bars after it may not."""
    finite = np.isfinite(features)
    if not finite.any(axis=0).all():
        empty = [name for name, good in zip(names, finite.any(axis=0), strict=True) if not good]
        if names == DEFAULT_FEATURES:  # a table of fewer bars than the longest formula needs
            return len(features)
        findings.refuse("features", f"no value of feature {', '.join(empty)} is a finite number")
        return len(features)
    first = np.argmax(finite, axis=0)
    start = int(first.max())
    later = ~finite & (np.arange(len(features))[:, None] >= first)
    for name, column in zip(names, later.T, strict=True):
        if column.any():
            findings.refuse(
                "features",
                f"feature {name} is not finite on {count_text(int(column.sum()), 'bar')} after its first value "
                f"({rows.examples(column)}): fill them, or leave it out",
                int(column.sum()),
            )
    return start
