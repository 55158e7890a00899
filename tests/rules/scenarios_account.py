"""Worked examples: the close, accounting, high-water mark, floor, breach (docs/rules.md, sections 3.5 to 3.8).

Conventions as in `scenarios_bar`. Must-flat is minute 1379 (16:59). Floors are those of a trailing limit of
15,000 dollars, 1,500,000 cents, unless a scenario sets its own.
"""

from __future__ import annotations

from tests.rules.scenario import (
    BREACH_CLOSE,
    BUY,
    DRAWDOWN,
    END_OF_DAY,
    HOLD,
    INTRABAR,
    NO_EXIT,
    NOT_DONE,
    SELL,
    SESSION_CLOSE,
    SESSION_END,
    STOP,
    TARGET,
    F,
    L,
    Scenario,
    T,
    b,
    q,
    see,
    use,
)

LAST_MINUTES = use(times=[1377, 1378, 1379])

CLOSE = [
    Scenario(
        name="flat by the close",
        rule="3.5",
        rows=[q(), b(0, 5, -1, 4), b(4, 8, 3, 6)],
        market=LAST_MINUTES,
        actions=[BUY, HOLD],
        # entry 1 at 16:58; out at 16:59 at 6 - 1 = 5: 4 ticks, 2,000 - 500; the bar of 17:00 is left unplayed
        expect=[
            see(position=1, equity_cents=5_001_250, mask=[T, F, F], terminated=F),
            see(position=0, exit_reason=SESSION_CLOSE, done_reason=SESSION_END, terminated=T, truncated=F)
            | see(trade_pnl_cents=1_500, balance_cents=5_001_500, equity_cents=5_001_500)
            | see(num_trades=1, winning_trades=1),
        ],
    ),
    Scenario(
        name="flat by the close, short, with slippage",
        rule="3.5",
        rows=[q(), b(0, 5, -1, 4), b(4, 8, 3, 6)],
        market=LAST_MINUTES,
        params=use(slippage_ticks=2),
        actions=[SELL, HOLD],
        # entry -2; out at 6 + 2 = 8: 10 ticks, -5,000 - 500
        expect=[see(position=-1), see(exit_reason=SESSION_CLOSE, trade_pnl_cents=-5_500)],
    ),
    Scenario(
        name="slippage at the close from the ATR of the exit's decision bar",
        rule="3.5",
        rows=[q(), b(0, 5, -1, 4), b(4, 8, 3, 6)],
        market=LAST_MINUTES | use(atr=[8, 12, 20]),
        params=use(slippage_atr_mult=0.5, slippage_ticks=0),
        actions=[BUY, HOLD],
        # entry 0 + 4; out at 6 - 6 = 0: 4 ticks, -2,000 - 500
        expect=[see(entry_price=L + 4), see(exit_reason=SESSION_CLOSE, trade_pnl_cents=-2_500)],
    ),
    Scenario(
        name="the stop comes before the close",
        rule="3.5",
        rows=[q(), q(), b(0, 8, -11, 6)],
        market=LAST_MINUTES,
        actions=[BUY, HOLD],
        expect=[
            see(position=1),
            see(exit_reason=STOP, done_reason=SESSION_END, terminated=T, trade_pnl_cents=-7_000),
        ],
    ),
    Scenario(
        name="early close at 13:15",
        rule="2",
        rows=[q(), q(), q(), b(0, 3, 0, 3)],
        market=use(times=[1152, 1153, 1154, 1155], scheduled_close=1155),
        actions=[HOLD, BUY, HOLD],
        # at 1153 the next bar is still before 1155; out at 3 - 1 = 2: 1 tick, 500 - 500.
        # 1155 is the last bar of the table as well: both flags
        expect=[
            see(mask=[T, T, T]),
            see(position=1, mask=[T, F, F], terminated=F),
            see(exit_reason=SESSION_CLOSE, done_reason=SESSION_END, terminated=T, truncated=T) | see(trade_pnl_cents=0),
        ],
        at_start=see(mask=[T, T, T]),
    ),
    Scenario(
        name="no entry into an early close",
        rule="4",
        rows=[q(), q(), q()],
        market=use(times=[1153, 1154, 1155], scheduled_close=1155),
        actions=[HOLD, BUY],
        expect=[
            see(mask=[T, F, F], terminated=F),
            see(invalid_action=T, done_reason=SESSION_END, exit_reason=NO_EXIT, terminated=T),
        ],
    ),
    Scenario(
        name="must-flat at rth_close",
        rule="2",
        rows=[q(), q(), q(), q()],
        market=use(times=[1317, 1318, 1319, 1320]),
        params=use(rth_close=16.0),  # minute 1320
        actions=[HOLD, HOLD, HOLD],
        expect=[
            see(mask=[T, T, T]),
            see(mask=[T, F, F], done_reason=NOT_DONE),
            see(done_reason=SESSION_END, terminated=T),
        ],
    ),
    Scenario(
        name="a hole over the close: flat at the first bar after it",
        rule="2",
        rows=[q(), q(), b(0, 4, 0, 4), q()],
        market=use(times=[1374, 1375, 1380, 930], sessions=[1, 1, 1, 2]),
        actions=[BUY, HOLD],
        # out at 4 - 1 = 3: 2 ticks, 1,000 - 500
        expect=[
            see(position=1, done_reason=NOT_DONE),
            see(exit_reason=SESSION_CLOSE, done_reason=SESSION_END, trade_pnl_cents=500),
        ],
    ),
    Scenario(
        name="the data jumps to another session: flat at the last bar before",
        rule="2",
        rows=[q(), q(), b(0, 4, 0, 4), q(), q()],
        market=use(times=[930, 931, 932, 930, 931], sessions=[1, 1, 1, 2, 2]),
        actions=[BUY, HOLD],
        expect=[
            see(position=1, done_reason=NOT_DONE),
            see(exit_reason=SESSION_CLOSE, done_reason=SESSION_END, trade_pnl_cents=500, terminated=T)
            | see(truncated=F),
        ],
    ),
    Scenario(
        name="the data jumps to the last bar of the table",
        rule="2",
        rows=[q(), b(0, 4, 0, 4), q()],
        market=use(times=[930, 1375, 930], sessions=[1, 1, 2], tail=False),
        actions=[BUY],
        # in at 1, out at 4 - 1 = 3 at 15:55
        expect=[
            see(exit_reason=SESSION_CLOSE, done_reason=SESSION_END, trade_pnl_cents=500, terminated=T)
            | see(truncated=F),
        ],
    ),
    Scenario(
        name="no mask foresees that the data jumps",
        rule="2",
        rows=[q(), q(), q(), q(), q()],
        market=use(times=[930, 931, 932, 930, 931], sessions=[1, 1, 1, 2, 2]),
        actions=[HOLD, BUY],
        # in at 1, out at -1 in the same bar: -1,000 - 500
        expect=[
            see(mask=[T, T, T]),
            see(invalid_action=F, exit_reason=SESSION_CLOSE, trade_pnl_cents=-1_500, position=0),
        ],
    ),
]

ACCOUNTING = [
    Scenario(
        name="a trade that only earns its costs does not win",
        rule="3.6",
        rows=[q(), q(), b(0, 3, 0, 3)],
        market=LAST_MINUTES,
        actions=[BUY, HOLD],
        # out at 2: 1 tick, 500 - 500
        expect=[
            see(winning_trades=0),
            see(trade_pnl_cents=0, num_trades=1, winning_trades=0, balance_cents=5_000_000),
        ],
    ),
    Scenario(
        name="dollars become whole cents, half to even downwards",
        rule="1",
        rows=[q(), q(), b(0, 3, 0, 3)],
        market=LAST_MINUTES,
        params=use(commission_per_side=0.125),
        actions=[BUY, HOLD],
        # 12.5 to 12 cents: 500 - 24
        expect=[see(balance_cents=4_999_988), see(trade_pnl_cents=476, balance_cents=5_000_476)],
    ),
    Scenario(
        name="dollars become whole cents, half to even upwards",
        rule="1",
        rows=[q(), q(), b(0, 3, 0, 3)],
        market=LAST_MINUTES,
        params=use(commission_per_side=0.375),
        actions=[BUY, HOLD],
        # 37.5 to 38 cents: 500 - 76
        expect=[see(balance_cents=4_999_962), see(trade_pnl_cents=424, balance_cents=5_000_424)],
    ),
    Scenario(
        name="a trade wins with a few cents",
        rule="3.6",
        rows=[q(), q(), b(0, 3, 0, 3)],
        market=LAST_MINUTES,
        params=use(commission_per_side=2.49),
        actions=[BUY, HOLD],
        expect=[
            see(balance_cents=4_999_751),
            see(trade_pnl_cents=2, num_trades=1, winning_trades=1, balance_cents=5_000_002),
        ],
    ),
    Scenario(
        name="a trade wins with the first cent",
        rule="3.6",
        rows=[q(), q(), b(0, 3, 0, 3)],
        market=LAST_MINUTES,
        changes={1: use(commission_per_side=2.49)},
        actions=[BUY, HOLD],
        # 500 - 250 - 249
        expect=[see(balance_cents=4_999_750), see(trade_pnl_cents=1, winning_trades=1)],
    ),
    Scenario(
        name="two trades, one after the other",
        rule="3.6",
        rows=[q(), b(0, 38, 0, 37), q(37), b(37, 37, 26, 30)],
        actions=[BUY, BUY, HOLD],
        # +17,500; entry 38, stop 26 fills at 25: -7,000
        expect=[
            see(trade_pnl_cents=17_500, num_trades=1, mask=[T, T, T]),
            see(trade_pnl_cents=0, position=1, entry_price=L + 38, entry_balance=5_017_500),
            see(trade_pnl_cents=-7_000, balance_cents=5_010_500, num_trades=2, winning_trades=1),
        ],
    ),
]

RISE = [q(), b(0, 30, 0, 10), b(10, 20, 5, 8)]  # below the target 37

HIGH_WATER = [
    Scenario(
        name="high-water mark at the closes",
        rule="3.8",
        rows=RISE,
        actions=[BUY, HOLD],
        # 9 ticks above the entry, then 7
        expect=[
            see(equity_cents=5_004_250, high_water_mark=5_004_250, floor=3_504_250),
            see(equity_cents=5_003_250, high_water_mark=5_004_250, floor=3_504_250),
        ],
    ),
    Scenario(
        name="high-water mark within the bar",
        rule="3.8",
        rows=RISE,
        params=use(high_water_mode=INTRABAR),
        actions=[BUY, HOLD],
        # the high 30 is 29 ticks above the entry: 4,999,750 + 14,500
        expect=[
            see(equity_cents=5_004_250, high_water_mark=5_014_250, floor=3_514_250),
            see(equity_cents=5_003_250, high_water_mark=5_014_250, floor=3_514_250),
        ],
    ),
    Scenario(
        name="high-water mark within the bar, short",
        rule="3.8",
        rows=[q(), b(0, 5, -30, -10)],
        params=use(high_water_mode=INTRABAR),
        actions=[SELL],
        expect=[see(equity_cents=5_004_250, high_water_mark=5_014_250)],
    ),
    Scenario(
        name="high-water mark within the bar ends at the target",
        rule="3.8",
        rows=[q(), b(0, 60, 0, 10)],
        params=use(high_water_mode=INTRABAR),
        actions=[BUY],
        # 36 ticks before the second commission: 4,999,750 + 18,000
        expect=[see(exit_reason=TARGET, equity_cents=5_017_500, high_water_mark=5_017_750, floor=3_517_750)],
    ),
    Scenario(
        name="high-water mark within the bar, gapped over the target",
        rule="3.8",
        rows=[q(), q(), b(50, 60, 45, 55)],
        params=use(high_water_mode=INTRABAR),
        actions=[BUY, HOLD],
        expect=[see(high_water_mark=5_000_000), see(exit_reason=TARGET, high_water_mark=5_017_750)],
    ),
    Scenario(
        name="the better extreme of a bar that stops does not count",
        rule="3.8",
        rows=[q(), b(0, 30, -11, 0)],
        params=use(high_water_mode=INTRABAR),
        actions=[BUY],
        expect=[see(exit_reason=STOP, high_water_mark=5_000_000, floor=3_500_000)],
    ),
    Scenario(
        name="an ambiguous bar taken as a target counts up to the target",
        rule="3.8",
        rows=[q(), b(0, 60, -11, 0)],
        params=use(high_water_mode=INTRABAR, stop_first=False),
        actions=[BUY],
        expect=[see(exit_reason=TARGET, ambiguous_bar=T, high_water_mark=5_017_750)],
    ),
    Scenario(
        name="the better extreme of a bar closed at the end of the session counts",
        rule="3.8",
        rows=[q(), q(), b(0, 30, 0, 0)],
        market=LAST_MINUTES,
        params=use(high_water_mode=INTRABAR),
        actions=[BUY, HOLD],
        # out at -1: 2 ticks, -1,000 - 500
        expect=[
            see(high_water_mark=5_000_000),
            see(exit_reason=SESSION_CLOSE, equity_cents=4_998_500, high_water_mark=5_014_250),
        ],
    ),
    Scenario(
        name="a flat account has no better extreme",
        rule="3.8",
        rows=[q(), b(0, 300, 0, 0)],
        params=use(high_water_mode=INTRABAR),
        actions=[HOLD],
        expect=[see(high_water_mark=5_000_000)],
    ),
    Scenario(
        name="high-water mark at the end of the day",
        rule="3.8",
        rows=[q(), b(0, 30, 0, 20), b(20, 30, 15, 25), q(25), q(25)],
        market=use(times=[1376, 1377, 1378, 1379, 930], sessions=[1, 1, 1, 1, 2]),
        params=use(high_water_mode=END_OF_DAY, terminate_at_session_end=False),
        actions=[BUY, HOLD, HOLD],
        # valued 19 and 24 ticks above the entry; out at 24: 23 ticks, 11,500 - 500
        expect=[
            see(equity_cents=5_009_250, high_water_mark=5_000_000, floor=3_500_000),
            see(equity_cents=5_011_750, high_water_mark=5_000_000, floor=3_500_000),
            see(equity_cents=5_011_000, high_water_mark=5_011_000, floor=3_511_000),
        ],
    ),
    Scenario(
        name="a data jump ends the day as well",
        rule="3.8",
        rows=[q(), q(), b(0, 30, 0, 25), q(25), q(25)],
        market=use(sessions=[1, 1, 1, 2, 2]),
        params=use(high_water_mode=END_OF_DAY),
        actions=[BUY, HOLD],
        expect=[see(high_water_mark=5_000_000), see(high_water_mark=5_011_000, done_reason=SESSION_END)],
    ),
]

FLOOR = [
    Scenario(
        name="the floor follows the high-water mark",
        rule="3.8",
        rows=[q(), b(0, 38, 0, 37)],
        params=use(trailing_dd_limit=50.0),
        actions=[BUY],
        expect=[see(equity_cents=5_017_500, high_water_mark=5_017_500, floor=5_012_500)],
        at_start=see(floor=4_995_000),
    ),
    Scenario(
        name="the floor stops at the lock",
        rule="3.8",
        rows=[q(), b(0, 38, 0, 37)],
        params=use(trailing_dd_limit=50.0, floor_lock=100.0),
        actions=[BUY],
        expect=[see(high_water_mark=5_017_500, floor=5_010_000, terminated=F)],
        at_start=see(floor=4_995_000),
    ),
    Scenario(
        name="the floor stops at the start balance",
        rule="3.8",
        rows=[q(), b(0, 38, 0, 37)],
        params=use(trailing_dd_limit=50.0, floor_lock=0.0),
        actions=[BUY],
        expect=[see(high_water_mark=5_017_500, floor=5_000_000)],
        at_start=see(floor=4_995_000),
    ),
    Scenario(
        name="a lock below the first floor",
        rule="3.8",
        rows=[q(), q()],
        params=use(trailing_dd_limit=50.0, floor_lock=-80.0),
        actions=[HOLD],
        expect=[see(floor=4_992_000, terminated=F)],
        at_start=see(floor=4_992_000),
    ),
    Scenario(
        name="the floor never falls, not by a loss and not by a lock",
        rule="3.8",
        rows=[q(), b(0, 38, 0, 37), q(37)],
        params=use(trailing_dd_limit=100.0),
        changes={1: use(floor_lock=0.0)},
        actions=[BUY, BUY],
        # 5,017,500 - 10,000; the second entry costs 250 + 500
        expect=[see(floor=5_007_500), see(floor=5_007_500, equity_cents=5_016_750)],
    ),
    Scenario(
        name="the trailing limit is that of the reset",
        rule="3",
        rows=[q(), q(), q()],
        changes={0: use(trailing_dd_limit=1.0), 1: use(trailing_dd_limit=100.0)},
        actions=[BUY, HOLD],
        expect=[see(floor=3_500_000, position=1), see(floor=3_500_000, position=1, done_reason=NOT_DONE)],
    ),
]

BREACH = [
    Scenario(
        name="a floor raised within the bar is broken at its close: a winning trade ends the episode",
        rule="3.8",
        rows=[q(), b(0, 21, 0, 5)],
        params=use(trailing_dd_limit=50.0, high_water_mode=INTRABAR),
        actions=[BUY],
        # 20 ticks at the high: 5,009,750, floor 5,004,750; 4 ticks at the close: 5,001,750 is below it;
        # closed at 5 - 1 = 4: 3 ticks, 1,500 - 500
        expect=[
            see(exit_reason=BREACH_CLOSE, done_reason=DRAWDOWN, terminated=T, position=0)
            | see(high_water_mark=5_009_750, floor=5_004_750, trade_pnl_cents=1_000)
            | see(balance_cents=5_001_000, equity_cents=5_001_000, num_trades=1, winning_trades=1)
        ],
    ),
    Scenario(
        name="a breach is closed with slippage, short",
        rule="3.8",
        rows=[q(), b(0, 0, -21, -5)],
        params=use(trailing_dd_limit=50.0, high_water_mode=INTRABAR, slippage_ticks=3),
        actions=[SELL],
        # entry -3; 18 ticks at the low: 5,008,750, floor 5,003,750; 2 ticks at the close: 5,000,750;
        # closed at -5 + 3 = -2: -1 tick, -500 - 500
        expect=[
            see(exit_reason=BREACH_CLOSE, done_reason=DRAWDOWN, trade_pnl_cents=-1_000, floor=5_003_750)
            | see(equity_cents=4_999_000, winning_trades=0)
        ],
    ),
    Scenario(
        name="equity exactly at the floor is no breach",
        rule="3.8",
        rows=[q(), q(), b(0, 0, -8, -8)],
        market=LAST_MINUTES,
        params=use(trailing_dd_limit=55.0),
        actions=[BUY, HOLD],
        # level: 5,250 above the floor, the 11th tick, -10, is not reached;
        # out at -9: 10 ticks, -5,000 - 500 = 4,994,500, the floor
        expect=[
            see(position=1),
            see(exit_reason=SESSION_CLOSE, done_reason=SESSION_END) | see(equity_cents=4_994_500, floor=4_994_500),
        ],
    ),
    Scenario(
        name="a cent below the floor is a breach, and comes before the session's end",
        rule="3.8",
        rows=[q(), q(), b(0, 0, -8, -8)],
        market=LAST_MINUTES,
        params=use(trailing_dd_limit=54.99),
        actions=[BUY, HOLD],
        expect=[
            see(position=1),
            see(exit_reason=SESSION_CLOSE, done_reason=DRAWDOWN, equity_cents=4_994_500, floor=4_994_501)
            | see(terminated=T),
        ],
    ),
    Scenario(
        name="a stop exactly at the floor",
        rule="3.8",
        rows=[q(), q(), b(0, 0, -11, 0)],
        params=use(trailing_dd_limit=70.0),
        actions=[BUY, HOLD],
        expect=[
            see(position=1),
            see(exit_reason=STOP, done_reason=NOT_DONE, equity_cents=4_993_000, floor=4_993_000),
        ],
    ),
    Scenario(
        name="a stop a cent below the floor",
        rule="3.8",
        rows=[q(), q(), b(0, 0, -11, 0)],
        params=use(trailing_dd_limit=69.99),
        actions=[BUY, HOLD],
        expect=[
            see(position=1),
            see(exit_reason=STOP, done_reason=DRAWDOWN, equity_cents=4_993_000, floor=4_993_001),
        ],
    ),
]

ACCOUNT = [*CLOSE, *ACCOUNTING, *HIGH_WATER, *FLOOR, *BREACH]
