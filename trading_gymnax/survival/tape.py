"""A policy's sessions as a tape that any account can replay: what its positions met, bar by bar, without any limit.

Within a session an account changes nothing that the policy sees, and what an account does to a position ends the day:
liquidation ends the account, a daily limit the day. So up to that bar every account holds the positions that an account
without limits holds, in proportion to its contracts, and the sessions can be played in any order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax import rules
from trading_gymnax.evaluation import codes
from trading_gymnax.evaluation.evaluate import session_dates, session_starts, switched
from trading_gymnax.evaluation.walk import Step, walk
from trading_gymnax.market import ATR_BITS, CLOSE, HIGH, LOW, OPEN
from trading_gymnax.parameters import MAX_USD
from trading_gymnax.params_life import of_one_session
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.rules import DoneReason
from trading_gymnax.survival.refused import SurvivalRefused

FAR = 2**29  # ticks; a stop or target that the bar did not reach
_BARS = 64  # tapes are padded to a multiple of it, so that few programs are compiled
_NO_LIMIT = 2**30  # steps; longer than any session
_NO_LIFE = {"contract_limit": 0, "scaling_profit": float("inf"), "session_limit": 0, "start_funded": False}

# Columns of `Tape.bars`. Prices are ticks from the fill, positive in the position's favour.
(HOLDING, ENTERED, CONTRACTS, OPENED, BEST, WORST, CLOSED, STOP_LEVEL, TARGET_LEVEL, SLIP, STOP_SLIP) = range(11)
MUST_FLAT, DATA_END = 11, 12
NUM_COLUMNS = 13


class Tape(NamedTuple):
    """S sessions of up to E bars: those in which a position was held, and each session's last one."""

    bars: jax.Array  # int32 [S, E, 13], padded with bars in which nothing happens
    num_bars: jax.Array  # before the padding, int32 [S]
    tick_cents: jax.Array  # of the session's market, int32 [S]
    commission: jax.Array  # cents a contract and side, int32 [S]
    follows: jax.Array  # the market's next session, -1 after its last one, int32 [S]
    stop_first: jax.Array  # bool ()
    target_through_ticks: jax.Array  # int32 ()


@dataclasses.dataclass(frozen=True, eq=False)
class Recording:
    """A walked policy."""

    tape: Tape
    market_id: np.ndarray  # of each session, int [S]
    date: np.ndarray  # datetime64[D] [S]
    entry_rate: float  # entries / steps at which one was legal; 0 without such steps
    trades: int


def acts_on_account(env: TradingPhase1) -> bool:
    """Whether what a policy does depends on its account, by what it sees or by the sizes that it may choose from."""
    return bool(env.account_features or env.entry_sizes)


def record(
    policy: Any, env: TradingPhase1, params: Any, *, key: jax.Array, sampled: bool = False, max_contracts: int
) -> Recording:
    """Walk a policy once through every usable session of the view, on accounts that no rule can end.

    Args:
        policy, env, params, key, sampled: as in `evaluate_policy`. A policy with a memory starts each session afresh.
        max_contracts: most contracts that sizes by risk may choose; an account's own limit is applied when it replays.

    Raises ValueError as `evaluate_policy` does, and SurvivalRefused for an environment with `account_features=True` or
    `entry_sizes`.
    """
    if env.account_features:
        raise SurvivalRefused(
            "this environment has account_features=True, so its policy acts on the account and its sessions cannot be "
            "replayed on another one; judge a policy of an environment without them"
        )
    if env.entry_sizes:
        raise SurvivalRefused(
            "in this environment an entry chooses its size (entry_sizes), and which sizes there are depends on the "
            "account, so that its sessions cannot be replayed on another one or at another size; judge a policy of an "
            "environment without them"
        )
    off = float("inf")
    params = of_one_session(params).replace(
        max_steps_in_episode=_NO_LIMIT,
        terminate_at_session_end=True,
        forced_entry_fraction=0.0,
        daily_loss_limit=off,
        profit_target=off,
        # Puts the floor out of reach; without a limit phase 2 would no longer show the drawdown.
        floor_lock=-float(MAX_USD),
        max_contracts=max_contracts,
        **(_NO_LIFE if env.account_life else {}),
    )
    market_id, first = session_starts(env, params)
    steps, session = walk(env, switched(policy, sampled), params, market_id, first, key)
    if codes.among(steps.done_reason, codes.done(codes.BREACHED, codes.LAPSED)).any():
        raise SurvivalRefused(
            f"a session loses more than {MAX_USD:,} dollars, the most that can be replayed; use fewer contracts"
        )
    if not np.isin(steps.done_reason, (DoneReason.NONE, DoneReason.SESSION_END, DoneReason.DATA_END)).all():
        raise AssertionError("a session ended in a way that no account without rules can end; report this as a fault")
    entered = (steps.side != 0) & (steps.entry_bar == steps.bar)
    legal = steps.legal[:, rules.BUY] | steps.legal[:, rules.SELL]
    return Recording(
        tape=_tape(steps, session, params, market_id),
        market_id=market_id,
        date=session_dates(params.market, market_id, first),
        entry_rate=float(entered.sum() / max(legal.sum(), 1)),
        trades=int(entered.sum()),
    )


def _tape(steps: Step, session: np.ndarray, params: Any, market_id: np.ndarray) -> Tape:
    size = len(market_id)
    last = np.append(session[1:] != session[:-1], True)
    kept = np.flatnonzero((steps.side != 0) | last)
    rows, of = _rows(Step(*(field[kept] for field in steps)), market_id[session[kept]], params), session[kept]
    count = np.bincount(of, minlength=size)
    table = np.zeros((size, count.max(), NUM_COLUMNS), np.int32)
    table[of, np.arange(len(of)) - (np.cumsum(count) - count)[of]] = rows
    commission = np.asarray(rules.cents(params.commission_per_side))
    return Tape(
        bars=jnp.asarray(table),
        num_bars=jnp.asarray(count, jnp.int32),
        tick_cents=jnp.asarray(np.asarray(params.market.tick_cents)[market_id], jnp.int32),
        commission=jnp.asarray(commission[market_id], jnp.int32),
        follows=jnp.asarray(next_sessions(market_id), jnp.int32),
        stop_first=jnp.asarray(params.stop_first),
        target_through_ticks=jnp.asarray(params.target_through_ticks),
    )


def next_sessions(market_id: np.ndarray) -> np.ndarray:
    """Of sessions by date, each of a market: the same market's next one, -1 after its last; int [S]."""
    follows = np.full(len(market_id), -1)
    for m in np.unique(market_id):
        mine = np.flatnonzero(market_id == m)
        follows[mine[:-1]] = mine[1:]
    return follows


def join_tapes(walks: Sequence[Tape]) -> Tape:
    """Several walks of the same sessions one after another: session s of walk w is session w * S + s."""
    bars_padded = -(-max(tape.bars.shape[1] for tape in walks) // _BARS) * _BARS
    bars = [jnp.pad(tape.bars, ((0, 0), (0, bars_padded - tape.bars.shape[1]), (0, 0))) for tape in walks]
    of_sessions = ("num_bars", "tick_cents", "commission")
    joined = {name: jnp.concatenate([getattr(tape, name) for tape in walks]) for name in of_sessions}
    size = len(walks[0].follows)
    follows = [jnp.where(tape.follows >= 0, tape.follows + size * at, -1) for at, tape in enumerate(walks)]
    return walks[0]._replace(bars=jnp.concatenate(bars), follows=jnp.concatenate(follows), **joined)


class _Atr(NamedTuple):
    atr: jax.Array


def _rows(steps: Step, market_id: np.ndarray, params: Any) -> np.ndarray:
    """int32 [N, 13]. A stop that the bar did not reach need not be known: the bar reaches none beyond its extremes.

    Of a stop that filled, fill + slippage gives the level, or the open that had jumped over it; either fills alike.
    """
    bars = np.asarray(params.market.bars)
    now = _Atr(jnp.asarray(bars[market_id, steps.bar - 1, ATR_BITS].view(np.float32)))
    slip, stop_slip = (np.asarray(f(now, params)) for f in (rules.slippage, rules.stop_slippage))  # type: ignore[arg-type]
    side, entry_up = steps.side, steps.side * steps.entry_price
    open_, high, low, close = (side * bars[market_id, steps.bar, at] - entry_up for at in (OPEN, HIGH, LOW, CLOSE))
    exit_ = side * steps.exit_price - entry_up
    holding = side != 0
    at_target = holding & codes.among(steps.exit_reason, codes.exits(codes.AT_TARGET))
    at_stop = holding & codes.among(steps.exit_reason, codes.exits(codes.AT_LEVEL, by=codes.OWN))
    columns = [
        holding,
        holding & (steps.entry_bar == steps.bar),
        np.where(holding, steps.contracts, 0),
        open_,
        np.where(side > 0, high, low),
        np.where(side > 0, low, high),
        close,
        np.where(at_stop, exit_ + stop_slip, -FAR),
        np.where(at_target, exit_, FAR),
        slip,
        stop_slip,
        steps.done_reason == DoneReason.SESSION_END,
        steps.done_reason == DoneReason.DATA_END,
    ]
    return np.stack(columns, axis=1).astype(np.int32)
