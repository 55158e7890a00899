"""Bar against path: what one bar hides, by settling the same trades twice, on fine bars and by the rule book.

A fine tape is a martingale of `STEPS` fine bars in each bar: normal moves rounded to whole ticks, with the extremes of
a Brownian bridge between them, as in `synthetic`. So a price is continuous inside a fine bar, and an order that waits
fills at its level; only a jump, which comes between two fine bars, leaps over it. What is left undecided inside a fine
bar is a sixtieth of what a bar hides, and is decided against the trade.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd

from trading_gymnax import rules, synthetic
from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.evaluation.baselines import RandomEntries
from trading_gymnax.evaluation.codes import AT_LEVEL, exits
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.evaluation.summary import mean_and_error
from trading_gymnax.market import CLOSE_MINUTE, MarketData, load_market_data, session_hours
from trading_gymnax.phase1 import TradingPhase1

STEPS = 60
STOP_WIDTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)
_BLOCK = 50  # sessions of a tape in memory
_ENTRY_RATE = 0.2  # of the trades that are settled twice: at a fifth of the bars at which an entry is legal


@dataclasses.dataclass(frozen=True, eq=False)
class FineBars:
    """Fine bars in the order of time; N of them. Ticks."""

    start: np.ndarray  # UTC, datetime64[s] [N]
    open: np.ndarray  # int64 [N]
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a fine tape is like."""

    bounce_ticks: int = 0  # between the bid and the ask, at which trades alternate by chance
    jumps_a_day: float = 0.0  # mean number in a session of 23 hours
    jump_noise: float = 0.0  # standard deviation of a jump, in bars' noise


def fine_tape(
    num_sessions: int,
    *,
    seed: int = 0,
    kind: Kind | None = None,
    spec: ContractSpec = synthetic.SYNTH,
    noise_ticks: float = 26.0,
    price: float = 20_000.0,
) -> tuple[FineBars, pd.DataFrame]:
    """A martingale as fine bars, and as the table of bars that a loader reads.

    Args: as of `synthetic.martingale`; kind: a plain walk by default.
    """
    kind = kind or Kind()
    rng = np.random.default_rng(seed)
    noise = noise_ticks * synthetic._day_shape(spec)
    first = synthetic._check(num_sessions, seed, spec, price, noise_ticks, synthetic.FIRST_SESSION)
    sessions = [_session(rng, noise, kind) for _ in range(num_sessions)]
    level = round(price / spec.tick_size)
    opens = synthetic._session_opens(np.array([fine[3, -1, -1] for fine in sessions]), level)
    fine = np.stack([one + at for one, at in zip(sessions, opens, strict=True)], axis=1)  # [4, S, bars, STEPS]
    starts = synthetic._timestamps(first, num_sessions, spec)
    coarse = np.stack([fine[0, ..., 0], fine[1].max(axis=-1), fine[2].min(axis=-1), fine[3, ..., -1]])
    volume = np.full(coarse[0].size, 100)
    seconds = np.arange(STEPS) * 60 // STEPS
    moments = starts.tz_localize(None).to_numpy().astype("datetime64[s]")[:, None] + seconds.astype("timedelta64[s]")
    flat = fine.reshape(4, -1)
    return FineBars(moments.reshape(-1), *flat), synthetic._frame(coarse, starts, volume, spec)


def _session(rng: np.random.Generator, noise: np.ndarray, kind: Kind) -> np.ndarray:
    """Open, high, low and close of a session's fine bars, ticks from its first price: int64 [4, bars, STEPS]."""
    size = (len(noise), STEPS)
    variance = np.broadcast_to((noise**2 / STEPS)[:, None], size)
    spread = np.sqrt(np.maximum(variance - 1 / 12, 0))  # rounding to whole ticks adds the twelfth again
    step = np.rint(rng.standard_normal(size) * spread).astype(np.int64)
    reach = np.sqrt(step**2 + 2 * variance * rng.standard_exponential((2, *size)))
    high, low = np.floor((step + reach[0]) / 2).astype(np.int64), np.ceil((step - reach[1]) / 2).astype(np.int64)
    jumps = np.zeros(size, np.int64)
    if kind.jumps_a_day > 0:
        there = rng.random(size) < kind.jumps_a_day / step.size
        jumps = np.rint(there * rng.standard_normal(size) * kind.jump_noise * noise[:, None]).astype(np.int64)
    end = np.cumsum((step + jumps).reshape(-1)).reshape(size)
    start = end - step
    high, low = start + np.maximum(high, np.maximum(step, 0)), start + np.minimum(low, np.minimum(step, 0))
    if not kind.bounce_ticks:
        return np.stack([start, high, low, end])
    asks = kind.bounce_ticks * rng.integers(0, 2, (2, *size))
    return np.stack([start + asks[0], high + kind.bounce_ticks, low, end + asks[1]])


def settle_finely(
    trades: pd.DataFrame, fine: FineBars, market: MarketData, params: Any, through_ticks: int | None = None
) -> pd.DataFrame:
    """The same entries, stops and targets, settled fine bar by fine bar under the rule book's fills.

    Args:
        trades: of `evaluate_policy` in phase 1, one market, without limits of the account and without slippage by ATR;
            entries at the open of a bar.
        fine: fine bars of the same prices; those from an entry to its session's end are read.
        market, params: on which the trades were made.
        through_ticks: how far beyond a target price must trade to fill it; by default as in the parameters.

    Returns a row a trade: `net_usd`, `exit_reason`, `undecided` (stop and target inside one fine bar) and `known`
    (there are fine bars between its entry and its session's end); the costs are those of the trade list.
    """
    tick_usd = int(market.tick_cents[0]) / 100
    ends = _flat_times(trades, market, params)
    entries = trades["entry_time"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[s]")
    first, last = np.searchsorted(fine.start, entries), np.searchsorted(fine.start, ends)
    contracts, side = trades["contracts"].to_numpy(), trades["side"].to_numpy().astype(np.int64)
    entry = np.rint(trades["entry_price"].to_numpy() / market.specs[0].tick_size).astype(np.int64)
    stop = np.rint(trades["risk_usd"].to_numpy() / tick_usd / contracts).astype(np.int64)
    target = np.asarray(rules.distance(jnp.asarray(stop, jnp.float32), params.tp_sl_ratio)).astype(np.int64)
    through = int(params.target_through_ticks) if through_ticks is None else through_ticks
    slips = int(params.slippage_ticks), int(params.stop_slippage_ticks)
    rows = [
        _settle(fine, slice(first[i], last[i]), side[i], entry[i], (stop[i], target[i], through), slips)
        for i in range(len(trades))
    ]
    ticks, reason, undecided, known = (np.array(column) for column in zip(*rows, strict=True))
    net = ticks * contracts * tick_usd - trades["commission_usd"].to_numpy()
    return pd.DataFrame({"net_usd": net, "exit_reason": reason, "undecided": undecided, "known": known})


def _settle(
    fine: FineBars, span: slice, side: int, entry: int, levels: tuple[int, int, int], slips: tuple[int, int]
) -> tuple[int, str, bool, bool]:
    """Profit in ticks, exit reason, whether undecided, and whether the fine bars are there.

    levels: distances of the stop and of the target, and how far beyond the latter price must trade.
    """
    (stop, target, through), (slip, stop_slip) = levels, slips
    at, last, size = span.start, span.stop, 512
    if last <= at:
        return 0, "NONE", False, False
    while at < last:  # most trades end soon: look at twice as many fine bars each time
        part = slice(at, min(at + size, last))
        opened = side * (fine.open[part] - entry)
        best = side * ((fine.high if side > 0 else fine.low)[part] - entry)
        worst = side * ((fine.low if side > 0 else fine.high)[part] - entry)
        stopped, reached = worst <= -stop, (best >= target + through) | (opened >= target)
        hit = np.flatnonzero(stopped | reached)
        if len(hit):
            k = hit[0]
            if opened[k] < target and stopped[k]:
                both = bool(reached[k]) and opened[k] > -stop
                return int(min(-stop, opened[k])) - stop_slip, "STOP", both, True
            return target, "TARGET", False, True
        at, size = at + size, 2 * size
    return int(side * (fine.close[last - 1] - entry)) - slip, "SESSION_CLOSE", False, True


def target_toll(trades: pd.DataFrame, market: MarketData, params: Any) -> float:
    """Dollars a trade that `target_through_ticks` costs these trades on prices without drift; NaN without trades.

    The path fills a target where it is touched, and who waits for some ticks more is worth as much on average whatever
    comes (Doob's optional stopping theorem). Where price goes so far the rules pay the target without those ticks: what
    they take is the ticks of all trades that reached theirs. A bar that opens beyond a target takes nothing, so it is a
    little less. The order within ambiguous bars comes on top of it (`biases` measures both).
    """
    return int(params.target_through_ticks) * _tick_a_trade(trades, market, ("TARGET",))


def leap_toll(trades: pd.DataFrame, market: MarketData) -> float:
    """Dollars a trade that one tick costs by which price leaps over each stop inside its bar; NaN without trades.

    The rules fill such a stop at its level (docs/rules.md, section 3.4), and bars do not show how far price leapt. A
    stop that a bar opened beyond has paid its leap already, so it is a little less.
    """
    return _tick_a_trade(trades, market, [rules.EXIT_REASONS[code] for code in exits(AT_LEVEL)])


def _tick_a_trade(trades: pd.DataFrame, market: MarketData, reasons: Sequence[str]) -> float:
    """Value of a tick of the trades that ended so, dollars, spread over all trades."""
    if len(trades) == 0:
        return math.nan
    tick_usd = dict(zip(market.symbols, np.asarray(market.tick_cents) / 100, strict=True))
    value = trades["contracts"] * trades["market"].map(tick_usd)
    return float(value[trades["exit_reason"].isin(reasons)].sum() / len(trades))


def _flat_times(trades: pd.DataFrame, market: MarketData, params: Any) -> np.ndarray:
    """UTC moment at which each trade's session must be flat: close of its must-flat bar, datetime64[s] [N]."""
    dates = np.asarray(market.session_date)[0].astype("datetime64[D]")
    session = np.searchsorted(dates, trades["date"].to_numpy().astype("datetime64[D]"))
    _, closing = session_hours(params.rth_open, params.rth_close, np.asarray(market.session_start_minute), np)
    flat = np.minimum(closing[0], np.asarray(market.sessions)[0, session, CLOSE_MINUTE])
    bar = np.minimum(np.asarray(market.bar_at)[0, session, flat], int(market.num_bars[0]) - 1)
    return np.asarray(market.close_minute)[0, bar].astype("datetime64[m]").astype("datetime64[s]")


@dataclasses.dataclass(frozen=True)
class Bias:
    """What the rules took, against the path: rules less path, a trade."""

    sl_atr_mult: float
    trades: int
    usd: float  # below 0 the rules are harder than the path
    error_usd: float
    r: float  # the same in initial stop distances
    ambiguous_share: float  # of the trades: bars that held stop and target
    rules_usd: float  # net a trade by the rules

    def __str__(self) -> str:
        if not abs(self.usd) > 2 * self.error_usd:
            return (
                f"the rules made {self.usd:+.2f} dollars (standard error {self.error_usd:.2f}) a trade more than the "
                "path would have, which cannot be told from nothing"
            )
        took = "took" if self.usd < 0 else "gave"
        return (
            f"the rules {took} {abs(self.usd):.2f} dollars (standard error {self.error_usd:.2f}) a trade more than the "
            f"path would have, {abs(self.r):.4f} of the stop distance"
        )


def biases(
    widths: Sequence[float] = STOP_WIDTHS,
    *,
    sessions: int = 50,
    walks: int = 2,
    seed: int = 0,
    kind: Kind | None = None,
    spec: ContractSpec = synthetic.SYNTH,
    noise_ticks: float = 26.0,
    **changes: Any,
) -> list[Bias]:
    """Random entries on fine martingales, settled twice, for each stop width in ATR.

    On the path a target fills where it is touched: `target_through_ticks` is a part of what the rules take. What
    differs is rare and large (a target missed by a tick is lost to a stop), so a standard error below a dollar takes
    thousands of trades.

    Args:
        widths: stop widths.
        sessions, seed, kind, spec, noise_ticks: of `fine_tape`; long tapes are made in blocks of sessions.
        walks: times that random entries go through each tape.
        changes: parameters of the environment other than the rule book's; limits of the account are off.
    """
    off = {"trailing_dd_limit": math.inf, "initial_balance": 1_000_000.0, **changes}
    policy = RandomEntries(jnp.float32(_ENTRY_RATE))
    trades: dict[float, list[pd.DataFrame]] = {width: [] for width in widths}
    ambiguous = dict.fromkeys(widths, 0)
    env: TradingPhase1 | None = None
    for block in range(-(-sessions // _BLOCK)):
        count = min(_BLOCK, sessions - block * _BLOCK)
        fine, frame = fine_tape(count, seed=1_000 * seed + block, kind=kind, spec=spec, noise_ticks=noise_ticks)
        market = load_market_data(frame, spec)
        env = env or TradingPhase1(market, **off)
        for width, walk in itertools.product(widths, range(walks)):
            params = env.default_params.replace(market=market, sl_atr_mult=width)
            found = evaluate_policy(policy, env, params, key=jax.random.key(1_000 * block + walk))
            path = settle_finely(found.trades, fine, market, params, through_ticks=0)
            trades[width].append(found.trades[["net_usd", "risk_usd"]].assign(path_usd=path["net_usd"]))
            ambiguous[width] += int(found.sessions["ambiguous_bars"].sum())
    return [_bias(width, pd.concat(trades[width]), ambiguous[width]) for width in widths]


def _bias(width: float, trades: pd.DataFrame, ambiguous: int) -> Bias:
    more = (trades["net_usd"] - trades["path_usd"]).to_numpy()
    usd, error = mean_and_error(more)
    return Bias(
        sl_atr_mult=float(width),
        trades=len(trades),
        usd=usd,
        error_usd=error,
        r=float((more / trades["risk_usd"].to_numpy()).mean()),
        ambiguous_share=ambiguous / max(len(trades), 1),
        rules_usd=float(trades["net_usd"].mean()),
    )


def bias_table(found: Sequence[Bias]) -> str:
    """Plain text, a line a width."""
    lines = [f"{'stop, ATR':>9}  {'trades':>7}  {'rules less path, $':>18}  {'std.err.':>8}  {'R':>7}  ambiguous"]
    for row in found:
        lines.append(
            f"{row.sl_atr_mult:9g}  {row.trades:7,d}  {row.usd:18.2f}  {row.error_usd:8.2f}  {row.r:7.4f}"
            f"  {100 * row.ambiguous_share:7.2f} %"
        )
    return "\n".join(lines)
