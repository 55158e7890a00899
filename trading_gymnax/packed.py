"""A state in one array: the form in which loops carry, store and save it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


@jax.tree_util.register_pytree_with_keys_class
class PackedState:
    """All fields of a state as one row of int32, read by their names: `state.position`, `dataclasses.asdict(state)`.

    One array, because a GPU pays for every array that a loop carries or stores, whatever its size. `row` may have any
    leading axes, and the fields then have them, too. The rules of the market work on a state with an array for every
    field, which `unpack` gives.
    """

    def __init__(self, row: Any, kind: type) -> None:
        """row: int32 [..., K], fields in the order of `kind`, a `packable` dataclass; flags are 0 or 1."""
        self.row, self.kind = row, kind

    @property
    def __dataclass_fields__(self) -> dict[str, Any]:
        return self.kind.__dataclass_fields__  # type: ignore[attr-defined]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("row", "kind") or name not in _COLUMNS[self.kind]:
            raise AttributeError(f"{type(self).__name__} has no {name!r}")
        value = self.row[..., _COLUMNS[self.kind][name]]
        return value != 0 if is_flag(self.kind, name) else value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.kind.__name__}, row={self.row!r})"

    def replace(self, **fields: Any) -> PackedState:
        """A copy with some fields changed. Raises TypeError for an unknown name."""
        row, columns = jnp.asarray(self.row), _COLUMNS[self.kind]
        for name, value in fields.items():
            if name not in columns:
                raise TypeError(f"{self.kind.__name__} has no field {name!r}")
            row = row.at[..., columns[name]].set(jnp.asarray(value).astype(jnp.int32))
        return PackedState(row, self.kind)

    def unpack(self) -> Any:
        """The same state as a `kind`, with an array for every field."""
        return self.kind(**{name: getattr(self, name) for name in _COLUMNS[self.kind]})

    def tree_flatten_with_keys(self) -> tuple[tuple[tuple[Any, Any]], type]:
        """The row is the one leaf."""
        return ((jax.tree_util.GetAttrKey("row"), self.row),), self.kind

    @classmethod
    def tree_unflatten(cls, kind: type, leaves: tuple[Any]) -> PackedState:
        """The state of whatever stands in the place of the row."""
        return cls(leaves[0], kind)


_COLUMNS: dict[type, dict[str, int]] = {}  # of each packable class: index of each field
_FLAGS: dict[type, frozenset[str]] = {}  # of each packable class: fields that are bool


def packable(*flags: str) -> Callable[[type], type]:
    """Let a flax dataclass be packed. Its fields are int32, or bool where `flags`, or those of its base, name them."""

    def register(cls: type) -> type:
        _COLUMNS[cls] = {field.name: index for index, field in enumerate(dataclasses.fields(cls))}
        _FLAGS[cls] = frozenset(flags).union(*(_FLAGS.get(base, ()) for base in cls.__mro__))
        return cls

    return register


def columns(kind: type) -> tuple[str, ...]:
    """Names of a packable class's fields, in the order of the row."""
    return tuple(_COLUMNS[kind])


def is_flag(kind: type, name: str) -> bool:
    """Whether a field of a packable class is bool."""
    return name in _FLAGS[kind]


def pack(state: Any) -> Any:
    """A state with an array for every field, all of one shape -> the same as a `PackedState`, which reads alike."""
    if isinstance(state, PackedState):
        return state
    columns = [getattr(state, name).astype(jnp.int32) for name in _COLUMNS[type(state)]]
    return PackedState(jnp.stack(columns, axis=-1), type(state))


def unpack(state: Any) -> Any:
    """The state with an array for every field; one that is not packed is given back."""
    return state.unpack() if isinstance(state, PackedState) else state
