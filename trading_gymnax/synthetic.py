"""Synthetic 1-minute markets: one without any edge, and one with a planted edge that is known.

How a tape is made, in ticks:

- A session is 1,380 bars from the contract's session start, 18:00 to 17:00 New York, on every weekday.
- A bar's noise has a standard deviation that follows the time of day: a quiet night, a busy open and close.
- A bar is `SUB_STEPS` steps. Each is a normal increment rounded to whole ticks, so the closes are a walk on
  the tick grid and not a rounded walk: rounding a price leaves a remainder that the past would foretell.
- Highs and lows are those of a Brownian bridge through the steps, cut to whole ticks: by the reflection
  principle the maximum of a bridge of variance v that moves by x is (x + sqrt(x^2 + 2 v E)) / 2, E
  exponential. A path seen at the steps only would jump over stops, and a fill at a stop's level be a gift.
- Every bar opens where the one before closed. Only at the start of a session the price jumps:
  `OVERNIGHT_PULL` of its distance to `price` is taken back, so that a tape of any length stays near `price`.
  The jump can be foretold and not earned, because every account is flat overnight.

So the expected profit before costs on a martingale is zero for every rule that sees the past only, with stops
and targets at any level (of a bar that reaches both, docs/rules.md and not the path says which was first). A
longer tape begins with the shorter one of the same seed; `regime(drift=0)` has the prices of `martingale`.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pandas as pd

from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.data.sessions import MINUTES_PER_DAY, NEW_YORK, is_weekday
from trading_gymnax.market import MarketData, load_market_data

SYNTH = ContractSpec("SYNTH", tick_size=0.25, multiplier=20.0, commission_per_side=2.50, calendar=None)
"""The default contract: NQ's tick and dollars a point, and every weekday a full session."""

SUB_STEPS = 4
OVERNIGHT_PULL = 0.03
FIRST_SESSION = "2025-01-06"

# New York clock and the noise there, drawn after the half hours of NQ in early 2025. Only proportions count.
_SHAPE = (
    ("18:00", 0.55),
    ("19:00", 0.42),
    ("20:00", 0.45),
    ("22:00", 0.36),
    ("00:00", 0.32),
    ("02:00", 0.36),
    ("03:00", 0.52),
    ("04:30", 0.42),
    ("08:00", 0.52),
    ("08:30", 0.85),
    ("09:29", 0.70),
    ("09:30", 1.70),
    ("10:00", 1.50),
    ("11:00", 1.10),
    ("12:30", 0.85),
    ("14:00", 0.85),
    ("15:00", 0.92),
    ("15:59", 1.25),
    ("16:00", 0.85),
    ("16:30", 0.42),
    ("17:59", 0.42),
)
_RTH = (9 * 60 + 30, 16 * 60)  # minutes of the New York day
_RTH_VOLUME = 1_000.0  # contracts in an ordinary bar of the day; volume follows the variance
_VOLUME_SPREAD = 0.4  # standard deviation of the logarithm of volume
_QUIETEST_STEP = 0.7  # ticks of noise; with less, rounding to ticks would weaken the drift
_BLOCK = 32  # sessions made at a time, which keeps the working memory of long tapes small


@dataclasses.dataclass(frozen=True, eq=False)
class SyntheticMarket:
    """A tape of T bars with what is hidden in it."""

    frame: pd.DataFrame  # timestamp (UTC, START of the bar), open, high, low, close (points), volume; T rows
    hidden: np.ndarray  # regime in force during the bar: -1 down, +1 up, 0 none; int8 [T]
    noise_ticks: np.ndarray  # standard deviation of the bar's noise, ticks, float64 [T]
    spec: ContractSpec  # what to load the frame as
    drift: float  # expected close - open of a bar is hidden * drift * noise_ticks


def martingale(
    num_sessions: int = 40,
    *,
    seed: int = 0,
    spec: ContractSpec = SYNTH,
    price: float = 20_000.0,
    noise_ticks: float = 26.0,
    first_session: str = FIRST_SESSION,
) -> SyntheticMarket:
    """A market without any edge: inside a session the price is a martingale, whatever rule trades it.

    Args:
        num_sessions: weekdays from `first_session` on; each has 1,380 bars of a minute.
        seed: of a NumPy `Generator`; the same arguments give the same tape.
        spec: contract; its calendar must be None, since bars are made for every weekday.
        price: level in points, around which the tape stays.
        noise_ticks: standard deviation of a bar's noise in ticks, mean of the bars from 9:30 to 16:00; the
            ATR is 1.6 times as large: 26 gives 33 to 70 ticks by day, 13 to 35 before the open.
        first_session: date that names the first session, a weekday; it starts on the evening before.

    Raises:
        ValueError: an argument that cannot be, or a tape that falls to zero.
    """
    return _market(num_sessions, seed, spec, price, noise_ticks, first_session, 0.0, None)


def regime(
    num_sessions: int = 40,
    *,
    seed: int = 0,
    drift: float = 1 / 3,
    mean_regime_bars: float = 60.0,
    spec: ContractSpec = SYNTH,
    price: float = 20_000.0,
    noise_ticks: float = 26.0,
    first_session: str = FIRST_SESSION,
) -> SyntheticMarket:
    """A market with a planted edge: bars drift by hidden * drift * noise, and `hidden` changes at times.

    `hidden` is +1 or -1 with equal chance in the first bar and changes sign before any later bar with
    probability 1 / mean_regime_bars, so that a regime lasts a geometric number of bars. It is carried through
    the ends of sessions (halt and weekend count no bars). Who knows `hidden` at decision bar t expects hidden
    * drift * noise * (1 - 2 / mean_regime_bars) ticks from bar t + 1.

    Args:
        drift: expected move of a bar along its regime, as a share of the bar's noise.
        mean_regime_bars: mean length of a regime in bars, 1 or more.
        num_sessions, seed, spec, price, noise_ticks, first_session: as of `martingale`.

    Raises:
        ValueError: as `martingale`.
    """
    _require(_is_number(drift), f"drift must be a number, got {drift!r}")
    long_enough = _is_number(mean_regime_bars) and mean_regime_bars >= 1
    _require(long_enough, f"mean_regime_bars must be a number of bars, 1 or more, got {mean_regime_bars!r}")
    return _market(num_sessions, seed, spec, price, noise_ticks, first_session, drift, mean_regime_bars)


def default_market() -> MarketData:
    """The market of `gymnax.make` without data: `regime()`, 40 sessions from January 2025 on, loaded."""
    built_in = regime()
    return load_market_data(built_in.frame, built_in.spec)


def _market(
    num_sessions: int,
    seed: int,
    spec: ContractSpec,
    price: float,
    noise_ticks: float,
    first_session: str,
    drift: float,
    mean_regime_bars: float | None,
) -> SyntheticMarket:
    """A tape; without `mean_regime_bars` nothing is hidden in it."""
    first = _check(num_sessions, seed, spec, price, noise_ticks, first_session)
    # A generator for each kind of number: a longer tape, made in blocks, then begins with the shorter one.
    streams = np.random.SeedSequence(seed).spawn(4)
    path_rng, extremes_rng, volume_rng, regime_rng = map(np.random.default_rng, streams)
    shape = _day_shape(spec)
    noise = noise_ticks * shape
    hidden = np.zeros((num_sessions, len(shape)), np.int8)
    if mean_regime_bars is not None:
        hidden = _regimes(regime_rng, hidden.size, mean_regime_bars).reshape(hidden.shape)
    starts = range(0, num_sessions, _BLOCK)
    blocks = [_paths(path_rng, extremes_rng, noise, drift * hidden[at : at + _BLOCK]) for at in starts]
    ticks = np.concatenate(blocks, axis=1)
    ticks += _session_opens(ticks[3, :, -1], round(price / spec.tick_size))[:, None]
    _require(
        bool(ticks[2].min() > 0),
        f"the price falls to zero within {num_sessions} sessions: choose a price above {price:g}, "
        f"or noise_ticks below {noise_ticks:g}",
    )
    volume = _volume(volume_rng, shape, num_sessions)
    frame = _frame(ticks, _timestamps(first, num_sessions, spec), volume, spec)
    return SyntheticMarket(frame, hidden.ravel(), np.tile(noise, num_sessions), spec, float(drift))


def _check(
    num_sessions: int, seed: int, spec: ContractSpec, price: float, noise_ticks: float, first_session: str
) -> np.datetime64:
    """Refuse arguments that cannot be; returns the date of the first session."""
    some = _is_count(num_sessions) and num_sessions > 0
    _require(some, f"num_sessions must be an integer, 1 or more, got {num_sessions!r}")
    _require(_is_count(seed) and seed >= 0, f"seed must be an integer, 0 or more, got {seed!r}")
    _require(isinstance(spec, ContractSpec), f"spec must be a ContractSpec, got {spec!r}")
    most = (2**31 - 1) // spec.session_minutes
    _require(num_sessions <= most, f"num_sessions must be at most {most:,}: int32 numbers the bars; got {num_sessions}")
    _require(
        spec.calendar is None,
        f"the calendar of {spec.symbol} must be None, since a synthetic market trades every weekday; "
        "use dataclasses.replace(spec, calendar=None)",
    )
    _require(_is_number(price) and price > 0, f"price must be a number of points above 0, got {price!r}")
    least = _QUIETEST_STEP * math.sqrt(SUB_STEPS) / _day_shape(spec).min()
    _require(
        _is_number(noise_ticks) and noise_ticks >= least,
        f"noise_ticks must be a number of ticks, {least:.3g} or more (less is lost in the tick grid), "
        f"got {noise_ticks!r}",
    )
    wanted = f"first_session must be the date of a weekday, like {FIRST_SESSION!r}, got {first_session!r}"
    try:
        first = np.datetime64(first_session, "D")
    except ValueError:
        raise ValueError(wanted) from None
    _require(not np.isnat(first) and bool(is_weekday(np.asarray(first))), wanted)
    return first


def _day_shape(spec: ContractSpec) -> np.ndarray:
    """Noise of each bar of a session against the mean from 9:30 to 16:00, float64 [bars of a session]."""
    clocks, levels = zip(*_SHAPE, strict=True)
    knots = np.array([int(clock[:2]) * 60 + int(clock[3:]) for clock in clocks])
    of_day = np.interp(np.arange(MINUTES_PER_DAY), knots, levels, period=MINUTES_PER_DAY)
    of_day /= of_day[slice(*_RTH)].mean()
    return of_day[(spec.session_start_minute + np.arange(spec.session_minutes)) % MINUTES_PER_DAY]


def _regimes(rng: np.random.Generator, num_bars: int, mean_regime_bars: float) -> np.ndarray:
    """+1 or -1 per bar, switching before a bar with probability 1 / mean_regime_bars; int8 [num_bars]."""
    draws = rng.random(num_bars)
    switches = draws * mean_regime_bars < 1.0
    switches[0] = draws[0] < 0.5
    return np.where(np.cumsum(switches) % 2 == 0, 1, -1).astype(np.int8)


def _paths(
    path_rng: np.random.Generator, extremes_rng: np.random.Generator, noise: np.ndarray, tilt: np.ndarray
) -> np.ndarray:
    """Open, high, low, close of n sessions, ticks from each session's first open: int64 [4, n, bars].

    noise: standard deviation of each bar of a session, ticks, [bars]; tilt: drift in units of it, [n, bars].
    """
    variance = (noise**2 / SUB_STEPS).astype(np.float32)
    spread = np.sqrt(variance - np.float32(1 / 12))  # rounding to whole ticks adds the twelfth again
    mean = (tilt * noise / SUB_STEPS).astype(np.float32)
    size = (len(tilt), SUB_STEPS, len(noise))
    normal = path_rng.standard_normal(size, np.float32)
    exponential = extremes_rng.standard_exponential((*size[:2], 2, size[2]), np.float32)
    close, high, low = np.zeros((3, *tilt.shape), np.float32)  # from the bar's open; whole, so float32 is exact
    for at in range(SUB_STEPS):
        step = np.rint(normal[:, at] * spread + mean)
        reach = np.sqrt(np.square(step)[:, None] + 2 * variance * exponential[:, at])
        high = np.maximum(high, close + np.floor((step + reach[:, 0]) / 2))
        low = np.minimum(low, close + np.ceil((step - reach[:, 1]) / 2))
        close = close + step
    end = np.cumsum(close, axis=1, dtype=np.int64)
    start = end - close.astype(np.int64)
    return np.stack([start, start + high.astype(np.int64), start + low.astype(np.int64), end])


def _session_opens(change: np.ndarray, level: int) -> np.ndarray:
    """First open of each session, given the ticks [S] by which each moves: int64 [S]."""
    opens = np.empty(len(change), np.int64)
    price = level
    for at, move in enumerate(change):
        opens[at] = price
        close = price + int(move)
        price = close + round(OVERNIGHT_PULL * (level - close))
    return opens


def _timestamps(first: np.datetime64, num_sessions: int, spec: ContractSpec) -> pd.DatetimeIndex:
    """UTC starts of all bars. No session contains a clock change: those fall into the night before Sunday."""
    date = np.busday_offset(first, np.arange(num_sessions)) - np.timedelta64(spec.date_shift_days, "D")
    wall = date.astype("datetime64[s]") + np.timedelta64(spec.session_start_minute * 60, "s")
    start = pd.DatetimeIndex(wall).tz_localize(NEW_YORK).tz_convert("UTC").tz_localize(None).to_numpy()
    minutes = np.arange(spec.session_minutes) * np.timedelta64(60, "s")
    return pd.DatetimeIndex((start[:, None] + minutes).ravel()).tz_localize("UTC")


def _volume(rng: np.random.Generator, shape: np.ndarray, num_sessions: int) -> np.ndarray:
    """Contracts per bar, one or more, independent of the path: int64 [T]."""
    normal = rng.standard_normal((num_sessions, len(shape)), np.float32)
    contracts = _RTH_VOLUME * shape.astype(np.float32) ** 2 * np.exp(np.float32(_VOLUME_SPREAD) * normal)
    return np.maximum(np.rint(contracts), 1).astype(np.int64).ravel()


def _frame(ticks: np.ndarray, timestamps: pd.DatetimeIndex, volume: np.ndarray, spec: ContractSpec) -> pd.DataFrame:
    """The tidy table. Rounding takes away what binary fractions add to a tick of 0.1, say."""
    columns = np.round(ticks.reshape(4, -1) * spec.tick_size, 9)
    prices = dict(zip(("open", "high", "low", "close"), columns, strict=True))
    return pd.DataFrame({"timestamp": timestamps, **prices, "volume": volume})


def _is_number(value: float) -> bool:
    number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    return number and math.isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
