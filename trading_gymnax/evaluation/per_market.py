"""Results told apart by market: one row for each market that an evaluation walked through."""

from __future__ import annotations

import math

import pandas as pd

from trading_gymnax.evaluation.evaluate import Evaluation
from trading_gymnax.evaluation.summary import mean_and_error
from trading_gymnax.text import number


def by_market(evaluation: Evaluation) -> pd.DataFrame:
    """One row a market, in the order of their first sessions; dollars, shares from 0 to 1.

    Columns: sessions, trades, win_rate, net_per_session_usd, standard_error_usd (of that mean, from the spread between
    sessions), net_usd. NaN where there is nothing to measure. The nets add up to that of the evaluation.
    """
    rows = {}
    for market, sessions in evaluation.sessions.groupby("market", sort=False):
        trades = evaluation.trades.loc[evaluation.trades["market"] == market, "net_usd"]
        net = sessions["net_usd"].to_numpy()
        mean, error = mean_and_error(net)
        rows[str(market)] = {
            "sessions": len(net),
            "trades": len(trades),
            "win_rate": float((trades > 0).mean()) if len(trades) else math.nan,
            "net_per_session_usd": mean,
            "standard_error_usd": error,
            "net_usd": float(net.sum()),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("market")


def market_lines(table: pd.DataFrame) -> list[str]:
    """The table as lines of plain text, the header first."""
    wide = max(len(name) for name in table.index)
    lines = [f"{'':{wide}}  sessions  trades  win %  $/session  std.err.       total $"]
    for name, row in table.iterrows():
        win, error = number(100 * row["win_rate"], 1), number(row["standard_error_usd"])
        lines.append(
            f"{name:{wide}}  {row['sessions']:8,.0f}  {row['trades']:6,.0f}  {win:>5}  "
            f"{row['net_per_session_usd']:9,.0f}  {error:>8}  {row['net_usd']:12,.0f}"
        )
    return lines
