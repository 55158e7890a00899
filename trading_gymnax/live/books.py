"""The account that the rules keep, bar by bar: when it wakes and sleeps, what a bar and real fills do to it."""

from __future__ import annotations

import dataclasses
from collections import deque
from typing import Any

import jax
import numpy as np

from trading_gymnax import rules
from trading_gymnax.live import fills
from trading_gymnax.live.fills import Trade, Working
from trading_gymnax.live.program import Chosen, Programs, read, write
from trading_gymnax.live.tape import Tape
from trading_gymnax.text import usd

WAITING, AWAKE, OVER = "waiting", "awake", "over"
GAP = "GAP"


class FillError(ValueError):
    """A fill that fits no order; the books stay as they are."""


@dataclasses.dataclass(frozen=True)
class Terms:
    """What the market costs, in whole numbers."""

    tick_size: float
    tick_cents: int
    commission: int  # cents per contract and side
    initial_cents: int


class Books:
    """One account through all of its sessions.

    With `terminate_at_session_end` every session is an episode on a fresh account of the rules, as in an evaluation,
    and what the sessions earned adds up in `carried`; without it one account goes on until a rule ends it.
    """

    def __init__(self, programs: Programs, params: Any, tape: Tape, terms: Terms) -> None:
        self.programs, self.params, self.tape, self.terms = programs, params, tape, terms
        self.ends_daily = bool(np.asarray(params.terminate_at_session_end))
        self.phase = WAITING
        self.rest_day: int | None = None  # session in which nothing more happens
        self.carried = 0  # cents earned by accounts that have ended
        self.trades = self.wins = 0  # of those accounts
        self.pending = rules.HOLD
        self.order: Working | None = None
        self.open_trade: Trade | None = None
        self.last_trade: Trade | None = None
        self.edited = False  # real fills came since the last bar was played
        self.fills_told = False
        self.state, self.memory = self._fresh()
        self.account = read(self.state, programs.fields)
        self.before: tuple[Any, int, Any] | None = None  # state and action of the last step, memory after it
        self.continues = False  # the account has slept, and goes on
        self._read: deque[tuple[Any, list[Any]]] = deque(maxlen=4)  # trees as plain numbers
        self._flat_before: dict[str, int] = {}  # the account before the entry that `on_fill` told

    def _fresh(self) -> tuple[Any, Any]:
        return self.programs.begin(self.params, self.tape.market_id, self.tape.newest)

    # -- money --

    @property
    def balance(self) -> int:
        """Cents of the whole account, without open profit."""
        return self.terms.initial_cents + self.carried + self.account["balance"] - self.account["initial_balance"]

    def open_profit(self, close: int) -> int:
        """Cents of the open position at a price in ticks."""
        now = self.account
        return now["position"] * (close - now["entry_price"]) * self.terms.tick_cents * now["contracts"]

    # -- waking and sleeping --

    def begin(self, day: int) -> None:
        """The first bar of a session at which an entry is allowed."""
        if not self.continues:
            self.carried += self.account["balance"] - self.account["initial_balance"]
            self.trades += self.account["num_trades"]
            self.wins += self.account["winning_trades"]
            self.state, self.memory = self._fresh()
            self.account = read(self.state, self.programs.fields)
        self.phase, self.before, self.edited, self.pending = AWAKE, None, False, rules.HOLD

    def _rest(self, day: int) -> None:
        """Nothing more happens in this session."""
        ended = bool(self.account["terminated"])
        self.phase = OVER if ended and not self.ends_daily else WAITING
        self.continues = not ended and not self.ends_daily
        self.rest_day, self.pending, self.before = day, rules.HOLD, None
        if self.order is not None and self.order.status == "working":
            self.order.status = "expired"

    # -- bars --

    def play(self, minute: int, day: int) -> tuple[Trade | None, dict[str, int]]:
        """The newest bar of the tape. Returns the trade that closed in it, and what the bar did."""
        state, action, number = self.state, self.pending, self.account["session_number"]
        self.state, numbers = self.programs.play(state, action, self.tape.bars, self.tape.features, self.params)
        numbers = np.asarray(numbers)
        self.account, fill = self.programs.account(numbers), self.programs.fill(numbers)
        trade = self._book(fill, minute)
        self.before, self.edited, self.pending = (state, action, self.memory), False, rules.HOLD
        if fill["done_reason"] or self.account["session_number"] != number or self.account["data_end"]:
            self._rest(day)
        return trade, fill

    def _book(self, fill: dict[str, int], minute: int) -> Trade | None:
        """What a bar did to the position, as trades."""
        order = self.order
        if order is not None:
            order.played = True
        if fill["entered"] and order is not None:
            order.status = "assumed"
            fee = self.terms.commission * fill["contracts"]
            self.open_trade = Trade(order.id, order.minute, order.side, fill["contracts"], fill["entry_price"], fee)
        elif order is not None and order.status == "working":
            order.status = "expired"
        if not fill["exit_reason"] or self.open_trade is None:
            return None
        fee = self.terms.commission * fill["contracts"]
        return self._close_trade(
            minute, fill["exit_price"], fee, rules.EXIT_REASONS[fill["exit_reason"]], fill["trade_pnl"], told=False
        )

    def _close_trade(self, minute: int, price: int, fee: int, reason: str, net: int, *, told: bool) -> Trade:
        trade = self.open_trade
        assert trade is not None
        trade.exit_minute, trade.exit_price, trade.exit_fee = minute, price, fee
        trade.reason, trade.net, trade.exit_told = reason, net, told
        self.last_trade, self.open_trade = trade, None
        return trade

    def end_of_feed(self, minute: int, day: int, slippage: int) -> tuple[Trade | None, str]:
        """The session ended without a bar that must be flat: what is open was closed at the last close.

        Returns the trade that this closed, and a line for the log.
        """
        text = "the feed stopped before the session's close"
        if self.before is not None and not self.edited:
            self.tape.mark_break()
            self.state, self.pending, self.memory = self.before
            trade, _ = self.play(minute, day)
            return trade, text
        trade = None
        if self.account["position"]:
            trade = self.close_at(minute, int(self.tape.bars[self.tape.market_id, -2, 3]), slippage, "SESSION_CLOSE")
        if not self.ends_daily:
            number, equity = self.account["session_number"] + 1, self.account["balance"]
            self._write({"session_number": number, "session_start_equity": equity, "day_over": 0})
        self._rest(day)
        return trade, text

    def close_at(self, minute: int, close: int, slippage: int, reason: str) -> Trade:
        """Close the position at a price in ticks, made worse by slippage, with the rule book's commission."""
        now = self.account
        price, fee = close - now["position"] * slippage, self.terms.commission * now["contracts"]
        return self._close_told(minute, price * self.terms.tick_cents * now["contracts"], fee, reason, told=False)

    # -- decisions --

    def decide(self, key: Any, minute: int) -> Chosen:
        """What the policy does at the newest bar; the order is for `commit`."""
        tape = self.tape
        chosen = self.programs.decide(self.state, self.memory, key, minute, tape.bars, tape.features, self.params)
        self.memory = chosen.memory
        return chosen

    def commit(self, action: int, order: Working | None) -> None:
        """What is done until the next bar."""
        self.pending = action
        if order is not None:
            self.order = order

    # -- real fills --

    def entry_rejected(self) -> tuple[str, int]:
        """The last order to enter did not come to be. Returns a line for the log and the cents that it corrects."""
        order = self._known_order()
        if order.filled:
            raise FillError(f"order {order.id} was told as filled, {order.filled} of {order.contracts}")
        was, order.status = order.status, "rejected"
        if was == "working":
            self.pending = rules.HOLD
            return f"order {order.id} was rejected: no position", 0
        if self.open_trade is not None and self.open_trade.order_id == order.id:
            flat = dict.fromkeys(fills.position_fields(self.account), 0)
            self._edit(flat | {"balance": self.account["entry_balance"], "equity": self.account["entry_balance"]})
            self.open_trade = None
            return f"order {order.id} was rejected: the position that was assumed is taken out of the books", 0
        trade = self.last_trade
        if trade is None or trade.order_id != order.id:
            raise FillError(f"order {order.id} has {was}: nothing is left to reject")
        correction, self.last_trade = -trade.net, None
        wins = self.account["winning_trades"] - (trade.net > 0)
        self._edit(self._moved(correction) | {"num_trades": self.account["num_trades"] - 1, "winning_trades": wins})
        return f"order {order.id} was rejected: the trade that was assumed is taken out of the books", correction

    def entry_filled(self, price: float, contracts: int, fee: int | None) -> tuple[str, int, Trade | None]:
        """Contracts of the last order to enter were filled.

        Returns a line for the log, the cents by which it corrects a closed trade, and that trade.
        """
        order = self._known_order()
        if order.status in ("rejected", "expired"):
            raise FillError(f"order {order.id} was {order.status}, and is told to be filled")
        if order.filled + contracts > order.contracts:
            raise FillError(
                f"order {order.id} is for {order.contracts} contracts; {order.filled} are filled, and {contracts} more"
            )
        if order.status != "working":
            self._refuse_more(order)
        order.filled += contracts
        order.value += round(price / self.terms.tick_size * self.terms.tick_cents * contracts)
        order.fee += self.terms.commission * contracts if fee is None else fee
        self.fills_told = True
        return self._correct_entry(order) if order.played else (self._enter_told(order), 0, None)

    def _refuse_more(self, order: Working) -> None:
        """A fill of an order whose position is gone, or has been closed in part, cannot be booked."""
        trade = self._last_or_open(order)
        if trade is None:
            raise FillError(f"order {order.id} is older than the last position")
        if trade is self.open_trade and self.account["contracts"] != trade.contracts:
            raise FillError(f"the position of order {order.id} was closed in part: no more of it can be filled")
        if trade is not self.open_trade and trade.exit_told:
            raise FillError(f"the position of order {order.id} was closed: no more of it can be filled")

    def _enter_told(self, order: Working) -> str:
        """Before the next bar: the position is opened at what was paid, and the rules go on from there."""
        if order.status == "working":
            self._flat_before = dict(self.account)
            order.status = "told"
        self._edit(fills.entered(self._flat_before, order, self.terms.tick_cents))
        self.pending = rules.HOLD
        price = self.account["entry_price"]
        self.open_trade = Trade(order.id, order.minute, order.side, order.filled, price, order.fee, entry_told=True)
        return f"order {order.id}: {order.filled} of {order.contracts} filled, {price * self.terms.tick_size:.10g}"

    def _last_or_open(self, order: Working) -> Trade | None:
        for trade in (self.open_trade, self.last_trade):
            if trade is not None and trade.order_id == order.id:
                return trade
        return None

    def _correct_entry(self, order: Working) -> tuple[str, int, Trade | None]:
        """The rule book's fill stands in the books; put the real one in its place."""
        trade = self._last_or_open(order)
        assert trade is not None
        cents, tick = self.terms.tick_cents, self.terms.tick_size
        text = f"order {order.id}: filled at {order.value / (order.filled * cents) * tick:.10g}, assumed were "
        text += f"{trade.entry_price * tick:.10g}"
        order.status = "told"
        if trade is self.open_trade:
            self._edit(fills.corrected_entry(self.account, order, trade.entry_fee, cents))
            self._mark()
            trade.entry_price, trade.entry_fee = self.account["entry_price"], order.fee
            trade.contracts, trade.entry_told = order.filled, True
            return text, 0, None  # it will be part of the trade's net
        proceeds = trade.side * (trade.exit_price * cents * order.filled - order.value)
        net = proceeds - order.fee - trade.exit_fee * order.filled // trade.contracts
        trade.exit_fee = trade.exit_fee * order.filled // trade.contracts
        trade.entry_price = fills.average_tick(order.value, order.filled, cents)
        trade.entry_fee, trade.contracts, trade.entry_told = order.fee, order.filled, True
        return text, self._correct_net(trade, net), trade

    def _correct_net(self, trade: Trade, net: int) -> int:
        correction, won = net - trade.net, (net > 0) - (trade.net > 0)
        trade.net = net
        self._edit(self._moved(correction) | {"winning_trades": self.account["winning_trades"] + won})
        return correction

    def exit_filled(
        self, price: float, contracts: int, fee: int | None, minute: int, reason: str
    ) -> tuple[str, int, Trade | None]:
        """Contracts of the position were closed.

        Returns a line for the log, the cents by which it corrects a closed trade, and the trade that it closed or
        corrects.
        """
        fee = self.terms.commission * contracts if fee is None else fee
        value = round(price / self.terms.tick_size * self.terms.tick_cents * contracts)
        now = self.account
        if now["position"]:
            if contracts > now["contracts"]:
                raise FillError(f"{contracts} contracts are told as closed, and {now['contracts']} are open")
            self.fills_told = True
            if contracts < now["contracts"]:
                self._edit(fills.part_closed(now, contracts, value, fee, self.terms.tick_cents))
                self._mark()
                return f"{contracts} contracts closed at {price:.10g}, {self.account['contracts']} are left", 0, None
            trade = self._close_told(minute, value, fee, reason, told=True)
            return f"closed at {price:.10g}, {usd(trade.net / 100, cents=True)}", 0, trade
        trade_or_none = self.last_trade
        if trade_or_none is None or trade_or_none.exit_told:
            raise FillError("an exit is told, and there is no position")
        trade = trade_or_none
        if contracts != trade.contracts:
            raise FillError(f"{contracts} contracts are told as closed, and the position had {trade.contracts}")
        self.fills_told = True
        assumed = trade.exit_price * self.terms.tick_cents * contracts
        net = trade.net + trade.side * (value - assumed) + trade.exit_fee - fee
        text = f"closed at {price:.10g}, assumed were {trade.exit_price * self.terms.tick_size:.10g}"
        trade.exit_price = fills.average_tick(value, contracts, self.terms.tick_cents)
        trade.exit_fee, trade.exit_told, trade.reason = fee, True, reason or trade.reason
        return text, self._correct_net(trade, net), trade

    def _close_told(self, minute: int, value: int, fee: int, reason: str, *, told: bool) -> Trade:
        before = self.account
        contracts = before["contracts"]
        self._edit(fills.closed(before, value, fee, self.terms.tick_cents))
        net = self.account["balance"] - before["entry_balance"]
        price = fills.average_tick(value, contracts, self.terms.tick_cents)
        self.pending = rules.HOLD
        return self._close_trade(minute, price, fee, reason, net, told=told)

    def _known_order(self) -> Working:
        if self.order is None:
            raise FillError("a fill of an entry is told, and no order was given")
        return self.order

    def _moved(self, cents: int) -> dict[str, int]:
        """Money that comes to an account which is flat, or whose open profit does not change."""
        return {name: self.account[name] + cents for name in ("balance", "equity")}

    def _mark(self) -> None:
        close = int(self.tape.bars[self.tape.market_id, -2, 3])
        self._write({"equity": self.account["balance"] + self.open_profit(close)})

    def _edit(self, changes: dict[str, int]) -> None:
        self._write(changes)
        self.edited = True

    def _write(self, changes: dict[str, int]) -> None:
        self.state = write(self.state, changes)
        self.account = self.account | changes

    # -- saving --

    _PLAIN = ("phase", "rest_day", "carried", "trades", "wins", "pending", "edited", "fills_told", "continues")

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain values."""
        before = self.before
        return {
            **{name: getattr(self, name) for name in self._PLAIN},
            "order": None if self.order is None else vars(self.order),
            "open_trade": None if self.open_trade is None else vars(self.open_trade),
            "last_trade": None if self.last_trade is None else vars(self.last_trade),
            "flat_before": self._flat_before,
            "account": self.account,
            "state": self._leaves(self.state),
            "memory": self._leaves(self.memory),
            "before": None if before is None else [self._leaves(before[0]), int(before[1]), self._leaves(before[2])],
        }

    def _leaves(self, tree: Any) -> list[Any]:
        """The arrays of a tree as plain numbers; those of the last bar's trees are known."""
        known = next((leaves for other, leaves in self._read if other is tree), None)
        if known is None:
            known = [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(tree)]
            self._read.append((tree, known))
        return known

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a snapshot. Raises ValueError where it is of another account's rules or another policy."""
        for name in self._PLAIN:
            setattr(self, name, saved[name])
        self.order = None if saved["order"] is None else Working(**saved["order"])
        for name in ("open_trade", "last_trade"):
            setattr(self, name, None if saved[name] is None else Trade(**saved[name]))
        self._flat_before = saved["flat_before"]
        self.state, self.memory = _filled(self.state, saved["state"]), _filled(self.memory, saved["memory"])
        if saved["before"] is not None:
            state, action, memory = saved["before"]
            self.before = (_filled(self.state, state), action, _filled(self.memory, memory))
        self.account = read(self.state, self.programs.fields)
        if self.account != saved["account"]:
            raise ValueError("the saved state is of another version of the program: its fields have other places")


def _filled(like: Any, leaves: list[Any]) -> Any:
    """A tree of the same structure from saved leaves."""
    own, structure = jax.tree.flatten(like)
    if len(own) != len(leaves):
        raise ValueError(f"{len(leaves)} arrays were saved, and the state has {len(own)}")
    arrays = [np.asarray(new, np.asarray(old).dtype) for old, new in zip(own, leaves, strict=True)]
    for old, new in zip(own, arrays, strict=True):
        if np.shape(old) != new.shape:
            raise ValueError(f"an array of shape {new.shape} was saved, and the state has one of {np.shape(old)}")
    return jax.tree.unflatten(structure, [jax.numpy.asarray(array) for array in arrays])
