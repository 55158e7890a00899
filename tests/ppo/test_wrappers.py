"""Environments of every make as the trainer sees them."""

import copy
import dataclasses
import pickle
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import spaces
from gymnax.wrappers import purerl

from purejaxrl_ppo.wrappers import (
    FiveValueAdapter,
    FlattenObservation,
    Wrapper,
    action_mask,
    action_spec,
    flatten_batch,
    hashable,
    prepare,
)
from tests.ppo.probes import BoxTarget, DictObservation, Table, table


class OldStyle:
    """CartPole behind the interface of gymnax 0.x: five values, no final observation."""

    def __init__(self, **extra):
        self._inner, self._extra = gymnax.make("CartPole-v1")[0], extra

    def reset(self, key, params):
        return self._inner.reset(key, params)

    def step(self, key, state, action, params):
        obs, state, reward, terminated, truncated, info = self._inner.step(key, state, action, params)
        return obs, state, reward, terminated | truncated, {"discount": info["discount"]} | self._extra

    def action_space(self, params):
        return self._inner.action_space(params)


@pytest.mark.parametrize(
    "make", [Wrapper, FlattenObservation, FiveValueAdapter, lambda e: Wrapper(FlattenObservation(e))]
)
def test_wrappers_survive_copy_pickle_and_hashing(make):
    env = make(Table())
    assert isinstance(copy.deepcopy(env)._env, Table | FlattenObservation)
    assert pickle.loads(pickle.dumps(env)).num_actions == 3
    assert env == copy.copy(env)
    assert hash(env) == hash(copy.copy(env))
    assert env != make(Table())  # another environment object
    with pytest.raises(AttributeError):
        env.no_such_thing  # noqa: B018


def test_flattening_reaches_the_final_observation():
    env = FlattenObservation(DictObservation())
    key = jax.random.key(0)
    obs, state = env.reset(key, env.default_params)
    assert obs.shape == (3,)
    final = env.step(key, state, jnp.zeros(1), env.default_params)[5]["final_observation"]
    # leaves in tree order: "pair" = (place, time = 1 after the step), then "place"
    np.testing.assert_allclose(final, [obs[0], 1.0, obs[2]])


def test_five_values_become_six():
    env, spec = prepare(OldStyle(), gymnax.make("CartPole-v1")[1])
    assert isinstance(env, FiveValueAdapter)
    assert (spec.obs_size, spec.action.num_actions, spec.masked) == (4, 2, False)
    params = gymnax.make("CartPole-v1")[1]
    key = jax.random.key(0)
    _, state = env.reset(key, params)
    state = state.replace(x=jnp.float32(2.39), x_dot=jnp.float32(10.0))  # off the track after one step
    values = env.step(key, state, jnp.int32(1), params)
    assert len(values) == 6
    assert (bool(values[3]), bool(values[4])) == (True, False)
    assert values[5]["final_observation"].shape == (4,)


def test_five_values_with_a_hidden_truncation_are_refused():
    with pytest.raises(ValueError, match="final_observation"):
        prepare(OldStyle(truncated=jnp.bool_(True)), gymnax.make("CartPole-v1")[1])


def test_masks_are_asked_of_the_inner_state_through_any_wrapper():
    params = table(legal=[[True, False, True], [True, True, True], [True] * 3, [True] * 3])
    for env in (
        Table(),
        Wrapper(Table()),
        FlattenObservation(Wrapper(Table())),
        purerl.LogWrapper(Table()),
        purerl.FlattenObservationWrapper(purerl.LogWrapper(Table())),
        FlattenObservation(purerl.LogWrapper(Table())),
    ):
        _, state = env.reset(jax.random.key(0), params)
        np.testing.assert_array_equal(action_mask(env, state, params), [True, False, True])
        assert prepare(env, params)[1].masked
    cartpole, cart_params = gymnax.make("CartPole-v1")
    assert action_mask(cartpole, None, cart_params) is None


class Counted(struct.PyTreeNode):
    inside: Any
    steps: Any


class Counting:
    """A wrapper of another package: its own names for the inner environment and for its state."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    def reset(self, key, params):
        obs, state = self.env.reset(key, params)
        return obs, Counted(inside=state, steps=jnp.int32(0))

    def step(self, key, state, action, params):
        obs, inside, *rest = self.env.step(key, state.inside, action, params)
        return obs, Counted(inside, state.steps + 1), *rest


def test_the_inner_state_is_found_under_any_name():
    params = table(legal=[[True, False, True]] * 4)
    for env in (Counting(Table()), Counting(Counting(purerl.LogWrapper(Table())))):
        _, state = env.reset(jax.random.key(0), params)
        np.testing.assert_array_equal(action_mask(env, state, params), [True, False, True])
        assert prepare(env, params)[1].masked


def test_a_mask_that_cannot_be_asked_for_is_refused():
    class Hidden(Counting):
        def __init__(self, env):
            self.game = env

        def __getattr__(self, name):
            return getattr(self.__dict__["game"], name) if name != "env" else self.__dict__["game"]

    with pytest.raises(ValueError, match="keep that environment in the attribute `_env`"):
        prepare(Hidden(Table()), table())

    class Twice(Counting):
        def reset(self, key, params):
            obs, state = self.env.reset(key, params)
            return obs, Counted(inside=state, steps=state)

        def step(self, key, state, action, params):
            obs, inside, *rest = self.env.step(key, state.inside, action, params)
            return obs, Counted(inside, state.steps), *rest

    with pytest.raises(ValueError, match="keep it in a field `env_state`"):
        prepare(Twice(Table()), table())

    class FiveWide(Table):
        def action_mask(self, state, params):
            return jnp.ones(5, bool)

    with pytest.raises(ValueError, match=r"shape \(5,\): \(3,\) is expected"):
        prepare(FiveWide(), table())


def test_steps_that_the_trainer_cannot_use_are_refused():
    class Changed(Table):
        def __init__(self, change):
            self.change = change

        def step(self, key, state, action, params=None):
            return self.change(*super().step(key, state, action, params))

    for change, message in (
        (lambda o, s, r, te, tu, info: (o, s, r, te, tu, {}), "has no 'final_observation'"),
        (
            lambda o, s, r, te, tu, info: (o, s, r, te, tu, {"final_observation": o[:2]}),
            r"has the shapes \[\(2,\)\], observations \[\(4,\)\]",
        ),
        (lambda o, s, r, te, tu, info: (o, s, r, te * 1.0, tu, info), "terminated of Changed is float32"),
    ):
        with pytest.raises(ValueError, match=message):
            prepare(Changed(change), table())


def test_environments_without_a_hash_go_by_identity():
    @dataclasses.dataclass
    class Plain:
        inner: Any

    env = Plain(Table())
    assert hashable(env) == hashable(env)
    assert hash(hashable(env)) == hash(hashable(env))
    assert hashable(env) != hashable(Plain(env.inner))
    assert hashable(env).inner is env.inner
    assert hashable(env).name == "Plain"
    assert hashable(env.inner) is env.inner


def test_action_spaces():
    assert action_spec(spaces.Discrete(4)).num_outputs == 4
    box = action_spec(spaces.Box(-1.0, jnp.array([1.0, 2.0]), (2,)))
    np.testing.assert_allclose(box.low, [-1.0, -1.0])
    assert box.num_outputs == 2
    with pytest.raises(ValueError, match="Tuple are not supported"):
        action_spec(spaces.Tuple([spaces.Discrete(2)]))


def test_batches_of_structured_observations_are_flattened():
    env = DictObservation()
    spec = prepare(env, env.default_params)[1]
    assert spec.obs_shapes == ((1, 2), ())
    obs = {"pair": jnp.zeros((5, 6, 1, 2)), "place": jnp.ones((5, 6))}
    assert flatten_batch(spec.obs_shapes, obs).shape == (5, 6, 3)
    with pytest.raises(ValueError, match="given to a policy"):
        flatten_batch(spec.obs_shapes, {"pair": jnp.zeros((1, 3)), "place": jnp.ones(())})


def test_steps_of_another_length_are_refused():
    class Four(BoxTarget):
        def step(self, key, state, action, params=None):
            return super().step(key, state, action, params)[:4]

    with pytest.raises(ValueError, match="returns 4 values"):
        prepare(Four(), Four().default_params)
