"""The rules once more: one account, plain Python, an ordinary `gymnasium.Env`.

Written from docs/rules.md alone, to be read next to it: the methods of `ReferenceEnv` follow its sections,
and `step` is its section 3 line by line. Nothing is shared with the JAX environments, which must agree with
this file on every tick, cent, decision and reason code. Prices are int ticks and money is int cents; float32
appears only where docs/rules.md prescribes it (a distance made from an ATR, a dollar parameter turned into
cents), and in observations and rewards.
"""

from __future__ import annotations

import bisect
import dataclasses
import enum
import math
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np

from trading_gymnax.data.loader import Bars
from trading_gymnax.text import did_you_mean

MINUTES_PER_DAY = 1440
MAX_DISTANCE_TICKS = 2**20
USABLE_WITHIN_MINUTES = 5
FLOOR_OFF = -(2**31) + 1  # state.floor while the trailing limit is inf, cents
LIMIT_OFF = 2**31 - 1  # state.trailing_limit while the trailing limit is inf, cents
RESET_OPTIONS = ("market_id", "bar", "forced_side")


class Action(enum.IntEnum):
    """Section 4."""

    HOLD = 0
    BUY = 1
    SELL = 2
    MOVE_SL_TO_BE = 3
    ENABLE_TRAIL = 4
    DISABLE_TRAIL = 5


class ExitReason(enum.IntEnum):
    """Why the position was closed in this step."""

    NONE = 0
    STOP = 1
    TRAIL = 2
    BREAKEVEN = 3
    TARGET = 4
    LIQUIDATION = 5
    DAILY_LOSS = 6
    SESSION_CLOSE = 7
    BREACH_CLOSE = 8


class DoneReason(enum.IntEnum):
    """Why the episode ended in this step; TIME_LIMIT and DATA_END truncate, the others terminate."""

    NONE = 0
    DRAWDOWN = 1
    DAILY_LOSS = 2
    PROFIT_TARGET = 3
    SESSION_END = 4
    TIME_LIMIT = 5
    DATA_END = 6
    EXPIRED = 7
    LAST_PAYOUT = 8


class HighWaterMode(enum.IntEnum):
    """Which equity moves the high-water mark."""

    BAR_CLOSE = 0
    INTRABAR = 1
    END_OF_DAY = 2


@dataclasses.dataclass(slots=True)
class ReferenceParams:
    """Section 6. May be changed between steps; money in dollars, inf switches a rule off."""

    max_steps_in_episode: int = 450
    initial_balance: float = 50_000.0
    position_size: int = 1
    risk_per_trade: float = 0.0  # dollars; 0: always position_size contracts
    max_contracts: int = 10
    sl_atr_mult: float = 1.5
    tp_sl_ratio: float = 3.0
    min_stop_ticks: int = 4
    slippage_ticks: int = 1
    slippage_atr_mult: float = 0.0
    stop_slippage_ticks: int = 1
    stop_slippage_atr_mult: float = 0.0
    target_through_ticks: int = 1
    commission_per_side: float | Sequence[float] | None = None  # dollars; None: each market's contract table
    fill_at_close: bool = False
    stop_first: bool = True
    trailing_dd_limit: float = 15_000.0
    high_water_mode: int = HighWaterMode.BAR_CLOSE
    floor_lock: float = math.inf
    daily_loss_limit: float = math.inf
    daily_loss_fails: bool = False
    profit_target: float = math.inf
    rth_open: float = 9.5  # New York clock hours
    rth_close: float = 16 + 59 / 60
    terminate_at_session_end: bool = True
    random_start_fraction: float = 0.5
    min_bars_left: int = 30
    forced_entry_fraction: float = 0.0
    reward_scale: float | Sequence[float] | None = None  # dollars; None: each market's median R
    reward_realized: bool = False
    pass_reward: float = 0.0
    violation_penalty: float = 0.0
    market_weights: Sequence[float] | None = None  # None: every market as likely
    trail_atr_mult: float = 1.0  # this and the next two: Phase 2
    be_min_profit_atr: float = 0.0
    mask_no_ops: bool = False


@dataclasses.dataclass(slots=True)
class ReferenceState:
    """Section 6. Prices and distances in ticks, money in cents; position fields are 0 when flat."""

    market_id: int
    step_idx: int  # decision bar t
    trailing_limit: int  # latched at reset; LIMIT_OFF when off
    initial_balance: int  # latched at reset
    balance: int
    equity: int  # at the close of the last step
    high_water_mark: int
    floor: int  # FLOOR_OFF when off
    session_start_equity: int
    forced_side: int = 0  # +1, -1: the side that the first mask allows alone
    session_number: int = 1  # of the episode
    time: int = 0  # steps of the episode
    day_over: bool = False  # ended by the daily loss limit and not slept over, or never begun
    data_end: bool = False  # nothing is left to trade
    num_trades: int = 0  # closed round trips
    winning_trades: int = 0
    position: int = 0  # side
    contracts: int = 0
    entry_price: int = 0
    entry_balance: int = 0  # before the entry commission
    sl_price: int = 0
    tp_price: int = 0
    initial_stop_ticks: int = 0  # D
    original_sl_price: int = 0
    position_entry_step: int = 0  # bar of the entry
    stop_origin: int = 0  # 0 as placed, else ExitReason.TRAIL or BREAKEVEN: what moved the stop last
    trailing_stop_active: bool = False
    highest_profit_point: int = 0
    be_move_count: int = 0


POSITION_FIELDS = (
    *("position", "contracts", "entry_price", "entry_balance", "sl_price", "tp_price", "initial_stop_ticks"),
    *("original_sl_price", "position_entry_step", "stop_origin"),
    *("trailing_stop_active", "highest_profit_point", "be_move_count"),
)


@dataclasses.dataclass(slots=True)
class Fill:
    """What one step did, for the later rules of the step and for a user's reward function."""

    t: int  # decision bar
    u: int  # outcome bar
    must_flat: bool
    action: int = Action.HOLD  # as executed; BUY or SELL for an entry of any size
    size: int = 0  # which of the entry sizes
    invalid_action: bool = False
    exit_reason: int = ExitReason.NONE
    exit_price: int = 0
    trade_pnl: int = 0  # cents, net of both commissions
    ambiguous_bar: bool = False
    best_equity: int | None = None  # at the better extreme, where INTRABAR counts it
    breached: bool = False
    passed: bool = False  # the evaluation of a whole life was passed, which ends the day
    done_reason: int = DoneReason.NONE


RewardFn = Callable[[ReferenceState, ReferenceState, Fill, ReferenceParams], float]


def cents(dollars: float) -> int:
    """A dollar parameter in whole cents (section 1)."""
    return int(np.rint(np.float32(dollars) * np.float32(100)))


def scaled_ticks(multiple: float, quantity: float | np.floating[Any], lowest: int) -> int:
    """round(multiple * quantity) in float32, half to even, clipped to [lowest, 2^20] ticks (section 1)."""
    return int(min(max(np.rint(np.float32(multiple) * np.float32(quantity)), lowest), MAX_DISTANCE_TICKS))


class ReferenceEnv(gymnasium.Env[np.ndarray, int]):
    """One trading account under docs/rules.md.

    bars: one market or several with the same number of features.
    phase: 1 (HOLD, BUY, SELL) or 2 (also MOVE_SL_TO_BE, ENABLE_TRAIL, DISABLE_TRAIL).
    window: bars in the observation. account_features: append the four account numbers of section 5.1.
    entry_sizes: of section 4.4, the smallest first; () for entries of one size.
    view: (first, end) session indices that episodes may use, one pair per market (one pair alone for one
        market); None: all sessions.
    reward_fn: (state before, state after, fill, params) -> reward, in place of section 3.11.
    params: any field of `ReferenceParams`; an unknown name raises ValueError. `env.params` may be changed
        between steps. By default `trailing_dd_limit` is 15,000 in Phase 1 and 2,500 in Phase 2.

    Observation: float32 (window * (num_features + 3) + 5,), Phase 2 six more, account_features four more, entry_sizes
    one more.
    `info`: section 7, and "action_mask" of the state after the step. `state` is the account itself.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  (gymnasium's own signature)
    Params: type[ReferenceParams] = ReferenceParams
    State: type[ReferenceState] = ReferenceState
    num_account_features = 4

    def __init__(
        self,
        bars: Bars | Sequence[Bars],
        phase: int = 1,
        window: int = 20,
        account_features: bool = False,
        entry_sizes: Sequence[int] = (),
        view: Sequence[Any] | None = None,
        reward_fn: RewardFn | None = None,
        **params: Any,
    ) -> None:
        self.markets: tuple[Bars, ...] = (bars,) if isinstance(bars, Bars) else tuple(bars)
        if phase not in (1, 2):
            raise ValueError(f"phase must be 1 or 2, got {phase!r}")
        if window < 1:
            raise ValueError(f"window must be at least 1 bar, got {window}")
        if len({market.features.shape[1] for market in self.markets}) != 1:
            raise ValueError("give at least one market, and all markets the same number of features")
        known = [f.name for f in dataclasses.fields(self.Params)]
        for name in params:
            if name not in known:
                raise ValueError(f"unknown parameter {name!r}, {did_you_mean(name, known)}")
        self.phase, self.window, self.account_features = phase, window, account_features
        self.entry_sizes = tuple(entry_sizes)
        self.reward_fn = reward_fn
        self.params = self.Params(**({"trailing_dd_limit": 15_000.0 if phase == 1 else 2_500.0} | params))
        self.view = self._checked_view(view)
        self._cached_hours: tuple[float, float] = (math.nan, math.nan)
        self._cached_bars: dict[tuple[int, int], list[int]] = {}  # decision bars under the cached hours
        self._median_r = [math.nan] * len(self.markets)
        if self.params.reward_scale is None:
            self._median_r = [self._median_r_of(market_id) for market_id in range(len(self.markets))]
        size = window * (self.markets[0].features.shape[1] + 3) + 5
        size += 6 * (phase == 2) + self.num_account_features * account_features + bool(self.entry_sizes)
        any_number = np.full(size, np.finfo(np.float32).max / 4, np.float32)
        self.observation_space = gymnasium.spaces.Box(-any_number, any_number, dtype=np.float32)
        self.num_ordinary = 3 if phase == 1 else 6
        self.action_space = gymnasium.spaces.Discrete(self.num_ordinary + 2 * len(self.entry_sizes[1:]))
        self.state: ReferenceState
        self._over = True

    def _checked_view(self, view: Sequence[Any] | None) -> list[tuple[int, int]]:
        """One (first, end) pair of session indices per market."""
        if view is None:
            return [(0, len(market.session_start)) for market in self.markets]
        pairs = list(view) if isinstance(view[0], Sequence) else [view]
        if len(pairs) != len(self.markets):
            raise ValueError(f"view needs one (first, end) pair per market: {len(self.markets)}, got {len(pairs)}")
        checked = [(int(first), int(end)) for first, end in pairs]
        for market, (first, end) in zip(self.markets, checked, strict=True):
            if not 0 <= first < end <= len(market.session_start):
                raise ValueError(f"view ({first}, {end}) must lie in the {len(market.session_start)} sessions")
        return checked

    # ---------------------------------------------------------------- section 2: the clock

    def _open_minute(self, market: Bars, rth_open: float) -> int:
        """Minute since the session's start at which entries begin."""
        clock = int(np.rint(np.float32(60) * np.float32(rth_open)))
        return (clock - market.spec.session_start_minute) % MINUTES_PER_DAY

    def _flat_minute(self, market: Bars, session: int, rth_close: float) -> int:
        """F: the minute since the session's start from which a bar is must-flat by the calendar."""
        clock = int(np.rint(np.float32(60) * np.float32(rth_close)))
        close_minute = (clock - market.spec.session_start_minute - 1) % MINUTES_PER_DAY + 1
        return min(close_minute, int(market.scheduled_close[session]))

    def _open_by_the_clock(self, market: Bars, first: int, end: int, hours: tuple[float, float]) -> list[int]:
        """The bars of [first, end), all of one session, where the clock allows an entry.

        The bar that plays the entry must itself end before must-flat.
        """
        if first >= end:
            return []
        opens = self._open_minute(market, hours[0])
        flat = self._flat_minute(market, int(market.session[first]), hours[1])
        times = market.time[first:end].tolist()
        return [first + i for i, time in enumerate(times) if opens <= time and time + market.bar_minutes < flat]

    def _must_flat(self, market: Bars, bar: int) -> bool:
        """As an outcome: by the calendar, or because the next bar of the table is of another session."""
        session = int(market.session[bar])
        if int(market.time[bar]) >= self._flat_minute(market, session, self.params.rth_close):
            return True
        return bar + 1 < len(market.time) and int(market.session[bar + 1]) != session

    def _decision_bars(self, market_id: int, session: int, hours: tuple[float, float]) -> list[int]:
        if hours != self._cached_hours:
            self._cached_hours, self._cached_bars = hours, {}
        if (market_id, session) not in self._cached_bars:
            market = self.markets[market_id]
            first = max(int(market.session_start[session]), self._first_decision_bar(market))
            end = int(market.session_end[session]) - 1  # the step of its last bar would play another session
            self._cached_bars[market_id, session] = self._open_by_the_clock(market, first, end, hours)
        return self._cached_bars[market_id, session]

    def _first_decision_bar(self, market: Bars) -> int:
        """Warm-up is over, and every feature of the window is finite."""
        return max(market.first_decision_bar, market.first_finite_bar + self.window - 1)

    def _usable_sessions(self, market_id: int, hours: tuple[float, float]) -> list[int]:
        market, (first, end) = self.markets[market_id], self.view[market_id]
        usable = []
        for session in range(first, end):
            flat = self._flat_minute(market, session, hours[1])
            reaches = int(market.time[market.session_end[session] - 1]) >= flat - USABLE_WITHIN_MINUTES
            if reaches and self._decision_bars(market_id, session, hours):
                usable.append(session)
        return usable

    def _hours(self) -> tuple[float, float]:
        return self.params.rth_open, self.params.rth_close

    def decision_bars(self, market_id: int, session: int) -> list[int]:
        """Entry-allowed bars of the session on which an episode may start, under the current parameters."""
        return list(self._decision_bars(market_id, session, self._hours()))

    def usable_sessions(self, market_id: int) -> list[int]:
        """Sessions of the view that serve as ground for episodes, under the current parameters."""
        return self._usable_sessions(market_id, self._hours())

    def random_start_bars(self, market_id: int, session: int) -> list[int]:
        """Decision bars with `min_bars_left` bars before must-flat, or the first decision bar if none has."""
        market, bars = self.markets[market_id], self.decision_bars(market_id, session)
        flat = self._flat_minute(market, session, self.params.rth_close)
        start, end = int(market.session_start[session]), int(market.session_end[session])
        open_bars = [bar for bar in range(start, end) if market.time[bar] < flat]
        left = [len(open_bars) - bisect.bisect_right(open_bars, bar) for bar in bars]
        enough = [bar for bar, count in zip(bars, left, strict=True) if count >= self.params.min_bars_left]
        return enough or bars[:1]

    def _median_r_of(self, market_id: int) -> float:
        """Default reward scale in dollars: 1.5 median ATRs of the decision bars, times the contracts."""
        market = self.markets[market_id]
        sessions = self._usable_sessions(market_id, market.rth)
        if not sessions:
            raise ValueError(
                f"market {market.spec.symbol} has no usable session in the view; "
                "give more data, a wider view, or a reward_scale"
            )
        bars = [bar for session in sessions for bar in self._decision_bars(market_id, session, market.rth)]
        atr = market.atr[bars]
        return 1.5 * float(np.median(atr)) * market.spec.tick_value_cents / 100 * self.params.position_size

    # ---------------------------------------------------------------- reset

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """A fresh account; the start is drawn by section 2.5, or given.

        options: "market_id", "bar" (decision bar of that market, 0 by default) and "forced_side" (+1, -1, 0).
        Where no session is usable the first step ends the episode. Raises ValueError for other options, for a bar that
        cannot be a decision bar, and for a market that is given and has no usable session while others have.
        """
        super().reset(seed=seed)
        options = dict(options or {})
        for name in options:
            if name not in RESET_OPTIONS:
                raise ValueError(f"unknown option {name!r}, {did_you_mean(name, RESET_OPTIONS)}")
        if "bar" in options:
            market_id, forced = int(options.get("market_id", 0)), int(options.get("forced_side", 0))
            bar = self._checked_bar(market_id, int(options["bar"]))
        else:
            market_id = int(options["market_id"] if "market_id" in options else self._draw_market())
            bar = self._draw_bar(market_id)
            forced = int(options["forced_side"] if "forced_side" in options else self._draw_forced_side())
        p = self.params
        idle = "bar" not in options and not self._tradable()
        balance = cents(p.initial_balance)
        limit = LIMIT_OFF if math.isinf(p.trailing_dd_limit) else cents(p.trailing_dd_limit)
        self.state = self.State(
            market_id=market_id,
            step_idx=bar,
            forced_side=forced,
            trailing_limit=limit,
            initial_balance=balance,
            balance=balance,
            equity=balance,
            high_water_mark=balance,
            floor=FLOOR_OFF,
            session_start_equity=balance,
            day_over=idle,
            data_end=idle,
        )
        self._raise_floor()
        self._begin_life()
        self._over = False
        return self._observation(), self._info(Fill(bar, bar, False))

    def _begin_life(self) -> None:
        """Section 9 begins here, of accounts that have a life."""

    def _draw_market(self) -> int:
        weights = self._weights()
        return int(self.np_random.choice(len(self.markets), p=weights / weights.sum()))

    def _weights(self) -> np.ndarray:
        """Of the draw of a market, not normalised: of those with a usable session, where there is one."""
        given = self.params.market_weights
        weights = np.ones(len(self.markets)) if given is None else np.asarray(given, np.float64)
        usable = np.array([bool(self.usable_sessions(m)) for m in range(len(self.markets))])
        return weights * usable if np.any(weights * usable > 0) else weights

    def _tradable(self) -> bool:
        """Whether a market that may be drawn has a usable session."""
        weights = self._weights()
        return any(self.usable_sessions(m) for m in np.flatnonzero(weights > 0).tolist())

    def _idle_bar(self, market_id: int) -> int:
        """Where an account stands that cannot trade: the view's first bar with a window."""
        market = self.markets[market_id]
        first = int(market.session_start[self.view[market_id][0]])
        return min(max(first, self.window), len(market.time) - 2)

    def _draw_bar(self, market_id: int) -> int:
        usable = self.usable_sessions(market_id)
        if not self._tradable():
            return self._idle_bar(market_id)
        if not usable:
            symbol = self.markets[market_id].spec.symbol
            raise ValueError(f"market {symbol} has no usable session in the view; check rth_open and rth_close")
        session = usable[int(self.np_random.integers(len(usable)))]
        if self.np_random.random() < self.params.random_start_fraction:
            starts = self.random_start_bars(market_id, session)
            return starts[int(self.np_random.integers(len(starts)))]
        return self.decision_bars(market_id, session)[0]

    def _draw_forced_side(self) -> int:
        if self.np_random.random() >= self.params.forced_entry_fraction:
            return 0
        return int(self.np_random.choice([1, -1]))

    def _checked_bar(self, market_id: int, bar: int) -> int:
        market = self.markets[market_id]
        first = self._first_decision_bar(market)
        if not first <= bar < len(market.time) - 1:
            raise ValueError(f"bar {bar} cannot be a decision bar: choose one from {first} to {len(market.time) - 2}")
        return bar

    # ---------------------------------------------------------------- section 3: one step

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play one outcome bar. Raises RuntimeError before `reset` and after an end."""
        if self._over:
            raise RuntimeError("the episode is over: call reset() before step()")
        s = self.state
        before = dataclasses.replace(s)
        fill = Fill(s.step_idx, s.step_idx + 1, self._must_flat(self._market, s.step_idx + 1))
        self._check_legality(action, fill)  # 1
        self._manage_stop(fill)  # 2
        self._enter(fill)  # 3
        self._play_bar(fill)  # 4
        self._flat_by_the_close(fill)  # 5; every exit does its accounting, 6
        self._mark_to_market(fill)  # 7
        self._move_high_water_mark(fill)  # 8
        self._close_on_breach(fill)  # 8
        self._trail(fill)  # 9
        terminated, truncated = self._end_or_go_on(fill)  # 10
        reward = self._reward(before, fill)  # 11
        self._over = terminated or truncated
        return self._observation(), reward, terminated, truncated, self._info(fill)

    def _check_legality(self, action: int, fill: Fill) -> None:
        """3.1: an illegal action acts as HOLD."""
        mask = self.action_masks()
        fill.invalid_action = not (0 <= int(action) < len(mask) and bool(mask[int(action)]))
        if fill.invalid_action:
            return
        if action < self.num_ordinary:
            fill.action = Action(int(action))
        else:  # pairs of BUY and SELL, one a size from the second on
            pair, is_sell = divmod(int(action) - self.num_ordinary, 2)
            fill.action, fill.size = (Action.SELL if is_sell else Action.BUY), pair + 1

    def _manage_stop(self, fill: Fill) -> None:
        """3.2: the stop is moved at the close of t."""
        s = self.state
        if fill.action == Action.MOVE_SL_TO_BE and self._move_stop(s.entry_price, ExitReason.BREAKEVEN):
            s.be_move_count += 1
        elif fill.action == Action.ENABLE_TRAIL:
            s.trailing_stop_active = True
            self._move_stop(self._trail_candidate(fill.t), ExitReason.TRAIL)
        elif fill.action == Action.DISABLE_TRAIL:
            s.trailing_stop_active = False

    def _move_stop(self, price: int, origin: ExitReason) -> bool:
        """A stop only ever moves to a better level; says whether it moved."""
        s = self.state
        if s.position * price <= s.position * s.sl_price:
            return False
        s.sl_price, s.stop_origin = price, int(origin)
        return True

    def _trail_candidate(self, bar: int) -> int:
        distance = scaled_ticks(self.params.trail_atr_mult, self._market.atr[bar], lowest=1)
        return int(self._market.close[bar]) - self.state.position * distance

    def _enter(self, fill: Fill) -> None:
        """3.3: fill, stop and target, contracts, one commission per contract."""
        if fill.action not in (Action.BUY, Action.SELL):
            return
        s, p, market = self.state, self.params, self._market
        side = 1 if fill.action == Action.BUY else -1
        price = int(market.close[fill.t]) if p.fill_at_close else int(market.open[fill.u])
        stop_ticks = self._stop_ticks(fill.t)
        s.position = side
        s.contracts = self._contracts_of_size(fill.t, fill.size)
        s.entry_price = price + side * self._slippage(fill.t)
        s.sl_price = s.original_sl_price = s.entry_price - side * stop_ticks
        s.tp_price = s.entry_price + side * scaled_ticks(p.tp_sl_ratio, stop_ticks, lowest=1)
        s.initial_stop_ticks = stop_ticks
        s.position_entry_step = fill.u
        s.entry_balance = s.balance
        s.balance -= self._commission()

    def _stop_ticks(self, bar: int) -> int:
        """D."""
        p = self.params
        return max(p.min_stop_ticks, scaled_ticks(p.sl_atr_mult, self._market.atr[bar], lowest=1))

    def _contracts(self, bar: int) -> int:
        """Size of an entry decided at `bar`."""
        p = self.params
        if p.risk_per_trade <= 0:
            return p.position_size
        risk_per_contract = self._stop_ticks(bar) * self._market.spec.tick_value_cents
        return min(max(cents(p.risk_per_trade) // risk_per_contract, 0), p.max_contracts)

    def _contracts_of_size(self, bar: int, size: int) -> int:
        """4.4: of an entry of that size; 0 where it is not offered."""
        contracts = self._contracts(bar)
        if not self.entry_sizes:
            return contracts
        limits = [self.params.max_contracts] if self.params.risk_per_trade > 0 else []
        limits += self._contracts_allowed()
        cut = min([contracts * self.entry_sizes[size], *limits])
        is_more = size == 0 or cut > min([contracts * self.entry_sizes[size - 1], *limits])
        return cut if is_more else 0

    def _contracts_allowed(self) -> list[int]:
        """The account's limit of contracts, where there is one."""
        return []

    def _slippage(self, bar: int) -> int:
        p = self.params
        return p.slippage_ticks + scaled_ticks(p.slippage_atr_mult, self._market.atr[bar], lowest=0)

    def _stop_slippage(self, bar: int) -> int:
        p = self.params
        return p.stop_slippage_ticks + scaled_ticks(p.stop_slippage_atr_mult, self._market.atr[bar], lowest=0)

    def _commission(self) -> int:
        """One side of the open position, cents."""
        own = self.params.commission_per_side
        dollars = self._market.spec.commission_per_side if own is None else self._of_market(own)
        return self.state.contracts * cents(dollars)

    def _play_bar(self, fill: Fill) -> None:
        """3.4: the nearest level A on the worse side, the target G on the better."""
        s, p, market = self.state, self.params, self._market
        side, target = s.position, s.tp_price
        if side == 0:
            return
        level, reason = self._nearest_level()
        opened = int(market.open[fill.u])
        worst, best = int(market.low[fill.u]), int(market.high[fill.u])
        if side == -1:
            worst, best = best, worst
        stop_slippage = self._stop_slippage(fill.t)
        gaps_to_stop = side * opened <= side * level
        gaps_to_target = side * opened >= side * target
        level_hit = side * worst <= side * level
        target_hit = side * best >= side * target + p.target_through_ticks
        if gaps_to_stop:
            self._exit(fill, opened - side * stop_slippage, reason)
            return
        fill.ambiguous_bar = not gaps_to_target and level_hit and target_hit
        # inside one bar nothing tells which came first: by default the loss did
        stopped = level_hit and not gaps_to_target and (p.stop_first or not target_hit)
        if stopped:
            self._exit(fill, level - side * stop_slippage, reason)
        elif gaps_to_target or target_hit:
            fill.best_equity = self._equity_at(target)
            self._exit(fill, target, ExitReason.TARGET)
        else:
            fill.best_equity = self._equity_at(best)

    def _nearest_level(self) -> tuple[int, ExitReason]:
        """A and what an exit there is called: the level nearest to the market; a tie in this order."""
        s, p = self.state, self.params
        worth = self._market.spec.tick_value_cents * s.contracts  # cents per tick of the whole position
        levels = [(s.sl_price, ExitReason(s.stop_origin) if s.stop_origin else ExitReason.STOP)]
        if s.trailing_limit != LIMIT_OFF:
            ticks = (s.balance - s.floor) // worth + 1  # the first loss that leaves less than the floor
            levels.append((s.entry_price - s.position * ticks, ExitReason.LIQUIDATION))
        if not math.isinf(p.daily_loss_limit):
            room = s.balance - s.session_start_equity + cents(p.daily_loss_limit)
            ticks = -(-room // worth)  # rounded up: the first loss that reaches the limit
            levels.append((s.entry_price - s.position * ticks, ExitReason.DAILY_LOSS))
        return max(levels, key=lambda level: s.position * level[0])

    def _equity_at(self, price: int) -> int:
        s = self.state
        ticks = s.position * (price - s.entry_price)
        return s.balance + ticks * s.contracts * self._market.spec.tick_value_cents

    def _flat_by_the_close(self, fill: Fill) -> None:
        """3.5: no position survives a must-flat bar."""
        if self.state.position != 0 and fill.must_flat:
            self._exit_at_close(fill, ExitReason.SESSION_CLOSE)

    def _exit_at_close(self, fill: Fill, reason: ExitReason) -> None:
        close = int(self._market.close[fill.u])
        self._exit(fill, close - self.state.position * self._slippage(fill.t), reason)

    def _exit(self, fill: Fill, price: int, reason: ExitReason) -> None:
        """3.6: the second commission, the result, and a flat account."""
        s = self.state
        s.balance = self._equity_at(price) - self._commission()
        fill.exit_reason, fill.exit_price = int(reason), price
        fill.trade_pnl = s.balance - s.entry_balance
        s.num_trades += 1
        s.winning_trades += fill.trade_pnl > 0
        for name in POSITION_FIELDS:
            setattr(s, name, type(getattr(s, name))())

    def _mark_to_market(self, fill: Fill) -> None:
        """3.7."""
        self.state.equity = self._equity_at(int(self._market.close[fill.u]))

    def _move_high_water_mark(self, fill: Fill) -> None:
        """3.8, first half."""
        s, mode = self.state, self.params.high_water_mode
        if mode != HighWaterMode.END_OF_DAY or fill.must_flat:
            s.high_water_mark = max(s.high_water_mark, s.equity)
        if mode == HighWaterMode.INTRABAR and fill.best_equity is not None:
            s.high_water_mark = max(s.high_water_mark, fill.best_equity)
        self._raise_floor()

    def _raise_floor(self) -> None:
        """The floor follows the high-water mark up to the lock, and never falls."""
        s, p = self.state, self.params
        if s.trailing_limit == LIMIT_OFF:
            return
        floor = s.high_water_mark - s.trailing_limit
        if not math.isinf(p.floor_lock):
            floor = min(floor, s.initial_balance + cents(p.floor_lock))
        s.floor = max(s.floor, floor)

    def _close_on_breach(self, fill: Fill) -> None:
        """3.8, second half: equity at the close below the floor."""
        s = self.state
        fill.breached = s.trailing_limit != LIMIT_OFF and s.equity < s.floor
        if fill.breached and s.position != 0:
            self._exit_at_close(fill, ExitReason.BREACH_CLOSE)
            s.equity = s.balance

    def _trail(self, fill: Fill) -> None:
        """3.9: the stop for the next bar, and the best close so far."""
        s = self.state
        if s.position == 0:
            return
        if s.trailing_stop_active:
            self._move_stop(self._trail_candidate(fill.u), ExitReason.TRAIL)
        profit = s.position * (int(self._market.close[fill.u]) - s.entry_price)
        s.highest_profit_point = max(s.highest_profit_point, profit)

    def _end_or_go_on(self, fill: Fill) -> tuple[bool, bool]:
        """3.10: (terminated, truncated), the reason, and the next decision bar."""
        s, p = self.state, self.params
        daily = self._daily_limit_reached(fill)
        if not s.data_end:  # else nothing was there to trade
            fill.done_reason = self._terminal_reason(fill, daily)
        terminated = fill.done_reason != DoneReason.NONE

        s.step_idx = fill.u
        s.time += 1
        s.day_over = daily
        data_end = s.data_end or fill.u == len(self._market.time) - 1
        if (fill.must_flat or fill.passed or daily) and not terminated:
            data_end = not self._sleep() or s.data_end
        s.data_end = data_end
        out_of_time = s.time >= p.max_steps_in_episode
        if not terminated and (out_of_time or data_end):
            fill.done_reason = DoneReason.TIME_LIMIT if out_of_time else DoneReason.DATA_END
        return terminated, out_of_time or data_end

    def _terminal_reason(self, fill: Fill, daily: bool) -> DoneReason:
        p = self.params
        if fill.breached or fill.exit_reason == ExitReason.LIQUIDATION:
            return DoneReason.DRAWDOWN
        if daily and (p.daily_loss_fails or p.terminate_at_session_end):
            return DoneReason.DAILY_LOSS
        if self._profit_target_reached():
            return DoneReason.PROFIT_TARGET
        if fill.must_flat and p.terminate_at_session_end:
            return DoneReason.SESSION_END
        return DoneReason.NONE

    def _daily_limit_reached(self, fill: Fill) -> bool:
        if fill.exit_reason == ExitReason.DAILY_LOSS:
            return True
        s, limit = self.state, self.params.daily_loss_limit
        return not math.isinf(limit) and s.equity - s.session_start_equity <= -cents(limit)

    def _profit_target_reached(self) -> bool:
        s, target = self.state, self.params.profit_target
        return s.position == 0 and not math.isinf(target) and s.balance >= s.initial_balance + cents(target)

    def _sleep(self) -> bool:
        """To the first decision bar of the next usable session; False where the view holds none."""
        s = self.state
        session = int(self._market.session[s.step_idx])
        later = [usable for usable in self.usable_sessions(s.market_id) if usable > session]
        if not later:
            return False
        s.step_idx = self.decision_bars(s.market_id, later[0])[0]
        s.session_start_equity = s.equity
        s.session_number += 1
        s.day_over = False
        return True

    def _reward(self, before: ReferenceState, fill: Fill) -> float:
        """3.11."""
        s, p = self.state, self.params
        if self.reward_fn is not None:
            return float(self.reward_fn(before, dataclasses.replace(s), fill, p))
        change = s.balance - before.balance if p.reward_realized else s.equity - before.equity
        change += self._withdrawn(before)
        scale = self._median_r[s.market_id] if p.reward_scale is None else self._of_market(p.reward_scale)
        reward = np.float32(change) / np.float32(100) / np.float32(scale)
        if fill.done_reason == DoneReason.PROFIT_TARGET:
            reward += np.float32(p.pass_reward)
        if fill.done_reason == DoneReason.DRAWDOWN:
            reward -= np.float32(p.violation_penalty)
        return float(reward)

    def _withdrawn(self, before: ReferenceState) -> int:
        """What left the account in this step by no trade, cents."""
        return 0

    @property
    def _market(self) -> Bars:
        return self.markets[self.state.market_id]

    def _of_market(self, value: float | Sequence[float]) -> float:
        """A parameter that is one number or one per market."""
        return float(value[self.state.market_id] if isinstance(value, (Sequence, np.ndarray)) else value)

    # ---------------------------------------------------------------- section 4: masks

    def action_masks(self) -> np.ndarray:
        """bool (num_actions,): what is legal at the state's decision bar."""
        s = self.state
        entry = s.position == 0 and self._entry_allowed()
        forced = entry and s.time == 0 and s.forced_side != 0
        mask = [
            not forced,
            entry and not (forced and s.forced_side < 0),
            entry and not (forced and s.forced_side > 0),
        ]
        if self.phase == 2:
            mask += self._management_mask()
        for size in range(1, len(self.entry_sizes)):
            offered = self._contracts_of_size(s.step_idx, size) > 0
            mask += [offered and mask[Action.BUY], offered and mask[Action.SELL]]
        return np.array(mask, np.bool_)

    def _entry_allowed(self) -> bool:
        s = self.state
        by_the_clock = self._open_by_the_clock(self._market, s.step_idx, s.step_idx + 1, self._hours())
        return bool(by_the_clock) and not s.day_over and self._contracts(s.step_idx) > 0

    def _management_mask(self) -> list[bool]:
        """MOVE_SL_TO_BE, ENABLE_TRAIL, DISABLE_TRAIL."""
        s, p, market = self.state, self.params, self._market
        if s.position == 0:
            return [False, False, False]
        profit = s.position * (int(market.close[s.step_idx]) - s.entry_price)
        needed = np.float32(p.be_min_profit_atr) * market.atr[s.step_idx]
        mask = [bool(np.float32(profit) > needed), True, True]
        if p.mask_no_ops:
            mask[0] &= self._would_move(s.entry_price)
            mask[1] = not s.trailing_stop_active or self._would_move(self._trail_candidate(s.step_idx))
            mask[2] = s.trailing_stop_active
        return mask

    def _would_move(self, price: int) -> bool:
        s = self.state
        return s.position * price > s.position * s.sl_price

    # ---------------------------------------------------------------- section 5: observation

    def _observation(self) -> np.ndarray:
        """float32 vector: the window oldest bar first, then the position, then the account."""
        s, p, market = self.state, self.params, self._market
        bars = slice(s.step_idx - self.window + 1, s.step_idx + 1)
        flat = [self._flat_minute(market, int(session), p.rth_close) for session in market.session[bars]]
        minutes = market.time[bars]
        window = np.column_stack(
            [
                np.where(np.isfinite(market.features[bars]), market.features[bars], 0),
                market.hour[bars] / 24,
                (minutes - self._open_minute(market, p.rth_open)) / 390,
                (np.array(flat) - minutes) / 390,
            ]
        )
        account = self._position_block()
        if self.phase == 2:
            account += self._management_block()
        if self.account_features:
            account += self._account_block()
        if self.entry_sizes:
            most = p.max_contracts if p.risk_per_trade > 0 else self.entry_sizes[-1] * p.position_size
            account.append(s.contracts / most)
        return np.concatenate([window.ravel(), account]).astype(np.float32)

    def _position_block(self) -> list[float]:
        s, market = self.state, self._market
        if s.position == 0:
            return [0.0] * 5
        close, atr = int(market.close[s.step_idx]), max(float(market.atr[s.step_idx]), 1.0)
        return [
            float(s.position),
            s.position * (close - s.entry_price) / atr,
            s.position * (close - s.sl_price) / atr,
            s.position * (s.tp_price - close) / atr,
            (s.step_idx - s.position_entry_step + 1) / 390,
        ]

    def _management_block(self) -> list[float]:
        s = self.state
        drawdown = 0.0 if s.trailing_limit == LIMIT_OFF else (s.high_water_mark - s.equity) / max(s.trailing_limit, 1)
        if s.position == 0:
            return [0.0] * 5 + [drawdown]
        profit = s.position * (int(self._market.close[s.step_idx]) - s.entry_price)
        locked = s.position * (s.sl_price - s.entry_price)
        return [
            float(s.trailing_stop_active),
            float(locked >= 0),
            profit / s.initial_stop_ticks,
            s.highest_profit_point / s.initial_stop_ticks,
            locked / s.initial_stop_ticks,
            drawdown,
        ]

    def _account_block(self) -> list[float]:
        s, p = self.state, self.params
        block = [0.0, 0.0, 0.0, s.session_number / 30]
        if s.trailing_limit != LIMIT_OFF:
            block[0] = (s.equity - s.floor) / max(s.trailing_limit, 1)
        if not math.isinf(p.profit_target):
            target = cents(p.profit_target)
            block[1] = (s.initial_balance + target - s.equity) / max(target, 1)
        if not math.isinf(p.daily_loss_limit):
            limit = cents(p.daily_loss_limit)
            block[2] = (s.equity - s.session_start_equity + limit) / max(limit, 1)
        return block

    # ---------------------------------------------------------------- section 7: info

    def _info(self, fill: Fill) -> dict[str, Any]:
        s = self.state
        return {
            "equity": s.equity / 100,
            "balance": s.balance / 100,
            "trade_pnl": fill.trade_pnl / 100,
            "equity_cents": s.equity,
            "balance_cents": s.balance,
            "trade_pnl_cents": fill.trade_pnl,
            "exit_reason": int(fill.exit_reason),
            "done_reason": int(fill.done_reason),
            "invalid_action": fill.invalid_action,
            "ambiguous_bar": fill.ambiguous_bar,
            "position": s.position,
            "market_id": s.market_id,
            "action_mask": self.action_masks(),
        }
