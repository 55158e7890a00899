"""A run as one HTML page that needs no network, and two PNG files: what the policy did, and what that proves."""

from __future__ import annotations

import functools
import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any

from trading_gymnax.evaluation.summary import Summary
from trading_gymnax.render import new_picture
from trading_gymnax.report import pictures
from trading_gymnax.report.judge import POLICY, Judgement
from trading_gymnax.report.material import Material, SectionMaker, badge
from trading_gymnax.report.page import Html, escape, join, paragraph, plotly_script, write_page
from trading_gymnax.report.path_section import path_section
from trading_gymnax.report.sections import SECTIONS, ordinary_session, program_version, settings_section
from trading_gymnax.report.series import equity_path
from trading_gymnax.report.session_charts import session_charts
from trading_gymnax.report.value_section import value_section
from trading_gymnax.runs import Split, TradingSettings, doubt_lines, read_settings
from trading_gymnax.survival.value_result import AccountValues
from trading_gymnax.text import annual, chance, interval, percent, ratio, usd

PAGE = "report.html"
_TRAINER_FILE = "run.json"


def write_report(
    run_dir: pathlib.Path | str,
    split: Split,
    seen: Judgement,
    held_out: Judgement,
    *,
    out: pathlib.Path | str | None = None,
    more: Sequence[SectionMaker] = (),
    settings: TradingSettings | None = None,
) -> pathlib.Path:
    """Write the report of a run: `report.html`, which opens without a network, `equity.png` and `session.png`.

    Args:
        run_dir: folder of the run; its settings are shown.
        split: what `runs.build` made of these settings.
        seen, held_out: the policy judged on `split.train_params` and on `split.test_params`.
        out: folder to write to; by default `report` in the run's folder.
        more: further sections, before that of the settings.
        settings: that are shown; by default those of the run.

    Returns the path of the page.

    Raises:
        FileNotFoundError: the folder holds no run.
        MissingExtra: plotly or matplotlib is not installed.
    """
    run_dir = pathlib.Path(run_dir)
    folder = run_dir / "report" if out is None else pathlib.Path(out)
    plotly_script(), new_picture(1, 1)  # what is missing is told before the work, not after it
    material = Material(
        settings=settings or read_settings(run_dir),
        split=split,
        seen=seen,
        held_out=held_out,
        sessions=session_charts(held_out.evaluation, split.test_params.market),
        trainer=trainer_settings(run_dir),
    )
    _write_pictures(folder, material)
    hidden: SectionMaker = functools.partial(path_section, run_dir)
    title = f"{material.markets}, phase {material.settings.phase}"
    first: list[SectionMaker] = [value_section] if held_out.account else []
    makers: list[SectionMaker] = [*first, *SECTIONS, hidden, *more, settings_section]
    sections = [make(material) for make in makers]
    footer = join(["Written by ", program_version(), ". Dollars; New York time; past results of a simulation."], "")
    write_page(folder / PAGE, title, _head(title, material), sections, footer)
    return folder / PAGE


def _write_pictures(folder: pathlib.Path, material: Material) -> None:
    paths = [(label, equity_path(judgement.evaluation)) for label, judgement in material.judgements]
    shown = material.sessions[ordinary_session(material.sessions)]
    folder.mkdir(parents=True, exist_ok=True)
    pictures.equity_picture(paths).savefig(folder / "equity.png", dpi=110)
    pictures.session_picture(shown).savefig(folder / "session.png", dpi=110)


def trainer_settings(run_dir: pathlib.Path) -> dict[str, Any]:
    """Settings of a run's training, by name; empty where unknown."""
    path = run_dir / _TRAINER_FILE
    return dict(json.loads(path.read_text()).get("config", {})) if path.is_file() else {}


# -- top of the page --


def _head(title: str, material: Material) -> Html:
    held_out, seen = material.held_out, material.seen
    market = material.split.test_params.market
    lines: list[object] = [
        Html(f"<h1>{escape(title)}</h1>"),
        *(paragraph(f"DOUBTFUL: {doubt}", "notice") for doubt in market.doubts),
        paragraph(material.split.note.removeprefix(doubt_lines(market)), "quiet"),
    ]
    if not material.settings.data:
        lines.append(
            paragraph(
                "The built-in market is synthetic and holds a planted trend: a profit here shows that the policy "
                "learnt it, and says nothing about any real market.",
                "notice",
            )
        )
    mood = held_out.value.standing if held_out.value else standing(held_out.rows[POLICY])
    lines += [_verdict("Out of sample", held_out, mood), _tiles(held_out)]
    # What a policy earns on the bars that it learnt from is no success, so it never shows green.
    return join([*lines, _verdict("In sample", seen, "seen")])


def _verdict(label: str, judgement: Judgement, mood: str) -> Html:
    said = [paragraph(text) for text in (judgement.account_verdict, judgement.session_verdict) if text]
    return Html(f'<div class="verdict {mood}">{badge(label)} {escape(judgement.dates)}{join(said)}</div>')


def standing(row: Summary) -> str:
    """ "good", "bad" or "unsure": the colour of a verdict."""
    if row.trades == 0 or row.days < 2 or row.undecidable:
        return "unsure"
    if row.net_per_session_usd <= 0:
        return "bad"
    return "good" if row.significant else "unsure"


def _fee_tile(found: AccountValues) -> tuple[str, str, str, float]:
    """What the account pays for its fees; in dollars where it has none."""
    policy, coin = found.cases[0].policy, found.cases[0].coin
    if math.isnan(policy.per_fee.value):
        ends = interval((policy.usd.low, policy.usd.high))
        return (
            "earned an account",
            usd(policy.usd.value),
            f"95 %: {ends}; the coin: {usd(coin.usd.value)}",
            policy.usd.value,
        )
    per_fee = policy.per_fee
    remark = f"95 %: {per_fee.low:.2f} to {per_fee.high:.2f}; the coin: {coin.per_fee.value:.2f}"
    return "a dollar of fees earns", f"${per_fee.value:.2f}", remark, policy.usd.value


def _tiles(judgement: Judgement) -> Html:
    row = judgement.rows[POLICY]
    tiles: list[tuple[str, str, str, float]] = [
        (
            "net per session",
            usd(row.net_per_session_usd),
            f"95 %: {interval(row.interval_usd)}",
            row.net_per_session_usd,
        ),
        ("net, all sessions", usd(row.net_usd), f"{row.sessions:,} sessions", row.net_usd),
        ("trades", f"{row.trades:,}", f"{percent(row.win_rate)} with a profit", 0),
        ("profit factor", ratio(row.profit_factor), "dollars won / dollars lost", 0),
        ("largest drawdown", usd(row.max_drawdown_usd, sign=False), "of the chained equity", 0),
        ("Sharpe ratio", annual(row.sharpe, row.ratio_doubt()), f"annual; deflated: {chance(row.deflated_sharpe)}", 0),
    ]
    if judgement.value is not None:
        tiles.insert(0, _fee_tile(judgement.value))
    if row.trades > 1:
        smallest = usd(row.smallest_edge_usd, sign=False)
        tiles.append(("smallest edge to show", smallest, f"a trade; the policy made {usd(row.expectancy_usd)}", 0))
    if len(judgement.luck_usd):
        coins = f"of {len(judgement.luck_usd)} that enter by a coin"
        tiles.append(("better than", percent(judgement.percentile, 0), coins, 0))
    made = []
    for name, value, remark, sign in tiles:
        color = "" if sign == 0 else " gain" if sign > 0 else " loss"
        made.append(
            f'<div class="tile"><div class="name">{escape(name)}</div><div class="value{color}">{escape(value)}</div>'
            f'<div class="more">{escape(remark)}</div></div>'
        )
    return Html(f'<div class="tiles">{"".join(made)}</div>')
