"""What takes minutes: killed processes, memory over many iterations, learning."""

import pathlib
import resource
import signal
import sys

import gymnax
import jax
import jax.numpy as jnp
import pytest

from purejaxrl_ppo import FitOptions, PPOConfig, fit, make_train
from purejaxrl_ppo.presets import PRESETS
from tests.ppo.killed_run import assert_same_end, finish, kill_and_resume, start
from tests.ppo.probes import Table, table

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_resumes_bit_for_bit(tmp_path, number):
    finish(start(tmp_path / "whole", "tests.ppo.test_fit"), 0)
    kill_and_resume(tmp_path / "broken", "tests.ppo.test_fit", number)
    assert_same_end(tmp_path / "whole", tmp_path / "broken")


def resident_bytes() -> int:
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_memory_does_not_grow_with_the_iterations(tmp_path, monkeypatch):
    config = PPOConfig(num_envs=4, num_steps=8, total_timesteps=32 * 1200, hidden_sizes=(8,), minibatch_by="rows")
    marks = []

    options = FitOptions(chunk_iterations=1, eval_every=0, quiet=True, checkpoint_every=100)
    check = sys.modules["purejaxrl_ppo.fit"].check_numbers

    def watch(rows, arrays, folder):
        marks.append(resident_bytes())
        check(rows, arrays, folder)

    monkeypatch.setattr(sys.modules["purejaxrl_ppo.fit"], "check_numbers", watch)
    fit(Table(), table(reward=1.0), config, run_dir=tmp_path / "run", options=options)
    assert len(marks) == 1200
    # the first 200 fill caches; the thousand after them may add what a few checkpoints' garbage is
    assert marks[-1] - marks[200] < 20e6


def final_returns(name: str, seeds: int) -> jax.Array:
    """Mean return of the last tenth of the preset's iterations, per seed."""
    env, params = gymnax.make(name)
    train = jax.jit(jax.vmap(make_train(env, PRESETS[name]), (0, None)))
    returns = train(jax.random.split(jax.random.key(0), seeds), params).metrics["episode_return"]
    return returns[:, -returns.shape[1] // 10 :].mean(axis=1)


@pytest.mark.parametrize(
    ("name", "reference"),
    [("CartPole-v1", 490.0), ("Acrobot-v1", -90.0), ("Catch-bsuite", 0.95), ("MemoryChain-bsuite", 0.95)],
)
def test_learning_reaches_the_published_returns(name, reference):
    returns = final_returns(name, seeds=5)
    assert float(jnp.median(returns)) > reference, returns


def test_breakout_reaches_the_measured_return():
    assert float(jnp.median(final_returns("Breakout-MinAtar", seeds=5))) > 19.0
