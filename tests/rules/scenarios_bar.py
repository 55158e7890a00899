"""Worked examples: what the outcome bar does to a position (docs/rules.md, section 3.4).

Unless said otherwise as in `scenarios_entry`: entry one tick worse than the open 0, so a long has entry 1,
stop -11, target 37, a short entry -1, stop 11, target -37; a stop fills one tick worse; a tick is 500 cents;
a round trip costs 500 cents. Prices in comments are distances from L.
"""

from __future__ import annotations

from tests.rules.scenario import (
    BUY,
    DAILY_EXIT,
    DAILY_LOSS,
    DRAWDOWN,
    HOLD,
    INF,
    LIQUIDATION,
    NO_EXIT,
    NOT_DONE,
    SELL,
    STOP,
    TARGET,
    F,
    Scenario,
    T,
    b,
    q,
    see,
    use,
)
from trading_gymnax.data.contracts import ContractSpec

STOPPED = see(exit_reason=STOP, position=0, trade_pnl_cents=-7_000, balance_cents=4_993_000)
# long: stop -11 fills at -12, 13 ticks below the entry: -6,500 - 500
WON = see(exit_reason=TARGET, position=0, trade_pnl_cents=17_500, balance_cents=5_017_500)
# long: target 37 is 36 ticks above the entry: 18,000 - 500
OPEN = see(exit_reason=NO_EXIT, done_reason=NOT_DONE, trade_pnl_cents=0)

STOPS = [
    Scenario(
        name="long stop at the touch",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -11, -5)],
        actions=[BUY, HOLD],
        # rewards in units of 60 dollars: -250 - 500 cents; then from 4,999,250 to 4,993,000
        expect=[
            OPEN | see(position=1, equity_cents=4_999_250, reward=-0.125),
            STOPPED
            | see(equity_cents=4_993_000, num_trades=1, winning_trades=0, ambiguous_bar=F)
            | see(reward=-6_250 / 6_000, done_reason=NOT_DONE, mask=[T, T, T])
            | see(entry_price=0, sl_price=0, tp_price=0, contracts=0, initial_stop_ticks=0)
            | see(position_entry_step=0, entry_balance=0),
        ],
    ),
    Scenario(
        name="long stop, missed by a tick",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -10, -10)],
        actions=[BUY, HOLD],
        expect=[OPEN, OPEN | see(position=1, equity_cents=4_994_250)],  # 11 ticks below the entry
    ),
    Scenario(
        name="short stop at the touch",
        rule="3.4",
        rows=[q(), q(), b(0, 11, 0, 5)],
        actions=[SELL, HOLD],
        expect=[OPEN | see(position=-1), STOPPED],  # filled at 12
    ),
    Scenario(
        name="short stop, missed by a tick",
        rule="3.4",
        rows=[q(), q(), b(0, 10, 0, 5)],
        actions=[SELL, HOLD],
        expect=[OPEN, OPEN | see(position=-1)],
    ),
    Scenario(
        name="gap through a long stop fills at the open",
        rule="3.4",
        rows=[q(), q(), b(-20, -15, -30, -18)],
        actions=[BUY, HOLD],
        # -20 - 1 = -21: 22 ticks lost, -11,000 - 500
        expect=[OPEN, see(exit_reason=STOP, trade_pnl_cents=-11_500, balance_cents=4_988_500)],
    ),
    Scenario(
        name="gap through a short stop fills at the open",
        rule="3.4",
        rows=[q(), q(), b(20, 30, 15, 18)],
        actions=[SELL, HOLD],
        expect=[OPEN, see(exit_reason=STOP, trade_pnl_cents=-11_500, balance_cents=4_988_500)],
    ),
    Scenario(
        name="an open exactly at the stop",
        rule="3.4",
        rows=[q(), q(), b(-11, 40, -11, 30)],
        actions=[BUY, HOLD],
        expect=[OPEN, STOPPED | see(ambiguous_bar=F)],  # the target came later in the bar
    ),
    Scenario(
        name="stop slippage in ticks",
        rule="3.3",
        rows=[q(), q(), b(0, 0, -11, 0)],
        params=use(stop_slippage_ticks=5),
        actions=[BUY, HOLD],
        expect=[OPEN, see(exit_reason=STOP, trade_pnl_cents=-9_000)],  # filled at -16: 17 ticks
    ),
    Scenario(
        name="stop slippage from the ATR of the exit's decision bar",
        rule="3.3",
        rows=[q(), q(), b(0, 0, -11, 0)],
        market=use(atr=[8, 10, 14]),
        params=use(stop_slippage_ticks=2, stop_slippage_atr_mult=0.25),
        actions=[BUY, HOLD],
        # 2 + round(0.25 * 10 = 2.5) = 4: filled at -15: 16 ticks, -8,000 - 500
        expect=[OPEN, see(exit_reason=STOP, trade_pnl_cents=-8_500, balance_cents=4_991_500)],
    ),
    Scenario(
        name="a fill so bad that the open lies beyond its own stop",
        rule="3.4",
        rows=[q(), q()],
        market=use(atr=1.0),
        params=use(slippage_ticks=20),
        actions=[BUY],
        # D = 4: entry 20, stop 16; the open 0 is beyond: out at -1, 21 ticks: -10,500 - 500
        expect=[see(exit_reason=STOP, position=0, trade_pnl_cents=-11_000, balance_cents=4_989_000)],
    ),
]

TARGETS = [
    Scenario(
        name="a long target must be traded through",
        rule="3.4",
        rows=[q(), q(), b(0, 37, 0, 30), b(30, 38, 30, 35)],
        actions=[BUY, HOLD, HOLD],
        expect=[
            OPEN,
            OPEN | see(position=1, equity_cents=5_014_250),  # 29 ticks
            WON | see(equity_cents=5_017_500, num_trades=1, winning_trades=1, ambiguous_bar=F),
        ],
    ),
    Scenario(
        name="a short target must be traded through",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -37, -30), b(-30, -30, -38, -35)],
        actions=[SELL, HOLD, HOLD],
        expect=[OPEN, OPEN | see(position=-1, equity_cents=5_014_250), WON],
    ),
    Scenario(
        name="a target at the touch",
        rule="3.4",
        rows=[q(), q(), b(0, 37, 0, 30)],
        params=use(target_through_ticks=0),
        actions=[BUY, HOLD],
        expect=[OPEN, WON],
    ),
    Scenario(
        name="a target three ticks through",
        rule="3.4",
        rows=[q(), q(), b(0, 39, 0, 30), b(30, 40, 30, 35)],
        params=use(target_through_ticks=3),
        actions=[BUY, HOLD, HOLD],
        expect=[OPEN, OPEN | see(position=1), WON],
    ),
    Scenario(
        name="gap over a long target: never better than the target",
        rule="3.4",
        rows=[q(), q(), b(50, 60, 45, 55)],
        actions=[BUY, HOLD],
        expect=[OPEN, WON],
    ),
    Scenario(
        name="gap over a short target",
        rule="3.4",
        rows=[q(), q(), b(-50, -45, -60, -55)],
        actions=[SELL, HOLD],
        expect=[OPEN, WON],
    ),
    Scenario(
        name="an open exactly at the target needs no trading through",
        rule="3.4",
        rows=[q(), q(), b(37, 37, 30, 30)],
        actions=[BUY, HOLD],
        expect=[OPEN, WON],
    ),
    Scenario(
        name="an open at the target comes before the stop of the same bar",
        rule="3.4",
        rows=[q(), q(), b(37, 40, -20, 0)],
        actions=[BUY, HOLD],
        expect=[OPEN, WON | see(ambiguous_bar=F)],
    ),
    Scenario(
        name="an open beyond the target comes before the stop of the same bar",
        rule="3.4",
        rows=[q(), q(), b(38, 40, -20, 0)],
        actions=[BUY, HOLD],
        expect=[OPEN, WON | see(ambiguous_bar=F)],
    ),
]

AMBIGUOUS = [
    Scenario(
        name="stop and target in one bar: the stop came first",
        rule="3.4",
        rows=[q(), q(), b(0, 38, -11, 0)],
        actions=[BUY, HOLD],
        expect=[OPEN | see(ambiguous_bar=F), STOPPED | see(ambiguous_bar=T)],
    ),
    Scenario(
        name="stop and target in one bar: the target came first",
        rule="3.4",
        rows=[q(), q(), b(0, 38, -11, 0)],
        params=use(stop_first=False),
        actions=[BUY, HOLD],
        expect=[OPEN, WON | see(ambiguous_bar=T)],
    ),
    Scenario(
        name="stop and target in one bar, short",
        rule="3.4",
        rows=[q(), q(), b(0, 11, -38, 0)],
        actions=[SELL, HOLD],
        expect=[OPEN, STOPPED | see(ambiguous_bar=T)],
    ),
    Scenario(
        name="stop and target in one bar, short, the target first",
        rule="3.4",
        rows=[q(), q(), b(0, 11, -38, 0)],
        params=use(stop_first=False),
        actions=[SELL, HOLD],
        expect=[OPEN, WON | see(ambiguous_bar=T)],
    ),
    Scenario(
        name="a target only touched does not make the bar ambiguous",
        rule="3.4",
        rows=[q(), q(), b(0, 37, -11, 0)],
        params=use(stop_first=False),
        actions=[BUY, HOLD],
        expect=[OPEN, STOPPED | see(ambiguous_bar=F)],
    ),
    Scenario(
        name="the liquidation level can be the stop of an ambiguous bar",
        rule="3.4",
        rows=[q(), q(), b(0, 38, -9, 0)],
        params=use(trailing_dd_limit=50.0),
        actions=[BUY, HOLD],
        # level -9 (see "liquidation at the first tick below the floor"): out at -10
        expect=[OPEN, see(ambiguous_bar=T, exit_reason=LIQUIDATION, trade_pnl_cents=-6_000)],
    ),
]

ENTRY_BAR = [
    Scenario(
        name="a position entered at the open lives through the bar: its stop",
        rule="3.4",
        rows=[q(), b(0, 2, -11, 0)],
        actions=[BUY],
        expect=[STOPPED | see(num_trades=1, ambiguous_bar=F, reward=-7_000 / 6_000)],
    ),
    Scenario(
        name="a position entered at the open lives through the bar: its target",
        rule="3.4",
        rows=[q(), b(0, 38, 0, 38)],
        actions=[BUY],
        expect=[WON | see(num_trades=1, winning_trades=1, reward=17_500 / 6_000)],
    ),
    Scenario(
        name="a position entered at the open lives through the bar: both",
        rule="3.4",
        rows=[q(), b(0, 11, -38, 0)],
        actions=[SELL],
        expect=[STOPPED | see(ambiguous_bar=T)],
    ),
    Scenario(
        name="filled at the close, gapped through the stop",
        rule="3.4",
        rows=[q(), b(-20, -15, -30, -18)],
        params=use(fill_at_close=True),
        actions=[BUY],
        # entry 0 + 1, stop -11, out at -21: 22 ticks
        expect=[see(exit_reason=STOP, trade_pnl_cents=-11_500, balance_cents=4_988_500)],
    ),
    Scenario(
        name="filled at the close, gapped over the target",
        rule="3.4",
        rows=[q(), b(-50, -45, -60, -55)],
        params=use(fill_at_close=True),
        actions=[SELL],
        expect=[WON],
    ),
    Scenario(
        name="filled at the close, stopped within the bar",
        rule="3.4",
        rows=[q(), b(-5, 0, -11, 0)],
        params=use(fill_at_close=True),
        actions=[BUY],
        expect=[STOPPED],
    ),
]

LIQUIDATIONS = [
    Scenario(
        name="liquidation at the first tick below the floor",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -8, 0), b(0, 0, -9, 0)],
        params=use(trailing_dd_limit=50.0),
        actions=[BUY, HOLD, HOLD],
        # floor 4,995,000, balance 4,999,750: 4,750 above. 9 ticks leave 4,995,250, the 10th 4,994,750:
        # level 1 - 10 = -9, nearer than the stop -11; filled at -10: 11 ticks, -5,500 - 500
        expect=[
            OPEN,
            OPEN | see(position=1, equity_cents=4_999_250, floor=4_995_000),
            see(exit_reason=LIQUIDATION, done_reason=DRAWDOWN, terminated=T, truncated=F, position=0)
            | see(trade_pnl_cents=-6_000, equity_cents=4_994_000, reward=-5_250 / 6_000),
        ],
    ),
    Scenario(
        name="equity exactly at the floor is not yet liquidation",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -9, -9), b(-9, -9, -10, -10)],
        params=use(trailing_dd_limit=50.0, commission_per_side=0.0),
        actions=[BUY, HOLD, HOLD],
        # 10 ticks leave exactly 4,995,000: the 11th is below; level -10, filled at -11: 12 ticks
        expect=[
            OPEN,
            OPEN | see(position=1, equity_cents=4_995_000, terminated=F),
            see(exit_reason=LIQUIDATION, done_reason=DRAWDOWN, trade_pnl_cents=-6_000),
        ],
    ),
    Scenario(
        name="liquidation of a short",
        rule="3.4",
        rows=[q(), q(), b(0, 8, 0, 0), b(0, 9, 0, 0)],
        params=use(trailing_dd_limit=50.0),
        actions=[SELL, HOLD, HOLD],
        expect=[
            OPEN,
            OPEN | see(position=-1),
            see(exit_reason=LIQUIDATION, done_reason=DRAWDOWN, trade_pnl_cents=-6_000),
        ],
    ),
    Scenario(
        name="liquidation where a tick is worth a single cent",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -7, 0), b(0, 0, -8, 0)],
        market=use(symbol=ContractSpec("CENT", 0.01, 1.0, 0.0, calendar=None)),
        params=use(trailing_dd_limit=0.08),
        actions=[BUY, HOLD, HOLD],
        # 8 ticks leave exactly the floor of 4,999,992: the 9th is below; level -8, filled at -9: 10 ticks
        expect=[
            see(position=1, equity_cents=4_999_999),
            see(position=1, equity_cents=4_999_999, floor=4_999_992),
            see(exit_reason=LIQUIDATION, done_reason=DRAWDOWN, trade_pnl_cents=-10, equity_cents=4_999_990),
        ],
    ),
    Scenario(
        name="liquidation of two contracts",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -8, 0), b(0, 0, -9, 0)],
        params=use(trailing_dd_limit=100.0, position_size=2),
        actions=[BUY, HOLD, HOLD],
        # floor 4,990,000, balance 4,999,500; a tick is 1,000: the 10th is below; -11,000 - 1,000
        expect=[
            OPEN,
            OPEN | see(position=1),
            see(exit_reason=LIQUIDATION, trade_pnl_cents=-12_000, equity_cents=4_988_000),
        ],
    ),
    Scenario(
        name="gap through the liquidation level",
        rule="3.4",
        rows=[q(), q(), b(-30, -25, -35, -28)],
        params=use(trailing_dd_limit=50.0),
        actions=[BUY, HOLD],
        # both levels lie above the open; the nearer one was the liquidation: out at -31, 32 ticks
        expect=[OPEN, see(exit_reason=LIQUIDATION, done_reason=DRAWDOWN, trade_pnl_cents=-16_500)],
    ),
    Scenario(
        name="the commission alone goes below the floor",
        rule="3.4",
        rows=[q(), q()],
        params=use(trailing_dd_limit=1.0),
        actions=[BUY],
        # floor 4,999,900, balance 4,999,750: floor(-150 / 500) + 1 = 0 ticks: the level is the entry, 1;
        # the open 0 is beyond it: out at -1, 2 ticks
        expect=[
            see(exit_reason=LIQUIDATION, done_reason=DRAWDOWN, trade_pnl_cents=-1_500, terminated=T)
            | see(equity_cents=4_998_500)
        ],
    ),
    Scenario(
        name="stop and liquidation at one tick: called a stop, and the floor is broken all the same",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -11, 0)],
        params=use(trailing_dd_limit=60.0),
        actions=[BUY, HOLD],
        # 5,750 above the floor: the 12th tick, -11, is the stop's too
        expect=[OPEN, STOPPED | see(done_reason=DRAWDOWN, terminated=T, floor=4_994_000)],
    ),
    Scenario(
        name="the stop is nearer than the liquidation level",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -13, 0)],
        params=use(trailing_dd_limit=70.5),
        actions=[BUY, HOLD],
        # 6,800 above the floor: the 14th tick, -13, is reached, but the stop -11 was first; 4,993,000 is
        # above the floor of 4,992,950
        expect=[OPEN, STOPPED | see(done_reason=NOT_DONE, terminated=F)],
    ),
    Scenario(
        name="no liquidation without a trailing limit",
        rule="1",
        rows=[q(), b(0, 0, -700, -700)],
        params=use(trailing_dd_limit=INF, position_size=10, sl_atr_mult=100.0, reward_scale=60.0),
        actions=[BUY],
        # D = 800; 701 ticks of 5,000 cents and a commission of 2,500
        expect=[OPEN | see(position=1, equity_cents=1_492_500, terminated=F)],
    ),
    Scenario(
        name="the same loss with the trailing limit",
        rule="3.4",
        rows=[q(), b(0, 0, -700, -700)],
        params=use(position_size=10, sl_atr_mult=100.0, reward_scale=60.0),
        actions=[BUY],
        # floor 3,500,000, balance 4,997,500: 1,497,500 / 5,000 = 299.5: the 300th tick, 1 - 300 = -299;
        # filled at -300: 301 * 5,000 + 5,000
        expect=[see(exit_reason=LIQUIDATION, trade_pnl_cents=-1_510_000, equity_cents=3_490_000)],
    ),
]

DAILY = [
    Scenario(
        name="daily limit at the first tick that reaches it",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -8, 0), b(0, 0, -9, 0)],
        params=use(daily_loss_limit=50.0),
        actions=[BUY, HOLD, HOLD],
        # the entry commission is a loss of the day: 4,750 left, ceil(9.5) = 10 ticks: level -9, filled at -10
        expect=[
            OPEN,
            OPEN | see(position=1, day_over=F),
            see(exit_reason=DAILY_EXIT, done_reason=DAILY_LOSS, terminated=T, trade_pnl_cents=-6_000)
            | see(equity_cents=4_994_000, day_over=T),
        ],
    ),
    Scenario(
        name="a loss of exactly the daily limit reaches it",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -8, 0), b(0, 0, -9, 0)],
        params=use(daily_loss_limit=50.0, commission_per_side=0.0),
        actions=[BUY, HOLD, HOLD],
        # 10 ticks are exactly 5,000: level -9, one tick before the liquidation of an equal trailing limit
        expect=[
            OPEN,
            OPEN | see(position=1),
            see(exit_reason=DAILY_EXIT, done_reason=DAILY_LOSS, trade_pnl_cents=-5_500),
        ],
    ),
    Scenario(
        name="daily limit of a short",
        rule="3.4",
        rows=[q(), q(), b(0, 9, 0, 0)],
        params=use(daily_loss_limit=50.0),
        actions=[SELL, HOLD],
        expect=[OPEN, see(exit_reason=DAILY_EXIT, done_reason=DAILY_LOSS, trade_pnl_cents=-6_000)],
    ),
    Scenario(
        name="gap through the daily level",
        rule="3.4",
        rows=[q(), q(), b(-10, -5, -20, -5)],
        params=use(daily_loss_limit=50.0),
        actions=[BUY, HOLD],
        # level -9; the open -10 is beyond it (not beyond the stop): out at -11, 12 ticks
        expect=[OPEN, see(exit_reason=DAILY_EXIT, trade_pnl_cents=-6_500)],
    ),
    Scenario(
        name="liquidation and daily limit at one tick: liquidation",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -9, 0)],
        params=use(daily_loss_limit=50.0, trailing_dd_limit=50.0),
        actions=[BUY, HOLD],
        # both levels are -9; the daily limit is reached too, but drawdown is the first match
        expect=[OPEN, see(exit_reason=LIQUIDATION, done_reason=DRAWDOWN, trade_pnl_cents=-6_000)],
    ),
    Scenario(
        name="stop and daily limit at one tick: a stop, and the day is over all the same",
        rule="3.4",
        rows=[q(), q(), b(0, 0, -11, 0)],
        params=use(daily_loss_limit=60.0),
        actions=[BUY, HOLD],
        # 5,750 left: ceil(11.5) = 12 ticks, the stop's own tick; 7,000 lost
        expect=[OPEN, STOPPED | see(done_reason=DAILY_LOSS, terminated=T)],
    ),
    Scenario(
        name="the cost of getting out reaches the daily limit",
        rule="3.10",
        rows=[q(), q(), b(0, 0, -11, 0)],
        params=use(daily_loss_limit=70.0),
        actions=[BUY, HOLD],
        # level: 6,750 left, the 14th tick; the stop at the 12th loses exactly 7,000 with slippage and cost
        expect=[OPEN, STOPPED | see(done_reason=DAILY_LOSS, terminated=T)],
    ),
    Scenario(
        name="a cent more of daily limit is not reached",
        rule="3.10",
        rows=[q(), q(), b(0, 0, -11, 0)],
        params=use(daily_loss_limit=70.01),
        actions=[BUY, HOLD],
        expect=[OPEN, STOPPED | see(done_reason=NOT_DONE, terminated=F, mask=[T, T, T])],
    ),
    Scenario(
        name="what the day has lost before brings the daily level nearer",
        rule="3.4",
        rows=[q(), b(0, 0, -11, 0), q(), b(0, 0, -4, 0), b(0, 0, -5, 0)],
        params=use(daily_loss_limit=100.0),
        actions=[BUY, BUY, HOLD, HOLD],
        # 4,993,000 after the first stop, 4,992,750 after the second entry: 2,750 left, ceil(5.5) = 6 ticks:
        # level -5, filled at -6: 7 ticks, -3,500 - 500
        expect=[
            STOPPED | see(done_reason=NOT_DONE),
            OPEN | see(position=1, num_trades=1),
            OPEN | see(position=1),
            see(exit_reason=DAILY_EXIT, done_reason=DAILY_LOSS, trade_pnl_cents=-4_000)
            | see(balance_cents=4_989_000, num_trades=2, winning_trades=0),
        ],
    ),
]

BAR = [*STOPS, *TARGETS, *AMBIGUOUS, *ENTRY_BAR, *LIQUIDATIONS, *DAILY]
