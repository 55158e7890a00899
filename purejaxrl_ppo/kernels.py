"""Both separate towers of an `ActorCritic` as one GPU kernel, and their gradient as another, in Pallas (Triton).

What hidden layers hold never leaves the chip: a pass over the rows reads their inputs once and writes the heads, and
the gradient's pass computes the hidden layers anew instead of reading them. Time steps of a minibatch are read where
they lie in the rollout. Wide towers have kernels of their own (`wide.py`). To import this takes half a second.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from purejaxrl_ppo.fused import CHUNK, OUTPUTS, WIDTHS, FusedTowers
from purejaxrl_ppo.joined import head_and_value
from purejaxrl_ppo.networks import ActorCritic
from purejaxrl_ppo.tiles import Launch, Place, Tiles, activated, before_activation, bias_row, call, product
from purejaxrl_ppo.wide import wide_outputs, wide_towers

_FORWARD_MANY = Launch(128, 264, 8)  # where every program has four tiles or more
_FORWARD = Launch(64, 132, 4)
_BACKWARD = Launch(128, 66, 8)  # for each tower
_OF_LARGE = Launch(32, 132, 4)  # both, of towers that leave less room on the chip
_LARGE = 448 * 64  # numbers that stand there beside the rows


def apply_fused(
    network: ActorCritic, towers: FusedTowers, inputs: jax.Array, picked: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Policy head [M, B, K] (Gaussian: [M, B, 2 K]) and values [M, B] of the picked time steps.

    Args:
        towers: as `fuse` lays them out for this network.
        inputs: [T, B, D], network inputs; B at least `LEAST_ROWS`. No gradient flows to them.
        picked: int32 [M], time steps.
    """
    activation = network.activation
    if network.hidden_sizes[0] in WIDTHS:
        out = both_towers(towers.weights, inputs, picked, activation, len(network.hidden_sizes) - 1)
    elif towers.lean is None:
        out = wide_towers(towers.weights, inputs, picked, activation)
    else:
        out = wide_outputs(towers.weights, towers.lean, inputs, picked, activation)
    return head_and_value(network, out, towers.log_std)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def both_towers(weights: jax.Array, inputs: jax.Array, picked: jax.Array, activation: str, further: int) -> jax.Array:
    """Outputs of both heads side by side, float32 [M, B, OUTPUTS].

    Args:
        weights, inputs, picked: as of `apply_fused`; `weights` are laid out as `Place` says.
        activation: of the layers.
        further: layers behind the first.
    """
    place = Place(inputs.shape[2], weights.shape[2], further)
    many = picked.shape[0] * inputs.shape[1] >= 4 * _FORWARD_MANY.rows * _FORWARD_MANY.programs
    launch = _OF_LARGE if _is_large(place) else _FORWARD_MANY if many else _FORWARD
    tiles = Tiles.of(picked.shape[0], inputs.shape[1], launch)

    def kernel(weights_ref: Any, inputs_ref: Any, picked_ref: Any, out_ref: Any) -> None:
        program = pl.program_id(0)
        towers = [_Tower.load(weights_ref, tower, place, activation, inputs.dtype) for tower in range(2)]

        def tile(turn: jax.Array, carry: None) -> None:
            step, start, _ = tiles.at(program + turn * tiles.programs)
            x = _rows(inputs_ref, picked_ref[step], start, tiles.rows, place.inputs)
            actor, critic = (tower.outputs(tower.hidden(x)[-1]) for tower in towers)
            out_ref[step, pl.ds(start, tiles.rows), :] = actor + critic

        jax.lax.fori_loop(0, tiles.turns(program), tile, None)

    shape = jax.ShapeDtypeStruct((picked.shape[0], inputs.shape[1], OUTPUTS), jnp.float32)
    return call(kernel, (tiles.programs,), shape, "towers", launch)(weights, inputs, picked)


def _forward(
    weights: jax.Array, inputs: jax.Array, picked: jax.Array, activation: str, further: int
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return both_towers(weights, inputs, picked, activation, further), (weights, inputs, picked)


def _backward(
    activation: str, further: int, kept: tuple[jax.Array, ...], by_output: jax.Array
) -> tuple[jax.Array, None, None]:
    """Every program adds up the gradient of one tower over its rows; their sums are added up in a fixed order."""
    weights, inputs, picked = kept
    place = Place(inputs.shape[2], weights.shape[2], further)
    launch = _OF_LARGE if _is_large(place) else _BACKWARD
    tiles = Tiles.of(picked.shape[0], inputs.shape[1], launch)

    def kernel(weights_ref: Any, inputs_ref: Any, picked_ref: Any, by_output_ref: Any, out_ref: Any) -> None:
        own, program = pl.program_id(0), pl.program_id(1)
        tower = _Tower.load(weights_ref, own, place, activation, inputs.dtype)

        def tile(turn: jax.Array, total: Any) -> Any:
            step, start, fresh = tiles.at(program + turn * tiles.programs)
            x = _rows(inputs_ref, picked_ref[step], start, tiles.rows, place.inputs)
            d = by_output_ref[step, pl.ds(start, tiles.rows), :]
            return jax.tree.map(jnp.add, total, tower.gradient(x, jnp.where(fresh[:, None], d, 0.0)))

        total = jax.lax.fori_loop(0, tiles.turns(program), tile, tower.nothing())
        for start, block in tower.placed(total):
            out_ref[program, own, pl.ds(start, block.shape[0]), :] = block

    shape = jax.ShapeDtypeStruct((tiles.programs, *weights.shape), jnp.float32)
    run = call(kernel, (2, tiles.programs), shape, "towers_gradient", launch)
    sums = run(weights, inputs, picked, by_output)
    return sums.sum(axis=0), None, None


both_towers.defvjp(_forward, _backward)


def _is_large(place: Place) -> bool:
    """Whether weights and a tile of 128 rows do not fit the shared memory of an H100 together, by what compiled."""
    return (place.inputs + 2 * place.further * place.width) * place.width >= _LARGE


class _Tower(NamedTuple):
    """Weights of one tower within a kernel, in the precision of its products, and what is done with them."""

    first: list[jax.Array]  # [CHUNK, H] each
    further: list[tuple[jax.Array, jax.Array]]  # [H, H] and [H]
    head: tuple[jax.Array, jax.Array]  # [OUTPUTS, H] and [OUTPUTS]
    place: Place
    activation: str

    @classmethod
    def load(cls, ref: Any, tower: Any, place: Place, activation: str, dtype: Any) -> "_Tower":
        def block(start: int, rows: int) -> jax.Array:
            return ref[tower, pl.ds(start, rows), :].astype(dtype)

        first = [block(start, CHUNK) for start in range(0, place.inputs, CHUNK)]
        layers = [place.kernel(layer) for layer in range(place.further)]
        further = [(block(start, place.width), ref[tower, start + place.width, :]) for start in layers]
        bias = ref[tower, place.head + OUTPUTS, pl.ds(0, OUTPUTS)]
        return cls(first, further, (block(place.head, OUTPUTS), bias), place, activation)

    def hidden(self, x: list[jax.Array]) -> list[jax.Array]:
        """What every layer gives for rows of chunks [rows, CHUNK]; [rows, H] each."""
        sums = functools.reduce(jnp.add, map(product, x, self.first))
        layers = [activated(sums, self.activation, x[0].dtype)]
        for kernel, bias in self.further:
            layers.append(activated(product(layers[-1], kernel) + bias[None], self.activation, x[0].dtype))
        return layers

    def outputs(self, last: jax.Array) -> jax.Array:
        """float32 [rows, OUTPUTS]"""
        return product(last, self.head[0], b_turned=True) + self.head[1][None]

    def nothing(self) -> Any:
        """The gradient of no rows; a tree as `gradient` gives it."""
        empty = [jnp.zeros((CHUNK, self.place.width), jnp.float32) for _ in self.first]
        layer = (jnp.zeros((self.place.width,) * 2, jnp.float32), jnp.zeros(self.place.width, jnp.float32))
        head = jnp.zeros((OUTPUTS, self.place.width), jnp.float32), jnp.zeros(OUTPUTS, jnp.float32)
        return empty, [layer for _ in self.further], head

    def gradient(self, x: list[jax.Array], by_output: jax.Array) -> Any:
        """Gradient by first, further and head, for a gradient float32 [rows, OUTPUTS] by the outputs."""
        layers, d = self.hidden(x), by_output.astype(x[0].dtype)
        head = product(d, layers[-1], a_turned=True), by_output.sum(axis=0)
        by_layer = product(d, self.head[0])
        further = []
        for (kernel, _), before, after in reversed(list(zip(self.further, layers, layers[1:], strict=False))):
            by_sum = before_activation(by_layer, after, self.activation)
            d = by_sum.astype(x[0].dtype)
            further.append((product(before, d, a_turned=True), by_sum.sum(axis=0)))
            by_layer = product(d, kernel, b_turned=True)
        d = before_activation(by_layer, layers[0], self.activation).astype(x[0].dtype)
        return [product(chunk, d, a_turned=True) for chunk in x], further[::-1], head

    def placed(self, gradient: Any) -> list[tuple[int, jax.Array]]:
        """First row and rows [n, H] of every part of a gradient, where its weights lie."""
        first, further, (head, bias) = gradient
        found = [(i * CHUNK, block) for i, block in enumerate(first)]
        for layer, (kernel, by_bias) in enumerate(further):
            start = self.place.kernel(layer)
            found += [(start, kernel), (start + self.place.width, by_bias[None])]
        row = bias_row(bias, self.place.width)
        return [*found, (self.place.head, head), (self.place.head + OUTPUTS, row[None])]


def _rows(ref: Any, step: jax.Array, start: jax.Array, rows: int, inputs: int) -> list[jax.Array]:
    return [ref[step, pl.ds(start, rows), pl.ds(chunk, CHUNK)] for chunk in range(0, inputs, CHUNK)]
