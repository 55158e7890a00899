"""Tiny environments whose values and best policies are known in closed form.

One tabular environment serves all of them: a probe is a set of parameters, so that every probe runs the same
compiled program.
"""

import gc
import weakref
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from gymnax.environments import environment, spaces

STATES, ACTIONS = 4, 3


@struct.dataclass
class TableState(environment.EnvState):
    place: jax.Array  # int32 (), row of the tables


@struct.dataclass
class TableParams(environment.EnvParams):
    start: jax.Array = None  # float32 [STATES], probability of beginning there
    following: jax.Array = None  # int32 [STATES, ACTIONS]
    reward: jax.Array = None  # float32 [STATES, ACTIONS]
    terminal: jax.Array = None  # bool [STATES, ACTIONS]
    legal: jax.Array = None  # bool [STATES, ACTIONS]
    max_steps_in_episode: jax.Array = None  # int32


class Table(environment.Environment[TableState, TableParams]):
    """A table of transitions; the observation is the place, one-hot. An illegal action pays nothing less."""

    @property
    def default_params(self) -> TableParams:
        return table()

    def step_env(self, key: Any, state: Any, action: Any, params: Any) -> Any:
        cell = (state.place, action)
        following = TableState(time=state.time + 1, place=params.following[cell])
        info = {"illegal": ~params.legal[cell], "twice": 2.0 * params.reward[cell]}
        return self.get_obs(following), following, params.reward[cell], params.terminal[cell], info

    def reset_env(self, key: Any, params: Any) -> Any:
        place = jax.random.choice(key, STATES, p=params.start)
        state = TableState(time=jnp.int32(0), place=place)
        return self.get_obs(state), state

    def get_obs(self, state: Any, params: Any = None, key: Any = None) -> jax.Array:
        return jax.nn.one_hot(state.place, STATES)

    def action_mask(self, state: Any, params: Any) -> jax.Array:
        return params.legal[state.place]

    @property
    def num_actions(self) -> int:
        return ACTIONS

    def action_space(self, params: Any = None) -> spaces.Discrete:
        return spaces.Discrete(ACTIONS)

    def observation_space(self, params: Any) -> spaces.Box:
        return spaces.Box(0.0, 1.0, (STATES,), jnp.float32)


class MarketTable(Table):
    """The probe with bars of its own, as an environment of a market holds them.

    It is played without gymnax's compiled methods: JAX's caches keep what those belong to.
    """

    reset, step = Table.reset.__wrapped__, Table.step.__wrapped__

    def __init__(self) -> None:
        self.bars = jnp.ones(3)


def no_bars_left(bars: weakref.ref[jax.Array]) -> bool:
    """Whether nothing holds the bars any more, no cache of compiled programs either."""
    gc.collect()
    return bars() is None


class StateTable(Table):
    """The probe, whose observations may be rebuilt from its states."""

    observation_from_state = True


def table(
    reward: Any = 0.0,
    start: Any = (1, 0, 0, 0),
    following: Any = 0,
    terminal: Any = True,
    legal: Any = True,
    limit: int = 1000,
) -> TableParams:
    """Parameters from whatever broadcasts to [STATES, ACTIONS]; a vector is one value per place."""

    def spread(x: Any, dtype: Any) -> jax.Array:
        x = jnp.asarray(x, dtype)
        x = x[:, None] if x.ndim == 1 else x
        return jnp.broadcast_to(x if x.ndim else x[None, None], (STATES, ACTIONS))

    probabilities = jnp.asarray(start, jnp.float32)
    return TableParams(
        start=probabilities / probabilities.sum(),
        following=spread(following, jnp.int32),
        reward=spread(reward, jnp.float32),
        terminal=spread(terminal, bool),
        legal=spread(legal, bool),
        max_steps_in_episode=jnp.int32(limit),
    )


class BoxTarget(environment.Environment[environment.EnvState, environment.EnvParams]):
    """One step; the reward is minus the squared distance of a box action to half the observation."""

    def step_env(self, key: Any, state: Any, action: Any, params: Any) -> Any:
        assert action.shape == (1,)
        reward = -jnp.square(action[0] - 0.5 * state.place)
        state = state.replace(time=state.time + 1)
        return self.get_obs(state), state, reward, jnp.bool_(True), {}

    def reset_env(self, key: Any, params: Any) -> Any:
        state = TableState(time=jnp.int32(0), place=jax.random.uniform(key, minval=-1.0, maxval=1.0))
        return self.get_obs(state), state

    def get_obs(self, state: Any, params: Any = None, key: Any = None) -> jax.Array:
        return state.place[None]

    def action_space(self, params: Any = None) -> spaces.Box:
        return spaces.Box(-2.0, 2.0, (1,), jnp.float32)


class DictObservation(BoxTarget):
    """BoxTarget seen through a dict of two arrays."""

    def get_obs(self, state: Any, params: Any = None, key: Any = None) -> Any:
        return {"place": state.place, "pair": jnp.stack([state.place, state.time.astype(jnp.float32)])[None]}
