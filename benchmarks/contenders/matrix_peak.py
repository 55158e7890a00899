"""The float32 matrix peak of the machine: the best of a few large square products, in JAX, and in torch if there."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.machine import usable_cores


def peak(sizes: list[int], seconds: float) -> tuple[Callable[[], dict[str, float]], dict[str, Any]]:
    """Operations a second: the best product of `sizes`, each repeated for about `seconds`; the larger library's."""
    libraries = {"jax": _jax_products(sizes)}
    with contextlib.suppress(ImportError):  # the facts say which libraries there were
        libraries["torch"] = _torch_products(sizes)
    for products in libraries.values():
        for product in products.values():
            product()

    def measure() -> dict[str, float]:
        found = {
            f"{name}_flops": max(_best(size, product, seconds) for size, product in products.items())
            for name, products in libraries.items()
        }
        return {**found, "flops": max(found.values())}

    return measure, {"sizes": sizes, "libraries": list(libraries)}


def _best(size: int, product: Callable[[], Any], seconds: float) -> float:
    best, spent = float("inf"), 0.0
    while spent < seconds:
        began = time.perf_counter()
        product()
        took = time.perf_counter() - began
        best, spent = min(best, took), spent + took
    return 2 * size**3 / best


def _jax_products(sizes: list[int]) -> dict[int, Callable[[], Any]]:
    multiply = jax.jit(jnp.matmul)

    def of(size: int) -> Callable[[], Any]:
        a, b = jax.random.normal(jax.random.key(size), (2, size, size))
        return lambda: jax.block_until_ready(multiply(a, b))

    return {size: of(size) for size in sizes}


def _torch_products(sizes: list[int]) -> dict[int, Callable[[], Any]]:
    import torch

    torch.set_num_threads(usable_cores())

    def of(size: int) -> Callable[[], Any]:
        a, b = torch.randn(2, size, size)
        out = torch.empty(size, size)
        return lambda: torch.mm(a, b, out=out)

    return {size: of(size) for size in sizes}
