"""Trainings on virtual devices, for a process that has eight: `python -m tests.ppo.sharded_run FOLDER NAME ...`.

A NAME is one of SETTINGS, of which those of ON_GPU take the paths of one, or `fit`. FOLDER gets `metrics.npz` (every
metric as setting/devices/name), `facts.json`, and the runs of `fit`.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

import jax
import numpy as np

from purejaxrl_ppo import FitOptions, PPOConfig, fit, make_mesh, make_train
from purejaxrl_ppo.checkpoint import Checkpoints, to_arrays
from purejaxrl_ppo.sharding import gather
from tests import quick
from tests.ppo.probes import Table, table

ROOT = pathlib.Path(__file__).parents[2]
ITERATIONS = 20
PARAMS = {
    "reward": [[1.0, -3.0, 7.0]] * 4,
    "start": (1, 1, 1, 1),
    "following": [[0, 1, 2], [1, 2, 3], [2, 3, 0], [3, 0, 1]],
    "terminal": [[False, False, True]] * 4,
    "legal": [[True, True, False], [True, False, True], [False, False, True], [True] * 3],
    "limit": 5,
}
SMALL = PPOConfig(
    num_envs=16,
    num_steps=16,
    total_timesteps=16 * 16 * ITERATIONS,
    num_epochs=2,
    minibatch_by="time",
    hidden_sizes=(8,),
    learning_rate=3e-3,
    log_info=("twice",),
)
WHOLE = dataclasses.replace(SMALL, num_minibatches=1)  # one minibatch holds the same rows however they are shuffled
# large enough for XLA to start parts of an iteration side by side on a CPU, as it does not where arrays are small
BROAD = dataclasses.replace(SMALL, num_envs=32, total_timesteps=32 * 16 * ITERATIONS, hidden_sizes=(16, 16))
ON_GPU = ("kernels", "joined")
SETTINGS = {
    "time": (SMALL, (None, 8)),
    "pair": (BROAD, (None, 2)),
    "kernels": (BROAD, (None, 2)),
    "joined": (dataclasses.replace(BROAD, bfloat16=False), (None, 2)),
    "rows": (dataclasses.replace(WHOLE, minibatch_by="rows", num_epochs=4, target_kl=1e-4), (None, 8)),
    "envs": (dataclasses.replace(WHOLE, minibatch_by="envs", recurrent=True, gru_size=8), (None, 8)),
    "shuffled": (dataclasses.replace(SMALL, minibatch_by="envs", num_minibatches=2, learning_rate=2e-2), (8,)),
}
FIT = dataclasses.replace(SMALL, total_timesteps=16 * 16 * 6)
OPTIONS = FitOptions(
    eval_every=3, eval_episodes=4, checkpoint_every=2, keep_checkpoints=10, tensorboard=False, quiet=True
)


def start(folder: pathlib.Path, *names: str) -> None:
    """Run this module with eight devices and wait for it."""
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count=8 {quick.FLAGS}"}
    command = [sys.executable, "-m", "tests.ppo.sharded_run", str(folder), *names]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **flags}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def main() -> None:
    """The trainings that were asked for."""
    folder, names = pathlib.Path(sys.argv[1]), sys.argv[2:]
    facts: dict[str, Any] = {"devices": jax.device_count()}
    metrics = {}
    for name, (config, counts) in ((name, SETTINGS[name]) for name in names if name != "fit"):
        for count in counts:
            mesh = None if count is None else make_mesh(count)
            train = make_train(Table(), config, mesh=mesh, backend="gpu" if name in ON_GPU else None)
            result = jax.jit(train)(jax.random.key(3), table(**PARAMS))
            metrics |= {f"{name}/{count}/{key}": np.asarray(value) for key, value in result.metrics.items()}
            if count == 8:
                facts[f"{name} equal"] = _equal_on_all(result.state)
                facts[f"{name} shares"] = [x.data.shape[0] for x in result.state.runner.obs.addressable_shards]
    np.savez(folder / "metrics.npz", **metrics)
    if "fit" in names:
        facts |= _runs(folder)
    (folder / "facts.json").write_text(json.dumps(facts))


def _equal_on_all(state: Any) -> bool:
    """Whether every device holds the same bits of what is not shared out."""
    leaves = jax.tree.leaves((state.params, state.opt_state, state.obs_moments, state.return_moments))
    copies = [[np.asarray(shard.data) for shard in leaf.addressable_shards] for leaf in leaves]
    return all(np.array_equal(one, each[0]) for each in copies for one in each) and len(copies[0]) == 8


def _runs(folder: pathlib.Path) -> dict[str, bool]:
    """`fit` on one device and on eight, and what each makes of a run of the other."""
    facts = {}
    meshes = {"one": None, "eight": make_mesh(8)}
    for name, mesh in meshes.items():
        fit(Table(), table(**PARAMS), FIT, run_dir=folder / name, options=OPTIONS, mesh=mesh)
    for name, other in (("one", "eight"), ("eight", "one")):
        mesh = meshes[other]
        # a finished run is read and handed back
        read = fit(Table(), table(**PARAMS), FIT, run_dir=folder / name, options=OPTIONS, mesh=mesh)
        facts[f"{name} read on {other}"] = _same(to_arrays(gather(read.state, mesh)), _saved(folder / name))
        half = folder / f"{name}, then {other}"
        shutil.copytree(folder / name, half)
        for kept in ("checkpoints", "best"):
            for step in (half / kept).iterdir():
                if int(step.name) > 4:
                    shutil.rmtree(step)
        fit(Table(), table(**PARAMS), FIT, run_dir=half, options=OPTIONS, mesh=mesh)
    return facts


def _saved(run: pathlib.Path) -> dict[str, np.ndarray]:
    found = Checkpoints(run / "checkpoints", keep=None, read_only=True).restore(("state",))
    assert found is not None
    return found[0]["state"]


def _same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(one[name].tobytes() == other[name].tobytes() for name in one)


if __name__ == "__main__":
    main()
