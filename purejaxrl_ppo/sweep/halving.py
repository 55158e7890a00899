"""Successive halving without any training: ranges, draws from them, rungs, and who stays."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.hyperparameters import Hyperparameters
from purejaxrl_ppo.words import nearest

NAMES = tuple(field.name for field in dataclasses.fields(Hyperparameters))
LOG_UNIFORM = ("learning_rate", "ent_coef")  # what acts by its order of magnitude

Range = float | Sequence[float]


def check_ranges(ranges: Mapping[str, Range], config: PPOConfig) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of every hyperparameter; both are the config's where no range is given.

    Args:
        ranges: by name, one number, which is held, or two, the lower first.
        config: gives the others, and says what values are possible.

    Raises:
        ValueError: for an unknown name, an empty or impossible range, and when every one of them is held.
    """
    if not isinstance(ranges, Mapping):
        raise ValueError(f"ranges are a dict by name, {{'learning_rate': (1e-4, 1e-2)}} say; got {ranges!r:.60}")
    for name in ranges:
        if name not in NAMES:
            raise ValueError(f"no hyperparameter {name!r} can be searched{nearest(name, sorted(NAMES))}")
    checked = {name: _ends(name, ranges.get(name, getattr(config, name)), config) for name in NAMES}
    if all(low == high for low, high in checked.values()):
        raise ValueError("there is nothing to search: give a range of two numbers, learning_rate from 1e-4 to 1e-2 say")
    return checked


def _ends(name: str, given: Range, config: PPOConfig) -> tuple[float, float]:
    numbers = [float(x) for x in given] if isinstance(given, Sequence) else [float(given)]
    if len(numbers) not in (1, 2):
        raise ValueError(f"{name} takes one number or two, the lower first; got {numbers}")
    low, high = numbers[0], numbers[-1]
    if not (math.isfinite(low) and math.isfinite(high)) or (len(numbers) == 2 and low >= high):
        raise ValueError(f"{name} needs a finite range, the lower end first; got {numbers}")
    for end in (low, high):
        change: dict[str, Any] = {name: end}
        dataclasses.replace(config, **change)
    if low < high and low <= 0 and name in LOG_UNIFORM:
        raise ValueError(f"{name} is drawn by its logarithm, so its range must begin above 0; got {numbers}")
    return low, high


def draw(ranges: Mapping[str, tuple[float, float]], configurations: int, key: jax.Array) -> Hyperparameters:
    """Configurations [N] from the ranges of `check_ranges`, each hyperparameter independent of the others.

    `learning_rate` and `ent_coef` are uniform in their logarithm, the others uniform. A hyperparameter's draws
    do not depend on the ranges of the others.
    """
    drawn = {}
    for i, name in enumerate(NAMES):
        low, high = (jnp.float32(end) for end in ranges[name])
        u = jax.random.uniform(jax.random.fold_in(key, i), (configurations,), jnp.float32)
        if low == high:
            values = jnp.full(configurations, low)
        elif name in LOG_UNIFORM:
            values = low * (high / low) ** u
        else:
            values = low + (high - low) * u
        drawn[name] = jnp.clip(values, low, high)
    return Hyperparameters(**drawn)


def rung_iterations(rungs: Sequence[float], config: PPOConfig) -> tuple[int, ...]:
    """Iterations after which configurations are judged: one for each rung, and the last of the run.

    Args:
        rungs: fractions of the budget, rising, each between 0 and 1; none for no halving.
        config: its whole iterations are the budget.

    Raises:
        ValueError: for fractions out of range or order, and for rungs that fall on one iteration.
    """
    if not isinstance(rungs, Sequence) or isinstance(rungs, str):
        raise ValueError(f"rungs are fractions of the budget in a tuple, (0.25, 0.5) say; got {rungs!r:.60}")
    fractions = [float(x) for x in rungs]
    if any(not 0 < x < 1 for x in fractions) or fractions != sorted(set(fractions)):
        raise ValueError(f"rungs are fractions of the budget that rise between 0 and 1, 0.25 0.5 say; got {fractions}")
    found = (*(round(x * config.num_iterations) for x in fractions), config.num_iterations)
    if found[0] < 1 or len(set(found)) < len(found):
        raise ValueError(
            f"rungs {fractions} of {config.num_iterations} iterations fall on {list(found)}: "
            "choose rungs further apart, or raise total_timesteps"
        )
    return found


def survivors(scores: np.ndarray, eta: int) -> np.ndarray:
    """Indices, rising, of the best 1 / `eta` of the scores [N], rounded up; the earlier one where two are equal.

    A score of minus infinity or NaN never stays, so that fewer may be left, and none at last. The rule is
    Sequential Halving (Karnin, Koren and Somekh 2013) as Jamieson and Talwalkar (2016) apply it to
    hyperparameters, who keep the best half.
    """
    keep = -(-len(scores) // eta)
    ranked = np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")
    best = ranked[:keep]
    return np.sort(best[scores[best] > -np.inf])
