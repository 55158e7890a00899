"""Warm start: carrying what was learned into a network of another shape."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_ppo.checkpoint import Arrays, from_arrays, to_arrays
from purejaxrl_ppo.normalise import RunningMoments

_FIRST_LAYERS = ("actor_critic_0.kernel", "shared_0.kernel", "encoder.kernel")
_COUNT_AFTER_WIDENING = 1 << 17


def transfer_parameters(source: Any, target: Any, *, new_action_probability: float = 0.05) -> tuple[Any, list[str]]:
    """Copy network parameters into those of a network with more inputs, more actions, or other layers.

    Arrays of one name and shape are copied. A first layer with more inputs gets zero weights for the new
    ones, which must follow the old ones: policy and value are unchanged at first. A policy head with more
    choices keeps the proportions between the old ones; every new one gets zero weights and a bias that makes
    it `new_action_probability` likely where the head sees zeros. A Gaussian head's new sides start at mean 0.
    Everything else stays as it is in `target`.

    Args:
        source: parameters of the trained network (`policy.params`, `state.params`).
        target: parameters of the new network, freshly initialised.
        new_action_probability: of each new action, in (0, 1); all of them together must stay below 1.

    Returns:
        Parameters shaped as `target`, and one line per array that says what was done with it.

    Raises:
        ValueError: for a probability that leaves nothing to the old actions.
    """
    old, new = to_arrays(source), to_arrays(target)
    report: list[str] = []
    merged = {name: _merge(name, old, new, new_action_probability, report) for name in new}
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


def _merge(name: str, old: Arrays, new: Arrays, probability: float, report: list[str]) -> np.ndarray:
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
        return _widen_head(name, known, more, probability, report)
    if name.endswith("log_std") and known.shape < fresh.shape:
        report.append(f"{name}: {fresh.shape[0] - known.shape[0]} new action sides as initialised")
        return np.concatenate([known, fresh[known.shape[0] :]])
    report.append(f"{name}: {known.shape} does not fit {fresh.shape}, left as initialised")
    return fresh


def _widen_head(name: str, known: np.ndarray, more: int, probability: float, report: list[str]) -> np.ndarray:
    if not 0 < probability * more < 1:
        raise ValueError(
            f"new_action_probability={probability} for {more} new actions: their sum must lie between 0 and 1"
        )
    if known.ndim == 2:
        report.append(f"{name}: {more} new actions at zero weight")
        return np.concatenate([known, np.zeros((known.shape[0], more), known.dtype)], axis=1)
    # softmax gives a new action p when its logit is log(sum of old exponentials) + log(p / (1 - more p))
    total = float(jax.nn.logsumexp(jnp.asarray(known)))
    bias = total + np.log(probability / (1.0 - more * probability))
    report.append(f"{name}: {more} new actions at probability {probability:g} each where the head sees zeros")
    return np.concatenate([known, np.full(more, bias, known.dtype)])
