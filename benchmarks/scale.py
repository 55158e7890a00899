"""What an iteration costs a device, by the number of devices that share the environments: `benchmarks/SCALE.md`.

Run `python benchmarks/scale.py --devices 1 2 4 8`. Devices are those there are, or as many virtual ones as a CPU is
asked for; virtual ones share its cores, so their times say what sharing costs and not what it gains. Messages are
counted in the program before it is compiled: every sum over the mesh, times how often its loop runs. Bytes are the
compiler's, of one device.
"""

import dataclasses
import os
import time
from collections import Counter
from typing import Any

import tyro


@dataclasses.dataclass(frozen=True)
class Options:
    """What to measure."""

    devices: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of devices."""
    env: str = "TradingPhase1-v0"
    """A gymnax id."""
    num_envs: int = 1024
    """Environments of all devices together."""
    num_steps: int = 128
    """Steps of every environment in one iteration."""
    num_epochs: int = 4
    """Passes over the data of one iteration, of four minibatches each."""
    repeats: int = 3
    """Iterations that are timed; the best counts. 0 times none."""
    plan: bool = False
    """Print what is expected of 1 to 1,024 GPUs instead, from the assumptions in PLAN."""


PLAN = {
    "weights": 37_248,  # products in one pass of the default network over 225 inputs and 3 actions
    "passes": 13,  # of a row: one to act, then four epochs of one forward and two backward
    "operations a second": 80.6e12,  # of an H100 in bfloat16, from updates of 1,024 x 128 and 10,000 x 128
    "seconds a step": 29e-6,  # of all environments of a device, 11 kernels: from the same two
    "gradients": 16,
    "gradient bytes": 150_060,
    "small messages": 4,
    "start in a node": 20e-6,  # of one message among the 8 GPUs of a node
    "start a hop": 10e-6,  # there and back between nodes, for each doubling of their number
    "bytes a second in a node": 450e9,
    "bytes a second between nodes": 50e9,
}


def plan(gpus: int, num_envs: int, num_steps: int) -> str:
    """A table row: seconds of one iteration with `num_envs` environments in all."""
    p, share = PLAN, num_envs // gpus
    acting = num_steps * p["seconds a step"]
    learning = share * num_steps * 2 * p["weights"] * p["passes"] / p["operations a second"]
    nodes = max(1, gpus // 8)
    start = (p["start in a node"] + (nodes.bit_length() - 1) * p["start a hop"]) if gpus > 1 else 0.0
    speed = p["bytes a second between nodes" if nodes > 1 else "bytes a second in a node"]
    lengths = 2 * p["gradients"] * p["gradient bytes"] / speed if gpus > 1 else 0.0
    sending = (p["gradients"] + p["small messages"]) * start + lengths
    whole = acting + learning + sending
    ms = " | ".join(f"{1e3 * x:.1f}" for x in (acting, learning, sending, whole))
    return f"| {gpus:,} | {num_envs:,} | {ms} | {num_envs * num_steps / whole / 1e6:,.1f} | {sending / whole:.0%} |"


def messages(jaxpr: Any, times: int = 1) -> Counter[int]:
    """How many sums over the mesh one run of the program makes, by their bytes."""
    found: Counter[int] = Counter()
    for equation in jaxpr.eqns:
        if equation.primitive.name.startswith(("psum", "pmax", "all_gather")):
            found[sum(x.aval.size * x.aval.dtype.itemsize for x in equation.invars)] += times
        repeated = times * equation.params.get("length", 1)
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    found += messages(inner, repeated)
    return found


def measure(options: Options, count: int) -> str:
    """One table row."""
    import gymnax
    import jax

    import trading_gymnax  # noqa: F401  registers its environments
    from purejaxrl_ppo import PPOConfig, make_mesh, make_trainer
    from purejaxrl_ppo.sharding import is_key, place

    env, params = gymnax.make(options.env)
    config = PPOConfig(num_envs=options.num_envs, num_steps=options.num_steps, num_epochs=options.num_epochs)
    mesh = make_mesh(count)
    trainer = make_trainer(env, config, mesh=mesh)
    params, hyper = place((params, config.hyperparameters), mesh, jax.sharding.PartitionSpec())
    state = jax.jit(trainer.init)(jax.random.key(0), params)
    program = jax.jit(trainer.update, donate_argnums=0).trace(state, params, hyper)
    sent = messages(program.jaxpr.jaxpr)
    compiled = program.lower().compile()
    memory = compiled.memory_analysis()
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(state) if not is_key(leaf))
    best = float("inf")
    for _ in range(options.repeats and options.repeats + 1):  # the first one warms up
        began = time.perf_counter()
        state, _ = jax.block_until_ready(compiled(state, params, hyper))
        best = min(best, time.perf_counter() - began)
    seconds = f"{best:.3f}" if options.repeats else ""
    cells = (count, config.num_envs // count, f"{held / 1e6:.2f}", f"{memory.temp_size_in_bytes / 1e6:.1f}")
    traffic = (sum(sent.values()), f"{sum(size * n for size, n in sent.items()):,}", f"{max(sent):,}")
    return "| " + " | ".join(map(str, (*cells, *traffic, seconds))) + " |"


def main() -> None:
    """Print a table."""
    options = tyro.cli(Options)
    if options.plan:
        print("| GPUs | environments | stages, ms | products, ms | sending, ms | iteration, ms | M steps/s | sending |")
        print("|---|---|---|---|---|---|---|---|")
        counts = [2**i for i in range(11)]
        for gpus, num_envs in [(n, 1024 * n) for n in counts] + [(n, 1024) for n in counts]:
            print(plan(gpus, num_envs, options.num_steps))
        return
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={max(options.devices)}"
    print("| devices | environments on each | MB of state | MB of work | messages | bytes sent | largest | s |")
    print("|---|---|---|---|---|---|---|---|")
    for count in options.devices:
        print(measure(options, count), flush=True)


if __name__ == "__main__":
    main()
