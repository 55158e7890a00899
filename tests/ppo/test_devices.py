"""What is chosen for which kind of device."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo import PPOConfig
from purejaxrl_ppo.devices import plan_for
from purejaxrl_ppo.networks import ActionSpec
from purejaxrl_ppo.packing import packing
from purejaxrl_ppo.wrappers import EnvSpec


def plan(backend, masked=True, **settings):
    spec = EnvSpec(obs_shapes=((225,),), action=ActionSpec(num_actions=3), masked=masked)
    return plan_for(PPOConfig(**settings), spec, backend)


def parts(backend, **settings):
    return plan(backend, **settings).microbatches


def test_parts_of_a_minibatch():
    # 32 time steps of 1,024 environments: parts of one time step
    assert parts("cpu") == 16
    assert parts("gpu") == 1
    assert parts("cpu", microbatch_rows=5000) == 8  # 6.6 rounded up, and up to a divisor of 32
    assert parts("cpu", num_envs=4) == 1  # 128 rows
    assert parts("gpu", num_envs=4, microbatch_rows=32) == 4


def test_rows_without_a_choice_are_left_out_on_a_cpu_where_towers_are_separate():
    def skips(backend, masked=True, **settings):
        found = plan(backend, masked, **settings)
        assert found.skip_in_rollout == found.skip_in_learning
        return found.skip_in_learning

    assert skips("cpu")
    assert not skips("gpu")
    assert not skips("cpu", masked=False)
    for settings in ({"shared_torso": True}, {"recurrent": True}, {"choice_rows_only": False}):
        assert not skips("cpu", **settings)


def test_an_accelerator_keeps_inputs_that_fit_its_memory():
    assert plan("gpu").whole_inputs
    assert not plan("cpu").whole_inputs
    large = {"num_envs": 2**18, "total_timesteps": 2**30}
    assert not plan("gpu", **large, bfloat16=False).whole_inputs  # 30 GB
    assert plan("gpu", **large).whole_inputs


def test_a_gpu_computes_towers_that_fit_in_kernels_and_in_bfloat16():
    def found(backend="gpu", **settings):
        one = plan(backend, **settings)
        return one.fused_towers, one.joined_towers, one.bfloat16

    assert found() == (True, False, True)
    assert found(bfloat16=True) == found(hidden_sizes=(256, 256)) == (True, False, True)
    assert found(bfloat16=False) == (False, True, False)
    assert found("tpu") == found("gpu", activation="gelu") == (False, True, False)
    assert found("cpu") == found("gpu", recurrent=True) == found("gpu", layer_norm=True) == (False, False, False)
    assert found("cpu", bfloat16=True) == (False, False, True)
    for settings in ({"hidden_sizes": (64, 32)}, {"hidden_sizes": (512, 512)}, {"num_envs": 8}):
        assert found(**settings) == (False, True, False)
        assert found(**settings, bfloat16=True) == (False, True, True)
    # parts of 8 rows, by rows
    assert found(num_envs=16, num_steps=16, num_minibatches=4, minibatch_by="rows", microbatch_rows=8)[0] is False


@pytest.mark.parametrize(
    ("capability", "held"),
    [("9.0", True), ("10.0", True), ("8.0", False), ("8.9", False), ("12.0", False), ("gfx942", False)],
)
def test_a_gpu_with_less_shared_memory_uses_no_kernels_of_ours(monkeypatch, capability, held):
    monkeypatch.setattr(jax, "devices", lambda: [types.SimpleNamespace(compute_capability=capability)])
    one = plan("gpu")
    assert (one.fused_towers, one.joined_towers, one.bfloat16) == (held, not held, held)


def test_what_is_packed_comes_back():
    rng = np.random.default_rng(0)
    tree = {
        "flag": jnp.asarray(rng.random(5) < 0.5),
        "mask": jnp.asarray(rng.random((5, 3)) < 0.5),
        "number": jnp.asarray(rng.integers(-(2**31), 2**31, 5), jnp.int32),
        "word": jnp.asarray(rng.integers(0, 2**32, (5, 2, 2)), jnp.uint32),
        "value": jnp.asarray([np.nan, -0.0, np.inf, 1e-45, 3.5], jnp.float32),
        "small": jnp.asarray(rng.integers(0, 9, 5), jnp.uint8),
        "wide": jnp.asarray(rng.normal(size=(5, 65)), jnp.float32),
        "key": jax.random.split(jax.random.key(0), 5),
        "none": None,
    }
    pack, unpack = packing(jax.eval_shape(lambda: tree))
    words, others = pack(tree)
    assert (words.shape, words.dtype) == ((1 + 3 + 1 + 4 + 1, 5), jnp.int32)
    assert len(others) == 3
    again = unpack((jnp.stack([words, words]), [jnp.stack([x, x]) for x in others]))
    assert jax.tree.structure(again) == jax.tree.structure(tree)
    for name, x in tree.items():
        if x is None:
            continue
        for t in range(2):
            a, b = (jax.random.key_data(y) if name == "key" else y for y in (again[name][t], x))
            assert a.dtype == b.dtype
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes(), name


@pytest.mark.parametrize("shape", [(5,), (5, 2)])
def test_nothing_narrow_packs_into_nothing(shape):
    tree = [jnp.ones(shape, jnp.uint8)]
    pack, unpack = packing(jax.eval_shape(lambda: tree))
    words, others = pack(tree)
    assert words.size == 0
    np.testing.assert_array_equal(unpack((words, others))[0], tree[0])
