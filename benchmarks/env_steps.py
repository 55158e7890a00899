"""Environment steps per second by phase and number of environments, beside the plain-Python reference.

    python -m benchmarks.env_steps                       # both phases; 100, 1,000 and 10,000 environments
    python -m benchmarks.env_steps --phases 1 --num-envs 10000 --repeats 9

Random legal actions under `lax.scan`. Rows: `consumed` adds every observation up inside the loop, `stored` writes all
of them into one array, as a rollout does; `stock` is `consumed` with gymnax's own `Environment.step`, which resets and
observes twice. Every row is the median of several runs after one that is not counted. Results go to
benchmarks/results/env_steps_<machine>.json and .md. `benchmarks.bench` sets the same beside other projects.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import jax

from benchmarks import report
from benchmarks.contenders import environments, one_account
from benchmarks.machine import RESULTS, machine, markdown_table, versions

# environment steps of a run, all environments together
STEPS: dict[environments.Kind, int] = {"consumed": 600_000, "stock": 600_000, "stored": 300_000}
REFERENCE_STEPS = 20_000


def measure(phase: int, num_envs: int, kind: environments.Kind, repeats: int) -> dict[str, Any]:
    """One row: median and spread of steps/s, compile seconds, bytes per environment."""
    num_steps = max(20, min(1_000, STEPS[kind] // num_envs))
    run, facts = environments.rollout(kind, num_envs, num_steps, phase=phase)
    env, params = environments.trading(phase=phase)
    leaves = jax.tree.leaves(jax.eval_shape(env.reset, jax.random.key(0), params))
    row = {"environment": env.name, "row": kind, "num_envs": num_envs, **_speeds(run, repeats)}
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in leaves)
    return {**row, "compile_s": facts["compile_s"], "bytes_per_env": size}


def measure_reference(phase: int, repeats: int) -> dict[str, Any]:
    """The plain-Python reference on the same bars, one account, random legal actions, observation built."""
    run, _ = one_account.steps("reference", REFERENCE_STEPS, phase)
    row = {"environment": f"ReferenceEnv phase {phase}", "row": "plain Python", "num_envs": 1}
    return {**row, **_speeds(run, repeats)}


def _speeds(run: Any, repeats: int) -> dict[str, float]:
    rates = [run()["steps_per_s"] for _ in range(repeats)]
    return {"steps_per_s": statistics.median(rates), "slowest": min(rates), "fastest": max(rates)}


def as_page(rows: list[dict[str, Any]], about: dict[str, Any], command: str) -> list[str]:
    """Lines of the page as printed."""
    header = ("environment", "row", "environments", "steps/s", "slowest to fastest", "compile s", "bytes/env")
    cells = [
        (
            *(row["environment"], row["row"], f"{row['num_envs']:,}", f"{row['steps_per_s']:,.0f}"),
            f"{row['slowest']:,.0f} to {row['fastest']:,.0f}",
            f"{row['compile_s']:.1f}" if "compile_s" in row else "",
            f"{row['bytes_per_env']:,}" if "bytes_per_env" in row else "",
        )
        for row in rows
    ]
    said = ", ".join(f"{name} {value}" for name, value in about.items())
    return [f"`{command}`", "", said, "", *markdown_table(header, cells)]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phases", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    parser.add_argument("--num-envs", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    rows = []
    for phase in args.phases:
        for kind in STEPS:
            for num_envs in args.num_envs:
                rows.append(measure(phase, num_envs, kind, args.repeats))
                print(f"phase {phase} {kind} {num_envs:,}: {rows[-1]['steps_per_s']:,.0f} steps/s", flush=True)
        rows.append(measure_reference(phase, args.repeats))
    about = {"device": jax.devices()[0].device_kind, **machine(), **versions(("jax", "gymnax"))}
    sizes = " ".join(map(str, args.num_envs))
    phases = " ".join(map(str, args.phases))
    command = f"python -m benchmarks.env_steps --phases {phases} --num-envs {sizes} --repeats {args.repeats}"
    page = as_page(rows, about, command)
    print("\n".join(page))
    name = f"env_steps_{about['device']}_{about['cores']}cores".replace(" ", "_").lower()
    report.write(RESULTS, name, page, {"command": command, "machine": about, "rows": rows})


if __name__ == "__main__":
    main()
