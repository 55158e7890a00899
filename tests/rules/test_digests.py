"""What the environments and a training gave before: moving code about must not change a single number.

A digest that changes on purpose (a rule of docs/rules.md, a random number drawn in another order) is printed by the
failing test and written down here anew, with the reason in the commit.
"""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo import PPOConfig, make_train
from trading_gymnax import TradingPhase1, TradingPhase2
from trading_gymnax.synthetic import default_market

STEPS, ENVS = 1_000, 16
DIGESTS = {
    1: "6307158b2076804fc40e412e205900def9f7f2ab45813d65428533c8c4cd0793",
    2: "36c1e39252b0904c39402013ce2aa24e71dede1097537468dec8937dde066399",
}
# Whole numbers, flags and masks: they decide every dollar, and are the same on every processor. The last digits of
# observations and rewards are not, and rounded ones would flip where a value lies on an edge; `test_parity` compares
# them with the reference within a tolerance, the training below by what is learnt from them.
INFO = ("equity_cents", "balance_cents", "trade_pnl_cents", "exit_reason", "done_reason", "position", "market_id")
LEARNT = {
    "reward": [0.04977121204137802, 0.04389876499772072, 0.057851359248161316, 0.05443231388926506],
    "value_loss": [0.3122918903827667, 0.17895448207855225, 0.16476143896579742, 0.13400617241859436],
    "entropy": [1.0973899364471436, 1.0946658849716187, 1.0848509047103882, 1.077170729637146],
    "episodes": [0.0, 2.0, 3.0, 1.0],
}
FLAGS = ("invalid_action", "ambiguous_bar", "terminated", "truncated")


def random_walk(env, params):
    """Masks and whole numbers of `STEPS` random legal steps of `ENVS` environments, int32 [STEPS, ENVS, ...]."""

    def one(state, key):
        key_action, key_step = jax.random.split(key)
        mask = jax.vmap(env.action_mask, (0, None))(state, params)
        action = jnp.argmax(jnp.where(mask, jax.random.bits(key_action, mask.shape) >> 1, 0), axis=1)
        keys = jax.random.split(key_step, ENVS)
        _, state, _, _, _, info = jax.vmap(env.step, (0, 0, 0, None))(keys, state, action, params)
        rows = [info[name].astype(jnp.int32) for name in (*INFO, *FLAGS)]
        return state, (mask.astype(jnp.int32), jnp.stack([*rows, state.step_idx, state.floor], axis=1))

    start = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(7), ENVS), params)[1]
    return jax.lax.scan(one, start, jax.random.split(jax.random.key(8), STEPS))[1]


@pytest.mark.parametrize("phase", [1, 2])
def test_a_thousand_steps_are_those_of_before(phase):
    env = {1: TradingPhase1, 2: TradingPhase2}[phase](default_market())
    rows = jax.jit(lambda params: random_walk(env, params))(env.default_params)
    assert rows[1].shape[0] == STEPS
    assert np.any(rows[1][..., 2, :] != 0)  # trades were closed
    digest = hashlib.sha256(b"".join(np.asarray(x, "<i4").tobytes() for x in rows)).hexdigest()
    assert digest == DIGESTS[phase]


def test_a_training_learns_what_it_learnt_before():
    env = TradingPhase1(default_market())
    config = PPOConfig(num_envs=64, num_steps=32, total_timesteps=4 * 64 * 32)
    result = jax.jit(make_train(env, config))(jax.random.key(3), env.default_params)
    found = {name: np.asarray(result.metrics[name]) for name in LEARNT}
    assert found["episodes"].tolist() == LEARNT["episodes"]
    for name, values in LEARNT.items():  # sums in another order move the last digits
        np.testing.assert_allclose(found[name], values, rtol=1e-4, err_msg=name)
