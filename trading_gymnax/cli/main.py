"""The command line `trading-gymnax`: reads what was typed, and hands it to the module that does it.

JAX, gymnax and pandas are imported by those modules. Help, mistakes and tables answer without them.
"""

from __future__ import annotations

import contextlib
import contextvars
import importlib
import os
import sys
import threading
from collections.abc import Callable
from typing import Annotated, Any

import tyro

from _console_start import while_importing
from purejaxrl_ppo import (
    TRACEBACK,
    CheckpointError,
    PPOConfig,
    memory_in_words,
    parse_command_line,
    wants_trace,
)
from trading_gymnax.cli.accounts import Accounts
from trading_gymnax.cli.commands import (
    Audit,
    Certify,
    Check,
    Contracts,
    Evaluate,
    Params,
    Report,
    Train,
    WalkForward,
)
from trading_gymnax.cli.config_file import config_path, config_text, merged, read_config
from trading_gymnax.cli.live_commands import Export, Live, Paper, Reconcile
from trading_gymnax.cli.skill_commands import COMMANDS, BarPath, Cpcv, Permute, TradingSweep
from trading_gymnax.cli.trader import TRADER, trader_for
from trading_gymnax.cli.values import typed_parameters
from trading_gymnax.cli.wording import sentence
from trading_gymnax.extras import MissingExtra
from trading_gymnax.version import program_version

_ABOUT = "Day trading of index futures: check bars, train policies, judge them honestly. --version says which this is."
_own_process = contextvars.ContextVar("own process, and not a call from Python", default=False)


def main(args: list[str] | None = None) -> None:
    """Run the command line; wrong input ends with one sentence and status 2, a fault of ours with its trace and 1."""
    _own_process.set(args is None)
    typed = sys.argv[1:] if args is None else list(args)
    args = [arg for arg in typed if arg != TRACEBACK]
    if args == ["--version"]:
        print(program_version())
        return
    try:
        with _while_importing():
            command = _command(args)
        if getattr(command, "show_config", False):
            print(config_text(command))
            return
        with memory_in_words(args[0], _LOWER.get(type(command), "the number of bars")):
            _RUN[type(command)](command)
    except BrokenPipeError:
        raise  # nobody reads: no sentence either
    except (ValueError, OSError, FloatingPointError, CheckpointError, MissingExtra, MemoryError) as error:
        if wants_trace(error, typed, "trading_gymnax", "purejaxrl_ppo"):
            raise
        print(f"trading-gymnax: {sentence(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        rest = "; the same command goes on from the last checkpoint" if args[:1] == ["train"] else ""
        print(f"trading-gymnax: stopped at once{rest}", file=sys.stderr)
        raise SystemExit(130) from None


def _while_importing() -> contextlib.AbstractContextManager[None]:
    return while_importing("trading-gymnax") if _own_process.get() else contextlib.nullcontext()


def _command(args: list[str]) -> Any:
    """The command that was typed, on top of the file of options that it names.

    The trainer's settings are by default those of the device. To ask for the device imports JAX and starts it, so
    everything is read once without it: mistakes and help need not wait.
    """
    command = _read(args, TRADER)
    if not isinstance(command, Train | WalkForward):
        return command
    if isinstance(command, Train) and command.devices is not None:
        importlib.import_module("purejaxrl_ppo").split_cpu(command.devices)
    trader = trader_for(_backend())
    return command if trader == TRADER else _read(args, trader)


def _backend() -> str:
    """The kind of JAX's default device. Raises ValueError where JAX_PLATFORMS names one that is not there."""
    import jax

    try:
        return jax.default_backend()
    except (RuntimeError, AssertionError) as error:  # the latter, without a word, where no plugin knows the platform
        named = os.environ.get("JAX_PLATFORMS", "")
        raise ValueError(f"JAX finds no device of JAX_PLATFORMS={named}: unset it, or use JAX_PLATFORMS=cpu") from error


def _wake(backend: str) -> None:
    """Let an accelerator get ready, which takes it two seconds, while modules are imported."""
    if backend != "cpu":
        import jax

        threading.Thread(target=jax.device_put, args=(0,)).start()


def _on_the_cpu() -> contextlib.AbstractContextManager[Any]:
    """What is computed meanwhile is on the CPU, where JAX has one: gymnax makes an array while it is imported."""
    import jax

    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX_PLATFORMS names the accelerator alone
        return contextlib.nullcontext()


def _read(args: list[str], trader: PPOConfig) -> Any:
    def read(args: list[str], base: Any = None) -> Any:
        commands = _commands(trader, base)
        return parse_command_line(
            commands, prog="trading-gymnax", args=args, description=_ABOUT, elsewhere=typed_parameters()
        )

    path = config_path(args) if args[:1] and args[0] in ("train", "walk-forward") else None
    if path is None:
        command = read(args)
    else:
        base = read_config(path, args[0], read)
        command = merged(read(args, base), base)
    if hasattr(command, "check"):
        command.check()
    return command


def _commands(trader: PPOConfig = TRADER, base: Any = None) -> Any:
    """The commands, of which those that train have `trader` as their settings by default, or all options of `base`."""
    subcommand = tyro.conf.subcommand
    train = base if isinstance(base, Train) else Train(config=trader)
    walk_forward = base if isinstance(base, WalkForward) else WalkForward(config=trader)
    return (
        Annotated[Check, subcommand("check")]
        | Annotated[Contracts, subcommand("contracts")]
        | Annotated[Params, subcommand("params")]
        | Annotated[Accounts, subcommand("accounts")]
        | Annotated[Audit, subcommand("audit")]
        | Annotated[Train, subcommand("train", default=train)]
        | Annotated[WalkForward, subcommand("walk-forward", default=walk_forward)]
        | COMMANDS
        | Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Report, subcommand("report")]
        | Annotated[Certify, subcommand("certify")]
        | Annotated[Live, subcommand("live")]
        | Annotated[Paper, subcommand("paper")]
        | Annotated[Reconcile, subcommand("reconcile")]
        | Annotated[Export, subcommand("export")]
    )


def _work(module: str, function: str, *, compiles: bool = True) -> Callable[[Any], None]:
    """A function of a module of this folder, which is imported when it is called.

    compiles: programs that it compiles are kept for the next time, where it runs in a process of its own.
    """

    def run(command: Any) -> None:
        with _while_importing():
            if compiles:
                _wake(_backend())  # the imports compute: where there is no device, they would end in a trace
            with _on_the_cpu() if compiles else contextlib.nullcontext():
                work = getattr(importlib.import_module(f"trading_gymnax.cli.{module}"), function)
            if compiles and _own_process.get():
                importlib.import_module("purejaxrl_ppo").use_compilation_cache()
        work(command)

    return run


def _report(command: Report) -> None:
    if not importlib.import_module("trading_gymnax.cli.stored").page_stands(command):
        _work("judging", "report")(command)


def _accounts(command: Accounts) -> None:
    if command.run_dir is None:
        _work("accounts", "show", compiles=False)(command)
    else:
        _work("accounts_of_run", "accounts")(command)


_LOWER = dict.fromkeys(
    (Train, WalkForward, Permute, Cpcv, TradingSweep, BarPath),
    "num_envs, num_steps, hidden_sizes, window or the number of bars",
) | {Certify: "the number of sessions"}
_RUN: dict[type, Callable[[Any], None]] = {
    Check: _work("bars", "check", compiles=False),
    Contracts: _work("tables", "contracts", compiles=False),
    Params: _work("tables", "params", compiles=False),
    Accounts: _accounts,
    Audit: _work("bars", "audit", compiles=False),
    Train: _work("training", "train"),
    WalkForward: _work("training", "walk_forward"),
    Certify: _work("training", "certify"),
    Permute: _work("skill", "permute"),
    Cpcv: _work("skill", "cpcv"),
    TradingSweep: _work("skill", "sweep"),
    BarPath: _work("skill", "path"),
    Evaluate: _work("judging", "evaluate"),
    Report: _report,
    Live: _work("live", "live"),
    Paper: _work("live", "paper"),
    Reconcile: _work("live", "run_reconcile"),
    Export: _work("live", "export"),
}


if __name__ == "__main__":
    main()
