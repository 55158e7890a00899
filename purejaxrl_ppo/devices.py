"""How a kind of device computes an update: the one place where paths and block sizes are chosen.

None of it changes what is learned, but for the order of sums (and, where `bfloat16` asks for it, the precision). A CPU
wants work left out and data that stays in its cache; an accelerator wants few kernels over all rows, whose launch costs
it as much as a thousand rows do.
"""

import dataclasses

import jax

from purejaxrl_ppo import fused
from purejaxrl_ppo.config import PPOConfig
from purejaxrl_ppo.wrappers import EnvSpec

_INPUT_BYTES = 16 << 30  # network inputs of a whole rollout that an accelerator keeps; more are made anew where read
_LANES = 64  # inputs are padded to a multiple: matrix units read aligned rows
_CACHED_ROWS = 2048  # whose gradient fits the cache of a CPU and keeps two cores busy


@dataclasses.dataclass(frozen=True)
class Plan:
    """What `plan_for` chose."""

    skip_in_rollout: bool
    """Leave the policy's tower out of rows with a single legal action, playing."""
    skip_in_learning: bool
    """The same in learning."""
    joined_towers: bool
    """Compute both towers together, as products over all rows (`joined.py`)."""
    fused_towers: bool
    """Compute both towers and their gradient in kernels of our own (`kernels.py`), instead."""
    bfloat16: bool
    """Compute hidden layers in bfloat16."""
    whole_inputs: bool
    """Make the network's inputs of a rollout once, and observation statistics from them; else each where it is read,
    and statistics step by step."""
    prepared_params: bool
    """Let an environment with a method `prepared` work out once an iteration what depends on its parameters alone."""
    packed: bool
    """Store the small arrays of a step as one."""
    input_multiple: int
    """To which the network's input is padded; 1 leaves it as it is, any other makes room for a 1 behind it."""
    microbatches: int
    """Equal parts in which a minibatch's gradient is computed; their gradients add up."""
    choice_block: int
    """Rows with a choice whose policy gradient is computed at once."""
    final_block: int
    """Truncated rows whose final observations are valued at once."""
    unroll: int
    """Steps of a recurrence over time in one turn of its loop."""


def plan_for(config: PPOConfig, spec: EnvSpec, backend: str | None = None) -> Plan:
    """The plan for one device's share of a training.

    Args:
        config: settings of this device's share.
        spec: of the environment.
        backend: kind of device, "cpu", "gpu" or another; None: JAX's default. Every plan runs on every device.
    """
    backend = jax.default_backend() if backend is None else backend
    cpu = backend == "cpu"
    separate = not config.shared_torso and not config.recurrent
    skip = cpu and config.skip_forced_rows and config.choice_rows_only and spec.masked and separate
    rows = config.batch_size // config.num_minibatches
    multiple = 1 if cpu else _LANES
    own_kernels = backend == "gpu" and separate and _fusible(config, spec, multiple) and _holds_kernels()
    bfloat16 = own_kernels if config.bfloat16 is None else config.bfloat16
    input_bytes = config.batch_size * spec.obs_size * (2 if bfloat16 else 4)
    return Plan(
        skip_in_rollout=skip,
        skip_in_learning=skip,
        joined_towers=not cpu and separate and not config.layer_norm and not (own_kernels and bfloat16),
        fused_towers=own_kernels and bfloat16,
        bfloat16=bfloat16,
        whole_inputs=not cpu and input_bytes <= _INPUT_BYTES,
        prepared_params=not cpu,
        packed=not cpu,
        input_multiple=multiple,
        microbatches=_microbatches(config, cpu),
        choice_block=min(config.microbatch_rows or 1024, rows),
        final_block=min(64 if cpu else max(1024, config.batch_size // 64), config.batch_size),
        unroll=8 if cpu else 32,
    )


def padded(size: int, multiple: int) -> int:
    """Length of a network input for observations of `size` numbers: a 1 and zeros up to a multiple behind them."""
    return size if multiple == 1 else -(-(size + 1) // multiple) * multiple


def _fusible(config: PPOConfig, spec: EnvSpec, multiple: int) -> bool:
    part = config.batch_size // config.num_minibatches // _microbatches(config, cpu=False)
    outputs, inputs = spec.action.num_outputs, padded(spec.obs_size, multiple)
    fits = fused.fits(config.hidden_sizes, config.activation, outputs, inputs)
    return fits and not config.layer_norm and min(config.num_envs, part) >= fused.LEAST_ROWS


def _holds_kernels() -> bool:
    """Whether a program has the 227 KB of shared memory that the kernels may take.

    NVIDIA's Hopper (9.0) and Blackwell of the data centre (10.x) have it. Others multiply towers as the compiler does.
    """
    capability = getattr(jax.devices()[0], "compute_capability", "9.0")  # another device stands in for such a GPU
    return capability.split(".")[0] in ("9", "10")


def _microbatches(config: PPOConfig, cpu: bool) -> int:
    units = config.minibatch_units // config.num_minibatches
    rows = config.batch_size // config.num_minibatches
    # a GRU runs through its time steps once per part, which costs more than the cache gains
    wanted = config.microbatch_rows or (_CACHED_ROWS if cpu and not config.recurrent else rows)
    parts = min(units, -(-rows // wanted))
    return next(n for n in range(parts, units + 1) if units % n == 0)
