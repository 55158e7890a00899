"""A policy beside its baselines on one market view: the table that `train` and `evaluate` print."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.baselines import RandomEntries, RandomLegal
from trading_gymnax.evaluate import Evaluation, evaluate_policy
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.statistics import Summary, percentile_among, summarise, verdict

POLICY = "policy, most probable action"
POLICY_SAMPLED = "policy, drawn actions"
RANDOM = "random legal actions"
RANDOM_ENTRIES = "random entries at its rate"
HOLD = "always HOLD"


@dataclasses.dataclass(frozen=True, eq=False)
class Judgement:
    """What one view says about a policy."""

    label: str  # "out of sample" or "in sample"
    dates: str  # first and last session of the view
    rows: dict[str, Summary]  # by name, in the order of the table
    evaluation: Evaluation  # of the policy's most probable actions
    luck_usd: np.ndarray  # net per session of random entries at the policy's rate, one a seed [N]; may be empty

    @property
    def percentile(self) -> float:
        """Share of the random entries that the policy beats; NaN without any."""
        if len(self.luck_usd) == 0:
            return math.nan
        return percentile_among(self.rows[POLICY].net_per_session_usd, self.luck_usd)

    @property
    def verdict(self) -> str:
        """What the sessions prove about the policy's most probable actions."""
        sentence = verdict(self.rows[POLICY], self.label)
        if len(self.luck_usd) == 0 or self.rows[POLICY].trades == 0:
            return sentence
        return (
            f"{sentence} It beats {self.percentile:.0%} of {len(self.luck_usd)} policies that enter as often as it "
            f"does, by a coin (their mean: {self.luck_usd.mean():+,.0f} dollars a session)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "label": self.label,
            "dates": self.dates,
            "verdict": self.verdict,
            "rows": {name: row.to_dict() for name, row in self.rows.items()},
            "random_entries_net_per_session_usd": [round(float(x), 2) for x in self.luck_usd],
            "percentile_among_random_entries": None if math.isnan(self.percentile) else self.percentile,
        }

    def __str__(self) -> str:
        return "\n".join([_title(self), *table(self.rows), self.verdict])


def judge(
    policy: Any,
    env: TradingPhase1,
    params: Any,
    *,
    key: jax.Array,
    label: str,
    baselines: bool = True,
    luck_seeds: int = 20,
) -> Judgement:
    """Walk a policy with the switch `sampled`, and its baselines, through the view of `params.market`.

    Args:
        policy, env, params: as in `evaluate_policy`.
        key: typed key.
        label: what the view is to the policy: "out of sample" or "in sample".
        baselines: False leaves only the policy's own two rows.
        luck_seeds: how many policies of random entries at the policy's rate it is compared with.
    """
    keys = jax.random.split(key, 4)
    argmax = evaluate_policy(policy, env, params, key=keys[0])
    drawn = evaluate_policy(policy, env, params, key=keys[1], sampled=True)
    rows = {POLICY: summarise(argmax), POLICY_SAMPLED: summarise(drawn)}
    luck: list[float] = []
    if baselines:
        rows[RANDOM] = summarise(evaluate_policy(RandomLegal(), env, params, key=keys[2]))
        rate = rows[POLICY].entry_rate
        coin = RandomEntries(jnp.float32(0 if math.isnan(rate) else rate))
        for number, seed in enumerate(jax.random.split(keys[3], luck_seeds)):
            tossed = evaluate_policy(coin, env, params, key=seed)
            luck.append(float(tossed.sessions["net_usd"].mean()))
            if number == 0:
                rows[RANDOM_ENTRIES] = summarise(tossed)
        # Entries at rate 0 are HOLD always, by a program that is compiled already.
        never = RandomEntries(jnp.float32(0))
        rows[HOLD] = summarise(evaluate_policy(never, env, params, key=key))
    return Judgement(label, _dates(argmax), rows, argmax, np.array(luck))


def table(rows: dict[str, Summary]) -> list[str]:
    """Lines of plain text, the header first."""
    actions = list(next(iter(rows.values())).action_shares)
    short = [name.replace("MOVE_SL_TO_BE", "BE").replace("_TRAIL", "") for name in actions]
    wide = max(len(name) for name in rows)
    header = f"{'':{wide}}  trades  win %  $/session  std.err.       total $    max DD $"
    lines = [header + "".join(f"{f'{name} %':>10}" for name in short)]
    for name, row in rows.items():
        line = (
            f"{name:{wide}}  {row.trades:6,d}  {_percent(row.win_rate):>5}  {row.net_per_session_usd:9,.0f}"
            f"  {_number(row.standard_error_usd):>8}  {row.net_usd:12,.0f}  {row.max_drawdown_usd:10,.0f}"
        )
        lines.append(line + "".join(f"{_percent(row.action_shares[action]):>10}" for action in actions))
    return lines


def _title(judgement: Judgement) -> str:
    count = judgement.rows[POLICY].sessions
    what = f"{judgement.label.upper()}: {judgement.dates}, {count} sessions"
    return f"{what}, each walked once from its first entry-allowed bar, on a fresh account"


def _dates(evaluation: Evaluation) -> str:
    dates = evaluation.sessions["date"]
    return f"{dates.iloc[0]:%Y-%m-%d} to {dates.iloc[-1]:%Y-%m-%d}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f}"


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.0f}"
