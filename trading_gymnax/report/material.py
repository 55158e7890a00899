"""What the sections of a report are written from, and the label that stands over their figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from trading_gymnax.report.judge import Judgement
from trading_gymnax.report.page import Html, Section, escape
from trading_gymnax.report.session_charts import SessionChart
from trading_gymnax.runs import Split, TradingSettings


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
