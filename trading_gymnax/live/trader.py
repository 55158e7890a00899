"""`Trader`: a trained policy called once for each new bar, seeing what it saw in training."""

from __future__ import annotations

import datetime as dt
import math
import pathlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from trading_gymnax.data.features import FeatureFn
from trading_gymnax.data.loader import WARM_UP_BARS, Bars
from trading_gymnax.evaluation.evaluate import switched
from trading_gymnax.live.bars import BadBar, Bar, iso
from trading_gymnax.live.books import AWAKE, GAP, OVER, Books, FillError
from trading_gymnax.live.decision import Decision, Exit
from trading_gymnax.live.features import StreamingFeatures
from trading_gymnax.live.feed import Feed, Note, Row
from trading_gymnax.live.fills import Trade, Working
from trading_gymnax.live.function import FEATURE_BARS, FunctionFeatures
from trading_gymnax.live.guard import Guard, GuardState
from trading_gymnax.live.history import stream
from trading_gymnax.live.program import Programs
from trading_gymnax.live.setup import Hours, check_history, identity, only_market, own_columns, terms_of
from trading_gymnax.live.store import StateError, Store
from trading_gymnax.live.tape import Tape, live_params
from trading_gymnax.live.wording import Last, Wording, ledger_line
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.runs import environment_on, read_settings
from trading_gymnax.settings import GAP_MINUTES
from trading_gymnax.text import usd

POLICY_LOADER = "purejaxrl_ppo:load_policy"
"""What loads the policy of a run's folder where nothing else is given: a name, looked up when a run is loaded."""
_NO_LIMIT = 2**30  # steps; a live account has no episode of a given length
_CHECKED_BARS = 100  # of the history, at least, whose features by a user's function are compared with the batch
_FEED_OPTIONS = ("timezone", "timestamps_mark", "snap_to_tick", "repair")


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
        feature_fn, feature_bars: the function that made the history's features, and with how many of the last bars it
            is called at each bar. The first bars of the history do not count any more where they lie further back.
        durable: wait for the disk after every bar.

    Raises:
        ValueError: arguments that do not fit one another.
        StateError: the folder holds another account's state, or a damaged one.
        RuntimeError: the history's features do not come out, to the bit, bar by bar.
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
        feature_fn: FeatureFn | None = None,
        feature_bars: int = FEATURE_BARS,
        durable: bool = True,
    ) -> None:
        table = params.market
        self.market_id = table.market_id(market) if market is not None else only_market(table.symbols)
        self.spec, self.env = table.specs[self.market_id], env
        self.bar_minutes = int(np.asarray(table.bar_minutes)[self.market_id])
        check_history(history, self.spec, self.bar_minutes, table.feature_names)
        if not gap_minutes > 0:
            raise ValueError(f"gap_minutes is a time above 0, or inf; got {gap_minutes!r}")
        self.gap_minutes, self.guard = gap_minutes, Guard.of(params) if guard is None else guard
        params = params.replace(max_steps_in_episode=_NO_LIMIT, forced_entry_fraction=0.0)
        policy = switched(policy, sampled)
        self.programs, self.tape = Programs(env, policy), Tape(table, self.market_id, env.window)
        self._key = jax.random.key(seed)
        terms = terms_of(params, self.spec, self.market_id)
        self.books = Books(self.programs, live_params(params, self.market_id, env.window), self.tape, terms)
        self.features, own = self._features(table.feature_names, own, feature_fn, feature_bars)
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
        self.guard_state, self._last = GuardState(terms.initial_cents, terms.initial_cents), Last()
        self._hours = Hours.of(params, self.market_id, self.bar_minutes)
        self._words = self._wording(bool(np.asarray(params.fill_at_close)))
        self.decision: Decision | None = None  # the last one
        self.log: list[Note] = []  # lines of the last call
        self._identity = identity(policy, params, self.spec, env, seed)
        self.store = None if folder is None else Store(folder, durable=durable)
        self._begin(history)

    def _wording(self, at_close: bool) -> Wording:
        return Wording(
            self.spec,
            self.env.action_names,
            tuple(self.env.entry_sides),
            self.books,
            self.guard_state,
            self._last,
            self.feed.clock,
            self._hours,
            at_close=at_close,
        )

    def _begin(self, history: Bars) -> None:
        """Go on from the folder's state, or else from the end of the history."""
        self._parts = {
            "feed": self.feed,
            "features": self.features,
            "tape": self.tape,
            "books": self.books,
            "guard": self.guard_state,
            "bar": self._last,
        }
        saved = None if self.store is None else self.store.load()
        self.resumed = saved is not None
        if saved is None:
            self._start(history)
        else:
            self._resume(saved)
        self.feed.clock.look_ahead(self.feed.last or 0)

    def _features(
        self, names: Sequence[str], own: Sequence[str] | None, feature_fn: FeatureFn | None, feature_bars: int
    ) -> tuple[StreamingFeatures | FunctionFeatures, tuple[str, ...]]:
        """What makes the features, and which of them come with the bars."""
        if feature_fn is not None and own is None:
            return FunctionFeatures(feature_fn, names, self.spec, feature_bars), ()
        if feature_fn is not None:
            raise ValueError("features are made by feature_fn or come with the bars, own=...: give one of the two")
        own = own_columns(names) if own is None else tuple(own)
        return StreamingFeatures(names, self.spec, own), own

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
        feature_fn: FeatureFn | None = None,
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
            feature_fn: that made the run's features, where a function did.
            options: those of `Trader`.

        Raises as `Trader`; FileNotFoundError for a folder without a run.
        """
        run_dir = pathlib.Path(run_dir)
        settings = read_settings(run_dir)
        loader = load_policy or pkgutil.resolve_name(POLICY_LOADER)
        env, params, bars = environment_on(settings, history, market, feature_fn)
        policy = loader(run_dir, sampled=False, checkpoint=checkpoint)
        options = {name: settings.loader[name] for name in _FEED_OPTIONS if name in settings.loader} | options
        if changes:
            params = params.replace(**changes)
        return cls(policy, env, params, bars, market=bars.spec.symbol, feature_fn=feature_fn, **options)

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
            decision = self._words.frame(why="the bar was left out", ignored=notes[-1].text)
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
        atr, features = self.features.update(row.ticks, row.volume, row.own, row.minute)
        last = self._last
        new_session = last.day != row.place.day
        trade = self._end_session() if new_session else None
        self.tape.push(row, atr, features)
        last.close, last.minute, last.day = row.ticks[3], row.minute, row.place.day
        if new_session:
            self.guard_state.begin_session(self.equity)
        if self.books.phase == AWAKE:
            trade, _ = self.books.play(row.minute, row.place.day)
            trade = self._close_after_gap(row) or trade
        elif self._wakes(row, features):
            self.books.begin(row.place.day)
        blocked = self.guard_state.see(self.equity, self.guard)
        if self.guard_state.says(blocked):
            self._note(Note("guard", f"{iso(row.minute)}: {blocked}: nothing more is entered", False))
        made = self._book(trade)
        if self.books.phase != AWAKE:
            lacks = f"warming up: {self._warm + 1:,} bars are needed and {self.tape.count:,} are here"
            return self._words.at_rest(row, made, lacks)
        return self._decide(row, made, blocked, missed)

    def _end_session(self) -> Trade | None:
        """The last session ended with the account awake: no bar came that had to be flat."""
        if self.books.phase != AWAKE:
            return None
        last = self._last
        trade, text = self.books.end_of_feed(last.minute, last.day, last.slippage)
        self._note(Note("session_cut", f"{iso(last.minute)}: {text}", False))
        return trade

    def _close_after_gap(self, row: Row) -> Trade | None:
        silent = row.missing * self.bar_minutes
        if silent <= self.gap_minutes or not self.books.account["position"]:
            return None
        text = f"{iso(row.minute)}: {silent} minutes without a bar: the position is closed"
        self._note(Note("gap", text, True))
        return self.books.close_at(row.minute, row.ticks[3], self._last.slippage, GAP)

    def on_time(self, now: dt.datetime) -> Decision | None:
        """Call it while no bar comes. Where the feed has been silent for too long the position is closed.

        Returns the decision to flatten, or None.
        """
        if now.tzinfo is None:
            raise ValueError("now must carry an offset: datetime.now(timezone.utc) say")
        last = self._last
        silent = now.timestamp() / 60 - last.minute
        if self.books.phase != AWAKE or not self.books.account["position"] or silent <= self.gap_minutes:
            return None
        self.log = []
        self._note(Note("gap", f"{iso(last.minute)}: {silent:.0f} minutes without a bar: close the position", True))
        trade = self.books.close_at(int(now.timestamp() // 60), last.close, last.slippage, GAP)
        made = self._book(trade)
        decision = self._words.frame(why="the feed is silent", flatten=True, exit=made)
        self._save()
        return decision

    def _wakes(self, row: Row, features: np.ndarray) -> bool:
        """Whether this is the first bar of a session at which an entry is allowed."""
        if self.books.phase == OVER or self.books.rest_day == row.place.day:
            return False
        return self.tape.count > self._warm and self._hours.hold(row.place) and bool(np.isfinite(features).all())

    def _decide(self, row: Row, made: Exit | None, blocked: str | None, missed: bool) -> Decision:
        chosen = self.books.decide(self._key, row.minute)
        numbers, odds = np.asarray(chosen.numbers), np.asarray(chosen.odds)
        wanted, contracts, stop, target, slippage, managed = numbers[len(self.programs.fields) :][:6].tolist()
        mask = tuple(map(bool, numbers[-self.programs.num_actions :]))
        self._last.slippage = slippage
        done, why = self._words.action(wanted, mask, blocked, missed)
        order, working = None, None
        side = self.env.entry_sides.get(done)
        if side is not None:
            order = self._words.order(row, side, contracts, stop, target)
            working = Working(order.id, row.minute, order.side, contracts, stop, target)
        self.books.commit(done, working)
        moved = managed if done == wanted else self.books.account["sl_price"]
        return self._words.decided(row, chosen, odds, mask, wanted, done, why, order, moved, made)

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
            self._note(Note("bad_fill", f"{iso(self._last.minute)}: {error}", True))
            self._save()
            raise
        self._note(Note("rejected" if rejected else "fill", f"{iso(self._last.minute)}: {text}", rejected))
        if self.store is not None:
            told = {"of": kind, "price": price, "contracts": contracts, "fee": fee, "rejected": rejected}
            order = self.books.order.id if self.books.order else ""
            self.store.note({"kind": "fill", "minute": self._last.minute, "order_id": order, **told, "reason": reason})
            if rejected and corrected:
                self.store.note({"kind": "void", "minute": self._last.minute, "order_id": order})
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
        return self.books.exit_filled(price, contracts, cents, self._last.minute, reason)

    def _exit_rejected(self) -> tuple[str, int]:
        """The position is open at the broker: nothing more is entered until an exit is told."""
        self.guard_state.errors += self.guard.max_errors or 0
        return "an exit was rejected: the position may be open, close it by hand and tell its fill", 0

    # -- money --

    @property
    def equity(self) -> int:
        """Cents of the whole account at the last close."""
        return self._words.equity

    def _book(self, trade: Trade | None) -> Exit | None:
        """A closed trade, for the ledger and for the decision."""
        if trade is None:
            return None
        if self.store is not None:
            self.store.note(ledger_line(trade, self.spec.tick_size))
        return self._words.exit(trade)

    # -- log and state --

    def _note(self, note: Note) -> None:
        self.log.append(note)
        self.guard_state.errors += note.is_error
        if self.store is not None:
            self.store.note({"kind": "event", "minute": self._last.minute, **note._asdict()})

    def _save(self) -> None:
        if self.store is not None:
            state = {name: part.snapshot() for name, part in self._parts.items()}
            self.store.save({"identity": self._identity, **state})

    def _start(self, history: Bars) -> None:
        checked = max(_CHECKED_BARS, self.tape.size)
        self._last.minute, self._last.day, self._last.close = stream(
            history, self.features, self.feed, self.tape, checked
        )
        if self.store is not None:
            self.store.note({"kind": "start", "minute": self._last.minute, "identity": self._identity})
            self._save()

    def _resume(self, saved: dict[str, Any]) -> None:
        if saved["identity"] != self._identity:
            differ = [name for name, value in self._identity.items() if saved["identity"].get(name) != value]
            raise StateError(f"the folder holds the state of another account ({', '.join(differ)}): use another one")
        for name, part in self._parts.items():
            part.restore(saved[name])
        if self.store is not None and self.store.cut_off:
            # Not for the ledger: it is that of an account that never stopped.
            text = f"{self.store.cut_off} was cut off or is damaged, and the state before it counts"
            self.log.append(Note("state_cut_off", text, False))

    def __repr__(self) -> str:
        equity = usd(self.equity / 100, sign=False, cents=True)
        return f"Trader({self.spec.symbol}: equity {equity} after the bar of {self.last_time} New York)"

    @property
    def last_time(self) -> str:
        """New York time of the last bar, "2025-03-13 10:30"."""
        return self.feed.clock.new_york(self._last.minute).replace("T", " ")
