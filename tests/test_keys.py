"""No key that training drew with is drawn with again by what is given the same seed: the seed's own key, or a split."""

import importlib

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo import PPOConfig
from purejaxrl_ppo.sweep.run import sweep
from tests.data.tables import PLAIN
from trading_gymnax import TradingPhase1, load_market_data
from trading_gymnax.accounts import evaluation_account, plans
from trading_gymnax.evaluation import walk as walking
from trading_gymnax.evaluation.baselines import RandomLegal
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.keys import stream
from trading_gymnax.report.judge import judge
from trading_gymnax.skill.sweep import run_sweep
from trading_gymnax.survival.odds import survival
from trading_gymnax.survival.value import lifetime_value
from trading_gymnax.synthetic import regime
from trading_gymnax.walkforward.folds import walk_forward
from trading_gymnax.walkforward.run import SEEDS_APART, run_walk_forward

SEED, PARTS = 3, 64
KEY = jax.random.key(SEED)


class Drawn(Exception):
    """Stops a program where it has drawn its keys."""


@pytest.fixture(scope="module")
def env() -> TradingPhase1:
    """Eight sessions: two folds of 3 + 1 + 2."""
    tape = regime(8, spec=PLAIN, first_session="2025-03-03")
    return TradingPhase1(load_market_data(tape.frame, tape.spec), min_bars_left=0)


def words(keys) -> set[bytes]:
    return {row.tobytes() for row in np.asarray(jax.random.key_data(keys)).reshape(-1, 2)}


def of_training(seed: int) -> set[bytes]:
    """A seed's key, the first of its parts, and theirs: what a trainer can have drawn with."""
    key = jax.random.key(seed)
    parts = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(PARTS))
    return words(key) | words(parts) | words(jax.vmap(lambda part: jax.random.split(part, PARTS))(parts))


@pytest.fixture
def walked(monkeypatch) -> list[bytes]:
    """The key of every chunk of steps that a walk plays."""
    seen, play = [], walking._play

    def noted(*args):
        seen.extend(words(args[-1]))
        return play(*args)

    monkeypatch.setattr(walking, "_play", noted)
    return seen


def test_a_split_is_a_fold():
    """Why it matters: were it not so, a walk could fold the number of a chunk into any key."""
    parts = jax.vmap(lambda i: jax.random.fold_in(KEY, i))(jnp.arange(PARTS))
    assert words(jax.random.split(KEY, PARTS)) == words(parts)
    assert words(stream(KEY, "walk")) != words(stream(KEY, "judge"))


def test_a_walk_draws_anew(env, walked):
    evaluate_policy(RandomLegal(), env, env.default_params, key=KEY)
    assert walked
    assert not of_training(SEED) & set(walked)


def test_folds_and_settings_draw_anew(env, walked):
    """In sample and out of sample, too: each of the four walks of two folds, and of a setting's two, has keys alone."""
    used = []

    def learn(env, params, seeds):
        used.extend(seeds)
        return [RandomLegal() for _ in seeds]

    folds = list(walk_forward(env.default_params.market, train_sessions=3, test_sessions=2, embargo_sessions=1))
    run_walk_forward(learn, env, folds, seeds=2)
    assert used == [SEEDS_APART * seed + fold.number for fold in folds for seed in (0, 1)]
    run_sweep(learn, env, [{}], first_held_out="2025-03-10")
    assert len(set(walked)) == len(walked)
    assert not set().union(*map(of_training, used)) & set(walked)


@pytest.mark.parametrize("given", ["the seed's key", "a part of it"])
def test_what_splits_a_key_draws_anew(env, monkeypatch, given):
    key = KEY if given == "the seed's key" else jax.random.split(KEY, 3)[1]
    seen: list[bytes] = []

    def noted(policy, env, params, *args, key=None, **options):
        seen.extend(words(key if key is not None else args[0]))
        raise Drawn

    for module, name in (
        ("trading_gymnax.report.judge", "evaluate_policy"),
        ("trading_gymnax.survival.odds", "record_both"),
        ("trading_gymnax.survival.value_lives", "record_both"),
    ):
        monkeypatch.setattr(importlib.import_module(module), name, noted)
    with pytest.raises(Drawn):
        judge(RandomLegal(), env, env.default_params, key=key, label="out of sample")
    with pytest.raises(Drawn):
        survival(RandomLegal(), env.default_params.market, evaluation_account(50_000), key=key, env=env)
    with pytest.raises(Drawn):
        lifetime_value(RandomLegal(), env.default_params.market, list(plans().values())[:1], key=key, env=env)
    assert len(seen) == len(set(seen)) == 1 + 2 + 2
    assert not of_training(SEED) & set(seen)


def test_a_search_draws_anew(monkeypatch):
    module, seen = importlib.import_module("purejaxrl_ppo.sweep.run"), []
    draw = module.draw

    def drawn(ranges, configurations, key):
        seen.extend(words(key))
        return draw(ranges, configurations, key)

    def started(*args):
        seen.extend(words(args[-1]))
        raise Drawn

    monkeypatch.setattr(module, "draw", drawn)
    monkeypatch.setattr(module, "_Runs", started)
    env, params = gymnax.make("CartPole-v1")
    config = PPOConfig(total_timesteps=256, num_envs=4, num_steps=8, num_minibatches=2, seed=SEED)
    with pytest.raises(Drawn):
        sweep(env, params, config, {"learning_rate": (1e-4, 1e-3)}, configurations=2, seeds=1)
    assert len(set(seen)) == 2
    assert not of_training(SEED) & set(seen)
