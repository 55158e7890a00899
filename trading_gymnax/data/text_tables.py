"""Text of any usual shape -> a frame: the separator, a header or none, notes above it, footers below, ragged rows."""

from __future__ import annotations

import csv
import io
import re
import warnings
from typing import Any, NamedTuple

import pandas as pd

from trading_gymnax.data.names import COLUMN_NAMES, PRICES, STAMP_NAMES, UnreadableError, normal_name

_DATE = re.compile(r"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}")
_CLOCK = re.compile(r"\d{1,2}:\d\d.*|\d{4}(\d\d)?")
_HEAD_LINES = 20
_HEAD_BYTES = 100_000
_FOOTER_LINES = 5


class TextTable(NamedTuple):
    """What a text holds."""

    frame: pd.DataFrame  # with a second level of columns, where they are of several tickers
    separator: str
    headless: bool
    footer: tuple[str, ...]


def read_text(content: bytes) -> TextTable:
    """A text as a table. Raises UnreadableError, with the line, for what is none."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        content = content.decode("utf-16", errors="replace").encode()
    content = content.removeprefix(b"\xef\xbb\xbf")
    # A note in some local alphabet may not be UTF-8; prices and stamps are plain ASCII.
    head = content[:_HEAD_BYTES].decode("utf-8", errors="replace")
    if "\x00" in head:
        raise UnreadableError("the file is neither text nor parquet; unpack it, save a spreadsheet as CSV")
    lines = re.split(r"\r\n|\r|\n", head)[:_HEAD_LINES]  # as pandas does: str.splitlines knows more ends
    if not any(line.strip() for line in lines):
        raise UnreadableError("the file is empty")
    separator = _separator(lines)
    try:
        rows = list(csv.reader(lines, delimiter=separator))
        skip, names, tickers, headless = _header(rows)
        width = max(len(names), *map(len, rows))
        # With decimal commas a point separates thousands, and "1.234" must not become a number before that is known.
        as_text = any(re.search(r"\d,\d", field) for row in rows[skip:] for field in row)
        frame = _read_columns(content, separator, skip, width, as_text)
    except UnreadableError:
        raise
    except (ValueError, csv.Error, OverflowError, pd.errors.ParserWarning) as error:
        long = _first_long_row(content, separator, len(rows[0]) if rows else 0)
        raise UnreadableError(long or f"the file is no table: {str(error).strip()}") from None
    frame = _only_named(frame, names, content, separator, skip)
    frame, footer = _cut_footer(frame.set_axis(names, axis=1))
    if tickers:
        frame = frame.set_axis(pd.MultiIndex.from_arrays([names, tickers]), axis=1)
    return TextTable(frame, separator, headless, footer)


def _separator(lines: list[str]) -> str:
    """The sign that a line has most often. Decimal commas can be one more than the semicolons between them."""
    most = {sign: max(line.count(sign) for line in lines) for sign in ";\t,|"}
    best = max(most, key=lambda sign: most[sign])
    rival = max(";\t", key=lambda sign: most[sign])
    return rival if best == "," and most[rival] >= max(len(PRICES), most[","] - 1) else best


def _only_named(frame: pd.DataFrame, names: list[str], content: bytes, separator: str, skip: int) -> pd.DataFrame:
    """Columns beyond the names are empty, as a separator at the end of each line makes them; else rows are too long."""
    extra = frame.iloc[:, len(names) :]
    if extra.shape[1] and extra.notna().to_numpy().any():
        raise UnreadableError(
            _first_long_row(content, separator, len(names))
            or f"rows have more fields than the {len(names)} names of the header"
        )
    return frame.iloc[:, : len(names)]


def _first_long_row(content: bytes, separator: str, width: int) -> str:
    """ "line 31 has 7 fields ..." of the first line with more fields than the header; "" where there is none."""
    text = content.decode("utf-8", errors="replace")
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=separator), 1):
            if number > 1 and len(row) > width > 1:
                return (
                    f"the file is no table: line {number:,} has {len(row)} fields where the header has {width} "
                    f"({separator.join(row)[:80]!r}): a separator inside a number or a text must stand in quotes, "
                    "and one contract's rows must not follow another layout's"
                )
    except csv.Error:
        pass
    return ""


def _cut_footer(frame: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Rows at the end that begin with a word and hold no price: a vendor's signature, a total."""
    names = [normal_name(name) for name in frame.columns]
    prices = [names.index(alias) for wanted in PRICES for alias in COLUMN_NAMES[wanted] if alias in names]
    footer: list[str] = []
    while len(footer) < _FOOTER_LINES and len(frame) > len(footer) + 1 and prices:
        last = len(frame) - 1 - len(footer)
        first = str(frame.iat[last, 0]).strip()
        if not re.match(r"[^\W\d]", first) or first.lower() in ("nan", "nat", "none"):
            break
        row = frame.iloc[last]
        if pd.to_numeric(row.iloc[prices], errors="coerce").notna().any():
            break
        footer.append(" ".join(str(cell) for cell in row if not pd.isna(cell)))
    return frame.iloc[: len(frame) - len(footer)], tuple(footer[::-1])


def _read_columns(content: bytes, separator: str, skip: int, width: int, as_text: bool) -> pd.DataFrame:
    """Columns 0, 1, 2, ... below the header, all of them text where `as_text`; their names are given by the caller.

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
            dtype=str if as_text else None,
        )


def _header(rows: list[list[str]]) -> tuple[int, list[str], list[str], bool]:
    """Number of lines above the data, the columns' names, their tickers if several, and whether there is no header."""
    for number, row in enumerate(rows):
        names = [normal_name(field) for field in row]
        if sum(name in names for name in PRICES) >= 2:
            return *_after_header(rows, number), False
    first = next((number for number, row in enumerate(rows) if any(field.strip() for field in row)), None)
    if first is None:
        raise UnreadableError("the file has no line with a name or a number")
    by_position = positional_names(rows[first])
    if by_position is not None:
        return first, by_position, [], True
    return first + 1, [field.strip() for field in rows[first]], [], False


def _after_header(rows: list[list[str]], number: int) -> tuple[int, list[str], list[str]]:
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
    tickers = ["", *(field.strip() for field in tickers[1:])][: len(names)]
    several = len({ticker for ticker in tickers if ticker}) > 1 and len(tickers) == len(names)
    return below, names, tickers if several else []


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
        return re.fullmatch(r"-?\d[\d.,']*\d", text) is not None
    return True
