"""Where a profit comes from: the trades of an evaluation by hour, weekday, volatility, trend, side, exit and month.

Dollars, net of costs. Every table has an index of names in their natural order and the columns of `grouped`; the nets
of a table add up to those of all trades.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from trading_gymnax.evaluation.evaluate import Evaluation
from trading_gymnax.evaluation.robustness import Robustness
from trading_gymnax.market import ATR_BITS, CLOSE, MarketData

BEST_TRADES = 10
TREND_BARS = 60
COMMISSION_FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0)
_TERCILES = ("low", "middle", "high")
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")


def grouped(trades: pd.DataFrame, names: pd.Series | np.ndarray, order: list[str] | None = None) -> pd.DataFrame:
    """Trades, net, mean net and share of winners by name; in a given order, where names without trades are left out."""
    nets = trades["net_usd"].groupby(np.asarray(names), sort=True)
    table = pd.DataFrame(
        {
            "trades": nets.size(),
            "net_usd": nets.sum(),
            "mean_usd": nets.mean(),
            "win_rate": nets.apply(lambda x: float((x > 0).mean())),
        }
    )
    return table if order is None else table.loc[[name for name in order if name in table.index]]


def by_hour(trades: pd.DataFrame) -> pd.DataFrame:
    """By the New York hour of the entry."""
    return grouped(trades, trades["entry_time"].dt.strftime("%H:00"))


def by_weekday(trades: pd.DataFrame) -> pd.DataFrame:
    """By the weekday that names the session."""
    return grouped(trades, trades["date"].dt.day_name(), list(_WEEKDAYS))


def by_month(trades: pd.DataFrame) -> pd.DataFrame:
    """By the month of the session."""
    return grouped(trades, trades["date"].dt.strftime("%Y-%m"))


def by_side(trades: pd.DataFrame) -> pd.DataFrame:
    """Long and short."""
    return grouped(trades, np.where(trades["side"] > 0, "long", "short"))


def by_exit(trades: pd.DataFrame) -> pd.DataFrame:
    """By the exit reason."""
    return grouped(trades, trades["exit_reason"])


def by_volatility(trades: pd.DataFrame, market: MarketData) -> pd.DataFrame:
    """By the ATR at the decision to enter, in terciles of all trades of a market."""
    return grouped(trades, _terciles(trades, _at_decision(trades, market)[0]), list(_TERCILES))


def by_trend(trades: pd.DataFrame, market: MarketData) -> pd.DataFrame:
    """By the move of the last 60 bars before the entry in ATR, seen from the side taken, in terciles: with a high one
    the trade went along."""
    atr, move = _at_decision(trades, market)
    return grouped(trades, _terciles(trades, trades["side"].to_numpy() * move / np.maximum(atr, 1)), list(_TERCILES))


def without_best(trades: pd.DataFrame, count: int = BEST_TRADES) -> float:
    """Net of all trades less that of the best ones, dollars; 0 where there are no more."""
    return float(np.sort(trades["net_usd"].to_numpy())[: max(0, len(trades) - count)].sum())


def origins(evaluation: Evaluation, market: MarketData) -> dict[str, pd.DataFrame]:
    """All tables by their titles; none for an evaluation without trades."""
    trades = evaluation.trades
    if len(trades) == 0:
        return {}
    return {
        "hour of the entry": by_hour(trades),
        "weekday": by_weekday(trades),
        "month": by_month(trades),
        "side": by_side(trades),
        "exit": by_exit(trades),
        "volatility at the entry": by_volatility(trades, market),
        "trend of the last hour, from the side taken": by_trend(trades, market),
    }


def cost_grid(found: Robustness) -> pd.DataFrame:
    """Net of all sessions: a row for each slippage in ticks, a column for each multiple of the commission.

    Each slippage was walked; of the commission the paid sum is added or taken away, which is exact unless a rule of the
    account ended a session.
    """
    rows = {
        ticks: {factor: outcome.net_usd + (1 - factor) * outcome.commission_usd for factor in COMMISSION_FACTORS}
        for ticks, outcome in found.slippage.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(COMMISSION_FACTORS))


def break_even_usd(trades: pd.DataFrame) -> float:
    """Cost of a round trip at which nothing would be left: (net + costs) / trades; NaN without trades.

    At the fills as they were. Below 0 the policy loses before costs.
    """
    costs = trades["commission_usd"].sum() + trades["slippage_usd"].sum()
    return float((trades["net_usd"].sum() + costs) / len(trades)) if len(trades) else math.nan


def break_even_ticks(found: Robustness) -> float:
    """Ticks of slippage at which the net falls through zero, between those that were walked; NaN where it does not."""
    ticks = np.array(list(found.slippage), float)
    nets = np.array([outcome.net_usd for outcome in found.slippage.values()])
    falls = np.flatnonzero((nets[:-1] > 0) & (nets[1:] <= 0))
    if len(falls) == 0:
        return math.nan
    at = falls[0]
    return float(ticks[at] + (ticks[at + 1] - ticks[at]) * nets[at] / (nets[at] - nets[at + 1]))


def _terciles(trades: pd.DataFrame, values: np.ndarray) -> np.ndarray:
    """low, middle or high of each trade among those of its market, [N]."""
    rank = pd.Series(values).groupby(trades["market"].to_numpy()).rank(method="first", pct=True)
    return np.asarray(_TERCILES)[np.minimum((rank.to_numpy() * 3 - 1e-9).astype(int), 2)]


def _at_decision(trades: pd.DataFrame, market: MarketData) -> tuple[np.ndarray, np.ndarray]:
    """ATR and move of the last hour at each trade's decision bar, ticks, float64 [N] each."""
    atr, move = np.zeros(len(trades)), np.zeros(len(trades))
    minutes = trades["entry_time"].dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[m]")
    for m, symbol in enumerate(market.symbols):
        mine = np.flatnonzero(trades["market"].to_numpy() == symbol)
        count = int(market.num_bars[m])
        closes = np.asarray(market.close_minute)[m, :count]
        bars = np.asarray(market.bars)[m, :count]
        decided = np.searchsorted(closes, minutes[mine].astype(np.int64), side="right") - 1
        before = np.maximum(decided - TREND_BARS, 0)
        atr[mine] = bars[decided, ATR_BITS].view(np.float32)
        move[mine] = bars[decided, CLOSE] - bars[before, CLOSE]
    return atr, move
