"""`EnvParams`: the parameters of `parameters`, each a traced array of fixed dtype, cast, derived and checked."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment

from trading_gymnax.limits import MAX_DISTANCE_TICKS, ParameterRefused, check_value
from trading_gymnax.market import MarketData, session_hours
from trading_gymnax.parameters import Parameters, ParametersPhase2, numbers_of
from trading_gymnax.parameters import params_table as params_table  # where users look for it
from trading_gymnax.text import check_names

_LEAST_WEIGHT = 1e-30  # sums of weights that float32 can divide by, and by whose inverse it can be divided
_MOST = {np.int32: 2**31 - 1, np.float32: float(np.finfo(np.float32).max)}  # a cast beyond it changes the number


def casting_replace(cls: type) -> type:
    """Give a flax dataclass of parameters the `replace` that casts, derives and checks, and a short `repr`."""

    def replace(self: Any, **updates: Any) -> Any:
        """A copy with some fields changed, each cast to its dtype.

        A reward scale that was never given follows the market and the size; one that was given stays. Raises ValueError
        for an unknown name, and its kind ParameterRefused for a value of a wrong kind or size and for money that would
        not fit int32 cents; traced values are cast, not checked.
        """
        return _replace(self, updates)

    cls.replace = replace  # type: ignore[attr-defined]
    cls.__repr__ = lambda self: _text(self)  # type: ignore[method-assign,assignment,misc]
    return cls


@casting_replace
@struct.dataclass(frozen=True)
class EnvParams(Parameters, environment.EnvParams):
    """Parameters of the market. Make them with `EnvParams.create(market, ...)` or `gymnax.make`, change them with
    `replace`: both cast every value to its field's dtype, so that 2, 2.0 and an array give one compiled program.

    Amounts are dollars (inf switches a rule off), hours are New York clock hours, `[M]` has one value a market.
    """

    @classmethod
    def create(cls, market: MarketData, **fields: Any) -> Self:
        """Parameters for a market: defaults, then `fields`. Raises ValueError for unknown or impossible values."""
        costs = [spec.commission_per_side for spec in market.specs]
        given = {"commission_per_side": costs, **fields}
        _check_names(cls, given)
        blank = {f.name: f.default for f in dataclasses.fields(cls)}
        params = cls(**{**blank, **given, "market": market})
        by_hand = given.get("reward_scale") is not None
        scale: Any = params.reward_scale if by_hand else median_reward_scale(params)
        return dataclasses.replace(params, reward_scale=scale, reward_scale_given=jnp.bool_(by_hand)).replace(
            market=market
        )


@casting_replace
@struct.dataclass(frozen=True)
class EnvParamsPhase2(ParametersPhase2, EnvParams):
    """Parameters of phase 2: those of phase 1 with a tighter account, and three for the management of stops."""


@struct.dataclass
class PreparedParams:
    """Parameters with all that depends on them alone, made by `prepared` of an environment for one loop of steps.

    They serve wherever the parameters do and give the same numbers. `replace` knows none of the parameters, so that
    what was computed from them cannot be out of date: change the parameters, then prepare them again.
    """

    params: EnvParams
    plan: Any  # `starts.SessionPlan` under these hours
    terms: Any  # `rules.Terms` of all markets, [M] each
    tape: jax.Array  # features and clocks of all bars, as they stand in observations, float32 [M, T * (F + 3)]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("params", "plan", "terms", "tape"):  # of an object that is not made yet
            raise AttributeError(name)
        return getattr(self.params, name)


def median_reward_scale(params: EnvParams) -> np.ndarray:
    """Dollars of one ordinary stop in each market, float32 [M]: median R of a contract times the contracts.

    [N, M] where the size differs between N environments. With sizing by risk the contracts are those that the median R
    would be given. 1 where the view lacks a market.
    """
    risk = np.asarray(params.market.median_risk_usd)
    fields = type(params).__dataclass_fields__
    fixed, budget, most = (
        np.asarray(_cast(fields[name], getattr(params, name), params.market), np.float64)[..., None]
        for name in ("position_size", "risk_per_trade", "max_contracts")
    )
    with np.errstate(invalid="ignore", over="ignore"):  # what is infinite here is refused when it is checked
        by_risk = np.clip(budget // np.maximum(risk, 0.01), 1, np.maximum(most, 1))
        contracts = np.where(budget > 0, by_risk, fixed)
        return np.where(risk > 0, risk * np.maximum(contracts, 1), 1).astype(np.float32)


def _text(self: Any) -> str:
    """The market in words, and what differs from the defaults."""
    changed = [
        f"{field.name}={_value_text(getattr(self, field.name))}"
        for field in numbers_of(type(self))
        if not _is_default(self, field)
    ]
    return f"{type(self).__name__}({', '.join([repr(self.market), *changed])})"


def _is_default(params: Any, field: dataclasses.Field[Any]) -> bool:
    value, default = getattr(params, field.name), field.default
    if not isinstance(value, np.ndarray | jax.Array | bool | int | float) or isinstance(value, jax.core.Tracer):
        return value is default
    if default is not None:
        return bool(np.all(np.asarray(value) == np.asarray(default, field.metadata["dtype"])))
    if not isinstance(params.market, MarketData):
        return False
    if field.name == "reward_scale":
        return not isinstance(params.reward_scale_given, jax.core.Tracer) and not np.any(params.reward_scale_given)
    return bool(
        np.all(np.asarray(value) == np.array([spec.commission_per_side for spec in params.market.specs], np.float32))
    )


def _value_text(value: Any) -> str:
    if isinstance(value, jax.core.Tracer):
        return str(value.aval.str_short())
    if not isinstance(value, np.ndarray | jax.Array):
        return repr(value)
    array = np.asarray(value)
    if array.size > 4:
        return f"{array.dtype}[{','.join(map(str, array.shape))}]"
    texts = [f"{x:.7g}" if array.dtype.kind == "f" else str(x) for x in array.reshape(-1)]
    return texts[0] if array.size == 1 else f"[{', '.join(texts)}]"


def _replace(self: Any, updates: dict[str, Any]) -> Any:
    _check_names(type(self), updates)
    if not jax.tree.leaves(self):  # a tree of None, as `in_axes` are written
        return dataclasses.replace(self, **updates)
    if not isinstance(updates.get("market", self.market), MarketData):
        raise ParameterRefused(
            f"market must be a MarketData, made by load_market_data; got {type(updates['market']).__name__}"
        )
    params = dataclasses.replace(self, **updates)
    if "reward_scale" in updates:
        params = dataclasses.replace(params, reward_scale_given=jnp.bool_(True))
    elif _is_concrete(self) and _is_concrete(params):
        params = _following(params)
    cast = {field.name: _cast(field, getattr(params, field.name), params.market) for field in numbers_of(type(self))}
    params = dataclasses.replace(params, **cast)
    if _is_concrete(params):
        _check_values(params)
        if any(name in updates for name in ("market", "rth_open", "rth_close", "market_weights")):
            check_usable(params)
    return params


def _following(params: Any) -> Any:
    """The parameters with the median R of the present market and size, wherever no reward scale was given."""
    given = np.asarray(params.reward_scale_given)  # [N] where N environments have parameters of their own
    if given.all():
        return params
    scale = median_reward_scale(params)
    if given.any():
        scale = np.where(given[..., None], np.asarray(params.reward_scale), scale)
    return dataclasses.replace(params, reward_scale=jnp.asarray(scale, jnp.float32))


def _cast(field: dataclasses.Field[Any], value: Any, market: MarketData) -> jax.Array:
    name, dtype = field.name, field.metadata["dtype"]
    if isinstance(value, str | bytes | None):
        raise ParameterRefused(f"{name} must be a number, got {value!r}")
    if isinstance(value, jax.core.Tracer):
        array: Any = value.astype(dtype)
    else:
        try:
            array = np.asarray(value)
        except ValueError:  # lists of unlike lengths
            array = np.asarray(None)
        if array.dtype.kind not in "biuf" or array.size == 0:
            raise ParameterRefused(f"{name} must be a number, got {value!r}")
        if dtype is np.int32 and array.dtype.kind == "f" and not np.all(np.isfinite(array) & (array == np.rint(array))):
            raise ParameterRefused(f"{name} counts whole units, got {value!r}; give a whole number")
        if dtype is not np.bool_ and np.any(np.isfinite(array) & (np.abs(array.astype(np.float64)) > _MOST[dtype])):
            raise ParameterRefused(f"{name} must be at most {_MOST[dtype]:.10g}, got {value!r}")
        if dtype is np.bool_ and not np.all((array == 0) | (array == 1)):
            raise ParameterRefused(f"{name} must be True or False, got {value!r}")
        array = array.astype(dtype)  # before JAX sees it: it would wrap an int64 to int32
    if field.metadata["limits"].per_market and array.ndim <= 1:
        if array.ndim == 1 and array.shape[0] not in (1, market.num_markets):
            raise ParameterRefused(
                f"{name} has {array.shape[0]} values for {market.num_markets} markets; give one or all"
            )
        array = jnp.broadcast_to(array.reshape(-1), (market.num_markets,))
    length = field.metadata["limits"].length
    if length and array.ndim <= 1:
        if array.ndim == 1 and array.shape[0] not in (1, length):
            raise ParameterRefused(f"{name} has {array.shape[0]} values; give one or {length}")
        array = jnp.broadcast_to(array.reshape(-1), (length,))
    return jnp.asarray(array, dtype)


def _check_names(cls: type, updates: dict[str, Any]) -> None:
    check_names(updates, ["market", *(field.name for field in numbers_of(cls))], f"{cls.__name__} has no field")


def _is_concrete(params: EnvParams) -> bool:
    leaves = jax.tree.leaves(params)
    return all(
        isinstance(leaf, bool | int | float | list | np.generic | np.ndarray | jax.Array) for leaf in leaves
    ) and not any(isinstance(leaf, jax.core.Tracer) for leaf in leaves)


def _check_values(params: EnvParams) -> None:
    fields = numbers_of(type(params))
    values = {field.name: np.asarray(getattr(params, field.name)) for field in fields}
    for field in fields:
        check_value(field, values[field.name])
    weights = values["market_weights"].sum(axis=-1, dtype=np.float64)
    if not np.all((weights >= _LEAST_WEIGHT) & (weights <= 1 / _LEAST_WEIGHT)):
        raise ParameterRefused(
            f"market_weights must have a value above 0 and a sum from {_LEAST_WEIGHT:g} to {1 / _LEAST_WEIGHT:g}, "
            f"got {values['market_weights']}"
        )
    _check_hours(params.market, values)
    _check_money(params.market, values)


def _check_hours(market: MarketData, values: dict[str, np.ndarray]) -> None:
    """Refuse hours out of order."""
    starts = np.asarray(market.session_start_minute)
    opening, closing = session_hours(values["rth_open"][..., None], values["rth_close"][..., None], starts, np)
    if np.any(opening >= closing):
        raise ParameterRefused(
            f"rth_open must come before rth_close in the session, got {values['rth_open']} and {values['rth_close']}"
        )


def check_usable(params: EnvParams, window: int = 1) -> None:
    """Refuse hours under which no session of the view is usable, for windows of `window` bars."""
    market, weights = params.market, np.asarray(params.market_weights)
    drawn = (weights > 0).reshape(-1, market.num_markets).any(axis=0)
    hours = np.stack(np.broadcast_arrays(np.asarray(params.rth_open), np.asarray(params.rth_close)), axis=-1)
    for opening, closing in np.unique(hours.reshape(-1, 2), axis=0):
        if not np.any(drawn & (market.usable_counts(opening, closing, window) > 0)):
            seen = f" and a window of {window} bars" if window > 1 else ""
            never = " (one of market_weights 0 is never drawn)" if market.num_markets > 1 else ""
            raise ParameterRefused(
                f"no session from {market.date_text()} is usable with rth_open {opening:g} and rth_close {closing:g}"
                f"{seen}; choose other hours, dates or markets{never}"
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
            raise ParameterRefused(
                f"{contracts} contracts of {symbol} over its price range and slippage of {move} ticks, on a balance "
                f"and commissions of {balance / 100:,.0f} dollars, could exceed {2**31 / 100:,.0f} dollars, the most "
                "that is counted exactly; use fewer contracts or a shorter span of data"
            )
