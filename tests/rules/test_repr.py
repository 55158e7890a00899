"""What parameters, environments, markets, bars and results say of themselves: a line, whatever their size."""

import jax
import jax.numpy as jnp
import pandas as pd
import pytest

from trading_gymnax import TradingPhase2
from trading_gymnax.data.loader import load_bars
from trading_gymnax.evaluation.evaluate import Evaluation
from trading_gymnax.survival.result import Survival
from trading_gymnax.synthetic import regime

DATES = "MarketData(SYNTH: 2 sessions, 2025-01-06 to 2025-01-07)"


@pytest.fixture(scope="module")
def env():
    tape = regime(2)
    return TradingPhase2(tape.frame, tape.spec)


def test_an_environment_names_market_observation_and_actions(env):
    actions = "HOLD, BUY, SELL, MOVE_SL_TO_BE, ENABLE_TRAIL, DISABLE_TRAIL"
    assert repr(env) == f"TradingPhase2({DATES}, observation (231,), actions {actions})"


def test_parameters_name_what_is_not_the_default(env):
    params = env.default_params
    assert repr(params) == f"EnvParamsPhase2({DATES})"
    changed = params.replace(sl_atr_mult=2.5, commission_per_side=3, trailing_dd_limit=float("inf"), stop_first=False)
    named = "sl_atr_mult=2.5, commission_per_side=3, stop_first=False, trailing_dd_limit=inf"
    assert repr(changed) == f"EnvParamsPhase2({DATES}, {named})"
    assert repr(changed.replace(position_size=2)).endswith(f"position_size=2, {named})")  # the reward scale followed


def test_stacked_traced_and_abstract_parameters_have_no_numbers_to_show(env):
    params = env.default_params
    many = jax.vmap(lambda mult: params.replace(sl_atr_mult=mult))(jnp.arange(8.0))
    assert repr(many) == "EnvParamsPhase2(MarketData(SYNTH), sl_atr_mult=float32[8])"
    seen = []
    jax.eval_shape(lambda p: seen.append(repr(p.replace(sl_atr_mult=p.tp_sl_ratio))), params)
    assert seen[0].startswith("EnvParamsPhase2(MarketData(SYNTH), max_steps_in_episode=int32[], ")
    assert "sl_atr_mult=ShapeDtypeStruct(" in repr(jax.eval_shape(lambda p: p, params))


def test_bars_and_results_are_a_line():
    tape = regime(2)
    bars = load_bars(tape.frame, tape.spec)
    assert repr(bars) == "Bars(SYNTH: 2,760 1-minute bars in 2 sessions, 2025-01-06 to 2025-01-07)"
    nothing, sessions = pd.DataFrame(), pd.DataFrame({"net_usd": [100.0, -1350.0]})
    made = Evaluation(pd.DataFrame({"net_usd": [-1250.0]}), nothing, sessions, nothing, 50_000.0)
    assert repr(made) == "Evaluation(1 trade in 2 sessions, net -$1,250)"
    assert repr(Survival((), 35, 60, 2.0, 4_000, "", ())) == "Survival(: 4,000 attempts from 35 sessions)"
