"""Files and DataFrames in the shapes that vendors and people use -> one raw table: stamps, prices, volume.

Read without being told: column names in any case, stamps in a column or in the index, no header line, NinjaTrader's
`yyyyMMdd HHmmss;o;h;l;c;v`, yfinance's three header lines and two-level columns, MetaTrader's `<OPEN>`, separate date
and time columns, gzip by content.
"""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import os
import pathlib
import re
import zlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow

from trading_gymnax.data_report import Findings
from trading_gymnax.stamps import NOT_A_TIME, StampError, Stamps, parse_stamps

PRICES = ("open", "high", "low", "close")
_ALIASES: dict[str, tuple[str, ...]] = {
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c", "last", "close/last"),
    "volume": ("volume", "vol", "v", "tickvol", "tick_volume"),
}
_STAMP_NAMES = (
    "timestamp",
    "datetime",
    "date_time",
    "date time",
    "date/time",
    "time",
    "date",
    "ts_event",
    "t",
)
_CLOCK = re.compile(r"\d{1,2}:\d\d.*|\d{4}(\d\d)?")
_NINJATRADER = re.compile(r"\d{8} \d{6}")
_HEAD_LINES = 20


@dataclasses.dataclass(frozen=True)
class RawTable:
    """A table as its source had it: N rows in file order, nothing dropped or rounded."""

    frame: pd.DataFrame  # all columns of the source
    names: tuple[str, ...]  # their names in lower case, stripped, by position
    stamps: Stamps | None  # None where they cannot be read; the findings say why
    prices: np.ndarray | None  # float64 [N, 4]: open, high, low, close; NaN where there is no number
    volume: np.ndarray | None  # float64 [N]; None where the source has no volume
    ninjatrader: bool  # NinjaTrader's own layout: its stamps are UTC and mark the end of a bar

    def __len__(self) -> int:
        return len(self.frame)


class _Unreadable(ValueError):
    """The source is no table; the text says why."""


def title_of(source: Any) -> str:
    """How the report calls the source."""
    if isinstance(source, pd.DataFrame):
        return "DataFrame"
    return pathlib.PurePath(source).name if isinstance(source, (str, os.PathLike)) else type(source).__name__


def read_table(
    source: Any, findings: Findings, timezone: str | None, timestamp_format: str | None
) -> RawTable | None:
    """Read a path or a DataFrame. Everything that is wrong with its shape goes to `findings`; None: no table at all.

    Raises FileNotFoundError for a missing file and nothing else.
    """
    try:
        frame, ninjatrader = _frame_of(source)
        frame, names = _flat_columns(frame)
    except _Unreadable as error:
        findings.refuse("source", str(error))
        return None
    if len(frame) == 0:
        findings.refuse("source", "the table has no rows")
        return None
    columns = _find_columns(names, findings)
    prices = _read_prices(frame, columns, findings)
    volume = _read_volume(frame, columns, findings)
    try:
        stamps = parse_stamps(_stamp_column(frame, names), timezone, timestamp_format, ninjatrader)
    except StampError as error:
        findings.refuse("timestamp", str(error))
        stamps = None
    return RawTable(frame, names, stamps, prices, volume, ninjatrader)


def _frame_of(source: Any) -> tuple[pd.DataFrame, bool]:
    if isinstance(source, pd.DataFrame):
        return _headless_frame(source), False
    if not isinstance(source, (str, os.PathLike)):
        raise _Unreadable(
            f"a table is a path to CSV or parquet, or a DataFrame, not a {type(source).__name__}"
        )
    path = pathlib.Path(os.fsdecode(source))
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise _Unreadable(f"{path} is a folder, not a file") from None
    except (OSError, ValueError) as error:
        raise _Unreadable(f"{path} cannot be read: {error}") from None
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise _Unreadable(f"the gzip file is broken: {error}") from None
    if content[:4] == b"PAR1":
        return _read_parquet(content), False
    return _read_text(content)


def _read_parquet(content: bytes) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(content))
    except (pyarrow.ArrowException, ValueError, TypeError, KeyError, OSError) as error:
        raise _Unreadable(f"the parquet file cannot be read: {error}") from None


def _read_text(content: bytes) -> tuple[pd.DataFrame, bool]:
    """A text table; also whether it is NinjaTrader's own layout."""
    if not content.strip():
        raise _Unreadable("the file is empty")
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # a note in some local alphabet; prices and stamps are plain ASCII
    if "\x00" in text[:100_000]:
        raise _Unreadable("the file is neither text nor parquet (zip and Excel files: unpack or save as CSV)")
    lines = text[:100_000].splitlines()[:_HEAD_LINES]
    separator = max(";\t,|", key=lambda sign: max(line.count(sign) for line in lines))
    rows = list(csv.reader(lines, delimiter=separator))
    skip, names = _header(rows)
    try:
        frame = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            skiprows=skip,
            index_col=False,
            low_memory=False,
            skipinitialspace=True,
            names=range(max(len(names), max(map(len, rows)))),
        )
    except (ValueError, csv.Error, OverflowError) as error:  # pandas' parser errors are ValueErrors
        raise _Unreadable(f"the file is no table: {str(error).strip()}") from None
    frame.columns = pd.Index([*names, *(f"column_{i + 1}" for i in range(len(names), frame.shape[1]))])
    first = rows[skip][0].strip() if skip < len(rows) and rows[skip] else ""
    return frame, separator == ";" and bool(_NINJATRADER.fullmatch(first))


def _header(rows: list[list[str]]) -> tuple[int, list[str]]:
    """Physical lines to skip before the data, and the column names."""
    for number, row in enumerate(rows):
        names = [_normal(field) for field in row]
        if sum(name in names for name in PRICES) >= 2:
            return _after_header(rows, number, row)
    first = next((number for number, row in enumerate(rows) if any(field.strip() for field in row)), 0)
    positional = _positional(rows[first])
    if positional is not None:
        return first, positional
    return first + 1, [field.strip() for field in rows[first]]


def _after_header(rows: list[list[str]], number: int, row: list[str]) -> tuple[int, list[str]]:
    """yfinance writes the ticker in one line of its own and the name of the stamps in another."""
    names = [field.strip() for field in row]
    above = rows[number - 1] if number and len(rows[number - 1]) == len(row) else []
    skip = number + 1
    tickers = above if above and _normal(above[0]) == "ticker" else []
    while skip < len(rows) and rows[skip] and _normal(rows[skip][0]) in ("ticker", *_STAMP_NAMES):
        if _normal(rows[skip][0]) == "ticker":
            tickers = rows[skip]
        else:
            names[0] = rows[skip][0].strip()
        skip += 1
    several = sorted({field.strip() for field in tickers[1:] if field.strip()})
    if len(several) > 1:
        raise _Unreadable(f"the file holds several tickers ({', '.join(several)}): save one file for each")
    return skip, names


def _positional(fields: list[Any]) -> list[str] | None:
    """Names for a row without a header: stamp, open, high, low, close, volume; None if it is no such row."""
    texts = [str(field).strip() for field in fields]
    stamps = (
        ["date", "time"]
        if len(texts) > 5 and ":" not in texts[0] and _CLOCK.fullmatch(texts[1])
        else ["timestamp"]
    )
    numbers = texts[len(stamps) :]
    if len(numbers) < 4 or not all(_is_number(text) for text in numbers[:4]) or not re.match(r"\d", texts[0]):
        return None
    names = [*stamps, *PRICES, "volume"][: len(texts)]
    return [*names, *(f"column_{i + 1}" for i in range(len(names), len(texts)))]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _headless_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame read without a header (columns 0, 1, 2, ...) gets names by position."""
    if not isinstance(frame.columns, pd.RangeIndex) or frame.empty:
        return frame
    names = _positional(list(frame.iloc[0]))
    return frame if names is None else frame.set_axis(names, axis=1)


def _normal(name: Any) -> str:
    return str(name).strip().strip("<>[]\"'").strip().lower()


def _flat_columns(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """One level of columns (yfinance has two: price and ticker), with their names in lower case."""
    if not isinstance(frame.columns, pd.MultiIndex):
        return frame, tuple(_normal(name) for name in frame.columns)
    for level in range(frame.columns.nlevels):
        names = [_normal(name) for name in frame.columns.get_level_values(level)]
        if all(price in names for price in PRICES):
            if names.count("close") > 1:
                raise _Unreadable("the table holds several tickers: pass the columns of one of them")
            return frame.set_axis(frame.columns.get_level_values(level), axis=1), tuple(names)
    raise _Unreadable(
        f"the columns have {frame.columns.nlevels} levels and none of them names open, high, low, close"
    )


def _find_columns(names: tuple[str, ...], findings: Findings) -> dict[str, int]:
    """Position of open, high, low, close and volume; what is missing or there twice goes to the findings."""
    found: dict[str, int] = {}
    missing = []
    for wanted, aliases in _ALIASES.items():
        name = next((alias for alias in aliases if alias in names), None)
        if name is None:
            missing += [wanted] if wanted in PRICES else []
        elif names.count(name) > 1:
            findings.refuse(
                "columns", f"{names.count(name)} columns are called {name!r}: which one is meant?"
            )
        else:
            found[wanted] = names.index(name)
    if missing:
        listed = ", ".join(repr(name) for name in names[:12]) + (", ..." if len(names) > 12 else "")
        findings.refuse("columns", f"no column {', '.join(missing)}: the table has {listed or 'no columns'}")
    return found


def _read_prices(frame: pd.DataFrame, columns: dict[str, int], findings: Findings) -> np.ndarray | None:
    if any(name not in columns for name in PRICES):
        return None
    return np.stack([_numbers(frame.iloc[:, columns[name]]) for name in PRICES], axis=1)


def _read_volume(frame: pd.DataFrame, columns: dict[str, int], findings: Findings) -> np.ndarray | None:
    volume = _numbers(frame.iloc[:, columns["volume"]]) if "volume" in columns else None
    if volume is not None and not np.isnan(volume).all():
        return volume
    empty = "the volume column is empty" if volume is not None else "there is no volume column"
    findings.note("volume", f"{empty}: volumes are 0, and so is the volume feature")
    return None


def _numbers(column: pd.Series) -> np.ndarray:
    """float64 [N]; NaN for what is no finite number."""
    dtype = column.dtype
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
        values = column.to_numpy(np.float64, na_value=np.nan)
    elif pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
        text = column.map(str, na_action="ignore")  # Decimal, numbers among text
        values = pd.to_numeric(text, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    else:  # dates, categories, intervals
        values = np.full(len(column), np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def _stamp_column(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    """The column or the index that holds the stamps; date and time columns are put together."""
    if isinstance(frame.index, pd.MultiIndex):
        raise StampError("the index has several levels: pass the rows of one market, stamps in a column")
    if isinstance(frame.index, pd.DatetimeIndex):
        return frame.index.to_series(index=pd.RangeIndex(len(frame)))
    if "date" in names and "time" in names and not {"timestamp", "datetime"} & set(names):
        joined = _join_date_and_time(_one(frame, names, "date"), _one(frame, names, "time"))
        if joined is not None:
            return joined
    for name in _STAMP_NAMES:
        if name in names:
            return _one(frame, names, name)
    if _normal(frame.index.name) in _STAMP_NAMES or not pd.api.types.is_numeric_dtype(frame.index.dtype):
        return frame.index.to_series(index=pd.RangeIndex(len(frame)))
    raise StampError("no column timestamp, datetime, time or date, and the index holds no time stamps")


def _one(frame: pd.DataFrame, names: tuple[str, ...], name: str) -> pd.Series:
    if names.count(name) > 1:
        raise StampError(f"{names.count(name)} columns are called {name!r}: which one is meant?")
    return frame.iloc[:, names.index(name)].reset_index(drop=True)


def _join_date_and_time(date: pd.Series, time: pd.Series) -> pd.Series | None:
    """Text "date time", or None when the two are not the halves of a stamp."""
    if pd.api.types.is_datetime64_any_dtype(date.dtype):
        date = date.dt.strftime("%Y-%m-%d")
    texts = []
    for column in (date, time):
        if pd.api.types.is_float_dtype(column.dtype):
            return None
        texts.append(column.map(str, na_action="ignore").astype("str").str.strip())
    days, clocks = texts[0].dropna(), texts[1].dropna()
    if not len(days) or not len(clocks) or days.str.contains(":").iloc[0]:
        return None
    if clocks.str.fullmatch(r"\d{1,6}").all():  # 93000 for 09:30:00
        width = 6 if clocks.str.len().max() > 4 else 4
        padded = texts[1].str.zfill(width)
        texts[1] = padded.str[:2] + ":" + padded.str[2:4] + (":" + padded.str[4:6] if width == 6 else "")
    elif not clocks.str.fullmatch(r"\d{1,2}:\d\d.*").iloc[0]:
        return None
    return texts[0] + " " + texts[1]


def missing_rows(table: RawTable) -> np.ndarray:
    """bool [N]: rows in which a price, the volume or the time stamp is missing."""
    missing = np.zeros(len(table), bool)
    if table.prices is not None:
        missing |= np.isnan(table.prices).any(axis=1)
    if table.volume is not None:
        missing |= np.isnan(table.volume)
    if table.stamps is not None:
        missing |= (table.stamps.utc == NOT_A_TIME) & ~table.stamps.clock_change
    return missing
