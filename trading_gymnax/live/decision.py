"""What a trader is told at each bar, in a trader's words."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Order:
    """An order to enter, with the bracket that protects it. Points."""

    id: str  # of this order and no other, also when it is told again after a restart: a client order id
    side: int  # +1 buy, -1 sell
    contracts: int
    type: str  # "MARKET", for the open of the next bar; "MARKET_ON_CLOSE", for the close of this one
    expected_price: float  # by the rule book, were the next bar to open at this one's close
    stop_distance: float  # from the fill to the stop
    target_distance: float  # from the fill to the target
    stop_price: float  # at the expected price
    target_price: float


@dataclasses.dataclass(frozen=True)
class Exit:
    """The position that was closed in this bar, by the rule book's fill or by what `on_fill` told."""

    order_id: str  # of the entry
    reason: str  # as `info["exit_reason"]`; GAP where the feed was silent for too long
    price: float  # points
    contracts: int
    net_usd: float  # of the round trip, both commissions paid
    assumed: bool  # by the rule book; False: told by `on_fill`


@dataclasses.dataclass(frozen=True)
class Account:
    """The whole account, over all sessions. Dollars, points."""

    balance_usd: float
    equity_usd: float  # balance + open profit at the close of the bar
    session_usd: float  # change of equity since the session's first bar
    floor_usd: float | None  # of the rules' account, on the same scale; None without a trailing limit
    side: int
    contracts: int
    entry_price: float | None
    stop_price: float | None
    target_price: float | None
    open_profit_usd: float
    trades: int  # round trips so far
    winning_trades: int
    errors: int  # of the session


@dataclasses.dataclass(frozen=True)
class Decision:
    """One bar's decision."""

    id: str  # of the bar: its close, UTC
    time: str  # close of the bar, New York, ISO
    session: str  # date of the session
    action: str  # name of the action; what is not legal, or stopped by the guard, is HOLD
    wanted: str  # what the policy chose
    why: str  # why nothing is allowed or done; "" where an entry is allowed
    order: Order | None  # to send now
    stop_price: float | None  # where the stop of the open position belongs now; moves with it
    flatten: bool  # close the position at the market now
    flat_by: str | None  # New York time at which an open position must be closed at the latest
    exit: Exit | None
    account: Account
    mask: tuple[bool, ...] = ()  # legal actions; () while no decision is asked for
    probabilities: tuple[float, ...] | None = None  # of each action; None where the policy does not tell
    value: float | None = None  # the policy's own estimate, in rewards
    ignored: str = ""  # why the bar was left out; then nothing else has changed
    observation: np.ndarray | None = dataclasses.field(default=None, repr=False, compare=False)  # float32 [n]

    def to_dict(self) -> dict[str, Any]:
        """The decision as JSON has it, without the observation."""
        fields = {name: value for name, value in vars(self).items() if name != "observation"}
        for name in ("order", "exit", "account"):
            fields[name] = None if fields[name] is None else dict(vars(fields[name]))
        return fields | {"mask": list(self.mask)}
