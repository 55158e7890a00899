"""Playing `num_steps` in every environment."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl_ppo.blocks import over_wanted
from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.devices import Plan, padded
from purejaxrl_ppo.fused import WIDE, fuse
from purejaxrl_ppo.joined import Chain, apply_joined, join
from purejaxrl_ppo.networks import (
    ActorCritic,
    draw_noise,
    run_tower,
    sample,
    to_environment,
    tower_params,
)
from purejaxrl_ppo.normalise import RunningMoments, normalise, step_moments
from purejaxrl_ppo.packing import packing
from purejaxrl_ppo.sharding import Axis, environment_indices
from purejaxrl_ppo.words import nearest
from purejaxrl_ppo.wrappers import EnvSpec, action_mask, flatten

_CHOICE_ROWS = 128  # environments with a choice whose policies are computed at once

Apply = Callable[[Any, jax.Array, jax.Array, jax.Array | None], tuple[Any, jax.Array, jax.Array]]


class Task(NamedTuple):
    """What is trained: environment, network and settings, as one device sees them in one iteration."""

    env: Any  # of six values
    env_params: Any
    spec: EnvSpec
    config: PPOConfig  # of this device's share
    plan: Plan
    network: ActorCritic
    axis: Axis = None  # of the mesh, over which statistics and gradients are summed


class Transition(struct.PyTreeNode):
    """One step of every environment; [B, ...] each, [T, B, ...] once stacked."""

    obs_source: Any  # the state of the environment where states are kept, else the observation: see `input_of`
    reset: Any  # bool: an episode begins with this observation; None while the rollout is played, see `_resets`
    mask: jax.Array | None  # bool [B, num_actions]: the mask the action was drawn under
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    reward: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    info: dict[str, jax.Array]  # float32 [B], the scalars in `config.log_info`


class RunnerState(struct.PyTreeNode):
    """The environments and what is carried along with them from step to step; leading axis B."""

    env_state: Any
    obs: jax.Array  # float32 [B, D], flattened, not normalised
    memory: Any  # of the GRU, or ()
    reset: jax.Array  # bool [B]: `obs` begins an episode
    episode_return: jax.Array  # float32 [B], of the running episode
    episode_length: jax.Array  # int32 [B]
    key: jax.Array  # one typed key


class Rollout(NamedTuple):
    """What `collect` brings."""

    steps: Transition  # [T, B, ...]
    final_value: jax.Array  # float32 [T, B], value of the final observation; 0 where not truncated
    last_value: jax.Array  # float32 [B], of the observation after the last step
    obs_mean: jax.Array  # float32 [T, D], of the raw observations of each step; [T, 0] when they are not normalised
    obs_var: jax.Array  # float32 [T, D] or [T, 0]


class _Step(NamedTuple):
    """What the loop over steps stores."""

    transition: Transition
    moments: tuple[jax.Array, jax.Array] | None  # of the raw observations, where they are not taken afterwards
    final: Any  # values of final observations, or what they are valued from later: see `_final_values`


def start_runner(
    env: Any, env_params: Any, config: PPOConfig, network: ActorCritic, key: jax.Array, axis: Axis = None
) -> RunnerState:
    """All environments reset; on a mesh axis, those of this device."""
    key, key_reset = jax.random.split(key)
    obs, env_state = jax.vmap(env.reset, (0, None))(environment_keys(config, key_reset, axis), env_params)
    return RunnerState(
        env_state=env_state,
        obs=jax.vmap(flatten)(obs),
        memory=network.initial_memory(config.num_envs),
        reset=jnp.ones(config.num_envs, bool),
        episode_return=jnp.zeros(config.num_envs, jnp.float32),
        episode_length=jnp.zeros(config.num_envs, jnp.int32),
        key=key,
    )


def collect(task: Task, params: Any, moments: RunningMoments, runner: RunnerState) -> tuple[RunnerState, Rollout]:
    """Play one rollout with fixed parameters and fixed observation statistics.

    Returns:
        The runner afterwards (its episode sums are left as they were: see `episodes.follow`), and the rollout.
    """
    config, spec = task.config, task.spec
    apply, value_of = _network_of(task, params)
    keep_states = keeps_states(task.env, config)
    # final observations are valued after the rollout where they need not be stored for it, or memory is plenty
    later = keep_states or task.plan.whole_inputs
    # where only the network reads observations they are carried as its inputs, made by the kernel that made them
    carry_raw = not (keep_states and task.plan.whole_inputs)

    def inputs_of(shown: jax.Array) -> jax.Array:
        return network_input(task, moments, shown) if carry_raw else shown

    def step(carry: tuple[Any, ...], xs: tuple[jax.Array, jax.Array]) -> tuple[tuple[Any, ...], _Step]:
        env_state, raw, memory, reset = carry
        keys, noise = xs
        inputs = inputs_of(raw)
        mask = _masks(task, env_state)
        memory, head, value = apply(memory, inputs, reset, mask)
        action, log_prob = sample(spec.action, head, mask, noise)
        obs, after, reward, terminated, truncated, info = jax.vmap(task.env.step, (0, 0, 0, None))(
            keys, env_state, to_environment(spec.action, action), task.env_params
        )
        transition = Transition(
            obs_source=env_state if keep_states else raw if task.plan.whole_inputs else inputs,
            reset=None,
            mask=mask,
            action=action,
            log_prob=log_prob,
            value=value,
            reward=reward.astype(jnp.float32),
            terminated=terminated,
            truncated=truncated,
            info={name: _named(info, name).astype(jnp.float32) for name in config.log_info},
        )
        at_each = config.normalise_observations and not task.plan.whole_inputs
        final: Any = (memory, None if keep_states else info["final_observation"])
        if not later:
            final = _final_values(task, moments, value_of, transition, final, keys)
        stored = _Step(transition, step_moments(raw) if at_each else None, final)
        shown = jax.vmap(flatten)(obs)
        shown = shown if carry_raw else network_input(task, moments, shown)
        return (after, shown, memory, terminated | truncated), stored

    key, key_draws = jax.random.split(runner.key)
    draws = draw_steps(spec, config, key_draws, task.axis)
    first = runner.obs if carry_raw else network_input(task, moments, runner.obs)
    start = (runner.env_state, first, runner.memory, runner.reset)
    (env_state, raw, memory, reset), stored = _scan(task, step, start, draws)
    steps = stored.transition.replace(reset=_resets(runner.reset, stored.transition))
    last_value, final_value = value_of(memory, inputs_of(raw), reset), stored.final
    if later:
        final_value = _final_values(task, moments, value_of, steps, stored.final, draws[0])
    raw = raw if carry_raw else _observed(task.env, task.env_params, env_state)
    runner = runner.replace(env_state=env_state, obs=raw, memory=memory, reset=reset, key=key)
    return runner, Rollout(steps, final_value, last_value, *(stored.moments or _no_moments(config)))


def _resets(first: jax.Array, steps: Transition) -> jax.Array:
    """bool [T, B]: an episode begins with the step. Not stored step by step, which a GPU would have to copy before."""
    return jnp.concatenate([first[None], (steps.terminated | steps.truncated)[:-1]])


def _scan(task: Task, step: Callable[..., Any], start: Any, xs: Any) -> tuple[Any, _Step]:
    """`lax.scan`, of which the small arrays that a step stores are one where the plan says so."""
    if not task.plan.packed:
        return jax.lax.scan(step, start, xs)
    one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    pack, unpack = packing(jax.eval_shape(step, start, one)[1])

    def packed(carry: Any, x: Any) -> tuple[Any, Any]:
        carry, stored = step(carry, x)
        return carry, pack(stored)

    end, stored = jax.lax.scan(packed, start, xs)
    return end, unpack(stored)


def _masks(task: Task, env_state: Any) -> jax.Array | None:
    if not task.spec.masked:
        return None
    return jax.vmap(lambda state: action_mask(task.env, state, task.env_params))(env_state)


def _no_moments(config: PPOConfig) -> tuple[jax.Array, jax.Array]:
    return (jnp.zeros((config.num_steps, 0), jnp.float32),) * 2


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


def refreshed(env: Any, env_params: Any, runner: RunnerState) -> RunnerState:
    """The runner with its present observation under these parameters, where it can be rebuilt.

    It was made by the last step of the iteration before, under that iteration's parameters.
    """
    if not rebuilds_observations(env):
        return runner
    return runner.replace(obs=_observed(env, env_params, runner.env_state))


def input_of(task: Task, moments: RunningMoments) -> Callable[[Any], jax.Array]:
    """Function from rows [n, ...] of `Transition.obs_source` to the network's input [n, D], the same as in the rollout.

    That is so where the rollout was played under these parameters from its first observation on: see `refreshed`.
    """
    if keeps_states(task.env, task.config):
        return lambda states: network_input(task, moments, _observed(task.env, task.env_params, states))
    return (lambda raw: network_input(task, moments, raw)) if task.plan.whole_inputs else (lambda inputs: inputs)


def whole_inputs(task: Task, moments: RunningMoments, rollout: Rollout) -> Rollout:
    """The rollout with the network's inputs [T, B, D] as its source of observations, and with their statistics.

    Only where the plan says so; else it stays as it is.
    """
    if not task.plan.whole_inputs:
        return rollout
    config, raw = task.config, rollout.steps.obs_source
    if keeps_states(task.env, config):
        states = jax.tree.map(lambda x: x.reshape(config.batch_size, *x.shape[2:]), raw)
        raw = _observed(task.env, task.env_params, states)
        raw = raw.reshape(config.num_steps, config.num_envs, -1)
    mean, var = jax.vmap(step_moments)(raw) if config.normalise_observations else _no_moments(config)
    steps = rollout.steps.replace(obs_source=network_input(task, moments, raw))
    return rollout._replace(steps=steps, obs_mean=mean, obs_var=var)


def _observed(env: Any, env_params: Any, states: Any) -> jax.Array:
    """Flat observations [n, D] of states [n, ...] of an environment that `rebuilds_observations`."""
    return jax.vmap(lambda state: flatten(env.observe(None, state, None, env_params)))(states)


def network_input(task: Task, moments: RunningMoments, raw: jax.Array) -> jax.Array:
    """What the network sees of flat observations [..., D]: normalised; padded with a 1 and zeros as the plan says.

    The 1 is for the first layers' biases, which are a row of their kernel where towers are joined.
    """
    config = task.config
    x = normalise(moments, raw, config.observation_clip) if config.normalise_observations else raw
    if task.plan.joined_towers or task.plan.fused_towers:
        x = x.astype(task.network.dtype)
    spare = padded_size(task) - x.shape[-1]
    if not spare:
        return x
    end = jnp.arange(spare) == 0
    return jnp.concatenate([x, jnp.broadcast_to(end.astype(x.dtype), (*x.shape[:-1], spare))], axis=-1)


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
        return jax.random.key_data(jax.random.split(key_steps, config.num_steps)), noise

    # turned round as words: `debug_key_reuse` takes keys that are transposed for used ones
    words, noise = jax.vmap(draw, out_axes=1)(environment_keys(config, key, axis))
    return jax.random.wrap_key_data(words, impl=jax.random.key_impl(key)), noise


def arranged(task: Task, params: Any) -> Any:
    """The network's parameters as `policy_and_value` takes them; a linear function, each number in one place."""
    if task.plan.fused_towers:
        return fuse(task.network, params, padded_size(task))
    if task.plan.joined_towers:
        return join(task.network, params, padded_size(task))
    return task.network.pad_inputs(params, padded_size(task))


def policy_and_value(task: Task, arranged: Any) -> Callable[..., tuple[Any, jax.Array, jax.Array]]:
    """(memory, inputs, reset) -> (memory, policy head, value) over all rows, as the plan computes it."""
    network = task.network
    if task.plan.fused_towers:
        from purejaxrl_ppo.kernels import apply_fused

        def both(memory: Any, inputs: jax.Array, reset: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
            head, value = apply_fused(network, arranged, inputs[None], jnp.zeros(1, jnp.int32))
            return memory, head[0], value[0]

        return both
    if task.plan.joined_towers:
        return lambda memory, inputs, reset: (memory, *apply_joined(network, arranged, inputs))
    return lambda memory, inputs, reset: network.apply(arranged, memory, inputs, reset)


def _narrowed(task: Task, arranged: Any) -> Any:
    """Towers in the precision that their products take; once for all steps instead of in each."""
    dtype = task.network.dtype
    if task.plan.fused_towers and task.network.hidden_sizes[0] in WIDE:
        return arranged._replace(lean=arranged.weights.astype(dtype))
    if not task.plan.joined_towers:
        return arranged

    def narrowed(chain: Chain) -> Chain:
        first, further, head = jax.tree.map(lambda x: x.astype(dtype), (chain.first, chain.further, chain.head[0]))
        return Chain(first, further, (head, chain.head[1]))

    return arranged._replace(chains=[narrowed(chain) for chain in arranged.chains])


def padded_size(task: Task) -> int:
    """Length of a network input."""
    return padded(task.spec.obs_size, task.plan.input_multiple)


def _network_of(task: Task, params: Any) -> tuple[Apply, Callable[[Any, jax.Array, jax.Array], jax.Array]]:
    """(memory, inputs, reset, mask) -> (memory, policy head, value), and (memory, inputs, reset) -> value.

    Where rows with a single legal action count for nothing, the policy's tower runs over the other rows only and the
    head of those is 0: the one legal action is drawn whatever it holds.
    """
    network = task.network
    if not task.plan.skip_in_rollout:
        everything = policy_and_value(task, _narrowed(task, arranged(task, params)))
        return (lambda memory, inputs, reset, mask: everything(memory, inputs, reset)), (
            lambda memory, inputs, reset: everything(memory, inputs, reset)[2]
        )
    padded = network.pad_inputs(params, padded_size(task))
    actor, critic = tower_params(padded, "actor"), tower_params(padded, "critic")

    def value_of(memory: Any, inputs: jax.Array, reset: jax.Array) -> jax.Array:
        return run_tower(network, critic, inputs)[..., 0]

    def apply(memory: Any, inputs: jax.Array, reset: jax.Array, mask: Any) -> tuple[Any, jax.Array, jax.Array]:
        def block(head: jax.Array, rows: jax.Array) -> jax.Array:
            logits = run_tower(network, actor, inputs.at[rows].get(mode="clip"))
            return head.at[rows].set(logits, mode="drop")

        head = over_wanted(mask.sum(axis=-1) >= 2, _CHOICE_ROWS, block, jnp.zeros(mask.shape, jnp.float32))
        return memory, head, value_of(memory, inputs, reset)

    return apply, value_of


def _final_values(
    task: Task,
    moments: RunningMoments,
    value_of: Callable[..., jax.Array],
    steps: Transition,
    final: tuple[Any, Any],
    keys: jax.Array,
) -> jax.Array:
    """Values of the final observations of truncated rows, 0 elsewhere; of one step [B] or of a rollout [T, B].

    Few rows are truncated, so only they are valued, a block at a time.

    Args:
        final: the GRU's memory after each step, and the final observations; None where the rollout keeps states: then
            the last step is played again, which shows the observation before the reset.
        keys: of the steps.
    """
    shape, size = steps.truncated.shape, steps.truncated.size
    memory, shown = final
    # keys as their words: the same ones once more are what plays a step again, which `debug_key_reuse` would refuse
    data = (steps.obs_source, steps.action, jax.random.key_data(keys)) if shown is None else shown
    data, memory = jax.tree.map(lambda x: x.reshape(size, *x.shape[len(shape) :]), (data, memory))

    def again(state: Any, action: jax.Array, words: jax.Array) -> Any:
        key = jax.random.wrap_key_data(words, impl=jax.random.key_impl(keys))
        return task.env.step(key, state, action, task.env_params)[5]["final_observation"]

    def block(values: jax.Array, rows: jax.Array) -> jax.Array:
        found, mine = jax.tree.map(lambda x: x.at[rows].get(mode="clip"), (data, memory))
        if shown is None:
            state, action, words = found
            found = jax.vmap(again)(state, to_environment(task.spec.action, action), words)
        inputs = network_input(task, moments, jax.vmap(flatten)(found))
        return values.at[rows].set(value_of(mine, inputs, jnp.zeros(rows.shape, bool)), mode="drop")

    wanted = (steps.truncated & ~steps.terminated).reshape(size)
    return over_wanted(wanted, task.plan.final_block, block, jnp.zeros(size, jnp.float32)).reshape(shape)


def _named(info: dict[str, Any], name: str) -> jax.Array:
    if name not in info:
        raise ValueError(f"log_info names {name!r}, which info has not{nearest(name, sorted(info))}")
    return info[name]
