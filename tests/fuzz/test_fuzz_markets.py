"""Several markets, contracts that roll and splits, of any kind: a `MarketData` that holds its tables, or a sentence.

`tests/fuzz/fuzz_loader.py` looks for the same with a coverage-guided fuzzer; what both found stands here as tests.
"""

import dataclasses
import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.market_inputs import SPECS, Choices, arguments_of, check_market, check_views, play, whole_table
from trading_gymnax import load_market_data

QUARTERS = whole_table(0.25)
ONE = {SPECS[0]: QUARTERS}


@given(data=st.binary(max_size=80))
@example(data=b"")
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_any_markets_are_loaded_whole_or_refused_in_words(data, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp() / "markets"
    folder.mkdir(exist_ok=True)
    try:
        play(data, folder)
    except (ValueError, FileNotFoundError) as error:
        refusal = error
    else:
        return
    assert not isinstance(refusal, UnicodeError)
    assert type(refusal).__module__.split(".")[0] in ("builtins", "trading_gymnax")
    assert len(str(refusal)) > 20


def test_the_checks_can_fail():
    """The first choice of each is sound; another table, or another date, is found out."""
    source, options = arguments_of(Choices(b""), None)
    market = load_market_data(source, **options)
    check_market(market, source, options)
    moved = {SPECS[0]: source[SPECS[0]].assign(close=lambda x: x["close"].shift(1, fill_value=1000 * 0.25))}
    with pytest.raises((AssertionError, ValueError)):
        check_market(market, moved, options)
    views = market.split("2025-01-16")
    check_views(market, views, ["2025-01-16"])
    with pytest.raises(AssertionError):
        check_views(market, views, ["2025-01-17"])


@pytest.mark.parametrize(
    ("source", "twice"),
    [
        ({SPECS[0]: QUARTERS, dataclasses.replace(SPECS[0], commission_per_side=1.0): QUARTERS}, "A"),
        ({SPECS[0]: {1: QUARTERS, "1": QUARTERS}}, "A-1"),
    ],
)
def test_a_market_that_is_named_twice_is_refused(source, twice):
    roll = "2025-01-16" if twice == "A-1" else None
    with pytest.raises(ValueError, match=f"data names {twice} twice: give each market once"):
        load_market_data(source, roll=roll)


@pytest.mark.parametrize("day", [np.datetime64("NaT", "D"), pd.NaT, "", "2025", "today", 5, None])
def test_what_is_no_date_is_never_taken_for_one(day):
    market = load_market_data(ONE)
    with pytest.raises(ValueError, match="is not a date; write it like '2025-02-15'"):
        market.split(day)
    if day is not None:  # an open side
        with pytest.raises(ValueError, match="is not a date"):
            market.between(day)


def test_dates_of_every_common_kind_split_alike():
    market = load_market_data(ONE)
    days = (
        "2025-01-16",
        "20250116",
        dt.date(2025, 1, 16),
        pd.Timestamp("2025-01-16 12:00"),
        np.datetime64("2025-01-16"),
    )
    for day in days:
        early, late = market.split(day)
        assert early.date_text() == "2025-01-06 to 2025-01-15"
        assert late.date_text() == "2025-01-16 to 2025-01-21"


@pytest.mark.parametrize("roll", [5, None, float("nan"), "soon", b"volume", ["2025-01-16"], object, pd.NaT, {}, [5, 6]])
def test_a_roll_of_three_contracts_that_cannot_be_is_a_sentence(roll):
    with pytest.raises(ValueError, match="roll") as refused:
        load_market_data({SPECS[0]: [QUARTERS] * 3}, roll=roll)
    assert "\n" not in str(refused.value)
