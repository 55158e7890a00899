"""The sections of a report, each a function from the material to a part of the page."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import math
import pathlib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trading_gymnax import report_charts as charts
from trading_gymnax.judge import POLICY, Judgement
from trading_gymnax.render import usd
from trading_gymnax.report_page import Html, Section, chart, escape, join, paragraph, table
from trading_gymnax.report_series import SLOT_MINUTES, daily_results, day_profile, equity_path, session_dates
from trading_gymnax.report_sessions import SessionChart
from trading_gymnax.rules import HIGH_WATER_MODES
from trading_gymnax.runs import Split, TradingSettings
from trading_gymnax.statistics import Summary

_DOUBTFUL_SHARE = 0.02  # of the trades; above it a session's result is a matter of the order within bars


@dataclasses.dataclass(frozen=True, eq=False)
class Material:
    """What the sections of a report are written from."""

    settings: TradingSettings
    split: Split
    seen: Judgement  # the sessions that the policy learnt from
    held_out: Judgement  # those that it never saw
    sessions: Sequence[SessionChart]  # of the held-out ones
    trainer: Mapping[str, Any]  # settings of the training, by name; empty where unknown

    @property
    def judgements(self) -> tuple[tuple[str, Judgement], ...]:
        """Both, by the label that stands over their figures, the held-out one first."""
        return (("Out of sample", self.held_out), ("In sample", self.seen))

    @property
    def markets(self) -> str:
        """Symbols of the markets."""
        return ", ".join(self.split.test_params.market.symbols)


SectionMaker = Callable[[Material], Section]


def badge(label: str) -> Html:
    """The label "Out of sample" or "In sample", which stands over all that belongs to it."""
    return Html(f'<span class="label {"in" if label == "In sample" else "out"}">{escape(label)}</span>')


def ordinary_session(sessions: Sequence[SessionChart]) -> int:
    """The session of median result: the first to be shown, so that it is not the prettiest."""
    order = np.argsort([session.net_usd for session in sessions], kind="stable")
    return int(order[len(order) // 2])


def figures_section(material: Material) -> Section:
    """All figures of the policy, in sample and out of sample side by side."""
    rows = [[name, *(show(judgement.rows[POLICY]) for _, judgement in material.judgements)] for name, show in _FIGURES]
    head = ["", *(badge(label) for label, _ in material.judgements)]
    both = [session_dates(judgement.evaluation) for _, judgement in material.judgements]
    dates = [["first session", *(x[0] for x in both)], ["last session", *(x[-1] for x in both)]]
    remark = paragraph(
        "The policy takes its most probable action. It walks every session once, from the first bar at which an entry "
        "is allowed, each on a fresh account.",
        "quiet",
    )
    return Section("Key figures", join([remark, table(head, [*dates, *rows])]))


def equity_section(material: Material) -> Section:
    """Chained equity with floor and drawdown."""
    remark = paragraph(
        "Equity after each bar, as if the sessions had followed one another on one account. Each session in fact "
        "starts on a fresh one: the floor is that of its own account, moved along.",
        "quiet",
    )
    return _both(
        "Equity", remark, material, "equity", "tall", lambda j: charts.equity_figure(equity_path(j.evaluation))
    )


def daily_section(material: Material) -> Section:
    """Net dollars of each day."""
    remark = paragraph("Net of each session's date, after all costs.", "quiet")
    return _both(
        "Daily results", remark, material, "daily", "low", lambda j: charts.daily_figure(daily_results(j.evaluation))
    )


def _both(
    title: str,
    remark: Html,
    material: Material,
    name: str,
    height: str,
    draw: Callable[[Judgement], dict[str, Any]],
) -> Section:
    """A chart for each of the two judgements, apart and labelled."""
    parts, figures = [remark], {}
    for label, judgement in material.judgements:
        element = f"{name}-{label.lower().replace(' ', '-')}"
        parts += [
            Html(f"<h3>{badge(label)} {escape(judgement.dates)}</h3>"),
            chart(element, height, f"{title}, {label}"),
        ]
        figures[element] = draw(judgement)
    return Section(title, join(parts), figures)


def sessions_section(material: Material) -> Section:
    """Candles of a session picked from a list, with what the policy did in it."""
    shown, total = material.sessions, material.held_out.rows[POLICY].sessions
    first, several = ordinary_session(shown), len({s.symbol for s in shown}) > 1
    options = []
    for at, session in enumerate(shown):
        name = f"{session.date} {session.symbol}" if several else session.date
        text = f"{name}: net {usd(session.net_usd, cents=True)}, {len(session.trades)} trades"
        options.append(f"<option{' selected' if at == first else ''}>{escape(text)}</option>")
    remark = (
        "Stops and targets are those in force during each bar. The first one shown is the session of median result."
    )
    if len(shown) < total:
        remark += f" Of {total} sessions {len(shown)} are here: the best, the worst, and others evenly."
    head = ["entry", "exit", "side", "contracts", "from", "to", "reason", "net"]
    columns = "".join(f"<th{' class=number' if at in (3, 4, 5, 7) else ''}>{name}</th>" for at, name in enumerate(head))
    body = join(
        [
            paragraph(Html(f"{badge('Out of sample')} {escape(remark)}"), "quiet"),
            Html(
                '<div class="choose"><label for="session-list">Session</label>'
                f'<select id="session-list" data-first="{first}">{"".join(options)}</select>'
                '<button id="earlier" type="button">earlier</button><button id="later" type="button">later</button>'
                "</div>"
            ),
            chart("session-chart", "tall", "Candles of the chosen session with entries, exits, stop and target"),
            Html(
                f'<div id="trades" class="scroll"><table><thead><tr>{columns}</tr></thead><tbody></tbody></table></div>'
            ),
        ]
    )
    data = {"sessions": [s.to_json() for s in shown], "sessionLayout": charts.session_layout(), "colors": charts.COLORS}
    return Section("Session by session", body, data=data)


def day_section(material: Material) -> Section:
    """Shares of actions and positions over the minutes of the day."""
    profile = day_profile(material.held_out.evaluation)
    shares = material.held_out.rows[POLICY].action_shares
    counted = ", ".join(f"{name} {percent(share)}" for name, share in shares.items())
    remark = f"Of all steps: {counted}. The charts show the actions other than HOLD by {SLOT_MINUTES} minutes."
    body = join(
        [
            paragraph(Html(f"{badge('Out of sample')} {escape(remark)}"), "quiet"),
            Html("<h3>Actions</h3>"),
            chart("actions", "low", "Share of each action by time of day"),
            Html("<h3>Positions at the close of the bar</h3>"),
            chart("exposure", "low", "Share of bars with a long or short position by time of day"),
        ]
    )
    figures = {"actions": charts.actions_figure(profile), "exposure": charts.exposure_figure(profile)}
    return Section("Over the day", body, figures)


def baselines_section(material: Material) -> Section:
    """The policy beside those that learnt nothing."""
    judgement = material.held_out
    head = ["", "trades", "win rate", "net per session", "standard error", "net", "largest drawdown", "exposure"]
    rows = [
        [
            name,
            f"{row.trades:,}",
            percent(row.win_rate),
            usd(row.net_per_session_usd),
            usd(row.standard_error_usd, sign=False),
            usd(row.net_usd),
            usd(row.max_drawdown_usd, sign=False),
            percent(row.exposure),
        ]
        for name, row in judgement.rows.items()
    ]
    strong = list(judgement.rows).index(POLICY)
    parts: list[object] = [paragraph(badge("Out of sample")), table(head, rows, strong=strong)]
    figures = {}
    if len(judgement.luck_usd):
        low, high = usd(float(judgement.luck_usd.min())), usd(float(judgement.luck_usd.max()))
        parts += [
            Html("<h3>Luck</h3>"),
            paragraph(
                f"{len(judgement.luck_usd)} policies that enter as often as this one, long or short by a coin, make "
                f"{low} to {high} a session, {usd(float(judgement.luck_usd.mean()))} on average. The policy is better "
                f"than {percent(judgement.percentile, 0)} of them."
            ),
            chart("luck", "low", "Distribution of random entries and the policy"),
        ]
        figures["luck"] = charts.luck_figure(judgement.luck_usd, judgement.rows[POLICY].net_per_session_usd)
    return Section("Beside policies that learnt nothing", join(parts), figures)


def doubt_section(material: Material) -> Section:
    """Bars that hold stop and target, of which the bar cannot say which came first."""
    lines = []
    for label, judgement in material.judgements:
        bars, trades = int(judgement.evaluation.sessions["ambiguous_bars"].sum()), judgement.rows[POLICY].trades
        share = judgement.rows[POLICY].ambiguous_trade_share
        text = f"{bars:,} of {trades:,} trades ({percent(share, 2)}) met a bar that reached both stop and target."
        if share > _DOUBTFUL_SHARE:
            text += " That is too many to decide on bars of this length: use shorter ones."
        lines.append(paragraph(Html(f"{badge(label)} {escape(text)}")))
    first = "the stop" if bool(material.split.test_params.stop_first) else "the target"
    lines.append(paragraph(f"Such a bar does not say which came first; here {first} did.", "quiet"))
    return Section("Doubtful bars", join(lines))


def settings_section(material: Material) -> Section:
    """What the run was made with."""
    settings = material.settings.to_dict()
    changes = settings.pop("changes")
    files = settings.pop("data"), settings.pop("digests")
    run = [[name, _plain(value)] for name, value in settings.items() if value not in (None, [], {})]
    for path, digest in zip(*files, strict=True):
        run.append(["file", path])
        run.append(["SHA-256", digest])
    params = material.split.test_params
    fields = [field.name for field in dataclasses.fields(params) if field.name != "market"]
    values = [[f"{name} (changed)" if name in changes else name, _parameter(params, name)] for name in fields]
    trainer = [[name, _plain(value)] for name, value in material.trainer.items()]
    columns = [("Market and account", values), ("Training", trainer)]
    parts = [f"<div><h3>{title}</h3>{table([], rows, numbers_from=9)}</div>" for title, rows in columns if rows]
    run_table = f"<h3>Run</h3>{table([], run, numbers_from=9)}"
    made = paragraph(Html(f"This page was made by {escape(program_version())}."), "quiet")
    body = f'<div class="settings">{run_table}<div class="columns">{"".join(parts)}</div></div>'
    return Section("Settings", join([made, Html(body)]))


SECTIONS: tuple[SectionMaker, ...] = (
    figures_section,
    equity_section,
    daily_section,
    sessions_section,
    day_section,
    baselines_section,
    doubt_section,
)
"""Sections of every report, in order; that of the settings follows them."""


# -- figures as text --


def percent(share: float, digits: int = 1) -> str:
    """A share as "12.3%"; "-" for NaN."""
    return "-" if math.isnan(share) else f"{100 * share:.{digits}f}%"


def probability(p: float) -> str:
    """Two digits; what is too small to matter as "below 0.0001"."""
    return "-" if math.isnan(p) else "below 0.0001" if p < 1e-4 else f"{p:.2g}"


def ratio(value: float) -> str:
    """Two digits; "-" for NaN, "no loss" for an infinite profit factor."""
    return "-" if math.isnan(value) else "no loss" if math.isinf(value) else f"{value:,.2f}"


_FIGURES: tuple[tuple[str, Callable[[Summary], str]], ...] = (
    ("sessions", lambda row: f"{row.sessions:,}"),
    ("trades", lambda row: f"{row.trades:,}"),
    ("trades with a profit", lambda row: percent(row.win_rate)),
    ("net per session", lambda row: usd(row.net_per_session_usd, cents=True)),
    ("its standard error", lambda row: usd(row.standard_error_usd, sign=False, cents=True)),
    ("t, mean / standard error", lambda row: ratio(row.t_value)),
    ("p, chance of it with a true mean of 0", lambda row: probability(row.p_value)),
    ("net, all sessions", lambda row: usd(row.net_usd, cents=True)),
    ("largest drawdown of the chained equity", lambda row: usd(row.max_drawdown_usd, sign=False, cents=True)),
    ("profit factor", lambda row: ratio(row.profit_factor)),
    ("commissions and slippage paid, in the net", lambda row: usd(row.costs_usd, sign=False, cents=True)),
    ("bars with a position", lambda row: percent(row.exposure)),
    ("entries where one was legal", lambda row: percent(row.entry_rate)),
)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={_plain(x)}" for name, x in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(x) for x in value) or "none"
    return "none" if value is None else str(value)


def _parameter(params: Any, name: str) -> str:
    value = np.asarray(getattr(params, name))
    if name == "high_water_mode":
        return HIGH_WATER_MODES[int(value)]
    texts = ["off" if math.isinf(x) else str(x) if value.dtype == bool else f"{x:,.6g}" for x in value.reshape(-1)]
    return ", ".join(texts)


def program_version() -> str:
    """This program's version, and the commit where it runs from a checkout that git knows."""
    version = f"trading-gymnax {importlib.metadata.version('trading-gymnax')}"
    here = pathlib.Path(__file__).resolve()
    # Installed into someone else's repository, the commit found there would not be ours.
    if _git(here, "ls-files", "--error-unmatch", here.name) is None:
        return version
    commit = _git(here, "rev-parse", "--short=12", "HEAD")
    if commit is None:
        return version
    changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ".", "../purejaxrl_ppo")
    return f"{version}, commit {commit}{' with changes not committed' if changed else ''}"


def _git(here: pathlib.Path, *arguments: str) -> str | None:
    try:
        found = subprocess.run(
            ["git", *arguments], cwd=here.parent, capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
