"""Masked categorical distributions as plain functions, for the training path.

`networks.distribution` is the same as an object. Here a distribution over few choices is computed choice by choice, so
that drawing, probability and entropy of all rows are one kernel and not a dozen reductions over three numbers.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

ILLEGAL_LOGIT = float(np.finfo(np.float32).min)  # finite: -inf gives NaN gradients
_UNROLLED = 16  # choices up to which columns are taken one by one


class Drawn(NamedTuple):
    """Actions and their log probabilities."""

    action: jax.Array  # int32 [...]
    log_prob: jax.Array  # float32 [...]


def draw(head: jax.Array, mask: jax.Array | None, noise: jax.Array) -> Drawn:
    """Draw from logits `head` [..., K] under `mask` [..., K] with Gumbel `noise` [..., K] drawn beforehand.

    The largest logit plus noise (Gumbel 1954; Maddison et al. 2014, arXiv:1411.0030). A row without any legal action
    is uniform over all of them.
    """
    return Drawn(action := largest(head, mask, noise), log_prob_and_entropy(head, mask, action)[0])


def largest(head: jax.Array, mask: jax.Array | None, noise: jax.Array) -> jax.Array:
    """The action of `draw`, int32 [...]."""
    if mask is not None:
        # noise is lost on the smallest float32: a row without any legal action draws by noise alone
        none = ~_over(jnp.logical_or, mask)
        head = jnp.where(mask, head, jnp.where(none[..., None], 0.0, ILLEGAL_LOGIT))
    total = head + noise
    if total.shape[-1] > _UNROLLED:
        return jnp.argmax(total, axis=-1).astype(jnp.int32)
    best, action = total[..., 0], jnp.zeros(total.shape[:-1], jnp.int32)
    for k in range(1, total.shape[-1]):
        better = total[..., k] > best
        best, action = jnp.where(better, total[..., k], best), jnp.where(better, k, action)
    return action


def log_prob_and_entropy(head: jax.Array, mask: jax.Array | None, action: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Log probability of `action` [...] and entropy in nats [...], under logits `head` [..., K] and `mask` [..., K]."""
    logits = head if mask is None else jnp.where(mask, head, ILLEGAL_LOGIT)
    shifted = logits - jax.lax.stop_gradient(_over(jnp.maximum, logits))[..., None]
    weights = jnp.exp(shifted)
    total = _over(jnp.add, weights)
    log_total = jnp.log(total)
    chosen = jnp.arange(logits.shape[-1], dtype=jnp.int32) == action[..., None]
    log_prob = _over(jnp.add, jnp.where(chosen, shifted, 0.0)) - log_total
    return log_prob, log_total - _over(jnp.add, weights * shifted) / total


def _over(combine: Callable[[jax.Array, jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """`x` [..., K] combined over its last axis."""
    if x.shape[-1] > _UNROLLED:
        whole = {jnp.add: jnp.sum, jnp.maximum: jnp.max, jnp.logical_or: jnp.any}
        return whole[combine](x, axis=-1)
    return functools.reduce(combine, [x[..., k] for k in range(x.shape[-1])])
