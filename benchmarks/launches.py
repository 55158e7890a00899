"""How many kernels a program launches on an H100, counted on a machine without one.

    python -m benchmarks.launches                                    # every program, a table
    python -m benchmarks.launches update --num-envs 1024 --set bfloat16=True --text update.txt

On a GPU a small kernel takes about two microseconds whatever it does, so that for small batches their number is the
time: on an H100 the ratio of two programs' counts was the ratio of their times. Programs are compiled for the device
that `h100.txtpb` describes, by XLA's CUDA compiler, which needs no device but its packages (Python 3.12 or later; the
project does without them):

    pip install --no-deps jax-cuda13-plugin jax-cuda13-pjrt nvidia-cuda-nvcc nvidia-nvvm    # of jax's own version

A loop whose number of turns the compiler knows counts its kernels times its turns; one of unknown length counts once
and is named, for each of its turns makes the host wait. How long a large kernel takes is not told.
"""

from __future__ import annotations

import ast
import dataclasses
import os
import pathlib
import re
import sys
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

os.environ.setdefault("JAX_SKIP_CUDA_CONSTRAINTS_CHECK", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import tyro
from jax.experimental import topologies
from jax.sharding import AbstractDevice, AbstractMesh, NamedSharding, PartitionSpec, use_abstract_mesh

from benchmarks.machine import markdown_table

TARGET = pathlib.Path(__file__).with_name("h100.txtpb")
What = Literal["all", "environment", "update", "plain"]

# Instructions of an optimised program that launch nothing.
_FREE = {
    *("parameter", "tuple", "get-tuple-element", "constant", "bitcast", "after-all", "iota", "partition-id"),
    *("replica-id", "opt-barrier", "async-done", "copy-done"),
}
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{\s*$")
_TURNS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_ORIGIN = re.compile(r'op_name="([^"]*)"')


@dataclasses.dataclass(frozen=True)
class Loop:
    """A loop of a compiled program."""

    depth: int  # loops around it
    turns: int | None  # None where the compiler does not know them
    launches: int  # of one turn
    origin: str  # where in the traced program it comes from


@dataclasses.dataclass(frozen=True)
class Count:
    """What one run of a program launches."""

    launches: int  # kernels, copies and library calls, turns multiplied out
    loops: tuple[Loop, ...]

    @property
    def unknown(self) -> int:
        """Loops without a known number of turns."""
        return sum(loop.turns is None for loop in self.loops)


@dataclasses.dataclass(frozen=True)
class Options:
    """What to count."""

    what: Annotated[What, tyro.conf.Positional] = "all"
    """The bare environment, an update of ours, an update of the plain loop, or all of them."""
    num_envs: tuple[int, ...] = (1024,)
    """Environments that run side by side."""
    num_steps: int = 128
    """Steps of a rollout."""
    phase: Literal[1, 2] = 1
    """Environment of the first two programs."""
    set: tuple[str, ...] = ()
    """Fields of PPOConfig as name=value."""
    text: pathlib.Path | None = None
    """Write the compiled program here (of a single program)."""


def main(options: Options) -> None:
    """Compile, count, print a table and the loops of each program."""
    chosen = ("environment", "update", "plain") if options.what == "all" else (options.what,)
    rows = []
    for what in chosen:
        for num_envs in options.num_envs:
            text = PROGRAMS[what](options, num_envs)
            if options.text:
                options.text.write_text(text)
            rows.append((what, num_envs, count(text)))
    for what, num_envs, found in rows:
        print(f"\n{what}, {num_envs:,} x {options.num_steps}")
        for loop in found.loops:
            turns = "while ?" if loop.turns is None else f"{loop.turns} x"
            print(f"  {'  ' * loop.depth}{turns:>8} {loop.launches:5d} launches a turn   {loop.origin[-80:]}")
    header = ("program", "environments x steps", "launches", "most in a step", "loops of unknown length")
    lines = []
    for what, num_envs, found in rows:
        step = max((loop.launches for loop in found.loops if loop.turns == options.num_steps), default=0)
        size = f"{num_envs:,} x {options.num_steps}"
        lines.append((what, size, f"{found.launches:,}", str(step), str(found.unknown)))
    print("\n".join(["", *markdown_table(header, lines)]))


def count(text: str) -> Count:
    """Launches of the entry computation of an optimised HLO module's text."""
    bodies = dict(_computations(text))
    loops: list[Loop] = []
    return Count(_launches(bodies, "ENTRY", 0, loops), tuple(loops))


def _computations(text: str) -> Iterator[tuple[str, list[str]]]:
    """Names and lines of the computations; the entry's name is ENTRY."""
    name, lines = None, []
    for line in text.splitlines():
        head = _HEAD.match(line)
        if head:
            name, lines = "ENTRY" if head.group(1) else head.group(2), []
        elif line.startswith("}") and name is not None:
            yield name, lines
            name = None
        else:
            lines.append(line)


def _launches(bodies: dict[str, list[str]], name: str, depth: int, loops: list[Loop]) -> int:
    """Launches of one run of a computation, those of its loops times their turns; fills `loops`."""
    total = 0
    for line in bodies.get(name, ()):
        kind = _operation(line)
        if kind == "while":
            turns, origin = _TURNS.search(line), _ORIGIN.search(line)
            at = len(loops)
            inner = _launches(bodies, _named(line, "body"), depth + 1, loops)
            known = int(turns.group(1)) if turns else None
            loops.insert(at, Loop(depth, known, inner, origin.group(1) if origin else ""))
            total += inner * (known or 1)
        elif kind == "conditional":  # every branch counts: which one runs is not known
            total += 1 + sum(_launches(bodies, branch, depth + 1, loops) for branch in _branches(line))
        elif kind == "call":
            total += _launches(bodies, _named(line, "to_apply"), depth, loops)
        elif kind is not None and kind not in _FREE:
            total += 1
    return total


def _operation(line: str) -> str | None:
    """The instruction of a line "name = shape operation(...)"; None for other lines. A tuple's shape is in brackets."""
    _, equals, rest = line.partition(" = ")
    if not equals:
        return None
    depth = 0
    for at, letter in enumerate(rest):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == " " and depth == 0:
            found = re.match(r"([a-z][\w\-]*)\(", rest[at + 1 :])
            return found.group(1) if found else None
    return None


def _named(line: str, attribute: str) -> str:
    found = re.search(rf"{attribute}=%?([\w.\-]+)", line)
    assert found is not None, line
    return found.group(1)


def _branches(line: str) -> list[str]:
    listed = re.search(r"branch_computations=\{([^}]*)\}", line)
    if listed:
        return [name.strip().lstrip("%") for name in listed.group(1).split(",")]
    return re.findall(r"(?:true|false)_computation=%?([\w.\-]+)", line)


def compiled(program: Callable[..., Any], *args: Any, donate: tuple[int, ...] = ()) -> str:
    """Text of the program as XLA's CUDA compiler leaves it for the device of `TARGET`; `args` may be shapes."""
    target = topologies.get_topology_desc("", "cuda", target_config=TARGET.read_text(), topology="1x1x1")
    place = NamedSharding(topologies.make_mesh(target, (1,), ("x",)), PartitionSpec())
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), args)
    jitted = jax.jit(program, in_shardings=place, out_shardings=place, donate_argnums=donate)
    # what kernels of our own are compiled for
    device = AbstractDevice(device_kind="NVIDIA H100 80GB HBM3", num_cores=132, platform="gpu")
    with use_abstract_mesh(AbstractMesh((1,), ("x",), axis_types=place.mesh.axis_types, abstract_device=device)):
        return jitted.lower(*shapes).compile().as_text()


def _environment(options: Options, num_envs: int) -> str:
    from benchmarks.contenders.environments import programs, trading

    env, params = trading(phase=options.phase)
    start, roll = programs(env, "consumed", num_envs, options.num_steps, by_rows=True)
    state = jax.eval_shape(start, jax.random.key(0), params)
    return compiled(roll, jax.random.key(0), state, jnp.zeros(0), params)


def _update(options: Options, num_envs: int) -> str:
    from benchmarks.contenders.environments import trading
    from purejaxrl_ppo import PPOConfig, make_trainer

    env, params = trading(phase=options.phase)
    steps = 10 * num_envs * options.num_steps
    given = {name: _value(value) for name, _, value in (one.partition("=") for one in options.set)}
    config = PPOConfig(**{"num_envs": num_envs, "num_steps": options.num_steps, "total_timesteps": steps, **given})
    trainer = make_trainer(env, config)
    state = jax.eval_shape(trainer.init, jax.random.key(0), params)
    return compiled(trainer.update, state, params, config.hyperparameters, donate=(0,))


def _plain(options: Options, num_envs: int) -> str:
    """One update with what goes before it, new weights and resets: the plain loop is one function."""
    from benchmarks.contenders.environments import trading
    from benchmarks.peers import plain_ppo
    from trading_gymnax.interop import FiveValueStep

    env, params = trading()
    settings = plain_ppo.Settings(num_envs=num_envs, num_steps=options.num_steps, num_updates=1)
    return compiled(plain_ppo.make_train(FiveValueStep(env), settings), jax.random.key(0), params)


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


PROGRAMS: dict[str, Callable[[Options, int], str]] = {"environment": _environment, "update": _update, "plain": _plain}


if __name__ == "__main__":
    jax.default_backend = lambda: "gpu"  # what the trainer asks to choose its way by device
    try:
        main(tyro.cli(Options, description=__doc__))
    except (ValueError, RuntimeError) as error:
        sys.exit(f"launches: {error}")
