"""Files and DataFrames in the shapes that vendors and people use -> one DataFrame with one row of names.

Told apart by content, not by the file's name: parquet, gzip, text; in text the separator, a header or none,
notes above the header, NinjaTrader's `yyyyMMdd HHmmss;o;h;l;c;v`, yfinance's three header lines.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import pathlib
import re
import warnings
import zlib
from typing import Any

import pandas as pd
import pyarrow

PRICES = ("open", "high", "low", "close")
STAMP_NAMES = (
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

_DATE = re.compile(r"\d{8}|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
_CLOCK = re.compile(r"\d{1,2}:\d\d.*|\d{4}(\d\d)?")
_NINJATRADER = re.compile(r"\d{8} \d{6}")
_HEAD_LINES = 20
_HEAD_BYTES = 100_000


class UnreadableError(ValueError):
    """The source is no table; the text says why."""


def title_of(source: Any) -> str:
    """How the report calls the source."""
    if isinstance(source, pd.DataFrame):
        return "DataFrame"
    if isinstance(source, (str, os.PathLike)):
        return pathlib.PurePath(os.fsdecode(source)).name or str(source)
    return type(source).__name__


def normal_name(name: Any) -> str:
    """A column's name as it is looked up: lower case, without blanks and MetaTrader's angle brackets."""
    return str(name).strip().strip("<>[]\"'").strip().lower()


def plain_text(value: Any) -> str:
    """A cell as text. What is no Unicode (half of a surrogate pair) becomes "?", as Arrow would not keep it."""
    return str(value).encode("utf-8", "replace").decode("utf-8")


def open_table(source: Any) -> tuple[pd.DataFrame, bool]:
    """The source as a frame, and whether it is NinjaTrader's own text layout.

    Raises FileNotFoundError for a missing file and UnreadableError for all else that is no table.
    """
    if isinstance(source, pd.DataFrame):
        return _flat_columns(_named_columns(source)), False
    if not isinstance(source, (str, os.PathLike)):
        text = f"a table is a path to a CSV or parquet file, or a DataFrame, not a {type(source).__name__}"
        raise UnreadableError(text)
    content = _read_bytes(pathlib.Path(os.fsdecode(source)))
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableError(f"the gzip file is broken: {error}") from None
    if content[:4] == b"PAR1":
        return _flat_columns(_read_parquet(content)), False
    return _read_text(content)


def _read_bytes(path: pathlib.Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise UnreadableError(f"{path} is a folder: name one file in it") from None
    except (OSError, ValueError) as error:
        raise UnreadableError(f"the file cannot be opened: {error}") from None


def _read_parquet(content: bytes) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(content))
    except MemoryError as error:  # a damaged file can claim any size, so this is a fault of the file as well
        raise UnreadableError(
            f"the parquet file wants more memory than there is ({error}): it is too long, or damaged"
        ) from error
    except (pyarrow.ArrowException, ValueError, TypeError, KeyError, OSError) as error:
        raise UnreadableError(f"the parquet file cannot be read: {error}") from None


def _read_text(content: bytes) -> tuple[pd.DataFrame, bool]:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = content.decode("utf-16", errors="replace").encode()
    content = content.removeprefix(b"\xef\xbb\xbf")
    # A note in some local alphabet may not be UTF-8; prices and stamps are plain ASCII.
    head = content[:_HEAD_BYTES].decode("utf-8", errors="replace")
    if "\x00" in head:
        raise UnreadableError("the file is neither text nor parquet; unpack a zip, save a spreadsheet as CSV")
    lines = re.split(r"\r\n|\r|\n", head)[:_HEAD_LINES]  # as pandas does: str.splitlines knows more ends
    if not any(line.strip() for line in lines):
        raise UnreadableError("the file is empty")
    separator = max(";\t,|", key=lambda sign: max(line.count(sign) for line in lines))
    try:
        rows = list(csv.reader(lines, delimiter=separator))
        skip, names = _header(rows)
        width = max(len(names), *map(len, rows))
        frame = _read_columns(content, separator, skip, width)
    except UnreadableError:
        raise
    except (ValueError, csv.Error, OverflowError, pd.errors.ParserWarning) as error:
        raise UnreadableError(f"the file is no table: {str(error).strip()}") from None
    names += [f"column_{i + 1}" for i in range(len(names), width)]
    stamp = str(frame.iloc[0, 0]).strip() if len(frame) else ""
    return frame.set_axis(names, axis=1), separator == ";" and bool(_NINJATRADER.fullmatch(stamp))


def _read_columns(content: bytes, separator: str, skip: int, width: int) -> pd.DataFrame:
    """Columns 0, 1, 2, ... below the header; their names are given by the caller.

    pandas would rename a second "close" to "close.1" without a word.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # longer rows: it would lose data
        return pd.read_csv(
            io.BytesIO(content),
            encoding_errors="replace",
            sep=separator,
            header=None,
            names=range(width),
            skiprows=skip,
            index_col=False,
            low_memory=False,
            skipinitialspace=True,
        )


def _header(rows: list[list[str]]) -> tuple[int, list[str]]:
    """Number of lines above the data, and the names of the columns."""
    for number, row in enumerate(rows):
        names = [normal_name(field) for field in row]
        if sum(name in names for name in PRICES) >= 2:
            return _after_header(rows, number)
    first = next((number for number, row in enumerate(rows) if any(field.strip() for field in row)), None)
    if first is None:
        raise UnreadableError("the file has no line with a name or a number")
    by_position = positional_names(rows[first])
    if by_position is not None:
        return first, by_position
    return first + 1, [field.strip() for field in rows[first]]


def _after_header(rows: list[list[str]], number: int) -> tuple[int, list[str]]:
    """yfinance has the ticker in a line above or below the names, and then a line with the stamps' name."""
    names = [field.strip() for field in rows[number]]
    above = rows[number - 1] if number else []
    tickers = above if above and normal_name(above[0]) == "ticker" else []
    below = number + 1
    while below < len(rows) and rows[below] and normal_name(rows[below][0]) in ("ticker", *STAMP_NAMES):
        if normal_name(rows[below][0]) == "ticker":
            tickers = rows[below]
        else:
            names[0] = rows[below][0].strip()
        below += 1
    several = sorted({field.strip() for field in tickers[1:] if field.strip()})
    if len(several) > 1:
        raise UnreadableError(f"the file holds several tickers ({', '.join(several)}): save one file for each")
    return below, names


def positional_names(fields: list[Any]) -> list[str] | None:
    """Names for a row without a header: stamp, open, high, low, close, volume; None if it is no such row."""
    texts = [str(field).strip() for field in fields]
    halves = len(texts) > 5 and _DATE.fullmatch(texts[0]) and _CLOCK.fullmatch(texts[1])
    stamps = ["date", "time"] if halves else ["timestamp"]
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


def _named_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame read without a header (columns 0, 1, 2, ...) gets names by position."""
    if frame.empty or list(frame.columns) != list(range(frame.shape[1])):
        return frame
    names = positional_names(list(frame.iloc[0]))
    return frame if names is None else frame.set_axis(names, axis=1)


def _flat_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """One level of columns: yfinance has two, price and ticker."""
    if not isinstance(frame.columns, pd.MultiIndex):
        return frame
    for level in range(frame.columns.nlevels):
        names = [normal_name(name) for name in frame.columns.get_level_values(level)]
        if all(price in names for price in PRICES):
            if names.count("close") > 1:
                raise UnreadableError("the table holds several tickers: pass the columns of one of them")
            return frame.set_axis(frame.columns.get_level_values(level), axis=1)
    levels = frame.columns.nlevels
    raise UnreadableError(f"the columns have {levels} levels, and none of them names open, high, low, close")
