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
from trading_gymnax.cli.learners import TRADER, ppo_fold_learner
from trading_gymnax.data.loader import load_bars
from trading_gymnax.skill.permutation import permutation_test
from trading_gymnax.skill.tapes import Source
from trading_gymnax.synthetic import martingale


def main() -> None:
    """Time the tapes after the first one, which pays for compiling, and print what 200 would take."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--tapes", type=int, default=200)
    asked.add_argument("--steps", type=int, default=200_000)
    asked.add_argument("--sessions", type=int, default=60)
    asked.add_argument("--tapes-at-once", type=int, default=8)
    options = asked.parse_args()
    tape = martingale(options.sessions)
    source = Source(tape.spec, (load_bars(tape.frame, tape.spec),), {})
    env = TradingPhase1(source.real())
    config = dataclasses.replace(TRADER, total_timesteps=options.steps)
    steps = config.num_iterations * config.batch_size
    held_out = str(tape.frame["timestamp"].iloc[-len(tape.frame) // 3].date())
    marks = [time.perf_counter()]
    with contextlib.suppress(KeyboardInterrupt):
        permutation_test(
            ppo_fold_learner(dataclasses.replace(config, total_timesteps=steps), None, None),
            env,
            lambda number: source.drawn("bars", 0, number) if number else source.real(),
            held_out,
            tapes=options.tapes,
            enough=options.tapes + 1,
            at_once=options.tapes_at_once,
            progress=lambda done, total, what: marks.append(time.perf_counter()),
        )
    each = (marks[-1] - marks[1]) / max(len(marks) - 2, 1)
    kind = jax.devices()[0].device_kind
    print(f"{kind}: first tape {marks[1] - marks[0]:.1f} s with compiling, {len(marks) - 2} more, {each:.2f} s each")
    print(f"{options.tapes} tapes of {steps:,} steps: {(marks[-1] - marks[0]) / 60:.1f} minutes")


if __name__ == "__main__":
    main()
