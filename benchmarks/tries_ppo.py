"""Variants of the PPO update beside the plain loop, on whatever device there is: a table of million steps a second.

    python -m benchmarks.tries_ppo                                   # ours by default and the plain loop
    python -m benchmarks.tries_ppo ours plain unroll=8 graphs        # chosen variants
    python -m benchmarks.tries_ppo --all --profile --out /tmp/tries  # everything, and the time of every kernel

Programs compile side by side and run one after the other, about a second each. A variant is a name of `VARIANTS`, or
`field=value` of `devices.Plan` or of `PPOConfig`.
"""

from __future__ import annotations

import ast
import collections
import concurrent.futures
import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import tyro

from benchmarks.contenders.environments import trading
from benchmarks.machine import markdown_table
from benchmarks.peers import plain_ppo
from purejaxrl_ppo import PPOConfig, make_trainer, train
from purejaxrl_ppo.devices import Plan, plan_for
from trading_gymnax.interop import FiveValueStep

SIZES = {"1,024 x 128": {}, "10,000 x 128": {"num_envs": 10_000}}
WIDE = {"num_envs": 10_000, "hidden_sizes": (256, 256), "bfloat16": True}


@dataclasses.dataclass(frozen=True)
class Variant:
    """What is changed."""

    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    plan: dict[str, Any] = dataclasses.field(default_factory=dict)
    compiler: dict[str, Any] = dataclasses.field(default_factory=dict)
    part: str = "update"  # or "rollout"
    plain: bool = False


VARIANTS = {
    "ours": Variant(),
    "plain": Variant(plain=True),
    "rollout alone": Variant(part="rollout"),
    "TF32": Variant(config={"bfloat16": False}),
    "products": Variant(plan={"fused_towers": False, "joined_towers": True}),
    "graphs": Variant(compiler={"xla_gpu_graph_min_graph_size": 1}),
    "while graphs": Variant(
        compiler={
            "xla_gpu_graph_min_graph_size": 1,
            "xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,COLLECTIVES,WHILE,CONDITIONAL",
        }
    ),
    "no triton gemm": Variant(compiler={"xla_gpu_enable_triton_gemm": False}),
    "towers apart": Variant(plan={"fused_towers": False, "joined_towers": False}),
    "inputs where read": Variant(plan={"whole_inputs": False}),
    "unpacked": Variant(plan={"packed": False}),
    "padded to 16": Variant(plan={"input_multiple": 16}),
    "padded to 128": Variant(plan={"input_multiple": 128}),
    "forced rows left out": Variant(plan={"skip_in_learning": True, "choice_block": 40_960}),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    variants: tyro.conf.Positional[tuple[str, ...]] = ("ours", "plain")
    """Names of variants."""
    all: bool = False
    """All of them."""
    seconds: float = 1.0
    """Time of each measurement."""
    num_envs: int | None = None
    """One size in place of 1,024 x 128 and 10,000 x 128."""
    wide: bool = True
    """256x256 units in bfloat16 at 10,000 x 128, too."""
    profile: bool = False
    """Print the kernels of ours by default that take longest."""
    backend: str | None = None
    """Kind of device whose paths are taken; None: the one there is."""
    out: pathlib.Path | None = None
    """Folder for the numbers as JSON and, with `profile`, the traces."""


@contextmanager
def planned(changes: dict[str, Any]) -> Iterator[None]:
    """Trainers traced inside have these fields of their plan changed."""

    def changed(*args: Any) -> Plan:
        return dataclasses.replace(plan_for(*args), **changes)

    before, train.plan_for = train.plan_for, changed
    try:
        yield
    finally:
        train.plan_for = before


def lowered(variant: Variant, config: PPOConfig, backend: str | None) -> tuple[Any, Callable[[Any], Any], Any]:
    """The program before it is compiled, a function of it that makes one update, and the first carry."""
    env, params = trading()
    if variant.plain:
        names = ("num_envs", "num_steps", "num_epochs", "num_minibatches")
        settings = plain_ppo.Settings(**{name: getattr(config, name) for name in names}, num_updates=1)
        settings = settings._replace(width=config.hidden_sizes[0])
        loop = jax.jit(plain_ppo.make_train(FiveValueStep(env), settings))
        program = loop.lower(jax.random.key(0), params)
        return program, lambda run: lambda _: run(jax.random.key(0), params), jnp.zeros(())
    with planned(variant.plan):
        trainer = make_trainer(env, config, backend=backend)
        state = jax.jit(trainer.init)(jax.random.key(0), params)
        hyper = config.hyperparameters
        if variant.part == "rollout":
            program = jax.jit(_rollout(env, config, backend)).lower(state, params)
            return program, lambda run: lambda state: run(state, params), state
        program = jax.jit(trainer.update, donate_argnums=0).lower(state, params, hyper)
    return program, lambda run: lambda state: run(state, params, hyper)[0], state


def _rollout(env: Any, config: PPOConfig, backend: str | None) -> Callable[[Any, Any], Any]:
    """The rollout by itself; what it stores is added up, so that nothing of it is left out."""
    parts = train.trainer_parts(env, config, backend=backend)

    def play(state: Any, params: Any) -> Any:
        task = parts.task(state.iteration, params)
        runner, rollout = train.collect(task, state.params, state.obs_moments, state.runner)
        kept = sum(jnp.sum(x.astype(jnp.float32)) for x in jax.tree.leaves(rollout))
        return state.replace(runner=runner, episode_return=kept)

    return play


def per_second(once: Callable[[Any], Any], carry: Any, steps: int, seconds: float) -> float:
    """Environment steps per second of updates queued one behind the other."""
    carry = jax.block_until_ready(once(carry))
    count, began = 1, time.perf_counter()
    while True:
        for _ in range(count):
            carry = once(carry)
        jax.block_until_ready(carry)
        taken = time.perf_counter() - began
        if taken > seconds:
            return count * steps / taken
        count, began = max(count + 1, int(1.3 * count * seconds / taken)), time.perf_counter()


def kernels(folder: pathlib.Path, once: Callable[[Any], Any], carry: Any, most: int = 40) -> list[tuple[str, ...]]:
    """Name, microseconds and launches of the kernels of one update that take longest."""
    carry = jax.block_until_ready(once(carry))
    with jax.profiler.trace(folder):
        jax.block_until_ready(once(carry))
    found = sorted(folder.rglob("*.xplane.pb"))[-1]
    spent: dict[str, list[float]] = collections.defaultdict(list)
    for plane in jax.profiler.ProfileData.from_file(str(found)).planes:
        if "GPU" in plane.name:
            for line in plane.lines:
                if "Stream" in line.name:
                    for event in line.events:
                        spent[event.name].append(event.duration_ns / 1000)
    longest = sorted(spent.items(), key=lambda item: -sum(item[1]))
    total = ("all", f"{sum(map(sum, spent.values())):,.0f}", f"{sum(map(len, spent.values())):,}")
    return [total, *((name, f"{sum(x):,.0f}", f"{len(x):,}") for name, x in longest[:most])]


def main(options: Options) -> None:
    """Measure and print."""
    names = list(VARIANTS) if options.all else list(options.variants)
    chosen = {name: VARIANTS[name] if name in VARIANTS else _changed(name) for name in names}
    sizes = {f"{options.num_envs:,} x 128": {"num_envs": options.num_envs}} if options.num_envs else dict(SIZES)
    if options.wide:
        sizes["256x256 bfloat16, 10,000 x 128"] = WIDE
    cases = [(size, name) for size in sizes for name in chosen if size in SIZES or name in ("ours", "plain", "graphs")]
    cases = cases if not options.num_envs else [(size, name) for size in sizes for name in chosen]
    began = time.perf_counter()
    device = jax.devices()[0]
    print(f"{device.device_kind}, jax {jax.__version__}", flush=True)

    def prepare(case: tuple[str, str]) -> Any:
        size, name = case
        settings = {"num_envs": 1024, "total_timesteps": 2**40, **sizes[size], **chosen[name].config}
        config = PPOConfig(**settings)
        try:
            program, update, carry = lowered(chosen[name], config, options.backend)
            return (
                config.batch_size,
                pool.submit(program.compile, compiler_options=chosen[name].compiler),
                update,
                carry,
            )
        except Exception as error:  # one that fails leaves the others their numbers
            return error

    results: dict[str, dict[str, float | str]] = collections.defaultdict(dict)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        prepared = {case: prepare(case) for case in cases}
        for (size, name), found in prepared.items():
            try:
                if isinstance(found, Exception):
                    raise found
                steps, compiling, update, carry = found
                once = update(compiling.result())
                if options.profile and name == "ours":
                    folder = (options.out or pathlib.Path("/tmp/tries_ppo")) / size.replace(" ", "_")
                    rows = kernels(folder, once, jax.tree.map(jnp.copy, carry))
                    print("\n".join([f"\n{size}", *markdown_table(("kernel", "us", "times"), rows)]), flush=True)
                results[name][size] = per_second(once, carry, steps, options.seconds) / 1e6
            except Exception as error:
                results[name][size] = f"{type(error).__name__}: {error}"[:120]
            print(f"{time.perf_counter() - began:6.1f} s  {size}  {name}: {results[name][size]}", flush=True)
    rows = [(name, *(_cell(found.get(size, "")) for size in sizes)) for name, found in results.items()]
    print("\n".join(["", *markdown_table(("M steps/s", *sizes), rows)]))
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "tries_ppo.json").write_text(json.dumps({"device": device.device_kind, "results": results}))


def _changed(text: str) -> Variant:
    """`field=value,...` of plan or config as a variant. Raises ValueError for another field."""
    plan: dict[str, Any] = {}
    config: dict[str, Any] = {}
    for part in text.split(";"):
        name, equals, value = part.partition("=")
        fields = {field.name: plan for field in dataclasses.fields(Plan)}
        fields |= {field.name: config for field in dataclasses.fields(PPOConfig)}
        if not equals or name not in fields:
            raise ValueError(
                f"{text!r} is neither one of {', '.join(VARIANTS)} nor field=value;... of plan or settings"
            )
        fields[name][name] = ast.literal_eval(value)
    return Variant(config=config, plan=plan)


def _cell(found: float | str) -> str:
    return found if isinstance(found, str) else f"{found:.2f}"


if __name__ == "__main__":
    try:
        main(tyro.cli(Options, description=__doc__))
    except ValueError as error:
        sys.exit(f"tries_ppo: {error}")
