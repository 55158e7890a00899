"""How a table writes its numbers -> float64: decimal commas, thousands separators, fractions of bonds and grains.

One `Notation` is found for the whole table, from all of its prices and volumes: a single number may not tell.
"""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute as pc

from trading_gymnax.data.names import plain_text
from trading_gymnax.data.spec import ContractSpec

_BLANKS = "[\\s\u00a0\u202f]"
_COMMA_IS_DECIMAL = r"^[+-]?\d+,(\d{1,2}|\d{4,})$|^[+-]?\d{1,3}(\.\d{3})+,\d+$|^[+-]?0,\d|^[+-]?\d{4,},\d+$"
_POINT_IS_DECIMAL = r"^[+-]?\d*\.(\d{1,2}|\d{4,})$|^[+-]?\d{1,3}(,\d{3})+\.\d*$|^[+-]?0\.\d|^[+-]?\d{4,}\.\d+$"
_COMMA_IS_THOUSANDS = r"^[+-]?\d{1,3}(,\d{3}){2,}$|^[+-]?\d{1,3}(,\d{3})+\."
_COMMA = r"^[+-]?\d{1,3},\d{3}$"
_FRACTION = r"^\d{1,4}['\-]\d{1,3}$"
_SWISS = r"\d'\d{3}(\.|'|$)"
_EIGHTHS_OF_32NDS = {"": 0.0, "0": 0.0, "1": 0.125, "2": 0.25, "3": 0.375, "5": 0.5, "6": 0.625, "7": 0.75, "8": 0.875}
_GRAINS = "CMEGlobex_Grains"


class NotationError(ValueError):
    """Numbers that can be read in two ways; the text says what to do."""


@dataclasses.dataclass(frozen=True)
class Notation:
    """How text of numbers is written."""

    decimal: str = "."
    thousands: str = ""  # signs that stand between groups of digits
    fraction: int = 0  # 32 or 8: 110'165 is 110 + 16.5/32, 450'2 is 450 + 2/8
    note: str = ""  # for the report; "" for the usual notation

    def numbers(self, column: pd.Series) -> np.ndarray:
        """A column as float64 [N]; NaN for what is no finite number."""
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        dtype = column.dtype
        if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_complex_dtype(dtype):
            values = column.to_numpy(np.float64, na_value=np.nan)
        elif is_text(column):
            values = self._from_unique(as_text(column))
        else:  # dates, intervals, complex numbers
            values = np.full(len(column), np.nan)
        return np.where(np.isfinite(values), values, np.nan)

    def _from_unique(self, text: pd.Series) -> np.ndarray:
        """Each different text is read once: a million prices are some thousand different ones."""
        encoded = arrow_text(text).dictionary_encode()
        values = np.append(self._from_text(pd.Series(encoded.dictionary.to_pylist(), dtype="str")), np.nan)
        return np.asarray(values[encoded.indices.fill_null(len(values) - 1).to_numpy()])

    def _from_text(self, text: pd.Series) -> np.ndarray:
        if self.fraction:
            return _fractions(text, self.fraction)
        text = text.str.strip()
        if self.thousands:  # only groups of three digits: a slip must not become another number
            signs, point = re.escape(self.thousands), re.escape(self.decimal)
            grouped = matches(text, rf"^[+-]?\d{{1,3}}(?:[{signs}]\d{{3}})+(?:{point}\d*)?$")
            text = text.mask(grouped, text.str.replace(rf"[{signs}]", "", regex=True))
        if self.decimal == ",":
            text = text.mask(matches(text, r"\."), None).str.replace(",", ".", regex=False)
        return pd.to_numeric(text, errors="coerce").to_numpy(np.float64, na_value=np.nan)


PLAIN = Notation()


def is_text(column: pd.Series) -> bool:
    """Whether a column holds text, or things that may be numbers as text."""
    return pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype)


def as_text(column: pd.Series) -> pd.Series:
    """A column of text or mixed cells (Decimal, numbers among text) as text; missing stays missing."""
    if column.dtype == "str":
        return column
    return column.astype("object").map(plain_text, na_action="ignore").astype("str")


def arrow_text(text: pd.Series) -> pyarrow.Array:
    """A column of text as one array; pandas holds what was put together of several parts in as many."""
    array = pyarrow.array(text, pyarrow.large_string())
    return array.combine_chunks() if isinstance(array, pyarrow.ChunkedArray) else array


def matches(text: pd.Series, form: str) -> np.ndarray:
    """Where an expression is found in a column of text, bool [N]; pandas would look row by row in Python."""
    found = pc.match_substring_regex(arrow_text(text), form)
    return found.fill_null(False).to_numpy(zero_copy_only=False)


def find_notation(
    prices: list[pd.Series], volumes: list[pd.Series], separator: str | None, spec: ContractSpec
) -> Notation:
    """The notation of a table. Raises NotationError where two are as good as each other."""
    price_text, volume_text = (
        [_different(as_text(column)) for column in columns if is_text(column)] for columns in (prices, volumes)
    )
    if not price_text and not volume_text:
        return PLAIN
    if _share(price_text, _FRACTION) > 0.5 and not _any(price_text, r"'\d{3}\."):
        return _fraction_notation(price_text, spec)
    texts = price_text + volume_text
    marks = "\u00a0\u202f " * _any(texts, rf"\d{_BLANKS}\d{{3}}") + "'" * _any(texts, _SWISS)
    if not _any(texts, r"\d,\d"):
        return Notation(thousands=marks, note="numbers with thousands separators") if marks else PLAIN
    point = _any(texts, _POINT_IS_DECIMAL) or any(_has_fractions(column) for column in prices)
    thousands = _any(texts, _COMMA_IS_THOUSANDS)
    if _any(texts, _COMMA_IS_DECIMAL):
        first = _first(texts, _COMMA_IS_DECIMAL)
        if point or thousands:
            second = _first(texts, f"{_POINT_IS_DECIMAL}|{_COMMA_IS_THOUSANDS}") or "a decimal point"
            raise NotationError(
                f"some numbers have decimal commas ({first}) and others not ({second}): write one notation"
            )
        return Notation(",", "." + marks, note=f"numbers with decimal commas ({first})")
    if separator == "," or point or thousands or not _any(price_text, _COMMA):
        first = _first(texts, f"{_COMMA}|{_COMMA_IS_THOUSANDS}")
        return Notation(thousands="," + marks, note=f"numbers with thousands separators ({first})")
    first = _first(price_text, _COMMA)
    raise NotationError(
        f"a price such as {first!r} is {float(first.replace(',', '.')):g} or {float(first.replace(',', '')):,.0f}, and "
        "nothing in the table tells which: write the prices with a decimal point"
    )


def _has_fractions(column: pd.Series) -> bool:
    """Whether a column was read as numbers, some of them not whole: then its decimals are written with a point."""
    if not pd.api.types.is_float_dtype(column.dtype):
        return False
    values = column.to_numpy(np.float64, na_value=np.nan)
    return bool((np.nan_to_num(values) % 1).any())


def _fraction_notation(texts: list[pd.Series], spec: ContractSpec) -> Notation:
    first = _first(texts, _FRACTION)
    parts = 1 / spec.tick_size
    if parts >= 32 and math.isclose(math.log2(parts), round(math.log2(parts))):
        return Notation(fraction=32, note=f"prices in 32nds of a point ({first})")
    if spec.tick_size == 0.25 and spec.calendar == _GRAINS:
        return Notation(fraction=8, note=f"prices in eighths of a cent ({first})")
    raise NotationError(
        f"prices such as {first!r} look like 32nds or eighths of a point, and a tick of {spec.symbol} is "
        f"{spec.tick_size:g}: write them with a decimal point, or choose the market that they are of"
    )


def _fractions(text: pd.Series, parts: int) -> np.ndarray:
    fields = text.str.extract(r"^\s*(\d{1,4})['\-](\d{1,2})(\d?)\s*$")
    whole = pd.to_numeric(fields[0], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    count = pd.to_numeric(fields[1], errors="coerce").to_numpy(np.float64, na_value=np.nan)
    rest = fields[2].map(_EIGHTHS_OF_32NDS).to_numpy(np.float64, na_value=np.nan)
    if parts == 8:
        rest = np.where(fields[2].isna().to_numpy() | (fields[2] == "").to_numpy(), rest, np.nan)
    value = whole + (count + rest) / parts
    plain = pd.to_numeric(text, errors="coerce").to_numpy(np.float64, na_value=np.nan)  # 110 without a fraction
    return np.where(np.isnan(value) | (count >= parts), np.where(np.isnan(value), plain, np.nan), value)


def _different(text: pd.Series) -> pd.Series:
    return pd.Series(pc.unique(arrow_text(text)).to_pylist(), dtype="str")


def _any(texts: list[pd.Series], form: str) -> bool:
    return any(bool(matches(text, form).any()) for text in texts)


def _share(texts: list[pd.Series], form: str) -> float:
    return min((float(matches(text, form).mean()) for text in texts if len(text)), default=0.0)


def _first(texts: list[pd.Series], form: str) -> str:
    for text in texts:
        found = matches(text, form)
        if found.any():
            return str(text.iloc[int(np.argmax(found))])
    return ""
