"""The command line: `purejaxrl-ppo train | resume | evaluate | sweep`."""

import dataclasses
import math
import os
import pathlib
import sys
import traceback
from typing import Annotated, Any, Literal, get_origin

import jax
import tyro

from purejaxrl_ppo.checkpoint import CheckpointError
from purejaxrl_ppo.cli.errors import TRACEBACK, parse_command_line, wants_trace
from purejaxrl_ppo.cli.sweep import Sweep, SweepConfig, run_sweep
from purejaxrl_ppo.compilation_cache import use_compilation_cache
from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.environments import make_environment, parse_pairs
from purejaxrl_ppo.evaluate import evaluate
from purejaxrl_ppo.fit import fit
from purejaxrl_ppo.host import FitOptions
from purejaxrl_ppo.memory import memory_in_words
from purejaxrl_ppo.presets import preset
from purejaxrl_ppo.processes import Parallel, ProcessLost
from purejaxrl_ppo.rundir import load_policy, read_run

LOST = 3  # exit status where another process was lost: start all again, unlike 2, which says that input was wrong
_ABOUT = "Train PPO on any gymnax environment, go on with a run that was stopped, play its policy, search settings."
_RunFolder = Annotated[pathlib.Path, tyro.conf.arg(metavar="RUN")]


@dataclasses.dataclass(frozen=True)
class Train:
    """Train PPO on a gymnax environment; in the folder of an unfinished run, go on with it.

    Known environments start from settings that learn them; `--help` after the environment shows them.
    """

    env: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="ENV")]]
    """A gymnax id such as CartPole-v1, or module:id to import a module first."""
    config: tyro.conf.OmitArgPrefixes[PPOConfig]
    options: tyro.conf.OmitArgPrefixes[FitOptions]
    parallel: tyro.conf.OmitArgPrefixes[Parallel]
    run_dir: pathlib.Path | None = None
    """Folder of the run; runs/<environment>-<seed> by default."""
    warm_start: pathlib.Path | None = None
    """Folder of a run whose policy this one starts from."""
    env_args: tuple[str, ...] = ()
    """Arguments of the environment's factory, as name=value."""
    env_params: tuple[str, ...] = ()
    """Environment parameters in place of the defaults, as name=value."""


@dataclasses.dataclass(frozen=True)
class Resume:
    """Go on with a run that was stopped or killed."""

    run_dir: tyro.conf.Positional[_RunFolder]
    """Folder of the run."""
    options: tyro.conf.OmitArgPrefixes[FitOptions]
    parallel: tyro.conf.OmitArgPrefixes[Parallel]


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Play episodes with a run's policy, drawing actions and taking the most probable one."""

    run_dir: tyro.conf.Positional[_RunFolder]
    """Folder of the run."""
    episodes: int = 256
    """Episodes of each kind."""
    max_steps: int = 10_000
    """Steps after which an episode is cut off."""
    checkpoint: Literal["best", "last"] = "best"
    """Which of the run's policies."""
    seed: int = 0
    """Seed of the evaluation."""


def main(args: list[str] | None = None) -> None:
    """Run the command line; wrong input ends with one sentence and status 2, a fault of ours with its trace and 1."""
    if args is None:  # a process of its own, and not a call from Python
        use_compilation_cache()
    typed = sys.argv[1:] if args is None else list(args)
    args = [arg for arg in typed if arg != TRACEBACK]
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # `train my_module:MyEnv` beside my_module.py
    try:
        command = parse_command_line(_commands(args), prog="purejaxrl-ppo", args=args, description=_ABOUT)
        with memory_in_words(args[0], "num_envs, num_steps, hidden_sizes or the number of episodes"):
            _run(command)
    except BrokenPipeError:
        raise  # nobody reads: no sentence either
    except (ValueError, OSError, FloatingPointError, CheckpointError, TypeError, MemoryError) as error:
        if not wants_trace(error, typed, "purejaxrl_ppo"):
            _end(str(error), 2)
        if not jax.distributed.is_initialized():
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
    if jax.distributed.is_initialized():
        os._exit(status)
    raise SystemExit(status) from None


def _commands(args: list[str]) -> Any:
    """The subcommands, `train` and `sweep` with the defaults of the environment named in `args`."""
    defaults = preset(_named_environment(args))
    train = Train(env=tyro.MISSING, config=defaults, options=FitOptions(), parallel=Parallel())
    search = Sweep(env=tyro.MISSING, config=SweepConfig(**vars(defaults)))
    subcommand = tyro.conf.subcommand
    return (
        Annotated[Train, subcommand("train", default=train)]
        | Annotated[Resume, subcommand("resume", default=Resume(tyro.MISSING, FitOptions(), Parallel()))]
        | Annotated[Evaluate, subcommand("evaluate", default=Evaluate(tyro.MISSING))]
        | Annotated[Sweep, subcommand("sweep", default=search)]
    )


def _named_environment(args: list[str]) -> str:
    """The environment that `train` or `sweep` is given, wherever it stands among the options; "" without one."""
    kinds = {"train": (Train, PPOConfig, FitOptions, Parallel), "sweep": (PPOConfig, Sweep)}.get(
        args[0] if args else "", ()
    )
    types = {f"--{f.name.replace('_', '-')}": f.type for kind in kinds for f in dataclasses.fields(kind)}
    takes = 0.0  # values that the option before still takes
    for arg in args[1:] if kinds else []:
        flag, equals, _ = arg.partition("=")
        if not arg.startswith("-"):
            if not takes:
                return arg
            takes -= 1
        elif equals:
            takes = 0.0
        else:
            kind = types.get(flag.replace("_", "-"), bool if flag.startswith("--no-") else str)
            takes = 0.0 if kind is bool else math.inf if get_origin(kind) is tuple else 1.0
    return ""


def _run(command: Any) -> None:
    if isinstance(command, Train):
        _train(command)
    elif isinstance(command, Resume):
        _resume(command)
    elif isinstance(command, Sweep):
        run_sweep(command)
    else:
        _evaluate(command)


def _train(command: Train) -> None:
    config, mesh = command.config, command.parallel.start()
    source: dict[str, Any] = {
        "env": command.env,
        "env_args": parse_pairs(command.env_args),
        "params": parse_pairs(command.env_params),
    }
    env, params = make_environment(source["env"], source["env_args"], source["params"])
    name = command.env.rpartition(":")[2]
    run_dir = command.run_dir or pathlib.Path("runs") / f"{name}-{config.seed}"
    warm_start = None if command.warm_start is None else load_policy(command.warm_start)
    result = fit(
        env,
        params,
        config,
        run_dir=run_dir,
        options=command.options,
        warm_start=warm_start,
        env_source=source,
        mesh=mesh,
    )
    if not command.options.quiet and jax.process_index() == 0:
        print(f"best return {result.best_score:.4g}; policy, logs and checkpoints are in {run_dir}")


def _resume(command: Resume) -> None:
    mesh = command.parallel.start()
    env, params, source = _environment_of(command.run_dir)
    config = PPOConfig.from_dict(read_run(command.run_dir)["config"])
    fit(env, params, config, run_dir=command.run_dir, options=command.options, env_source=source, mesh=mesh)


def _evaluate(command: Evaluate) -> None:
    if not 0 <= command.seed < 2**32:
        raise ValueError(f"--seed {command.seed} must not be negative, and below {2**32:,}")
    env, params, _ = _environment_of(command.run_dir)
    for kind, sampled in (("sampled", True), ("argmax", False)):
        policy = load_policy(command.run_dir, sampled=sampled, checkpoint=command.checkpoint)
        played = evaluate(env, params, policy, jax.random.key(command.seed), command.episodes, command.max_steps)
        s = played.summary()
        print(
            f"{kind:8} return {s['return']:.4g} +- {s['return_std']:.3g} "
            f"({s['return_min']:.4g} to {s['return_max']:.4g}), length {s['length']:.4g}, "
            f"{int(s['episodes'])} episodes, {int(s['unfinished'])} cut off"
        )


def _environment_of(run_dir: pathlib.Path) -> tuple[Any, Any, dict[str, Any]]:
    source = read_run(run_dir).get("source")
    if source is None:
        raise ValueError(
            f"{run_dir} was started from Python, so its environment cannot be made here: "
            f"call purejaxrl_ppo.fit again with the same arguments and run_dir={str(run_dir)!r}"
        )
    env, params = make_environment(source["env"], source["env_args"], source["params"])
    return env, params, source


if __name__ == "__main__":
    main()
