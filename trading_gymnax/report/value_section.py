"""What the account that a run was trained on is worth over its whole life, as a section of the report."""

from __future__ import annotations

from trading_gymnax.report.material import Material, badge
from trading_gymnax.report.page import Html, Section, escape, join, paragraph, table
from trading_gymnax.survival.value_result import AccountValues


def value_section(material: Material) -> Section:
    """Odds and dollars of the account, by size, for the policy and for the coin, or why there are none."""
    held_out = material.held_out
    title = f"What is the account {held_out.account} worth?"
    if held_out.value is None:
        return Section(title, paragraph(held_out.account_verdict or "It was not asked for.", "quiet"))
    parts: list[object] = [paragraph(Html(f"{badge('Out of sample')} {escape(_what(held_out.value))}"), "quiet")]
    parts += [_table(held_out.value), *(paragraph(note, "quiet") for note in held_out.value.notes)]
    return Section(title, join(parts))


def _what(found: AccountValues) -> str:
    return (
        f"{found.paths:,} lives of up to {found.horizon} sessions for each size, their sessions drawn from "
        f"{found.num_sessions} of {found.dates} in blocks of {found.block_sessions:g} on average: the evaluation, the "
        "funded account and its payouts, all fees paid. In brackets 95 % intervals, which hold what so few sessions "
        "leave unknown. The coin enters as often and with the same size, long or short by chance."
    )


def _table(found: AccountValues) -> Html:
    """All sizes, the coin behind each; the run's own size stands out."""
    rows = []
    for case in found.cases:
        for who, value in (("policy", case.policy), ("coin", case.coin)):
            rows.append([_in_two_lines(cell) for cell in found.row(False, who, case, value)[1:]])
    return table(found.header[1:], rows, strong=0)


def _in_two_lines(cell: str) -> Html:
    """An interval below its estimate."""
    return Html(escape(cell).replace(" (", "<br>(", 1))
