"""The contract table of docs/rules.md, section 8, and what a ContractSpec refuses."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from trading_gymnax.data.contracts import CONTRACTS, LISTED, ContractSpec, contract, contract_lines
from trading_gymnax.data.sessions import full_session_minutes

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


def test_the_rule_books_contracts_come_first() -> None:
    assert list(CONTRACTS)[: len(TABLE)] == [row[0] for row in TABLE]


# symbol, worth of a tick in cents by the exchange's own words, session start
OTHERS = [
    ("6E", 625, "18:00"), ("6B", 625, "18:00"), ("6J", 625, "18:00"), ("6A", 500, "18:00"), ("6C", 500, "18:00"),
    ("6S", 625, "18:00"), ("6N", 500, "18:00"), ("6M", 500, "18:00"), ("M6E", 125, "18:00"), ("M6A", 100, "18:00"),
    ("ZB", 3125, "18:00"), ("UB", 3125, "18:00"), ("ZC", 1250, "20:00"), ("ZS", 1250, "20:00"), ("ZW", 1250, "20:00"),
    ("KE", 1250, "20:00"), ("ZL", 600, "20:00"), ("ZM", 1000, "20:00"), ("HE", 1000, "09:30"), ("LE", 1000, "09:30"),
    ("GF", 1250, "09:30"), ("NG", 1000, "18:00"), ("QG", 1250, "18:00"), ("MNG", 100, "18:00"), ("RB", 420, "18:00"),
    ("HO", 420, "18:00"), ("QM", 1250, "18:00"), ("SI", 2500, "18:00"), ("SIL", 500, "18:00"), ("HG", 1250, "18:00"),
    ("MHG", 125, "18:00"), ("PL", 500, "18:00"), ("PA", 5000, "18:00"), ("BTC", 2500, "18:00"), ("MBT", 50, "18:00"),
    ("ETH", 2500, "18:00"), ("MET", 5, "18:00"),
]  # fmt: skip
HALF_CENTS = {"M6B": (62.5, 2), "ZN": (1562.5, 2), "TN": (1562.5, 2), "ZF": (781.25, 4), "ZT": (781.25, 4)}


@pytest.mark.parametrize(("symbol", "cents", "start"), OTHERS)
def test_other_contracts(symbol: str, cents: int, start: str) -> None:
    spec = CONTRACTS[symbol]
    assert (spec.tick_value_cents, spec.session_start) == (cents, start)
    assert LISTED[symbol].product
    # The calendar's usual close lies within a day of the start that is written beside it.
    close = full_session_minutes(spec, np.array(["2025-06-03"], "datetime64[D]"))
    assert close == {"18:00": 1380, "20:00": 1100, "09:30": 275}[start]


def test_the_table_holds_these_contracts_and_no_other() -> None:
    assert set(CONTRACTS) == {row[0] for row in TABLE} | {row[0] for row in OTHERS} | set(HALF_CENTS)


@pytest.mark.parametrize("symbol", HALF_CENTS)
def test_half_cents_are_refused_with_the_unit_that_is_exact(symbol: str) -> None:
    cents, unit = HALF_CENTS[symbol]
    with pytest.raises(
        ValueError, match=rf"a tick of {symbol} is worth {cents:g} cents.*{unit} contracts taken as one"
    ):
        _ = CONTRACTS[symbol].tick_value_cents
    spec = CONTRACTS[symbol]
    exact = ContractSpec(f"{unit}x{symbol}", spec.tick_size, spec.multiplier * unit, 5.0)
    assert exact.tick_value_cents == cents * unit


def test_the_table_as_a_page() -> None:
    page = contract_lines()
    assert len(page) == 1 + len(CONTRACTS)
    row = next(line for line in page if line.startswith("6J"))
    assert row.split()[:4] == ["6J", "5e-07", "12,500,000", "6.25"]
    assert "Japanese Yen futures" in row
    assert "not tradeable alone" in next(line for line in page if line.startswith("ZN"))


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
        ({"session_minutes": 0}, "session_minutes of X must be a whole number from 1 to 1440"),
        ({"session_minutes": 1441}, "session_minutes"),
        ({"weekends": "no"}, "weekends of X must be True or False"),
        ({"price_ranges": ((2020, 2.0, 1.0),)}, "price_ranges of X"),
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
