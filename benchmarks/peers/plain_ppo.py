"""The plain single-file PPO loop of the PureJaxRL kind, for environments of the five-value interface.

Written from its description: everything in one jitted function, a scan over updates, in each a scan over steps, GAE
over [T, B] with one flag `done`, epochs of minibatches drawn by permuting all rows. No normalisation, no masks, and an
episode that ran out of time counts as one that failed. What a user gets who copies such a file, and the yardstick of
`benchmarks/`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import distrax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.linen.initializers import constant, orthogonal
from flax.training.train_state import TrainState


class Settings(NamedTuple):
    """Of one training; all fixed at compile time."""

    num_envs: int = 1024
    num_steps: int = 128
    num_updates: int = 10
    num_epochs: int = 4
    num_minibatches: int = 4
    learning_rate: float = 2.5e-4
    gamma: float = 0.99
    gae_lambda: float = 0.95
    clip_eps: float = 0.2
    ent_coef: float = 0.01
    value_coef: float = 0.5
    max_grad_norm: float = 0.5
    width: int = 64


class ActorCritic(nn.Module):
    """Two separate towers of two tanh layers."""

    num_actions: int
    width: int

    @nn.compact
    def __call__(self, obs: jax.Array) -> tuple[distrax.Categorical, jax.Array]:
        def tower(outputs: int, scale: float) -> jax.Array:
            hidden = obs
            for _ in range(2):
                layer = nn.Dense(self.width, kernel_init=orthogonal(np.sqrt(2)), bias_init=constant(0.0))
                hidden = nn.tanh(layer(hidden))
            return nn.Dense(outputs, kernel_init=orthogonal(scale), bias_init=constant(0.0))(hidden)

        return distrax.Categorical(logits=tower(self.num_actions, 0.01)), tower(1, 1.0)[..., 0]


class Transition(NamedTuple):
    """One step of all environments."""

    obs: jax.Array
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    reward: jax.Array
    done: jax.Array


def make_train(env: Any, settings: Settings) -> Callable[[jax.Array, Any], tuple[Any, jax.Array]]:
    """`train(key, env_params) -> (state, mean reward a step of each update)`, to be jitted."""
    step_envs = jax.vmap(env.step, (0, 0, 0, None))

    def train(key: jax.Array, env_params: Any) -> tuple[Any, jax.Array]:
        network = ActorCritic(env.action_space(env_params).n, settings.width)
        key, key_network, key_reset = jax.random.split(key, 3)
        obs, env_state = jax.vmap(env.reset, (0, None))(jax.random.split(key_reset, settings.num_envs), env_params)
        optimiser = optax.chain(
            optax.clip_by_global_norm(settings.max_grad_norm), optax.adam(settings.learning_rate, eps=1e-5)
        )
        params = network.init(key_network, obs[:1])
        learner = TrainState.create(apply_fn=network.apply, params=params, tx=optimiser)

        def act(carry: Any, _: None) -> tuple[Any, Transition]:
            learner, env_state, obs, key = carry
            key, key_action, key_step = jax.random.split(key, 3)
            policy, value = network.apply(learner.params, obs)
            action = policy.sample(seed=key_action)
            keys = jax.random.split(key_step, settings.num_envs)
            after, env_state, reward, done, _ = step_envs(keys, env_state, action, env_params)
            row = Transition(obs, action, policy.log_prob(action), value, reward, done)
            return (learner, env_state, after, key), row

        def update(carry: Any, _: None) -> tuple[Any, jax.Array]:
            carry, rows = jax.lax.scan(act, carry, None, settings.num_steps)
            learner, env_state, obs, key = carry
            _, last_value = network.apply(learner.params, obs)
            advantages, targets = _gae(rows, last_value, settings)
            key, key_epochs = jax.random.split(key)
            batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (rows, advantages, targets))

            def epoch(learner: Any, key: jax.Array) -> tuple[Any, None]:
                order = jax.random.permutation(key, settings.num_envs * settings.num_steps)
                parts = jax.tree.map(lambda x: x[order].reshape(settings.num_minibatches, -1, *x.shape[1:]), batch)

                def learn(learner: Any, part: Any) -> tuple[Any, None]:
                    gradient = jax.grad(_loss)(learner.params, network, part, settings)
                    return learner.apply_gradients(grads=gradient), None

                return jax.lax.scan(learn, learner, parts)

            learner, _ = jax.lax.scan(epoch, learner, jax.random.split(key_epochs, settings.num_epochs))
            return (learner, env_state, obs, key), rows.reward.mean()

        return jax.lax.scan(update, (learner, env_state, obs, key), None, settings.num_updates)

    return train


def _gae(rows: Transition, last_value: jax.Array, settings: Settings) -> tuple[jax.Array, jax.Array]:
    def back(carry: Any, row: Transition) -> tuple[Any, jax.Array]:
        advantage, next_value = carry
        going = 1.0 - row.done
        delta = row.reward + settings.gamma * next_value * going - row.value
        advantage = delta + settings.gamma * settings.gae_lambda * going * advantage
        return (advantage, row.value), advantage

    _, advantages = jax.lax.scan(back, (jnp.zeros_like(last_value), last_value), rows, reverse=True)
    return advantages, advantages + rows.value


def _loss(params: Any, network: ActorCritic, part: Any, settings: Settings) -> jax.Array:
    rows, advantage, target = part
    policy, value = network.apply(params, rows.obs)
    clipped = rows.value + (value - rows.value).clip(-settings.clip_eps, settings.clip_eps)
    value_loss = 0.5 * jnp.maximum((value - target) ** 2, (clipped - target) ** 2).mean()
    ratio = jnp.exp(policy.log_prob(rows.action) - rows.log_prob)
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    bounded = ratio.clip(1 - settings.clip_eps, 1 + settings.clip_eps)
    policy_loss = -jnp.minimum(ratio * advantage, bounded * advantage).mean()
    return policy_loss + settings.value_coef * value_loss - settings.ent_coef * policy.entropy().mean()
