"""Worked examples: sleep, ends, forced starts, rewards, changes (docs/rules.md, sections 2.6, 3, 3.10, 3.11 and 4.3).

Conventions as in `scenarios_bar`. The reward scale is 60 dollars: 1.5 * 8 ticks * 5 dollars.
"""

from __future__ import annotations

from tests.rules.scenario import (
    BUY,
    DAILY_EXIT,
    DAILY_LOSS,
    DATA_END,
    DRAWDOWN,
    HOLD,
    NO_EXIT,
    NOT_DONE,
    PROFIT_TARGET,
    SELL,
    SESSION_CLOSE,
    SESSION_END,
    TARGET,
    TIME_LIMIT,
    F,
    L,
    Scenario,
    T,
    b,
    q,
    see,
    use,
)

EARLY_TABLE_END = use(times=[930, 1375, 1376], tail=False)
DAYS_ON = use(terminate_at_session_end=False)

SLEEP = [
    Scenario(
        name="sleep to the first decision bar of the next session",
        rule="2",
        rows=[q(), q(), q(), q(), q()],
        market=use(times=[1378, 1379, 928, 929, 930], sessions=[1, 1, 2, 2, 2]),
        params=DAYS_ON,
        actions=[HOLD, BUY],
        # from 16:59 to 9:30 of the next day, bar 394: no step is spent in between
        expect=[
            see(done_reason=NOT_DONE, terminated=F, truncated=F, step_idx=394, time=1, session_number=2)
            | see(session_start_equity=5_000_000, mask=[T, T, T]),
            see(position=1, step_idx=395, time=2, session_number=2),
        ],
        at_start=see(session_number=1),
    ),
    Scenario(
        name="the next session starts from the equity of the night",
        rule="2",
        rows=[q(), q(), q(), q(), q()],
        market=use(times=[1377, 1378, 1379, 930, 931], sessions=[1, 1, 1, 2, 2]),
        params=DAYS_ON,
        actions=[BUY, HOLD],
        # in at 1, out at -1: -1,000 - 500
        expect=[
            see(position=1, session_start_equity=5_000_000),
            see(exit_reason=SESSION_CLOSE, done_reason=NOT_DONE, step_idx=393, session_number=2)
            | see(session_start_equity=4_998_500, equity_cents=4_998_500),
        ],
    ),
    Scenario(
        name="sleep over a session that is not usable",
        rule="2",
        rows=[q(), q(), q(), q(), q(), q()],
        market=use(times=[1378, 1379, 930, 1000, 930, 931], sessions=[1, 1, 2, 2, 3, 3]),
        params=DAYS_ON,
        actions=[HOLD],
        # session 2 stops at 10:40
        expect=[see(step_idx=394, session_number=2, terminated=F, truncated=F)],
    ),
    Scenario(
        name="a session that reaches to five minutes before must-flat is usable",
        rule="2",
        rows=[q(), q(), q(), q(), q(), q()],
        market=use(times=[1378, 1379, 930, 1374, 930, 931], sessions=[1, 1, 2, 2, 3, 3]),
        params=DAYS_ON,
        actions=[HOLD],
        expect=[see(step_idx=392, session_number=2)],
    ),
    Scenario(
        name="a session that reaches to six minutes before must-flat is not",
        rule="2",
        rows=[q(), q(), q(), q(), q(), q()],
        market=use(times=[1378, 1379, 930, 1373, 930, 931], sessions=[1, 1, 2, 2, 3, 3]),
        params=DAYS_ON,
        actions=[HOLD],
        expect=[see(step_idx=394, session_number=2)],
    ),
    Scenario(
        name="sleep over a session without an entry-allowed bar",
        rule="2",
        rows=[q(), q(), q(), q(), q(), q()],
        market=use(
            times=[1378, 1379, 800, 899, 930, 931],
            sessions=[1, 1, 2, 2, 3, 3],
            scheduled_close={2: 900},  # 9:00: trading stops before it opens
        ),
        params=DAYS_ON,
        actions=[HOLD],
        expect=[see(step_idx=394, session_number=2)],
    ),
    Scenario(
        name="sleep after a data jump",
        rule="2",
        rows=[q(), q(), q(), q()],
        market=use(times=[930, 931, 930, 931], sessions=[1, 1, 2, 2]),
        params=DAYS_ON,
        actions=[HOLD],
        expect=[see(step_idx=392, session_number=2, terminated=F)],
    ),
    Scenario(
        name="sleep after the daily limit",
        rule="2",
        rows=[q(), q(), b(0, 0, -9, 0), q(), q(), q()],
        market=use(times=[930, 931, 932, 1379, 930, 931], sessions=[1, 1, 1, 1, 2, 2]),
        params=DAYS_ON | use(daily_loss_limit=50.0),
        actions=[BUY, HOLD, BUY],
        # level -9 (4,750 left after the commission, 10 ticks), filled at -10: -6,000; a new day, a new limit
        expect=[
            see(position=1),
            see(exit_reason=DAILY_EXIT, done_reason=NOT_DONE, terminated=F, step_idx=394, time=2)
            | see(session_number=2, session_start_equity=4_994_000, day_over=F, mask=[T, T, T]),
            see(position=1, done_reason=NOT_DONE),
        ],
    ),
    Scenario(
        name="sleep goes to a later session, though an earlier one is usable",
        rule="2",
        rows=[q()] * 8,
        market=use(times=[930, 1378, 1379] * 2 + [930, 931], sessions=[1] * 3 + [2] * 3 + [3] * 2),
        params=DAYS_ON,
        start=394,  # 16:58 of the second session
        actions=[HOLD],
        expect=[see(step_idx=396, session_number=2, terminated=F, truncated=F)],
    ),
    Scenario(
        name="the daily limit as a failure",
        rule="3.10",
        rows=[q(), q(), b(0, 0, -9, 0), q(), q(), q()],
        market=use(times=[930, 931, 932, 1379, 930, 931], sessions=[1, 1, 1, 1, 2, 2]),
        params=DAYS_ON | use(daily_loss_limit=50.0, daily_loss_fails=True),
        actions=[BUY, HOLD],
        expect=[
            see(position=1),
            see(exit_reason=DAILY_EXIT, done_reason=DAILY_LOSS, terminated=T, truncated=F, day_over=T)
            | see(step_idx=392, session_number=1),
        ],
    ),
    Scenario(
        name="the daily limit on the last day",
        rule="3.10",
        rows=[q(), q(), b(0, 0, -9, 0)],
        params=DAYS_ON | use(daily_loss_limit=50.0),
        actions=[BUY, HOLD],
        # bars are left, but no session: the day is over for good
        expect=[
            see(position=1),
            see(exit_reason=DAILY_EXIT, done_reason=DATA_END, terminated=F, truncated=T, day_over=T)
            | see(step_idx=392, mask=[T, F, F]),
        ],
    ),
]

ENDS = [
    Scenario(
        name="no session left in the view",
        rule="3.10",
        rows=[q(), q(), q(), q(), q()],
        market=use(times=[1377, 1378, 1379, 930, 931], sessions=[1, 1, 1, 2, 2]),
        params=DAYS_ON,
        view=(0, 2),
        actions=[HOLD, HOLD],
        expect=[
            see(done_reason=NOT_DONE),
            see(done_reason=DATA_END, terminated=F, truncated=T, step_idx=392, session_number=1),
        ],
    ),
    Scenario(
        name="the table ends with the position open",
        rule="3.10",
        rows=[q(), b(0, 5, 0, 4), b(4, 9, 3, 8)],
        market=EARLY_TABLE_END,
        actions=[BUY, HOLD],
        # 15:56 is not must-flat, and nothing comes after it: valued at 8, 7 ticks, nothing closed
        expect=[
            see(position=1, truncated=F),
            see(position=1, done_reason=DATA_END, exit_reason=NO_EXIT, terminated=F, truncated=T)
            | see(balance_cents=4_999_750, equity_cents=5_003_250, num_trades=0, step_idx=392),
        ],
    ),
    Scenario(
        name="the table ends on a must-flat bar: both flags",
        rule="3.10",
        rows=[q(), q(), q()],
        market=use(times=[930, 1378, 1379], tail=False),
        actions=[BUY, HOLD],
        expect=[
            see(position=1, truncated=F),
            see(position=0, done_reason=SESSION_END, terminated=T, truncated=T),
        ],
    ),
    Scenario(
        name="the table ends on a must-flat bar and the day would go on: the data end",
        rule="3.10",
        rows=[q(), q(), q()],
        market=use(times=[930, 1378, 1379], tail=False),
        params=DAYS_ON,
        actions=[BUY, HOLD],
        expect=[
            see(position=1),
            see(position=0, exit_reason=SESSION_CLOSE, done_reason=DATA_END, terminated=F, truncated=T),
        ],
    ),
    Scenario(
        name="time limit: the position stays open",
        rule="3.10",
        rows=[q(), q(), b(0, 5, 0, 4)],
        params=use(max_steps_in_episode=2),
        actions=[BUY, HOLD],
        expect=[
            see(truncated=F, time=1),
            see(done_reason=TIME_LIMIT, terminated=F, truncated=T, position=1, time=2)
            | see(balance_cents=4_999_750, equity_cents=5_001_250, exit_reason=NO_EXIT),
        ],
    ),
    Scenario(
        name="time limit and session end in one step: both flags, the session's end is the reason",
        rule="3.10",
        rows=[q(), q(), q()],
        market=use(times=[1377, 1378, 1379]),
        params=use(max_steps_in_episode=2),
        actions=[BUY, HOLD],
        expect=[see(truncated=F), see(done_reason=SESSION_END, terminated=T, truncated=T, position=0)],
    ),
    Scenario(
        name="time limit and data end in one step: the time limit is the reason",
        rule="3.10",
        rows=[q(), q(), q()],
        market=EARLY_TABLE_END,
        params=use(max_steps_in_episode=2),
        actions=[BUY, HOLD],
        expect=[see(), see(done_reason=TIME_LIMIT, terminated=F, truncated=T, position=1)],
    ),
    Scenario(
        name="time limit on a must-flat bar that does not end the episode",
        rule="3.10",
        rows=[q(), q(), q(), q()],
        market=use(times=[1378, 1379, 930, 931], sessions=[1, 1, 2, 2]),
        params=DAYS_ON | use(max_steps_in_episode=1),
        actions=[HOLD],
        # not terminated, so the night is slept over before the flag is read
        expect=[see(done_reason=TIME_LIMIT, terminated=F, truncated=T, step_idx=392, session_number=2)],
    ),
    Scenario(
        name="a time limit below the steps that were taken",
        rule="3.10",
        rows=[q()] * 3,
        changes={1: use(max_steps_in_episode=1)},
        actions=[HOLD, HOLD],
        expect=[see(time=1, truncated=F), see(time=2, done_reason=TIME_LIMIT, terminated=F, truncated=T)],
    ),
    Scenario(
        name="profit target reached",
        rule="3.10",
        rows=[q(), b(0, 38, 0, 37)],
        params=use(profit_target=150.0, pass_reward=2.0),
        actions=[BUY],
        expect=[
            see(done_reason=PROFIT_TARGET, terminated=T, truncated=F, exit_reason=TARGET)
            | see(reward=17_500 / 6_000 + 2.0)
        ],
    ),
    Scenario(
        name="profit target reached to the cent",
        rule="3.10",
        rows=[q(), b(0, 38, 0, 37)],
        params=use(profit_target=175.0),
        actions=[BUY],
        expect=[see(done_reason=PROFIT_TARGET, terminated=T)],
    ),
    Scenario(
        name="profit target missed by a cent",
        rule="3.10",
        rows=[q(), b(0, 38, 0, 37)],
        params=use(profit_target=175.01, pass_reward=2.0),
        actions=[BUY],
        expect=[see(done_reason=NOT_DONE, terminated=F, reward=17_500 / 6_000)],
    ),
    Scenario(
        name="open profit is not yet the target",
        rule="3.10",
        rows=[q(), b(0, 30, 0, 30), b(30, 38, 30, 38)],
        params=use(profit_target=50.0),
        actions=[BUY, HOLD],
        expect=[
            see(equity_cents=5_014_250, position=1, done_reason=NOT_DONE, terminated=F),
            see(position=0, done_reason=PROFIT_TARGET, terminated=T),
        ],
    ),
    Scenario(
        name="banked profit is not the target while a position is open",
        rule="3.10",
        rows=[q(), b(0, 38, 0, 37), q(37), q(37)],
        changes={1: use(profit_target=100.0)},
        actions=[BUY, BUY, HOLD],
        # 17,500 earned before the target of 10,000 comes into force
        expect=[
            see(balance_cents=5_017_500, done_reason=NOT_DONE),
            see(balance_cents=5_017_250, position=1, done_reason=NOT_DONE, terminated=F),
            see(position=1, done_reason=NOT_DONE),
        ],
    ),
    Scenario(
        name="banked profit is not the target while a short is open",
        rule="3.10",
        rows=[q(), b(0, 38, 0, 37), q(37)],
        changes={1: use(profit_target=100.0)},
        actions=[BUY, SELL],
        expect=[
            see(balance_cents=5_017_500, done_reason=NOT_DONE),
            see(balance_cents=5_017_250, position=-1, done_reason=NOT_DONE, terminated=F),
        ],
    ),
    Scenario(
        name="profit target on a must-flat bar comes before the session's end",
        rule="3.10",
        rows=[q(), q(), b(0, 30, 0, 30)],
        market=use(times=[1377, 1378, 1379]),
        params=use(profit_target=50.0),
        actions=[BUY, HOLD],
        # out at 29: 28 ticks, 14,000 - 500
        expect=[see(), see(exit_reason=SESSION_CLOSE, done_reason=PROFIT_TARGET, trade_pnl_cents=13_500)],
    ),
    Scenario(
        name="daily limit on a must-flat bar comes before the session's end",
        rule="3.10",
        rows=[q(), q(), b(0, 0, -6, -6)],
        market=use(times=[1377, 1378, 1379]),
        params=use(daily_loss_limit=45.0),
        actions=[BUY, HOLD],
        # level: 4,250 left, the 9th tick, -8, not reached; out at -7: 8 ticks, -4,000 - 500
        expect=[see(), see(exit_reason=SESSION_CLOSE, done_reason=DAILY_LOSS, trade_pnl_cents=-4_500)],
    ),
]

FORCED = [
    Scenario(
        name="forced long",
        rule="4",
        rows=[q(), q(), q(), q()],
        forced_side=1,
        actions=[HOLD, SELL],
        # hold is not legal, and acts as hold; then the mask is as usual
        expect=[
            see(invalid_action=T, position=0, mask=[T, T, T], forced_side=1),
            see(invalid_action=F, position=-1),
        ],
        at_start=see(mask=[F, T, F]),
    ),
    Scenario(
        name="forced short",
        rule="4",
        rows=[q(), q(), q(), q()],
        forced_side=-1,
        actions=[SELL, HOLD],
        expect=[
            see(invalid_action=F, position=-1, mask=[T, F, F], balance_cents=4_999_750),
            see(invalid_action=F, position=-1),
        ],
        at_start=see(mask=[F, F, T]),
    ),
    Scenario(
        name="the other side of a forced start is illegal, Phase 2",
        rule="4",
        rows=[q(), q(), q()],
        forced_side=-1,
        phase=2,
        actions=[BUY],
        expect=[see(invalid_action=T, position=0, mask=[T, T, T, F, F, F])],
        at_start=see(mask=[F, F, T, F, F, F]),
    ),
    Scenario(
        name="a forced start where no entry is allowed forces nothing",
        rule="4",
        rows=[q(), q(), q()],
        market=use(times=[929, 930, 931]),
        forced_side=1,
        actions=[HOLD],
        expect=[see(invalid_action=F, mask=[T, T, T])],
        at_start=see(mask=[T, F, F]),
    ),
]

REWARDS = [
    Scenario(
        name="reward by realized profit",
        rule="3.11",
        rows=[q(), b(0, 5, 0, 5), b(5, 38, 5, 38)],
        params=use(reward_realized=True),
        actions=[BUY, HOLD],
        # the commission; then 36 ticks less the other commission
        expect=[see(reward=-250 / 6_000, equity_cents=5_001_750), see(reward=17_750 / 6_000)],
    ),
    Scenario(
        name="reward by equity",
        rule="3.11",
        rows=[q(), b(0, 5, 0, 5), b(5, 38, 5, 38)],
        actions=[BUY, HOLD],
        # 4 ticks less the commission; then from 5,001,750 to 5,017,500
        expect=[see(reward=1_750 / 6_000), see(reward=15_750 / 6_000)],
    ),
    Scenario(
        name="violation penalty",
        rule="3.11",
        rows=[q(), q(), b(0, 0, -9, 0)],
        params=use(trailing_dd_limit=50.0, violation_penalty=5.0, pass_reward=3.0),
        actions=[BUY, HOLD],
        expect=[see(reward=-0.125), see(done_reason=DRAWDOWN, reward=-5_250 / 6_000 - 5.0)],
    ),
    Scenario(
        name="no violation penalty for the daily limit",
        rule="3.11",
        rows=[q(), q(), b(0, 0, -9, 0)],
        params=use(daily_loss_limit=50.0, violation_penalty=5.0, pass_reward=3.0),
        actions=[BUY, HOLD],
        expect=[see(reward=-0.125), see(done_reason=DAILY_LOSS, reward=-5_250 / 6_000)],
    ),
    Scenario(
        name="no reward for passing at the session's end",
        rule="3.11",
        rows=[q(), q(), q()],
        market=use(times=[1377, 1378, 1379]),
        params=use(violation_penalty=5.0, pass_reward=3.0),
        actions=[HOLD, HOLD],
        expect=[see(done_reason=NOT_DONE, reward=0.0), see(done_reason=SESSION_END, reward=0.0)],
    ),
    Scenario(
        name="a reward scale of one's own",
        rule="3.11",
        rows=[q(), q()],
        params=use(reward_scale=100.0),
        actions=[BUY],
        expect=[see(reward=-750 / 10_000)],
    ),
    Scenario(
        name="the median R counts the contracts",
        rule="3.11",
        rows=[q(), q()],
        params=use(position_size=2),
        actions=[BUY],
        expect=[see(equity_cents=4_998_500, reward=-0.125)],  # 1,500 cents over 120 dollars
    ),
    Scenario(
        name="every market has its own contract and scale",
        rule="3.11",
        rows=[q(), b(0, 6, 0, 5)],
        market=use(symbol="ES", atr=4.0),
        others=[([q(), q()], {})],
        actions=[BUY],
        # ES: a tick is 1,250; 1.5 * 4 ticks * 12.50 dollars = 75 dollars; 4 ticks less the commission
        expect=[see(market_id=1, equity_cents=5_004_750, initial_stop_ticks=6, reward=4_750 / 7_500)],
    ),
    Scenario(
        name="commission and scale given by market",
        rule="6",
        rows=[q(), b(0, 6, 0, 5)],
        market=use(symbol="ES", atr=4.0),
        others=[([q(), q()], {})],
        params=use(commission_per_side=[1.0, 2.0], reward_scale=[10.0, 20.0]),
        actions=[BUY],
        expect=[see(market_id=1, balance_cents=4_999_800, equity_cents=5_004_800, reward=4_800 / 2_000)],
    ),
]

CHANGES = [
    Scenario(
        name="a commission that changes: paid is paid",
        rule="3",
        rows=[q(), q(), b(0, 38, 0, 38)],
        changes={1: use(commission_per_side=5.0)},
        actions=[BUY, HOLD],
        # 250 at the entry, 500 at the exit
        expect=[see(balance_cents=4_999_750), see(trade_pnl_cents=17_250, balance_cents=5_017_250)],
    ),
    Scenario(
        name="contracts and levels are those of the entry",
        rule="3",
        rows=[q(), q(), q(), b(0, 38, 0, 38)],
        changes={1: use(position_size=3, sl_atr_mult=0.1, tp_sl_ratio=0.1, min_stop_ticks=1)},
        actions=[BUY, HOLD, HOLD],
        expect=[
            see(contracts=1),
            see(contracts=1, sl_price=L - 11, tp_price=L + 37, initial_stop_ticks=12),
            see(exit_reason=TARGET, trade_pnl_cents=17_500),
        ],
    ),
    Scenario(
        name="the initial balance is that of the reset",
        rule="3",
        rows=[q(), q(), b(0, 38, 0, 38)],
        params=use(profit_target=175.0),
        changes={1: use(initial_balance=1_000.0)},
        actions=[BUY, HOLD],
        expect=[see(initial_balance=5_000_000), see(done_reason=PROFIT_TARGET, balance_cents=5_017_500)],
    ),
    Scenario(
        name="another balance to start with",
        rule="6",
        rows=[q(), q()],
        params=use(initial_balance=25_000.5, trailing_dd_limit=1_500.0),
        actions=[HOLD],
        expect=[see(equity_cents=2_500_050, reward=0.0)],
        at_start=see(balance=2_500_050, floor=2_350_050, high_water_mark=2_500_050),
    ),
    Scenario(
        name="an hour that changes counts from the next step",
        rule="3",
        rows=[q(), q(), q(), q()],
        changes={1: use(rth_close=9 + 32 / 60)},
        actions=[BUY, HOLD],
        # minute 932 is the bar of the second step: in at 1, out at -1
        expect=[see(position=1), see(exit_reason=SESSION_CLOSE, trade_pnl_cents=-1_500, terminated=T)],
    ),
    Scenario(
        name="a daily limit that tightens takes the position out at the next open",
        rule="3",
        rows=[q(), b(0, 0, -8, -8), b(-8, 0, -8, 0)],
        changes={1: use(daily_loss_limit=20.0)},
        actions=[BUY, HOLD],
        # 1,750 left after the commission: ceil(3.5) = 4 ticks, level -3; the open -8 is beyond: out at -9
        expect=[
            see(position=1, equity_cents=4_995_250),
            see(exit_reason=DAILY_EXIT, done_reason=DAILY_LOSS, trade_pnl_cents=-5_500),
        ],
    ),
]

EPISODE = [*SLEEP, *ENDS, *FORCED, *REWARDS, *CHANGES]
