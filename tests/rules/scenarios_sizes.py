"""Worked examples: sizes as actions (docs/rules.md, section 4.4).

Phase 2 with the sizes 1, 2 and 4, of an account with a life, whose scaling plans limit contracts. NQ, a tick is 500
cents, commission 250 cents a side, ATR 8 ticks, so D = 12; slippage 1 tick; 50,000 dollars = 5,000,000 cents.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.rules.scenario import BREAKEVEN, HOLD, SELL, STOP, TO_BE, F, Row, Scenario, T, b, q, see, use

BUY_2X, SELL_2X, BUY_4X, SELL_4X = range(6, 10)
NO_COSTS = use(slippage_ticks=0, stop_slippage_ticks=0, commission_per_side=0.0)


def flat(twice: bool, four_times: bool) -> list[bool]:
    """The mask of a flat account that may enter, by the sizes that are offered."""
    return [T, T, T, F, F, F, twice, twice, four_times, four_times]


def sized(
    name: str,
    rows: Sequence[Row],
    actions: Sequence[int],
    expect: Sequence[Mapping[str, Any]],
    at_start: Mapping[str, Any] | None = None,
    market: Mapping[str, Any] | None = None,
    forced_side: int = 0,
    **params: Any,
) -> Scenario:
    """One worked example of that shape."""
    return Scenario(
        name=name,
        rule="4.4",
        rows=rows,
        actions=actions,
        expect=expect,
        at_start=at_start or {},
        market=market or {},
        params=params,
        forced_side=forced_side,
        phase=2,
        account_features=True,
        account_life=True,
        entry_sizes=(1, 2, 4),
    )


SIZES = [
    sized(
        "twice the size loses and pays twice",
        [q(), b(0, 2, -11, 0)],
        [BUY_2X],
        # in at 1, stop at -11, out at -12: 13 ticks of 2 contracts, 13,000, and 2 * 2 * 250
        [see(exit_reason=STOP, trade_pnl_cents=-14_000, balance_cents=4_986_000, contracts=0, obs_tail=[0.0])],
        at_start=see(mask=flat(T, T), obs_tail=[0.0]),
    ),
    sized(
        "four times the size, and its stop moved to the entry",
        [q(), b(0, 5, 0, 5), b(5, 5, 0, 3)],
        [BUY_4X, TO_BE],
        # in at 1: balance - 4 * 250, and 4 ticks of profit; out at 1 - 1: a tick of 4 contracts, and 2 * 4 * 250
        [
            see(contracts=4, position=1, balance_cents=4_999_000, equity_cents=5_007_000, obs_tail=[1.0])
            | see(mask=[T, F, F, T, T, T, F, F, F, F]),
            see(exit_reason=BREAKEVEN, trade_pnl_cents=-4_000, balance_cents=4_996_000, mask=flat(T, T)),
        ],
    ),
    sized(
        "sizes are multiples of position_size, and the smallest is that of BUY and SELL",
        [q(), b(0, 0, -5, -5), b(-5, 12, -5, 12), q(12)],
        [SELL_2X, HOLD, SELL],
        # in at -1 with 6 contracts of at most 12: 4 ticks; stopped at 11 + 1: 13 ticks of 6 and 2 * 6 * 250
        [
            see(contracts=6, position=-1, balance_cents=4_998_500, equity_cents=5_010_500, obs_tail=[0.5]),
            see(exit_reason=STOP, trade_pnl_cents=-42_000, balance_cents=4_958_000),
            see(contracts=3, balance_cents=4_957_250, obs_tail=[0.25]),
        ],
        position_size=3,
    ),
    sized(
        "a scaling plan cuts sizes, and offers none twice",
        [q(), q(), b(0, 40, 0, 40), q(40), q(40), q(40)],
        [BUY_4X, BUY_2X, BUY_4X],
        # four would be two again, and two earn 40 * 2 * 500 cents; the next day is 400 dollars ahead: four are three
        [
            see(invalid_action=T, position=0, mask=flat(T, F)),
            see(trade_pnl_cents=40_000, balance_cents=5_040_000, session_number=2, mask=flat(T, T)),
            see(invalid_action=F, contracts=3, obs_tail=[0.75]),
        ],
        at_start=see(mask=flat(T, F)),
        market=use(sessions=[1, 1, 1, 2, 2, 2]),
        **NO_COSTS,
        sl_atr_mult=100.0,
        rth_close=9.55,
        contract_limit=2,
        scaling_profit=[400.0, float("inf"), float("inf"), float("inf")],
        scaling_contracts=[3, 1, 1, 1],
    ),
    sized(
        "where the account allows less than the smallest size, that alone is offered, cut",
        [q(), q(), q()],
        [BUY_2X, SELL],
        [see(invalid_action=T, position=0), see(contracts=2, position=-1, balance_cents=4_999_500)],
        at_start=see(mask=flat(F, F)),
        position_size=3,
        contract_limit=2,
    ),
    sized(
        "sizes are multiples of a size by risk, cut to max_contracts",
        [q(), q(), b(0, 0, -30, 0), q()],
        [BUY_2X, HOLD, BUY_4X],
        # D is worth 6,000 cents: 2 contracts, 4, and 8 that are cut to 5
        [see(contracts=4, obs_tail=[0.8]), see(exit_reason=STOP, mask=flat(T, T)), see(contracts=5, obs_tail=[1.0])],
        at_start=see(mask=flat(T, T)),
        risk_per_trade=150.0,
        max_contracts=5,
    ),
    sized(
        "a size by risk of no contract offers no entry",
        [q(), q()],
        [BUY_4X],
        [see(invalid_action=T, position=0)],
        at_start=see(mask=[T] + [F] * 9),
        risk_per_trade=59.0,
    ),
    sized(
        "a forced start leaves the sizes of its side",
        [q(), q()],
        [SELL_4X],
        [see(invalid_action=F, contracts=4, position=-1)],
        at_start=see(mask=[F, F, T, F, F, F, F, T, F, T]),
        forced_side=-1,
    ),
]
