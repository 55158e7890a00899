"""The example of a feed by HTTP and a paper venue, against a server of our own."""

from __future__ import annotations

import http.server
import importlib.util
import json
import pathlib
import threading
import urllib.parse

import pytest

from tests.live.desk import CONTRACTS, close_of, market, trader

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "live_rest.py"


class Venue(http.server.BaseHTTPRequestHandler):
    """Feeds bars as they are asked for, and answers orders as the venue's reference says."""

    bars: list = []  # noqa: RUF012 - set for each test
    orders: list = []  # noqa: RUF012
    fills: dict = {}  # noqa: RUF012
    refuse_next = False

    def do_GET(self):
        url = urllib.parse.urlparse(self.path)
        query = {name: values[0] for name, values in urllib.parse.parse_qs(url.query).items()}
        if url.path == "/bars":
            after = int(query["after"])
            coming = [bar for bar in self.bars if close_of(bar) > after][:1]
            names = ("open", "high", "low", "close", "volume")
            self.answer([{"time": f"{b.time}Z", **{name: getattr(b, name) for name in names}} for b in coming])
        else:
            assert url.path == "/v1/fill/deps"
            self.answer(self.fills.get(int(query["masterid"]), []))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["Authorization"] == "Bearer secret"
        self.orders.append((self.path, body))
        number = 10 * len(self.orders)
        if self.path == "/v1/order/placeoso" and type(self).refuse_next:
            type(self).refuse_next = False
            self.answer({"failureReason": "LiquidationOnly", "failureText": "no new positions"})
            return
        if self.path == "/v1/order/placeoso":
            price = body["bracket1"]["stopPrice"] + 10
            self.fills[number] = [{"id": number, "orderId": number, "qty": body["orderQty"], "price": price}]
        self.answer({"orderId": number, "oso1Id": number + 1, "oso2Id": number + 2})

    def answer(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    Venue.bars, Venue.orders, Venue.fills, Venue.refuse_next = market().coming[:3], [], {}, True
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Venue) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


def test_a_feed_and_a_venue(server, capsys):
    spec = importlib.util.spec_from_file_location("live_rest", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    made = trader()
    venue = example.Tradovate(f"{server}/v1", "secret", "DEMO1", 1, "NQH5", 0.25)
    example.trade(made, f"{server}/bars", venue, polls=4)
    paths = [path for path, _ in Venue.orders]
    assert paths == [*["/v1/order/placeoso"] * 2, "/v1/order/modifyorder"]
    first, second, moved = (body for _, body in Venue.orders)
    assert first["clOrdId"] != second["clOrdId"]
    assert second | {"bracket1": 0, "bracket2": 0, "clOrdId": 0} == {
        **{"accountSpec": "DEMO1", "accountId": 1, "symbol": "NQH5", "isAutomated": True, "action": "Buy"},
        **{"orderQty": CONTRACTS, "orderType": "Market", "clOrdId": 0, "bracket1": 0, "bracket2": 0},
    }
    assert second["bracket1"]["action"] == second["bracket2"]["action"] == "Sell"
    # refused at the first bar, filled at the second at ten points above the stop, whatever the market was
    assert made.books.open_trade.entry_told
    assert made.books.open_trade.entry_price == round((second["bracket1"]["stopPrice"] + 10) / 0.25)
    # the stop keeps its distance from the fill, so it moves with it
    assert moved["stopPrice"] == made.books.account["sl_price"] * 0.25 != second["bracket1"]["stopPrice"]
    assert moved["orderId"] == venue.bracket["STOP"]
    assert made.guard_state.errors == 1
    assert "LiquidationOnly" in capsys.readouterr().out
