"""Random legal actions in our environments, observations consumed or stored, and the same by gymnax's own step."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
from gymnax.environments import environment
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from purejaxrl_ppo.sharding import make_mesh, over_devices, place
from trading_gymnax import TradingPhase1, TradingPhase2, load_market_data
from trading_gymnax.synthetic import default_market, regime

ENVIRONMENTS = {1: TradingPhase1, 2: TradingPhase2}
Kind = Literal["consumed", "stored", "stock"]


def rollout(
    kind: Kind, num_envs: int, num_steps: int, calls: int = 1, sessions: int | None = None, phase: int = 1
) -> tuple[Callable[[], dict[str, float]], dict[str, Any]]:
    """Steps per second of `calls` rollouts of `num_envs` x `num_steps`; each goes on where the last one stopped.

    kind: "consumed" adds up every number of every observation, "stored" writes the observations into one array that is
    there before, "stock" is "consumed" with gymnax's own `Environment.step`. sessions: of the tape, the built-in market
    without. phase: 1 or 2. The environments are shared out over the devices that JAX has.
    """
    env, params = trading(sessions, phase)
    mesh = sharing(num_envs)
    params = place(jax.jit(env.prepared)(params), mesh, P())  # once, and not at each call
    start, roll = _over(mesh, env, kind, num_envs, num_steps)
    began = time.perf_counter()
    buffer = jnp.zeros((num_steps, num_envs, *env.obs_shape) if kind == "stored" else (0,))
    state = jax.block_until_ready(jax.jit(start)(jax.random.key(0), params))
    program = jax.jit(roll, donate_argnums=(1, 2)).lower(jax.random.key(0), state, buffer, params).compile()
    compile_s = time.perf_counter() - began
    carried = [jax.block_until_ready(program(jax.random.key(0), state, buffer, params)), 0]

    def measure() -> dict[str, float]:
        (state, buffer, _), count = carried
        began = time.perf_counter()
        for call in range(calls):
            state, buffer, total = program(jax.random.key(count + call), state, buffer, params)
        jax.block_until_ready((state, buffer, total))
        seconds = time.perf_counter() - began
        carried[:] = (state, buffer, total), count + calls
        return {"steps_per_s": calls * num_envs * num_steps / seconds}

    facts = {
        "num_envs": num_envs,
        "num_steps": num_steps,
        "calls": calls,
        "devices": 1 if mesh is None else mesh.size,
        "bars": int(params.market.num_bars[0]),
        "compile_s": compile_s,
    }
    return measure, facts


def sharing(num_envs: int) -> Mesh | None:
    """As many of JAX's devices as can share so many environments evenly; None for one."""
    count = math.gcd(num_envs, jax.device_count())
    return make_mesh(count) if count > 1 else None


def _over(
    mesh: Mesh | None, env: Any, kind: Kind, num_envs: int, num_steps: int
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """What `programs` gives, each device with its share of the environments and a key of its own."""
    if mesh is None:
        return programs(env, kind, num_envs, num_steps)
    start, roll = programs(env, kind, num_envs // mesh.size, num_steps)
    (axis,) = mesh.axis_names
    mine, buffers = P(axis), P(None, axis) if kind == "stored" else P()

    def own(key: jax.Array) -> jax.Array:
        return jax.random.fold_in(key, jax.lax.axis_index(axis))

    def rolled(key: jax.Array, state: Any, buffer: jax.Array, params: Any) -> Any:
        state, buffer, total = roll(own(key), state, buffer, params)
        return state, buffer, total[None]

    return (
        over_devices(lambda key, params: start(own(key), params), mesh, (P(), P()), mine),
        over_devices(rolled, mesh, (P(), mine, buffers, P()), (mine, buffers, mine)),
    )


def storing(num_envs: int, num_steps: int, calls: int) -> tuple[Callable[[], dict[str, float]], dict[str, Any]]:
    """Bytes per second at which rollouts store observations, and at which a program that does nothing else writes.

    The first are what "stored" writes more than "consumed", over the time that it takes more. On one core.
    """
    stored, facts = rollout("stored", num_envs, num_steps, calls)
    consumed, _ = rollout("consumed", num_envs, num_steps, calls)
    env, _ = trading()
    fill = counted(lambda buffer, x: jnp.full_like(buffer, x), donate=(0,))  # written where it lies
    carried = [fill(jnp.zeros((num_steps, num_envs, *env.obs_shape)), 0.0)]
    size = 4 * math.prod(env.obs_shape)

    def written() -> float:
        began = time.perf_counter()
        for call in range(calls):
            carried[0] = fill(carried[0], float(call))
        jax.block_until_ready(carried[0])
        return calls * carried[0].nbytes / (time.perf_counter() - began)

    def measure() -> dict[str, float]:
        with _one_core():
            slower, faster = stored()["steps_per_s"], consumed()["steps_per_s"]
            return {"bytes_per_s": size / (1 / slower - 1 / faster), "plain_bytes_per_s": written()}

    written()
    return measure, facts


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Bind all threads of this process to one core, for as long."""
    cores = os.sched_getaffinity(0)

    def bind(allowed: set[int]) -> None:
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), allowed)

    bind({min(cores)})
    try:
        yield
    finally:
        bind(cores)


def memory(kind: Kind, num_envs: int, num_steps: int) -> tuple[Callable[[], dict[str, float]], dict[str, Any]]:
    """Megabytes of a compiled rollout by XLA's account, a step's observations included and the market left out."""
    env, params = trading()
    start, roll = programs(env, kind, num_envs, num_steps)
    state = jax.eval_shape(start, jax.random.key(0), params)
    buffer = jax.ShapeDtypeStruct((0,), jnp.float32)
    program = counted(roll, donate=(1, 2)).lower(jax.random.key(0), state, buffer, params).compile()
    mb = working_bytes(program, params.market) / 1e6
    return lambda: {"mb": mb, "mb_per_env": mb / num_envs}, {"num_envs": num_envs}


def trading(sessions: int | None = None, phase: int = 1) -> tuple[TradingPhase1, Any]:
    """A phase and its parameters on the built-in market, or on a `regime` tape of as many sessions."""
    if sessions is None:
        market = default_market()
    else:
        tape = regime(sessions)
        market = load_market_data(tape.frame, tape.spec)
    env = ENVIRONMENTS[phase](market)
    return env, env.default_params


def programs(
    env: Any, kind: Kind, num_envs: int, num_steps: int, by_rows: bool | None = None
) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """`start(key, params) -> state` and `roll(key, state, buffer, params) -> (state, buffer, total)`.

    by_rows: whether actions are chosen one by one and sums are kept for each environment, which is the faster way on an
    accelerator and the slower one on a CPU; None: as JAX's default device has it.
    """
    rows = jax.default_backend() != "cpu" if by_rows is None else by_rows
    drawn, axis, nothing = (_largest, 1, jnp.zeros(num_envs)) if rows else (_by_argmax, None, jnp.float32(0))
    step = functools.partial(environment.Environment.step, env) if kind == "stock" else env.step

    def start(key: jax.Array, params: Any) -> Any:
        return jax.vmap(env.reset, (0, None))(jax.random.split(key, num_envs), params)[1]

    def one(params: Any, carry: Any, xs: Any) -> Any:
        (state, buffer, total), (at, key, words) = carry, xs
        noise = [(words[:, action // 4] >> 8 * (action % 4)) & 0xFF for action in range(env.num_actions)]
        mask = jax.vmap(env.action_mask, (0, None))(state, params)
        action = drawn(noise, mask)
        keys = jax.random.split(key, num_envs)
        obs, state, reward, _, _, _ = jax.vmap(step, (0, 0, 0, None))(keys, state, action, params)
        if kind == "stored":
            return (state, buffer.at[at].set(obs), total + (reward if rows else reward.sum())), None
        return (state, buffer, total + (reward if rows else reward.sum()) + obs.sum(axis=axis)), None

    def roll(key: jax.Array, state: Any, buffer: jax.Array, params: Any) -> Any:
        key_steps, key_noise = jax.random.split(key)
        # Drawn at once, as a trainer does; a word serves four actions, so that drawing counts little beside the steps.
        words = jax.random.bits(key_noise, (num_steps, num_envs, -(-env.num_actions // 4)), jnp.uint32)
        xs = jnp.arange(num_steps), jax.random.split(key_steps, num_steps), words
        params = env.prepared(params)
        return jax.lax.scan(functools.partial(one, params), (state, buffer, nothing), xs)[0]

    return start, roll


def _by_argmax(noise: list[jax.Array], mask: jax.Array) -> jax.Array:
    """Legal action with the largest noise, of which there are K of [N], int32 [N]."""
    return jnp.argmax(jnp.where(mask, jnp.stack(noise, axis=1).astype(jnp.int32), -1), axis=1)


def _largest(noise: list[jax.Array], mask: jax.Array) -> jax.Array:
    """The same one by one, so that on a GPU it is no kernel alone."""
    best, found = jnp.full(len(mask), -1), jnp.zeros(len(mask), jnp.int32)
    for action, here in enumerate(n.astype(jnp.int32) for n in noise):
        better = mask[:, action] & (here > best)
        best, found = jnp.where(better, here, best), jnp.where(better, action, found)
    return found


def counted(program: Callable[..., Any], donate: tuple[int, ...] = ()) -> Any:
    """`program` jitted with every argument kept, read or not, so that `working_bytes` can take the market off."""
    return jax.jit(program, donate_argnums=donate, keep_unused=True)


def working_bytes(program: Any, market: Any) -> int:
    """Arguments, results and temporary memory of a `counted` program by XLA's account, without the market's arrays.

    Results that take the place of a donated argument count once.
    """
    memory = program.memory_analysis()
    shared = sum(leaf.nbytes for leaf in jax.tree.leaves(market))
    sizes = memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes
    return sizes - memory.alias_size_in_bytes - shared
