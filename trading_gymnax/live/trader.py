"""`Trader`: a trained policy called once for each new bar, seeing what it saw in training."""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import math
import pathlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from trading_gymnax import rules
from trading_gymnax.data.indicators import DEFAULT_FEATURES, NAMED_FEATURES
from trading_gymnax.data.loader import WARM_UP_BARS, Bars
from trading_gymnax.evaluation.evaluate import _switched
from trading_gymnax.live.bars import PRICES, BadBar, Bar, iso
from trading_gymnax.live.books import AWAKE, GAP, OVER, Books, FillError, Terms
from trading_gymnax.live.decision import Account, Decision, Exit, Order
from trading_gymnax.live.features import StreamingFeatures
from trading_gymnax.live.feed import Feed, Note, Row, date_of
from trading_gymnax.live.fills import Trade, Working
from trading_gymnax.live.guard import Guard, GuardState
from trading_gymnax.live.program import Programs
from trading_gymnax.live.store import StateError, Store
from trading_gymnax.live.tape import Tape, live_params
from trading_gymnax.market import session_hours
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.runs import environment_on, read_settings
from trading_gymnax.text import count_text

POLICY_LOADER = "purejaxrl_ppo:load_policy"
"""What loads the policy of a run's folder where nothing else is given: a name, looked up when a run is loaded."""
_NO_LIMIT = 2**30  # steps; a live account has no episode of a given length
GAP_MINUTES = 10.0


class Trader:
    """A policy, an account and a feed: `decision = trader.on_bar(bar)`.

    Args:
        policy: as for `evaluate_policy`.
        env: what it was trained in, or one with the same window and features.
        params: the rules, costs and hours of the account. `max_steps_in_episode` and forced starts do not count.
        history: checked bars up to now, `load_bars(...)`. Features go on from its first bar: the more it holds, the
            less they depend on where it begins; bars of the training table give the training's features to the bit.
        market: symbol of one of the policy's markets, where there are several.
        folder: where state and ledger are kept; a trader in the folder of another goes on from it. None: in memory.
        guard: limits of the whole account; by default those that `params` give one.
        gap_minutes: silence of the feed, inside a session, after which an open position is closed.
        sampled, seed: for policies with a switch `sampled`: draw actions, by the minute of the bar and this seed.
        timezone, timestamps_mark, snap_to_tick, repair: how the feed's bars are read, as by `load_bars`.
        own: names of features that come with the bars, being columns of the table and not computed by name.
        durable: wait for the disk after every bar.

    Raises:
        ValueError: arguments that do not fit one another.
        StateError: the folder holds another account's state, or a damaged one.
        RuntimeError: this machine's pandas computes features that streaming does not reproduce to the bit.
    """

    def __init__(
        self,
        policy: Any,
        env: TradingPhase1,
        params: Any,
        history: Bars,
        *,
        market: str | None = None,
        folder: pathlib.Path | str | None = None,
        guard: Guard | None = None,
        gap_minutes: float = GAP_MINUTES,
        sampled: bool = False,
        seed: int = 0,
        timezone: str | None = None,
        timestamps_mark: str | None = None,
        snap_to_tick: bool = False,
        repair: Sequence[str] = (),
        own: Sequence[str] | None = None,
        durable: bool = True,
    ) -> None:
        table = params.market
        self.market_id = table.market_id(market) if market is not None else _only_market(table.symbols)
        self.spec, self.env = table.specs[self.market_id], env
        self.bar_minutes = int(np.asarray(table.bar_minutes)[self.market_id])
        _check_history(history, self.spec, self.bar_minutes, table.feature_names)
        if not gap_minutes > 0:
            raise ValueError(f"gap_minutes is a time above 0, or inf; got {gap_minutes!r}")
        self.gap_minutes, self.guard = gap_minutes, Guard.of(params) if guard is None else guard
        params = params.replace(max_steps_in_episode=_NO_LIMIT, forced_entry_fraction=0.0)
        policy = _switched(policy, sampled)
        self.programs, self.tape = Programs(env, policy), Tape(table, self.market_id, env.window)
        self._hours = self._session_hours(params)
        self._key = jax.random.key(seed)
        self._minute = self._day = self._close = self._slippage = 0  # of the last bar
        terms = self._terms(params)
        self.books = Books(self.programs, live_params(params, self.market_id, env.window), self.tape, terms)
        own = _own_columns(table.feature_names) if own is None else tuple(own)
        self.features = StreamingFeatures(table.feature_names, self.spec, own)
        self.feed = Feed(
            self.spec,
            self.bar_minutes,
            mark_is_end=timestamps_mark == "end",
            timezone=timezone,
            snap_to_tick=snap_to_tick or "off_tick" in repair,
            keeps_holidays="holiday_trading" in repair,
            own=own,
        )
        self._warm = max(WARM_UP_BARS, history.first_decision_bar, history.first_finite_bar + env.window - 1)
        self.guard_state = GuardState(terms.initial_cents, terms.initial_cents)
        self.decision: Decision | None = None  # the last one
        self.log: list[Note] = []  # lines of the last call
        self._identity = _identity(policy, params, self.spec, env, seed)
        self.store = None if folder is None else Store(folder, durable=durable)
        saved = None if self.store is None else self.store.load()
        self.resumed = saved is not None
        if saved is None:
            self._start(history)
        else:
            self._resume(saved)
        self.feed.clock.look_ahead(self.feed.last or 0)

    @classmethod
    def load(
        cls,
        run_dir: pathlib.Path | str,
        history: Bars | Any,
        *,
        checkpoint: str = "last",
        load_policy: Callable[..., Any] | None = None,
        market: str | None = None,
        changes: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Trader:
        """The policy of a run, in the environment, by the rules and with the costs that it was trained for.

        Args:
            run_dir: folder of the run.
            history: bars up to now, a file or a frame read as the run's were, or what `load_bars` made of one.
            checkpoint: which of the run's policies, "last" or "best".
            load_policy: called as `load_policy(run_dir, sampled=..., checkpoint=...)`; by default the bundled
                trainer's.
            market: symbol of the bars, where the run has several markets.
            changes: parameters that differ from the run's, {"position_size": 2} say.
            options: those of `Trader`.

        Raises as `Trader`; FileNotFoundError for a folder without a run.
        """
        run_dir = pathlib.Path(run_dir)
        settings = read_settings(run_dir)
        loader = load_policy or pkgutil.resolve_name(POLICY_LOADER)
        env, params, bars = environment_on(settings, history, market)
        policy = loader(run_dir, sampled=False, checkpoint=checkpoint)
        reading = {name: settings.loader[name] for name in _FEED_OPTIONS if name in settings.loader}
        if changes:
            params = params.replace(**changes)
        return cls(policy, env, params, bars, market=bars.spec.symbol, **{**reading, **options})

    # -- bars --

    def on_bar(self, bar: Bar | Mapping[str, Any], *, missed: bool = False) -> Decision:
        """One new bar, and what to do now.

        Args:
            bar: a `Bar`, or a mapping with time, open, high, low, close and volume.
            missed: the bar is older than now, so that no order at it can be sent: the policy sees it, and does nothing.

        A bar that is left out changes nothing; `decision.ignored` and the log say why.
        """
        self.log = []
        row, notes = self._take(bar)
        for note in notes:
            self._note(note)
        if row is None:
            decision = self._ignored(notes[-1].text)
            self._save()
            return decision
        decision = self._on_row(row, missed)
        self.decision = decision
        if self.store is not None:
            opening, high, low, close = (x * self.spec.tick_size for x in row.ticks)
            line = {"kind": "bar", "minute": row.minute, "open": opening, "high": high, "low": low, "close": close}
            self.store.note(line | {"volume": row.volume, "own": row.own} | {"decision": decision.to_dict()})
        self._save()
        return decision

    def _take(self, bar: Bar | Mapping[str, Any]) -> tuple[Row | None, list[Note]]:
        try:
            return self.feed.take(bar if isinstance(bar, Bar) else Bar.of(bar))
        except BadBar as bad:
            return None, [Note("bad_bar", f"left out: {bad}", True)]

    def _on_row(self, row: Row, missed: bool) -> Decision:
        atr, features = self.features.update(row.ticks, row.volume, row.own)
        new_session = self._day != row.place.day
        ended = self._end_session(row) if new_session else None
        self.tape.push(row, atr, features)
        self._close, self._minute, self._day = row.ticks[3], row.minute, row.place.day
        if new_session:
            self.guard_state.begin_session(self.equity)
        trade = ended
        if self.books.phase == AWAKE:
            trade, _ = self.books.play(row.minute, row.place.day)
            trade = self._close_after_gap(row) or trade
        elif self._wakes(row, features):
            self.books.begin(row.place.day)
        blocked = self.guard_state.see(self.equity, self.guard)
        if self.guard_state.says(blocked):
            self._note(Note("guard", f"{iso(row.minute)}: {blocked}: nothing more is entered", False))
        made = None if trade is None else self._book(trade)
        if self.books.phase != AWAKE:
            return self._at_rest(row, made, self._why_at_rest(row))
        return self._decide(row, made, blocked, missed)

    def _end_session(self, row: Row) -> Trade | None:
        """The last session ended with the account awake: no bar came that had to be flat."""
        if self.books.phase != AWAKE:
            return None
        trade, text = self.books.end_of_feed(self._minute, self._day, self._slippage)
        self._note(Note("session_cut", f"{iso(self._minute)}: {text}", False))
        return trade

    def _close_after_gap(self, row: Row) -> Trade | None:
        silent = row.missing * self.bar_minutes
        if silent <= self.gap_minutes or not self.books.account["position"]:
            return None
        text = f"{iso(row.minute)}: {silent} minutes without a bar: the position is closed"
        self._note(Note("gap", text, True))
        return self.books.close_at(row.minute, row.ticks[3], self._slippage, GAP)

    def on_time(self, now: dt.datetime) -> Decision | None:
        """Call it while no bar comes. Where the feed has been silent for too long the position is closed.

        Returns the decision to flatten, or None.
        """
        if now.tzinfo is None:
            raise ValueError("now must carry an offset: datetime.now(timezone.utc) say")
        silent = now.timestamp() / 60 - self._minute
        if self.books.phase != AWAKE or not self.books.account["position"] or silent <= self.gap_minutes:
            return None
        self.log = []
        self._note(Note("gap", f"{iso(self._minute)}: {silent:.0f} minutes without a bar: close the position", True))
        trade = self.books.close_at(int(now.timestamp() // 60), self._close, self._slippage, GAP)
        made = self._book(trade)
        decision = self._frame(why="the feed is silent", flatten=True, exit=made)
        self._save()
        return decision

    def _wakes(self, row: Row, features: np.ndarray) -> bool:
        """Whether this is the first bar of a session at which an entry is allowed."""
        if self.books.phase == OVER or self.books.rest_day == row.place.day:
            return False
        return self.tape.count > self._warm and self._in_hours(row) and bool(np.isfinite(features).all())

    def _in_hours(self, row: Row) -> bool:
        opening, closing = self._hours
        flat = min(closing, row.place.scheduled_close)
        return opening <= row.place.time and row.place.time + self.bar_minutes < flat

    # -- decisions --

    def _decide(self, row: Row, made: Exit | None, blocked: str | None, missed: bool) -> Decision:
        chosen = self.books.decide(self._key, row.minute)
        numbers, odds = np.asarray(chosen.numbers), np.asarray(chosen.odds)
        action, contracts, stop, target, slippage, managed = numbers[len(self.programs.fields) :][:6].tolist()
        mask = tuple(map(bool, numbers[-self.programs.num_actions :]))
        self._slippage = slippage
        done, why = self._allowed(action, mask, blocked, missed)
        order = None
        if done in (rules.BUY, rules.SELL):
            order = self._order(row, 1 if done == rules.BUY else -1, contracts, stop, target, slippage)
            self.books.commit(done, Working(order.id, row.minute, order.side, contracts, stop, target))
        else:
            self.books.commit(done, None)
        position = self.books.account["position"]
        moved = managed if done == action else self.books.account["sl_price"]
        names = self.env.action_names
        return self._frame(
            action=names[done],
            wanted=names[action],
            why=why if not (mask[rules.BUY] or mask[rules.SELL]) or done != action else "",
            order=order,
            stop_price=moved * self.spec.tick_size if position else None,
            flat_by=self._flat_by(row) if position or order else None,
            exit=made,
            flatten=_must_send(made),
            mask=mask,
            probabilities=tuple(odds[:-1].tolist()) if len(odds) else None,
            value=float(odds[-1]) if len(odds) else None,
            observation=np.asarray(chosen.obs),
        )

    def _allowed(self, action: int, mask: tuple[bool, ...], blocked: str | None, missed: bool) -> tuple[int, str]:
        """The action that is done, and why no other is, or why no entry is allowed."""
        enters = action in (rules.BUY, rules.SELL)
        if missed and action != rules.HOLD:
            return rules.HOLD, "the bar was missed: no order can be sent at it"
        if not mask[action]:
            return rules.HOLD, f"{self.env.action_names[action]} is not legal here"
        if enters and blocked is not None:
            return rules.HOLD, blocked
        if self.books.account["position"]:
            return action, "in position"
        if self.books.account["day_over"]:
            return action, "the day is over: its loss limit was reached"
        return action, "too near to the close to enter"

    def _order(self, row: Row, side: int, contracts: int, stop: int, target: int, slippage: int) -> Order:
        tick, price = self.spec.tick_size, row.ticks[3] + side * slippage
        return Order(
            id=f"{self.spec.symbol}-{row.minute}",
            side=side,
            contracts=contracts,
            type="MARKET_ON_CLOSE" if self._at_close else "MARKET",
            expected_price=price * tick,
            stop_distance=stop * tick,
            target_distance=target * tick,
            stop_price=(price - side * stop) * tick,
            target_price=(price + side * target) * tick,
        )

    def _at_rest(self, row: Row, made: Exit | None, why: str) -> Decision:
        return self._frame(why=why, exit=made, flatten=_must_send(made))

    def _why_at_rest(self, row: Row) -> str:
        if self.books.phase == OVER:
            return "the account is over: a limit or the target was reached"
        if self.books.rest_day == row.place.day:
            return "day over"
        if not self._in_hours(row):
            return "outside hours"
        return f"warming up: {self._warm + 1:,} bars are needed and {self.tape.count:,} are here"

    def _ignored(self, text: str) -> Decision:
        return self._frame(why="the bar was left out", ignored=text)

    def _frame(self, **fields: Any) -> Decision:
        """A decision at the last bar; to do nothing but for the fields given."""
        nothing: dict[str, Any] = {"action": "HOLD", "wanted": "HOLD", "why": "", "exit": None}
        nothing |= {"order": None, "stop_price": None, "flatten": False, "flat_by": None}
        when = {"id": iso(self._minute), "time": self.feed.clock.new_york(self._minute), "session": date_of(self._day)}
        return Decision(**{**nothing, **when, "account": self._account(), **fields})

    def _flat_by(self, row: Row) -> str:
        flat = min(self._hours[1], row.place.scheduled_close)
        return self.feed.clock.new_york(row.minute + flat - row.place.time)

    # -- fills --

    def on_fill(
        self,
        kind: str,
        *,
        price: float | None = None,
        contracts: int | None = None,
        fee: float | None = None,
        rejected: bool = False,
        reason: str = "",
    ) -> None:
        """What really happened to the last order to enter, or to the position. Before the next bar, or late.

        Args:
            kind: "entry" or "exit".
            price: of the fill, points; the average of several.
            contracts: filled in this call; fewer than ordered is a partial fill, and more may follow.
            fee: dollars for these contracts; by default the rule book's commission.
            rejected: the order did not come to be: an entry leaves no position, an exit leaves it open.
            reason: of an exit, STOP or TARGET say.

        A bar that comes without it takes the fill that the rule book would give; told afterwards, the real one takes
        its place, and the log says by how many dollars the books were corrected.

        Raises FillError for a fill that fits no order; it counts as an error and changes nothing else.
        """
        self.log = []
        try:
            text, corrected, closed = self._fill(kind, price, contracts, fee, rejected, reason)
        except FillError as error:
            self._note(Note("bad_fill", f"{iso(self._minute)}: {error}", True))
            self._save()
            raise
        self._note(Note("rejected" if rejected else "fill", f"{iso(self._minute)}: {text}", rejected))
        if self.store is not None:
            told = {"of": kind, "price": price, "contracts": contracts, "fee": fee, "rejected": rejected}
            order = self.books.order.id if self.books.order else ""
            self.store.note({"kind": "fill", "minute": self._minute, "order_id": order, **told, "reason": reason})
            if rejected and corrected:
                self.store.note({"kind": "void", "minute": self._minute, "order_id": order})
        self._book(closed)
        self._save()

    def _fill(
        self, kind: str, price: float | None, contracts: int | None, fee: float | None, rejected: bool, reason: str
    ) -> tuple[str, int, Trade | None]:
        """A line for the log, the cents that correct a closed trade, and a trade that is closed or corrected."""
        if kind not in ("entry", "exit"):
            raise ValueError(f"a fill is of an 'entry' or an 'exit', got {kind!r}")
        if rejected:
            return (*(self.books.entry_rejected() if kind == "entry" else self._exit_rejected()), None)
        if price is None or contracts is None or not math.isfinite(price) or contracts < 1:
            raise FillError(f"a fill has a price and contracts, got price={price!r} and contracts={contracts!r}")
        cents = None if fee is None else round(fee * 100)
        if kind == "entry":
            return self.books.entry_filled(price, contracts, cents)
        return self.books.exit_filled(price, contracts, cents, self._minute, reason)

    def _exit_rejected(self) -> tuple[str, int]:
        """The position is open at the broker: nothing more is entered until an exit is told."""
        self.guard_state.errors += self.guard.max_errors or 0
        return "an exit was rejected: the position may be open, close it by hand and tell its fill", 0

    # -- money --

    @property
    def equity(self) -> int:
        """Cents of the whole account at the last close."""
        return self.books.balance + self.books.open_profit(self._close)

    def _book(self, trade: Trade | None) -> Exit | None:
        """A closed trade, for the ledger and for the decision."""
        if trade is None:
            return None
        tick = self.spec.tick_size
        if self.store is not None:
            prices = {"entry_price": trade.entry_price * tick, "exit_price": trade.exit_price * tick}
            fees = {"fee_usd": (trade.entry_fee + trade.exit_fee) / 100, "net_usd": trade.net / 100}
            told = {"entry_told": trade.entry_told, "exit_told": trade.exit_told}
            names = ("order_id", "minute", "side", "contracts", "exit_minute", "reason")
            fields = {name: getattr(trade, name) for name in names}
            self.store.note({"kind": "trade", **fields, **prices, **fees, **told})
        price, net = trade.exit_price * tick, trade.net / 100
        return Exit(trade.order_id, trade.reason, price, trade.contracts, net, assumed=not trade.exit_told)

    def _account(self) -> Account:
        books, now, tick = self.books, self.books.account, self.spec.tick_size
        open_profit, side = books.open_profit(self._close), now["position"]
        equity = books.balance + open_profit
        floor = None if now["floor"] == rules.FLOOR_OFF else (books.balance - now["balance"] + now["floor"]) / 100
        return Account(
            balance_usd=books.balance / 100,
            equity_usd=equity / 100,
            session_usd=(equity - self.guard_state.session_start_cents) / 100,
            floor_usd=floor,
            side=side,
            contracts=now["contracts"],
            entry_price=now["entry_price"] * tick if side else None,
            stop_price=now["sl_price"] * tick if side else None,
            target_price=now["tp_price"] * tick if side else None,
            open_profit_usd=open_profit / 100,
            trades=books.trades + now["num_trades"],
            winning_trades=books.wins + now["winning_trades"],
            errors=self.guard_state.errors,
        )

    # -- log and state --

    def _note(self, note: Note) -> None:
        self.log.append(note)
        self.guard_state.errors += note.is_error
        if self.store is not None:
            self.store.note({"kind": "event", "minute": self._minute, **note._asdict()})

    def _save(self) -> None:
        if self.store is None:
            return
        state: dict[str, Any] = {
            "identity": self._identity,
            "bar": [self._minute, self._day, self._close, self._slippage],
        }
        for name in _PARTS:
            state[name] = getattr(self, name).snapshot()
        self.store.save(state | {"guard": vars(self.guard_state)})

    def _start(self, history: Bars) -> None:
        """Stream the history, and see that its features come out as they did in the batch."""
        ticks = np.stack([getattr(history, name) for name in PRICES], axis=1).tolist()
        minutes = history.close_time.astype("datetime64[m]").astype(np.int64).tolist()
        days = history.session_date.astype("datetime64[D]").astype(np.int64)[history.session].tolist()
        closes = history.scheduled_close[history.session].tolist()
        own = [history.feature_names.index(name) for name in self.feed.own]
        for at, row in enumerate(ticks):
            given = {name: float(history.features[at, i]) for name, i in zip(self.feed.own, own, strict=True)}
            volume = float(history.volume[at])
            atr, features = self.features.update((row[0], row[1], row[2], row[3]), volume, given)
            batch = history.features[at]
            if atr != history.atr[at] or not np.array_equal(features, batch, equal_nan=True):
                raise RuntimeError(
                    f"bar {at:,} of the history has other features when streamed, {features} and not {batch}: if "
                    "the table holds columns of that name, say so with own=(...); else this machine's pandas rounds "
                    "otherwise"
                )
            if at >= len(ticks) - self.tape.size:
                place = self.feed.clock.place(minutes[at])._replace(day=days[at], scheduled_close=closes[at])
                self.tape.push(Row(minutes[at], place, tuple(row), volume, given, 0), atr, features)
                self.feed.admit(minutes[at], place, (*row, volume))
        self.tape.count = len(ticks)
        self._minute, self._day, self._close = minutes[-1], days[-1], ticks[-1][3]
        if self.store is not None:
            self.store.note({"kind": "start", "minute": self._minute, "identity": self._identity})
            self._save()

    def _resume(self, saved: dict[str, Any]) -> None:
        if saved["identity"] != self._identity:
            differ = [name for name, value in self._identity.items() if saved["identity"].get(name) != value]
            raise StateError(f"the folder holds the state of another account ({', '.join(differ)}): use another one")
        for name in _PARTS:
            getattr(self, name).restore(saved[name])
        self.guard_state = GuardState(**saved["guard"])
        self._minute, self._day, self._close, self._slippage = saved["bar"]

    def _session_hours(self, params: Any) -> tuple[int, int]:
        start = np.asarray(params.market.session_start_minute)[self.market_id]
        opening, closing = session_hours(np.asarray(params.rth_open), np.asarray(params.rth_close), start, np)
        return int(opening), int(closing)

    def _terms(self, params: Any) -> Terms:
        self._at_close = bool(np.asarray(params.fill_at_close))
        commission = np.asarray(rules.cents(params.commission_per_side))[self.market_id]
        tick = self.spec.tick_value_cents
        return Terms(self.spec.tick_size, tick, int(commission), int(rules.cents(params.initial_balance)))

    @property
    def last_time(self) -> str:
        """New York time of the last bar, "2025-03-13 10:30"."""
        return self.feed.clock.new_york(self._minute).replace("T", " ")


_PARTS = ("feed", "features", "tape", "books")  # of a trader that remember something
_FEED_OPTIONS = ("timezone", "timestamps_mark", "snap_to_tick", "repair")


_AT_THE_BROKER = ("STOP", "TRAIL", "BREAKEVEN", "TARGET")  # exits by orders that lie there already


def _must_send(made: Exit | None) -> bool:
    """Whether an exit that the rule book assumed needs an order of the trader's own."""
    return made is not None and made.assumed and made.reason not in _AT_THE_BROKER


def _only_market(symbols: Sequence[str]) -> int:
    if len(symbols) > 1:
        raise ValueError(f"the policy knows {', '.join(symbols)}: say which one is traded, market={symbols[0]!r} say")
    return 0


def _own_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Features that nothing computes, if they are no default ones."""
    if tuple(names) == DEFAULT_FEATURES:
        return ()
    known = {*PRICES, "volume", *NAMED_FEATURES}
    return tuple(name for name in names if name.strip().lower() not in known)


def _check_history(history: Bars, spec: Any, bar_minutes: int, names: Sequence[str]) -> None:
    if not isinstance(history, Bars):
        raise ValueError(f"history is what load_bars made of a table, got {type(history).__name__}")
    if history.spec.tick_size != spec.tick_size or history.spec.calendar != spec.calendar:
        raise ValueError(f"the history is of {history.spec.symbol}, and {spec.symbol} is traded")
    if history.bar_minutes != bar_minutes:
        text = f"{count_text(history.bar_minutes, 'minute')} long"
        raise ValueError(f"the history's bars are {text}, and the policy's {bar_minutes}")
    if tuple(history.feature_names) != tuple(names):
        raise ValueError(f"the history has the features {history.feature_names}, and the policy sees {tuple(names)}")


def _identity(policy: Any, params: Any, spec: Any, env: TradingPhase1, seed: int) -> dict[str, Any]:
    """What must be the same for an account to go on."""
    weights = hashlib.sha256()
    for leaf in jax.tree.leaves(policy):
        if isinstance(leaf, jax.Array | np.ndarray):
            weights.update(np.ascontiguousarray(leaf).tobytes())
    rule_values = {
        field.name: np.asarray(getattr(params, field.name)).tolist()
        for field in dataclasses.fields(params)
        if field.name not in ("market", "reward_scale", "market_weights", "random_start_fraction", "min_bars_left")
    }
    digest = hashlib.sha256(repr(sorted(rule_values.items())).encode()).hexdigest()[:16]
    return {
        "policy": weights.hexdigest()[:16],
        "rules": digest,
        "market": spec.symbol,
        "environment": type(env).__name__,
        "window": env.window,
        "features": list(params.market.feature_names),
        "seed": seed,
    }
