"""End-to-end PPO speed: environment steps per second and peak temporary memory of one iteration.

Run `python -m benchmarks.ppo_steps` on an idle machine. Every line is one compiled iteration (rollout, advantages,
all gradient steps), the best of several; the temporary memory is what XLA reports for the program.
"""

import dataclasses
import time
from typing import Any

import gymnax
import jax
import tyro

import trading_gymnax  # noqa: F401  registers its environments
from benchmarks.machine import markdown_table, usable_cores
from purejaxrl_ppo import PPOConfig, make_trainer
from purejaxrl_ppo.presets import PRESETS

CASES: dict[str, PPOConfig] = {
    "CartPole-v1": PRESETS["CartPole-v1"],
    "Breakout-MinAtar": PRESETS["Breakout-MinAtar"],
    "TradingPhase1-v0": PPOConfig(),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    envs: tuple[str, ...] = tuple(CASES)
    """Environments."""
    seconds: float = 10.0
    """Time spent on each."""


HEADER = ("environment", "network", "environments x steps, epochs x minibatches", "steps/s", "temporary", "compile")


def measure(name: str, config: PPOConfig, seconds: float) -> tuple[str, ...]:
    """One table row."""
    env, params = gymnax.make(name)
    trainer = make_trainer(env, config)
    state = jax.jit(trainer.init)(jax.random.key(0), params)
    # small batches run many iterations per call: a call of its own costs as much as the iteration
    repeat = max(1, 65_536 // config.batch_size)

    def iterations(state: Any, params: Any) -> Any:
        return jax.lax.fori_loop(0, repeat, lambda _, s: trainer.update(s, params, config.hyperparameters)[0], state)

    began = time.perf_counter()
    compiled = jax.jit(iterations, donate_argnums=0).lower(state, params).compile()
    compile_seconds = time.perf_counter() - began
    state, best, spent = compiled(state, params), float("inf"), 0.0
    while spent < seconds:
        began = time.perf_counter()
        state = jax.block_until_ready(compiled(state, params))
        took = time.perf_counter() - began
        best, spent = min(best, took), spent + took
    memory = compiled.memory_analysis().temp_size_in_bytes / 1e6
    torso = "shared" if config.shared_torso else "separate"
    network = "x".join(map(str, config.hidden_sizes)) + f" {torso} {config.activation}"
    batch = f"{config.num_envs} x {config.num_steps}, {config.num_epochs} x {config.num_minibatches}"
    speed = repeat * config.batch_size / best
    return (name, network, batch, f"{speed:,.0f}", f"{memory:.0f} MB", f"{compile_seconds:.1f} s")


def main() -> None:
    """Print a table."""
    options = tyro.cli(Options)
    device = jax.devices()[0]
    print(f"{device.platform} ({device.device_kind}), {usable_cores()} cores, jax {jax.__version__}\n")
    rows = [measure(name, CASES[name], options.seconds) for name in options.envs]
    print("\n".join(markdown_table(HEADER, rows)))


if __name__ == "__main__":
    main()
