"""Another library trains on the market: rejax where it is installed, else a loop of the five-value kind.

python examples/another_library.py [steps]
"""

import importlib.util
import sys

import gymnax
import jax
import jax.numpy as jnp

import trading_gymnax  # noqa: F401  (registers the ids)
from trading_gymnax.interop import FiveValueStep

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 131_072

inner, params = gymnax.make("TradingPhase1-v0")
env = FiveValueStep(inner)  # obs, state, reward, done, info = env.step(key, state, action, params)

if importlib.util.find_spec("rejax"):
    import rejax

    algo = rejax.PPO.create(env=env, env_params=params, total_timesteps=steps, eval_freq=steps // 2)
    _, (lengths, returns) = jax.jit(algo.train)(jax.random.key(0))
    print("returns at each evaluation:", returns.mean(axis=1))
else:

    def one(state, key):
        """What any loop of such a library does: act, step, keep what it needs."""
        action = jax.random.randint(key, (64,), 0, env.num_actions)
        keys = jax.random.split(key, 64)
        obs, state, reward, done, info = jax.vmap(env.step, (0, 0, 0, None))(keys, state, action, params)
        return state, (reward, done)

    _, state = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), 64), params)
    _, (reward, done) = jax.jit(lambda s, k: jax.lax.scan(one, s, k))(
        state, jax.random.split(jax.random.key(1), steps // 64)
    )
    print("mean return of an episode:", jnp.sum(reward) / jnp.sum(done))
