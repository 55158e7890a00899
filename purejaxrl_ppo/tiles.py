"""What the kernels of `kernels.py` and `wide.py` share: where weights lie, which rows a program has, its products.

Elsewhere than on a GPU the kernels are interpreted.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from purejaxrl_ppo.fused import LEAST_ROWS, OUTPUTS


class Launch(NamedTuple):
    """How a kernel is started."""

    rows: int  # multiplied at once, at most
    programs: int  # that share the tiles of rows out, at most
    warps: int  # of a program
    stages: int = 1  # tiles that are on their way at once


class Place(NamedTuple):
    """Rows of `FusedTowers.weights`: first kernel, kernel and bias of each further layer, head turned round, its bias.

    The bias of the first layer is the row of its kernel behind the observation's: the input has a 1 there.
    """

    inputs: int
    width: int
    further: int  # layers

    def kernel(self, layer: int) -> int:
        """First row of the kernel of a further layer; its bias lies behind it."""
        return self.inputs + layer * (self.width + 1)

    @property
    def head(self) -> int:
        """First of `OUTPUTS` rows, one for each output; their biases are the first numbers of the row behind them."""
        return self.kernel(self.further)


class Tiles(NamedTuple):
    """Rows of the picked steps, a few at a time; the last ones of a step reach back to stay within it."""

    steps: int
    batch: int  # rows of a step
    rows: int  # of a tile
    programs: int  # that share the tiles out

    @classmethod
    def of(cls, steps: int, batch: int, launch: Launch) -> "Tiles":
        """Tiles as large as they can be while every program has one."""
        rows = LEAST_ROWS
        while 2 * rows <= min(launch.rows, batch, steps * batch // launch.programs):
            rows *= 2
        return cls(steps, batch, rows, min(steps * pl.cdiv(batch, rows), launch.programs))

    def at(self, tile: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Which of the picked steps, its first row, and bool [rows]: not in the tile before."""
        of_step = pl.cdiv(self.batch, self.rows)
        step, within = tile // of_step, tile % of_step
        start = jnp.minimum(within * self.rows, self.batch - self.rows)
        return step, start, start + jnp.arange(self.rows) >= within * self.rows

    def whole(self, tile: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The same for tiles that do not reach back: picked step, first row, and how many rows the step has from it."""
        of_step = pl.cdiv(self.batch, self.rows)
        start = tile % of_step * self.rows
        return tile // of_step, start, self.batch - start

    @property
    def number(self) -> int:
        """Of tiles."""
        return self.steps * pl.cdiv(self.batch, self.rows)

    def turns(self, program: jax.Array) -> jax.Array:
        """Tiles of a program: every `programs`-th from its own number on."""
        return (self.number - program + self.programs - 1) // self.programs


def activated(x: jax.Array, activation: str, dtype: Any) -> jax.Array:
    """The activation of a layer's sums float32, in the precision of the next product."""
    if activation == "relu":
        return jnp.maximum(x, 0.0).astype(dtype)
    # the device's own tanh is wrong by 2^-11 at most, a quarter of what bfloat16 rounds away
    quick = dtype == jnp.bfloat16 and not _interpreted()
    return (triton.approx_tanh(x) if quick else jnp.tanh(x)).astype(dtype)


def before_activation(by_layer: jax.Array, layer: jax.Array, activation: str) -> jax.Array:
    """Gradient by a layer's sums, float32, of that by what the activation made of them, which was `layer`."""
    layer = layer.astype(jnp.float32)
    return jnp.where(layer > 0, by_layer, 0.0) if activation == "relu" else by_layer * (1.0 - layer * layer)


def product(a: jax.Array, b: jax.Array, a_turned: bool = False, b_turned: bool = False) -> jax.Array:
    """Product with float32 sums, of the transpose where it says so."""
    return triton.dot(a, b, trans_a=a_turned, trans_b=b_turned)


def bias_row(biases: jax.Array, width: int) -> jax.Array:
    """The row [H] of `FusedTowers.weights` whose first numbers are the heads' biases [OUTPUTS]."""
    first = jnp.arange(OUTPUTS)[:, None] == jnp.arange(width)[None]
    return jnp.where(first, biases[:, None], 0.0).sum(axis=0)


def call(kernel: Any, grid: tuple[int, ...], shape: Any, name: str, launch: Launch) -> Any:
    """The kernel as a function of arrays."""
    if _interpreted():
        return pl.pallas_call(kernel, grid=grid, out_shape=shape, name=name, interpret=True)
    options = triton.CompilerParams(num_warps=launch.warps, num_stages=launch.stages)
    return pl.pallas_call(kernel, grid=grid, out_shape=shape, name=name, compiler_params=options)


def _interpreted() -> bool:
    return jax.default_backend() != "gpu"
