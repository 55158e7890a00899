"""Hand-made markets: a `Bars` from rows of (open, high, low, close) ticks, no loader involved.

`make_bars` puts a session of flat warm-up bars before the rows and, by default, flat bars after them up to
the scheduled close, so that the session of the last row is usable and the table does not end by surprise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trading_gymnax.data.contracts import ContractSpec, contract
from trading_gymnax.data.findings import Report
from trading_gymnax.data.loader import Bars

LEVEL = 80_000  # ticks; NQ at 20,000 points
OPEN_MINUTE = 930  # a bar that closes at 9:30 New York closes 930 minutes after 18:00
FULL_CLOSE = 1380  # 17:00
WARMUP = 390
NUM_FEATURES = 8
FIRST_DATE = np.datetime64("2025-01-06")  # a Monday in winter: New York is five hours behind UTC


def flat(price: int = LEVEL, count: int = 1) -> list[tuple[int, int, int, int]]:
    """`count` bars without any movement at `price` ticks."""
    return [(price, price, price, price)] * count


def make_bars(
    rows: Sequence[tuple[int, int, int, int]],
    *,
    symbol: str | ContractSpec = "NQ",
    atr: float | Sequence[float] = 8.0,
    sessions: Sequence[int] | None = None,
    times: Sequence[int] | None = None,
    scheduled_close: int | Mapping[int, int] = FULL_CLOSE,
    warmup: int = WARMUP,
    bar_minutes: int = 1,
    tail: bool = True,
    first_finite_bar: int = 0,
    features: np.ndarray | None = None,
    rth: tuple[float, float] = (9.5, 16 + 59 / 60),
) -> Bars:
    """Bars of one market: `warmup` flat bars in the session(s) before, the rows, and a flat tail.

    rows: (open, high, low, close) in ticks; row i is bar `warmup + i`.
    atr: ATR in ticks of each row, or one for all; warm-up takes the first, the tail the last.
    sessions: session of each row, 1, 2, ... without gaps and never falling (default: all in session 1). The
        warm-up is session 0, and more sessions before it where 390 bars do not fit into one (long bars).
    times: close of each row in minutes since 18:00 of the evening before (default: in each session the
        first row at 930, which is 9:30, then one every `bar_minutes`).
    scheduled_close: minute of the scheduled close, for all rows' sessions or by session.
    tail: append flat bars at the last close, one every `bar_minutes`, up to the last session's close.
    """
    atrs, days, minutes = _of_each_row(len(rows), atr, sessions, times, bar_minutes)
    warm_sessions, warm_minutes, warm_days = _warm_up(warmup, bar_minutes)
    closes = [FULL_CLOSE] * warm_sessions + [
        scheduled_close.get(day, FULL_CLOSE) if isinstance(scheduled_close, Mapping) else scheduled_close
        for day in range(1, days[-1] + 1)
    ]
    first, last = rows[0][0], rows[-1][3]
    tail_minutes = list(range(minutes[-1] + bar_minutes, closes[-1] + 1, bar_minutes)) if tail else []
    table = np.array([*flat(first, warmup), *rows, *flat(last, len(tail_minutes))], np.int32)
    time = np.array([*warm_minutes, *minutes, *tail_minutes], np.int32)
    rows_days = [warm_sessions - 1 + day for day in [*days, *[days[-1]] * len(tail_minutes)]]
    session = np.array(warm_days + rows_days, np.int32)
    date = np.busday_offset(FIRST_DATE, np.arange(len(closes)))
    spec = contract(symbol)
    started = date[session].astype("datetime64[m]") - np.timedelta64(spec.date_shift_days * 1440, "m")
    to_utc = 5 * 60 + spec.session_start_minute
    return Bars(
        spec=spec,
        bar_minutes=bar_minutes,
        close_time=started + (to_utc + time).astype("timedelta64[m]"),
        open=table[:, 0].copy(),
        high=table[:, 1].copy(),
        low=table[:, 2].copy(),
        close=table[:, 3].copy(),
        volume=np.ones(len(table)),
        atr=np.array([atrs[0]] * warmup + atrs + [atrs[-1]] * len(tail_minutes), np.float32),
        features=np.zeros((len(table), NUM_FEATURES), np.float32) if features is None else features,
        feature_names=tuple(f"feature_{i}" for i in range(NUM_FEATURES)),
        time=time,
        hour=(((spec.session_start_minute + time) % 1440) / 60).astype(np.float32),
        session=session,
        session_date=date,
        session_start=np.searchsorted(session, np.arange(len(closes)), side="left").astype(np.int32),
        session_end=np.searchsorted(session, np.arange(len(closes)), side="right").astype(np.int32),
        scheduled_close=np.array(closes, np.int32),
        first_decision_bar=warmup,
        first_finite_bar=first_finite_bar,
        rth=rth,
        report=Report("made by hand"),
    )


def _of_each_row(
    count: int, atr: Any, sessions: Sequence[int] | None, times: Sequence[int] | None, bar_minutes: int
) -> tuple[list[float], list[int], list[int]]:
    """ATR, session and minute of each row, checked."""
    atrs = [float(atr)] * count if isinstance(atr, (int, float)) else [float(x) for x in atr]
    days = [1] * count if sessions is None else list(sessions)
    minutes = _default_times(days, bar_minutes) if times is None else list(times)
    if not count == len(atrs) == len(days) == len(minutes):
        raise ValueError("rows, atr, sessions and times must have the same length")
    if sorted(set(days)) != list(range(1, days[-1] + 1)) or days != sorted(days):
        raise ValueError("sessions must be 1, 2, ... without gaps and never fall")
    return atrs, days, minutes


def _warm_up(warmup: int, bar_minutes: int) -> tuple[int, list[int], list[int]]:
    """Sessions before the first, and minute and session of each of their bars."""
    in_a_session = FULL_CLOSE // bar_minutes
    sessions = -(-warmup // in_a_session)
    back = range(warmup - 1, -1, -1)
    return (
        sessions,
        [FULL_CLOSE - bar_minutes * (i % in_a_session) for i in back],
        [sessions - 1 - i // in_a_session for i in back],
    )


def _default_times(days: Sequence[int], bar_minutes: int) -> list[int]:
    """The first row of each session at 9:30, the others one bar apart."""
    seen: dict[int, int] = {}
    times = []
    for day in days:
        times.append(OPEN_MINUTE + bar_minutes * seen.get(day, 0))
        seen[day] = seen.get(day, 0) + 1
    return times
