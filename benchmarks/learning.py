"""Learning curves of the presets, five seeds side by side: writes LEARNING.md and learning.png, here by default."""

import dataclasses
import pathlib
import time
from typing import Any

import gymnax
import jax
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import tyro

from purejaxrl_ppo import make_train
from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.presets import PRESETS

FOLDER = pathlib.Path(__file__).parent
# what others reach: (return, source)
REFERENCES = {
    "CartPole-v1": (500.0, "purejaxrl and rejax 500 at 500,000 steps (4 x 128)"),
    "Acrobot-v1": (-80.0, "gymnax-blines -80 at 500,000"),
    "Catch-bsuite": (1.0, "gymnax-blines 1.0 at 100,000"),
    "Breakout-MinAtar": (22.0, "purejaxrl 22 at 1,000,000 (64 x 128, 8 minibatches, 5e-3)"),
    "MemoryChain-bsuite": (1.0, "1.0 is perfect; without memory 0"),
}


def learn(name: str, config: PPOConfig, seeds: int) -> tuple[np.ndarray, float]:
    """Training returns [seeds, iterations] and the seconds that all seeds took, compile included."""
    env, params = gymnax.make(name)
    train = jax.jit(jax.vmap(make_train(env, config), (0, None)))
    began = time.perf_counter()
    result = jax.block_until_ready(train(jax.random.split(jax.random.key(0), seeds), params))
    return np.asarray(result.metrics["episode_return"]), time.perf_counter() - began


def draw(curves: dict[str, np.ndarray], out: pathlib.Path) -> None:
    """One panel per environment: every seed thin, the mean thick, the reference dashed."""
    picture, axes = plt.subplots(1, len(curves), figsize=(3.2 * len(curves), 2.8), constrained_layout=True)
    for axis, (name, returns) in zip(np.atleast_1d(axes), curves.items(), strict=True):
        steps = np.arange(1, returns.shape[1] + 1) * PRESETS[name].batch_size
        window = max(1, returns.shape[1] // 100)
        kernel = np.ones(window) / window
        smooth = np.array([np.convolve(row, kernel, mode="valid") for row in returns])
        axis.plot(steps[window - 1 :], smooth.T, color="tab:blue", alpha=0.3, linewidth=0.8)
        axis.plot(steps[window - 1 :], smooth.mean(axis=0), color="tab:blue", linewidth=1.8)
        axis.axhline(REFERENCES[name][0], color="black", linestyle="--", linewidth=0.8)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("environment steps", fontsize=8)
        axis.tick_params(labelsize=7)
    picture.savefig(out / "learning.png", dpi=110)


def table_row(name: str, returns: np.ndarray) -> str:
    """One row: settings, the last tenth of training per seed, the reference."""
    config: Any = PRESETS[name]
    last = returns[:, -max(1, returns.shape[1] // 10) :].mean(axis=1)
    seeds = ", ".join(f"{x:.3g}" for x in last)
    settings = f"{config.num_envs} x {config.num_steps}, {config.num_epochs} x {config.num_minibatches}"
    settings += f", lr {config.learning_rate:g}" + (", GRU" if config.recurrent else "")
    steps = config.num_iterations * config.batch_size
    return f"| {name} | {settings} | {steps:,} | {last.mean():.3g} | {seeds} | {REFERENCES[name][1]} |"


def main(
    envs: tuple[str, ...] = tuple(PRESETS),
    seeds: int = 5,
    bfloat16: bool | None = None,
    out: pathlib.Path = FOLDER,
) -> None:
    """Train every preset and write the page.

    Args:
        envs: environments to train.
        seeds: seeds of each, trained side by side.
        bfloat16: precision of the hidden layers, as of `PPOConfig`.
        out: folder to write to.
    """
    curves, rows = {}, []
    for name in envs:
        config = dataclasses.replace(PRESETS[name], bfloat16=bfloat16)
        curves[name], seconds = learn(name, config, seeds)
        rows.append(table_row(name, curves[name]))
        print(rows[-1], f"{seconds:.0f} s for all seeds, compile included", flush=True)
    draw(curves, out)
    page = [
        "# Learning",
        "",
        f"Presets of `purejaxrl-ppo train <id>`, {seeds} seeds side by side (`vmap`), made by `python "
        "benchmarks/learning.py`.",
        "Returns are those of training episodes (sampled actions), averaged over the last tenth of the run.",
        "",
        "| environment | environments x steps, epochs x minibatches | steps | mean return | seeds | reference |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "![Training return over environment steps; thin: seeds, thick: mean, dashed: reference](learning.png)",
        "",
    ]
    (out / "LEARNING.md").write_text("\n".join(page))


if __name__ == "__main__":
    tyro.cli(main)
