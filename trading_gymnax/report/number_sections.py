"""The sections of a report that hold numbers: all of them, the baselines, other fills, doubtful bars."""

from __future__ import annotations

import math

import pandas as pd

from trading_gymnax.evaluation.per_market import by_market
from trading_gymnax.evaluation.robustness import Robustness
from trading_gymnax.evaluation.summary import DOUBTFUL_SHARE, UNDECIDABLE
from trading_gymnax.report import svg
from trading_gymnax.report.judge import CROSS, LONG, POLICY, POLICY_SAMPLED, RANDOM_ENTRIES, Judgement
from trading_gymnax.report.key_statistics import GROUPS, NOTES
from trading_gymnax.report.material import Material, badge
from trading_gymnax.report.page import Html, Section, escape, join, paragraph, table
from trading_gymnax.report.series import session_dates
from trading_gymnax.text import annual, interval, percent, ratio, shares, usd


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
            annual(row.sharpe, row.ratio_doubt()),
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
    if len(judgement.luck_usd):
        parts += [Html("<h3>Luck</h3>"), paragraph(_luck(judgement)), _luck_plot(judgement)]
    return Section("Beside policies that learnt nothing", join(parts))


def _luck(judgement: Judgement) -> str:
    low, high = usd(float(judgement.luck_usd.min())), usd(float(judgement.luck_usd.max()))
    return (
        f"{len(judgement.luck_usd)} policies that enter as often as this one, long or short by a coin, make {low} to "
        f"{high} a session, {usd(float(judgement.luck_usd.mean()))} on average with a spread of "
        f"{usd(judgement.luck_spread_usd, sign=False)} between them. The policy is better than "
        f"{percent(judgement.percentile, 0)} of them."
    )


def _luck_plot(judgement: Judgement) -> Html:
    """Net per session of policies that enter by a coin, and the policy's own."""
    own = judgement.rows[POLICY].net_per_session_usd
    coins = {"random entries": ("other", judgement.luck_usd)}
    mark = (f"the policy, {usd(own)}", own)
    plot = svg.histogram("Net per session", coins, lambda value: usd(value, sign=False), what="seeds", mark=mark)
    return Html(f'<div class="plots">{plot}</div>')


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
    f"{RANDOM_ENTRIES.capitalize()}: means over the seeds below, and the range of 95 % of them. "
    f"{LONG.capitalize()}: in at the first bar that allows it, stop and target out of reach, the same costs and "
    "account rules. "
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
            _slippage_plot(found),
            table(["slippage", "net", "net per session", "standard error", "trades"], rows),
        ]
    )
    return Section("Under other fills", body)


def _slippage_plot(found: Robustness) -> Html:
    """Net per session by ticks of slippage, with one standard error either way."""
    made = list(found.slippage.values())
    names = [_ticks(ticks) for ticks in found.slippage]
    tips = [
        f"{name}: {usd(x.net_per_session_usd)} a session, standard error {usd(x.standard_error_usd, sign=False)}"
        for name, x in zip(names, made, strict=True)
    ]
    bars = svg.Bars("net per session", "signed", [x.net_per_session_usd for x in made], tips)
    errors = [x.standard_error_usd for x in made]
    plot = svg.bar_chart(
        "Net per session, one standard error either way", names, [bars], lambda value: usd(value, sign=False), errors
    )
    return Html(f'<div class="plots">{plot}</div>')


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
