"""The accounts, sizes and high-water modes that `survival` compares, checked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trading_gymnax import rules
from trading_gymnax.accounts import AccountPreset
from trading_gymnax.data.contracts import CONTRACTS, ContractSpec
from trading_gymnax.limits import ParameterRefused
from trading_gymnax.parameters import Parameters
from trading_gymnax.survival.refused import SurvivalRefused
from trading_gymnax.survival.replay import AccountRules

_OF_CASE = ("contracts", "minimum_days")  # rules that are no parameters of the environment
ACCOUNT_FIELDS = tuple(name for name in AccountRules._fields if name not in _OF_CASE)
TIME_FIELDS = ("terminate_at_session_end", "max_steps_in_episode")  # an account goes on over night, for `sessions`
_KINDS: dict[Any, type] = {np.float32: float, np.int32: int, np.bool_: bool}


def presets_of(account: AccountPreset | Sequence[AccountPreset]) -> list[AccountPreset]:
    """The accounts as a list. Raises SurvivalRefused for anything else, and for none."""
    presets: list[Any] = list(account) if isinstance(account, Sequence) else [account]
    for preset in presets:
        if not isinstance(preset, AccountPreset):
            raise SurvivalRefused(
                f"account is an AccountPreset or several, for example evaluation_account(50_000); got {preset!r}"
            )
    if not presets:
        raise SurvivalRefused("account is an empty list; give at least one AccountPreset")
    return presets


def all_cases(
    presets: list[AccountPreset], params: Any, contracts: int | Sequence[int] | None, modes: Sequence[str] | None
) -> list[tuple[AccountPreset, int | None, str, dict[str, Any]]]:
    """Preset, contracts, high-water mode and the fields of `AccountRules` of every combination."""
    wanted = _mode_codes(modes)
    made = []
    for preset in presets:
        fields = _fields(preset, params)
        for mode, size in itertools.product(wanted or [fields["high_water_mode"]], _sizes(contracts, params)):
            _check_size(preset, size, params)
            check_amounts(f"account {preset.name!r}", params, {**fields, "high_water_mode": mode}, size)
            of_case = {"contracts": size or 0, "high_water_mode": mode, "minimum_days": preset.minimum_days}
            made.append((preset, size, rules.HIGH_WATER_MODES[mode], fields | of_case))
    return made


def check_amounts(named: str, params: Any, fields: dict[str, Any], size: int | None) -> None:
    """Refuse amounts that cannot be, and sizes whose money would not fit: what the parameters refuse, and no more."""
    try:
        params.replace(**fields, **({} if size is None else {"position_size": size}))
    except ParameterRefused as refused:
        raise SurvivalRefused(f"{named}: {refused}") from refused


def _mode_codes(modes: Sequence[str] | None) -> list[int]:
    names = [modes] if isinstance(modes, str) else list(modes or ())
    for name in names:
        if name not in rules.HIGH_WATER_MODES:
            raise SurvivalRefused(f"high_water_modes are of {', '.join(rules.HIGH_WATER_MODES)}; got {name!r}")
    return [rules.HIGH_WATER_MODES.index(name) for name in names]


def _fields(preset: AccountPreset, params: Any) -> dict[str, Any]:
    """The account's own rules, and the parameters' where it says nothing."""
    given = preset.params()
    strange = sorted(set(given) - {*ACCOUNT_FIELDS, *TIME_FIELDS})
    if strange:
        raise SurvivalRefused(
            f"account {preset.name!r} also changes {', '.join(strange)}, which are rules of the market and not of an "
            "account; put them into params="
        )
    fields: dict[str, Any] = {
        name: _KINDS[Parameters.__dataclass_fields__[name].metadata["dtype"]](given.get(name, getattr(params, name)))
        for name in ACCOUNT_FIELDS
    }
    if not 0 < fields["profit_target"] < math.inf:
        raise SurvivalRefused(
            f"account {preset.name!r} has no profit target that could be reached; set profit_target, in dollars above 0"
        )
    return fields


def _sizes(contracts: int | Sequence[int] | None, params: Any) -> list[int | None]:
    by_risk = float(params.risk_per_trade) > 0
    if contracts is None:
        return [None if by_risk else int(params.position_size)]
    if by_risk:
        raise SurvivalRefused("the parameters size entries by risk_per_trade; leave out contracts=, or set it to 0")
    sizes: list[Any] = list(contracts) if isinstance(contracts, Sequence) else [contracts]
    if not sizes:
        raise SurvivalRefused("contracts is an empty list; give at least one number of contracts")
    return sizes


def _check_size(preset: AccountPreset, size: int | None, params: Any) -> None:
    if size is None:
        return
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
        raise SurvivalRefused(f"contracts are whole numbers from 1 on; got {size!r}")
    if preset.contract_limit is None:
        return
    for spec in params.market.specs:
        most = preset.contract_limit * (10 if is_micro(spec) else 1)
        if size > most:
            raise SurvivalRefused(
                f"{size} contracts of {spec.symbol} are more than the {most} that account {preset.name!r} allows"
            )


def is_micro(spec: ContractSpec) -> bool:
    """Ten of them count as one in a contract limit; the table's micros are those whose symbol starts with M."""
    return spec.symbol in CONTRACTS and spec.symbol.startswith("M")
