"""Generalised advantage estimation and the PPO loss: pure functions of arrays, no environment in sight."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl_ppo.sharding import Axis, total


class LossTerms(struct.PyTreeNode):
    """What a minibatch's loss consists of; float32 scalars. All but the last add up over its parts."""

    total_loss: jax.Array
    policy_loss: jax.Array
    value_loss: jax.Array
    entropy: jax.Array  # nats, mean over the rows that count
    approx_kl: jax.Array  # mean of (ratio - 1) - log ratio (Schulman, "Approximating KL divergence", 2020)
    clip_fraction: jax.Array  # share of rows whose ratio left [1 - eps, 1 + eps]
    ratio_error: jax.Array  # largest |ratio - 1|


def gae(
    rewards: jax.Array,
    values: jax.Array,
    last_value: jax.Array,
    final_values: jax.Array,
    terminated: jax.Array,
    truncated: jax.Array,
    gamma: jax.Array | float,
    gae_lambda: jax.Array | float,
    unroll: int = 8,
) -> tuple[jax.Array, jax.Array]:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv:1506.02438) with both ends.

    A terminated step is followed by value zero. A truncated one that is not terminated is followed by
    the value of the observation it would have gone on from. Neither lets an advantage flow back from the
    next episode.

    Args:
        rewards, values, terminated, truncated: [T, B]; `values` of the observations acted on.
        last_value: [B], value of the observation after the last step.
        final_values: [T, B], value of the final observation; read where truncated only.
        unroll: steps in one turn of the loop.

    Returns:
        advantages and value targets (advantages + values), both [T, B] float32.
    """
    next_values = jnp.concatenate([values[1:], last_value[None]])
    next_values = jnp.where(truncated, final_values, next_values)
    next_values = jnp.where(terminated, 0.0, next_values)
    deltas = rewards + gamma * next_values - values
    carry_on = jnp.where(terminated | truncated, 0.0, gamma * gae_lambda)

    def step(advantage: jax.Array, xs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        delta, factor = xs
        advantage = delta + factor * advantage
        return advantage, advantage

    _, advantages = jax.lax.scan(step, jnp.zeros_like(last_value), (deltas, carry_on), reverse=True, unroll=unroll)
    return advantages, advantages + values


def no_terms() -> LossTerms:
    """The loss terms of no rows at all."""
    return LossTerms(*(jnp.float32(0) for _ in LossTerms.__dataclass_fields__))


def add_terms(a: LossTerms, b: LossTerms) -> LossTerms:
    """Loss terms of two parts of a minibatch together."""
    return jax.tree.map(jnp.add, a, b).replace(ratio_error=jnp.maximum(a.ratio_error, b.ratio_error))


class Standard(NamedTuple):
    """What advantages of a minibatch are shifted and scaled by, and what their rows weigh."""

    mean: jax.Array
    deviation: jax.Array
    rows: jax.Array  # sum of the weights, 1 at least


def standard(advantages: jax.Array, weights: jax.Array, axis: Axis = None) -> Standard:
    """Mean and deviation of advantages over the rows of weight 1, of all devices on the axis."""
    weighted, weight = total((jnp.sum(advantages * weights), jnp.sum(weights)), axis)
    rows = jnp.maximum(weight, 1.0)
    centre = weighted / rows
    squares = total(jnp.sum(jnp.square(advantages - centre) * weights), axis)
    return Standard(centre, jnp.sqrt(squares / rows), rows)


def standardise(advantages: jax.Array, by: Standard) -> jax.Array:
    """Advantages with mean 0 and deviation 1 over the rows of weight 1."""
    return (advantages - by.mean) / (by.deviation + 1e-8)


def squared_errors(
    values: jax.Array, old_values: jax.Array, targets: jax.Array, clip_eps: jax.Array | float, clip: bool
) -> jax.Array:
    """Squared errors of values, or of values within `clip_eps` of the OLD ones where that is worse."""
    errors = jnp.square(values - targets)
    if clip:
        clipped = old_values + jnp.clip(values - old_values, -clip_eps, clip_eps)
        errors = jnp.maximum(errors, jnp.square(clipped - targets))
    return errors


def policy_terms(
    log_prob: jax.Array,
    entropy: jax.Array,
    old_log_prob: jax.Array,
    advantages: jax.Array,
    weights: jax.Array,
    *,
    clip_eps: jax.Array | float,
    ent_coef: jax.Array | float,
) -> LossTerms:
    """The policy's share of the PPO loss (Schulman et al. 2017, arXiv:1707.06347): clipped surrogate and entropy.

    Args:
        log_prob, entropy: of the present policy. All arrays are of one shape.
        old_log_prob, advantages: from the rollout; advantages as they are to be used (standardised).
        weights: of the rows in the policy terms, summing to 1 over the minibatch. Rows of weight 0 may be left out.
    """
    rows = _policy_rows(log_prob, entropy, old_log_prob, advantages, weights, clip_eps)
    return _policy_sums(_sums(rows), _ratio_error(log_prob, old_log_prob, weights), ent_coef)


def value_terms(
    values: jax.Array,
    old_values: jax.Array,
    targets: jax.Array,
    rows: int,
    *,
    clip_eps: jax.Array | float,
    value_coef: float,
    clip_value: bool,
) -> LossTerms:
    """The value function's share of the PPO loss: half the mean squared error over all `rows` of the minibatch.

    Args:
        values: of the present network. All arrays are of one shape.
        old_values, targets: from the rollout.
        rows: of the whole minibatch, of which these may be a part.
    """
    value = 0.5 * jnp.sum(squared_errors(values, old_values, targets, clip_eps, clip_value)) / rows
    return no_terms().replace(total_loss=value_coef * value, value_loss=value)


def ppo_loss(
    log_prob: jax.Array,
    entropy: jax.Array,
    values: jax.Array,
    old_log_prob: jax.Array,
    old_values: jax.Array,
    advantages: jax.Array,
    targets: jax.Array,
    weights: jax.Array,
    rows: int,
    *,
    clip_eps: jax.Array | float,
    ent_coef: jax.Array | float,
    value_coef: float,
    clip_value: bool,
) -> LossTerms:
    """`policy_terms` and `value_terms` of the same rows.

    A minibatch may be passed in parts: losses and gradients of the parts add up to its own.
    """
    errors = squared_errors(values, old_values, targets, clip_eps, clip_value)
    *policy, error = _sums(
        [*_policy_rows(log_prob, entropy, old_log_prob, advantages, weights, clip_eps), 0.5 / rows * errors]
    )
    terms = _policy_sums(policy, _ratio_error(log_prob, old_log_prob, weights), ent_coef)
    return terms.replace(total_loss=terms.total_loss + value_coef * error, value_loss=error)


def _policy_rows(
    log_prob: jax.Array,
    entropy: jax.Array,
    old_log_prob: jax.Array,
    advantages: jax.Array,
    weights: jax.Array,
    clip_eps: jax.Array | float,
) -> list[jax.Array]:
    """What sums up, row by row, to surrogate loss, entropy, KL and clipped share."""
    log_ratio = log_prob - old_log_prob
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1.0 - clip_eps, 1.0 + clip_eps)
    return [
        -jnp.minimum(ratio * advantages, clipped * advantages) * weights,
        entropy * weights,
        (ratio - 1.0 - log_ratio) * weights,
        jnp.where(jnp.abs(ratio - 1.0) > clip_eps, weights, 0.0),
    ]


def _sums(rows: list[jax.Array]) -> list[jax.Array]:
    """The sum of each array; all as one reduction, which an accelerator launches once instead of once for each."""
    return list(jnp.stack([row.reshape(-1) for row in rows]).sum(axis=1))


def _policy_sums(sums: list[jax.Array], ratio_error: jax.Array, ent_coef: jax.Array | float) -> LossTerms:
    policy, entropy, approx_kl, clip_fraction = sums
    return no_terms().replace(
        total_loss=policy - ent_coef * entropy,
        policy_loss=policy,
        entropy=entropy,
        approx_kl=approx_kl,
        clip_fraction=clip_fraction,
        ratio_error=ratio_error,
    )


def _ratio_error(log_prob: jax.Array, old_log_prob: jax.Array, weights: jax.Array) -> jax.Array:
    return jnp.max(jnp.where(weights > 0, jnp.abs(jnp.exp(log_prob - old_log_prob) - 1.0), 0.0))


def explained_variance(unexplained: jax.Array, spread: jax.Array) -> jax.Array:
    """1 - Var(targets - values) / Var(targets), of both variances; 0 where the targets do not vary."""
    return jnp.where(spread > 1e-12, 1.0 - unexplained / jnp.maximum(spread, 1e-12), 0.0)
