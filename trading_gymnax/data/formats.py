"""Files, folders and DataFrames in the shapes that vendors and people use -> one DataFrame with one row of names.

Told apart by content, not by the file's name: parquet, gzip, zip, JSON, text. What is inside text is `text_tables`'
matter, what is inside a zip or a folder that of `archives`.
"""

from __future__ import annotations

import gzip
import io
import os
import pathlib
import zlib
from typing import Any

import pandas as pd
import pyarrow

from trading_gymnax.data import archives
from trading_gymnax.data.json_tables import is_json, read_json
from trading_gymnax.data.names import PRICES, SYMBOL_NAMES, UnreadableError, normal_name, plain_text
from trading_gymnax.data.source import Source
from trading_gymnax.data.text_tables import positional_names, read_text


def title_of(source: Any) -> str:
    """How the report calls the source."""
    if isinstance(source, pd.DataFrame):
        return "DataFrame"
    if isinstance(source, (str, os.PathLike)):
        return pathlib.PurePath(os.fsdecode(source)).name or str(source)
    return type(source).__name__


def open_table(source: Any) -> Source:
    """The source as a frame.

    Raises FileNotFoundError for a missing file and UnreadableError for all else that is no table.
    """
    if isinstance(source, pd.DataFrame):
        return Source(_flat_columns(_flat_index(_named_columns(_sound_text(source)))))
    if not isinstance(source, (str, os.PathLike)):
        text = f"a table is a path to a CSV or parquet file, or a DataFrame, not a {type(source).__name__}"
        raise UnreadableError(text)
    path = pathlib.Path(os.fsdecode(source))
    if str(source) and _is_folder(path):
        return archives.open_folder(path, open_bytes)
    content = _read_bytes(path)
    if archives.is_zip(content):
        return archives.open_zip(content, open_bytes)
    return open_bytes(content)


def open_bytes(content: bytes) -> Source:
    """A file's content as a frame. Raises UnreadableError."""
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableError(f"the gzip file is broken: {error}") from None
    if content[:4] == b"PAR1":
        return Source(_flat_columns(_flat_index(_sound_text(_read_parquet(content)))))
    if is_json(content):
        return Source(_sound_text(read_json(content)))
    read = read_text(content)
    return Source(_flat_columns(read.frame), read.separator, read.headless, read.footer)


def _is_folder(path: pathlib.Path) -> bool:
    try:
        return path.is_dir()
    except ValueError:  # a name that no file can have
        return False


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


def _sound_text(frame: pd.DataFrame) -> pd.DataFrame:
    """What is no UTF-8 becomes U+FFFD: Arrow hands on the bytes of JSON and parquet as they are, and fails later."""
    sound = frame
    for at, dtype in enumerate(frame.dtypes):
        if not (isinstance(dtype, pd.ArrowDtype) or (isinstance(dtype, pd.StringDtype) and dtype.storage == "pyarrow")):
            continue
        array = pyarrow.array(frame.iloc[:, at])
        try:
            array.validate(full=True)
        except pyarrow.ArrowInvalid:
            cells = array.cast("binary").to_pylist()
            text = [None if cell is None else cell.decode("utf-8", errors="replace") for cell in cells]
            sound = sound.copy(deep=False)
            sound.isetitem(at, pd.array(text, dtype="str"))
    return sound


def _named_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """A frame read without a header (columns 0, 1, 2, ...) gets names by position."""
    if frame.empty or list(frame.columns) != list(range(frame.shape[1])):
        return frame
    names = positional_names(list(frame.iloc[0]))
    return frame if names is None else frame.set_axis(names, axis=1)


def _flat_index(frame: pd.DataFrame) -> pd.DataFrame:
    """Levels of the index that have names become columns: Alpaca's frames have symbol and timestamp there."""
    names = frame.index.names
    if not isinstance(frame.index, pd.MultiIndex) or not all(isinstance(name, str) for name in names):
        return frame
    return frame if set(names) & set(frame.columns) else frame.reset_index()


def _flat_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """One level of columns: yfinance has two, price and ticker."""
    if not isinstance(frame.columns, pd.MultiIndex):
        return frame
    for level in range(frame.columns.nlevels):
        names = [normal_name(name) for name in frame.columns.get_level_values(level)]
        if all(price in names for price in PRICES):
            if names.count("close") > 1:
                return _tickers_below_one_another(frame, level)
            return frame.set_axis(frame.columns.get_level_values(level), axis=1)
    levels = frame.columns.nlevels
    raise UnreadableError(f"the columns have {levels} levels, and none of them names open, high, low, close")


def _tickers_below_one_another(frame: pd.DataFrame, level: int) -> pd.DataFrame:
    """Tickers side by side -> the rows of one below those of the other, told apart by a column "symbol".

    level: of the columns' names. A column without a ticker, the stamps say, belongs to all. Rows in which a ticker has
    nothing are those of the others.
    """
    names = frame.columns.get_level_values(level)
    if {normal_name(name) for name in names} & set(SYMBOL_NAMES):
        raise UnreadableError(
            "the table holds several tickers and a column of symbols: pass the columns of one of them"
        )
    tickers = pd.Series(frame.columns.droplevel(level)).map(plain_text).str.strip()
    shared, parts = (tickers == "").to_numpy(), []
    for ticker in tickers[~shared].unique():
        own = (tickers == ticker).to_numpy()
        rows = frame.loc[frame.loc[:, own].notna().any(axis=1), shared | own]
        parts.append(rows.set_axis(names[shared | own], axis=1).assign(symbol=ticker))
    return pd.concat(parts)
