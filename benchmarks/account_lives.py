"""Whole lives of accounts by the clock: 10,000 of 60 sessions under each of 20 plans, after compiling.

python -m benchmarks.account_lives [--lives 10000] [--sessions 60] [--plans 20] [--contracts 1] [--rate 0.03]
    [--named -50k] [--recorded 100] [--walks 1] [--free] [--write]
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import report
from benchmarks.machine import RESULTS, busy_share, machine, markdown_table, versions
from trading_gymnax import TradingPhase2
from trading_gymnax.accounts import Plan, plans
from trading_gymnax.data.loader import load_bars
from trading_gymnax.evaluation.baselines import RandomEntries
from trading_gymnax.market import pack
from trading_gymnax.rules import DONE_REASONS
from trading_gymnax.survival.lives import live, tables_of
from trading_gymnax.survival.paths import bootstrap_orders
from trading_gymnax.survival.tape import join_tapes, record
from trading_gymnax.survival.value import stacked
from trading_gymnax.synthetic import martingale

COSTS = (
    *("commission_per_side", "slippage_ticks", "slippage_atr_mult", "stop_slippage_ticks", "stop_slippage_atr_mult"),
    "target_through_ticks",
)


def main() -> None:
    """Time three calls, of which the first compiles, and print what became of the lives."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--lives", type=int, default=10_000)
    asked.add_argument("--sessions", type=int, default=60)
    asked.add_argument("--plans", type=int, default=20)
    asked.add_argument("--contracts", type=int, default=1)
    asked.add_argument("--rate", type=float, default=0.03, help="of entries where one is legal")
    asked.add_argument("--named", default="", help="how the plans' names end")
    asked.add_argument("--recorded", type=int, default=100, help="sessions of the martingale")
    asked.add_argument("--walks", type=int, default=1, help="of the coin through them")
    asked.add_argument("--free", action="store_true", help="without the costs of trading: a fair game")
    asked.add_argument("--write", action="store_true", help="a page and its figures into benchmarks/results")
    options = asked.parse_args()
    synthetic = martingale(options.recorded, seed=1)
    market = pack([load_bars(synthetic.frame, synthetic.spec)])
    env = TradingPhase2(market)
    coin = RandomEntries(jnp.float32(options.rate))
    params = env.default_params.replace(**dict.fromkeys(COSTS, 0)) if options.free else env.default_params
    keys = jax.random.split(jax.random.key(0), options.walks)
    walks = [record(coin, env, params, key=key, max_contracts=options.contracts) for key in keys]
    recorded, tape = walks[0], join_tapes([walk.tape for walk in walks])
    named = [plan for name, plan in plans().items() if name.endswith(options.named)]
    chosen = named[:: max(1, len(named) // options.plans)][: options.plans]
    rules = stacked([(plan, options.contracts) for plan in chosen], params)
    draw = {"paths": options.lives, "horizon": options.sessions}
    orders = bootstrap_orders(jax.random.key(1), recorded.tape.follows, jnp.float32(5), **draw)
    walk = jax.random.randint(jax.random.key(2), orders.shape, 0, options.walks, jnp.int32)
    orders += walk * len(recorded.date)
    bars = np.asarray(recorded.tape.num_bars).mean()
    print(f"{recorded.trades / len(recorded.date):.1f} trades and {bars:.0f} recorded bars a session")
    busy, times = busy_share(), []
    for attempt in ("compiling", "again", "again"):
        start, worked = time.perf_counter(), time.process_time()
        found = jax.block_until_ready(live(tape, rules, tables_of(tape, rules), orders))
        took, worked = time.perf_counter() - start, time.process_time() - worked
        times.append({"call": attempt, "seconds": took, "processor_s": worked})
        lived = int(np.asarray(found.days).sum())
        print(
            f"{attempt}: {took:.2f} s, {worked:.2f} of a core, {len(chosen)} plans, {lived:,} days lived, "
            f"{1e9 * took / lived:.0f} ns a day"
        )
    rows = plan_rows(chosen, jax.device_get(found))
    print("\n".join(markdown_table(COLUMNS, [list(row.values()) for row in rows])))
    if options.write:
        about = {"device": jax.devices()[0].device_kind, **machine(), **versions(("jax", "gymnax"))}
        about |= {"busy_before": round(busy, 2)}
        typed = shlex.join(x for x in sys.argv[1:] if x != "--write")
        write(f"python -m benchmarks.account_lives {typed}".strip(), about, times, rows, lived)


COLUMNS = ("plan", "passed", "payouts", "paid", "fees", "left", "standard error", "days", "ends")


def plan_rows(chosen: list[Plan], found: Any) -> list[dict[str, str]]:
    """What became of the lives of each plan; money is the mean of an account, dollars."""
    rows = []
    usd, lives = (found.paid_out - found.fees) / 100, found.fees.shape[1]
    for at, plan in enumerate(chosen):
        shares = np.bincount(found.ended[at], minlength=len(DONE_REASONS)) / lives
        ends = ", ".join(f"{name} {share:.3f}" for name, share in zip(DONE_REASONS, shares, strict=True) if share)
        cells = (
            *(plan.name, f"{(found.pass_day[at] > 0).mean():.3f}", f"{found.payouts[at].mean():.2f}"),
            *(f"{found.paid_out[at].mean() / 100:,.0f}", f"{found.fees[at].mean() / 100:,.0f}"),
            *(f"{usd[at].mean():+,.0f}", f"{usd[at].std() / lives**0.5:.0f}", f"{found.days[at].mean():.1f}", ends),
        )
        rows.append(dict(zip(COLUMNS, cells, strict=True)))
    return rows


def write(
    command: str, about: dict[str, Any], times: list[dict[str, Any]], rows: list[dict[str, str]], lived: int
) -> None:
    """The page and its figures."""
    said = ", ".join(f"{name} {value}" for name, value in about.items())
    cells = [[row["call"], f"{row['seconds']:.2f}", f"{row['processor_s']:.2f}"] for row in times]
    page = [f"`{command}`", "", said, "", *markdown_table(("call", "seconds", "processor seconds"), cells), ""]
    page += [f"{lived:,} days were lived. Money is dollars an account.", ""]
    page += markdown_table(COLUMNS, [list(row.values()) for row in rows])
    name = f"account_lives_{about['device']}_{about['cores']}cores".replace(" ", "_").lower()
    report.write(
        RESULTS, name, page, {"command": command, "machine": about, "times": times, "days": lived, "rows": rows}
    )


if __name__ == "__main__":
    main()
