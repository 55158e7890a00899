"""The sections of a report, each a function from the material to a part of the page."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from trading_gymnax.evaluation.holding import buy_and_hold
from trading_gymnax.params import numbers_of
from trading_gymnax.report import charts, svg
from trading_gymnax.report.judge import LONG, POLICY, Judgement
from trading_gymnax.report.material import Material, SectionMaker, badge
from trading_gymnax.report.number_sections import (
    baselines_section,
    doubt_section,
    fills_section,
    legal_shares,
    statistics_section,
)
from trading_gymnax.report.origin_section import origin_section
from trading_gymnax.report.page import Html, Section, chart, escape, join, pack, paragraph, table
from trading_gymnax.report.series import SLOT_MINUTES, daily_results, day_profile, equity_path
from trading_gymnax.report.session_charts import SessionChart
from trading_gymnax.report.survival_section import survival_section
from trading_gymnax.report.trade_sections import list_section, trades_section
from trading_gymnax.rules import HIGH_WATER_MODES
from trading_gymnax.text import count_text, usd
from trading_gymnax.version import program_version


def ordinary_session(sessions: Sequence[SessionChart]) -> int:
    """The session of median result: the first to be shown, so that it is not the prettiest."""
    order = np.argsort([session.net_usd for session in sessions], kind="stable")
    return int(order[len(order) // 2])


def equity_section(material: Material) -> Section:
    """Chained equity with floor and drawdown, beside what the market itself did."""
    remark = paragraph(
        "Equity after each bar, as if the sessions had followed one another on one account. Each session in fact "
        "starts on a fresh one: the floor is that of its own account, moved along. Beside it, as of each close: who "
        f"buys at the first open and holds to the end, over nights and weekends, and who is {LONG} of each "
        "session; both in position_size contracts of each market, costs paid.",
        "quiet",
    )

    def draw(judgement: Judgement) -> dict[str, Any]:
        split, found = material.split, judgement.evaluation
        params = split.test_params if judgement is material.held_out else split.train_params
        others = {"buy and hold": buy_and_hold(found, params.market, params)}
        if len(judgement.long_usd):
            others[LONG] = judgement.long_usd
        return charts.equity_chart(equity_path(found), others)

    return _both("Equity", remark, material, "equity", "tall", draw)


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
    names = [f"{session.date} {session.symbol}" if several else session.date for session in shown]
    options = []
    for at, (name, session) in enumerate(zip(names, shown, strict=True)):
        text = f"{name}: net {usd(session.net_usd, cents=True)}, {count_text(len(session.trades), 'trade')}"
        options.append(f"<option{' selected' if at == first else ''}>{escape(text)}</option>")
    remark = (
        "Stops and targets are those in force during each bar. The first one shown is the session of median result."
    )
    if len(shown) < total:
        remark += f" Of {total} sessions {len(shown)} are here: the best, the worst, and others evenly."
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
        ]
    )
    # An address names a session: what is odd in a symbol is not for addresses.
    sessions = [
        {
            "id": re.sub(r"[^A-Za-z0-9-]+", "-", name),
            "date": session.date,
            "symbol": session.symbol,
            "tick": session.tick_size,
            "digits": session.decimals,
            "packed": pack(session.to_json()),
        }
        for name, session in zip(names, shown, strict=True)
    ]
    data = {"sessions": sessions, "sessionLayout": charts.session_layout(), "colors": charts.COLORS}
    return Section("Session by session", body, data=data)


def day_section(material: Material) -> Section:
    """Shares of actions and positions over the minutes of the day."""
    profile = day_profile(material.held_out.evaluation)
    counted = legal_shares(material.held_out)
    remark = f"{counted} The charts show the actions other than HOLD by {SLOT_MINUTES} minutes."
    actions = [
        _shares(name.replace("_", " ").lower(), _style_of(name), profile.slots, profile.actions[name])
        for name in profile.actions.columns
    ]
    positions = [_shares(side, side, profile.slots, getattr(profile, side)) for side in ("long", "short")]

    def show(share: float) -> str:
        return f"{100 * share:,.4g} %"

    plots = [
        svg.bar_chart("Actions, share of the steps", profile.slots, actions, show),
        svg.bar_chart("Positions, share of the bars' closes", profile.slots, positions, show),
    ]
    lead = paragraph(Html(f"{badge('Out of sample')} {escape(remark)}"), "quiet")
    return Section("Over the day", join([lead, Html(f'<div class="plots">{join(plots)}</div>')]))


ACTION_STYLES = {
    "BUY": "long",
    "SELL": "short",
    "MOVE_SL_TO_BE": "third",
    "ENABLE_TRAIL": "fourth",
    "DISABLE_TRAIL": "other",
}
"""Colours of the actions, as classes of the page's style."""


def _style_of(action: str) -> str:
    """Entries of all sizes have the colour of their side: BUY_2X that of BUY."""
    return ACTION_STYLES.get(action) or ACTION_STYLES.get(action.partition("_")[0], "other")


def _shares(kind: str, style: str, slots: Sequence[str], values: Any) -> svg.Bars:
    tips = [f"from {slot}: {kind} {100 * float(value):.2f} %" for slot, value in zip(slots, values, strict=True)]
    return svg.Bars(kind, style, [float(value) for value in values], tips)


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
    trades_section,
    sessions_section,
    list_section,
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
