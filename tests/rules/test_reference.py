"""The reference environment: worked examples, starts, gymnasium's checks, what must hold at every step."""

from __future__ import annotations

import ast
import collections
import dataclasses
import inspect
import pathlib
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.handmade import LEVEL, make_bars
from tests.rules.scenario import BUY, DATA_END, HOLD, SELL, TRAIL_ON, Scenario, b, q
from tests.rules.scenarios import SCENARIOS
from tests.rules.scenarios_starts import STARTS, Starts
from trading_gymnax import reference
from trading_gymnax.data.loader import Bars
from trading_gymnax.reference import FLOOR_OFF, Fill, ReferenceEnv, ReferenceParams, ReferenceState
from trading_gymnax.reference_life import ReferenceLifeEnv


def play_and_check(env: ReferenceEnv, scenario: Scenario) -> None:
    """Run a scenario and check every step."""
    options = {"market_id": scenario.market_id, "bar": scenario.start, "forced_side": scenario.forced_side}
    obs, info = env.reset(seed=0, options=options)
    scenario.check(-1, info=info, state=env.state, mask=env.action_masks(), obs=obs)
    for step, action in enumerate(scenario.actions):
        for name, value in scenario.changes.get(step, {}).items():
            setattr(env.params, name, value)
        obs, reward, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(obs)
        scenario.check(
            step,
            info=info,
            state=env.state,
            mask=info["action_mask"],
            obs=obs,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
        )


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: Scenario) -> None:
    env = (ReferenceLifeEnv if scenario.account_life else ReferenceEnv)(
        scenario.bars(),
        phase=scenario.phase,
        window=scenario.window,
        account_features=scenario.account_features,
        entry_sizes=scenario.entry_sizes,
        view=scenario.view,
        **scenario.params,
    )
    play_and_check(env, scenario)


def test_scenarios_are_many_and_named_once() -> None:
    names = collections.Counter(scenario.name for scenario in SCENARIOS)
    assert max(names.values()) == 1
    assert len(names) >= 150


@pytest.mark.parametrize("starts", STARTS, ids=lambda starts: starts.name)
def test_start_sets(starts: Starts) -> None:
    env = ReferenceEnv(starts.bars(), window=starts.window, view=starts.view, **starts.params)
    assert env.usable_sessions(0) == list(starts.usable)
    for session, bars in starts.decision.items():
        assert env.decision_bars(0, session) == list(bars)
    for session, bars in starts.random.items():
        assert env.random_start_bars(0, session) == list(bars)


@pytest.mark.parametrize("phase", [1, 2])
@pytest.mark.parametrize("account_features", [False, True])
def test_gymnasium_accepts_it(phase: int, account_features: bool) -> None:
    env = ReferenceEnv(walk(1), phase=phase, account_features=account_features)
    check_env(env, skip_render_check=True)  # warnings are errors; there is nothing to render
    size = 225 + 6 * (phase == 2) + 4 * account_features
    assert env.observation_space.shape == (size,)
    assert env.action_space.n == (3 if phase == 1 else 6)


def test_it_imports_nothing_of_the_jax_side() -> None:
    tree = ast.parse(pathlib.Path(inspect.getsourcefile(reference) or "").read_text())
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    ours = {module for module in modules if module and module.startswith("trading_gymnax")}
    assert {module for module in ours if not module.startswith("trading_gymnax.data")} <= {"trading_gymnax.text"}
    assert not any(module and module.split(".")[0] in ("jax", "gymnax", "flax") for module in modules)


# ------------------------------------------------------------------------------------------------ reset


def draws(env: ReferenceEnv, count: int) -> collections.Counter[tuple[int, int, int]]:
    """(market, bar, forced side) of `count` random resets."""
    env.reset(seed=7)
    counter: collections.Counter[tuple[int, int, int]] = collections.Counter()
    for _ in range(count):
        env.reset()
        counter[env.state.market_id, env.state.step_idx, env.state.forced_side] += 1
    return counter


def small_market(**options: Any) -> Bars:
    """Two usable sessions of three decision bars each: bars 390 to 392 and 394 to 396."""
    times = [930, 940, 950, 1379, 930, 940, 950, 1379]
    return make_bars([q()] * 8, times=times, sessions=[1] * 4 + [2] * 4, tail=False, **options)


def test_random_starts_are_uniform_over_sessions_and_bars() -> None:
    env = ReferenceEnv(small_market(), random_start_fraction=1.0, min_bars_left=1)
    found = draws(env, 2_000)
    # 950 has no bar before must-flat after it; four bars of probability 1/4: 500, standard deviation 19
    assert set(found) == {(0, bar, 0) for bar in (390, 391, 394, 395)}
    assert all(abs(count - 500) < 80 for count in found.values())


def test_other_starts_are_the_first_decision_bar() -> None:
    env = ReferenceEnv(small_market(), random_start_fraction=0.0)
    found = draws(env, 400)
    assert set(found) == {(0, 390, 0), (0, 394, 0)}
    assert abs(found[0, 390, 0] - 200) < 50


def test_the_fraction_of_random_starts() -> None:
    env = ReferenceEnv(small_market(), random_start_fraction=0.5, min_bars_left=0, view=(1, 2))
    found = draws(env, 1_200)
    # half at the first bar, and half spread over three: 4/6, 1/6, 1/6
    assert set(found) == {(0, bar, 0) for bar in (390, 391, 392)}
    assert abs(found[0, 390, 0] - 800) < 80
    assert abs(found[0, 391, 0] - 200) < 60


def test_the_fraction_of_forced_starts() -> None:
    env = ReferenceEnv(small_market(), random_start_fraction=0.0, forced_entry_fraction=0.5, view=(1, 2))
    found = draws(env, 1_200)
    assert abs(found[0, 390, 0] - 600) < 90
    assert abs(found[0, 390, 1] - 300) < 70
    assert abs(found[0, 390, -1] - 300) < 70


def test_market_weights() -> None:
    markets = [small_market(), small_market(symbol="ES"), small_market(symbol="YM")]
    env = ReferenceEnv(markets, random_start_fraction=0.0, market_weights=[1.0, 3.0, 0.0])
    found = draws(env, 800)
    by_market = collections.Counter(market for market, _, _ in found.elements())
    assert set(by_market) == {0, 1}
    assert abs(by_market[0] - 200) < 60


def test_given_starts_and_seeds() -> None:
    env = ReferenceEnv([small_market(), small_market(symbol="ES")])
    env.reset(seed=3, options={"market_id": 1})
    first = dataclasses.replace(env.state)
    assert first.market_id == 1
    env.reset(seed=3, options={"market_id": 1})
    assert env.state == first
    env.reset(options={"market_id": 1, "bar": 391, "forced_side": -1})
    assert (env.state.market_id, env.state.step_idx, env.state.forced_side) == (1, 391, -1)


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sl_atr_mul": 2.0}, "unknown parameter 'sl_atr_mul', did you mean 'sl_atr_mult'"),
        ({"phase": 3}, "phase must be 1 or 2"),
        ({"window": 0}, "window must be at least 1"),
        ({"view": (0, 4)}, "must lie in the 3 sessions"),
        ({"view": (1, 1)}, "must lie in the 3 sessions"),
        ({"view": (2, 1)}, "must lie in the 3 sessions"),
        ({"view": [(0, 1), (0, 1)]}, "one .first, end. pair per market"),
        ({"view": (0, 1)}, "no usable session"),
    ],
)
def test_constructor_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ReferenceEnv(small_market(), **arguments)


def test_every_market_needs_its_view() -> None:
    for view in ([(0, 2)], (0, 2)):
        with pytest.raises(ValueError, match=r"one .first, end. pair per market: 2, got 1"):
            ReferenceEnv([small_market(), small_market(symbol="ES")], view=view)


def test_the_ends_of_what_is_accepted() -> None:
    env = ReferenceEnv(small_market(), window=1, view=(0, 3))
    assert env.view == ReferenceEnv(small_market()).view
    assert env.observation_space.shape == (11 + 5,)


def test_markets_must_look_alike() -> None:
    with pytest.raises(ValueError, match="at least one market"):
        ReferenceEnv([])
    other = small_market()
    other = dataclasses.replace(other, features=other.features[:, :5])
    with pytest.raises(ValueError, match="same number of features"):
        ReferenceEnv([small_market(), other])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"market": 0}, "unknown option 'market', did you mean 'market_id'"),
        ({"bar": 389}, "choose one from 390 to 396"),
        ({"bar": 397}, "choose one from 390 to 396"),
        ({"bar": 398}, "choose one from 390 to 396"),
    ],
)
def test_reset_refuses(options: dict[str, Any], message: str) -> None:
    env = ReferenceEnv(small_market())
    with pytest.raises(ValueError, match=message):
        env.reset(options=options)


def test_a_market_that_is_asked_for_needs_a_usable_session() -> None:
    """Of two markets only the first has a bar between 16:30 and 16:58; the second is never drawn."""
    late = make_bars([q()] * 30, times=list(range(1_350, 1_380)))
    env = ReferenceEnv([late, small_market()], rth_open=16.5)
    assert {env.reset(seed=seed)[1]["market_id"] for seed in range(8)} == {0}
    with pytest.raises(ValueError, match="no usable session in the view"):
        env.reset(seed=0, options={"market_id": 1})


@pytest.mark.parametrize("weights", [None, [1.0, 0.0]])
def test_where_no_market_that_is_drawn_can_be_traded_the_first_step_ends(weights: Any) -> None:
    """From 16:30 on no market can be entered, or only one that is never drawn."""
    late = make_bars([q()] * 30, times=list(range(1_350, 1_380)))
    markets = [small_market(), late if weights else small_market(symbol="ES")]
    env = ReferenceEnv(markets, rth_open=16.5, reward_scale=60.0, market_weights=weights)
    env.reset(seed=0)
    _, _, terminated, truncated, info = env.step(BUY)
    assert (terminated, truncated, info["done_reason"]) == (False, True, DATA_END)


def test_step_needs_a_reset_before_and_after_an_episode() -> None:
    env = ReferenceEnv(small_market())
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(HOLD)
    env.reset(options={"bar": 392})
    _, _, terminated, truncated, _ = env.step(HOLD)  # to 16:59 of the first day
    assert (terminated, truncated) == (True, False)
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(HOLD)
    env.params.max_steps_in_episode = 1
    env.reset(options={"bar": 390})
    _, _, terminated, truncated, _ = env.step(HOLD)
    assert (terminated, truncated) == (False, True)
    with pytest.raises(RuntimeError, match="call reset"):
        env.step(HOLD)


def test_defaults_are_those_of_the_rule_book() -> None:
    inf = float("inf")
    expected = {
        **{"max_steps_in_episode": 450, "initial_balance": 50_000, "position_size": 1, "risk_per_trade": 0},
        **{"max_contracts": 10, "sl_atr_mult": 1.5, "tp_sl_ratio": 3.0, "min_stop_ticks": 4},
        **{"slippage_ticks": 1, "slippage_atr_mult": 0, "stop_slippage_ticks": 1},
        **{"stop_slippage_atr_mult": 0, "target_through_ticks": 1, "commission_per_side": None},
        **{"fill_at_close": False, "stop_first": True, "trailing_dd_limit": 15_000, "high_water_mode": 0},
        **{"floor_lock": inf, "daily_loss_limit": inf, "daily_loss_fails": False, "profit_target": inf},
        **{"rth_open": 9.5, "rth_close": 16 + 59 / 60, "terminate_at_session_end": True},
        **{"random_start_fraction": 0.5, "min_bars_left": 30, "forced_entry_fraction": 0},
        **{"reward_scale": None, "reward_realized": False, "pass_reward": 0, "violation_penalty": 0},
        **{"market_weights": None, "trail_atr_mult": 1.0, "be_min_profit_atr": 0, "mask_no_ops": False},
    }
    assert dataclasses.asdict(ReferenceEnv(small_market()).params) == expected
    phase2 = ReferenceEnv(small_market(), phase=2).params
    assert dataclasses.asdict(phase2) == expected | {"trailing_dd_limit": 2_500}


def test_a_misspelt_parameter_cannot_be_set_later() -> None:
    env = ReferenceEnv(small_market())
    with pytest.raises(AttributeError):
        env.params.sl_atr_mul = 2.0  # type: ignore[attr-defined]


# --------------------------------------------------------------------------------------------- reward


def test_reward_function() -> None:
    seen: list[tuple[ReferenceState, ReferenceState, Fill, ReferenceParams]] = []

    def reward_fn(before: ReferenceState, after: ReferenceState, fill: Fill, params: ReferenceParams) -> float:
        seen.append((before, after, fill, params))
        return 7.0

    env = ReferenceEnv(make_bars([q(), b(0, 2, -11, 0)]), reward_fn=reward_fn, pass_reward=3.0)
    env.reset(options={"bar": 390})
    assert env.step(BUY)[1] == 7.0
    before, after, fill, params = seen[0]
    # entry 1, stop -11 filled at -12: 13 ticks of 500 cents and two commissions of 250
    assert (before.balance, after.balance, before.time, after.time) == (5_000_000, 4_993_000, 0, 1)
    assert (fill.t, fill.u, fill.action, fill.exit_price) == (390, 391, BUY, LEVEL - 12)
    assert fill.trade_pnl == -7_000
    assert params is env.params


def test_median_r_is_that_of_the_entry_allowed_bars() -> None:
    # minutes 929 and 1378 are not entry-allowed; of 2, 4, 6, 20 the median is 5: 1.5 * 5 * 5 dollars
    bars = make_bars(
        [q()] * 6,
        times=[929, 930, 931, 932, 1376, 1378],
        atr=[100, 2, 4, 6, 20, 100],
        tail=False,
    )
    env = ReferenceEnv(bars)
    env.reset(options={"bar": 390})
    env.step(HOLD)
    # ATR 2: D = max(4, 3) = 4; entry 1, valued at 0: -250 - 500 cents
    assert env.step(BUY)[1] == pytest.approx(-7.5 / 37.5, rel=1e-6)


# ------------------------------------------------------------------ what holds at every step


def walk(seed: int, sessions: int = 3) -> Bars:
    """Random bars with gaps and a changing ATR, `sessions` days from 9:25 to 17:00."""
    rng = np.random.default_rng(seed)
    minutes = list(range(925, 1381))
    rows, price = [], LEVEL
    for _ in range(sessions * len(minutes)):
        open_ = price + int(rng.integers(-3, 4) * (rng.random() < 0.2)) + int(40 * (rng.random() < 0.002))
        close = open_ + int(rng.normal(0, 5))
        high, low = max(open_, close) + int(rng.integers(0, 6)), min(open_, close) - int(rng.integers(0, 6))
        rows.append((open_, high, low, close))
        price = close
    return make_bars(
        rows,
        atr=list(6 + 5 * rng.random(len(rows))),
        times=minutes * sessions,
        sessions=[1 + i // len(minutes) for i in range(len(rows))],
        features=rng.normal(size=(390 + len(rows), 8)).astype(np.float32),
    )


WALKS = [walk(seed) for seed in range(2)]

PARAMETERS = st.fixed_dictionaries(
    {
        "sl_atr_mult": st.floats(0.1, 4.0),
        "tp_sl_ratio": st.floats(0.2, 4.0),
        "min_stop_ticks": st.integers(1, 8),
        "slippage_ticks": st.integers(0, 3),
        "stop_slippage_ticks": st.integers(0, 3),
        "stop_slippage_atr_mult": st.sampled_from([0.0, 0.3]),
        "target_through_ticks": st.integers(0, 2),
        "position_size": st.integers(1, 4),
        "risk_per_trade": st.sampled_from([0.0, 100.0, 500.0]),
        "fill_at_close": st.booleans(),
        "stop_first": st.booleans(),
        "trailing_dd_limit": st.sampled_from([200.0, 1_000.0, 15_000.0, float("inf")]),
        "high_water_mode": st.integers(0, 2),
        "floor_lock": st.sampled_from([0.0, 100.0, float("inf")]),
        "daily_loss_limit": st.sampled_from([150.0, 800.0, float("inf")]),
        "daily_loss_fails": st.booleans(),
        "profit_target": st.sampled_from([300.0, float("inf")]),
        "terminate_at_session_end": st.booleans(),
        "reward_realized": st.booleans(),
        "forced_entry_fraction": st.sampled_from([0.0, 1.0]),
        "trail_atr_mult": st.floats(0.1, 3.0),
        "be_min_profit_atr": st.sampled_from([0.0, 0.5]),
        "mask_no_ops": st.booleans(),
    }
)


@settings(max_examples=30)
@given(params=PARAMETERS, seed=st.integers(0, 10_000), phase=st.integers(1, 2), legal=st.booleans())
def test_what_holds_at_every_step(params: dict[str, Any], seed: int, phase: int, legal: bool) -> None:
    env = ReferenceEnv(WALKS[seed % 2], phase=phase, account_features=True, max_steps_in_episode=300, **params)
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    first, mask = dataclasses.replace(env.state), env.action_masks()
    total_reward, total_pnl, done = 0.0, 0, False
    while not done:
        assert mask.any()
        before = dataclasses.replace(env.state)
        action = int(rng.choice(np.flatnonzero(mask)) if legal else rng.integers(-1, 8))
        obs, reward, terminated, truncated, info = env.step(action)
        after = env.state
        assert np.isfinite(obs).all()
        assert info["invalid_action"] == (not 0 <= action < len(mask) or not mask[action])
        if action in (BUY, SELL) and not info["invalid_action"]:
            assert after.num_trades + abs(after.position) == before.num_trades + 1
        assert after.floor >= before.floor
        assert after.high_water_mark >= before.high_water_mark
        assert (after.floor == FLOOR_OFF) == np.isinf(params["trailing_dd_limit"])
        if before.position and after.position:
            assert after.position * after.sl_price >= before.position * before.sl_price
        if not after.position:
            assert after.equity == after.balance
            assert all(getattr(after, name) == 0 for name in reference.POSITION_FIELDS)
        total_reward, total_pnl = total_reward + reward, total_pnl + info["trade_pnl_cents"]
        done, mask = terminated or truncated, info["action_mask"]
    open_costs = env.state.entry_balance - env.state.balance if env.state.position else 0
    assert env.state.balance == first.balance + total_pnl - open_costs
    worth = env.state.balance if params["reward_realized"] else env.state.equity
    scale = env._median_r[0]
    assert total_reward * scale == pytest.approx((worth - first.balance) / 100, abs=0.02)


def test_nothing_that_is_seen_or_allowed_depends_on_later_bars() -> None:
    """Cut the table 5 bars after the decision bar: the same observations and masks up to it."""
    whole, end = WALKS[0], 390 + 456 + 100
    arrays = {
        field.name: getattr(whole, field.name)[:end]
        for field in dataclasses.fields(whole)
        if isinstance(getattr(whole, field.name), np.ndarray) and len(getattr(whole, field.name)) == len(whole)
    }
    sessions = {name: getattr(whole, name)[:3].copy() for name in ("session_start", "session_end")}
    sessions["session_end"][2] = end
    cut = dataclasses.replace(
        whole,
        **arrays,
        **sessions,
        session_date=whole.session_date[:3],
        scheduled_close=whole.scheduled_close[:3],
    )
    seen = []
    for bars in (whole, cut):
        env = ReferenceEnv(bars, phase=2, reward_scale=60.0, terminate_at_session_end=False)
        obs, info = env.reset(options={"bar": end - 90})
        steps = [(obs, info["action_mask"])]
        for action in [BUY, HOLD, TRAIL_ON, HOLD, SELL] * 17:
            obs, _, terminated, truncated, info = env.step(action)
            steps.append((obs, info["action_mask"]))
            assert not terminated
            assert not truncated
        seen.append(steps)
    for (obs_1, mask_1), (obs_2, mask_2) in zip(*seen, strict=True):
        np.testing.assert_array_equal(obs_1, obs_2)
        np.testing.assert_array_equal(mask_1, mask_2)
