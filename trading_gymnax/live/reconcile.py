"""A live ledger beside the environment on the same bars: where they differ, why, and by how many dollars.

The environment plays the ledger's bars with the same policy, by its own fills. A trade is the same in both where both
were decided at the same bar on the same side; what its nets differ by is the fills' prices, the fees and the size. A
trade of one alone has a cause: a bar that was missed, an order that was rejected, the guard, a session that the
environment does not judge because its bars stop early, or a decision that differs since something before it did.
"""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
import pandas as pd

from trading_gymnax import rules
from trading_gymnax.data.contracts import contract
from trading_gymnax.data.names import PRICES
from trading_gymnax.evaluation.evaluate import switched
from trading_gymnax.evaluation.walk import Step, walk
from trading_gymnax.live.bars import iso
from trading_gymnax.live.history import load_frame
from trading_gymnax.live.store import HISTORY_FILE, LEDGER_FILE, read_ledger
from trading_gymnax.runs import TradingSettings, environment_on
from trading_gymnax.synthetic import SYNTH
from trading_gymnax.text import count_text, usd

CAUSES = (
    *("entry price", "exit price", "fees", "size", "missed bar", "rejected", "guard", "session not judged"),
    "other decision",
)
"""What can make a difference, in the order of the columns."""


@dataclasses.dataclass(frozen=True, eq=False)
class Ledger:
    """A ledger, read."""

    bars: pd.DataFrame  # timestamp (UTC, close), open, high, low, close, volume, own columns
    decisions: dict[int, dict[str, Any]]  # by UTC minute of the bar's close
    trades: dict[int, dict[str, Any]]  # by UTC minute of the decision to enter; the last word on each
    rejected: frozenset[int]  # minutes of decisions whose order was rejected
    events: tuple[dict[str, Any], ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Reconciliation:
    """Live and simulated, side by side. Dollars."""

    trades: pd.DataFrame
    """One row a trade of either: session, decided (UTC), side, live_usd, simulated_usd, difference_usd (live less
    simulated), and one column a cause, which add up to the difference."""
    decisions: pd.DataFrame
    """One row a bar at which the two did not do the same: decided, live, wanted, simulated, why."""
    sessions: pd.DataFrame
    """One row a session: session, live_usd, simulated_usd, difference_usd, trades of each."""
    compared: int  # decisions that both made
    events: tuple[dict[str, Any], ...]  # of the log

    @property
    def causes(self) -> dict[str, float]:
        """Dollars by cause, over all trades."""
        return {cause: float(self.trades[cause].sum()) for cause in CAUSES}

    def __str__(self) -> str:
        live, simulated = (float(self.sessions[name].sum()) for name in ("live_usd", "simulated_usd"))
        lines = [
            f"{count_text(len(self.sessions), 'session')}, {count_text(self.compared, 'decision')} compared, "
            f"{len(self.decisions):,} differ",
            f"live {usd(live, cents=True)}, simulated {usd(simulated, cents=True)}: "
            f"{usd(live - simulated, cents=True)} of difference",
        ]
        shown = [f"  {cause:<20} {usd(value, cents=True):>14}" for cause, value in self.causes.items() if value]
        return "\n".join([*lines, *(["of it"] if shown else []), *shown])


def read(path: pathlib.Path | str) -> Ledger:
    """Read a ledger's file or folder. Raises FileNotFoundError, and ValueError for one without bars."""
    bars, decisions, trades, rejected, events = [], {}, {}, set(), []
    for line in read_ledger(path):
        kind = line.get("kind")
        if kind == "bar":
            bars.append({"timestamp": line["minute"], **{x: line[x] for x in (*PRICES, "volume")}, **line["own"]})
            decisions[line["minute"]] = line["decision"]
        elif kind == "trade":
            trades[line["minute"]] = line
        elif kind == "void":
            trades.pop(_minute_of(line["order_id"]), None)
        elif kind == "fill" and line["rejected"] and line["of"] == "entry":
            rejected.add(_minute_of(line["order_id"]))
        elif kind == "event":
            events.append(line)
    if not bars:
        raise ValueError(f"{path} holds no bar yet")
    frame = pd.DataFrame(bars)
    stamps = frame["timestamp"].to_numpy(np.int64).astype("datetime64[m]").astype("datetime64[s]")
    frame["timestamp"] = pd.DatetimeIndex(stamps).tz_localize("UTC")
    return Ledger(frame, decisions, trades, frozenset(rejected), tuple(events))


def _minute_of(order_id: str) -> int:
    return int(order_id.rpartition("-")[2])


def reconcile(
    policy: Any, settings: TradingSettings, path: pathlib.Path | str, *, changes: dict[str, Any] | None = None
) -> Reconciliation:
    """Replay a ledger through the environment.

    Args:
        policy: the one that traded, most probable actions taken.
        settings: of its run.
        path: the ledger's folder, with the history that the trader began with beside it.
        changes: parameters that differed from the run's.

    Raises ValueError and FileNotFoundError for a ledger that cannot be replayed.
    """
    path = pathlib.Path(path)
    folder = path if path.is_dir() else path.parent
    ledger, history = read(path if path.is_file() else folder / LEDGER_FILE), pd.read_parquet(folder / HISTORY_FILE)
    env, params, bars = _environment(settings, history, ledger)
    params = params.replace(**{**(changes or {}), "max_steps_in_episode": 2**30, "forced_entry_fraction": 0.0})
    minutes = bars.close_time.astype("datetime64[m]").astype(np.int64)
    starts = _starts(params, ledger, minutes, bars.session)
    steps, _ = walk(env, switched(policy, False), params, np.zeros(len(starts), int), starts, jax.random.key(0))
    simulated = _Simulated(steps, minutes, params, env)
    dates = {int(m): str(bars.session_date[s]) for m, s in zip(minutes, bars.session, strict=True)}
    trades = _trades(ledger, simulated, bars.spec, dates)
    return Reconciliation(
        trades=trades,
        decisions=_decisions(ledger, simulated),
        sessions=_sessions(trades, ledger, dates),
        compared=len(set(ledger.decisions) & set(simulated.action)),
        events=ledger.events,
    )


def _environment(settings: TradingSettings, history: pd.DataFrame, ledger: Ledger) -> tuple[Any, Any, Any]:
    """The run's environment on the history and the ledger's bars together."""
    _, _, known = environment_on(settings, history_bars(settings, history))
    more = ledger.bars.assign(timestamp=ledger.bars["timestamp"] - pd.Timedelta(minutes=known.bar_minutes))
    both = pd.concat([history, more], ignore_index=True)
    return environment_on(settings, load_frame(both, known.spec, known.bar_minutes, settings.loader))


def history_bars(settings: TradingSettings, history: pd.DataFrame) -> Any:
    """The checked bars of a kept history."""
    spec = contract(settings.market[0]) if settings.market else SYNTH
    step = int(history["timestamp"].diff().dt.total_seconds().mode()[0] // 60)
    return load_frame(history, spec, int(settings.loader.get("bar_minutes") or step), settings.loader)


def _starts(params: Any, ledger: Ledger, minutes: np.ndarray, session: np.ndarray) -> np.ndarray:
    """The bar of the first decision in each session, or in the first one where an account goes on, int [N]."""
    asked = np.array([minute for minute, decision in ledger.decisions.items() if decision["mask"]], np.int64)
    if len(asked) == 0:
        raise ValueError("the ledger holds no decision yet: no bar was inside the hours of trading")
    at = np.searchsorted(minutes, asked)
    at = at[at < len(minutes) - 1]  # the last bar has none behind it to play
    first_of = {int(session[bar]): int(bar) for bar in at[::-1]}
    if not first_of:
        raise ValueError("the ledger holds a single decision, and no bar after it")
    starts = [first_of[session] for session in sorted(first_of)]
    return np.array(starts if bool(params.terminate_at_session_end) else starts[:1])


class _Simulated:
    """What the environment did, by the UTC minute of the decision bar."""

    def __init__(self, steps: Step, minutes: np.ndarray, params: Any, env: Any) -> None:
        tick = params.market.specs[0].tick_size
        commission = int(np.asarray(rules.cents(params.commission_per_side))[0])
        decided = minutes[steps.bar - 1]
        legal = np.take_along_axis(steps.legal, steps.action[:, None], axis=1)[:, 0]
        done = np.where(legal, steps.action, rules.HOLD)
        self.action = {int(m): env.action_names[a] for m, a in zip(decided, done, strict=True)}
        self.trades: dict[int, dict[str, Any]] = {}
        for at in np.flatnonzero((steps.exit_reason != 0) | steps.left_open):
            self.trades[int(minutes[steps.entry_bar[at] - 1])] = {
                "side": int(steps.side[at]),
                "contracts": int(steps.contracts[at]),
                "entry_price": float(steps.entry_price[at] * tick),
                "exit_price": float(steps.exit_price[at] * tick),
                "fee_usd": 2 * int(steps.contracts[at]) * commission / 100,
                "net_usd": int(steps.pnl[at]) / 100,
            }


def _trades(ledger: Ledger, simulated: _Simulated, spec: Any, dates: dict[int, str]) -> pd.DataFrame:
    rows = []
    for minute in sorted(set(ledger.trades) | set(simulated.trades)):
        live, other = ledger.trades.get(minute), simulated.trades.get(minute)
        same = live is not None and other is not None and live["side"] == other["side"]
        pairs = [(live, other)] if same else [(live, None)] * (live is not None) + [(None, other)] * (other is not None)
        for mine, sim in pairs:
            causes = dict.fromkeys(CAUSES, 0.0)
            earned, expected = (0.0 if trade is None else trade["net_usd"] for trade in (mine, sim))
            if mine is not None and sim is not None:
                causes |= _price_causes(mine, sim, spec.multiplier)
                causes["size"] = round(earned - expected - sum(causes.values()), 2)
            else:
                causes[_cause(ledger, simulated, minute, mine)] = earned - expected
            which = mine or sim or {}
            row = {"session": dates[minute], "decided": iso(minute), "side": which["side"], "live_usd": earned}
            row |= {"simulated_usd": expected, "difference_usd": round(earned - expected, 2)}
            rows.append(row | causes | {"in_live": mine is not None, "in_simulation": sim is not None})
    names = ["session", "decided", "side", "live_usd", "simulated_usd", "difference_usd", *CAUSES]
    return pd.DataFrame(rows, columns=[*names, "in_live", "in_simulation"])


def _price_causes(live: dict[str, Any], sim: dict[str, Any], multiplier: float) -> dict[str, float]:
    """Dollars by which prices and fees of the same trade differ, for the contracts of the live one."""
    size = multiplier * live["contracts"] * live["side"]
    return {
        "entry price": round(size * (sim["entry_price"] - live["entry_price"]), 2),
        "exit price": round(size * (live["exit_price"] - sim["exit_price"]), 2),
        "fees": round(sim["fee_usd"] * live["contracts"] / sim["contracts"] - live["fee_usd"], 2),
    }


def _cause(ledger: Ledger, simulated: _Simulated, minute: int, live: dict[str, Any] | None) -> str:
    """Why only one of the two has the trade."""
    if live is not None:
        return "other decision" if minute in simulated.action else "session not judged"
    decision = ledger.decisions.get(minute)
    if decision is None or "missed" in decision["why"]:
        return "missed bar"
    if minute in ledger.rejected:
        return "rejected"
    return "guard" if decision["why"].startswith("guard") else "other decision"


def _decisions(ledger: Ledger, simulated: _Simulated) -> pd.DataFrame:
    rows = []
    for minute, action in simulated.action.items():
        decision = ledger.decisions.get(minute)
        mine = decision["action"] if decision and decision["mask"] else "none"
        if mine != action:
            why = "no bar" if decision is None else decision["why"]
            wanted = decision["wanted"] if decision else "none"
            rows.append({"decided": iso(minute), "live": mine, "wanted": wanted, "simulated": action, "why": why})
    return pd.DataFrame(rows, columns=["decided", "live", "wanted", "simulated", "why"])


def _sessions(trades: pd.DataFrame, ledger: Ledger, dates: dict[int, str]) -> pd.DataFrame:
    days = sorted({dates[minute] for minute, decision in ledger.decisions.items() if decision["mask"]})
    rows = []
    for day in days:
        of_day = trades[trades["session"] == day]
        live, simulated = float(of_day["live_usd"].sum()), float(of_day["simulated_usd"].sum())
        row = {"session": day, "live_usd": live, "simulated_usd": simulated, "difference_usd": live - simulated}
        rows.append(row | {"live": int(of_day["in_live"].sum()), "simulated": int(of_day["in_simulation"].sum())})
    return pd.DataFrame(rows)
