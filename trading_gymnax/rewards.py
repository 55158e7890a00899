"""Rewards to give to an environment's constructor: `TradingPhase2(data, reward_fn=rewards.shaped())`.

A reward is any `reward_fn(before, after, fill, params) -> float32`, a pure function of JAX scalars: the state in which
the action was taken, the state after the step (before any auto-reset), the step's `rules.Fill` and the parameters.
Those shipped here are frozen dataclasses: hashable, picklable, and equal when their numbers are. All are in units of
the market's reward scale (by default one ordinary stop, R), so that no market drowns another.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from trading_gymnax import rules
from trading_gymnax.life_value import expected_dollars
from trading_gymnax.market import of_market


def _scale(state: Any, params: Any) -> jax.Array:
    """Dollars that make a reward of 1 in the state's market."""
    return of_market(params.reward_scale, state.market_id)


def _equity_change(before: Any, after: Any, params: Any) -> jax.Array:
    """Change of equity in units of the market's reward scale, float32."""
    change = rules.by_trading(after.equity - before.equity, before, after)
    return change.astype(jnp.float32) / 100 / _scale(after, params)


@dataclasses.dataclass(frozen=True)
class Profit:
    """The default reward, see `profit`."""

    def __call__(self, before: Any, after: Any, fill: rules.Fill, params: Any) -> jax.Array:
        """Reward of one step, float32."""
        return rules.profit_reward(before, after, fill, _scale(after, params), params)


@dataclasses.dataclass(frozen=True)
class RiskAdjusted:
    """Profit less a penalty on downside variance, see `risk_adjusted`."""

    penalty: float
    target: float

    def __call__(self, before: Any, after: Any, fill: rules.Fill, params: Any) -> jax.Array:
        """Reward of one step, float32."""
        shortfall = jnp.minimum(_equity_change(before, after, params) - self.target, 0.0)
        return Profit()(before, after, fill, params) - self.penalty * shortfall**2


@dataclasses.dataclass(frozen=True)
class Shaped:
    """Profit with a holding cost and bonuses for managing the stop, see `shaped`."""

    holding_cost: float
    break_even_bonus: float
    trail_bonus: float

    def __call__(self, before: Any, after: Any, fill: rules.Fill, params: Any) -> jax.Array:
        """Reward of one step, float32."""
        reward = Profit()(before, after, fill, params) - jnp.where(fill.side != 0, self.holding_cost, 0.0)
        if not hasattr(after, "stop_origin"):  # phase 1 has no stop to manage
            return reward
        still_open = after.position != 0
        to_break_even = still_open & (after.be_move_count > before.be_move_count)
        trail = rules.ExitReason.TRAIL
        trailed = still_open & (after.stop_origin == trail) & (before.stop_origin != trail)
        bonus = jnp.where(to_break_even, self.break_even_bonus, 0.0) + jnp.where(trailed, self.trail_bonus, 0.0)
        return reward + bonus


@dataclasses.dataclass(frozen=True)
class AccountValue:
    """Dollars of the trader, shaped by those to come, see `account_value`."""

    discount: float

    def __call__(self, before: Any, after: Any, fill: rules.Fill, params: Any) -> jax.Array:
        """Reward of one step, float32."""
        if not hasattr(after, "paid_out"):
            raise ValueError("account_value pays for the payouts of an account: make the environment with account_life")
        earned = (after.paid_out - before.paid_out) - (after.fees - before.fees)
        to_come = jnp.where(after.terminated, 0.0, expected_dollars(after, params))
        shaping = self.discount * to_come - expected_dollars(before, params)
        return (earned.astype(jnp.float32) / 100 + shaping) / _scale(after, params)


def profit() -> Profit:
    """The default reward as a function: change of equity (of balance with `reward_realized`) / reward scale.

    Plus `pass_reward` at PROFIT_TARGET, less `violation_penalty` at DRAWDOWN; both are 0 by default, so that the
    rewards of an episode add up to its net profit / reward scale.
    """
    return Profit()


def risk_adjusted(penalty: float = 0.1, target: float = 0.0) -> RiskAdjusted:
    """The default reward less penalty * min(x - target, 0)^2, where x is the step's change of equity / reward scale.

    Over T steps the penalty adds up to penalty * T * DD^2, DD^2 being the downside variance: the mean of the squared
    shortfalls below the target. DD is the downside deviation of F. Sortino and R. van der Meer, "Downside Risk",
    Journal of Portfolio Management 17(4), 1991, used for trading agents (with target 0) by J. Moody and M. Saffell,
    "Learning to Trade via Direct Reinforcement", IEEE Transactions on Neural Networks 12(4), 2001. Their ratio of mean
    to deviation needs running averages; this is the difference of the two, which needs the one step alone. One bar
    that loses R costs `penalty` R more; the same loss spread over ten bars costs a tenth of that.

    With `reward_realized` the penalty still sees the change of equity: open losses count. Raises ValueError for a
    negative penalty and for numbers that are not finite.
    """
    _check(penalty=penalty)
    _check(signed=True, target=target)
    return RiskAdjusted(float(penalty), float(target))


def shaped(holding_cost: float = 0.001, break_even_bonus: float = 0.01, trail_bonus: float = 0.01) -> Shaped:
    """The default reward less a cost for every bar in which a position was held, plus bonuses for managing the stop.

    Warning: the rewards of an episode no longer add up to its profit. Judge a policy by its trades, never by this sum.

    Bonuses (Phase 2) pay for what an action really changed, seen in a position that is still open after the step:
    `break_even_bonus` when MOVE_SL_TO_BE moved the stop, which happens at most once in a position; `trail_bonus` when
    the trailing stop takes the stop over: when it moves a stop that it did not move last. ENABLE_TRAIL that moves
    nothing pays nothing, and neither does switching it off and on again, as the stop is the trail's already: at most
    one in a position, or two with the move to break-even between them. By default all three together are 0.03 R, less
    than a round trip costs (0.03 of the NQ's ordinary stop of 433 dollars, early in 2025, is 13 dollars; two ticks and
    two commissions are 15), so that no trade is opened for them. Keep larger ones below that, too.

    All three are in units of the reward scale. Raises ValueError for a negative number or one that is not finite.
    """
    _check(holding_cost=holding_cost, break_even_bonus=break_even_bonus, trail_bonus=trail_bonus)
    return Shaped(float(holding_cost), float(break_even_bonus), float(trail_bonus))


def account_value(discount: float = 0.99) -> AccountValue:
    """Change of the account's own value: (payouts received - fees + discount * F(after) - F(before)) / reward scale.

    F(state) is `life_value.expected_dollars`, what a driftless market would still bring, and 0 after the last step of a
    life. So a policy is paid for payouts, and feels at each bar what the bar did to their odds. This is potential-based
    shaping: A. Ng, D. Harada and S. Russell, "Policy invariance under reward transformations: theory and application to
    reward shaping", ICML 1999. It leaves the optimal policy what it is for payouts and fees alone, where `discount` is
    the learner's own (`gamma` of `PPOConfig`). With a discount of 1 the rewards of a whole life add up to its payouts
    less the fees after its first step, less F at its start.

    For environments with `account_life=True`. Raises ValueError for a discount that is not from 0 to 1.
    """
    _check(discount=discount)
    if discount > 1:
        raise ValueError(f"discount must be from 0 to 1, got {discount!r}")
    return AccountValue(float(discount))


def _check(signed: bool = False, **numbers: float) -> None:
    for name, number in numbers.items():
        if not math.isfinite(number) or (number < 0 and not signed):
            wanted = "a finite number" if signed else "a finite number, 0 or more"
            raise ValueError(f"{name} must be {wanted}, in units of the reward scale; got {number!r}")
