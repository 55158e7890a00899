"""The numbers behind the charts of a report: plain arrays and frames made from an evaluation."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pandas as pd

from trading_gymnax.evaluation.evaluate import Evaluation
from trading_gymnax.evaluation.summary import chained_bar_equity
from trading_gymnax.rules import HOLD

MAX_POINTS = 3_000  # of a line; the extremes of what is left out are kept
SLOT_MINUTES = 15


@dataclasses.dataclass(frozen=True, eq=False)
class EquityPath:
    """Equity as if the N sessions had followed one another on one account, [points]; the first is the start."""

    at: np.ndarray  # sessions passed, 0 to N, float64
    time: np.ndarray  # New York, text; "start" at the first
    equity_usd: np.ndarray
    floor_usd: np.ndarray  # of the session's own account, moved along with it; NaN without a floor
    drawdown_usd: np.ndarray  # equity below its highest value so far, 0 or less
    dates: list[str]  # of the sessions [N]


def equity_path(evaluation: Evaluation, max_points: int = MAX_POINTS) -> EquityPath:
    """Chained equity, floor and drawdown bar by bar, thinned to about `max_points` with all extremes kept."""
    steps = evaluation.sessions["steps"].to_numpy()
    session = np.repeat(np.arange(len(steps)), steps)
    first = np.cumsum(steps) - steps
    at = session + (np.arange(len(session)) - first[session] + 1) / steps[session]
    equity = chained_bar_equity(evaluation)
    start = evaluation.initial_balance_usd
    shift = equity - evaluation.bars["equity_usd"].to_numpy()
    floor = evaluation.bars["floor_usd"].to_numpy() + shift
    drawdown = equity - np.maximum(np.maximum.accumulate(equity), start)
    keep = thin(equity, drawdown, max_points)
    time = evaluation.bars["time"].iloc[keep].dt.strftime("%Y-%m-%d %H:%M").to_numpy()
    return EquityPath(
        at=np.concatenate([[0.0], at[keep]]),
        time=np.concatenate([["start"], time]),
        equity_usd=np.concatenate([[start], equity[keep]]),
        floor_usd=np.concatenate([floor[:1], floor[keep]]),
        drawdown_usd=np.concatenate([[0.0], drawdown[keep]]),
        dates=session_dates(evaluation),
    )


def thin(equity: np.ndarray, drawdown: np.ndarray, max_points: int) -> np.ndarray:
    """Indices, rising, that show a line of N points with about `max_points`.

    Of each stretch the first, lowest, highest and last point and the deepest drawdown stay, so that what is read off
    the thinned line is what the full one says.
    """
    count = len(equity)
    if count <= max_points:
        return np.arange(count)
    edges = np.linspace(0, count, max(2, max_points // 5) + 1).astype(int)
    kept: list[int] = []
    for low, high in itertools.pairwise(edges):
        part, fall = equity[low:high], drawdown[low:high]
        kept += [low, low + int(part.argmin()), low + int(part.argmax()), low + int(fall.argmin()), high - 1]
    return np.unique(kept)


def session_dates(evaluation: Evaluation) -> list[str]:
    """Date of each session as text, [N]."""
    return list(evaluation.sessions["date"].dt.strftime("%Y-%m-%d"))


def daily_results(evaluation: Evaluation) -> pd.Series:
    """Net dollars by date, the markets of a date together."""
    by_date = evaluation.sessions.groupby("date", sort=True)["net_usd"].sum()
    by_date.index = by_date.index.strftime("%Y-%m-%d")
    return by_date


@dataclasses.dataclass(frozen=True, eq=False)
class DayProfile:
    """What the policy does over the minutes of the day; slots of `SLOT_MINUTES` of the New York clock, [slots]."""

    slots: list[str]  # start of each slot, "09:30"
    actions: pd.DataFrame  # share of the steps of the slot, a column for each action but HOLD
    long: np.ndarray  # share of the bars that end with a long position
    short: np.ndarray  # and with a short one


def day_profile(evaluation: Evaluation) -> DayProfile:
    """Shares by slot; a bar belongs to the slot in which its close lies (a close at 09:45 to the one from 09:30)."""
    bars = evaluation.bars
    minute = bars["time"].dt.hour.to_numpy() * 60 + bars["time"].dt.minute.to_numpy()
    slot = (minute - 1) % 1440 // SLOT_MINUTES * SLOT_MINUTES
    # An evening comes before its morning: the slots are ordered from the hour at which the data starts.
    order = (slot - _first_minute(evaluation)) % 1440
    names = list(bars["action"].cat.categories)
    chosen = pd.DataFrame({name: (bars["action"] == name).to_numpy(float) for name in names if name != names[HOLD]})
    position = bars["position"].to_numpy()
    sides = pd.DataFrame({"long": position > 0, "short": position < 0}).astype(float)
    by_slot = pd.concat([chosen, sides], axis=1).groupby(order).mean()
    clock = (by_slot.index.to_numpy() + _first_minute(evaluation)) % 1440
    return DayProfile(
        slots=[f"{m // 60:02d}:{m % 60:02d}" for m in clock.astype(int)],
        actions=by_slot[list(chosen.columns)].reset_index(drop=True),
        long=by_slot["long"].to_numpy(),
        short=by_slot["short"].to_numpy(),
    )


def _first_minute(evaluation: Evaluation) -> int:
    """Minute of the day at which the slots begin: 18:00 where a session has an evening, else midnight."""
    hour = evaluation.bars["time"].dt.hour
    return 18 * 60 if bool((hour >= 18).any()) else 0
