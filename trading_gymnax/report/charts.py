"""The charts of a report's page that a reader zooms into, as plotly charts in plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.render import ENTRY, FALLING, GRID, INK, PAPER, QUIET, RISING, SHORT, STOP, TARGET
from trading_gymnax.report.series import EquityPath
from trading_gymnax.text import usd

COLORS = {
    "rising": RISING,
    "falling": FALLING,
    "entry": ENTRY,
    "short": SHORT,
    "stop": STOP,
    "target": TARGET,
    "paper": PAPER,
}
_OTHERS = ("#b07d1c", "#7a6a9b")
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
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1.01,
            "yanchor": "bottom",
            "bgcolor": "rgba(0,0,0,0)",
            "traceorder": "normal",
        },
        "hovermode": "closest",
        "hoverlabel": {"align": "left", "bgcolor": PAPER, "font": {"color": INK}},
        "dragmode": "zoom",
    }
    return base | changes


def axis(title: str = "", **changes: Any) -> dict[str, Any]:
    """An axis with a title and a light grid."""
    base: dict[str, Any] = {"title": {"text": title, "standoff": 12}, "gridcolor": GRID, "zeroline": False}
    base |= {"automargin": True, "ticks": "outside", "ticklen": 4, "tickcolor": PAPER}
    return base | changes


def session_layout() -> dict[str, Any]:
    """Layout of the candles of one session."""
    clock = axis("New York time of the bar's close", type="date", tickformat="%H:%M", rangeslider={"visible": False})
    return layout(xaxis=clock | {"hoverformat": "%Y-%m-%d %H:%M"}, yaxis=axis("price, points"))


def equity_chart(path: EquityPath, others: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Chained equity with the floor, and the drawdown below it.

    others: net of each session [N] of those beside it, two at most, by name; theirs stands at the end of each session.
    """
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
    for (name, nets), color in zip(others.items(), _OTHERS, strict=False):
        ends = path.equity_usd[0] + np.concatenate([[0.0], np.cumsum(nets)])
        traces.append(
            {"type": "scatter", "mode": "lines", "name": name, "x": list(range(len(ends))), "y": _cents(ends)}
            | {"customdata": ["start", *path.dates], "line": {"color": color, "width": 1.3, "dash": "dash"}}
            | {"hovertemplate": f"%{{customdata}}<br>{name} %{{y:$,.2f}}<extra></extra>"}
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
    profit = axis("net, dollars", tickformat=DOLLARS) | {"zeroline": True, "zerolinecolor": QUIET}
    return {"data": [bars, line], "layout": layout(xaxis=days_axis, yaxis=profit, bargap=0.15)}


def _cents(values: Sequence[float] | np.ndarray) -> list[float | None]:
    """To the cent, NaN as a gap."""
    return [None if not math.isfinite(x) else round(float(x), 2) for x in values]
