"""Seconds that `evaluate_policy` takes for 1,000 sessions, after compilation and for it.

    python -m benchmarks.evaluate                        # both phases, 1,000 sessions, median of five
    python -m benchmarks.evaluate --sessions 100 --repeats 9

A call walks every session to its end and makes the frames of trades, bars, sessions and actions, with the check of the
books. Rows: `network` takes the most probable action of two layers of 64 units, `random` draws among the legal ones.
Results go to benchmarks/results/evaluate_<machine>.json and .md.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from benchmarks import report
from benchmarks.machine import RESULTS, machine, markdown_table, versions
from trading_gymnax import TradingPhase1, TradingPhase2
from trading_gymnax.evaluation.baselines import RandomLegal
from trading_gymnax.evaluation.evaluate import evaluate_policy
from trading_gymnax.market import MarketData, load_market_data
from trading_gymnax.synthetic import regime

ENVIRONMENTS = {1: TradingPhase1, 2: TradingPhase2}
UNITS = 64


@struct.dataclass
class Network:
    """The most probable action of a network with fixed random weights."""

    weights: tuple[jax.Array, ...]  # one matrix a layer

    def __call__(self, key: jax.Array, obs: jax.Array, mask: jax.Array) -> jax.Array:
        """A legal action in every row, int32 [B]."""
        x = obs
        for weight in self.weights[:-1]:
            x = jnp.tanh(x @ weight)
        logits = jnp.where(mask, x @ self.weights[-1], jnp.finfo(jnp.float32).min)
        return jnp.argmax(logits, axis=1).astype(jnp.int32)


def network(env: Any) -> Network:
    """Two layers of `UNITS` units and one of logits."""
    sizes = (env.obs_shape[0], UNITS, UNITS, env.num_actions)
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = zip(keys, sizes[:-1], sizes[1:], strict=True)
    return Network(tuple(jax.random.normal(key, (m, n)) / m**0.5 for key, m, n in shapes))


def measure(market: MarketData, phase: int, kind: str, repeats: int) -> dict[str, Any]:
    """One row: median and spread of seconds, seconds of compilation, and what was walked."""
    env = ENVIRONMENTS[phase](market)
    policy = network(env) if kind == "network" else RandomLegal()
    seconds = []
    for i in range(repeats + 1):
        began = time.perf_counter()
        found = evaluate_policy(policy, env, env.default_params, key=jax.random.key(i))
        seconds.append(time.perf_counter() - began)
    first, *later = seconds
    median = statistics.median(later)
    return {
        "environment": env.name,
        "row": kind,
        "sessions": len(found.sessions),
        "steps": len(found.bars),
        "trades": len(found.trades),
        "seconds": median,
        "fastest": min(later),
        "slowest": max(later),
        "compile_s": first - median,
    }


def as_page(rows: list[dict[str, Any]], about: dict[str, Any], command: str) -> list[str]:
    """Lines of the page as printed."""
    header = ("environment", "policy", "sessions", "steps", "trades", "seconds", "fastest to slowest", "compile s")
    cells = [
        (
            *(row["environment"], row["row"], f"{row['sessions']:,}", f"{row['steps']:,}", f"{row['trades']:,}"),
            *(f"{row['seconds']:.2f}", f"{row['fastest']:.2f} to {row['slowest']:.2f}", f"{row['compile_s']:.1f}"),
        )
        for row in rows
    ]
    said = ", ".join(f"{name} {value}" for name, value in about.items())
    return [f"`{command}`", "", said, "", *markdown_table(header, cells)]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phases", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    parser.add_argument("--sessions", type=int, default=1_000)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    tape = regime(args.sessions)
    market = load_market_data(tape.frame, tape.spec)
    rows = []
    for phase in args.phases:
        for kind in ("network", "random"):
            rows.append(measure(market, phase, kind, args.repeats))
            print(f"{rows[-1]['environment']} {kind}: {rows[-1]['seconds']:.2f} s", flush=True)
    about = {"device": jax.devices()[0].device_kind, **machine(), **versions(("jax", "gymnax"))}
    phases = " ".join(map(str, args.phases))
    command = f"python -m benchmarks.evaluate --phases {phases} --sessions {args.sessions} --repeats {args.repeats}"
    page = as_page(rows, about, command)
    print("\n".join(page))
    name = f"evaluate_{about['device']}_{about['cores']}cores".replace(" ", "_").lower()
    report.write(RESULTS, name, page, {"command": command, "machine": about, "rows": rows})


if __name__ == "__main__":
    main()
