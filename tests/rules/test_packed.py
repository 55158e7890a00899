"""States in one array read and change like states of many, and prepared parameters give the same numbers."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trading_gymnax import EnvStatePhase2, TradingPhase2, starts
from trading_gymnax.packed import pack, unpack
from trading_gymnax.phase1 import EnvState

NAMES = [field.name for field in dataclasses.fields(EnvStatePhase2)]
FLAGS = {"day_over", "terminated", "data_end", "trailing_stop_active"}


def numbered():
    """A state whose fields are -7, -6, ... in their order, and whose flags are all True."""
    values = {name: jnp.bool_(True) if name in FLAGS else jnp.int32(i - 7) for i, name in enumerate(NAMES)}
    return EnvStatePhase2(**values)


def test_a_packed_state_is_one_array_and_reads_like_the_fields():
    packed = pack(numbered())
    (row,) = jax.tree.leaves(packed)
    assert (row.shape, row.dtype) == ((len(NAMES),), jnp.int32)
    assert [field.name for field in dataclasses.fields(packed)] == NAMES
    for form in (packed, pickle.loads(pickle.dumps(packed)), jax.tree.map(np.asarray, packed), unpack(packed)):
        for i, name in enumerate(NAMES):
            field = getattr(form, name)
            assert (field.dtype, int(field)) == ((bool, 1) if name in FLAGS else (jnp.int32, i - 7)), name


def test_fields_of_a_batch_are_replaced():
    batch = jax.tree.map(lambda row: jnp.stack([row, row]), pack(numbered()))
    changed = batch.replace(balance=jnp.array([5, 6]), day_over=False)
    assert changed.balance.tolist() == [5, 6]
    assert changed.day_over.tolist() == [False, False]
    others = [i for i, name in enumerate(NAMES) if name not in ("balance", "day_over")]
    np.testing.assert_array_equal(changed.row[:, others], batch.row[:, others])


def test_what_is_no_field():
    packed = pack(EnvState(**{name: getattr(numbered(), name) for name in EnvState.__dataclass_fields__}))
    with pytest.raises(AttributeError, match="stop_origin"):  # of phase 2
        _ = packed.stop_origin
    with pytest.raises(TypeError, match="EnvState has no field 'stop_origin'"):
        packed.replace(stop_origin=1)


def test_a_restart_draws_the_words_of_its_key():
    key = jax.random.key(5)
    assert [int(word) for word in starts._six_words(key)] == jax.random.bits(key, (6,), jnp.uint32).tolist()
    np.testing.assert_array_equal(
        jax.random.key_data(starts.reset_key(key)), jax.random.key_data(jax.random.split(key)[1])
    )


def test_prepared_parameters_give_the_same_numbers():
    env = TradingPhase2(account_features=True)
    params = env.default_params.replace(rth_open=10.25, rth_close=15.0, max_steps_in_episode=5)

    @jax.jit
    def steps(params):
        def one(state, key):
            action = jnp.arange(8, dtype=jnp.int32) % env.num_actions
            values = jax.vmap(env.step, (0, 0, 0, None))(jax.random.split(key, 8), state, action, params)
            return values[1], values

        state = jax.vmap(env.reset, (0, None))(jax.random.split(jax.random.key(0), 8), params)[1]
        return jax.lax.scan(one, state, jax.random.split(jax.random.key(1), 12))[1]

    plain, prepared = steps(params), steps(env.prepared(params))
    assert int(plain[4].sum()) >= 8  # every episode ended
    jax.tree.map(np.testing.assert_array_equal, plain, prepared)
    with pytest.raises(TypeError, match="rth_open"):
        env.prepared(params).replace(rth_open=9.5)
    once = env.prepared(params)
    assert env.prepared(once) is once
