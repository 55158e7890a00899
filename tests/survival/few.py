"""Odds of accounts from hundreds of attempts, and little luck, for tests of what is done with them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from trading_gymnax.cli import judging, training
from trading_gymnax.report.judge import Judgement, judge
from trading_gymnax.survival import draws, odds, value_lives


@contextlib.contextmanager
def few_attempts() -> Iterator[None]:
    """`survival` draws 200 attempts and 20 sets of 10 where nothing else is asked, not 10,000 and 200 of 100.

    `judge` compares with 2 policies of random entries, not 20.
    """
    with pytest.MonkeyPatch.context() as patched:
        for module in (draws, odds, value_lives):
            patched.setattr(module, "SETS", 20)
            patched.setattr(module, "SET_PATHS", 10)
        patched.setitem(odds.survival.__kwdefaults__, "paths", 200)
        patched.setitem(judge.__kwdefaults__, "luck_seeds", 2)
        yield


@contextlib.contextmanager
def policy_alone() -> Iterator[None]:
    """The command line judges the policy alone, without baselines, other fills and accounts."""

    def briefly(*args: Any, **options: Any) -> Judgement:
        return judge(*args, **options | {"baselines": False, "accounts": ()})

    with pytest.MonkeyPatch.context() as patched:
        for module in (judging, training):
            patched.setattr(module, "judge", briefly)
        yield


@contextlib.contextmanager
def short_judgement() -> Iterator[None]:
    """`policy_alone`, and no page is written after a training."""
    with policy_alone(), pytest.MonkeyPatch.context() as patched:
        patched.setattr(training, "write_page", lambda *args: None)
        yield
