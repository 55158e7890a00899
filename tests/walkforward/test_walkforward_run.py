"""Walk-forward from the folds to the files: what is learnt from, what is judged, and how the figures add up."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

from tests.data.tables import PLAIN
from tests.survival.few import policy_alone
from trading_gymnax import TradingPhase1, load_market_data, runs
from trading_gymnax.cli import main as cli
from trading_gymnax.cli.learners import ppo_fold_learner
from trading_gymnax.cli.resume import keep_run, kept_runs
from trading_gymnax.cli.trader import TRADER
from trading_gymnax.curriculum import linear
from trading_gymnax.data.contracts import CONTRACTS
from trading_gymnax.evaluation.baselines import RandomEntries
from trading_gymnax.market import ATR_BITS, CLOSE, END, OPEN, START, MarketData
from trading_gymnax.report.judge import POLICY
from trading_gymnax.synthetic import regime
from trading_gymnax.walkforward.folds import walk_forward
from trading_gymnax.walkforward.result import FoldRun, WalkForward
from trading_gymnax.walkforward.run import run_walk_forward, shared_and_stacked

CONFIG = dataclasses.replace(TRADER, total_timesteps=2 * 16 * 64, num_envs=16, num_steps=64, num_minibatches=2)
TINY = ["--total-timesteps", "1024", "--num-envs", "16", "--num-steps", "64"]
SIZES = {"train_sessions": 3, "test_sessions": 2}
ABSURD = 2**20  # ticks


@pytest.fixture(scope="module")
def env() -> TradingPhase1:
    """Eight sessions: two folds of 3 + 1 + 2."""
    tape = regime(8, spec=PLAIN, first_session="2025-03-03")
    return TradingPhase1(load_market_data(tape.frame, tape.spec), min_bars_left=0)


@pytest.fixture(scope="module")
def learn():
    """One program for all tests: a run at a time."""
    return ppo_fold_learner(CONFIG, None, None)


def poisoned(market: MarketData, sessions: range) -> MarketData:
    """The market with NaN features, NaN ATR and prices far away in the bars of some sessions of its first table."""
    bars, features = np.array(market.bars), np.array(market.features)
    for session in sessions:
        first, end = np.asarray(market.sessions)[0, session, [START, END]]
        bars[0, first:end, OPEN : CLOSE + 1] = ABSURD * np.array([1, 2, -3, 1])
        bars[0, first:end, ATR_BITS] = np.float32(np.nan).view(np.int32)
        features[0, first:end] = np.nan
    return dataclasses.replace(market, bars=jnp.asarray(bars), features=jnp.asarray(features)).with_view(market.view)


def trained(learn, env, market, train_view) -> list[np.ndarray]:
    """Network and normaliser of a run on that view of the market."""
    params = env.default_params.replace(market=market.with_view(train_view))
    (policy,) = learn(env, [params], [7])
    return [np.asarray(leaf) for leaf in jax.tree.leaves((policy.params, policy.moments))]


def same(one: list[np.ndarray], other: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("embargo", [1, pytest.param(0, marks=pytest.mark.slow)])
def test_no_bar_of_a_test_view_is_read_in_training(env, learn, embargo):
    """Whatever stands in those bars, the same network comes out, bit for bit; with and without sessions between."""
    market = env.default_params.market
    folds = list(walk_forward(market, **SIZES, embargo_sessions=embargo))
    assert len(folds) == 2
    for fold in folds:
        spoilt = poisoned(market, range(*np.asarray(fold.test.view)[0]))
        assert np.isnan(np.asarray(spoilt.features)).any()
        clean = trained(learn, env, market, fold.train.view)
        assert all(np.isfinite(leaf).all() for leaf in clean)
        assert same(trained(learn, env, spoilt, fold.train.view), clean)


def test_the_poison_is_felt_where_it_is_read(env, learn):
    """The control of the test above: one bar of the training view, poisoned, gives another network."""
    market = env.default_params.market
    fold = next(walk_forward(market, **SIZES))
    clean = trained(learn, env, market, fold.train.view)
    features = np.array(market.features)
    first = int(np.asarray(market.sessions)[0, 1, START])
    features[0, first + 16 * 60 : first + 20 * 60, 0] += 1.0
    touched = dataclasses.replace(market, features=jnp.asarray(features))
    assert not same(trained(learn, env, touched, fold.train.view), clean)
    with pytest.raises(FloatingPointError, match="seed 7 ended in numbers that are not finite"):
        trained(learn, env, poisoned(market, range(1, 2)), fold.train.view)


def test_only_what_differs_between_folds_is_stacked(env):
    folds = list(walk_forward(env.default_params.market, **SIZES))
    params = [env.default_params.replace(market=fold.train) for fold in folds]
    leaves, axes, structure = shared_and_stacked(params)
    mapped = jax.tree.unflatten(structure, [axis is not None for axis in axes])
    by_path = jax.tree_util.tree_flatten_with_path(mapped)[0]
    names = {jax.tree_util.keystr(path) for path, is_mapped in by_path if is_mapped}
    assert names == {".market.view", ".market.median_risk_usd", ".reward_scale"}
    assert jax.tree.unflatten(structure, leaves).market.bars is env.default_params.market.bars
    assert jax.tree.unflatten(structure, leaves).market.view.tolist() == [[[0, 3]], [[2, 5]]]


@dataclasses.dataclass
class Recorder:
    """A learner that learns nothing and remembers what it was given."""

    given: list

    def __call__(self, env, params, seeds):
        for one, seed in zip(params, seeds, strict=True):
            self.given.append((one.market.date_text(), float(one.reward_scale[0]), seed))
            yield RandomEntries(jnp.float32(0.02 + 0.02 * (seed % 10_000)))


@pytest.fixture(scope="module")
def walked(env) -> tuple[WalkForward, Recorder, list]:
    recorder, told = Recorder([]), []
    folds = walk_forward(env.default_params.market, **SIZES)
    found = run_walk_forward(
        recorder, env, folds, seeds=3, configurations_tried=4, progress=lambda *said: told.append(said)
    )
    return found, recorder, told


def test_every_fold_is_learnt_with_every_seed(walked, env):
    found, recorder, told = walked
    assert [(run.fold, run.seed) for run in found.runs] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]
    first, second = "2025-03-03 to 2025-03-05", "2025-03-05 to 2025-03-07"
    assert [dates for dates, _, _ in recorder.given] == [first] * 3 + [second] * 3
    assert [seed for _, _, seed in recorder.given] == [0, 10_000, 20_000, 1, 10_001, 20_001]
    scales = [float(fold.train.median_risk_usd[0]) for fold in found.folds]
    assert [scale for _, scale, _ in recorder.given] == [scales[0]] * 3 + [scales[1]] * 3
    assert told[0] == (1, 6, "fold 0, seed 0")
    assert told[-1] == (6, 6, "fold 1, seed 2")


def test_it_goes_on_where_it_stopped(walked, env, tmp_path):
    """Runs that were kept are not trained again, and the whole is the same, tables of the files included."""
    found, _, _ = walked
    for run in found.runs[:4]:
        keep_run(tmp_path, run)
    known, recorder, kept = kept_runs(tmp_path), Recorder([]), []
    assert sorted(known) == [(0, 0), (0, 1), (0, 2), (1, 0)]
    folds = walk_forward(env.default_params.market, **SIZES)
    again = run_walk_forward(
        recorder, env, folds, seeds=3, configurations_tried=4, known=known, keep=lambda run: kept.append(run.seed)
    )
    assert [seed for _, _, seed in recorder.given] == [10_001, 20_001]
    assert kept == [1, 2]
    assert again.to_dict() == found.to_dict()
    for run, other in zip(again.runs, found.runs, strict=True):
        pd.testing.assert_frame_equal(run.trades, other.trades)
        pd.testing.assert_frame_equal(run.unseen, other.unseen)


def test_each_fold_is_judged_on_its_own_unseen_sessions_only(walked):
    found, _, _ = walked
    for run in found.runs:
        fold = found.folds[run.fold]
        for frame, view in ((run.seen, fold.train), (run.unseen, fold.test)):
            assert f"{frame['date'].iloc[0]:%Y-%m-%d} to {frame['date'].iloc[-1]:%Y-%m-%d}" == view.date_text()
        assert not set(run.seen["date"]) & set(run.unseen["date"])
        assert run.trades["net_usd"].sum() == pytest.approx(run.unseen["net_usd"].sum())


def handmade() -> WalkForward:
    """Two folds of two sessions, two seeds: every net chosen by hand."""
    nets = {(0, 0): [100, -20], (0, 1): [40, 60], (1, 0): [10, 30], (1, 1): [-50, -10]}
    tape = regime(8, spec=PLAIN, first_session="2025-03-03")
    folds = tuple(walk_forward(load_market_data(tape.frame, tape.spec), **SIZES))
    runs_made = []
    for (fold, seed), values in nets.items():
        dates = pd.to_datetime(["2025-03-07", "2025-03-10"] if fold == 0 else ["2025-03-11", "2025-03-12"])
        unseen = pd.DataFrame({"market": "PLAIN", "date": dates, "net_usd": values, "ambiguous_bars": 0})
        seen = unseen.assign(net_usd=200)
        runs_made.append(FoldRun(fold, seed, seen, unseen, pd.DataFrame({"net_usd": [50.0, -1.0]})))
    return WalkForward(folds, tuple(runs_made), 1, 1_000.0)


def test_the_equity_is_chained_by_seed_and_on_average():
    equity = handmade().equity()
    assert equity["seed 0"].tolist() == [1100, 1080, 1090, 1120]
    assert equity["seed 1"].tolist() == [1040, 1100, 1050, 1040]
    assert equity["mean"].tolist() == [1070, 1090, 1070, 1080]
    assert repr(handmade()) == "WalkForward(2 folds x 2 seeds, net +$80 a seed)"


def test_figures_of_seeds_folds_and_their_mean():
    found = handmade()
    mean = found.mean()  # 70, 20, -20, 10
    assert (mean.sessions, mean.trades, mean.win_rate) == (4, 4, 0.5)
    assert mean.net_per_session_usd == 20
    assert mean.standard_error_usd == pytest.approx(np.std([70, 20, -20, 10], ddof=1) / 2)
    assert mean.net_usd == 80
    assert mean.max_drawdown_usd == 20
    one = found.of_seed(1)
    assert (one.net_per_session_usd, one.trades, one.max_drawdown_usd) == (10, 4, 60)
    assert (found.seen_usd, found.to_dict()["decay_usd"]) == (200, 180)
    assert found.seed_spread_usd == pytest.approx(np.std([30, 10], ddof=1))
    first, second = found.by_fold()
    assert (first.seen_usd, first.unseen_usd, first.decay_usd) == (200, 45, 155)
    assert (second.unseen_usd, second.decay_usd) == (-5, 205)
    assert second.spread_usd == pytest.approx(np.std([20, -30], ddof=1))


def with_nets(*values: float, tried: int = 1, ambiguous: int = 0, trades: int = 2) -> WalkForward:
    """One fold and one seed with these nets."""
    found = handmade()
    dates = pd.bdate_range("2025-03-07", periods=len(values))
    frame = pd.DataFrame({"market": "PLAIN", "date": dates, "net_usd": values, "ambiguous_bars": ambiguous})
    made = pd.DataFrame({"net_usd": np.ones(trades)})
    return WalkForward(found.folds[:1], (FoldRun(0, 0, frame, frame, made),), tried, 1_000.0)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (with_nets(5.0), "One session out of sample proves nothing"),
        (with_nets(0.0, 0.0, trades=0), "never traded out of sample"),
        (with_nets(-90.0, -100.0, -110.0), r"LOSE out of sample: -100 dollars a session.* \(t = -17.3\)\.$"),
        (with_nets(-90.0, 60.0), "LOSE out of sample.*; chance alone could lose as much"),
        (with_nets(90.0, -60.0), "CANNOT BE TOLD FROM ZERO"),
        (with_nets(90.0, 100.0, 110.0), "earn out of sample: .100 dollars a session, mean of 1 seed, standard error 6"),
        (with_nets(10.0, 40.0, 20.0, 50.0, tried=10_000), "CANNOT BE TOLD FROM LUCK.*best of 10000 settings"),
        (with_nets(90.0, 100.0, 110.0, ambiguous=1), "undecidable on bars of this length: 150.0% of the trades"),
    ],
)
def test_the_verdict_is_plain(found, says):
    assert re.search(says, found.verdict), found.verdict


def test_a_curriculum_is_judged_under_its_last_values(env):
    """With commission raised a hundredfold at the end, what is judged pays it, whatever was trained under."""
    folds = list(walk_forward(env.default_params.market, **SIZES))[:1]
    plain, dear = (
        run_walk_forward(Recorder([]), env, folds, seeds=1, schedule=schedule).runs[0].trades
        for schedule in (None, linear(commission_per_side=(0.0, 250.0)))
    )
    assert len(plain) > 0
    assert (plain["commission_usd"] == 5).all()
    assert (dear["commission_usd"] == 500).all()


def test_numbers_that_cannot_be_are_refused(env):
    folds = list(walk_forward(env.default_params.market, **SIZES))
    with pytest.raises(ValueError, match="needs a fold, a seed and a configuration at least; got 0 folds"):
        run_walk_forward(Recorder([]), env, [])
    with pytest.raises(ValueError, match="got 2 folds, 0 seeds"):
        run_walk_forward(Recorder([]), env, folds, seeds=0)


# -- as a command --


@pytest.fixture(scope="module")
def contracts(tmp_path_factory) -> list[str]:
    """Two contracts of NQ: 2025-03-03 to 03-10 and 03-07 to 03-18, both with the same volume in common sessions."""
    folder = tmp_path_factory.mktemp("contracts")
    spec = dataclasses.replace(CONTRACTS["NQ"], calendar=None)
    paths = []
    for name, sessions, first, seed in (("h25", 6, "2025-03-03", 0), ("m25", 8, "2025-03-07", 1)):
        regime(sessions, spec=spec, first_session=first, seed=seed).frame.to_parquet(folder / f"{name}.parquet")
        paths.append(str(folder / f"{name}.parquet"))
    return paths


@pytest.fixture(scope="module")
def walk_dir(contracts, tmp_path_factory) -> pathlib.Path:
    """The folder of a walk-forward. Baselines and odds of accounts do not ask which policy stands beside them."""
    run_dir = tmp_path_factory.mktemp("runs") / "wf"
    where = ["--data", *contracts, "--market", "NQ", "NQ", "--roll", "2025-03-10", "--run-dir", str(run_dir)]
    sizes = ["--train-sessions", "4", "--test-sessions", "3", "--seeds", "2"]
    with policy_alone():
        cli.main(["walk-forward", *where, *sizes, "--set", "min_bars_left=0", "trailing_dd_limit=inf", *TINY])
    return run_dir


def test_the_command_writes_figures_sessions_and_a_picture(walk_dir):
    made = json.loads((walk_dir / "walk_forward.json").read_text())
    assert [fold["test"] for fold in made["folds"]] == ["2025-03-10 to 2025-03-12", "2025-03-13 to 2025-03-17"]
    assert [fold["train"] for fold in made["folds"]] == ["2025-03-03 to 2025-03-06", "2025-03-06 to 2025-03-11"]
    assert made["equity_usd"]["market"] == ["NQ-2"] * 6
    assert set(made["equity_usd"]) == {"date", "market", "seed 0", "seed 1", "mean"}
    assert made["settings"]["roll"] == ["2025-03-10"]
    assert made["settings"]["changes"] == {"min_bars_left": 0, "trailing_dd_limit": "inf"}
    assert made["walk_forward"]["embargo_sessions"] == 1
    assert made["trainer"]["total_timesteps"] == 1024
    assert made["configurations_tried"] == 1
    sessions = pd.read_csv(walk_dir / "sessions.csv")
    assert sessions.groupby(["fold", "seed", "sample"]).size().tolist() == [4, 3] * 4
    unseen = sessions[sessions["sample"] == "out"]
    assert unseen["net_usd"].sum() / 2 == pytest.approx(made["mean"]["net_usd"], abs=0.01)
    assert made["equity_usd"]["mean"][-1] == pytest.approx(50_000 + made["mean"]["net_usd"], abs=0.01)
    assert (walk_dir / "walk_forward.png").stat().st_size > 10_000
    page = (walk_dir / "walk_forward.txt").read_text()
    assert "NQ-1, NQ-2, phase 1, 2 folds x 2 seeds, PPO with 1,024 steps a run" in page
    assert made["verdict"] in page


def test_the_command_writes_the_whole_report_of_its_first_seed(walk_dir):
    """The folds' policies one after another: the same dollars as the runs of seed 0 made."""
    made = json.loads((walk_dir / "walk_forward.json").read_text())
    judged = json.loads((walk_dir / "evaluation.json").read_text())["out_of_sample"]
    row = judged["rows"][POLICY]
    assert (row["sessions"], row["net_usd"]) == (6, pytest.approx(made["seeds"]["0"]["net_usd"], abs=0.005))
    trades = pd.read_csv(walk_dir / "trades.csv")
    assert len(trades[trades["seed"] == 0]) == row["trades"]
    page = (walk_dir / "report" / "report.html").read_text()
    assert "Walk-forward, 2 folds: each session is traded by the policy of seed 0" in page
    assert judged["verdict"].split(":")[0] in page


@pytest.mark.slow
def test_side_by_side_is_what_one_after_another_is(env):
    """Two runs of a fold each in one vmapped program; equal to single ones but for rounding."""
    config = dataclasses.replace(CONFIG, total_timesteps=16 * 64)
    folds = list(walk_forward(env.default_params.market, **SIZES))
    params = [env.default_params.replace(market=fold.train) for fold in folds]
    alone = list(ppo_fold_learner(config, None, None)(env, params, [0, 1]))
    beside = list(ppo_fold_learner(config, None, 1.0)(env, params, [0, 1]))
    for one, other in zip(alone, beside, strict=True):
        for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(other.params), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)


def refusal(capsys, *args: str) -> str:
    """What a wrong command line prints: one line on stderr, and status 2."""
    with pytest.raises(SystemExit) as ended:
        cli.main(["walk-forward", *args])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.err.count("\n") == 1
    assert said.err.startswith("trading-gymnax: ")
    return said.err


def test_wrong_input_is_one_sentence(contracts, walk_dir, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "BUILT_IN_SESSIONS", 6)
    where = ["--data", contracts[0], "--market", "NQ", "--run-dir", str(tmp_path / "run")]
    small = [*where, "--train-sessions", "2", "--test-sessions", "2"]
    assert "30 + 1 + 10 = 41 usable sessions and the view has 6" in refusal(capsys, *where)
    assert "test_sessions is a number of sessions, 1 or more; got 0" in refusal(capsys, *where, "--test-sessions", "0")
    assert "the test views would overlap" in refusal(capsys, *small, "--step", "1")
    assert "embargo_sessions is a number of sessions, 0 or more" in refusal(capsys, *small, "--embargo-sessions", "-1")
    assert "--seeds 0: a fold needs one run or more" in refusal(capsys, *small, "--seeds", "0")
    assert "--memory-limit-gb 0: give more than 0" in refusal(capsys, *small, "--memory-limit-gb", "0")
    assert "did you mean 'NQ'?" in refusal(capsys, "--data", contracts[0], "--market", "NQQ")
    assert "less than one iteration" in refusal(capsys, *small, "--total-timesteps", "5")
    assert "give 1 or more" in refusal(capsys, *small, "--configurations-tried", "0")
    assert "did you mean 'sl_atr_mult'?" in refusal(capsys, *small, "--set", "sl_atr_mul=2")
    both = ["--curriculum", "original-plan", "--set", "sl_atr_mult=2"]
    assert "--set sl_atr_mult: the curriculum original-plan has values of its own" in refusal(capsys, *small, *both)
    assert "--roll needs two or more files of one market" in refusal(capsys, *small, "--roll", "volume")
    both = ["--data", *contracts, "--market", "NQ", "NQ"]
    assert "--market names NQ for 2 files: say when the next contract is traded" in refusal(capsys, *both)
    assert "roll is 'volume' or a date" in refusal(capsys, *both, "--roll", "soon")
    there = ["--data", contracts[0], "--market", "NQ", "--run-dir", str(walk_dir), *small[6:]]
    assert "was begun with other settings; choose another --run-dir" in refusal(capsys, *there)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    assert "is not empty: choose another --run-dir" in refusal(capsys, *small, "--run-dir", str(tmp_path / "mine"))
    assert not (tmp_path / "run").exists()
