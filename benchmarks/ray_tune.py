"""A search over many machines: Ray Tune with ASHA, every trial one block of seeds trained side by side.

    python -m pip install -e ".[ray]"
    python benchmarks/ray_tune.py --trials 8 --total-timesteps 20480

On one machine `purejaxrl-ppo sweep` is faster: it compiles once, while every trial here is a process that compiles its
own program. Ray pays where trials go to machines of their own: start a cluster, pass its `--address`, and give
`--storage` a folder that all of them see.

Trials are stopped by ASHA (Li et al. 2020, "A system for massively parallel hyperparameter tuning") between two chunks
of iterations, which is why a trial drives `make_trainer`'s update step, the one that `make_train` scans, and does not
call `make_train`, which ends with the budget. Learning rates run over the whole budget in stopped trials, too.
"""

import dataclasses
import os
import pathlib
import sys
import tempfile
import warnings
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import tyro

from purejaxrl_ppo import PPOConfig, make_trainer
from purejaxrl_ppo.presets import PRESETS

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
ENVIRONMENT = "CartPole-v1"


@dataclasses.dataclass(frozen=True)
class Options:
    """Ray Tune over learning rate, entropy weight and discount on CartPole."""

    trials: int = 8
    """Configurations that are drawn."""
    seeds: int = 4
    """Runs of every trial, side by side in one program."""
    total_timesteps: int = 20_480
    """Environment steps of every run."""
    reports: int = 8
    """Reports of a trial, after each of which it may be stopped."""
    cpus: int = 1
    """Processor cores of a trial."""
    address: str | None = None
    """Address of a Ray cluster; None starts Ray on this machine."""
    storage: pathlib.Path | None = None
    """Folder of Ray's results; a temporary one by default."""


def train_trial(drawn: dict[str, float], config: PPOConfig, seeds: int, reports: int) -> None:
    """Train one configuration with several seeds, and report the mean training return after every chunk.

    CartPole has no data to hold out. Where there are any, judge by `purejaxrl_ppo.evaluate` on the validation view.
    """
    from ray import tune

    env, env_params = gymnax.make(ENVIRONMENT)
    trainer = make_trainer(env, config)
    values = {name: jnp.float32(value) for name, value in drawn.items()}
    hyper = config.hyperparameters.replace(**values)

    @jax.jit
    def chunk(states: Any, env_params: Any, hyper: Any) -> tuple[Any, jax.Array]:
        def body(states: Any, _: None) -> tuple[Any, jax.Array]:
            states, metrics = jax.vmap(trainer.update, (0, None, None))(states, env_params, hyper)
            return states, metrics["episode_return"]

        states, returns = jax.lax.scan(body, states, None, config.num_iterations // reports)
        return states, returns[-1]

    states = jax.jit(jax.vmap(trainer.init, (0, None)))(
        jax.random.split(jax.random.key(config.seed), seeds), env_params
    )
    for _ in range(reports):
        states, returns = chunk(states, env_params, hyper)
        steps = int(states.iteration[0]) * config.batch_size
        tune.report({"score": float(returns.mean()), "score_std": float(returns.std()), "steps": steps})


def search(options: Options) -> Any:
    """Run the trials; Ray's `ResultGrid`.

    Raises:
        ImportError: one sentence, where Ray is not installed.
        ValueError: when the iterations cannot be split into the reports.
    """
    config = dataclasses.replace(PRESETS[ENVIRONMENT], total_timesteps=options.total_timesteps)
    if options.reports < 1 or config.num_iterations % options.reports:
        raise ValueError(f"{config.num_iterations} iterations cannot be split into {options.reports} equal reports")
    try:
        import ray
        from ray import tune
        from ray.tune.schedulers import ASHAScheduler
    except ModuleNotFoundError as error:
        raise ImportError('this needs Ray Tune, which is not installed: pip install "trading-gymnax[ray]"') from error
    space = {
        "learning_rate": tune.loguniform(1e-5, 1e-2),
        "ent_coef": tune.loguniform(1e-4, 1e-1),
        "gamma": tune.uniform(0.9, 0.999),
    }
    budget = config.num_iterations * config.batch_size
    halving = ASHAScheduler(time_attr="steps", max_t=budget, grace_period=budget // options.reports, reduction_factor=2)
    trainable = tune.with_parameters(train_trial, config=config, seeds=options.seeds, reports=options.reports)
    storage = options.storage or pathlib.Path(tempfile.mkdtemp(prefix="ray-tune-"))
    # the processes that Ray forks run other programs at once, so that JAX's threads cannot lock them
    warnings.filterwarnings("ignore", r"os.fork\(\) was called", RuntimeWarning)
    ray.init(address=options.address, include_dashboard=False, log_to_driver=False)
    try:
        return tune.Tuner(
            tune.with_resources(trainable, {"cpu": options.cpus}),
            param_space=space,
            tune_config=tune.TuneConfig(metric="score", mode="max", num_samples=options.trials, scheduler=halving),
            run_config=tune.RunConfig(name="purejaxrl-ppo", storage_path=str(storage.resolve()), verbose=0),
        ).fit()
    finally:
        ray.shutdown()


def main(args: list[str] | None = None) -> None:
    """Search, and print the trials and the command that trains the best one."""
    found = search(tyro.cli(Options, args=args, description=__doc__))
    if found.errors:
        raise RuntimeError(f"{len(found.errors)} trials failed, the first with: {found.errors[0]}")
    done = sorted(found, key=lambda trial: -trial.metrics["score"])
    print("learning_rate  ent_coef   gamma    steps   score      +-")
    for trial in done:
        drawn, seen = trial.config, trial.metrics
        numbers = f"{seen['steps']:>7,} {seen['score']:7.1f} {seen['score_std']:7.1f}"
        print(f"{drawn['learning_rate']:13.3g} {drawn['ent_coef']:9.2g} {drawn['gamma']:7.4f}  {numbers}")
    best = found.get_best_result().config
    settings = " ".join(f"--{name.replace('_', '-')} {value:.6g}" for name, value in best.items())
    print(f"to train the best one: purejaxrl-ppo train {ENVIRONMENT} {settings}")


if __name__ == "__main__":
    try:
        main()
    except (ImportError, RuntimeError, ValueError) as error:
        sys.exit(f"ray_tune.py: {error}")
