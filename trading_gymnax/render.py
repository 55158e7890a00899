"""A picture of the last bars with position, stop and target: gymnax's visual hook, and what charts share."""

from __future__ import annotations

import dataclasses
import decimal
from typing import Any

import jax
import numpy as np

from trading_gymnax.data.sessions import new_york_minutes
from trading_gymnax.extras import MissingExtra as MissingExtra  # which `new_picture` raises
from trading_gymnax.market import CLOSE, HIGH, LOW, OPEN
from trading_gymnax.text import usd

RISING, FALLING = "#2f7f79", "#b4533c"
ENTRY, STOP, TARGET, INK, GRID = "#33518f", "#c0182b", "#1d8a34", "#2b2f36", "#e3e5e8"
SHORT, QUIET, PAPER = "#8a4f9e", "#7d848e", "white"
SIDE_NAMES = {1: "long", -1: "short", 0: "flat"}

_SIZE_INCHES, _DPI = (8.0, 4.5), 100


@dataclasses.dataclass(frozen=True, eq=False)
class Snapshot:
    """What a picture of a state shows. Points, dollars, New York time; levels are 0 when flat."""

    symbol: str
    bars: np.ndarray  # open, high, low, close: points, float64 [N, 4], the decision bar last
    time: np.ndarray  # New York wall clock of the closes, datetime64[m] [N]
    side: int
    contracts: int
    entry: float
    stop: float
    target: float
    entered_at: int  # row of the first bar that the position lived through; negative where it lies before the bars
    decimals: int  # of a price
    open_profit_usd: float  # at the last close, before the costs of getting out
    equity_usd: float


def snapshot(state: Any, params: Any, window: int) -> Snapshot:
    """The last `window` bars up to the state's decision bar, and the position.

    Raises ValueError for a batch of states: take one of them, `jax.tree.map(lambda x: x[0], state)` say.
    """
    if np.ndim(state.step_idx) != 0:
        raise ValueError("render shows one state, not a batch: jax.tree.map(lambda x: x[0], state) takes the first")
    market, m, last = params.market, int(state.market_id), int(state.step_idx)
    tick, first = market.specs[m].tick_size, max(0, last - window + 1)
    rows = np.asarray(jax.device_get(market.bars[m, first : last + 1]))
    minutes = np.asarray(market.close_minute[m, first : last + 1]).astype(np.int64)
    side, contracts, entry = int(state.position), int(state.contracts), int(state.entry_price)
    open_ticks = side * (int(rows[-1, CLOSE]) - entry)
    return Snapshot(
        symbol=market.symbols[m],
        bars=rows[:, [OPEN, HIGH, LOW, CLOSE]] * tick,
        time=new_york_minutes(minutes).astype("datetime64[m]"),
        side=side,
        contracts=contracts,
        entry=entry * tick,
        stop=int(state.sl_price) * tick,
        target=int(state.tp_price) * tick,
        entered_at=int(state.position_entry_step) - first,
        decimals=price_decimals(tick),
        open_profit_usd=open_ticks * contracts * int(market.tick_cents[m]) / 100,
        equity_usd=int(state.equity) / 100,
    )


def render(state: Any, params: Any, window: int = 20) -> np.ndarray:
    """The last `window` bars of a state as a picture: candles, and entry, stop and target of the open position.

    Returns an RGB array, uint8 [450, 800, 3]. Raises ValueError for a batch of states, `MissingExtra` where
    matplotlib is not installed. Works on concrete states only, not under jit.
    """
    shown = snapshot(state, params, window)
    picture = new_picture(*_SIZE_INCHES)
    axes = picture.subplots()
    draw_candles(axes, shown.bars)
    if shown.side:
        _draw_position(axes, shown)
    label_times(axes, shown.time)
    axes.set_xlim(-0.8, len(shown.bars) - 0.2)
    axes.set_ylabel("price, points")
    axes.set_xlabel(f"New York time of the bar's close, {shown.time[-1].astype('datetime64[D]')}")
    axes.set_title(_title(shown), loc="left", fontsize=10, parse_math=False)
    picture.canvas.draw()
    return np.asarray(picture.canvas.buffer_rgba())[..., :3].copy()


def new_picture(width: float, height: float) -> Any:
    """A matplotlib figure on the Agg canvas, without pyplot's global state; size in inches."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtra("matplotlib") from error
    picture = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(picture)
    return picture


def draw_candles(axes: Any, bars: np.ndarray) -> None:
    """Candles of open, high, low, close [N, 4] at x = 0, 1, ..."""
    at = np.arange(len(bars))
    opening, high, low, close = bars.T
    color = np.where(close >= opening, RISING, FALLING)
    axes.vlines(at, low, high, colors=color, linewidth=1.0)
    thin = 0.02 * max(float(np.median(high - low)), 1e-9)  # a bar that closes where it opened stays visible
    axes.bar(at, np.maximum(np.abs(close - opening), thin), 0.7, np.minimum(opening, close), color=color)
    calm(axes)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")


def calm(axes: Any) -> None:
    """Light grid, no frame."""
    axes.grid(True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def label_times(axes: Any, time: np.ndarray, count: int = 7) -> None:
    """Clock times below bars at x = 0, 1, ..., whole hours where there are some; time: datetime64[m] [N]."""
    hours = np.flatnonzero(time.astype("datetime64[m]").astype(np.int64) % 60 == 0)
    if len(hours) >= 4:
        at = hours[:: -(-len(hours) // (2 * count))]
    else:
        at = np.unique(np.linspace(0, len(time) - 1, count).round().astype(int))
    axes.set_xticks(at, [str(moment)[-5:] for moment in time[at].astype("datetime64[m]")])


def _draw_position(axes: Any, shown: Snapshot) -> None:
    last = len(shown.bars) - 1
    start = max(shown.entered_at - 0.5, -0.8)
    levels = (("entry", shown.entry, ENTRY), ("stop", shown.stop, STOP), ("target", shown.target, TARGET))
    for name, price, color in levels:
        style = "-" if name == "entry" else "--"
        axes.plot([start, last + 0.5], [price, price], style, color=color, linewidth=1.6)
    low, high = axes.get_ylim()
    room = 0.08 * (high - low)  # two lines of text: a stop at break-even must not cover the entry's label
    for name, price, color in levels:
        away = 1 if (name == "target") == (shown.side > 0) else -1
        at = price if name == "entry" else away * max(away * price, away * shown.entry + room)
        text = f"{name}\n{price:,.{shown.decimals}f}"
        axes.text(last + 0.9, at, text, color=color, fontsize=9, va="center", clip_on=False)
    if shown.entered_at >= 0:
        marker = "^" if shown.side > 0 else "v"
        axes.plot([shown.entered_at], [shown.entry], marker, color=ENTRY, markersize=10, markeredgecolor="white")


def _title(shown: Snapshot) -> str:
    position = SIDE_NAMES[shown.side]
    if shown.side:
        position += f" {shown.contracts} from {shown.entry:,.{shown.decimals}f}"
        position += f", open profit {usd(shown.open_profit_usd, cents=True)}"
    return f"{shown.symbol}: {position}; equity {usd(shown.equity_usd, sign=False, cents=True)}"


def price_decimals(tick_size: float) -> int:
    """Digits behind the point of a price: 2 for a tick of 0.25."""
    return max(0, -int(decimal.Decimal(str(float(tick_size))).normalize().as_tuple().exponent))
