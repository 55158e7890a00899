"""Which column is what: stamps, prices and volume of a frame by their names, as plain arrays."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.data.findings import Findings
from trading_gymnax.data.formats import PRICES, STAMP_NAMES, UnreadableError, normal_name, open_table, plain_text
from trading_gymnax.data.stamps import StampError, Stamps, parse_stamps

_ALIASES: dict[str, tuple[str, ...]] = {
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c", "last", "close/last"),
    "volume": ("volume", "vol", "v", "tickvol", "tick_volume"),
}


@dataclasses.dataclass(frozen=True)
class RawTable:
    """A table as its source has it: N rows in its order, nothing dropped or rounded."""

    frame: pd.DataFrame  # all columns of the source
    names: tuple[str, ...]  # their names as they are looked up, by position
    position: dict[str, int]  # of open, high, low, close, volume among them, where there
    stamps: Stamps | None  # None where they cannot be read; the findings say why
    prices: np.ndarray | None  # float64 [N, 4]: open, high, low, close; NaN where there is no number
    volume: np.ndarray | None  # float64 [N]; None where the source has no volume
    ninjatrader: bool  # NinjaTrader's own layout: its stamps are UTC and mark the end of a bar

    def __len__(self) -> int:
        return len(self.frame)

    def missing_value(self, row: int) -> str:
        """What stands where a number is missing in a row: "high='n/a'"; "" for a missing stamp."""
        for name, at in self.position.items():
            if not np.isfinite(numbers(self.frame.iloc[row : row + 1, at])[0]):
                value = self.frame.iloc[row, at]
                return f"{name}={value!r}" if isinstance(value, str) else f"{name}={value}"
        return ""


def read_table(source: Any, findings: Findings, timezone: str | None, timestamp_format: str | None) -> RawTable | None:
    """Read a path or a DataFrame; what is wrong with its shape goes to `findings`. None: there is no table.

    Raises FileNotFoundError for a missing file, and nothing else.
    """
    try:
        frame, ninjatrader = open_table(source)
    except UnreadableError as error:
        findings.refuse("source", str(error))
        return None
    if len(frame) == 0:
        findings.refuse("source", "the table has no rows")
        return None
    names = tuple(normal_name(name) for name in frame.columns)
    position = _find_columns(names, findings)
    prices = None
    if all(name in position for name in PRICES):
        prices = np.stack([numbers(frame.iloc[:, position[name]]) for name in PRICES], axis=1)
    volume = numbers(frame.iloc[:, position["volume"]]) if "volume" in position else None
    if volume is None or (np.isnan(volume).all() and _is_empty(frame.iloc[:, position["volume"]])):
        what = "there is no volume column" if volume is None else "the volume column is empty"
        findings.note("volume", f"{what}: volumes are 0, and so is the volume feature")
        volume = None
    stamps = None
    try:
        stamps = parse_stamps(_stamp_column(frame, names), timezone, timestamp_format, ninjatrader)
    except StampError as error:
        findings.refuse("timestamp", str(error))
    return RawTable(frame, names, position, stamps, prices, volume, ninjatrader)


def numbers(column: pd.Series) -> np.ndarray:
    """A column as float64 [N]; NaN for what is no finite number."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    dtype = column.dtype
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        values = column.to_numpy(np.float64, na_value=np.nan)
    elif pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
        text = column.astype("object").map(plain_text, na_action="ignore")  # numbers among text, Decimal
        values = pd.to_numeric(text, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    else:  # dates, intervals, complex numbers
        values = np.full(len(column), np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def _is_empty(column: pd.Series) -> bool:
    """Whether a column without a number holds nothing at all; "1.5K" is no number, and is not nothing."""
    return not column.dropna().astype("object").map(plain_text).str.strip().astype(bool).any()


def _find_columns(names: tuple[str, ...], findings: Findings) -> dict[str, int]:
    """Positions of the columns; what is missing, or there twice, goes to the findings."""
    position: dict[str, int] = {}
    missing = []
    for wanted, aliases in _ALIASES.items():
        name = next((alias for alias in aliases if alias in names), None)
        if name is None:
            missing += [wanted] if wanted in PRICES else []
        elif names.count(name) > 1:
            findings.refuse("columns", f"{names.count(name)} columns are called {name!r}: which one is meant?")
        else:
            position[wanted] = names.index(name)
    if missing:
        listed = ", ".join(repr(name) for name in names[:12]) + (", ..." if len(names) > 12 else "")
        text = f"no column {', '.join(missing)}: the table has {listed or 'no columns'}"
        findings.refuse("columns", text, len(missing))
    return position


def _stamp_column(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    """The column or the index that holds the stamps; halves, date and time, are put together."""
    if isinstance(frame.index, pd.MultiIndex):
        raise StampError("the index has several levels: pass the rows of one market, stamps in a column")
    index = pd.Series(frame.index)
    if isinstance(frame.index, pd.DatetimeIndex):
        return index
    if "date" in names and "time" in names and not {"timestamp", "datetime"} & set(names):
        return _date_and_time(_only(frame, names, "date"), _only(frame, names, "time"))
    for name in STAMP_NAMES:
        if name in names:
            return _only(frame, names, name)
    if normal_name(frame.index.name) in STAMP_NAMES or not pd.api.types.is_numeric_dtype(index.dtype):
        return index
    raise StampError("no column timestamp, datetime, time or date, and the index holds no time stamps")


def _only(frame: pd.DataFrame, names: tuple[str, ...], name: str) -> pd.Series:
    if names.count(name) > 1:
        raise StampError(f"{names.count(name)} columns are called {name!r}: which one is meant?")
    return frame.iloc[:, names.index(name)].reset_index(drop=True)


def _date_and_time(date: pd.Series, time: pd.Series) -> pd.Series:
    """Text "date time" when the two columns are the halves of a stamp; else the one that is whole."""
    if isinstance(date.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(date.dtype):
        if (date.dropna() != date.dropna().dt.normalize()).any():
            return date
        date = date.dt.strftime("%Y-%m-%d")
    days, clocks = (half.astype("object").map(plain_text, na_action="ignore").astype("str") for half in (date, time))
    clocks = clocks.str.strip()
    if days.str.contains(":", regex=False).mean() > 0.5:
        return date
    if clocks.str.fullmatch(r"\d{1,6}").mean() > 0.5:  # 93000 for 09:30:00
        width = 6 if clocks.str.len().max() > 4 else 4
        padded = clocks.str.zfill(width)
        seconds = ":" + padded.str[4:6] if width == 6 else ""
        clocks = padded.str[:2] + ":" + padded.str[2:4] + seconds
    elif clocks.str.fullmatch(r"\d{1,2}:\d\d.*").mean() <= 0.5:
        return time
    return days.str.strip() + " " + clocks
