"""The settings with which the bundled PPO learns to trade; without JAX."""

from __future__ import annotations

import dataclasses

from purejaxrl_ppo import PPOConfig

TRADER = PPOConfig(num_envs=256, learning_rate=1e-3, ent_coef=0.003, gae_lambda=0.98)
"""Settings that learn to trade, measured on `synthetic.regime` out of sample: many small iterations rather than few
large ones, and long advantages: one entry decides about twenty bars, and one step in fifteen is a choice."""

WIDER = 4
"""How many times as many environments an accelerator plays in the same number of iterations: it takes hardly longer
for them, and a gradient step learns from as many more rows."""


def trader_for(backend: str) -> PPOConfig:
    """`TRADER` for a kind of device, "cpu" or any other; the iterations and gradient steps are as many on each."""
    if backend == "cpu":
        return TRADER
    return dataclasses.replace(TRADER, num_envs=WIDER * TRADER.num_envs, total_timesteps=WIDER * TRADER.total_timesteps)


def device_note(backend: str, config: PPOConfig) -> str:
    """A line that says what was chosen by the device and how to have the same elsewhere."""
    rounding = ", but for rounding: products are in bfloat16 here, and in TF32 with --bfloat16 False"
    return (
        f"by default on this device ({backend}): --num-envs {config.num_envs} --total-timesteps "
        f"{config.total_timesteps}; with these the command trains the same on any other"
        f"{rounding if backend == 'gpu' and config.bfloat16 is None else ''}"
    )
