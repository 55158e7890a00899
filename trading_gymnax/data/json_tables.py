"""JSON of any usual shape -> a frame: an array of records, one record a line, records below a key, nested records."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import pandas as pd
import pyarrow
import pyarrow.json

from trading_gymnax.data.names import UnreadableError

_LEAST_FIELDS = 4  # a record with fewer is no bar
_HEAD = 100_000  # bytes that tell which fields hold stamps


def is_json(content: bytes) -> bool:
    """Whether a text begins as JSON does: no table of fields begins with a bracket or a brace before a quote."""
    return content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") and b'"' in content[:1000]


def read_json(content: bytes) -> pd.DataFrame:
    """The records as a frame; a nested record's fields get the names of its innermost keys where these are unique.

    Raises UnreadableError for what is no JSON, and for JSON without a list of bars.
    """
    by_arrow = _read_lines(_as_lines(content))
    if by_arrow is not None:
        return _short_names(by_arrow)
    text = content.decode("utf-8", errors="replace").removeprefix("\ufeff")
    records = _records(_parse(text))
    if records is None:
        raise UnreadableError("the file is JSON without a list of bars: save the list of records, or a CSV")
    try:
        flat = pd.json_normalize(records)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnreadableError(f"the records of the JSON file cannot be read: {error}") from None
    return _short_names(flat)


def _short_names(flat: pd.DataFrame) -> pd.DataFrame:
    last = [str(name).rpartition(".")[2] for name in flat.columns]
    names = [short if last.count(short) == 1 else str(name) for short, name in zip(last, flat.columns, strict=True)]
    return flat.set_axis(names, axis=1)


def _as_lines(content: bytes) -> bytes:
    """An array of records as one record a line; where "},{" stood inside a record, no line of it is JSON any more."""
    text = content.removeprefix(b"\xef\xbb\xbf").strip()
    if text[:1] != b"[" or text[-1:] != b"]":
        return content
    return re.sub(rb"\}\s*,\s*\{", b"}\n{", text[1:-1].strip())


def _read_lines(content: bytes) -> pd.DataFrame | None:
    """One record a line, ten times as fast as in Python; None where this is no such text, or a field is mixed."""
    try:
        head = _arrow_table(content[:_HEAD].rpartition(b"\n")[0] + b"\n", pyarrow.schema([]))
        table = _arrow_table(content, pyarrow.schema(_stamps_as_text(list(head.schema))))
        while any(pyarrow.types.is_struct(field.type) for field in table.schema):
            table = table.flatten()
        other = (pyarrow.types.is_nested, pyarrow.types.is_temporal)
        if table.num_columns < _LEAST_FIELDS or any(is_other(x.type) for x in table.schema for is_other in other):
            return None
        return table.to_pandas()
    except (pyarrow.ArrowException, ValueError):
        return None


def _arrow_table(content: bytes, schema: pyarrow.Schema) -> pyarrow.Table:
    return pyarrow.json.read_json(io.BytesIO(content), parse_options=pyarrow.json.ParseOptions(explicit_schema=schema))


def _stamps_as_text(fields: list[pyarrow.Field]) -> list[pyarrow.Field]:
    """Fields that Arrow takes for stamps, as text: it would drop the offset of "2025-06-02 22:00:00+00:00"."""
    found = []
    for field in fields:
        if pyarrow.types.is_temporal(field.type):
            found.append(pyarrow.field(field.name, pyarrow.string()))
        elif pyarrow.types.is_struct(field.type):
            inner = _stamps_as_text(list(field.type))
            found += [pyarrow.field(field.name, pyarrow.struct(inner))] if inner else []
    return found


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise UnreadableError(f"line {number:,} of the JSON file is damaged: {error}") from None
    return rows


def _records(value: Any) -> list[dict[str, Any]] | None:
    """The list of records: the value itself, or the longest below one of its keys, at any depth."""
    if isinstance(value, list):
        if value and all(isinstance(row, dict) and _width(row) >= _LEAST_FIELDS for row in value):
            return value
        inner = [_records(row) for row in value[:100] if isinstance(row, dict)]
        below = [rows for rows in inner if rows]
        return below[0] if len(below) == 1 else None
    if isinstance(value, dict):
        lists = (_records(one) for one in value.values() if isinstance(one, dict | list))
        found = [rows for rows in lists if rows]
        if len(found) > 1:
            keys = ", ".join(str(key) for key in list(value)[:5])
            raise UnreadableError(f"the JSON file holds several lists of bars ({keys}, ...): save one file for each")
        return found[0] if found else None
    return None


def _width(row: dict[str, Any]) -> int:
    return sum(_width(value) if isinstance(value, dict) else 1 for value in row.values())
