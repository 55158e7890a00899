"""The updates made from one rollout: epochs of minibatches, each one gradient step."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree

from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.losses import LossTerms, add_terms, no_terms, ppo_loss, standardise
from purejaxrl_ppo.networks import ActionSpec, ActorCritic, distribution
from purejaxrl_ppo.sharding import Axis, devices, largest, shuffling_key, total, whole_minibatch

Metrics = dict[str, jax.Array]


class Batch(struct.PyTreeNode):
    """What the loss reads of a rollout; [T, B, ...], or a part of it."""

    obs: jax.Array
    reset: jax.Array
    mask: jax.Array | None
    action: jax.Array
    log_prob: jax.Array
    value: jax.Array
    target: jax.Array
    advantage: jax.Array
    weight: jax.Array  # 1 where the row counts in the policy terms


class Rates(NamedTuple):
    """Scheduled coefficients of one iteration."""

    learning_rate: jax.Array
    clip_eps: jax.Array
    ent_coef: jax.Array


class Learner(NamedTuple):
    """What a gradient step needs besides parameters and data."""

    config: PPOConfig
    action: ActionSpec
    network: ActorCritic
    optimiser: optax.GradientTransformation
    rates: Rates
    batch: Batch  # the whole rollout, [T, B, ...]; of this device's environments
    memory: Any  # of the GRU before the rollout, or ()
    axis: Axis = None  # of the mesh, over which gradients and statistics are summed


def learn(learner: Learner, params: Any, opt_state: Any, key: jax.Array) -> tuple[Any, Any, Metrics]:
    """All epochs of minibatch updates.

    Returns:
        Parameters, optimiser state, and metrics: means over the gradient steps that were taken.
    """
    config = learner.config
    # one vector instead of a dozen arrays: clipping and Adam become a few operations instead of a hundred
    flat, unravel = ravel_pytree(params)

    def take(flat: jax.Array, opt_state: Any, pick: jax.Array) -> tuple[Any, Any, LossTerms, jax.Array]:
        gradient, terms = whole_minibatch(*minibatch_gradient(learner, unravel, flat, pick), learner.axis)
        direction, opt_state = learner.optimiser.update(gradient, opt_state, flat)
        return flat - learner.rates.learning_rate * direction, opt_state, terms, jnp.linalg.norm(gradient)

    def step(carry: tuple[Any, Any, jax.Array], pick: jax.Array) -> tuple[Any, Any]:
        flat, opt_state, stopped = carry
        if config.target_kl is None:
            flat, opt_state, terms, norm = take(flat, opt_state, pick)
        else:
            flat, opt_state, terms, norm = jax.lax.cond(
                stopped, lambda *a: (*a[:2], no_terms(), jnp.float32(0)), take, flat, opt_state, pick
            )
        taken = (~stopped).astype(jnp.float32)
        if config.target_kl is not None:
            stopped = stopped | (terms.approx_kl > config.target_kl)
        return (flat, opt_state, stopped), (terms, norm, taken)

    start = (flat, opt_state, jnp.bool_(False))
    picks = minibatch_indices(config, shuffling_key(config, key, learner.axis))
    (flat, opt_state, _), (terms, norms, taken) = jax.lax.scan(step, start, picks)
    steps = taken.sum()
    means = {name: getattr(terms, name).sum() / steps for name in LossTerms.__dataclass_fields__}
    del means["ratio_error"]
    metrics = {**means, "grad_norm": norms.sum() / steps, "gradient_steps": steps}
    return unravel(flat), opt_state, {**metrics, "first_ratio_error": largest(terms.ratio_error[0], learner.axis)}


def minibatch_gradient(learner: Learner, unravel: Any, flat: jax.Array, pick: jax.Array) -> tuple[jax.Array, LossTerms]:
    """Gradient and loss terms of the picked minibatch, computed in equal parts that add up.

    On a CPU a part of about a thousand rows stays in the cache, which is faster than one pass over all rows;
    the parts are read straight from the rollout, so that no minibatch is copied.
    """
    config = learner.config
    parts = config.microbatches(jax.default_backend())
    picks = pick.reshape(parts, -1)
    advantage, weight = select(config, (learner.batch.advantage, learner.batch.weight), pick)
    if config.normalise_advantages:
        advantage = standardise(advantage, weight, learner.axis)
    weight = weight / jnp.maximum(total(weight.sum(), learner.axis), 1.0)
    rows = advantage.size * devices(learner.axis)
    split = _splitter(config, parts)

    def part(pick: jax.Array, advantage: jax.Array, weight: jax.Array) -> tuple[jax.Array, LossTerms]:
        batch = select(config, learner.batch, pick).replace(advantage=advantage, weight=weight)
        memory = jax.tree.map(lambda x: x[pick], learner.memory)

        def loss(flat: jax.Array) -> tuple[jax.Array, LossTerms]:
            terms = loss_terms(learner, unravel(flat), memory, batch, rows)
            return terms.total_loss, terms

        return jax.grad(loss, has_aux=True)(flat)

    if parts == 1:
        return part(pick, advantage, weight)

    def add(total: tuple[Any, LossTerms], xs: Any) -> tuple[tuple[Any, LossTerms], None]:
        gradient, terms = part(*xs)
        return (total[0] + gradient, add_terms(total[1], terms)), None

    xs = (picks, split(advantage), split(weight))
    return jax.lax.scan(add, (jnp.zeros_like(flat), no_terms()), xs)[0]


def loss_terms(learner: Learner, params: Any, memory: Any, batch: Batch, rows: int) -> LossTerms:
    """Loss of a part of a minibatch of `rows` rows."""
    config, rates = learner.config, learner.rates
    _, head, values = learner.network.apply(params, memory, batch.obs, batch.reset)
    dist = distribution(learner.action, head, batch.mask)
    return ppo_loss(
        dist.log_prob(batch.action),
        dist.entropy(),
        values,
        batch.log_prob,
        batch.value,
        batch.advantage,
        batch.target,
        batch.weight,
        rows,
        clip_eps=rates.clip_eps,
        ent_coef=rates.ent_coef,
        value_coef=config.value_coef,
        clip_value=config.clip_value,
    )


def choice_rows(config: PPOConfig, mask: jax.Array | None, like: jax.Array) -> jax.Array:
    """1 for rows that count in the policy terms, shaped as `like`: those with at least two legal actions."""
    if mask is None or not config.choice_rows_only:
        return jnp.ones_like(like)
    return (mask.sum(axis=-1) >= 2).astype(jnp.float32)


def minibatch_indices(config: PPOConfig, key: jax.Array) -> jax.Array:
    """Indices [epochs * minibatches, n] into rows, steps or environments; an epoch is a permutation."""
    keys = jax.random.split(key, config.num_epochs)
    order = jax.vmap(lambda k: jax.random.permutation(k, config.minibatch_units))(keys)
    return order.reshape(config.num_epochs * config.num_minibatches, -1)


def select(config: PPOConfig, data: Any, pick: jax.Array) -> Any:
    """The picked rows [n, ...], time steps [n, B, ...], or environments [T, n, ...] of data [T, B, ...]."""
    if config.minibatch_mode == "envs":
        return jax.tree.map(lambda x: x[:, pick], data)
    if config.minibatch_mode == "time":
        return jax.tree.map(lambda x: x[pick], data)
    return jax.tree.map(lambda x: x.reshape(config.batch_size, *x.shape[2:])[pick], data)


def _splitter(config: PPOConfig, parts: int) -> Any:
    """Function that cuts a minibatch's array into parts [parts, ...] along the axis that was picked from."""
    if config.minibatch_mode == "envs":
        return lambda x: jnp.moveaxis(x.reshape(x.shape[0], parts, -1), 1, 0)
    return lambda x: x.reshape(parts, -1, *x.shape[1:])
