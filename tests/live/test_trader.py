"""Orders, real fills, feeds, guard and files of a trader, in exact numbers."""

from __future__ import annotations

import dataclasses
import datetime as dt

import numpy as np
import pytest

from tests.live.desk import CONTRACTS, always_buys, close_of, ledger_net, market, trader
from trading_gymnax.live import Bar, FillError, Guard, StateError, read_ledger
from trading_gymnax.live.books import AWAKE

TICK, CENTS, FEE = 0.25, 500, 250  # points, cents a tick, cents a contract and side


def moved(bar: Bar, **changes: float) -> Bar:
    return dataclasses.replace(bar, **changes)


def at(bar: Bar, price: float) -> Bar:
    """The bar at a single price, which reaches neither stop nor target."""
    return moved(bar, open=price, high=price, low=price, close=price)


def entered(folder=None, **options):
    """A trader that has just ordered to buy at its first decision, and the bar of that decision."""
    made, first = trader(folder=folder, **options), market().coming[0]
    decision = made.on_bar(first)
    assert decision.action == "BUY"
    return made, first, decision


def test_the_order_and_the_fill_that_the_rules_give():
    made, first, decision = entered()
    order = decision.order
    assert (order.side, order.contracts, order.type) == (1, CONTRACTS, "MARKET")
    assert order.expected_price == first.close + TICK
    assert order.stop_price == order.expected_price - order.stop_distance
    assert order.target_price == order.expected_price + order.target_distance
    assert decision.flat_by.endswith("T16:59")
    assert decision.mask == (True, True, True, False, False, False)
    after = made.on_bar(at(market().coming[1], first.close))
    assert after.account.entry_price == first.close + TICK
    assert after.account.stop_price == after.stop_price == order.stop_price
    assert after.why == "in position"
    assert made.books.balance == 5_000_000 - CONTRACTS * FEE
    assert made.equity == 5_000_000 - CONTRACTS * (FEE + CENTS)


def test_a_trader_is_a_line():
    text = "Trader(SYNTH: equity $50,000.00 after the bar of 2025-01-08 09:29 New York)"
    assert repr(trader()) == text


def test_outside_hours_nothing_is_asked():
    rows, made = market(), trader()
    assert made.decision is None
    decisions = [made.on_bar(bar) for bar in rows.coming[:455]]
    closing = decisions[449]
    assert closing.why == "day over"
    assert closing.account.side == 0
    assert closing.exit.reason == "SESSION_CLOSE"
    assert closing.flatten
    assert decisions[450].why == "day over"
    assert made.on_bar(rows.coming[455]).why == "outside hours"


def test_a_real_fill_takes_the_place_of_the_rules(tmp_path):
    made, first, decision = entered(tmp_path)
    price = first.close + 3 * TICK
    made.on_fill("entry", price=price, contracts=CONTRACTS, fee=6.30)
    after = made.on_bar(at(market().coming[1], first.close))
    assert after.account.entry_price == price
    assert after.account.stop_price == price - decision.order.stop_distance
    assert made.books.balance == 5_000_000 - 630
    made.on_fill("exit", price=first.close, contracts=CONTRACTS, fee=6.30, reason="STOP")
    assert made.books.balance == 5_000_000 - 2 * 630 - 3 * CONTRACTS * CENTS
    done = made.on_bar(at(market().coming[2], first.close))
    assert done.account.trades == 1
    assert ledger_net(tmp_path) == made.books.balance - 5_000_000


def test_partial_fills_average_to_the_cent():
    made, first, decision = entered()
    made.on_fill("entry", price=first.close + TICK, contracts=1)
    made.on_fill("entry", price=first.close + 2 * TICK, contracts=1)
    assert made.books.account["contracts"] == 2
    with pytest.raises(FillError, match="2 are filled, and 2 more"):
        made.on_fill("entry", price=first.close, contracts=2)
    made.on_bar(at(market().coming[1], first.close))
    # 1.5 ticks above the close: a whole tick in the position, half a tick of two contracts in the balance
    assert made.books.account["entry_price"] == round(first.close / TICK + 1.5)
    assert made.equity == 5_000_000 - 2 * FEE - 3 * CENTS
    made.on_fill("exit", price=first.close, contracts=1)
    assert made.books.account["contracts"] == 1
    made.on_fill("exit", price=first.close + TICK, contracts=1)
    assert made.books.balance == 5_000_000 - 4 * FEE - 3 * CENTS + CENTS


def test_a_rejected_entry_leaves_no_position():
    made, first, _ = entered()
    made.on_fill("entry", rejected=True)
    after = made.on_bar(at(market().coming[1], first.close))
    assert after.account.side == 0
    assert made.books.balance == 5_000_000
    assert after.account.errors == 1


def test_late_news_correct_the_books(tmp_path):
    """The rule book's fill was assumed; the real one comes bars later."""
    made, first, decision = entered(tmp_path)
    made.on_bar(at(market().coming[1], first.close))
    made.on_fill("entry", price=first.close + 5 * TICK, contracts=2, fee=2.00)
    assert made.books.account["entry_price"] == round(first.close / TICK) + 5
    assert made.books.balance == 5_000_000 - 200
    assert made.equity == 5_000_000 - 200 - 2 * 5 * CENTS
    stopped = made.on_bar(at(market().coming[2], first.close - 200))
    assert stopped.exit.reason == "STOP"
    before = made.books.balance
    made.on_fill("exit", price=stopped.exit.price - TICK, contracts=2)
    assert made.books.balance == before - 2 * CENTS
    made.on_bar(at(market().coming[3], first.close - 200))
    assert ledger_net(tmp_path) + 0 == made.books.last_trade.net == before - 2 * CENTS - 5_000_000


def test_an_assumed_trade_that_never_was(tmp_path):
    made, first, _ = entered(tmp_path)
    made.on_bar(at(market().coming[1], first.close))
    made.on_bar(at(market().coming[2], first.close - 200))
    assert made.books.account["num_trades"] == 1
    assert made.books.order.id.endswith(str(close_of(market().coming[2])))  # it buys again
    made.on_fill("entry", rejected=True)
    assert made.books.balance - 5_000_000 == ledger_net(tmp_path) < 0


def test_fills_that_fit_nothing_change_nothing():
    made = trader()
    for kind, fields in (("exit", {"price": 1.0, "contracts": 1}), ("entry", {"price": 1.0, "contracts": 1})):
        with pytest.raises(FillError):
            made.on_fill(kind, **fields)
    with pytest.raises(ValueError, match="'entry' or an 'exit'"):
        made.on_fill("both")
    assert made.books.balance == 5_000_000
    assert made.guard_state.errors == 2


def test_what_a_feed_can_do_wrong():
    made, first, _ = entered()
    second, third, fourth = market().coming[1:4]
    events = []

    def give(bar):
        decision = made.on_bar(bar)
        events.extend(note.event for note in made.log)
        return decision

    assert "came again" in give(first).ignored
    assert "other values" in give(moved(first, close=first.close + TICK, high=first.high + TICK)).ignored
    before = dict(made.books.account)
    assert give(third).ignored == ""
    assert "came after that of" in give(second).ignored
    assert give(moved(fourth, high=fourth.low - 1)).ignored
    assert give({"time": "2025-01-08T14:33:30Z", "open": 1, "high": 1, "low": 1, "close": 1}).ignored
    assert give({"close": 1}).ignored
    assert give(moved(fourth, close=fourth.close + 0.1, high=fourth.high + 1)).ignored == ""
    saturday = np.datetime64("2025-01-11T12:00")
    assert "weekend" in give(moved(fourth, time=saturday)).ignored
    assert events == [
        *("repeated", "revised", "missing", "late", "bad_bar", "bad_bar", "bad_bar", "off_tick", "outside")
    ]
    assert made.guard_state.errors == 6
    assert before != made.books.account


def test_a_hole_in_the_feed_closes_the_position():
    made, first, _ = entered(gap_minutes=5)
    made.on_bar(at(market().coming[1], first.close))
    decision = made.on_bar(at(market().coming[10], first.close))
    assert decision.exit.reason == "GAP"
    assert decision.flatten
    assert decision.exit.net_usd == -(CONTRACTS * (2 * FEE + 2 * CENTS)) / 100
    assert decision.account.side == 0


def test_silence_closes_the_position():
    made, first, _ = entered()
    made.on_bar(at(market().coming[1], first.close))
    now = dt.datetime.fromtimestamp(60 * close_of(market().coming[1]), dt.UTC)
    assert made.on_time(now + dt.timedelta(minutes=9)) is None
    decision = made.on_time(now + dt.timedelta(minutes=11))
    assert decision.flatten
    assert decision.exit.reason == "GAP"
    assert made.on_time(now + dt.timedelta(minutes=12)) is None


def test_a_session_that_stops_early_is_closed_at_its_last_bar():
    made, first, _ = entered()
    made.on_bar(at(market().coming[1], first.close))
    next_session = made.on_bar(market().coming[451])
    assert next_session.exit.reason == "SESSION_CLOSE"
    assert next_session.account.side == 0
    assert made.books.balance == 5_000_000 - CONTRACTS * (2 * FEE + 2 * CENTS)
    assert next_session.account.trades == 1


def test_an_order_that_no_bar_follows_expires():
    made, _, decision = entered()
    made.on_bar(market().coming[451])
    assert made.books.order.status == "expired"
    assert made.books.balance == 5_000_000
    with pytest.raises(FillError, match="expired"):
        made.on_fill("entry", price=1.0, contracts=1)


def test_the_guard_is_deaf_to_the_policy():
    made, first, _ = entered(guard=Guard(daily_loss_usd=20.0, max_errors=None))
    made.on_bar(at(market().coming[1], first.close))
    stopped = made.on_bar(at(market().coming[2], first.close - 200))
    assert stopped.exit.reason == "STOP"
    assert (stopped.wanted, stopped.action, stopped.order) == ("BUY", "HOLD", None)
    assert stopped.why.startswith("guard: ")
    tomorrow = [made.on_bar(bar) for bar in market().coming[450:]]
    assert next(d for d in tomorrow if d.mask).action == "BUY"  # a day's loss stops a day


def test_the_guard_counts_errors_and_the_floor():
    made = trader(guard=Guard(max_errors=1))
    made.on_bar({"close": 1})
    assert made.on_bar(market().coming[0]).why == "guard: 1 errors in this session"
    made, first, _ = entered(guard=Guard(trailing_usd=20.0, max_errors=None))
    for bar in (at(market().coming[1], first.close), at(market().coming[2], first.close - 200)):
        made.on_bar(bar)
    rest = [made.on_bar(bar) for bar in market().coming[3:]]
    assert not any(d.order for d in rest)
    assert {d.wanted for d in rest if d.mask and d.mask[1]} == {"BUY"}


def test_a_bar_that_was_missed_is_seen_and_not_traded():
    made = trader()
    decision = made.on_bar(market().coming[0], missed=True)
    assert (decision.wanted, decision.action) == ("BUY", "HOLD")
    assert "missed" in decision.why
    assert made.on_bar(market().coming[1]).action == "BUY"


def test_a_trader_goes_on_from_its_folder(tmp_path):
    """At every bar a new process; told fills, a hole and the end of a session among them."""
    whole, bars = trader(folder=tmp_path / "whole"), market().coming[:40] + market().coming[445:470]
    for number, bar in enumerate(bars):
        one = whole.on_bar(bar)
        if one.order and number == 0:
            whole.on_fill("entry", price=bar.close, contracts=2)
    for number, bar in enumerate(bars):
        part = trader(folder=tmp_path / "parts")
        assert part.resumed == (number > 0)
        two = part.on_bar(bar)
        if two.order and number == 0:
            part.on_fill("entry", price=bar.close, contracts=2)
    assert two.to_dict() == one.to_dict()
    texts = [(tmp_path / name / "ledger.jsonl").read_text() for name in ("whole", "parts")]
    assert texts[0] == texts[1]


def test_a_state_that_cannot_be_gone_on_from(tmp_path):
    trader(folder=tmp_path).on_bar(market().coming[0])
    with pytest.raises(StateError, match="another account"):
        trader(folder=tmp_path, seed=1)
    with open(tmp_path / "ledger.jsonl", "a") as file:
        file.write('{"kind":"torn')  # what a killed process leaves
    assert trader(folder=tmp_path).resumed
    assert [line["kind"] for line in read_ledger(tmp_path)] == ["start", "bar"]
    (tmp_path / "state.2.json").write_text("{")
    again = trader(folder=tmp_path)
    assert again.resumed
    assert "state.2.json was cut off" in again.log[0].text
    assert [line["kind"] for line in read_ledger(tmp_path)] == ["start"]


def test_arguments_that_do_not_fit():
    there = market()
    for options, words in (
        ({"market": "ES"}, "no market 'ES'"),
        ({"gap_minutes": 0}, "gap_minutes"),
        ({"sampled": True}, "no switch"),
    ):
        with pytest.raises(ValueError, match=words):
            trader(**options)
    with pytest.raises(ValueError, match="above 0"):
        Guard(daily_loss_usd=0)
    wrong = dataclasses.replace(there.history, features=there.history.features + 1)
    with pytest.raises(RuntimeError, match="other features when streamed"):
        type(trader())(always_buys, there.env, there.params, wrong)
    assert trader().books.phase != AWAKE
