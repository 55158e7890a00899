"""The table: which contenders are measured side by side, what is compared, and what it has to reach."""

from __future__ import annotations

import dataclasses
from typing import Any

from benchmarks.comparison import Group, Quantity, Row
from benchmarks.harness import Contender
from benchmarks.settings import PPOSettings

HERE = "benchmarks.contenders"
PPO: dict[str, Any] = {"num_epochs": 4, "num_minibatches": 4, "learning_rate": 1e-3, "width": 64}
MATRIX_SIZES = (1024, 2048, 4096)
NUM_INPUTS, NUM_ACTIONS = 225, 3  # of TradingPhase1-v0


@dataclasses.dataclass(frozen=True)
class Scale:
    """How large everything is: `FULL` is the table, `QUICK` shows in a minute or two that every row works."""

    num_envs: int = 10_000
    consumed_steps: int = 300
    stored_steps: int = 32
    stored_calls: int = 6
    reference_steps: int = 10_000
    pandas_steps: int = 1_000
    ppo_envs: int = 1024
    ppo_steps: int = 128
    ppo_updates: int = 8
    sb3_envs: int = 16
    sb3_steps: int = 128
    matrix_sizes: tuple[int, ...] = MATRIX_SIZES
    matrix_seconds: float = 0.4
    size_envs: tuple[int, ...] = (1_000, 3_000, 10_000, 30_000)
    size_steps: int = 3_000_000  # environment steps of a measurement of the size rows
    tapes: tuple[int, int] = (8, 3_624)  # sessions of 1,380 bars: 11,040 and 5,001,120 bars


FULL = Scale()
QUICK = Scale(
    num_envs=64,
    consumed_steps=20,
    stored_steps=8,
    stored_calls=1,
    reference_steps=50,
    pandas_steps=20,
    ppo_envs=8,
    ppo_steps=16,
    ppo_updates=2,
    sb3_envs=2,
    sb3_steps=16,
    matrix_sizes=(64,),
    matrix_seconds=0.01,
    size_envs=(8, 64),
    size_steps=640,
    tapes=(8, 16),
)


def groups(scale: Scale) -> list[Group]:
    """Every row of the table."""
    return [
        _consumed(scale),
        _stored(scale),
        _ppo(scale),
        _memory(scale),
        _across_envs(scale),
        _across_bars(scale),
        _startup(),
    ]


def _environment(name: str, about: str, **settings: Any) -> Contender:
    return Contender(name, f"{HERE}.environments:rollout", settings, about, all_cores=True)


def _speed(name: str, label: str) -> Quantity:
    return Quantity(label, (name,))


def _consumed(scale: Scale) -> Group:
    size = {"num_envs": scale.num_envs, "num_steps": scale.consumed_steps}
    what = f"environment steps, {scale.num_envs:,} environments, every observation consumed"
    ours = _speed("consumed", "phase 1, steps/s")
    one_account = f"{HERE}.one_account:steps"
    return Group(
        contenders=(
            _environment("consumed", "phase 1; every number of every observation is added up", kind="consumed", **size),
            _environment("stock step", "phase 1 with gymnax's own `Environment.step`", kind="stock", **size),
            Contender(
                "reference",
                one_account,
                {"kind": "reference", "num_steps": scale.reference_steps},
                "one account in plain Python on NumPy arrays, the observation built each step; uses one core",
            ),
            Contender(
                "pandas",
                one_account,
                {"kind": "pandas", "num_steps": scale.pandas_steps},
                "the reference with a DataFrame look-up for every price, as the original system had; uses one core",
            ),
        ),
        rows=(
            Row("stock", what, ours, _speed("stock step", "gymnax's own `step`"), 2.5),
            Row("reference", what, ours, _speed("reference", "plain-Python reference"), 100),
            Row("pandas", what, ours, _speed("pandas", "reference on pandas"), 2_000),
        ),
    )


def _stored(scale: Scale) -> Group:
    size = {"num_envs": scale.num_envs, "num_steps": scale.stored_steps, "calls": scale.stored_calls}
    what = f"environment steps, {scale.num_envs:,} environments, every observation stored"
    return Group(
        contenders=(
            _environment("stored", "phase 1; observations written into one array", kind="stored", **size),
            Contender(
                "storing",
                f"{HERE}.environments:storing",
                size,
                "stored, consumed, and the array filled with a number, on one core",
            ),
            Contender(
                "TorchTrade",
                f"{HERE}.torchtrade_env:rollout",
                size,
                "its vectorised bracket environment on the same bars, windows of 20 x 11 numbers and 6 of the account, "
                "into one tensor; no sessions, no mask, no slippage, percentage stops, and TorchRL's checks left out, "
                "all of which favours it",
            ),
        ),
        rows=(
            Row(
                "torchtrade",
                what,
                _speed("stored", "phase 1, steps/s"),
                _speed("TorchTrade", "TorchTrade's bracket"),
                1,
            ),
            Row(
                "storing",
                "bytes/s of storing observations on one core, over the time that it takes more than adding them up",
                Quantity("phase 1, bytes/s", ("storing",), "bytes_per_s"),
                Quantity("a fill of the same array", ("storing",), "plain_bytes_per_s"),
                0.6,
            ),
        ),
    )


def _ppo(scale: Scale) -> Group:
    sizes = {"num_envs": scale.ppo_envs, "num_steps": scale.ppo_steps, "num_updates": scale.ppo_updates, **PPO}
    flops = PPOSettings(**sizes).nominal_flops(NUM_INPUTS, NUM_ACTIONS)
    what = f"PPO from start to end, {scale.ppo_envs:,} x {scale.ppo_steps}, 64x64, 4 epochs x 4 minibatches"
    ours, plain = _speed("ours", "purejaxrl_ppo, steps/s"), _speed("plain loop", "plain loop")
    trainers = f"{HERE}.trainers"
    sb3 = {"num_envs": scale.sb3_envs, "num_steps": scale.sb3_steps, **PPO}
    return Group(
        contenders=(
            Contender(
                "ours",
                f"{trainers}:ours",
                sizes,
                "masks, normalisation and bootstrapped truncation included; masks favour it, too: the policy's tower "
                "is left out of rows with a single legal action, which are most; a device a core, which the others' "
                "loops have no way to use",
                all_cores=True,
            ),
            Contender("plain loop", f"{trainers}:plain", sizes, "one-file loop of the PureJaxRL kind, without those"),
            Contender("rejax", f"{trainers}:rejax", sizes, "its PPO, without those and without evaluation"),
            Contender(
                "MaskablePPO",
                f"{HERE}.masked_sb3:train",
                sb3,
                f"on the reference, {scale.sb3_envs} processes x {scale.sb3_steps} steps by SubprocVecEnv; minibatches "
                f"of {scale.sb3_envs * scale.sb3_steps // 4} rows, which favours us",
            ),
            Contender(
                "matrix peak",
                f"{HERE}.matrix_peak:peak",
                {"sizes": list(scale.matrix_sizes), "seconds": scale.matrix_seconds},
                "largest float32 product of square matrices, JAX's or torch's, whichever is faster; operations/s",
            ),
        ),
        rows=(
            Row("plain", what, ours, plain, 2.0),
            Row(
                "learning",
                f"reward a step in the last of {scale.ppo_updates} updates of the same training, a new seed a round",
                Quantity("purejaxrl_ppo, stops/step", ("ours",), "reward"),
                Quantity("plain loop", ("plain loop",), "reward"),
                0.95,  # seeds differ by about as much
            ),
            Row(
                "peak",
                f"{what}: steps/s x the {flops:,} operations a step of the plain loop, of which ours leaves out half",
                Quantity("purejaxrl_ppo, operations/s", ("ours",), factor=flops),
                Quantity("float32 matrix peak", ("matrix peak",), "flops"),
                0.6,
            ),
            Row("rejax", what, ours, _speed("rejax", "rejax"), 1.5),
            Row("maskable", what, ours, _speed("MaskablePPO", "MaskablePPO"), 150),
        ),
    )


def _memory(scale: Scale) -> Group:
    sizes = {"num_envs": scale.num_envs, "num_steps": scale.ppo_steps, "num_updates": 1, **PPO}
    stored_mb = scale.num_envs * scale.ppo_steps * NUM_INPUTS * 4 / 1e6
    trainers = f"{HERE}.trainers"
    one_step = {"kind": "consumed", "num_envs": scale.num_envs, "num_steps": scale.consumed_steps}
    return Group(
        contenders=(
            Contender("ours in memory", f"{trainers}:our_memory", sizes, "one update, by XLA's account, and run once"),
            Contender("plain loop in memory", f"{trainers}:plain_memory", sizes, "one update, by XLA's account"),
            Contender("rollout in memory", f"{HERE}.environments:memory", one_step, "stepping, by XLA's account"),
        ),
        rows=(
            Row(
                "memory",
                f"peak memory of rollout and update, {scale.num_envs:,} x {scale.ppo_steps}, the market left out",
                Quantity("purejaxrl_ppo, MB", ("ours in memory",), "mb"),
                Quantity("float32 observations alone", factor=stored_mb),
                0.25,
                at_most=True,
            ),
            Row(
                "plain-memory",
                f"peak memory of rollout and update, {scale.num_envs:,} x {scale.ppo_steps}, the market left out",
                Quantity("purejaxrl_ppo, MB", ("ours in memory",), "mb"),
                Quantity("plain loop", ("plain loop in memory",), "mb"),
                1.0,
                at_most=True,
            ),
            Row(
                "env-memory",
                f"memory of one of {scale.num_envs:,} environments while they step",
                Quantity("phase 1, MB", ("rollout in memory",), "mb_per_env"),
                Quantity("0.02 MB", factor=0.02),
                1.0,
                at_most=True,
            ),
        ),
        rounds=1,
    )


def _across_envs(scale: Scale) -> Group:
    names = [f"{count:,} environments" for count in scale.size_envs]
    contenders = tuple(
        _environment(name, "", kind="consumed", num_envs=count, num_steps=max(1, scale.size_steps // count))
        for name, count in zip(names, scale.size_envs, strict=True)
    )
    what = f"environment steps/s from {names[0]} to {names[-1].split()[0]}, consumed"
    slowest, fastest = Quantity("slowest", tuple(names)), Quantity("fastest", tuple(names), pick=max)
    return Group(contenders, (Row("envs", what, slowest, fastest, 0.8),))


def _across_bars(scale: Scale) -> Group:
    size = {"kind": "consumed", "num_envs": scale.num_envs, "num_steps": max(1, scale.size_steps // scale.num_envs)}
    short, long = (f"tape of {count * 1_380:,} bars" for count in scale.tapes)
    contenders = tuple(
        _environment(name, "synthetic", sessions=count, **size)
        for name, count in zip((short, long), scale.tapes, strict=True)
    )
    what = f"environment steps/s, {scale.num_envs:,} environments, consumed, by length of the tape"
    return Group(contenders, (Row("bars", what, _speed(long, f"{long}, steps/s"), _speed(short, short), 0.6),))


def _startup() -> Group:
    return Group(
        contenders=(
            Contender("our start", f"{HERE}.startup:ours", {}, "imports and compilation of PPOConfig()", fresh=True),
            Contender("plain start", f"{HERE}.startup:plain", {}, "the same of the plain loop", fresh=True),
        ),
        rows=(
            Row(
                "startup",
                "import and compile of the default training, market apart",
                Quantity("purejaxrl_ppo, seconds", ("our start",), "seconds"),
                Quantity("plain loop", ("plain start",), "seconds"),
                1.5,
                at_most=True,
            ),
        ),
    )
