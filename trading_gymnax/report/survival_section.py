"""Account survival as a section of the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from trading_gymnax.render import STOP, TARGET
from trading_gymnax.report import charts
from trading_gymnax.report.material import badge
from trading_gymnax.report.page import Html, Section, chart, escape, join, paragraph, table
from trading_gymnax.survival.estimates import Estimate
from trading_gymnax.survival.replay import BREACHED, PASSED, RUNNING
from trading_gymnax.survival.result import Case, Odds, Survival, days_text
from trading_gymnax.text import usd

_LINES = (("passed", PASSED, TARGET), ("breached", BREACHED, STOP), ("still running", RUNNING, "#7d848e"))
_BAND = "rgba(29,138,52,0.14)"


def survival_section(found: Survival, label: str = "Out of sample") -> Section:
    """The odds of every account for the policy and for the coin, and the probabilities over the sessions.

    label: what the view is to the policy, "Out of sample" or "In sample".
    """
    names = ("passes", "breaches", "still<br>running", "sessions<br>to a pass", "dollars<br>an attempt")
    head = ["", "", *map(Html, (*names, "one after another:<br>passes, breaches, cut"))]
    rows = [row for case in found.cases for row in _rows(case)]
    parts: list[object] = [paragraph(Html(f"{badge(label)} {escape(_what(found))}"), "quiet"), table(head, rows, 2)]
    parts += [paragraph(_over(case)) for case in found.cases]
    charts_of = {}
    for at, case in enumerate(found.cases):
        element = f"survival-{label.lower().replace(' ', '-')}-{at}"
        parts += [
            Html(f"<h3>{escape(case.name)}</h3>"),
            chart(element, "middle", f"Probabilities by session, {case.name}"),
        ]
        charts_of[element] = survival_chart(case)
    parts += [paragraph(note, "quiet") for note in found.notes]
    return Section("Would it pass an evaluation account?", join(parts), charts_of)


def _what(found: Survival) -> str:
    return (
        f"{found.num_sessions} sessions from {found.dates}, played in {found.paths:,} orders of up to {found.horizon}, "
        f"drawn in blocks of {found.block_sessions:g} on average. In brackets 95 % intervals, which hold what so few "
        "sessions leave unknown; behind the sessions to a pass the fastest and slowest 5 %. The coin enters as often "
        "and with the same size, long or short by chance: luck alone passes that share. The last column starts on each "
        "session once and takes those that follow as they came; some attempts are cut because the data ends."
    )


def _rows(case: Case) -> list[list[object]]:
    return [_row(case.name, "policy", case.policy), _row(case.fee_text, "coin", case.coin)]


def _row(name: str, who: str, odds: Odds) -> list[object]:
    shares = [_share(x) for x in (odds.passed, odds.breached, odds.running)]
    low, high = usd(odds.usd.low), usd(odds.usd.high)
    dollars = Html(f"{escape(usd(odds.usd.value))}<br>({escape(low)} to {escape(high)})")
    alone = odds.consecutive
    in_turn = ", ".join(_percent(x) for x in (alone.passed, alone.breached, alone.out_of_data))
    days = days_text(odds.days).replace(" sessions", "").replace(" session", "")
    return [name, who, *shares, days, dollars, in_turn]


def _share(found: Estimate) -> Html:
    return Html(f"{_percent(found.value)}<br>({100 * found.low:.0f} to {100 * found.high:.0f})")


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _over(case: Case) -> str:
    """What the difference to the coin proves."""
    over = case.over_coin
    points = f"{100 * over.value:+.0f} points, {100 * over.low:+.0f} to {100 * over.high:+.0f}"
    if over.low > 0:
        return f"{case.name}: the policy passes more often than the coin ({points})."
    if over.high < 0:
        return f"{case.name}: the policy passes LESS often than the coin ({points})."
    return f"{case.name}: the policy CANNOT BE TOLD FROM THE COIN ({points})."


def survival_chart(case: Case) -> dict[str, Any]:
    """Probabilities after each session: the policy's as lines, the pass with its interval, the coin's dotted."""
    curve = case.policy.curve
    days = list(range(curve.value.shape[1]))
    ends: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": days, "hoverinfo": "skip", "showlegend": False}
    ends |= {"line": {"width": 0}}
    traces: list[dict[str, Any]] = [
        ends | {"y": _points(curve.low[PASSED])},
        ends
        | {"y": _points(curve.high[PASSED]), "fill": "tonexty", "fillcolor": _BAND}
        | {"name": "95 % interval of passed", "showlegend": True},
    ]
    for who, odds, dash in (("policy", case.policy, "solid"), ("coin", case.coin, "dot")):
        for name, outcome, color in _LINES:
            traces.append(
                {"type": "scatter", "mode": "lines", "name": f"{who}: {name}", "x": days}
                | {"y": _points(odds.curve.value[outcome]), "line": {"color": color, "width": 1.8, "dash": dash}}
                | {"hovertemplate": f"after %{{x}} sessions<br>{who}: {name} %{{y:.1f}} %<extra></extra>"}
            )
    share = charts.axis("attempts, %", range=[-2, 102])
    layout = charts.layout(xaxis=charts.axis("sessions since the start"), yaxis=share)
    # Below the chart: so long a legend would run under the buttons above it.
    layout |= {"legend": layout["legend"] | {"y": -0.24, "yanchor": "top"}, "margin": layout["margin"] | {"b": 96}}
    return {"data": traces, "layout": layout}


def _points(shares: np.ndarray) -> list[float]:
    """Shares as percent, to a hundredth."""
    return [round(100 * float(x), 2) for x in shares]
