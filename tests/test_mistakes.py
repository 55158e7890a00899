"""What users hand to the environments and the loader in the wrong place: one sentence."""

import jax
import numpy as np
import pytest

from tests.fuzz.market_inputs import SPECS, whole_table
from trading_gymnax import TradingPhase1, evaluate_policy, load_market_data

SPEC, TABLE = SPECS[0], whole_table(0.25)


@pytest.fixture(scope="module")
def market():
    return load_market_data(TABLE, SPEC)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"market": ["NQ"]}, "market must be a symbol such as 'NQ' or a ContractSpec"),
        ({"feature_fn": "mine"}, "feature_fn must be a function of a frame of bars"),
        ({"timestamp_format": 5}, "timestamp_format must be a text"),
        ({"snap_to_tick": "no"}, "snap_to_tick must be True or False, got 'no'"),
        ({"account_features": "no"}, "account_features must be True or False"),
        ({"market_one_hot": 2}, "market_one_hot must be True or False"),
        ({"reward_fn": "sharpe"}, "reward_fn must be a function such as those of trading_gymnax.rewards"),
        ({"rth_open": 16, "rth_close": 9}, "rth_open must come before rth_close in the session"),
        ({"data": np.zeros((9, 5))}, "a table is a path to a CSV or parquet file, or a DataFrame"),
        ({"data": [TABLE, TABLE]}, "say when the next contract is traded"),
        ({"data": {"open": [1.0], "close": [2.0]}, "market": None}, "unknown market 'open'"),
    ],
)
def test_the_constructor_says_what_it_expects(options, sentence):
    with pytest.raises(ValueError, match=r".") as refused:
        TradingPhase1(**{"data": TABLE, "market": SPEC, **options})
    assert sentence in str(refused.value)


def test_hours_are_compared_in_the_session_and_not_on_the_clock(market):
    params = TradingPhase1(market).default_params
    night = params.replace(rth_open=18.5, rth_close=4.0)  # from half an hour after the session's start
    assert (float(night.rth_open), float(night.rth_close)) == (18.5, 4.0)
    with pytest.raises(ValueError, match="rth_open must come before rth_close"):
        night.replace(rth_open=4.0)


def test_evaluate_policy_with_its_arguments_in_another_order_says_so(market):
    env = TradingPhase1(market)
    hold = lambda key, obs, mask: np.zeros(len(obs), int)  # noqa: E731
    for given in ((env, hold, env.default_params), (hold, env, None), (None, env, env.default_params)):
        with pytest.raises(ValueError, match=r"^evaluate_policy takes a policy, a trading environment and its param"):
            evaluate_policy(*given, key=jax.random.key(0))


def test_a_roll_before_the_next_contract_begins_is_refused():
    later = TABLE.iloc[92 * 5 :]  # from 2025-01-13 on
    source = {SPEC: [TABLE, later]}
    with pytest.raises(ValueError, match=r"A-2 begins on 2025-01-13, .* from 2025-01-09 to 2025-01-10 would not"):
        load_market_data(source, roll="2025-01-09", repair="too_short")
