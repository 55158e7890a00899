"""Settings of a PPO training that every trainer is given."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class PPOSettings:
    """Of one training: 2 tanh layers for the policy and 2 for the value, constant learning rate."""

    num_envs: int = 1024
    num_steps: int = 128
    num_updates: int = 8
    num_epochs: int = 4
    num_minibatches: int = 4
    learning_rate: float = 1e-3
    width: int = 64  # units of a layer
    bfloat16: bool | None = None  # hidden layers, of ours alone; None: as the device chooses

    @property
    def steps(self) -> int:
        """Environment steps of the training."""
        return self.num_envs * self.num_steps * self.num_updates

    def nominal_flops(self, num_inputs: int, num_actions: int) -> int:
        """Operations a step of the plain loop: 2 a multiplication, forward once in the rollout and 3 times an epoch.

        A backward pass counts as two forward passes.
        """
        hidden = 2 * (num_inputs * self.width + self.width * self.width)
        heads = self.width * (num_actions + 1)
        return 2 * (hidden + heads) * (1 + 3 * self.num_epochs)
