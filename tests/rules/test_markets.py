"""Many markets in one environment, and contracts of one market that follow one another."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from purejaxrl_ppo import PPOConfig, make_train, policy_of
from tests.data.tables import PLAIN, table
from tests.rules.handmade import make_bars
from tests.rules.test_phase1 import OPENING, wavy
from trading_gymnax import TradingPhase1, TradingPhase2, evaluate_policy, load_market_data
from trading_gymnax.data.contracts import contract
from trading_gymnax.data.loader import Bars, load_bars
from trading_gymnax.evaluation.baselines import RandomLegal
from trading_gymnax.evaluation.per_market import by_market
from trading_gymnax.market import SESSION_AND_BREAK, pack
from trading_gymnax.synthetic import SYNTH, regime

KEY = jax.random.key(0)
DATES = [f"2025-03-{day:02d}" for day in (3, 4, 5, 6, 7, 10, 11, 12)]


@pytest.fixture(scope="module")
def contracts() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Monday the 3rd to Friday the 7th, and Wednesday the 5th to the 12th, 400 points higher.

    The later contract has the larger volume from the session of the 6th on.
    """
    earlier, later = table(*DATES[:5], seed=1), table(*DATES[2:], seed=2)
    later[["open", "high", "low", "close"]] += 400
    later.loc[1380:, "volume"] *= 3
    earlier["volume"] *= 2
    later.loc[:1379, "volume"] = 1
    return earlier, later


def dates(market, row: int) -> list[str]:
    """Session dates of one contract's view."""
    first, end = np.asarray(market.view)[row]
    return [str(np.datetime64(int(day), "D")) for day in np.asarray(market.session_date)[row, first:end]]


# -- rolls --


def test_a_roll_by_date(contracts):
    market = load_market_data({PLAIN: list(contracts)}, roll="2025-03-06")
    assert (market.symbols, market.roots) == (("PLAIN-1", "PLAIN-2"), ("PLAIN", "PLAIN"))
    assert (dates(market, 0), dates(market, 1)) == (DATES[:3], DATES[3:])


def test_a_roll_by_volume_knows_the_evening_before(contracts):
    """Its volume is first larger on the 6th, which is known on the evening of the 6th: traded from the 7th on."""
    market = load_market_data({PLAIN: {"H25": contracts[0], "M25": contracts[1]}}, roll="volume")
    assert market.symbols == ("PLAIN-H25", "PLAIN-M25")
    assert (dates(market, 0), dates(market, 1)) == (DATES[:4], DATES[4:])
    assert load_market_data(list(contracts), PLAIN, roll=["2025-03-07"]).date_text() == market.date_text()


def test_three_contracts_and_a_second_market(contracts):
    third = table(*DATES[6:], seed=3)
    other = dataclasses.replace(PLAIN, symbol="OTHER")
    data = {PLAIN: [*contracts, third], other: table(*DATES, seed=4)}
    market = load_market_data(data, roll=("2025-03-06", "2025-03-12"))
    assert market.symbols == ("PLAIN-1", "PLAIN-2", "PLAIN-3", "OTHER")
    assert [dates(market, row) for row in range(4)] == [DATES[:3], DATES[3:7], DATES[7:], DATES]
    assert market.root_ids.tolist() == [0, 0, 0, 1]


def test_views_of_a_rolled_market_are_cut_by_date(contracts):
    market = load_market_data(list(contracts), PLAIN, roll="2025-03-06")
    before, after = market.split("2025-03-05")
    assert (dates(before, 0), dates(before, 1)) == (DATES[:2], [])
    assert (dates(after, 0), dates(after, 1)) == ([DATES[2]], DATES[3:])
    assert after.bars is market.bars


def test_no_episode_and_no_window_crosses_the_roll(contracts):
    """Each session is traded in its own contract, and the window before it holds that contract's own bars."""
    market = load_market_data(list(contracts), PLAIN, roll="2025-03-06")
    env = TradingPhase1(market, terminate_at_session_end=False, max_steps_in_episode=5_000)
    params = env.default_params
    state = jax.vmap(env.reset, (0, None))(jax.random.split(KEY, 300), params)[1]
    day = np.asarray(market.bars)[state.market_id, state.step_idx, SESSION_AND_BREAK] >> 1
    date = np.asarray(market.session_date)[state.market_id, day].astype("datetime64[D]")
    assert np.array_equal(np.asarray(state.market_id) == 1, date >= np.datetime64("2025-03-06"))
    walked = evaluate_policy(RandomLegal(), env, params, key=KEY)
    assert list(walked.sessions["date"].dt.strftime("%Y-%m-%d")) == DATES
    assert list(walked.sessions["market"]) == ["PLAIN-1"] * 3 + ["PLAIN-2"] * 5
    for row, frame in enumerate(contracts):
        alone = load_market_data(frame, PLAIN)
        bars = int(alone.num_bars[0])
        np.testing.assert_array_equal(market.features[row, :bars], alone.features[0])
    last_of_first = int(market.sessions[0, 2, 1]) - 2  # the decision bar before the last of Wednesday
    _, state = env.reset_at(params, 0, last_of_first)
    _, after, _, terminated, info = env.step_env(KEY, state, 0, params)
    assert bool(after.data_end)
    assert not bool(terminated)


def test_a_market_with_two_contracts_weighs_no_more_than_one_with_one(contracts):
    """Usable are three sessions of the first contract, five of the second, eight of the other market."""
    other = dataclasses.replace(PLAIN, symbol="OTHER")
    market = load_market_data({PLAIN: list(contracts), other: table(*DATES, seed=4)}, roll="2025-03-06")
    env = TradingPhase1(market)
    state = jax.vmap(env.reset, (0, None))(jax.random.split(KEY, 8_000), env.default_params)[1]
    counts = np.bincount(state.market_id, minlength=3)
    assert np.all(np.abs(counts - [1_500, 2_500, 4_000]) < 4 * np.sqrt(8_000 * 0.25))


@pytest.mark.parametrize(
    ("roll", "message"),
    [
        (None, "PLAIN-1 is followed by 1 more: say when"),
        ("2025-03-03", "PLAIN-1 has no session between its rolls: it goes from 2025-03-03 to 2025-03-07"),
        ("2025-04-01", "PLAIN-2 has no session between its rolls"),
        (["2025-03-06", "2025-03-07"], "1 dates for 2 contracts"),
        ("sometime", "'volume' or a date like"),
        (5, "'volume' or a date like"),
    ],
)
def test_a_wrong_roll_gets_one_clear_sentence(contracts, roll, message):
    with pytest.raises(ValueError, match=message):
        load_market_data(list(contracts), PLAIN, roll=roll)


def test_wrong_lists_of_contracts(contracts):
    earlier, later = contracts
    late_volume = later[: 3 * 1380].assign(volume=[0] * 2760 + [2] * 1380)
    with pytest.raises(ValueError, match="never has the larger volume"):
        load_market_data([earlier, later.assign(volume=1)], PLAIN, roll="volume")
    with pytest.raises(ValueError, match="has no session after 2025-03-07, when its volume became the larger"):
        load_market_data([earlier.assign(volume=1), late_volume], PLAIN, roll="volume")
    with pytest.raises(ValueError, match="no session in common"):
        load_market_data([earlier, table(*DATES[5:])], PLAIN, roll="volume")
    with pytest.raises(ValueError, match="needs two or more contracts"):
        load_market_data(earlier, PLAIN, roll="volume")
    with pytest.raises(ValueError, match="needs two or more contracts of a market; PLAIN has one"):
        load_market_data([earlier], PLAIN, roll="volume")
    with pytest.raises(ValueError, match="empty list of contracts"):
        load_market_data([], PLAIN, roll="volume")
    with pytest.raises(ValueError, match="must rise"):
        load_market_data([earlier, later, later], PLAIN, roll=("2025-03-07", "2025-03-06"))
    with pytest.raises(ValueError, match="no option 'rol'"):
        load_market_data(list(contracts), PLAIN, rol="volume")


# -- several markets --


@pytest.fixture(scope="module")
def pair():
    """ES for 60 bars and NQ for 100, as they would come from two files of unlike span."""
    short = make_bars(wavy(60), symbol="ES", scheduled_close=OPENING + 59, tail=False)
    long = make_bars(wavy(100, 1), symbol="NQ", scheduled_close=OPENING + 99, tail=False)
    return pack([short, long])


@pytest.mark.parametrize("make", [TradingPhase1, TradingPhase2])
def test_the_market_stands_at_the_end_of_the_observation(pair, make):
    env, plain = make(pair, market_one_hot=True, account_features=True), make(pair, account_features=True)
    assert env.obs_shape == (plain.obs_shape[0] + 2,)
    for market_id, expected in ((0, [1.0, 0.0]), (1, [0.0, 1.0])):
        obs, state = env.reset_at(env.default_params, market_id, 400)
        assert obs[-2:].tolist() == expected
        assert np.array_equal(obs[:-2], plain.reset_at(plain.default_params, market_id, 400)[0])
        obs, *_ = env.step(KEY, state, 0, env.default_params)
        assert obs.shape == env.obs_shape == env.observation_space(env.default_params).shape


def test_contracts_of_one_market_have_one_place(contracts):
    env = TradingPhase1(load_market_data(list(contracts), PLAIN, roll="2025-03-06"), market_one_hot=True)
    assert env.num_one_hot == 1
    obs = jax.vmap(env.reset, (0, None))(jax.random.split(KEY, 50), env.default_params)[0]
    assert np.array_equal(obs[:, -1], np.ones(50))


def test_an_environment_with_places_refuses_other_markets(pair):
    env = TradingPhase1(pair, market_one_hot=True)
    one = pack([make_bars(wavy(60))])
    with pytest.raises(ValueError, match="made for 2 markets and these parameters hold 1: NQ"):
        env.reset(KEY, env.default_params.replace(market=one, commission_per_side=2.5, market_weights=1.0))


def test_equal_chance_per_bar(pair):
    """Decision bars by the loader's hours: 58 of ES and 98 of NQ, all but the last two of each session."""
    assert pair.decision_bars().tolist() == [58, 98]
    env = TradingPhase1(pair, random_start_fraction=1.0, min_bars_left=0, market_weights=pair.decision_bars())
    state = jax.vmap(env.reset, (0, None))(jax.random.split(KEY, 15_600), env.default_params)[1]
    counts = np.concatenate([np.bincount(state.step_idx[state.market_id == m] - 390) for m in (0, 1)])
    assert len(counts) == 58 + 98
    assert np.all(np.abs(counts - 100) < 5 * np.sqrt(100))


def test_nothing_of_the_market_is_copied_for_an_environment():
    """Memory of a step of 10,000 environments beyond the market itself: less than 0.02 MB each, bars or no bars."""

    def bytes_beside_the_market(days: int, num_envs: int) -> tuple[int, int]:
        sessions = [day for day in range(1, days + 1) for _ in range(100)]
        closes = dict.fromkeys(range(1, days + 1), OPENING + 99)
        rows = [make_bars(wavy(len(sessions), m), symbol=s, sessions=sessions, scheduled_close=closes, tail=False)
                for m, s in enumerate(("ES", "NQ", "YM"))]  # fmt: skip
        env = TradingPhase1(pack(rows))
        params = env.default_params

        def step(keys, states, actions, params):
            return jax.vmap(env.step, (0, 0, 0, None))(keys, states, actions, params)[:5]

        keys = jax.random.split(KEY, num_envs)
        states = jax.eval_shape(lambda k: jax.vmap(env.reset, (0, None))(k, params)[1], keys)
        used = jax.jit(step).lower(keys, states, jnp.zeros(num_envs, jnp.int32), params).compile().memory_analysis()
        market = sum(x.nbytes for x in jax.tree.leaves(params))
        whole = used.argument_size_in_bytes + used.output_size_in_bytes + used.temp_size_in_bytes
        return whole - market, market

    one, market = bytes_beside_the_market(days=20, num_envs=1)
    many, _ = bytes_beside_the_market(days=20, num_envs=10_000)
    few_bars, _ = bytes_beside_the_market(days=2, num_envs=10_000)
    assert market > 500_000
    assert one < market  # the plan of the sessions, but no second tape
    assert (many - one) / 9_999 < 20_000
    assert many - few_bars < market


# -- three real markets --


@pytest.fixture(scope="module")
def january(shared_data):
    return [load_bars(shared_data / f"{name}_1min_tradingview_2022-01.parquet", name) for name in ("ES", "NQ", "YM")]


@pytest.mark.slow
def test_three_real_markets_train_in_one_run(january):
    env = TradingPhase1(pack(january), market_one_hot=True)
    config = PPOConfig(total_timesteps=4_096, num_envs=32, num_steps=64, num_minibatches=2, num_epochs=1)
    result = jax.jit(make_train(env, config))(KEY, env.default_params)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(result.metrics))
    walked = evaluate_policy(RandomLegal(), env, env.default_params, key=KEY)
    per_market = walked.sessions.groupby("market").size()
    assert per_market.to_dict() == {name: len(env.default_params.market.usable_sessions(m))
                                    for m, name in enumerate(("ES", "NQ", "YM"))}  # fmt: skip
    values = {name: contract(name).tick_value_cents / 100 for name in ("ES", "NQ", "YM")}
    trades = walked.trades
    points = (trades["exit_price"] - trades["entry_price"]) * trades["side"] * trades["contracts"]
    tick = trades["market"].map({"ES": 0.25, "NQ": 0.25, "YM": 1.0})
    gross = points / tick * trades["market"].map(values)
    np.testing.assert_allclose(gross - trades["commission_usd"], trades["net_usd"], atol=0.005)


# -- one policy for several markets --

WORLDS = {  # tick, dollars a point, price: as unlike as YM, NQ and RTY
    "LOW": (0.1, 50.0, 2_000.0),
    "MID": (0.25, 20.0, 20_000.0),
    "HIGH": (1.0, 5.0, 40_000.0),
}


@pytest.mark.slow
def test_one_policy_for_three_markets_does_as_well_on_each():
    """At 2 million steps a market: at least 90 % of what a policy earns that was trained on that market alone."""
    from trading_gymnax.cli.trader import TRADER

    def tapes(seed: int) -> dict[str, Bars]:
        specs = {name: dataclasses.replace(SYNTH, symbol=name, tick_size=tick, multiplier=points)
                 for name, (tick, points, _) in WORLDS.items()}  # fmt: skip
        made = [regime(300, seed=seed + n, spec=specs[name], price=WORLDS[name][2]) for n, name in enumerate(WORLDS)]
        return {tape.spec.symbol: load_bars(tape.frame, tape.spec) for tape in made}

    def earned(names: list[str]) -> dict[str, float]:
        env = TradingPhase1(pack([seen[name] for name in names]))
        config = dataclasses.replace(TRADER, total_timesteps=2_000_000 * len(names))
        result = jax.jit(make_train(env, config))(KEY, env.default_params)
        policy = policy_of(result.state, env, env.default_params, config, sampled=False)
        held_out = env.default_params.replace(market=pack([unseen[name] for name in names]))
        return by_market(evaluate_policy(policy, env, held_out, key=KEY))["net_per_session_usd"].to_dict()

    seen, unseen = tapes(501), tapes(601)
    together = earned(list(WORLDS))
    alone = {name: earned([name])[name] for name in WORLDS}
    print(f"together {together}\nalone {alone}")
    for name in WORLDS:
        assert alone[name] > 0
        assert together[name] > 0.9 * alone[name], name
