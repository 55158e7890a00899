"""Three compiled programs of a live account: begin, play a bar, decide. Each is one call with arrays of fixed shape.

They call the environment's public face alone (`reset_at`, `play`, `observe`, `action_mask`, `order_contracts`,
attributes of the state), so what they compute is what training computed.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax import rules
from trading_gymnax.evaluation.walk import Kind, Rules, Structure, chooser, split_policy
from trading_gymnax.market import pair_of_bars
from trading_gymnax.phase1 import TradingPhase1

ACCOUNT = (
    *("time", "position", "contracts", "entry_price", "sl_price", "tp_price", "initial_stop_ticks"),
    *("position_entry_step", "entry_balance", "initial_balance", "trailing_limit", "balance", "equity"),
    *("high_water_mark", "floor", "session_start_equity", "session_number", "day_over", "num_trades"),
    *("winning_trades", "terminated", "data_end", "step_idx"),
)
"""Fields of a state that the host reads after every call."""
MANAGEMENT = ("trailing_stop_active", "highest_profit_point", "be_move_count", "original_sl_price", "stop_origin")
"""Those that only phase 2 has."""
FILL = (
    *("side", "contracts", "entered", "entry_price", "exit_price", "exit_reason", "done_reason", "trade_pnl"),
    *("ambiguous", "invalid", "must_flat"),
)
"""Fields of what a bar did to the position."""


class Chosen(NamedTuple):
    """What `decide` gives."""

    obs: Any  # float32 [n]
    numbers: Any  # int32: the state's fields, action, contracts, stop and target ticks, slippage, next stop, mask
    odds: Any  # float32: probability of each action, then the value; empty where the policy does not tell
    memory: Any


class Programs:
    """The compiled programs of a policy in an environment.

    Args:
        env: what the policy was trained in.
        policy: as for `evaluate_policy`.

    Raises ValueError for a policy that reads states: those of a live account know no table; and for an environment
    with `account_life=True`, whose payouts a live account does not book.
    """

    def __init__(self, env: TradingPhase1, policy: Any) -> None:
        if env.account_life:
            raise ValueError("a live account books no payouts: use an environment without account_life")
        self.rules = Rules(env)
        self.structure, self.kind, self.arrays = split_policy(policy)
        if self.kind.reads_state:
            raise ValueError("a policy that reads states knows a table of bars, and a live account has none")
        self.fields = ACCOUNT + (MANAGEMENT if env.manages_stops else ())
        self.num_actions = env.num_actions
        self.tells_odds = callable(getattr(policy, "head", None))

    def begin(self, params: Any, market_id: int, bar: int) -> tuple[Any, Any]:
        """State of a fresh account at a row of the tape, and the policy's memory before its first step."""
        return _begin(self.rules, self.kind, self.structure, self.arrays, params, np.int32(market_id), np.int32(bar))

    def play(self, state: Any, action: int, bars: np.ndarray, features: np.ndarray, params: Any) -> tuple[Any, Any]:
        """The state after the newest bar, and the numbers of `played`."""
        return _play(self.rules, state, np.int32(action), bars, features, params)

    def decide(
        self, state: Any, memory: Any, key: Any, minute: int, bars: np.ndarray, features: np.ndarray, params: Any
    ) -> Chosen:
        """What the policy does at the newest bar; a policy that draws gets a key of that minute."""
        fixed = (self.rules, self.kind, self.structure, self.tells_odds)
        return _decide(*fixed, self.arrays, state, memory, key, np.int32(minute), bars, features, params)

    def account(self, numbers: np.ndarray) -> dict[str, int]:
        """The state's fields by name, from the numbers that a program gave."""
        return dict(zip(self.fields, numbers.tolist(), strict=False))

    def fill(self, numbers: np.ndarray) -> dict[str, int]:
        """What the bar did, from the numbers of `play`."""
        return dict(zip(FILL, numbers[len(self.fields) :].tolist(), strict=True))


def read(state: Any, fields: tuple[str, ...]) -> dict[str, int]:
    """Fields of a state as numbers of Python."""
    return {name: int(getattr(state, name)) for name in fields}


def write(state: Any, values: dict[str, int]) -> Any:
    """The state with some fields changed, each of the type that it had."""
    return state.replace(**{name: jnp.asarray(x, getattr(state, name).dtype) for name, x in values.items()})


def _with_tape(params: Any, bars: jax.Array, features: jax.Array) -> Any:
    return dataclasses.replace(params, market=dataclasses.replace(params.market, bars=bars, features=features))


def _numbers(state: Any, phase2: bool) -> list[jax.Array]:
    names = ACCOUNT + (MANAGEMENT if phase2 else ())
    return [jnp.asarray(getattr(state, name), jnp.int32) for name in names]


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _begin(
    program: Rules, kind: Kind, structure: Structure, arrays: Any, params: Any, market_id: Any, bar: Any
) -> tuple[Any, Any]:
    _, state = program.env.reset_at(params, market_id, bar)
    return state, structure.with_arrays(arrays).initial_carry(1) if kind.memory else ()


@functools.partial(jax.jit, static_argnums=0)
def _play(program: Rules, state: Any, action: Any, bars: Any, features: Any, params: Any) -> tuple[Any, Any]:
    env, params = program.env, _with_tape(params, bars, features)
    newest = features.shape[1] - 1
    # The tape has moved by a row under the state.
    moved = jnp.where(state.position != 0, state.position_entry_step - 1, state.position_entry_step)
    state = state.replace(step_idx=jnp.full_like(state.step_idx, newest - 1), position_entry_step=moved)
    after, _, fill = env.play(state, action, params)
    numbers = _numbers(after, env.manages_stops) + [jnp.asarray(getattr(fill, name), jnp.int32) for name in FILL]
    # In the form in which the state came, which a saved one must have: an environment may play in another.
    after = state.replace(**{name: getattr(after, name) for name in after.__dataclass_fields__})
    return after, jnp.stack(numbers)


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _decide(
    program: Rules,
    kind: Kind,
    structure: Structure,
    tells_odds: bool,
    arrays: Any,
    state: Any,
    memory: Any,
    key: jax.Array,
    minute: Any,
    bars: Any,
    features: Any,
    params: Any,
) -> Chosen:
    env, params = program.env, _with_tape(params, bars, features)
    policy = structure.with_arrays(arrays)
    obs, mask = env.observe(None, state, None, params), env.action_mask(state, params)
    actions, after = chooser(policy, kind)(jax.random.fold_in(key, minute), obs[None], mask[None], memory, state)
    odds = _odds(policy, obs, mask, memory, kind) if tells_odds else jnp.zeros(0)
    now, _ = pair_of_bars(params.market, state.market_id, state.step_idx)
    stop = rules.stop_distance(now, params)
    target = rules.distance(stop.astype(jnp.float32), params.tp_sl_ratio)
    contracts = env.order_contracts(state, actions[0], params)
    managed = rules.manage_stop(state, actions[0], now, params).sl_price if env.manages_stops else state.sl_price
    numbers = _numbers(state, env.manages_stops)
    numbers += [actions[0], contracts, stop, target, rules.slippage(now, params), managed, *mask.astype(jnp.int32)]
    return Chosen(obs, jnp.stack(numbers), odds, after)


def _odds(policy: Any, obs: jax.Array, mask: jax.Array, memory: Any, kind: Kind) -> jax.Array:
    """Probability of each action and the value, by the policy's own head."""
    carry = memory if kind.memory else policy.initial_carry(1)
    _, head, value = policy.head(obs[None], carry, jnp.zeros(1, bool))
    logits = jnp.where(mask[None], head, jnp.finfo(jnp.float32).min)
    return jnp.concatenate([jax.nn.softmax(logits, axis=-1)[0], value])
