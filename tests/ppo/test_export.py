"""Exported policies act as the policy does, in processes that know neither JAX nor this project."""

from __future__ import annotations

import importlib.util
import pathlib
import subprocess
import sys
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo import Policy, PPOConfig
from purejaxrl_ppo.export import READER, MissingConverter, export_policy
from purejaxrl_ppo.networks import ActionSpec
from purejaxrl_ppo.normalise import RunningMoments
from purejaxrl_ppo.policy import fresh_policy
from purejaxrl_ppo.wrappers import EnvSpec

SIZE, ACTIONS = 12, 6
KINDS: dict[str, dict[str, Any]] = {
    "two towers": {},
    "recurrent": {"recurrent": True},
    "shared torso": {"shared_torso": True, "layer_norm": True, "activation": "gelu"},
    "norms": {"layer_norm": True, "activation": "silu", "normalise_observations": False},
    "relu": {"activation": "relu"},
    "elu": {"activation": "elu", "hidden_sizes": (8,)},
}


def make_policy(**config: Any) -> Policy:
    spec = EnvSpec(((SIZE,),), ActionSpec(ACTIONS), True)
    settings = PPOConfig(**{"hidden_sizes": (16, 16), "gru_size": 8, **config})
    keys = jax.random.split(jax.random.key(3), 3)
    fresh = fresh_policy(keys[0], spec, settings, sampled=False)
    noise = jax.tree.leaves(fresh.params)
    weights = jax.tree.unflatten(
        jax.tree.structure(fresh.params),
        [x + 0.3 * jax.random.normal(jax.random.fold_in(keys[1], i), x.shape) for i, x in enumerate(noise)],
    )
    moments = RunningMoments(jnp.linspace(-1, 1, SIZE), jnp.linspace(0.5, 2, SIZE), jnp.ones(2, jnp.uint32))
    return fresh.replace(params=weights, moments=moments)


def cases(policy: Policy, count: int) -> dict[str, np.ndarray]:
    """Observations, masks and, of a recurrent policy, memories; and what the policy does."""
    rng = np.random.default_rng(1)
    obs = rng.normal(0, 2, (count, SIZE)).astype(np.float32)
    mask = rng.random((count, ACTIONS)) < 0.5
    mask[:, 0] = True
    arrays = {"obs": obs, "mask": mask}
    if policy.config.recurrent:
        arrays["memory"] = rng.normal(0, 0.5, (count, policy.config.gru_size)).astype(np.float32)
    found = policy(jax.random.key(0), *map(jnp.asarray, arrays.values()))
    action, memory = found if policy.config.recurrent else (found, None)
    arrays["action"] = np.asarray(action)
    return arrays | ({} if memory is None else {"after": np.asarray(memory)})


def inputs(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [arrays[name] for name in ("obs", "mask", "memory") if name in arrays]


@pytest.mark.parametrize("kind", KINDS)
def test_numpy(kind, tmp_path):
    policy = make_policy(**KINDS[kind])
    weights, reader = export_policy(policy, tmp_path, "numpy")
    spec = importlib.util.spec_from_file_location("a_reader", reader)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    arrays = cases(policy, 500)
    found = module.NumpyPolicy(weights)(*inputs(arrays))
    action = found[0] if policy.config.recurrent else found
    np.testing.assert_array_equal(action, arrays["action"])
    if policy.config.recurrent:
        np.testing.assert_allclose(found[1], arrays["after"], atol=1e-5)


@pytest.mark.parametrize("kind", ["two towers", "recurrent"])
def test_stablehlo(kind, tmp_path):
    policy = make_policy(**KINDS[kind])
    path, text = export_policy(policy, tmp_path, "stablehlo")
    arrays = cases(policy, 500)
    found = jax.export.deserialize(path.read_bytes()).call(*inputs(arrays))
    np.testing.assert_array_equal(found[0], arrays["action"])
    assert "stablehlo" in text.read_text()


def test_the_reader_is_sixty_lines_and_needs_numpy_alone():
    lines = (pathlib.Path(__file__).parents[2] / "purejaxrl_ppo" / READER).read_text().splitlines()
    assert len(lines) <= 60
    imports = {line.split()[1] for line in lines if line.startswith(("import ", "from "))}
    assert imports == {"json", "typing", "numpy"}


def test_what_cannot_be_exported(tmp_path):
    with pytest.raises(ValueError, match="bfloat16"):
        export_policy(make_policy(bfloat16=True), tmp_path, "numpy")
    box = make_policy().replace(spec=EnvSpec(((SIZE,),), ActionSpec(0, (2,)), False))
    with pytest.raises(ValueError, match="box"):
        export_policy(box, tmp_path, "numpy")
    if importlib.util.find_spec("jax2onnx") is None:
        with pytest.raises(MissingConverter, match=r"trading-gymnax\[onnx\]"):
            export_policy(make_policy(), tmp_path, "onnx")


NUMPY_ALONE = """
import sys
for name in ("jax", "jaxlib", "flax", "purejaxrl_ppo", "trading_gymnax"):
    sys.modules[name] = None
import numpy as np
sys.path.insert(0, sys.argv[1])
from numpy_policy import NumpyPolicy
c = dict(np.load(sys.argv[2]))
found = NumpyPolicy(sys.argv[1] + "/policy.npz")(*[c[n] for n in ("obs", "mask", "memory") if n in c])
action = found[0] if "memory" in c else found
print(int((action != c["action"]).sum()), len(action))
"""
ONNX_ALONE = """
import sys
for name in ("jax", "jaxlib", "flax", "purejaxrl_ppo", "trading_gymnax"):
    sys.modules[name] = None
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1] + "/policy.onnx")
c = dict(np.load(sys.argv[2]))
found = session.run(None, {n: c[n] for n in ("obs", "mask", "memory") if n in c})
print(int((found[0] != c["action"]).sum()), len(found[0]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("to", "program"), [("numpy", NUMPY_ALONE), ("onnx", ONNX_ALONE)])
def test_a_hundred_thousand_observations_without_jax(to, program, kind, tmp_path):
    if to == "onnx":
        pytest.importorskip("jax2onnx", reason="the extra onnx is not installed")
        pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    policy = make_policy(**KINDS[kind])
    export_policy(policy, tmp_path, to)
    np.savez(tmp_path / "cases.npz", **cases(policy, 100_000))
    command = [sys.executable, "-c", program, str(tmp_path), str(tmp_path / "cases.npz")]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ran.stdout.split() == ["0", "100000"], ran.stderr
