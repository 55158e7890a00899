"""A plan as the parameters of an account's life (docs/rules.md, section 9)."""

from __future__ import annotations

from typing import Any

from trading_gymnax.accounts.schema import MOST_CAPS, MOST_STEPS, Phase, Plan
from trading_gymnax.limits import HIGH_WATER_MODES

_OFF = float("inf")
_LEAST = 0.01  # dollars; what a winning day or a payout is at least
_HIGH_WATER = {"STATIC": "END_OF_DAY", "INTRABAR": "INTRABAR", "END_OF_DAY": "END_OF_DAY"}
_WEEK, _SESSIONS_A_WEEK = 7, 5


def life_fields(plan: Plan, *, micro: bool = False) -> dict[str, Any]:
    """Fields of `EnvParamsLife` for `params.replace(**life_fields(plan))`: the account's rules, none of the market's.

    micro: micro contracts are traded, of which `plan` allows more. The fee of the first month is paid at the start,
    with that of the evaluation; a reset is a new account, and no business of one life. Days of the calendar are counted
    as five sessions a week, rounded down. `flat_by` is left to the hours of the market's parameters.
    """
    one, two, fees = plan.evaluation, plan.funded, plan.fees
    caps = two.payout_caps or (_OFF,)
    days = one.calendar_days
    fields = {
        "initial_balance": float(plan.size),
        "profit_target": float(one.profit_target),
        "session_limit": 0 if days is None else max(1, days * _SESSIONS_A_WEEK // _WEEK),
        "evaluation_fee": float(fees.evaluation + fees.monthly),
        "monthly_fee": float(fees.monthly),
        "activation_fee": float(fees.activation),
        "funded_phase": True,
        "start_funded": False,
        "terminate_at_session_end": False,
        "payout_buffer": float(two.buffer),
        "payout_minimum": max(_LEAST, float(two.payout_minimum)),
        "payout_share": float(two.payout_share),
        "payout_cap": tuple(float(caps[min(at, len(caps) - 1)]) for at in range(MOST_CAPS)),
        "payout_split": float(two.split),
        "payout_floor": _or_off(two.floor_after_payout),
        "payouts_at_most": two.payouts_at_most or 0,
    }
    fields |= _limits(one, micro, "") | _limits(two, micro, "funded_")
    return fields | _goals(one, "") | _goals(two, "payout_")


def _limits(phase: Phase, micro: bool, prefix: str) -> dict[str, Any]:
    """Floor, daily limit and contracts of a phase."""
    each = phase.micros if micro else 1
    first, *more = phase.scaling or ((0, phase.contracts),)
    missing = MOST_STEPS - 1 - len(more)
    static = phase.drawdown_mode == "STATIC"
    fields = {
        "trailing_dd_limit": float(phase.drawdown),
        "high_water_mode": HIGH_WATER_MODES.index(_HIGH_WATER[phase.drawdown_mode]),
        "floor_lock": -float(phase.drawdown) if static else _or_off(phase.drawdown_lock),
        "daily_loss_limit": _or_off(phase.daily_limit),
        "daily_loss_fails": phase.daily_limit_ends == "account",
        "contract_limit": first[1] * each,
        "scaling_profit": (*(float(profit) for profit, _ in more), *[_OFF] * missing),
        "scaling_contracts": (*(contracts * each for _, contracts in more), *[1] * missing),
    }
    return {f"{prefix}{name}": value for name, value in fields.items()}


def _goals(phase: Phase, prefix: str) -> dict[str, Any]:
    """What a pass or a payout needs beside the profit."""
    fields = {
        "minimum_days": phase.minimum_days,
        "winning_days": phase.winning_days,
        "winning_day_profit": max(_LEAST, float(phase.winning_day)),
        "consistency": _or_off(phase.consistency),
        "consistency_of_wins": phase.consistency_of == "winning_days",
    }
    return {f"{prefix}{name}": value for name, value in fields.items()}


def _or_off(dollars: float | None) -> float:
    return _OFF if dollars is None else float(dollars)
