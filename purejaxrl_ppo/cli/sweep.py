"""What `purejaxrl-ppo sweep` does."""

import functools
import importlib.util
import pathlib
from typing import Any

from purejaxrl_ppo.cli.commands import Sweep
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
