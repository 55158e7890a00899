"""What users hand over in the wrong place: one sentence, before anything is written."""

import dataclasses

import gymnasium
import gymnax
import jax
import pytest

from purejaxrl_ppo import FitOptions, PPOConfig, fit, load_policy, make_train, sweep

CONFIG = PPOConfig(num_envs=4, num_steps=8, total_timesteps=64, hidden_sizes=(8,), num_minibatches=1)
ENV, PARAMS = gymnax.make("CartPole-v1")
OTHER = gymnax.make("Acrobot-v1")[1]
RANGE = {"gamma": (0.9, 0.99)}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"env": "CartPole-v1"}, "env must be a gymnax environment, as in env, env_params = gymnax.make"),
        ({"env": (ENV, PARAMS)}, "env must be a gymnax environment"),
        ({"env": type(ENV)}, "env must be a gymnax environment"),
        ({"env": gymnasium.make("CartPole-v1")}, "env must be a gymnax environment"),
        ({"env_params": OTHER}, "in env_params: use those of this environment"),
        ({"config": {"num_envs": 4}}, "config must be a PPOConfig, PPOConfig(num_envs=64) say; got {'num_envs': 4}"),
        ({"config": None}, "config must be a PPOConfig"),
        ({"options": {"quiet": True}}, "options must be FitOptions, or None"),
        ({"params_schedule": "linear"}, "params_schedule must be a function of progress and env_params, or None"),
        ({"hyperparameters": {"gamma": 0.9}}, "hyperparameters must be Hyperparameters, or None"),
        ({"hyperparameters": CONFIG}, "hyperparameters must be Hyperparameters, or None"),
        ({"warm_start": "runs/x"}, "warm_start must be a Policy, as load_policy(folder) returns, or None"),
        ({"run_dir": None}, "run_dir must be the path of a folder, 'runs/nq' say; got None"),
        ({"run_dir": 5}, "run_dir must be the path of a folder"),
        ({"run_dir": " "}, "run_dir must be the path of a folder"),
        ({"run_dir": "a\0b"}, "run_dir must be the path of a folder"),
    ],
)
def test_fit_says_what_it_expects(changed, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = {"env": ENV, "env_params": PARAMS, "config": CONFIG, "run_dir": tmp_path / "run"} | changed
    with pytest.raises(ValueError, match=r".") as refused:
        fit(given.pop("env"), given.pop("env_params"), given.pop("config"), **given)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_the_other_functions_say_what_they_expect():
    with pytest.raises(ValueError, match="config must be a PPOConfig"):
        make_train(ENV, {"num_envs": 4})
    with pytest.raises(ValueError, match="run_dir must be the path of a folder"):
        load_policy(None)
    with pytest.raises(ValueError, match="ranges are a dict by name"):
        sweep(ENV, PARAMS, CONFIG, ["gamma"])
    with pytest.raises(ValueError, match="rungs are fractions of the budget in a tuple"):
        sweep(ENV, PARAMS, CONFIG, RANGE, rungs=0.5)
    with pytest.raises(ValueError, match="env must be a gymnax environment"):
        sweep("CartPole-v1", PARAMS, CONFIG, RANGE)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(FitOptions)])
def test_numbers_that_int32_cannot_count_are_refused(field):
    if type(getattr(FitOptions(), field)) is bool or field in ("compilation_cache", "track"):
        return
    with pytest.raises(ValueError, match=f"{field}={2**31} must be below 2,147,483,648"):
        FitOptions(**{field: 2**31})


def test_a_batch_of_environments_in_the_parameters_is_not_taken_for_another_environment():
    """An attribute that something else lacks keeps its own error."""

    class Broken(type(ENV)):
        def reset_env(self, key, params):
            return jax.numpy.zeros(4), params.gravity.nothing

    with pytest.raises(AttributeError, match="nothing"):
        make_train(Broken(), CONFIG)(jax.random.key(0), PARAMS)
