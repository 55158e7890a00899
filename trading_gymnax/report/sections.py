"""The sections of a report, each a function from the material to a part of the page."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trading_gymnax.params import numbers_of
from trading_gymnax.report import charts
from trading_gymnax.report.judge import POLICY, Judgement
from trading_gymnax.report.material import Material, SectionMaker, badge
from trading_gymnax.report.number_sections import (
    baselines_section,
    doubt_section,
    fills_section,
    legal_shares,
    statistics_section,
)
from trading_gymnax.report.origin_section import origin_section
from trading_gymnax.report.page import Html, Section, chart, escape, join, paragraph, table
from trading_gymnax.report.series import SLOT_MINUTES, daily_results, day_profile, equity_path
from trading_gymnax.report.session_charts import SessionChart
from trading_gymnax.report.survival_section import survival_section
from trading_gymnax.rules import HIGH_WATER_MODES
from trading_gymnax.text import usd
from trading_gymnax.version import program_version


def ordinary_session(sessions: Sequence[SessionChart]) -> int:
    """The session of median result: the first to be shown, so that it is not the prettiest."""
    order = np.argsort([session.net_usd for session in sessions], kind="stable")
    return int(order[len(order) // 2])


def equity_section(material: Material) -> Section:
    """Chained equity with floor and drawdown."""
    remark = paragraph(
        "Equity after each bar, as if the sessions had followed one another on one account. Each session in fact "
        "starts on a fresh one: the floor is that of its own account, moved along.",
        "quiet",
    )
    return _both("Equity", remark, material, "equity", "tall", lambda j: charts.equity_chart(equity_path(j.evaluation)))


def daily_section(material: Material) -> Section:
    """Net dollars of each day."""
    remark = paragraph("Net of each session's date, after all costs.", "quiet")
    return _both(
        "Daily results", remark, material, "daily", "low", lambda j: charts.daily_chart(daily_results(j.evaluation))
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
    parts, made = [remark], {}
    for label, judgement in material.judgements:
        element = f"{name}-{label.lower().replace(' ', '-')}"
        parts += [
            Html(f"<h3>{badge(label)} {escape(judgement.dates)}</h3>"),
            chart(element, height, f"{title}, {label}"),
        ]
        made[element] = draw(judgement)
    return Section(title, join(parts), made)


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
    counted = legal_shares(material.held_out)
    remark = f"{counted} The charts show the actions other than HOLD by {SLOT_MINUTES} minutes."
    body = join(
        [
            paragraph(Html(f"{badge('Out of sample')} {escape(remark)}"), "quiet"),
            Html("<h3>Actions</h3>"),
            chart("actions", "low", "Share of each action by time of day"),
            Html("<h3>Positions at the close of the bar</h3>"),
            chart("exposure", "low", "Share of bars with a long or short position by time of day"),
        ]
    )
    made = {"actions": charts.actions_chart(profile), "exposure": charts.exposure_chart(profile)}
    return Section("Over the day", body, made)


def settings_section(material: Material) -> Section:
    """What the run was made with."""
    settings = material.settings.to_dict()
    changes, commit = settings.pop("changes"), settings.pop("commit", None)
    files = settings.pop("data"), settings.pop("digests")
    run = [[name, _plain(value)] for name, value in settings.items() if value not in (None, [], {})]
    for path, digest in zip(*files, strict=True):
        run.append(["file", path])
        run.append(["SHA-256", digest])
    params = material.split.test_params
    fields = [field.name for field in numbers_of(type(params))]
    values = [[f"{name} (changed)" if name in changes else name, _parameter(params, name)] for name in fields]
    trainer = [[name, _plain(value)] for name, value in material.trainer.items()]
    columns = [("Market and account", values), ("Training", trainer)]
    parts = [f"<div><h3>{title}</h3>{table([], rows, numbers_from=9)}</div>" for title, rows in columns if rows]
    run_table = f"<h3>Run</h3>{table([], run, numbers_from=9)}"
    trained = f"commit {commit}" if commit else "a commit that was not recorded"
    made = paragraph(f"The policy was trained by {trained}; this page was made by {program_version()}.", "quiet")
    body = f'<div class="settings">{run_table}<div class="columns">{"".join(parts)}</div></div>'
    return Section("Settings", join([made, Html(body)]))


def accounts_section(material: Material) -> Section:
    """Odds of the evaluation accounts, or why there are none."""
    found = material.held_out
    if found.survival is not None:
        return survival_section(found.survival)
    reason = f"The odds were {found.no_survival}." if found.no_survival else "No account was asked for."
    return Section("Would it pass an evaluation account?", paragraph(reason, "quiet"))


SECTIONS: tuple[SectionMaker, ...] = (
    statistics_section,
    equity_section,
    daily_section,
    sessions_section,
    day_section,
    baselines_section,
    origin_section,
    fills_section,
    doubt_section,
    accounts_section,
)
"""Sections of every report, in order; that of the settings follows them."""


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
