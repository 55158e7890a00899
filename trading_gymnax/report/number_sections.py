"""The sections of a report that hold numbers: all of them, the baselines, other fills, doubtful bars."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from trading_gymnax.evaluation.per_market import by_market
from trading_gymnax.evaluation.robustness import Robustness
from trading_gymnax.evaluation.summary import DOUBTFUL_SHARE, UNDECIDABLE
from trading_gymnax.report import charts
from trading_gymnax.report.judge import CROSS, LONG, POLICY, POLICY_SAMPLED, RANDOM_ENTRIES, Judgement
from trading_gymnax.report.key_statistics import GROUPS, NOTES
from trading_gymnax.report.material import Material, badge
from trading_gymnax.report.page import Html, Section, chart, escape, join, paragraph, table
from trading_gymnax.report.series import session_dates
from trading_gymnax.text import interval, percent, ratio, shares, usd


def statistics_section(material: Material) -> Section:
    """All statistics of the policy, in sample and out of sample side by side."""
    columns = [(label, judgement, name) for label, judgement in material.judgements for name in _ROWS]
    head = ["", *(Html(f"{badge(label)}<br>{_ROWS[name]}") for label, _, name in columns)]
    dates = [session_dates(judgement.evaluation) for _, judgement, _ in columns]
    rows: list[list[object]] = [["first session", *(x[0] for x in dates)], ["last session", *(x[-1] for x in dates)]]
    for subject, group in GROUPS:
        rows.append([Html(f"<strong>{escape(subject)}</strong>"), *[""] * len(columns)])
        rows += [
            [statistic.name, *(statistic.show(judgement.rows[name]) for _, judgement, name in columns)]
            for statistic in group
        ]
    remark = paragraph(
        "The policy takes its most probable action, or draws one by its probabilities. It walks every session once, "
        "from the first bar at which an entry is allowed, each on a fresh account.",
        "quiet",
    )
    edges = [paragraph(Html(f"{badge(label)} {escape(_edge(found))}")) for label, found in material.judgements]
    return Section("Key figures", join([remark, table(head, rows), *edges, paragraph(NOTES, "quiet")]))


_ROWS = {POLICY: "most probable", POLICY_SAMPLED: "drawn"}


def _edge(judgement: Judgement) -> str:
    row = judgement.rows[POLICY]
    if math.isnan(row.smallest_edge_usd):
        return f"{row.trades:,} trades are too few to show any edge."
    smallest, own = usd(row.smallest_edge_usd, sign=False), usd(row.expectancy_usd)
    return (
        f"{row.trades:,} trades that spread as these do can show an edge of {smallest} a trade or more (one-sided test "
        f"at 5 %, found four times in five). The policy made {own} a trade."
    )


def baselines_section(material: Material) -> Section:
    """The policy beside those that learnt nothing."""
    judgement = material.held_out
    names = ("trades", "win<br>rate", "net per<br>session", "95 % interval", "net", "Sharpe", "profit<br>factor")
    head = ["", *map(Html, (*names, "largest<br>drawdown", "bars with<br>a position"))]
    rows = [
        [
            name,
            f"{row.trades:,}",
            percent(row.win_rate),
            usd(row.net_per_session_usd),
            interval(row.interval_usd),
            usd(row.net_usd),
            ratio(row.sharpe),
            ratio(row.profit_factor),
            usd(row.max_drawdown_usd, sign=False),
            percent(row.exposure),
        ]
        for name, row in judgement.rows.items()
    ]
    strong = list(judgement.rows).index(POLICY)
    parts: list[object] = [paragraph(badge("Out of sample")), table(head, rows, strong=strong)]
    markets = by_market(judgement.evaluation)
    if len(markets) > 1:
        parts += [Html(f"<h3>{escape(POLICY)}, by market</h3>"), _by_market(markets)]
    if LONG in judgement.rows:
        parts.append(paragraph(_BASELINE_NOTES, "quiet"))
    made: dict[str, Any] = {}
    if len(judgement.luck_usd):
        low, high = usd(float(judgement.luck_usd.min())), usd(float(judgement.luck_usd.max()))
        parts += [
            Html("<h3>Luck</h3>"),
            paragraph(
                f"{len(judgement.luck_usd)} policies that enter as often as this one, long or short by a coin, make "
                f"{low} to {high} a session, {usd(float(judgement.luck_usd.mean()))} on average. The policy is better "
                f"than {percent(judgement.percentile, 0)} of them."
            ),
            chart("luck", "low", "Distribution of random entries and the policy"),
        ]
        made["luck"] = charts.luck_chart(judgement.luck_usd, judgement.rows[POLICY].net_per_session_usd)
    return Section("Beside policies that learnt nothing", join(parts), made)


def _by_market(markets: pd.DataFrame) -> Html:
    head = ["", "sessions", "trades", "win rate", "net per session", "standard error", "net"]
    rows = [
        [
            name,
            f"{row['sessions']:,.0f}",
            f"{row['trades']:,.0f}",
            percent(row["win_rate"]),
            usd(row["net_per_session_usd"]),
            usd(row["standard_error_usd"], sign=False),
            usd(row["net_usd"]),
        ]
        for name, row in markets.iterrows()
    ]
    return table(head, rows)


_BASELINE_NOTES = (
    f"{RANDOM_ENTRIES.capitalize()}: one of the seeds below. {LONG.capitalize()}: in at the first bar that allows it, "
    "stop and target out of reach, the same costs and account rules. "
    f"{CROSS.capitalize()}: enters where the mean of the last 20 closes crosses that of the last 50, in the "
    "direction of the cross, with the policy's stops and targets."
)


def fills_section(material: Material) -> Section:
    """The policy under more and less slippage."""
    label, judgement = material.judgements[0]
    if judgement.robustness is None:
        return Section("Under other fills", paragraph("The policy was not walked under other fills.", "quiet"))
    found = judgement.robustness
    rows = [
        [
            _ticks(ticks),
            usd(made.net_usd),
            usd(made.net_per_session_usd),
            usd(made.standard_error_usd, sign=False),
            f"{made.trades:,}",
        ]
        for ticks, made in found.slippage.items()
    ]
    text = (
        "The policy walked again with entries, closing orders and stops filled worse by so many ticks. Commissions "
        "stay. As fills move, so may later entries: a little more slippage can by chance come out ahead."
    )
    body = join(
        [
            paragraph(Html(f"{badge(label)} {escape(text)}"), "quiet"),
            chart("slippage", "low", "Net per session by ticks of slippage"),
            table(["slippage", "net", "net per session", "standard error", "trades"], rows),
        ]
    )
    return Section("Under other fills", body, {"slippage": charts.slippage_chart(found)})


def _ticks(ticks: int) -> str:
    return f"{ticks} tick" if ticks == 1 else f"{ticks} ticks"


def doubt_section(material: Material) -> Section:
    """Bars that hold stop and target, of which the bar cannot say which came first."""
    lines: list[object] = []
    for label, judgement in material.judgements:
        bars, row = int(judgement.evaluation.sessions["ambiguous_bars"].sum()), judgement.rows[POLICY]
        text = (
            f"{bars:,} of {row.trades:,} trades ({percent(row.ambiguous_trade_share, 2)}) met a bar that reached both"
        )
        text += " stop and target."
        if row.undecidable:
            text += f" Above {percent(DOUBTFUL_SHARE, 0)} the result is {UNDECIDABLE}: use shorter ones."
        lines.append(paragraph(Html(f"{badge(label)} {escape(text)}")))
        if judgement.robustness is not None:
            lines.append(_answers(judgement.robustness))
    first = "the stop" if bool(material.split.test_params.stop_first) else "the target"
    lines.append(paragraph(f"Such a bar does not say which came first; everywhere else here {first} did.", "quiet"))
    return Section("Doubtful bars", join(lines))


def _answers(found: Robustness) -> Html:
    rows = [
        [name, usd(made.net_usd), usd(made.net_per_session_usd), f"{made.trades:,}"]
        for name, made in (("the stop came first", found.stop_first), ("the target came first", found.target_first))
    ]
    return table(["in such a bar", "net", "net per session", "trades"], rows)


def legal_shares(judgement: Judgement) -> str:
    """Shares of the actions among all steps and among those at which each was legal, a sentence."""
    row = judgement.rows[POLICY]
    return f"Of all steps: {shares(row.action_shares)}. Where legal: {shares(row.action_shares_when_legal)}."
