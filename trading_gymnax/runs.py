"""A training run of a trader, built from its settings: bars, environment, and how its sessions are divided."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from trading_gymnax import rewards
from trading_gymnax.curriculum import Schedule, in_turns, original_plan
from trading_gymnax.data.contracts import contract
from trading_gymnax.data.features import FeatureFn
from trading_gymnax.data.loader import Bars, load_bars
from trading_gymnax.market import MarketData, load_market_data, pack
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.phase2 import TradingPhase2
from trading_gymnax.settings import (
    BUILT_IN_SESSIONS,
    SETTINGS_FILE,
    TradingSettings,
    check_files,
    check_sources,
    flag,
    read_settings,
    write_settings,
)
from trading_gymnax.synthetic import SYNTH, regime
from trading_gymnax.text import check_names, count_text

__all__ = [
    "BUILT_IN_SESSIONS",
    "CURRICULA",
    "ENVIRONMENTS",
    "SETTINGS_FILE",
    "Split",
    "TradingSettings",
    "build",
    "build_environment",
    "build_other",
    "check_files",
    "check_warm_start",
    "environment_on",
    "final_params",
    "last_third",
    "read_settings",
    "schedule_of",
    "write_settings",
]

CURRICULA: dict[str, Callable[[], Schedule]] = {"original-plan": original_plan}
ENVIRONMENTS: dict[int, type[TradingPhase1]] = {1: TradingPhase1, 2: TradingPhase2}


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """An environment and the two views that a run has: one to learn from, one that it never sees."""

    env: TradingPhase1
    train_params: Any
    test_params: Any
    note: str  # how the sessions were divided, one line
    schedule: Schedule | None = None  # the curriculum; both parameters are those that it ends with
    start_params: Any = None  # what the curriculum is applied to while training; `train_params` without one
    settings: TradingSettings | None = None  # of other bars than the run's; None: they are the run's own
    earlier: int = 0  # sessions to judge that are older than those which the run learnt from

    @property
    def learning_params(self) -> Any:
        """Parameters to train with: those that the curriculum is applied to."""
        return self.train_params if self.start_params is None else self.start_params


def build(settings: TradingSettings) -> Split:
    """Load the bars, make the environment and divide its sessions by date.

    Raises ValueError for data, parameters or dates that cannot be, FileNotFoundError for a missing file.
    """
    env = build_environment(settings)
    params = env.default_params
    market = params.market
    first_held_out = settings.train_until or last_third(market)
    train, test = market.split(first_held_out)
    name = ", ".join(market.symbols) if settings.data else "the built-in market"
    note = f"{name}: {train.date_text()} to train, {test.date_text()} held out"
    if settings.train_until is None:
        note += f" (the last third of the sessions; --train-until {first_held_out} says the same)"
    note = doubt_lines(market) + note
    start, schedule = params.replace(market=train), schedule_of(settings)
    held_out = final_params(schedule, params.replace(market=test))
    return Split(env, final_params(schedule, start), held_out, note, schedule, start)


def doubt_lines(market: MarketData) -> str:
    """Lines that belong on top of all results on these bars; "" where nothing is doubtful."""
    return "".join(f"DOUBTFUL: {doubt}\n" for doubt in market.doubts)


def build_environment(settings: TradingSettings) -> TradingPhase1:
    """The environment on all sessions of the settings' bars. Raises as `build`."""
    return _environment(settings, _market(settings))


def environment_on(
    settings: TradingSettings, source: Any, symbol: str | None = None, feature_fn: FeatureFn | None = None
) -> tuple[TradingPhase1, Any, Bars]:
    """A run's environment on other bars of one of its markets: the environment, the parameters to judge by, the bars.

    Args:
        source: what `load_bars` reads, by the run's own options, or what it made.
        symbol: of the market, where the run has several.
        feature_fn: that made the run's features, where a function did.

    Raises ValueError for bars that cannot be, and where no symbol says which market they are of.
    """
    known = tuple(dict.fromkeys(settings.market)) or (SYNTH.symbol,)
    if symbol is None and len(known) > 1:
        raise ValueError(f"the run has the markets {', '.join(known)}: say which one the bars are of")
    spec = SYNTH if not settings.market else contract(symbol or known[0])
    loader: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in settings.loader.items()}
    bars = source if isinstance(source, Bars) else load_bars(source, spec, feature_fn=feature_fn, **loader)
    env = _environment(settings, pack([bars]))
    return env, final_params(schedule_of(settings), env.default_params), bars


def schedule_of(settings: TradingSettings) -> Schedule | None:
    """The curriculum of the settings, None without one.

    Raises ValueError for an unknown name, and for parameters that are set and scheduled at once.
    """
    if settings.accounts_before and settings.account:
        last = {name: settings.changes[name] for name in next(iter(settings.accounts_before.values()))}
        return in_turns({**settings.accounts_before, settings.account: last})
    if settings.curriculum is None:
        return None
    check_names([settings.curriculum], list(CURRICULA), "there is no curriculum")
    schedule = CURRICULA[settings.curriculum]()
    both = [name for name, _, is_factor in schedule.fields if name in settings.changes and not is_factor]
    if both:
        raise ValueError(
            f"--set {' and '.join(both)}: the curriculum {settings.curriculum} has values of its own for that; "
            "leave one of the two out"
        )
    return schedule


def final_params(schedule: Schedule | None, params: Any) -> Any:
    """Parameters as a curriculum leaves them at the end of training; those given without one."""
    return params if schedule is None else schedule(1.0, params)


def check_warm_start(settings: TradingSettings, other: TradingSettings) -> None:
    """See that a policy of a run with the settings `other` can start one with `settings`.

    Raises ValueError where their observations differ in more than what is new at the end, or actions would be lost.
    """
    start = f"the policy to start from, {settings.warm_start},"
    if other.phase > settings.phase:
        raise ValueError(f"{start} is of phase {other.phase}, whose actions phase {settings.phase} lacks: train that")
    for name in ("window", "account_features"):
        there, here = getattr(other, name), getattr(settings, name)
        if there != here and not (name == "account_features" and here):
            raise ValueError(f"{start} was trained with {name}={there}: use it here, too, not {here}")
    if other.account_features and (other.account is None) != (settings.account is None):
        raise ValueError(
            f"{start} sees {'one session' if other.account is None else 'the whole life'} of its account: start from "
            "one without account_features, which may be switched on here"
        )
    if other.account_features and other.phase != settings.phase:
        raise ValueError(
            f"{start} sees the account behind the position, where phase {settings.phase} sees the stop's management: "
            f"start from one without account_features, which may be switched on in phase {settings.phase}"
        )
    if other.entry_sizes and (other.entry_sizes, other.phase) != (settings.entry_sizes, settings.phase):
        raise ValueError(
            f"{start} chooses from {' '.join(map(str, other.entry_sizes))} times position_size in phase {other.phase}, "
            "and its actions mean no other sizes: use --entry-sizes and --phase as there"
        )
    if other.entry_sizes and other.account_features != settings.account_features:
        raise ValueError(
            f"{start} sees its size where the account would stand: start from one without --entry-sizes, or without "
            "--account-features as there"
        )
    there, here = (tuple(x.loader.get("feature_columns", ())) or "the default ones" for x in (other, settings))
    if there != here:
        raise ValueError(f"{start} was trained on other features: {there} there, {here} now")


def _environment(settings: TradingSettings, market: MarketData) -> TradingPhase1:
    paid: dict[str, Any] = {}
    if settings.value_discount is not None:
        paid["reward_fn"] = rewards.account_value(settings.value_discount)
    return ENVIRONMENTS[settings.phase](
        market,
        window=settings.window,
        account_features=settings.account_features,
        entry_sizes=settings.entry_sizes or None,
        account_life=settings.account is not None,
        **paid,
        **settings.changes,
    )


def build_other(
    settings: TradingSettings,
    first: str | None,
    until: str | None,
    other: TradingSettings,
    *,
    allow_earlier: bool = False,
) -> Split:
    """Other bars for the policy of a run: features, window, rules and costs as in the run, out of sample.

    Args:
        settings: of the run.
        first, until: first date to judge, and first one no longer; None leaves that side open.
        other: only its data, market and loader count. Loader options that it lacks are those of the run.
        allow_earlier: take sessions that are older than all that the run learnt from, too; the note says how many.

    Returns a split whose `test_params` are those of the other bars and whose `train_params` are the run's. Rewards keep
    the scale of the training view where the market is the same; no other figure depends on that scale.

    Raises ValueError for bars that are not later than those which the run learnt from, by date and market, and for
    features or hours other than the run's.
    """
    for name in ("feature_columns", "rth"):
        if name in other.loader and tuple(other.loader[name]) != tuple(settings.loader.get(name, ())):
            raise ValueError(f"{flag(name)} is part of what the policy sees: leave it out, it is as in the run")
    learnt = build(settings)
    asked = dataclasses.replace(settings, data=other.data, market=other.market, roll=other.roll)
    asked = dataclasses.replace(asked, loader={**settings.loader, **other.loader})
    market = _market(asked)
    env = _environment(settings, market)
    view, seen = market.between(first, until), learnt.train_params.market
    note = f"{', '.join(market.symbols)}: {view.date_text()} to judge; the run learnt from {seen.date_text()}"
    earlier = _refuse_seen(seen, view, allow_earlier)
    note = doubt_lines(view) + note + _moving_together(seen, view)
    if earlier:
        note += (
            f"\nEARLIER than the training: {count_text(earlier, 'session')}; no trader could have had this policy then"
        )
    params = env.default_params.replace(market=view)
    scale = np.array(params.reward_scale)
    for symbol in set(seen.symbols) & set(view.symbols):
        scale[view.market_id(symbol)] = learnt.train_params.reward_scale[seen.market_id(symbol)]
    judged = final_params(learnt.schedule, params.replace(reward_scale=scale))
    return Split(env, learnt.train_params, judged, note, learnt.schedule, learnt.start_params, asked, earlier)


def _refuse_seen(seen: MarketData, view: MarketData, allow_earlier: bool) -> int:
    """Refuse dates that are not later than those learnt from; how many are earlier, where that is allowed."""
    earlier = 0
    for m, symbol in enumerate(view.roots):
        dates = _usable_dates(view, m)
        for k, learnt in enumerate(seen.roots):
            known = _usable_dates(seen, k)
            if learnt != symbol or not len(known):
                continue
            before = dates[dates < known[0]]
            early = dates[(dates <= known[-1]) & (dates >= known[0])] if allow_earlier else dates[dates <= known[-1]]
            earlier += len(before) if allow_earlier else 0
            if len(early):
                first = known[-1] + np.timedelta64(1, "D")
                older = " (or with --allow-earlier, before the first one)" if len(before) and not allow_earlier else ""
                raise ValueError(
                    f"{count_text(len(early), 'session')} of {symbol}, {early[0]} to {early[-1]}, not later than "
                    f"{known[-1]}, the last date that the run learnt from: judge with --from {first} or later{older}"
                )
    return earlier


def _moving_together(seen: MarketData, view: MarketData) -> str:
    """A remark about dates that the run knows from another market, or ""."""
    remark = ""
    for m, symbol in enumerate(view.roots):
        for k, learnt in enumerate(seen.roots):
            if learnt != symbol and np.isin(_usable_dates(view, m), _usable_dates(seen, k)).any():
                remark = f"\nnote: the run learnt from {learnt} on some of these dates, and markets move together"
    return remark


def _usable_dates(view: MarketData, market_id: int) -> np.ndarray:
    return np.asarray(view.session_date)[market_id, view.usable_sessions(market_id)].astype("datetime64[D]")


def last_third(market: MarketData) -> str:
    """First date of the last third of the dates on which the view has a usable session.

    Raises ValueError for fewer than three of them.
    """
    dates = np.asarray(market.session_date)
    days = np.unique(np.concatenate([dates[m, market.usable_sessions(m)] for m in range(market.num_markets)]))
    if len(days) < 3:
        raise ValueError(f"{len(days)} usable sessions are too few to hold a third of them out; give more bars")
    return str(np.datetime64(int(days[len(days) - len(days) // 3]), "D"))


def _market(settings: TradingSettings) -> MarketData:
    check_sources(settings)
    if not settings.data:
        tape = regime(BUILT_IN_SESSIONS)
        return load_market_data(tape.frame, tape.spec)
    loader: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.loader.items()}
    files = settings.files
    roll = settings.roll[0] if len(settings.roll) == 1 else settings.roll or None
    return load_market_data({name: x if len(x) > 1 else x[0] for name, x in files.items()}, roll=roll, **loader)
