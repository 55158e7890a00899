"""Environments of every make as the trainer sees them."""

import copy
import dataclasses
import functools
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

from purejaxrl_ppo import PPOConfig, make_train
from purejaxrl_ppo.wrappers import (
    FiveValueAdapter,
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

    def reset(self, key, params=None):
        return self._inner.reset(key, params)

    def step(self, key, state, action, params=None):
        obs, state, reward, terminated, truncated, info = self._inner.step(key, state, action, params)
        return obs, state, reward, terminated | truncated, {"discount": info["discount"]} | self._extra

    def action_space(self, params):
        return self._inner.action_space(params)


@pytest.mark.parametrize("make", [Wrapper, FiveValueAdapter, lambda e: Wrapper(Wrapper(e))])
def test_wrappers_survive_copy_pickle_and_hashing(make):
    env = make(Table())
    assert isinstance(copy.deepcopy(env)._env, Table | Wrapper)
    assert pickle.loads(pickle.dumps(env)).num_actions == 3
    assert env == copy.copy(env)
    assert hash(env) == hash(copy.copy(env))
    assert env != make(Table())  # another environment object
    with pytest.raises(AttributeError):
        env.no_such_thing  # noqa: B018


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


class StaticParams(Counting):
    """As Craftax_Baselines' wrappers: `params` are static arguments of jit, and the state is named `env_state`."""

    @functools.partial(jax.jit, static_argnums=(0, 2))
    def reset(self, key, params=None):
        obs, state = self.env.reset(key, params)
        return obs, Logged(state, jnp.float32(0), jnp.int32(0))

    @functools.partial(jax.jit, static_argnums=(0, 4))
    def step(self, key, state, action, params=None):
        obs, inner, reward, done, info = self.env.step(key, state.env_state, action, params)
        total = state.episode_return + reward
        info = {**info, "returned": jnp.where(done, total, 0.0)}
        return obs, Logged(inner, total * (1 - done), state.steps + 1), reward, done, info


class Logged(struct.PyTreeNode):
    env_state: Any
    episode_return: Any
    steps: Any


class Batched(Counting):
    """As Craftax_Baselines' batching wrappers: one key, several environments."""

    def reset(self, key, params=None):
        return jax.vmap(self.env.reset, (0, None))(jax.random.split(key, 4), params)

    def step(self, key, state, action, params=None):
        return jax.vmap(self.env.step, (0, 0, 0, None))(jax.random.split(key, 4), state, action, params)


def test_wrappers_with_static_parameters_train_with_the_defaults():
    env, params = StaticParams(OldStyle()), gymnax.make("CartPole-v1")[1]
    with pytest.raises(ValueError, match=r"reset of StaticParams takes params as a static argument .* env_params=None"):
        prepare(env, params)
    config = PPOConfig(num_envs=4, num_steps=32, total_timesteps=256, hidden_sizes=(8,), log_info=("returned",))
    metrics = jax.jit(make_train(env, config))(jax.random.key(0), None).metrics
    assert float(metrics["episodes"].min()) > 0
    # what the wrapper itself counted: the last episodes' mean, times their number
    np.testing.assert_allclose(metrics["info/returned"], metrics["episode_return"] * metrics["episodes"], rtol=1e-5)


def test_interfaces_that_do_not_meet_are_refused_in_a_sentence():
    params = gymnax.make("CartPole-v1")[1]
    with pytest.raises(ValueError, match="step of Batched runs several environments at once, but the trainer runs"):
        prepare(Batched(OldStyle()), params)
    with pytest.raises(
        ValueError, match=r"step of LogWrapper expects six values .* put purejaxrl_ppo.FiveValueAdapter"
    ):
        prepare(purerl.LogWrapper(OldStyle()), params)
    assert prepare(purerl.LogWrapper(FiveValueAdapter(OldStyle())), params)[1].obs_size == 4

    class OneValue(OldStyle):
        """As navix's own environments: everything in one value."""

        def reset(self, key, params):
            return Logged(*super().reset(key, params), jnp.int32(0))

    with pytest.raises(ValueError, match=r"reset of OneValue returns a Logged, not gymnax's \(observation, state\)"):
        prepare(OneValue(), params)


def test_other_errors_of_an_environment_are_left_alone():
    class Broken(OldStyle):
        def step(self, key, state, action, params):
            raise ValueError("the lake is frozen")

    with pytest.raises(ValueError, match="the lake is frozen"):
        prepare(Broken(), gymnax.make("CartPole-v1")[1])


def test_masks_are_asked_of_the_inner_state_through_any_wrapper():
    params = table(legal=[[True, False, True], [True, True, True], [True] * 3, [True] * 3])
    for env in (
        Table(),
        Wrapper(Table()),
        Wrapper(Wrapper(Table())),
        purerl.LogWrapper(Table()),
        purerl.FlattenObservationWrapper(purerl.LogWrapper(Table())),
        Wrapper(purerl.LogWrapper(Table())),
    ):
        _, state = env.reset(jax.random.key(0), params)
        np.testing.assert_array_equal(action_mask(env, state, params), [True, False, True])
        assert prepare(env, params)[1].masked
    cartpole, cart_params = gymnax.make("CartPole-v1")
    assert action_mask(cartpole, None, cart_params) is None


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
