"""Look-ahead audit of a feature function: cut the table at many bars, rebuild, and see which columns change.

A feature that uses later bars has, at the last bars before a cut, another value than on the whole table. The values
are compared bit for bit, NaN with NaN: what changes by rounding alone depends on later bars as well, and the largest
change of each column is told so that it can be recognised.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.data.features import FeatureFn, call_feature_fn
from trading_gymnax.data.findings import Findings
from trading_gymnax.data.loader import load_bars
from trading_gymnax.data.spec import ContractSpec
from trading_gymnax.text import count_text, did_you_mean

LEAST_BARS = 390  # kept by the shortest cut of a long table: features may need some bars to begin with
_AROUND = (-1, 0, 1)  # bars kept beyond the last bar of a session
_BORDER_SHARE = 1 / 2  # of the cuts, at most


@dataclasses.dataclass(frozen=True)
class Change:
    """A column that looks ahead."""

    column: str
    bar: int  # first bar at which any cut changed it, counted from 0
    time: Any  # its label in the table's index: the close of the bar, New York time
    cut: int  # bars that the cut kept that showed it
    cut_time: Any  # label of the last of them
    cuts: int  # how many of the cuts changed it
    bars_ahead: int  # it looks at least so many bars ahead
    largest: float  # largest change of a value; inf where a number became NaN or the other way round

    def __str__(self) -> str:
        size = "from a number to NaN or back" if math.isinf(self.largest) else f"by up to {self.largest:.3g}"
        return (
            f"{self.column}: bar {self.bar:,} ({self.time}) changes when the bars after number {self.cut - 1:,} "
            f"({self.cut_time}) are cut off; {count_text(self.cuts, 'cut')} changed it, {size}, and it looks at least "
            f"{count_text(self.bars_ahead, 'bar')} ahead"
        )


@dataclasses.dataclass(frozen=True)
class Audit:
    """What the cuts showed; `str(audit)` is the page for a reader."""

    bars: int  # of the whole table
    cuts: tuple[int, ...]  # bars kept by each cut, rising
    columns: tuple[str, ...]  # all that the function makes
    changed: tuple[Change, ...]  # those that look ahead, in the order of the columns

    @property
    def passed(self) -> bool:
        """Whether no column looks ahead."""
        return not self.changed

    def __str__(self) -> str:
        cuts = count_text(len(self.cuts), "cut")
        if self.passed:
            return f"no column changes when later bars are cut off ({cuts})"
        head = f"{len(self.changed)} of {count_text(len(self.columns), 'column')} look ahead ({cuts}):"
        return "\n".join([head, *(f"  {change}" for change in self.changed)])


def audit_features(make: FeatureFn, table: pd.DataFrame, cuts: int | Sequence[int] = 50) -> Audit:
    """Rebuild features from the first bars of a table only, at many cuts, and compare with the whole.

    Args:
        make: function of a frame, as `load_bars(feature_fn=...)` takes it.
        table: what such a function gets: open, high, low, close (points) and volume, indexed by the bar's close.
        cuts: how many cuts, spread over the table and around the ends of its sessions; or how many bars each keeps.

    Raises:
        ValueError: impossible cuts, or a function that raises, returns something else than a number for every bar, has
            other columns for a shorter table, or gives other values when it is called twice.
    """
    bars = len(table)
    kept = _chosen_cuts(table.index, cuts) if isinstance(cuts, int | np.integer) else sorted(set(map(int, cuts)))
    if not kept or kept[0] < 1 or kept[-1] >= bars:
        raise ValueError(f"a cut keeps at least one of the {bars:,} bars and leaves one out; got {list(kept)[:5]}")
    whole = _build(make, table)
    _refuse_chance(whole, _build(make, table))
    names = [str(name) for name in whole.columns]
    values = whole.to_numpy()
    first, showed, count = np.full(len(names), bars), np.zeros(len(names), int), np.zeros(len(names), int)
    ahead, largest = np.zeros(len(names), int), np.zeros(len(names))
    for cut in kept:
        part = _build(make, table.iloc[:cut])
        if [str(name) for name in part.columns] != names:
            raise ValueError(f"{_name(make)} returns other columns for the first {cut:,} bars than for all {bars:,}")
        differs = _differs(values[:cut], part.to_numpy())
        changed = differs.any(axis=0)
        bar = np.where(changed, differs.argmax(axis=0), bars)
        count += changed
        ahead = np.maximum(ahead, np.where(changed, cut - bar, 0))
        largest = np.maximum(largest, _largest(values[:cut], part.to_numpy(), differs))
        showed = np.where(bar < first, cut, showed)
        first = np.minimum(first, bar)
    found = [
        Change(
            column=names[k],
            bar=int(first[k]),
            time=table.index[first[k]],
            cut=int(showed[k]),
            cut_time=table.index[showed[k] - 1],
            cuts=int(count[k]),
            bars_ahead=int(ahead[k]),
            largest=float(largest[k]),
        )
        for k in np.flatnonzero(count)
    ]
    return Audit(bars, tuple(kept), tuple(names), tuple(found))


def feature_table(source: Any, market: str | ContractSpec, **options: Any) -> pd.DataFrame:
    """The frame that a feature function gets of a file: checked bars, prices in points, by New York time of the close.

    Options are those of `load_bars`. Raises as it does.
    """
    seen: list[pd.DataFrame] = []

    def keep(frame: pd.DataFrame) -> pd.DataFrame:
        seen.append(frame)
        return frame[["close"]]

    load_bars(source, market, feature_fn=keep, **options)
    return seen[0]


def load_function(text: str) -> Any:
    """The function that "FILE.py:function" names, from that very file.

    Raises FileNotFoundError for a missing file and ValueError for all else, each with the nearest name there is.
    """
    file, colon, name = text.rpartition(":")
    if not colon or not file or not name:
        raise ValueError(f"{text!r} is not of the form FILE.py:function")
    path = pathlib.Path(file)
    if not path.is_file():
        there = [x.name for x in path.parent.glob("*.py")] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, there)
        raise FileNotFoundError(f"there is no file {path}" + f": {hint}" * bool(hint))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path} cannot be imported: {_what(error)}") from error
    made = getattr(module, name, None)
    if not callable(made):
        functions = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        hint = did_you_mean(name, functions, f"there are {', '.join(functions) or 'none at all'}")
        raise ValueError(f"{path} has no function {name!r}: {hint}")
    return made


def _chosen_cuts(index: pd.Index, count: int) -> list[int]:
    """So many cuts: some around the ends of sessions, where the stamps leave a gap, the others at odd bars between."""
    bars = len(index)
    lowest = min(LEAST_BARS, bars // 2)
    if not 1 <= count < bars:
        raise ValueError(f"{count:,} cuts of a table of {bars:,} bars cannot be: give from 1 to {max(bars - 1, 1):,}")
    ends = np.flatnonzero(_gaps(index)) + 1  # bars up to the end of a session
    ends = ends[(ends + _AROUND[0] >= max(lowest, 1)) & (ends + _AROUND[-1] < bars)]
    wanted = min(len(ends), int(count * _BORDER_SHARE) // len(_AROUND))
    places = ends[np.linspace(0, len(ends) - 1, wanted).round().astype(int)] if wanted else np.zeros(0, int)
    chosen = {int(end) + shift for end in places for shift in _AROUND}
    # One bar of each stretch, by a fixed draw: evenly spaced ones could all fall on full hours.
    edges = np.linspace(max(lowest, 1), bars, count - len(chosen) + 1)
    draws = np.random.default_rng(0).random(count - len(chosen))
    chosen |= {min(int(edge), bars - 1) for edge in edges[:-1] + draws * np.diff(edges)}
    return sorted(chosen)


def _gaps(index: pd.Index) -> np.ndarray:
    """Where the step to the next stamp is longer than the commonest one, bool [T - 1]; nowhere without stamps."""
    if not isinstance(index, pd.DatetimeIndex):
        return np.zeros(len(index) - 1, bool)
    steps = np.diff(index.asi8)
    lengths, counts = np.unique(steps, return_counts=True)
    return steps > lengths[counts.argmax()]


def _build(make: FeatureFn, table: pd.DataFrame) -> pd.DataFrame:
    """The function's columns as float64. Raises ValueError of one sentence for what is no feature function."""
    findings = Findings("features")
    try:
        values = call_feature_fn(table, make, findings)
    except Exception as error:
        raise ValueError(f"{_name(make)} fails on the first {len(table):,} bars: {_what(error)}") from error
    if values is None:
        said = "; ".join(finding.text for finding in findings.items).replace("feature_fn", _name(make))
        raise ValueError(f"{said} (the first {len(table):,} bars)")
    if not values.columns.is_unique:
        raise ValueError(f"{_name(make)} returns two columns of one name: {', '.join(map(str, values.columns))}")
    return values


def _refuse_chance(once: pd.DataFrame, twice: pd.DataFrame) -> None:
    same_columns = list(once.columns) == list(twice.columns)
    if same_columns and not _differs(once.to_numpy(), twice.to_numpy()).any():
        return
    what = "other columns"
    if same_columns:
        differs = _differs(once.to_numpy(), twice.to_numpy()).any(axis=0)
        what = "other values of " + ", ".join(str(name) for name in once.columns[differs])
    raise ValueError(
        f"the same table gives {what} when the features are built a second time: that is chance and not look-ahead; "
        "give random numbers a fixed seed"
    )


def _differs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where two float64 arrays have other bits; any NaN equals any NaN."""
    return (one.view(np.int64) != other.view(np.int64)) & ~(np.isnan(one) & np.isnan(other))


def _largest(one: np.ndarray, other: np.ndarray, differs: np.ndarray) -> np.ndarray:
    """Largest absolute change of each column [F]; inf where NaN or an infinity came or went."""
    with np.errstate(invalid="ignore"):
        change = np.abs(one - other)
    change = np.where(np.isnan(change), np.inf, change)
    return np.where(differs, change, 0.0).max(axis=0, initial=0.0)


def _name(make: Any) -> str:
    return str(getattr(make, "__name__", "the feature function"))


def _what(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
