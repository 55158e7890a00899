"""The parameters of an account's whole life (docs/rules.md, section 9.7), beside those of the market. Without JAX."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from trading_gymnax.limits import HIGH_WATER_MODES, MODE, SHARE, USD, ParamRow, real, row_of, switch, whole
from trading_gymnax.parameters import MAX_USD, Parameters, ParametersPhase2, numbers_of

if TYPE_CHECKING:
    import jax

SCALING_STEPS, PAYOUT_CAPS = 4, 6  # entries of a scaling plan, and of a ladder of payouts
MAX_FEE_USD = 10_000  # dollars; the fees of a long life must fit int32 cents
_INF = float("inf")
_OF_PROFIT, _DAYS = "of the profit", "sessions"


def _dollars(default: float, doc: str, *, low: float = 0, length: int = 0) -> jax.Array:
    """Dollars of a rule that inf switches off."""
    return real(default, USD, doc, low=low, high=MAX_USD, inf_is_off=True, length=length)


@dataclasses.dataclass(frozen=True)
class AccountLife:
    """What an account asks and pays from its evaluation to its last payout; to be mixed into a class of parameters."""

    max_steps_in_episode: jax.Array = whole(27_000, "steps", "Steps after which the episode is truncated.", low=1)
    terminate_at_session_end: jax.Array = switch(False, "An episode is one session; False: it sleeps over the night.")
    # -- evaluation --
    contract_limit: jax.Array = whole(
        0, "contracts", "Most contracts of an entry where no step of the scaling plan is reached; 0: no limit."
    )
    scaling_profit: jax.Array = _dollars(
        _INF,
        "Profit at the session's start from which a step of the scaling plan counts; inf: never.",
        low=-MAX_USD,
        length=SCALING_STEPS,
    )
    scaling_contracts: jax.Array = whole(
        1, "contracts", "Most contracts of an entry on that step.", low=1, length=SCALING_STEPS
    )
    minimum_days: jax.Array = whole(0, _DAYS, "Days with a closed trade that a pass needs; 0: none.")
    winning_days: jax.Array = whole(0, _DAYS, "Winning days that a pass needs; 0: none.")
    winning_day_profit: jax.Array = real(
        0.01, USD, "Least profit of a winning day of the evaluation.", low=0.01, high=MAX_USD
    )
    consistency: jax.Array = real(
        _INF, _OF_PROFIT, "Most that the best day may be for a pass.", low=0.01, high=1, inf_is_off=True
    )
    consistency_of_wins: jax.Array = switch(
        False, "That share is of the winning days' profits; False: of the whole profit."
    )
    session_limit: jax.Array = whole(
        0, _DAYS, "Sessions after which an evaluation that has not passed is over; 0: no end."
    )
    evaluation_fee: jax.Array = real(0.0, USD, "Paid at reset; 0: nothing.", high=MAX_FEE_USD)
    monthly_fee: jax.Array = real(
        0.0, USD, "Paid at the end of each 21st session of an evaluation that goes on; 0: nothing.", high=MAX_FEE_USD
    )
    # -- the funded account --
    funded_phase: jax.Array = switch(True, "A passed evaluation goes on as a funded account; False: the episode ends.")
    start_funded: jax.Array = switch(False, "The account begins funded, without an evaluation.")
    activation_fee: jax.Array = real(0.0, USD, "Paid when the account is funded; 0: nothing.", high=MAX_FEE_USD)
    funded_trailing_dd_limit: jax.Array = _dollars(
        2_500.0, "Funded: distance of the floor below the high-water mark; latched at the pass; 0: not off."
    )
    funded_high_water_mode: jax.Array = whole(
        0, MODE, "Funded: which equity moves the high-water mark.", high=len(HIGH_WATER_MODES) - 1
    )
    funded_floor_lock: jax.Array = _dollars(
        _INF, "Funded: the floor rises no further than the start balance plus this; 0: than that.", low=-MAX_USD
    )
    funded_daily_loss_limit: jax.Array = _dollars(_INF, "Funded: loss of a session that ends its day; 0: not off.")
    funded_daily_loss_fails: jax.Array = switch(False, "Funded: the daily limit ends the episode.")
    funded_contract_limit: jax.Array = whole(0, "contracts", "Funded: as contract_limit; 0: no limit.")
    funded_scaling_profit: jax.Array = _dollars(
        _INF, "Funded: as scaling_profit; inf: never.", low=-MAX_USD, length=SCALING_STEPS
    )
    funded_scaling_contracts: jax.Array = whole(
        1, "contracts", "Funded: as scaling_contracts.", low=1, length=SCALING_STEPS
    )
    # -- payouts --
    payout_minimum_days: jax.Array = whole(
        0, _DAYS, "Days with a closed trade since the last payout that a payout needs; 0: none."
    )
    payout_winning_days: jax.Array = whole(0, _DAYS, "Winning days since the last payout that a payout needs; 0: none.")
    payout_winning_day_profit: jax.Array = real(
        0.01, USD, "Least profit of a winning day of the funded account.", low=0.01, high=MAX_USD
    )
    payout_consistency: jax.Array = real(
        _INF,
        _OF_PROFIT,
        "Most that the best day since the last payout may be for a payout.",
        low=0.01,
        high=1,
        inf_is_off=True,
    )
    payout_consistency_of_wins: jax.Array = switch(
        False, "That share is of the winning days' profits; False: of the profit since the last payout."
    )
    payout_buffer: jax.Array = real(0.0, USD, "Profit that a payout leaves in the account; 0: none.", high=MAX_USD)
    payout_minimum: jax.Array = real(0.01, USD, "Least amount of a payout.", low=0.01, high=MAX_USD)
    payout_share: jax.Array = real(1.0, SHARE, "Share of what may be taken that a payout takes.", high=1)
    payout_cap: jax.Array = _dollars(
        _INF, "Most that a payout takes, by its number; the last serves all later ones.", low=0.01, length=PAYOUT_CAPS
    )
    payout_split: jax.Array = real(0.9, SHARE, "The trader's share of a payout.", high=1)
    payout_floor: jax.Array = _dollars(
        _INF,
        "With the first payout the floor rises to the start balance plus this at least; 0: to that balance.",
        low=-MAX_USD,
    )
    payouts_at_most: jax.Array = whole(0, "payouts", "Payout that ends the account; 0: none does.")


@dataclasses.dataclass(frozen=True)
class ParametersLife(AccountLife, Parameters):
    """The parameters of phase 1 with `account_life=True`."""


@dataclasses.dataclass(frozen=True)
class ParametersPhase2Life(AccountLife, ParametersPhase2):
    """The parameters of phase 2 with `account_life=True`."""


def life_table(phase: int) -> list[ParamRow]:
    """Every parameter of phase 1 or 2 with `account_life=True` but the market, as `params_table` gives them."""
    if phase not in (1, 2):
        raise ValueError(f"phase is 1 or 2, got {phase!r}")
    return [row_of(field) for field in numbers_of(ParametersLife if phase == 1 else ParametersPhase2Life)]
