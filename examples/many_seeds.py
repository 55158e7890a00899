"""Many seeds and several learning rates in one program, by `vmap`.

python examples/many_seeds.py [steps]
"""

import sys

import gymnax
import jax
import jax.numpy as jnp

import trading_gymnax  # noqa: F401  (registers the ids)
from purejaxrl_ppo import PPOConfig, make_train

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000

env, params = gymnax.make("TradingPhase1-v0")
config = PPOConfig(total_timesteps=steps, num_envs=256)
train = make_train(env, config)
rates, seeds = (3e-4, 1e-3), 4


def returns_of(rate: jax.Array, key: jax.Array) -> jax.Array:
    """Returns of the episodes along a training, float32 [iterations]."""
    return train(key, params, config.hyperparameters.replace(learning_rate=rate)).metrics["episode_return"]


keys = jnp.tile(jax.random.split(jax.random.key(0), seeds), len(rates))  # the same seeds for every rate
returns = jax.jit(jax.vmap(returns_of))(jnp.repeat(jnp.array(rates), seeds), keys)  # [rates * seeds, iterations]
for rate, last in zip(rates, returns[:, -1].reshape(len(rates), seeds), strict=True):
    print(f"learning rate {rate:.0e}: {last.mean():.2f} +- {last.std(ddof=1) / seeds**0.5:.2f}")
