"""What a scenario is: a hand-made market, some actions, and the exact numbers that docs/rules.md asks for.

A scenario names no implementation; a runner builds its environment from `bars()`, `params`, `phase`, `view`,
`window`, `account_features`, `account_life` and `entry_sizes`, starts at `start`, plays the actions and calls `check`
after each step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tests.rules.handmade import LEVEL, WARMUP, make_bars
from trading_gymnax.data.loader import Bars

L = LEVEL
T, F = True, False

HOLD, BUY, SELL, TO_BE, TRAIL_ON, TRAIL_OFF = range(6)
NO_EXIT, STOP, TRAIL, BREAKEVEN, TARGET, LIQUIDATION, DAILY_EXIT, SESSION_CLOSE, BREACH_CLOSE = range(9)
NOT_DONE, DRAWDOWN, DAILY_LOSS, PROFIT_TARGET, SESSION_END, TIME_LIMIT, DATA_END, EXPIRED, LAST_PAYOUT = range(9)
BAR_CLOSE, INTRABAR, END_OF_DAY = range(3)
INF = float("inf")

INFO_FIELDS = ("equity_cents", "balance_cents", "trade_pnl_cents", "exit_reason", "done_reason")
INFO_FIELDS += ("invalid_action", "ambiguous_bar", "position", "market_id", "paid_out_cents", "fees_cents")
STEP_FIELDS = ("reward", "terminated", "truncated", "mask", "obs_tail", "obs_at")

Row = tuple[int, int, int, int]


def b(open_: int, high: int, low: int, close: int) -> Row:
    """A bar by its distances in ticks from the level L."""
    return (L + open_, L + high, L + low, L + close)


def q(price: int = 0) -> Row:
    """A quiet bar at L + price."""
    return b(price, price, price, price)


def see(**fields: Any) -> dict[str, Any]:
    """Fields and the values that they must have after a step."""
    return fields


def use(**settings: Any) -> dict[str, Any]:
    """Parameters, or keywords of `make_bars`."""
    return settings


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One worked example.

    expect: for each step the fields and their values after it. Fields of `INFO_FIELDS` are in `info`;
    "reward", "terminated", "truncated", "mask" (legal actions of the state after the step), "obs_tail" (the
    last numbers of the observation) and "obs_at" (index -> number) are of the step; all others are fields of
    the state, of a terminal one before any auto-reset. Rewards and observations hold to 1e-5, everything else
    exactly.
    """

    name: str
    rule: str  # section of docs/rules.md
    rows: Sequence[Row]
    actions: Sequence[int]
    expect: Sequence[Mapping[str, Any]]
    market: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # keywords of make_bars
    others: Sequence[tuple[Sequence[Row], Mapping[str, Any]]] = ()  # markets before this one
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    changes: Mapping[int, Mapping[str, Any]] = dataclasses.field(default_factory=dict)  # before that action
    phase: int = 1
    start: int = WARMUP  # decision bar of the reset: row 0
    forced_side: int = 0
    view: tuple[int, int] | None = None  # (first, end) sessions
    account_features: bool = False
    account_life: bool = False
    entry_sizes: tuple[int, ...] = ()
    window: int = 20
    at_start: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # mask, obs or state after reset

    def __post_init__(self) -> None:
        if len(self.actions) != len(self.expect):
            raise ValueError(f"{self.name}: {len(self.actions)} actions, {len(self.expect)} expectations")

    def bars(self) -> list[Bars]:
        """The markets; the account trades the last."""
        return [make_bars(rows, **market) for rows, market in (*self.others, (self.rows, self.market))]

    @property
    def market_id(self) -> int:
        """Index of the market that is traded."""
        return len(self.others)

    def check(self, step: int, *, info: Mapping[str, Any], state: Any, mask: Any, obs: Any, **of_step: Any) -> None:
        """Compare one step (-1: the reset); of_step: reward, terminated, truncated."""
        dollars = {"equity", "balance", "trade_pnl", "paid_out", "fees"} & set(info)
        for name in dollars:  # beside the exact cents
            np.testing.assert_allclose(float(info[name]), int(info[f"{name}_cents"]) / 100, rtol=1e-6)
        wanted = self.at_start if step < 0 else self.expect[step]
        for name, value in wanted.items():
            where = f"{self.name} ({self.rule}), step {step}, {name}"
            if name == "obs_tail":
                np.testing.assert_allclose(np.asarray(obs)[-len(value) :], value, atol=1e-5, err_msg=where)
            elif name == "obs_at":
                found = np.asarray(obs)[list(value)]
                np.testing.assert_allclose(found, list(value.values()), atol=1e-5, err_msg=where)
            elif name == "reward":
                np.testing.assert_allclose(float(of_step[name]), value, rtol=1e-5, atol=1e-5, err_msg=where)
            elif name == "mask":
                assert np.asarray(mask).tolist() == list(value), where
            else:
                found = of_step[name] if name in STEP_FIELDS else _found(name, info, state)
                assert int(found) == int(value), f"{where}: {int(found)}, expected {int(value)}"


def _found(name: str, info: Mapping[str, Any], state: Any) -> Any:
    return info[name] if name in INFO_FIELDS else getattr(state, name)
