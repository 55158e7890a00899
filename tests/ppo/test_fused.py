"""Both towers in one kernel, here interpreted: the same outputs and gradients as the network's own, to rounding."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo import PPOConfig, make_train, train
from purejaxrl_ppo.devices import plan_for
from purejaxrl_ppo.fused import OUTPUTS, fits, fuse
from purejaxrl_ppo.kernels import apply_fused
from purejaxrl_ppo.networks import ActionSpec, make_network
from tests.ppo.probes import BoxTarget, Table, table

OBS = 20


def network(hidden_sizes, activation="tanh", outputs=3):
    config = PPOConfig(hidden_sizes=hidden_sizes, activation=activation, bfloat16=False)
    return make_network(config, ActionSpec(num_actions=outputs))


def parameters(net, rng):
    """Of the network, with no zeros where it starts with some."""
    empty = net.init(jax.random.key(0), (), jnp.zeros((1, OBS)), jnp.zeros(1, bool))
    return jax.tree.map(lambda x: jnp.asarray(rng.normal(0, 0.3, x.shape), jnp.float32), empty)


def inputs_of(obs):
    """Observations [..., OBS], a 1, and zeros up to 64 numbers."""
    end = np.zeros((*obs.shape[:-1], 64 - OBS), np.float32)
    end[..., 0] = 1
    return jnp.concatenate([obs, end], axis=-1)


@pytest.mark.parametrize(
    ("net", "batch", "picked"),
    [
        (network((16, 16)), 40, [4, 0, 2]),  # tiles of 16 rows: the last begins at row 24
        (network((32,), "relu"), 16, [1]),
        (network((16, 16, 16), outputs=OUTPUTS - 1), 2_200, [3, 3]),  # a step picked twice counts twice
        (network((64, 64)), 4_300, [2]),  # 269 tiles for 132 programs
        (network((128, 128)), 40, [4, 0, 2]),
        (network((256, 256), "relu", OUTPUTS - 1), 1_100, [3, 3]),  # 36 tiles for 16 programs, 138 for 132
    ],
    ids=["tanh", "relu", "every output", "more tiles than programs", "wide", "wider"],
)
def test_outputs_and_gradient_are_those_of_the_network(net, batch, picked):
    rng = np.random.default_rng(0)
    params, picked = parameters(net, rng), jnp.asarray(picked)
    obs = jnp.asarray(rng.normal(size=(5, batch, OBS)), jnp.float32)
    by_head = jnp.asarray(rng.normal(size=(len(picked), batch, net.spec_outputs)), jnp.float32)
    by_value = jnp.asarray(rng.normal(size=(len(picked), batch)), jnp.float32)

    def own(params):
        _, head, value = net.apply(params, (), obs[picked], None)
        return (head * by_head).sum() + (value * by_value).sum(), (head, value)

    def fused(params):
        head, value = apply_fused(net, fuse(net, params, 64), inputs_of(obs), picked)
        return (head * by_head).sum() + (value * by_value).sum(), (head, value)

    there, outputs_there = jax.jit(jax.grad(own, has_aux=True))(params)
    here, outputs_here = jax.jit(jax.grad(fused, has_aux=True))(params)
    for a, b in zip(outputs_here, outputs_there, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, atol=2e-6 * float(jnp.abs(b).max()))
    for a, b in zip(jax.tree.leaves(here), jax.tree.leaves(there), strict=True):
        assert float(jnp.abs(b).max()) > 0.1
        np.testing.assert_allclose(a, b, atol=2e-6 * batch)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"minibatch_by": "time"}, id="time"),
        pytest.param({"minibatch_by": "rows", "microbatch_rows": 32}, id="rows", marks=pytest.mark.slow),
        pytest.param({"env": BoxTarget()}, id="box"),
        pytest.param({"hidden_sizes": (128, 128)}, id="wide"),
    ],
)
def test_a_training_learns_the_same(settings, monkeypatch):
    settings = dict(settings)
    env = settings.pop("env", Table())
    small = {"num_envs": 16, "num_steps": 8, "num_epochs": 2, "num_minibatches": 2, "hidden_sizes": (16, 16)}
    config = PPOConfig(**{**small, "total_timesteps": 16 * 8 * 3, "bfloat16": False, **settings})
    params = table(reward=[[1.0, -3.0, 7.0]] * 4, start=(1, 1, 1, 1)) if isinstance(env, Table) else env.default_params

    def fused_plan(*args):
        plan = plan_for(*args[:2], "gpu")
        return dataclasses.replace(plan, fused_towers=True, joined_towers=False)

    one = jax.jit(make_train(env, config))(jax.random.key(0), params)
    monkeypatch.setattr(train, "plan_for", fused_plan)
    other = jax.jit(make_train(env, config))(jax.random.key(0), params)
    for a, b in zip(jax.tree.leaves(other.state.params), jax.tree.leaves(one.state.params), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    np.testing.assert_allclose(other.metrics["value_loss"], one.metrics["value_loss"], rtol=1e-3)
    assert float(other.metrics["first_ratio_error"].max()) < 1e-5


@pytest.mark.slow
def test_seeds_learn_side_by_side():
    config = PPOConfig(num_envs=16, num_steps=8, total_timesteps=16 * 8 * 2, num_epochs=1, hidden_sizes=(16, 16))
    params = table(reward=[[1.0, -3.0, 7.0]] * 4, start=(1, 1, 1, 1))
    run = make_train(Table(), config, backend="gpu")
    keys = jax.random.split(jax.random.key(0), 2)
    both = jax.jit(jax.vmap(run, (0, None)))(keys, params)
    for i in range(2):
        alone = jax.jit(run)(keys[i], params)
        for a, b in zip(jax.tree.leaves(both.state.params), jax.tree.leaves(alone.state.params), strict=True):
            assert a[i].dtype == b.dtype == jnp.float32
            np.testing.assert_allclose(a[i], b, atol=1e-4)


def test_which_towers_fit():
    assert fits((64, 64), "tanh", 3, 256)
    assert fits((16,), "relu", 15, 64)
    assert fits((256, 256), "tanh", 3, 256)
    for sizes in ((64, 32), (128,), (128,) * 3, (512, 512), (8,), (16,) * 4):
        assert not fits(sizes, "tanh", 3, 256)
    assert not fits((64, 64), "gelu", 3, 256)
    assert not fits((64, 64), "tanh", 16, 256)
    assert not fits((64, 64), "tanh", 3, 240)
    assert not fits((64, 64), "tanh", 3, 576)
