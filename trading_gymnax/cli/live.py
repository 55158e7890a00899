"""The commands of live trading: `live`, `paper`, `reconcile` and `export`."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
import pathlib
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import numpy as np
import pandas as pd

from trading_gymnax.cli.live_commands import Account, Export, Live, Paper, Reconcile
from trading_gymnax.cli.values import parse_changes
from trading_gymnax.data.loader import Bars, load_bars
from trading_gymnax.live import BadBar, Bar, Decision, Guard, StateError, Trader
from trading_gymnax.live.history import bars_from, save_history, until
from trading_gymnax.live.reconcile import history_bars, read, reconcile
from trading_gymnax.live.setup import own_columns
from trading_gymnax.live.store import HISTORY_FILE, STATE_FILE
from trading_gymnax.render import MissingExtra
from trading_gymnax.report.live_pages import PAPER_PAGE, RECONCILE_PAGE, paper_text, write_paper, write_reconciliation
from trading_gymnax.runs import BUILT_IN_SESSIONS, TradingSettings, environment_on, read_settings
from trading_gymnax.synthetic import regime
from trading_gymnax.text import count_text, usd

with warnings.catch_warnings():  # distrax and its own dependencies warn while they are imported
    warnings.simplefilter("ignore")
    from purejaxrl_ppo import export_policy, load_policy


# -- live --


def live(command: Live) -> None:
    """Run `trading-gymnax live`."""
    folder = command.folder or command.run_dir / "live"
    trader = _trader(command, folder, lambda settings: _own_bars(settings, command.history))
    _tell(f"{trader.spec.symbol} by {command.run_dir}, in {folder}: {_place(trader)}")
    source = sys.stdin if command.bars == "-" else open(command.bars, encoding="utf-8")  # noqa: SIM115 - read to its end
    with source:
        for values in read_lines(source, command.follow, lambda: _silence(trader, command.stale_minutes)):
            if isinstance(values, BadBar):
                _tell(f"left out: {values}")
                continue
            _decide(trader, values, command.stale_minutes)


def _decide(trader: Trader, values: dict[str, Any], stale_minutes: float) -> None:
    """One bar in, one decision out."""
    missed = False
    if math.isfinite(stale_minutes):
        try:
            close = trader.feed.close_minute(Bar.of(values))
            missed = time.time() / 60 - close > stale_minutes
        except BadBar:
            missed = False  # the trader says what is wrong with it
    decision = trader.on_bar(values, missed=missed)
    for note in trader.log:
        _tell(f"{note.event}: {note.text}")
    if not decision.ignored:
        print(json.dumps(decision.to_dict()), flush=True)
        _tell(status(decision))


def _silence(trader: Trader, stale_minutes: float) -> None:
    decision = trader.on_time(dt.datetime.now(dt.UTC)) if math.isfinite(stale_minutes) else None
    if decision is not None:
        print(json.dumps(decision.to_dict()), flush=True)
        _tell(status(decision))


def status(decision: Decision) -> str:
    """A decision and the account in one line."""
    account = decision.account
    side = {1: "long", -1: "short", 0: "flat"}[account.side]
    held = f"{side} {account.contracts} at {account.entry_price:.10g}" if account.side else side
    said = decision.action if decision.mask else decision.why
    moved = f", flatten by {decision.flat_by}" if decision.flat_by else ""
    equity = usd(account.equity_usd, sign=False, cents=True)
    return (
        f"{decision.time.replace('T', ' ')}  {said:<14} {held}, equity {equity}, "
        f"session {usd(account.session_usd, cents=True)}{moved}{', FLATTEN NOW' if decision.flatten else ''}"
    )


def read_lines(
    source: TextIO, follow: bool, idle: Callable[[], None], wait: float = 0.2
) -> Iterator[dict[str, Any] | BadBar]:
    """Bars of a text: each line a JSON object, or CSV below its header. With `follow` it waits at the end for more."""
    header: list[str] | None = None
    for line in _lines(source, follow, idle, wait):
        text = line.strip()
        if not text:
            continue
        if text.startswith("{"):
            try:
                yield dict(json.loads(text))
            except ValueError:
                yield BadBar(f"{text!r:.200} is no JSON")
            continue
        cells = next(csv.reader(io.StringIO(text)))
        if header is None:
            header = [cell.strip() for cell in cells]
        elif len(cells) == len(header):
            yield dict(zip(header, cells, strict=True))
        else:
            yield BadBar(f"{text!r:.200} has {len(cells)} columns, and the header {len(header)}")


def _lines(source: TextIO, follow: bool, idle: Callable[[], None], wait: float) -> Iterator[str]:
    """Whole lines; one without its end is waited for, since a file may grow in the middle of a line."""
    part = ""
    while True:
        line = source.readline()
        part += line
        if part.endswith("\n") or (part and not line and not follow):
            yield part
            part = ""
        elif not line:
            if not follow:
                return
            idle()
            time.sleep(wait)


# -- paper --


def paper(command: Paper) -> None:
    """Run `trading-gymnax paper`."""
    if command.speed < 0 or command.sessions < 1:
        raise ValueError("--speed is 0 or more, and --sessions 1 or more")
    folder = command.folder or command.run_dir / "paper"
    settings = read_settings(command.run_dir)
    own = _own_bars(settings, command.history)
    columns = own_columns(own.feature_names)
    if command.bars is None:
        first = _last_sessions(own, command.sessions)
        history, rest = until(own, first), bars_from(own, first, columns)
    else:
        more = _read(settings, command.bars, own)
        first = int(np.searchsorted(more.close_time, own.close_time[-1], side="right"))
        history, rest = own, bars_from(more, first, columns)
    trader = _trader(command, folder, lambda _: history)
    last = trader.feed.last or 0
    _tell(f"{trader.spec.symbol} by {command.run_dir}, in {folder}: {_place(trader)}")
    for bar in rest:
        if command.speed:
            time.sleep(trader.bar_minutes * 60 / command.speed)
        decision = trader.on_bar(bar)
        for note in trader.log:
            _tell(f"{note.event}: {note.text}")
        if decision.order or decision.exit:
            _tell(status(decision))
    if (trader.feed.last or 0) == last:
        _tell("there was no bar later than the last one")
    ledger = read(folder)
    print(paper_text(ledger))
    try:
        print(f"{write_paper(folder / PAPER_PAGE, ledger, f'{trader.spec.symbol}, paper account')} shows the rest")
    except MissingExtra as missing:
        print(f"no page was written: {missing}")


def _last_sessions(bars: Bars, count: int) -> int:
    """First bar of the last `count` sessions in which an account can start."""
    unusable = {date for date, _ in bars.report.unusable}
    usable = [s for s, date in enumerate(bars.session_date) if str(date) not in unusable]
    if len(usable) <= count:
        found = count_text(len(usable), "usable session")
        raise ValueError(f"the bars have {found}: --sessions must leave one or more as history")
    return int(bars.session_start[usable[-count]])


# -- reconcile and export --


def run_reconcile(command: Reconcile) -> None:
    """Run `trading-gymnax reconcile`."""
    settings, folder = read_settings(command.run_dir), command.ledger
    policy = load_policy(command.run_dir, sampled=False, checkpoint=command.checkpoint)
    found = reconcile(policy, settings, folder, changes=dict(parse_changes(command.changes)))
    print(found)
    folder = folder if folder.is_dir() else folder.parent
    found.trades.to_csv(folder / "reconcile_trades.csv", index=False)
    try:
        page = write_reconciliation(folder / RECONCILE_PAGE, found, f"{command.run_dir.name}: live and simulated")
        print(f"{page} shows each")
    except MissingExtra as missing:
        print(f"no page was written: {missing}")


def export(command: Export) -> None:
    """Run `trading-gymnax export`."""
    policy = load_policy(command.run_dir, sampled=False, checkpoint=command.checkpoint)
    try:
        files = export_policy(policy, command.out or command.run_dir / "export", command.to)
    except ImportError as missing:
        raise ValueError(str(missing)) from missing
    print(f"wrote {' and '.join(map(str, files))}")


# -- what they share --


def _trader(command: Account, folder: pathlib.Path, history: Callable[[TradingSettings], Bars]) -> Trader:
    """The trader of a folder, from its state where there is one."""
    settings = read_settings(command.run_dir)
    kept = folder / HISTORY_FILE
    if kept.is_file():
        bars = history_bars(settings, pd.read_parquet(kept))
    elif (folder / STATE_FILE).is_file():
        raise StateError(f"{kept} is missing beside {STATE_FILE}: restore it, or begin in another folder")
    else:
        bars = history(settings)
        save_history(folder, bars, own_columns(bars.feature_names))
    changes = parse_changes(command.changes)
    env, params, _ = environment_on(settings, bars)
    params = params.replace(**changes) if changes else params
    policy = load_policy(command.run_dir, sampled=False, checkpoint=command.checkpoint)
    reading = {
        name: settings.loader[name] for name in ("timezone", "snap_to_tick", "repair") if name in settings.loader
    }
    mark = None if isinstance(command, Paper) else settings.loader.get("timestamps_mark")
    limits = Guard.of(params)
    guard = Guard(
        limits.daily_loss_usd if command.daily_loss is None else command.daily_loss,
        limits.trailing_usd if command.trailing is None else command.trailing,
        command.max_errors,
    )
    return Trader(
        policy,
        env,
        params,
        bars,
        folder=folder,
        guard=guard,
        gap_minutes=command.gap_minutes,
        timestamps_mark=mark,
        **reading,
    )


def _place(trader: Trader) -> str:
    begins = "goes on after the bar of" if trader.resumed else "begins after"
    return "; ".join([f"{begins} {trader.last_time} New York", *(note.text for note in trader.log)])


def _own_bars(settings: TradingSettings, history: pathlib.Path | None) -> Bars:
    """The history: a file, the last of the run's own, or the built-in market."""
    if history is not None:
        return environment_on(settings, str(history))[2]
    if settings.data:
        return environment_on(settings, settings.data[-1])[2]
    tape = regime(BUILT_IN_SESSIONS)
    return load_bars(tape.frame, tape.spec)


def _read(settings: TradingSettings, path: pathlib.Path, like: Bars) -> Bars:
    """Bars that go on from others: of any length, so not judged by themselves."""
    loader: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in settings.loader.items()}
    loader["repair"] = (*loader.get("repair", ()), "too_short")
    return load_bars(str(path), like.spec, **{**loader, "bar_minutes": like.bar_minutes})


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
