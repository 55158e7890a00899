"""What `purejaxrl-ppo train`, `resume` and `evaluate` do."""

import pathlib
from typing import Any

import jax

from purejaxrl_ppo.cli.commands import Evaluate, Resume, Train
from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.environments import make_environment, parse_pairs
from purejaxrl_ppo.evaluate import evaluate as play
from purejaxrl_ppo.fit import evaluation_key, fit
from purejaxrl_ppo.logs import RETURN_UNIT
from purejaxrl_ppo.processes import start_parallel
from purejaxrl_ppo.rundir import load_policy, read_run


def train(command: Train) -> None:
    """Train, or go on with the run in the folder."""
    config, mesh = command.config, start_parallel(command.parallel)
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
        print(f"best return {result.best_score:.4g} {RETURN_UNIT}; policy, logs and checkpoints are in {run_dir}")


def resume(command: Resume) -> None:
    """Go on with a run."""
    mesh = start_parallel(command.parallel)
    env, params, source = _environment_of(command.run_dir, "resume")
    config = PPOConfig.from_dict(read_run(command.run_dir)["config"])
    fit(env, params, config, run_dir=command.run_dir, options=command.options, env_source=source, mesh=mesh)


def evaluate(command: Evaluate) -> None:
    """Play episodes and print what came of them."""
    if not 0 <= command.seed < 2**32:
        raise ValueError(f"--seed {command.seed} must not be negative, and below {2**32:,}")
    env, params, _ = _environment_of(command.run_dir, "evaluate")
    for kind, sampled in (("sampled", True), ("argmax", False)):
        policy = load_policy(command.run_dir, sampled=sampled, checkpoint=command.checkpoint)
        played = play(env, params, policy, evaluation_key(command.seed, 0), command.episodes, command.max_steps)
        s = played.summary()
        print(
            f"{kind:8} return {s['return']:.4g} +- {s['return_std']:.3g} "
            f"({s['return_min']:.4g} to {s['return_max']:.4g}) {RETURN_UNIT}, length {s['length']:.4g} steps, "
            f"{int(s['episodes'])} episodes, {int(s['unfinished'])} cut off"
        )


def _environment_of(run_dir: pathlib.Path, command: str) -> tuple[Any, Any, dict[str, Any]]:
    source = read_run(run_dir).get("source")
    if source is None:
        raise ValueError(
            f"{run_dir} was started from Python, so its environment cannot be made here: "
            f"call purejaxrl_ppo.fit again with the same arguments and run_dir={str(run_dir)!r}"
        )
    if "typed" in source:
        raise ValueError(f"{run_dir} holds a run of another program: type `{source['typed'][command]}`")
    env, params = make_environment(source["env"], source["env_args"], source["params"])
    return env, params, source
