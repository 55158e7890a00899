"""Walk-forward folds: which sessions each of them holds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.tables import PLAIN, table
from trading_gymnax import load_market_data
from trading_gymnax.market import MarketData
from trading_gymnax.walkforward.folds import Fold, session_days, walk_forward

DATES = np.arange("2025-03-03", "2025-03-20", dtype="datetime64[D]")
DATES = DATES[np.is_busday(DATES)]  # 13 weekdays


@pytest.fixture(scope="module")
def market() -> MarketData:
    return load_market_data(table(*map(str, DATES)), PLAIN)


def days(view: MarketData) -> list[int]:
    """Numbers of the view's sessions among DATES."""
    return [int(np.flatnonzero(day == DATES)[0]) for day in session_days(view)]


def shape(folds) -> list[tuple[list[int], list[int]]]:
    return [(days(fold.train), days(fold.test)) for fold in folds]


def test_rolling_folds(market):
    """13 sessions, 5 + 1 + 2 a fold: the fourth fold would end at session 14."""
    found = shape(walk_forward(market, 5, 2))
    assert found == [
        ([0, 1, 2, 3, 4], [6, 7]),
        ([2, 3, 4, 5, 6], [8, 9]),
        ([4, 5, 6, 7, 8], [10, 11]),
    ]


def test_anchored_folds_grow(market):
    assert shape(walk_forward(market, 4, 3, anchored=True, embargo_sessions=0)) == [
        ([0, 1, 2, 3], [4, 5, 6]),
        ([0, 1, 2, 3, 4, 5, 6], [7, 8, 9]),
        ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [10, 11, 12]),
    ]


def test_a_step_of_its_own_leaves_sessions_out(market):
    assert shape(walk_forward(market, 3, 1, step=4, embargo_sessions=2)) == [
        ([0, 1, 2], [5]),
        ([4, 5, 6], [9]),
    ]


def test_folds_are_views_and_say_what_they_hold(market):
    fold = next(walk_forward(market, 5, 2))
    assert isinstance(fold, Fold)
    assert fold.train.bars is market.bars
    assert str(fold) == "fold 0: train 2025-03-03 to 2025-03-07, test 2025-03-11 to 2025-03-12"


def test_the_markets_own_view_is_kept(market):
    later = market.between("2025-03-05")
    assert shape(walk_forward(later, 5, 2))[0] == ([2, 3, 4, 5, 6], [8, 9])


def test_several_markets_are_divided_by_date():
    """The second market trades on the last eight days only."""
    other = dataclasses.replace(PLAIN, symbol="OTHER")
    both = load_market_data({PLAIN: table(*map(str, DATES)), other: table(*map(str, DATES[5:]), seed=1)})
    first, *_, last = walk_forward(both, 5, 2)
    assert np.asarray(first.train.view).tolist() == [[0, 5], [0, 0]]
    assert np.asarray(first.test.view).tolist() == [[6, 8], [1, 3]]
    assert np.asarray(last.test.view).tolist() == [[10, 12], [5, 7]]


@given(
    train=st.integers(1, 6),
    test=st.integers(1, 4),
    more=st.integers(0, 3),
    embargo=st.integers(0, 3),
    anchored=st.booleans(),
)
def test_tests_follow_training_and_never_meet(market, train, test, more, embargo, anchored):
    seen: set[int] = set()
    for fold in walk_forward(market, train, test, step=test + more, anchored=anchored, embargo_sessions=embargo):
        learnt, judged = days(fold.train), days(fold.test)
        assert len(judged) == test
        assert judged[0] - learnt[-1] == embargo + 1
        assert len(learnt) == (train + fold.number * (test + more) if anchored else train)
        assert not seen & set(judged)
        seen |= set(judged)
    assert seen


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"train_sessions": 0, "test_sessions": 1}, "train_sessions is a number of sessions, 1 or more; got 0"),
        ({"train_sessions": 5, "test_sessions": 0}, "test_sessions is a number of sessions"),
        ({"train_sessions": 5, "test_sessions": 1.5}, "test_sessions is a number of sessions, 1 or more; got 1.5"),
        ({"train_sessions": 5, "test_sessions": 2, "embargo_sessions": -1}, "embargo_sessions .* 0 or more; got -1"),
        ({"train_sessions": 5, "test_sessions": 2, "step": 1}, "test views would overlap"),
        ({"train_sessions": 11, "test_sessions": 2}, r"11 \+ 1 \+ 2 = 14 usable sessions and the view has 13"),
        ({"train_sessions": True, "test_sessions": 2}, "train_sessions"),
    ],
)
def test_impossible_folds_get_one_clear_sentence(market, arguments, message):
    with pytest.raises(ValueError, match=message):
        walk_forward(market, **arguments)
