"""The charts of a report as PNG files, for slides, mails and paper."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.evaluation.robustness import Robustness
from trading_gymnax.render import (
    ENTRY,
    FALLING,
    INK,
    RISING,
    STOP,
    TARGET,
    calm,
    draw_candles,
    label_times,
    new_picture,
)
from trading_gymnax.report.charts import ACTION_COLORS, SHORT, tick_sessions
from trading_gymnax.report.series import DayProfile, EquityPath
from trading_gymnax.report.session_charts import SessionChart, level_runs
from trading_gymnax.text import usd

_WIDTH = 10.0  # inches


def write_pictures(folder: pathlib.Path, pictures: dict[str, Callable[[], Any]]) -> list[pathlib.Path]:
    """Write each picture as `name`.png. Raises `MissingExtra` where matplotlib is not installed."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in pictures.items():
        paths.append(folder / f"{name}.png")
        draw().savefig(paths[-1], dpi=110)
    return paths


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


def daily_picture(results: Sequence[tuple[str, pd.Series]]) -> Any:
    """Net dollars by day; a row for each (label, results)."""
    picture = new_picture(_WIDTH, 2.7 * len(results))
    for panel, (label, series) in zip(picture.subplots(len(results), squeeze=False)[:, 0], results, strict=True):
        values = series.to_numpy()
        panel.bar(range(len(values)), values, color=[RISING if x > 0 else FALLING for x in values])
        mean = float(values.mean())
        panel.axhline(mean, color=INK, linestyle="--", linewidth=1, label=f"mean {usd(mean)} a day")
        panel.axhline(0, color="#8d949d", linewidth=0.8)
        calm(panel)
        dollars(panel)
        marks = tick_sessions(len(values), 8)
        panel.set_xticks(marks, [series.index[m] for m in marks])
        panel.set_ylabel("net, dollars")
        panel.set_title(f"{label}, net of each day", loc="left", fontsize=11)
        _legend(panel)
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
    title = f"{shown.symbol} {shown.date}: {len(shown.trades)} trades, net {usd(shown.net_usd)}"
    axes.set_title(title, loc="left", fontsize=11, pad=26, parse_math=False)
    _legend(axes, columns=6)
    return picture


def day_picture(profile: DayProfile) -> Any:
    """Share of actions and of positions by quarter of an hour."""
    picture = new_picture(_WIDTH, 5.0)
    top, low = picture.subplots(2, sharex=True)
    at = np.arange(len(profile.slots))
    names = list(profile.actions.columns)
    _stack(top, at, [(name, profile.actions[name].to_numpy(), ACTION_COLORS.get(name, INK)) for name in names])
    _stack(low, at, [("long", profile.long, ENTRY), ("short", profile.short, SHORT)])
    top.set_title("Actions other than HOLD, share of the steps", loc="left", fontsize=11)
    low.set_title("Positions at the close of the bar, share of the bars", loc="left", fontsize=11)
    marks = tick_sessions(len(at), 10)
    low.set_xticks(marks, [profile.slots[m] for m in marks])
    low.set_xlabel("New York time, quarters of an hour")
    return picture


def luck_picture(luck_usd: np.ndarray, policy_usd: float) -> Any:
    """Net per session of random entries, and the policy's."""
    picture = new_picture(_WIDTH, 3.2)
    axes = picture.subplots()
    axes.hist(luck_usd, bins=15, color="#b9bfc7", edgecolor="white", label=f"random entries, {len(luck_usd)} seeds")
    axes.axvline(policy_usd, color=ENTRY, linewidth=2.5, label=f"the policy, {usd(policy_usd)}")
    axes.axvline(0, color="#8d949d", linewidth=1, linestyle=":")
    calm(axes)
    axes.xaxis.set_major_formatter(lambda value, _: usd(value, sign=False))
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("net per session, dollars")
    axes.set_ylabel("number of seeds")
    _legend(axes)
    return picture


def slippage_picture(found: Robustness) -> Any:
    """Net per session by ticks of slippage, with one standard error either way."""
    picture = new_picture(_WIDTH, 3.2)
    axes, made = picture.subplots(), list(found.slippage.values())
    values = [outcome.net_per_session_usd for outcome in made]
    errors = [outcome.standard_error_usd for outcome in made]
    axes.bar(range(len(values)), values, 0.5, color=[RISING if x > 0 else FALLING for x in values])
    axes.errorbar(
        range(len(values)), values, errors, fmt="none", ecolor=INK, elinewidth=1, capsize=4, label="one standard error"
    )
    axes.axhline(0, color="#8d949d", linewidth=0.8)
    calm(axes)
    dollars(axes)
    axes.set_xticks(range(len(values)), [str(ticks) for ticks in found.slippage])
    axes.set_xlabel("slippage of entries, closing orders and stops, ticks")
    axes.set_ylabel("net per session, dollars")
    _legend(axes)
    return picture


def dollars(axes: Any) -> None:
    """Dollars with thousands separators on the upright axis."""
    axes.yaxis.set_major_formatter(lambda value, _: usd(value, sign=False))


def _stack(axes: Any, at: np.ndarray, layers: Sequence[tuple[str, np.ndarray, str]]) -> None:
    below = np.zeros(len(at))
    for name, share, color in layers:
        axes.bar(at, 100 * share, 0.85, bottom=below, color=color, label=name)
        below = below + 100 * share
    calm(axes)
    axes.set_ylabel("%")
    _legend(axes, columns=5)


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
