"""Phase 1 to Phase 2: what a warm-started trader does before its first update, and from which runs none can start."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo import Policy, PPOConfig, load_policy, policy_of
from purejaxrl_ppo.networks import ILLEGAL_LOGIT
from purejaxrl_ppo.train import make_trainer
from purejaxrl_ppo.transfer import warm_started
from tests.survival.few import few_attempts
from trading_gymnax import TradingPhase2, runs
from trading_gymnax.cli import main as cli
from trading_gymnax.data.contracts import CONTRACTS
from trading_gymnax.synthetic import regime

HOLD, BUY, SELL, NUM_OLD, NEW_PROBABILITY = 0, 1, 2, 3, 0.05
CONFIG = PPOConfig(num_envs=16, num_steps=64)
TINY = ["--total-timesteps", "4096", "--num-envs", "16", "--num-steps", "64", "--learning-rate", "3e-3"]
TINY += ["--eval-every", "0", "--quiet", "--no-tensorboard"]
FIELDS = {"min_bars_left": 0, "random_start_fraction": 1.0}
STEPS = 120


@pytest.fixture(scope="module")
def bars(tmp_path_factory) -> pathlib.Path:
    spec = dataclasses.replace(CONTRACTS["NQ"], calendar=None)
    path = tmp_path_factory.mktemp("bars") / "nq.parquet"
    regime(6, spec=spec, first_session="2025-03-03").frame.to_parquet(path)
    return path


def arguments(bars: pathlib.Path, run_dir: pathlib.Path, *more: str) -> list[str]:
    where = ["--data", str(bars), "--market", "NQ", "--train-until", "2025-03-07", "--run-dir", str(run_dir)]
    return ["train", *where, *TINY, *more]


@contextlib.contextmanager
def unjudged() -> Iterator[None]:
    """A run trains, and nobody judges it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trading_gymnax.cli.training.judge_run", lambda *args: (None, None))
        patched.setattr("trading_gymnax.cli.training.write_page", lambda *args: None)
        yield


@pytest.fixture(scope="module")
def phase1(bars, tmp_path_factory) -> pathlib.Path:
    """A finished run of four iterations."""
    run_dir = tmp_path_factory.mktemp("runs") / "phase1"
    with unjudged():
        cli.main(arguments(bars, run_dir))
    return run_dir


@pytest.fixture(scope="module")
def started(phase1):
    """The policy of that run, and the policy that a run of phase 2 starts with."""
    old = load_policy(phase1)
    env = TradingPhase2(runs.build(runs.read_settings(phase1)).train_params.market, **FIELDS)
    params = env.default_params
    fresh = jax.jit(make_trainer(env, CONFIG).init)(jax.random.key(1), params)
    state, report = warm_started(fresh, old, env, params, CONFIG)
    new = policy_of(state, env, params, CONFIG)
    return old, new, env, params, report


@pytest.fixture(scope="module")
def states(started):
    """Observations [N, 231] and masks [N, 6] of phase 2 where the new policy plays it, with positions and without."""
    _, new, env, params, _ = started

    def step(carry, key):
        obs, state = carry
        mask = jax.vmap(env.action_mask, (0, None))(state, params)
        key_act, key_step = jax.random.split(key)
        # half of the actions by chance, so that stops are moved and trailing comes on as well
        wild = jax.random.categorical(key_act, jnp.where(mask, 0.0, -jnp.inf))
        chosen = jnp.where(jnp.arange(64) % 2 == 0, new(key_act, obs, mask), wild)
        after = jax.vmap(env.step, (0, 0, 0, None))(jax.random.split(key_step, 64), state, chosen, params)
        return after[:2], (obs, mask)

    @jax.jit
    def play(key):
        start = jax.vmap(env.reset, (0, None))(jax.random.split(key, 64), params)
        return jax.lax.scan(step, start, jax.random.split(key, STEPS))[1]

    obs, mask = play(jax.random.key(2))
    return np.asarray(obs).reshape(-1, obs.shape[-1]), np.asarray(mask).reshape(-1, mask.shape[-1])


def probabilities(policy: Policy, obs: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Of each action, [N, K], normaliser and mask included."""
    logits = policy.head(jnp.asarray(obs), (), jnp.zeros(len(obs), bool))[1]
    return np.asarray(jax.nn.softmax(jnp.where(mask, logits, ILLEGAL_LOGIT), axis=-1))


def test_choices_among_hold_buy_and_sell_are_the_old_ones(started, states):
    """In every state, flat or not: the probabilities given that one of the three is chosen, to 1e-5."""
    old, new, _, _, _ = started
    obs, mask = states
    before = probabilities(old, obs[:, : old.spec.obs_size], mask[:, :NUM_OLD])
    after = probabilities(new, obs, mask)
    among_old = after[:, :NUM_OLD] / after[:, :NUM_OLD].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(among_old, before, atol=1e-5)
    flat = mask[:, BUY]
    assert 1000 < flat.sum() < len(flat)
    assert before[flat].std(axis=0).min() > 1e-3  # they differ from state to state
    assert not mask[flat, NUM_OLD:].any()
    np.testing.assert_allclose(after[flat, :NUM_OLD], before[flat], atol=1e-5)


def test_new_actions_start_at_their_probability(started, states):
    """p / (1 - 3 p) times as likely as HOLD, the only old action in a position: exactly p where all are legal."""
    _, new, _, _, report = started
    obs, mask = states
    inside = mask[:, NUM_OLD:].any(axis=1)
    assert inside.sum() > 1000
    assert not mask[inside, BUY].any()
    assert mask[inside, HOLD].all()
    after = probabilities(new, obs[inside], mask[inside])
    ratio = NEW_PROBABILITY / (1 - 3 * NEW_PROBABILITY)
    expected = mask[inside, NUM_OLD:] * ratio / (1 + ratio * mask[inside, NUM_OLD:].sum(axis=1, keepdims=True))
    np.testing.assert_allclose(after[:, NUM_OLD:], expected, atol=1e-5)
    assert np.unique(mask[inside, NUM_OLD:], axis=0).shape[0] >= 2
    every = np.broadcast_to([True, False, False, True, True, True], mask[inside].shape)
    np.testing.assert_allclose(probabilities(new, obs[inside], every)[:, NUM_OLD:], NEW_PROBABILITY, atol=1e-5)
    what = "3 new actions at probability 0.05 each exactly where action 0 is the only other one"
    assert any(what in line for line in report)
    assert any("6 new inputs at zero weight" in line for line in report)


def test_values_are_the_old_ones(started, states):
    old, new, _, _, _ = started
    obs, _ = states
    before, after = (policy.value(jnp.asarray(x)) for policy, x in ((old, obs[:, : old.spec.obs_size]), (new, obs)))
    np.testing.assert_allclose(after, before, atol=1e-4)


# -- as a command --


@pytest.mark.slow  # what is transferred is looked at above; that `fit` starts from a policy, in tests/ppo/test_fit.py
def test_train_phase_2_says_what_was_transferred(bars, phase1, tmp_path, capsys):
    run_dir = tmp_path / "phase2"
    asked = ["--phase", "2", "--entry-sizes", "1", "3"]
    loud = [word for word in arguments(bars, run_dir, *asked, "--warm-start", str(phase1)) if word != "--quiet"]
    with unjudged():
        cli.main(loud)
    said = capsys.readouterr()
    page = said.out + said.err
    assert "warm start:" in page
    assert "7 new inputs at zero weight" in page  # of the stop's management, and the size
    assert "2 new actions as variants of old ones" in page
    assert "3 new actions at probability 0.05 each exactly where action 0 is the only other one" in page
    kept = json.loads((run_dir / "trading.json").read_text())
    assert (kept["warm_start"], kept["entry_sizes"]) == (str(phase1.resolve()), [1, 3])
    assert load_policy(run_dir).spec.action.num_actions == 8
    assert runs.build(runs.read_settings(run_dir)).env.action_names[6:] == ("BUY_3X", "SELL_3X")
    with unjudged():
        cli.main(arguments(bars, run_dir, *asked))  # going on does not need the policy again


@pytest.mark.slow
def test_a_warm_started_run_is_judged(bars, phase1, tmp_path, capsys):
    """As any run is (`test_train_prints_both_tables_and_writes_its_files`), with a column for each new action."""
    with few_attempts():
        sizes = ["--entry-sizes", "1", "2"]
        cli.main(arguments(bars, tmp_path / "phase2", "--phase", "2", *sizes, "--warm-start", str(phase1)))
    page = capsys.readouterr().out
    assert "DISABLE %" in page
    assert "SELL_2X %" in page
    assert "OUT OF SAMPLE" in page


def refusal(capsys, *args: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(args))
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.err.count("\n") == 1
    assert said.err.startswith("trading-gymnax: ")
    return said.err


def changed(phase1: pathlib.Path, folder: pathlib.Path, **settings) -> str:
    """A copy of the run whose settings say something else."""
    shutil.copytree(phase1, folder)
    values = json.loads((folder / "trading.json").read_text())
    (folder / "trading.json").write_text(json.dumps({**values, **settings}))
    return str(folder)


def test_a_run_that_does_not_fit_is_one_sentence(bars, phase1, tmp_path, capsys):
    new = tmp_path / "new"

    def said(start: str, *more: str) -> str:
        return refusal(capsys, *arguments(bars, new, "--warm-start", start, *more))

    missing = tmp_path / "missing"
    assert f"{missing} holds no run of trading-gymnax" in said(str(missing), "--phase", "2")
    assert "was trained with window=20: use it here, too, not 10" in said(str(phase1), "--window", "10")
    columns = ["--feature-columns", "rsi"]
    assert "was trained on other features: the default ones there, ('rsi',) now" in said(str(phase1), *columns)
    account = changed(phase1, tmp_path / "account", account_features=True)
    assert "was trained with account_features=True: use it here, too, not False" in said(account)
    assert "sees the account behind the position" in said(account, "--phase", "2", "--account-features")
    second = changed(phase1, tmp_path / "second", phase=2)
    assert "is of phase 2, whose actions phase 1 lacks" in said(second)
    sized = changed(phase1, tmp_path / "sized", entry_sizes=[1, 2])
    assert "chooses from 1 2 times position_size in phase 1, and its actions mean no other sizes" in said(sized)
    assert "sees its size where the account would stand" in said(sized, "--entry-sizes", "1", "2", "--account-features")
    assert "--entry-sizes: two or more whole multiples" in said(str(phase1), "--entry-sizes", "2", "1")
    assert "has hidden_sizes=(64, 64): use it here, too, not (32,)" in said(str(phase1), "--hidden-sizes", "32")
    untrained = tmp_path / "untrained"
    untrained.mkdir()
    shutil.copy(phase1 / "trading.json", untrained)
    assert f"{untrained} holds no run: there is no run.json in it" in said(str(untrained), "--phase", "2")
    assert not new.exists()
