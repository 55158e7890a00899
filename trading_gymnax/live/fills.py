"""Real fills in the books: changes of an account's fields, in integer ticks and cents.

An average price between two ticks goes into the position as the nearest tick, and the rest of it, to the cent, into the
balance: so the rules go on with whole ticks and the books show what was paid.
"""

from __future__ import annotations

import dataclasses

POSITION = ("position", "contracts", "entry_price", "sl_price", "tp_price", "initial_stop_ticks")
MANAGED = ("trailing_stop_active", "highest_profit_point", "be_move_count", "original_sl_price", "stop_origin")


@dataclasses.dataclass
class Trade:
    """A round trip, open or closed. Ticks, cents."""

    order_id: str
    minute: int  # UTC minute of the decision
    side: int
    contracts: int
    entry_price: int
    entry_fee: int
    entry_told: bool = False  # by `on_fill`
    exit_minute: int | None = None
    exit_price: int = 0
    exit_fee: int = 0
    exit_told: bool = False
    reason: str = ""
    net: int = 0  # cents, when closed
    position: dict[str, int] = dataclasses.field(default_factory=dict)  # its fields before the exit, to undo it


@dataclasses.dataclass
class Working:
    """The last order to enter, and what is known of it."""

    id: str
    minute: int
    side: int
    contracts: int  # ordered
    stop_ticks: int
    target_ticks: int
    status: str = "working"  # then "told" (by `on_fill`), "assumed" (by the rule book), "rejected" or "expired"
    filled: int = 0  # contracts told so far
    value: int = 0  # their prices * contracts, cents
    fee: int = 0
    rest: int = 0  # cents of them that whole ticks leave out, booked in the balance
    played: bool = False  # a bar has come since


def average_tick(value: int, contracts: int, tick_cents: int) -> int:
    """The tick nearest to the average price of fills worth `value` cents."""
    return round(value / (contracts * tick_cents))


def entered(before: dict[str, int], order: Working, tick_cents: int) -> dict[str, int]:
    """Fields that change when the order was filled as it tells, from those before it."""
    price = average_tick(order.value, order.filled, tick_cents)
    order.rest = order.side * (price * tick_cents * order.filled - order.value)
    stop = price - order.side * order.stop_ticks
    changes = {
        "position": order.side,
        "contracts": order.filled,
        "entry_price": price,
        "sl_price": stop,
        "tp_price": price + order.side * order.target_ticks,
        "initial_stop_ticks": order.stop_ticks,
        "position_entry_step": before["step_idx"] + 1,
        "entry_balance": before["balance"],
        "balance": before["balance"] - order.fee + order.rest,
        "equity": before["balance"] - order.fee + order.rest,
    }
    return changes | ({"original_sl_price": stop} if "original_sl_price" in before else {})


def corrected_entry(now: dict[str, int], order: Working, assumed_fee: int, tick_cents: int) -> dict[str, int]:
    """Fields that change when an entry that was assumed turns out to be filled as the order tells; still in position.

    Stop and target keep their distance from the fill.
    """
    price = average_tick(order.value, order.filled, tick_cents)
    before, order.rest = order.rest, order.side * (price * tick_cents * order.filled - order.value)
    shift = price - now["entry_price"]
    changes = {name: now[name] + shift for name in ("entry_price", "sl_price", "tp_price")}
    if "original_sl_price" in now:
        changes["original_sl_price"] = now["original_sl_price"] + shift
    moved = assumed_fee - order.fee + order.rest - before
    return changes | {"contracts": order.filled, "balance": now["balance"] + moved}


def part_closed(now: dict[str, int], contracts: int, value: int, fee: int, tick_cents: int) -> dict[str, int]:
    """Fields that change when some contracts of the position were closed for `value` cents, and others not."""
    proceeds = now["position"] * (value - now["entry_price"] * tick_cents * contracts) - fee
    return {"contracts": now["contracts"] - contracts, "balance": now["balance"] + proceeds}


def closed(now: dict[str, int], value: int, fee: int, tick_cents: int) -> dict[str, int]:
    """Fields that change when the whole position was closed for `value` cents."""
    proceeds = now["position"] * (value - now["entry_price"] * tick_cents * now["contracts"]) - fee
    balance = now["balance"] + proceeds
    net = balance - now["entry_balance"]
    flat = dict.fromkeys(position_fields(now), 0)
    counts = {"num_trades": now["num_trades"] + 1, "winning_trades": now["winning_trades"] + (net > 0)}
    return flat | counts | {"balance": balance, "equity": balance}


def position_fields(now: dict[str, int]) -> tuple[str, ...]:
    """Names of the fields that are 0 when flat."""
    names = (*POSITION, "position_entry_step", "entry_balance")
    return names + (MANAGED if "stop_origin" in now else ())
