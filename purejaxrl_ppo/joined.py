"""Both separate towers of an `ActorCritic` as one chain of products, for accelerators.

The same function of the same parameters: first layers side by side, further layers as blocks of one matrix where they
are narrow, both heads as one product. A launch less counts there for more than the zeros that are multiplied.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_ppo.networks import ACTIVATIONS, ActorCritic

_NARROW = 128  # widths up to which two layers are blocks of one matrix
_HEAD_MULTIPLE = 8  # to which the outputs of both heads are padded


class JoinedTowers(NamedTuple):
    """Parameters of both towers, laid out for `apply_joined`."""

    first: jax.Array  # kernel [D, 2 H], of which the row behind the observation's is the bias
    further: list[Any]  # of each layer: kernel and bias of the block matrix, or two pairs of them
    head: tuple[jax.Array, jax.Array]  # kernel [2 H, K + 1, padded] and bias
    log_std: jax.Array | None


def join(network: ActorCritic, params: Any, inputs: int) -> JoinedTowers:
    """Lay out an `ActorCritic`'s parameters; every number of theirs stands in one place, with zeros between them.

    Args:
        network, params: of two separate towers.
        inputs: length of the network's input: normalised observation, a 1, and zeros.
    """
    layers = params["params"]
    kernel, bias = layers["actor_critic_0"]["kernel"], layers["actor_critic_0"]["bias"]
    first = jnp.pad(jnp.concatenate([kernel, bias[None]]), ((0, inputs - kernel.shape[0] - 1), (0, 0)))
    further: list[Any] = []
    for i in range(1, len(network.hidden_sizes)):
        pair = [layers[f"{name}_{i}"] for name in ("actor", "critic")]
        further.append(_blocks(*pair) if _narrow(pair) else [(one["kernel"], one["bias"]) for one in pair])
    kernel, bias = _blocks(layers["actor_head"], layers["critic_head"])
    spare = -bias.shape[0] % _HEAD_MULTIPLE
    head = jnp.pad(kernel, ((0, 0), (0, spare))), jnp.pad(bias, (0, spare))
    return JoinedTowers(first, further, head, layers.get("log_std"))


def apply_joined(network: ActorCritic, towers: JoinedTowers, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Policy head [N, K] (Gaussian: [N, 2 K]) and values [N] of network inputs [N, D]."""
    act, dtype = ACTIVATIONS[network.activation], network.dtype

    def layer(x: jax.Array, weights: tuple[jax.Array, jax.Array]) -> jax.Array:
        return act(shifted(product(x, weights[0], dtype), weights[1]))

    x = act(product(inputs.astype(dtype), towers.first, dtype))
    for weights in towers.further:
        if isinstance(weights, tuple):
            x = layer(x, weights)
        else:
            halves = jnp.split(x, 2, axis=-1)
            x = jnp.concatenate([layer(half, one) for half, one in zip(halves, weights, strict=True)], axis=-1)
    out = product(x, towers.head[0], jnp.float32) + towers.head[1][None]
    outputs = network.spec_outputs
    head = out[..., :outputs]
    if towers.log_std is not None:
        head = jnp.concatenate([head, jnp.broadcast_to(towers.log_std, head.shape)], axis=-1)
    return head, out[..., outputs]


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
    return by_input, jnp.dot(x.T, gradient, preferred_element_type=jnp.float32)


product.defvjp(_product_forward, _product_backward)


@jax.custom_vjp
def shifted(x: jax.Array, bias: jax.Array) -> jax.Array:
    """`x` [N, H] plus `bias` [H] in the precision of `x`; the gradient by the bias is summed in float32."""
    return x + bias.astype(x.dtype)[None]


def _shifted_backward(_: None, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    return gradient, gradient.astype(jnp.float32).sum(axis=0)


shifted.defvjp(lambda x, bias: (shifted(x, bias), None), _shifted_backward)


def _narrow(pair: list[Any]) -> bool:
    return all(max(one["kernel"].shape) <= _NARROW for one in pair)


def _blocks(a: Any, b: Any) -> tuple[jax.Array, jax.Array]:
    """Two layers as one: block diagonal kernel, both biases."""
    top = jnp.pad(a["kernel"], ((0, 0), (0, b["kernel"].shape[1])))
    bottom = jnp.pad(b["kernel"], ((0, 0), (a["kernel"].shape[1], 0)))
    return jnp.concatenate([top, bottom]), jnp.concatenate([a["bias"], b["bias"]])
