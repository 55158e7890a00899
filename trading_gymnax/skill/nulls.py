"""Bars of which a policy can learn nothing: what an honest null keeps, and what it destroys.

A bar is a gap (open less the close before) and a shape (high, low and close less its open, and its volume). A null says
which bar's gap and which bar's shape stand at each place, and with which sign; prices are then added up again from the
first open. Stamps, sessions, holes and ticks stay as they are.

- `bars`: gaps and shapes change places, each among the bars of the same minute in sessions of like volatility. Kept:
  the law of bars at each minute of the day, and how volatile each day was. Destroyed: every order of bars.
- `within`: gaps and shapes change places, each among the bars of half an hour of one session. Kept: the move over each
  half hour, but for gaps. Destroyed: the order within it.
- `blocks`: half hours change places as a whole, among sessions of like volatility. Kept: what happens within a half
  hour. Destroyed: what one half hour tells of the next.
- `signs`: nothing moves; each bar, with its gap, is mirrored by a coin. Kept: every range and volume in its place, so
  all of the course of volatility. Destroyed: direction.

Sources: permutation of gaps and shapes apart: Masters, Permutation and Randomization Tests for Trading System
Development (2018). Blocks: Kuensch, The Jackknife and the Bootstrap for General Stationary Observations, Annals of
Statistics 17 (1989). Signs: Fisher, The Design of Experiments (1935), sec. 21; as weights of +1 and -1 Davidson &
Flachaire, The Wild Bootstrap, Tamed at Last, Journal of Econometrics 146 (2008).

A p-value is exact where the null holds as the table says: under `bars` for bars that are independent given the minute
and the session's volatility, under `signs` for bars as likely as their mirror images given all that came before.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from trading_gymnax.data.loader import Bars

NULLS = ("bars", "within", "blocks", "signs")
WINDOW_MINUTES = 30  # of `within` and `blocks`
_GROUP_SESSIONS = 10  # at least, in a group of sessions of like volatility
_MOST_GROUPS = 5


def permute(bars: Bars, null: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One draw from a null: open, high, low and close in ticks, int64 [4, T], and the volume, [T].

    Raises ValueError for an unknown null. A tape that would fall to zero is lifted as a whole: no feature and no dollar
    depends on the level.
    """
    if null not in NULLS:
        raise ValueError(f"there is no null {null!r}; there are {', '.join(NULLS)}")
    gap, shape = _parts(bars)
    if null == "signs":
        sign = 2 * rng.integers(0, 2, len(bars)) - 1
        ticks = _added_up(int(bars.open[0]), sign * gap, _mirrored(shape, sign))
        return ticks, bars.volume.copy()
    if null == "blocks":
        of_shape = of_gap = _shuffled_blocks(bars, rng)
    else:
        key = _by_minute(bars) if null == "bars" else _by_window(bars)
        of_shape, of_gap = _shuffled(key, rng), _shuffled(key, rng)
    return _added_up(int(bars.open[0]), gap[of_gap], shape[:, of_shape]), bars.volume[of_shape]


def volatility_groups(bars: Bars) -> np.ndarray:
    """Group of each session by its mean range, int [S]: up to five of at least ten sessions, the quietest first."""
    span = (bars.high - bars.low).astype(np.float64)
    mean = np.bincount(bars.session, weights=span) / np.bincount(bars.session)
    groups = int(np.clip(len(mean) // _GROUP_SESSIONS, 1, _MOST_GROUPS))
    rank = np.argsort(np.argsort(mean, kind="stable"), kind="stable")
    return rank * groups // len(mean)


def _parts(bars: Bars) -> tuple[np.ndarray, np.ndarray]:
    """Gap before each bar, int64 [T], and high, low and close from its open, int64 [3, T]."""
    opening, high, low, close = (x.astype(np.int64) for x in (bars.open, bars.high, bars.low, bars.close))
    return np.concatenate([[0], opening[1:] - close[:-1]]), np.stack([high, low, close]) - opening


def _mirrored(shape: np.ndarray, sign: np.ndarray) -> np.ndarray:
    high, low, close = shape
    up = sign > 0
    return np.stack([np.where(up, high, -low), np.where(up, low, -high), sign * close])


def _added_up(first_open: int, gap: np.ndarray, shape: np.ndarray) -> np.ndarray:
    moves = gap + shape[2]
    opening = first_open + np.cumsum(moves) - shape[2]
    ticks = np.stack([opening, *(opening + shape)])
    return ticks + max(0, 1 - int(ticks.min()))


def _after_a_hole(bars: Bars) -> np.ndarray:
    """1 for bars before which time passed without a bar, the first ones of sessions too, else 0; int8 [T].

    2 for the table's first bar, before which nothing is known: it stays where it is.
    """
    minutes = bars.close_time.astype(np.int64)
    return np.concatenate([[2], np.diff(minutes) != bars.bar_minutes]).astype(np.int8)


def _by_minute(bars: Bars) -> np.ndarray:
    return _numbered(volatility_groups(bars)[bars.session], bars.time, _after_a_hole(bars))


def _by_window(bars: Bars) -> np.ndarray:
    return _numbered(bars.session, (bars.time - 1) // WINDOW_MINUTES, _after_a_hole(bars))


def _numbered(*columns: Any) -> np.ndarray:
    """The same number where all columns agree, int64 [T]."""
    return np.unique(np.stack([np.asarray(x, np.int64) for x in columns]), axis=1, return_inverse=True)[1].reshape(-1)


def _shuffled(key: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which row comes to each place, when rows of the same key change places by chance; int64 [T]."""
    source = np.empty(len(key), np.int64)
    source[np.argsort(key, kind="stable")] = np.lexsort((rng.random(len(key)), key))
    return source


def _shuffled_blocks(bars: Bars, rng: np.random.Generator) -> np.ndarray:
    """The same for half hours as a whole: those of the same clock and the same minutes present change places."""
    window = (bars.time - 1) // WINDOW_MINUTES
    starts = np.flatnonzero(np.concatenate([[True], (np.diff(bars.session) != 0) | (np.diff(window) != 0)]))
    lengths = np.diff(np.append(starts, len(bars)))
    group = volatility_groups(bars)[bars.session[starts]]
    known: dict[Any, int] = {}
    hole = _after_a_hole(bars)
    for at, size in zip(starts, lengths, strict=True):  # a bar's minute and what lies before it make the pattern
        known.setdefault((bars.time[at : at + size].tobytes(), hole[at]), len(known))
    pattern = [known[bars.time[at : at + n].tobytes(), hole[at]] for at, n in zip(starts, lengths, strict=True)]
    drawn = starts[_shuffled(_numbered(group, pattern), rng)]
    return np.repeat(drawn - starts, lengths) + np.arange(len(bars))
