"""Between any gymnax environment and the trainer: flat observations, masks, the older interface."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from purejaxrl_ppo.networks import ActionSpec


class Wrapper:
    """Base of wrappers: everything not overridden is the inner environment's.

    Survives `copy.deepcopy` and `pickle`. Two wrappers of the same environment with the same settings are
    equal and hash alike, so that they share compiled programs.
    """

    def __init__(self, env: Any) -> None:
        self._env = env

    def __getattr__(self, name: str) -> Any:
        # `_env` is missing while a copy or an unpickled object is being built; asking for it would recurse
        if name == "_env" or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(name)
        return getattr(self._env, name)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((type(self), *vars(self).values()))

    def inner_state(self, state: Any) -> Any:
        """The inner environment's state in this wrapper's state."""
        return state


class FiveValueAdapter(Wrapper):
    """An environment of the older interface (obs, state, reward, done, info) with six values.

    `done` is read as termination, unless `info["truncated"]` says that the time limit ended the episode. The
    older interface hides the observation before the auto-reset; without `info["final_observation"]` a
    truncated episode is therefore refused when the first step is traced. The environment must reset itself.

    The trainer puts it around an environment of five values. What was tried:

    - craftax 1.6.1: the environments that reset themselves train as they are; their time limit counts as a
      failure. Those without auto-reset need Craftax_Baselines' AutoResetEnvWrapper.
    - Craftax_Baselines' LogWrapper and AutoResetEnvWrapper declare `params` static, so they train with
      `env_params=None`, which is their defaults. BatchEnvWrapper and OptimisticResetVecEnvWrapper run several
      environments and are refused, for the trainer runs `num_envs` itself.
    - navix 0.7.4: `ToGymnax.wrap(navix.make(...))` trains. It resets one step late, so that every episode but
      the first begins with a step from the last observation of the one before, in which the action does
      nothing and no reward is paid; its time limit counts as a failure. navix's own `reset` and `step`
      speak another interface.
    - gymnax's wrappers expect six values: put them around this adapter, not inside it.
    """

    def step(self, key: jax.Array, state: Any, action: Any, params: Any = None) -> tuple[Any, ...]:
        """Step the inner environment and name both kinds of end."""
        obs, state, reward, done, info = self._env.step(key, state, action, params)
        done = jnp.asarray(done, bool)
        if "truncated" in info and "final_observation" not in info:
            raise ValueError(
                f"{type(self._env).__name__} reports info['truncated'] without info['final_observation'], "
                "which the value of a truncated episode needs: add it, or remove 'truncated' to treat such "
                "ends as failures"
            )
        truncated = jnp.asarray(info.get("truncated", False), bool) & done
        terminated = done & ~truncated
        info = {"final_observation": obs, **info, "terminated": terminated, "truncated": truncated}
        return obs, state, reward, terminated, truncated, info


class ByIdentity(Wrapper):
    """An environment that cannot be hashed; equal to wrappers of the very same object only."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._env is vars(other)["_env"]

    def __hash__(self) -> int:
        return id(self._env)

    @property
    def name(self) -> str:
        """Name of the environment."""
        return str(getattr(self._env, "name", type(self._env).__name__))


class EnvSpec(struct.PyTreeNode):
    """What the trainer must know about an environment."""

    obs_shapes: tuple[tuple[int, ...], ...] = struct.field(pytree_node=False)  # leaves of one observation
    action: ActionSpec
    masked: bool = struct.field(pytree_node=False)

    @property
    def obs_size(self) -> int:
        """Length of a flattened observation."""
        return sum(math.prod(shape) for shape in self.obs_shapes)


def flatten(obs: Any) -> jax.Array:
    """One observation, of any structure, as a float32 vector [D]: its leaves in tree order."""
    leaves = [jnp.ravel(jnp.asarray(leaf)).astype(jnp.float32) for leaf in jax.tree.leaves(obs)]
    return leaves[0] if len(leaves) == 1 else jnp.concatenate(leaves)


def flatten_batch(obs_shapes: tuple[tuple[int, ...], ...], obs: Any) -> jax.Array:
    """Observations with any leading axes (none, [B], [T, B]) as float32 [..., D].

    Raises:
        ValueError: when the trailing axes are not `obs_shapes`.
    """
    leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(obs)]
    ends = [leaf.shape[leaf.ndim - len(shape) :] for leaf, shape in zip(leaves, obs_shapes, strict=False)]
    if len(leaves) != len(obs_shapes) or tuple(ends) != obs_shapes:
        got = [leaf.shape for leaf in leaves]
        raise ValueError(f"observation of shapes {got} given to a policy of observations {list(obs_shapes)}")
    flat = [
        leaf.reshape(*leaf.shape[: leaf.ndim - len(shape)], -1).astype(jnp.float32)
        for leaf, shape in zip(leaves, obs_shapes, strict=True)
    ]
    return flat[0] if len(flat) == 1 else jnp.concatenate(flat, axis=-1)


def find_mask(env: Any, state: Any, params: Any) -> tuple[Any, Any] | None:
    """The object whose class defines `action_mask`, and the state it understands; None where there is none.

    Wrappers of other packages pass an unknown method on to the inner environment together with their own
    state; here the state is unwrapped on the way.

    Raises:
        ValueError: for a wrapper whose inner environment or inner state cannot be found.
    """
    while True:
        if hasattr(type(env), "action_mask") or "action_mask" in getattr(env, "__dict__", {}):
            return env, state
        inner = _inner_environment(env)
        if inner is None:
            if not hasattr(env, "action_mask"):
                return None
            raise ValueError(
                f"{type(env).__name__} has the action_mask of an environment inside it that cannot be found: "
                "keep that environment in the attribute `_env`"
            )
        if hasattr(inner, "action_mask"):
            state = env.inner_state(state) if isinstance(env, Wrapper) else _inner_state(env, inner, state, params)
        env = inner


def _inner_environment(env: Any) -> Any:
    held = getattr(env, "__dict__", {})
    return next((held[name] for name in ("_env", "env") if hasattr(held.get(name), "step")), None)


def _inner_state(env: Any, inner: Any, state: Any, params: Any) -> Any:
    """The part of a foreign wrapper's state that is built like the state of the inner environment."""
    if hasattr(state, "env_state"):  # the field of gymnax's, craftax's and most other wrappers
        return state.env_state
    key = jax.eval_shape(lambda: jax.random.key(0))
    wanted: Any = jax.tree.structure(jax.eval_shape(inner.reset, key, params)[1])

    def fits(part: Any) -> bool:
        return bool(jax.tree.structure(part) == wanted)

    found = [part for part in jax.tree.leaves(state, is_leaf=fits) if fits(part)]
    if len(found) != 1:
        raise ValueError(
            f"the state of {type(inner).__name__} cannot be told in the state of {type(env).__name__}, which "
            "action_mask needs: keep it in a field `env_state`"
        )
    return found[0]


def action_mask(env: Any, state: Any, params: Any) -> jax.Array | None:
    """Legal actions of one state, bool [num_actions]; None for an environment without masks."""
    found = find_mask(env, state, params)
    return None if found is None else jnp.asarray(found[0].action_mask(found[1], params), bool)


def action_spec(space: Any) -> ActionSpec:
    """The action space (any object with `n`, or with `low`, `high` and `shape`) as an ActionSpec.

    Raises:
        ValueError: for any other kind of space.
    """
    if hasattr(space, "n"):
        return ActionSpec(num_actions=int(space.n))
    if hasattr(space, "low") and hasattr(space, "high"):
        low, high = (jnp.broadcast_to(jnp.asarray(x, jnp.float32), space.shape) for x in (space.low, space.high))
        return ActionSpec(num_actions=0, shape=tuple(space.shape), low=low, high=high)
    raise ValueError(f"actions of {type(space).__name__} are not supported: Discrete and Box are")


def prepare(env: Any, env_params: Any) -> tuple[Any, EnvSpec]:
    """The environment with six values and its description; nothing is computed, only shapes are traced.

    Raises:
        ValueError: for a `step` of neither five nor six values, for flags, final observations or masks of
            another type or shape than the trainer can use, and for unsupported actions.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    obs, state = _trace(env, "reset", key, env_params)
    space = env.action_space(env_params)
    spec = action_spec(space)
    action = jax.ShapeDtypeStruct(spec.shape, jnp.int32 if spec.num_actions else jnp.float32)
    values = _trace(env, "step", key, state, action, env_params)
    if len(values) == 5:
        env = FiveValueAdapter(env)
        values = jax.eval_shape(env.step, key, state, action, env_params)
    elif len(values) != 6:
        raise ValueError(f"step of {type(env).__name__} returns {len(values)} values: gymnax's six are expected")
    shapes = tuple(tuple(leaf.shape) for leaf in jax.tree.leaves(obs))
    _check_step(type(env).__name__, shapes, values)
    mask = jax.eval_shape(lambda s, p: action_mask(env, s, p), state, env_params) if spec.num_actions else None
    if mask is not None and mask.shape != (spec.num_actions,):
        raise ValueError(f"action_mask has the shape {mask.shape}: {(spec.num_actions,)} is expected, one an action")
    return env, EnvSpec(obs_shapes=shapes, action=spec, masked=mask is not None)


# what Python and JAX say about interfaces that do not meet, and what it means here
_MISFITS = {
    "on-hashable static": "takes params as a static argument of jit, so they cannot be arrays of the program: pass "
    "env_params=None for the defaults, or take that wrapper off",
    "vmap was requested to map": "runs several environments at once, but the trainer runs num_envs of them itself: "
    "take the wrapper that batches them off",
    "(expected 6, got 5)": "expects six values of an environment that gives five: put "
    "purejaxrl_ppo.FiveValueAdapter between them",
}


def _trace(env: Any, method: str, *args: Any) -> tuple[Any, ...]:
    """Shapes that `reset` or `step` returns; raises ValueError for an interface that is known not to fit."""
    name = f"{method} of {type(env).__name__}"
    try:
        values = jax.eval_shape(getattr(env, method), *args)
    except (TypeError, ValueError) as error:
        for sign, meaning in _MISFITS.items():
            if sign in str(error):
                raise ValueError(f"{name} {meaning}") from error
        raise
    except AttributeError as error:
        params = type(args[-1]).__name__
        if f"'{params}' object has no attribute" not in str(error):
            raise
        raise ValueError(f"{name} finds no {error.name!r} in env_params: use those of this environment") from error
    if not isinstance(values, tuple) or (method == "reset" and len(values) != 2):
        raise ValueError(
            f"{name} returns a {type(values).__name__}, not gymnax's "
            f"{'(observation, state)' if method == 'reset' else 'six values'}: wrap the environment for gymnax first"
        )
    return values


def _check_step(name: str, obs_shapes: tuple[tuple[int, ...], ...], values: tuple[Any, ...]) -> None:
    for flag, value in zip(("terminated", "truncated"), values[3:5], strict=True):
        if value.dtype != bool or value.shape:
            raise ValueError(f"{flag} of {name} is {value.dtype} {value.shape}: one bool is expected")
    if "final_observation" not in values[5]:
        raise ValueError(f"info of {name} has no 'final_observation', which the value of a truncated episode needs")
    final = tuple(tuple(leaf.shape) for leaf in jax.tree.leaves(values[5]["final_observation"]))
    if final != obs_shapes:
        raise ValueError(
            f"info['final_observation'] of {name} has the shapes {list(final)}, observations {list(obs_shapes)}: "
            "a wrapper that transforms observations must transform it as well"
        )


def hashable(env: Any) -> Any:
    """`env`, or where it cannot be hashed (a dataclass that holds arrays, say) a wrapper that goes by identity."""
    try:
        hash(env)
    except TypeError:
        return ByIdentity(env)
    return env


def concrete_spec(spec: EnvSpec) -> EnvSpec:
    """`spec` with its bounds as NumPy arrays, to be stored."""
    return jax.tree.map(np.asarray, spec)
