"""The environments in the interfaces that other libraries speak.

| interface | libraries | here |
|---|---|---|
| gymnax 0.x: `step` gives obs, state, reward, done, info | rejax, PureJaxRL's own loop | `FiveValueStep` |
| the same, from their own call of `gymnax.make` | purejaxrl's files, Stoix, JaxMARL | `five_value_make()` |
| Gymnasium, with `action_masks()` | sb3-contrib's MaskablePPO | `MaskedGymEnv`, `MaskedVectorEnv` |
| masks inside the observation | RLlib and other actor-critics without a mask argument | `with_mask_in_observation` |
"""

from __future__ import annotations

import contextlib
import copy
import weakref
from typing import Any, Literal

import gymnasium
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from gymnax.environments import spaces

IDS = ("TradingPhase1-v0", "TradingPhase2-v0")  # of this package's environments


class _Wrapper:
    """Everything that is not overridden is the inner environment's.

    Two wrappers of one kind around environments that are equal are equal, so that they share compiled programs.
    """

    def __init__(self, env: Any) -> None:
        self._env = env

    def __getattr__(self, name: str) -> Any:
        # While a copy or an unpickled wrapper is being built `_env` is missing, and asking for it would recurse.
        if name == "_env" or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        return getattr(self._env, name)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))


class FiveValueStep(_Wrapper):
    """`step` of gymnax's 0.x interface: obs, state, reward, done, info, with the auto-reset of a six-value environment.

    `done` is terminated or truncated; `info` has both, and the observation before the auto-reset as
    "final_observation", for a learner that tells them apart. Survives `copy.deepcopy`, `pickle`, hashing, jit and vmap.
    """

    def step(
        self, key: jax.Array, state: Any, action: jax.Array, params: Any = None
    ) -> tuple[Any, Any, jax.Array, jax.Array, dict[str, Any]]:
        """One step, and a fresh start where the episode ended; done is bool ()."""
        obs, state, reward, terminated, truncated, info = self._env.step(key, state, action, params)
        return obs, state, reward, terminated | truncated, info


def five_value_make(**arguments: Any) -> contextlib.ExitStack:
    """From now on `gymnax.make` gives environments of five values, for libraries that call it by themselves.

    five_value_make(data="nq.csv", market="NQ")  # one line before purejaxrl's ppo.py, Stoix or JaxMARL are imported
    with five_value_make(): ...  # or for a while

    Every environment of six values is put into a `FiveValueStep`, gymnax's own as well; its parameters stay as they
    are. `done` does not tell the time limit from a failure there, so a learner that reads nothing else values what
    comes after a truncation at 0.

    arguments: of this package's environments, since such a library passes a name and nothing else; what it does pass
    goes first.

    Returns what undoes it: leave it as a context, or call `close()`.
    """
    before = gymnax.make

    def make(env_id: str, **given: Any) -> tuple[Any, Any]:
        env, params = before(env_id, **({**arguments, **given} if env_id in IDS else given))
        return (env if isinstance(env, FiveValueStep) else FiveValueStep(env)), params

    undo = contextlib.ExitStack()
    undo.callback(setattr, gymnax, "make", before)
    gymnax.make = make
    return undo


class _MaskInObservation(_Wrapper):
    """See `with_mask_in_observation`."""

    def __init__(self, env: Any, layout: str) -> None:
        super().__init__(env)
        self.layout = layout

    def observation_space(self, params: Any) -> Any:
        """A dict space, or the flat one with a number for each action behind it."""
        inner, count = self._env.observation_space(params), self._env.num_actions
        if self.layout == "dict":
            return spaces.Dict({"obs": inner, "action_mask": spaces.Box(0, 1, (count,), jnp.bool_)})
        return spaces.Box(inner.low, inner.high, (inner.shape[0] + count,), inner.dtype)

    def reset(self, key: jax.Array, params: Any = None) -> tuple[Any, Any]:
        """Observation with the mask, and the state."""
        params = self._env.default_params if params is None else params
        obs, state = self._env.reset(key, params)
        return self._joined(obs, state, params), state

    def step(self, key: jax.Array, state: Any, action: jax.Array, params: Any = None) -> tuple[Any, ...]:
        """The six values; `info["final_observation"]` carries the mask of the state before the auto-reset."""
        params = self._env.default_params if params is None else params
        before = state
        obs, state, reward, terminated, truncated, info = self._env.step(key, before, action, params)
        # The compiler shares this second transition with the first, and drops it when nobody reads it.
        ended = self._env.step_env(key, before, action, params)[1]
        info = {**info, "final_observation": self._joined(info["final_observation"], ended, params)}
        return self._joined(obs, state, params), state, reward, terminated, truncated, info

    def _joined(self, obs: jax.Array, state: Any, params: Any) -> Any:
        mask = self._env.action_mask(state, params)
        if self.layout == "dict":
            return {"obs": obs, "action_mask": mask}
        return jnp.concatenate([obs, mask.astype(obs.dtype)])


def with_mask_in_observation(env: Any, layout: Literal["dict", "append"] = "dict") -> Any:
    """The environment with its legal actions in every observation, for libraries that know no mask argument.

    layout: "dict" gives {"obs": float32 [n], "action_mask": bool [a]}; "append" gives float32 [n + a] with ones for
    legal actions at the end. An illegal action still acts as HOLD. Raises ValueError for another layout and for an
    environment without `action_mask`.
    """
    if layout not in ("dict", "append"):
        raise ValueError(f"layout is 'dict' or 'append', got {layout!r}")
    if not hasattr(env, "action_mask"):
        raise ValueError(f"{type(env).__name__} has no action_mask(state, params), so there is nothing to add")
    return _MaskInObservation(env, layout)


_PROGRAMS: weakref.WeakKeyDictionary[Any, dict[int | None, tuple[Any, Any, Any]]] = weakref.WeakKeyDictionary()


def _without_bars(env: Any) -> Any:
    """A copy that plays alike where it is given parameters, and keeps no market alive."""
    bare = copy.copy(env)
    if isinstance(env, _Wrapper):
        bare._env = _without_bars(env._env)
    vars(bare).pop("_default_params", None)
    return bare


def _programs(env: Any, num_envs: int | None) -> tuple[Any, Any, Any]:
    """Compiled reset, step and mask of one environment without auto-reset, or of a batch with it.

    They are made once for an environment and go when it goes.
    """
    known = _PROGRAMS.setdefault(env, {})
    if num_envs not in known:
        known[num_envs] = _compiled(_without_bars(env), num_envs)
    return known[num_envs]


def _compiled(env: Any, num_envs: int | None) -> tuple[Any, Any, Any]:
    def end(key: Any, state: Any, action: Any, params: Any) -> tuple[Any, ...]:
        obs, after, reward, terminated, info = env.step_env(key, state, action, params)
        return obs, after, reward, terminated, env.is_truncated(after, params), info

    if num_envs is None:
        return jax.jit(env.reset_env), jax.jit(end), jax.jit(env.action_mask)
    step = jax.vmap(env.step, (0, 0, 0, None))
    return jax.jit(jax.vmap(env.reset, (0, None))), jax.jit(step), jax.jit(jax.vmap(env.action_mask, (0, None)))


def _first_key(seed: int | None) -> jax.Array:
    """The key of a seed; a new one each time where there is none."""
    return jax.random.key(np.random.SeedSequence().generate_state(1).item() >> 1 if seed is None else seed)


class MaskedGymEnv(gymnasium.Env):
    """One environment for Gymnasium libraries, with `action_masks()` as sb3-contrib asks for it.

    NumPy in and out. The observation of a step that ends an episode is that of its end; the library calls `reset`.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012
    render_mode = "rgb_array"

    def __init__(self, env: Any, params: Any = None, *, seed: int | None = None) -> None:
        """env: one of `TradingPhase1` and `TradingPhase2`; params: its own by default; seed: of the starts.

        Without a seed they differ from those of every other environment, as Gymnasium's own do.
        """
        self.env, self.params = env, env.default_params if params is None else params
        self.action_space = gymnasium.spaces.Discrete(env.num_actions)
        box = env.observation_space(self.params)
        self.observation_space = gymnasium.spaces.Box(box.low, box.high, box.shape, np.float32)
        self._reset, self._step, self._mask = _programs(env, None)
        self._key, self._state = _first_key(seed), None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """A fresh account; with a seed, the same starts again. There are no options."""
        super().reset(seed=seed)
        if options:
            raise ValueError(f"this environment has no reset options, got {', '.join(options)}")
        if seed is not None:
            self._key = jax.random.key(seed)
        self._key, key = jax.random.split(self._key)
        obs, self._state = self._reset(key, self.params)
        return np.asarray(obs), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One bar; `info` holds Python numbers."""
        self._key, key = jax.random.split(self._key)
        values = self._step(key, self._started(), jnp.int32(action), self.params)
        obs, self._state, reward, terminated, truncated, info = values
        plain = {name: value.item() for name, value in jax.device_get(info).items()}
        return np.asarray(obs), float(reward), bool(terminated), bool(truncated), plain

    def action_masks(self) -> np.ndarray:
        """Legal actions now, bool [num_actions]."""
        return np.asarray(self._mask(self._started(), self.params))

    def render(self) -> Any:
        """Picture of the last bars, RGB uint8 [450, 800, 3]."""
        return self.env.render(self._started(), self.params)

    def _started(self) -> Any:
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset() before the first step")
        return self._state


class MaskedVectorEnv(gymnasium.vector.VectorEnv):
    """N environments in one program for Gymnasium's vector interface, with `action_masks()`; NumPy in and out.

    An environment that ends is reset in the same step (`AutoresetMode.SAME_STEP`): `info["final_obs"]` holds the
    observations before that, as an object array with None where no episode ended.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, env: Any, num_envs: int, params: Any = None, *, seed: int | None = None) -> None:
        """env, params, seed: as of `MaskedGymEnv`; num_envs: N."""
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise ValueError(f"num_envs is a number of environments, 1 or more; got {num_envs!r}")
        self.num_envs = num_envs
        self.env, self.params = env, env.default_params if params is None else params
        single = MaskedGymEnv(env, self.params)
        self.single_action_space, self.single_observation_space = single.action_space, single.observation_space
        self.action_space = batch_space(single.action_space, num_envs)
        self.observation_space = batch_space(single.observation_space, num_envs)
        self._reset, self._step, self._mask = _programs(env, num_envs)
        self._key, self._state = _first_key(seed), None

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Fresh accounts, obs float32 [N, n]; one seed for all."""
        if options:
            raise ValueError(f"these environments have no reset options, got {', '.join(options)}")
        if seed is not None:
            self._key = jax.random.key(int(np.asarray(seed).ravel()[0]))
        self._key, key = jax.random.split(self._key)
        obs, self._state = self._reset(jax.random.split(key, self.num_envs), self.params)
        return np.asarray(obs), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One bar of every environment; arrays [N, ...]."""
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset() before the first step")
        self._key, key = jax.random.split(self._key)
        keys = jax.random.split(key, self.num_envs)
        values = self._step(keys, self._state, jnp.asarray(actions, jnp.int32), self.params)
        obs, self._state, reward, terminated, truncated, info = values
        ended = np.asarray(terminated | truncated)
        plain = {name: np.asarray(value) for name, value in info.items() if name != "final_observation"}
        if ended.any():
            before = np.asarray(info["final_observation"])
            final = np.full(self.num_envs, None, object)
            for row in np.flatnonzero(ended):
                final[row] = before[row]
            plain |= {"final_obs": final, "_final_obs": ended}
        return np.asarray(obs), np.asarray(reward), np.asarray(terminated), np.asarray(truncated), plain

    def action_masks(self) -> np.ndarray:
        """Legal actions now, bool [N, num_actions]."""
        if self._state is None:
            raise gymnasium.error.ResetNeeded("call reset() before asking for masks")
        return np.asarray(self._mask(self._state, self.params))
