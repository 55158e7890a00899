"""Fine bars from files, and doubtful trades settled by them."""

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from tests.data.tables import PLAIN
from trading_gymnax import TradingPhase1, load_market_data
from trading_gymnax.evaluation.baselines import RandomEntries
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.skill.fine import doubtful, read_fine_bars, settle_doubtful
from trading_gymnax.skill.finepath import FineBars, fine_tape, settle_finely


def written(tmp_path, **columns):
    path = tmp_path / "fine.csv"
    pd.DataFrame(columns).to_csv(path, index=False)
    return path


def test_ticks_and_bars_are_read(tmp_path):
    stamps = ["2025-03-03 09:30:00", "2025-03-03 09:30:00", "2025-03-03 09:30:02"]
    fine = read_fine_bars(written(tmp_path, Timestamp=stamps, Price=[1.0, 1.25, 0.75]), PLAIN, "America/New_York")
    assert fine.start.astype(str).tolist() == ["2025-03-03T14:30:00", "2025-03-03T14:30:00", "2025-03-03T14:30:02"]
    assert fine.low.tolist() == fine.high.tolist() == [4, 5, 3]
    bars = {"timestamp": ["2025-03-03T14:30:00Z"], "open": [1.0], "high": [2.0], "low": [0.5], "close": [1.5]}
    fine = read_fine_bars(written(tmp_path, **bars), PLAIN)
    assert [int(x[0]) for x in (fine.open, fine.high, fine.low, fine.close)] == [4, 8, 2, 6]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"timestamp": ["2025-03-03"], "open": [1.0]}, "has no column price"),
        ({"timestamp": ["2025-03-03", "2025-03-02"], "price": [1.0, 1.0]}, "must run forward"),
        ({"timestamp": ["2025-03-03"], "price": [1.1]}, "do not lie on the tick of PLAIN, 0.25"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, columns, message):
    with pytest.raises(ValueError, match=message):
        read_fine_bars(written(tmp_path, **columns), PLAIN)


def test_doubtful_trades_are_found_and_settled():
    """Narrow stops on a fine tape: as many doubtful trades as the rules count, settled as by the whole path."""
    fine, frame = fine_tape(3, seed=1, spec=PLAIN)
    market = load_market_data(frame, PLAIN)
    env = TradingPhase1(market, trailing_dd_limit=float("inf"), sl_atr_mult=0.3, tp_sl_ratio=1.0)
    params = env.default_params
    found = evaluate_policy(RandomEntries(jnp.float32(0.5)), env, params, key=jax.random.key(0))
    unsure = doubtful(found.trades, market, params)
    assert unsure.sum() == found.sessions["ambiguous_bars"].sum() > 10
    settled = settle_doubtful(found.trades, fine, market, params)
    path = settle_finely(found.trades, fine, market, params)[unsure]
    first = (path["exit_reason"] == "TARGET") & ~path["undecided"]
    assert settled.doubtful == unsure.sum()
    assert settled.target_first == first.sum() > 0
    assert settled.settled == (~path["undecided"]).sum()
    gained = (path["net_usd"] - found.trades["net_usd"][unsure])[~path["undecided"]].sum()
    assert settled.change_usd == pytest.approx(gained)
    assert settled.change_usd > 0  # the stop was taken to come first in all of them
    empty = FineBars(*(np.zeros(0, x.dtype) for x in vars(fine).values()))
    assert settle_doubtful(found.trades, empty, market, params).settled == 0
    assert settle_doubtful(found.trades[~unsure], fine, market, params).doubtful == 0
    assert f"{unsure.sum()} trades left in a bar" in str(settled)
