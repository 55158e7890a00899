"""Episode statistics of a policy."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl_ppo.memory import check_memory, memory_in_words, tree_bytes
from purejaxrl_ppo.policy import Policy
from purejaxrl_ppo.programs import kept_with_environment
from purejaxrl_ppo.wrappers import action_mask, hashable, prepare


class Episodes(struct.PyTreeNode):
    """One finished episode of each of B environments."""

    returns: jax.Array  # float32 [B], undiscounted sum of rewards
    lengths: jax.Array  # int32 [B]
    finished: jax.Array  # bool [B]; False: cut off by `max_steps`, counted as it stood

    def summary(self) -> dict[str, float]:
        """Mean, deviation, extremes and length as plain numbers."""
        return {
            "return": float(self.returns.mean()),
            "return_std": float(self.returns.std()),
            "return_min": float(self.returns.min()),
            "return_max": float(self.returns.max()),
            "length": float(self.lengths.astype(jnp.float32).mean()),
            "episodes": float(self.returns.shape[0]),
            "unfinished": float((~self.finished).sum()),
        }


@memory_in_words("the evaluation", "the number of episodes")
def evaluate(
    env: Any, env_params: Any, policy: Policy, key: jax.Array, num_episodes: int = 64, max_steps: int = 10_000
) -> Episodes:
    """Play the first episode of `num_episodes` environments with one policy.

    One episode each: counting whatever finishes first in a running batch would favour short episodes. The program is
    kept as long as `env` is: whoever evaluates again gives the same object.

    Raises:
        ValueError: for fewer than one episode or step, and for more than int32 counts.
        MemoryError: saying how much memory so many episodes want.
    """
    for name, value in (("num_episodes", num_episodes), ("max_steps", max_steps)):
        if not 1 <= value < 2**31:
            raise ValueError(f"{name}={value} must be at least 1 and below {2**31:,}")
    env = hashable(env)  # held until the program is traced
    return _program(env, num_episodes, max_steps)(env_params, policy, key)


@kept_with_environment
def _program(env_of: Callable[[], Any], num_episodes: int, max_steps: int) -> Callable[..., Episodes]:
    """Compiled `_evaluate` of one environment."""

    def program(env_params: Any, policy: Policy, key: jax.Array) -> Episodes:
        return _evaluate(env_of(), env_params, policy, key, num_episodes, max_steps)

    return jax.jit(program)


def _evaluate(env: Any, env_params: Any, policy: Policy, key: jax.Array, num_episodes: int, max_steps: int) -> Episodes:
    env, spec = prepare(env, env_params)
    key, key_reset = jax.random.split(key)
    # sizes are known while the program is traced: looked at once, and before anything is allocated
    one = jax.eval_shape(env.reset, key_reset, env_params)
    check_memory("the evaluation", {"the number of episodes": num_episodes * tree_bytes(one)})
    obs, state = jax.vmap(env.reset, (0, None))(jax.random.split(key_reset, num_episodes), env_params)
    start = Episodes(
        jnp.zeros(num_episodes, jnp.float32), jnp.zeros(num_episodes, jnp.int32), jnp.zeros(num_episodes, bool)
    )

    def body(loop: tuple[Any, ...]) -> tuple[Any, ...]:
        step, key, obs, state, carry, seen = loop
        keys = jax.random.split(key, num_episodes + 2)
        mask = jax.vmap(lambda s: action_mask(env, s, env_params))(state) if spec.masked else None
        if policy.config.recurrent:
            action, carry = policy(keys[1], obs, mask, carry)
        else:
            action = policy(keys[1], obs, mask)
        obs, state, reward, terminated, truncated, _ = jax.vmap(env.step, (0, 0, 0, None))(
            keys[2:], state, action, env_params
        )
        running = ~seen.finished
        seen = Episodes(
            seen.returns + jnp.where(running, reward.astype(jnp.float32), 0.0),
            seen.lengths + running.astype(jnp.int32),
            seen.finished | terminated | truncated,
        )
        return step + 1, keys[0], obs, state, carry, seen

    loop = (jnp.int32(0), key, obs, state, policy.initial_carry(num_episodes), start)
    return jax.lax.while_loop(lambda c: (c[0] < max_steps) & ~c[-1].finished.all(), body, loop)[-1]
