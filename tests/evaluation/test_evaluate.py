"""`evaluate_policy`: hand-made trades, books, sessions against the file, kinds of policy, learning."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from flax import struct
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.rules.handmade import LEVEL, WARMUP, flat, make_bars
from trading_gymnax import EnvParams, TradingPhase1, TradingPhase2
from trading_gymnax.data.loader import load_bars
from trading_gymnax.evaluation.baselines import BarSignals, RandomEntries, RandomLegal, filtered_regime
from trading_gymnax.evaluation.evaluate import OPEN, evaluate_policy
from trading_gymnax.evaluation.summary import chained_bar_equity, summarise, verdict
from trading_gymnax.evaluation.walk import _play
from trading_gymnax.market import load_market_data, pack
from trading_gymnax.rules import BUY, HOLD, SELL
from trading_gymnax.synthetic import martingale, regime

KEY = jax.random.key(0)


def bar(open_: int, high: int, low: int, close: int) -> tuple[int, int, int, int]:
    """A bar by its distances in ticks from LEVEL."""
    return (LEVEL + open_, LEVEL + high, LEVEL + low, LEVEL + close)


def signals(market, wanted: dict[int, int], market_id: int = 0) -> BarSignals:
    """A side at rows after the warm-up, none elsewhere."""
    side = np.zeros((market.num_markets, market.bars.shape[1]), np.int8)
    for row, value in wanted.items():
        side[market_id, WARMUP + row] = value
    return BarSignals(jnp.asarray(side))


@functools.cache
def hand_env() -> TradingPhase1:
    """One environment, and so one program, for all hand-made bars."""
    return TradingPhase1(pack([make_bars(TWO_TRADES)]))


def play(rows, wanted: dict[int, int], bars: dict | None = None, **fields):
    """Evaluate sides wanted at rows of a hand-made NQ market."""
    market = pack([make_bars(rows, **(bars or {}))])
    params = EnvParams.create(market, **fields)
    return evaluate_policy(signals(market, wanted), hand_env(), params, key=KEY)


@struct.dataclass
class Always:
    """One action in every row; an argument of the program, which serves all of them."""

    action: jax.Array

    def __call__(self, key, obs, mask):
        return jnp.full(len(mask), self.action)


hold = Always(np.array(HOLD))  # of NumPy: what is imported makes no array of JAX


@functools.cache
def small_tape(sessions: int = 6, seed: int = 0):
    """A synthetic tape and its market."""
    tape = regime(sessions, seed=seed)
    return tape, load_market_data(tape.frame, tape.spec)


@pytest.fixture(scope="module")
def env() -> TradingPhase1:
    return TradingPhase1(small_tape()[1])


# ATR 8 ticks: stop 12, target 36 ticks from the fill; NQ: a tick is 5 dollars, a commission 2.50 a side.
TWO_TRADES = [
    bar(0, 0, 0, 0),  # row 0, 09:30: BUY
    bar(0, 10, -5, 4),  # fills at 0 + 1; best +9, worst -6
    bar(4, 39, -8, 30),  # 39 is two ticks beyond the target 37: out at 37, +36; the low of -8 may have come after
    bar(30, 30, 30, 30),  # row 3, 09:33: SELL
    bar(30, 33, 25, 26),  # fills at 30 - 1; stop 41; best +4, worst -4
    bar(45, 50, 40, 44),  # opens beyond the stop: out at 45 + 1, -17
]


def test_trades_worked_by_hand():
    found = play(TWO_TRADES, {0: 1, 3: -1})
    columns = ["side", "contracts", "entry_price", "exit_price", "bars_held", "exit_reason", "net_usd"]
    columns += ["commission_usd", "slippage_usd", "worst_open_usd", "best_open_usd", "risk_usd"]
    first, second = found.trades[columns].itertuples(index=False, name=None)
    # long: 36 ticks * 5 - 5 = 175; slippage of the entry only, since a target fills at its price
    assert first == (1, 1, 20_000.25, 20_009.25, 2, "TARGET", 175.0, 5.0, 5.0, -30.0, 180.0, 60.0)
    # short: -17 ticks * 5 - 5 = -90; a tick at the entry and one at the stop
    assert second == (-1, 1, 20_007.25, 20_011.5, 2, "STOP", -90.0, 5.0, 10.0, -85.0, 20.0, 60.0)
    np.testing.assert_allclose(found.trades["worst_r"], [-6 / 12, -17 / 12])
    np.testing.assert_allclose(found.trades["best_r"], [3.0, 4 / 12])
    times = found.trades[["entry_time", "exit_time"]].map(lambda moment: moment.strftime("%Y-%m-%d %H:%M %Z"))
    assert times.to_numpy().tolist() == [
        ["2025-01-07 09:30 EST", "2025-01-07 09:32 EST"],
        ["2025-01-07 09:33 EST", "2025-01-07 09:35 EST"],
    ]


def test_sessions_bars_and_actions_worked_by_hand():
    found = play(TWO_TRADES, {0: 1, 3: -1})
    session = found.sessions.iloc[0]
    # decisions from 09:30 to 16:58; the bar that closes at 16:59 is must-flat and ends the session
    assert session[["market", "net_usd", "trades", "winning_trades", "steps"]].tolist() == [
        *("NQ", 85.0, 2, 1, 449),
    ]
    assert session["done_reason"] == "SESSION_END"
    assert session[["steps_in_position", "entries", "ambiguous_bars", "illegal_actions"]].tolist() == [4, 2, 0, 0]
    # no entry at row 1 and row 4, in a position, nor at 16:58, a bar before must-flat
    assert session["entry_steps"] == 449 - 2 - 1
    equity = found.bars["equity_usd"].to_numpy()
    # marked at the closes: 4 - 1 = 3 ticks less the first commission; 175; ...; 29 - 26 = 3 ticks; 175 - 90
    np.testing.assert_array_equal(equity[:5], 50_000 + np.array([12.5, 175, 175, 187.5, 85]))
    assert found.bars["position"].tolist()[:5] == [1, 0, 0, -1, 0]
    # long at 1 with stop -11 and target 37, short at 29 with stop 41 and target -7; row 3 is flat
    levels = found.bars[["stop_price", "target_price"]].to_numpy()[:6] / 0.25 - LEVEL
    flat_row = [np.nan, np.nan]
    np.testing.assert_array_equal(levels, [[-11, 37], [-11, 37], flat_row, [41, -7], [41, -7], flat_row])
    # the floor follows the highest equity at a close
    np.testing.assert_array_equal(found.bars["floor_usd"][:5], 35_000 + np.array([12.5, 175, 175, 187.5, 187.5]))
    assert found.actions["chosen"].tolist() == [447, 1, 1]
    assert found.actions["legal_steps"].tolist() == [449, 446, 446]
    assert found.equity.tolist() == [50_085.0]


def test_a_fill_at_the_close_is_timed_at_the_close():
    found = play(TWO_TRADES, {0: 1}, fill_at_close=True)
    assert found.trades["entry_time"][0].strftime("%H:%M") == "09:30"
    assert found.trades["entry_price"][0] == 20_000.25


def test_a_gap_beyond_the_target_counts_to_the_target_only():
    rows = [*flat(count=2), bar(60, 70, 55, 60)]  # long at +1, target 37; opens at 60 and fills at 37
    found = play(rows, {0: 1})
    assert found.trades["exit_reason"].tolist() == ["TARGET"]
    # from the open at 0 (a tick below the fill) to the target
    assert found.trades[["worst_open_usd", "best_open_usd"]].to_numpy().tolist() == [[-5.0, 180.0]]


def test_a_position_that_the_data_leaves_open_is_listed_and_adds_up():
    # The table ends at 16:55, within the five minutes that make the session usable.
    rows = [*flat(count=2), bar(0, 6, 0, 6)]
    found = play(rows, {0: 1}, {"times": [1373, 1374, 1375], "tail": False})
    # long at +1, valued at +6: 5 ticks * 5 dollars less one commission
    trade = found.trades.iloc[0]
    assert (trade["exit_reason"], trade["net_usd"], trade["commission_usd"]) == (OPEN, 22.5, 2.5)
    assert trade["exit_price"] == (LEVEL + 6) * 0.25
    assert found.sessions["done_reason"].tolist() == ["DATA_END"]
    assert found.sessions["net_usd"].tolist() == [22.5]
    assert trade["notional_usd"] == trade["entry_price"] * 20  # bought, and not yet sold
    assert summarise(found).contracts_per_session == 1


def test_account_rules_end_a_session_early():
    ignored = {"max_steps_in_episode": 2, "forced_entry_fraction": 1.0}
    found = play(TWO_TRADES, {3: -1}, daily_loss_limit=10.0, **ignored)
    # Short at 29: two ticks and the commission lose 12.50, and row 4 goes to 33.
    assert found.sessions[["done_reason", "steps"]].to_numpy().tolist() == [["DAILY_LOSS", 4]]


def test_every_usable_session_once_and_in_order(env):
    market = small_tape()[1]
    view = market.between("2025-01-08")
    found = evaluate_policy(hold, env, env.default_params.replace(market=view), key=KEY)
    dates = [f"{date:%Y-%m-%d}" for date in found.sessions["date"]]
    assert dates == ["2025-01-08", "2025-01-09", "2025-01-10", "2025-01-13"]
    assert len(found.trades) == 0
    assert found.equity.tolist() == [50_000.0] * 4


def test_the_hours_are_those_of_the_parameters(env):
    morning = evaluate_policy(hold, env, env.default_params.replace(rth_open=8.0, rth_close=9.0), key=KEY)
    # from the close of 8:00 to must-flat at 9:00
    assert morning.sessions["steps"].tolist() == [60] * len(morning.sessions)
    assert morning.bars["time"][0].strftime("%H:%M") == "08:01"
    with pytest.raises(ValueError, match=r"no session from .* is usable with rth_open 9 and rth_close 9\.015"):
        evaluate_policy(hold, env, env.default_params.replace(rth_open=9.0, rth_close=9.015), key=KEY)


@pytest.mark.parametrize(
    ("file", "early_closes", "count"),
    [
        # The bars of 9 January stop at 09:30, those of 17 March at 00:00.
        ("NQ_H25_1min_ninjatrader.parquet", ["2025-01-20", "2025-02-17"], 51),
        # Good Friday has no bar, and the bars of 3 June stop at 08:07.
        ("NQ_M25_1min_ninjatrader.parquet", ["2025-05-26"], 57),
    ],
)
def test_every_session_of_the_real_file_is_visited_once(shared_data, file, early_closes, count):
    market = load_market_data(shared_data / file, "NQ", timestamps_mark="end", repair=("stray_prints",))
    env = TradingPhase1(market)
    found = evaluate_policy(hold, env, env.default_params, key=KEY)
    # From the raw file by pandas alone: a session runs from 18:00 to 17:00 and is dated by its end.
    close = pd.read_parquet(shared_data / file)["timestamp"].dt.tz_convert("America/New_York").dt.tz_localize(None)
    date = (close - pd.Timedelta("1min") + pd.Timedelta("6h")).dt.normalize()
    inside = (close + pd.Timedelta("6h") <= date + pd.Timedelta("23h")) & (date.dt.day_of_week < 5)
    bars = (close - date)[inside].groupby(date[inside])
    last = bars.max()
    early = last.index.isin(pd.to_datetime(early_closes))
    usable = last[(last >= pd.Timedelta("16h54min")) | early & (last >= pd.Timedelta("12h54min"))]
    assert len(usable) == count
    assert found.sessions["date"].is_unique
    assert found.sessions["date"].tolist() == usable.index.tolist()
    # A step is played at every bar that closes from 09:30 on, up to the one before 16:59 or the early close.
    clock, day = (close - date)[inside], date[inside]
    flat = np.where(day.isin(pd.to_datetime(early_closes)), pd.Timedelta("13h"), pd.Timedelta("16h59min"))
    decisions = ((clock >= pd.Timedelta("9h30min")) & (clock < flat)).groupby(day).sum()
    assert found.sessions["steps"].tolist() == decisions[usable.index].tolist()


def test_several_markets_side_by_side():
    one, other = small_tape()[0], small_tape(4, 1)[0]
    named = (("NQ", one), ("ES", other))
    tables = [load_bars(tape.frame, dataclasses.replace(tape.spec, symbol=name)) for name, tape in named]
    both, env = pack(tables), TradingPhase1(pack(tables))
    side = np.zeros((2, both.bars.shape[1]), np.int8)
    side[0, : len(one.hidden)], side[1, : len(other.hidden)] = one.hidden, other.hidden
    found = evaluate_policy(BarSignals(jnp.asarray(side)), env, env.default_params, key=KEY)
    order = list(zip(found.sessions["date"], found.sessions["market"], strict=True))
    assert [name for _, name in order[:4]] == ["NQ", "ES", "NQ", "ES"]
    assert [date for date, _ in order] == sorted(date for date, _ in order)
    alone = TradingPhase1(pack(tables[1:]))
    single = evaluate_policy(BarSignals(jnp.asarray(side[1:])), alone, alone.default_params, key=KEY)
    of_es = found.trades[found.trades["market"] == "ES"].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_es, single.trades)


def test_same_as_stepping_the_environment(env):
    tape, market = small_tape()
    params = env.default_params.replace(random_start_fraction=0.0)
    found = evaluate_policy(BarSignals(jnp.asarray(tape.hidden)[None]), env, params, key=KEY)
    second = found.bars[found.bars["date"] == found.sessions["date"][1]]
    start = 1380 + 930 - 1  # second session, its bar that closes at 9:30
    _, state = env.reset_at(params, 0, start)
    equity, reward = [], 0.0
    for at in range(start, start + len(second)):
        action = BUY if tape.hidden[at] > 0 else SELL
        action = jnp.where(env.action_mask(state, params)[action], action, 0)
        _, state, gained, terminated, _, info = env.step(KEY, state, action, params)
        equity.append(int(info["equity_cents"]) / 100)
        reward += float(gained)
    assert bool(terminated)
    np.testing.assert_array_equal(equity, second["equity_usd"])
    assert reward * float(params.reward_scale[0]) == pytest.approx(found.sessions["net_usd"][1], abs=0.05)


@settings(max_examples=8)
@given(
    seed=st.integers(0, 2**31 - 1),
    phase=st.sampled_from([1, 2]),
    sl=st.floats(0.3, 4.0),
    slippage=st.integers(0, 8),
    at_close=st.booleans(),
    realized=st.booleans(),
    size=st.integers(1, 3),
)
def test_the_books_balance_and_excursions_hold_the_result(seed, phase, sl, slippage, at_close, realized, size):
    env = phase_env(phase)
    params = env.default_params.replace(
        sl_atr_mult=sl,
        slippage_ticks=slippage,
        fill_at_close=at_close,
        reward_realized=realized,
        position_size=size,
        trailing_dd_limit=1_500.0,
    )
    found = evaluate_policy(RandomLegal(), env, params, key=jax.random.key(seed))
    trades, sessions = found.trades, found.sessions
    # the identities to the cent are asserted inside; here what they leave open
    assert len(trades) == sessions["trades"].sum() == sessions["entries"].sum()
    gross = trades["net_usd"] + trades["commission_usd"]
    assert (trades["worst_open_usd"] <= gross + 1e-6).all()
    assert (gross <= trades["best_open_usd"] + 1e-6).all()
    assert (trades["entry_time"] < trades["exit_time"]).all()
    np.testing.assert_allclose(found.equity, 50_000 + sessions["net_usd"].cumsum())
    assert found.actions["chosen"].sum() == sessions["steps"].sum() == len(found.bars)
    assert sessions["illegal_actions"].sum() == 0
    np.testing.assert_allclose(chained_bar_equity(found)[-1], found.equity.iloc[-1])


@functools.cache
def phase_env(phase: int) -> TradingPhase1:
    return (TradingPhase1, TradingPhase2)[phase - 1](small_tape()[1])


def test_books_that_do_not_balance_are_refused(monkeypatch):
    env = TradingPhase1(small_tape()[1])
    honest = env.play

    def pays_a_cent_too_much(state, action, params):
        after, reward, fill = honest(state, action, params)
        return after.replace(balance=after.balance + (fill.exit_reason != 0)), reward, fill

    monkeypatch.setattr(env, "play", pays_a_cent_too_much)
    with pytest.raises(AssertionError, match=r"the books do not balance in .* the nets of the trades give"):
        evaluate_policy(RandomLegal(), env, env.default_params, key=KEY)


def test_rewards_that_do_not_add_up_are_refused(monkeypatch):
    env = TradingPhase1(small_tape()[1])
    honest = env.play

    def flatters(state, action, params):
        after, reward, fill = honest(state, action, params)
        return after, reward * 1.001, fill

    monkeypatch.setattr(env, "play", flatters)
    with pytest.raises(AssertionError, match=r"rewards \* reward_scale give"):
        evaluate_policy(RandomLegal(), env, env.default_params, key=KEY)


# -- kinds of policies --


def test_a_policy_for_one_observation_is_vmapped(env):
    def one(key, obs, mask):
        return jnp.where(mask[BUY], BUY, 0)

    def batch(key, obs, mask):
        return jnp.where(mask[:, BUY], BUY, 0)

    found = [evaluate_policy(policy, env, env.default_params, key=KEY) for policy in (one, batch)]
    assert len(found[0].trades) > 10
    pd.testing.assert_frame_equal(found[0].trades, found[1].trades)


@struct.dataclass
class Patient:
    """Buys at its n-th step; counts in its memory."""

    wait: jax.Array

    def initial_carry(self, batch):
        return jnp.zeros(batch, jnp.int32)

    def __call__(self, key, obs, mask, carry):
        return jnp.where(carry == self.wait, BUY, 0), carry + 1


def test_a_policy_with_a_memory(env):
    found = evaluate_policy(Patient(jnp.int32(3)), env, env.default_params, key=KEY)
    assert found.trades["entry_time"].dt.strftime("%H:%M").tolist() == ["09:33"] * 6


@struct.dataclass
class Switch:
    """Sells always, or by a coin."""

    sampled: bool = struct.field(pytree_node=False, default=True)

    def __call__(self, key, obs, mask):
        coin = jax.random.bernoulli(key, 0.5, mask.shape[:1]) if self.sampled else True
        return jnp.where(mask[:, SELL] & coin, SELL, 0)


def test_the_switch_between_most_probable_and_drawn_actions(env):
    firm = evaluate_policy(Switch(), env, env.default_params, key=KEY)
    drawn = evaluate_policy(Switch(), env, env.default_params, key=KEY, sampled=True)
    assert firm.sessions["entries"].equals(firm.sessions["entry_steps"])
    assert (drawn.sessions["entries"] < drawn.sessions["entry_steps"]).all()
    with pytest.raises(ValueError, match="no switch `sampled`"):
        evaluate_policy(hold, env, env.default_params, key=KEY, sampled=True)


def test_what_is_no_policy_is_refused(env):
    params = env.default_params
    with pytest.raises(ValueError, match=r"one action number per observation, int \[32\].*shape \(32, 3\)"):
        evaluate_policy(lambda key, obs, mask: mask.astype(jnp.int32), env, params, key=KEY)
    with pytest.raises(ValueError, match="dtype float32"):
        evaluate_policy(lambda key, obs, mask: jnp.zeros(mask.shape[0]), env, params, key=KEY)
    with pytest.raises(ValueError, match="returned action 3; there are 0 HOLD, 1 BUY, 2 SELL"):
        evaluate_policy(Always(np.array(3)), env, params, key=KEY)


def test_illegal_choices_are_counted_and_act_as_hold(env):
    found = evaluate_policy(Always(np.array(BUY)), env, env.default_params, key=KEY)
    sessions = found.sessions
    np.testing.assert_array_equal(sessions["illegal_actions"], sessions["steps"] - sessions["entry_steps"])
    buys = found.actions.loc["BUY"]
    assert buys["share"] == 1.0
    assert buys["chosen_legal"] == buys["legal_steps"] == sessions["entries"].sum()
    assert buys["share_when_legal"] == 1.0


def test_parameters_and_bars_are_arguments_of_the_program(env):
    evaluate_policy(RandomEntries(jnp.float32(0.1)), env, env.default_params, key=KEY)
    compiled = _play._cache_size()
    other = small_tape(seed=5)[1]
    changed = env.default_params.replace(market=other, sl_atr_mult=3.0)
    evaluate_policy(RandomEntries(jnp.float32(0.5)), env, changed, key=KEY)
    assert _play._cache_size() == compiled


def test_baselines_enter_as_they_say(env):
    often = evaluate_policy(RandomEntries(jnp.float32(0.05)), env, env.default_params, key=KEY)
    rate = often.sessions["entries"].sum() / often.sessions["entry_steps"].sum()
    assert rate == pytest.approx(0.05, abs=0.02)
    both = often.actions.loc[["BUY", "SELL"], "chosen"]
    assert both.min() > 0.2 * both.sum()
    uniform = evaluate_policy(RandomLegal(), phase_env(2), phase_env(2).default_params, key=KEY)
    assert (uniform.actions["chosen"] == uniform.actions["chosen_legal"]).all()
    assert uniform.actions["chosen"].min() > 0


def test_random_entries_choose_sizes_by_their_shares():
    """HOLD, BUY, SELL, three of phase 2, pairs of two more sizes, one of them not offered in each third row."""
    mask = np.tile([True] * 3 + [False] * 3 + [True] * 4, (3_000, 1))
    mask[::3, 8:] = False
    mask[1::3, [2, 7, 9]] = False  # one side alone
    coin = RandomEntries(jnp.float32(0.8), jnp.array([0.0, 0.25, 0.75]))
    action = np.asarray(coin(KEY, jnp.zeros((3_000, 1)), jnp.asarray(mask)))
    assert mask[np.arange(3_000), action].all()
    counts = [np.bincount(action[row::3], minlength=10) for row in range(3)]
    assert set(np.flatnonzero(counts[0])) == {0, 6, 7}  # the second size takes it all, the first has no share
    assert set(np.flatnonzero(counts[1])) == {0, 6, 8}
    assert counts[1][[0, 6, 8]] / 1_000 == pytest.approx([0.2, 0.2, 0.6], abs=0.05)  # three standard errors
    assert counts[2][[0, 6, 7, 8, 9]] / 1_000 == pytest.approx([0.2, 0.1, 0.1, 0.3, 0.3], abs=0.05)
    smallest = np.asarray(RandomEntries(jnp.float32(0.8))(KEY, jnp.zeros((3_000, 1)), jnp.asarray(mask)))
    assert set(smallest) == {0, 1, 2}


def test_the_filter_knows_what_the_closes_tell():
    # One bar up by d sigma: log odds 2 drift d; the prior odds are even, and a switch is as likely both ways.
    found = filtered_regime(np.array([0.5, -3.0]), drift=0.5, mean_regime_bars=60)
    first = 2 * 0.5 * 0.5
    up = 1 / (1 + np.exp(-first))
    up = up * (1 - 1 / 60) + (1 - up) / 60
    np.testing.assert_allclose(found, [first, np.log(up / (1 - up)) + 2 * 0.5 * -3.0])


# -- figures --


def test_summary_of_the_trades_worked_by_hand():
    row = summarise(play(TWO_TRADES, {0: 1, 3: -1}))
    assert (row.sessions, row.days, row.trades, row.win_rate, row.net_usd) == (1, 1, 2, 0.5, 85.0)
    assert row.max_drawdown_usd == 187.5 - 85.0
    assert row.profit_factor == pytest.approx(175 / 90)
    assert row.costs_usd == 25.0
    assert row.exposure == pytest.approx(4 / 449)
    # bought and sold: 20,000.25 + 20,009.25 + 20,007.25 + 20,011.50 points of 20 dollars
    assert row.contracts_per_session == 4
    assert row.turnover == pytest.approx(80_028.25 * 20 / 50_000)
    assert row.action_shares_when_legal["BUY"] == 1 / 446
    assert row.entry_rate == pytest.approx(2 / 446)
    assert "proves nothing" in verdict(row, "out of sample")
    assert row.to_dict()["standard_error_usd"] is None


# -- learning --


@pytest.mark.slow
@pytest.mark.parametrize("drift", [1 / 3, 0.0])
def test_two_million_steps_find_an_edge_where_there_is_one_and_none_where_there_is_none(drift):
    from purejaxrl_ppo import make_train, policy_of
    from trading_gymnax.cli.trader import TRADER

    def tape(seed: int):
        return regime(300, seed=seed, drift=drift) if drift else martingale(300, seed=seed)

    seen, unseen = tape(101), tape(102)
    env = TradingPhase1(load_market_data(seen.frame, seen.spec))
    params = env.default_params
    held_out = params.replace(market=load_market_data(unseen.frame, unseen.spec))
    result = jax.jit(make_train(env, TRADER))(jax.random.key(0), params)
    policy = policy_of(result.state, env, params, TRADER, sampled=False)
    row = summarise(evaluate_policy(policy, env, held_out, key=KEY))
    oracle = summarise(evaluate_policy(BarSignals(jnp.asarray(unseen.hidden)[None]), env, held_out, key=KEY))
    moves = (unseen.frame["close"] - unseen.frame["open"]).to_numpy() / unseen.spec.tick_size
    odds = filtered_regime(moves / unseen.noise_ticks, drift, 60.0)
    known = BarSignals(jnp.asarray(np.sign(odds), jnp.int8)[None])
    ceiling = summarise(evaluate_policy(known, env, held_out, key=KEY))
    print(f"drift {drift:.3f}: {row}\noracle: {oracle}\nfilter: {ceiling}")
    if drift:
        assert row.net_usd > 0.93 * ceiling.net_usd
        assert row.t_value > 3
        assert row.net_usd > 0.8 * oracle.net_usd
    else:
        assert not row.p_value < 0.05
