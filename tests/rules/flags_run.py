"""Small programs whose numbers a flag of JAX must not change: `python -m tests.rules.flags_run PART ...` prints JSON.

PART is `environments`, `training` or `accounts`. The numbers of `environments` are whole, so that they have to be the
same to the bit; those of `training` are the metrics of each iteration, those of `accounts` shares and dollars. `types`
names what each array of a step is made of.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_ppo import PPOConfig, make_train
from tests.rules.handmade import make_bars
from trading_gymnax import TradingPhase1, TradingPhase2, load_market_data
from trading_gymnax.accounts import evaluation_account, plans
from trading_gymnax.curriculum import linear
from trading_gymnax.evaluation.baselines import RandomEntries
from trading_gymnax.market import pack
from trading_gymnax.survival.odds import survival
from trading_gymnax.survival.value import lifetime_value
from trading_gymnax.synthetic import regime

ROOT = pathlib.Path(__file__).parents[2]
STEPS, ENVS = 12, 3
INFO = ("equity_cents", "balance_cents", "trade_pnl_cents", "exit_reason", "done_reason", "position", "market_id")


def start(*parts: str, flags: Mapping[str, str]) -> Any:
    """What a new process with these variables of the environment prints; raises RuntimeError with its last words."""
    command = [sys.executable, "-m", "tests.rules.flags_run", *parts]
    surroundings = {**os.environ, "JAX_PLATFORMS": "cpu", **flags}
    done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{dict(flags)}: {done.stderr[-2_000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def market() -> Any:
    """Two markets of 430 and 425 bars whose closes go up and down by nine ticks, with a feature that begins late."""
    tables = []
    for symbol, count in (("NQ", 40), ("ES", 35)):
        closes = 80_000 + np.round(9 * np.sin(np.arange(count + 1))).astype(int)
        rows = [
            (a, max(a, b) + 3, min(a, b) - 3, b) for a, b in zip(closes[:-1].tolist(), closes[1:].tolist(), strict=True)
        ]
        features = np.linspace(-1, 1, (390 + count) * 8).reshape(-1, 8).astype(np.float32)
        features[:100, 0] = np.nan
        options = {"scheduled_close": 930 + count - 1, "tail": False, "features": features, "first_finite_bar": 100}
        tables.append(make_bars(rows, symbol=symbol, **options))
    return pack(tables)


def environments() -> dict[str, Any]:
    """Whole numbers of random steps of both phases, and the types of what a step gives."""
    found: dict[str, Any] = {}
    for phase, kind in enumerate((TradingPhase1, TradingPhase2), start=1):
        env = kind(market(), account_features=True, market_one_hot=True)
        params = env.default_params.replace(max_steps_in_episode=5, min_bars_left=2, risk_per_trade=300)
        obs, state = jax.jit(jax.vmap(env.reset, (0, None)))(jax.random.split(_key(1), ENVS), params)
        step = jax.jit(jax.vmap(env.step, (0, 0, 0, None)))
        masks = jax.jit(jax.vmap(env.action_mask, (0, None)))
        rows = []
        for t in range(STEPS):
            mask = masks(state, params)
            action = jnp.asarray([int(np.flatnonzero(m)[(t + i) % m.sum()]) for i, m in enumerate(np.asarray(mask))])
            obs, state, reward, terminated, truncated, info = step(
                jax.random.split(_key(2 + t), ENVS), state, action.astype(jnp.int32), params
            )
            values = [info[name] for name in INFO] + [terminated, truncated, state.step_idx]
            rows.append([np.asarray(value).astype(int).tolist() for value in values])
        shown = {"obs": obs, "reward": reward, "mask": mask, "row": state.row, **info}
        found[f"steps {phase}"] = rows
        found[f"rewards {phase}"] = np.asarray(reward).tolist()
        found[f"obs {phase}"] = np.asarray(obs, np.float64).sum(axis=1).tolist()
        found[f"types {phase}"] = {name: str(value.dtype) for name, value in sorted(shown.items())}
    return found


def training() -> dict[str, Any]:
    """Metrics of three iterations under a schedule."""
    env = TradingPhase1(market(), max_steps_in_episode=6)
    config = PPOConfig(
        num_envs=4, num_steps=8, total_timesteps=3 * 32, num_epochs=2, num_minibatches=2, hidden_sizes=(8,)
    )
    train = jax.jit(make_train(env, config, linear(sl_atr_mult=(2.0, 1.0), max_steps_in_episode=(6, 3))))
    result = train(_key(3), env.default_params)
    types = sorted({str(leaf.dtype) for leaf in jax.tree.leaves(result) if leaf.dtype != result.state.key.dtype})
    return {**{name: np.asarray(x).tolist() for name, x in result.metrics.items()}, "types": types}


def accounts() -> dict[str, Any]:
    """What comes of attempts and of whole lives with random entries: shares and dollars."""
    tape = regime(7, seed=3)
    env = TradingPhase1(load_market_data(tape.frame, tape.spec))
    policy, market, how = RandomEntries(jnp.float32(0.05)), env.default_params.market, {"sessions": 5, "paths": 32}
    odds = survival(policy, market, evaluation_account(50_000), key=_key(4), env=env, coin_seeds=1, **how)
    value = lifetime_value(policy, market, plans()["topstep-50k"], key=_key(5), env=env, coin_seeds=1, **how)
    usd = value.table().select_dtypes("number")
    return {
        "odds": [getattr(odds.cases[0].policy, name).value for name in ("passed", "breached")],
        "value": np.nan_to_num(usd.to_numpy(float)).tolist(),
    }


def _key(seed: int) -> jax.Array:
    return jax.random.key(seed)


if __name__ == "__main__":
    parts = {"environments": environments, "training": training, "accounts": accounts}
    print(json.dumps({name: parts[name]() for name in sys.argv[1:]}))
