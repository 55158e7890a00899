"""TorchTrade's vectorised bracket environment on the built-in market, stepped as fast as its public parts allow.

The same bars, laid minute after minute, since it fills gaps with stale prices; the same window of 20 bars x 11 numbers,
ready-made as feature columns. What differs: its account has 6 numbers instead of our 5; stop and target are fixed
percentages (an ordinary day's 1.5 and 4.5 ATR) and fill without slippage; episodes start at any bar and end after 450
steps, with no session's end, no mask and no drawdown floor; an open position is locked until its bracket ends it, so
each of its three actions is legal at any time. `_step` and `_reset` are called directly: TorchRL's `step`, around them,
checks and copies more.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from tensordict import TensorDict
from torchtrade.envs.offline.vectorized_sequential_sltp import (
    VectorizedSequentialTradingEnvSLTP,
    VectorizedSequentialTradingEnvSLTPConfig,
)

from benchmarks.machine import usable_cores, versions
from trading_gymnax.synthetic import default_market, regime

WINDOW, STEPS = 20, 450
CONTRACT = {"quantity_per_trade": 20.0, "transaction_fee": 6.25e-6}  # 20 dollars a point; 2.50 of 400,000 dollars
BRACKET = {"stoploss_levels": (-0.0009,), "takeprofit_levels": (0.0027,)}


def rollout(num_envs: int, num_steps: int, calls: int = 1) -> tuple[Callable[[], dict[str, float]], dict[str, Any]]:
    """Steps per second of `calls` rollouts, their observations stored into one tensor that is there before."""
    torch.set_num_threads(usable_cores())
    env = environment(num_envs)
    market_key = next(key for key in env.observation_spec.keys() if key.startswith("market_data"))  # noqa: SIM118
    first = env._reset(None)
    size = WINDOW * first[market_key].shape[-1]
    buffer = torch.zeros(num_steps, num_envs, size + first["account_state"].shape[-1])

    @torch.inference_mode()
    def measure() -> dict[str, float]:
        began = time.perf_counter()
        for _ in range(calls):
            for at in range(num_steps):
                actions = torch.randint(0, 3, (num_envs,))
                seen = env._step(TensorDict({"action": actions}, [num_envs]))
                done = seen["done"]
                if done.any():
                    seen = env._reset(TensorDict({"_reset": done}, [num_envs]))
                buffer[at, :, :size] = seen[market_key].flatten(1)
                buffer[at, :, size:] = seen["account_state"]
        return {"steps_per_s": calls * num_envs * num_steps / (time.perf_counter() - began)}

    measure()
    facts = {
        "num_envs": num_envs,
        "num_steps": num_steps,
        "calls": calls,
        "observation": buffer.shape[-1],
        "threads": torch.get_num_threads(),
        **versions(("torchtrade", "torch")),
    }
    return measure, facts


def environment(num_envs: int) -> VectorizedSequentialTradingEnvSLTP:
    """HOLD, a long and a short bracket of one contract's size on the built-in market's bars."""
    config = VectorizedSequentialTradingEnvSLTPConfig(
        num_envs=num_envs,
        time_frames="1Min",
        window_sizes=WINDOW,
        execute_on="1Min",
        initial_cash=50_000,
        max_traj_length=STEPS,
        leverage=20,  # above 1, shorts are allowed
        trade_mode="quantity",
        lock_position_until_sltp=True,
        bankrupt_threshold=0.7,  # 15,000 dollars below the start, as near to the trailing limit as it has
        seed=0,
        **CONTRACT,
        **BRACKET,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return VectorizedSequentialTradingEnvSLTP(bars(), config, lambda frame: frame.reset_index())


def bars() -> pd.DataFrame:
    """The built-in market's bars on consecutive minutes, with the 11 numbers a bar that our window shows."""
    frame = regime().frame.copy()
    frame["timestamp"] = pd.Timestamp("2025-01-06") + pd.to_timedelta(np.arange(len(frame)), "min")
    shown = np.asarray(default_market().features[0]) / np.array([1.0] * 9 + [390.0] * 2, np.float32)
    names = [f"features_{at}" for at in range(shown.shape[1])]
    return pd.concat([frame, pd.DataFrame(shown, columns=names)], axis=1)
