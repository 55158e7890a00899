"""Compiled programs kept on disk, so that the second run of a command starts in seconds.

JAX does the keeping (its "persistent compilation cache"); here is only where, how much, and when not. A library must
not change a program's settings, so the command lines call this and nothing else does.
"""

import hashlib
import os
import pathlib
import platform

import jax
from jax.experimental.compilation_cache import compilation_cache

_MOST_BYTES = 2_000_000_000  # the least recently used programs go first
_WORTH_KEEPING_S = 0.3  # programs that compile faster are not kept


def use_compilation_cache() -> pathlib.Path | None:
    """Keep compiled programs in the user's cache folder; returns it, or None where none is used.

    JAX's own settings go first: a folder in JAX_COMPILATION_CACHE_DIR is taken as it is, and
    JAX_ENABLE_COMPILATION_CACHE=false keeps nothing. A folder that cannot be written is left alone.
    """
    settings = jax.config.values
    if not settings["jax_enable_compilation_cache"] or settings["jax_compilation_cache_dir"]:
        return None
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_compilation_cache_max_size", _MOST_BYTES)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _WORTH_KEEPING_S)
    compilation_cache.reset_cache()  # whoever compiled before, as an import of gymnax does, has found none
    return folder


def cache_folder() -> pathlib.Path:
    """`purejaxrl_ppo/<jax version>-<machine>` below XDG_CACHE_HOME, or below `.cache` in the home folder.

    A CPU's programs use what that very processor can do, so a home that several machines share has a folder for each
    kind of them.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    root = pathlib.Path(base) if base else pathlib.Path.home() / ".cache"
    return root / "purejaxrl_ppo" / f"{jax.__version__}-{platform.machine()}-{_processor()}"


def _processor() -> str:
    """Eight digits of what the processor says it can do; of its name where the system does not list that."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    able = sorted({line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))})
    return hashlib.sha256("\n".join(able or [platform.processor()]).encode()).hexdigest()[:8]
