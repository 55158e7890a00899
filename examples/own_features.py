"""Features of one's own in place of the default ones, and the proof that they do not look ahead.

python examples/own_features.py [steps]
"""

import sys

import jax
import numpy as np
import pandas as pd

from purejaxrl_ppo import PPOConfig, make_train
from trading_gymnax import TradingPhase1
from trading_gymnax.data.audit import audit_features, feature_table
from trading_gymnax.synthetic import SYNTH, regime

steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000


def features(frame: pd.DataFrame) -> pd.DataFrame:
    """Returns over several horizons in units of their own spread, and where the close lies in that of 390 bars.

    frame: open, high, low, close (points) and volume, by New York time of the bar's close; as many rows come back.
    """
    moves = np.log(frame["close"]).diff()
    spread = moves.ewm(span=390).std()
    columns = {f"trend_{bars}": moves.rolling(bars).sum() / spread / bars**0.5 for bars in (5, 20, 60)}
    high, low = frame["high"].rolling(390).max(), frame["low"].rolling(390).min()
    return pd.DataFrame({**columns, "place": (frame["close"] - low) / (high - low) - 0.5})


tape = regime(num_sessions=20).frame
print(audit_features(features, feature_table(tape, SYNTH), cuts=10))
env = TradingPhase1(tape, SYNTH, feature_fn=features)
train = jax.jit(make_train(env, PPOConfig(total_timesteps=steps, num_envs=256)))
metrics = train(jax.random.key(0), env.default_params).metrics
print("observation:", env.obs_shape, "last return of an episode:", metrics["episode_return"][-1])
