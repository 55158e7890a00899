"""A small market and traders on it, for tests of feeds, fills and files: every call shares one compiled program."""

from __future__ import annotations

import functools
import pathlib
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from tests.live.material import NO_GUARD
from trading_gymnax import TradingPhase2
from trading_gymnax.data.loader import Bars, load_bars
from trading_gymnax.live import Bar, Trader, read_ledger
from trading_gymnax.live.history import bars_from, until
from trading_gymnax.market import pack
from trading_gymnax.synthetic import martingale

CONTRACTS = 3
OPENING = 930  # minute of the session at which 9:30 closes


class Market(NamedTuple):
    env: TradingPhase2
    params: Any
    history: Bars  # up to the bar before the first one of the third session at which an entry is allowed
    coming: list[Bar]  # what follows: the rest of the third session, and the fourth


@functools.cache
def market() -> Market:
    """Four sessions of a market without an edge; three contracts a trade."""
    tape = martingale(4, seed=7)
    bars = load_bars(tape.frame, tape.spec)
    cut = 2 * 1380 + OPENING - 1
    env = TradingPhase2(pack([bars]), position_size=CONTRACTS, trailing_dd_limit=100_000.0)
    return Market(env, env.default_params, until(bars, cut), list(bars_from(bars, cut)))


def always_buys(key: Any, obs: Any, mask: Any) -> Any:
    """BUY where it is legal, else HOLD."""
    return jnp.where(mask[..., 1], 1, 0)


def holds_then_sells(key: Any, obs: Any, mask: Any) -> Any:
    """SELL where the last bar rose and it is legal, else HOLD; uneven on purpose."""
    rose = obs[..., 19 * 11] > 0
    return jnp.where(mask[..., 2] & rose, 2, jnp.where(mask[..., 1], 1, 0))


def trader(policy: Any = always_buys, folder: pathlib.Path | None = None, **options: Any) -> Trader:
    there = market()
    chosen = {"guard": NO_GUARD, "durable": False, **options}
    return Trader(policy, there.env, there.params, there.history, folder=folder, **chosen)


def close_of(bar: Bar) -> int:
    """UTC minute of a bar's close, for bars of a minute stamped at their start."""
    return int(np.datetime64(bar.time, "m").astype(np.int64)) + 1


def ledger_net(folder: pathlib.Path) -> int:
    """Cents that the ledger's trades add up to, by the last word on each."""
    nets: dict[str, int] = {}
    for line in read_ledger(folder):
        if line["kind"] == "trade":
            nets[line["order_id"]] = round(100 * line["net_usd"])
        elif line["kind"] == "void":
            nets.pop(line["order_id"], None)
    return sum(nets.values())
