"""Strict mode for the whole suite: warnings are errors and rank promotion raises."""

import gc
import itertools
import os
import pathlib
import warnings
from collections.abc import Iterator

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["TRADING_GYMNAX_CALENDAR_CACHE"] = "false"  # tests neither need nor fill the cache of who runs them

with warnings.catch_warnings():  # `import distrax` warns about its own dependencies
    warnings.simplefilter("ignore")
    import distrax  # noqa: F401

import jax
import pytest
from hypothesis import settings

jax.config.update("jax_numpy_rank_promotion", "raise")

settings.register_profile("suite", deadline=None, print_blob=True)
settings.load_profile("suite")

SHARED_DATA = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    """Turn warnings into errors."""
    config.addinivalue_line("filterwarnings", "error")


# Files that take longest. Processes that share the suite take them first, so that none ends long after the others.
_LONGEST = (
    "cli/test_cli",
    "survival/test_survival",
    "survival/test_lives",
    "ppo/test_train",
    "walkforward/test_walkforward_run",
    "ppo/test_fast_paths",
    "cli/test_options",
    "evaluation/test_evaluate",
    "ppo/test_fit",
    "report/test_judge",
    "rules/test_interop",
    "skill/test_redteam",
    "rules/test_phase2",
    "rules/test_phase1",
    "cli/test_warm_start",
    "rules/test_parity",
    "report/test_report",
    "survival/test_value",
    "ppo/test_fused",
    "rules/test_markets",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    place = {pathlib.Path(__file__).parent / f"{name}.py": at for at, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish() -> None:
    """Spare the search for garbage all that was imported, and search less often: it took up to a tenth of a file."""
    gc.freeze()
    gc.set_threshold(20_000)


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """Folder of real bars; the test is skipped where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("real bars are not here: ../shared/data is missing beside the checkout")
    return SHARED_DATA


_FILES_KEPT = 4
_files = itertools.count(1)


@pytest.fixture(autouse=True, scope="module")
def _forget_programs() -> Iterator[None]:
    """Drop the compiled programs of every few files: kept, they would take gigabytes over the whole suite.

    A file finds those of small operations that the files before it have used, a hundred of a hundredth of a second.
    """
    yield
    if next(_files) % _FILES_KEPT == 0:
        jax.clear_caches()
