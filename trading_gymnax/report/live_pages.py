"""Pages of live trading, each one HTML file that opens without a network: what a session earned, and why not more."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

import pandas as pd

from trading_gymnax.live.reconcile import CAUSES, Ledger, Reconciliation
from trading_gymnax.report import charts
from trading_gymnax.report.page import Html, Section, chart, escape, join, paragraph, table, write_page
from trading_gymnax.report.sections import program_version
from trading_gymnax.text import count_text, percent, ratio, usd

PAPER_PAGE, RECONCILE_PAGE = "paper.html", "reconcile.html"
_LISTED = 500  # rows of a table
_CAUSE_HEAD = ("cause", "live less simulated")


def paper_text(ledger: Ledger) -> str:
    """What a ledger's sessions earned, for the terminal."""
    nets = [trade["net_usd"] for trade in ledger.trades.values()]
    won = [net for net in nets if net > 0]
    lost = -sum(net for net in nets if net < 0)
    sessions = sorted({decision["session"] for decision in ledger.decisions.values() if decision["mask"]})
    lines = [
        f"{count_text(len(sessions), 'session')}, {count_text(len(ledger.bars), 'bar')}, "
        f"{count_text(len(nets), 'trade')}: net {usd(sum(nets), cents=True)}",
    ]
    if nets:
        factor = ratio(sum(won) / lost) if lost else "no loss"
        lines.append(f"{percent(len(won) / len(nets))} of the trades with a profit, profit factor {factor}")
    lines.append(f"{count_text(len(ledger.events), 'line')} in the log{_events_text(ledger.events)}")
    return "\n".join(lines)


def _events_text(events: Sequence[dict[str, Any]]) -> str:
    counts = pd.Series([event["event"] for event in events], dtype="str").value_counts()
    return ": " + ", ".join(f"{count:,} {name}" for name, count in counts.items()) if len(counts) else ""


def write_paper(path: pathlib.Path, ledger: Ledger, title: str) -> pathlib.Path:
    """The report of a paper or live account. Raises `MissingExtra` without plotly."""
    rows = [
        [
            trade["order_id"],
            "long" if trade["side"] > 0 else "short",
            trade["contracts"],
            f"{trade['entry_price']:,.10g}",
            f"{trade['exit_price']:,.10g}",
            trade["reason"],
            usd(trade["net_usd"], cents=True),
        ]
        for trade in list(ledger.trades.values())[-_LISTED:]
    ]
    head = ["order", "side", "contracts", "entry", "exit", "reason", "net"]
    sections = [
        Section("Equity", chart("live-equity", "tall", "equity of the account"), {"live-equity": _equity(ledger)}),
        Section("Trades", join([_shown(len(ledger.trades)), table(head, rows, numbers_from=2)])),
        _log_section(ledger.events),
    ]
    top = join([Html(f"<h1>{escape(title)}</h1>"), *(paragraph(line) for line in paper_text(ledger).split("\n"))])
    write_page(path, title, top, sections, _footer())
    return path


def _equity(ledger: Ledger) -> dict[str, Any]:
    """Equity at the close of every bar at which a decision was made, by New York time."""
    made = [decision for decision in ledger.decisions.values() if decision["mask"] or decision["exit"]]
    trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "equity",
        "x": [decision["time"] for decision in made],
        "y": [decision["account"]["equity_usd"] for decision in made],
        "line": {"color": charts.COLORS["entry"], "width": 1.7},
    }
    x, y = charts.axis("New York time", type="date"), charts.axis("dollars", tickformat=charts.DOLLARS)
    return {"data": [trace], "layout": charts.layout(xaxis=x, yaxis=y)}


def write_reconciliation(path: pathlib.Path, found: Reconciliation, title: str) -> pathlib.Path:
    """Live beside simulated: by session, trade and decision, in dollars. Raises `MissingExtra` without plotly."""
    total = found.causes
    by_cause = [[cause, usd(total[cause], cents=True)] for cause in CAUSES]
    sessions = [
        [row.session, row.live, row.simulated, *_dollars(row.live_usd, row.simulated_usd, row.difference_usd)]
        for row in found.sessions.itertuples()
    ]
    money = ["live", "simulated", "difference"]
    sections = [
        Section(
            "Where the difference comes from", join([_causes_note(), table(["cause", "live less simulated"], by_cause)])
        ),
        Section("Sessions", table(["session", "live trades", "simulated trades", *money], sessions)),
        Section("Trades", join([_shown(len(found.trades)), _trade_table(found.trades)])),
        Section("Decisions that differ", join([_shown(len(found.decisions)), _decision_table(found.decisions)])),
        _log_section(found.events),
    ]
    top = join([Html(f"<h1>{escape(title)}</h1>"), *(paragraph(line) for line in str(found).split("\n")[:2])])
    write_page(path, title, top, sections, _footer())
    return path


def _causes_note() -> Html:
    return paragraph(
        "A trade that both have differs by the prices of its fills, the fees and the size. Prices against you here are "
        "slippage beyond the one that the rules assume: raise slippage_ticks or stop_slippage_ticks by as much, and "
        "judge the policy again. A trade of one alone counts whole, under the reason for which the other lacks it.",
        "quiet",
    )


def _trade_table(trades: pd.DataFrame) -> Html:
    head = ["decided", "side", "live", "simulated", "difference", *CAUSES]
    rows = []
    for row in trades.tail(_LISTED).to_dict("records"):
        values = _dollars(row["live_usd"], row["simulated_usd"], row["difference_usd"])
        causes = ["" if not row[cause] else usd(row[cause], cents=True) for cause in CAUSES]
        rows.append([row["decided"], "long" if row["side"] > 0 else "short", *values, *causes])
    return table(head, rows, numbers_from=2)


def _decision_table(decisions: pd.DataFrame) -> Html:
    rows = decisions.tail(_LISTED).to_numpy().tolist()
    return table(["decided", "live", "wanted", "simulated", "why"], rows, numbers_from=9)


def _log_section(events: Sequence[dict[str, Any]]) -> Section:
    rows = [[event["event"], event["text"]] for event in events[-_LISTED:]]
    return Section("Log", join([_shown(len(events)), table(["event", "what happened"], rows, numbers_from=9)]))


def _shown(count: int) -> Html:
    return paragraph(f"{count:,} in all" + (f", the last {_LISTED} are shown" if count > _LISTED else ""), "quiet")


def _dollars(*values: float) -> list[str]:
    return [usd(value, cents=True) for value in values]


def _footer() -> Html:
    return join(["Written by ", program_version(), ". Dollars; times are UTC where they end in Z, else New York."], "")
