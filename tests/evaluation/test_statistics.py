"""Figures of an evaluation: worked by hand, against the library and printed examples, and as properties."""

import dataclasses
import math

import empyrical
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from trading_gymnax.evaluation import ratios, trades
from trading_gymnax.evaluation.evaluate import Evaluation
from trading_gymnax.evaluation.summary import (
    UNDECIDABLE,
    bootstrap_interval,
    max_drawdown,
    mean_and_error,
    mean_summary,
    percentile_among,
    summarise,
    upper_tail_of_t,
    verdict,
)
from trading_gymnax.report.key_statistics import GROUPS
from trading_gymnax.text import annual, chance, interval, shares

# net, initial stop distance, contracts, reason: dollars. NQ, a stop of 12 ticks is 60 dollars.
TRADES = [
    [(175.0, 60.0, 1, "TARGET"), (-90.0, 60.0, 1, "STOP")],  # +85
    [(-65.0, 60.0, 1, "STOP"), (-70.0, 60.0, 1, "STOP")],  # -135
    [],  # 0
    [(-20.0, 40.0, 2, "STOP"), (120.0, 60.0, 1, "OPEN")],  # +100
]
DATES = ["2025-01-06", "2025-01-07", "2025-01-08", "2025-01-08"]  # the last two are markets of one day
STEPS = 10  # a session


def made_up(trades=TRADES, dates=DATES, ambiguous=0, balance=50_000.0) -> Evaluation:
    """An evaluation of these trades: four steps in a position a session, each trade closed at its last step."""
    flat = [(date, *trade) for date, of_session in zip(dates, trades, strict=True) for trade in of_session]
    table = pd.DataFrame(flat, columns=["date", "net_usd", "risk_usd", "contracts", "exit_reason"])
    table["date"] = pd.to_datetime(table["date"])
    table[["commission_usd", "slippage_usd"]] = [5.0, 10.0]
    table["notional_usd"] = 800_000.0 * table["contracts"]
    nets = [sum(trade[0] for trade in of_session) for of_session in trades]
    sessions = pd.DataFrame({"date": pd.to_datetime(dates), "net_usd": nets})
    sessions["trades"] = [len(of_session) for of_session in trades]
    sessions[["steps", "steps_in_position", "entry_steps", "entries"]] = [STEPS, 4, 8, 2]
    sessions["ambiguous_bars"] = [ambiguous, *[0] * (len(dates) - 1)]
    equity = np.concatenate([np.r_[np.zeros(STEPS - 1), net] for net in nets]) + balance
    actions = pd.DataFrame({"share": [0.8, 0.2], "share_when_legal": [0.9, np.nan]}, index=["HOLD", "BUY"])
    return Evaluation(table, pd.DataFrame({"equity_usd": equity}), sessions, actions, balance)


def test_a_summary_worked_by_hand():
    row = summarise(made_up(), configurations_tried=3)
    assert (row.sessions, row.days, row.trades, row.configurations_tried) == (4, 3, 6, 3)
    assert (row.net_usd, row.net_per_session_usd) == (50.0, 12.5)
    # days: +85, -135, +100
    assert row.net_without_best_day_usd == 50.0 - 100.0
    # winners 175 and 120; losers 90, 65, 70, 20
    assert row.win_rate == pytest.approx(2 / 6)
    assert row.average_win_usd == 147.5
    assert row.average_loss_usd == -61.25
    assert row.profit_factor == pytest.approx(295 / 245)
    assert row.expectancy_usd == pytest.approx(50 / 6)
    assert row.expectancy_r == pytest.approx((175 / 60 - 90 / 60 - 65 / 60 - 70 / 60 - 20 / 40 + 120 / 60) / 6)
    assert row.longest_losing_trades == 4
    assert row.longest_losing_sessions == 1
    # equity 50,085, then 49,950: 135 below the peak
    assert row.max_drawdown_usd == 135.0
    assert row.costs_usd == 6 * 15.0
    assert row.exposure == 0.4
    # two for each round trip of one contract, four for that of two, one for the position left open
    assert row.contracts_per_session == (4 * 2 + 4 + 1) / 4
    assert row.turnover == pytest.approx(800_000 * 7 / 4 / 50_000)
    assert row.entry_rate == 0.25
    # mean day 50 / 3; deviations 68.33, -151.67, 83.33: s = 131.561
    assert row.sharpe == pytest.approx(50 / 3 / 131.561 * math.sqrt(252), rel=1e-5)
    assert row.sortino == pytest.approx(50 / 3 * 252 / (math.sqrt(135**2 / 3) * math.sqrt(252)))
    assert row.calmar == pytest.approx(50 / 3 * 252 / 135)
    # (1.6449 + 0.8416) * s / sqrt(6)
    spread = np.std([175.0, -90.0, -65.0, -70.0, -20.0, 120.0], ddof=1)
    assert row.smallest_edge_usd == pytest.approx(2.48647 * spread / math.sqrt(6), rel=1e-5)
    assert row.action_shares == {"HOLD": 0.8, "BUY": 0.2}
    assert row.action_shares_when_legal["HOLD"] == 0.9


def test_ratios_that_mean_nothing_say_so():
    row = summarise(made_up([[], [], []], DATES[:3]))
    assert row.ratio_doubt() == row.ratio_doubt(of_losses=True) == "too few days (3)"
    many = dataclasses.replace(row, days=20)
    assert [many.ratio_doubt(), many.ratio_doubt(of_losses=True)] == ["", "no losing day"]
    assert dataclasses.replace(many, losing_days=1).ratio_doubt(of_losses=True) == "only 1 losing day"
    assert dataclasses.replace(many, losing_days=4).ratio_doubt(of_losses=True) == "only 4 losing days"
    assert dataclasses.replace(many, losing_days=5).ratio_doubt(of_losses=True) == ""
    assert (annual(3_580.0, "no losing day"), annual(1.5, "")) == ("no losing day", "1.50")


def test_several_policies_as_one_row():
    row = summarise(made_up([[(5.0, 60.0, 1, "STOP")], []], DATES[:2]), resamples=0)
    assert all(map(math.isnan, row.interval_usd))
    other = dataclasses.replace(
        row,
        trades=4,
        win_rate=math.nan,
        net_per_session_usd=12.5,
        interval_usd=(1.0, 2.0),
        action_shares={"HOLD": 0.5, "BUY": 0.5},
    )
    both = mean_summary([row, other])
    assert (row.trades, row.win_rate, row.net_per_session_usd, row.losing_days) == (1, 1.0, 2.5, 0)
    assert (both.trades, both.win_rate, both.net_per_session_usd) == (2, 1.0, 7.5)  # 2.5 rounds to even
    assert both.standard_error_usd == pytest.approx(10 / math.sqrt(2))
    assert both.interval_usd == pytest.approx((2.75, 12.25))
    assert both.action_shares == pytest.approx({"HOLD": 0.65, "BUY": 0.35})
    assert math.isnan(both.p_value)
    assert math.isnan(mean_summary([row]).standard_error_usd)


def test_a_summary_as_json_has_no_number_that_json_lacks():
    values = summarise(made_up([[(5.0, 60.0, 1, "STOP")]], DATES[:1])).to_dict()
    assert values["standard_error_usd"] is None
    assert values["profit_factor"] is None  # infinite
    assert values["interval_usd"] == [None, None]
    assert values["action_shares_when_legal"] == {"HOLD": 0.9, "BUY": None}
    assert values["net_usd"] == 5.0


def test_a_policy_that_never_trades_has_no_figures_of_trades():
    row = summarise(made_up([[], [], []], DATES[:3]))
    assert (row.net_usd, row.interval_usd, row.contracts_per_session, row.turnover) == (0.0, (0.0, 0.0), 0.0, 0.0)
    blank = "win_rate profit_factor expectancy_usd expectancy_r average_win_usd average_loss_usd smallest_edge_usd"
    blank += " sharpe sortino calmar deflated_sharpe ambiguous_trade_share"
    assert all(math.isnan(getattr(row, name)) for name in blank.split())
    assert not row.undecidable
    assert "never traded" in verdict(row, "out of sample")


def test_every_figure_has_a_text_for_every_row():
    for row in (summarise(made_up()), summarise(made_up([[]], DATES[:1]))):
        texts = {statistic.name: statistic.show(row) for _, group in GROUPS for statistic in group}
        assert all(texts.values())
    assert texts["profit factor"] == "-"
    assert [chance(p) for p in (math.nan, 1.0, 0.0, 0.953)] == ["-", "above 99.9%", "below 0.1%", "95.3%"]
    assert interval((-1200.4, 30.0)) == "-$1,200 to +$30"
    assert shares({"HOLD": 0.9, "BUY": math.nan}) == "HOLD 90.0%, BUY -"


# -- means, errors and intervals --


def test_mean_and_its_error():
    # deviations 1.5, 0.5, 0.5, 1.5: s^2 = 5 / 3, error = sqrt(5 / 3 / 4)
    mean, error = mean_and_error(np.array([1.0, 2.0, 3.0, 4.0]))
    assert (mean, error) == (2.5, pytest.approx(0.6454972))
    assert np.isnan(mean_and_error(np.array([1.0]))[1])
    assert np.isnan(mean_and_error(np.array([]))[0])
    # as groups {1, 2}, {3, 4}: sums of deviations -2 and 2, sqrt(2 / 1 * 8) / 4
    assert mean_and_error(np.array([1.0, 3.0, 2.0, 4.0]), np.array(["a", "b", "a", "b"])) == (2.5, 1.0)


VALUES = hnp.arrays(np.float64, st.integers(2, 40), elements=st.integers(-4_000, 4_000).map(float))


@given(VALUES)
def test_groups_of_one_change_nothing_and_doubled_markets_add_nothing(values):
    alone = mean_and_error(values)
    groups = np.arange(len(values))
    assert mean_and_error(values, groups) == pytest.approx(alone)
    assert alone[1] == pytest.approx(stats.sem(values))
    # a second market that does what the first does tells nothing new
    twice = np.tile(values, 2), np.tile(groups, 2)
    assert mean_and_error(*twice) == pytest.approx(alone)
    assert bootstrap_interval(*twice) == pytest.approx(bootstrap_interval(values, groups))


@settings(max_examples=40)
@given(VALUES, st.sampled_from([0.5, 4.0]))
def test_the_interval_holds_the_mean_and_grows_with_the_values(values, scale):
    groups = np.arange(len(values))
    low, high = bootstrap_interval(values, groups)
    assert values.min() <= low <= values.mean() + 1e-9
    assert values.mean() - 1e-9 <= high <= values.max()
    assert bootstrap_interval(scale * values, groups) == (scale * low, scale * high)


def test_the_interval_is_that_of_students_t_on_normal_values():
    values = np.random.default_rng(3).normal(50, 1_000, 400)
    low, high = bootstrap_interval(values, np.arange(400))
    error = values.std(ddof=1) / 20
    np.testing.assert_allclose([low, high], values.mean() + np.array([-1.966, 1.966]) * error, atol=0.1 * error)
    assert bootstrap_interval(values, np.arange(400)) == (low, high)


def test_the_interval_leans_where_the_values_do():
    # many small losses, few large wins: the upper end is farther off than the lower one
    values = np.random.default_rng(4).exponential(1_000.0, 60) - 1_000
    low, high = bootstrap_interval(values, np.arange(60))
    assert high - values.mean() > 1.15 * (values.mean() - low)


def test_the_interval_without_anything_to_resample():
    assert np.isnan(bootstrap_interval(np.array([5.0, 7.0]), np.array([0, 0]))).all()
    assert bootstrap_interval(np.array([5.0, 5.0]), np.array([0, 1])) == (5.0, 5.0)


@pytest.mark.parametrize(
    ("t_value", "degrees", "tail"),
    [(1.8125, 10, 0.05), (-1.8125, 10, 0.95), (2.0860, 20, 0.025), (0.0, 5, 0.5), (12.706, 1, 0.025)],
)
def test_upper_tail_of_t_against_printed_tables(t_value, degrees, tail):
    assert upper_tail_of_t(t_value, degrees) == pytest.approx(tail, abs=1e-4)
    assert np.isnan(upper_tail_of_t(math.nan, degrees))
    assert np.isnan(upper_tail_of_t(t_value, 0))


def test_drawdown_profit_factor_and_percentile():
    assert max_drawdown(np.array([90.0, 120.0, 105.0, 130.0, 100.0]), start=100.0) == 30.0
    assert max_drawdown(np.array([80.0]), start=100.0) == 20.0
    assert trades.profit_factor(np.array([30.0, -10.0, -5.0])) == 2.0
    assert trades.profit_factor(np.array([1.0])) == np.inf
    assert np.isnan(trades.profit_factor(np.array([])))
    assert percentile_among(2.0, np.array([1.0, 2.0, 3.0, 4.0])) == 0.375


# -- trades --


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=40))
def test_the_longest_run_is_the_longest_one_in_the_text(nets):
    text = "".join("L" if net < 0 else "-" for net in nets)
    assert trades.longest_losing_run(np.array(nets)) == max(map(len, text.split("-")))


def test_the_smallest_edge_is_found_four_times_in_five():
    rng, count, spread = np.random.default_rng(5), 200, 300.0
    edge = trades.smallest_edge(stats.norm.ppf((np.arange(count) + 0.5) / count) * spread)
    assert edge == pytest.approx(2.4865 * spread / math.sqrt(count), rel=0.01)
    sample = rng.normal(edge, spread, (4_000, count))
    t_values = sample.mean(axis=1) / (sample.std(axis=1, ddof=1) / math.sqrt(count))
    found = (stats.t.sf(t_values, count - 1) < 0.05).mean()
    assert found == pytest.approx(0.80, abs=0.025)


# -- ratios --

RETURNS = hnp.arrays(np.float64, st.integers(2, 60), elements=st.integers(-2_000, 2_000).map(lambda x: x / 50_000))


@given(RETURNS)
def test_ratios_are_the_librarys(returns):
    assume(np.ptp(returns) > 0)
    dated = pd.Series(returns, pd.bdate_range("2025-01-02", periods=len(returns)))
    assert ratios.sharpe(returns) == pytest.approx(empyrical.sharpe_ratio(dated, period="daily"))
    if returns.min() < 0:
        assert ratios.sortino(returns) == pytest.approx(empyrical.sortino_ratio(dated, period="daily"))
    else:
        assert ratios.sortino(returns) == math.inf


@given(RETURNS)
def test_calmar_of_small_returns_is_the_librarys(returns):
    small = returns * 1e-6
    assume(np.ptp(returns) > 0)
    theirs = empyrical.calmar_ratio(pd.Series(small), period="daily")
    assert ratios.calmar(small) == pytest.approx(theirs, rel=1e-3, abs=1e-3, nan_ok=True)


def test_ratios_of_a_series_worked_by_hand():
    returns = np.array([0.01, -0.02, 0.03, 0.0])  # mean 0.005; deviations 0.005, -0.025, 0.025, -0.005
    assert ratios.sharpe(returns) == pytest.approx(0.005 / math.sqrt(0.0013 / 3) * math.sqrt(252))
    assert ratios.sortino(returns) == pytest.approx(0.005 * 252 / (0.01 * math.sqrt(252)))
    assert ratios.calmar(returns) == pytest.approx(0.005 * 252 / 0.02)


@pytest.mark.parametrize("returns", [[], [0.01], [0.0, 0.0], [0.01, 0.01, 0.01], [math.nan, 0.1]])
def test_ratios_that_cannot_be_are_nan(returns):
    for ratio in (ratios.sharpe, ratios.sortino, ratios.calmar, ratios.probabilistic_sharpe, ratios.deflated_sharpe):
        assert math.isnan(ratio(np.array(returns)))


def test_returns_are_days_over_the_balance():
    np.testing.assert_allclose(ratios.daily_returns(made_up()), [85 / 50_000, -135 / 50_000, 100 / 50_000])
    assert np.isnan(ratios.daily_returns(made_up(balance=0.0))).all()


def test_the_deflated_sharpe_ratio_of_the_papers_example():
    # Bailey & Lopez de Prado 2014, "A numerical example": annual 2.5 over 1,250 days of 250 a year, skewness -3,
    # kurtosis 10, 100 trials whose annual ratios have a variance of 1/2: SR0 = 0.1132, DSR = 0.9004; with 46 trials
    # 0.9505, and of normal returns 0.9505 with 88.
    def deflated(trials: int, skew: float, kurtosis: float) -> float:
        best = ratios.expected_best_sharpe(trials, 0.5 / 250)
        return ratios.chance_above(2.5 / math.sqrt(250), best, 1_250, skew, kurtosis)

    assert ratios.expected_best_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)
    assert deflated(100, -3, 10) == pytest.approx(0.9004, abs=5e-5)
    assert deflated(46, -3, 10) == pytest.approx(0.9505, abs=5e-5)
    assert deflated(88, 0, 3) == pytest.approx(0.9505, abs=5e-5)


def test_the_deflated_sharpe_ratio_of_returns():
    returns = np.random.default_rng(6).standard_t(5, 250) / 100 + 0.001
    daily, count = returns.mean() / returns.std(ddof=1), len(returns)
    assert daily == pytest.approx(ratios.sharpe(returns) / math.sqrt(252))
    centred = returns - returns.mean()
    skew, kurtosis = ((centred**p).mean() / returns.std() ** p for p in (3, 4))
    error = math.sqrt((1 - skew * daily + (kurtosis - 1) / 4 * daily**2) / (count - 1))
    assert ratios.probabilistic_sharpe(returns) == pytest.approx(stats.norm.cdf(daily / error))
    assert ratios.deflated_sharpe(returns) == ratios.probabilistic_sharpe(returns)
    g, z = 0.5772156649015329, stats.norm.ppf
    best = ((1 - g) * z(1 - 1 / 8) + g * z(1 - 1 / (8 * math.e))) / math.sqrt(count - 1)
    assert ratios.deflated_sharpe(returns, 8) == pytest.approx(stats.norm.cdf((daily - best) / error))
    tried = [ratios.deflated_sharpe(returns, n) for n in (1, 2, 10, 100)]
    assert tried == sorted(tried, reverse=True)
    with pytest.raises(ValueError, match="configurations_tried counts the settings"):
        ratios.deflated_sharpe(returns, 0)


def test_the_best_of_many_trials_without_an_edge_is_deflated_to_about_a_half():
    # Ten settings without an edge: the best one's ratio is what the deflation expects.
    rng, trials, days = np.random.default_rng(7), 10, 250
    tried = rng.normal(0, 0.01, (400, trials, days))
    best = tried[np.arange(400), tried.mean(axis=2).argmax(axis=1)]
    deflated = np.array([ratios.deflated_sharpe(returns, trials) for returns in best])
    naive = np.array([ratios.probabilistic_sharpe(returns) for returns in best])
    assert np.median(deflated) == pytest.approx(0.5, abs=0.08)
    assert np.median(naive) > 0.9


# -- the sentence --


def test_the_verdict_is_plain():
    row = summarise(made_up())

    def say(mean: float, error: float, **changes) -> str:
        t = mean / error
        changed = dataclasses.replace(row, sessions=30, days=30, net_per_session_usd=mean, standard_error_usd=error)
        return verdict(
            dataclasses.replace(changed, t_value=t, p_value=upper_tail_of_t(t, 29), **changes), "out of sample"
        )

    assert say(100, 20).startswith("The policy earns out of sample: +100 dollars a session, standard error 20")
    assert "CANNOT BE TOLD FROM ZERO" in say(100, 80)
    assert say(-100, 20).startswith("The policy LOSES out of sample: -100 dollars")
    assert "chance alone" not in say(-100, 20)
    assert "chance alone" in say(-100, 80)
    assert "One session" in say(100, 20, sessions=1, days=1)
    assert "One day" in say(100, 20, sessions=3, days=1)
    assert "earns" in say(100, 20, configurations_tried=5, deflated_sharpe=0.951)
    lucky = say(100, 20, configurations_tried=5, deflated_sharpe=0.949)
    assert lucky.startswith("The policy CANNOT BE TOLD FROM LUCK out of sample: +100 dollars a session")
    assert "the best of 5 settings without any edge could make as much (deflated Sharpe ratio 0.95)" in lucky
    assert "FROM ZERO" in say(100, 80, configurations_tried=5, deflated_sharpe=0.99)
    for mean in (100, -100):
        assert UNDECIDABLE not in say(mean, 20, ambiguous_trade_share=0.02)
        doubtful = say(mean, 20, ambiguous_trade_share=0.0201)
        assert doubtful.startswith("The result out of sample is undecidable on bars of this length: 2.0% of the trades")
        assert f"{mean:+d} dollars a session" in doubtful
        assert "earns" not in doubtful
        assert "LOSES" not in doubtful


def test_more_ambiguous_trades_than_two_in_a_hundred_are_undecidable():
    fifty = [[(10.0, 60.0, 1, "STOP")] * 25, [(-5.0, 60.0, 1, "STOP")] * 25]
    assert not summarise(made_up(fifty, DATES[:2], ambiguous=1)).undecidable
    assert summarise(made_up(fifty, DATES[:2], ambiguous=2)).undecidable
