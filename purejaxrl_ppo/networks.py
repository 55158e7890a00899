"""Actor-critic networks and the action distributions on top of them."""

import math
import warnings
from collections.abc import Callable
from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import struct

from purejaxrl_ppo.categorical import ILLEGAL_LOGIT, Drawn, draw, log_prob_and_entropy
from purejaxrl_ppo.config import PPOConfig

Initialiser = Callable[..., jax.Array]
Memory = Any  # float32 [B, gru_size], or () without a GRU
ACTIVATIONS = {"tanh": jnp.tanh, "relu": nn.relu, "gelu": nn.gelu, "silu": nn.silu, "elu": nn.elu}


class ActionSpec(struct.PyTreeNode):
    """What an action is: `num_actions` choices, or a box of `shape` when `num_actions` is 0."""

    num_actions: int = struct.field(pytree_node=False)
    shape: tuple[int, ...] = struct.field(pytree_node=False, default=())
    low: Any = None  # float32 `shape`, lower bound of a box; None for choices
    high: Any = None  # float32 `shape`, upper bound of a box

    @property
    def num_outputs(self) -> int:
        """Width of the policy head."""
        return self.num_actions or math.prod(self.shape)


def orthogonal(scale: float) -> Initialiser:
    """Initialiser of kernels [D, H] whose columns, or rows where there are fewer, are orthogonal and `scale` long.

    The numbers of `jax.nn.initializers.orthogonal` (Saxe et al. 2014, arXiv:1312.6120), but for rounding elsewhere than
    on a CPU: a GPU takes three seconds to load the library that decomposes matrices, for a few small ones.
    """

    def init(key: jax.Array, shape: tuple[int, int], dtype: Any = jnp.float32) -> jax.Array:
        normal = jax.random.normal(key, (max(shape), min(shape)), dtype)
        columns = jax.lax.platform_dependent(normal, cpu=_by_library, default=gram_schmidt)
        return scale * (columns if shape[0] >= shape[1] else columns.T)

    return init


def _by_library(matrix: jax.Array) -> jax.Array:
    columns, triangle = jnp.linalg.qr(matrix)
    return columns * jnp.sign(jnp.diag(triangle))[None]


def gram_schmidt(matrix: jax.Array) -> jax.Array:
    """Orthonormal columns [m, n], m >= n, each of which is a combination of the matrix's own up to it, with a positive
    share of its own; every one is cleared of those before it twice (Giraud et al. 2005, Numerische Mathematik 101)."""

    def column(j: jax.Array, done: jax.Array) -> jax.Array:
        left = matrix[:, j]
        for _ in range(2):
            left = left - jnp.dot(done, jnp.dot(left, done, precision="highest"), precision="highest")
        return done.at[:, j].set(left / jnp.linalg.norm(left))

    return jax.lax.fori_loop(0, matrix.shape[1], column, jnp.zeros_like(matrix))


def twin_orthogonal(scale: float) -> Initialiser:
    """Initialiser of two orthogonal kernels side by side, for two layers fused into one."""
    single = orthogonal(scale)

    def init(key: jax.Array, shape: tuple[int, int], dtype: Any = jnp.float32) -> jax.Array:
        half = (shape[0], shape[1] // 2)
        return jnp.concatenate([single(k, half, dtype) for k in jax.random.split(key)], axis=1)

    return init


class ResettingGRU(nn.Module):
    """One step of a GRU (Cho et al. 2014) whose memory is cleared where an episode begins."""

    size: int
    dtype: Any

    @nn.compact
    def __call__(self, memory: jax.Array, inputs: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        """memory [B, H], inputs (x [B, F], reset [B]) -> memory [B, H] twice."""
        x, reset = inputs
        memory = jnp.where(reset[:, None], jnp.zeros_like(memory), memory)
        memory, out = nn.GRUCell(self.size, dtype=self.dtype, param_dtype=jnp.float32)(memory, x)
        memory = memory.astype(jnp.float32)
        return memory, out


class ActorCritic(nn.Module):
    """Policy and value from one observation: MLP towers, separate or shared, after an optional GRU.

    The first layers of two separate towers are one matrix product. Kernels are orthogonal: sqrt(2) in hidden
    layers, 0.01 in the policy head (an almost uniform policy at first), 1 in the value head.
    """

    spec_outputs: int  # width of the policy head
    continuous: bool  # whether the head is the mean of a Gaussian
    hidden_sizes: tuple[int, ...]
    activation: str
    shared_torso: bool
    layer_norm: bool
    recurrent: bool
    gru_size: int
    bfloat16: bool

    def initial_memory(self, batch: int) -> Memory:
        """Memory of `batch` environments before their first step."""
        return jnp.zeros((batch, self.gru_size), jnp.float32) if self.recurrent else ()

    def pad_inputs(self, params: Any, width: int) -> Any:
        """`params` for observations that are padded to `width` with zeros: the first kernel gets rows of zeros."""
        first = "encoder" if self.recurrent else "shared_0" if self.shared_torso else "actor_critic_0"
        layer = params["params"][first]
        spare = width - layer["kernel"].shape[0]
        if not spare:
            return params
        layer = {**layer, "kernel": jnp.pad(layer["kernel"], ((0, spare), (0, 0)))}
        return {**params, "params": {**params["params"], first: layer}}

    @nn.compact
    def __call__(self, memory: Memory, obs: jax.Array, reset: jax.Array) -> tuple[Memory, jax.Array, jax.Array]:
        """Apply the network to normalised observations.

        Args:
            memory: from `initial_memory` or the call before.
            obs: [B, D], or [T, B, D] over time; without a GRU any leading axes.
            reset: [B] or [T, B], True where an episode begins with this observation; read by the GRU only.

        Returns:
            The memory afterwards, the policy head's output [..., num_outputs] (Gaussian: twice that, means
            and log deviations), and values [...].
        """
        if self.recurrent:
            memory, obs = self._remember(memory, obs, reset)
        actor, critic = self._towers(obs)
        head = self._dense(self.spec_outputs, "actor_head", orthogonal(0.01), jnp.float32)(actor)
        value = self._dense(1, "critic_head", orthogonal(1.0), jnp.float32)(critic)
        if self.continuous:
            log_std = self.param("log_std", nn.initializers.zeros, (self.spec_outputs,), jnp.float32)
            log_std = jnp.broadcast_to(log_std.reshape((1,) * (head.ndim - 1) + (-1,)), head.shape)
            head = jnp.concatenate([head, log_std], axis=-1)
        return memory, head, value[..., 0]

    @property
    def dtype(self) -> Any:
        """Precision of hidden layers."""
        return jnp.bfloat16 if self.bfloat16 else jnp.float32

    def _dense(self, width: int, name: str, kernel: Initialiser | None = None, dtype: Any = None) -> nn.Dense:
        kernel = kernel or orthogonal(math.sqrt(2.0))
        return nn.Dense(width, kernel_init=kernel, dtype=dtype or self.dtype, name=name)

    def _remember(self, memory: jax.Array, obs: jax.Array, reset: jax.Array) -> tuple[jax.Array, jax.Array]:
        single = obs.ndim == 2
        if single:
            obs, reset = obs[None], reset[None]
        x = ACTIVATIONS[self.activation](self._dense(self.gru_size, "encoder")(obs))
        scan = nn.scan(ResettingGRU, variable_broadcast="params", split_rngs={"params": False})
        memory, out = scan(self.gru_size, self.dtype, name="gru")(memory, (x, reset))
        return memory, out[0] if single else out

    def _towers(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        act = ACTIVATIONS[self.activation]
        first, *rest = self.hidden_sizes
        if self.shared_torso:
            for i, width in enumerate(self.hidden_sizes):
                x = self._dense(width, f"shared_{i}")(x)
                x = act(self._norm(x, f"shared_norm_{i}") if self.layer_norm else x)
            return x, x
        x = self._dense(2 * first, "actor_critic_0", twin_orthogonal(math.sqrt(2.0)))(x)
        if self.layer_norm:
            pair = x.reshape(*x.shape[:-1], 2, first)
            x = self._norm(pair, "actor_critic_norm_0", (-2, -1)).reshape(x.shape)
        towers = list(jnp.split(act(x), 2, axis=-1))
        for tower, name in enumerate(("actor", "critic")):
            for i, width in enumerate(rest, start=1):
                y = self._dense(width, f"{name}_{i}")(towers[tower])
                towers[tower] = act(self._norm(y, f"{name}_norm_{i}") if self.layer_norm else y)
        return towers[0], towers[1]

    def _norm(self, x: jax.Array, name: str, features: int | tuple[int, ...] = -1) -> jax.Array:
        with jax.numpy_dtype_promotion("standard"):  # the library mixes precisions, which a user may have forbidden
            return nn.LayerNorm(feature_axes=features, dtype=self.dtype, name=name)(x)


class Tower(ActorCritic):
    """One of the two separate towers of an `ActorCritic` by itself; its parameters are those of `tower_params`."""

    @nn.compact
    def __call__(self, obs: jax.Array, outputs: int) -> jax.Array:
        """Normalised observations [..., D] -> the head's output [..., outputs]: logits, or one value."""
        x = obs
        for i, width in enumerate(self.hidden_sizes):
            x = self._dense(width, f"{i}")(x)
            x = ACTIVATIONS[self.activation](self._norm(x, f"norm_{i}") if self.layer_norm else x)
        return self._dense(outputs, "head", dtype=jnp.float32)(x)


def tower_params(params: Any, name: Literal["actor", "critic"]) -> dict[str, Any]:
    """The part of an `ActorCritic`'s parameters that only one of two separate towers reads, as `Tower` takes it."""
    layers, half = params["params"], ("actor", "critic").index(name)
    mine = {layer.removeprefix(f"{name}_"): x for layer, x in layers.items() if layer.startswith(f"{name}_")}
    mine = {layer: x for layer, x in mine.items() if not layer.startswith("critic_")}  # actor_critic_0 and its norm
    mine["0"] = {kind: jnp.split(x, 2, axis=-1)[half] for kind, x in layers["actor_critic_0"].items()}
    if "actor_critic_norm_0" in layers:
        mine["norm_0"] = {kind: x[half] for kind, x in layers["actor_critic_norm_0"].items()}
    return mine


def run_tower(network: ActorCritic, tower: dict[str, Any], obs: jax.Array) -> jax.Array:
    """Output [..., K] of the tower whose parameters these are, for normalised observations [..., D]."""
    fields = {name: getattr(network, name) for name in ActorCritic.__annotations__}
    return Tower(**fields).apply({"params": tower}, obs, tower["head"]["bias"].shape[0])


def make_network(config: PPOConfig, spec: ActionSpec) -> ActorCritic:
    """The network that `config` describes for actions of `spec`."""
    return ActorCritic(
        spec_outputs=spec.num_outputs,
        continuous=not spec.num_actions,
        hidden_sizes=config.hidden_sizes,
        activation=config.activation,
        shared_torso=config.shared_torso,
        layer_norm=config.layer_norm,
        recurrent=config.recurrent,
        gru_size=config.gru_size,
        bfloat16=bool(config.bfloat16),
    )


def distribution(spec: ActionSpec, head: jax.Array, mask: jax.Array | None) -> Any:
    """Distribution of actions from the policy head [..., K].

    Choices: a categorical whose illegal logits are the smallest finite float32, so that they have
    probability 0 and no gradient. A row without any legal action is uniform over all of them.
    A box: a diagonal Gaussian.
    """
    with warnings.catch_warnings():  # its dependencies warn while they are imported, which takes two seconds
        warnings.simplefilter("ignore")
        import distrax
    if spec.num_actions:
        logits = head if mask is None else jnp.where(mask, head, ILLEGAL_LOGIT)
        return distrax.Categorical(logits=logits)
    mean, log_std = jnp.split(head, 2, axis=-1)
    return distrax.MultivariateNormalDiag(mean, jnp.exp(log_std))


def draw_noise(spec: ActionSpec, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Noise [*shape, K] for `sample`: Gumbel for choices, normal for a box."""
    source = jax.random.gumbel if spec.num_actions else jax.random.normal
    return source(key, (*shape, spec.num_outputs), jnp.float32)


def sample(spec: ActionSpec, head: jax.Array, mask: jax.Array | None, noise: jax.Array) -> Drawn:
    """An action of `distribution(spec, head, mask)` and its log probability, from noise drawn beforehand.

    A rollout draws the noise of all its steps at once: drawing inside the loop is many small operations.
    """
    if spec.num_actions:
        return draw(head, mask, noise)
    mean, log_std = jnp.split(head, 2, axis=-1)
    action = mean + jnp.exp(log_std) * noise
    return Drawn(action, evaluate_actions(spec, head, mask, action)[0])


def evaluate_actions(
    spec: ActionSpec, head: jax.Array, mask: jax.Array | None, action: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Log probability of `action` and entropy in nats, [...] each, of `distribution(spec, head, mask)`."""
    if spec.num_actions:
        return log_prob_and_entropy(head, mask, action)
    mean, log_std = jnp.split(head, 2, axis=-1)
    squares = jnp.square((action - mean) * jnp.exp(-log_std))
    log_prob = -0.5 * (squares + math.log(2 * math.pi)).sum(axis=-1) - log_std.sum(axis=-1)
    return log_prob, log_std.sum(axis=-1) + 0.5 * (1 + math.log(2 * math.pi)) * log_std.shape[-1]


def to_environment(spec: ActionSpec, action: jax.Array) -> jax.Array:
    """The action as the environment takes it.

    A box action is drawn around 0 with unit -1..1 spanning a bounded side of the box; it is moved to the box
    and clipped. An unbounded side is left as it is.
    """
    if spec.num_actions:
        return action
    shape = (1,) * (action.ndim - 1) + (-1,)
    low, high = jnp.ravel(spec.low).reshape(shape), jnp.ravel(spec.high).reshape(shape)
    bounded = jnp.isfinite(low) & jnp.isfinite(high) & (high - low < 1e6)
    middle = jnp.where(bounded, 0.5 * (low + high), 0.0)
    half = jnp.where(bounded, 0.5 * (high - low), 1.0)
    moved = jnp.clip(middle + half * action, low, high)
    return moved.reshape(*action.shape[:-1], *spec.shape)
