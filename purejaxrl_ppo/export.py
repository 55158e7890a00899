"""A trained policy for programs without this one: NumPy weights with their reader, StableHLO, ONNX.

Each holds the normaliser, the mask and, of a recurrent policy, the memory, and takes the most probable legal action.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import flax.traverse_util
import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from purejaxrl_ppo.networks import ACTIVATIONS, ILLEGAL_LOGIT, make_network
from purejaxrl_ppo.policy import Policy

Format = Literal["numpy", "stablehlo", "onnx"]
READER = "numpy_policy.py"


class MissingConverter(ImportError):
    """The package that writes ONNX is not installed."""

    def __init__(self) -> None:
        super().__init__('ONNX needs jax2onnx, which is not installed: pip install "trading-gymnax[onnx]"')


def export_policy(policy: Policy, folder: pathlib.Path | str, to: Format) -> list[pathlib.Path]:
    """Write a policy to a folder. Returns the files, the one to load first.

    - numpy: `policy.npz` and `numpy_policy.py`, which reads it and needs NumPy alone.
    - stablehlo: `policy.stablehlo`, for `jax.export.deserialize`, on CPU and CUDA, and its text `policy.mlir`.
    - onnx: `policy.onnx`, for onnxruntime: inputs obs float32 [B, n], mask bool [B, a] and, of a recurrent policy,
      memory float32 [B, h], zeros first; outputs the action and the memory.
    Raises:
        ValueError: for a policy whose actions are a box, and for NumPy and ONNX of one that computes in bfloat16.
        MissingConverter: for ONNX without the extra `onnx`.
    """
    if not policy.spec.action.num_actions:
        raise ValueError("only a policy that chooses among actions can be exported, and this one's actions are a box")
    if policy.config.bfloat16 and to != "stablehlo":
        raise ValueError(f"the policy computes in bfloat16, which {to} would round otherwise: export it to stablehlo")
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    writers = {"numpy": _write_numpy, "stablehlo": _write_stablehlo, "onnx": _write_onnx}
    return writers[to](policy, folder)


def act(policy: Policy) -> Callable[..., tuple[jax.Array, ...]]:
    """The policy as a function of arrays: (obs, mask) -> (action,), or (obs, mask, memory) -> (action, memory)."""

    def choose(obs: jax.Array, mask: jax.Array, *memory: jax.Array) -> tuple[jax.Array, ...]:
        after, head = _one_step(policy, obs, *memory)
        legal = jnp.where(mask, head, ILLEGAL_LOGIT) if policy.spec.masked else head
        action = jnp.argmax(legal, axis=-1).astype(jnp.int32)
        return (action, after) if memory else (action,)

    return choose


def _one_step(policy: Policy, obs: jax.Array, *memory: jax.Array) -> tuple[Any, jax.Array]:
    """Memory and policy head. The memory moves by a single step: without the loop over time that training has, which a
    converter to ONNX may not know."""
    if not memory:
        after, head, _ = policy.head(obs, (), jnp.zeros(obs.shape[:1], bool))
        return after, head
    config, layers = policy.config, policy.params["params"]
    dtype = jnp.bfloat16 if config.bfloat16 else jnp.float32
    encoder = nn.Dense(config.gru_size, dtype=dtype)
    x = ACTIVATIONS[config.activation](encoder.apply({"params": layers["encoder"]}, policy._see(obs)))
    cell = nn.GRUCell(config.gru_size, dtype=dtype, param_dtype=jnp.float32)
    _, out = cell.apply({"params": layers["gru"]["GRUCell_0"]}, memory[0], x)
    towers = make_network(dataclasses.replace(config, recurrent=False), policy.spec.action)
    _, head, _ = towers.apply(policy.params, (), out, jnp.zeros(obs.shape[:1], bool))
    return out.astype(jnp.float32), head


def _inputs(policy: Policy) -> list[tuple[str, int, Any]]:
    """Name, width and type of each input."""
    inputs = [("obs", policy.spec.obs_size, jnp.float32), ("mask", policy.spec.action.num_actions, jnp.bool_)]
    return inputs + [("memory", policy.config.gru_size, jnp.float32)] * policy.config.recurrent


def _shapes(policy: Policy) -> list[jax.ShapeDtypeStruct]:
    """Shapes of the inputs for any batch."""
    batch = jax.export.symbolic_shape("b")[0]
    return [jax.ShapeDtypeStruct((batch, width), dtype) for _, width, dtype in _inputs(policy)]


def _write_numpy(policy: Policy, folder: pathlib.Path) -> list[pathlib.Path]:
    config = policy.config
    arrays = flax.traverse_util.flatten_dict(dict(policy.params["params"]), sep="/")
    arrays = {name: np.asarray(x) for name, x in arrays.items() if not name.startswith("critic_")}
    if config.normalise_observations:
        scale = jax.lax.rsqrt(policy.moments.var + 1e-8)
        arrays |= {"mean": np.asarray(policy.moments.mean), "scale": np.asarray(scale)}
    about = {"activation": config.activation, "layers": len(config.hidden_sizes), "clip": config.observation_clip}
    about |= {name: getattr(config, name) for name in ("shared_torso", "recurrent", "gru_size")}
    path, reader = folder / "policy.npz", folder / READER
    np.savez(path, about=json.dumps(about), **arrays)
    shutil.copyfile(pathlib.Path(__file__).with_name(READER), reader)
    return [path, reader]


def _write_stablehlo(policy: Policy, folder: pathlib.Path) -> list[pathlib.Path]:
    exported = jax.export.export(jax.jit(act(policy)), platforms=("cpu", "cuda"))(*_shapes(policy))
    path, text = folder / "policy.stablehlo", folder / "policy.mlir"
    path.write_bytes(exported.serialize())
    text.write_text(str(exported.mlir_module()))
    return [path, text]


def _write_onnx(policy: Policy, folder: pathlib.Path) -> list[pathlib.Path]:
    try:
        import jax2onnx
    except ModuleNotFoundError as error:
        raise MissingConverter from error
    path, named = folder / "policy.onnx", _inputs(policy)
    jax2onnx.to_onnx(
        act(policy),
        _shapes(policy),
        model_name="policy",
        return_mode="file",
        output_path=str(path),
        input_names=[name for name, _, _ in named],
        output_names=["action", "memory_after"][: 1 + policy.config.recurrent],
        export_mode="web",  # all weights in the one file
    )
    return [path]
