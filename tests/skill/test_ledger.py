"""The ledger: looks are written, read, counted and compared."""

import math

import numpy as np
import pandas as pd
import pytest

from trading_gymnax.skill.ledger import (
    Look,
    common_nets,
    digest_of,
    ledger_of,
    look_at,
    read_ledger,
    tries,
    write_look,
)

DATES = [f"2025-03-{day:02d}" for day in range(3, 23)]


def look(settings: str, nets, dates=DATES, markets=("NQ",), time="2026-01-01T00:00:00+00:00") -> Look:
    by_date = dict(zip(dates, map(float, nets), strict=True))
    return Look(time, "train", "run", markets, settings, by_date)


def noise(seed: int, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 100, len(DATES))


def test_looks_come_back_as_they_were_written(tmp_path):
    path = ledger_of(tmp_path / "run")
    assert path == tmp_path.resolve() / "ledger.jsonl"
    assert read_ledger(path) == []
    looks = [look("a", noise(0)), look("b", noise(1), markets=("NQ", "ES"))]
    for one in looks:
        write_look(path, one)
    assert read_ledger(path) == looks
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(ValueError, match="line 3 is no entry of a ledger"):
        read_ledger(path)


def test_a_look_sums_the_markets_of_a_date():
    sessions = pd.DataFrame(
        {
            "date": pd.to_datetime(["2025-03-04", "2025-03-03", "2025-03-04"]),
            "market": ["NQ", "NQ", "ES"],
            "net_usd": [1.0, 2.0, 4.0],
        }
    )
    found = look_at("train", "run", ["NQ", "ES"], "a", sessions)
    assert dict(found.net_usd) == {"2025-03-03": 2.0, "2025-03-04": 5.0}
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1}) != digest_of({"a": 1, "b": 3})


def test_two_looks_of_one_second_are_two():
    sessions = pd.DataFrame({"date": pd.to_datetime(["2025-03-03"]), "net_usd": [1.0]})
    first, second = (look_at("cpcv", "run", ["NQ"], "a", sessions) for _ in range(2))
    assert tries([first, second], second).looks == 2


def test_settings_are_counted_where_sessions_are_the_same():
    this = look("a", noise(0))
    others = [
        look("b", noise(1)),
        look("b", noise(2)),  # the same settings once more: a look, no further setting
        look("a", noise(0), time="2025-01-01T00:00:00+00:00"),
        look("c", noise(3), markets=("ES",)),  # another market
        look("d", noise(4)[:2], dates=["2024-01-02", "2024-01-03"]),  # other dates
        look("e", noise(5)[:1], dates=DATES[-1:]),  # one date shared counts as a look at it
    ]
    found = tries([*others, this], this)
    assert (found.looks, found.settings) == (5, 3)
    assert (found.compared, found.days) == (2, len(DATES))
    assert tries([*others, this], this, at_least=9).settings == 9
    assert tries([], this).settings == 1
    assert math.isnan(tries([], this).pbo)
    assert "needs two settings and eight common days" in str(tries([], this))


def test_only_common_dates_are_compared():
    this = look("a", noise(0))
    shifted = look("b", noise(1), dates=[f"2025-03-{day:02d}" for day in range(8, 28)])
    little = look("c", noise(2)[:9], dates=DATES[:9])
    nets = common_nets([shifted, little, this])
    assert list(nets.columns) == ["b", "a"]
    assert list(nets.index) == DATES[5:]
    np.testing.assert_allclose(nets["a"], noise(0)[5:])


def test_a_period_looked_at_too_often_is_none():
    looks = [look(str(number), noise(number)) for number in range(14)]
    found = tries(looks, looks[-1])
    assert found.worn_out
    assert "HELD OUT NO LONGER: the best of 14 settings" in str(found)
    assert 0 <= found.pbo <= 1
    assert not tries(looks[:13], looks[12]).worn_out
    edge = [*looks[:10], look("edge", noise(99, mean=200.0))]
    found = tries(edge, edge[-1])
    assert found.pbo < 0.05
    assert found.spa < 0.01
    assert found.deflated_sharpe > 0.9
