"""`EnvParams`: every number of the rule book that a user may change, each a traced array of fixed dtype."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment

from trading_gymnax.market import MarketData, session_hours
from trading_gymnax.rules import HIGH_WATER_MODES, MAX_DISTANCE_TICKS
from trading_gymnax.text import check_names

MAX_USD = 10_000_000  # dollars; larger finite amounts would not fit int32 cents
_PER_MARKET = ("commission_per_side", "reward_scale", "market_weights")
_NOT_NEGATIVE = [
    "risk_per_trade",
    "position_size",
    "max_contracts",
    "sl_atr_mult",
    "tp_sl_ratio",
    "min_stop_ticks",
    "slippage_ticks",
    "slippage_atr_mult",
    "stop_slippage_ticks",
    "stop_slippage_atr_mult",
    "target_through_ticks",
    "trailing_dd_limit",
    "daily_loss_limit",
    "profit_target",
    "min_bars_left",
    "market_weights",
    "trail_atr_mult",
    "be_min_profit_atr",
]
_USD = [
    "initial_balance",
    "risk_per_trade",
    "trailing_dd_limit",
    "floor_lock",
    "daily_loss_limit",
    "profit_target",
    "commission_per_side",
]
_TICKS = ["min_stop_ticks", "slippage_ticks", "stop_slippage_ticks", "target_through_ticks"]
_LEAST_REWARD_SCALE = 0.01  # dollars; below it the reward of a large step would leave float32
_LEAST_WEIGHT = 1e-30  # sums of weights that float32 can divide by, and by whose inverse it can be divided
_MOST = {jnp.int32: 2**31 - 1, jnp.float32: float(np.finfo(np.float32).max)}  # a cast beyond it changes the number
_MAY_BE_INF = ["trailing_dd_limit", "floor_lock", "daily_loss_limit", "profit_target"]


def _field(default: Any, dtype: Any) -> Any:
    return struct.field(default=default, metadata={"dtype": dtype})


def _int(default: int) -> Any:
    return _field(default, jnp.int32)


def _float(default: float | None) -> Any:
    return _field(default, jnp.float32)


def _bool(default: bool) -> Any:
    return _field(default, jnp.bool_)


def casting_replace(cls: type) -> type:
    """Give a flax dataclass of parameters the `replace` that casts, derives and checks."""

    def replace(self: Any, **updates: Any) -> Any:
        """A copy with some fields changed, each cast to its dtype.

        A reward scale that was the median R follows the market and the size. Raises ValueError for an unknown name, a
        value of a wrong kind or size, and money that would not fit int32 cents; traced values are cast, not checked.
        """
        return _replace(self, updates)

    cls.replace = replace  # type: ignore[attr-defined]
    return cls


@casting_replace
@struct.dataclass
class EnvParams(environment.EnvParams):
    """Parameters of the market. Make them with `EnvParams.create(market, ...)` or `gymnax.make`, change them with
    `replace`: both cast every value to its field's dtype, so that 2, 2.0 and an array give one compiled program.

    Amounts are dollars (inf switches a rule off), hours are New York clock hours, `[M]` has one value a market.
    """

    max_steps_in_episode: jax.Array = _int(450)  # steps until truncation
    market: MarketData = struct.field(default=None)  # bars of all markets
    initial_balance: jax.Array = _float(50_000.0)  # dollars at reset
    position_size: jax.Array = _int(1)  # contracts of an entry, unless risk_per_trade > 0
    risk_per_trade: jax.Array = _float(0.0)  # dollars risked to the stop; 0: position_size contracts
    max_contracts: jax.Array = _int(10)  # most contracts that risk_per_trade may choose
    sl_atr_mult: jax.Array = _float(1.5)  # stop distance, in ATR of the decision bar
    tp_sl_ratio: jax.Array = _float(3.0)  # target distance, in stop distances
    min_stop_ticks: jax.Array = _int(4)  # least stop distance, ticks
    slippage_ticks: jax.Array = _int(1)  # entries and closing orders fill worse by this
    slippage_atr_mult: jax.Array = _float(0.0)  # and by this share of ATR
    stop_slippage_ticks: jax.Array = _int(1)  # stop orders fill worse by this
    stop_slippage_atr_mult: jax.Array = _float(0.0)  # and by this share of ATR
    target_through_ticks: jax.Array = _int(1)  # price must trade this far beyond a target to fill it
    commission_per_side: jax.Array = _float(None)  # dollars per contract at entry and at exit, [M]; a scalar serves all
    fill_at_close: jax.Array = _bool(False)  # entries fill at the close of the decision bar instead of the next open
    stop_first: jax.Array = _bool(True)  # in a bar that holds stop and target, the stop came first
    trailing_dd_limit: jax.Array = _float(15_000.0)  # dollars below the high-water mark at which the account fails
    high_water_mode: jax.Array = _int(0)  # 0 BAR_CLOSE, 1 INTRABAR, 2 END_OF_DAY
    floor_lock: jax.Array = _float(float("inf"))  # the floor rises no further than initial balance + this
    daily_loss_limit: jax.Array = _float(float("inf"))  # dollars lost in a session that end the day
    daily_loss_fails: jax.Array = _bool(False)  # the daily limit ends the episode even where sessions do not
    profit_target: jax.Array = _float(float("inf"))  # dollars of profit that end the episode as passed
    rth_open: jax.Array = _float(9.5)  # entries from this hour on
    rth_close: jax.Array = _float(16 + 59 / 60)  # flat from this hour on
    terminate_at_session_end: jax.Array = _bool(True)  # False: sleep until the next usable session
    random_start_fraction: jax.Array = _float(0.5)  # share of resets at a random bar instead of the first
    min_bars_left: jax.Array = _int(30)  # bars before must-flat that a random start leaves
    forced_entry_fraction: jax.Array = _float(0.0)  # share of episodes whose first mask allows one entry only
    reward_scale: jax.Array = _float(None)  # dollars that make a reward of 1, [M]; default: the view's median R
    reward_realized: jax.Array = _bool(False)  # reward the change of balance instead of equity
    pass_reward: jax.Array = _float(0.0)  # added to the reward at PROFIT_TARGET
    violation_penalty: jax.Array = _float(0.0)  # taken from the reward at DRAWDOWN
    market_weights: jax.Array = _float(1.0)  # how often each market is drawn at reset, relative, [M]

    @classmethod
    def create(cls, market: MarketData, **fields: Any) -> Self:
        """Parameters for a market: defaults, then `fields`. Raises ValueError for unknown or impossible values."""
        costs = [spec.commission_per_side for spec in market.specs]
        given = {"commission_per_side": costs, **fields}
        _check_names(cls, given)
        blank = {f.name: f.default for f in dataclasses.fields(cls)}
        params = cls(**{**blank, **given, "market": market})
        if given.get("reward_scale") is None:
            params = dataclasses.replace(params, reward_scale=jnp.asarray(median_reward_scale(params)))
        return params.replace()


@struct.dataclass
class PreparedParams:
    """Parameters with all that depends on them alone, made by `prepared` of an environment for one loop of steps.

    They serve wherever the parameters do and give the same numbers. `replace` knows none of the parameters, so that
    what was computed from them cannot be out of date: change the parameters, then prepare them again.
    """

    params: EnvParams
    plan: Any  # `starts.SessionPlan` under these hours
    tape: jax.Array  # features and clocks of all bars, as they stand in observations, float32 [M, T * (F + 3)]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("params", "plan", "tape"):  # of an object that is not made yet
            raise AttributeError(name)
        return getattr(self.params, name)


def median_reward_scale(params: EnvParams) -> np.ndarray:
    """Dollars of one ordinary stop in each market, float32 [M]: median R of a contract times the contracts.

    [N, M] where the size differs between N environments. With sizing by risk the contracts are those that the median R
    would be given. 1 where the view lacks a market.
    """
    risk = np.asarray(params.market.median_risk_usd)
    fixed, budget, most = (
        np.asarray(_cast(name, getattr(params, name), dtype, params.market), np.float64)[..., None]
        for name, dtype in (("position_size", jnp.int32), ("risk_per_trade", jnp.float32), ("max_contracts", jnp.int32))
    )
    with np.errstate(invalid="ignore", over="ignore"):  # what is infinite here is refused when it is checked
        by_risk = np.clip(budget // np.maximum(risk, 0.01), 1, np.maximum(most, 1))
        contracts = np.where(budget > 0, by_risk, fixed)
        return np.where(risk > 0, risk * np.maximum(contracts, 1), 1).astype(np.float32)


def _has_median_reward_scale(params: EnvParams) -> bool:
    return np.array_equal(np.asarray(params.reward_scale), median_reward_scale(params))


def _replace(self: Any, updates: dict[str, Any]) -> Any:
    _check_names(type(self), updates)
    if not isinstance(updates.get("market", self.market), MarketData):
        raise ValueError(
            f"market must be a MarketData, made by load_market_data; got {type(updates['market']).__name__}"
        )
    params = dataclasses.replace(self, **updates)
    concrete = _is_concrete(self) and _is_concrete(params) and self.reward_scale is not None
    if concrete and "reward_scale" not in updates and _has_median_reward_scale(self):
        params = dataclasses.replace(params, reward_scale=jnp.asarray(median_reward_scale(params)))
    fields = {f.name: f.metadata["dtype"] for f in dataclasses.fields(params) if f.name != "market"}
    cast = {name: _cast(name, getattr(params, name), dtype, params.market) for name, dtype in fields.items()}
    params = dataclasses.replace(params, **cast)
    if _is_concrete(params):
        _check_values(params)
    return params


def _cast(name: str, value: Any, dtype: Any, market: MarketData) -> jax.Array:
    if isinstance(value, str | bytes | None):
        raise ValueError(f"{name} must be a number, got {value!r}")
    if isinstance(value, jax.core.Tracer):
        array: Any = value.astype(dtype)
    else:
        try:
            array = np.asarray(value)
        except ValueError:  # lists of unlike lengths
            array = np.asarray(None)
        if array.dtype.kind not in "biuf" or array.size == 0:
            raise ValueError(f"{name} must be a number, got {value!r}")
        if (
            dtype == jnp.int32
            and array.dtype.kind == "f"
            and not np.all(np.isfinite(array) & (array == np.rint(array)))
        ):
            raise ValueError(f"{name} counts whole units, got {value!r}; give a whole number")
        if dtype != jnp.bool_ and np.any(np.isfinite(array) & (np.abs(array.astype(np.float64)) > _MOST[dtype])):
            raise ValueError(f"{name} must be at most {_MOST[dtype]:.10g}, got {value!r}")
        if dtype == jnp.bool_ and not np.all((array == 0) | (array == 1)):
            raise ValueError(f"{name} must be True or False, got {value!r}")
        array = array.astype(dtype)  # before JAX sees it: it would wrap an int64 to int32
    if name in _PER_MARKET and array.ndim <= 1:
        if array.ndim == 1 and array.shape[0] not in (1, market.num_markets):
            raise ValueError(f"{name} has {array.shape[0]} values for {market.num_markets} markets; give one or all")
        array = jnp.broadcast_to(array.reshape(-1), (market.num_markets,))
    return jnp.asarray(array, dtype)


def _check_names(cls: type, updates: dict[str, Any]) -> None:
    check_names(updates, [f.name for f in dataclasses.fields(cls)], f"{cls.__name__} has no field")


def _is_concrete(params: EnvParams) -> bool:
    leaves = jax.tree.leaves(params)
    return all(
        isinstance(leaf, bool | int | float | list | np.generic | np.ndarray | jax.Array) for leaf in leaves
    ) and not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


def check_value(name: str, value: np.ndarray) -> None:
    """Refuse what a field may not be, whatever the others are. Raises ValueError."""
    if np.any(np.isnan(value)) or (name not in _MAY_BE_INF and np.any(np.isinf(value))):
        raise ValueError(f"{name} must be finite, got {value}")
    if name in _NOT_NEGATIVE and np.any(value < 0):
        raise ValueError(f"{name} must not be negative, got {value}")
    if name in _USD and np.any(np.isfinite(value) & (np.abs(value) > MAX_USD)):
        raise ValueError(f"{name} must be at most {MAX_USD:,} dollars, or inf where the rule may be off; got {value}")
    if name in _TICKS and np.any(value > MAX_DISTANCE_TICKS):
        raise ValueError(f"{name} must be at most {MAX_DISTANCE_TICKS:,} ticks, got {value}")
    if name in ("random_start_fraction", "forced_entry_fraction") and np.any((value < 0) | (value > 1)):
        raise ValueError(f"{name} is a share between 0 and 1, got {value}")
    if name in ("rth_open", "rth_close") and np.any((value < 0) | (value > 24)):
        raise ValueError(f"{name} is a New York clock hour between 0 and 24, got {value}")
    if name == "high_water_mode" and np.any((value >= len(HIGH_WATER_MODES)) | (value < 0)):
        modes = ", ".join(f"{i} {mode}" for i, mode in enumerate(HIGH_WATER_MODES))
        raise ValueError(f"high_water_mode is one of {modes}; got {value}")
    if name == "max_steps_in_episode" and np.any(value < 1):
        raise ValueError(f"max_steps_in_episode must be at least 1, got {value}")
    if name == "reward_scale" and np.any(value < np.float32(_LEAST_REWARD_SCALE)):
        raise ValueError(f"reward_scale must be {_LEAST_REWARD_SCALE} dollars or more, got {value}")


def _check_values(params: EnvParams) -> None:
    values = {f.name: np.asarray(getattr(params, f.name)) for f in dataclasses.fields(params) if f.name != "market"}
    for name, value in values.items():
        check_value(name, value)
    weights = values["market_weights"].sum(axis=-1, dtype=np.float64)
    if not np.all((weights >= _LEAST_WEIGHT) & (weights <= 1 / _LEAST_WEIGHT)):
        raise ValueError(
            f"market_weights must have a value above 0 and a sum from {_LEAST_WEIGHT:g} to {1 / _LEAST_WEIGHT:g}, "
            f"got {values['market_weights']}"
        )
    _check_hours(params.market, values)
    _check_money(params.market, values)


def _check_hours(market: MarketData, values: dict[str, np.ndarray]) -> None:
    """Refuse hours under which no session could ever be entered."""
    starts = np.asarray(market.session_start_minute)
    opening, closing = session_hours(values["rth_open"][..., None], values["rth_close"][..., None], starts, np)
    if np.any(opening >= closing):
        raise ValueError(
            f"rth_open must come before rth_close in the session, got {values['rth_open']} and {values['rth_close']}"
        )


def _check_money(market: MarketData, values: dict[str, np.ndarray]) -> None:
    """Refuse sizes with which the profit of a position, on top of the largest balance, could leave int32 cents."""
    contracts = int(values["position_size"].max())
    if np.any(values["risk_per_trade"] > 0):
        contracts = max(contracts, int(values["max_contracts"].max()))
    slip = int(values["slippage_ticks"].max()) + int(values["stop_slippage_ticks"].max())
    slip_atr = float(values["slippage_atr_mult"].max()) + float(values["stop_slippage_atr_mult"].max())
    fees = 2 * float(np.abs(values["commission_per_side"]).max()) * 100 * contracts
    balance = float(values["initial_balance"].max()) * 100 + fees
    for m, symbol in enumerate(market.symbols):
        span = int(np.asarray(market.price_range)[m])  # no ATR is larger
        move = span + slip + math.ceil(min(slip_atr * span, 2 * MAX_DISTANCE_TICKS))
        swing = move * int(np.asarray(market.tick_cents)[m]) * contracts
        if balance + swing >= 2**31:
            raise ValueError(
                f"{contracts} contracts of {symbol} over its price range and slippage of {move} ticks, on a balance "
                f"and commissions of {balance / 100:,.0f} dollars, could exceed {2**31 / 100:,.0f} dollars, the most "
                "that is counted exactly; use fewer contracts or a shorter span of data"
            )
