"""Nulls: what each keeps, to the tick, and what it moves."""

import numpy as np
import pytest

from tests.data.tables import load, table
from tests.skill.small import source
from trading_gymnax.data.loader import Bars
from trading_gymnax.runs import TradingSettings
from trading_gymnax.skill import nulls
from trading_gymnax.skill.tapes import read_source

DATES = [f"2025-03-{day:02d}" for day in (3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 17, 18, 19, 20, 21, 24, 25, 26, 27, 28)]


@pytest.fixture(scope="module")
def bars() -> Bars:
    """Twenty sessions of three hours in the morning, one of them with a hole of five minutes."""
    frame = table(*DATES, first=840, last=1020)
    return load(frame.drop(frame.index[1000:1005]), rth=(9.5, 11.0))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def rows(gap, shape, volume, *labels):
    """Each bar with its labels as a row, sorted: equal for the same bars in any order."""
    return np.sort(np.rec.fromarrays([*labels, gap, *shape, volume]))


@pytest.fixture(scope="module", params=nulls.NULLS)
def drawn(request, bars):
    ticks, volume = nulls.permute(bars, request.param, rng())
    gap = np.concatenate([[0], ticks[0, 1:] - ticks[3, :-1]])
    return request.param, ticks, volume, gap, ticks[1:] - ticks[0]


def test_every_bar_is_a_bar_and_the_tape_another_one(drawn, bars):
    _, ticks, volume, _, _ = drawn
    opening, high, low, close = ticks
    assert (high >= np.maximum(opening, close)).all()
    assert (low <= np.minimum(opening, close)).all()
    assert low.min() > 0
    assert (close != bars.close).mean() > 0.5
    assert opening[0] == bars.open[0]
    np.testing.assert_array_equal(np.sort(volume), np.sort(bars.volume))


def test_the_same_number_gives_the_same_tape(bars, drawn):
    name, ticks, _, _, _ = drawn
    np.testing.assert_array_equal(nulls.permute(bars, name, rng())[0], ticks)
    assert (nulls.permute(bars, name, rng(1))[0] != ticks).any()


def test_what_each_null_keeps(drawn, bars):
    """Gaps and shapes as multisets, by minute and group or by session and half hour; signs mirror each bar in place."""
    name, ticks, volume, gap, shape = drawn
    own_gap, own_shape = nulls._parts(bars)
    group = nulls.volatility_groups(bars)[bars.session]
    none = np.zeros(len(bars), np.int64)
    if name == "signs":
        assert set(np.unique(shape[2][own_shape[2] != 0] // own_shape[2][own_shape[2] != 0])) == {-1, 1}
        np.testing.assert_array_equal(ticks[1] - ticks[2], bars.high - bars.low)
        np.testing.assert_array_equal(np.abs(gap), np.abs(own_gap))
        np.testing.assert_array_equal(volume, bars.volume)
        mirrored = shape[2] != own_shape[2]
        np.testing.assert_array_equal(shape[0][mirrored], -own_shape[1][mirrored])
        return
    assert ticks[3, -1] == bars.close[-1]
    labels = {
        "bars": (bars.time, group),
        "within": (bars.session, (bars.time - 1) // 30),
        "blocks": (bars.time, group),
    }[name]
    np.testing.assert_array_equal(
        rows(none, shape, volume, *labels), rows(none, own_shape, bars.volume, *labels), err_msg="shapes"
    )
    zero = np.zeros_like(shape)
    np.testing.assert_array_equal(rows(gap, zero, none, *labels), rows(own_gap, zero, none, *labels), err_msg="gaps")


def test_blocks_move_as_a_whole(bars):
    """Inside each half hour the order of moves is that of one half hour of the bars."""
    ticks, _ = nulls.permute(bars, "blocks", rng())
    moves, own = ticks[3] - ticks[0], (bars.close - bars.open).astype(np.int64)
    size, moved = nulls.WINDOW_MINUTES, 0
    of = bars.session * 1000 + (bars.time - 1) // size
    own_blocks = {own[of == key].tobytes() for key in np.unique(of)}
    for key in np.unique(of):
        assert moves[of == key].tobytes() in own_blocks
        moved += moves[of == key].tobytes() != own[of == key].tobytes()
    assert moved > 50  # of 120


def test_sessions_of_like_volatility_stay_together():
    """Ten quiet sessions and ten wild ones: two groups, and no quiet session is given a wild bar."""
    frame = table(*DATES, first=840, last=1020)
    wild = np.arange(len(frame)) // 180 % 2 == 1
    frame.loc[wild, "high"] += 50.0
    bars = load(frame, rth=(9.5, 11.0))
    np.testing.assert_array_equal(nulls.volatility_groups(bars), np.arange(20) % 2)
    ticks, _ = nulls.permute(bars, "bars", rng())
    np.testing.assert_array_equal(ticks[1] - np.maximum(ticks[0], ticks[3]) >= 200, wild)


def test_order_is_destroyed():
    """A tape whose moves follow one another: permuted bars and signs do not; half hours keep what lies inside them."""
    bars = source(40, 3, drift=1.0).tables[0]

    def order(opening, close):
        moves = close - opening
        return np.corrcoef(moves[:-1], moves[1:])[0, 1]

    assert order(bars.open, bars.close) > 0.3
    for name, low, high in (("bars", -0.05, 0.05), ("signs", -0.05, 0.05), ("blocks", 0.2, 1.0)):
        assert low < order(*nulls.permute(bars, name, rng())[0][[0, 3]]) < high, name


def test_a_drawn_market_has_the_shape_of_the_real_one():
    bars = source(8, 0)
    real, drawn, again = bars.real(), bars.drawn("bars", 5, 1), bars.drawn("bars", 5, 1)
    assert drawn.bars.shape == real.bars.shape
    np.testing.assert_array_equal(np.asarray(drawn.bars), np.asarray(again.bars))
    np.testing.assert_array_equal(np.asarray(drawn.close_minute), np.asarray(real.close_minute))
    assert (np.asarray(drawn.bars) != np.asarray(bars.drawn("bars", 5, 2).bars)).any()


def test_what_cannot_be_permuted_is_refused(bars):
    with pytest.raises(ValueError, match="no null 'bar'; there are bars, within"):
        nulls.permute(bars, "bar", rng())
    with pytest.raises(ValueError, match="one market at a time"):
        read_source(TradingSettings(data=("a", "b"), market=("NQ", "ES")), None)
    with pytest.raises(ValueError, match="column mine of the file"):
        read_source(TradingSettings(data=("a",), market=("NQ",), loader={"feature_columns": ["close", "mine"]}), None)
