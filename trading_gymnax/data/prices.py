"""Prices that cannot be: at or below zero, far from what the contract has cost, far from the bars around them.

A flash crash is no mistake: its bars are far from the day's, and near to one another. A price is refused when no bar
beside it comes near, and the market's ordinary movement is a small part of the distance. So this is the one check that
looks at a few later bars as well, and `bad_prices` the one repair that does.
"""

from __future__ import annotations

import numpy as np

from trading_gymnax.data.findings import Findings
from trading_gymnax.data.price_ranges import ADJUSTED, plausible_range
from trading_gymnax.data.rows import Rows, drop
from trading_gymnax.data.spec import ContractSpec
from trading_gymnax.data.stamps import NOT_A_TIME
from trading_gymnax.text import count_text

_RUN = 5  # bars in a row that may be bad
_AROUND = 30  # bars on each side whose ranges are the market's movement
_RANGES = 20.0  # ordinary bar ranges that a price may be away
_FAR_KNOWN, _FAR = 0.05, 0.2  # of the level: contracts with price limits, others
_FAR_LONG = 0.1  # contracts with price limits, bars of more than 5 minutes
_ODD = 0.02  # of the level: worth a doubt
_CHUNK = 20_000
_MICROSECONDS_PER_YEAR = 31_556_952_000_000
_SCALES = (1e2, 1e3, 1e4, 1e6, 1e9, 1e-2, 1e-3, 1e-4)


def check_levels(rows: Rows, spec: ContractSpec, findings: Findings) -> Rows:
    """Refuse what the contract cannot have cost: prices of zero and below, another market's, a slipped point."""
    if len(rows) == 0:
        return rows
    if not spec.negative_prices:
        bad = np.asarray((rows.prices <= 0).any(axis=1))
        if bad.mean() > 1 / 2:
            sign = "negative" if (rows.prices[bad] < 0).any() else "zero"
            findings.refuse(
                "market",
                f"{count_text(int(bad.sum()), 'bar')} of {len(rows):,} with a price that is {sign} "
                f"({rows.examples(bad)}): {spec.symbol} never had one; spreads and adjusted series are no contract",
                int(bad.sum()),
            )
            return rows
        rows = drop(rows, bad, findings, "bad_prices", f"with a price of zero or below, which {spec.symbol} never had")
    if spec.price_ranges and len(rows):
        _compare_with_history(rows, spec, findings)
    return rows


def _compare_with_history(rows: Rows, spec: ContractSpec, findings: Findings) -> None:
    known = rows.utc[(rows.utc != NOT_A_TIME) & (rows.utc != 0)]
    ranges = spec.price_ranges
    years = 1970 + known // _MICROSECONDS_PER_YEAR if len(known) else np.array([ranges[0][0], ranges[-1][0]])
    low, high = plausible_range(ranges, years)
    middle = float(np.median(rows.prices[:, 3]))
    if low <= middle <= high:
        return
    span = f"{spec.symbol} cost {low:,.10g} to {high:,.10g} points in " + _years(years)
    lowest, highest = (low / ADJUSTED if low > 0 else low * ADJUSTED), high * ADJUSTED
    if lowest <= middle <= highest or (spec.negative_prices and abs(middle) <= highest):
        findings.doubt(
            "level", f"{span}, and the middle price here is {middle:,.10g}: an adjusted series, or another market?"
        )
        return
    scale = next((scale for scale in _SCALES if low <= middle / scale <= high), None)
    slipped = f"they are {scale:,.10g} times too large" if scale and scale > 1 else ""
    slipped = f"they are {1 / scale:,.10g} times too small" if scale and scale < 1 else slipped
    why = (
        f"{slipped}: write them in points"
        if slipped
        else "they are another market's; choose it, or pass a ContractSpec"
    )
    findings.refuse("market", f"{span}, and the middle price here is {middle:,.10g}: {why}", len(rows))


def _years(years: np.ndarray) -> str:
    first, last = int(years.min()), int(years.max())
    return str(first) if first == last else f"{first} to {last}"


def check_neighbours(rows: Rows, spec: ContractSpec, findings: Findings, bar_minutes: int) -> Rows:
    """Refuse prices far from the bars on both sides; tell those that are doubtful. Rows in time order."""
    if len(rows) < 3:
        return rows
    limited = bool(spec.price_ranges) and spec.calendar != "CME Globex Crypto"
    far = (_FAR_KNOWN if bar_minutes <= 5 else _FAR_LONG) if limited else _FAR
    away, ranges = _distances(rows.prices, far)
    bad = (away > far) & (ranges > _RANGES)
    odd = ~bad & (away > _ODD) & (ranges > 2.5 * _RANGES) if limited and bar_minutes <= 5 else np.zeros_like(bad)
    if bad.mean() > 1 / 20:
        text = f"{count_text(int(bad.sum()), 'bar')} far from the bars around them ({rows.examples(bad)}): "
        findings.refuse("market", text + "so many are no accident; are there several instruments in the table?")
        return rows
    if odd.any():
        text = (
            f"{count_text(int(odd.sum()), 'bar')} with a price far from the bars around it, by up to "
            f"{100 * away[odd].max():.1f} % ({rows.examples(odd)}): a bad print, or a moment of no market"
        )
        findings.doubt("odd_prices", text, int(odd.sum()))
    if bad.any():
        worst = int(np.argmax(np.where(bad, away, 0)))
        shown = ", ".join(f"{value:.10g}" for value in rows.prices[worst])
        return drop(rows, bad, findings, "bad_prices", f"with a price far from the bars around it, the worst {shown}")
    return rows


def _distances(prices: np.ndarray, far: float) -> tuple[np.ndarray, np.ndarray]:
    """How far each bar's farthest price is from the bars on both sides: as a share, and in ordinary bar ranges.

    The nearer of the two sides counts: a step to a new level is near to what follows it, and the bars of a crash are
    near to one another. Up to `_RUN` bars in a row that leave by more than `far` and come back are measured as one.
    Returns float64 [N] twice; 0 where the bars of both sides reach as far.
    """
    size = len(prices)
    high, low = prices[:, 1], prices[:, 2]
    beyond = np.maximum(_beyond_neighbours(high), _beyond_neighbours(-low))
    for first, end in _runs(high, low, far):
        sides = [low[first - 1], high[first - 1], low[end], high[end]]
        middle = (high[first:end] + low[first:end]) / 2
        beyond[first:end] = np.maximum(beyond[first:end], np.min(np.abs(np.subtract.outer(middle, sides)), axis=1))
    level = np.maximum(np.abs(np.concatenate([prices[:1, 3], prices[:-1, 3]])), np.abs(prices[:, 3]))
    level = np.maximum(np.minimum(level, np.median(np.abs(prices[:, 3])) * 10), 1e-12)
    away, ranges = beyond / level, np.zeros(size)
    candidates = np.flatnonzero(away > _ODD)
    for start in range(0, len(candidates), _CHUNK):
        chosen = candidates[start : start + _CHUNK]
        ordinary = _ordinary_range(high, low, chosen)
        ranges[chosen] = beyond[chosen] / np.maximum(ordinary, level[chosen] * 1e-5)
    return away, ranges


def _beyond_neighbours(top: np.ndarray) -> np.ndarray:
    """How far each bar's highest price (float64 [N]) lies above those of both bars beside it, 0 where one reaches it.

    At an end of the table there is one neighbour only, and half of the distance counts.
    """
    before, after = np.roll(top, 1), np.roll(top, -1)
    before[0], after[-1] = top[1], top[-2]
    beyond = np.minimum(top - before, top - after).clip(0)
    beyond[[0, -1]] /= 2
    return beyond


def _runs(high: np.ndarray, low: np.ndarray, far: float) -> list[tuple[int, int]]:
    """First bar and end of 2 to `_RUN` bars that lie apart from the bars before and after, which are near."""
    gap = np.maximum(low[1:] - high[:-1], low[:-1] - high[1:])
    breaks = np.flatnonzero(gap > far * np.maximum(np.abs(high[1:]), np.abs(high[:-1])))
    starts, ends = breaks[:-1] + 1, breaks[1:] + 1
    runs = []
    for first, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if 2 <= end - first <= _RUN:
            out, back = abs(low[first] - low[first - 1]), abs(low[end] - low[first - 1])
            if back < out / 2:
                runs.append((first, end))
    return runs


def _ordinary_range(high: np.ndarray, low: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The middle range of the bars around some bars (int64 [K]), these left out, float64 [K]."""
    around = (at[:, None] + np.arange(-_AROUND, _AROUND + 1)).clip(0, len(high) - 1)
    spread = high[around] - low[around]
    spread[around == at[:, None]] = np.nan
    with np.errstate(all="ignore"):
        return np.nan_to_num(np.nanmedian(spread, axis=1))
