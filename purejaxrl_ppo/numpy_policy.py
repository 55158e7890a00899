"""A policy from its file of weights: NumPy alone, a single file to copy. Written by `purejaxrl_ppo.export`."""

import json
from typing import Any

import numpy as np

ACTIVATIONS: dict[str, Any] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + np.float32(0.044715) * x**3))),
    "silu": lambda x: x * _sigmoid(x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
}


def _sigmoid(x: Any) -> Any:
    return 0.5 * (np.tanh(0.5 * x) + 1)  # does not overflow


class NumpyPolicy:
    """action = policy(obs, mask); of a recurrent one action, memory = policy(obs, mask, memory), None first."""

    def __init__(self, path: Any) -> None:
        self.w = dict(np.load(path, allow_pickle=False))
        self.about = json.loads(str(self.w.pop("about")))

    def dense(self, x: Any, name: str) -> Any:
        return x @ self.w[f"{name}/kernel"] + self.w.get(f"{name}/bias", np.float32(0))

    def hidden(self, x: Any, name: str, norm: str) -> Any:
        x = self.dense(x, name)
        if f"{norm}/scale" in self.w:
            scale = self.w[f"{norm}/scale"]
            y = x.reshape(*x.shape[:-1], *scale.shape)  # two towers side by side are normalised apart
            y = (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + np.float32(1e-6))
            x = (y * scale + self.w[f"{norm}/bias"]).reshape(x.shape)
        return ACTIVATIONS[self.about["activation"]](x)

    def remember(self, x: Any, memory: Any, cell: str = "gru/GRUCell_0") -> Any:  # one step of the gated recurrent unit
        x = self.hidden(x, "encoder", "")
        r, z = (_sigmoid(self.dense(x, f"{cell}/i{g}") + self.dense(memory, f"{cell}/h{g}")) for g in "rz")
        n = np.tanh(self.dense(x, f"{cell}/in") + r * self.dense(memory, f"{cell}/hn"))
        return (1 - z) * n + z * memory

    def __call__(self, obs: Any, mask: Any = None, memory: Any = None) -> Any:
        """obs float32 [B, n], mask bool [B, a] -> action int [B], the most probable one that is legal."""
        x = np.asarray(obs, np.float32)
        if "scale" in self.w:
            x = np.clip((x - self.w["mean"]) * self.w["scale"], -self.about["clip"], self.about["clip"])
        if self.about["recurrent"]:
            memory = np.zeros((len(x), self.about["gru_size"]), np.float32) if memory is None else memory
            x = memory = self.remember(x, memory)
        tower = "shared" if self.about["shared_torso"] else "actor"
        if tower == "actor":  # its first layer lies beside the critic's
            x = np.split(self.hidden(x, "actor_critic_0", "actor_critic_norm_0"), 2, axis=-1)[0]
        for i in range(tower == "actor", self.about["layers"]):
            x = self.hidden(x, f"{tower}_{i}", f"{tower}_norm_{i}")
        logits = np.where(True if mask is None else mask, self.dense(x, "actor_head"), np.finfo(np.float32).min)
        return (np.argmax(logits, -1), memory) if self.about["recurrent"] else np.argmax(logits, -1)
