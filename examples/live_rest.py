"""A policy on a feed of bars by HTTP, with its orders sent to a paper venue: a worked example of `trading_gymnax.live`.

The feed is polled: `GET URL?after=MINUTE` answers a JSON list of bars that have closed since. The venue is written
against Tradovate's documented REST messages (order/placeoso, order/modifyorder, order/liquidateposition, fill/deps, as
its API reference had them in 2026) for its demo environment, where no money moves. `tests/live/test_example.py` runs
both against a server of its own. Orders at a real broker are your own responsibility.

    python examples/live_rest.py runs/nq --history nq.csv --feed http://127.0.0.1:8000/bars \\
        --venue https://demo.tradovateapi.com/v1 --account DEMO123 --account-id 123 --symbol NQH5

The access token is read from the environment variable VENUE_TOKEN.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import time
import urllib.request
from typing import Any

from trading_gymnax.live import Decision, FillError, Trader


class Tradovate:
    """The few calls that a trader needs of a venue."""

    def __init__(self, url: str, token: str, account: str, account_id: int, symbol: str, tick: float) -> None:
        self.url, self.token, self.tick = url.rstrip("/"), token, tick
        self.common = {"accountSpec": account, "accountId": account_id, "symbol": symbol, "isAutomated": True}
        self.entry: int | None = None
        self.bracket: dict[str, int] = {}  # order numbers of stop and target
        self.stop_price: float | None = None
        self.contracts, self.seen = 0, set[int]()

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """POST with a body, GET without."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/{path}", data, headers)) as answer:
            return json.load(answer)

    def enter(self, decision: Decision) -> bool:
        """A market order with its bracket. Returns whether the venue took it."""
        order = decision.order
        assert order is not None
        there, back = ("Buy", "Sell") if order.side > 0 else ("Sell", "Buy")
        stop = {"action": back, "orderType": "Stop", "stopPrice": order.stop_price}
        target = {"action": back, "orderType": "Limit", "price": order.target_price}
        body = {"action": there, "orderQty": order.contracts, "orderType": "Market", "clOrdId": order.id}
        answer = self.call("order/placeoso", {**self.common, **body, "bracket1": stop, "bracket2": target})
        if "orderId" not in answer:
            print(f"rejected: {answer.get('failureReason')}: {answer.get('failureText')}")
            return False
        self.entry, self.stop_price, self.contracts = answer["orderId"], order.stop_price, order.contracts
        self.bracket = {"STOP": answer["oso1Id"], "TARGET": answer["oso2Id"]}
        return True

    def move_stop(self, price: float) -> None:
        """The stop of the open position to another price."""
        if self.bracket and price != self.stop_price:
            body = {"orderId": self.bracket["STOP"], "orderQty": self.contracts, "orderType": "Stop"}
            self.call("order/modifyorder", {**body, "stopPrice": price, "isAutomated": True})
            self.stop_price = price

    def flatten(self, contract_id: int) -> None:
        """Close what is open and cancel what works."""
        self.call(
            "order/liquidateposition",
            {"accountId": self.common["accountId"], "contractId": contract_id, "admin": False},
        )

    def fills(self) -> list[tuple[str, str, float, int]]:
        """New fills of the entry and its bracket: entry or exit, reason, price, contracts."""
        found = []
        for reason, order in {"": self.entry, **self.bracket}.items():
            for fill in self.call(f"fill/deps?masterid={order}") if order else []:
                if fill["id"] not in self.seen:
                    self.seen.add(fill["id"])
                    found.append(("exit" if reason else "entry", reason, float(fill["price"]), int(fill["qty"])))
        return found


def trade(trader: Trader, feed: str, venue: Tradovate, contract_id: int = 0, polls: int | None = None) -> None:
    """Poll the feed, decide, send, and tell the trader what was filled. polls: how often, None for ever."""
    while polls is None or polls > 0:
        polls = None if polls is None else polls - 1
        with urllib.request.urlopen(f"{feed}?after={trader.feed.last}") as answer:
            bars = json.load(answer)
        tell_fills(trader, venue)
        for bar in bars:
            act(trader, venue, trader.on_bar(bar), contract_id)
        tell_fills(trader, venue)
        silent = trader.on_time(dt.datetime.now(dt.UTC)) if polls is None else None
        if silent is not None:
            venue.flatten(contract_id)
        if not bars:
            time.sleep(0.05)


def act(trader: Trader, venue: Tradovate, decision: Decision, contract_id: int) -> None:
    """What the decision asks of the venue."""
    for note in trader.log:
        print(f"{note.event}: {note.text}")
    if decision.flatten:
        venue.flatten(contract_id)
    if decision.order is not None and not venue.enter(decision):
        trader.on_fill("entry", rejected=True)
    elif decision.stop_price is not None:
        venue.move_stop(decision.stop_price)


def tell_fills(trader: Trader, venue: Tradovate) -> None:
    """New fills of the venue, in the trader's books."""
    for kind, reason, price, contracts in venue.fills():
        try:
            trader.on_fill(kind, price=price, contracts=contracts, reason=reason)
        except FillError as error:
            print(f"a fill fits no order, look at the account: {error}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir")
    for name in ("history", "feed", "venue", "account", "symbol"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--account-id", type=int, required=True)
    parser.add_argument("--contract-id", type=int, default=0)
    given = parser.parse_args()
    trader = Trader.load(given.run_dir, given.history, folder=f"{given.run_dir}/live")
    token, tick = os.environ["VENUE_TOKEN"], trader.spec.tick_size
    venue = Tradovate(given.venue, token, given.account, given.account_id, given.symbol, tick)
    trade(trader, given.feed, venue, given.contract_id)


if __name__ == "__main__":
    main()
