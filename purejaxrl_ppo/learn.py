"""The updates made from one rollout: epochs of minibatches, each one gradient step."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jax.flatten_util import ravel_pytree

from purejaxrl_ppo.blocks import over_wanted
from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.losses import (
    LossTerms,
    Standard,
    add_terms,
    no_terms,
    policy_terms,
    ppo_loss,
    standard,
    standardise,
    value_terms,
)
from purejaxrl_ppo.networks import evaluate_actions, run_tower, tower_params
from purejaxrl_ppo.rollout import Task, arranged, padded_size, policy_and_value
from purejaxrl_ppo.sharding import devices, shuffling_key, whole_minibatch

Metrics = dict[str, jax.Array]


class Batch(struct.PyTreeNode):
    """What the loss reads of a rollout; [T, B, ...], or a part of it."""

    obs_source: Any  # of which `Learner.input_of` makes the network's input
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

    task: Task
    optimiser: optax.GradientTransformation
    rates: Rates
    batch: Batch  # the whole rollout, [T, B, ...]; of this device's environments
    memory: Any  # of the GRU before the rollout, or ()
    input_of: Callable[[Any], jax.Array]  # rows [n, ...] of `batch.obs_source` -> the network's input [n, D]

    @property
    def config(self) -> PPOConfig:
        """Settings of this device's share."""
        return self.task.config


def learn(learner: Learner, params: Any, opt_state: Any, key: jax.Array) -> tuple[Any, Any, Metrics]:
    """All epochs of minibatch updates.

    Returns:
        Parameters, optimiser state, and metrics: means over the gradient steps that were taken, and
        `first_ratio_error`, which is of this device's rows only.
    """
    config, axis = learner.config, learner.task.axis
    layout = _layout(learner.task, params)

    def take(flat: jax.Array, opt_state: Any, pick: Any) -> tuple[Any, Any, LossTerms, jax.Array]:
        gradient, terms = whole_minibatch(*minibatch_gradient(learner, layout, flat, *pick), axis)
        with jax.numpy_dtype_promotion("standard"):  # the library mixes types, which a user may have forbidden
            direction, opt_state = learner.optimiser.update(gradient, opt_state, flat)
        return flat - learner.rates.learning_rate * direction, opt_state, terms, jnp.linalg.norm(gradient)

    def step(carry: tuple[Any, Any, jax.Array], pick: Any) -> tuple[Any, jax.Array]:
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
        return (flat, opt_state, stopped), jnp.stack([*jax.tree.leaves(terms), norm, taken])

    start = (*layout.arrange(ravel_pytree(params)[0], opt_state), jnp.bool_(False))
    picks = minibatch_indices(config, shuffling_key(config, key, axis))
    (flat, opt_state, _), log = jax.lax.scan(step, start, (picks, minibatch_standards(learner, picks)))
    *means, steps = log.sum(axis=0)
    means = [mean / steps for mean in means]
    names = [*LossTerms.__dataclass_fields__, "grad_norm"]
    metrics = {name: mean for name, mean in zip(names, means, strict=True) if name != "ratio_error"}
    first_error = log[0, names.index("ratio_error")]
    flat, opt_state = layout.restore(flat, opt_state)
    return (
        ravel_pytree(params)[1](flat),
        opt_state,
        {**metrics, "gradient_steps": steps, "first_ratio_error": first_error},
    )


class Layout(NamedTuple):
    """Parameters as one vector: clipping and Adam become a few operations instead of a hundred.

    The vector holds them arranged as the products take them, so that no step has to arrange them anew.
    """

    unravel: Callable[[jax.Array], Any]  # of the vector: what the loss is a function of
    arrange: Callable[..., Any]  # vectors of parameters in their own order, anywhere in trees -> arranged
    restore: Callable[..., Any]  # the inverse
    places: jax.Array | None  # 1 where the vector holds a parameter, 0 where a zero stays; None: no zeros


def _layout(task: Task, params: Any) -> Layout:
    flat, unravel = ravel_pytree(params)
    if task.plan.skip_in_learning or arranged(task, params) is params:
        return Layout(unravel, lambda *trees: trees, lambda *trees: trees, None)

    def arrange(vector: jax.Array) -> jax.Array:
        return ravel_pytree(arranged(task, unravel(vector)))[0]

    def restore(vector: jax.Array) -> jax.Array:
        # every number stands in one place, so the transpose is the inverse
        return jax.linear_transpose(arrange, flat)(vector)[0]

    places = arrange(jnp.ones_like(flat))

    def everywhere(function: Callable[[jax.Array], jax.Array], size: int) -> Callable[..., Any]:
        return lambda *trees: jax.tree.map(lambda x: function(x) if jnp.shape(x) == (size,) else x, trees)

    whole = ravel_pytree(arranged(task, params))[1]
    return Layout(whole, everywhere(arrange, flat.size), everywhere(restore, places.size), places)


def minibatch_standards(learner: Learner, picks: jax.Array) -> Standard:
    """What the advantages of all minibatches [M] are standardised by, at once: they are known before the first."""

    def of_one(pick: jax.Array) -> Standard:
        advantage, weight = select(learner.config, (learner.batch.advantage, learner.batch.weight), pick)
        return standard(advantage, weight, learner.task.axis)

    return jax.vmap(of_one)(picks)


class Minibatch(NamedTuple):
    """What a gradient step learns from, read from the rollout where it is needed."""

    pick: jax.Array  # of `select`
    advantage: jax.Array  # as the loss uses it, shaped as `select` gives it
    weight: jax.Array  # of the rows in the policy terms, summing to 1; shaped likewise


def minibatch_gradient(
    learner: Learner, layout: Layout, flat: jax.Array, pick: jax.Array, by: Standard
) -> tuple[jax.Array, LossTerms]:
    """Gradient and loss terms of the picked minibatch: this device's share of them.

    Where the towers are separate and rows with a single legal action count for nothing in the policy terms, the
    policy's tower may run over the other rows only. The result is the same up to the order of sums.
    """
    advantage, weight = select(learner.config, (learner.batch.advantage, learner.batch.weight), pick)
    if learner.config.normalise_advantages:
        advantage = standardise(advantage, by)
    minibatch = Minibatch(pick, advantage, weight / by.rows)
    params = layout.unravel(flat)
    if learner.task.plan.skip_in_learning:
        (actor, critic), back = jax.vjp(lambda p: _towers(learner, p), params)
        policy_gradient, policy = _policy_gradient(learner, actor, minibatch)
        value_gradient, value = _value_gradient(learner, critic, minibatch)
        return ravel_pytree(back((policy_gradient, value_gradient))[0])[0], add_terms(policy, value)
    gradient, terms = _whole_gradient(learner, params, minibatch)
    gradient = ravel_pytree(gradient)[0]
    return gradient if layout.places is None else gradient * layout.places, terms


def _towers(learner: Learner, params: Any) -> tuple[Any, Any]:
    padded = learner.task.network.pad_inputs(params, padded_size(learner.task))
    return tower_params(padded, "actor"), tower_params(padded, "critic")


def _whole_gradient(learner: Learner, params: Any, minibatch: Minibatch) -> tuple[Any, LossTerms]:
    """Gradient of the loss by all parameters."""
    task, config, rates = learner.task, learner.config, learner.rates
    rows = minibatch.advantage.size * devices(task.axis)

    def loss(params: Any, part: Minibatch) -> LossTerms:
        batch = select(config, learner.batch.replace(obs_source=None), part.pick)
        memory = jax.tree.map(lambda x: x[part.pick], learner.memory)
        advantage, weight = part.advantage, part.weight
        if not config.recurrent:
            batch, advantage, weight = flat_rows(config, (batch, advantage, weight))
        head, values = _outputs(learner, params, memory, part.pick, batch.reset)
        log_prob, entropy = evaluate_actions(task.spec.action, head, batch.mask, batch.action)
        return ppo_loss(
            log_prob,
            entropy,
            values,
            batch.log_prob,
            batch.value,
            advantage,
            batch.target,
            weight,
            rows,
            clip_eps=rates.clip_eps,
            ent_coef=rates.ent_coef,
            value_coef=config.value_coef,
            clip_value=config.clip_value,
        )

    return _over_parts(learner, loss, params, minibatch)


def _outputs(
    learner: Learner, params: Any, memory: Any, pick: jax.Array, reset: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Policy heads and values of the picked rows; parameters as `Layout.unravel` gives them."""
    task, config, source = learner.task, learner.config, learner.batch.obs_source
    if task.plan.fused_towers and task.plan.whole_inputs and config.minibatch_mode == "time":
        from purejaxrl_ppo.kernels import apply_fused

        return flat_rows(config, apply_fused(task.network, params, source, pick))
    source = select(config, source, pick)
    inputs = jax.vmap(learner.input_of)(source) if config.recurrent else learner.input_of(flat_rows(config, source))
    return policy_and_value(task, params)(memory, inputs, reset)[1:]


def _value_gradient(learner: Learner, critic: Any, minibatch: Minibatch) -> tuple[Any, LossTerms]:
    """Gradient of the value loss, over all rows, by the parameters of the value's tower."""
    config, data, rows = learner.config, learner.batch, minibatch.advantage.size * devices(learner.task.axis)

    def loss(critic: Any, part: Minibatch) -> LossTerms:
        source, old, target = flat_rows(config, select(config, (data.obs_source, data.value, data.target), part.pick))
        values = run_tower(learner.task.network, critic, learner.input_of(source))[..., 0]
        return value_terms(
            values,
            old,
            target,
            rows,
            clip_eps=learner.rates.clip_eps,
            value_coef=config.value_coef,
            clip_value=config.clip_value,
        )

    return _over_parts(learner, loss, critic, minibatch)


def _policy_gradient(learner: Learner, actor: Any, minibatch: Minibatch) -> tuple[Any, LossTerms]:
    """Gradient of the policy terms by the parameters of the policy's tower, over the rows that count in them.

    They are gathered a block at a time, so that the work follows their number, which no shape can tell.
    """
    config, rates = learner.config, learner.rates
    weight, advantage = minibatch.weight.reshape(-1), minibatch.advantage.reshape(-1)
    numbers = jnp.arange(config.batch_size, dtype=jnp.int32).reshape(config.num_steps, config.num_envs)
    rows = select(config, numbers, minibatch.pick).reshape(-1)
    data = jax.tree.map(
        lambda x: x.reshape(config.batch_size, *x.shape[2:]),
        (learner.batch.obs_source, learner.batch.mask, learner.batch.action, learner.batch.log_prob),
    )

    def loss(actor: Any, picked: jax.Array) -> tuple[jax.Array, LossTerms]:
        # beyond the last row that counts there are rows of weight 0
        w, a = (x.at[picked].get(mode="fill", fill_value=0) for x in (weight, advantage))
        source, mask, action, old = jax.tree.map(lambda x: x[rows.at[picked].get(mode="clip")], data)
        head = run_tower(learner.task.network, actor, learner.input_of(source))
        log_prob, entropy = evaluate_actions(learner.task.spec.action, head, mask, action)
        terms = policy_terms(log_prob, entropy, old, a, w, clip_eps=rates.clip_eps, ent_coef=rates.ent_coef)
        return terms.total_loss, terms

    def add(total: tuple[Any, LossTerms], picked: jax.Array) -> tuple[Any, LossTerms]:
        return _added(total, jax.grad(loss, has_aux=True)(actor, picked))

    return over_wanted(
        weight > 0, learner.task.plan.choice_block, add, (jax.tree.map(jnp.zeros_like, actor), no_terms())
    )


def _over_parts(
    learner: Learner, loss: Callable[[Any, Minibatch], LossTerms], params: Any, minibatch: Minibatch
) -> tuple[Any, LossTerms]:
    """Gradient and terms of a loss, computed in equal parts of the minibatch that add up.

    On a CPU a part of about two thousand rows stays in the cache, which is faster than one pass over all rows;
    the parts are read straight from the rollout, so that no minibatch is copied.
    """
    parts = learner.task.plan.microbatches

    def of_part(params: Any, part: Minibatch) -> tuple[jax.Array, LossTerms]:
        terms = loss(params, part)
        return terms.total_loss, terms

    gradient = jax.grad(of_part, has_aux=True)
    if parts == 1:
        return gradient(params, minibatch)
    split = _splitter(learner.config, parts)
    xs = Minibatch(minibatch.pick.reshape(parts, -1), split(minibatch.advantage), split(minibatch.weight))
    start = (jax.tree.map(jnp.zeros_like, params), no_terms())
    return jax.lax.scan(lambda total, part: (_added(total, gradient(params, part)), None), start, xs)[0]


def _added(total: tuple[Any, LossTerms], more: tuple[Any, LossTerms]) -> tuple[Any, LossTerms]:
    return jax.tree.map(jnp.add, total[0], more[0]), add_terms(total[1], more[1])


def choice_rows(config: PPOConfig, mask: jax.Array | None, like: jax.Array) -> jax.Array:
    """1 for rows that count in the policy terms, shaped as `like`: those with at least two legal actions."""
    if mask is None or not config.choice_rows_only:
        return jnp.ones_like(like)
    return (mask.sum(axis=-1) >= 2).astype(jnp.float32)


def minibatch_indices(config: PPOConfig, key: jax.Array) -> jax.Array:
    """Indices [epochs * minibatches, n] into rows, steps or environments; an epoch is a permutation."""
    keys, units = jax.random.split(key, config.num_epochs), jnp.arange(config.minibatch_units, dtype=jnp.int32)
    order = jax.vmap(jax.random.permutation, (0, None))(keys, units)
    return order.reshape(config.num_epochs * config.num_minibatches, -1)


def select(config: PPOConfig, data: Any, pick: jax.Array) -> Any:
    """The picked rows [n, ...], time steps [n, B, ...], or environments [T, n, ...] of data [T, B, ...]."""
    if config.minibatch_mode == "envs":
        return jax.tree.map(lambda x: x[:, pick], data)
    if config.minibatch_mode == "time":
        return jax.tree.map(lambda x: x[pick], data)
    return jax.tree.map(lambda x: x.reshape(config.batch_size, *x.shape[2:])[pick], data)


def flat_rows(config: PPOConfig, data: Any) -> Any:
    """What `select` gave as rows [n, ...]: products over two leading axes are slower."""
    if config.minibatch_mode == "rows":
        return data
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), data)


def _splitter(config: PPOConfig, parts: int) -> Any:
    """Function that cuts a minibatch's array into parts [parts, ...] along the axis that was picked from."""
    if config.minibatch_mode == "envs":
        return lambda x: jnp.moveaxis(x.reshape(x.shape[0], parts, -1), 1, 0)
    return lambda x: x.reshape(parts, -1, *x.shape[1:])
