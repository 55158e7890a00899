"""A trained policy: network, normaliser, mask and action bounds in one callable."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.networks import Memory, distribution, make_network, to_environment
from purejaxrl_ppo.normalise import RunningMoments, init_moments, normalise
from purejaxrl_ppo.wrappers import EnvSpec, concrete_spec, flatten_batch, prepare


class Policy(struct.PyTreeNode):
    """Maps observations to actions; a pytree, so it may be an argument of jitted functions.

    Without a GRU: `action = policy(key, obs, mask)`.
    With one: `carry = policy.initial_carry(batch)`, then `action, carry = policy(key, obs, mask, carry)`.
    """

    params: Any
    moments: RunningMoments
    spec: EnvSpec
    config: PPOConfig = struct.field(pytree_node=False)
    sampled: bool = struct.field(pytree_node=False, default=True)

    def initial_carry(self, batch: int) -> Memory:
        """Memory of `batch` environments before their first step; () without a GRU."""
        return make_network(self.config, self.spec.action).initial_memory(batch)

    def __call__(
        self,
        key: jax.Array,
        obs: Any,
        mask: jax.Array | None = None,
        carry: Memory = None,
        reset: jax.Array | None = None,
    ) -> Any:
        """Choose actions.

        Args:
            key: typed key; read when `sampled`.
            obs: as the environment gives them, with any leading axes (a recurrent policy: exactly one).
            mask: legal actions, bool [..., num_actions]; required when the environment has masks.
            carry: recurrent policies only, from `initial_carry` or the call before.
            reset: recurrent policies only, bool [B], True where an episode begins: clears the memory.

        Returns:
            Actions as the environment takes them, leading axes as `obs`; with a GRU (actions, carry).

        Raises:
            ValueError: for an observation of another shape, a missing mask, or a missing carry.
        """
        if self.spec.masked and mask is None:
            raise ValueError("this policy was trained with masks: pass mask=env.action_mask(state, params)")
        if self.config.recurrent and carry is None:
            raise ValueError("this policy has a memory: pass carry=policy.initial_carry(batch) and keep what returns")
        choices = self.spec.action.num_actions
        if self.spec.masked and mask is not None and mask.shape[-1:] != (choices,):
            raise ValueError(f"the mask has the shape {mask.shape}: its last axis must be {choices} actions long")
        if not self.spec.masked:
            mask = None  # an environment without masks has nothing to say
        action, carry = _act(self, key, obs, mask, carry, reset)
        return (action, carry) if self.config.recurrent else action

    def value(self, obs: Any) -> jax.Array:
        """Values [...] of observations [..., *shape]; policies without a GRU only.

        Raises:
            ValueError: for a recurrent policy, whose values depend on its memory.
        """
        if self.config.recurrent:
            raise ValueError("the value of a recurrent policy depends on its memory: there is no value(obs)")
        x = self._see(obs)
        return make_network(self.config, self.spec.action).apply(self.params, (), x, jnp.zeros(x.shape[:-1], bool))[2]

    def head(self, obs: Any, carry: Memory, reset: jax.Array) -> tuple[Memory, jax.Array, jax.Array]:
        """Memory, policy head and values for observations: see `ActorCritic.__call__`."""
        network = make_network(self.config, self.spec.action)
        memory, head, value = network.apply(self.params, carry, self._see(obs), reset)
        return memory, head, value

    def _see(self, obs: Any) -> jax.Array:
        x = flatten_batch(self.spec.obs_shapes, obs)
        return normalise(self.moments, x, self.config.observation_clip) if self.config.normalise_observations else x


def policy_of(state: Any, env: Any, env_params: Any, config: PPOConfig, *, sampled: bool = True) -> Policy:
    """The policy of a training's state.

    Args:
        state: `TrainState`, of one run.
        env, env_params, config: what it was trained on and with.
        sampled: draw actions; False takes the most probable ones.
    """
    return policy_of_state(state, concrete_spec(prepare(env, env_params)[1]), config, sampled)


def policy_of_state(state: Any, spec: EnvSpec, config: PPOConfig, sampled: bool) -> Policy:
    """The policy of a training's state, where the description of its environment is known already."""
    return Policy(state.params, state.obs_moments, spec, config, sampled)


def fresh_policy(key: jax.Array, spec: EnvSpec, config: PPOConfig, *, sampled: bool = True) -> Policy:
    """A policy that has not learnt anything: its network's first weights, and statistics of no observation."""
    network = make_network(config, spec.action)
    row = jnp.zeros((1, spec.obs_size), jnp.float32)
    params = network.init(key, network.initial_memory(1), row, jnp.zeros(1, bool))
    return Policy(params, init_moments((spec.obs_size,)), spec, config, sampled)


@jax.jit
def _act(
    policy: Policy, key: jax.Array, obs: Any, mask: jax.Array | None, carry: Memory, reset: jax.Array | None
) -> tuple[jax.Array, Memory]:
    network = make_network(policy.config, policy.spec.action)
    x = policy._see(obs)
    reset = jnp.zeros(x.shape[:-1], bool) if reset is None else reset
    carry, head, _ = network.apply(policy.params, carry, x, reset)
    dist = distribution(policy.spec.action, head, mask)
    action = dist.sample(seed=key) if policy.sampled else dist.mode()
    return to_environment(policy.spec.action, action), carry
