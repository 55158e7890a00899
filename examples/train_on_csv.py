"""Train on a CSV file, and judge the policy on the sessions that it has not seen.

python examples/train_on_csv.py [steps]

The file is written here first, of the built-in synthetic market; put yours in its place, with `market="NQ"`, say.
"""

import pathlib
import sys
import tempfile

import gymnax
import jax

from purejaxrl_ppo import FitOptions, PPOConfig, fit
from trading_gymnax import evaluate_policy
from trading_gymnax.synthetic import SYNTH, regime

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000

with tempfile.TemporaryDirectory() as folder:
    bars = pathlib.Path(folder, "bars.csv")
    regime(num_sessions=30).frame.to_csv(bars, index=False)  # timestamp, open, high, low, close, volume

    env, params = gymnax.make("TradingPhase1-v0", data=bars, market=SYNTH)
    past, future = params.market.split("2025-02-03")
    config = PPOConfig(total_timesteps=steps, num_envs=256, learning_rate=1e-3, ent_coef=0.003, gae_lambda=0.98)
    run = fit(env, params.replace(market=past), config, run_dir=f"{folder}/run", options=FitOptions(eval_every=0))

found = evaluate_policy(run.policy, env, params.replace(market=future), key=jax.random.key(1))
print(found.trades[["entry_time", "side", "entry_price", "exit_price", "exit_reason", "net_usd"]].head())
print(f"{len(found.sessions)} unseen sessions, {found.sessions['net_usd'].mean():+,.0f} dollars each")
