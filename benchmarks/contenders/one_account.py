"""One account in plain Python on the built-in market: the reference, and the same rules on DataFrames."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.peers.pandas_env import PandasEnv
from trading_gymnax.data.loader import load_bars
from trading_gymnax.reference import ReferenceEnv
from trading_gymnax.synthetic import regime

ENVIRONMENTS = {"reference": ReferenceEnv, "pandas": PandasEnv}


def steps(kind: str, num_steps: int, phase: int = 1) -> tuple[Callable[[], dict[str, float]], dict[str, Any]]:
    """Steps per second over `num_steps` random legal actions, resets included; the observation is built each time."""
    tape = regime()
    env = ENVIRONMENTS[kind](load_bars(tape.frame, tape.spec), phase=phase)
    draw = np.random.default_rng(0).random
    _, first = env.reset(seed=0)
    carried = [first]

    def measure() -> dict[str, float]:
        info = carried[0]
        began = time.perf_counter()
        for _ in range(num_steps):
            legal = np.flatnonzero(info["action_mask"])
            action = legal[int(draw() * len(legal))]
            _, _, terminated, truncated, info = env.step(int(action))
            if terminated or truncated:
                _, info = env.reset()
        seconds = time.perf_counter() - began
        carried[0] = info
        return {"steps_per_s": num_steps / seconds}

    measure()
    return measure, {"num_envs": 1, "num_steps": num_steps}
