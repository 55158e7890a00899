"""Worked examples: break-even, trailing stop and their masks (docs/rules.md, sections 3.2, 3.9 and 4; Phase 2).

Conventions as in `scenarios_bar`: a long has entry 1, stop -11, target 37. The trail is one ATR, 8 ticks. The
trailing limit of Phase 2 is 2,500 dollars: floor 4,750,000.
"""

from __future__ import annotations

from tests.rules.scenario import (
    BREAKEVEN,
    BUY,
    DRAWDOWN,
    HOLD,
    LIQUIDATION,
    SELL,
    STOP,
    TO_BE,
    TRAIL,
    TRAIL_OFF,
    TRAIL_ON,
    F,
    L,
    Scenario,
    T,
    b,
    q,
    see,
    use,
)

ALL = [T, F, F, T, T, T]

TO_BREAK_EVEN = [
    Scenario(
        name="the stop moves to the entry price",
        rule="3.2",
        rows=[q(), b(0, 12, 0, 10), b(10, 12, 2, 5), b(5, 5, 1, 3)],
        phase=2,
        actions=[BUY, TO_BE, HOLD],
        # the stop is at 1 from the close of t on: 2 misses it by a tick, 1 touches it; out at 0:
        # 1 tick, -500 - 500
        expect=[
            see(position=1, sl_price=L - 11, original_sl_price=L - 11, stop_origin=0, be_move_count=0)
            | see(mask=ALL, highest_profit_point=9),
            see(position=1, sl_price=L + 1, original_sl_price=L - 11, stop_origin=3, be_move_count=1)
            | see(invalid_action=F),
            see(position=0, exit_reason=BREAKEVEN, trade_pnl_cents=-1_000, winning_trades=0)
            | see(be_move_count=0, stop_origin=0, original_sl_price=0, sl_price=0, highest_profit_point=0)
            | see(mask=[T, T, T, F, F, F]),
        ],
    ),
    Scenario(
        name="the moved stop serves the very next bar",
        rule="3.2",
        rows=[q(), b(0, 12, 0, 10), b(10, 12, 1, 5)],
        phase=2,
        actions=[BUY, TO_BE],
        expect=[see(), see(exit_reason=BREAKEVEN, trade_pnl_cents=-1_000)],
    ),
    Scenario(
        name="a gap through the break-even stop",
        rule="3.4",
        rows=[q(), b(0, 12, 0, 10), b(-2, 12, -3, 5)],
        phase=2,
        actions=[BUY, TO_BE],
        expect=[see(), see(exit_reason=BREAKEVEN, trade_pnl_cents=-2_500)],  # out at -3: 4 ticks
    ),
    Scenario(
        name="break-even of a short",
        rule="3.2",
        rows=[q(), b(0, 0, -12, -10), b(-10, -2, -12, -5), b(-5, -1, -5, -3)],
        phase=2,
        actions=[SELL, TO_BE, HOLD],
        # entry -1; out at 0
        expect=[
            see(mask=ALL),
            see(position=-1, sl_price=L - 1, be_move_count=1),
            see(exit_reason=BREAKEVEN, trade_pnl_cents=-1_000),
        ],
    ),
    Scenario(
        name="break-even needs open profit",
        rule="4",
        rows=[q(), b(0, 1, 0, 1), b(1, 2, 1, 2), q(2)],
        phase=2,
        actions=[BUY, TO_BE, TO_BE],
        # at the close 1 the profit is 0; at 2 it is one tick
        expect=[
            see(mask=[T, F, F, F, T, T]),
            see(invalid_action=T, sl_price=L - 11, be_move_count=0, mask=ALL),
            see(invalid_action=F, sl_price=L + 1, be_move_count=1),
        ],
    ),
    Scenario(
        name="break-even needs a part of an ATR",
        rule="4",
        rows=[q(), b(0, 5, 0, 5), b(5, 6, 5, 6), q(6), q(6)],
        market=use(atr=[8, 8, 8, 12, 12]),
        phase=2,
        params=use(be_min_profit_atr=0.5),
        actions=[BUY, HOLD, HOLD],
        # 4 ticks are not more than 0.5 * 8; 5 are; 5 are not more than 0.5 * 12
        expect=[see(mask=[T, F, F, F, T, T]), see(mask=ALL), see(mask=[T, F, F, F, T, T])],
    ),
    Scenario(
        name="no break-even at a loss",
        rule="3.2",
        rows=[q(), q(10), q(10), q(10)],
        phase=2,
        actions=[BUY, TO_BE, TO_BE],
        # entry 11, as the bar opens at 10, and the closes stay a tick below it
        expect=[
            see(entry_price=L + 11, mask=[T, F, F, F, T, T]),
            see(invalid_action=T, be_move_count=0),
            see(invalid_action=T, be_move_count=0),
        ],
    ),
    Scenario(
        name="a second move to break-even is legal and counts nothing",
        rule="3.2",
        rows=[q(), b(0, 12, 0, 10), q(10), q(10)],
        phase=2,
        actions=[BUY, TO_BE, TO_BE],
        expect=[
            see(be_move_count=0),
            see(be_move_count=1, sl_price=L + 1),
            see(invalid_action=F, be_move_count=1, sl_price=L + 1, stop_origin=3),
        ],
    ),
    Scenario(
        name="a better stop is not moved back to the entry",
        rule="3.2",
        rows=[q(), b(0, 22, 0, 20), q(20), q(20), b(20, 20, 12, 15)],
        phase=2,
        actions=[BUY, TRAIL_ON, TO_BE, HOLD],
        # the trail put the stop at 20 - 8 = 12; out at 11: 10 ticks, 5,000 - 500
        expect=[
            see(),
            see(sl_price=L + 12, stop_origin=2),
            see(invalid_action=F, sl_price=L + 12, stop_origin=2, be_move_count=0),
            see(exit_reason=TRAIL, trade_pnl_cents=4_500),
        ],
    ),
]

TRAILS = [
    Scenario(
        name="enabling the trail ratchets at once",
        rule="3.2",
        rows=[q(), b(0, 22, 0, 20), b(20, 21, 13, 15), b(15, 15, 12, 12)],
        phase=2,
        actions=[BUY, TRAIL_ON, HOLD],
        # 20 - 8 = 12 before the bar; its close 15 gives 7, which is worse; out at 11: 10 ticks, 5,000 - 500
        expect=[
            see(trailing_stop_active=F, highest_profit_point=19),
            see(position=1, trailing_stop_active=T, sl_price=L + 12, stop_origin=2, invalid_action=F)
            | see(highest_profit_point=19, mask=ALL, original_sl_price=L - 11),
            see(exit_reason=TRAIL, trade_pnl_cents=4_500, trailing_stop_active=F, winning_trades=1),
        ],
    ),
    Scenario(
        name="the trail of a bar's close serves from the next bar on",
        rule="3.9",
        rows=[q(), q(), b(0, 30, -5, 25), b(25, 26, 17, 20)],
        phase=2,
        actions=[BUY, TRAIL_ON, HOLD],
        # 0 - 8 = -8 at once; the low -5 misses it; then 25 - 8 = 17, which the same bar's -5 does not meet;
        # 17 does, in the next: out at 16: 15 ticks, 7,500 - 500
        expect=[
            see(position=1, sl_price=L - 11),
            see(position=1, sl_price=L + 17, stop_origin=2, highest_profit_point=24),
            see(exit_reason=TRAIL, trade_pnl_cents=7_000),
        ],
    ),
    Scenario(
        name="the trail never moves away from the market",
        rule="3.9",
        rows=[q(), q(), b(0, 30, -5, 25), b(25, 25, 18, 18), b(18, 30, 18, 26)],
        phase=2,
        actions=[BUY, TRAIL_ON, HOLD, HOLD],
        expect=[
            see(),
            see(sl_price=L + 17),
            see(sl_price=L + 17, highest_profit_point=24),
            see(sl_price=L + 18, highest_profit_point=25),
        ],
    ),
    Scenario(
        name="the trail of a short",
        rule="3.9",
        rows=[q(), q(), b(0, 5, -30, -25), b(-25, -17, -26, -20)],
        phase=2,
        actions=[SELL, TRAIL_ON, HOLD],
        expect=[
            see(sl_price=L + 11),
            see(position=-1, sl_price=L - 17, highest_profit_point=24),
            see(exit_reason=TRAIL, trade_pnl_cents=7_000),
        ],
    ),
    Scenario(
        name="each ratchet with the ATR of its bar",
        rule="3.9",
        rows=[q(), q(), b(0, 5, 0, 0), b(0, 30, 0, 25), q(25)],
        market=use(atr=[8, 6, 20, 4, 8]),
        phase=2,
        actions=[BUY, TRAIL_ON, HOLD],
        # 0 - 6 with the ATR of t; -20 of u is worse; then 25 - 4
        expect=[see(sl_price=L - 11), see(sl_price=L - 6), see(sl_price=L + 21)],
    ),
    Scenario(
        name="the trail is at least one tick away",
        rule="3.9",
        rows=[q(), b(0, 12, 0, 10), b(10, 15, 10, 14), q(14)],
        phase=2,
        params=use(trail_atr_mult=0.01),
        actions=[BUY, TRAIL_ON, HOLD],
        # max(1, round(0.08)) = 1: 9, the low 10 misses it; 13
        expect=[see(), see(sl_price=L + 13), see(position=1, sl_price=L + 13)],
    ),
    Scenario(
        name="the trail's distance is rounded half to even",
        rule="3.9",
        rows=[q(), b(0, 12, 0, 10), b(10, 15, 10, 10), q(10)],
        market=use(atr=[8, 10, 14, 10]),
        phase=2,
        params=use(trail_atr_mult=0.25),
        actions=[BUY, TRAIL_ON, HOLD],
        # 10 - round(2.5) = 8; 10 - round(3.5) = 6 is worse
        expect=[see(), see(sl_price=L + 8), see(sl_price=L + 8)],
    ),
    Scenario(
        name="a trail further away than the stop moves nothing: still a stop",
        rule="3.2",
        rows=[q(), q(), q(), b(0, 0, -11, 0)],
        phase=2,
        params=use(trail_atr_mult=5.0),
        actions=[BUY, TRAIL_ON, HOLD],
        expect=[
            see(),
            see(trailing_stop_active=T, sl_price=L - 11, stop_origin=0),
            see(exit_reason=STOP, trade_pnl_cents=-7_000),
        ],
    ),
    Scenario(
        name="a disabled trail keeps the stop where it is",
        rule="3.2",
        rows=[q(), b(0, 22, 0, 20), q(20), b(20, 32, 20, 30), b(30, 30, 12, 15)],
        phase=2,
        actions=[BUY, TRAIL_ON, TRAIL_OFF, HOLD],
        # the close 30 would have given 22
        expect=[
            see(),
            see(sl_price=L + 12, trailing_stop_active=T),
            see(sl_price=L + 12, trailing_stop_active=F, invalid_action=F, stop_origin=2),
            see(exit_reason=TRAIL, trade_pnl_cents=4_500),
        ],
    ),
    Scenario(
        name="disabling a trail that is not active is legal",
        rule="4",
        rows=[q(), q(), q()],
        phase=2,
        actions=[BUY, TRAIL_OFF],
        expect=[see(), see(invalid_action=F, trailing_stop_active=F, sl_price=L - 11)],
    ),
    Scenario(
        name="enabled again, the trail ratchets again",
        rule="3.2",
        rows=[q(), b(0, 22, 0, 20), q(20), b(20, 32, 20, 30), q(30), q(30)],
        phase=2,
        actions=[BUY, TRAIL_ON, TRAIL_OFF, TRAIL_ON],
        expect=[see(), see(sl_price=L + 12), see(sl_price=L + 12), see(sl_price=L + 22)],
    ),
    Scenario(
        name="enabled while active, the trail ratchets with the parameters of now",
        rule="3.2",
        rows=[q(), b(0, 22, 0, 20), q(20), q(20)],
        phase=2,
        changes={2: use(trail_atr_mult=0.5)},
        actions=[BUY, TRAIL_ON, TRAIL_ON],
        expect=[see(), see(sl_price=L + 12), see(invalid_action=F, sl_price=L + 16)],
    ),
    Scenario(
        name="the stop is called by what moved it last: first break-even, then the trail",
        rule="3.10",
        rows=[q(), b(0, 12, 0, 10), q(10), q(10), b(10, 10, 2, 5)],
        phase=2,
        actions=[BUY, TO_BE, TRAIL_ON, HOLD],
        # 10 - 8 = 2 is better than 1; out at 1: nothing won, -500
        expect=[
            see(),
            see(stop_origin=3, sl_price=L + 1),
            see(stop_origin=2, sl_price=L + 2, be_move_count=1),
            see(exit_reason=TRAIL, trade_pnl_cents=-500),
        ],
    ),
    Scenario(
        name="the stop is called by what moved it last: first the trail, then break-even",
        rule="3.10",
        rows=[q(), b(0, 5, 0, 4), q(4), q(4), b(4, 4, 1, 2)],
        phase=2,
        actions=[BUY, TRAIL_ON, TO_BE, HOLD],
        # 4 - 8 = -4, then 1; while trailing stays on
        expect=[
            see(),
            see(stop_origin=2, sl_price=L - 4),
            see(stop_origin=3, sl_price=L + 1, trailing_stop_active=T, be_move_count=1),
            see(exit_reason=BREAKEVEN, trade_pnl_cents=-1_000),
        ],
    ),
    Scenario(
        name="the best close so far starts at the entry",
        rule="3.9",
        rows=[q(), b(0, 20, -5, -5), b(-5, 20, -5, 3), q(0)],
        phase=2,
        actions=[BUY, HOLD, HOLD],
        # closes, not highs: -6 ticks, 2 ticks, -1 tick
        expect=[
            see(highest_profit_point=0),
            see(highest_profit_point=2),
            see(highest_profit_point=2),
        ],
    ),
    Scenario(
        name="a new position starts without a trail",
        rule="6",
        rows=[q(), b(0, 22, 0, 20), b(20, 20, 12, 15), q(15), q(15)],
        phase=2,
        actions=[BUY, TRAIL_ON, SELL, HOLD],
        expect=[
            see(),
            see(exit_reason=TRAIL, position=0, trailing_stop_active=F),
            see(position=-1, trailing_stop_active=F, stop_origin=0, sl_price=L + 26, be_move_count=0),
            see(trailing_stop_active=F),
        ],
    ),
    Scenario(
        name="liquidation before a wide stop, Phase 2",
        rule="3.4",
        rows=[q(), b(0, 0, -498, 0), b(0, 0, -499, 0)],
        phase=2,
        params=use(sl_atr_mult=100.0),
        actions=[BUY, HOLD],
        # D = 800; 249,750 above the floor: the 500th tick, -499; out at -500: 501 ticks
        expect=[
            see(position=1, floor=4_750_000, sl_price=L - 799),
            see(exit_reason=LIQUIDATION, done_reason=DRAWDOWN, trade_pnl_cents=-251_000),
        ],
        at_start=see(floor=4_750_000),
    ),
    Scenario(
        name="the liquidation level is nearer than a stop that the trail has moved",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -6, 0)],
        phase=2,
        params=use(trailing_dd_limit=30.0),
        actions=[BUY, TRAIL_ON],
        # trail -8; 2,750 above the floor: the 6th tick, -5; out at -6: 7 ticks, -3,500 - 500
        expect=[see(), see(exit_reason=LIQUIDATION, done_reason=DRAWDOWN, trade_pnl_cents=-4_000)],
    ),
]

NO_OPS = [
    Scenario(
        name="actions that would change nothing are masked",
        rule="4",
        rows=[q(), b(0, 12, 0, 10), q(10), q(10), q(10), q(10)],
        phase=2,
        params=use(mask_no_ops=True),
        actions=[BUY, TO_BE, TRAIL_ON, TRAIL_ON, TRAIL_OFF],
        # in a position with 9 ticks of profit; the trail would give 10 - 8 = 2
        expect=[
            see(mask=[T, F, F, T, T, F]),  # nothing is active yet
            see(mask=[T, F, F, F, T, F], sl_price=L + 1),  # the stop is at break-even
            see(mask=[T, F, F, F, F, T], sl_price=L + 2),  # the trail is on, and has moved what it could
            see(invalid_action=T, mask=[T, F, F, F, F, T]),
            see(invalid_action=F, mask=[T, F, F, F, T, F], trailing_stop_active=F),
        ],
        at_start=see(mask=[T, T, T, F, F, F]),
    ),
    Scenario(
        name="an active trail that could move again may be enabled",
        rule="4",
        rows=[q(), b(0, 22, 0, 20), q(20), q(20)],
        phase=2,
        params=use(mask_no_ops=True),
        changes={2: use(trail_atr_mult=0.5)},
        actions=[BUY, TRAIL_ON, TRAIL_ON],
        # under the old parameter the mask is closed; the new one gives 20 - 4 = 16
        expect=[
            see(mask=[T, F, F, T, T, F]),
            see(mask=[T, F, F, F, F, T], sl_price=L + 12),
            see(invalid_action=F, sl_price=L + 16, mask=[T, F, F, F, F, T]),
        ],
    ),
    Scenario(
        name="actions that would change nothing are masked, short",
        rule="4",
        rows=[q(), b(0, 0, -12, -10), q(-10), q(-10), q(-10)],
        phase=2,
        params=use(mask_no_ops=True),
        changes={3: use(trail_atr_mult=0.875)},
        actions=[SELL, TO_BE, TRAIL_ON, TRAIL_ON],
        # the trail gives -10 + 8 = -2, one tick better than the entry -1; then -10 + 7 = -3, one better still
        expect=[
            see(mask=[T, F, F, T, T, F]),
            see(mask=[T, F, F, F, T, F], sl_price=L - 1),
            see(mask=[T, F, F, F, F, T], sl_price=L - 2),
            see(invalid_action=F, mask=[T, F, F, F, F, T], sl_price=L - 3),
        ],
    ),
    Scenario(
        name="a move by one tick is a move",
        rule="4",
        rows=[q(), b(0, 22, 0, 20), q(20), q(20)],
        phase=2,
        params=use(mask_no_ops=True),
        changes={2: use(trail_atr_mult=0.875)},
        actions=[BUY, TRAIL_ON, TRAIL_ON],
        expect=[see(), see(sl_price=L + 12), see(invalid_action=F, sl_price=L + 13)],
    ),
    Scenario(
        name="break-even is masked behind a better stop",
        rule="4",
        rows=[q(), b(0, 22, 0, 20), q(20), q(20)],
        phase=2,
        params=use(mask_no_ops=True),
        actions=[BUY, TRAIL_ON, TO_BE],
        expect=[
            see(mask=[T, F, F, T, T, F]),
            see(mask=[T, F, F, F, F, T], sl_price=L + 12),
            see(invalid_action=T, sl_price=L + 12),
        ],
    ),
    Scenario(
        name="without mask_no_ops nothing of this is masked",
        rule="4",
        rows=[q(), b(0, 12, 0, 10), q(10), q(10), q(10)],
        phase=2,
        actions=[BUY, TO_BE, TRAIL_ON, TRAIL_ON],
        expect=[see(mask=ALL), see(mask=ALL), see(mask=ALL), see(mask=ALL, invalid_action=F)],
    ),
]

MANAGEMENT = [*TO_BREAK_EVEN, *TRAILS, *NO_OPS]
