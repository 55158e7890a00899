"""One contender in a process of its own: prepares, then measures once for each line "go" on its standard input.

    python -m benchmarks.worker benchmarks.contenders.environments:rollout '{"kind": "consumed", ...}'

Answers are JSON lines on standard output: {"ready": facts} or {"missing": reason} or {"error": reason} once, then
{"measured": numbers} or {"error": reason} for every "go". Between them it waits for input and takes no processor time.
Only the standard library is imported before the clock of `import_s` starts.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

Measure = Callable[[], dict[str, float]]


def main() -> None:
    """Serve until standard input ends."""
    entry, settings = sys.argv[1], json.loads(sys.argv[2])
    # libraries that print must not answer for us: what they write goes to standard error
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(kind: str, content: Any) -> None:
        print(json.dumps({kind: content}), file=answers)

    try:
        measure, facts = _prepare(entry, settings)
    except ImportError as error:
        answer("missing", _reason(error))
        return
    except Exception as error:
        answer("error", _reason(error))
        return
    answer("ready", facts)
    for line in sys.stdin:
        if line.strip() != "go":
            continue
        try:
            answer("measured", measure())
        except Exception as error:
            answer("error", _reason(error))
            return


def _prepare(entry: str, settings: dict[str, Any]) -> tuple[Measure, dict[str, Any]]:
    warnings.simplefilter("ignore")  # of other people's libraries, while they are imported
    module, _, function = entry.partition(":")
    began = time.perf_counter()
    prepare = getattr(importlib.import_module(module), function)
    import_s = time.perf_counter() - began
    measure, facts = prepare(**settings)
    return measure, {"import_s": import_s, **facts, "prepare_s": time.perf_counter() - began}


def _reason(error: Exception) -> str:
    """One line for the table; the whole of it on standard error."""
    traceback.print_exc()
    first = str(error).strip().splitlines()
    return f"{type(error).__name__}: {first[0] if first else 'no message'}"


if __name__ == "__main__":
    main()
