"""Warm start: carrying what was learned into a network of another shape."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_ppo.checkpoint import Arrays, from_arrays, to_arrays
from purejaxrl_ppo.normalise import RunningMoments
from purejaxrl_ppo.policy import Policy
from purejaxrl_ppo.train import TrainState

_FIRST_LAYERS = ("actor_critic_0.kernel", "shared_0.kernel", "encoder.kernel")
_COUNT_AFTER_WIDENING = 1 << 17


class _Choice(NamedTuple):
    """What a head with more choices needs to know."""

    probability: float  # of each new action
    old_logits: np.ndarray | None  # float64 [N, old actions]


def transfer_parameters(
    source: Any, target: Any, *, new_action_probability: float = 0.05, old_logits: Any = None
) -> tuple[Any, list[str]]:
    """Copy network parameters into those of a network with more inputs, more actions, or other layers.

    Arrays of one name and shape are copied. A first layer with more inputs gets zero weights for the new
    ones, which must follow the old ones: policy and value are unchanged at first. A policy head with more
    choices keeps the proportions between the old ones; every new one gets zero weights and a bias that makes
    it `new_action_probability` likely: on average over `old_logits`, or without them where the head sees
    zeros. A Gaussian head's new sides start at mean 0.
    Everything else stays as it is in `target`.

    Args:
        source: parameters of the trained network (`policy.params`, `state.params`).
        target: parameters of the new network, freshly initialised.
        new_action_probability: of each new action, in (0, 1); all of them together must stay below 1.

        old_logits: float [N, old actions], what the source gives for typical observations; -inf or the
            smallest float32 where an action is illegal.

    Returns:
        Parameters shaped as `target`, and one line per array that says what was done with it.

    Raises:
        ValueError: for a probability that leaves nothing to the old actions, and for `old_logits` of others.
    """
    old, new = to_arrays(source), to_arrays(target)
    report: list[str] = []
    choice = _Choice(new_action_probability, None if old_logits is None else np.asarray(old_logits, np.float64))
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


def warm_started(state: TrainState, policy: Policy | None) -> tuple[TrainState, list[str]]:
    """The first state of a run with what fits of a policy, and what was done.

    New actions start at their stated probability on average over the observations of the state.
    """
    if policy is None:
        return state, []
    params, report = transfer_parameters(policy.params, state.params, old_logits=_first_logits(state, policy))
    moments = transfer_moments(policy.moments, state.obs_moments)
    # copied: the host loop donates the state, and the policy must outlive it
    return state.replace(params=params, obs_moments=jax.tree.map(jnp.copy, moments)), report


def _first_logits(state: TrainState, policy: Policy) -> Any:
    """The policy's logits for the observations of a state; None for a box, or where inputs are missing."""
    size = policy.spec.obs_size
    obs = state.players.obs
    if not policy.spec.action.num_actions or obs.shape[1] < size:
        return None
    flat = policy.replace(spec=policy.spec.replace(obs_shapes=((size,),)))
    return flat.head(obs[:, :size], policy.initial_carry(len(obs)), jnp.ones(len(obs), bool))[1]


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
    probability, logits = choice
    if not 0 < probability * more < 1:
        raise ValueError(
            f"new_action_probability={probability} for {more} new actions: their sum must lie between 0 and 1"
        )
    if known.ndim == 2:
        report.append(f"{name}: {more} new actions at zero weight")
        return np.concatenate([known, np.zeros((known.shape[0], more), known.dtype)], axis=1)
    where = "where the head sees zeros" if logits is None else f"on average over {len(logits)} observations"
    logits = known.astype(np.float64)[None] if logits is None else logits
    if logits.ndim != 2 or logits.shape[1] != known.shape[0]:
        raise ValueError(f"old_logits of shape {logits.shape}: [N, {known.shape[0]}] is expected, one an old action")
    report.append(f"{name}: {more} new actions at probability {probability:g} each {where}")
    bias = _bias_of_new_actions(logits, more, probability)
    return np.concatenate([known, np.full(more, bias, known.dtype)])


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
