"""Each parameter's line: default, unit, limits and sentence stand beside its field, and are those that are checked."""

import math
import pathlib
import re

import numpy as np
import pytest

from trading_gymnax import EnvParams, EnvParamsPhase2
from trading_gymnax.limits import Limits, check_value
from trading_gymnax.params import numbers_of, params_table
from trading_gymnax.params_life import EnvParamsLife, EnvParamsPhase2Life, life_table

RULES = pathlib.Path(__file__).resolve().parents[2] / "docs" / "rules.md"
PHASES = ((1, EnvParams), (2, EnvParamsPhase2))
LIVES = ((1, EnvParamsLife), (2, EnvParamsPhase2Life))
FIELDS = numbers_of(EnvParamsPhase2Life)
ZERO_IS_OFF = (  # a 0 that switches something off, or does not although one might think so
    *("risk_per_trade", "min_stop_ticks", "slippage_ticks", "slippage_atr_mult"),
    *("stop_slippage_ticks", "stop_slippage_atr_mult", "target_through_ticks", "commission_per_side"),
    *("trailing_dd_limit", "floor_lock", "daily_loss_limit", "profit_target", "random_start_fraction"),
    *("min_bars_left", "forced_entry_fraction", "pass_reward", "violation_penalty", "market_weights"),
    "be_min_profit_atr",
    # of a whole life
    *("contract_limit", "minimum_days", "winning_days", "session_limit", "evaluation_fee", "monthly_fee"),
    *("activation_fee", "funded_trailing_dd_limit", "funded_floor_lock", "funded_daily_loss_limit"),
    *("funded_contract_limit", "payout_minimum_days", "payout_winning_days", "payout_buffer", "payout_floor"),
    "payouts_at_most",
)


@pytest.mark.parametrize(("phase", "cls"), [*PHASES, *LIVES])
def test_every_parameter_has_a_whole_line(phase, cls):
    rows = life_table(phase) if (phase, cls) in LIVES else params_table(phase)
    assert [row.name for row in rows] == [field.name for field in numbers_of(cls)]
    for row in rows:
        assert all(row), row
        assert re.fullmatch(r"[A-Z].*\.", row.sentence), row


def test_zeros_say_what_they_do():
    for row in life_table(2):
        assert (row.name in ZERO_IS_OFF) == bool(re.search(r"\b0: ", row.sentence)), row


def test_another_phase_is_refused():
    with pytest.raises(ValueError, match=r"^phase is 1 or 2, got 3$"):
        params_table(3)


def test_some_lines():
    rows = {row.name: row[1:4] for row in params_table(1)}
    assert rows["trailing_dd_limit"] == ("15,000", "dollars", "0 to 10,000,000; inf: off")
    assert rows["commission_per_side"] == ("of the contract", "dollars, [M]", "0 to 10,000,000")
    assert rows["position_size"] == ("1", "contracts", "1 or more")
    assert rows["initial_balance"] == ("50,000", "dollars", "1 to 10,000,000")
    assert rows["sl_atr_mult"] == ("1.5", "ATR", "0.01 or more")
    assert rows["high_water_mode"] == ("0", "mode", "0 BAR_CLOSE, 1 INTRABAR, 2 END_OF_DAY")
    assert rows["rth_close"] == ("16.9833", "New York hour", "0 to 24")
    assert rows["daily_loss_limit"][0] == "inf"
    assert {row.name: row.default for row in params_table(2)}["trailing_dd_limit"] == "2,500"


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_the_limits_are_those_that_are_checked(field):
    """The ends are allowed, one step beyond is not, and inf is allowed where it means off."""
    limits: Limits = field.metadata["limits"]
    kind = np.float32 if field.metadata["dtype"] == np.float32 else np.int64
    step = 0.001 if kind is np.float32 else 1
    for end, beyond in ((limits.low, -1), (limits.high, 1)):
        if end is None:
            continue
        outside = np.asarray(kind(end + beyond * max(step, abs(end) * 1e-6)))
        check_value(field, np.asarray(end, kind))
        with pytest.raises(ValueError, match=rf"^{field.name} (must|is) .* got "):
            check_value(field, outside)
    if kind is np.int64:
        return
    if limits.inf_is_off:
        check_value(field, np.float32(math.inf))
        with pytest.raises(ValueError, match=f"^{field.name} must"):
            check_value(field, np.float32(-math.inf))
    else:
        with pytest.raises(ValueError, match=f"^{field.name} must be finite, got inf$"):
            check_value(field, np.float32(math.inf))


def test_the_rule_book_has_every_line():
    text = RULES.read_text()
    shared = params_table(2)
    names = {row.name for row in shared}
    for row in [*shared, *(row for row in life_table(2) if row.name not in names)]:
        default = row.default
        if row.name == "trailing_dd_limit":
            default = "15,000 in phase 1, 2,500 in phase 2"
        line = f"| `{row.name}` | {default} | {row.unit} | {row.limits} | {row.sentence} |"
        assert line in text, line
