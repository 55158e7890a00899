"""How far a command has come, on stderr: a bar on a terminal, elsewhere lines."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LINE_SECONDS = 2.0  # between two lines where there is no terminal


@contextlib.contextmanager
def told(name: str) -> Iterator[Callable[[int, int, str], None]]:
    """A function of things done, things in all, and what was done or is next; what is left is told in seconds."""
    console = Console(stderr=True, highlight=False)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    began = last = time.monotonic()
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(name)

        def tell(done: int, total: int, what: str) -> None:
            nonlocal last
            bar.update(task, completed=done, total=total, description=what)
            now = time.monotonic()
            if not console.is_terminal and (done in (0, total) or now - last >= LINE_SECONDS):
                last = now
                left = f", about {(now - began) / done * (total - done):.0f} s left" if 0 < done < total else ""
                console.print(f"{done} of {total}: {what}{left}", soft_wrap=True)

        yield tell
