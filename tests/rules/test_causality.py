"""No look-ahead: cut the table after a bar, rebuild everything, and what was visible there is the same bit for bit."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from tests.rules.test_scenarios import padded
from trading_gymnax import TradingPhase1, TradingPhase2
from trading_gymnax.data.loader import Bars, load_bars
from trading_gymnax.market import pack
from trading_gymnax.synthetic import regime

NUM_SESSIONS, NUM_EPISODES, NUM_STEPS = 16, 24, 120
COLUMNS = ("open", "high", "low", "close", "atr", "features", "time", "hour", "session")
RUN_OFTEN = {"xla_backend_optimization_level": 1}  # compiled in a hurry, an episode runs twenty times as long
SCALE = {"reward_scale": 100.0, "min_bars_left": 0}  # a fixed scale: the default one is a statistic of the whole view


def holed_frame() -> pd.DataFrame:
    """Six synthetic sessions with bars missing here and there, an hour missing, and a day that stops at 11:00."""
    market = regime(6, seed=3)
    rng = np.random.default_rng(0)
    keep = rng.random(len(market.frame)) > 0.02
    keep[2 * 1380 + 1000 : 2 * 1380 + 1060] = False
    keep[4 * 1380 + 1020 : 5 * 1380] = False
    return market.frame[keep].reset_index(drop=True)


@functools.cache
def program(phase: int) -> tuple[Any, Any, Any]:
    """An environment of that phase and, compiled once: what a flat account sees at bars, and random episodes."""
    env = (TradingPhase1 if phase == 1 else TradingPhase2)(**SCALE)

    @functools.partial(jax.jit, compiler_options=RUN_OFTEN)
    def see(params: Any, bars: jax.Array) -> Any:
        obs, state = jax.vmap(lambda bar: env._reset_at(params, jnp.int32(0), bar))(bars)
        return obs, jax.vmap(env.action_mask, (0, None))(state, params)

    def episode(params: Any, bar: jax.Array, key: jax.Array) -> Any:
        def step(state: Any, key: jax.Array) -> Any:
            mask = env.action_mask(state, params)
            action = jax.random.categorical(key, jnp.where(mask, 0.0, -1e9))
            obs, after, reward, terminated, info = env.step_env(key, state, action, params)
            # `arrives` is the outcome bar: step_idx moves on only while the account lives in one session.
            seen = {"obs": obs, "mask": mask, "reward": reward, "terminated": terminated, **info}
            return after, {**seen, "truncated": env.is_truncated(after, params), "arrives": state.step_idx + 1}

        return jax.lax.scan(step, env._reset_at(params, jnp.int32(0), bar)[1], jax.random.split(key, NUM_STEPS))[1]

    return env, see, jax.jit(jax.vmap(episode, (None, 0, 0)), compiler_options=RUN_OFTEN)


def loaded(frame: pd.DataFrame, load: Any, cuts: list[int]) -> tuple[Bars, dict[int, Bars]]:
    """The bars of the frame, and those of its first `cut` rows for each cut."""
    return load(frame), {cut: load(frame.iloc[:cut]) for cut in cuts}


def check_cuts(tables: tuple[Bars, dict[int, Bars]], phase: int) -> None:
    """What was rebuilt from the first `cut` rows, for each cut, against the whole."""
    env, see, play = program(phase)
    whole, parts = tables
    params = lambda bars: env.Params.create(padded(pack([bars]), len(whole), NUM_SESSIONS), **SCALE)  # noqa: E731
    all_bars = jnp.arange(len(whole), dtype=jnp.int32).clip(390)
    whole_params = params(whole)
    whole_view = jax.tree.map(np.asarray, see(whole_params, all_bars))
    rng = np.random.default_rng(1)
    for cut, part in parts.items():
        t = len(part) - 1
        assert np.array_equal(whole.close_time[: t + 1], part.close_time)
        for name in COLUMNS:
            assert getattr(whole, name)[: t + 1].tobytes() == getattr(part, name).tobytes(), (cut, name)
        part_params = params(part)
        seen = jax.tree.map(np.asarray, see(part_params, all_bars))
        for mine, theirs in zip(whole_view, seen, strict=True):
            assert mine[390 : t + 1].tobytes() == theirs[390 : t + 1].tobytes(), cut
        starts = jnp.asarray(rng.integers(max(390, t - 2 * NUM_STEPS), t, NUM_EPISODES), jnp.int32)
        keys = jax.random.split(jax.random.key(cut), NUM_EPISODES)
        one, other = (jax.tree.map(np.asarray, play(p, starts, keys)) for p in (whole_params, part_params))
        # The first end of an episode is its end; what the harness plays after it does not count.
        ended = np.cumsum(one["terminated"] | one["truncated"], axis=1)
        lives = np.concatenate([np.zeros((NUM_EPISODES, 1)), ended[:, :-1]], axis=1) == 0
        for name, values in one.items():
            arrived = lives & (one["arrives"] < t) if name != "mask" else lives & (one["arrives"] <= t)
            assert arrived.sum() > 100
            assert values[arrived].tobytes() == other[name][arrived].tobytes(), (cut, name)


@pytest.fixture(scope="module")
def holed() -> tuple[Bars, dict[int, Bars]]:
    """Cuts inside and at the edges of sessions, holes and the day that stops early."""
    frame = holed_frame()
    load = functools.partial(load_bars, market=regime(1).spec)
    edges = np.flatnonzero(np.diff(frame["timestamp"]) > pd.Timedelta("10min"))
    cuts = [*(int(edge) + shift for edge in edges[1:] for shift in (0, 1, 2)), 2_000, 3_111, 4_444, 5_900]
    return loaded(frame, load, [cut for cut in cuts if 1_500 < cut < len(frame)])


@pytest.fixture(scope="module")
def half_days(shared_data) -> tuple[Bars, dict[int, Bars]]:
    """NQ from 8 to 21 January 2025: the 9th, a day of mourning, stopped at 09:30, the holiday of the 20th at 13:00."""
    frame = pd.read_parquet(shared_data / "NQ_H25_1min_ninjatrader.parquet")
    frame = frame[(frame["timestamp"] > "2025-01-07 23:00Z") & (frame["timestamp"] < "2025-01-21 20:00Z")]
    load = functools.partial(load_bars, market="NQ", timestamps_mark="end", repair="stray_prints")
    moments = ("2025-01-09 14:30Z", "2025-01-10 15:00Z", "2025-01-20 17:00Z", "2025-01-20 18:00Z")
    ninth, tenth, noon, one = (int(np.searchsorted(frame["timestamp"], pd.Timestamp(x))) for x in moments)
    cuts = [1_900, ninth - 1, ninth, ninth + 1, ninth + 2, tenth, 6_001, noon, one, one + 1, one + 2, len(frame) - 99]
    return loaded(frame, load, cuts)


# phase 1 shows and does the same as phase 2 bit for bit: test_without_management_phase_2_is_phase_1
PHASES = [pytest.param(1, marks=pytest.mark.slow), 2]


@pytest.mark.parametrize("phase", PHASES)
def test_synthetic_bars_with_holes(holed, phase):
    check_cuts(holed, phase)


@pytest.mark.slow  # bars with holes hold it in the fast suite
@pytest.mark.parametrize("phase", PHASES)
def test_real_bars_with_half_days(half_days, phase):
    check_cuts(half_days, phase)
