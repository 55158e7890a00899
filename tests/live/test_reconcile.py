"""A ledger beside the environment: what differs, why, and by how many dollars; the pages; the lines of a feed."""

from __future__ import annotations

import io
import json

import pytest

from tests.live.desk import CONTRACTS, always_buys, market, trader
from trading_gymnax.cli.live import read_lines, status
from trading_gymnax.live import BadBar, Guard
from trading_gymnax.live.history import save_history
from trading_gymnax.live.reconcile import CAUSES, read, reconcile
from trading_gymnax.report.live_pages import paper_text, write_paper, write_reconciliation
from trading_gymnax.runs import TradingSettings

SETTINGS = TradingSettings(phase=2, changes={"position_size": CONTRACTS, "trailing_dd_limit": 100_000.0})


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """A session with a worse fill and a dear fee, a rejected order, a missed bar, and a guard at its end."""
    folder = tmp_path_factory.mktemp("ledger")
    made = trader(always_buys, folder, guard=Guard(max_errors=2))
    save_history(folder, market().history)
    told, trades = 0, 0
    for number, bar in enumerate(market().coming[:460]):
        decision = made.on_bar(bar, missed=number == 0)
        if decision.order:
            told += 1
            price = market().coming[number + 1].open + 0.25
            if told == 1:
                made.on_fill("entry", price=price + 0.5, contracts=CONTRACTS, fee=10.0)
            elif told == 3:
                made.on_fill("entry", rejected=True)
                made.on_bar({"close": 1})
        trades = decision.account.trades
    assert trades == 2
    return folder, made


def test_where_live_and_simulated_differ(ledger):
    folder, made = ledger
    found = reconcile(always_buys, SETTINGS, folder)
    causes = found.causes
    assert sum(found.sessions["live_usd"]) == (made.books.balance - 5_000_000) / 100
    difference = float(found.trades["difference_usd"].sum())
    assert difference == pytest.approx(sum(causes.values()), abs=1e-6)
    assert {cause for cause, value in causes.items() if value} <= set(CAUSES)
    missed = found.trades[found.trades["missed bar"] != 0]
    assert len(missed) == 1  # the first bar's entry
    assert not missed["in_live"].any()
    assert causes["guard"] != 0
    assert found.decisions.iloc[0].to_dict() | {"decided": ""} == {
        "decided": "", "live": "HOLD", "wanted": "BUY", "simulated": "BUY",
        "why": "the bar was missed: no order can be sent at it",
    }  # fmt: skip
    assert "differ" in str(found)


def test_the_same_account_differs_in_nothing(tmp_path):
    made = trader(always_buys, tmp_path)
    save_history(tmp_path, market().history)
    for bar in market().coming[:460]:
        made.on_bar(bar)
    found = reconcile(always_buys, SETTINGS, tmp_path)
    assert len(found.decisions) == 0
    assert found.compared == 449
    assert set(found.trades["difference_usd"]) == {0.0}
    assert found.sessions["live"].item() == len(found.trades) > 3
    # the same, with one fill two ticks worse and a dollar dearer: told afterwards, so that all else stays
    told = tmp_path / "told"
    made, ordered = trader(always_buys, told), None
    save_history(told, market().history)
    for bar in market().coming[:460]:
        decision = made.on_bar(bar)
        if ordered is None and decision.exit:
            made.on_fill("exit", price=decision.exit.price - 0.5, contracts=CONTRACTS, fee=8.50, reason="STOP")
            ordered = decision.exit
    worse = reconcile(always_buys, SETTINGS, told)
    assert {k: v for k, v in worse.causes.items() if v} == {"exit price": -0.5 * 20 * CONTRACTS, "fees": -1.0}
    assert len(worse.decisions) == 0


def test_pages(ledger, tmp_path):
    folder, _ = ledger
    found, written = reconcile(always_buys, SETTINGS, folder), read(folder)
    text = paper_text(written)
    assert text.startswith("1 session, 460 bars, ")
    assert "1 rejected" in text
    page = write_paper(tmp_path / "paper.html", written, "a <b>paper</b> account").read_text()
    assert "a &lt;b&gt;paper" in page
    assert "Trades" in page
    page = write_reconciliation(tmp_path / "reconcile.html", found, "both").read_text()
    assert "missed bar" in page
    assert "://" not in page.split('<script id="plotly">')[0]


def test_lines_of_a_feed():
    text = '\ntime,open,high,low,close\n2025-01-08T14:30Z,1,2,1,2\n1,2\n{"time": 1, "close": 2}\n{torn\n1,2,3,4,5'
    lines = list(read_lines(io.StringIO(text), False, lambda: None))
    assert lines[0]["close"] == "2"
    assert isinstance(lines[1], BadBar)
    assert lines[2] == {"time": 1, "close": 2}
    assert isinstance(lines[3], BadBar)
    assert lines[4]["time"] == "1"


def test_a_growing_file_is_followed():
    class Growing(io.StringIO):
        parts = iter(["time,close\n", "1,", "", "2\n"])

        def readline(self, *_):
            return next(self.parts, "")

    waits = []

    def idle():
        waits.append(1)
        if len(waits) > 2:
            raise TimeoutError

    lines = read_lines(Growing(), True, idle, 0.0)
    assert next(lines) == {"time": "1", "close": "2"}
    assert waits == [1]
    with pytest.raises(TimeoutError):
        next(lines)


def test_a_line_of_status(ledger):
    decision = ledger[1].decision
    assert "equity $" in status(decision)
    assert json.loads(json.dumps(decision.to_dict()))["account"]["side"] == 0
