"""A curriculum drives the training of a trading environment: logged by its formula, exact after a kill."""

from __future__ import annotations

import csv
import dataclasses
import pathlib
import shutil
import signal
from typing import Any

import numpy as np
import pytest

from purejaxrl_ppo import FitOptions, PPOConfig, fit
from purejaxrl_ppo.checkpoint import to_arrays
from tests.ppo.killed_run import assert_same_end, finish, kill_and_resume, start
from trading_gymnax import EnvParams, TradingPhase1
from trading_gymnax.curriculum import linear, original_plan
from trading_gymnax.market import load_market_data
from trading_gymnax.synthetic import SYNTH, martingale

CONFIG = PPOConfig(num_envs=4, num_steps=8, total_timesteps=4 * 8 * 10, hidden_sizes=(8,), num_epochs=1)
OPTIONS = FitOptions(eval_every=0, checkpoint_every=2, keep_checkpoints=10, chunk_iterations=3, quiet=True)


def setup() -> Any:
    """Environment, parameters, settings and schedule, also for `killed_run`: one short episode each for evaluation."""
    market = load_market_data(martingale(3).frame, dataclasses.replace(SYNTH, calendar=None))
    env = TradingPhase1(market)
    return env, EnvParams.create(market, max_steps_in_episode=20), CONFIG, original_plan()


@pytest.fixture(scope="module")
def made() -> Any:
    return setup()


@pytest.fixture(scope="module")
def finished(made, tmp_path_factory) -> Any:
    env, params, config, schedule = made
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return fit(env, params, config, run_dir=folder, options=OPTIONS, params_schedule=schedule)


def assert_the_plan(path: pathlib.Path) -> None:
    """Ten iterations, each once, with the plan's numbers worked from its points at 0, 0.5 and 1."""
    with path.open() as file:
        metrics = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in metrics] == list(range(1, 11))
    progress = np.arange(10) / 10
    early = progress < 0.5
    formulas = {
        "trailing_dd_limit": np.where(early, 15_000 - 20_000 * progress, 5_000 - 5_000 * (progress - 0.5)),
        "sl_atr_mult": 2 - 0.5 * progress,
        "commission_per_side_factor": 0.25 + 0.75 * progress,
        "forced_entry_fraction": 0.5 - 0.5 * progress,
    }
    assert {name for name in metrics[0] if name.startswith("schedule/")} == {f"schedule/{name}" for name in formulas}
    for name, want in formulas.items():
        got = [float(row[f"schedule/{name}"]) for row in metrics]
        np.testing.assert_allclose(got, want, rtol=1e-6, err_msg=name)


@pytest.mark.slow  # the formula of a schedule across a stop: tests/ppo/test_schedule_logging.py
def test_the_plan_is_logged_also_across_a_stop(made, finished, tmp_path):
    assert_the_plan(finished.run_dir / "metrics.csv")
    shutil.copytree(finished.run_dir, tmp_path / "run")
    for step in (tmp_path / "run" / "checkpoints").iterdir():
        if int(step.name) > 4:
            shutil.rmtree(step)
    env, params, config, schedule = made
    again = fit(env, params, config, run_dir=tmp_path / "run", options=OPTIONS, params_schedule=schedule)
    want, got = to_arrays(finished.state), to_arrays(again.state)
    for name in want:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)
    assert (tmp_path / "run" / "metrics.csv").read_text() == (finished.run_dir / "metrics.csv").read_text()


@pytest.mark.slow
def test_another_plan_is_refused_on_resuming(made, finished):
    env, params, config, _ = made
    with pytest.raises(ValueError, match="Differences: params_schedule"):
        fit(env, params, config, run_dir=finished.run_dir, options=OPTIONS, params_schedule=linear(sl_atr_mult=(2, 1)))


@pytest.mark.slow
def test_the_plan_is_logged_also_across_a_kill(tmp_path):
    finish(start(tmp_path / "whole", __name__), 0)
    kill_and_resume(tmp_path / "broken", __name__, signal.SIGKILL)
    assert_same_end(tmp_path / "whole", tmp_path / "broken")
    assert_the_plan(tmp_path / "broken" / "metrics.csv")
