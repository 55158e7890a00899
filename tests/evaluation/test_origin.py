"""Where a profit comes from: tables of trades made by hand, and that every table adds up to the whole."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from tests.skill.small import env_of, source
from trading_gymnax.evaluation import origin
from trading_gymnax.evaluation.baselines import RandomEntries
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.evaluation.robustness import Outcome, Robustness
from trading_gymnax.market import ATR_BITS, CLOSE


def trades(nets, hours=(9, 10, 15), commission=5.0, slippage=10.0) -> pd.DataFrame:
    size = len(nets)
    date = pd.to_datetime(["2025-01-31", "2025-02-03", "2025-02-04"])[np.arange(size) % 3]
    hour = np.asarray(hours)[np.arange(size) % len(hours)]
    entry = (date + pd.to_timedelta(hour, unit="h") + pd.Timedelta(minutes=59)).tz_localize("America/New_York")
    return pd.DataFrame(
        {
            "market": "NQ",
            "date": date,
            "entry_time": entry,
            "side": np.where(np.arange(size) % 2, -1, 1),
            "exit_reason": np.where(np.asarray(nets) > 0, "TARGET", "STOP"),
            "net_usd": np.asarray(nets, float),
            "commission_usd": commission,
            "slippage_usd": slippage,
        }
    )


def test_tables_by_hand():
    made = trades([100.0, -50.0, 30.0, -20.0])
    hour = origin.by_hour(made)
    assert hour.index.tolist() == ["09:00", "10:00", "15:00"]
    assert hour.loc["09:00"].tolist() == [2, 80.0, 40.0, 0.5]
    assert origin.by_weekday(made)["net_usd"].to_dict() == {"Monday": -50.0, "Tuesday": 30.0, "Friday": 80.0}
    assert origin.by_weekday(made).index.tolist() == ["Monday", "Tuesday", "Friday"]
    assert origin.by_month(made)["net_usd"].to_dict() == {"2025-01": 80.0, "2025-02": -20.0}
    assert origin.by_side(made)["net_usd"].to_dict() == {"long": 130.0, "short": -70.0}
    assert origin.by_exit(made)["trades"].to_dict() == {"STOP": 2, "TARGET": 2}
    assert origin.without_best(made, 1) == -40.0
    assert origin.without_best(made) == 0.0
    assert origin.break_even_usd(made) == (60.0 + 4 * 15.0) / 4
    assert math.isnan(origin.break_even_usd(made[:0]))


def robust(nets, commission=100.0) -> Robustness:
    made = {ticks: Outcome(net, 0.0, 0.0, 10, commission) for ticks, net in enumerate(nets)}
    return Robustness(made, made[1], made[1])


def test_costs():
    grid = origin.cost_grid(robust([400.0, 150.0, -50.0, -300.0, -600.0]))
    assert grid.loc[0].tolist() == [500.0, 450.0, 400.0, 350.0, 300.0]
    assert grid.loc[2, 0.0] == 50.0
    assert grid.shape == (5, 5)
    assert origin.break_even_ticks(robust([400.0, 150.0, -50.0, -300.0, -600.0])) == pytest.approx(1.75)
    assert math.isnan(origin.break_even_ticks(robust([-1.0] * 5)))
    assert math.isnan(origin.break_even_ticks(robust([1.0] * 5)))


@pytest.fixture(scope="module")
def played():
    env = env_of(source(10, 0))
    found = evaluate_policy(RandomEntries(jnp.float32(0.3)), env, env.default_params, key=jax.random.key(0))
    return found, env.default_params.market


def test_every_table_adds_up(played):
    found, market = played
    tables = origin.origins(found, market)
    assert len(tables) == 7
    for title, table in tables.items():
        assert table["trades"].sum() == len(found.trades), title
        assert table["net_usd"].sum() == pytest.approx(found.sessions["net_usd"].sum()), title
    for name in ("volatility at the entry", "trend of the last hour, from the side taken"):
        assert tables[name].index.tolist() == ["low", "middle", "high"]
        assert np.ptp(tables[name]["trades"]) <= 1


def test_atr_and_trend_are_those_of_the_decision_bar(played):
    """The bar before the entry's: a trade that enters at the open of 9:40 was decided at the close there."""
    found, market = played
    atr, move = origin._at_decision(found.trades, market)
    bars, closes = np.asarray(market.bars)[0], np.asarray(market.close_minute)[0]
    row = found.trades.iloc[7]
    minute = row.entry_time.tz_convert("UTC").tz_localize(None).to_datetime64().astype("datetime64[m]").astype(int)
    at = int(np.flatnonzero(closes == minute)[0])
    assert atr[7] == bars[at, ATR_BITS].view(np.float32)
    assert move[7] == bars[at, CLOSE] - bars[at - 60, CLOSE]
