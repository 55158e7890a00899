"""JSON of any usual shape -> a frame: an array of records, one record a line, records below a key, nested records."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from trading_gymnax.data.names import UnreadableError

_LEAST_FIELDS = 4  # a record with fewer is no bar


def is_json(content: bytes) -> bool:
    """Whether a text begins as JSON does: no table of fields begins with a bracket or a brace before a quote."""
    return content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") and b'"' in content[:1000]


def read_json(content: bytes) -> pd.DataFrame:
    """The records as a frame; a nested record's fields get the names of its innermost keys where these are unique.

    Raises UnreadableError for what is no JSON, and for JSON without a list of bars.
    """
    text = content.decode("utf-8", errors="replace").removeprefix("\ufeff")
    records = _records(_parse(text))
    if records is None:
        raise UnreadableError("the file is JSON without a list of bars: save the list of records, or a CSV")
    try:
        flat = pd.json_normalize(records)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise UnreadableError(f"the records of the JSON file cannot be read: {error}") from None
    last = [str(name).rpartition(".")[2] for name in flat.columns]
    names = [short if last.count(short) == 1 else str(name) for short, name in zip(last, flat.columns, strict=True)]
    return flat.set_axis(names, axis=1)


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
