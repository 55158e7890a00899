"""One device -> many devices -> many processes: the environments are shared out, the parameters are everywhere.

The update step is written for a share of the environments and the name of a mesh axis. With `axis=None` the share is
all of them and the functions here return what they are given, so that one device runs a program without any of this.
Every device plays its environments and takes gradients of its rows; sums over the axis make statistics and gradients
those of the whole batch, so that all devices hold equal parameters without ever sending them.

Whatever is sent is made of something that the message before it brought; a loop that sends counts as one message. On
CPUs, XLA may run what is independent of a loop beside it, and takes messages that are under way together for one
another, which ends the process.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.normalise import combine_steps

Axis = str | None  # name of the mesh axis that environments are shared out over; None: one device has them all
AXIS = "envs"


def make_mesh(num_devices: int | None = None) -> Mesh:
    """A mesh of the first `num_devices` devices, of all processes together; None takes all of them.

    Raises:
        ValueError: for a number of devices that are not there, or that leaves a process without one.
    """
    devices = jax.devices()
    wanted = len(devices) if num_devices is None else num_devices
    if not 1 <= wanted <= len(devices):
        kind = devices[0].platform
        hint = "; XLA_FLAGS=--xla_force_host_platform_device_count=N makes N of a CPU" if kind == "cpu" else ""
        raise ValueError(f"{wanted} devices were asked for, but there are {len(devices)} ({kind}){hint}")
    if jax.process_count() > 1 and wanted != len(devices):
        raise ValueError(
            f"{wanted} devices were asked for, but {jax.process_count()} processes have {len(devices)} together: "
            "leave the number out, so that all are used"
        )
    return Mesh(np.array(devices[:wanted]), (AXIS,))


def axis_of(mesh: Mesh | None) -> Axis:
    """Name of the only axis of a mesh; None without a mesh. Raises ValueError for a mesh of several axes."""
    if mesh is None:
        return None
    if len(mesh.axis_names) != 1:
        raise ValueError(
            f"the mesh has the axes {mesh.axis_names}, but environments are shared out over one: "
            "use purejaxrl_ppo.make_mesh(), or a mesh of a single axis"
        )
    return str(mesh.axis_names[0])


def local_config(config: PPOConfig, mesh: Mesh | None) -> PPOConfig:
    """The settings as one device of the mesh sees them: `num_envs` and `total_timesteps` of its share.

    Raises:
        ValueError: where environments or minibatches cannot be shared out evenly.
    """
    axis_of(mesh)
    if mesh is None:
        return config
    envs, rest = divmod(config.num_envs, mesh.size)
    if rest:
        raise ValueError(
            f"num_envs={config.num_envs} cannot be shared out over {mesh.size} devices: "
            f"use a multiple of {mesh.size}, such as {(envs + 1) * mesh.size}"
        )
    mode = config.minibatch_mode
    units = {"rows": envs * config.num_steps, "time": config.num_steps, "envs": envs}[mode]
    if units % config.num_minibatches:
        raise ValueError(
            f"the {units} {'environments' if mode == 'envs' else mode} of each of {mesh.size} devices cannot be split "
            f"into num_minibatches={config.num_minibatches} equal parts (minibatches by {mode}): choose a divisor "
            f"of {units}"
        )
    # the mode that the whole batch has, which fewer environments might not have chosen
    steps = config.num_iterations * envs * config.num_steps
    return dataclasses.replace(config, num_envs=envs, total_timesteps=steps, minibatch_by=mode)


# -- inside the program -----------------------------------------------------------------------------------


def devices(axis: Axis) -> int:
    """Devices along the axis."""
    return 1 if axis is None else int(jax.lax.axis_size(axis))


def total(tree: Any, axis: Axis) -> Any:
    """Sums of a tree of float32 over the devices.

    One message carries all of it: a message costs its start, hardly its length.
    """
    if axis is None or not jax.tree.leaves(tree):
        return tree
    flat, unravel = ravel_pytree(tree)
    return unravel(jax.lax.psum(flat, axis))


def whole_minibatch(gradient: jax.Array, terms: Any, axis: Axis) -> tuple[jax.Array, Any]:
    """Gradient and `LossTerms` of all devices' rows, but `ratio_error` of this device's only."""
    gradient, sums = total((gradient, terms), axis)
    return gradient, sums.replace(ratio_error=terms.ratio_error)


class Told(NamedTuple):
    """What a device tells the others of its rows: trees of float32, by how they are put together."""

    sums: Any = ()
    means: Any = ()
    moments: Any = ()  # a dict of pairs: mean and population variance
    largest: Any = ()


def of_all(told: Told, axis: Axis) -> Told:
    """The same of all devices' rows, of which each has equally many; in one message."""
    if axis is None:
        return told
    flat, unravel = ravel_pytree(told)
    each = jax.vmap(unravel)(jax.lax.all_gather(flat, axis))
    return Told(
        sums=jax.tree.map(lambda x: x.sum(axis=0), each.sums),
        means=jax.tree.map(lambda x: x.mean(axis=0), each.means),
        moments={name: combine_steps(*pair) for name, pair in each.moments.items()},
        largest=jax.tree.map(lambda x: x.max(axis=0), each.largest),
    )


def environment_indices(num_envs: int, axis: Axis) -> jax.Array:
    """Which of all environments a device's `num_envs` are, int32 [num_envs]."""
    first = 0 if axis is None else jax.lax.axis_index(axis) * num_envs
    return first + jnp.arange(num_envs, dtype=jnp.int32)


def shuffling_key(config: PPOConfig, key: jax.Array, axis: Axis) -> jax.Array:
    """The key of a device's minibatches.

    Minibatches by time take the same steps of every environment, so all devices draw alike and what is learned does
    not depend on their number. By rows or environments, each device shuffles its own share: as good a minibatch, but
    another one for another number of devices.
    """
    if axis is None or config.minibatch_mode == "time":
        return key
    return jax.random.fold_in(key, jax.lax.axis_index(axis))


# -- around the program -----------------------------------------------------------------------------------


def over_devices(function: Callable[..., Any], mesh: Mesh | None, in_specs: Any, out_specs: Any) -> Callable[..., Any]:
    """`function` of a device's shares as a function of whole arrays; as it is without a mesh."""
    if mesh is None:
        return function
    # unchecked: the check would have every gradient summed over the devices where it arises, a part of a minibatch at
    # a time, instead of once when its parts have been added up
    return jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def place(tree: Any, mesh: Mesh | None, specs: Any) -> Any:
    """Arrays and typed keys that every process has alike, on the mesh; as they are without one.

    Args:
        tree: pytree of arrays, keys or numbers.
        mesh: where to.
        specs: a PartitionSpec for every leaf, or a tree that is a prefix of `tree`.
    """
    if mesh is None:
        return tree

    def put(spec: P, part: Any) -> Any:
        return jax.tree.map(lambda x: _put(x, NamedSharding(mesh, spec)), part)

    return jax.tree.map(put, specs, tree, is_leaf=lambda x: isinstance(x, P))


def _put(x: Any, where: NamedSharding) -> jax.Array:
    if is_key(x):
        return jax.random.wrap_key_data(_put(jax.random.key_data(x), where), impl=jax.random.key_impl(x))
    values = np.asarray(x)
    return jax.make_array_from_callback(values.shape, where, values.__getitem__)


def gather(tree: Any, mesh: Mesh | None) -> Any:
    """A tree of the mesh with every array whole on every device and keys as their data; all processes must call it."""
    return tree if mesh is None else _gathering(mesh)(tree)


@functools.lru_cache(maxsize=8)
def _gathering(mesh: Mesh) -> Any:
    def data(tree: Any) -> Any:
        return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, tree)

    return jax.jit(data, out_shardings=NamedSharding(mesh, P()))


def local(tree: Any, mesh: Mesh | None) -> Any:
    """Arrays that every device holds whole, as this process's own on one device."""
    return tree if mesh is None else jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), tree)


def is_key(x: Any) -> bool:
    """Whether `x` is a typed key, or an array of them."""
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
