"""Whole PPO trainings from new weights in one compiled program: ours, the plain loop's, and rejax's, settings alike.

What differs in the rules: ours masks illegal actions, normalises observations and rewards, and values truncated
episodes; the plain loop and rejax do none of it, which is less work. Nobody evaluates in between.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax

from benchmarks.contenders.environments import counted, sharing, trading, working_bytes
from benchmarks.machine import device_memory, device_name, resident_mb, versions
from benchmarks.settings import PPOSettings
from trading_gymnax.interop import FiveValueStep

Measured = tuple[Callable[[], dict[str, float]], dict[str, Any]]


def ours(phase: int = 1, precision: str | None = None, **settings: Any) -> Measured:
    """`purejaxrl_ppo.make_train` over the devices that JAX has; also the mean reward a step of the last update.

    precision: of float32 products, "highest" say; None is JAX's default, which on a GPU is TF32.
    """
    from purejaxrl_ppo import make_train

    if precision is not None:
        jax.config.update("jax_default_matmul_precision", precision)
    chosen = PPOSettings(**settings)
    env, params = trading(phase=phase)
    mesh = sharing(chosen.num_envs)
    train = make_train(env, our_config(chosen), mesh=mesh)
    measure, facts = _timed(train, env, (params,), chosen, lambda result: result.metrics["reward"][-1])
    return measure, {**facts, "devices": 1 if mesh is None else mesh.size}


def plain(**settings: Any) -> Measured:
    """`benchmarks.peers.plain_ppo`, through the five-value adapter."""
    from benchmarks.peers import plain_ppo

    chosen = PPOSettings(**settings)
    env, params = trading()
    train = plain_ppo.make_train(FiveValueStep(env), _plain_settings(chosen))
    return _timed(train, env, (params,), chosen, lambda result: result[1][-1])


def rejax(**settings: Any) -> Measured:
    """rejax's PPO, through the five-value adapter: its own update, scanned as its `train` does, without evaluation."""
    import rejax

    chosen = PPOSettings(**settings)
    env, params = trading()
    algo = rejax.PPO.create(
        env=FiveValueStep(env),
        env_params=params,
        total_timesteps=chosen.steps,
        num_envs=chosen.num_envs,
        num_steps=chosen.num_steps,
        num_epochs=chosen.num_epochs,
        num_minibatches=chosen.num_minibatches,
        learning_rate=chosen.learning_rate,
        max_grad_norm=0.5,
        agent_kwargs={"activation": "tanh", "hidden_layer_sizes": (chosen.width, chosen.width)},
    )

    def train(key: jax.Array, algo: Any) -> Any:
        state, _ = jax.lax.scan(
            lambda state, _: (algo.train_iteration(state), None), algo.init_state(key), None, chosen.num_updates
        )
        return state.actor_ts.params, state.critic_ts.params

    measure, facts = _timed(train, env, (algo,), chosen, None)
    return measure, {**facts, **versions(("rejax",))}


def our_memory(**settings: Any) -> Measured:
    """Bytes of one of our updates by XLA's account, without the market; `measure` runs it for the resident peak."""
    from purejaxrl_ppo import make_trainer

    chosen = PPOSettings(**settings)
    env, params = trading()
    config = our_config(chosen)
    trainer = make_trainer(env, config)
    state = jax.eval_shape(trainer.init, jax.random.key(0), params)
    program = counted(trainer.update, donate=(0,)).lower(state, params, config.hyperparameters).compile()
    before = resident_mb()

    def measure() -> dict[str, float]:
        state = jax.jit(trainer.init)(jax.random.key(0), params)
        jax.block_until_ready(program(state, params, config.hyperparameters))
        peak = resident_mb(peak=True)
        return {"mb": working_bytes(program, params.market) / 1e6, "resident_mb": peak, "grown_mb": peak - before}

    return measure, dataclasses.asdict(chosen)


def plain_memory(**settings: Any) -> Measured:
    """The same account of the plain loop, compiled only."""
    from benchmarks.peers import plain_ppo

    chosen = PPOSettings(**settings)
    env, params = trading()
    train = plain_ppo.make_train(FiveValueStep(env), _plain_settings(chosen))
    program = counted(train).lower(jax.random.key(0), params).compile()
    return lambda: {"mb": working_bytes(program, params.market) / 1e6}, dataclasses.asdict(chosen)


def our_config(chosen: PPOSettings) -> Any:
    """The settings as our trainer's."""
    from purejaxrl_ppo import PPOConfig

    return PPOConfig(
        total_timesteps=chosen.steps,
        num_envs=chosen.num_envs,
        num_steps=chosen.num_steps,
        num_epochs=chosen.num_epochs,
        num_minibatches=chosen.num_minibatches,
        learning_rate=chosen.learning_rate,
        learning_rate_schedule="constant",
        hidden_sizes=(chosen.width, chosen.width),
        bfloat16=chosen.bfloat16,
    )


def _plain_settings(chosen: PPOSettings) -> Any:
    from benchmarks.peers import plain_ppo

    values = dataclasses.asdict(chosen)
    del values["bfloat16"]
    return plain_ppo.Settings(**values)


def _timed(
    train: Callable[..., Any], env: Any, args: tuple[Any, ...], chosen: PPOSettings, reward: Callable | None
) -> Measured:
    """Compile `train(key, *args)`; a measurement is one training with a new seed."""
    flops = chosen.nominal_flops(env.obs_shape[0], env.num_actions)
    began = time.perf_counter()
    program = jax.jit(train).lower(jax.random.key(0), *args).compile()
    compile_s = time.perf_counter() - began
    seeds = iter(range(1_000_000))

    def measure() -> dict[str, float]:
        key = jax.random.key(next(seeds))
        began = time.perf_counter()
        result = jax.block_until_ready(program(key, *args))
        speed = chosen.steps / (time.perf_counter() - began)
        found = {"steps_per_s": speed, "flops_per_s": speed * flops, **device_memory()}
        return found if reward is None else {**found, "reward": float(reward(result))}

    return measure, {**dataclasses.asdict(chosen), "compile_s": compile_s, **device_name()}
