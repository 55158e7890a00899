"""Both separate towers of an `ActorCritic`, of two wide layers each, as GPU kernels in Pallas (Triton).

The weights of such layers do not fit on a chip beside their sums, so they stream through it: a program makes a few
units of the first layer at a time for its rows, and adds up at once what they give to the second. For the gradient both
layers are written. Its passes go back through the layers in the same way, and at last a program keeps the gradient of
a block of weights in its registers while the rows stream by.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from purejaxrl_ppo.fused import CHUNK, OUTPUTS
from purejaxrl_ppo.tiles import Launch, Place, Tiles, activated, before_activation, bias_row, call, product

_FORWARD = Launch(128, 66, 8, 2)  # for each tower, as everywhere here
_FORWARD_LONG = Launch(64, 66, 8, 1)  # of more than 256 inputs, which leave less room
_BY_SECOND = Launch(32, 264, 4, 3)
_BY_FIRST = Launch(128, 66, 8, 2)
_BY_KERNEL = Launch(128, 66, 8, 2)  # shared by the programs of all its blocks
_BLOCK = 256, 128  # of a kernel, whose gradient a program keeps, at most


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def wide_towers(weights: jax.Array, inputs: jax.Array, picked: jax.Array, activation: str) -> jax.Array:
    """Outputs of both heads side by side, float32 [M, B, OUTPUTS]; arguments as of `kernels.both_towers`."""
    return wide_outputs(weights, weights.astype(inputs.dtype), inputs, picked, activation)


def wide_outputs(
    weights: jax.Array, lean: jax.Array, inputs: jax.Array, picked: jax.Array, activation: str
) -> jax.Array:
    """The same without a gradient, for weights that were made `lean` before: in the precision of the inputs."""
    actor, critic = _outputs(weights, lean, inputs, picked, activation, kept=False)[0]
    return actor + critic


def _outputs(
    weights: jax.Array, lean: jax.Array, inputs: jax.Array, picked: jax.Array, activation: str, kept: bool
) -> list[jax.Array]:
    """Outputs of each tower's head [2, M, B, OUTPUTS] and, where they are kept, both layers [2, M, B, H]."""
    steps, batch, width, dtype = picked.shape[0], inputs.shape[1], lean.shape[2], inputs.dtype
    launch = _FORWARD if inputs.shape[2] <= 256 else _FORWARD_LONG
    place, tiles = Place(inputs.shape[2], width, 1), Tiles.of(steps, batch, launch)
    second, head = place.kernel(0), place.head

    def kernel(
        weights_ref: Any, lean_ref: Any, inputs_ref: Any, picked_ref: Any, out_ref: Any, *layers_ref: Any
    ) -> None:
        tower = pl.program_id(0)
        step, start, _ = tiles.at(pl.program_id(1))
        rows = pl.ds(start, tiles.rows)
        x = [inputs_ref[picked_ref[step], rows, pl.ds(at, CHUNK)] for at in range(0, place.inputs, CHUNK)]

        def units(turn: jax.Array, sums: jax.Array) -> jax.Array:
            own = pl.ds(turn * CHUNK, CHUNK)
            first = (product(part, lean_ref[tower, pl.ds(i * CHUNK, CHUNK), own]) for i, part in enumerate(x))
            layer = activated(functools.reduce(jnp.add, first), activation, dtype)
            if kept:
                layers_ref[0][tower, step, rows, own] = layer
            return sums + product(layer, lean_ref[tower, pl.ds(second + turn * CHUNK, CHUNK), :])

        sums = jax.lax.fori_loop(0, width // CHUNK, units, jnp.zeros((tiles.rows, width), jnp.float32))
        layer = activated(sums + weights_ref[tower, second + width, :][None], activation, dtype)
        if kept:
            layers_ref[1][tower, step, rows, :] = layer
        out = product(layer, lean_ref[tower, pl.ds(head, OUTPUTS), :], b_turned=True)
        out_ref[tower, step, rows, :] = out + weights_ref[tower, head + OUTPUTS, pl.ds(0, OUTPUTS)][None]

    out = jax.ShapeDtypeStruct((2, steps, batch, OUTPUTS), jnp.float32)
    layers = [jax.ShapeDtypeStruct((2, steps, batch, width), dtype)] * (2 if kept else 0)
    return call(kernel, (2, tiles.number), [out, *layers], "wide", launch)(weights, lean, inputs, picked)


def _forward(
    weights: jax.Array, inputs: jax.Array, picked: jax.Array, activation: str
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    lean = weights.astype(inputs.dtype)
    (actor, critic), first, second = _outputs(weights, lean, inputs, picked, activation, kept=True)
    return actor + critic, (lean, inputs, picked, first, second)


def _backward(activation: str, kept: tuple[jax.Array, ...], by_output: jax.Array) -> tuple[jax.Array, None, None]:
    """Programs' sums are added up in a fixed order."""
    lean, inputs, picked, first, second = kept
    by_second, behind = _by_second(lean, second, by_output, inputs.shape[2], activation)
    by_first = _by_first(lean, first, by_second, inputs.shape[2], activation)
    steps = jnp.arange(picked.shape[0], dtype=jnp.int32)
    parts = _by_kernel(inputs[None], picked, by_first), _by_kernel(first, steps, by_second), behind
    return jnp.concatenate([part.sum(axis=0) for part in parts], axis=1), None, None


wide_towers.defvjp(_forward, _backward)


def _by_second(
    lean: jax.Array, second: jax.Array, by_output: jax.Array, inputs: int, activation: str
) -> list[jax.Array]:
    """Gradient by what the second layer adds up [2, M, B, H], in the precision of the products; and by all that lies
    behind its kernel, every program's share [P, 2, 2 + OUTPUTS, H]."""
    (steps, batch), width, dtype = by_output.shape[:2], lean.shape[2], second.dtype
    place, tiles = Place(inputs, width, 1), Tiles.of(steps, batch, _BY_SECOND)

    def kernel(lean_ref: Any, second_ref: Any, by_output_ref: Any, out_ref: Any, sums_ref: Any) -> None:
        tower, program = pl.program_id(0), pl.program_id(1)
        head = lean_ref[tower, pl.ds(place.head, OUTPUTS), :]

        def tile(turn: jax.Array, total: Any) -> Any:
            step, start, fresh = tiles.at(program + turn * tiles.programs)
            rows, fresh = pl.ds(start, tiles.rows), fresh[:, None]
            layer, by_output = second_ref[tower, step, rows, :], by_output_ref[step, rows, :]
            by_layer = product(by_output.astype(dtype), head)
            by_sum = before_activation(by_layer, layer, activation)
            out_ref[tower, step, rows, :] = by_sum.astype(dtype)
            by_output = jnp.where(fresh, by_output, 0.0)
            by_head = product(by_output.astype(dtype), layer, a_turned=True)
            more = jnp.where(fresh, by_sum, 0.0).sum(axis=0), by_head, by_output.sum(axis=0)
            return jax.tree.map(jnp.add, total, more)

        nothing = tuple(jnp.zeros(shape, jnp.float32) for shape in ((width,), (OUTPUTS, width), (OUTPUTS,)))
        by_bias, by_head, by_last = jax.lax.fori_loop(0, tiles.turns(program), tile, nothing)
        sums_ref[program, tower, 0, :] = by_bias
        sums_ref[program, tower, pl.ds(1, OUTPUTS), :] = by_head
        sums_ref[program, tower, 1 + OUTPUTS, :] = bias_row(by_last, width)

    sums = jax.ShapeDtypeStruct((tiles.programs, 2, 2 + OUTPUTS, width), jnp.float32)
    shapes = [jax.ShapeDtypeStruct(second.shape, dtype), sums]
    return call(kernel, (2, tiles.programs), shapes, "wide_by_second", _BY_SECOND)(lean, second, by_output)


def _by_first(lean: jax.Array, first: jax.Array, by_second: jax.Array, inputs: int, activation: str) -> jax.Array:
    """Gradient by what the first layer adds up, of that by what the second does; [2, M, B, H] each."""
    _, steps, batch, width = first.shape
    second, tiles = Place(inputs, width, 1).kernel(0), Tiles.of(steps, batch, _BY_FIRST)

    def kernel(lean_ref: Any, first_ref: Any, by_second_ref: Any, out_ref: Any) -> None:
        tower = pl.program_id(0)
        step, start, _ = tiles.at(pl.program_id(1))
        rows = pl.ds(start, tiles.rows)
        by_sum = by_second_ref[tower, step, rows, :]

        def units(turn: jax.Array, carry: None) -> None:
            own = pl.ds(turn * CHUNK, CHUNK)
            by_layer = product(by_sum, lean_ref[tower, pl.ds(second + turn * CHUNK, CHUNK), :], b_turned=True)
            by_units = before_activation(by_layer, first_ref[tower, step, rows, own], activation)
            out_ref[tower, step, rows, own] = by_units.astype(first.dtype)

        jax.lax.fori_loop(0, width // CHUNK, units, None)

    shape = jax.ShapeDtypeStruct(first.shape, first.dtype)
    by_first: jax.Array = call(kernel, (2, tiles.number), shape, "wide_by_first", _BY_FIRST)(lean, first, by_second)
    return by_first


def _by_kernel(layer: jax.Array, picked: jax.Array, by_next: jax.Array) -> jax.Array:
    """Gradient by the kernel between a layer [1 or 2, T, B, D], of whose steps M are picked, and the sums behind it, by
    which it is given [2, M, B, H]; every program's share [P, 2, D, H]."""
    steps, batch, size, width = *by_next.shape[1:3], layer.shape[3], by_next.shape[3]
    block, own = math.gcd(size, _BLOCK[0]), min(width, _BLOCK[1])
    across, blocks = width // own, size // block * (width // own)
    tiles = Tiles.of(steps, batch, _BY_KERNEL._replace(programs=max(_BY_KERNEL.programs // blocks, 1)))

    def kernel(layer_ref: Any, picked_ref: Any, by_next_ref: Any, out_ref: Any) -> None:
        place, tower, program = pl.program_id(0), pl.program_id(1), pl.program_id(2)
        units, behind = pl.ds(place // across * block, block), pl.ds(place % across * own, own)
        of_tower = jnp.minimum(tower, layer.shape[0] - 1)

        def tile(turn: jax.Array, total: jax.Array) -> jax.Array:
            step, start, rows_left = tiles.whole(program + turn * tiles.programs)
            rows = pl.ds(start, tiles.rows)
            mask = (jnp.arange(tiles.rows) < rows_left)[:, None]
            here = layer_ref.at[of_tower, picked_ref[step], rows, units]
            by = by_next_ref.at[tower, step, rows, behind]
            a, b = (triton.load(ref, mask=jnp.broadcast_to(mask, ref.shape), other=0) for ref in (here, by))
            return total + product(a, b, a_turned=True)

        nothing = jnp.zeros((block, own), jnp.float32)
        out_ref[program, tower, units, behind] = jax.lax.fori_loop(0, tiles.turns(program), tile, nothing)

    shape = jax.ShapeDtypeStruct((tiles.programs, 2, size, width), jnp.float32)
    run = call(kernel, (blocks, 2, tiles.programs), shape, "wide_by_kernel", _BY_KERNEL)
    return run(layer, picked, by_next)
