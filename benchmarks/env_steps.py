"""Environment steps per second: random legal actions under `lax.scan`, beside the plain-Python reference.

    python benchmarks/env_steps.py                       # both phases; 100, 1,000 and 10,000 environments
    python benchmarks/env_steps.py --phases 1 --num-envs 10000 --repeats 9

Rows: `consumed` adds every observation up inside the loop, `stored` returns all of them, as a rollout does; `stock` is
`consumed` with gymnax's own `Environment.step`, which resets and observes twice. Every row is the median of several
runs after one that compiles. Results go to benchmarks/results/env_steps_<machine>.json and .md.
"""

from __future__ import annotations

import argparse
import functools
import importlib.metadata
import json
import pathlib
import platform
import statistics
import subprocess
import time
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments import environment

import trading_gymnax  # noqa: F401  (registers the ids)
from trading_gymnax.data import load_bars
from trading_gymnax.reference import ReferenceEnv
from trading_gymnax.synthetic import regime

RESULTS = pathlib.Path(__file__).parent / "results"


@functools.partial(jax.jit, static_argnames=("env", "num_envs", "num_steps", "kind"))
def roll(key: jax.Array, params: Any, *, env: Any, num_envs: int, num_steps: int, kind: str) -> Any:
    """`num_steps` of random legal actions; returns what keeps the work from being optimised away."""
    step = functools.partial(environment.Environment.step, env) if kind == "stock" else env.step

    def one(carry: Any, key: jax.Array) -> Any:
        state, total = carry
        key_action, key_step = jax.random.split(key)
        mask = jax.vmap(env.action_mask, (0, None))(state, params)
        action = jnp.argmax(jnp.where(mask, jax.random.uniform(key_action, mask.shape), -1.0), axis=1)
        keys = jax.random.split(key_step, num_envs)
        obs, state, reward, _, _, _ = jax.vmap(step, (0, 0, 0, None))(keys, state, action, params)
        return (state, total + obs.sum() + reward.sum()), obs if kind == "stored" else None

    _, state = jax.vmap(env.reset, (0, None))(jax.random.split(key, num_envs), params)
    return jax.lax.scan(one, (state, 0.0), jax.random.split(key, num_steps))


def measure(env: Any, params: Any, num_envs: int, kind: str, repeats: int) -> dict[str, Any]:
    """One row: median and spread of steps/s, compile seconds, bytes per environment."""
    num_steps = max(20, min(1_000, (600_000 if kind != "stored" else 300_000) // num_envs))
    shape = {"env": env, "num_envs": num_envs, "num_steps": num_steps, "kind": kind}
    began = time.perf_counter()
    compiled = roll.lower(jax.random.key(0), params, **shape).compile()
    compile_s = time.perf_counter() - began
    jax.block_until_ready(compiled(jax.random.key(0), params))
    rates = []
    for i in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(compiled(jax.random.key(i), params))
        rates.append(num_envs * num_steps / (time.perf_counter() - began))
    obs, state = jax.eval_shape(env.reset, jax.random.key(0), params)
    leaves = jax.tree.leaves((obs, state))
    return {
        "environment": env.name,
        "row": kind,
        "num_envs": num_envs,
        "steps_per_s": statistics.median(rates),
        "slowest": min(rates),
        "fastest": max(rates),
        "compile_s": compile_s,
        "bytes_per_env": sum(leaf.size * leaf.dtype.itemsize for leaf in leaves),
    }


def measure_reference(phase: int, seconds: float, repeats: int) -> dict[str, Any]:
    """The plain-Python reference on the same bars, one account, random legal actions, observation built."""
    market = regime()
    env = ReferenceEnv(load_bars(market.frame, market.spec), phase=phase)
    rng, rates = np.random.default_rng(0), []
    _, info = env.reset(seed=0)
    for _ in range(repeats):
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            action = rng.choice(np.flatnonzero(info["action_mask"]))
            _, _, terminated, truncated, info = env.step(int(action))
            steps += 1
            if terminated or truncated:
                _, info = env.reset()
        rates.append(steps / (time.perf_counter() - began))
    row = {"environment": f"ReferenceEnv phase {phase}", "row": "plain Python", "num_envs": 1}
    return {**row, "steps_per_s": statistics.median(rates), "slowest": min(rates), "fastest": max(rates)}


def machine() -> dict[str, Any]:
    """What was measured on, without names."""
    device = jax.devices()[0]
    model = next((x.split(":")[1].strip() for x in _lines("/proc/cpuinfo") if x.startswith("model name")), "")
    cores = len([x for x in _lines("/proc/cpuinfo") if x.startswith("processor")])
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "device": device.device_kind,
        "processor": model or platform.processor(),
        "cores": cores,
        "python": platform.python_version(),
        "jax": jax.__version__,
        "gymnax": importlib.metadata.version("gymnax"),
        "commit": commit.stdout.strip(),
    }


def _lines(path: str) -> list[str]:
    file = pathlib.Path(path)
    return file.read_text().splitlines() if file.exists() else []


def as_markdown(rows: list[dict[str, Any]], about: dict[str, Any], command: str) -> str:
    """The table as printed."""
    lines = [f"`{command}`", "", ", ".join(f"{name} {value}" for name, value in about.items()), ""]
    lines += ["| environment | row | environments | steps/s | slowest to fastest | compile s | bytes/env |"]
    lines += ["|---|---|---|---|---|---|---|"]
    for row in rows:
        spread = f"{row['slowest']:,.0f} to {row['fastest']:,.0f}"
        compile_s, size = row.get("compile_s"), row.get("bytes_per_env")
        lines.append(
            f"| {row['environment']} | {row['row']} | {row['num_envs']:,} | {row['steps_per_s']:,.0f} | {spread} "
            f"| {'' if compile_s is None else f'{compile_s:.1f}'} | {'' if size is None else f'{size:,}'} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phases", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    parser.add_argument("--num-envs", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--reference-seconds", type=float, default=2.0)
    args = parser.parse_args()
    rows = []
    for phase in args.phases:
        env, params = gymnax.make(f"TradingPhase{phase}-v0")
        for kind in ("consumed", "stored", "stock"):
            for num_envs in args.num_envs:
                rows.append(measure(env, params, num_envs, kind, args.repeats))
                print(
                    f"{rows[-1]['environment']} {kind} {num_envs:,}: {rows[-1]['steps_per_s']:,.0f} steps/s", flush=True
                )
        rows.append(measure_reference(phase, args.reference_seconds, args.repeats))
    about = machine()
    command = f"python benchmarks/env_steps.py --num-envs {' '.join(map(str, args.num_envs))} --repeats {args.repeats}"
    text = as_markdown(rows, about, command)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    name = f"env_steps_{about['device']}_{about['cores']}cores".replace(" ", "_").lower()
    (RESULTS / f"{name}.json").write_text(json.dumps({"command": command, "machine": about, "rows": rows}, indent=1))
    (RESULTS / f"{name}.md").write_text(text)


if __name__ == "__main__":
    main()
