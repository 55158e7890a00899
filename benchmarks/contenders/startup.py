"""Seconds from nothing to a compiled default training: imports, then tracing and compiling; the market is left out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def ours() -> tuple[Callable[[], dict[str, float]], dict[str, Any]]:
    """`make_train` with the default settings."""
    return _seconds(_ours), {}


def plain() -> tuple[Callable[[], dict[str, float]], dict[str, Any]]:
    """The plain loop with the same sizes."""
    return _seconds(_plain), {}


def _seconds(prepare: Callable[[], Callable[[], Callable[[], Any]]]) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        began = time.perf_counter()
        build = prepare()
        import_s = time.perf_counter() - began
        lower = build()
        began = time.perf_counter()
        lower().compile()
        compile_s = time.perf_counter() - began
        return {"seconds": import_s + compile_s, "import_s": import_s, "compile_s": compile_s}

    return measure


def _ours() -> Callable[[], Callable[[], Any]]:
    """Import; what is returned builds the market, and returns what traces the training."""
    import jax

    from purejaxrl_ppo import PPOConfig, make_train
    from trading_gymnax import TradingPhase1

    def build() -> Callable[[], Any]:
        env = TradingPhase1()
        return lambda: jax.jit(make_train(env, PPOConfig())).lower(jax.random.key(0), env.default_params)

    return build


def _plain() -> Callable[[], Callable[[], Any]]:
    import jax

    from benchmarks.peers.plain_ppo import Settings, make_train
    from trading_gymnax import TradingPhase1
    from trading_gymnax.interop import FiveValueStep

    def build() -> Callable[[], Any]:
        env = TradingPhase1()
        train = make_train(FiveValueStep(env), Settings(num_updates=15))  # 1,024 x 128, as many as ours
        return lambda: jax.jit(train).lower(jax.random.key(0), env.default_params)

    return build
