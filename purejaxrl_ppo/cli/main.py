"""The command line: `purejaxrl-ppo train | resume | evaluate | sweep`."""

import contextlib
import importlib
import importlib.metadata
import os
import sys
import traceback
from typing import Any

from _console_start import while_importing
from purejaxrl_ppo.cli.commands import Evaluate, Resume, Sweep, Train, commands
from purejaxrl_ppo.cli.errors import TRACEBACK, parse_command_line, wants_trace
from purejaxrl_ppo.failures import CheckpointError, ProcessLost
from purejaxrl_ppo.memory import memory_in_words

LOST = 3  # exit status where another process was lost: start all again, unlike 2, which says that input was wrong
_ABOUT = "Train PPO on any gymnax environment, go on with a run that was stopped, play its policy, search settings."


def main(args: list[str] | None = None) -> None:
    """Run the command line; wrong input ends with one sentence and status 2, a fault of ours with its trace and 1."""
    own_process = args is None  # and not a call from Python
    typed = sys.argv[1:] if args is None else list(args)
    args = [arg for arg in typed if arg != TRACEBACK]
    if args == ["--version"]:
        print(f"purejaxrl-ppo of trading-gymnax {importlib.metadata.version('trading-gymnax')}")
        return
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # `train my_module:MyEnv` beside my_module.py
    try:
        command = parse_command_line(commands(args), prog="purejaxrl-ppo", args=args, description=_ABOUT)
        with memory_in_words(args[0], "num_envs, num_steps, hidden_sizes or the number of episodes"):
            _run(command, own_process)
    except BrokenPipeError:
        raise  # nobody reads: no sentence either
    except (ValueError, OSError, FloatingPointError, CheckpointError, TypeError, MemoryError) as error:
        if not wants_trace(error, typed, "purejaxrl_ppo"):
            _end(str(error), 2)
        if not _distributed():
            raise
        traceback.print_exc()
        os._exit(1)
    except ProcessLost as error:
        _end(str(error), 2 if error.wrong_input else LOST)
    except KeyboardInterrupt:
        rest = "a search starts anew" if args[:1] == ["sweep"] else "`resume` goes on from the last checkpoint"
        print(f"purejaxrl-ppo: stopped at once; {rest}", file=sys.stderr)
        raise SystemExit(130) from None


def _end(sentence: str, status: int) -> None:
    """Say why and leave; at once where there are other processes, for an orderly end would wait for them."""
    print(f"purejaxrl-ppo: {sentence}", file=sys.stderr, flush=True)
    if _distributed():
        os._exit(status)
    raise SystemExit(status) from None


def _distributed() -> bool:
    """Whether JAX has met other processes; it has not where it was never imported."""
    return "jax" in sys.modules and bool(sys.modules["jax"].distributed.is_initialized())


_WORK: dict[type, tuple[str, str]] = {
    Train: ("training", "train"),
    Resume: ("training", "resume"),
    Evaluate: ("training", "evaluate"),
    Sweep: ("sweep", "run_sweep"),
}


def _run(command: Any, own_process: bool) -> None:
    """Import what does the work, and JAX with it, only now: help and mistakes need neither."""
    module, function = _WORK[type(command)]
    with while_importing("purejaxrl-ppo") if own_process else contextlib.nullcontext():
        work = getattr(importlib.import_module(f"purejaxrl_ppo.cli.{module}"), function)
        if own_process:
            importlib.import_module("purejaxrl_ppo.compilation_cache").use_compilation_cache()
    work(command)


if __name__ == "__main__":
    main()
