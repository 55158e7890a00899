"""Parameters that change while training goes on, and parameters that differ between environments.

schedule = linear(trailing_dd_limit=(15_000, 2_500), commission_per_side=times(0.25, 1.0))
train = jax.jit(make_train(env, config, params_schedule=schedule))

schedule = over_plans([plan("topstep-50k"), plan("apex-eod-50k")])  # of an environment with account_life=True

The accounts to train for are those of `accounts`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.accounts import AccountPreset, Plan, evaluation_account, life_fields, original
from trading_gymnax.limits import check_value
from trading_gymnax.params import numbers_of
from trading_gymnax.params_life import EnvParamsPhase2Life  # the class that has every field
from trading_gymnax.text import check_names

__all__ = [
    "AccountPreset",
    "Factors",
    "Schedule",
    "evaluation_account",
    "linear",
    "original",
    "original_plan",
    "over",
    "over_plans",
    "piecewise",
    "times",
    "vary",
]


@dataclasses.dataclass(frozen=True)
class Factors:
    """Values that multiply what the parameters say; made by `times`."""

    values: tuple[float, ...]


def times(*factors: float) -> Factors:
    """Values of a schedule as multiples of the parameters' own: `commission_per_side=times(0.25, 1.0)`."""
    return Factors(tuple(factors))


@dataclasses.dataclass(frozen=True)
class Schedule:
    """Parameters by progress: `schedule(progress, params) -> params`, for `params_schedule` of `make_train` and `fit`.

    Made by `linear` and `piecewise`. Between two points a value moves in a straight line, or stays until the next point
    where `hold` is set; whole-numbered fields are rounded half to even. A balance and a trailing limit are latched at
    reset, so that an episode ends under those that it began with.
    """

    points: tuple[float, ...]  # progress, rising from 0 to 1
    fields: tuple[tuple[str, tuple[Any, ...], bool], ...]  # name, value or values at each point, whether it is a factor
    hold: bool = False
    turns: tuple[str, ...] = ()  # names of the plans that come into force at the points, the last for the last two

    def __call__(self, progress: Any, params: Any) -> Any:
        """`params` with the fields' values at `progress` (scalar, 0 to 1).

        Raises ValueError for values that `params.replace` refuses, where nothing is traced.
        """
        names = [name for name, _, _ in self.fields]
        check_names(names, [field.name for field in numbers_of(type(params))], f"{type(params).__name__} has no field")
        changes = {}
        for name, values, is_factor in self.fields:
            value = self._at(progress, values)
            value = value * getattr(params, name) if is_factor else value
            changes[name] = jnp.rint(value) if _dtype(params, name) == jnp.int32 else value
        return params.replace(**changes)

    def values(self, progress: Any) -> dict[str, jax.Array]:
        """What the trainer logs: each field's value at `progress`, float32 (); `<field>_factor` for factors.

        Where plans take turns, `plan` alone: the number of the present one, from 0.
        """
        if self.turns:
            return {"plan": jnp.minimum(self._reached(progress), len(self.turns) - 1).astype(jnp.float32)}
        return {name + "_factor" * is_factor: self._at(progress, values) for name, values, is_factor in self.fields}

    def _at(self, progress: Any, values: tuple[Any, ...]) -> jax.Array:
        known = jnp.asarray(values, jnp.float32)
        if self.hold:
            return known[self._reached(progress)]
        return jnp.interp(jnp.asarray(progress, jnp.float32), jnp.asarray(self.points, jnp.float32), known)

    def _reached(self, progress: Any) -> jax.Array:
        """Number of the last point that is not behind `progress`."""
        passed = jnp.asarray(progress, jnp.float32) >= jnp.asarray(self.points, jnp.float32)
        return jnp.clip(jnp.sum(passed) - 1, 0)


def _dtype(params: Any, name: str) -> Any:
    return type(params).__dataclass_fields__[name].metadata["dtype"]


def linear(**fields: Any) -> Schedule:
    """A schedule from a first to a last value: `linear(sl_atr_mult=(2.0, 1.5), commission_per_side=times(0.25, 1))`.

    Raises ValueError as `piecewise` does.
    """
    return piecewise((0.0, 1.0), **fields)


def piecewise(points: Sequence[float], *, hold: bool = False, **fields: Any) -> Schedule:
    """A schedule through a value at each of `points` of progress, the first 0 and the last 1.

    Args:
        points: progress of training, rising from 0 to 1.
        hold: values stay until the next point instead of moving towards it in a straight line.
        fields: of any class of parameters: as many numbers as points, or `times(...)` of them. A field that holds
            several numbers, payout_cap say, has with `hold` as many of them at each point, or one.

    Raises ValueError for a field that does not exist, one that cannot be scheduled, points out of order, and numbers
    that do not fit the points.
    """
    places = tuple(float(point) for point in points)
    if len(places) < 2 or places[0] != 0 or places[-1] != 1 or list(places) != sorted(set(places)):
        raise ValueError(f"points of progress rise from 0 to 1, (0, 0.5, 1) say; got {tuple(points)}")
    if not fields:
        raise ValueError("a schedule needs a field, sl_atr_mult=(2.0, 1.5) say")
    known = {name: field.metadata.get("dtype") for name, field in EnvParamsPhase2Life.__dataclass_fields__.items()}
    check_names(fields, [name for name in known if name != "market"], "a schedule knows no field")
    rows = [_scheduled(name, given, known[name], len(places), hold, several=hold) for name, given in fields.items()]
    return Schedule(places, tuple(rows), bool(hold))


def _scheduled(
    name: str, given: Any, dtype: Any, count: int, hold: bool, *, several: bool = False
) -> tuple[str, tuple[Any, ...], bool]:
    """One row of `Schedule.fields`, checked; `several`: a field of several numbers may have all of them."""
    is_factor = isinstance(given, Factors)
    try:
        values = np.asarray(given.values if is_factor else given, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} needs numbers, one for each point; got {given!r}") from None
    length = EnvParamsPhase2Life.__dataclass_fields__[name].metadata["limits"].length
    if values.shape != (count,) and not (several and length and values.shape == (count, length)):
        raise ValueError(f"{name} needs {count} numbers, one for each point; got {given!r}")
    if not hold and dtype == jnp.bool_:
        raise ValueError(f"{name} is a switch, which has nothing between False and True; use hold=True")
    if np.isnan(values).any() or (not hold and np.isinf(values).any()):
        raise ValueError(f"{name} must have finite numbers (inf only with hold=True); got {given!r}")
    if is_factor and values.min() < 0:
        raise ValueError(f"{name} is multiplied by {values.min():g}; factors are 0 or more")
    if not is_factor:
        check_value(EnvParamsPhase2Life.__dataclass_fields__[name], values)
    return name, tuple(x if values.ndim == 1 else tuple(x) for x in values.tolist()), is_factor


def over_plans(plans: Sequence[Plan], *, points: Sequence[float] | None = None, micro: bool = False) -> Schedule:
    """Accounts that take turns while training goes on; the last one is there at the end.

    An account that is open when the turn comes goes on under the next plan's rules, with the balance, the floor and the
    trailing limit that it has; those that begin after it are the next plan's.

    Args:
        plans: of `trading_gymnax.accounts`, each once.
        points: progress at which each one's turn begins, the first 0; by default turns of equal length.
        micro: micro contracts are traded, of which plans allow more.

    Raises ValueError for no plans, one that is named twice, and points that do not rise from 0 to below 1.
    """
    names = [one.name for one in plans]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"plans take turns once each, and there is one at least; got {', '.join(names) or 'none'}")
    return in_turns({one.name: life_fields(one, micro=micro) for one in plans}, points)


def in_turns(accounts: Mapping[str, Mapping[str, Any]], points: Sequence[float] | None = None) -> Schedule:
    """`over_plans` of rules by the name of the account, all of the same fields."""
    rules, starts = list(accounts.values()), [at / len(accounts) for at in range(len(accounts))]
    starts = starts if points is None else list(points)
    if len(starts) != len(rules):
        raise ValueError(f"{len(rules)} plans need a point each, at which their turns begin; got {tuple(starts)}")
    held = {name: [one[name] for one in (*rules, rules[-1])] for name in rules[0]}
    return dataclasses.replace(piecewise([*starts, 1.0], hold=True, **held), turns=tuple(accounts))


def original_plan() -> Schedule:
    """The curriculum of the plan that this project began with: from an easy account to a strict one.

    Trailing limit 15,000, 5,000 and 2,500 dollars at progress 0, 0.5 and 1; stop from 2.0 to 1.5 ATR; commission from a
    quarter to the whole of the market's; forced starts from half of the episodes to none.
    """
    return piecewise(
        (0.0, 0.5, 1.0),
        trailing_dd_limit=(15_000.0, 5_000.0, 2_500.0),
        sl_atr_mult=(2.0, 1.75, 1.5),
        commission_per_side=times(0.25, 0.625, 1.0),
        forced_entry_fraction=(0.5, 0.25, 0.0),
    )


def vary(params: Any, *, key: jax.Array, num_envs: int, **ranges: Any) -> tuple[Any, Any]:
    """Domain randomisation: parameters that differ between environments, drawn evenly from ranges.

    params, axes = vary(params, key=key, num_envs=1024, slippage_ticks=(0, 3), sl_atr_mult=(1.0, 2.0))
    obs, state = jax.vmap(env.reset, in_axes=(0, axes))(keys, params)

    Args:
        params: parameters of one environment; all fields that are not named stay as they are, and shared.
        key: typed key.
        num_envs: environments N.
        ranges: lowest and highest value of a field; whole-numbered fields include both, switches are drawn evenly
            from (False, True), per-market fields get one draw for all markets. `times(low, high)` multiplies.

    Returns:
        The parameters with fields [N, ...] where they vary, and a tree of the same kind with their `in_axes`: 0 where
        they vary, None elsewhere, so that the market's arrays are shared and not copied.

    Raises ValueError for an unknown field, a range that is none, and values that `params.replace` refuses.
    """
    if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
        raise ValueError(f"num_envs is a number of environments, 1 or more; got {num_envs!r}")
    if not ranges:
        raise ValueError("vary needs a field and its range, slippage_ticks=(0, 3) say")
    known = [field.name for field in numbers_of(type(params))]
    check_names(ranges, known, f"{type(params).__name__} has no field")
    drawn = {}
    for (name, given), one in zip(ranges.items(), jax.random.split(key, len(ranges)), strict=True):
        drawn[name] = _draws(one, name, given, params, num_envs)
    varied = params.replace(**drawn)  # a reward scale that was not given follows a size that varies
    mapped = [name for name in known if jnp.ndim(getattr(varied, name)) > jnp.ndim(getattr(params, name))]
    return varied, over(varied, *mapped)


def over(params: Any, *names: str) -> Any:
    """`in_axes` of parameters whose fields `names` have a leading axis; all others, the market's too, are shared.

    many = params.replace(sl_atr_mult=jnp.linspace(0.5, 3.0, 64))
    obs, state = jax.vmap(env.reset, in_axes=(0, over(many, "sl_atr_mult")))(keys, many)

    Give it the parameters that vary: where a reward scale followed their sizes, it has that axis, too. Raises
    ValueError for an unknown field, and for one without such an axis.
    """
    known = [field.name for field in numbers_of(type(params))]
    check_names(names, known, f"{type(params).__name__} has no field")
    has_axis = {name: jnp.ndim(getattr(params, name)) > _own_axes(_limits(params, name)) for name in known}
    for name in names:
        if not has_axis[name]:
            raise ValueError(f"{name} has no axis to map over: first give it a value an environment, by params.replace")
    mapped = [*names, *(["reward_scale"] if has_axis["reward_scale"] else [])]
    return dataclasses.replace(jax.tree.map(lambda _: None, params), **dict.fromkeys(mapped, 0))


def _limits(params: Any, name: str) -> Any:
    return type(params).__dataclass_fields__[name].metadata["limits"]


def _own_axes(limits: Any) -> int:
    """Axes of a field of one set of parameters."""
    return int(limits.per_market or limits.length > 0)


def _draws(key: jax.Array, name: str, given: Any, params: Any, count: int) -> jax.Array:
    """Values of one field, [N] or [N, M]; the ends are checked by `params.replace` on the field alone."""
    dtype, field, is_factor = _dtype(params, name), getattr(params, name), isinstance(given, Factors)
    _, (low, high), _ = _scheduled(name, given, dtype, 2, hold=True)
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"{name} needs a finite range, the lower end first; got {given!r}")
    for end in (low, high):
        params.replace(**{name: end * field if is_factor else end})
    shape = (count,) + (1,) * jnp.ndim(field)
    if dtype in (jnp.int32, jnp.bool_) and not is_factor:
        values = jax.random.randint(key, shape, int(low), int(high) + 1, jnp.int32)
    else:
        values = jax.random.uniform(key, shape, jnp.float32, minval=low, maxval=high)
    values = values * field[None] if is_factor else values
    return jnp.broadcast_to(jnp.rint(values) if dtype == jnp.int32 else values, (count, *jnp.shape(field)))
