"""A schedule says what it does: its values in the metrics of every iteration, also of a run that was killed."""

import dataclasses
import pathlib
import signal
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo import FitOptions, fit, make_train
from tests.ppo.killed_run import assert_same_end, finish, kill_and_resume, start
from tests.ppo.test_fit import CONFIG, ENV, PARAMS, assert_same, forget_after, rows

OPTIONS = FitOptions(eval_every=0, checkpoint_every=2, keep_checkpoints=10, chunk_iterations=3, quiet=True)


@dataclasses.dataclass(frozen=True)
class Ramp:
    """Rewards times `first` to `first + slope`, and NaN from the progress `poison` on."""

    first: float = 1.0
    slope: float = 2.0
    poison: float = 2.0

    def __call__(self, progress: Any, params: Any) -> Any:
        return params.replace(reward=params.reward * self.values(progress)["reward_factor"])

    def values(self, progress: Any) -> dict[str, Any]:
        factor = self.first + self.slope * progress
        limit = jnp.where(progress < 0.5, jnp.inf, 9.0)  # switched off in the first half
        factor = jnp.where(progress >= self.poison, jnp.nan, factor)
        return {"reward_factor": factor, "root": jnp.sqrt(progress), "limit": limit}


def setup() -> Any:
    """For `killed_run`."""
    return ENV, PARAMS, CONFIG, Ramp()


def assert_formula(metrics: list[dict[str, str]]) -> None:
    """Every iteration once, with the values of `Ramp()` at its progress."""
    assert [int(row["iteration"]) for row in metrics] == list(range(1, 11))
    progress = np.arange(10) / 10
    limits = np.where(progress < 0.5, np.inf, 9.0)
    for name, want in (("reward_factor", 1 + 2 * progress), ("root", np.sqrt(progress)), ("limit", limits)):
        got = [float(row[f"schedule/{name}"]) for row in metrics]
        np.testing.assert_allclose(got, want, rtol=3e-7)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The run in one go."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return fit(ENV, PARAMS, CONFIG, run_dir=folder, options=OPTIONS, params_schedule=Ramp())


def test_every_iteration_logs_the_formula_also_across_a_stop(finished):
    assert_formula(rows(finished.run_dir / "metrics.csv"))
    whole = (finished.run_dir / "metrics.csv").read_text()
    forget_after(finished.run_dir, 4)
    again = fit(ENV, PARAMS, CONFIG, run_dir=finished.run_dir, options=OPTIONS, params_schedule=Ramp())
    assert_same(again.state, finished.state)
    assert (finished.run_dir / "metrics.csv").read_text() == whole


def test_make_train_logs_in_the_compiled_loop_what_acts_there():
    config = dataclasses.replace(CONFIG, total_timesteps=4 * CONFIG.batch_size)
    params = PARAMS.replace(reward=jnp.ones_like(PARAMS.reward))  # the reward is the factor
    metrics = jax.jit(make_train(ENV, config, Ramp(first=0.5, slope=8.0)))(jax.random.key(0), params).metrics
    np.testing.assert_allclose(metrics["schedule/reward_factor"], [0.5, 2.5, 4.5, 6.5], rtol=1e-6)
    np.testing.assert_allclose(metrics["reward"], metrics["schedule/reward_factor"], rtol=1e-6)
    assert metrics["schedule/root"].dtype == jnp.float32


def test_a_value_that_is_none_stops_the_run_and_is_named(tmp_path):
    sentence = r"schedule/reward_factor is nan in iteration 6: the last good checkpoint in .* stays"
    with pytest.raises(FloatingPointError, match=sentence):
        fit(ENV, PARAMS, CONFIG, run_dir=tmp_path / "run", options=OPTIONS, params_schedule=Ramp(poison=0.45))
    assert sorted(int(step.name) for step in (tmp_path / "run" / "checkpoints").iterdir()) == [2, 4]


def test_only_scalars_can_be_logged():
    class Wide(Ramp):
        def values(self, progress: Any) -> dict[str, Any]:
            return {"reward_factor": 1.0, "odd": jnp.full(3, progress)}

    train = make_train(ENV, CONFIG, lambda progress, params: params)
    assert not [name for name in jax.eval_shape(train, jax.random.key(0), PARAMS).metrics if "schedule" in name]
    with pytest.raises(ValueError, match=r"values\(\) gives 'odd' the shape \(3,\): only scalars"):
        jax.eval_shape(make_train(ENV, CONFIG, Wide()), jax.random.key(0), PARAMS)


@pytest.mark.slow
def test_a_killed_process_logs_every_iteration_once(tmp_path: pathlib.Path):
    finish(start(tmp_path / "whole", __name__), 0)
    kill_and_resume(tmp_path / "broken", __name__, signal.SIGKILL)
    assert_same_end(tmp_path / "whole", tmp_path / "broken")
    assert_formula(rows(tmp_path / "broken" / "metrics.csv"))
