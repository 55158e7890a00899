"""The two programs of a training kept on disk whole, so that its second start traces and lowers nothing.

JAX's cache finds what was compiled by the lowered program, so each start has to trace and lower it anew. Here it is
found by what it was made from: the files of all modules that were imported by then (a source counts as unchanged where
Python itself would take its compiled form: same size, same time of change), JAX's settings and devices, the variables
that steer XLA, the trainer's settings, the shapes of all arguments, and a text of the caller's that tells everything
else. What is not known to be the same, or cannot be read, is traced as ever. A compiled program is code, and so is its
file: one that somebody else owns or could have written is not read.
"""

import contextlib
import hashlib
import logging
import os
import pathlib
import pickle
import sys
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jaxlib
from jax.experimental import serialize_executable

_FOLDER = "whole_programs"  # within that of JAX's cache, which looks at files of its own alone
_MOST = 16  # the last ones used
_STEERING = ("XLA_", "JAX_", "TF_", "CUDA_", "NVIDIA_")  # variables, by how their names begin
_hits = threading.local()  # JAX tells of a hit in the thread that compiles
_counted: list[Any] = []
log = logging.getLogger("purejaxrl_ppo")


class Kept(NamedTuple):
    """What was kept for a start; programs as the bytes for `loaded`."""

    about: Any  # what the caller learnt while it traced
    init: bytes
    chunk: bytes


class ProgramStore:
    """The file of one pair of programs."""

    def __init__(self, folder: pathlib.Path, made_from: bytes) -> None:
        self._path = folder / hashlib.sha256(made_from).hexdigest()
        self._programs: dict[str, bytes] = {}

    @staticmethod
    def of(text: str, config: Any, arguments: Any) -> "ProgramStore | None":
        """Where the programs of a training are kept; None where JAX keeps none on disk, and on a CPU.

        There a program that was written and read again can lack functions and end the process, once it is called.

        Args:
            text: tells everything that environment and schedule are made from, besides their modules' code.
            config: settings of the trainer, whose text tells all of them.
            arguments: of the programs; only their structure and shapes count.
        """
        settings = dict(jax.config.values)
        folder = settings["jax_compilation_cache_dir"]
        kept_at_all = settings["jax_enable_compilation_cache"] and folder and "://" not in folder
        if not kept_at_all or jax.default_backend() == "cpu":
            return None
        leaves, structure = jax.tree.flatten(arguments)
        kinds = [(x.shape, str(x.dtype), x.weak_type) for x in map(jax.typeof, leaves)]
        devices = [(d.platform, d.device_kind, d.client.platform_version) for d in jax.devices()]
        steering = sorted(item for item in os.environ.items() if item[0].startswith(_STEERING))
        parts = (text, repr(config), sys.version, jax.__version__, jaxlib.__version__, devices, steering, kinds)
        known = repr((parts, sorted(map(repr, settings.items())))).encode() + pickle.dumps(structure)
        return ProgramStore(pathlib.Path(folder) / _FOLDER, known)

    def load(self) -> Kept | None:
        """What `save` kept; None where there is nothing, or other modules were imported then."""
        try:
            with self._path.open("rb") as file:
                if not _is_private(file.fileno()):
                    log.warning("%s is not read: others could have written it; delete it", self._path)
                    return None
                files, kept = pickle.load(file)
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever a damaged file raises
            log.warning("%s cannot be read (%s): its programs are made anew", self._path, error)
            return None
        now = _files()
        if any(files.get(path, ()) != stamp for path, stamp in now.items()):
            return None
        if any(_stamp(path) != stamp for path, stamp in files.items()):
            return None
        with contextlib.suppress(OSError):
            os.utime(self._path)
        return kept

    def compiled(self, name: str, lowered: Any) -> Any:
        """A program compiled, and its bytes put by for `save`; not of one that came from JAX's cache.

        Whether what was read can be written again depends on the compiler: that of a CPU leaves functions out.
        """
        before = _hits_of_this_thread()
        program = lowered.compile()
        if _hits_of_this_thread() > before:
            return program
        try:
            self._programs[name] = pickle.dumps(serialize_executable.serialize(program))
        except Exception as error:  # of a kind that this JAX cannot write
            log.warning("the compiled programs are not kept whole: %s", error)
        return program

    def save(self, about: Any) -> None:
        """Keep the programs that `compiled` saw, if it saw both, and what the caller wants to know of them."""
        if len(self._programs) < len(Kept._fields) - 1:
            return
        data = pickle.dumps((_files(), Kept(about, **self._programs)))
        self._programs.clear()
        partial = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial.unlink(missing_ok=True)
            with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(data)
            partial.replace(self._path)
            for old in sorted(self._path.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-_MOST]:
                old.unlink(missing_ok=True)
        except OSError as error:
            log.warning("the compiled programs are not kept whole: %s", error)


def loaded(program: bytes, otherwise: Callable[..., Any]) -> Callable[..., Any]:
    """A program of `ProgramStore.load`, ready to be called; `otherwise` where it cannot be read."""
    try:
        return serialize_executable.deserialize_and_load(*pickle.loads(program))
    except Exception as error:  # of a driver that takes it no longer, say
        log.warning("a compiled program cannot be read (%s): it is made anew", error)
        return otherwise


def _hits_of_this_thread() -> int:
    """How many programs it found in JAX's cache, counted from the first call on."""
    if not _counted:
        _counted.append(_hit)
        jax.monitoring.register_event_listener(_hit)
    return getattr(_hits, "count", 0)


def _hit(event: str, **_: Any) -> None:
    if event == "/jax/compilation_cache/cache_hits":
        _hits.count = getattr(_hits, "count", 0) + 1


def _files() -> dict[str, Any]:
    """Stamps of the files of all modules that are imported."""
    found = (getattr(module, "__dict__", {}).get("__file__") for module in list(sys.modules.values()))
    return {path: _stamp(path) for path in found if isinstance(path, str)}


def _is_private(file: int) -> bool:
    """Whether an open file is the user's own, and nobody else may write it."""
    status = os.fstat(file)
    return status.st_uid == os.getuid() and not status.st_mode & 0o022


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:  # within an archive, say
        return None
    return status.st_size, status.st_mtime_ns
