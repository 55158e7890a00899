"""What one bar hides, as a section of the report: what the rules took of the run's own trades, against the path."""

from __future__ import annotations

import json
import math
import pathlib

from trading_gymnax.report.judge import Judgement
from trading_gymnax.report.material import Material, badge
from trading_gymnax.report.page import Html, Section, escape, join, paragraph
from trading_gymnax.skill.finepath import leap_toll, target_toll
from trading_gymnax.text import count_text, percent, usd

PATH_FILE = "path.json"
_TITLE = "What a bar hides"
_TARGET_FIRST = "stop_first is off: the run is paid in every bar that holds stop and target, which nobody can count on."


def path_section(run_dir: pathlib.Path, material: Material) -> Section:
    """What the rules took by reckoning, and the sentences that `path` left in the run's folder, or how to get them.

    The reckoning costs nothing, is of the run's own trades, and has no error of a simulation; what it cannot see, the
    order within ambiguous bars, is bounded by the run's walk with either answer.
    """
    path = run_dir / PATH_FILE
    label, judgement = material.judgements[0]
    parts = [] if bool(material.split.test_params.stop_first) else [paragraph(_TARGET_FIRST, "notice")]
    parts.append(paragraph(Html(f"{badge(label)} {escape(_reckoned(material, judgement))}")))
    if len(judgement.evaluation.trades):
        parts.append(paragraph(_leaps(material, judgement)))
    if path.is_file():
        parts += [paragraph(text) for text in dict(json.loads(path.read_text()))["sentences"]]
        remark = "Simulated: random entries on a martingale of this market's noise, settled by the rules and by a path."
    else:
        remark = (
            f"trading-gymnax path {run_dir} simulates it under these settings, with --jumps-a-day for stops that price "
            "leaps over and --fine FILE for the run's own trades on second bars or ticks."
        )
    return Section(_TITLE, join([*parts, paragraph(remark, "quiet")]))


def _reckoned(material: Material, judgement: Judgement) -> str:
    trades, params = judgement.evaluation.trades, material.split.test_params
    toll = target_toll(trades, params.market, params)
    if math.isnan(toll):
        return "The policy never traded."
    reached, through = (trades["exit_reason"] == "TARGET").mean(), int(params.target_through_ticks)
    text = (
        f"The rules took {usd(toll, sign=False, cents=True)} a trade more than the path would have, on average over "
        f"prices without drift: a target needs price {count_text(through, 'tick')} beyond it to fill, and "
        f"{percent(float(reached))} of {count_text(len(trades), 'trade')} reached theirs."
    )
    ambiguous = int(judgement.evaluation.sessions["ambiguous_bars"].sum())
    if ambiguous == 0:
        return f"{text} No bar held both stop and target, so their order within bars decided nothing."
    text += f" {count_text(ambiguous, 'bar')} held both stop and target"
    if judgement.robustness is None:
        return f"{text}."
    swing = usd(judgement.robustness.answers_differ_usd / len(trades), cents=True)
    return f"{text}: the target first in all of them would make {swing} a trade more than the stop first."


def _leaps(material: Material, judgement: Judgement) -> str:
    params, trades = material.split.test_params, judgement.evaluation.trades
    paid = count_text(int(params.stop_slippage_ticks), "tick")
    if float(params.stop_slippage_atr_mult):
        paid += f" and {float(params.stop_slippage_atr_mult):g} ATR"
    toll = usd(leap_toll(trades, params.market), sign=False, cents=True)
    return (
        f"A stop inside a bar fills at its level less {paid}, also where price leapt over it, which no bar shows: each "
        f"tick of such leaps costs up to {toll} a trade more."
    )
