"""Results as files and back: dataclasses of this package, NumPy arrays, pandas frames and plain values.

Nothing that is read is executed: a class is looked up by its name inside this package and must be a dataclass.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import pathlib
from typing import Any

import numpy as np
import pandas as pd

_FILE = "result.json"
_PACKAGE = "trading_gymnax."
_PLAIN = (str, int, bool, type(None))


def write_result(folder: pathlib.Path, value: Any) -> None:
    """Write a value to a folder, which is made: `result.json`, and a parquet file for each frame.

    Raises TypeError for a value of a kind that is not known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    frames: list[pd.DataFrame] = []
    text = json.dumps(_encoded(value, frames))
    for number, frame in enumerate(frames):
        frame.to_parquet(folder / f"{number}.parquet")
    (folder / _FILE).write_text(text)


def read_result(folder: pathlib.Path) -> Any:
    """What `write_result` wrote."""
    return _decoded(json.loads((folder / _FILE).read_text()), folder)


def _encoded(value: Any, frames: list[pd.DataFrame]) -> Any:
    if isinstance(value, _PLAIN) and not isinstance(value, np.generic):
        return value
    if isinstance(value, float):
        return ["float", value.hex()]
    if isinstance(value, np.generic | np.ndarray):
        array = np.asarray(value)
        kind = "array" if isinstance(value, np.ndarray) else "scalar"
        return [kind, array.dtype.str, list(array.shape), array.tobytes().hex()]
    if isinstance(value, pd.Series):
        return ["series", _encoded(value.to_frame("values"), frames), value.name]
    if isinstance(value, pd.DataFrame):
        frames.append(value)
        return ["frame", len(frames) - 1]
    if isinstance(value, dict):
        return ["dict", [[_encoded(name, frames), _encoded(x, frames)] for name, x in value.items()]]
    if _is_record(type(value)) and type(value).__module__.startswith(_PACKAGE):
        fields = {name: _encoded(getattr(value, name), frames) for name in _names(type(value))}
        return ["object", type(value).__module__, type(value).__qualname__, fields]
    if type(value) in (tuple, list):
        return [type(value).__name__, [_encoded(x, frames) for x in value]]
    raise TypeError(f"a result cannot be kept that holds {type(value)}")


def _decoded(value: Any, folder: pathlib.Path) -> Any:
    if not isinstance(value, list):
        return value
    kind, *rest = value
    if kind == "float":
        return float.fromhex(rest[0])
    if kind in ("array", "scalar"):
        array = np.frombuffer(bytes.fromhex(rest[2]), np.dtype(rest[0])).reshape(rest[1]).copy()
        return array if kind == "array" else array[()]
    if kind == "series":
        return _decoded(rest[0], folder)["values"].rename(rest[1])
    if kind == "frame":
        return in_seconds(pd.read_parquet(folder / f"{rest[0]}.parquet"))
    if kind == "dict":
        return {_decoded(name, folder): _decoded(x, folder) for name, x in rest[0]}
    if kind == "object":
        return _object(rest[0], rest[1], {name: _decoded(x, folder) for name, x in rest[2].items()})
    return {"tuple": tuple, "list": list}[kind](_decoded(x, folder) for x in rest[0])


def _object(module: str, name: str, fields: dict[str, Any]) -> Any:
    if not module.startswith(_PACKAGE):
        raise ValueError(f"a result holds an object of {module}, which is no module of this package")
    cls = getattr(importlib.import_module(module), name)
    if not isinstance(cls, type) or not _is_record(cls):
        raise ValueError(f"a result holds an object of {module}.{name}, which is no dataclass")
    return cls(**fields)


def _is_record(cls: type) -> bool:
    """Whether it is a dataclass or a `NamedTuple`."""
    return dataclasses.is_dataclass(cls) or (issubclass(cls, tuple) and hasattr(cls, "_fields"))


def _names(cls: Any) -> list[str]:
    return list(cls._fields) if issubclass(cls, tuple) else [field.name for field in dataclasses.fields(cls)]


def in_seconds(frame: pd.DataFrame) -> pd.DataFrame:
    """Times in seconds, as an evaluation has them; parquet knows none coarser than milliseconds."""
    times = frame.select_dtypes(["datetime", "datetimetz"]).columns
    return frame.assign(**{name: frame[name].dt.as_unit("s") for name in times})
