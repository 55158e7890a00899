"""Environments of every make as the trainer sees them."""

import copy
import pickle

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnax.environments import spaces
from gymnax.wrappers import purerl

from purejaxrl_ppo.wrappers import (
    FiveValueAdapter,
    FlattenObservation,
    Wrapper,
    action_mask,
    action_spec,
    flatten_batch,
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
