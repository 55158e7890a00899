"""The settings of PPO: one frozen dataclass that is also the command line, which reads it without JAX."""

import dataclasses
import math
import numbers
import os
import pathlib
import types
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from purejaxrl_ppo.words import nearest

if TYPE_CHECKING:
    from purejaxrl_ppo.hyperparameters import Hyperparameters

Schedule = Literal["constant", "linear"]
MinibatchBy = Literal["auto", "rows", "time", "envs"]
RolloutStorage = Literal["auto", "observations", "states"]


@dataclasses.dataclass(frozen=True)
class PPOConfig:
    """Settings of a run; hashable, checked when built.

    One *iteration* is one rollout of `num_envs` x `num_steps` environment steps and the updates made
    from it. Schedules run over iterations: a linear one has the factor 1 - i / n at iteration i of n, counted
    from 0.

    Raises:
        ValueError: for a setting that cannot work, saying which and what to write instead.
    """

    total_timesteps: int = 2_000_000
    """Environment steps of the whole run, all environments together; rounded down to whole iterations."""
    exact_budget: bool = False
    """Refuse a `total_timesteps` that is not a whole number of iterations instead of rounding it down."""
    num_envs: int = 1024
    """Environments that run side by side, on all devices together."""
    num_steps: int = 128
    """Steps of every environment in one iteration."""
    num_epochs: int = 4
    """Passes over the data of one iteration."""
    num_minibatches: int = 4
    """Gradient steps in one pass."""
    minibatch_by: MinibatchBy = "auto"
    """What is shuffled into minibatches; auto takes the fastest that keeps enough of them apart."""
    rollout_storage: RolloutStorage = "auto"
    """What a rollout keeps: observations, or the environment's states (a tenth of the memory) from which they are
    rebuilt; auto takes states where the environment's class allows it by `observation_from_state`."""
    microbatch_rows: int | None = None
    """Rows whose gradient is computed at once, which bounds memory; None: 2,048 on a CPU, elsewhere all."""
    gamma: float = 0.99
    """Discount per environment step."""
    gae_lambda: float = 0.95
    """Lambda of generalised advantage estimation: 0 trusts the value function, 1 the returns."""
    learning_rate: float = 3e-4
    """Adam's step size at the start."""
    learning_rate_schedule: Schedule = "linear"
    """How the learning rate runs over the iterations."""
    clip_eps: float = 0.2
    """Clip range of the probability ratio, and of the value's change."""
    clip_eps_schedule: Schedule = "constant"
    """How the clip range runs over the iterations."""
    ent_coef: float = 0.01
    """Weight of the entropy bonus."""
    ent_coef_schedule: Schedule = "constant"
    """How the entropy weight runs over the iterations."""
    value_coef: float = 0.5
    """Weight of the value loss."""
    clip_value: bool = True
    """Clip the value's change against the value at rollout time."""
    max_grad_norm: float = 0.5
    """Global norm to which the gradient is clipped."""
    adam_eps: float = 1e-5
    """Epsilon in Adam's denominator."""
    target_kl: float | None = None
    """Skip what is left of an iteration's updates once a minibatch's approximate KL exceeds this."""
    normalise_advantages: bool = True
    """Shift and scale the advantages of a minibatch to mean 0 and deviation 1."""
    choice_rows_only: bool = True
    """Take policy loss, entropy, KL and advantage statistics over rows with two or more legal actions."""
    skip_forced_rows: bool = True
    """Leave separate policy towers out of rows with a single legal action, where they decide nothing, on devices where
    that pays (`devices.py`): on a CPU."""
    normalise_observations: bool = True
    """Shift and scale observations by running statistics, which are held during an iteration."""
    observation_clip: float = 10.0
    """Normalised observations are clipped to plus and minus this."""
    normalise_rewards: bool = True
    """Divide rewards by the running deviation of the discounted return."""
    reward_clip: float = 10.0
    """Normalised rewards are clipped to plus and minus this."""
    hidden_sizes: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers."""
    activation: Literal["tanh", "relu", "gelu", "silu", "elu"] = "tanh"
    """Activation of the hidden layers."""
    shared_torso: bool = False
    """Let policy and value share the hidden layers."""
    layer_norm: bool = False
    """Normalise every hidden layer before its activation."""
    recurrent: bool = False
    """Put a GRU before the hidden layers; its memory is cleared at episode ends."""
    gru_size: int = 64
    """Width of the GRU and of the layer that feeds it."""
    bfloat16: bool | None = None
    """Compute hidden layers in bfloat16; parameters, outputs and losses stay float32, and sums are taken in it.
    None: in training on a GPU whose towers have kernels of their own (`fused.fits`), and nowhere else."""
    log_info: tuple[str, ...] = ()
    """Names of scalars in `info` whose sum over an iteration is reported as `info/<name>`."""
    seed: int = 0
    """Seed of the key that `fit` and the command line train with."""

    def __post_init__(self) -> None:
        _check_ranges(self)
        _check_minibatches(self)
        if self.exact_budget and self.total_timesteps % self.batch_size:
            low = self.num_iterations * self.batch_size
            raise ValueError(
                f"total_timesteps={self.total_timesteps} is not a whole number of iterations of "
                f"{self.batch_size} steps (num_envs x num_steps): "
                f"use {low} or {low + self.batch_size}, or exact_budget=False"
            )

    @property
    def batch_size(self) -> int:
        """Environment steps in one iteration."""
        return self.num_envs * self.num_steps

    @property
    def num_iterations(self) -> int:
        """Whole iterations that fit into `total_timesteps`."""
        return self.total_timesteps // self.batch_size

    @property
    def minibatch_mode(self) -> Literal["rows", "time", "envs"]:
        """`minibatch_by` with "auto" resolved.

        Environments for a recurrent network; time steps, which are read without gathering rows, for 64
        environments or more where a minibatch has at least 16 steps; rows otherwise.
        """
        if self.minibatch_by != "auto":
            return self.minibatch_by
        if self.recurrent:
            return "envs"
        steps, rest = divmod(self.num_steps, self.num_minibatches)
        return "time" if self.num_envs >= 64 and rest == 0 and steps >= 16 else "rows"

    @property
    def minibatch_units(self) -> int:
        """How many rows, time steps or environments (by `minibatch_mode`) there are to shuffle."""
        return {"rows": self.batch_size, "time": self.num_steps, "envs": self.num_envs}[self.minibatch_mode]

    @property
    def hyperparameters(self) -> "Hyperparameters":
        """The traced part of the settings, as float32 scalars."""
        from purejaxrl_ppo.hyperparameters import Hyperparameters

        return Hyperparameters.of(self)

    @property
    def budget_note(self) -> str:
        """One line that says how the budget became whole iterations."""
        steps = self.num_iterations * self.batch_size
        note = f"{self.num_iterations:,} iterations of {self.num_envs:,} x {self.num_steps:,} = {steps:,} steps"
        return note if steps == self.total_timesteps else f"{note} ({self.total_timesteps:,} rounded down)"

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "PPOConfig":
        """Inverse of `to_dict`.

        Raises:
            ValueError: for a name that is no setting, with the nearest one.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        for name in values:
            if name not in names:
                raise ValueError(f"PPOConfig has no setting {name!r}{nearest(name, names)}")
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**fields)


def check_config(config: Any) -> None:
    """Raises ValueError for anything but a `PPOConfig`."""
    if not isinstance(config, PPOConfig):
        raise ValueError(f"config must be a PPOConfig, PPOConfig(num_envs=64) say; got {config!r:.60}")


_MOST = {"total_timesteps": 2**53, "seed": 2**32}  # exact as float64; what a key is made of. All else: int32
_POSITIVE = (
    *("total_timesteps", "num_envs", "num_steps", "num_epochs", "num_minibatches", "learning_rate"),
    *("clip_eps", "max_grad_norm", "adam_eps", "observation_clip", "reward_clip", "gru_size"),
)


_KINDS: dict[Any, tuple[str, Any]] = {
    bool: ("True or False", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: isinstance(value, numbers.Integral) and not isinstance(value, bool)),
    float: ("a finite number", lambda value: _is_real(value) and not math.isinf(value)),
    str: ("a text", lambda value: isinstance(value, str)),
    pathlib.Path: ("a path", lambda value: isinstance(value, str | os.PathLike)),
    type(None): ("None", lambda value: value is None),
}


def check_types(settings: Any) -> None:
    """Refuse a field of a dataclass whose value is not of the annotated type. Raises ValueError."""
    for name, hint in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if not _fits(value, hint):
            if get_origin(hint) is Literal and isinstance(value, str):
                raise ValueError(f"unknown {name} {value!r}{nearest(value, get_args(hint))}")
            raise ValueError(f"{name}={value!r:.60} must be {_words(hint)}")


def _fits(value: Any, hint: Any) -> bool:
    if get_origin(hint) is Literal:
        return isinstance(value, str) and value in get_args(hint)
    if get_origin(hint) is types.UnionType:
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_fits(one, get_args(hint)[0]) for one in value)
    return bool(_KINDS[hint][1](value))


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(get_args(hint))
    if get_origin(hint) is types.UnionType:
        return " or ".join(map(_words, get_args(hint)))
    if get_origin(hint) is tuple:
        return f"a tuple of which each is {_words(get_args(hint)[0])}"
    return _KINDS[hint][0]


def _is_real(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _check_ranges(config: PPOConfig) -> None:
    check_types(config)
    if config.seed < 0:
        raise ValueError(f"seed={config.seed} must not be negative")
    for field in dataclasses.fields(config):
        value, most = getattr(config, field.name), _MOST.get(field.name, 2**31)
        values = value if isinstance(value, tuple) else (value,)
        if any(isinstance(one, int) and one >= most for one in values):
            raise ValueError(f"{field.name}={value} must be below {most:,}")
    for name in _POSITIVE:
        if not getattr(config, name) > 0:
            raise ValueError(f"{name}={getattr(config, name)} must be greater than 0")
    for name in ("gamma", "gae_lambda"):
        if not 0 <= getattr(config, name) <= 1:
            raise ValueError(f"{name}={getattr(config, name)} must lie between 0 and 1")
    for name in ("ent_coef", "value_coef"):
        if not getattr(config, name) >= 0:
            raise ValueError(f"{name}={getattr(config, name)} must not be negative")
    if config.microbatch_rows is not None and config.microbatch_rows < 1:
        raise ValueError(f"microbatch_rows={config.microbatch_rows} must be at least 1, or None")
    if config.target_kl is not None and not config.target_kl > 0:
        raise ValueError(f"target_kl={config.target_kl} must be greater than 0, or None to switch it off")
    if not config.hidden_sizes or min(config.hidden_sizes) < 1:
        raise ValueError(f"hidden_sizes={config.hidden_sizes} must name at least one layer, all wider than 0")
    if config.num_iterations < 1:
        raise ValueError(
            f"total_timesteps={config.total_timesteps} is less than one iteration of {config.batch_size} "
            "steps (num_envs x num_steps): raise it, or lower num_envs or num_steps"
        )


def _check_minibatches(config: PPOConfig) -> None:
    if config.recurrent and config.minibatch_mode != "envs":
        raise ValueError(f"minibatch_by={config.minibatch_by!r} cannot serve a recurrent network: use 'envs' or 'auto'")
    mode = config.minibatch_mode
    size = config.minibatch_units
    what = {"rows": "num_envs x num_steps", "time": "num_steps", "envs": "num_envs"}[mode]
    if size % config.num_minibatches:
        raise ValueError(
            f"{what} = {size} cannot be split into num_minibatches={config.num_minibatches} equal parts "
            f"(minibatches by {mode}): choose a divisor of {size}"
        )
