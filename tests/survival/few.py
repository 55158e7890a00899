"""Odds of accounts from hundreds of attempts, for tests of what is done with them."""

import contextlib
from collections.abc import Iterator

import pytest

from trading_gymnax.survival import draws, odds, value


@contextlib.contextmanager
def few_attempts() -> Iterator[None]:
    """`survival` draws 200 attempts and 20 sets of 10 where nothing else is asked, not 10,000 and 200 of 100."""
    with pytest.MonkeyPatch.context() as patched:
        for module in (draws, odds, value):
            patched.setattr(module, "SETS", 20)
            patched.setattr(module, "SET_PATHS", 10)
        patched.setitem(odds.survival.__kwdefaults__, "paths", 200)
        yield
