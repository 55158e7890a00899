"""Checkpoints by Orbax: written whole or not at all, checked when read, the newest sound one is taken."""

import errno
import functools
import hashlib
import logging
import os
import pathlib
import shutil
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_ppo.failures import CheckpointError

Arrays = dict[str, Any]  # NumPy arrays by path
log = logging.getLogger("purejaxrl_ppo")
_MEGABYTE = 1 << 20


def _orbax() -> Any:
    """The library, imported where something is saved or read: it takes a quarter of a second, and `make_train` none."""
    with warnings.catch_warnings():  # its dependencies warn while they are imported
        warnings.simplefilter("ignore")
        import orbax.checkpoint as ocp
    return ocp


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


def blank_arrays(target: Any) -> Arrays:
    """Zeros in the place of `to_arrays`' arrays of a pytree like `target` (arrays or shapes)."""

    def blank(leaf: Any) -> np.ndarray:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        shape = jax.eval_shape(jax.random.key_data, leaf) if is_key else leaf
        return np.zeros(shape.shape, shape.dtype)

    return {_name(path): blank(leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(target)[0]}


class Checkpoints:
    """The newest `keep` checkpoints of a folder.

    Every checkpoint holds groups of arrays ("state", "policy", ...) and a small JSON record. Orbax writes
    into a temporary folder and renames it, so a killed process leaves the older ones untouched. A SHA-256
    digest of the arrays is part of the record and is compared when they are read.
    """

    def __init__(self, folder: pathlib.Path, keep: int | None, read_only: bool = False) -> None:
        self._folder, self._keep, self._read_only = folder.absolute(), keep, read_only
        if not read_only:
            self._folder.mkdir(parents=True, exist_ok=True)
        _RAISED.folders.add(str(self._folder))
        logging.getLogger("absl").addFilter(_RAISED)  # once, however often it is added

    @functools.cached_property
    def _manager(self) -> Any:
        """Orbax's part, made where something is saved or read: a new run has made its first update before."""
        ocp = _orbax()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=self._keep,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=not self._read_only,
            create=False,
            multiprocessing_options=_this_process(),
        )
        return ocp.CheckpointManager(self._folder, options=options)

    def save(self, iteration: int, groups: dict[str, Arrays], record: dict[str, Any]) -> None:
        """Write one checkpoint; an existing one of the same iteration is replaced.

        Raises:
            CheckpointError: when it cannot be written; the older ones stay.
        """
        try:
            _check_room(self._folder, sum(array.nbytes for arrays in groups.values() for array in arrays.values()))
            self._save(iteration, groups, record)
        except Exception as error:  # Orbax raises many kinds
            raise CheckpointError(
                f"the checkpoint of iteration {iteration:,} cannot be written to {self._folder} ({_reason(error)}): "
                "what was saved before stays; once that is put right, the run goes on from there"
            ) from error

    def _save(self, iteration: int, groups: dict[str, Arrays], record: dict[str, Any]) -> None:
        if iteration in self._manager.all_steps():
            self._manager.delete(iteration)
        record = {**record, "iteration": iteration, "digests": {k: digest(v) for k, v in groups.items()}}
        ocp = _orbax()
        items = {name: ocp.args.StandardSave(arrays) for name, arrays in groups.items()}
        args = ocp.args.Composite(**items, record=ocp.args.JsonSave(record))
        self._manager.save(iteration, args=args, force=True)
        self._manager.wait_until_finished()

    def steps(self) -> list[int]:
        """Iterations that have a checkpoint, newest first."""
        nothing = not any(self._folder.glob("*"))
        return [] if nothing else sorted(self._manager.all_steps(), reverse=True)

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
                log.warning("checkpoint %s is damaged and skipped: %s", self._folder / str(step), _reason(error))
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
        if "_manager" in vars(self):
            self._manager.close()

    def _read(self, step: int, groups: tuple[str, ...]) -> tuple[dict[str, Arrays], dict[str, Any]]:
        ocp = _orbax()
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


def _this_process() -> Any:
    """Orbax's options for a process that reads and writes alone, whatever the others do."""
    number, ocp = jax.process_index(), _orbax()
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    return ocp.options.MultiprocessingOptions(
        primary_host=number, active_processes={number}, barrier_sync_key_prefix=f"process_{number}"
    )


def digest(arrays: Arrays) -> str:
    """SHA-256 of names, types, shapes and contents."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name}|{array.dtype}|{array.shape}|".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _check_room(folder: pathlib.Path, size: int) -> None:
    """Reserve so many bytes, and some for Orbax's own files, and give them back: nothing is written.

    Raises OSError where there is no such room, a quota or a limit on the size of files included where the system can
    reserve.
    """
    reserve = getattr(os, "posix_fallocate", None)
    if reserve is None:  # macOS, Windows
        if shutil.disk_usage(folder).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return
    probe = folder / "probe.partial"
    try:
        with probe.open("wb") as file:
            reserve(file.fileno(), 0, size + _MEGABYTE)
    finally:
        probe.unlink(missing_ok=True)


class _Raised(logging.Filter):
    """Keeps off the terminal what Orbax's threads log of errors in our folders: the same is raised to who saves.

    Nothing else is held back, by whatever thread and at whatever time it is logged, and no stream is redirected.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folders: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        of_orbax = "orbax" in pathlib.PurePath(record.pathname).parts and record.levelno >= logging.ERROR
        return not (of_orbax and any(folder in record.getMessage() for folder in self.folders))


_RAISED = _Raised()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).strip()
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO):
        if os.strerror(number) in text:  # at the end of a page about TensorStore's inner parts
            return os.strerror(number)
    return text.splitlines()[0][:200] if text else type(error).__name__


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".") or "value"


def _key_data(leaf: Any) -> Any:
    leaf = leaf if hasattr(leaf, "dtype") else jnp.asarray(leaf)
    return jax.random.key_data(leaf) if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf
