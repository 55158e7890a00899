"""The worked example of Ray Tune: its trial without Ray, and all of it where Ray is installed."""

import dataclasses
import pathlib
import subprocess
import sys
import types

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.ray_tune import Options, search, train_trial
from purejaxrl_ppo import PPOConfig, make_train

SCRIPT = pathlib.Path(__file__).parents[2] / "benchmarks" / "ray_tune.py"
CONFIG = PPOConfig(num_envs=4, num_steps=32, total_timesteps=4 * 32 * 4, hidden_sizes=(8,))


@pytest.mark.slow
def test_a_trial_reports_what_make_train_does(monkeypatch):
    reports: list[dict[str, float]] = []
    module = types.SimpleNamespace(tune=types.SimpleNamespace(report=reports.append))
    monkeypatch.setitem(sys.modules, "ray", module)
    drawn = {"learning_rate": 2e-3, "gamma": 0.95}
    train_trial(drawn, CONFIG, seeds=3, reports=2)
    env, params = gymnax.make("CartPole-v1")
    hyper = dataclasses.replace(CONFIG, **drawn).hyperparameters
    keys = jax.random.split(jax.random.key(0), 3)
    train = jax.jit(jax.vmap(make_train(env, CONFIG), (0, None, None)))
    returns = np.asarray(train(keys, params, hyper).metrics["episode_return"])
    assert [report["steps"] for report in reports] == [256, 512]
    assert [report["score"] for report in reports] == pytest.approx(returns.mean(axis=0)[[1, 3]].tolist(), abs=1e-4)
    assert reports[-1]["score_std"] == pytest.approx(float(jnp.std(returns[:, 3])), abs=1e-4)


def test_without_ray_and_with_odd_reports_there_is_a_sentence(monkeypatch):
    with pytest.raises(ValueError, match="40 iterations cannot be split into 7 equal reports"):
        search(Options(reports=7))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'this needs Ray Tune, which is not installed: pip install "trading-gymnax'):
        search(Options())


@pytest.mark.slow
def test_ray_tune_runs_a_few_trials(tmp_path):
    pytest.importorskip("ray", reason="Ray is not installed here: pip install 'trading-gymnax[ray]'")
    sizes = ["--trials", "4", "--seeds", "2", "--total-timesteps", "8192", "--reports", "4"]
    command = [sys.executable, str(SCRIPT), *sizes, "--storage", str(tmp_path / "ray")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("learning_rate"))
    steps = [int(line.split()[3].replace(",", "")) for line in lines[start + 1 : start + 5]]
    assert set(steps) <= {2048, 4096, 6144, 8192}
    assert 8192 in steps
    assert lines[start + 5].startswith("to train the best one: purejaxrl-ppo train CartPole-v1 --learning-rate 0.0")
