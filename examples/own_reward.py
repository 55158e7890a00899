"""A reward of one's own: profit, less what it hurts to sit through a loss.

python examples/own_reward.py [steps]
"""

import sys
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_ppo import PPOConfig, make_train
from trading_gymnax import TradingPhase2, rewards

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
PROFIT = rewards.profit()


def reward(before: Any, after: Any, fill: Any, params: Any) -> jax.Array:
    """The default reward, less a tenth of every ordinary stop (R) that a position lost in this step and stayed open.

    before, after: the account around the step, scalars; fill: what the bar did to the position.
    """
    held = (before.position != 0) & (after.position == before.position)
    fell = jnp.maximum(before.equity - after.equity, 0) * held  # cents
    in_r = fell / 100 / params.reward_scale[after.market_id]
    return PROFIT(before, after, fill, params) - 0.1 * in_r


env = TradingPhase2(reward_fn=reward)  # data="nq.csv", market="NQ" for bars of yours
params = env.default_params
train = jax.jit(make_train(env, PPOConfig(total_timesteps=steps, num_envs=256)))
metrics = train(jax.random.key(0), params).metrics
print("sum of rewards in an episode, no longer its profit:", metrics["episode_return"][-1])
