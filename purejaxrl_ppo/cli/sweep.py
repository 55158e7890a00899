"""The command `purejaxrl-ppo sweep`."""

import dataclasses
import functools
import importlib.util
import pathlib
from typing import Annotated, Any

import tyro

from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.environments import make_environment, parse_pairs
from purejaxrl_ppo.presets import preset
from purejaxrl_ppo.sweep.halving import NAMES, check_ranges, rung_iterations
from purejaxrl_ppo.sweep.report import (
    PICTURE,
    RECORD,
    TABLE,
    draw_sweep,
    table_text,
    train_command,
    write_record,
    write_table,
)
from purejaxrl_ppo.sweep.run import SweepResult, sweep

_Held = tyro.conf.SuppressFixed[tyro.conf.Fixed[float]]


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


def run_sweep(command: Sweep) -> None:
    """Search, print the table and the command that trains the winner, and write table, plot and record.

    Raises:
        ValueError: as `sweep`, and for an output folder that holds something.
        FloatingPointError: when every configuration diverged; the table is written.
    """
    config = PPOConfig(**vars(command.config))
    given = {name: getattr(command, name) for name in NAMES if getattr(command, name)}
    check_ranges(given, config), rung_iterations(command.rungs, config)
    env, params, judged = _environments(command)
    folder = command.output or pathlib.Path("sweeps") / f"{command.env.rpartition(':')[2]}-{config.seed}"
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ValueError(
            f"{folder} is not empty, and a search cannot be resumed: give another folder by --output, or remove it"
        )
    if importlib.util.find_spec("matplotlib") is None:
        print('no plot will be drawn, as matplotlib is not installed: pip install "trading-gymnax[report]"')
    names = ("configurations", "seeds", "rungs", "eta", "runs_at_once", "eval_episodes", "eval_max_steps")
    numbers = {name: getattr(command, name) for name in names}
    result = sweep(
        env, params, config, given, validation_params=judged, report=functools.partial(print, flush=True), **numbers
    )
    write_table(result, folder / TABLE)
    record = {name: getattr(command, name) for name in ("env", "env_args", "env_params", *_VALIDATION)}
    write_record(result, folder / RECORD, record | numbers)
    print(table_text(result))
    _plot(result, folder)
    winner = result.config_of(result.winner)
    pairs = {"env_args": command.env_args, "env_params": command.env_params}
    print("to train the winner:")
    print(train_command(command.env, winner, preset(command.env), pairs))


_VALIDATION = ("validation_env_args", "validation_env_params")


def _environments(command: Sweep) -> tuple[Any, Any, Any]:
    """Environment, parameters, and parameters to judge under (None: the same)."""
    args, values = parse_pairs(command.env_args), parse_pairs(command.env_params)
    env, params = make_environment(command.env, args, values)
    if not (command.validation_env_args or command.validation_env_params):
        return env, params, None
    args |= parse_pairs(command.validation_env_args)
    values |= parse_pairs(command.validation_env_params)
    return env, params, make_environment(command.env, args, values)[1]


def _plot(result: SweepResult, folder: pathlib.Path) -> None:
    try:
        draw_sweep(result, folder / PICTURE)
    except ImportError as error:
        print(f"the table is in {folder / TABLE}; {error}")
    else:
        print(f"table and plot are in {folder / TABLE} and {folder / PICTURE}")
