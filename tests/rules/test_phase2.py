"""Phase 2: it adds to phase 1 and changes nothing of it, and what must hold in every state of every episode."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests import quick
from tests.rules.handmade import make_bars
from tests.rules.parity import random_params as any_params
from tests.rules.test_phase1 import OPENING, assert_trees_equal, wavy
from tests.rules.test_rules_fast import stack
from trading_gymnax import EnvState, TradingPhase1, TradingPhase2, rules
from trading_gymnax.market import MarketData, pack, pair_of_bars
from trading_gymnax.params import EnvParamsPhase2, numbers_of

NUM_ENVS, NUM_STEPS = 64, 80
BY_SEED = settings(max_examples=2, phases=(Phase.reuse, Phase.generate))  # a smaller seed is no simpler
BY_MANY_SEEDS = settings(BY_SEED, max_examples=50)
ACTIONS = np.array([*range(6), -1, 6, 2**31 - 1], np.int32)  # the six, and integers that are no action
MANAGEMENT = slice(3, 6)


def random_params(rng: np.random.Generator) -> dict[str, Any]:
    """Random parameters of phase 2; hours that the factory refuses begin at 9:30 instead."""
    drawn = any_params(rng, 2)
    return drawn if accepts(**drawn) else drawn | {"rth_open": 9.5}


@functools.cache
def market() -> MarketData:
    """Two markets of unlike tick; sessions of 100, 60 and 100 bars, ATRs from 2 to 20 ticks."""
    rng = np.random.default_rng(7)
    sessions = [1] * 100 + [2] * 60 + [3] * 100
    closes = {1: OPENING + 99, 2: OPENING + 59, 3: OPENING + 99}
    tables = [
        make_bars(
            wavy(260, seed),
            symbol=symbol,
            atr=list(rng.uniform(2, 20, 260)),
            sessions=sessions,
            scheduled_close=closes,
            tail=False,
        )
        for seed, symbol in ((1, "NQ"), (2, "MES"))
    ]
    return pack(tables)


@functools.cache
def environment(phase: int = 2) -> TradingPhase1:
    """With account features: they must stay finite, too."""
    return (TradingPhase1 if phase == 1 else TradingPhase2)(market(), account_features=phase == 2, window=5)


# -- nothing but phase 1 for actions 0 to 2 --


@functools.cache
def side_by_side() -> Any:
    """Compiled: the same episodes in both phases, under the same parameters and keys."""
    first, second = (make(market()) for make in (TradingPhase1, TradingPhase2))

    def step(params: Any, states: Any, key: jax.Array) -> Any:
        mask = first.action_mask(states[0], params)
        kinds, choice = jax.random.uniform(key, (2,)), jax.random.fold_in(key, 1)
        legal = jax.random.categorical(choice, jnp.where(mask, 0.0, -1e9))
        wild = jax.random.randint(choice, (), 0, 3)
        action = jnp.where(kinds[0] < 0.5, 0, jnp.where(kinds[1] < 0.9, legal, wild)).astype(jnp.int32)
        ones, others = (e.step(key, s, action, params) for e, s in zip((first, second), states, strict=True))
        masks = (mask, second.action_mask(states[1], params))
        return (ones[1], others[1]), (masks, ones, others)

    def episode(params: Any, key: jax.Array) -> Any:
        states = tuple(env.reset_env(key, params)[1] for env in (first, second))
        return jax.lax.scan(functools.partial(step, params), states, jax.random.split(key, 150))[1]

    return jax.jit(jax.vmap(episode, (in_axes(second.default_params), 0))), second


def in_axes(params: Any) -> Any:
    """All parameters by environment, the market shared."""
    return dataclasses.replace(jax.tree.map(lambda _: 0, params), market=None)


def batch(params: list[Any]) -> Any:
    """Parameters of one market, stacked but for the market."""
    bare = stack([dataclasses.replace(one, market=None) for one in params])
    return dataclasses.replace(bare, market=params[0].market)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))])
def test_without_management_phase_2_is_phase_1(seed):
    """States, observations, rewards, ends and infos of 64 episodes under random parameters, bit for bit."""
    play, env = side_by_side()
    rng = np.random.default_rng(seed)
    draws = [env.default_params.replace(**random_params(rng), market=market()) for _ in range(NUM_ENVS)]
    masks, ones, others = play(batch(draws), jax.random.split(jax.random.key(seed), NUM_ENVS))
    np.testing.assert_array_equal(masks[0], masks[1][..., :3])
    (obs1, state1, *rest1, info1), (obs2, state2, *rest2, info2) = ones, others
    np.testing.assert_array_equal(obs1, obs2[..., :225])
    for name in EnvState.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(state1, name), getattr(state2, name), err_msg=name)
    final1, final2 = info1.pop("final_observation"), info2.pop("final_observation")
    np.testing.assert_array_equal(final1, final2[..., :225])
    assert_trees_equal((rest1, info1), (rest2, info2))
    assert set(np.unique(info1["exit_reason"])) >= {0, 1, 4, 7}
    assert int((info1["done_reason"] > 0).sum()) > NUM_ENVS


# -- what holds in every state --


@functools.cache
def explorer() -> Any:
    """Compiled: random episodes, and in each state that they reach the outcome of every action."""
    env = environment()

    def step(params: Any, state: Any, key: jax.Array) -> Any:
        mask = env.action_mask(state, params)
        tried = jax.vmap(lambda action: env.play(state, action, params))(ACTIONS)
        now, _ = pair_of_bars(params.market, state.market_id, state.step_idx)
        managed = jax.vmap(lambda action: rules.manage_stop(state, action, now, params))(ACTIONS[MANAGEMENT])
        keys = jax.random.split(key, 3)
        legal = jax.random.categorical(keys[0], jnp.where(mask, 0.0, -1e9))
        wild = jax.random.randint(keys[1], (), -1, 7)
        action = jnp.where(jax.random.uniform(keys[2]) < 0.9, legal, wild).astype(jnp.int32)
        obs, after, reward, *_ = env.step(key, state, action, params)
        return after, (state, mask, tried, managed, obs, reward)

    def episode(params: Any, key: jax.Array) -> Any:
        return jax.lax.scan(
            functools.partial(step, params), env.reset_env(key, params)[1], jax.random.split(key, NUM_STEPS)
        )[1]

    vmapped = jax.vmap(episode, (in_axes(env.default_params), 0))
    return jax.jit(vmapped, compiler_options=quick.OPTIONS)


@dataclasses.dataclass
class Explored:
    """What `explorer` saw; leaves [N, T, ...], tried by action [N, T, 9, ...], managed [N, T, 3, ...]."""

    params: Any
    state: Any
    mask: Any
    tried: tuple[Any, Any, Any]  # state after, reward, fill
    managed: Any
    obs: Any
    reward: Any


def explore(draws: list[dict[str, Any]], seed: int) -> Explored:
    """Play one episode after the other under each of the drawn parameters."""
    params = batch([environment().default_params.replace(**draw, market=market()) for draw in draws])
    seen = explorer()(params, jax.random.split(jax.random.key(seed), len(draws)))
    return Explored(params, *jax.tree.map(np.asarray, seen))


def check_invariants(seen: Explored) -> None:
    """All that must hold under any parameters."""
    before, (after, rewards, _) = seen.state, seen.tried
    assert seen.mask.any(axis=-1).all(), "a mask is all False"
    assert np.isfinite(seen.obs).all(), "an observation is not finite"
    assert np.isfinite(rewards).all(), "a reward is not finite"
    side = before.position[..., None]
    stays = (side != 0) & (after.position == side)
    assert (side * (after.sl_price - before.sl_price[..., None]))[stays].min(initial=0) >= 0, "a stop moved away"
    assert (after.floor >= before.floor[..., None]).all(), "the floor fell"
    assert (after.high_water_mark >= before.high_water_mark[..., None]).all(), "the high-water mark fell"
    flat = after.position == 0
    np.testing.assert_array_equal(after.equity[flat], after.balance[flat], err_msg="equity when flat")
    for name, field in after.position_fields().items():
        assert not field[flat].any(), f"{name} is not 0 when flat"
    check_legality(seen)


def check_legality(seen: Explored) -> None:
    """The mask tells exactly what a step executes."""
    after, rewards, fill = seen.tried
    legal = np.concatenate([seen.mask, np.zeros((*seen.mask.shape[:2], len(ACTIONS) - 6), bool)], axis=-1)
    np.testing.assert_array_equal(fill.invalid, ~legal)
    np.testing.assert_array_equal(fill.entered, legal & np.isin(ACTIONS, (rules.BUY, rules.SELL)))
    for name, value in {**dataclasses.asdict(after), "reward": rewards}.items():
        hold = np.broadcast_to(value[..., :1], value.shape)
        np.testing.assert_array_equal(value[~legal], hold[~legal], err_msg=f"illegal, but {name} is not HOLD's")
    before, managed, legal = seen.state, seen.managed, seen.mask[..., MANAGEMENT]
    pairs = ((getattr(before, f.name)[..., None], getattr(managed, f.name)) for f in dataclasses.fields(before))
    changes = np.any([old != new for old, new in pairs], axis=0)
    hides = np.asarray(seen.params.mask_no_ops)[:, None, None]
    assert changes[legal & hides].all(), "a legal action changes nothing although such are masked"
    holding = (before.position != 0)[..., None]
    hidden = hides & holding & ~legal
    hidden[..., 0] = False  # break-even is masked without enough profit, too
    assert not changes[hidden].any(), "an action that would change something is masked as if it would not"


@BY_SEED
@given(seed=st.integers(0, 2**32 - 1))
def test_invariants_under_sensible_parameters(seed):
    rng = np.random.default_rng(seed)
    draws = [random_params(rng) for _ in range(NUM_ENVS)]
    forced = {"forced_entry_fraction": 0.3, "random_start_fraction": 1.0}
    check_invariants(explore([draw | forced for draw in draws], seed % 2**31))


def test_explored_states_hold_every_kind_of_decision():
    """The invariants above are not empty: each action is legal and illegal somewhere, each end and exit occurs."""
    rng = np.random.default_rng(0)
    draws = [random_params(rng) | {"forced_entry_fraction": 0.3} for _ in range(NUM_ENVS)]
    tight = {
        "trailing_dd_limit": 35.0,
        "high_water_mode": rules.INTRABAR,
        "profit_target": 25.0,
        "risk_per_trade": 0.0,
    }
    seen = explore([{**draw, **tight} if i % 2 else draw for i, draw in enumerate(draws)], 0)
    assert seen.mask.any(axis=(0, 1)).all()
    assert (~seen.mask).any(axis=(0, 1)).all()
    assert set(np.unique(seen.tried[2].exit_reason)) == set(range(9))
    assert set(np.unique(seen.tried[2].done_reason)) == set(range(7))
    assert (seen.state.stop_origin != 0).any()


EXTREMES = {"float32": (0.0, 1e-45, 1e-38, 1e-10, 1e10, 3.4e38), "int32": (0, 1, 2**20, 2**31 - 1), "bool": (0, 1)}


@functools.cache
def accepts(**fields: float) -> bool:
    """Whether the factory takes these fields."""
    try:
        environment().default_params.replace(**fields)
    except ValueError:
        return False
    return True


def extreme_params(rng: np.random.Generator) -> dict[str, Any]:
    """Sensible parameters of which some are driven to the ends of their type, as far as the factory allows."""
    sensible, extreme = random_params(rng), {}
    for field in numbers_of(EnvParamsPhase2):
        if rng.random() < 0.2:
            values = EXTREMES[str(np.dtype(field.metadata["dtype"]))]
            value = values[rng.integers(len(values))] * (1 if rng.random() < 0.7 else -1)
            extreme |= {field.name: value} if accepts(**{field.name: value}) else {}
    return sensible | extreme if accepts(**(sensible | extreme)) else sensible


@BY_SEED
@given(seed=st.integers(0, 2**32 - 1))
def test_invariants_at_the_ends_of_the_parameters(seed):
    """Anything that the factory accepts, however large or small."""
    rng = np.random.default_rng(seed)
    check_invariants(explore([extreme_params(rng) for _ in range(NUM_ENVS)], seed % 2**31))


@pytest.mark.slow
@pytest.mark.parametrize("draw", [random_params, extreme_params])
@BY_MANY_SEEDS
@given(seed=st.integers(0, 2**32 - 1))
def test_invariants_under_many_parameters(draw, seed):
    rng = np.random.default_rng(seed)
    forced = {"forced_entry_fraction": 0.3, "random_start_fraction": 1.0} if draw is random_params else {}
    check_invariants(explore([draw(rng) | forced for _ in range(NUM_ENVS)], seed % 2**31))
