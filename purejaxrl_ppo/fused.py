"""Which towers the kernels of `kernels.py` can compute, and how their parameters lie for them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_ppo.joined import first_kernel
from purejaxrl_ppo.networks import ActorCritic

WIDTHS = (16, 32, 64)  # of up to three layers, whose gradients one program keeps in its registers
WIDE = (128, 256)  # of two layers, whose weights stream through a program (`wide.py`)
ACTIVATIONS = ("tanh", "relu")  # whose slope can be told from their output
OUTPUTS = 16  # of both heads together, padded: the least that a matrix unit takes
LEAST_ROWS = 16  # likewise
MOST_INPUTS = 512
CHUNK = 64  # inputs that are multiplied at once


class FusedTowers(NamedTuple):
    """Parameters of both towers, laid out for `kernels.apply_fused`."""

    weights: jax.Array  # float32 [2, rows, H], of each tower what `kernels.Place` says
    log_std: jax.Array | None
    lean: jax.Array | None = None  # weights of wide towers in the precision of their products, where made before


def fits(hidden_sizes: Sequence[int], activation: str, outputs: int, inputs: int) -> bool:
    """Whether the kernels can compute towers of this shape.

    Args:
        hidden_sizes, activation: of both towers.
        outputs: of the policy's head; that of the value is one more.
        inputs: length of a network input, as it is padded.
    """
    alike, width, layers = len(set(hidden_sizes)) == 1, hidden_sizes[0], len(hidden_sizes)
    known = (width in WIDTHS and layers <= 3) or (width in WIDE and layers == 2)
    shaped = outputs < OUTPUTS and inputs % CHUNK == 0 and inputs <= MOST_INPUTS
    return alike and known and activation in ACTIVATIONS and shaped


def fuse(network: ActorCritic, params: Any, inputs: int) -> FusedTowers:
    """Lay out an `ActorCritic`'s parameters; every number of theirs stands in one place, with zeros between them.

    Args:
        network, params: of two separate towers that `fits`.
        inputs: length of the network's input: normalised observation, a 1, and zeros.
    """
    layers = params["params"]
    width, outputs = network.hidden_sizes[0], network.spec_outputs
    first = first_kernel(params, inputs)

    def tower(name: str, half: int, before: int) -> jax.Array:
        blocks = [first[:, half * width : (half + 1) * width]]
        for i in range(1, len(network.hidden_sizes)):
            layer = layers[f"{name}_{i}"]
            blocks += [layer["kernel"], layer["bias"][None]]
        head, count = layers[f"{name}_head"], layers[f"{name}_head"]["bias"].shape[0]
        after = OUTPUTS - before - count
        blocks.append(jnp.pad(head["kernel"].T, ((before, after), (0, 0))))
        blocks.append(jnp.pad(head["bias"], (before, width - before - count))[None])
        return jnp.concatenate(blocks)

    return FusedTowers(jnp.stack([tower("actor", 0, 0), tower("critic", 1, outputs)]), layers.get("log_std"))
