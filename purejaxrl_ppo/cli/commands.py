"""What the commands of `purejaxrl-ppo` take; without JAX."""

import dataclasses
import math
import pathlib
from typing import Annotated, Any, Literal, get_origin

import tyro

from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.options import FitOptions, Parallel
from purejaxrl_ppo.presets import preset

_RunFolder = Annotated[pathlib.Path, tyro.conf.arg(metavar="RUN")]
_Held = tyro.conf.SuppressFixed[tyro.conf.Fixed[float]]


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


@dataclasses.dataclass(frozen=True)
class SweepConfig(PPOConfig):
    """Settings of every run of a search; what can be searched has options of its own."""

    learning_rate: _Held = 3e-4
    ent_coef: _Held = 0.01
    clip_eps: _Held = 0.2
    gamma: _Held = 0.99
    gae_lambda: _Held = 0.95


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Search hyperparameters: seeds x configurations train side by side, and the worse ones are dropped at rungs.

    A hyperparameter takes one number, or the lower and the higher end of a range. Configurations are judged under the
    validation arguments, which must not be those of the test.
    """

    env: tyro.conf.Positional[Annotated[str, tyro.conf.arg(metavar="ENV")]]
    """A gymnax id such as CartPole-v1, or module:id to import a module first."""
    config: tyro.conf.OmitArgPrefixes[SweepConfig]
    learning_rate: tuple[float, ...] = (1e-4, 1e-2)
    """Adam's step size at the start, drawn by its logarithm."""
    ent_coef: tuple[float, ...] = (1e-4, 1e-1)
    """Weight of the entropy bonus, drawn by its logarithm."""
    clip_eps: tuple[float, ...] = ()
    """Clip range of the probability ratio; that of the environment's settings by default."""
    gamma: tuple[float, ...] = ()
    """Discount per environment step; likewise."""
    gae_lambda: tuple[float, ...] = ()
    """Lambda of generalised advantage estimation; likewise."""
    configurations: int = 16
    """Configurations that are drawn."""
    seeds: int = 2
    """Runs of every configuration; their seeds begin with --seed."""
    rungs: tuple[float, ...] = (0.25, 0.5)
    """Fractions of the budget at which the worse ones are dropped."""
    eta: int = 2
    """One in so many goes on from a rung."""
    runs_at_once: int | None = None
    """Most runs that train at one time, which bounds memory; None trains all of them at once."""
    eval_episodes: int = 64
    """Episodes by which a run is judged, with sampled actions."""
    eval_max_steps: int = 10_000
    """Steps after which a judged episode is cut off."""
    output: pathlib.Path | None = None
    """New folder of the results; sweeps/<environment>-<seed> by default."""
    env_args: tuple[str, ...] = ()
    """Arguments of the environment's factory, as name=value."""
    env_params: tuple[str, ...] = ()
    """Environment parameters in place of the defaults, as name=value."""
    validation_env_args: tuple[str, ...] = ()
    """Arguments of the factory for judging, beside and in place of --env-args."""
    validation_env_params: tuple[str, ...] = ()
    """Environment parameters for judging, beside and in place of --env-params."""


def commands(args: list[str]) -> Any:
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
