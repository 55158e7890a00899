"""Bar against path: trades settled on fine bars made by hand, and the bias of the rules on plain walks."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from tests.data.tables import PLAIN
from trading_gymnax import TradingPhase1, load_market_data
from trading_gymnax.evaluation.baselines import RandomEntries
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.skill.finepath import (
    STEPS,
    FineBars,
    Kind,
    _settle,
    bias_table,
    biases,
    fine_tape,
    leap_toll,
    settle_finely,
    target_toll,
)


def fine_of(*bars) -> FineBars:
    """Fine bars from (open, high, low, close)."""
    columns = np.array(bars, np.int64).T
    return FineBars(np.arange(len(bars)).astype("datetime64[s]"), *columns)


def settled(*bars, side=1, stop=10, target=30, through=1, slips=(1, 2)):
    fine = fine_of(*bars)
    return _settle(fine, slice(0, len(bars)), side, 1000, (stop, target, through), slips)


@pytest.mark.parametrize(
    ("bars", "options", "expected"),
    [
        ([(1000, 1005, 995, 1001)], {}, (0, "SESSION_CLOSE", False, True)),  # 1 tick of profit, 1 of slippage
        ([(1000, 1005, 990, 1001)], {}, (-12, "STOP", False, True)),  # touched: its level, 2 worse
        ([(1000, 1005, 995, 1001), (985, 1100, 980, 1001)], {}, (-17, "STOP", False, True)),  # leapt over
        ([(1000, 1030, 995, 1001)], {}, (0, "SESSION_CLOSE", False, True)),  # touched is not through
        ([(1000, 1030, 995, 1001)], {"through": 0}, (30, "TARGET", False, True)),
        ([(1000, 1031, 995, 1001)], {}, (30, "TARGET", False, True)),
        ([(1000, 1005, 995, 1001), (1040, 1050, 900, 1001)], {}, (30, "TARGET", False, True)),  # gap
        ([(1000, 1031, 990, 1001)], {}, (-12, "STOP", True, True)),  # both in one fine bar: against the trade
        ([(1000, 1031, 995, 1030), (1030, 1030, 900, 900)], {}, (30, "TARGET", False, True)),  # the order is known
        ([(1000, 1010, 995, 1001)], {"side": -1}, (-12, "STOP", False, True)),
        ([(1000, 1009, 969, 1001)], {"side": -1}, (30, "TARGET", False, True)),
    ],
)
def test_one_trade_by_hand(bars, options, expected):
    assert settled(*bars, **options) == expected


def test_without_fine_bars_nothing_is_known():
    assert _settle(fine_of((1, 1, 1, 1)), slice(1, 1), 1, 1000, (10, 30, 1), (1, 2)) == (0, "NONE", False, False)


def test_long_trades_are_followed_to_their_end():
    quiet = [(1000, 1005, 995, 1000)] * 5_000
    assert settled(*quiet, (1000, 1000, 990, 1000))[:2] == (-12, "STOP")
    assert settled(*quiet, (1000, 1005, 995, 1004))[:2] == (3, "SESSION_CLOSE")


@pytest.fixture(scope="module")
def tape():
    return fine_tape(3, seed=1, spec=PLAIN)


def test_a_fine_tape_adds_up_to_its_bars(tape):
    fine, frame = tape
    ticks = (frame[["open", "high", "low", "close"]] * 4).round().to_numpy().astype(np.int64)
    shaped = [x.reshape(-1, STEPS) for x in (fine.open, fine.high, fine.low, fine.close)]
    np.testing.assert_array_equal(ticks[:, 0], shaped[0][:, 0])
    np.testing.assert_array_equal(ticks[:, 1], shaped[1].max(axis=1))
    np.testing.assert_array_equal(ticks[:, 2], shaped[2].min(axis=1))
    np.testing.assert_array_equal(ticks[:, 3], shaped[3][:, -1])
    inside = shaped[0].reshape(3, -1)[:, 1:] == shaped[3].reshape(3, -1)[:, :-1]
    assert inside.all()  # without jumps every fine bar opens where the one before closed
    assert (np.diff(fine.start).astype(int) >= 1).all()
    day = frame["close"] - frame["open"]
    assert 0.8 < day.std() * 4 / (26 * 0.62) < 1.2  # quieter at night than by day


def test_kinds_of_tapes():
    plain, bounced, jumped = (
        fine_tape(2, seed=3, spec=PLAIN, kind=kind)[0]
        for kind in (Kind(), Kind(bounce_ticks=1), Kind(jumps_a_day=50, jump_noise=5.0))
    )
    assert (bounced.high - bounced.low).min() == 1
    assert (plain.open[1:] == plain.close[:-1]).mean() > 0.9999
    assert 0.4 < (bounced.open[1:] == bounced.close[:-1]).mean() < 0.6
    leaps = (jumped.open[1:] != jumped.close[:-1]).sum()
    assert 50 < leaps < 160


def test_fine_bars_and_rules_agree_where_the_bar_hides_nothing(tape):
    """Bars as their own fine bars, stop first in both: the same fills to the cent, and the same reasons."""
    _, frame = tape
    market = load_market_data(frame, PLAIN)
    env = TradingPhase1(market, trailing_dd_limit=float("inf"), sl_atr_mult=0.3, tp_sl_ratio=1.0)
    params = env.default_params
    found = evaluate_policy(RandomEntries(jnp.float32(0.5)), env, params, key=jax.random.key(0))
    prices = [(frame[name] * 4).round().to_numpy().astype(np.int64) for name in ("open", "high", "low", "close")]
    start = frame["timestamp"].dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    path = settle_finely(found.trades, FineBars(start, *prices), market, params)
    assert path["known"].all()
    np.testing.assert_allclose(path["net_usd"], found.trades["net_usd"], atol=1e-9)
    assert path["exit_reason"].tolist() == found.trades["exit_reason"].tolist()
    assert path["undecided"].sum() == found.sessions["ambiguous_bars"].sum() > 0


def test_what_is_reckoned_from_trades(tape):
    """A tick is 5 dollars. The target of two contracts: 10 dollars over four trades, at two ticks beyond it twice that.

    Stops of 1, 2 and 1 contracts, one of them at break-even and one the account's: 20 dollars a tick over four trades.
    """
    market = load_market_data(tape[1], PLAIN)
    params = TradingPhase1(market).default_params
    trades = pd.DataFrame({"exit_reason": ["STOP", "TARGET", "BREAKEVEN", "LIQUIDATION"], "contracts": [1, 2, 2, 1]})
    trades["market"] = PLAIN.symbol
    assert PLAIN.tick_value_cents == 500
    assert target_toll(trades, market, params) == 2.5
    assert target_toll(trades, market, params.replace(target_through_ticks=2)) == 5.0
    assert target_toll(trades, market, params.replace(target_through_ticks=0)) == 0.0
    assert leap_toll(trades, market) == 5.0
    assert math.isnan(target_toll(trades[:0], market, params))
    assert math.isnan(leap_toll(trades[:0], market))


def test_narrow_stops_cost_and_leaps_give():
    """0.25 ATR: the stop first in doubtful bars is too careful. Large jumps: a stop filled at its level is a gift."""
    (narrow,) = biases((0.25,), sessions=12, walks=1)
    assert narrow.usd < -2 * narrow.error_usd < 0
    assert narrow.ambiguous_share > 0.03
    assert narrow.usd == pytest.approx(-3, abs=3)
    (leapt,) = biases((0.5,), sessions=12, walks=1, kind=Kind(jumps_a_day=600, jump_noise=4.0), tp_sl_ratio=8.0)
    assert leapt.usd > 2 * leapt.error_usd > 0
    assert "took" in str(narrow)
    assert "gave" in str(leapt)
    assert bias_table([narrow]).count("\n") == 1
