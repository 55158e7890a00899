"""A grid of environment settings, trained side by side and judged on the same held-out sessions."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
import pandas as pd

from trading_gymnax.curriculum import Schedule
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.evaluation.summary import mean_and_error
from trading_gymnax.keys import stream
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.text import number
from trading_gymnax.walkforward.run import FoldLearner, Progress

Variant = Mapping[str, Any]
"""Environment parameters that differ from the environment's own."""


@dataclasses.dataclass(frozen=True, eq=False)
class Sweep:
    """Means over the seeds."""

    variants: tuple[Variant, ...]
    seen_usd: np.ndarray  # dollars a session in sample, [N]
    nets: pd.DataFrame  # out of sample: net by date, a column a variant

    @property
    def best(self) -> int:
        """Number of the variant that made most out of sample."""
        return int(np.argmax(self.nets.mean(axis=0).to_numpy()))

    def __str__(self) -> str:
        means = self.nets.mean(axis=0).to_numpy()
        names = [named(variant) for variant in self.variants]
        wide = max(map(len, names))
        lines = [f"{'':{wide}}  in sample  out of sample  std.err.", "dollars a session and a date, mean of the seeds:"]
        for at in np.argsort(-means, kind="stable"):
            _, error = mean_and_error(self.nets.iloc[:, at].to_numpy())
            lines.append(f"{names[at]:{wide}}  {self.seen_usd[at]:9,.0f}  {means[at]:13,.0f}  {number(error):>8}")
        return "\n".join([lines[1], lines[0], *lines[2:]])


def named(variant: Variant) -> str:
    """sl_atr_mult=1.5 tp_sl_ratio=3."""
    return " ".join(f"{name}={value:g}" for name, value in variant.items()) or "the settings as they are"


def grid(values: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every combination of the values, the last name's varying fastest."""
    return [dict(zip(values, row, strict=True)) for row in itertools.product(*values.values())]


def run_sweep(
    learn: FoldLearner,
    env: TradingPhase1,
    variants: Sequence[Variant],
    first_held_out: str,
    *,
    seeds: int = 1,
    schedule: Schedule | None = None,
    progress: Progress | None = None,
    each: Callable[[int, pd.Series], None] | None = None,
) -> Sweep:
    """Train every variant with every seed on the sessions before a date, and judge it on those from it on.

    Args:
        learn, env, seeds, schedule, progress: as in `run_walk_forward`.
        variants: settings to compare; all seeds are the same for each.
        first_held_out: date.
        each: called with the number and the nets by date of each variant that is done.

    Raises ValueError for no variant or seed, for parameters that cannot be, and as `evaluate_policy`.
    """
    if not variants or seeds < 1:
        raise ValueError(f"a sweep needs a setting and a seed at least; got {len(variants)} and {seeds}")
    train, test = env.default_params.market.split(first_held_out)
    params = [env.default_params.replace(market=train).replace(**variant) for variant in variants]
    jobs = [(at, seed) for at in range(len(variants)) for seed in range(seeds)]
    learnt = iter(learn(env, [params[at] for at, _ in jobs], [seed for _, seed in jobs]))
    seen, columns = np.zeros(len(variants)), []
    for at, one in enumerate(params):
        judged = one if schedule is None else schedule(1.0, one)
        rows = []
        for seed in range(seeds):
            policy, key = next(learnt), jax.random.key(seed)
            seen[at] += (
                evaluate_policy(policy, env, judged, key=stream(key, "in sample")).sessions["net_usd"].mean() / seeds
            )
            held_out = judged.replace(market=test, reward_scale=one.reward_scale)
            sessions = evaluate_policy(policy, env, held_out, key=stream(key, "held out")).sessions
            rows.append(sessions.groupby("date")["net_usd"].sum())
            if progress:
                progress(at * seeds + seed + 1, len(jobs), f"{named(variants[at])}, seed {seed}")
        columns.append(pd.concat(rows, axis=1).mean(axis=1))
        if each:
            each(at, columns[-1])
    return Sweep(tuple(variants), seen, pd.concat(columns, axis=1, keys=range(len(variants))))
