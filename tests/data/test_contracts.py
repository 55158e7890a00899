"""The contract table of docs/rules.md, section 8, and what a ContractSpec refuses."""

import dataclasses
from typing import Any

import pytest

from trading_gymnax.data.contracts import CONTRACTS, ContractSpec, contract

# symbol, tick, dollars a point, commission a side, worth of a tick in cents (tick * dollars * 100)
TABLE = [
    ("ES", 0.25, 50, 2.50, 1250),
    ("NQ", 0.25, 20, 2.50, 500),
    ("YM", 1.00, 5, 2.50, 500),
    ("RTY", 0.10, 50, 2.50, 500),
    ("CL", 0.01, 1000, 2.50, 1000),
    ("GC", 0.10, 100, 2.50, 1000),
    ("MES", 0.25, 5, 0.75, 125),
    ("MNQ", 0.25, 2, 0.75, 50),
    ("MYM", 1.00, 0.50, 0.75, 50),
    ("M2K", 0.10, 5, 0.75, 50),
    ("MCL", 0.01, 100, 0.75, 100),
    ("MGC", 0.10, 10, 0.75, 100),
]


@pytest.mark.parametrize(("symbol", "tick", "dollars", "commission", "cents"), TABLE)
def test_table(symbol: str, tick: float, dollars: float, commission: float, cents: int) -> None:
    spec = CONTRACTS[symbol]
    assert (spec.tick_size, spec.multiplier, spec.commission_per_side) == (tick, dollars, commission)
    assert spec.tick_value_cents == cents
    assert spec.session_start == "18:00"
    assert contract(symbol.lower()) is spec


def test_table_has_no_other_contract() -> None:
    assert list(CONTRACTS) == [row[0] for row in TABLE]


def test_calendars_by_product() -> None:
    assert {CONTRACTS[symbol].calendar for symbol in ("ES", "NQ", "YM", "RTY", "M2K")} == {"CME Globex Equity"}
    assert CONTRACTS["CL"].calendar != CONTRACTS["ES"].calendar
    assert CONTRACTS["GC"].calendar == CONTRACTS["MGC"].calendar


def test_spec_is_taken_as_it_is_and_hashable() -> None:
    spec = ContractSpec("6E", 0.00005, 125_000.0)
    assert contract(spec) is spec
    assert spec.tick_value_cents == 625  # 0.00005 * 125,000 = 6.25 dollars
    assert {spec: 1}[dataclasses.replace(spec)] == 1


def test_tick_value_of_half_a_cent_is_refused() -> None:
    with pytest.raises(ValueError, match=r"a tick of X is worth 0\.5 cents.*whole cents"):
        _ = ContractSpec("X", 0.01, 0.5).tick_value_cents


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("NQQ", "unknown market 'NQQ': did you mean 'NQ'"),
        ("mess", "did you mean 'MES'"),
        ("zzzzzz", "known are ES, NQ"),
        (None, "market must be a symbol such as 'NQ'"),
        (3, "market must be a symbol"),
    ],
)
def test_unknown_markets_name_the_nearest(name: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        contract(name)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"symbol": " "}, "needs a symbol"),
        ({"tick_size": 0.0}, "tick_size of X must be a number above 0"),
        ({"tick_size": float("nan")}, "tick_size"),
        ({"multiplier": -1.0}, "multiplier of X must be a number above 0"),
        ({"multiplier": True}, "multiplier"),
        ({"commission_per_side": -0.01}, "commission_per_side of X must be a number 0 or more"),
        ({"calendar": 5}, "calendar of X"),
        ({"session_start": "6pm"}, "session_start of X must be like '18:00'"),
        ({"session_start": "24:00"}, "session_start"),
    ],
)
def test_impossible_specs_are_refused(change: dict[str, Any], sentence: str) -> None:
    values: dict[str, Any] = {"symbol": "X", "tick_size": 0.25, "multiplier": 4.0}
    with pytest.raises(ValueError, match=sentence):
        ContractSpec(**(values | change))


def test_a_session_from_noon_on_is_named_by_the_next_day() -> None:
    evening = ContractSpec("A", 1.0, 1.0, session_start="18:00")
    morning = ContractSpec("B", 1.0, 1.0, session_start="09:30")
    assert (evening.session_start_minute, evening.date_shift_days) == (1080, 1)
    assert (morning.session_start_minute, morning.date_shift_days) == (570, 0)
