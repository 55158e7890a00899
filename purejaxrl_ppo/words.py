"""Errors as a reader meets them: which is a refusal of ours, and which known name was meant."""

import difflib
import dis
from collections.abc import Iterable
from types import TracebackType


def closest(name: str, names: Iterable[str], cutoff: float = 0.5) -> str | None:
    """The known name that is most like `name`; None where none is like it."""
    return next(iter(difflib.get_close_matches(name, list(names), n=1, cutoff=cutoff)), None)


def nearest(name: str, names: list[str]) -> str:
    """The end of an error message: the nearest right name, or all of them."""
    close = closest(name, names)
    return f": did you mean {close!r}?" if close else f": there are {', '.join(sorted(names))}"


def is_refusal(error: BaseException, *packages: str) -> bool:
    """Whether `error` was raised by a `raise` statement in the code of one of these packages.

    Such an error is a sentence that was written for whoever gave the input. One that Python, JAX, NumPy or pandas
    raised, though of the same class and though it passed through our functions, is a fault of the program: its trace
    is needed. Told by the innermost frame of the trace and by the instruction at which it left it.
    """
    trace: TracebackType | None = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    code, names = trace.tb_frame.f_code, trace.tb_frame.f_globals
    home = str(names.get("__package__") or names.get("__name__")).partition(".")[0]
    return home in packages and code.co_code[trace.tb_lasti] == dis.opmap["RAISE_VARARGS"]
