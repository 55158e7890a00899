"""From the books and the policy's numbers to a `Decision`, in a trader's words."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from trading_gymnax import rules
from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.live.bars import Clock, iso
from trading_gymnax.live.books import OVER, Books
from trading_gymnax.live.decision import Account, Decision, Exit, Order
from trading_gymnax.live.feed import Row, date_of
from trading_gymnax.live.fills import Trade
from trading_gymnax.live.guard import GuardState
from trading_gymnax.live.program import Chosen
from trading_gymnax.live.setup import Hours

_AT_THE_BROKER = ("STOP", "TRAIL", "BREAKEVEN", "TARGET")  # exits by orders that lie there already


@dataclasses.dataclass
class Last:
    """The last bar that was taken."""

    minute: int = 0  # UTC minute of its close
    day: int = 0  # date of its session, days since 1970
    close: int = 0  # ticks
    slippage: int = 0  # ticks by which an order at it fills worse

    def snapshot(self) -> list[int]:
        """All of it as plain values."""
        return list(vars(self).values())

    def restore(self, saved: list[int]) -> None:
        """Go on from a snapshot."""
        self.minute, self.day, self.close, self.slippage = saved


class Wording:
    """Tells what is done at a bar, and what the account looks like. Reads the books, changes nothing."""

    def __init__(
        self,
        spec: ContractSpec,
        names: tuple[str, ...],
        entries: tuple[int, ...],
        books: Books,
        guard: GuardState,
        last: Last,
        clock: Clock,
        hours: Hours,
        *,
        at_close: bool,
    ) -> None:
        self.spec, self.names, self.entries, self.books, self.guard = spec, names, entries, books, guard
        self.last, self.clock, self.hours = last, clock, hours
        self._type = "MARKET_ON_CLOSE" if at_close else "MARKET"

    # -- what is done --

    def action(self, wanted: int, mask: tuple[bool, ...], blocked: str | None, missed: bool) -> tuple[int, str]:
        """The action that is done, and why no other is, or why no entry is allowed."""
        if missed and wanted != rules.HOLD:
            return rules.HOLD, "the bar was missed: no order can be sent at it"
        if not mask[wanted]:
            return rules.HOLD, f"{self.names[wanted]} is not legal here"
        if wanted in self.entries and blocked is not None:
            return rules.HOLD, blocked
        if self.books.account["position"]:
            return wanted, "in position"
        if self.books.account["day_over"]:
            return wanted, "the day is over: its loss limit was reached"
        return wanted, "too near to the close to enter"

    def order(self, row: Row, side: int, contracts: int, stop: int, target: int) -> Order:
        """An order to enter at a bar's close; distances in ticks."""
        tick, price = self.spec.tick_size, row.ticks[3] + side * self.last.slippage
        return Order(
            id=f"{self.spec.symbol}-{row.minute}",
            side=side,
            contracts=contracts,
            type=self._type,
            expected_price=price * tick,
            stop_distance=stop * tick,
            target_distance=target * tick,
            stop_price=(price - side * stop) * tick,
            target_price=(price + side * target) * tick,
        )

    # -- decisions --

    def decided(
        self,
        row: Row,
        chosen: Chosen,
        odds: np.ndarray,
        mask: tuple[bool, ...],
        wanted: int,
        done: int,
        why: str,
        order: Order | None,
        stop: int,
        made: Exit | None,
    ) -> Decision:
        """What the policy wants and what is done of it; `stop` is the stop from now on, ticks."""
        position = self.books.account["position"]
        may_enter = mask[rules.BUY] or mask[rules.SELL]
        return self.frame(
            action=self.names[done],
            wanted=self.names[wanted],
            why="" if may_enter and done == wanted else why,
            order=order,
            stop_price=stop * self.spec.tick_size if position else None,
            flat_by=self._flat_by(row) if position or order else None,
            exit=made,
            flatten=must_send(made),
            mask=mask,
            probabilities=tuple(odds[:-1].tolist()) if len(odds) else None,
            value=float(odds[-1]) if len(odds) else None,
            observation=np.asarray(chosen.obs),
        )

    def at_rest(self, row: Row, made: Exit | None, lacks: str | None) -> Decision:
        """Nothing is asked at this bar; `lacks` says what a bar inside the hours lacks."""
        if self.books.phase == OVER:
            why = "the account is over: a limit or the target was reached"
        elif self.books.rest_day == row.place.day:
            why = "day over"
        elif not self.hours.hold(row.place):
            why = "outside hours"
        else:
            why = lacks or ""
        return self.frame(why=why, exit=made, flatten=must_send(made))

    def frame(self, **fields: Any) -> Decision:
        """A decision at the last bar: to do nothing, but for the fields given."""
        nothing: dict[str, Any] = {"action": "HOLD", "wanted": "HOLD", "why": "", "exit": None}
        nothing |= {"order": None, "stop_price": None, "flatten": False, "flat_by": None}
        minute = self.last.minute
        when = {"id": iso(minute), "time": self.clock.new_york(minute), "session": date_of(self.last.day)}
        return Decision(**{**nothing, **when, "account": self.account(), **fields})

    def _flat_by(self, row: Row) -> str:
        return self.clock.new_york(row.minute + self.hours.flat(row.place) - row.place.time)

    # -- money --

    @property
    def equity(self) -> int:
        """Cents of the whole account at the last close."""
        return self.books.balance + self.books.open_profit(self.last.close)

    def account(self) -> Account:
        """The whole account at the last close."""
        books, now, tick = self.books, self.books.account, self.spec.tick_size
        open_profit, side = books.open_profit(self.last.close), now["position"]
        equity = books.balance + open_profit
        floor = None if now["floor"] == rules.FLOOR_OFF else (books.balance - now["balance"] + now["floor"]) / 100
        return Account(
            balance_usd=books.balance / 100,
            equity_usd=equity / 100,
            session_usd=(equity - self.guard.session_start_cents) / 100,
            floor_usd=floor,
            side=side,
            contracts=now["contracts"],
            entry_price=now["entry_price"] * tick if side else None,
            stop_price=now["sl_price"] * tick if side else None,
            target_price=now["tp_price"] * tick if side else None,
            open_profit_usd=open_profit / 100,
            trades=books.trades + now["num_trades"],
            winning_trades=books.wins + now["winning_trades"],
            errors=self.guard.errors,
        )

    def exit(self, trade: Trade) -> Exit:
        """A closed trade."""
        price, net = trade.exit_price * self.spec.tick_size, trade.net / 100
        return Exit(trade.order_id, trade.reason, price, trade.contracts, net, assumed=not trade.exit_told)


def must_send(made: Exit | None) -> bool:
    """Whether an exit that the rule book assumed needs an order of the trader's own."""
    return made is not None and made.assumed and made.reason not in _AT_THE_BROKER


def ledger_line(trade: Trade, tick_size: float) -> dict[str, Any]:
    """A closed trade as the ledger has it."""
    names = ("order_id", "minute", "side", "contracts", "exit_minute", "reason")
    return {
        "kind": "trade",
        **{name: getattr(trade, name) for name in names},
        "entry_price": trade.entry_price * tick_size,
        "exit_price": trade.exit_price * tick_size,
        "fee_usd": (trade.entry_fee + trade.exit_fee) / 100,
        "net_usd": trade.net / 100,
        "entry_told": trade.entry_told,
        "exit_told": trade.exit_told,
    }
