"""What must fit before a trader starts, and what must be the same for its account to go on."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from trading_gymnax import rules
from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.data.indicators import DEFAULT_FEATURES, NAMED_FEATURES
from trading_gymnax.data.loader import Bars
from trading_gymnax.data.names import PRICES
from trading_gymnax.live.bars import Place
from trading_gymnax.live.books import Terms
from trading_gymnax.market import session_hours
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.text import count_text

_NOT_THE_RULES = ("market", "reward_scale", "market_weights", "random_start_fraction", "min_bars_left")


@dataclasses.dataclass(frozen=True)
class Hours:
    """When entries are allowed. Minutes since the session's start."""

    opening: int
    closing: int
    bar_minutes: int

    @classmethod
    def of(cls, params: Any, market_id: int, bar_minutes: int) -> Hours:
        """Those of the parameters."""
        start = np.asarray(params.market.session_start_minute)[market_id]
        opening, closing = session_hours(np.asarray(params.rth_open), np.asarray(params.rth_close), start, np)
        return cls(int(opening), int(closing), bar_minutes)

    def flat(self, place: Place) -> int:
        """When a position must be closed at the latest."""
        return min(self.closing, place.scheduled_close)

    def hold(self, place: Place) -> bool:
        """Whether an order at this bar's close still has a bar to fill in."""
        return self.opening <= place.time and place.time + self.bar_minutes < self.flat(place)


def terms_of(params: Any, spec: ContractSpec, market_id: int) -> Terms:
    """What the market costs."""
    commission = int(np.asarray(rules.cents(params.commission_per_side))[market_id])
    return Terms(spec.tick_size, spec.tick_value_cents, commission, int(rules.cents(params.initial_balance)))


def only_market(symbols: Sequence[str]) -> int:
    """Number of a policy's one market. Raises ValueError where it has several."""
    if len(symbols) > 1:
        raise ValueError(f"the policy knows {', '.join(symbols)}: say which one is traded, market={symbols[0]!r} say")
    return 0


def own_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Features that nothing computes, if they are no default ones: they come with the bars."""
    if tuple(names) == DEFAULT_FEATURES:
        return ()
    known = {*PRICES, "volume", *NAMED_FEATURES}
    return tuple(name for name in names if name.strip().lower() not in known)


def check_history(history: Bars, spec: ContractSpec, bar_minutes: int, names: Sequence[str]) -> None:
    """Raises ValueError for bars of another market, length or other features than the policy's."""
    if not isinstance(history, Bars):
        raise ValueError(f"history is what load_bars made of a table, got {type(history).__name__}")
    if history.spec.tick_size != spec.tick_size or history.spec.calendar != spec.calendar:
        raise ValueError(f"the history is of {history.spec.symbol}, and {spec.symbol} is traded")
    if history.bar_minutes != bar_minutes:
        text = f"{count_text(history.bar_minutes, 'minute')} long"
        raise ValueError(f"the history's bars are {text}, and the policy's {bar_minutes}")
    if tuple(history.feature_names) != tuple(names):
        raise ValueError(f"the history has the features {history.feature_names}, and the policy sees {tuple(names)}")


def identity(policy: Any, params: Any, spec: ContractSpec, env: TradingPhase1, seed: int) -> dict[str, Any]:
    """What must be the same for an account to go on, as plain values."""
    weights = hashlib.sha256()
    for leaf in jax.tree.leaves(policy):
        if isinstance(leaf, jax.Array | np.ndarray):
            weights.update(np.ascontiguousarray(leaf).tobytes())
    rule_values = {
        field.name: np.asarray(getattr(params, field.name)).tolist()
        for field in dataclasses.fields(params)
        if field.name not in _NOT_THE_RULES
    }
    return {
        "policy": weights.hexdigest()[:16],
        "rules": hashlib.sha256(repr(sorted(rule_values.items())).encode()).hexdigest()[:16],
        "market": spec.symbol,
        "environment": type(env).__name__,
        "window": env.window,
        **({"entry_sizes": list(env.entry_sizes)} if env.entry_sizes else {}),
        "features": list(params.market.feature_names),
        "seed": seed,
    }
