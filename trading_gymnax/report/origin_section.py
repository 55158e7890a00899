"""Where the profit comes from, as a section of the report."""

from __future__ import annotations

import math

import pandas as pd

from trading_gymnax.evaluation import origin
from trading_gymnax.report import svg
from trading_gymnax.report.judge import Judgement
from trading_gymnax.report.material import Material, badge
from trading_gymnax.report.page import Html, Section, escape, join, paragraph, table
from trading_gymnax.text import usd

_TITLE = "Where does the profit come from?"


def origin_section(material: Material) -> Section:
    """Net by hour, weekday, month, side, exit, volatility and trend; without the best trades; under other costs."""
    label, judgement = material.judgements[0]
    tables = origin.origins(judgement.evaluation, material.split.test_params.market)
    if not tables:
        return Section(_TITLE, paragraph("The policy never traded.", "quiet"))
    parts: list[object] = [paragraph(Html(f"{badge(label)} {escape(_summary(judgement))}"))]
    plots = [_plot(title, rows) for title, rows in tables.items()]
    parts.append(Html(f'<div class="plots">{join(plots)}</div>'))
    if judgement.robustness is not None:
        parts += _costs(origin.cost_grid(judgement.robustness))
    return Section(_TITLE, join(parts))


def _summary(judgement: Judgement) -> str:
    trades = judgement.evaluation.trades
    rest = origin.without_best(trades)
    text = (
        f"All {len(trades):,} trades net {usd(float(trades['net_usd'].sum()))}; without the best {origin.BEST_TRADES} "
        f"of them {usd(rest)}."
    )
    before_costs = origin.break_even_usd(trades)
    if before_costs > 0:
        text += f" A round trip may cost {usd(before_costs, cents=True)} before nothing is left, at these fills."
    else:
        text += f" It makes {usd(before_costs, cents=True)} a trade before any cost: no saving on costs would help it."
    ticks = math.nan if judgement.robustness is None else origin.break_even_ticks(judgement.robustness)
    return text if math.isnan(ticks) else f"{text} The net falls through zero at {ticks:.1f} ticks of slippage."


def _costs(grid: pd.DataFrame) -> list[object]:
    """Net by slippage and commission; gains and losses in the colours of the tiles."""
    head = ["slippage", *(f"commission x {factor:g}" for factor in grid)]
    rows = []
    for ticks, nets in grid.iterrows():
        cells = [Html(f'<span class="{"gain" if net > 0 else "loss"}">{escape(usd(net))}</span>') for net in nets]
        rows.append([f"{ticks} {'tick' if ticks == 1 else 'ticks'}", *cells])
    remark = "Each slippage was walked again, so entries may differ; the commission is added or taken away."
    return [Html("<h3>Under other costs</h3>"), paragraph(remark, "quiet"), table(head, rows)]


def _plot(title: str, rows: pd.DataFrame) -> Html:
    """Net of each name as a bar; trades and share of winners while the pointer rests on it."""
    names = [str(name).replace("_", " ").lower() if str(name).isupper() else str(name) for name in rows.index]
    tips = [
        f"{name}: {usd(row.net_usd)}, {row.trades:,} trades, {100 * row.win_rate:.0f} % with a profit, "
        f"{usd(row.mean_usd, cents=True)} a trade"
        for name, row in zip(names, rows.itertuples(), strict=True)
    ]
    bars = svg.Bars("net", "signed", list(rows["net_usd"]), tips)
    return svg.bar_chart(f"Net by {title}", names, [bars], lambda value: usd(value, sign=False))
