"""A state in one array: the form in which loops carry, store and save it."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp


@functools.partial(jax.tree_util.register_dataclass, data_fields=["row"], meta_fields=["kind"])
@dataclasses.dataclass(frozen=True, eq=False)
class PackedState:
    """All fields of a state as one row of int32, to be read by their names: `state.position`.

    One array, because a GPU pays for every array that a loop carries or stores, whatever its size. `row` may have any
    leading axes, and the fields then have them, too. The rules of the market work on the fields: see `unpack`.
    """

    row: jax.Array  # int32 [..., K], in the order of the fields; flags are 0 or 1
    kind: type  # flax dataclass of the fields, `EnvState` say

    def __getattr__(self, name: str) -> Any:
        index = _INDEX.get(self.__dict__.get("kind"), {}).get(name)
        if index is None:
            raise AttributeError(f"{type(self).__name__} of {self.__dict__.get('kind')} has no field {name!r}")
        value = self.row[..., index]
        return value != 0 if is_flag(self.kind.__dataclass_fields__[name]) else value

    def replace(self, **fields: Any) -> PackedState:
        """A copy with some fields changed. Raises TypeError for an unknown name."""
        row = jnp.asarray(self.row)
        for name, value in fields.items():
            if name not in _INDEX[self.kind]:
                raise TypeError(f"{self.kind.__name__} has no field {name!r}")
            row = row.at[..., _INDEX[self.kind][name]].set(jnp.asarray(value, jnp.int32))
        return dataclasses.replace(self, row=row)

    def unpack(self) -> Any:
        """The state with an array for every field."""
        return self.kind(**{name: getattr(self, name) for name in _INDEX[self.kind]})


_INDEX: dict[Any, dict[str, int]] = {}  # of each packable class: column of each field


def packable(cls: type) -> type:
    """Let a flax dataclass be packed; its fields are int32, or bool where they are `flag`s."""
    _INDEX[cls] = {field.name: i for i, field in enumerate(dataclasses.fields(cls))}
    return cls


def flag() -> Any:
    """Declares a field of a packable class that is bool."""
    return dataclasses.field(metadata={"flag": True})


def is_flag(field: dataclasses.Field[Any]) -> bool:
    """Whether a field of a packable class was declared as a `flag`."""
    return "flag" in field.metadata


def pack(state: Any) -> PackedState:
    """A state with an array for every field, all of one shape -> the same state in one array."""
    columns = [getattr(state, name).astype(jnp.int32) for name in _INDEX[type(state)]]
    return PackedState(jnp.stack(columns, axis=-1), type(state))


def unpack(state: Any) -> Any:
    """The state with an array for every field; one that is not packed is given back."""
    return state.unpack() if isinstance(state, PackedState) else state
