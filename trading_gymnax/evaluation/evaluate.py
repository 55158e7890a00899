"""A policy judged on a market view: every usable session once and in order, each on a fresh account.

What comes out adds up: the trades' nets give the change of the balance to the cent, and the rewards times the reward
scale the change of equity. Both are checked here, and a result that fails them is refused.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import numpy as np
import pandas as pd

from trading_gymnax import rules
from trading_gymnax.data.sessions import NEW_YORK
from trading_gymnax.evaluation.walk import Step, walk
from trading_gymnax.market import SESSION_AND_BREAK, MarketData
from trading_gymnax.params import EnvParams
from trading_gymnax.params_life import of_one_session
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.starts import session_plan
from trading_gymnax.text import count_text, usd

OPEN = "OPEN"  # exit reason of a position that the end of the data left open
_NO_LIMIT = 2**30  # steps; longer than any session


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """What a policy did in N sessions. Dollars, points, New York time."""

    trades: pd.DataFrame
    """One row a round trip, in the order of sessions and time: market, date (of the session), entry_time (when the
    order filled: the open of the first bar, or the close before it with fill_at_close), exit_time (close of the last
    bar), side (+1 long, -1 short), contracts, entry_price, exit_price (points), bars_held, exit_reason (OPEN where the
    data ended first; then valued at the last close), net_usd, commission_usd, slippage_usd (both contained in net_usd),
    worst_open_usd and best_open_usd (lowest and highest open profit: extremes of the bars that the position lived
    through; of a bar in which a level or the target took it out, the open and the exit only), risk_usd (initial stop
    distance), worst_r and best_r (excursion in units of that), notional_usd (price * dollars a point * contracts, of
    entry and exit together; of the entry alone where OPEN)."""
    bars: pd.DataFrame
    """One row a step: market, date, time (close of the bar), action (name, as chosen), equity_usd, floor_usd (NaN
    without one), position (side after the step), stop_price and target_price (points, in force during the bar; NaN
    where no position was held in it)."""
    sessions: pd.DataFrame
    """One row a session: market, date, net_usd (change of equity), trades, winning_trades, done_reason, steps,
    steps_in_position, entry_steps (an entry was legal), entries, ambiguous_bars, illegal_actions."""
    actions: pd.DataFrame
    """One row an action, by name: chosen, legal_steps, chosen_legal; share (of all steps), share_when_legal."""
    initial_balance_usd: float

    def __repr__(self) -> str:
        walked = f"{count_text(len(self.trades), 'trade')} in {count_text(len(self.sessions), 'session')}"
        return f"Evaluation({walked}, net {usd(self.sessions['net_usd'].sum())})"

    @property
    def equity(self) -> pd.Series:
        """Chained equity: the initial balance and the nets of all sessions up to each, dollars, [N]."""
        index = pd.MultiIndex.from_frame(self.sessions[["date", "market"]])
        return pd.Series(self.initial_balance_usd + self.sessions["net_usd"].cumsum().to_numpy(), index)


def evaluate_policy(
    policy: Any, env: TradingPhase1, params: Any, *, key: jax.Array, sampled: bool = False
) -> Evaluation:
    """Walk a policy through every usable session of `params.market`'s view once, in order, all side by side.

    A session is played from its first entry-allowed bar under the parameters' hours to its end, on a fresh account;
    `max_steps_in_episode`, `terminate_at_session_end` and `forced_entry_fraction` of the parameters do not count. The
    rules of the account do: a breach, the daily limit or the profit target ends a session early. With `account_life`
    each session is the first of an evaluation, which a pass ends.

    Args:
        policy: called as `policy(key, obs, mask) -> action` with obs float32 [B, n] and mask bool [B, a], or for one
            observation at a time (then it is vmapped); or, with a memory, `policy.initial_carry(B)` and `policy(key,
            obs, mask, carry) -> (action, carry)`. Traced by JAX. A pytree's arrays are arguments of the program.
        env: the environment that the parameters belong to.
        params: concrete parameters; their market's view is what is walked.
        key: typed key for a policy that draws.
        sampled: for policies with a switch of that name (those of `purejaxrl_ppo`): draw actions, or take the most
            probable ones. Other policies decide that by themselves.

    Raises:
        ValueError: the view has no usable session, the policy returns what is no action, or sampled=True for a policy
            without the switch.
        AssertionError: the books do not balance; then the rules are at fault and no figure can be trusted.
    """
    if not isinstance(env, TradingPhase1) or not isinstance(params, EnvParams) or not callable(policy):
        given = ", ".join(type(one).__name__ for one in (policy, env, params))
        raise ValueError(f"evaluate_policy takes a policy, a trading environment and its parameters, got {given}")
    policy = switched(policy, sampled)
    params = of_one_session(params)
    params = params.replace(max_steps_in_episode=_NO_LIMIT, terminate_at_session_end=True, forced_entry_fraction=0.0)
    market_id, first = session_starts(env, params)
    steps, session = walk(env, policy, params, market_id, first, key)
    table = _Table(params.market, params, market_id, first)
    sessions = _sessions(steps, session, table)
    trades, net_cents = _trades(steps, session, table)
    _check_books(steps, session, net_cents, env, table)
    return Evaluation(
        trades=trades,
        bars=_bars(steps, session, table, env),
        sessions=sessions,
        actions=_actions(steps, env),
        initial_balance_usd=table.initial_cents / 100,
    )


def switched(policy: Any, sampled: bool) -> Any:
    """The policy with its switch `sampled` set, where it has one. Raises ValueError for sampled=True without one."""
    has_switch = isinstance(getattr(policy, "sampled", None), bool) and hasattr(policy, "replace")
    if has_switch:
        return policy.replace(sampled=sampled)
    if sampled:
        raise ValueError(
            "this policy has no switch `sampled`, so it decides by itself whether it draws; leave out sampled=True"
        )
    return policy


@functools.partial(jax.jit, static_argnums=1)
def _plan(params: Any, window: int) -> tuple[jax.Array, jax.Array]:
    plan = session_plan(params, window)
    return plan.by_rank[..., 0], plan.usable_count


def session_starts(env: TradingPhase1, params: Any) -> tuple[np.ndarray, np.ndarray]:
    """Market and first decision bar of every usable session of the view, int [N] each, by date and market."""
    first, count = (np.asarray(x) for x in _plan(params, env.window))
    market_id = np.repeat(np.arange(len(count)), count)
    bar = np.concatenate([first[m, :n] for m, n in enumerate(count)])
    if len(bar) == 0:
        raise ValueError(
            "no session of the view is usable under the parameters' hours "
            f"({float(params.rth_open):g} to {float(params.rth_close):g}); choose other dates or hours"
        )
    dates = session_dates(params.market, market_id, bar)
    order = np.lexsort((market_id, dates))
    return market_id[order], bar[order]


def session_dates(market: MarketData, market_id: np.ndarray, bar: np.ndarray) -> np.ndarray:
    """Date that names the session of each bar, datetime64[D] [N]."""
    session = np.asarray(market.bars)[market_id, bar, SESSION_AND_BREAK] >> 1
    return np.asarray(market.session_date)[market_id, session].astype("datetime64[D]")


class _Table:
    """What the frames need of the market, on the host; one entry a session."""

    def __init__(self, market: MarketData, params: Any, market_id: np.ndarray, first: np.ndarray) -> None:
        self.close_minute = np.asarray(market.close_minute)
        self.bar_minutes = np.asarray(market.bar_minutes)
        self.tick_cents = np.asarray(market.tick_cents)
        self.tick_size = np.array([spec.tick_size for spec in market.specs])
        self.symbols = np.array(market.symbols)
        self.commission_cents = np.asarray(rules.cents(params.commission_per_side))
        self.reward_scale = np.asarray(params.reward_scale, np.float64)
        self.initial_cents = int(rules.cents(params.initial_balance))
        self.fill_at_close = bool(params.fill_at_close)
        extras = float(params.pass_reward), float(params.violation_penalty)
        self.reward_is_profit = not any(extras)
        self.reward_is_realized = bool(params.reward_realized)
        self.market_id = market_id
        self.date = session_dates(market, market_id, first)

    def label(self, session: np.ndarray) -> dict[str, Any]:
        """The columns that name a session, for rows of these sessions."""
        return {"market": self.symbols[self.market_id[session]], "date": _dates(self.date[session])}

    def time(self, session: np.ndarray, bar: np.ndarray) -> np.ndarray:
        """UTC minute at which a bar closes."""
        return self.close_minute[self.market_id[session], bar].astype("datetime64[m]")


def _dates(date: np.ndarray) -> np.ndarray:
    return date.astype("datetime64[s]")


def _new_york(utc: np.ndarray) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(utc.astype("datetime64[s]")).tz_localize("UTC").tz_convert(NEW_YORK)


def _sessions(steps: Step, session: np.ndarray, table: _Table) -> pd.DataFrame:
    count = len(table.date)
    last = np.searchsorted(session, np.arange(count), side="right") - 1
    is_trade = (steps.exit_reason != 0) | steps.left_open
    entered = (steps.side != 0) & (steps.entry_bar == steps.bar)
    legal_choice = np.take_along_axis(steps.legal, steps.action[:, None], axis=1)[:, 0]

    def total(flags: np.ndarray) -> np.ndarray:
        return np.bincount(session, weights=flags, minlength=count).astype(np.int64)

    return pd.DataFrame(
        {
            **table.label(np.arange(count)),
            "net_usd": (steps.equity[last].astype(np.int64) - table.initial_cents) / 100,
            "trades": total(is_trade),
            "winning_trades": total(is_trade & (steps.pnl > 0)),
            "done_reason": np.array(rules.DONE_REASONS)[steps.done_reason[last]],
            "steps": total(np.ones(len(session))),
            "steps_in_position": total(steps.side != 0),
            "entry_steps": total(steps.legal[:, rules.BUY] | steps.legal[:, rules.SELL]),
            "entries": total(entered),
            "ambiguous_bars": total(steps.ambiguous),
            "illegal_actions": total(~legal_choice),
        }
    )


def _trades(steps: Step, session: np.ndarray, table: _Table) -> tuple[pd.DataFrame, np.ndarray]:
    """The trade list, and the session and net cents of each trade, int64 [2, trades]."""
    rows = np.flatnonzero((steps.exit_reason != 0) | steps.left_open)
    t, at = Step(*(field[rows] for field in steps)), session[rows]
    m = table.market_id[at]
    tick_usd = table.tick_cents[m] / 100 * t.contracts
    sides_paid = np.where(t.left_open, 1, 2)
    entry = table.time(at, t.entry_bar - 1)
    if not table.fill_at_close:  # a hole in the bars may lie between the order and the open at which it fills
        entry = table.time(at, t.entry_bar) - table.bar_minutes[m].astype("timedelta64[m]")
    frame = pd.DataFrame(
        {
            **table.label(at),
            "entry_time": _new_york(entry),
            "exit_time": _new_york(table.time(at, t.bar)),
            "side": t.side,
            "contracts": t.contracts,
            "entry_price": t.entry_price * table.tick_size[m],
            "exit_price": t.exit_price * table.tick_size[m],
            "bars_held": t.bar - t.entry_bar + 1,
            "exit_reason": np.where(t.left_open, OPEN, np.array(rules.EXIT_REASONS)[t.exit_reason]),
            "net_usd": t.pnl / 100,
            "commission_usd": sides_paid * t.contracts * table.commission_cents[m] / 100,
            "slippage_usd": t.slippage_ticks * tick_usd,
            "worst_open_usd": t.worst_ticks * tick_usd,
            "best_open_usd": t.best_ticks * tick_usd,
            "risk_usd": t.stop_ticks * tick_usd,
            "worst_r": t.worst_ticks / t.stop_ticks,
            "best_r": t.best_ticks / t.stop_ticks,
            "notional_usd": (t.entry_price + np.where(t.left_open, 0, t.exit_price.astype(np.int64))) * tick_usd,
        }
    )
    return frame, np.stack([at.astype(np.int64), t.pnl.astype(np.int64)])


def _bars(steps: Step, session: np.ndarray, table: _Table, env: TradingPhase1) -> pd.DataFrame:
    floor = np.where(steps.floor == rules.FLOOR_OFF, np.nan, steps.floor / 100)
    point = np.where(steps.side != 0, table.tick_size[table.market_id[session]], np.nan)
    return pd.DataFrame(
        {
            **table.label(session),
            "time": _new_york(table.time(session, steps.bar)),
            "action": pd.Categorical.from_codes(steps.action, env.action_names),
            "equity_usd": steps.equity / 100,
            "floor_usd": floor,
            "position": steps.position,
            "stop_price": steps.stop_price * point,
            "target_price": steps.target_price * point,
        }
    )


def _actions(steps: Step, env: TradingPhase1) -> pd.DataFrame:
    chosen = np.bincount(steps.action, minlength=env.num_actions)
    legal_choice = np.take_along_axis(steps.legal, steps.action[:, None], axis=1)[:, 0]
    chosen_legal = np.bincount(steps.action[legal_choice], minlength=env.num_actions)
    legal_steps = steps.legal.sum(axis=0)
    return pd.DataFrame(
        {
            "chosen": chosen,
            "legal_steps": legal_steps,
            "chosen_legal": chosen_legal,
            "share": chosen / len(steps.action),
            "share_when_legal": np.where(legal_steps > 0, chosen_legal / np.maximum(legal_steps, 1), np.nan),
        },
        index=pd.Index(env.action_names, name="action"),
    )


def _check_books(steps: Step, session: np.ndarray, trades: np.ndarray, env: TradingPhase1, table: _Table) -> None:
    """Nets of the trades against balance and equity, in whole cents; rewards against equity, in float32."""
    count = len(table.date)
    last = np.searchsorted(session, np.arange(count), side="right") - 1
    nets = np.bincount(trades[0], weights=trades[1], minlength=count)
    equity = steps.equity[last].astype(np.int64) - table.initial_cents
    balance = steps.balance[last].astype(np.int64) - table.initial_cents
    open_at_end = np.where(steps.left_open[last], steps.pnl[last], 0)
    paid_for_open = steps.contracts[last] * table.commission_cents[table.market_id] * steps.left_open[last]
    _require_equal(nets, equity, "the nets of the trades", "the change of equity", table)
    _require_equal(
        nets - open_at_end - paid_for_open, balance, "the nets of the trades", "the change of balance", table
    )
    if env.reward_fn is None and table.reward_is_profit:
        # A reward is rounded to 24 bits; a session adds up at most as many such errors as it has steps.
        scale = table.reward_scale[table.market_id] * 100
        rewards = np.bincount(session, weights=steps.reward, minlength=count) * scale
        moved = np.bincount(session, weights=np.abs(steps.reward), minlength=count) * scale
        change = balance if table.reward_is_realized else equity
        _require_equal(rewards, change, "rewards * reward_scale", "the change of the account", table, moved)


def _require_equal(
    one: np.ndarray, other: np.ndarray, what: str, against: str, table: _Table, moved: Any = 0.0
) -> None:
    """Cents a session must agree; with `moved` cents of float32 rewards to their rounding."""
    wrong = np.flatnonzero(np.abs(one - other) > 1e-6 * np.asarray(moved))
    if len(wrong):
        at = wrong[0]
        raise AssertionError(
            f"the books do not balance in {len(wrong)} of {len(one)} sessions: on {table.date[at]} {what} give "
            f"{one[at] / 100:,.2f} dollars and {against} {other[at] / 100:,.2f}; report this as a fault of the rules"
        )
