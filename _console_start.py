"""The start of both programs, before JAX is imported: what a console can do to a program, without a trace.

It stands beside the packages because whatever lies in one of them is imported after it.
"""

import contextlib
import gc
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib.abc import Loader
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

CLOSED_PIPE = 128 + 13  # exit status of a program that SIGPIPE ends
STOPPED = 128 + 2  # and of one that SIGINT ends
_SELDOM_USED = {
    "empyrical",
    "matplotlib.pyplot",
    "scipy.special",
    "scipy.stats",
    "seaborn",
}  # reports, gymnax's pictures


def trading_gymnax() -> None:
    """The command `trading-gymnax`."""
    start("trading-gymnax", "trading_gymnax.cli.main")


def purejaxrl_ppo() -> None:
    """The command `purejaxrl-ppo`."""
    start("purejaxrl-ppo", "purejaxrl_ppo.cli.main")


def start(program: str, module: str) -> None:
    """Import a module and run its `main`.

    A character that the console lacks is printed as "?". Ctrl-C while the imports go on ends with one line, and so does
    what is printed into a pipe that nobody reads, `trading-gymnax params | head` say, with none.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a stream may be closed, or be something else's
            stream.reconfigure(errors="replace")
    sys.meta_path.insert(0, _LaterFinder)
    gc.set_threshold(50_000, 20, 20)  # tracing a program makes many objects, nearly all of which stay: a fifth faster
    try:
        with while_importing(program):
            main = importlib.import_module(module).main
        try:
            main()
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # for what Python still writes at its end
        raise SystemExit(CLOSED_PIPE) from None


class _LaterFinder:
    """Has the modules of `_SELDOM_USED` executed when they are asked for a name, and not when they are imported.

    That is a fifth of the time in which a training starts. (A module of `importlib.util.LazyLoader` is executed as soon
    as it is imported a second time.)
    """

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        """The module's own spec, executed later; None for all other modules."""
        spec = PathFinder.find_spec(name, path) if name in _SELDOM_USED else None
        if spec is not None and spec.loader is not None:
            spec.loader = _LaterLoader(spec.loader)
        return spec


class _LaterLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        module.__class__ = _Unexecuted


class _Unexecuted(ModuleType):
    """It has what the import system sets, and becomes an ordinary module with the first other name."""

    def __getattr__(self, name: str) -> Any:
        self.__class__ = ModuleType  # type: ignore[assignment]
        loader: Any = self.__loader__
        loader.exec_module(self)
        return getattr(self, name)


@contextlib.contextmanager
def while_importing(program: str) -> Iterator[None]:
    """Ctrl-C ends the process with one line, and no garbage is looked for, then or later, in what is there to stay.

    That takes a tenth of the time of `check`.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        with _stopped_at_once(program):
            yield
    finally:
        if collects:
            gc.freeze()
            gc.enable()


@contextlib.contextmanager
def _stopped_at_once(program: str) -> Iterator[None]:
    """Ctrl-C ends the process with one line, as long as imports go on: an exception could be swallowed by one of them.

    In the main thread alone, where signals can be handled; in the background of a shell all stays as it is.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: Any) -> None:
        os.write(2, f"{program}: stopped before it began\n".encode())
        os._exit(STOPPED)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
