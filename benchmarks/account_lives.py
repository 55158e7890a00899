"""Whole lives of accounts by the clock: 10,000 of 60 sessions under each of 20 plans, after compiling.

python -m benchmarks.account_lives [--lives 10000] [--sessions 60] [--plans 20] [--contracts 1] [--rate 0.03]
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax import TradingPhase2
from trading_gymnax.accounts import plans
from trading_gymnax.data.loader import load_bars
from trading_gymnax.evaluation.baselines import RandomEntries
from trading_gymnax.market import pack
from trading_gymnax.rules import DONE_REASONS
from trading_gymnax.survival.lives import live, tables_of
from trading_gymnax.survival.paths import bootstrap_orders
from trading_gymnax.survival.tape import join_tapes, record
from trading_gymnax.survival.value import stacked
from trading_gymnax.synthetic import martingale


def main() -> None:
    """Time three calls, of which the first compiles, and print what became of the lives."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--lives", type=int, default=10_000)
    asked.add_argument("--sessions", type=int, default=60)
    asked.add_argument("--plans", type=int, default=20)
    asked.add_argument("--contracts", type=int, default=1)
    asked.add_argument("--rate", type=float, default=0.03, help="of entries where one is legal")
    options = asked.parse_args()
    synthetic = martingale(100, seed=1)
    market = pack([load_bars(synthetic.frame, synthetic.spec)])
    env = TradingPhase2(market)
    coin = RandomEntries(jnp.float32(options.rate))
    recorded = record(coin, env, env.default_params, key=jax.random.key(0), max_contracts=options.contracts)
    tape = join_tapes([recorded.tape])
    chosen = list(plans().values())[:: max(1, len(plans()) // options.plans)][: options.plans]
    rules = stacked([(plan, options.contracts) for plan in chosen], env.default_params)
    draw = {"paths": options.lives, "horizon": options.sessions}
    orders = bootstrap_orders(jax.random.key(1), recorded.tape.follows, jnp.float32(5), **draw)
    bars = np.asarray(recorded.tape.num_bars).mean()
    print(f"{recorded.trades / len(recorded.date):.1f} trades and {bars:.0f} recorded bars a session")
    for attempt in ("compiling", "again", "again"):
        start = time.perf_counter()
        found = jax.block_until_ready(live(tape, rules, tables_of(tape, rules), orders))
        took = time.perf_counter() - start
        lived = int(np.asarray(found.days).sum())
        print(f"{attempt}: {took:.2f} s, {len(chosen)} plans, {lived:,} days lived, {1e9 * took / lived:.0f} ns a day")
    found = jax.device_get(found)
    for at, plan in enumerate(chosen):
        shares = np.bincount(found.ended[at], minlength=len(DONE_REASONS)) / options.lives
        ends = ", ".join(f"{name} {share:.3f}" for name, share in zip(DONE_REASONS, shares, strict=True) if share)
        print(
            f"{plan.name}: passed {(found.pass_day[at] > 0).mean():.3f}, {found.payouts[at].mean():.2f} payouts, paid "
            f"{found.paid_out[at].mean() / 100:,.0f} for fees of {found.fees[at].mean() / 100:,.0f} dollars, "
            f"{found.days[at].mean():.1f} days; {ends}"
        )


if __name__ == "__main__":
    main()
