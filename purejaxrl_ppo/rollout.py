"""Playing `num_steps` in every environment."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl_ppo.blocks import over_wanted
from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.networks import (
    ActorCritic,
    distribution,
    draw_noise,
    run_tower,
    sample,
    skips_forced_rows,
    to_environment,
    tower_params,
)
from purejaxrl_ppo.normalise import RunningMoments, normalise
from purejaxrl_ppo.sharding import Axis, environment_indices
from purejaxrl_ppo.words import nearest
from purejaxrl_ppo.wrappers import EnvSpec, action_mask, flatten

_FINAL_ROWS = 32  # truncated environments whose final observations are valued at once
_CHOICE_ROWS = 128  # environments with a choice whose policies are computed at once


class Transition(struct.PyTreeNode):
    """One step of every environment; [B, ...] each, [T, B, ...] once stacked."""

    seen: Any  # what `sight` makes the network's input of: that input itself, or the environment's state
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
        return _normalised(config, moments, obs)

    keep_states = keeps_states(env, config)
    think, value_of = _minds(spec, config, network, params)

    def step(players: Players, xs: tuple[jax.Array, jax.Array]) -> tuple[Players, tuple[Transition, StepLog]]:
        keys, noise = xs
        mask = jax.vmap(lambda s: action_mask(env, s, env_params))(players.env_state) if spec.masked else None
        seen = see(players.obs)
        memory, head, value = think(players.memory, seen, players.reset, mask)
        dist = distribution(spec.action, head, mask)
        action = sample(spec.action, head, mask, noise)
        obs, env_state, reward, terminated, truncated, info = jax.vmap(env.step, (0, 0, 0, None))(
            keys, players.env_state, to_environment(spec.action, action), env_params
        )
        reward, done = reward.astype(jnp.float32), terminated | truncated
        final_value = _final_values(
            lambda m, o: value_of(m, see(jax.vmap(flatten)(o)), jnp.zeros(o_rows(o), bool)),
            memory,
            info["final_observation"],
            truncated & ~terminated,
        )
        transition = Transition(
            seen=players.env_state if keep_states else seen,
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
    last_value = value_of(players.memory, see(players.obs), players.reset)
    return players, transitions, log, last_value


def rebuilds_observations(env: Any) -> bool:
    """Whether `env.observe` gives what `reset` and `step` do: the environment's class says `observation_from_state`.

    A wrapper may change the observations, and so may a subclass that makes `reset` or `step` anew: each has to say it
    for itself.
    """
    for kind in type(env).__mro__:
        if "observation_from_state" in vars(kind):
            return bool(vars(kind)["observation_from_state"])
        if any(name in vars(kind) for name in ("reset", "step", "reset_env", "step_env", "observe")):
            return False
    return False


def keeps_states(env: Any, config: PPOConfig) -> bool:
    """Whether a rollout keeps the environment's states and not its observations.

    Raises:
        ValueError: where `config` asks for it and the environment does not allow it.
    """
    allowed = rebuilds_observations(env)
    if config.rollout_storage == "states" and not allowed:
        raise ValueError(
            f"rollout_storage='states' needs an environment whose class says observation_from_state = True, as "
            f"{getattr(env, 'name', type(env).__name__)} does not: use 'observations' or 'auto'"
        )
    return allowed and config.rollout_storage != "observations"


def refreshed(env: Any, env_params: Any, players: Players) -> Players:
    """Players whose present observation is the one under these parameters, where it can be rebuilt.

    It was made by the last step of the iteration before, under that iteration's parameters.
    """
    if not rebuilds_observations(env):
        return players
    return players.replace(obs=_observed(env, env_params, players.env_state))


def sight(env: Any, env_params: Any, config: PPOConfig, moments: RunningMoments) -> Callable[[Any], jax.Array]:
    """Function from rows [n, ...] of `Transition.seen` to the network's input [n, D], the same as in the rollout.

    That is so where the rollout was played under these parameters from its first observation on: see `refreshed`.
    """
    if not keeps_states(env, config):
        return lambda seen: seen
    return lambda states: _normalised(config, moments, _observed(env, env_params, states))


def _observed(env: Any, env_params: Any, states: Any) -> jax.Array:
    """Flat observations [n, D] of states [n, ...] of an environment that `rebuilds_observations`."""
    return jax.vmap(lambda state: flatten(env.observe(None, state, None, env_params)))(states)


def _normalised(config: PPOConfig, moments: RunningMoments, obs: jax.Array) -> jax.Array:
    return normalise(moments, obs, config.observation_clip) if config.normalise_observations else obs


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


def _minds(spec: EnvSpec, config: PPOConfig, network: ActorCritic, params: Any) -> tuple[Callable, Callable]:
    """(memory, obs, reset, mask) -> (memory, policy head, value), and (memory, obs, reset) -> value.

    Where rows with a single legal action count for nothing, the policy's tower runs over the other rows only and the
    head of those is 0: the one legal action is drawn whatever it holds.
    """
    if not skips_forced_rows(config, spec.masked):
        return (lambda memory, obs, reset, mask: network.apply(params, memory, obs, reset)), (
            lambda memory, obs, reset: network.apply(params, memory, obs, reset)[2]
        )
    actor, critic = tower_params(params, "actor"), tower_params(params, "critic")

    def value_of(memory: Any, obs: jax.Array, reset: jax.Array) -> jax.Array:
        return run_tower(network, critic, obs)[..., 0]

    def think(memory: Any, obs: jax.Array, reset: jax.Array, mask: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        def block(head: jax.Array, rows: jax.Array) -> jax.Array:
            logits = run_tower(network, actor, obs.at[rows].get(mode="clip"))
            return head.at[rows].set(logits, mode="drop")

        head = over_wanted(mask.sum(axis=-1) >= 2, _CHOICE_ROWS, block, jnp.zeros(mask.shape))
        return memory, head, value_of(memory, obs, reset)

    return think, value_of


def _final_values(value_of: Any, memory: Any, final_obs: Any, wanted: jax.Array) -> jax.Array:
    """Values [B] of the final observations where `wanted`, 0 elsewhere.

    Few environments are truncated in one step, so only they are gathered and valued.
    """

    def block(values: jax.Array, rows: jax.Array) -> jax.Array:
        take = jax.tree.map(lambda x: x.at[rows].get(mode="clip"), (memory, final_obs))
        return values.at[rows].set(value_of(*take), mode="drop")

    return over_wanted(wanted, _FINAL_ROWS, block, jnp.zeros(wanted.shape[0]))


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
