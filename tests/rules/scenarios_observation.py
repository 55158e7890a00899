"""Worked examples: the observation (docs/rules.md, section 5).

Conventions as in `scenarios_bar`. The window has 20 bars of 8 features (all 0) and 3 clock columns, so the
clock columns of the decision bar are at 19 * 11 + 8 = 217 to 219; the position starts at 220.
"""

from __future__ import annotations

from tests.rules.scenario import BUY, HOLD, INF, SELL, TO_BE, TRAIL_ON, Scenario, b, q, see, use

OBSERVATION = [
    Scenario(
        name="clock columns",
        rule="5",
        rows=[q(), q()],
        actions=[HOLD],
        # the oldest bar of the window at 9:30 is 19 bars back: the warm-up of the session before ends at
        # minute 1380, 17:00, so it closed at 1380 - 18 = 1362, 16:42
        expect=[see(obs_at={217: (9 + 31 / 60) / 24, 218: 1 / 390, 219: 448 / 390})],
        at_start=see(
            obs_at={8: 16.7 / 24, 9: 432 / 390, 10: 17 / 390, 217: 9.5 / 24, 218: 0.0, 219: 449 / 390},
            obs_tail=[0.0] * 5,
        ),
    ),
    Scenario(
        name="clock columns before the open and before an early close",
        rule="5",
        rows=[q(), q()],
        market=use(times=[360, 361], scheduled_close=1155),
        actions=[HOLD],
        # midnight is hour 0, and 570 minutes before 9:30; 13:15 is minute 1155; the warm-up bars belong to a
        # session that is must-flat at 1379
        expect=[see(obs_at={217: (1 / 60) / 24, 218: -569 / 390, 219: 794 / 390})],
        at_start=see(obs_at={217: 0.0, 218: -570 / 390, 219: 795 / 390, 208: -1 / 390}),
    ),
    Scenario(
        name="clock columns follow the parameters",
        rule="5",
        rows=[q(), q()],
        params=use(rth_open=9.0, rth_close=16.0),
        actions=[HOLD],
        expect=[see(obs_at={218: 31 / 390, 219: 389 / 390})],
    ),
    Scenario(
        name="position block, long",
        rule="5",
        rows=[q(), b(0, 6, 0, 5), b(5, 5, -3, -3)],
        market=use(atr=[8, 8, 4]),
        actions=[BUY, HOLD],
        # entry 1, stop -11, target 37: profit 4, stop 16 and target 32 ticks away, over the ATR 8;
        # then profit -4, 8 and 40 over the ATR 4
        expect=[
            see(obs_tail=[1.0, 0.5, 2.0, 4.0, 1 / 390]),
            see(obs_tail=[1.0, -1.0, 2.0, 10.0, 2 / 390]),
        ],
    ),
    Scenario(
        name="position block, short",
        rule="5",
        rows=[q(), b(0, 0, -6, -5)],
        actions=[SELL],
        expect=[see(obs_tail=[-1.0, 0.5, 2.0, 4.0, 1 / 390])],
    ),
    Scenario(
        name="position block with an ATR below one tick",
        rule="5",
        rows=[q(), b(0, 6, 0, 5)],
        market=use(atr=[8, 0.25]),
        params=use(reward_scale=60.0),
        actions=[BUY],
        expect=[see(obs_tail=[1.0, 4.0, 16.0, 32.0, 1 / 390])],
    ),
    Scenario(
        name="position block after the exit",
        rule="5",
        rows=[q(), b(0, 2, -11, 0)],
        actions=[BUY],
        expect=[see(obs_tail=[0.0] * 5)],
    ),
    Scenario(
        name="another window",
        rule="5",
        rows=[q(), b(0, 6, 0, 5)],
        window=3,
        actions=[BUY],
        # 3 * 11 numbers of bars, then the position
        expect=[see(obs_at={30: (9 + 31 / 60) / 24, 31: 1 / 390, 32: 448 / 390, 33: 1.0, 34: 0.5})],
    ),
    Scenario(
        name="management block",
        rule="5",
        rows=[q(), b(0, 2, -5, -5), b(-5, 10, -5, 7), b(7, 8, 3, 4), q(4)],
        phase=2,
        actions=[BUY, TRAIL_ON, TO_BE],
        # D = 12, trailing limit 250,000.
        # close -5: -6 ticks; stop 12 behind the entry; 4,996,750 is 3,250 below the start
        # trail: at once -13, worse than -11; then 7 - 8 = -1, 2 behind the entry; profit 6; equity 5,002,750
        #   is the new high-water mark
        # break-even: stop at the entry; close 4: profit 3, best 6; equity 5,001,250, 1,500 below the mark
        expect=[
            see(obs_tail=[0.0, 0.0, -6 / 12, 0.0, -12 / 12, 3_250 / 250_000]),
            see(obs_tail=[1.0, 0.0, 6 / 12, 6 / 12, -2 / 12, 0.0]),
            see(obs_tail=[1.0, 1.0, 3 / 12, 6 / 12, 0.0, 1_500 / 250_000]),
        ],
        at_start=see(obs_tail=[0.0] * 6),
    ),
    Scenario(
        name="management block, short, the stop beyond the entry",
        rule="5",
        rows=[q(), b(0, 0, -20, -20), q(-20)],
        phase=2,
        actions=[SELL, TRAIL_ON],
        # entry -1, stop 11, D = 12: 19 ticks of profit, a new high-water mark; the trail puts the stop at -12
        expect=[
            see(obs_tail=[0.0, 0.0, 19 / 12, 19 / 12, -12 / 12, 0.0]),
            see(obs_tail=[1.0, 1.0, 19 / 12, 19 / 12, 11 / 12, 0.0]),
        ],
    ),
    Scenario(
        name="management block when flat: only the drawdown",
        rule="5",
        rows=[q(), b(0, 2, -11, 0)],
        phase=2,
        actions=[BUY],
        expect=[see(obs_tail=[0.0, 0.0, 0.0, 0.0, 0.0, 7_000 / 250_000])],
    ),
    Scenario(
        name="no drawdown without a trailing limit",
        rule="5",
        rows=[q(), b(0, 2, -11, 0)],
        phase=2,
        params=use(trailing_dd_limit=INF),
        actions=[BUY],
        expect=[see(obs_tail=[0.0] * 6)],
    ),
    Scenario(
        name="account features",
        rule="5",
        rows=[q(), b(0, 2, -5, -5)],
        params=use(trailing_dd_limit=1_000.0, profit_target=2_000.0, daily_loss_limit=500.0),
        account_features=True,
        actions=[BUY],
        # equity 4,996,750: 96,750 above the floor 4,900,000; 203,250 to the target; 46,750 to the daily limit
        expect=[see(obs_tail=[0.9675, 1.01625, 0.935, 1 / 30])],
        at_start=see(obs_tail=[1.0, 1.0, 1.0, 1 / 30]),
    ),
    Scenario(
        name="account features with the rules off, in a second session",
        rule="5",
        rows=[q(), q(), q(), q()],
        market=use(times=[1378, 1379, 930, 931], sessions=[1, 1, 2, 2]),
        params=use(trailing_dd_limit=INF, terminate_at_session_end=False),
        phase=2,
        account_features=True,
        actions=[HOLD],
        expect=[see(obs_tail=[0.0, 0.0, 0.0, 2 / 30])],
        at_start=see(obs_tail=[0.0, 0.0, 0.0, 1 / 30]),
    ),
]
