"""Errors as a reader meets them: which is a refusal of ours, and which known name was meant."""

import difflib
import dis
from collections.abc import Iterable, Mapping
from types import TracebackType


def nearest(name: str, known: Iterable[str] | Mapping[str, str], otherwise: str = "", cutoff: float = 0.5) -> str:
    """The end of an error message: the nearest right name, else `otherwise`, or where that is "" all of them.

    known: names, which are quoted; or each name with how it is shown.
    """
    shown = known if isinstance(known, Mapping) else {one: repr(one) for one in known}
    close = difflib.get_close_matches(name, list(shown), n=1, cutoff=cutoff)
    return f": did you mean {shown[close[0]]}?" if close else f": {otherwise or 'there are ' + ', '.join(shown)}"


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
