"""Both separate towers of an `ActorCritic` as chains of products, for accelerators.

The same function of the same parameters. Narrow towers are one chain: first layers side by side, further layers as
blocks of one matrix, both heads as one product; a launch less counts there for more than the zeros that are multiplied.
Wide ones are a chain each: their halves would have to be copied.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_ppo.networks import ACTIVATIONS, ActorCritic

_NARROW = 128  # widths up to which two layers are blocks of one matrix
_HEAD_MULTIPLE = 8  # to which the outputs of both heads are padded
_ROW_PARTS = 32  # into which rows are cut, at most, where their products are summed; 16 times as many for heads
_NARROW_HEAD = 16


class Chain(NamedTuple):
    """Parameters of one tower, or of both."""

    first: jax.Array  # kernel [D, H], of which the row behind the observation's is the bias
    further: list[tuple[jax.Array, jax.Array]]  # kernel [H, H] and bias of each layer
    head: tuple[jax.Array, jax.Array]  # kernel [H, K + 1, padded] and bias; 0 for outputs of the other tower


class JoinedTowers(NamedTuple):
    """Parameters of both towers, laid out for `apply_joined`."""

    chains: list[Chain]  # one, or one for each tower
    log_std: jax.Array | None


def join(network: ActorCritic, params: Any, inputs: int) -> JoinedTowers:
    """Lay out an `ActorCritic`'s parameters; every number of theirs stands in one place, with zeros between them.

    Args:
        network, params: of two separate towers.
        inputs: length of the network's input: normalised observation, a 1, and zeros.
    """
    layers = params["params"]
    first = first_kernel(params, inputs)
    pairs = [[layers[f"{name}_{i}"] for name in ("actor", "critic")] for i in range(1, len(network.hidden_sizes))]
    heads, outputs = [layers["actor_head"], layers["critic_head"]], network.spec_outputs
    if max(network.hidden_sizes) <= _NARROW:
        chains = [Chain(first, [_blocks(*pair) for pair in pairs], _padded(*_blocks(*heads), 0, outputs + 1))]
    else:
        chains = [
            Chain(half, [_layer(pair[i]) for pair in pairs], _padded(*_layer(heads[i]), before, outputs + 1))
            for i, (half, before) in enumerate(zip(jnp.split(first, 2, axis=1), (0, outputs), strict=True))
        ]
    return JoinedTowers(chains, layers.get("log_std"))


def apply_joined(network: ActorCritic, towers: JoinedTowers, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Policy head [N, K] (Gaussian: [N, 2 K]) and values [N] of network inputs [N, D]."""
    outs = [_apply(network, chain, inputs) for chain in towers.chains]
    return head_and_value(network, functools.reduce(jnp.add, outs), towers.log_std)


def first_kernel(params: Any, inputs: int) -> jax.Array:
    """Kernel [inputs, 2 H] of both towers' first layers, with their bias as the row behind the observation's."""
    kernel, bias = _layer(params["params"]["actor_critic_0"])
    return jnp.pad(jnp.concatenate([kernel, bias[None]]), ((0, inputs - kernel.shape[0] - 1), (0, 0)))


def head_and_value(network: ActorCritic, out: jax.Array, log_std: jax.Array | None) -> tuple[jax.Array, jax.Array]:
    """Policy head [..., K] (Gaussian: [..., 2 K]) and values [...] of the outputs of both heads side by side."""
    head = out[..., : network.spec_outputs]
    if log_std is not None:
        head = jnp.concatenate([head, jnp.broadcast_to(log_std, head.shape)], axis=-1)
    return head, out[..., network.spec_outputs]


def _apply(network: ActorCritic, chain: Chain, inputs: jax.Array) -> jax.Array:
    """Outputs float32 [N, K + 1, padded] of network inputs [N, D]."""
    act, dtype = ACTIVATIONS[network.activation], network.dtype
    x = act(product(inputs.astype(dtype), chain.first, dtype))
    for kernel, bias in chain.further:
        x = act(shifted(product(x, kernel, dtype), bias))
    kernel, bias = chain.head
    return product(x, kernel, jnp.float32) + bias[None]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def product(x: jax.Array, kernel: jax.Array, dtype: Any) -> jax.Array:
    """`x` [N, D] times float32 `kernel` [D, H], in the precision of `x` with float32 sums; [N, H] of `dtype`.

    So are both products of its gradient, that by the kernel in float32.
    """
    return jnp.dot(x, kernel.astype(x.dtype), preferred_element_type=dtype)


def _product_forward(x: jax.Array, kernel: jax.Array, dtype: Any) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return product(x, kernel, dtype), (x, kernel)


def _product_backward(
    dtype: Any, kept: tuple[jax.Array, jax.Array], gradient: jax.Array
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    gradient = gradient.astype(x.dtype)
    by_input = jnp.dot(gradient, kernel.astype(x.dtype).T, preferred_element_type=x.dtype)
    # in equal parts of the rows: where the compiler cuts them itself, it first copies all of them into rows it can cut
    parts = math.gcd(x.shape[0], _ROW_PARTS if gradient.shape[1] > _NARROW_HEAD else 16 * _ROW_PARTS)
    a, b = (y.reshape(parts, -1, y.shape[1]) for y in (x, gradient))
    return by_input, jnp.einsum("pnd,pnh->pdh", a, b, preferred_element_type=jnp.float32).sum(axis=0)


product.defvjp(_product_forward, _product_backward)


@jax.custom_vjp
def shifted(x: jax.Array, bias: jax.Array) -> jax.Array:
    """`x` [N, H] plus `bias` [H] in the precision of `x`; the gradient by the bias is summed in float32."""
    return x + bias.astype(x.dtype)[None]


def _shifted_backward(_: None, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    return gradient, gradient.astype(jnp.float32).sum(axis=0)


shifted.defvjp(lambda x, bias: (shifted(x, bias), None), _shifted_backward)


def _blocks(a: Any, b: Any) -> tuple[jax.Array, jax.Array]:
    """Two layers as one: block diagonal kernel, both biases."""
    top = jnp.pad(a["kernel"], ((0, 0), (0, b["kernel"].shape[1])))
    bottom = jnp.pad(b["kernel"], ((0, 0), (a["kernel"].shape[1], 0)))
    return jnp.concatenate([top, bottom]), jnp.concatenate([a["bias"], b["bias"]])


def _layer(params: Any) -> tuple[jax.Array, jax.Array]:
    return params["kernel"], params["bias"]


def _padded(kernel: jax.Array, bias: jax.Array, before: int, size: int) -> tuple[jax.Array, jax.Array]:
    """A head with `before` columns of zeros before its own, and behind them up to `size` and a multiple."""
    spare = before, size + -size % _HEAD_MULTIPLE - before - bias.shape[0]
    return jnp.pad(kernel, ((0, 0), spare)), jnp.pad(bias, spare)
