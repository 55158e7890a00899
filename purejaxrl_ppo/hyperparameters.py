"""The part of the settings that programs take as arguments."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct


class Hyperparameters(struct.PyTreeNode):
    """The settings that may be arrays: traced, so that `vmap` sweeps them without a recompile.

    Every field is a float32 scalar; under `vmap` over hyperparameters it has a leading axis.
    """

    learning_rate: jax.Array  # Adam's step size before its schedule
    ent_coef: jax.Array  # weight of the entropy bonus before its schedule
    clip_eps: jax.Array  # clip range of ratio and value before its schedule
    gamma: jax.Array  # discount per environment step
    gae_lambda: jax.Array  # lambda of generalised advantage estimation

    @classmethod
    def of(cls, settings: Any) -> "Hyperparameters":
        """Those of a `PPOConfig`."""
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**{name: jnp.float32(getattr(settings, name)) for name in names})
