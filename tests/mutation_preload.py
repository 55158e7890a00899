"""Plugin of the mutation tests (see MUTATION.md): imports once what every mutant's process needs, and orders the tests.

The mutants run in forks of a process that has imported everything. A JAX backend that has started does not survive a
fork, so it must not start here; and gymnax makes one small array when it is imported.
"""

from __future__ import annotations

from unittest import mock

import jax.numpy
import numpy as np
import pytest

with mock.patch.object(jax.numpy, "array", np.array):
    import gymnax  # noqa: F401

CHEAP_FIRST = (
    *("test_life_reference", "test_rules_fast", "test_life", "test_construction", "test_render", "test_rewards"),
    *("test_phase2", "test_phase1"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The test that kills most mutants in the shortest time comes first; mutmut hands them over in any order."""
    items.sort(key=lambda item: CHEAP_FIRST.index(item.path.stem))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Make the inputs of the first tests before the forks, for all of them."""
    from tests.rules import test_life_reference, test_rules_fast

    test_life_reference.cases()
    for shape in test_rules_fast.SHAPES:
        test_rules_fast.inputs(shape)
