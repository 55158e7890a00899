"""Walk-forward folds: a policy is trained on sessions of the past and judged on those that follow, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from trading_gymnax.market import MarketData

_DAY = np.timedelta64(1, "D")


class Fold(NamedTuple):
    """Two views of the same arrays."""

    number: int  # from 0
    train: MarketData  # sessions to learn from
    test: MarketData  # later sessions, on which nothing may be chosen

    def __str__(self) -> str:
        return f"fold {self.number}: train {self.train.date_text()}, test {self.test.date_text()}"


def walk_forward(
    market: MarketData,
    train_sessions: int,
    test_sessions: int,
    step: int | None = None,
    anchored: bool = False,
    embargo_sessions: int = 1,
) -> Iterator[Fold]:
    """Folds of a market's view, in the order of time.

    A session is counted by its date: with several markets, a date on which one of them has a usable session. Between
    training and test `embargo_sessions` are left out, so that nothing that lasts over the night (an average, a window)
    is shared by both. Sessions at the end that do not fill a test are left over.

    Args:
        market: what to divide; its own view is kept.
        train_sessions: sessions to learn from, in each fold; of the first one where `anchored`.
        test_sessions: sessions to judge on.
        step: sessions from one fold to the next; by default `test_sessions`, so that the tests follow one another.
        anchored: training always begins at the first session and grows.
        embargo_sessions: sessions left out between the two.

    Raises ValueError for sizes that cannot be, tests that would overlap, and too few sessions for a fold.
    """
    step = test_sessions if step is None else step
    sizes = {"train_sessions": train_sessions, "test_sessions": test_sessions, "step": step}
    for name, size, least in [*((n, s, 1) for n, s in sizes.items()), ("embargo_sessions", embargo_sessions, 0)]:
        if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < least:
            raise ValueError(f"{name} is a number of sessions, {least} or more; got {size!r}")
    if step < test_sessions:
        raise ValueError(
            f"with a step of {step} and tests of {test_sessions} sessions the test views would overlap and count "
            f"sessions twice; use step={test_sessions} or more"
        )
    days = session_days(market)
    needed = train_sessions + embargo_sessions + test_sessions
    if len(days) < needed:
        raise ValueError(
            f"a fold needs {train_sessions} + {embargo_sessions} + {test_sessions} = {needed} usable sessions and the "
            f"view has {len(days)}, {market.date_text()}; use shorter ones, or more bars"
        )
    return _folds(market, days, train_sessions, test_sessions, step, anchored, embargo_sessions)


def session_days(market: MarketData) -> np.ndarray:
    """Dates on which a market of the view has a usable session, datetime64[D] [N]."""
    dates = np.asarray(market.session_date)
    days = [dates[m, market.usable_sessions(m)] for m in range(market.num_markets)]
    return np.unique(np.concatenate(days)).astype("datetime64[D]")


def _folds(
    market: MarketData, days: np.ndarray, train: int, test: int, step: int, anchored: bool, embargo: int
) -> Iterator[Fold]:
    starts = range(0, len(days) - train - embargo - test + 1, step)
    for number, start in enumerate(starts):
        first, end = 0 if anchored else start, start + train
        tested = end + embargo
        after = days[tested + test - 1] + _DAY
        yield Fold(
            number,
            market.between(days[first], days[end - 1] + _DAY),
            market.between(days[tested], after),
        )
