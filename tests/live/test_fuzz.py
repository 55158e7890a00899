"""Any order of bars, fills, restarts: the books balance, no decision comes twice, nothing is open after the close."""

from __future__ import annotations

import pathlib
import shutil
import tempfile

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.live.desk import close_of, holds_then_sells, ledger_net, market, trader
from trading_gymnax.live import FillError
from trading_gymnax.live.books import AWAKE


class Desk(RuleBasedStateMachine):
    """A trader whose feed, broker and machine do anything."""

    @initialize(start=st.sampled_from([0, 440]))
    def begin(self, start):
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.trader = trader(holds_then_sells, self.folder, gap_minutes=5)
        self.at, self.ids, self.orders = start, [], []

    def give(self, bar):
        decision = self.trader.on_bar(bar)
        if not decision.ignored:
            self.ids.append(decision.id)
        if decision.order:
            self.orders.append(decision.order.id)
        self.decision = decision

    @precondition(lambda self: self.at < len(market().coming) - 20)
    @rule(count=st.integers(1, 12), skip=st.sampled_from([0, 0, 0, 1, 7]))
    def bars(self, count, skip):
        self.at += skip
        for _ in range(count):
            self.give(market().coming[self.at])
            self.at += 1

    @precondition(lambda self: self.at > 1)
    @rule(back=st.integers(1, 40), moved=st.sampled_from([0.0, 0.25, 0.1]))
    def old_bar(self, back, moved):
        bar = market().coming[max(0, self.at - back)]
        last = self.trader.feed.last
        came = bool(self.ids) and close_of(bar) <= last
        fields = {name: getattr(bar, name) + moved for name in ("open", "high", "low", "close")}
        self.give({"time": str(bar.time) + "Z", "volume": bar.volume, **fields})
        assert not came or self.trader.feed.last == last

    @rule()
    def nonsense(self):
        self.give({"time": "yesterday", "close": "none"})

    @rule(
        kind=st.sampled_from(["entry", "exit"]),
        away=st.integers(-200, 200),
        contracts=st.integers(1, 4),
        fee=st.sampled_from([None, 0.0, 2.13]),
        rejected=st.booleans(),
    )
    def fill(self, kind, away, contracts, fee, rejected):
        price = market().coming[self.at].close + 0.25 * away
        try:
            if rejected:
                self.trader.on_fill(kind, rejected=True)
            else:
                self.trader.on_fill(kind, price=price + 0.05, contracts=contracts, fee=fee)
        except FillError:
            pass

    @rule()
    def restart(self):
        account = self.trader.books.account
        self.trader = trader(holds_then_sells, self.folder, gap_minutes=5)
        assert self.trader.resumed
        assert self.trader.books.account == account

    @invariant()
    def books_balance(self):
        if not hasattr(self, "trader"):
            return
        books, now = self.trader.books, self.trader.books.account
        in_position = now["balance"] - now["entry_balance"] if now["position"] else 0
        assert books.balance == 5_000_000 + ledger_net(self.folder) + in_position

    @invariant()
    def no_decision_comes_twice(self):
        if hasattr(self, "trader"):
            assert len(set(self.ids)) == len(self.ids)
            assert len(set(self.orders)) == len(self.orders)

    @invariant()
    def nothing_is_open_after_the_close(self):
        if hasattr(self, "trader") and self.trader.books.phase != AWAKE:
            assert self.trader.books.account["position"] == 0

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)


def check(examples: int, steps: int) -> None:
    profile = settings(max_examples=examples, stateful_step_count=steps, suppress_health_check=list(HealthCheck))
    case = type("Case", (Desk.TestCase,), {"settings": settings(profile, deadline=None)})
    case("runTest").runTest()


def test_a_few_orders_of_events():
    check(examples=5, steps=15)


@pytest.mark.slow
def test_many_orders_of_events():
    check(examples=300, steps=50)
