"""The charts of a report's page, as plotly charts in plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.evaluation.robustness import Robustness
from trading_gymnax.render import ENTRY, FALLING, GRID, INK, RISING, STOP, TARGET
from trading_gymnax.report.series import DayProfile, EquityPath
from trading_gymnax.text import usd

SHORT = "#8a4f9e"
COLORS = {"rising": RISING, "falling": FALLING, "entry": ENTRY, "short": SHORT, "stop": STOP, "target": TARGET}
ACTION_COLORS = {
    "BUY": ENTRY,
    "SELL": SHORT,
    "MOVE_SL_TO_BE": "#c98a1b",
    "ENABLE_TRAIL": "#4f9aa8",
    "DISABLE_TRAIL": "#9aa1ab",
}
DOLLARS = "$,.0f"


def layout(**changes: Any) -> dict[str, Any]:
    """What all charts share: a legend on top, room for labels, light grids."""
    base: dict[str, Any] = {
        "margin": {"l": 60, "r": 12, "t": 34, "b": 44},
        "font": {
            "family": "system-ui, -apple-system, Segoe UI, Roboto, Helvetica Neue, Arial",
            "color": INK,
            "size": 12,
        },
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.01,
            "yanchor": "bottom",
            "bgcolor": "rgba(0,0,0,0)",
            "traceorder": "normal",
        },
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "dragmode": "zoom",
    }
    return base | changes


def axis(title: str = "", **changes: Any) -> dict[str, Any]:
    """An axis with a title and a light grid."""
    base: dict[str, Any] = {"title": {"text": title, "standoff": 12}, "gridcolor": GRID, "zeroline": False}
    base |= {"automargin": True, "ticks": "outside", "ticklen": 4, "tickcolor": "white"}
    return base | changes


def session_layout() -> dict[str, Any]:
    """Layout of the candles of one session."""
    clock = axis("New York time of the bar's close", type="date", tickformat="%H:%M", rangeslider={"visible": False})
    return layout(xaxis=clock | {"hoverformat": "%Y-%m-%d %H:%M"}, yaxis=axis("price, points"))


def equity_chart(path: EquityPath) -> dict[str, Any]:
    """Chained equity with the floor, and the drawdown below it."""
    at, time = path.at.round(4).tolist(), list(path.time)
    shared: dict[str, Any] = {"type": "scatter", "mode": "lines", "x": at, "customdata": time}
    traces = [
        shared
        | {"name": "equity", "y": _cents(path.equity_usd), "line": {"color": ENTRY, "width": 1.7}}
        | {"hovertemplate": "%{customdata}<br>equity %{y:$,.2f}<extra></extra>"}
    ]
    if np.isfinite(path.floor_usd).any():
        traces.append(
            shared
            | {"name": "floor of the account", "y": _cents(path.floor_usd)}
            | {"line": {"color": STOP, "width": 1.1, "dash": "dot"}}
            | {"hovertemplate": "%{customdata}<br>floor %{y:$,.2f}<extra></extra>"}
        )
    traces.append(
        shared
        | {"name": "drawdown", "y": _cents(path.drawdown_usd), "yaxis": "y2", "fill": "tozeroy"}
        | {"line": {"color": FALLING, "width": 1}, "fillcolor": "rgba(180,83,60,0.22)"}
        | {"hovertemplate": "%{customdata}<br>below the peak %{y:$,.2f}<extra></extra>"}
    )
    marks = tick_sessions(len(path.dates), 8)
    ticks = {"tickvals": [m + 0.5 for m in marks], "ticktext": [path.dates[m] for m in marks]}
    return {
        "data": traces,
        "layout": layout(
            xaxis=axis("session", anchor="y2", showgrid=False, tickangle="auto", **ticks),
            yaxis=axis("equity, dollars", domain=[0.33, 1], tickformat=DOLLARS),
            yaxis2=axis("drawdown", domain=[0, 0.25], tickformat=DOLLARS, nticks=4, rangemode="tozero"),
        ),
    }


def tick_sessions(count: int, most: int) -> list[int]:
    """Sessions out of `count` whose dates stand below an axis, at most `most`, evenly apart."""
    return list(range(0, count, max(1, math.ceil(count / most))))


def daily_chart(results: pd.Series) -> dict[str, Any]:
    """Net dollars of each day, and their mean."""
    values, days = results.to_numpy(), list(results.index)
    mean = float(values.mean())
    bars = {
        "type": "bar",
        "name": "net of the day",
        "showlegend": False,
        "x": days,
        "y": _cents(values),
        "marker": {"color": [RISING if x > 0 else FALLING for x in values], "line": {"width": 0}},
        "hovertemplate": "%{x}<br>net %{y:$,.2f}<extra></extra>",
    }
    line: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "name": f"mean {usd(mean)} a day",
        "x": [days[0], days[-1]],
    }
    line |= {"y": [mean, mean], "line": {"color": INK, "width": 1.2, "dash": "dash"}, "hoverinfo": "skip"}
    marks = tick_sessions(len(days), 8)
    days_axis = axis("session", type="category", showgrid=False, tickvals=[days[m] for m in marks], tickangle="auto")
    profit = axis("net, dollars", tickformat=DOLLARS) | {"zeroline": True, "zerolinecolor": "#8d949d"}
    return {"data": [bars, line], "layout": layout(xaxis=days_axis, yaxis=profit, bargap=0.15)}


def actions_chart(profile: DayProfile) -> dict[str, Any]:
    """Share of each action but HOLD among the steps of each quarter of an hour."""
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": profile.slots,
            "y": _percent(profile.actions[name]),
            "marker": {"color": ACTION_COLORS.get(name, INK)},
            "hovertemplate": f"from %{{x}}<br>{name} %{{y:.2f}} % of the steps<extra></extra>",
        }
        for name in profile.actions.columns
    ]
    return {"data": traces, "layout": _slots_layout(profile, "share of steps, %")}


def exposure_chart(profile: DayProfile) -> dict[str, Any]:
    """Share of the bars of each quarter of an hour spent long and short."""
    traces = [
        {
            "type": "bar",
            "name": name,
            "x": profile.slots,
            "y": _percent(share),
            "marker": {"color": color},
            "hovertemplate": f"from %{{x}}<br>{name} in %{{y:.1f}} % of the bars<extra></extra>",
        }
        for name, share, color in (("long", profile.long, ENTRY), ("short", profile.short, SHORT))
    ]
    return {"data": traces, "layout": _slots_layout(profile, "share of bars, %")}


def _slots_layout(profile: DayProfile, title: str) -> dict[str, Any]:
    marks = tick_sessions(len(profile.slots), 8)
    clock = axis("New York time", type="category", showgrid=False, tickvals=[profile.slots[m] for m in marks])
    return layout(barmode="stack", xaxis=clock, yaxis=axis(title, rangemode="tozero"), bargap=0.12)


def luck_chart(luck_usd: np.ndarray, policy_usd: float) -> dict[str, Any]:
    """Net per session of policies that enter by a coin [N], and the policy's own."""
    bars = {
        "type": "histogram",
        "name": "random entries",
        "x": _cents(luck_usd),
        "nbinsx": 15,
        "marker": {"color": "#b9bfc7", "line": {"color": "white", "width": 1}},
        "hovertemplate": "%{x} dollars a session<br>%{y} of them<extra></extra>",
    }
    ends = min(0.0, policy_usd, float(luck_usd.min())), max(0.0, policy_usd, float(luck_usd.max()))
    room = 0.06 * (ends[1] - ends[0]) or 1.0
    highest = max(3.0, len(luck_usd) / 3)
    own: dict[str, Any] = {"type": "scatter", "mode": "lines", "name": f"the policy, {usd(policy_usd)} a session"}
    own |= {"x": [policy_usd, policy_usd], "y": [0, highest], "line": {"color": ENTRY, "width": 3}}
    own |= {"hovertemplate": "the policy %{x:$,.0f}<extra></extra>"}
    zero: dict[str, Any] = {"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper"}
    zero |= {"line": {"color": "#8d949d", "width": 1, "dash": "dot"}}
    return {
        "data": [bars, own],
        "layout": layout(
            xaxis=axis("net per session, dollars", tickformat=DOLLARS, range=[ends[0] - room, ends[1] + room]),
            yaxis=axis("number of seeds", rangemode="tozero", dtick=max(1, round(highest / 4))),
            shapes=[zero],
        ),
    }


def slippage_chart(found: Robustness) -> dict[str, Any]:
    """Net per session by ticks of slippage, with one standard error either way."""
    made = list(found.slippage.values())
    values = [outcome.net_per_session_usd for outcome in made]
    bars = {
        "type": "bar",
        "name": "net per session, with one standard error either way",
        "showlegend": True,
        "x": [str(ticks) for ticks in found.slippage],
        "y": _cents(values),
        "width": 0.5,
        "marker": {"color": [RISING if x > 0 else FALLING for x in values], "line": {"width": 0}},
        "error_y": {"type": "data", "array": _cents([x.standard_error_usd for x in made]), "color": INK, "width": 6},
        "hovertemplate": "%{x} ticks<br>net %{y:$,.2f} a session<extra></extra>",
    }
    profit = axis("net per session, dollars", tickformat=DOLLARS) | {"zeroline": True, "zerolinecolor": "#8d949d"}
    ticks = axis("slippage of entries, closing orders and stops, ticks", type="category", showgrid=False)
    return {"data": [bars], "layout": layout(xaxis=ticks, yaxis=profit)}


def _cents(values: Sequence[float] | np.ndarray) -> list[float | None]:
    """To the cent, NaN as a gap."""
    return [None if not math.isfinite(x) else round(float(x), 2) for x in values]


def _percent(shares: Any) -> list[float]:
    return [round(100 * float(x), 3) for x in shares]
