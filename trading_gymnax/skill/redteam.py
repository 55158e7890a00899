"""A red team: parameters drawn at random and simple policies look for a free lunch where there is none.

The markets are martingales and nothing is charged, so whatever a policy earns beyond chance was given by the rules. Two
gifts of the form of bars are known and left out of the search; the docstrings of their parameters tell of them:

- `stop_first=False`: a bar that holds stop and target is settled for the trade, up to several dollars each;
- a price that leaps inside a bar: the stop fills at its level although the path jumped over it. Only a gap between two
  bars fills beyond the stop.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.evaluation.baselines import BarSignals, RandomEntries, moving_average_cross
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.evaluation.summary import mean_and_error
from trading_gymnax.market import ATR_BITS, CLOSE, MarketData
from trading_gymnax.phase1 import TradingPhase1

FREE = {
    "commission_per_side": 0.0,
    "slippage_ticks": 0,
    "slippage_atr_mult": 0.0,
    "stop_slippage_ticks": 0,
    "stop_slippage_atr_mult": 0.0,
}
ALLOWED_USD, ALLOWED_ERRORS = 1.0, 4.0  # a trade and contract, beyond so many standard errors
SEARCHED: dict[str, Callable[[np.random.Generator], Any]] = {
    "sl_atr_mult": lambda rng: float(np.exp(rng.uniform(math.log(0.1), math.log(6)))),
    "tp_sl_ratio": lambda rng: float(np.exp(rng.uniform(math.log(0.1), math.log(8)))),
    "position_size": lambda rng: int(rng.integers(1, 11)),
    "risk_per_trade": lambda rng: float(rng.choice([0, 0, 300, 2_000])),
    "max_contracts": lambda rng: int(rng.integers(1, 21)),
    "min_stop_ticks": lambda rng: int(rng.integers(1, 40)),
    "target_through_ticks": lambda rng: int(rng.integers(0, 5)),
    "fill_at_close": lambda rng: bool(rng.integers(0, 2)),
    "trailing_dd_limit": lambda rng: float(rng.choice([math.inf, 500, 2_500, 15_000])),
    "high_water_mode": lambda rng: int(rng.integers(0, 3)),
    "floor_lock": lambda rng: float(rng.choice([math.inf, 0, 1_000])),
    "daily_loss_limit": lambda rng: float(rng.choice([math.inf, 300, 1_000])),
    "profit_target": lambda rng: float(rng.choice([math.inf, 500, 3_000])),
    "rth_open": lambda rng: float(rng.choice([8.0, 9.5, 12.0])),
    "rth_close": lambda rng: float(rng.choice([13.0, 15.5, 16 + 59 / 60])),
}
"""What is drawn, and how. Parameters of costs are 0; those of rewards, of starts and of the session's end, and the
balance to start with, move no price and no fill in an evaluation."""
MANAGED: dict[str, Callable[[np.random.Generator], Any]] = {
    "trail_atr_mult": lambda rng: float(np.exp(rng.uniform(math.log(0.1), math.log(4)))),
    "be_min_profit_atr": lambda rng: float(rng.choice([0.0, 0.5, 2.0])),
    "mask_no_ops": lambda rng: bool(rng.integers(0, 2)),
}
"""The same of phase 2."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One attack."""

    policy: str
    params: dict[str, Any]
    trades: int
    steps: int
    usd: float  # net dollars a trade and contract
    error_usd: float  # from the spread between sessions

    @property
    def is_free_lunch(self) -> bool:
        """Whether it earned more than a dollar a trade and contract beyond four standard errors."""
        return self.usd - ALLOWED_ERRORS * self.error_usd > ALLOWED_USD


def attack(
    env: TradingPhase1,
    markets: Sequence[MarketData],
    *,
    steps: int,
    seed: int = 0,
    fixed: dict[str, Any] | None = None,
    policies: Callable[[MarketData, np.random.Generator], dict[str, Any]] | None = None,
) -> list[Finding]:
    """Draw parameters and a policy, walk it, and go on until so many steps of the environment are played.

    Args:
        env: of phase 1 or 2, on the first of the markets.
        markets: martingales of one shape.
        steps: of sessions that were played.
        seed: of all draws.
        fixed: parameters that are not drawn.
        policies: market, generator -> policies by name, of which one is drawn; by default `simple_policies`.
    """
    rng, played, found = np.random.default_rng(seed), 0, []
    searched = SEARCHED | (MANAGED if env.manages_stops else {})
    while played < steps:
        market = markets[int(rng.integers(len(markets)))]
        drawn = {name: draw(rng) for name, draw in searched.items()} | (fixed or {})
        choice = (policies or simple_policies)(market, rng)
        name = list(choice)[int(rng.integers(len(choice)))]
        params = env.default_params.replace(market=market, **FREE, **drawn)
        evaluation = evaluate_policy(choice[name], env, params, key=jax.random.key(int(rng.integers(2**31))))
        sessions = evaluation.sessions
        count, taken = len(evaluation.trades), int(sessions["steps"].sum())
        contracts = int(evaluation.trades["contracts"].sum())
        mean, error = mean_and_error(sessions["net_usd"].to_numpy())
        each = len(sessions) / max(contracts, 1)
        found.append(Finding(name, drawn, count, taken, mean * each, error * each))
        played += taken
    return found


def simple_policies(market: MarketData, rng: np.random.Generator) -> dict[str, Any]:
    """Random entries, and entries by what the bars show: with or against the last bar, far from a mean, at a cross."""
    bars = np.asarray(market.bars)
    close, atr = bars[:, :, CLOSE].astype(np.float64), np.maximum(bars[:, :, ATR_BITS].view(np.float32), 1)
    move = np.diff(close, axis=1, prepend=close[:, :1])
    far = close - np.stack([np.convolve(row, np.full(20, 1 / 20))[: len(row)] for row in close])
    sign = 1 if rng.integers(0, 2) else -1
    least = rng.uniform(0, 1.5)

    def where(values: np.ndarray) -> BarSignals:
        side = np.where(np.abs(values) > least * atr, np.sign(values), 0)
        return BarSignals(jnp.asarray(sign * side, jnp.int8))

    return {
        "random entries": RandomEntries(jnp.float32(rng.uniform(0.02, 1))),
        "the last bar": where(move),
        "far from a mean": where(far),
        "a cross": moving_average_cross(market),
    }


def free_lunches(found: Sequence[Finding]) -> Iterator[str]:
    """A sentence for each attack that came through."""
    for one in found:
        if one.is_free_lunch:
            drawn = ", ".join(f"{name}={value:g}" for name, value in one.params.items())
            yield (
                f"{one.policy} earns {one.usd:.2f} dollars a contract (standard error {one.error_usd:.2f}, "
                f"{one.trades:,} trades) under {drawn}"
            )
