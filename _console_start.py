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
from collections.abc import Iterator
from typing import Any

CLOSED_PIPE = 128 + 13  # exit status of a program that SIGPIPE ends
STOPPED = 128 + 2  # and of one that SIGINT ends


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
