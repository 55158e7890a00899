"""Section 9 of docs/rules.md once more: an account's whole life in plain Python, on top of the reference.

Written from that section alone. Money is int cents; a parameter of the phase is read where it counts.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from trading_gymnax.reference import (
    FLOOR_OFF,
    LIMIT_OFF,
    DoneReason,
    ExitReason,
    Fill,
    HighWaterMode,
    ReferenceEnv,
    ReferenceParams,
    ReferenceState,
    cents,
)

SESSIONS_A_MONTH = 21


@dataclasses.dataclass(slots=True)
class ReferenceLifeParams(ReferenceParams):
    """Section 9.7. Dollars and shares; inf switches a rule off, and so does a count of 0."""

    max_steps_in_episode: int = 27_000
    terminate_at_session_end: bool = False
    contract_limit: int = 0
    scaling_profit: Sequence[float] = (math.inf,) * 4
    scaling_contracts: Sequence[int] = (1,) * 4
    minimum_days: int = 0
    winning_days: int = 0
    winning_day_profit: float = 0.01
    consistency: float = math.inf
    consistency_of_wins: bool = False
    session_limit: int = 0
    evaluation_fee: float = 0.0
    monthly_fee: float = 0.0
    funded_phase: bool = True
    start_funded: bool = False
    activation_fee: float = 0.0
    funded_trailing_dd_limit: float = 2_500.0
    funded_high_water_mode: int = HighWaterMode.BAR_CLOSE
    funded_floor_lock: float = math.inf
    funded_daily_loss_limit: float = math.inf
    funded_daily_loss_fails: bool = False
    funded_contract_limit: int = 0
    funded_scaling_profit: Sequence[float] = (math.inf,) * 4
    funded_scaling_contracts: Sequence[int] = (1,) * 4
    payout_minimum_days: int = 0
    payout_winning_days: int = 0
    payout_winning_day_profit: float = 0.01
    payout_consistency: float = math.inf
    payout_consistency_of_wins: bool = False
    payout_buffer: float = 0.0
    payout_minimum: float = 0.01
    payout_share: float = 1.0
    payout_cap: Sequence[float] = (math.inf,) * 6
    payout_split: float = 0.9
    payout_floor: float = math.inf
    payouts_at_most: int = 0


@dataclasses.dataclass(slots=True)
class ReferenceLifeState(ReferenceState):
    """The account, and what its life remembers; cents. A day is counted when it has ended."""

    funded: bool = False
    cycle_start: int = 0  # balance
    days_traded: int = 0
    days_won: int = 0
    best_day: int = 0
    won_profit: int = 0
    trades_before: int = 0  # before today
    payouts: int = 0
    paid_out: int = 0
    fees: int = 0
    withdrawn: int = 0


@dataclasses.dataclass(slots=True)
class Goals:
    """What the phase asks of its days before it passes or pays."""

    minimum_days: int
    winning_days: int
    winning_day: int  # cents
    consistency: float
    of_wins: bool


class ReferenceLifeEnv(ReferenceEnv):
    """The reference of `account_life=True`. Arguments and observation are those of `ReferenceEnv`; section 9.6 adds
    ten numbers to the account's four.
    """

    Params = ReferenceLifeParams
    State = ReferenceLifeState
    num_account_features = 14
    state: ReferenceLifeState
    params: ReferenceLifeParams
    _given: ReferenceLifeParams | None = None  # while those of a phase stand in their place

    # ---------------------------------------------------------------- 9.1: what is in force

    @contextlib.contextmanager
    def _phase(self) -> Iterator[None]:
        """Within it `params` are those in force."""
        outermost, within = self._given is None, self.params
        if self._given is None:
            self._given = self.params
        self.params = self._in_force(self._given)
        try:
            yield
        finally:
            self.params = within
            if outermost:
                self._given = None

    def _in_force(self, given: ReferenceLifeParams) -> ReferenceLifeParams:
        changes: dict[str, Any] = {}
        limit = self._contract_limit(given)
        if limit is not None and not self.entry_sizes:
            changes["position_size"] = min(given.position_size, limit)
            changes["max_contracts"] = min(given.max_contracts, limit)
        if self.state.funded:
            changes |= {
                "high_water_mode": given.funded_high_water_mode,
                "floor_lock": given.funded_floor_lock,
                "daily_loss_limit": given.funded_daily_loss_limit,
                "daily_loss_fails": given.funded_daily_loss_fails,
                "profit_target": math.inf,
            }
        return dataclasses.replace(given, **changes)

    def _contract_limit(self, given: ReferenceLifeParams) -> int | None:
        """Most contracts of an entry; None for no limit."""
        s = self.state
        plan = zip(given.scaling_profit, given.scaling_contracts, strict=True)
        limit = given.contract_limit or None
        if s.funded:
            plan = zip(given.funded_scaling_profit, given.funded_scaling_contracts, strict=True)
            limit = given.funded_contract_limit or None
        for profit, contracts in plan:
            if not math.isinf(profit) and s.session_start_equity - s.initial_balance >= cents(profit):
                limit = int(contracts)
        return limit

    def _contracts_allowed(self) -> list[int]:
        limit = self._contract_limit(self.params)
        return [] if limit is None else [limit]

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play one outcome bar under the rules of the phase."""
        with self._phase():
            return super().step(action)

    def action_masks(self) -> np.ndarray:
        """bool (num_actions,): what is legal at the state's decision bar."""
        with self._phase():
            return super().action_masks()

    def _observation(self) -> np.ndarray:
        with self._phase():
            return super()._observation()

    # ---------------------------------------------------------------- 9.2: passing

    def _begin_life(self) -> None:
        s, p = self.state, self.params
        s.cycle_start = s.balance
        s.fees = cents(p.evaluation_fee)
        if p.start_funded:
            self._become_funded()

    def _become_funded(self) -> None:
        s, p = self.state, self.params
        s.funded = True
        s.fees += cents(p.activation_fee)
        s.withdrawn += s.balance - s.initial_balance
        s.balance = s.equity = s.high_water_mark = s.initial_balance
        limit = p.funded_trailing_dd_limit
        s.trailing_limit = LIMIT_OFF if math.isinf(limit) else cents(limit)
        s.floor = FLOOR_OFF
        with self._phase():
            self._raise_floor()
        self._begin_cycle()

    def _begin_cycle(self) -> None:
        s = self.state
        s.cycle_start = s.balance
        s.days_traded = s.days_won = s.best_day = s.won_profit = 0

    def _goals(self) -> Goals:
        p = self.params
        if self.state.funded:
            return Goals(
                p.payout_minimum_days,
                p.payout_winning_days,
                cents(p.payout_winning_day_profit),
                p.payout_consistency,
                p.payout_consistency_of_wins,
            )
        return Goals(p.minimum_days, p.winning_days, cents(p.winning_day_profit), p.consistency, p.consistency_of_wins)

    def _with_today(self) -> ReferenceLifeState:
        """The account as if the day ended now."""
        booked = dataclasses.replace(self.state)
        self._book(booked)
        return booked

    def _book(self, s: ReferenceLifeState) -> None:
        profit = s.balance - s.session_start_equity
        if s.num_trades > s.trades_before:
            s.days_traded += 1
        if profit >= self._goals().winning_day:
            s.days_won += 1
            s.won_profit += profit
        s.best_day = max(s.best_day, profit)
        s.trades_before = s.num_trades

    def _goals_met(self, booked: ReferenceLifeState) -> bool:
        goals = self._goals()
        if booked.days_traded < goals.minimum_days or booked.days_won < goals.winning_days:
            return False
        return self._is_consistent(booked, goals)

    def _is_consistent(self, booked: ReferenceLifeState, goals: Goals) -> bool:
        if math.isinf(goals.consistency):
            return True
        profit = booked.won_profit if goals.of_wins else booked.balance - booked.cycle_start
        return booked.best_day <= self._share(max(profit, 0), goals.consistency)

    def _share(self, amount: int, share: float) -> int:
        return amount * int(np.rint(np.float32(share) * np.float32(10_000))) // 10_000

    def _passes(self, booked: ReferenceLifeState) -> bool:
        target = self.params.profit_target
        if booked.funded or booked.position != 0 or math.isinf(target):
            return False
        return booked.balance - booked.cycle_start >= cents(target) and self._goals_met(booked)

    # ---------------------------------------------------------------- 9.3: the end of a day

    def _terminal_reason(self, fill: Fill, daily: bool) -> DoneReason:
        p = self.params
        if fill.breached or fill.exit_reason == ExitReason.LIQUIDATION:
            return DoneReason.DRAWDOWN
        if daily and (p.daily_loss_fails or p.terminate_at_session_end):
            return DoneReason.DAILY_LOSS
        fill.passed = self._passes(self._with_today())
        if not (fill.must_flat or daily or fill.passed):
            return DoneReason.NONE
        self._book(self.state)
        reason = self._end_funded_day() if self.state.funded else self._end_evaluation_day(fill.passed)
        if reason == DoneReason.NONE and p.terminate_at_session_end:
            return DoneReason.SESSION_END
        return reason

    def _end_evaluation_day(self, passed: bool) -> DoneReason:
        s, p = self.state, self.params
        if passed and p.funded_phase:
            self._become_funded()
            return DoneReason.NONE
        if passed:
            return DoneReason.PROFIT_TARGET
        if p.session_limit and s.session_number >= p.session_limit:
            return DoneReason.EXPIRED
        if s.session_number % SESSIONS_A_MONTH == 0:
            s.fees += cents(p.monthly_fee)
        return DoneReason.NONE

    # ---------------------------------------------------------------- 9.4: payouts

    def _end_funded_day(self) -> DoneReason:
        most = self.params.payouts_at_most
        if self._pay_out() and 0 < most <= self.state.payouts:
            return DoneReason.LAST_PAYOUT
        return DoneReason.NONE

    def _pay_out(self) -> bool:
        """Take a payout if it is allowed."""
        s, p = self.state, self.params
        floor = self._floor_of_payout()
        cap = p.payout_cap[min(s.payouts, len(p.payout_cap) - 1)]
        amount = self._share(max(s.balance - self._stays(), 0), p.payout_share)
        amount = amount if math.isinf(cap) else min(amount, cents(cap))
        if not self._goals_met(s) or amount < cents(p.payout_minimum):
            return False
        s.floor = floor
        s.balance -= amount
        s.equity = s.balance
        s.payouts += 1
        s.paid_out += self._share(amount, p.payout_split)
        s.withdrawn += amount
        self._begin_cycle()
        return True

    def _floor_of_payout(self) -> int:
        s, p = self.state, self.params
        if s.payouts > 0 or math.isinf(p.payout_floor) or s.trailing_limit == LIMIT_OFF:
            return s.floor
        return max(s.floor, s.initial_balance + cents(p.payout_floor))

    def _stays(self) -> int:
        """What a payout leaves in the account at least."""
        return max(self.state.initial_balance + cents(self.params.payout_buffer), self._floor_of_payout())

    # ---------------------------------------------------------------- 9.5 and 9.6: what is seen

    def _withdrawn(self, before: ReferenceState) -> int:
        assert isinstance(before, ReferenceLifeState)
        return self.state.withdrawn - before.withdrawn

    def _info(self, fill: Fill) -> dict[str, Any]:
        s = self.state
        return super()._info(fill) | {
            "paid_out": s.paid_out / 100,
            "fees": s.fees / 100,
            "paid_out_cents": s.paid_out,
            "fees_cents": s.fees,
            "payouts": s.payouts,
            "funded": s.funded,
        }

    def _account_block(self) -> list[float]:
        return super()._account_block() + self._life_block()

    def _life_block(self) -> list[float]:
        s, goals = self.state, self._goals()
        profit = s.equity - s.cycle_start
        allowed = s.best_day
        if not math.isinf(goals.consistency):
            allowed = self._share(max(s.won_profit if goals.of_wins else profit, 0), goals.consistency)
        money = [
            profit,
            s.equity - s.session_start_equity,
            s.best_day,
            allowed - s.best_day,
            s.equity - self._stays() if s.funded else 0,
        ]
        unit = math.inf if s.trailing_limit == LIMIT_OFF else max(s.trailing_limit, 1)
        limit = self._contract_limit(self.params)
        return [
            float(s.funded),
            max(goals.minimum_days - s.days_traded, 0) / 10,
            max(goals.winning_days - s.days_won, 0) / 10,
            *(amount / unit for amount in money),
            s.payouts / 10,
            (limit or 0) / 10,
        ]
