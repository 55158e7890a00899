"""How far a policy's result hangs on what a bar does not tell: the slippage, and the order of prices within it."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax

from trading_gymnax.evaluation.evaluate import Evaluation, evaluate_policy
from trading_gymnax.evaluation.summary import mean_and_error
from trading_gymnax.phase1 import TradingPhase1

SLIPPAGE_TICKS = (0, 1, 2, 3, 4)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one walk made. Dollars."""

    net_usd: float
    net_per_session_usd: float
    standard_error_usd: float  # NaN for a single day
    trades: int
    commission_usd: float  # paid, contained in the net


@dataclasses.dataclass(frozen=True)
class Robustness:
    """The same policy, walked through the same sessions under other fills."""

    slippage: dict[int, Outcome]  # by ticks that entries, closing orders and stops fill worse
    stop_first: Outcome  # in a bar that holds stop and target, the stop came first
    target_first: Outcome  # the target did

    @property
    def answers_differ_usd(self) -> float:
        """Net of all sessions that hangs on the order within bars."""
        return self.target_first.net_usd - self.stop_first.net_usd

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; the slippage as a list."""
        sweep = [{"ticks": ticks, **_plain(outcome)} for ticks, outcome in self.slippage.items()]
        return {
            "slippage": sweep,
            "stop_first": _plain(self.stop_first),
            "target_first": _plain(self.target_first),
        }


def robustness(
    policy: Any, env: TradingPhase1, params: Any, *, key: jax.Array, found: Evaluation | None = None
) -> Robustness:
    """Walk a policy again with 0 to 4 ticks of slippage, and with either answer to ambiguous bars.

    Args:
        policy, env, params, key: as in `evaluate_policy`; the policy takes its most probable actions.
        found: the evaluation under `params` with that key, where there is one: it is not walked again.

    `slippage_ticks` and `stop_slippage_ticks` are set together; slippage as a share of ATR stays as it is. The
    parameters are arguments of the program: nothing is compiled for them.
    """

    def walk(**changes: Any) -> Outcome:
        same = all(getattr(params, name).item() == value for name, value in changes.items())
        if found is not None and same:
            return outcome(found)
        return outcome(evaluate_policy(policy, env, params.replace(**changes), key=key))

    return Robustness(
        slippage={ticks: walk(slippage_ticks=ticks, stop_slippage_ticks=ticks) for ticks in SLIPPAGE_TICKS},
        stop_first=walk(stop_first=True),
        target_first=walk(stop_first=False),
    )


def outcome(evaluation: Evaluation) -> Outcome:
    """The statistics of one walk."""
    net = evaluation.sessions["net_usd"].to_numpy()
    mean, error = mean_and_error(net, evaluation.sessions["date"].to_numpy())
    paid = float(evaluation.trades["commission_usd"].sum())
    return Outcome(float(net.sum()), mean, error, len(evaluation.trades), paid)


def _plain(outcome: Outcome) -> dict[str, Any]:
    values = dataclasses.asdict(outcome)
    return {name: None if value != value else value for name, value in values.items()}
