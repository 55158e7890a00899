"""A run's folder: what it was started with, where its files lie, and the policies in it."""

import json
import math
import os
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_ppo.checkpoint import CheckpointError, Checkpoints, digest, from_arrays, to_arrays
from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.hyperparameters import Hyperparameters
from purejaxrl_ppo.networks import ActionSpec
from purejaxrl_ppo.policy import Policy, fresh_policy
from purejaxrl_ppo.train import ParamsSchedule, TrainState
from purejaxrl_ppo.wrappers import EnvSpec

RUN_FILE = "run.json"
_READABLE = 16  # numbers of an array that the description shows as they are
_FOR_READERS = ("values",)  # told, but not compared: digests are exact
LAST, BEST = "checkpoints", "best"


def policy_arrays(state: TrainState) -> dict[str, np.ndarray]:
    """The part of a state that acts: network and observation statistics."""
    return to_arrays({"params": state.params, "moments": state.obs_moments})


def write_run(folder: pathlib.Path, run: dict[str, Any]) -> None:
    """Write the run's description, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / (RUN_FILE + ".partial")
    partial.write_text(json.dumps(run, indent=2) + "\n")
    partial.replace(folder / RUN_FILE)


def read_run(folder: pathlib.Path | str) -> dict[str, Any]:
    """The run's description.

    Raises:
        FileNotFoundError: when the folder holds no run.
        ValueError: when its description cannot be read.
    """
    path = pathlib.Path(folder) / RUN_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no run: there is no {RUN_FILE} in it")
    try:
        run = dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}): restore it from a copy, or use another folder") from error
    missing = [key for key in ("config", "spec") if key not in run]
    if missing:
        raise ValueError(f"{path} does not record {' and '.join(missing)}: it does not describe a run of this trainer")
    return run


def spec_to_json(spec: EnvSpec) -> dict[str, Any]:
    """An EnvSpec as plain JSON values."""
    bounds = {name: None if x is None else np.asarray(x).tolist() for name, x in _bounds(spec.action).items()}
    return {
        "obs_shapes": [list(shape) for shape in spec.obs_shapes],
        "num_actions": spec.action.num_actions,
        "action_shape": list(spec.action.shape),
        **bounds,
        "masked": spec.masked,
    }


def spec_from_json(values: dict[str, Any]) -> EnvSpec:
    """Inverse of `spec_to_json`."""
    low, high = (None if values[k] is None else jnp.asarray(values[k], jnp.float32) for k in ("low", "high"))
    action = ActionSpec(values["num_actions"], tuple(values["action_shape"]), low, high)
    return EnvSpec(tuple(tuple(shape) for shape in values["obs_shapes"]), action, values["masked"])


def load_policy(
    run_dir: pathlib.Path | str, *, sampled: bool = True, checkpoint: Literal["best", "last"] = "best"
) -> Policy:
    """The policy of a run, with its normaliser; the environment is not needed.

    Args:
        run_dir: folder that `fit` wrote.
        sampled: draw actions from the policy, as in training; False takes the most probable one.
        checkpoint: "best" by evaluation (by the training return where none was made), or "last".

    Raises:
        FileNotFoundError: when the folder holds no run or no checkpoint.
        CheckpointError: when all its checkpoints are damaged.
    """
    folder = folder_of(run_dir)
    run = read_run(folder)
    config, spec = PPOConfig.from_dict(run["config"]), spec_from_json(run["spec"])
    arrays = _policy_arrays(folder, checkpoint)
    return build_policy(config, spec, arrays, sampled)


def folder_of(run_dir: Any) -> pathlib.Path:
    """The path of a run's folder; ValueError for what is none."""
    if not isinstance(run_dir, str | os.PathLike) or not str(run_dir).strip() or "\0" in str(run_dir):
        raise ValueError(f"run_dir must be the path of a folder, 'runs/nq' say; got {run_dir!r:.60}")
    return pathlib.Path(run_dir)


def build_policy(config: PPOConfig, spec: EnvSpec, arrays: dict[str, np.ndarray], sampled: bool) -> Policy:
    """A policy from `policy_arrays`."""
    shapes = jax.eval_shape(lambda: fresh_policy(jax.random.key(0), spec, config, sampled=sampled))
    parts = from_arrays({"params": shapes.params, "moments": shapes.moments}, arrays)
    return shapes.replace(spec=spec, **parts)


def _policy_arrays(folder: pathlib.Path, checkpoint: str) -> dict[str, np.ndarray]:
    if checkpoint not in ("best", "last"):
        raise ValueError(f"checkpoint={checkpoint!r}: it must be 'best' or 'last'")
    error: CheckpointError | None = None
    for name in (BEST, LAST) if checkpoint == "best" else (LAST,):
        if not (folder / name).is_dir():
            continue
        checkpoints = Checkpoints(folder / name, keep=None, read_only=True)
        try:
            found = checkpoints.restore(("policy",))
        except CheckpointError as damaged:
            error = damaged
            continue
        finally:
            checkpoints.close()
        if found is not None:
            return found[0]["policy"]
    raise error or FileNotFoundError(f"{folder} has no checkpoint yet: train first")


def _bounds(action: ActionSpec) -> dict[str, Any]:
    return {"low": action.low, "high": action.high}


def describe_run(
    config: PPOConfig,
    hyper: Hyperparameters,
    spec: EnvSpec,
    env: Any,
    env_params: Any,
    source: dict[str, Any] | None,
    *,
    eval_params: Any = None,
    params_schedule: ParamsSchedule | None = None,
    warm_start: Policy | None = None,
) -> dict[str, Any]:
    """What `run.json` holds: settings, environment, and digests of its parameters and of what else was given.

    `values` shows the parameters themselves, as far as they are small.

    `source` says how the command line makes the environment; None for a run started from Python. A schedule
    is known by what it makes of `env_params` at five points of the run.
    """
    name = getattr(env, "name", type(env).__name__)
    judged = {} if eval_params is None else _changed(env_params, eval_params)
    return {
        "config": config.to_dict(),
        "hyperparameters": {name: float(value) for name, value in vars(hyper).items()},
        "env": str(name),
        "env_params": _changed(None, env_params),
        "eval_params": judged,
        "params_schedule": {} if params_schedule is None else _schedule_digests(params_schedule, env_params),
        "warm_start": None if warm_start is None else _short((warm_start.params, warm_start.moments)),
        "values": _values(env_params) | {f"evaluation.{k}": v for k, v in _values(eval_params).items() if k in judged},
        "spec": spec_to_json(spec),
        "generator": str(jax.config.values["jax_default_prng_impl"]),
        "source": source,
    }


def _values(tree: Any) -> dict[str, Any]:
    """The numbers of the small leaves by path, as JSON has them; what is not finite as a text."""
    found = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
        if np.size(leaf) <= _READABLE:
            name = jax.tree_util.keystr(path, simple=True, separator=".") or "value"
            (array,) = to_arrays(leaf).values()
            found[name] = _plain(array.tolist())
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(x) for x in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def _short(tree: Any) -> str:
    return digest(to_arrays(tree))[:16]


def _changed(before: Any, after: Any) -> dict[str, str]:
    """Digests of the leaves of `after` that are not those of `before`, by path."""
    old = {} if before is None else dict(jax.tree_util.tree_flatten_with_path(before)[0])
    new = jax.tree_util.tree_flatten_with_path(after)[0]
    # one object is one array: the market's arrays need not be read again
    leaves = {path: leaf for path, leaf in new if old.get(path) is not leaf}
    digests = {path: _short(leaf) for path, leaf in leaves.items()}
    return {
        jax.tree_util.keystr(path, simple=True, separator=".") or "value": digests[path]
        for path in leaves
        if path not in old or _short(old[path]) != digests[path]
    }


def _schedule_digests(schedule: ParamsSchedule, env_params: Any) -> dict[str, str]:
    """Digests of the parameters that the schedule changes, by path and progress."""
    points = (0.0, 0.25, 0.5, 0.75, 1.0)
    changed = {at: _changed(env_params, schedule(jnp.float32(at), env_params)) for at in points}
    return {"given": "True"} | {f"{name} at {at:g}": x for at in points for name, x in changed[at].items()}


def refuse_other_run(folder: pathlib.Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    """Compare a run's description with what is asked for.

    The policy of a warm start is compared only where one is given: going on with a run does not need it again.

    Raises:
        ValueError: listing what differs; also for a description that does not record all of it.
    """
    old = {"generator": "threefry2x32", **old}  # JAX's default, where a run is older than this entry
    missing = [key for key in new if key not in old and key not in _FOR_READERS]
    if missing:
        raise ValueError(
            f"{folder / RUN_FILE} does not record {', '.join(missing)}, as the version that wrote it did not: whether "
            "the run is the same cannot be told, so use another run_dir"
        )
    if old["generator"] != new["generator"]:
        raise ValueError(
            f"{folder} holds a run whose random numbers are of the generator {old['generator']}, and this process has "
            f"{new['generator']}: to go on with it, set JAX_DEFAULT_PRNG_IMPL={old['generator']}"
        )
    found = _difference("env", old["env"], new["env"])
    if new["warm_start"] is not None:
        found += _difference("warm_start", old["warm_start"], new["warm_start"])
    for group in ("config", "hyperparameters", "spec", "env_params", "eval_params", "params_schedule"):
        there, asked = old[group], new[group]
        if group == "config":  # settings that are newer than the run had the values that are now their defaults
            there = PPOConfig.from_dict(there).to_dict()
        for key in sorted({*there, *asked}):
            repeated = group == "hyperparameters" and old["config"].get(key) != new["config"].get(key)
            if there.get(key) != asked.get(key) and not repeated:
                found += _difference(f"{group}.{key}", *_shown(group, key, (old, there), (new, asked)))
    if found:
        raise ValueError(
            f"{folder} holds a run of another configuration; use another run_dir, or the same settings. "
            + "Differences: "
            + "; ".join(found)
        )


def _shown(group: str, key: str, *sides: tuple[dict[str, Any], dict[str, Any]]) -> list[Any]:
    """What two descriptions hold under a key, as values where both have them and as digests where not."""
    name = {"env_params": key, "eval_params": f"evaluation.{key}"}.get(group)
    values = [run.get("values", {}).get(name) for run, _ in sides]
    if None in values or values[0] == values[1]:
        return [held.get(key) for _, held in sides]
    return values


def _difference(name: str, there: Any, asked: Any) -> list[str]:
    return [] if there == asked else [f"{name}: {there!r} there, {asked!r} asked for"]
