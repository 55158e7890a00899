"""Playing `num_steps` in every environment."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl_ppo.config import PPOConfig, nearest
from purejaxrl_ppo.networks import ActorCritic, distribution, draw_noise, sample, to_environment
from purejaxrl_ppo.normalise import RunningMoments, normalise
from purejaxrl_ppo.sharding import Axis, environment_indices
from purejaxrl_ppo.wrappers import EnvSpec, action_mask, flatten

_FINAL_ROWS = 32  # truncated environments whose final observations are valued at once


class Transition(struct.PyTreeNode):
    """One step of every environment; [B, ...] each, [T, B, ...] once stacked."""

    obs: jax.Array  # what the network saw (normalised)
    reset: jax.Array  # bool: an episode begins with this observation
    mask: jax.Array | None  # bool [B, num_actions]: the mask the action was drawn under
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    final_value: jax.Array  # value of the final observation, 0 where not truncated


class Players(struct.PyTreeNode):
    """The environments and what is carried along with them from step to step; leading axis B."""

    env_state: Any
    obs: jax.Array  # float32 [B, D], flattened, not normalised
    memory: Any  # of the GRU, or ()
    reset: jax.Array  # bool [B]: `obs` begins an episode
    episode_return: jax.Array  # float32 [B], of the running episode
    episode_length: jax.Array  # int32 [B]
    key: jax.Array  # one typed key


class StepLog(struct.PyTreeNode):
    """What one step of all environments leaves for the logs and the normaliser."""

    obs_mean: jax.Array  # float32 [D], of the raw observations over B; [0] when they are not normalised
    obs_var: jax.Array  # float32 [D] or [0]
    ended_return: jax.Array  # float32 [B], of episodes that ended, else 0
    ended_length: jax.Array  # int32 [B]
    info: dict[str, jax.Array]  # float32 [B], the scalars in `config.log_info`


def start_players(
    env: Any, env_params: Any, config: PPOConfig, network: ActorCritic, key: jax.Array, axis: Axis = None
) -> Players:
    """All environments reset; on a mesh axis, those of this device."""
    key, key_reset = jax.random.split(key)
    obs, env_state = jax.vmap(env.reset, (0, None))(environment_keys(config, key_reset, axis), env_params)
    return Players(
        env_state=env_state,
        obs=jax.vmap(flatten)(obs),
        memory=network.initial_memory(config.num_envs),
        reset=jnp.ones(config.num_envs, bool),
        episode_return=jnp.zeros(config.num_envs),
        episode_length=jnp.zeros(config.num_envs, jnp.int32),
        key=key,
    )


def collect(
    env: Any,
    spec: EnvSpec,
    config: PPOConfig,
    network: ActorCritic,
    params: Any,
    moments: RunningMoments,
    players: Players,
    env_params: Any,
    axis: Axis = None,
) -> tuple[Players, Transition, StepLog, jax.Array]:
    """Play one rollout with fixed parameters and fixed observation statistics.

    Returns:
        The players afterwards, transitions [T, B, ...], step logs [T, ...], and the value of the last
        observation [B].
    """

    def see(obs: jax.Array) -> jax.Array:
        return normalise(moments, obs, config.observation_clip) if config.normalise_observations else obs

    def step(players: Players, xs: tuple[jax.Array, jax.Array]) -> tuple[Players, tuple[Transition, StepLog]]:
        keys, noise = xs
        mask = jax.vmap(lambda s: action_mask(env, s, env_params))(players.env_state) if spec.masked else None
        seen = see(players.obs)
        memory, head, value = network.apply(params, players.memory, seen, players.reset)
        dist = distribution(spec.action, head, mask)
        action = sample(spec.action, head, mask, noise)
        obs, env_state, reward, terminated, truncated, info = jax.vmap(env.step, (0, 0, 0, None))(
            keys, players.env_state, to_environment(spec.action, action), env_params
        )
        reward, done = reward.astype(jnp.float32), terminated | truncated
        final_value = _final_values(
            lambda m, o: network.apply(params, m, see(jax.vmap(flatten)(o)), jnp.zeros(o_rows(o), bool))[2],
            memory,
            info["final_observation"],
            truncated & ~terminated,
        )
        transition = Transition(
            obs=seen,
            reset=players.reset,
            mask=mask,
            action=action,
            log_prob=dist.log_prob(action),
            value=value,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            final_value=final_value,
        )
        log, episode_return, episode_length = _log(config, players, reward, done, info)
        players = Players(env_state, jax.vmap(flatten)(obs), memory, done, episode_return, episode_length, players.key)
        return players, (transition, log)

    key, key_draws = jax.random.split(players.key)
    xs = draw_steps(spec, config, key_draws, axis)
    players, (transitions, log) = jax.lax.scan(step, players.replace(key=key), xs)
    last_value = network.apply(params, players.memory, see(players.obs), players.reset)[2]
    return players, transitions, log, last_value


def environment_keys(config: PPOConfig, key: jax.Array, axis: Axis) -> jax.Array:
    """A key [B] for every environment of this device, the same whichever device has it."""
    return jax.vmap(jax.random.fold_in, (None, 0))(key, environment_indices(config.num_envs, axis))


def draw_steps(spec: EnvSpec, config: PPOConfig, key: jax.Array, axis: Axis) -> tuple[jax.Array, jax.Array]:
    """Keys [T, B] for the environments' steps and noise [T, B, K] for the actions of one rollout.

    Each environment draws from a key of its own, so that the numbers do not depend on how many devices share them.
    """

    def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        key_steps, key_noise = jax.random.split(key)
        noise = draw_noise(spec.action, key_noise, (config.num_steps,))
        return jax.random.split(key_steps, config.num_steps), noise

    return jax.vmap(draw, out_axes=1)(environment_keys(config, key, axis))


def o_rows(obs: Any) -> int:
    """Leading axis of a batch of observations of any structure."""
    return int(jax.tree.leaves(obs)[0].shape[0])


def _final_values(value_of: Any, memory: Any, final_obs: Any, wanted: jax.Array) -> jax.Array:
    """Values [B] of the final observations where `wanted`, 0 elsewhere.

    Few environments are truncated in one step, so only they are gathered and valued, a block at a time; a
    step without any costs nothing.
    """
    batch = wanted.shape[0]
    block = min(batch, _FINAL_ROWS)
    count = wanted.sum()
    # padded so that the last block lies inside; row `batch` is out of range and dropped on the way back
    rows = jnp.nonzero(wanted, size=batch + block, fill_value=batch)[0]

    def body(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        start, values = carry
        picked = jax.lax.dynamic_slice_in_dim(rows, start, block)
        take = jax.tree.map(lambda x: x.at[picked].get(mode="clip"), (memory, final_obs))
        return start + block, values.at[picked].set(value_of(*take), mode="drop")

    _, values = jax.lax.while_loop(lambda c: c[0] < count, body, (jnp.int32(0), jnp.zeros(batch)))
    return values


def _log(
    config: PPOConfig, players: Players, reward: jax.Array, done: jax.Array, info: dict[str, Any]
) -> tuple[StepLog, jax.Array, jax.Array]:
    """The step's log, and return and length of the episodes that go on."""
    returns, lengths = players.episode_return + reward, players.episode_length + 1
    seen = players.obs if config.normalise_observations else players.obs[:, :0]
    mean = seen.mean(axis=0)
    log = StepLog(
        obs_mean=mean,
        obs_var=jnp.square(seen - mean[None]).mean(axis=0),
        ended_return=jnp.where(done, returns, 0.0),
        ended_length=jnp.where(done, lengths, 0),
        info={name: _named(info, name).astype(jnp.float32) for name in config.log_info},
    )
    return log, jnp.where(done, 0.0, returns), jnp.where(done, 0, lengths)


def _named(info: dict[str, Any], name: str) -> jax.Array:
    if name not in info:
        raise ValueError(f"log_info names {name!r}, which info has not{nearest(name, list(info))}")
    return info[name]
