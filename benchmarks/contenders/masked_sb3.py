"""sb3-contrib's MaskablePPO on the plain-Python reference, one environment a process by SubprocVecEnv."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.vec_env import SubprocVecEnv

from benchmarks.machine import usable_cores, versions
from trading_gymnax.data.loader import load_bars
from trading_gymnax.reference import ReferenceEnv
from trading_gymnax.synthetic import regime


def train(
    num_envs: int, num_steps: int, num_epochs: int, num_minibatches: int, learning_rate: float, width: int
) -> tuple[Callable[[], dict[str, float]], dict[str, Any]]:
    """Steps per second of one rollout of `num_envs` x `num_steps` and its updates, by `learn`."""
    tape = regime()
    bars = load_bars(tape.frame, tape.spec)  # one copy, shared by the processes
    # forked before torch starts its threads: processes that import everything anew would take 0.9 GB each
    envs = SubprocVecEnv([lambda: ReferenceEnv(bars)] * num_envs, start_method="fork")
    torch.set_num_threads(usable_cores())
    rows = num_envs * num_steps
    model = MaskablePPO(
        "MlpPolicy",
        envs,
        n_steps=num_steps,
        batch_size=rows // num_minibatches,
        n_epochs=num_epochs,
        learning_rate=learning_rate,
        ent_coef=0.01,
        policy_kwargs={"net_arch": [width, width]},
        device="cpu",
        seed=0,
    )

    def measure() -> dict[str, float]:
        began = time.perf_counter()
        model.learn(rows)
        return {"steps_per_s": rows / (time.perf_counter() - began)}

    measure()
    facts = {"num_envs": num_envs, "num_steps": num_steps, "threads": torch.get_num_threads()}
    return measure, {**facts, **versions(("sb3-contrib", "stable-baselines3", "torch"))}
