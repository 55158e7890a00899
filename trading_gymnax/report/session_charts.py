"""The sessions of an evaluation as charts: bars, the stop and target that were in force, entries and exits."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax import rules
from trading_gymnax.data.sessions import new_york_minutes
from trading_gymnax.evaluation.evaluate import Evaluation
from trading_gymnax.market import CLOSE, HIGH, LOW, OPEN, MarketData, pair_of_bars
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.render import price_decimals

LEAD_BARS = 30  # shown before the first decision
MAX_SESSIONS = 60  # on a page


@dataclasses.dataclass(frozen=True)
class ChartTrade:
    """A round trip on a session's chart; prices in ticks, rows of the chart's bars."""

    entry_row: int
    exit_row: int
    side: int
    contracts: int
    entry: int
    exit: int
    reason: str
    net_usd: float
    entry_clock: str  # New York time at which the order filled, "09:30": before the entry bar's close


@dataclasses.dataclass(frozen=True, eq=False)
class SessionChart:
    """One session; prices in ticks, N bars from `LEAD_BARS` before the first decision to the last bar played."""

    date: str
    symbol: str
    net_usd: float
    tick_size: float
    time: np.ndarray  # New York wall clock of the closes, datetime64[m] [N]
    bars: np.ndarray  # open, high, low, close: int64 [N, 4]
    stop: np.ndarray  # in force during the bar, int64 [N]; 0 without a position
    target: np.ndarray  # int64 [N]; 0 without a position
    trades: list[ChartTrade]

    def to_json(self) -> dict[str, Any]:
        """Small numbers for the page's script, which undoes this: differences, and levels in runs.

        c: close less the close before (the first: the close); o: open less the close before; h: high above the higher
        of open and close; l: low below the lower; step: minutes from a close to the next, with the rows that differ in
        gaps; levels: [first row, rows, stop, target].
        """
        opening, high, low, close = self.bars.T
        before = np.concatenate([opening[:1], close[:-1]])
        minutes = np.diff(self.time.astype(np.int64))
        step = int(np.bincount(minutes).argmax()) if len(minutes) else 1
        return {
            "date": self.date,
            "symbol": self.symbol,
            "net": self.net_usd,
            "tick": self.tick_size,
            "digits": price_decimals(self.tick_size),
            "start": str(self.time[0]),
            "step": step,
            "gaps": [[int(i) + 1, int(minutes[i])] for i in np.flatnonzero(minutes != step)],
            "base": int(before[0]),
            "c": (close - before).tolist(),
            "o": (opening - before).tolist(),
            "h": (high - np.maximum(opening, close)).tolist(),
            "l": (np.minimum(opening, close) - low).tolist(),
            "levels": level_runs(self.stop, self.target),
            "trades": [list(dataclasses.astuple(trade)) for trade in self.trades],
        }


def level_runs(stop: np.ndarray, target: np.ndarray) -> list[list[int]]:
    """[first row, rows, stop, target] of every stretch of bars with one pair of levels; int [N] each, 0 for none."""
    change = np.flatnonzero((np.diff(stop, prepend=-1) != 0) | (np.diff(target, prepend=-1) != 0))
    ends = np.append(change[1:], len(stop))
    runs = zip(change, ends, strict=True)
    return [[int(a), int(b - a), int(stop[a]), int(target[a])] for a, b in runs if stop[a] or target[a]]


def session_charts(
    evaluation: Evaluation, env: TradingPhase1, params: Any, max_sessions: int = MAX_SESSIONS
) -> list[SessionChart]:
    """Charts of the evaluation's sessions, in order; of more than `max_sessions` the best, the worst and others evenly.

    The recorded actions are played once more, which gives the stop and target of every bar.

    Raises ValueError where `params` are not those of the evaluation.
    """
    chosen = choose_sessions(evaluation.sessions["net_usd"].to_numpy(), max_sessions)
    steps = evaluation.sessions["steps"].to_numpy()
    market, end = params.market, np.cumsum(steps)
    starts = [_start(evaluation, market, int(end[i] - steps[i])) for i in chosen]
    actions = np.zeros((int(steps[chosen].max()), len(chosen)), np.int32)
    codes = evaluation.bars["action"].cat.codes.to_numpy()
    for column, i in enumerate(chosen):
        actions[: steps[i], column] = codes[end[i] - steps[i] : end[i]]
    params = params.replace(max_steps_in_episode=2**30, terminate_at_session_end=True, forced_entry_fraction=0.0)
    market_id, bar = (jnp.asarray(x, jnp.int32) for x in zip(*starts, strict=True))
    levels = jax.device_get(_replay(env, params, market_id, bar, jnp.asarray(actions)))
    charts = []
    for column, i in enumerate(chosen):
        played = slice(end[i] - steps[i], end[i])
        stop, target, equity = (np.asarray(x)[: steps[i], column] for x in levels)
        if not np.array_equal(equity, np.rint(evaluation.bars["equity_usd"].to_numpy()[played] * 100)):
            raise ValueError("the evaluation was made with other parameters: give those that it was made with")
        charts.append(_chart(evaluation, market, int(i), starts[column], stop, target))
    return charts


def choose_sessions(net_usd: np.ndarray, limit: int) -> np.ndarray:
    """Rows of at most `limit` sessions (2 or more) of these results [N], rising: the best, the worst, others evenly."""
    count = len(net_usd)
    if count <= limit:
        return np.arange(count)
    extremes = {int(net_usd.argmax()), int(net_usd.argmin())}
    others = np.setdiff1d(np.arange(count), list(extremes))
    evenly = others[np.linspace(0, len(others) - 1, limit - len(extremes)).round().astype(int)]
    return np.unique([*extremes, *evenly])


@functools.partial(jax.jit, static_argnums=0)
def _replay(
    env: TradingPhase1, params: Any, market_id: jax.Array, bar: jax.Array, actions: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Stop and target in force during each outcome bar, ticks, and equity after it, cents; int32 [steps, sessions]."""

    def one(state: Any, action: jax.Array) -> tuple[Any, tuple[jax.Array, jax.Array, jax.Array]]:
        now, outcome = pair_of_bars(params.market, state.market_id, state.step_idx)
        legal, _ = rules.enforce_legality(action, env.action_mask(state, params))
        held = env._manage_stop(state, legal, now, params)
        held, _ = rules.enter(held, legal, now, outcome, env._terms(state.market_id, params), params)
        after, _, _ = env.play(state, action, params)
        return after, (held.sl_price, held.tp_price, after.equity)

    state = jax.vmap(env._new_account, (None, 0, 0, None))(params, market_id, bar, jnp.int32(0))
    return jax.lax.scan(jax.vmap(one), state, actions)[1]


def _start(evaluation: Evaluation, market: MarketData, row: int) -> tuple[int, int]:
    """Market and first decision bar of the session whose first step is `row` of the bars."""
    first = evaluation.bars.iloc[row]
    m = market.symbols.index(str(first["market"]))
    return m, _bar_at(market, m, first["time"]) - 1


def _bar_at(market: MarketData, m: int, time: Any) -> int:
    closes = np.asarray(market.close_minute)[m, : int(market.num_bars[m])]
    return int(np.searchsorted(closes, int(time.timestamp()) // 60))


def _chart(
    evaluation: Evaluation,
    market: MarketData,
    i: int,
    start: tuple[int, int],
    stop: np.ndarray,
    target: np.ndarray,
) -> SessionChart:
    (m, decision), session = start, evaluation.sessions.iloc[i]
    first, end = max(0, decision + 1 - LEAD_BARS), decision + 1 + len(stop)
    lead = np.zeros(decision + 1 - first, np.int64)
    tick = market.specs[m].tick_size
    before = int(evaluation.sessions["trades"].to_numpy()[:i].sum())
    trades = evaluation.trades.iloc[before : before + int(session["trades"])]
    rows = np.asarray(market.bars)[m, first:end][:, [OPEN, HIGH, LOW, CLOSE]].astype(np.int64)
    return SessionChart(
        date=f"{session['date']:%Y-%m-%d}",
        symbol=market.symbols[m],
        net_usd=float(session["net_usd"]),
        tick_size=tick,
        time=new_york_minutes(np.asarray(market.close_minute)[m, first:end].astype(np.int64)).astype("datetime64[m]"),
        bars=rows,
        stop=np.concatenate([lead, stop]),
        target=np.concatenate([lead, target]),
        trades=[_trade(trade, _bar_at(market, m, trade.exit_time) - first, tick) for trade in trades.itertuples()],
    )


def _trade(trade: Any, exit_row: int, tick: float) -> ChartTrade:
    return ChartTrade(
        entry_row=exit_row - int(trade.bars_held) + 1,
        exit_row=exit_row,
        side=int(trade.side),
        contracts=int(trade.contracts),
        entry=round(trade.entry_price / tick),
        exit=round(trade.exit_price / tick),
        reason=str(trade.exit_reason),
        net_usd=float(trade.net_usd),
        entry_clock=f"{trade.entry_time:%H:%M}",
    )
