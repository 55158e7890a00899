"""Flags and generators of JAX under which users run: the numbers stay, and what would break says so beforehand."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo import PPOConfig, make_train
from tests.rules import flags_run
from trading_gymnax import TradingPhase2
from trading_gymnax.curriculum import linear

CONFIG = PPOConfig(num_envs=4, num_steps=8, total_timesteps=96, num_epochs=2, num_minibatches=2, hidden_sizes=(8,))
FLAGS = {  # those under which random numbers stay what they are
    "64 bits": {"JAX_ENABLE_X64": "1"},
    "strict": {"JAX_NUMPY_DTYPE_PROMOTION": "strict", "JAX_NUMPY_RANK_PROMOTION": "raise"},
    "no NaN": {"JAX_DEBUG_NANS": "1"},
    "checks": {"JAX_CHECK_TRACER_LEAKS": "1", "JAX_DEBUG_KEY_REUSE": "1"},
}


@pytest.fixture(scope="module")
def env() -> TradingPhase2:
    return TradingPhase2(flags_run.market(), account_features=True, market_one_hot=True)


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize(
    "flag", [lambda: jax.enable_x64(True), lambda: jax.numpy_dtype_promotion("strict")], ids=["64 bits", "strict"]
)
def test_a_training_can_be_traced_and_no_type_is_wide(env, flag, recurrent):
    """Types are known while a program is traced, so that nothing needs to be compiled."""
    config = PPOConfig(**{**CONFIG.to_dict(), "hidden_sizes": (8,), "log_info": (), "recurrent": recurrent})
    train = make_train(env, config, linear(sl_atr_mult=(2.0, 1.0), max_steps_in_episode=(6, 3)))
    with flag():
        key = jax.random.key(0)
        state = jax.eval_shape(env.reset, key, env.default_params)[1]
        step = jax.eval_shape(env.step, key, state, jnp.int32(0), env.default_params)
        result = jax.eval_shape(train, key, env.default_params)
    wide = [leaf.dtype for leaf in jax.tree.leaves((step, result)) if "64" in str(leaf.dtype)]
    assert wide == []
    assert step[5]["done_reason"].dtype == jnp.int32


@pytest.fixture(scope="module")
def usual():
    return flags_run.start("environments", "training", "accounts", flags={})


@pytest.mark.slow
@pytest.mark.parametrize("name", FLAGS)
def test_the_numbers_are_those_without_the_flag(usual, name):
    """Whole numbers and types to the bit, float32 to rounding: constants may be folded in another order."""
    found = flags_run.start("environments", "training", "accounts", flags=FLAGS[name])
    for part, values in usual.items():
        for key, value in values.items():
            if key.startswith(("steps", "types")):
                assert found[part][key] == value, (name, key)
            else:
                np.testing.assert_allclose(found[part][key], value, rtol=1e-4, atol=1e-6, err_msg=f"{name}: {key}")


@pytest.mark.slow
def test_without_jit(usual):
    found = flags_run.start("environments", flags={"JAX_DISABLE_JIT": "1"})
    assert found["environments"]["steps 2"] == usual["environments"]["steps 2"]
    assert found["environments"]["types 2"] == usual["environments"]["types 2"]


@pytest.mark.slow
@pytest.mark.parametrize("generator", ["rbg", "unsafe_rbg"])
def test_other_generators(usual, generator):
    """Other draws of the same programs: of the same types, and finite."""
    found = flags_run.start("environments", "training", flags={"JAX_DEFAULT_PRNG_IMPL": generator})
    assert found["environments"]["types 1"] == usual["environments"]["types 1"]
    assert found["training"]["types"] == usual["training"]["types"]
    assert all(np.isfinite(value).all() for name, value in found["training"].items() if name != "types")
