"""How long a live trader takes to decide, and what memory it holds: `python -m benchmarks.live`.

Pin it to one core, as a trader on a small machine would have: `taskset -c 0 python -m benchmarks.live`.
"""

from __future__ import annotations

import argparse
import pathlib
import resource
import tempfile
import time
from typing import Any

import jax
import numpy as np

from purejaxrl_ppo import Policy, PPOConfig
from purejaxrl_ppo.policy import fresh_policy
from purejaxrl_ppo.wrappers import concrete_spec, prepare
from trading_gymnax import TradingPhase2
from trading_gymnax.data.loader import load_bars
from trading_gymnax.live import Guard, Trader
from trading_gymnax.live.history import bars_from, until
from trading_gymnax.market import pack
from trading_gymnax.synthetic import martingale

WARM_UP = 50  # decisions that are not counted


def make_policy(env: TradingPhase2, params: Any) -> Policy:
    """A network of the trainer's default size that never learnt: its work is that of one that did."""
    return fresh_policy(jax.random.key(0), concrete_spec(prepare(env, params)[1]), PPOConfig(), sampled=False)


def megabytes() -> float:
    """Memory of this process now."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def measure(bars: int, folder: pathlib.Path | None, durable: bool) -> None:
    """Feed that many bars, and print the times of `on_bar` and the memory on the way."""
    tape = martingale(4 + bars // 1380, seed=1)
    table = load_bars(tape.frame, tape.spec)
    cut = 2 * 1380
    env = TradingPhase2(pack([table]))
    params = env.default_params
    guard = Guard(max_errors=None)
    history = until(table, cut)
    trader = Trader(make_policy(env, params), env, params, history, folder=folder, guard=guard, durable=durable)
    times, is_asked = np.zeros(bars), np.zeros(bars, bool)  # made whole now, so that they do not grow
    memory = []
    for number, bar in enumerate(bars_from(table, cut)):
        if number == bars:
            break
        begun = time.perf_counter()
        decision = trader.on_bar(bar)
        times[number], is_asked[number] = time.perf_counter() - begun, bool(decision.mask)
        if number % (bars // 10 or 1) == 0:
            memory.append(megabytes())
            print(f"{number:,} bars: {memory[-1]:.0f} MB", flush=True)
    where = "in memory" if folder is None else "state file, waits for the disk" if durable else "state file"
    for name, chosen in (("a decision", is_asked), ("a bar outside the hours", ~is_asked)):
        those = times[chosen][WARM_UP:]
        middle, late = np.percentile(those, [50, 99]) * 1e3
        print(f"{where}: {name}: median {middle:.3f} ms, 99 in 100 below {late:.3f} ms, {len(those):,} of them")
    print(f"{where}: memory {' '.join(f'{value:.0f}' for value in memory)} MB over {bars:,} bars")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bars", type=int, default=20_000)
    parser.add_argument("--only-memory", action="store_true", help="one run without files, for many bars")
    arguments = parser.parse_args()
    measure(arguments.bars, None, durable=False)
    if not arguments.only_memory:
        for durable in (False, True):
            with tempfile.TemporaryDirectory() as folder:
                measure(arguments.bars, pathlib.Path(folder), durable)


if __name__ == "__main__":
    main()
