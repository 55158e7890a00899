"""Worked examples: evaluation, funded account, payouts (docs/rules.md, section 9).

A day is three bars, 9:30 to 9:32, and flat at 9:32 (`rth_close` is 9:33, and the data goes on to the next day). Who
buys at its first decision gets in at the open of 9:31 and out at the close of 9:32, with no costs: a day of +100 is
100 ticks, 500 dollars a contract. The first stop is 800 ticks away, the target 2,400.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.rules.handmade import WARMUP
from tests.rules.scenario import (
    BUY,
    DAILY_EXIT,
    DAILY_LOSS,
    DATA_END,
    DRAWDOWN,
    END_OF_DAY,
    EXPIRED,
    HOLD,
    INF,
    INTRABAR,
    LAST_PAYOUT,
    LIQUIDATION,
    NOT_DONE,
    PROFIT_TARGET,
    SESSION_CLOSE,
    SESSION_END,
    TARGET,
    F,
    Row,
    Scenario,
    T,
    b,
    q,
    see,
    use,
)

NO_COSTS = use(slippage_ticks=0, stop_slippage_ticks=0, commission_per_side=0.0, target_through_ticks=0)
LIFE = NO_COSTS | use(sl_atr_mult=100.0, rth_close=9.55, reward_scale=100.0)
FUNDED = use(start_funded=True, funded_trailing_dd_limit=2_000.0, funded_floor_lock=0.0)
START = 5_000_000  # cents of every account
TRADE, REST = (BUY, HOLD), (HOLD, HOLD)


def days(*moves: int) -> tuple[list[Row], dict[str, Any]]:
    """Rows of days that move by so many ticks in their last bar, and the market that they make."""
    rows: list[Row] = []
    for move in moves:
        rows += [q(), q(), b(0, max(move, 0), min(move, 0), move)]
    return rows, use(sessions=[1 + i // 3 for i in range(len(rows))])


def life(
    name: str,
    rule: str,
    moves: Sequence[int],
    expect: Sequence[Mapping[str, Any]],
    plan: str = "",
    **params: Any,
) -> Scenario:
    """A life by days: `plan` has a letter a day, t for one that trades and r for one that rests; `expect` has a day's
    end each. One more day follows, so that there is a next session.
    """
    rows, market = days(*moves, 0)
    plan = plan or "t" * len(moves)
    return Scenario(
        name=name,
        rule=rule,
        rows=rows,
        market=market,
        params=LIFE | params,
        actions=[action for letter in plan for action in (TRADE if letter == "t" else REST)],
        expect=[one for at_end in expect for one in (see(done_reason=NOT_DONE, terminated=F), at_end)],
        account_life=True,
    )


def passed(**more: Any) -> dict[str, Any]:
    """What every account shows after a pass that is funded."""
    return see(funded=T, done_reason=NOT_DONE, terminated=F, balance_cents=START, equity_cents=START) | more


def not_passed(**more: Any) -> dict[str, Any]:
    """What an account shows that goes on in its evaluation."""
    return see(funded=F, done_reason=NOT_DONE, withdrawn=0) | more


PASSING = [
    life(
        "a pass opens a fresh funded account, and its profit stays behind",
        "9.2",
        [100, 20],
        [
            # 500 dollars are earned, and 5 rewards of 100 dollars: that they are taken away is no loss
            passed(withdrawn=50_000, fees_cents=23_050, fees=23_050, paid_out_cents=0, session_number=2, reward=5.0)
            | see(high_water_mark=START, floor=START - 200_000, trailing_limit=200_000, session_start_equity=START)
            | see(cycle_start=START, days_traded=0, days_won=0, best_day=0, won_profit=0, trades_before=1)
            | see(exit_reason=SESSION_CLOSE, trade_pnl_cents=50_000),
            # the next day is one of the funded account: 100 dollars, 90 of them the trader's
            passed(withdrawn=60_000, fees_cents=23_050, paid_out_cents=9_000, payouts=1, reward=1.0),
        ],
        profit_target=500.0,
        evaluation_fee=100.0,
        activation_fee=130.5,
        funded_trailing_dd_limit=2_000.0,
    ),
    life(
        "a cent short of the target is no pass",
        "9.2",
        [100],
        [not_passed(balance_cents=START + 50_000, days_traded=1, days_won=1, best_day=50_000, won_profit=50_000)],
        profit_target=500.01,
    ),
    life("without a target there is no pass", "9.2", [700], [not_passed(balance_cents=START + 350_000)]),
    life(
        "a pass without a funded account ends the episode",
        "9.2",
        [100],
        [see(done_reason=PROFIT_TARGET, terminated=T, funded=F, balance_cents=START + 50_000, withdrawn=0)],
        profit_target=500.0,
        funded_phase=False,
        session_limit=1,
    ),
    life(
        "a pass ends an episode of one session",
        "9.5",
        [100],
        [see(done_reason=SESSION_END, terminated=T, funded=T, balance_cents=START)],
        profit_target=500.0,
        terminate_at_session_end=True,
    ),
    Scenario(
        name="a pass within the day ends the day",
        rule="9.2",
        rows=[q(), b(0, 100, 0, 50), q(), *days(0)[0]],
        market=use(sessions=[1, 1, 1, 2, 2, 2]),
        params=LIFE | use(profit_target=500.0, tp_sl_ratio=0.125),
        actions=[BUY, BUY],
        # the target lies 100 ticks away and is reached at 9:31; the next decision is 9:30 of the next day
        expect=[
            passed(exit_reason=TARGET, session_number=2, step_idx=WARMUP + 3, withdrawn=50_000, mask=[T, T, T]),
            see(position=1, session_number=2),
        ],
        account_life=True,
    ),
    Scenario(
        name="a pass within the only session ends an episode of one session",
        rule="9.5",
        rows=[q(), b(0, 100, 0, 50), q(), *days(0)[0]],
        market=use(sessions=[1, 1, 1, 2, 2, 2]),
        params=LIFE | use(profit_target=500.0, tp_sl_ratio=0.125, terminate_at_session_end=True),
        actions=[BUY],
        expect=[see(funded=T, done_reason=SESSION_END, terminated=T, truncated=F, session_number=1)],
        account_life=True,
    ),
    Scenario(
        name="a pass with no session left ends the data",
        rule="9.2",
        rows=[q(), b(0, 100, 0, 50), q()],
        params=LIFE | use(profit_target=500.0, tp_sl_ratio=0.125),
        actions=[BUY],
        expect=[see(funded=T, done_reason=DATA_END, terminated=F, truncated=T, session_number=1)],
        account_life=True,
    ),
    Scenario(
        name="an open profit does not pass",
        rule="9.2",
        rows=[q(), b(0, 100, 0, 100), b(100, 100, 99, 99), *days(0)[0]],
        market=use(sessions=[1, 1, 1, 2, 2, 2]),
        params=LIFE | use(profit_target=500.0),
        actions=[BUY, HOLD],
        expect=[
            see(funded=F, position=1, equity_cents=START + 50_000),
            not_passed(balance_cents=START + 49_500, session_number=2),
        ],
        account_life=True,
    ),
    Scenario(
        name="a breach on the day of the goal is no pass",
        rule="9.2",
        rows=[q(), q(), b(0, 200, 0, 110), *days(0)[0]],
        market=use(sessions=[1, 1, 1, 2, 2, 2]),
        params=LIFE | use(profit_target=500.0, trailing_dd_limit=300.0, high_water_mode=INTRABAR),
        actions=TRADE,
        # 1,000 dollars ahead the floor rose to 700, and 550 were left at the close
        expect=[see(position=1), see(done_reason=DRAWDOWN, funded=F, days_traded=0, balance_cents=START + 55_000)],
        account_life=True,
    ),
    life(
        "days that a pass needs are days with a closed trade",
        "9.2",
        [100, 0, 0],
        [not_passed(days_traded=1), not_passed(days_traded=1, trades_before=1), passed(withdrawn=50_000)],
        plan="trt",
        profit_target=500.0,
        minimum_days=2,
    ),
    life(
        "a winning day is one of 150 dollars, and 145 are none",
        "9.2",
        [29, 30, 30],
        [
            not_passed(days_traded=1, days_won=0, won_profit=0, best_day=14_500),
            not_passed(days_traded=2, days_won=1, won_profit=15_000, best_day=15_000),
            passed(withdrawn=44_500),
        ],
        profit_target=200.0,
        winning_days=2,
        winning_day_profit=150.0,
    ),
    life(
        "the best day is at most half of the profit",
        "9.2",
        [100, 99, 1],
        # 500 is more than half of 995, and half of 1,000
        [not_passed(best_day=50_000), not_passed(best_day=50_000, days_won=2), passed(withdrawn=100_000)],
        profit_target=900.0,
        consistency=0.5,
    ),
    life(
        "the best day is more than half of the whole profit",
        "9.2",
        [100, -20, 100],
        [not_passed(), not_passed(best_day=50_000), not_passed(won_profit=100_000, balance_cents=START + 90_000)],
        profit_target=900.0,
        consistency=0.5,
    ),
    life(
        "the best day is half of the profits of winning days",
        "9.2",
        [100, -20, 100],
        [not_passed(), not_passed(days_won=1), passed(withdrawn=90_000)],
        profit_target=900.0,
        consistency=0.5,
        consistency_of_wins=True,
    ),
    life(
        "an evaluation expires at the end of its last session",
        "9.3",
        [10, 10],
        [not_passed(session_number=2), see(done_reason=EXPIRED, terminated=T, days_traded=2, session_number=2)],
        profit_target=500.0,
        session_limit=2,
    ),
    life(
        "a pass in the last session does not expire",
        "9.3",
        [50, 50, 0],
        [not_passed(), passed(session_number=3), passed(session_number=4)],
        profit_target=500.0,
        session_limit=2,
    ),
    life(
        "an evaluation pays nothing out",
        "9.4",
        [100],
        [not_passed(payouts=0, paid_out_cents=0, balance_cents=START + 50_000)],
    ),
]

IN_FORCE = [
    life(
        "the scaling plan follows the balance at the session's start",
        "9.1",
        [20, -1, 20],
        [
            # two contracts, 200 dollars; then three, which lose 15; then two again
            not_passed(balance_cents=START + 20_000),
            not_passed(balance_cents=START + 18_500),
            not_passed(balance_cents=START + 38_500),
        ],
        position_size=5,
        contract_limit=2,
        scaling_profit=[200.0, 385.0, INF, INF],
        scaling_contracts=[3, 4, 1, 1],
    ),
    life(
        "the step of a scaling plan is the last one that is reached",
        "9.1",
        [2],
        [not_passed(balance_cents=START + 3_000)],
        position_size=5,
        scaling_profit=[0.0, 0.0, 10_000_000.0, INF],
        scaling_contracts=[2, 3, 4, 5],
    ),
    life(
        "no more contracts than the order has",
        "9.1",
        [2],
        [not_passed(balance_cents=START + 1_000)],
        contract_limit=7,
    ),
    life(
        "a size by risk is cut to the contracts that the account allows",
        "9.1",
        [2],
        [not_passed(balance_cents=START + 2_000)],
        risk_per_trade=100_000.0,
        contract_limit=2,
    ),
    life(
        "a funded account has a scaling plan of its own",
        "9.1",
        [20, 20],
        [see(balance_cents=START + 20_000), see(balance_cents=START + 50_000)],
        **FUNDED | use(payout_minimum=10_000.0, position_size=5, contract_limit=1, funded_contract_limit=2),
        funded_scaling_profit=[200.0, INF, INF, INF],
        funded_scaling_contracts=[3, 3, 3, 3],
    ),
    life(
        "a funded account has a daily limit of its own, and its day is booked",
        "9.3",
        [-50, 0],
        [
            see(done_reason=NOT_DONE, exit_reason=DAILY_EXIT, balance_cents=START - 10_000, session_number=2)
            | see(days_traded=1, days_won=0, best_day=0, session_start_equity=START - 10_000),
            see(done_reason=NOT_DONE, days_traded=2),
        ],
        **FUNDED,
        funded_daily_loss_limit=100.0,
    ),
    life(
        "a daily limit that fails a funded account books nothing",
        "9.3",
        [-50],
        [see(done_reason=DAILY_LOSS, terminated=T, days_traded=0, trades_before=0, balance_cents=START - 10_000)],
        **FUNDED,
        funded_daily_loss_limit=100.0,
        funded_daily_loss_fails=True,
    ),
    life(
        "the daily limit of the evaluation is none of the funded account",
        "9.1",
        [-50],
        [see(done_reason=NOT_DONE, exit_reason=SESSION_CLOSE, balance_cents=START - 25_000)],
        **FUNDED,
        daily_loss_limit=100.0,
        daily_loss_fails=True,
        profit_target=0.0,
    ),
    Scenario(
        name="a funded account may follow the end of the day where the evaluation follows the bar",
        rule="9.1",
        rows=[q(), b(0, 200, 0, 0), b(0, 50, 0, 50), *days(0)[0]],
        market=use(sessions=[1, 1, 1, 2, 2, 2]),
        params=LIFE
        | FUNDED
        | use(high_water_mode=INTRABAR, funded_high_water_mode=END_OF_DAY, funded_floor_lock=INF)
        | use(payout_minimum=10_000.0),
        actions=[BUY, HOLD],
        expect=[see(floor=START - 200_000, high_water_mark=START), see(floor=START - 175_000)],
        account_life=True,
    ),
    Scenario(
        name="a funded account may follow the bar where the evaluation follows the end of the day",
        rule="9.1",
        rows=[q(), b(0, 200, 0, 0), b(0, 50, 0, 50), *days(0)[0]],
        market=use(sessions=[1, 1, 1, 2, 2, 2]),
        params=LIFE | FUNDED | use(high_water_mode=END_OF_DAY, funded_high_water_mode=INTRABAR, floor_lock=-1_900.0),
        actions=[BUY, HOLD],
        expect=[see(floor=START - 100_000, high_water_mark=START + 100_000), see(floor=START - 100_000)],
        account_life=True,
    ),
]

PAYOUTS = [
    life(
        "a funded account from the start has paid for both",
        "9.5",
        [0],
        [see(funded=T, fees_cents=25_000, withdrawn=0, floor=START - 200_000, payouts=0)],
        **FUNDED,
        evaluation_fee=100.0,
        activation_fee=150.0,
    ),
    life(
        "all that is above the start balance is paid out, and nine tenths of it received",
        "9.4",
        [100, 20],
        [
            passed(paid_out_cents=45_000, payouts=1, withdrawn=50_000, reward=5.0, session_start_equity=START)
            | see(high_water_mark=START + 50_000, floor=START - 150_000, cycle_start=START, days_traded=0),
            passed(paid_out_cents=54_000, payouts=2, withdrawn=60_000, reward=1.0),
        ],
        **FUNDED,
    ),
    life(
        "a payout counts as realized, too",
        "9.5",
        [100],
        [passed(payouts=1, reward=5.0)],
        **FUNDED,
        reward_realized=True,
    ),
    life(
        "a buffer stays, a share is taken, and the ladder of caps binds",
        "9.4",
        [100, 100, 100],
        [
            # 400 above the buffer: half of it, capped
            see(balance_cents=START + 35_000, paid_out_cents=15_000, cycle_start=START + 35_000),
            # 850 - 100: half of it
            see(balance_cents=START + 47_500, paid_out_cents=52_500),
            # 975 - 100: half of it, capped by the last step
            see(balance_cents=START + 77_500, paid_out_cents=72_500, payouts=3),
        ],
        **FUNDED,
        payout_buffer=100.0,
        payout_share=0.5,
        payout_split=1.0,
        payout_cap=[150.0, 1_000.0, 200.0, 200.0, 200.0, 200.0],
    ),
    life(
        "the last cap serves all later payouts",
        "9.4",
        [10] * 7,
        [see(payouts=n + 1, withdrawn=1_000 * (n + 1)) for n in range(5)]
        + [see(payouts=6, withdrawn=7_000), see(payouts=7, withdrawn=9_000)],
        **FUNDED,
        payout_cap=[10.0, 10.0, 10.0, 10.0, 10.0, 20.0],
    ),
    life(
        "a payout of the least amount",
        "9.4",
        [100],
        [see(payouts=1, paid_out_cents=45_000)],
        **FUNDED,
        payout_minimum=500.0,
    ),
    life(
        "a cent short of the least amount",
        "9.4",
        [100],
        [see(payouts=0, balance_cents=START + 50_000, days_traded=1)],
        **FUNDED,
        payout_minimum=500.01,
    ),
    life(
        "shares are rounded down to the cent",
        "9.4",
        [1],
        # 500 cents: floor(500 * 0.6667) = 333, of which floor(333 * 0.3333) = 110
        [see(withdrawn=333, paid_out_cents=110, balance_cents=START + 167)],
        **FUNDED,
        payout_share=0.66671,
        payout_split=0.33333,
    ),
    life(
        "a payout needs days of its own",
        "9.4",
        [30, 30, 30, 0, 29, 30],
        [
            see(payouts=0, days_won=1),
            see(payouts=1, withdrawn=30_000, days_won=0, days_traded=0, best_day=0, won_profit=0),
            see(payouts=1, days_traded=1),
            see(payouts=1, days_traded=1),
            see(payouts=1, days_traded=2, days_won=1),
            see(payouts=2, withdrawn=74_500),
        ],
        plan="tttrtt",
        **FUNDED,
        payout_minimum_days=2,
        payout_winning_days=2,
        payout_winning_day_profit=150.0,
        minimum_days=9,
        winning_days=9,
        winning_day_profit=1_000.0,
    ),
    life(
        "a payout asks for consistency of its own cycle",
        "9.4",
        [100, 99, 1, 20, 20],
        [
            see(payouts=0),
            see(payouts=0, best_day=50_000),
            see(payouts=1, withdrawn=100_000),
            see(payouts=1, best_day=10_000),
            see(payouts=2, withdrawn=120_000),
        ],
        **FUNDED,
        payout_consistency=0.5,
        consistency=0.01,
    ),
    life(
        "a payout's consistency of winning days",
        "9.4",
        [100, -20, 100],
        [see(payouts=0), see(payouts=0), see(payouts=1, withdrawn=90_000)],
        **FUNDED,
        payout_consistency=0.5,
        payout_consistency_of_wins=True,
    ),
    life(
        "the first payout raises the floor, and equity at the floor is no breach",
        "9.4",
        [100, 0, -1],
        [
            see(payouts=1, floor=START, balance_cents=START, high_water_mark=START + 50_000),
            see(done_reason=NOT_DONE, balance_cents=START),
            see(done_reason=DRAWDOWN, terminated=T, exit_reason=LIQUIDATION, payouts=1, days_traded=1),
        ],
        **FUNDED,
        payout_floor=0.0,
    ),
    life(
        "a payout leaves at least the floor",
        "9.4",
        [100, 40],
        [
            see(payouts=1, floor=START + 10_000, balance_cents=START + 10_000, withdrawn=40_000),
            see(payouts=2, floor=START + 10_000, balance_cents=START + 10_000, withdrawn=60_000),
        ],
        **FUNDED,
        payout_floor=100.0,
        payout_buffer=50.0,
    ),
    life(
        "a floor that would fall stays",
        "9.4",
        [100],
        [see(payouts=1, floor=START - 150_000)],
        **FUNDED,
        payout_floor=-1_600.0,
    ),
    life(
        "an account without a floor gets none by a payout",
        "9.4",
        [100, -1],
        [see(payouts=1, balance_cents=START), see(done_reason=NOT_DONE, balance_cents=START - 500)],
        start_funded=True,
        funded_trailing_dd_limit=INF,
        payout_floor=0.0,
    ),
    life(
        "the last payout ends the account",
        "9.4",
        [100, 100],
        [
            see(payouts=1, done_reason=NOT_DONE, terminated=F),
            see(payouts=2, done_reason=LAST_PAYOUT, terminated=T, truncated=F, paid_out_cents=90_000),
        ],
        **FUNDED,
        payouts_at_most=2,
    ),
    Scenario(
        name="a breach on a day of profit pays nothing",
        rule="9.3",
        rows=[q(), q(), b(0, 600, 0, 150), *days(0)[0]],
        market=use(sessions=[1, 1, 1, 2, 2, 2]),
        params=LIFE | FUNDED | use(funded_high_water_mode=INTRABAR, funded_floor_lock=INF),
        actions=TRADE,
        expect=[see(position=1), see(done_reason=DRAWDOWN, days_traded=0, payouts=0, balance_cents=START + 75_000)],
        account_life=True,
    ),
]

SEEN = [
    Scenario(
        name="what the observation shows of an evaluation",
        rule="9.6",
        rows=[*days(100, -20)[0], q(), b(0, 60, 0, 60), q(60), *days(0)[0]],
        market=use(sessions=[1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]),
        params=LIFE
        | use(trailing_dd_limit=2_000.0, profit_target=900.0, minimum_days=7, winning_days=3, contract_limit=4)
        | use(consistency=0.5),
        actions=[*TRADE, *TRADE, BUY],
        expect=[
            see(),
            see(obs_tail=[0, 0.6, 0.2, 0.25, 0, 0.25, -0.125, 0, 0, 0.4]),
            see(),
            see(obs_tail=[0, 0.5, 0.2, 0.2, 0, 0.25, -0.15, 0, 0, 0.4]),
            # 300 dollars open: 700 in all, of which half is 350 and 150 short of the best day
            see(obs_tail=[0, 0.5, 0.2, 0.35, 0.15, 0.25, -0.075, 0, 0, 0.4]),
        ],
        account_features=True,
        account_life=True,
        at_start=see(obs_tail=[0, 0.7, 0.3, 0, 0, 0, 0, 0, 0, 0.4]),
    ),
    Scenario(
        name="what the observation shows of a funded account",
        rule="9.6",
        rows=days(100, -20, 0)[0],
        market=use(sessions=[1, 1, 1, 2, 2, 2, 3, 3, 3]),
        params=LIFE
        | FUNDED
        | use(payout_winning_days=1, payout_consistency=1.0, payout_consistency_of_wins=True, payout_buffer=100.0)
        | use(payout_share=0.5, profit_target=900.0, minimum_days=7, consistency=0.5, contract_limit=3),
        actions=[*TRADE, *TRADE],
        expect=[
            see(),
            # 200 of 400 are taken: 300 above the start, 200 above the buffer
            see(obs_tail=[0.9, 0, 0, 2 / 30, 1, 0, 0.1, 0, 0, 0, 0, 0.1, 0.1, 0], payouts=1),
            see(),
            see(obs_tail=[1, 0, 0.1, -0.05, 0, 0, 0, 0.05, 0.1, 0], days_won=0),
        ],
        account_features=True,
        account_life=True,
        at_start=see(obs_tail=[1, 0, 0, 1 / 30, 1, 0, 0.1, 0, 0, 0, 0, -0.05, 0, 0]),
    ),
    Scenario(
        name="without a trailing limit there is no unit",
        rule="9.6",
        rows=days(100, 0)[0],
        market=use(sessions=[1, 1, 1, 2, 2, 2]),
        params=LIFE | use(trailing_dd_limit=INF, consistency=0.5),
        actions=[*TRADE],
        expect=[see(), see(obs_tail=[0] * 10)],
        account_features=True,
        account_life=True,
    ),
]

LIVES: list[Scenario] = [*PASSING, *IN_FORCE, *PAYOUTS, *SEEN]
