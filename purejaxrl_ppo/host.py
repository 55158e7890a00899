"""What the host loop needs from its surroundings: signals, JAX's switches, checks of arguments and numbers."""

import logging
import os
import pathlib
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_ppo.config import check_config
from purejaxrl_ppo.hyperparameters import Hyperparameters
from purejaxrl_ppo.options import FitOptions
from purejaxrl_ppo.policy import Policy
from purejaxrl_ppo.trackers import Tracker

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "lock"
log = logging.getLogger("purejaxrl_ppo")


def check_arguments(env: Any, config: Any, **others: Any) -> None:
    """Refuse what stands in the wrong place. Raises ValueError saying what is expected there.

    Args:
        env, config: of `fit` or `sweep`.
        others: options, params_schedule, hyperparameters, warm_start and trackers, as far as there are.
    """
    for name in ("reset", "step", "action_space"):  # of a gymnasium environment, action_space is no method
        if isinstance(env, type) or not callable(getattr(env, name, None)):
            raise ValueError(
                f"env must be a gymnax environment, as in env, env_params = gymnax.make('CartPole-v1'); got {env!r:.60}"
            )
    check_config(config)
    fits: dict[str, tuple[Callable[[Any], bool], str]] = {
        "options": (lambda x: isinstance(x, FitOptions), "FitOptions"),
        "params_schedule": (callable, "a function of progress and env_params"),
        "hyperparameters": (lambda x: isinstance(x, Hyperparameters), "Hyperparameters"),
        "warm_start": (lambda x: isinstance(x, Policy), "a Policy, as load_policy(folder) returns"),
        "trackers": (
            lambda x: isinstance(x, list | tuple) and all(isinstance(one, Tracker) for one in x),
            "a list of objects of purejaxrl_ppo.Tracker",
        ),
    }
    for name, value in others.items():
        fit, words = fits[name]
        if value is not None and not fit(value):
            raise ValueError(f"{name} must be {words}, or None; got {value!r:.60}")


def refuse_tracers(tree: Any, caller: str = "fit") -> None:
    """Raises ValueError when a leaf is traced: the host loop cannot be part of a program."""
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(tree)):
        raise ValueError(f"{caller} runs on the host: it cannot run inside jit, vmap or grad: use make_train there")


def one_run(hyper: Hyperparameters) -> Hyperparameters:
    """`hyper` as float32 scalars; raises ValueError for a field that is none."""
    for name, value in vars(hyper).items():
        if np.shape(value):
            raise ValueError(
                f"hyperparameters.{name} has the shape {np.shape(value)}: fit trains once, with scalars; to train with "
                "several values side by side, vmap make_train's function over them"
            )
    return jax.tree.map(lambda value: jnp.asarray(value, jnp.float32), hyper)


def check_numbers(rows: list[dict[str, float]], arrays: dict[str, Any], checkpoints: pathlib.Path) -> None:
    """Refuse to go on with numbers that are none.

    Args:
        rows: metrics of the chunk's iterations.
        arrays: network parameters and statistics of the normalisers after it, by name.
        checkpoints: folder named in the message.

    Raises:
        FloatingPointError: naming the first metric or array that is NaN or infinite, and its iteration. Values of a
            schedule come first, and may be infinite.
    """
    any_there = checkpoints.is_dir() and any(step.name.isdigit() for step in checkpoints.iterdir())
    stays = f"the last good checkpoint in {checkpoints} stays" if any_there else "no checkpoint was written before it"
    stays += "; --debug-nans (FitOptions.debug_nans) finds the operation"
    for row in rows:
        scheduled = [name for name in row if name.startswith("schedule/")]  # first: the cause of what else is wrong
        for name in (*scheduled, *row):
            # a limit that a schedule switches off is infinite
            if np.isnan(row[name]) or (np.isinf(row[name]) and name not in scheduled):
                raise FloatingPointError(f"{name} is {row[name]} in iteration {int(row['iteration']):,}: {stays}")
    last = int(rows[-1]["iteration"])
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise FloatingPointError(f"{name} is not finite after iteration {last:,}: {stays}")


@contextmanager
def interruptible(quiet: bool = False) -> Iterator[Callable[[], bool]]:
    """Turn the first SIGTERM or SIGINT into a flag, and say so; the second acts as usual."""
    flag = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield flag.is_set
        return
    old: dict[int, Any] = {}

    def restore() -> None:
        for number, handler in old.items():
            signal.signal(number, handler)

    def handle(number: int, frame: Any) -> None:
        flag.set()
        restore()
        if not quiet:  # past Python's buffers, which the signal may have interrupted
            os.write(2, b"\nstopping as soon as the running chunk is saved; once more stops at once\n")

    for number in (signal.SIGTERM, signal.SIGINT):
        old[number] = signal.signal(number, handle)
    try:
        yield flag.is_set
    finally:
        restore()


@contextmanager
def only_process(folder: pathlib.Path) -> Iterator[None]:
    """Keep the run's folder, created if missing, for this process.

    The kernel releases it when the process ends, however it ends; the file `lock` that stays behind locks nothing.

    Raises:
        ValueError: when another process has the folder, naming it, or when nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK_FILE).open("a+")
    except OSError as error:
        raise ValueError(f"nothing can be written to {folder}: {error.strerror}; use another run_dir") from error
    with file:
        _lock(file, folder)
        yield


def _lock(file: IO[str], folder: pathlib.Path) -> None:
    if fcntl is None:
        log.warning("files cannot be locked here: see that no other process trains in %s", folder)
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise ValueError(
            f"process {file.read().strip()} is training in {folder}: wait for it or stop it, or use another run_dir"
        ) from None
    except OSError as error:  # some network file systems know no locks
        log.warning("%s cannot be locked (%s): see that no other process trains in it", folder, error.strerror)
        return
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()


@contextmanager
def jax_settings(options: FitOptions) -> Iterator[None]:
    """JAX's NaN check and compilation cache for the time of a run."""
    wanted: dict[str, Any] = {"jax_debug_nans": True} if options.debug_nans else {}
    if options.compilation_cache is not None:
        wanted["jax_compilation_cache_dir"] = str(options.compilation_cache)
        wanted["jax_persistent_cache_min_compile_time_secs"] = 0.5
    before = {name: getattr(jax.config, name) for name in wanted}
    for name, value in wanted.items():
        jax.config.update(name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
