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


class Drawn(NamedTuple):
    """Actions and their log probabilities."""

    action: jax.Array  # int32 [...]
    log_prob: jax.Array  # float32 [...]


def draw(head: jax.Array, mask: jax.Array | None, noise: jax.Array) -> Drawn:
    """Draw from logits `head` [..., K] under `mask` [..., K] with Gumbel `noise` [..., K] drawn beforehand.

    The largest logit plus noise (Gumbel 1954; Maddison et al. 2014, arXiv:1411.0030). A row without any legal action
    is uniform over all of them.
    """
    action = largest(head, mask, noise)
    return Drawn(action, log_prob_and_entropy(head, mask, action)[0])


def largest(head: jax.Array, mask: jax.Array | None, noise: jax.Array) -> jax.Array:
    """The action of `draw`, int32 [...]."""
    logits = _columns(head)
    if mask is not None:
        # noise is lost on the smallest float32: a row without any legal action draws by noise alone
        legal = _columns(mask)
        other = jnp.where(_over(jnp.logical_or, legal), ILLEGAL_LOGIT, 0.0)
        logits = [jnp.where(m, x, other) for m, x in zip(legal, logits, strict=True)]
    perturbed = [x + n for x, n in zip(logits, _columns(noise), strict=True)]
    best, action = perturbed[0], jnp.zeros(perturbed[0].shape, jnp.int32)
    for k, x in enumerate(perturbed[1:], start=1):
        action = jnp.where(x > best, k, action)
        best = jnp.maximum(x, best)
    return action


def log_prob_and_entropy(head: jax.Array, mask: jax.Array | None, action: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Log probability of `action` [...] and entropy in nats [...], under logits `head` [..., K] and `mask` [..., K]."""
    logits = _columns(head)
    if mask is not None:
        logits = [jnp.where(m, x, ILLEGAL_LOGIT) for m, x in zip(_columns(mask), logits, strict=True)]
    most = jax.lax.stop_gradient(_over(jnp.maximum, logits))
    shifted = [x - most for x in logits]
    weights = [jnp.exp(x) for x in shifted]
    total = _over(jnp.add, weights)
    log_total = jnp.log(total)
    chosen = _over(jnp.add, [jnp.where(action == k, x, 0.0) for k, x in enumerate(shifted)])
    spread = _over(jnp.add, [w * x for w, x in zip(weights, shifted, strict=True)])
    return chosen - log_total, log_total - spread / total


def _columns(x: jax.Array) -> list[jax.Array]:
    """[..., K] -> K arrays [...]."""
    return [x[..., k] for k in range(x.shape[-1])]


def _over(combine: Callable[[jax.Array, jax.Array], jax.Array], columns: list[jax.Array]) -> jax.Array:
    return functools.reduce(combine, columns)
