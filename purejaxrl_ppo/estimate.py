"""What a training holds in memory, known before anything is allocated."""

from typing import Any

import jax

from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.memory import training_bytes
from purejaxrl_ppo.rollout import keeps_states
from purejaxrl_ppo.train import ParamsSchedule, make_trainer
from purejaxrl_ppo.wrappers import prepare


def training_memory(
    env: Any,
    config: PPOConfig,
    env_params: Any,
    params_schedule: ParamsSchedule | None = None,
    eval_episodes: int = 0,
) -> dict[str, int]:
    """Bytes that a training by `make_train(env, config)` holds at least, by the setting that they grow with.

    The part of the rollout is called "num_envs x num_steps". Bars and other parameters of the environment, temporary
    arrays and programs come on top. `eval_episodes`: of an evaluation that plays so many side by side.
    """
    state = jax.eval_shape(make_trainer(env, config, params_schedule).init, jax.random.key(0), env_params)
    prepared, spec = prepare(env, env_params)
    return training_bytes(config, spec, state, keeps_states(prepared, config), eval_episodes)
