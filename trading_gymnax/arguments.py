"""Reading a command line: unknown names get the nearest right one, `name=value` pairs become numbers."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence


def refuse_unknown(args: Sequence[str], options: Mapping[str, Sequence[str]]) -> None:
    """See that the first argument is a command and that every --option is one of its own.

    Args:
        args: as typed.
        options: by command, the names of its options without the dashes.

    Raises ValueError with the nearest name that exists.
    """
    if not args or args[0] in ("-h", "--help"):
        return
    if args[0] not in options:
        raise ValueError(f"there is no command {args[0]!r}{_nearest(args[0], list(options))}")
    names = options[args[0]]
    flags = [f"--{name}" for name in names]
    known = {*flags, *(f"--no-{name}" for name in names), "--help"}
    for arg in args[1:]:
        flag = arg.partition("=")[0].replace("_", "-")
        if flag.startswith("--") and flag not in known:
            raise ValueError(f"{args[0]} has no option {flag}{_nearest(flag, flags)}")


def parse_changes(pairs: Sequence[str]) -> dict[str, float | bool]:
    """`name=value` arguments as numbers; inf, true and false are understood.

    Raises ValueError for a pair without "=", a value that is no number, and a name given twice.
    """
    values: dict[str, float | bool] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"--set {pair} is not of the form name=value, sl_atr_mult=2.0 say")
        if name in values:
            raise ValueError(f"--set names {name} twice")
        values[name] = _number(name, text)
    return values


def _number(name: str, text: str) -> float | bool:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--set {name}={text}: {text!r} is not a number") from None


def _nearest(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else f": there are {', '.join(names)}"
