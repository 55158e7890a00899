"""One permutation test that retrains: 200 tapes of 200,000 steps each, by the clock.

python -m benchmarks.permutation [--tapes 200] [--steps 200000] [--sessions 60]
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import time

import jax

from trading_gymnax import TradingPhase1
from trading_gymnax.cli.learners import ppo_fold_learner
from trading_gymnax.cli.trader import TRADER
from trading_gymnax.data.loader import load_bars
from trading_gymnax.skill.permutation import permutation_test
from trading_gymnax.skill.tapes import Source
from trading_gymnax.synthetic import martingale


def main() -> None:
    """Time the real bars, which pay for compiling, and the tapes. Interrupted, it says how far it came."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--tapes", type=int, default=200)
    asked.add_argument("--steps", type=int, default=200_000)
    asked.add_argument("--sessions", type=int, default=60)
    asked.add_argument("--tapes-at-once", type=int, default=8)
    options = asked.parse_args()
    tape = martingale(options.sessions)
    source = Source(tape.spec, (load_bars(tape.frame, tape.spec),), {})
    env = TradingPhase1(source.real())
    iterations = -(-options.steps // TRADER.batch_size)  # whole ones: that many steps at least
    config = dataclasses.replace(TRADER, total_timesteps=iterations * TRADER.batch_size)
    held_out = str(tape.frame["timestamp"].iloc[-len(tape.frame) // 3].date())
    marks = [time.perf_counter()]
    with contextlib.suppress(KeyboardInterrupt):
        permutation_test(
            ppo_fold_learner(config, None, None),
            env,
            lambda number: source.drawn("bars", 0, number) if number else source.real(),
            held_out,
            tapes=options.tapes,
            enough=options.tapes + 1,
            at_once=options.tapes_at_once,
            progress=lambda done, total, what: marks.append(time.perf_counter()),
        )
    tapes, minutes = len(marks) - 2, (marks[-1] - marks[0]) / 60
    print(f"{jax.devices()[0].device_kind}: the real bars took {marks[1] - marks[0]:.1f} s, compiling included")
    print(f"{tapes} tapes of {config.total_timesteps:,} steps: {(marks[-1] - marks[1]) / max(tapes, 1):.2f} s each")
    print(f"{minutes:.1f} minutes in all")


if __name__ == "__main__":
    main()
