"""What a GPU is measured by: stepping, PPO updates, one whole training, and the machine's own peaks.

A measurement repeats its program for about `seconds`, so that utilisation can be sampled meanwhile. Each gives, beside
steps per second, the device's memory and nominal bytes and operations per second: what a plain loop needs at least, not
what the compiler's program does.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.contenders.environments import programs, trading
from benchmarks.contenders.trainers import our_config
from benchmarks.settings import PPOSettings

Prepared = tuple[Callable[[], dict[str, float]], dict[str, Any]]


def stepping(num_envs: int, num_steps: int, seconds: float) -> Prepared:
    """Environments alone: random legal actions, every number of every observation added up."""
    env, params = trading()
    start, roll = programs(env, "consumed", num_envs, num_steps)
    began = time.perf_counter()
    carry = (jax.jit(start)(jax.random.key(0), params), jnp.zeros(0))
    program = jax.jit(roll, donate_argnums=(1, 2)).lower(jax.random.key(0), *carry, params).compile()
    facts = {"num_envs": num_envs, "num_steps": num_steps, "compile_s": time.perf_counter() - began, **_device()}

    def once(carry: Any, key: jax.Array) -> Any:
        return program(key, *carry, params)[:2]

    needed = _state_bytes(carry[0], num_envs) * 2 + 4 * env.obs_shape[0]  # state in and out, the window read once
    return _repeated(once, carry, num_envs * num_steps, seconds, needed, 0), facts


def updates(seconds: float, **settings: Any) -> Prepared:
    """PPO updates, rollout and learning, each going on from the last; `settings` are those of `PPOSettings`."""
    from purejaxrl_ppo import make_trainer

    chosen = PPOSettings(**settings)
    env, params = trading()
    config = our_config(chosen)
    trainer = make_trainer(env, config)
    began = time.perf_counter()
    state = jax.jit(trainer.init)(jax.random.key(0), params)
    program = jax.jit(trainer.update, donate_argnums=0).lower(state, params, config.hyperparameters).compile()
    facts = {**dataclasses.asdict(chosen), "compile_s": time.perf_counter() - began, **_device()}

    def once(state: Any, key: jax.Array) -> Any:
        return program(state, params, config.hyperparameters)[0]

    observation = 4 * env.obs_shape[0]
    needed = _state_bytes(state.runner.env_state, chosen.num_envs) * 2 + observation * (1 + chosen.num_epochs)
    flops = chosen.nominal_flops(env.obs_shape[0], env.num_actions)
    return _repeated(once, state, chosen.num_envs * chosen.num_steps, seconds, needed, flops), facts


def training(total_timesteps: int, num_envs: int, num_steps: int, num_minibatches: int) -> Prepared:
    """Seconds of a whole training from new weights, compiled before."""
    from purejaxrl_ppo import PPOConfig, make_train

    env, params = trading()
    config = PPOConfig(
        total_timesteps=total_timesteps, num_envs=num_envs, num_steps=num_steps, num_minibatches=num_minibatches
    )
    began = time.perf_counter()
    program = jax.jit(make_train(env, config)).lower(jax.random.key(0), params).compile()
    facts = {"total_timesteps": total_timesteps, "compile_s": time.perf_counter() - began, **_device()}

    def measure() -> dict[str, float]:
        began = time.perf_counter()
        result = jax.block_until_ready(program(jax.random.key(0), params))
        taken = time.perf_counter() - began
        steps = config.num_iterations * config.batch_size
        reward = float(result.metrics["reward"][-1])
        return {"seconds": taken, "steps": steps, "steps_per_s": steps / taken, "reward": reward, **_memory()}

    measure()
    return measure, facts


def peaks(size: int, copy_mb: int, seconds: float) -> Prepared:
    """The machine's own: square products in float32 (as JAX computes them by default, and exactly), in bfloat16,
    and a copy, whose bytes are read and written."""
    a, b = jax.random.normal(jax.random.key(0), (2, size, size))
    lean = a.astype(jnp.bfloat16), b.astype(jnp.bfloat16)
    block = jnp.zeros(copy_mb * 250_000, jnp.float32)
    multiply, copy = jax.jit(jnp.matmul, static_argnames="precision"), jax.jit(lambda x: x + 1.0)
    products = {
        "float32_flops": lambda: multiply(a, b),
        "exact_float32_flops": lambda: multiply(a, b, precision="highest"),
        "bfloat16_flops": lambda: multiply(*lean),
    }
    works = {name: (2 * size**3, run) for name, run in products.items()}
    works["copy_bytes"] = (2 * block.nbytes, lambda: copy(block))

    def measure() -> dict[str, float]:
        return {name: work / _fastest(run, seconds) for name, (work, run) in works.items()}

    for _, run in works.values():
        jax.block_until_ready(run())
    return measure, {"size": size, "copy_mb": copy_mb, **_device()}


def _repeated(
    once: Callable[[Any, jax.Array], Any], carry: Any, steps: int, seconds: float, needed: float, flops: float
) -> Callable[[], dict[str, float]]:
    """Calls queued up without waiting for each, as a training does, in blocks that are timed as a whole."""
    carry = [jax.block_until_ready(once(carry, jax.random.key(0)))]
    keys = jax.random.split(jax.random.key(1), 64)

    def block(count: int) -> float:
        began = time.perf_counter()
        for at in range(count):
            carry[0] = once(carry[0], keys[at % 64])
        jax.block_until_ready(carry[0])
        return time.perf_counter() - began

    def measure() -> dict[str, float]:
        count = max(1, round(seconds / max(block(1), 1e-4)))
        speed = count * steps / block(count)
        return {"steps_per_s": speed, "bytes_per_s": speed * needed, "flops_per_s": speed * flops, **_memory()}

    return measure


def _fastest(run: Callable[[], Any], seconds: float) -> float:
    best, spent = float("inf"), 0.0
    while spent < seconds:
        began = time.perf_counter()
        jax.block_until_ready(run())
        taken = time.perf_counter() - began
        best, spent = min(best, taken), spent + taken
    return best


def _state_bytes(state: Any, num_envs: int) -> float:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(state)) / num_envs


def _memory() -> dict[str, float]:
    """Most bytes that this process has held on the device, where the device tells."""
    stats = jax.devices()[0].memory_stats() or {}
    return {"device_mb": stats["peak_bytes_in_use"] / 1e6} if "peak_bytes_in_use" in stats else {}


def _device() -> dict[str, str]:
    device = jax.devices()[0]
    return {"platform": device.platform, "device": device.device_kind}
