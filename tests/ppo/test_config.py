"""Settings are checked when they are written."""

import dataclasses

import pytest

from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.presets import PRESETS, preset


def test_every_setting_is_explained():
    import inspect

    source = inspect.getsource(PPOConfig)
    for field in dataclasses.fields(PPOConfig):
        after = source.split(f"    {field.name}:", 1)[1].split("\n", 1)[1]
        assert after.lstrip().startswith('"""'), field.name


def test_the_budget_is_rounded_down_and_announced():
    config = PPOConfig(total_timesteps=1000, num_envs=3, num_steps=100, num_minibatches=1)
    assert (config.batch_size, config.num_iterations) == (300, 3)
    assert config.budget_note == "3 iterations of 3 x 100 = 900 steps (1,000 rounded down)"
    with pytest.raises(ValueError, match="use 900 or 1200"):
        dataclasses.replace(config, exact_budget=True)
    assert dataclasses.replace(config, exact_budget=True, total_timesteps=900).num_iterations == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"total_timesteps": 100}, "less than one iteration"),
        ({"gamma": 1.5}, "gamma=1.5 must lie between 0 and 1"),
        ({"num_envs": 0}, "num_envs=0 must be greater than 0"),
        ({"learning_rate": float("nan")}, "must be greater than 0"),
        ({"ent_coef": -1.0}, "must not be negative"),
        ({"num_minibatches": 3, "minibatch_by": "time"}, "num_steps = 128 cannot be split"),
        ({"num_minibatches": 3, "minibatch_by": "envs"}, "num_envs = 1024 cannot be split"),
        ({"recurrent": True, "minibatch_by": "rows"}, "cannot serve a recurrent network"),
        ({"activation": "tahn"}, "did you mean 'tanh'"),
        ({"hidden_sizes": ()}, "at least one layer"),
        ({"target_kl": 0.0}, "target_kl=0.0"),
        ({"microbatch_rows": 0}, "microbatch_rows=0"),
        ({"num_envs": 2.5}, "num_envs=2.5 must be a whole number"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PPOConfig(**settings)


def test_what_is_shuffled():
    assert PPOConfig().minibatch_mode == "time"
    assert PPOConfig(num_envs=4).minibatch_mode == "rows"
    assert PPOConfig(num_steps=16).minibatch_mode == "rows"  # 4 time steps in a minibatch are too few
    assert PPOConfig(recurrent=True).minibatch_mode == "envs"


def test_settings_as_json_and_back():
    config = PPOConfig(hidden_sizes=(3, 2), target_kl=0.1, log_info=("trade_pnl",))
    assert PPOConfig.from_dict(config.to_dict()) == config
    assert hash(PPOConfig.from_dict(config.to_dict())) == hash(config)
    with pytest.raises(ValueError, match="did you mean 'num_envs'"):
        PPOConfig.from_dict({"num_env": 3})


def test_presets_are_found_by_id():
    assert preset("CartPole-v1") is PRESETS["CartPole-v1"]
    assert preset("some.module:CartPole-v1") is PRESETS["CartPole-v1"]
    assert preset("else") == PPOConfig()
