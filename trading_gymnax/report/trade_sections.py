"""The trades of a policy: long and short apart, by exit, how far they went, how long they took, and the list of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.evaluation.trades import average_loss, average_win, expectancy, expectancy_r, profit_factor, share
from trading_gymnax.report import svg
from trading_gymnax.report.judge import Judgement
from trading_gymnax.report.material import Material, badge
from trading_gymnax.report.page import Html, Section, escape, join, pack, paragraph, table
from trading_gymnax.report.session_charts import SessionChart
from trading_gymnax.text import count_text, number, percent, ratio, usd

_NONE = paragraph("The policy never traded.", "quiet")


def trades_section(material: Material) -> Section:
    """Long and short side by side, the reasons of exits, and the spread of results, excursions and holding times."""
    label, judgement = material.judgements[0]
    trades = judgement.evaluation.trades
    if len(trades) == 0:
        return Section("Trades", _NONE)
    remark = (
        "R: net over the initial stop distance. Excursions: the lowest and highest open profit on the way, in the same "
        "unit; of a bar in which a level or the target took the position out only the open and the exit count."
    )
    sides = {
        "all": trades,
        "long": trades[trades["side"] > 0],
        "short": trades[trades["side"] < 0],
    }
    rows = [[name, *(show(part) for part in sides.values())] for name, show in _STATISTICS]
    parts = [
        paragraph(Html(f"{badge(label)} {escape(remark)}"), "quiet"),
        Html("<h3>Long and short</h3>"),
        table(["", *sides], rows),
        Html("<h3>By exit</h3>"),
        _by_exit(trades),
        Html("<h3>How they spread</h3>"),
        Html(f'<div class="plots">{join(_spreads(trades))}</div>'),
    ]
    return Section("Trades", join(parts))


def _dollars(value: float) -> str:
    return usd(value, cents=True)


def _nets(part: pd.DataFrame) -> np.ndarray:
    return part["net_usd"].to_numpy()


def _risk(part: pd.DataFrame) -> np.ndarray:
    return part["risk_usd"].to_numpy()


_STATISTICS: tuple[tuple[str, Callable[[pd.DataFrame], str]], ...] = (
    ("trades", lambda part: f"{len(part):,}"),
    ("with a profit", lambda part: percent(share((_nets(part) > 0).sum(), len(part)))),
    ("net", lambda part: _dollars(float(_nets(part).sum()))),
    ("net a trade", lambda part: _dollars(expectancy(_nets(part)))),
    ("R a trade", lambda part: ratio(expectancy_r(_nets(part), _risk(part)))),
    ("profit factor", lambda part: ratio(profit_factor(_nets(part)))),
    ("average win", lambda part: _dollars(average_win(_nets(part)))),
    ("average loss", lambda part: _dollars(average_loss(_nets(part)))),
    ("largest win", lambda part: _dollars(float(_nets(part).max(initial=-np.inf, where=_nets(part) > 0)))),
    ("largest loss", lambda part: _dollars(float(_nets(part).min(initial=np.inf, where=_nets(part) < 0)))),
    ("bars held, median", lambda part: number(float(part["bars_held"].median()), 1)),
    ("bars held, longest", lambda part: number(float(part["bars_held"].max()))),
    ("worst excursion, mean R", lambda part: number(float(part["worst_r"].mean()), 2)),
    ("best excursion, mean R", lambda part: number(float(part["best_r"].mean()), 2)),
)


def _by_exit(trades: pd.DataFrame) -> Html:
    head = ["exit", "trades", "share", "with a profit", "net", "net a trade", "R a trade", "bars held, median"]
    rows = [
        [
            str(reason),
            f"{len(part):,}",
            percent(len(part) / len(trades)),
            percent(share((_nets(part) > 0).sum(), len(part))),
            _dollars(float(_nets(part).sum())),
            _dollars(expectancy(_nets(part))),
            ratio(expectancy_r(_nets(part), _risk(part))),
            number(float(part["bars_held"].median()), 1),
        ]
        for reason, part in sorted(trades.groupby("exit_reason"), key=lambda one: -len(one[1]))
    ]
    return table(head, rows)


def _spreads(trades: pd.DataFrame) -> list[Html]:
    """Histograms of result, excursions and holding time, winners and losers apart."""
    won = _nets(trades) > 0

    def spread(title: str, values: np.ndarray, show: Callable[[float], str]) -> Html:
        groups = {"with a profit": ("gain", values[won]), "without": ("loss", values[~won])}
        return svg.histogram(title, groups, show, what="trades")

    def in_r(value: float) -> str:
        return f"{value:,.4g} R"

    return [
        spread("Result", _nets(trades) / _risk(trades), in_r),
        spread("Holding time, bars", trades["bars_held"].to_numpy(float), lambda bars: f"{bars:,.4g}"),
        spread("Worst excursion", trades["worst_r"].to_numpy(), in_r),
        spread("Best excursion", trades["best_r"].to_numpy(), in_r),
    ]


# -- the list of all trades --


def list_section(material: Material) -> Section:
    """Every trade of the sessions on the page: sorted, filtered and saved by the page's script."""
    evaluation = material.held_out.evaluation
    if len(evaluation.trades) == 0:
        return Section("Trade list", _NONE)
    listed = trade_columns(material.held_out, material.sessions)
    remark = "A row leads to its session's candles; a column's name sorts. What is filtered is what is saved."
    left_out = len(evaluation.trades) - len(listed["session"])
    if left_out:
        remark += f" {count_text(left_out, 'trade')} of sessions that are not on this page are in trades.csv alone."
    choices = {
        "side": ("long and short", ["long", "short"]),
        "result": ("any result", ["with a profit", "without"]),
        "exit": ("any exit", listed["reasons"]),
        "market": ("all markets", sorted({session.symbol for session in material.sessions})),
    }
    chosen = [
        f'<select data-filter="{name}" aria-label="{name}"><option value="">{escape(everything)}</option>'
        + "".join(f"<option>{escape(one)}</option>" for one in values)
        + "</select>"
        for name, (everything, values) in choices.items()
        if len(values) > 1
    ]
    body = (
        f'<div class="choose" id="trade-filters">{"".join(chosen)}'
        '<input data-filter="date" type="search" placeholder="date, 2025-03 say" aria-label="date" size="16">'
        '<button id="save-trades" type="button">Save as CSV</button></div>'
        '<p class="quiet" id="trades-found" aria-live="polite"></p>'
        '<div id="trade-table" class="scroll"><table><thead><tr></tr></thead><tbody></tbody></table></div>'
        '<div class="choose" id="trade-pages"><button type="button">previous</button>'
        '<span></span><button type="button">next</button></div>'
    )
    lead = paragraph(Html(f"{badge('Out of sample')} {escape(remark)}"), "quiet")
    return Section("Trade list", join([lead, Html(body)]), data={"trades": pack(listed)})


def trade_columns(judgement: Judgement, sessions: Sequence[SessionChart]) -> dict[str, list[Any]]:
    """The trades of these sessions as columns of small whole numbers, in the order of time.

    session: place among `sessions`; entry, exit: minute of the New York day; side; contracts; from, to: ticks; bars;
    reason: place in `reasons`; net: cents; r, worst, best: hundredths of the initial stop distance.
    """
    found = judgement.evaluation
    place = np.full(len(found.sessions), -1)
    place[[session.row for session in sessions]] = np.arange(len(sessions))
    at = place[np.repeat(np.arange(len(place)), found.sessions["trades"])]
    trades, at = found.trades[at >= 0], at[at >= 0]
    tick = np.array([session.tick_size for session in sessions])[at]
    reasons = sorted(trades["exit_reason"].unique())

    def whole(values: Any) -> list[int]:
        return [int(x) for x in np.rint(np.asarray(values, float))]

    def minute(times: pd.Series) -> list[int]:
        return whole(times.dt.hour * 60 + times.dt.minute)

    return {
        "session": whole(at),
        "entry": minute(trades["entry_time"]),
        "exit": minute(trades["exit_time"]),
        "side": whole(trades["side"]),
        "contracts": whole(trades["contracts"]),
        "from": whole(trades["entry_price"] / tick),
        "to": whole(trades["exit_price"] / tick),
        "bars": whole(trades["bars_held"]),
        "reason": [reasons.index(reason) for reason in trades["exit_reason"]],
        "net": whole(100 * trades["net_usd"]),
        "r": whole(100 * _nets(trades) / _risk(trades)),
        "worst": whole(100 * trades["worst_r"]),
        "best": whole(100 * trades["best_r"]),
        "reasons": [str(reason) for reason in reasons],
    }
