"""The numbers behind the charts of a report: sessions, levels and trades worked by hand, thinned lines, axes."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.rules.handmade import LEVEL, WARMUP, flat, make_bars
from tests.survival.material import Script
from trading_gymnax import EnvParams, EnvParamsPhase2, TradingPhase1, TradingPhase2
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.market import pack
from trading_gymnax.report.series import thin
from trading_gymnax.report.session_charts import LEAD_BARS, choose_sessions, level_runs, session_charts
from trading_gymnax.report.svg import nice_step
from trading_gymnax.rules import BUY, ENABLE_TRAIL, MOVE_SL_TO_BE, SELL

KEY = jax.random.key(0)


def bar(open_: int, high: int, low: int, close: int) -> tuple[int, int, int, int]:
    """A bar by its distances in ticks from LEVEL."""
    return (LEVEL + open_, LEVEL + high, LEVEL + low, LEVEL + close)


def played(env_class, params_class, rows, actions: dict[int, int], **fields):
    """Evaluation and charts of actions at rows of hand-made NQ bars."""
    market = pack([make_bars(rows)])
    table = np.zeros((1, market.bars.shape[1]), np.int32)
    for row, action in actions.items():
        table[0, WARMUP + row] = action
    env, params = env_class(market), params_class.create(market, **fields)
    found = evaluate_policy(Script(jnp.asarray(table)), env, params, key=KEY)
    return found, session_charts(found, market)[0]


# -- sessions as charts --


def test_levels_and_trades_of_a_session_worked_by_hand():
    # ATR 8: stop 12 and target 36 ticks from the fill, which is a tick worse than the open.
    rows = [bar(0, 0, 0, 0), bar(0, 10, -5, 4), bar(4, 39, -8, 30), *[bar(30, 30, 30, 30)]]
    rows += [bar(30, 33, 25, 26), bar(45, 50, 40, 44)]
    found, chart = played(TradingPhase1, EnvParams, rows, {0: BUY, 3: SELL})
    first = LEAD_BARS - 1  # row of the chart that shows row 0, the first decision bar
    np.testing.assert_array_equal(chart.bars[first : first + 6], rows)
    # long from 1 in rows 1 and 2: stop -11, target 37; short from 29 in rows 4 and 5: stop 41, target -7
    stop, target = ({1: a, 2: a, 4: b, 5: b} for a, b in ((-11, 41), (37, -7)))
    for levels, expected in ((chart.stop, stop), (chart.target, target)):
        wanted = [LEVEL + expected[row] if row in expected else 0 for row in range(10)]
        np.testing.assert_array_equal(levels[first : first + 10], wanted)
    assert not chart.stop[:first].any()
    long, short = chart.trades
    assert (long.entry_row - first, long.exit_row - first, long.side, long.reason) == (1, 2, 1, "TARGET")
    assert (long.entry - LEVEL, long.exit - LEVEL, long.net_usd) == (1, 37, 175.0)
    assert (short.entry_row - first, short.exit_row - first, short.side, short.reason) == (4, 5, -1, "STOP")
    assert (short.entry - LEVEL, short.exit - LEVEL, short.net_usd) == (29, 46, -90.0)
    assert str(chart.time[first]) == "2025-01-07T09:30"
    assert (chart.date, chart.symbol, chart.net_usd) == ("2025-01-07", "NQ", 85.0)
    assert len(chart.time) == len(chart.stop) == LEAD_BARS + len(found.bars)


def test_a_stop_that_is_managed_is_shown_where_it_was_in_force():
    rows = [
        bar(0, 0, 0, 0),
        bar(0, 2, -2, 2),
        bar(2, 8, 2, 8),
        bar(8, 12, 8, 12),
        bar(12, 14, 6, 14),
        bar(14, 16, 4, 5),
    ]
    rows += flat(LEVEL + 5, 3)
    actions = {0: BUY, 2: MOVE_SL_TO_BE, 3: ENABLE_TRAIL}
    found, chart = played(TradingPhase2, EnvParamsPhase2, rows, actions)
    first = LEAD_BARS - 1
    # Long from 1, stop -11 in rows 1 and 2. Moved to 1 at the close of row 2: in force in row 3. The trail (8 ticks)
    # is enabled at the close of row 3, 12 - 8 = 4, in force in row 4; its close of 14 lifts it to 6 for row 5,
    # whose low of 4 takes the position out at 6 - 1.
    expected = [0, -11, -11, 1, 4, 6]
    np.testing.assert_array_equal(chart.stop[first : first + 7], [x and LEVEL + x for x in expected] + [0])
    assert [(t.exit - LEVEL, t.reason) for t in chart.trades] == [(5, "TRAIL")]
    assert found.trades["exit_reason"].tolist() == ["TRAIL"]


def test_runs_of_levels():
    stop, target = np.array([0, 5, 5, 6, 0, 0, 7]), np.array([0, 9, 9, 9, 0, 0, 3])
    assert level_runs(stop, target) == [[1, 2, 5, 9], [3, 1, 6, 9], [6, 1, 7, 3]]
    assert level_runs(stop[:1], target[:1]) == []


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=90), st.integers(2, 60))
def test_the_sessions_of_a_page_hold_the_best_and_the_worst(nets, limit):
    chosen = choose_sessions(np.array(nets), limit)
    assert len(chosen) == min(limit, len(nets))
    assert (np.diff(chosen) > 0).all()
    shown = [nets[i] for i in chosen]
    assert max(shown) == max(nets)
    assert min(shown) == min(nets)


# -- numbers behind the charts --


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=400), st.integers(10, 100))
def test_a_thinned_line_keeps_what_is_read_off_it(moves, limit):
    equity = np.cumsum(moves).astype(float)
    drawdown = equity - np.maximum.accumulate(np.maximum(equity, 0))
    keep = thin(equity, drawdown, limit)
    assert (np.diff(keep) > 0).all()
    assert len(keep) <= max(limit, 10)
    assert keep[0] == 0
    assert keep[-1] == len(equity) - 1
    for line in (equity, drawdown):
        assert line[keep].min() == line.min()
        assert line[keep].max() == line.max()


@given(st.floats(1e-6, 1e9), st.integers(2, 40))
def test_steps_of_an_axis_are_round_and_enough(span, most):
    step = nice_step(span, most)
    assert step * most >= span * (1 - 1e-6)
    assert step * most < 2.6 * span  # the next smaller one would be too small
    assert f"{step:.0e}"[0] in "125"
