"""Round trips worked out again from the tape: prices, slippage and commissions, without the rules' own code.

A fee of the wrong sign or a fill that the bars do not give would make every policy look better, and the books of an
evaluation would still balance: they are made from the same fills.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.synthetic import SyntheticMarket
from trading_gymnax.text import count_text


def wrong_round_trips(trades: pd.DataFrame, tape: SyntheticMarket, params: Any) -> str:
    """What is wrong with the trades of an evaluation on a tape, in one sentence; "" where all are right.

    An entry fills at the open of its bar, `slippage_ticks` worse; a stop at its level or, beyond it, at the open of the
    bar, `stop_slippage_ticks` worse; a target at its price; the session's close `slippage_ticks` worse. Each side of a
    contract costs the commission of the contract table, whatever the parameters say.

    Args:
        trades: of `evaluate_policy` in phase 1 under rules without ATR-dependent slippage and account limits.
        tape: what they were traded on.
        params: parameters of the environment.
    """
    if len(trades) == 0:
        return ""
    entry, leave = _expected_ticks(trades, tape, params)
    tick, side, contracts = tape.spec.tick_size, trades["side"].to_numpy(), trades["contracts"].to_numpy()
    found = [_ticks(trades[name], tick) for name in ("entry_price", "exit_price")]
    wrong = (found[0] != entry) | (found[1] != leave)
    if wrong.any():
        gain = side * ((found[1] - found[0]) - (leave - entry)) * contracts * tape.spec.tick_value_cents / 100
        return (
            f"{count_text(int(wrong.sum()), 'round trip')} of {len(trades):,} filled at prices that the tape and the "
            f"slippage do not give, {gain[wrong].mean():+,.2f} dollars each"
        )
    gross = side * (leave - entry) * contracts * tape.spec.tick_value_cents / 100
    fees = 2 * contracts * tape.spec.commission_per_side
    excess = trades["net_usd"].to_numpy() - (gross - fees)
    wrong = np.abs(excess) > 0.001
    if wrong.any():
        return (
            f"{count_text(int(wrong.sum()), 'round trip')} of {len(trades):,} net {excess[wrong].mean():+,.2f} dollars "
            "more than their prices less two commissions each: the fees are not paid as the contract says"
        )
    return ""


def _expected_ticks(trades: pd.DataFrame, tape: SyntheticMarket, params: Any) -> tuple[np.ndarray, np.ndarray]:
    """Prices of entry and exit that the tape gives, whole ticks, int64 [N] each."""
    tick, side = tape.spec.tick_size, trades["side"].to_numpy().astype(np.int64)
    start = _utc(tape.frame["timestamp"])
    enters = np.searchsorted(start, _utc(trades["entry_time"]))
    leaves = np.searchsorted(start, _utc(trades["exit_time"]) - np.timedelta64(1, "m"))
    opens, closes = _ticks(tape.frame["open"], tick), _ticks(tape.frame["close"], tick)
    slip, stop_slip = int(params.slippage_ticks), int(params.stop_slippage_ticks)
    entry = opens[enters] + side * slip
    risk = np.rint(trades["risk_usd"].to_numpy() * 100 / tape.spec.tick_value_cents / trades["contracts"].to_numpy())
    stop = -risk.astype(np.int64)
    target = np.rint(risk * float(params.tp_sl_ratio)).astype(np.int64)
    opened, closed = side * (opens[leaves] - entry), side * (closes[leaves] - entry)
    reason = trades["exit_reason"].to_numpy()
    move = np.select(
        [reason == "STOP", reason == "TARGET", reason == "SESSION_CLOSE"],
        [np.minimum(stop, np.where(leaves > enters, opened, 0)) - stop_slip, target, closed - slip],
        np.iinfo(np.int32).max,  # no other exit can be: such a trade is wrong
    )
    reached = (
        side * (_ticks(tape.frame["high"], tick)[leaves] - entry),
        side * (_ticks(tape.frame["low"], tick)[leaves] - entry),
    )
    best, worst = np.maximum(*reached), np.minimum(*reached)
    touched = np.where(reason == "TARGET", best >= target, np.where(reason == "STOP", worst <= stop, True))
    return entry, np.where(touched, entry + side * move, np.iinfo(np.int32).max)


def _utc(times: pd.Series) -> np.ndarray:
    return times.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()


def _ticks(prices: pd.Series, tick_size: float) -> np.ndarray:
    return np.rint(prices.to_numpy() / tick_size).astype(np.int64)
