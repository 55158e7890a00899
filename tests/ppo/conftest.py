"""Faster compiles: these tests run small programs briefly, so that compiling is most of their time."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True, scope="module")
def _compile_quickly(request: pytest.FixtureRequest, _forget_programs: None) -> Iterator[None]:
    """Compile without costly optimisations, but for the tests that train for minutes or compare processes."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", not request.module.__name__.endswith("test_slow"))
    yield
    jax.config.update("jax_disable_most_optimizations", before)
