"""Charts that need no library: bars and histograms as SVG in the colours of the page, a tooltip on every bar."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from trading_gymnax.report.page import Html, escape, join

_WIDTH, _HEIGHT = 440, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 74, 10, 10, 36
_LETTER = 6.6  # width of a letter in the axes' size
_BINS = 30


class Bars(NamedTuple):
    """The bars of one kind, one above each name."""

    kind: str  # in the legend
    style: str  # class of the page's style: "long", "gain" and so on; "signed" for gains and losses by their sign
    values: Sequence[float]
    tips: Sequence[str]  # shown while the pointer rests on a bar


class _Scale(NamedTuple):
    """From values to the picture's units."""

    low: float
    high: float
    start: float  # where `low` lies
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... and their tenths that divides a span into at most so many steps."""
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * most >= span * (1 - 1e-9))


def bar_chart(
    title: str,
    names: Sequence[str],
    bars: Sequence[Bars],
    show: Callable[[float], str],
    errors: Sequence[float] | None = None,
) -> Html:
    """Bars over names; those of several kinds, all 0 or more, stand on one another.

    Args:
        title: what stands above, and what a screen reader says.
        names: below the bars, [N]; where they are too many some are left out.
        bars: values [N] of each kind.
        show: a value as text of the upright axis.
        errors: half lengths of error bars [N] on the first kind; NaN for none.
    """
    tops = np.sum([one.values for one in bars], axis=0)
    reach = np.nan_to_num(np.asarray(errors if errors is not None else np.zeros(len(tops))))
    upright = _upright(float((tops - reach).min(initial=0)), float((tops + reach).max(initial=0)))
    place = (_WIDTH - _LEFT - _RIGHT) / max(len(names), 1)
    marks, ground = [], np.zeros(len(names))
    for one in bars:
        for at, (value, tip) in enumerate(zip(one.values, one.tips, strict=True)):
            style = one.style if one.style != "signed" else "gain" if value > 0 else "loss"
            x = _LEFT + place * (at + 0.12)
            marks.append(_bar(x, place * 0.76, upright(ground[at]), upright(ground[at] + value), style, tip))
        ground = ground + np.asarray(one.values, float)
    if errors is not None:
        marks += [
            _error(_LEFT + place * (i + 0.5), upright(y - e), upright(y + e)) for i, (y, e) in _known(tops, errors)
        ]
    return _plot(title, bars, [*_grid(upright, show), *marks, *_names(names, place)])


def histogram(
    title: str,
    groups: Mapping[str, tuple[str, np.ndarray]],
    show: Callable[[float], str],
    *,
    what: str,
    mark: tuple[str, float] | None = None,
) -> Html:
    """How often values occur; those of several groups stand on one another.

    Args:
        title: what stands above, and what a screen reader says.
        groups: by its name in the legend the style and the values [n] of each, all finite, one value at least.
        show: a value as text.
        what: what is counted, "trades" say.
        mark: text and value of a line through the chart.
    """
    everything = np.concatenate([values for _, values in groups.values()])
    ends = [float(everything.min()), float(everything.max())] + ([mark[1]] if mark else [])
    step = nice_step(max(ends) - min(ends) or max(1.0, abs(ends[0])), _BINS)
    first = math.floor(min(ends) / step + 1e-9)
    edges = np.arange(first, max(math.floor(max(ends) / step + 1e-9), first) + 2) * step
    counts = {name: np.histogram(values + 1e-9 * step, edges)[0] for name, (_, values) in groups.items()}
    across = _Scale(edges[0], edges[-1], _LEFT, _WIDTH - _RIGHT)
    upright = _upright(0, float(sum(counts.values(), np.zeros(len(edges) - 1)).max()))
    marks, ground = [], np.zeros(len(edges) - 1)
    for name, count in counts.items():
        for at in np.flatnonzero(count):
            x, end = across(edges[at]), across(edges[at + 1])
            tip = f"{show(edges[at])} to {show(edges[at + 1])}: {count[at]:,} {what}, {name}"
            low, high = upright(ground[at]), upright(ground[at] + count[at])
            marks.append(_bar(x + 0.5, end - x - 1, low, high, groups[name][0], tip))
        ground = ground + count
    shown = [Bars(name, style, [], []) for name, (style, _) in groups.items()]
    if mark:
        x = across(mark[1])
        line = f'<path class="mark" d="M{x:.1f} {_TOP}V{_HEIGHT - _BOTTOM}"><title>{escape(mark[0])}</title></path>'
        marks, shown = [*marks, Html(line)], [*shown, Bars(mark[0], "mark", [], [])]
    ticks = _ticks(across, 6)
    labels = [_text(across(x), _HEIGHT - _BOTTOM + 15, show(x), "middle") for x in ticks]
    return _plot(title, shown, [*_grid(upright, lambda count: f"{count:,.0f}", whole=True), *marks, *labels])


def _upright(low: float, high: float) -> _Scale:
    if high == low:
        high = low + 1
    room = 0.04 * (high - low)
    return _Scale(low - room if low < 0 else 0, high + room, _HEIGHT - _BOTTOM, _TOP)


def _ticks(scale: _Scale, most: int, *, whole: bool = False) -> np.ndarray:
    """Round values inside a scale."""
    step = nice_step(scale.high - scale.low, most)
    step = max(step, 1.0) if whole else step
    return step * np.arange(math.ceil(scale.low / step - 1e-9), math.floor(scale.high / step + 1e-9) + 1)


def _grid(upright: _Scale, show: Callable[[float], str], *, whole: bool = False) -> list[Html]:
    made = []
    for value in _ticks(upright, 5, whole=whole):
        y, style = upright(value), "zero" if value == 0 else "grid"
        made.append(Html(f'<path class="{style}" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'))
        made.append(_text(_LEFT - 6, y + 4, show(float(value)), "end"))
    return made


def _names(names: Sequence[str], place: float) -> list[Html]:
    """Names below their bars, words in lines; every second, third and so on where they would touch."""
    words = [name.split(" ") for name in names]
    longest = max((len(word) for parts in words for word in parts), default=1)
    every = max(1, math.ceil((longest * _LETTER + 6) / place)) if len(names) > 8 else 1
    return [
        _text(_LEFT + place * (at + 0.5), _HEIGHT - _BOTTOM + 15 + 13 * line, word, "middle")
        for at in range(0, len(names), every)
        for line, word in enumerate(words[at][:2])
    ]


def _bar(x: float, width: float, low: float, high: float, style: str, tip: str) -> Html:
    top, height = min(low, high), abs(low - high)
    place = f'x="{x:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return Html(f'<rect class="{style}" {place}><title>{escape(tip)}</title></rect>')


def _known(tops: np.ndarray, errors: Sequence[float]) -> list[tuple[int, tuple[float, float]]]:
    return [(i, (float(y), float(e))) for i, (y, e) in enumerate(zip(tops, errors, strict=True)) if math.isfinite(e)]


def _error(x: float, low: float, high: float) -> Html:
    return Html(
        f'<path class="error" d="M{x:.1f} {low:.1f}V{high:.1f}M{x - 5:.1f} {low:.1f}h10M{x - 5:.1f} {high:.1f}h10"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> Html:
    return Html(f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>')


def _plot(title: str, bars: Sequence[Bars], marks: Sequence[Html]) -> Html:
    keys = [f'<span class="key {one.style}">{escape(one.kind)}</span>' for one in bars if one.style != "signed"]
    caption = join([Html(f"<strong>{escape(title)}</strong>"), *map(Html, keys)], " ")
    view = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}"'
    return Html(f'<figure class="plot"><figcaption>{caption}</figcaption><svg {view}>{join(marks, "")}</svg></figure>')
