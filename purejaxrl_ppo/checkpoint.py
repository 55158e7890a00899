"""Checkpoints by Orbax: written whole or not at all, checked when read, the newest sound one is taken."""

import hashlib
import logging
import pathlib
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

with warnings.catch_warnings():  # its dependencies warn while they are imported
    warnings.simplefilter("ignore")
    import orbax.checkpoint as ocp

Arrays = dict[str, Any]  # NumPy arrays by path
log = logging.getLogger("purejaxrl_ppo")


class CheckpointError(RuntimeError):
    """No checkpoint of a run can be read."""


def to_arrays(tree: Any) -> Arrays:
    """The leaves of a pytree by their path; typed keys as their data."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {_name(path): np.asarray(_key_data(leaf)) for path, leaf in leaves}


def from_arrays(target: Any, arrays: Arrays) -> Any:
    """A pytree like `target` (arrays or shapes) from `to_arrays`' result.

    Raises:
        ValueError: naming the first leaf that is missing or has another shape or type.
    """

    def take(path: Any, leaf: Any) -> jax.Array:
        name = _name(path)
        if name not in arrays:
            raise ValueError(f"the checkpoint has no {name}")
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        value = jax.random.wrap_key_data(arrays[name]) if is_key else jnp.asarray(arrays[name])
        if value.shape != leaf.shape or value.dtype != leaf.dtype:
            raise ValueError(f"{name} is {value.dtype} {value.shape} in the checkpoint, not {leaf.dtype} {leaf.shape}")
        return value

    return jax.tree_util.tree_map_with_path(take, target)


class Checkpoints:
    """The newest `keep` checkpoints of a folder.

    Every checkpoint holds groups of arrays ("state", "policy", ...) and a small JSON record. Orbax writes
    into a temporary folder and renames it, so a killed process leaves the older ones untouched. A SHA-256
    digest of the arrays is part of the record and is compared when they are read.
    """

    def __init__(self, folder: pathlib.Path, keep: int | None, read_only: bool = False) -> None:
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=not read_only,
            create=not read_only,
        )
        self._folder = folder.absolute()
        self._manager = ocp.CheckpointManager(self._folder, options=options)

    def save(self, iteration: int, groups: dict[str, Arrays], record: dict[str, Any]) -> None:
        """Write one checkpoint; an existing one of the same iteration is replaced."""
        if iteration in self._manager.all_steps():
            self._manager.delete(iteration)
        record = {**record, "iteration": iteration, "digests": {k: digest(v) for k, v in groups.items()}}
        items = {name: ocp.args.StandardSave(arrays) for name, arrays in groups.items()}
        args = ocp.args.Composite(**items, record=ocp.args.JsonSave(record))
        self._manager.save(iteration, args=args, force=True)
        self._manager.wait_until_finished()

    def steps(self) -> list[int]:
        """Iterations that have a checkpoint, newest first."""
        return sorted(self._manager.all_steps(), reverse=True)

    def restore(self, groups: tuple[str, ...]) -> tuple[dict[str, Arrays], dict[str, Any]] | None:
        """Arrays and record of the newest sound checkpoint; None when nothing was ever saved.

        A damaged checkpoint is passed over with a warning.

        Raises:
            CheckpointError: when there are checkpoints and all of them are damaged.
        """
        steps = self.steps()
        for step in steps:
            try:
                return self._read(step, groups)
            except Exception as error:  # Orbax raises many kinds for cut or altered files
                reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
                log.warning("checkpoint %s is damaged and skipped: %s", self._folder / str(step), reason)
        if steps:
            raise CheckpointError(
                f"every checkpoint in {self._folder} is damaged ({', '.join(map(str, steps))}): "
                "restore the folder from a copy, or start a new run in another folder"
            )
        return None

    def remove_newer(self, iteration: int) -> None:
        """Delete checkpoints beyond `iteration`: damaged ones, which a resumed run will write again."""
        for step in self.steps():
            if step > iteration:
                self._manager.delete(step)

    def close(self) -> None:
        """Release Orbax's threads."""
        self._manager.close()

    def _read(self, step: int, groups: tuple[str, ...]) -> tuple[dict[str, Arrays], dict[str, Any]]:
        record = self._manager.restore(step, args=ocp.args.Composite(record=ocp.args.JsonRestore()))["record"]
        read: dict[str, Arrays] = {}
        for name in groups:
            with warnings.catch_warnings():  # about the missing target: the arrays are flat on purpose
                warnings.simplefilter("ignore")
                got = self._manager.restore(step, args=ocp.args.Composite(**{name: ocp.args.StandardRestore()}))
            read[name] = {key: np.asarray(value) for key, value in got[name].items()}
            if digest(read[name]) != record["digests"][name]:
                raise ValueError(f"the digest of its {name} does not match")
        return read, record


def digest(arrays: Arrays) -> str:
    """SHA-256 of names, types, shapes and contents."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name}|{array.dtype}|{array.shape}|".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".") or "value"


def _key_data(leaf: Any) -> Any:
    leaf = leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf)
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
