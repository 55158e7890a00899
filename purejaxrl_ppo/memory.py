"""Sizes that the memory cannot hold: refused before anything is allocated where that can be known, else in words."""

import contextlib
import math
import os
import pathlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from purejaxrl_ppo.config import PPOConfig
    from purejaxrl_ppo.wrappers import EnvSpec

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_CONTROL_GROUP = pathlib.Path("/sys/fs/cgroup")
_STEP_BYTES = 19  # of a rollout's step besides observation, mask and action: four float32, three flags
_UNLIMITED = 1 << 60  # limits from here on stand for none
_WANTED = re.compile(r"(?:of size )?([\d.]+)\s*(bytes|[KMGTPE]i?B)\b")
_PREFIX = {"b": 0, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


class OutOfMemory(MemoryError):
    """More memory is wanted than there is; the message says how much, and which setting to lower."""


def available_bytes() -> int | None:
    """Memory of JAX's default device; on a CPU that of the machine, or less where the process is limited.

    None where it cannot be told.
    """
    import jax

    device = jax.local_devices()[0]
    if device.platform != "cpu":
        return (device.memory_stats() or {}).get("bytes_limit")
    limits = [_physical_bytes(), _control_group_bytes()]
    if resource is not None:
        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    known = [limit for limit in limits if limit is not None and 0 < limit < _UNLIMITED]
    return min(known) if known else None


def training_bytes(
    config: "PPOConfig", spec: "EnvSpec", state: Any, keeps_states: bool, eval_episodes: int = 0, parts: int = 1
) -> dict[str, int]:
    """What a training holds at least, in bytes, by the setting that it grows with. Bars and other parameters of the
    environment, temporary arrays and programs come on top.

    Args:
        state: `TrainState` of shapes, by `jax.eval_shape`.
        keeps_states: whether the rollout keeps states instead of observations (`rollout.keeps_states`).
        eval_episodes: environments that are evaluated side by side.
        parts: memories over which the environments are shared out.
    """
    runner = tree_bytes(state.runner)
    source = 4 * spec.obs_size
    if keeps_states:  # and with them the GRU's memory, from which final observations are valued
        source = tree_bytes((state.runner.env_state, state.runner.memory)) // config.num_envs
    step = _STEP_BYTES + source + 4 * math.prod(spec.action.shape) + spec.masked * spec.action.num_actions
    return {
        "hidden_sizes or gru_size" if config.recurrent else "hidden_sizes": tree_bytes((state.params, state.opt_state)),
        "num_envs": (runner + tree_bytes(state.discounted_return)) // parts,
        "num_envs x num_steps": config.batch_size * step // parts,
        "eval_episodes": runner // config.num_envs * eval_episodes,
    }


def check_memory(what: str, parts: dict[str, int]) -> None:
    """Refuse what cannot fit.

    Args:
        what: that wants the memory, "training" say.
        parts: bytes by the setting that they grow with.

    Raises:
        OutOfMemory: naming the sum, the memory that there is, and the settings behind the largest part.
    """
    there, wanted = available_bytes(), sum(parts.values())
    if there is None or wanted <= there:
        return
    name, most = max(parts.items(), key=lambda part: part[1])
    raise OutOfMemory(
        f"{what} wants at least {size_text(wanted)} of memory, and there are {size_text(there)}: "
        f"lower {name}, which takes {size_text(most)} of it"
    )


@contextlib.contextmanager
def memory_in_words(what: str, lower: str) -> Iterator[None]:
    """Errors of XLA, NumPy, PyArrow and Python that mean too little memory become one sentence; the cause is chained.

    Args:
        what: that ran, "training" say.
        lower: the settings to lower, "num_envs or num_steps" say.

    Raises:
        OutOfMemory: in place of such an error; others pass.
    """
    try:
        yield
    except OutOfMemory:
        raise
    except (MemoryError, RuntimeError) as error:  # XLA's are RuntimeErrors
        if not isinstance(error, MemoryError) and "RESOURCE_EXHAUSTED" not in str(error):
            raise
        wanted = _WANTED.search(str(error))
        much = f" when {_size_of(*wanted.groups())} more were wanted" if wanted else ""
        raise OutOfMemory(f"{what} ran out of memory{much}: lower {lower}") from error


def tree_bytes(tree: Any) -> int:
    """Bytes of all arrays or shapes in a pytree."""
    import jax

    return sum(int(leaf.size) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def size_text(size: float) -> str:
    """1,234,000,000 -> "1.2 GB"."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def _size_of(number: str, unit: str) -> str:
    """The text of what XLA wrote as "7516192768 bytes" or NumPy as "7.00 GiB"."""
    return size_text(float(number) * (1024 if "i" in unit else 1000) ** _PREFIX[unit[0]])


def _physical_bytes() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows; names that the system lacks
        return None


def _control_group_bytes() -> int | None:
    """Limit of the process's own control group, version 2; a container's is mounted at the root."""
    try:
        path = pathlib.Path("/proc/self/cgroup").read_text().partition("0::")[2].strip()
        return int((_CONTROL_GROUP / path.lstrip("/") / "memory.max").read_text())
    except (OSError, ValueError):  # another system, or "max"
        return None
