"""Equity and one session as pictures by matplotlib, for slides, mails and paper; the page has the other charts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trading_gymnax.render import (
    ENTRY,
    FALLING,
    SHORT,
    STOP,
    TARGET,
    calm,
    draw_candles,
    label_times,
    new_picture,
)
from trading_gymnax.report.charts import tick_sessions
from trading_gymnax.report.series import EquityPath
from trading_gymnax.report.session_charts import SessionChart, level_runs
from trading_gymnax.text import count_text, usd

_WIDTH = 10.0  # inches


def equity_picture(paths: Sequence[tuple[str, EquityPath]]) -> Any:
    """Equity, floor and drawdown; a column for each (label, path)."""
    picture = new_picture(_WIDTH, 4.8)
    axes = picture.subplots(2, len(paths), sharex="col", height_ratios=[3, 1], squeeze=False)
    for (label, path), (top, low) in zip(paths, axes.T, strict=True):
        top.plot(path.at, path.equity_usd, color=ENTRY, linewidth=1.4, label="equity")
        if np.isfinite(path.floor_usd).any():
            top.plot(path.at, path.floor_usd, ":", color=STOP, linewidth=1.2, label="floor of the account")
        low.fill_between(path.at, path.drawdown_usd, 0, color=FALLING, alpha=0.35, linewidth=0.6)
        top.set_title(label, loc="left", fontsize=11)
        top.set_ylabel("equity, dollars")
        low.set_ylabel("drawdown, dollars")
        low.set_xlabel("session")
        for panel in (top, low):
            calm(panel)
            dollars(panel)
        marks = tick_sessions(len(path.dates), 4)
        low.set_xticks([m + 0.5 for m in marks], [path.dates[m] for m in marks])
        _legend(top)
    return picture


def session_picture(shown: SessionChart) -> Any:
    """Candles of one session with stops, targets, entries and exits."""
    picture = new_picture(_WIDTH, 5.0)
    axes, tick = picture.subplots(), shown.tick_size
    draw_candles(axes, shown.bars * tick)
    runs = np.array(level_runs(shown.stop, shown.target)).reshape(-1, 4)
    ends = runs[:, 0] - 0.5, runs[:, 0] + runs[:, 1] - 0.5
    for name, level, color in (("stop", runs[:, 2], STOP), ("target", runs[:, 3], TARGET)):
        axes.hlines(level * tick, *ends, colors=color, linewidth=1.1, label=name)
    dots = {"linestyle": "none", "markeredgecolor": "white", "markersize": 8}
    for won, name, marker, color in ((True, "exit with a profit", "o", TARGET), (False, "exit with a loss", "X", STOP)):
        exits = [t for t in shown.trades if (t.net_usd > 0) == won]
        axes.plot([t.exit_row for t in exits], [t.exit * tick for t in exits], marker, color=color, label=name, **dots)
    for side, name, marker, color in ((1, "buy", "^", ENTRY), (-1, "sell short", "v", SHORT)):
        entries = [t for t in shown.trades if t.side == side]
        rows, prices = [t.entry_row for t in entries], [t.entry * tick for t in entries]
        axes.plot(rows, prices, marker, color=color, label=name, **dots)
    label_times(axes, shown.time, 9)
    axes.set_ylabel("price, points")
    axes.set_xlabel("New York time of the bar's close")
    title = f"{shown.symbol} {shown.date}: {count_text(len(shown.trades), 'trade')}, net {usd(shown.net_usd)}"
    axes.set_title(title, loc="left", fontsize=11, pad=26, parse_math=False)
    _legend(axes, columns=6)
    return picture


def dollars(axes: Any) -> None:
    """Dollars with thousands separators on the upright axis."""
    axes.yaxis.set_major_formatter(lambda value, _: usd(value, sign=False))


def _legend(axes: Any, columns: int = 2) -> None:
    """Above the right end of the axes, where no bar can hide it."""
    axes.legend(
        frameon=False,
        fontsize=9,
        ncols=columns,
        loc="lower right",
        bbox_to_anchor=(1, 1),
        borderaxespad=0.2,
        columnspacing=1.2,
        handletextpad=0.5,
    )
