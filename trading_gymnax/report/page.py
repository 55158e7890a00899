"""The HTML of a report: escaping, tables, and the one page that carries script, style and data within itself."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
import pathlib
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from trading_gymnax.render import (
    ENTRY,
    FALLING,
    GRID,
    INK,
    PAPER,
    QUIET,
    RISING,
    SHORT,
    STOP,
    TARGET,
    MissingExtra,
)

# The page asks the browser to load nothing from anywhere; without this a fault of a library could.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"

# Colours of charts on a light page, and what stands for them on a dark one.
DARK = {
    INK: "#d5dae1",
    GRID: "#333942",
    ENTRY: "#86a5ee",
    SHORT: "#c993dc",
    RISING: "#4cb0a8",
    FALLING: "#dd8066",
    STOP: "#ff7b72",
    TARGET: "#56c271",
    PAPER: "#15181d",
    QUIET: "#8b939e",
}


class Html(str):
    """Text that is HTML already; everything else is escaped where it enters a page."""

    __slots__ = ()


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page. `body` is HTML: values from outside go into it through `escape`, `table` or `paragraph`."""

    title: str
    body: Html
    charts: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    """Plotly charts ({"data": ..., "layout": ...}) by the id of the element in `body` that shows them."""
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Further values for the page's script."""


def escape(value: object) -> Html:
    """A value as HTML text, safe in elements and in quoted attributes; `Html` passes as it is."""
    return value if isinstance(value, Html) else Html(html.escape(str(value), quote=True))


def join(parts: Sequence[object], between: str = "\n") -> Html:
    """Parts, escaped unless HTML, one after another."""
    return Html(between.join(escape(part) for part in parts))


def paragraph(text: object, style: str = "") -> Html:
    """A paragraph, with a class where `style` names one."""
    return Html(f'<p class="{escape(style)}">{escape(text)}</p>' if style else f"<p>{escape(text)}</p>")


def chart(element: str, height: str, title: str) -> Html:
    """The place of a chart; height: "tall", "middle" or "low"; title: what a screen reader says."""
    return Html(f'<div class="chart {height}" id="{escape(element)}" role="img" aria-label="{escape(title)}"></div>')


def table(head: Sequence[object], rows: Sequence[Sequence[object]], numbers_from: int = 1, strong: int = -1) -> Html:
    """A table; columns from `numbers_from` on are aligned as numbers, row `strong` stands out."""

    def cells(values: Sequence[object], tag: str) -> str:
        made = []
        for at, value in enumerate(values):
            name = "th" if tag == "th" or at == 0 else "td"
            number = ' class="number"' if at >= numbers_from else ""
            made.append(f"<{name}{number}>{escape(value)}</{name}>")
        return "".join(made)

    top = f"<thead><tr>{cells(head, 'th')}</tr></thead>" if head else ""
    lines = [f"<tr{' class=self' if at == strong else ''}>{cells(row, 'td')}</tr>" for at, row in enumerate(rows)]
    return Html(f'<div class="scroll"><table>{top}<tbody>{"".join(lines)}</tbody></table></div>')


def embed(value: Any) -> str:
    """JSON for a script element: no `<` in it, so that no text can end the element or open another.

    Raises ValueError for a number that JSON has not (NaN, infinite).
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def pack(value: Any) -> str:
    """JSON, deflated, as base64: what the page's script opens when a reader asks for it, and not before."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode()


def anchor(title: str) -> str:
    """The name by which an address leads to a section: "Under other fills" -> "under-other-fills"."""
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def write_page(path: pathlib.Path, title: str, head: Html, sections: Sequence[Section], footer: Html) -> None:
    """Write the page, whole or not at all. Raises `MissingExtra` where plotly is not installed."""
    charts = {name: chart for section in sections for name, chart in section.charts.items()}
    data: dict[str, Any] = {"charts": charts, "dark": DARK}
    for section in sections:
        data |= section.data
    here = pathlib.Path(__file__)
    style, script, trades = (here.with_name(name).read_text("utf-8") for name in ("page.css", "page.js", "trades.js"))
    body = "\n".join(
        f'<section id="{anchor(s.title)}">\n<h2>{escape(s.title)}</h2>\n{s.body}\n</section>' for s in sections
    )
    links = "".join(f'<a href="#{anchor(s.title)}">{escape(s.title)}</a>' for s in sections)
    page = f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<nav id="contents" aria-label="Contents">{links}</nav>
<main>
{head}
<noscript>
<p class="notice">Equity, candles and the trade list need JavaScript; the pictures beside this page need none.</p>
</noscript>
{body}
<footer>{footer}</footer>
</main>
<script type="application/json" id="page-data">{embed(data)}</script>
<script id="plotly">{plotly_script()}</script>
<script>
{script}</script>
<script>
{trades}</script>
</body>
</html>
"""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_text(page, "utf-8")
    partial.replace(path)


def plotly_script() -> str:
    """The plotly library as JavaScript, from the installed package. Raises `MissingExtra` without it."""
    try:
        from plotly.offline import get_plotlyjs
    except ModuleNotFoundError as error:
        raise MissingExtra("plotly") from error
    return str(get_plotlyjs())
