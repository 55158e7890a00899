"""Worked examples: legality, masks, entry, size and commission (docs/rules.md, sections 3.1, 3.3, 4 and 8).

Unless said otherwise: NQ, a tick is 500 cents, commission 250 cents a side, ATR 8 ticks, so D = 1.5 * 8 = 12
and the target is 36 ticks away; slippage 1 tick; 50,000 dollars = 5,000,000 cents. Prices in comments are
distances from L. Row 0 closes at 9:30 (minute 930) and is the first decision bar, 390.
"""

from __future__ import annotations

from tests.rules.scenario import (
    BUY,
    HOLD,
    NO_EXIT,
    NOT_DONE,
    SELL,
    SESSION_END,
    STOP,
    TARGET,
    TO_BE,
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

QUIET = [q(), q(), q(), q()]
CRUDE = -3_000  # ticks: crude oil at -30.00, as in April 2020

ENTRY = [
    Scenario(
        name="hold while flat changes nothing",
        rule="3",
        rows=[q(), b(0, 5, -5, 3)],
        actions=[HOLD],
        expect=[
            see(equity_cents=5_000_000, balance_cents=5_000_000, position=0, exit_reason=NO_EXIT)
            | see(done_reason=NOT_DONE, invalid_action=F, ambiguous_bar=F, reward=0.0, trade_pnl_cents=0)
            | see(terminated=F, truncated=F, time=1, step_idx=391, mask=[T, T, T])
        ],
        # floor 50,000 - 15,000 dollars
        at_start=see(mask=[T, T, T], step_idx=390, time=0, balance=5_000_000, floor=3_500_000)
        | see(high_water_mark=5_000_000, session_start_equity=5_000_000, position=0, forced_side=0)
        | see(contracts=0, entry_price=0, entry_balance=0, sl_price=0, tp_price=0, initial_stop_ticks=0)
        | see(position_entry_step=0, num_trades=0, winning_trades=0, session_number=1, day_over=F),
    ),
    Scenario(
        name="an entry while in a position is illegal and acts as hold",
        rule="3.1",
        rows=QUIET,
        actions=[BUY, BUY, SELL],
        # entry at 0 + 1: balance 5,000,000 - 250; valued at 0 a tick below: -500
        expect=[
            see(position=1, invalid_action=F, balance_cents=4_999_750, equity_cents=4_999_250, mask=[T, F, F]),
            see(position=1, invalid_action=T, balance_cents=4_999_750, contracts=1, entry_price=L + 1),
            see(position=1, invalid_action=T, balance_cents=4_999_750, contracts=1, num_trades=0),
        ],
    ),
    Scenario(
        name="actions outside the action space are illegal, Phase 1",
        rule="3.1",
        rows=QUIET,
        actions=[-1, TO_BE, 99],
        expect=[see(invalid_action=T, position=0, equity_cents=5_000_000)] * 3,
    ),
    Scenario(
        name="managing nothing is illegal, and so are actions outside the action space, Phase 2",
        rule="3.1",
        rows=[q()] * 7,
        phase=2,
        actions=[TO_BE, TRAIL_ON, TRAIL_OFF, 6, -1],
        expect=[
            see(invalid_action=T, position=0, trailing_stop_active=F, mask=[T, T, T, F, F, F]),
        ]
        * 5,
        at_start=see(mask=[T, T, T, F, F, F]),
    ),
    Scenario(
        name="no entry before rth_open",
        rule="4",
        rows=QUIET,
        market=use(times=[928, 929, 930, 931]),  # 9:28 ...
        actions=[BUY, SELL, BUY],
        expect=[
            see(invalid_action=T, position=0, mask=[T, F, F]),
            see(invalid_action=T, position=0, mask=[T, T, T]),  # 9:30
            see(invalid_action=F, position=1),
        ],
        at_start=see(mask=[T, F, F]),
    ),
    Scenario(
        name="the last entry: one bar more must still end before must-flat",
        rule="4",
        rows=[q()] * 5,
        market=use(times=[1376, 1377, 1378, 1379, 1380]),
        actions=[HOLD, HOLD, BUY],
        # must-flat is 16:59, minute 1379: at 1377 the next bar closes before it, at 1378 it does not
        expect=[
            see(mask=[T, T, T], terminated=F),
            see(mask=[T, F, F], terminated=F),
            see(invalid_action=T, position=0, done_reason=SESSION_END, terminated=T, truncated=F),
        ],
        at_start=see(mask=[T, T, T]),
    ),
    Scenario(
        name="the last entry with bars of five minutes",
        rule="4",
        rows=QUIET,
        market=use(times=[1365, 1370, 1375, 1380], bar_minutes=5),
        actions=[HOLD, HOLD, HOLD],
        # 1370 + 5 < 1379, 1375 + 5 is not; 1380 is must-flat, and the last bar of the table: both flags
        expect=[
            see(mask=[T, T, T]),
            see(mask=[T, F, F], terminated=F),
            see(done_reason=SESSION_END, terminated=T, truncated=T),
        ],
    ),
    Scenario(
        name="an evening belongs to the session of the next morning",
        rule="2",
        rows=QUIET,
        market=use(times=[1, 2, 3, 1379], rth=(18.0, 17.0)),  # 18:01 ...
        params=use(rth_open=18.0, rth_close=17.0),  # minutes 0 and 1380
        actions=[BUY, HOLD, HOLD],
        # 1379 is not must-flat any more
        expect=[
            see(position=1, entry_price=L + 1),
            see(position=1),
            see(position=1, done_reason=NOT_DONE),
        ],
        at_start=see(mask=[T, T, T]),
    ),
    Scenario(
        name="long entry at the open",
        rule="3.3",
        rows=[q(), b(2, 6, 1, 5)],
        actions=[BUY],
        # fill 2 + 1 = 3; stop 3 - 12 = -9; target 3 + 36 = 39; valued at 5: 4,999,750 + 2 * 500 = 5,000,750
        # reward: 750 cents = 7.50 dollars over the median R of 1.5 * 8 ticks * 5 dollars = 60 dollars
        expect=[
            see(position=1, contracts=1, entry_price=L + 3, sl_price=L - 9, tp_price=L + 39)
            | see(initial_stop_ticks=12, position_entry_step=391, entry_balance=5_000_000, num_trades=0)
            | see(balance_cents=4_999_750, equity_cents=5_000_750, trade_pnl_cents=0, reward=0.125)
            | see(high_water_mark=5_000_750, floor=3_500_750, mask=[T, F, F])
        ],
    ),
    Scenario(
        name="short entry at the open",
        rule="3.3",
        rows=[q(), b(-2, 0, -6, -5)],
        actions=[SELL],
        # fill -2 - 1 = -3; stop -3 + 12 = 9; target -3 - 36 = -39; valued at -5: +2 ticks
        expect=[
            see(position=-1, contracts=1, entry_price=L - 3, sl_price=L + 9, tp_price=L - 39)
            | see(initial_stop_ticks=12, balance_cents=4_999_750, equity_cents=5_000_750, reward=0.125)
        ],
    ),
    Scenario(
        name="fill at the close of the decision bar",
        rule="3.3",
        rows=[b(0, 3, -1, 2), b(5, 7, 4, 6)],
        params=use(fill_at_close=True),
        actions=[BUY],
        # fill 2 + 1 = 3, not the open 5 + 1; valued at 6: +3 ticks = 1,500
        expect=[
            see(entry_price=L + 3, sl_price=L - 9, tp_price=L + 39, position_entry_step=391)
            | see(equity_cents=5_001_250)
        ],
    ),
    Scenario(
        name="the extremes of the decision bar are past when its close fills",
        rule="3.4",
        rows=[b(0, 100, -100, 0), q()],
        params=use(fill_at_close=True),
        actions=[BUY],
        expect=[see(position=1, exit_reason=NO_EXIT, ambiguous_bar=F, equity_cents=4_999_250)],
    ),
    Scenario(
        name="slippage in ticks, short",
        rule="3.3",
        rows=QUIET,
        params=use(slippage_ticks=3),
        actions=[SELL],
        # fill 0 - 3; stop and target are measured from the fill; valued at 0: -3 ticks
        expect=[see(entry_price=L - 3, sl_price=L + 9, tp_price=L - 39, equity_cents=4_998_250)],
    ),
    Scenario(
        name="no slippage",
        rule="3.3",
        rows=QUIET,
        params=use(slippage_ticks=0),
        actions=[BUY],
        expect=[see(entry_price=L, sl_price=L - 12, tp_price=L + 36, equity_cents=4_999_750)],
    ),
    Scenario(
        name="slippage from the ATR of the decision bar, half to even downwards",
        rule="3.3",
        rows=QUIET,
        market=use(atr=[10, 14, 14, 14]),
        params=use(slippage_atr_mult=0.25),
        actions=[BUY],
        # 1 + round(0.25 * 10 = 2.5) = 1 + 2: fill 3; D = 15, target 45
        expect=[see(entry_price=L + 3, sl_price=L - 12, tp_price=L + 48, initial_stop_ticks=15)],
    ),
    Scenario(
        name="slippage from the ATR of the decision bar, half to even upwards",
        rule="3.3",
        rows=QUIET,
        market=use(atr=[14, 10, 10, 10]),
        params=use(slippage_atr_mult=0.25),
        actions=[BUY],
        # 1 + round(0.25 * 14 = 3.5) = 1 + 4: fill 5; D = 21, target 63
        expect=[see(entry_price=L + 5, sl_price=L - 16, tp_price=L + 68, initial_stop_ticks=21)],
    ),
    Scenario(
        name="the stop is at least min_stop_ticks away",
        rule="3.3",
        rows=QUIET,
        market=use(atr=1.0),
        actions=[BUY],
        # max(4, round(1.5) = 2) = 4, target 12
        expect=[see(sl_price=L - 3, tp_price=L + 13, initial_stop_ticks=4)],
    ),
    Scenario(
        name="stop distance rounded half to even, 4.5 to 4",
        rule="1",
        rows=QUIET,
        market=use(atr=3.0),
        params=use(min_stop_ticks=1),
        actions=[BUY],
        expect=[see(initial_stop_ticks=4, sl_price=L - 3, tp_price=L + 13)],
    ),
    Scenario(
        name="stop distance rounded half to even, 7.5 to 8",
        rule="1",
        rows=QUIET,
        market=use(atr=5.0),
        params=use(min_stop_ticks=1),
        actions=[SELL],
        expect=[see(initial_stop_ticks=8, sl_price=L + 7, tp_price=L - 25)],
    ),
    Scenario(
        name="stop distance in float32",
        rule="1",
        rows=QUIET,
        market=use(atr=10.0),
        params=use(min_stop_ticks=1, sl_atr_mult=0.35),
        actions=[BUY],
        # float32(0.35) is 0.349999994; times 10 is 3.49999994, which float32 rounds to 3.5: half to even 4
        expect=[see(initial_stop_ticks=4, sl_price=L - 3, tp_price=L + 13)],
    ),
    Scenario(
        name="distances end at 2^20 ticks",
        rule="1",
        rows=QUIET,
        params=use(sl_atr_mult=1e6),
        actions=[BUY],
        expect=[
            see(initial_stop_ticks=2**20, sl_price=L + 1 - 2**20, tp_price=L + 1 + 2**20),
        ],
    ),
    Scenario(
        name="a stop of zero ATR is still one tick away",
        rule="1",
        rows=QUIET,
        params=use(sl_atr_mult=0.01, min_stop_ticks=0, slippage_ticks=0),
        actions=[BUY],
        # D = max(0, clip(0, 1, 2^20)) = 1: stop -1, target round(1 * 3)
        expect=[see(initial_stop_ticks=1, sl_price=L - 1, tp_price=L + 3, position=1)],
    ),
    Scenario(
        name="target distance rounded half to even",
        rule="3.3",
        rows=QUIET,
        market=use(atr=1.0),
        params=use(min_stop_ticks=5, tp_sl_ratio=0.5),
        actions=[BUY],
        # round(5 * 0.5 = 2.5) = 2: target 1 + 2
        expect=[see(initial_stop_ticks=5, sl_price=L - 4, tp_price=L + 3)],
    ),
    Scenario(
        name="a target is at least one tick away",
        rule="1",
        rows=QUIET,
        params=use(tp_sl_ratio=0.01),
        actions=[BUY],
        expect=[see(tp_price=L + 2)],  # round(0.12) = 0, clipped to 1
    ),
    Scenario(
        name="three contracts pay and earn three times",
        rule="3.6",
        rows=[q(), b(0, 6, 0, 5), b(5, 38, 5, 38)],
        params=use(position_size=3),
        actions=[BUY, HOLD],
        # commission 750; valued 4 ticks above the fill: 4 * 1,500; the target is 36 * 1,500 - 750 later
        expect=[
            see(contracts=3, balance_cents=4_999_250, equity_cents=5_005_250),
            see(contracts=0, balance_cents=5_052_500, trade_pnl_cents=52_500, exit_reason=TARGET),
        ],
    ),
    Scenario(
        name="size by risk",
        rule="3.3",
        rows=QUIET,
        params=use(risk_per_trade=200.0),
        actions=[BUY],
        # 12 ticks * 5 dollars = 60 dollars a contract: floor(200 / 60) = 3, commission 750, a tick is 1,500
        expect=[see(contracts=3, balance_cents=4_999_250, equity_cents=4_997_750)],
    ),
    Scenario(
        name="size by risk with the ATR of the decision bar",
        rule="3.3",
        rows=QUIET,
        market=use(atr=[8, 4, 4, 4]),
        params=use(risk_per_trade=200.0),
        actions=[BUY],
        expect=[see(contracts=3, initial_stop_ticks=12)],  # at ATR 4 it would be floor(200 / 30) = 6
    ),
    Scenario(
        name="size by a risk of less than a dollar",
        rule="3.3",
        rows=QUIET,
        market=use(symbol="MNQ", atr=0.5),
        params=use(risk_per_trade=0.6, min_stop_ticks=1, position_size=4, slippage_ticks=0),
        actions=[BUY],
        # D = max(1, round(0.75)) = 1 tick of 50 cents: floor(60 / 50) = 1 contract, not 4
        expect=[see(contracts=1, initial_stop_ticks=1, entry_balance=5_000_000)],
    ),
    Scenario(
        name="size by risk, exactly one contract",
        rule="3.3",
        rows=QUIET,
        params=use(risk_per_trade=60.0),
        actions=[SELL],
        expect=[see(contracts=1, position=-1, balance_cents=4_999_750)],
    ),
    Scenario(
        name="size by risk ends at max_contracts",
        rule="3.3",
        rows=QUIET,
        params=use(risk_per_trade=1_000.0),
        actions=[BUY],
        expect=[see(contracts=10, balance_cents=4_997_500)],  # floor(16.7) = 16, clipped to 10
    ),
    Scenario(
        name="size by risk of no contract: no entry",
        rule="4",
        rows=QUIET,
        market=use(atr=[8, 4, 4, 4]),
        params=use(risk_per_trade=59.99),
        actions=[BUY, BUY],
        # 59.99 < 60 at ATR 8; at ATR 4 a contract risks 6 * 5 = 30 dollars: one contract
        expect=[
            see(invalid_action=T, position=0, mask=[T, T, T]),
            see(invalid_action=F, position=1, contracts=1, initial_stop_ticks=6),
        ],
        at_start=see(mask=[T, F, F]),
    ),
    Scenario(
        name="a micro contract",
        rule="8",
        rows=[q(), b(0, 6, 0, 5)],
        market=use(symbol="MNQ"),
        actions=[BUY],
        # a tick is 50 cents, commission 75 cents: 5,000,000 - 75 + 4 * 50
        expect=[see(balance_cents=4_999_925, equity_cents=5_000_125)],
    ),
    Scenario(
        name="S&P futures",
        rule="8",
        rows=[q(), b(0, 6, 0, 5)],
        market=use(symbol="ES"),
        actions=[BUY],
        expect=[see(balance_cents=4_999_750, equity_cents=5_004_750)],  # a tick is 1,250: 4 * 1,250
    ),
    Scenario(
        name="Dow futures",
        rule="8",
        rows=[q(), b(0, 6, 0, 5)],
        market=use(symbol="YM"),
        actions=[BUY],
        expect=[see(balance_cents=4_999_750, equity_cents=5_001_750)],  # a tick is 500
    ),
    Scenario(
        name="negative prices are prices",
        rule="1",
        rows=[
            (CRUDE, CRUDE, CRUDE, CRUDE),
            (CRUDE, CRUDE + 5, CRUDE, CRUDE + 4),
            (CRUDE, CRUDE, CRUDE - 11, CRUDE),
        ],
        market=use(symbol="CL"),
        actions=[BUY, HOLD],
        # a tick is 1,000: fill -2,999, stop -3,011, valued at -2,996: +3,000
        # stopped at -3,012: -13,000 - 500
        expect=[
            see(entry_price=-2_999, sl_price=-3_011, tp_price=-2_963, equity_cents=5_002_750),
            see(exit_reason=STOP, trade_pnl_cents=-13_500, balance_cents=4_986_500),
        ],
    ),
    Scenario(
        name="a commission given for all markets",
        rule="6",
        rows=QUIET,
        params=use(commission_per_side=1.25),
        actions=[BUY],
        expect=[see(balance_cents=4_999_875, equity_cents=4_999_375)],
    ),
]
