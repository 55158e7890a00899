"""Every number of docs/rules.md that a user may change (section 6): default, limits, unit, a sentence.

Without JAX, so that a command line lists them at once. `params` makes traced arrays of them.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from trading_gymnax.limits import (
    HIGH_WATER_MODES,
    HOUR,
    MAX_DISTANCE_TICKS,
    MODE,
    SHARE,
    TICKS,
    USD,
    ParamRow,
    real,
    row_of,
    switch,
    whole,
)

if TYPE_CHECKING:
    import jax

    from trading_gymnax.market import MarketData

MAX_USD = 10_000_000  # dollars; larger finite amounts would not fit int32 cents
LEAST_MULTIPLE = 0.01  # of a stop's, target's or trail's distance: none of them is nothing
_INF = float("inf")


@dataclasses.dataclass(frozen=True)
class Parameters:
    """The parameters of phase 1. Amounts are dollars (inf switches a rule off), hours are New York clock hours, `[M]`
    has one value a market."""

    max_steps_in_episode: jax.Array = whole(450, "steps", "Steps after which the episode is truncated.", low=1)
    market: MarketData = dataclasses.field(default=None)  # type: ignore[assignment]  # bars of all markets
    initial_balance: jax.Array = real(
        50_000.0, USD, "Balance of a fresh account; latched at reset.", low=1, high=MAX_USD
    )
    position_size: jax.Array = whole(1, "contracts", "Size of an entry while risk_per_trade is 0.", low=1)
    risk_per_trade: jax.Array = real(
        0.0,
        USD,
        "Loss from the fill to the first stop that sizes an entry; 0: off, position_size counts.",
        high=MAX_USD,
    )
    max_contracts: jax.Array = whole(10, "contracts", "Most that risk_per_trade may choose.", low=1)
    sl_atr_mult: jax.Array = real(
        1.5, "ATR", "First stop from the fill, of the decision bar's ATR.", low=LEAST_MULTIPLE
    )
    tp_sl_ratio: jax.Array = real(
        3.0, "stop distances", "Target from the fill, in distances of the first stop.", low=LEAST_MULTIPLE
    )
    min_stop_ticks: jax.Array = whole(
        4, TICKS, "Least distance of the first stop; 0: one tick, the least there is.", high=MAX_DISTANCE_TICKS
    )
    slippage_ticks: jax.Array = whole(
        1, TICKS, "Entries and closing orders fill worse by this; 0: by none of it.", high=MAX_DISTANCE_TICKS
    )
    slippage_atr_mult: jax.Array = real(
        0.0, "ATR", "Entries and closing orders fill worse by this, too, of the decision bar's ATR; 0: off."
    )
    stop_slippage_ticks: jax.Array = whole(
        1, TICKS, "Stop orders fill worse by this; 0: by none of it.", high=MAX_DISTANCE_TICKS
    )
    stop_slippage_atr_mult: jax.Array = real(
        0.0,
        "ATR",
        "Stop orders fill worse by this, too, of the decision bar's ATR; 0: off, and a leap inside a bar gives money.",
    )
    target_through_ticks: jax.Array = whole(
        1, TICKS, "Price must trade so far beyond a target to fill it; 0: a touch does.", high=MAX_DISTANCE_TICKS
    )
    commission_per_side: jax.Array = real(
        None,
        USD,
        "Paid per contract at the entry and again at the exit; 0: none.",
        high=MAX_USD,
        per_market=True,
        default_text="of the contract",
    )
    fill_at_close: jax.Array = switch(False, "Entries fill at the close of the decision bar, not at the next open.")
    stop_first: jax.Array = switch(True, "In a bar that holds stop and target the stop came first; False gives money.")
    trailing_dd_limit: jax.Array = real(
        15_000.0,
        USD,
        "Distance of the floor below the high-water mark; latched at reset; 0: not off, the strictest.",
        high=MAX_USD,
        inf_is_off=True,
    )
    high_water_mode: jax.Array = whole(
        0, MODE, "Which equity moves the high-water mark.", high=len(HIGH_WATER_MODES) - 1
    )
    floor_lock: jax.Array = real(
        _INF,
        USD,
        "The floor rises no further than initial balance plus this; 0: no further than that balance.",
        low=-MAX_USD,
        high=MAX_USD,
        inf_is_off=True,
    )
    daily_loss_limit: jax.Array = real(
        _INF,
        USD,
        "Loss of a session that ends its day; 0: not off, the day ends unless it is ahead.",
        high=MAX_USD,
        inf_is_off=True,
    )
    daily_loss_fails: jax.Array = switch(False, "The daily limit ends the episode even where a session's end does not.")
    profit_target: jax.Array = real(
        _INF,
        USD,
        "Profit that ends the episode as passed; 0: not off, it passes when flat with nothing lost.",
        high=MAX_USD,
        inf_is_off=True,
    )
    rth_open: jax.Array = real(9.5, HOUR, "Entries are allowed from here on; by default the loader's hour.", high=24)
    rth_close: jax.Array = real(
        16 + 59 / 60, HOUR, "Positions are flat from here on; by default the loader's hour.", high=24
    )
    terminate_at_session_end: jax.Array = switch(True, "An episode is one session; False: it sleeps over the night.")
    random_start_fraction: jax.Array = real(
        0.5, SHARE, "Share of resets at a random bar of the session; 0: always its first entry-allowed bar.", high=1
    )
    min_bars_left: jax.Array = whole(30, "bars", "Bars before must-flat that a random start leaves; 0: any will do.")
    forced_entry_fraction: jax.Array = real(
        0.0, SHARE, "Share of episodes whose first mask allows one entry and nothing else; 0: off.", high=1
    )
    reward_scale: jax.Array = real(
        None,
        USD,
        "Dollars that make a reward of 1.",
        low=0.01,  # below it the reward of a large step would leave float32
        per_market=True,
        default_text="median R of the view",
    )
    reward_realized: jax.Array = switch(False, "Reward the change of balance instead of that of equity.")
    pass_reward: jax.Array = real(0.0, "reward", "Added to the reward at PROFIT_TARGET; 0: off.", low=None)
    violation_penalty: jax.Array = real(0.0, "reward", "Taken from the reward at DRAWDOWN; 0: off.", low=None)
    market_weights: jax.Array = real(
        1.0, "weight", "How often a market is drawn at reset, beside the others; 0: never.", per_market=True
    )
    reward_scale_given: jax.Array = dataclasses.field(default=False)  # type: ignore[assignment]  # kept by `create` and `replace`, never set by hand


@dataclasses.dataclass(frozen=True)
class ParametersPhase2(Parameters):
    """The parameters of phase 2: a tighter account, and three for the management of stops."""

    trailing_dd_limit: jax.Array = real(
        2_500.0,
        USD,
        "Distance of the floor below the high-water mark; latched at reset; 0: not off, the strictest.",
        high=MAX_USD,
        inf_is_off=True,
    )
    trail_atr_mult: jax.Array = real(1.0, "ATR", "Distance of the trailing stop from the close.", low=LEAST_MULTIPLE)
    be_min_profit_atr: jax.Array = real(
        0.0, "ATR", "MOVE_SL_TO_BE needs an open profit above this; 0: any profit will do."
    )
    mask_no_ops: jax.Array = switch(False, "Mask the stop actions that would change nothing.")


def numbers_of(cls: type) -> list[dataclasses.Field[Any]]:
    """The fields of a class of parameters that a user may change and that are numbers: all but the market."""
    return [field for field in dataclasses.fields(cls) if field.name not in ("market", "reward_scale_given")]


def params_table(phase: int) -> list[ParamRow]:
    """Every parameter of phase 1 or 2 but the market: name, default, unit, limits, and a sentence; as texts.

    Raises ValueError for another phase.
    """
    if phase not in (1, 2):
        raise ValueError(f"phase is 1 or 2, got {phase!r}")
    return [row_of(field) for field in numbers_of(Parameters if phase == 1 else ParametersPhase2)]
