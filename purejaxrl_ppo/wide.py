"""Both separate towers of an `ActorCritic`, of two wide layers each, as GPU kernels in Pallas (Triton).

The weights of such layers do not fit on a chip beside their sums, so they stream through it: a program makes a few
units of the first layer at a time for its rows, and adds up at once what they give to the second. For the gradient both
layers are written. Its programs have a few units of the first layer each, and keep the gradient of their weights in
their registers while the rows stream by.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from purejaxrl_ppo.fused import CHUNK, OUTPUTS
from purejaxrl_ppo.tiles import Launch, Place, Tiles, activated, before_activation, call, product

_FORWARD = Launch(128, 66, 8, 2)  # for each tower, as everywhere here
_BY_SECOND = Launch(64, 132, 8, 2)
_BY_KERNELS = Launch(64, 64, 8, 2)  # shared by the programs of all units


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
    place, tiles = Place(inputs.shape[2], width, 1), Tiles.of(steps, batch, _FORWARD)
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
    return call(kernel, (2, tiles.number), [out, *layers], "wide", _FORWARD)(weights, lean, inputs, picked)


def _forward(
    weights: jax.Array, inputs: jax.Array, picked: jax.Array, activation: str
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    lean = weights.astype(inputs.dtype)
    (actor, critic), first, second = _outputs(weights, lean, inputs, picked, activation, kept=True)
    return actor + critic, (lean, inputs, picked, first, second)


def _backward(activation: str, kept: tuple[jax.Array, ...], by_output: jax.Array) -> tuple[jax.Array, None, None]:
    """Programs' sums are added up in a fixed order."""
    lean, inputs, picked, first, second = kept
    by_second, further = _by_second(lean, second, by_output, inputs.shape[2], activation)
    kernels = _by_kernels(lean, inputs, picked, first, by_second, activation)
    return jnp.concatenate([kernels.sum(axis=0), further.sum(axis=0)], axis=1), None, None


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
        diagonal = jnp.arange(OUTPUTS)[:, None] == jnp.arange(width)[None]
        sums_ref[program, tower, 1 + OUTPUTS, :] = jnp.where(diagonal, by_last[:, None], 0.0).sum(axis=0)

    sums = jax.ShapeDtypeStruct((tiles.programs, 2, 2 + OUTPUTS, width), jnp.float32)
    shapes = [jax.ShapeDtypeStruct(second.shape, dtype), sums]
    return call(kernel, (2, tiles.programs), shapes, "wide_by_second", _BY_SECOND)(lean, second, by_output)


def _by_kernels(
    lean: jax.Array, inputs: jax.Array, picked: jax.Array, first: jax.Array, by_second: jax.Array, activation: str
) -> jax.Array:
    """Gradient by the kernels of both layers, every program's share [P, 2, D + H, H]."""
    width, dtype = lean.shape[2], inputs.dtype
    parts = width // CHUNK
    launch = _BY_KERNELS._replace(programs=_BY_KERNELS.programs // parts)
    place, tiles = Place(inputs.shape[2], width, 1), Tiles.of(picked.shape[0], inputs.shape[1], launch)
    chunks = range(0, width, CHUNK)

    def kernel(
        lean_ref: Any, inputs_ref: Any, picked_ref: Any, first_ref: Any, by_second_ref: Any, out_ref: Any
    ) -> None:
        part, tower, program = pl.program_id(0), pl.program_id(1), pl.program_id(2)
        own, second = pl.ds(part * CHUNK, CHUNK), pl.ds(place.kernel(0) + part * CHUNK, CHUNK)
        weights = [lean_ref[tower, second, pl.ds(at, CHUNK)] for at in chunks]

        def tile(turn: jax.Array, total: Any) -> Any:
            step, start, fresh = tiles.at(program + turn * tiles.programs)
            rows, fresh, at_step = pl.ds(start, tiles.rows), fresh[:, None], picked_ref[step]
            layer = jnp.where(fresh, first_ref[tower, step, rows, own], 0)
            by_sums = [by_second_ref[tower, step, rows, pl.ds(at, CHUNK)] for at in chunks]
            by_layer = functools.reduce(
                jnp.add, (product(*pair, b_turned=True) for pair in zip(by_sums, weights, strict=True))
            )
            d = jnp.where(fresh, before_activation(by_layer, layer, activation), 0.0).astype(dtype)
            x = [inputs_ref[at_step, rows, pl.ds(at, CHUNK)] for at in range(0, place.inputs, CHUNK)]
            more = (
                [product(part, d, a_turned=True) for part in x],
                [product(layer, by, a_turned=True) for by in by_sums],
            )
            return jax.tree.map(jnp.add, total, more)

        nothing = jnp.zeros((CHUNK, CHUNK), jnp.float32)
        start = [nothing for _ in range(0, place.inputs, CHUNK)], [nothing for _ in chunks]
        by_first, by_second = jax.lax.fori_loop(0, tiles.turns(program), tile, start)
        for i, block in enumerate(by_first):
            out_ref[program, tower, pl.ds(i * CHUNK, CHUNK), own] = block
        for i, block in enumerate(by_second):
            out_ref[program, tower, second, pl.ds(i * CHUNK, CHUNK)] = block

    shape = jax.ShapeDtypeStruct((tiles.programs, 2, place.inputs + width, width), jnp.float32)
    run = call(kernel, (parts, 2, tiles.programs), shape, "wide_by_kernels", _BY_KERNELS)
    return run(lean, inputs, picked, first, by_second)
