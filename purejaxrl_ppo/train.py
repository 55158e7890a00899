"""PPO as a pure function: `make_train`, and the init and update step that it and `fit` are built from."""

import dataclasses
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from purejaxrl_ppo.config import PPOConfig, check_config
from purejaxrl_ppo.devices import plan_for
from purejaxrl_ppo.episodes import Ended, EpisodeSums, follow
from purejaxrl_ppo.hyperparameters import Hyperparameters
from purejaxrl_ppo.learn import Batch, Learner, Metrics, Rates, choice_rows, learn
from purejaxrl_ppo.losses import explained_variance, gae
from purejaxrl_ppo.networks import make_network
from purejaxrl_ppo.normalise import RunningMoments, batch_moments, combine_steps, init_moments, merge, scale_rewards
from purejaxrl_ppo.rollout import (
    Rollout,
    RunnerState,
    Task,
    Transition,
    collect,
    input_of,
    refreshed,
    start_runner,
    whole_inputs,
)
from purejaxrl_ppo.sharding import Axis, Told, axis_of, local_config, of_all, over_devices
from purejaxrl_ppo.wrappers import prepare

ParamsSchedule = Callable[[jax.Array, Any], Any]
log = logging.getLogger("purejaxrl_ppo")


class TrainState(struct.PyTreeNode):
    """Everything that training goes on from: saving and restoring it resumes exactly."""

    params: Any
    opt_state: Any
    runner: RunnerState  # environments, memory, keys and episode accumulators
    obs_moments: RunningMoments
    return_moments: RunningMoments  # of the discounted return
    discounted_return: jax.Array  # float32 [B], running discounted return of every environment
    episode_return: jax.Array  # float32, mean of the last iteration in which an episode ended; 0 before
    episode_length: jax.Array  # float32, likewise
    key: jax.Array  # for the minibatches
    iteration: jax.Array  # int32, iterations done


class TrainResult(struct.PyTreeNode):
    """What `train` returns."""

    state: TrainState
    metrics: Metrics  # float32 [num_iterations] each


class Trainer(NamedTuple):
    """The two pure functions that training consists of."""

    init: Callable[[jax.Array, Any], TrainState]  # (key, env_params)
    update: Callable[[TrainState, Any, Hyperparameters], tuple[TrainState, Metrics]]  # (state, env_params, ...)


def make_train(
    env: Any,
    config: PPOConfig,
    params_schedule: ParamsSchedule | None = None,
    *,
    mesh: Mesh | None = None,
    backend: str | None = None,
) -> Callable[..., TrainResult]:
    """Build `train(key, env_params, hyperparameters=None) -> TrainResult`, a pure function.

    It can be jitted, and vmapped over keys, over `Hyperparameters`, and over environment parameters. Runs side
    by side equal single ones but for rounding: the compiler orders sums differently, which moves parameters by
    about 3e-8 in the first iteration. Returns are equal to 1e-5 until that difference has grown enough for an
    action to be drawn differently, which took from 18 to more than 80 iterations on CartPole-v1 (8 x 32).

    Args:
        env: gymnax >= 1.0 environment (or one of the five-value interface).
        config: settings; fixed, unlike `hyperparameters`, which default to the config's.
        params_schedule: (progress, env_params) -> env_params, evaluated before every iteration with
            progress = iterations done / iterations in all, so a curriculum never compiles again. Where it has a
            method `values(progress) -> {name: scalar}`, every iteration logs them as the metrics `schedule/<name>`.
        mesh: devices that share the environments out among themselves, on its only axis (`make_mesh`); None trains on
            one. Minibatches by time are the same for any number of devices, and so is what is learned but for
            rounding; by rows or environments, each device shuffles its own share.
        backend: the kind of device whose paths are taken, "cpu" or "gpu" (`devices.plan_for`); None: JAX's default.
            They learn the same but for rounding, and all run anywhere.

    Raises:
        ValueError: for environments or minibatches that the devices cannot share evenly; on the first call, for
            values of the schedule that are not scalars by name.
    """
    trainer = make_trainer(env, config, params_schedule, mesh=mesh, backend=backend)
    if config.total_timesteps % config.batch_size:
        log.warning("purejaxrl_ppo: %s", config.budget_note)

    def train(key: jax.Array, env_params: Any, hyperparameters: Hyperparameters | None = None) -> TrainResult:
        hyper = config.hyperparameters if hyperparameters is None else hyperparameters
        state = trainer.init(key, env_params)
        state, metrics = jax.lax.scan(
            lambda state, _: trainer.update(state, env_params, hyper), state, None, config.num_iterations
        )
        return TrainResult(state, metrics)

    return train


def make_trainer(
    env: Any,
    config: PPOConfig,
    params_schedule: ParamsSchedule | None = None,
    *,
    mesh: Mesh | None = None,
    backend: str | None = None,
) -> Trainer:
    """The named parts of training; `make_train` scans them, `fit` drives them from the host.

    Args:
        env, config, params_schedule, mesh, backend: as of `make_train`.
    """
    parts = trainer_parts(env, config, params_schedule, mesh=mesh, backend=backend)

    def init(key: jax.Array, env_params: Any) -> TrainState:
        return _init(parts, key, env_params)

    def update(state: TrainState, env_params: Any, hyper: Hyperparameters) -> tuple[TrainState, Metrics]:
        return _update(parts, state, env_params, jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), hyper))

    states = state_specs(parts.axis)
    return Trainer(
        over_devices(init, mesh, (P(), P()), states),
        over_devices(update, mesh, (states, P(), P()), (states, P())),
    )


class TrainerParts(NamedTuple):
    """What a trainer is made of."""

    env: Any
    config: PPOConfig  # of all devices together
    local: PPOConfig  # of one device's share
    axis: Axis
    optimiser: optax.GradientTransformation
    schedule: ParamsSchedule | None
    backend: str | None

    def task(self, iteration: jax.Array, env_params: Any) -> Task:
        """Environment, its parameters in that iteration, and the network."""
        env_params = scheduled_params(self.config, self.schedule, iteration, env_params)
        env, spec = prepare(self.env, env_params)
        plan = plan_for(self.local, spec, self.backend)
        if plan.prepared_params and callable(getattr(env, "prepared", None)):
            env_params = env.prepared(env_params)
        network = make_network(dataclasses.replace(self.config, bfloat16=plan.bfloat16), spec.action)
        return Task(env, env_params, spec, self.local, plan, network, self.axis)


def trainer_parts(
    env: Any,
    config: PPOConfig,
    params_schedule: ParamsSchedule | None = None,
    *,
    mesh: Mesh | None = None,
    backend: str | None = None,
) -> TrainerParts:
    """What `make_trainer` makes its functions of; arguments as there."""
    check_config(config)
    local = local_config(config, mesh)
    return TrainerParts(env, config, local, axis_of(mesh), _optimiser(config), params_schedule, backend)


def _optimiser(config: PPOConfig) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.scale_by_adam(eps=config.adam_eps))


def state_specs(axis: Axis) -> TrainState:
    """How a state lies on a mesh: environments shared out over its axis, everything else on every device."""
    runner: Any = {name: P(axis) for name in RunnerState.__dataclass_fields__} | {"key": P()}
    state: Any = {name: P() for name in TrainState.__dataclass_fields__}
    return TrainState(**{**state, "runner": RunnerState(**runner), "discounted_return": P(axis)})


def _init(parts: TrainerParts, key: jax.Array, env_params: Any) -> TrainState:
    task = parts.task(jnp.int32(0), env_params)
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)  # an old-style uint32 key
    key, key_network, key_runner = jax.random.split(key, 3)
    runner = start_runner(task.env, task.env_params, task.config, task.network, key_runner, task.axis)
    params = task.network.init(key_network, runner.memory, runner.obs, runner.reset)
    state = TrainState(
        params=params,
        opt_state=parts.optimiser.init(ravel_pytree(params)[0]),
        runner=runner,
        obs_moments=init_moments((task.spec.obs_size,)),
        return_moments=init_moments(()),
        discounted_return=jnp.zeros(task.config.num_envs, jnp.float32),
        episode_return=jnp.float32(0),
        episode_length=jnp.float32(0),
        key=key,
        iteration=jnp.int32(0),
    )
    return jax.tree.map(strong, state)


def _update(
    parts: TrainerParts, state: TrainState, env_params: Any, hyper: Hyperparameters
) -> tuple[TrainState, Metrics]:
    """One iteration: a rollout, and the updates made from it; on a mesh axis, this device's share of it."""
    config, axis = parts.config, parts.axis
    task = parts.task(state.iteration, env_params)
    rates = _rates(config, hyper, state.iteration)
    before = state.runner if parts.schedule is None else refreshed(task.env, task.env_params, state.runner)
    runner, rollout = collect(task, state.params, state.obs_moments, before)
    rollout = whole_inputs(task, state.obs_moments, rollout)
    steps = rollout.steps
    done = steps.terminated | steps.truncated
    sums = EpisodeSums(state.discounted_return, before.episode_return, before.episode_length)
    sums, ended, discounted = follow(sums, steps.reward, done, hyper.gamma, task.plan.unroll)
    rewards, return_moments = _rewards(config, axis, state.return_moments, steps.reward, discounted)
    advantages, targets = gae(
        rewards,
        steps.value,
        rollout.last_value,
        rollout.final_value,
        steps.terminated,
        steps.truncated,
        hyper.gamma,
        hyper.gae_lambda,
        task.plan.unroll,
    )
    key, key_epochs = jax.random.split(state.key)
    batch = _batch(config, steps, advantages, targets)
    inputs_of = _as_stored if task.plan.whole_inputs else input_of(task, state.obs_moments)
    learner = Learner(task, parts.optimiser, rates, batch, state.runner.memory, inputs_of)
    params, opt_state, learned = learn(learner, state.params, state.opt_state, key_epochs)
    told = of_all(_told(rollout, ended, targets, learned), axis)
    episodes = _episode_means(state, told)
    new_state = TrainState(
        params=params,
        opt_state=opt_state,
        runner=runner.replace(episode_return=sums.episode_return, episode_length=sums.episode_length),
        obs_moments=_merge_observations(config, state.obs_moments, told),
        return_moments=return_moments,
        discounted_return=sums.discounted,
        episode_return=episodes["episode_return"],
        episode_length=episodes["episode_length"],
        key=key,
        iteration=state.iteration + 1,
    )
    metrics = {**learned, **_told_metrics(told), **rates._asdict(), **episodes}
    metrics |= _schedule_metrics(config, parts.schedule, state.iteration)
    return jax.tree.map(strong, new_state), metrics


def _as_stored(inputs: Any) -> jax.Array:
    """Inputs of the network where the rollout holds them instead of observations."""
    return inputs


def _batch(config: PPOConfig, steps: Transition, advantages: jax.Array, targets: jax.Array) -> Batch:
    return Batch(
        obs_source=steps.obs_source,
        reset=steps.reset,
        mask=steps.mask,
        action=steps.action,
        log_prob=steps.log_prob,
        value=steps.value,
        target=targets,
        advantage=advantages,
        weight=choice_rows(config, steps.mask, advantages),
    )


def _rewards(
    config: PPOConfig, axis: Axis, moments: RunningMoments, rewards: jax.Array, discounted: jax.Array
) -> tuple[jax.Array, RunningMoments]:
    """Rewards as they are learned from, and the statistics of the discounted returns behind them.

    The statistics take in this rollout first: nothing acts on rewards, so one scale serves the whole rollout,
    and the first one is never divided by a variance of nothing.
    """
    if not config.normalise_rewards:
        return rewards, moments
    mean, var = of_all(Told(moments={"return": batch_moments(discounted)}), axis).moments["return"]
    moments = merge(moments, mean, var, config.batch_size)
    return scale_rewards(moments, rewards, config.reward_clip), moments


def _told(rollout: Rollout, ended: Ended, targets: jax.Array, learned: Metrics) -> Told:
    """What a device tells of its rollout once it has learned from it.

    A number that learning brings is sent with it, which makes the message wait for those of learning: see `sharding`.
    """
    steps = rollout.steps
    done = steps.terminated | steps.truncated
    sums = {
        "episodes": done.astype(jnp.float32).sum(),
        "episode_return": ended.episode_return.sum(),
        "episode_length": ended.episode_length.astype(jnp.float32).sum(),
    }
    sums |= {f"info/{name}": values.sum() for name, values in steps.info.items()}
    means = {"reward": steps.reward.mean(), "truncated": steps.truncated.astype(jnp.float32).mean()}
    if steps.mask is not None:
        legal = steps.mask.sum(axis=-1)
        means["choice_rows"] = (legal >= 2).astype(jnp.float32).mean()
        sums["all_illegal_rows"] = (legal == 0).astype(jnp.float32).sum()
    moments = {
        "observation": combine_steps(rollout.obs_mean, rollout.obs_var),
        "target": _moments(targets),
        "unexplained": _moments(targets - steps.value),
    }
    return Told(sums, means, moments, largest={"first_ratio_error": learned["first_ratio_error"]})


def _moments(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    mean = x.mean()
    return mean, jnp.square(x - mean).mean()


def _told_metrics(told: Told) -> Metrics:
    variance = {name: var for name, (_, var) in told.moments.items()}
    explained = explained_variance(variance["unexplained"], variance["target"])
    return {**told.means, **told.sums, **told.largest, "explained_variance": explained}


def _merge_observations(config: PPOConfig, moments: RunningMoments, told: Told) -> RunningMoments:
    mean, var = told.moments["observation"]
    return merge(moments, mean, var, config.batch_size) if config.normalise_observations else moments


def _episode_means(state: TrainState, told: Told) -> Metrics:
    """Mean return and length of the episodes that ended: those known before where none did."""
    count = told.sums["episodes"]
    before = {"episode_return": state.episode_return, "episode_length": state.episode_length}
    return {name: _mean_or(told.sums[name], count, value) for name, value in before.items()}


def _rates(config: PPOConfig, hyper: Hyperparameters, iteration: jax.Array) -> Rates:
    left = 1.0 - _progress(config, iteration)

    def at(value: jax.Array, schedule: str) -> jax.Array:
        return jnp.asarray(value, jnp.float32) * (left if schedule == "linear" else 1.0)

    return Rates(
        at(hyper.learning_rate, config.learning_rate_schedule),
        at(hyper.clip_eps, config.clip_eps_schedule),
        at(hyper.ent_coef, config.ent_coef_schedule),
    )


def scheduled_params(config: PPOConfig, schedule: ParamsSchedule | None, iteration: jax.Array, env_params: Any) -> Any:
    """Environment parameters of an iteration: what the schedule makes of `env_params`."""
    if schedule is None:
        return env_params
    return schedule(_progress(config, iteration), env_params)


def _progress(config: PPOConfig, iteration: jax.Array) -> jax.Array:
    return iteration.astype(jnp.float32) / config.num_iterations


def _schedule_metrics(config: PPOConfig, schedule: ParamsSchedule | None, iteration: jax.Array) -> Metrics:
    """What the schedule says about itself at this iteration; nothing without a method `values`."""
    values = getattr(schedule, "values", None)
    found = values(_progress(config, iteration)) if callable(values) else {}
    for name, value in found.items():
        if jnp.shape(value):
            raise ValueError(
                f"the schedule's values() gives {name!r} the shape {jnp.shape(value)}: only scalars can be logged"
            )
    return {f"schedule/{name}": jnp.asarray(value, jnp.float32) for name, value in found.items()}


def _mean_or(total: jax.Array, count: jax.Array, before: jax.Array) -> jax.Array:
    """Mean of the `count` finished episodes of this iteration, or the mean known before if none finished."""
    return jnp.where(count > 0, total / jnp.maximum(count, 1.0), before)


def strong(x: Any) -> Any:
    """`x` without a weak type: a Python number in a state would make the second call compile again."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else jax.lax.convert_element_type(x, x.dtype)
