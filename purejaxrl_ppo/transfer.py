"""Warm start: carrying what was learned into a network of another shape."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_ppo.checkpoint import Arrays, from_arrays, to_arrays
from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.devices import plan_for
from purejaxrl_ppo.networks import ILLEGAL_LOGIT, make_network
from purejaxrl_ppo.normalise import RunningMoments
from purejaxrl_ppo.policy import Policy
from purejaxrl_ppo.programs import kept_with_environment
from purejaxrl_ppo.rollout import Task, collect
from purejaxrl_ppo.train import TrainState
from purejaxrl_ppo.wrappers import action_spec, hashable, prepare

_FIRST_LAYERS = ("actor_critic_0.kernel", "shared_0.kernel", "encoder.kernel")
_COUNT_AFTER_WIDENING = 1 << 17


class _Choice(NamedTuple):
    """What a head with more choices needs to know."""

    probability: float  # of each new action
    like: int | None  # old action that the new ones resemble
    old_logits: np.ndarray | None  # float64 [N, old actions]
    variants: Mapping[int, int]  # old action of each new one that is a variant of it


def transfer_parameters(
    source: Any,
    target: Any,
    *,
    new_action_probability: float = 0.05,
    like: int | None = None,
    old_logits: Any = None,
    variants: Mapping[int, int] | None = None,
) -> tuple[Any, list[str]]:
    """Copy network parameters into those of a network with more inputs, more actions, or other layers.

    Arrays of one name and shape are copied. A first layer with more inputs gets zero weights for the new
    ones, which must follow the old ones: policy and value are unchanged at first. A Gaussian head's new sides
    start at mean 0. Everything else stays as it is in `target`.

    A policy head with k more choices, which must follow the old ones too, leaves the old logits as they are, so
    that the proportions between old actions are unchanged in every observation and under every mask. New
    actions start at p = `new_action_probability` each, in one of three senses:

    - With `like`, exactly: a new action is p / (1 - k p) times as likely as that old one in every observation,
      which is p wherever `like` is the only legal old action and all new ones are legal. Where more old
      actions are legal it is less than p.
    - With `old_logits`, on average over their rows. The logit is one number for all observations: above p
      where the policy's old logits are low, below p where they are high.
    - With neither, where the head sees zeros.

    New actions among `variants` are the same as an old one but for how it is done, an order of another size say. An old
    action and its v variants share its probability evenly: each has its logits less log(1 + v), so that all others keep
    theirs wherever the old one and its variants are legal alike. They do not count among the k.

    Args:
        source: parameters of the trained network (`policy.params`, `state.params`).
        target: parameters of the new network, freshly initialised.
        new_action_probability: of each new action, in (0, 1); all of them together must stay below 1.
        like: index of an old action, the one that does nothing say.
        old_logits: float [N, old actions], what the source gives for typical observations; -inf or the
            smallest float32 where an action is illegal.
        variants: new action -> old action.

    Returns:
        Parameters shaped as `target`, and one line per array that says what was done with it.

    Raises:
        ValueError: for a probability that leaves nothing to the old actions, for a `like` that is no old
            action, for `old_logits` of other actions, and for variants that are no new actions of old ones.
    """
    old, new = to_arrays(source), to_arrays(target)
    report: list[str] = []
    logits = None if old_logits is None else np.asarray(old_logits, np.float64)
    choice = _Choice(new_action_probability, like, logits, dict(variants or {}))
    merged = {name: _merge(name, old, new, choice, report) for name in new}
    report += [f"{name}: has no place in the new network" for name in old if name not in new]
    return from_arrays(target, merged), report


def transfer_moments(source: RunningMoments, target: RunningMoments) -> RunningMoments:
    """Observation statistics for more inputs: the old ones, and mean 0 and variance 1 for the new ones.

    All inputs share one count. It is cut to 131,072 when inputs are new, so that their statistics are not
    held at the placeholder by millions of samples that they were not part of.
    """
    old, new = source.mean.shape[0], target.mean.shape[0]
    if new < old:
        return target
    if new == old:
        return source
    capped = jnp.where(source.count[0] > 0, jnp.uint32(_COUNT_AFTER_WIDENING), source.count[1])
    low = jnp.minimum(capped, jnp.uint32(_COUNT_AFTER_WIDENING))
    return RunningMoments(
        mean=jnp.concatenate([source.mean, jnp.zeros(new - old)]),
        var=jnp.concatenate([source.var, jnp.ones(new - old)]),
        count=jnp.stack([jnp.uint32(0), low]),
    )


def warm_started(
    state: TrainState, policy: Policy | None, env: Any, env_params: Any, config: PPOConfig
) -> tuple[TrainState, list[str]]:
    """The first state of a run with what fits of a policy, and what was done.

    Where actions are new, the old policy first plays one rollout from `state`, which shows where they are
    legal. If one and the same old action is the only other choice in all those places, new actions start at
    their probability exactly there (`like`), otherwise on average over them (`old_logits`). Actions that the
    environment names in `action_variants`, {action: the one that it is a variant of}, share that one's probability.

    Raises:
        ValueError: for a policy that sees observations otherwise than `config` says, and would act otherwise.
    """
    if policy is None:
        return state, []
    for name in ("normalise_observations", "observation_clip", "activation", "layer_norm"):
        there, here = getattr(policy.config, name), getattr(config, name)
        if there != here:
            raise ValueError(f"the policy to start from was trained with {name}={there}: use it here, too, not {here}")
    # copied: the host loop donates the state, and the policy must outlive it
    moments = jax.tree.map(jnp.copy, transfer_moments(policy.moments, state.obs_moments))
    known = policy.spec.action.num_actions
    choices = action_spec(env.action_space(env_params)).num_actions
    named = getattr(env, "action_variants", {}).items()
    variants = {new: old for new, old in named if known <= new and old < known}
    where: dict[str, Any] = {}
    fresh = [action for action in range(known, choices) if action not in variants]
    if known and fresh:
        timid = transfer_parameters(policy.params, state.params, new_action_probability=1e-9)[0]
        timid_state = state.replace(params=timid, obs_moments=moments)
        where = _where_actions_are_new(timid_state, env, env_params, config, known, fresh)
    params, report = transfer_parameters(policy.params, state.params, variants=variants, **where)
    return state.replace(params=params, obs_moments=moments), report


def _where_actions_are_new(
    state: TrainState, env: Any, env_params: Any, config: PPOConfig, known: int, fresh: list[int]
) -> dict[str, Any]:
    """`like` or `old_logits` for `transfer_parameters`, from one rollout with `state`'s policy."""
    env = hashable(env)  # held until the program is traced
    logits, mask = _program(env, config)(state, env_params)
    old = np.asarray(logits).reshape(-1, logits.shape[-1])[:, :known]
    legal = np.ones((len(old), logits.shape[-1]), bool) if mask is None else np.asarray(mask).reshape(len(old), -1)
    rows = legal[:, fresh].any(axis=1) & legal[:, :known].any(axis=1)
    rows = rows if rows.any() else legal[:, :known].any(axis=1)  # legal nowhere yet: over all observations
    legal = legal[rows, :known]
    if not rows.any():
        return {}
    if (legal == legal[0]).all() and legal[0].sum() == 1:
        return {"like": int(legal[0].argmax())}
    return {"old_logits": np.where(legal, old[rows], ILLEGAL_LOGIT)}


@kept_with_environment
def _program(env_of: Callable[[], Any], config: PPOConfig) -> Callable[..., tuple[jax.Array, jax.Array | None]]:
    """Compiled `_play` of one environment."""
    return jax.jit(lambda state, env_params: _play(env_of(), config, state, env_params))


def _play(env: Any, config: PPOConfig, state: TrainState, env_params: Any) -> tuple[jax.Array, jax.Array | None]:
    """Logits [T, B, K] and masks of one rollout."""
    env, spec = prepare(env, env_params)
    config = dataclasses.replace(config, rollout_storage="observations")
    # the paths of a CPU, on any device: they keep the network's inputs as they are
    plan = plan_for(config, spec, "cpu")
    task = Task(env, env_params, spec, config, plan, make_network(config, spec.action))
    steps = collect(task, state.params, state.obs_moments, state.runner)[1].steps
    return task.network.apply(state.params, state.runner.memory, steps.obs_source, steps.reset)[1], steps.mask


def _merge(name: str, old: Arrays, new: Arrays, choice: _Choice, report: list[str]) -> np.ndarray:
    fresh: np.ndarray = new[name]
    if name not in old:
        report.append(f"{name}: new, left as initialised")
        return fresh
    known: np.ndarray = old[name]
    if known.shape == fresh.shape:
        report.append(f"{name}: copied")
        return known
    if name.endswith(_FIRST_LAYERS) and known.shape[1] == fresh.shape[1] and known.shape[0] < fresh.shape[0]:
        report.append(f"{name}: {fresh.shape[0] - known.shape[0]} new inputs at zero weight")
        return np.concatenate([known, np.zeros((fresh.shape[0] - known.shape[0], known.shape[1]), known.dtype)])
    if "actor_head" in name and known.shape[:-1] == fresh.shape[:-1] and known.shape[-1] < fresh.shape[-1]:
        more = fresh.shape[-1] - known.shape[-1]
        if any(other.endswith("log_std") for other in new):
            report.append(f"{name}: {more} new action sides at mean 0")
            return np.concatenate([known, np.zeros((*known.shape[:-1], more), known.dtype)], axis=-1)
        return _widen_head(name, known, more, choice, report)
    if name.endswith("log_std") and known.shape < fresh.shape:
        report.append(f"{name}: {fresh.shape[0] - known.shape[0]} new action sides as initialised")
        return np.concatenate([known, fresh[known.shape[0] :]])
    report.append(f"{name}: {known.shape} does not fit {fresh.shape}, left as initialised")
    return fresh


def _widen_head(name: str, known: np.ndarray, more: int, choice: _Choice, report: list[str]) -> np.ndarray:
    probability, like, logits, variants = choice
    size = known.shape[-1]
    if any(not size <= new < size + more or not 0 <= old < size for new, old in variants.items()):
        raise ValueError(f"variants={variants}: keys are new actions, from {size} to {size + more - 1}, of old ones")
    fresh = [action for action in range(size, size + more) if action not in variants]
    if not 0 < probability * max(len(fresh), 1) < 1:
        raise ValueError(
            f"new_action_probability={probability} for {len(fresh)} new actions: their sum must lie between 0 and 1"
        )
    if like is not None and not 0 <= like < size:
        raise ValueError(f"like={like} is none of the {size} old actions, which count from 0")
    source = np.array([*range(size), *(variants.get(action, -1) for action in range(size, size + more))])
    if variants:
        report.append(f"{name}: {len(variants)} new actions as variants of old ones")
    if known.ndim == 2:
        if fresh:
            report.append(
                f"{name}: {len(fresh)} new actions {'at zero weight' if like is None else f'like action {like}'}"
            )
        new = np.zeros_like(known[:, :1]) if like is None else known[:, like : like + 1]
        return np.where(source >= 0, known[:, source], new)
    shared = np.array([np.count_nonzero(source == action) for action in range(size)])
    bias = _bias_of_fresh_actions(name, known, len(fresh), choice, report) if fresh else 0.0
    return np.where(source >= 0, (known - np.log(shared).astype(known.dtype))[source], np.asarray(bias, known.dtype))


def _bias_of_fresh_actions(name: str, known: np.ndarray, more: int, choice: _Choice, report: list[str]) -> float:
    """Logit, beside the weights, of each of `more` new actions that are no variants; `known` are the old biases."""
    probability, like, logits, _ = choice
    if like is not None:
        where = f"exactly where action {like} is the only other one"
        bias = float(known[like]) + float(np.log(probability / (1.0 - more * probability)))
    else:
        where = "where the head sees zeros" if logits is None else f"on average over {len(logits)} observations"
        logits = known.astype(np.float64)[None] if logits is None else logits
        if logits.ndim != 2 or logits.shape[1] != known.shape[0]:
            raise ValueError(
                f"old_logits of shape {logits.shape}: [N, {known.shape[0]}] is expected, one an old action"
            )
        bias = _bias_of_new_actions(logits, more, probability)
    report.append(f"{name}: {more} new actions at probability {probability:g} each {where}")
    return bias


def _bias_of_new_actions(logits: np.ndarray, more: int, probability: float) -> float:
    """Logit b of `more` new actions whose mean probability over the rows of old `logits` is `probability`."""
    top = logits.max(axis=1)
    totals = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))  # log of the sum of old exponentials
    # a row alone has the solution total + log(p / (1 - more p)); the mean lies between those of its rows
    shift = np.log(probability / (1.0 - more * probability))
    low, high = totals.min() + shift, totals.max() + shift
    for _ in range(60):
        middle = 0.5 * (low + high)
        mean = np.mean(1.0 / (more + np.exp(np.minimum(totals - middle, 700.0))))
        low, high = (middle, high) if mean < probability else (low, middle)
    return float(0.5 * (low + high))
