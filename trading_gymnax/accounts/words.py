"""Plans in words: a table of many, and all that one asks, pays and costs, with the page of each rule."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable

from trading_gymnax.accounts.schema import PARTS, Evaluation, Fees, Funded, Phase, Plan, rules_of
from trading_gymnax.text import count_text

_WIDTH = 110
_MODE_WORDS = {"STATIC": "fixed", "INTRABAR": "open profit", "END_OF_DAY": "close of day"}


def table_lines(plans: Iterable[Plan]) -> list[str]:
    """A row for each plan, firm by firm; dollars."""
    rows: list[tuple[str, ...]] = [
        (
            *("", "target", "drawdown", "follows", "daily limit", "days", "best day", "fee"),
            *("funded: follows", "days to a payout", "best day", "kept"),
        )
    ]
    firms: list[tuple[int, str]] = []
    for plan in plans:
        if not firms or firms[-1][1] != plan.firm:
            firms.append((len(rows), plan.firm))
        rows.append(_row(plan))
    wide = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = []
    for number, row in enumerate(rows):
        firm = dict(firms).get(number)
        lines += [*([""] if number > 1 else []), firm] if firm else []
        cells = [row[0].ljust(wide[0]), *(cell.rjust(width) for cell, width in zip(row[1:], wide[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def _row(plan: Plan) -> tuple[str, ...]:
    one, two = plan.evaluation, plan.funded
    fee = f"{_number(plan.fees.monthly)} a month" if plan.fees.monthly else f"{_number(plan.fees.evaluation)} once"
    mark = "*" if {"fees.monthly", "fees.evaluation"} & set(plan.assumptions) else ""
    return (
        *(plan.name, _number(one.profit_target), _number(one.drawdown), _MODE_WORDS[one.drawdown_mode]),
        *("-" if one.daily_limit is None else _number(one.daily_limit), _days(one), _share(one.consistency)),
        *(fee + mark, _MODE_WORDS[two.drawdown_mode], _days(two), _share(two.consistency), _share(two.split)),
    )


def _days(phase: Phase) -> str:
    parts = [str(phase.minimum_days)] if phase.minimum_days else []
    if phase.winning_days:
        parts.append(f"{phase.winning_days} of {_number(phase.winning_day)}")
    return " + ".join(parts) or "-"


def plan_lines(plan: Plan) -> list[str]:
    """One plan in sentences, then where each rule was read, and what is assumed."""
    lines = [f"{plan.name}: {plan.firm}, {plan.title}, {_number(plan.size)} dollars"]
    lines += [plan.note] if plan.note else []
    lines += ["", "Evaluation", *_indented(_evaluation(plan.evaluation))]
    lines += ["", "Funded account", *_indented(_funded(plan.funded))]
    lines += ["", "Fees", *_indented(_fees(plan.fees))]
    origins = dict(plan.origins)
    pages: dict[str, list[str]] = {}
    for part in PARTS:
        for rule in rules_of(part):
            name = f"{part}.{rule}"
            pages.setdefault("" if origins[name].assumed else str(origins[name]), []).append(name)
    lines += ["", "Read from"]
    for page, names in pages.items():
        if page:
            lines += [*_wrapped(f"{page}:", 2), *_wrapped(", ".join(names), 4)]
    if plan.assumptions:
        lines += ["", "Assumed, since no page that was read gives it"]
        for name, reason in plan.assumptions.items():
            lines += _wrapped(f"{name}: {reason}", 2)
    return [*lines, "", "Firms change their terms without notice: compare with the firm's own page before you pay."]


def _indented(sentences: list[str]) -> list[str]:
    return [line for sentence in sentences for line in _wrapped(sentence, 2)]


def _wrapped(text: str, indent: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(text, _WIDTH, initial_indent=space, subsequent_indent=space + "  ", break_on_hyphens=False)


def _evaluation(rules: Evaluation) -> list[str]:
    said = [f"Passes at a profit of {_number(rules.profit_target)} dollars, when flat{_conditions(rules)}."]
    if rules.calendar_days is not None:
        said.append(f"The pass must come within {count_text(rules.calendar_days, 'day')} of the calendar.")
    return said + _limits(rules)


def _funded(rules: Funded) -> list[str]:
    said = _limits(rules)
    what = "all profit" if rules.payout_share == 1 else f"{_share(rules.payout_share)} of the profit"
    if rules.buffer:
        what += f" above a buffer of {_number(rules.buffer)} dollars, which stays"
    said.append(
        f"A payout takes {what}, {_number(rules.payout_minimum)} dollars or more"
        f"{_conditions(rules)}; the trader keeps {_share(rules.split)} of it."
    )
    if rules.payout_caps is not None:
        caps = ", ".join(map(_number, rules.payout_caps))
        said.append(f"A payout is at most {caps} dollars{', one after another' if len(rules.payout_caps) > 1 else ''}.")
    if rules.floor_after_payout is not None:
        said.append(f"With the first payout the floor goes to {_above_start(rules.floor_after_payout)}.")
    if rules.payouts_at_most is not None:
        said.append(f"The account ends with payout {rules.payouts_at_most}.")
    return said


def _limits(rules: Phase) -> list[str]:
    under = f"a floor {_number(rules.drawdown)} dollars under"
    if rules.drawdown_mode == "STATIC":
        floor = f"{under} the start, which never moves"
    else:
        highest = "highest equity, open profit too" if rules.drawdown_mode == "INTRABAR" else "highest close of a day"
        floor = f"{under} the {highest}"
        if rules.drawdown_lock is not None:
            floor += f"; it rises to {_above_start(rules.drawdown_lock)} and no further"
    said = [f"Ends below {floor}."]
    if rules.daily_limit is not None:
        what = "the account" if rules.daily_limit_ends == "account" else "trading for the day"
        said.append(f"A loss of {_number(rules.daily_limit)} dollars in a day ends {what}.")
    micro = "" if rules.micros == 1 else f" ({rules.micros} micros count as one)"
    said.append(f"At most {count_text(rules.contracts, 'contract')} at once{micro}; flat by {rules.flat_by} New York.")
    if rules.scaling is not None:
        steps = ", ".join(f"{contracts} from a profit of {_number(profit)}" for profit, contracts in rules.scaling)
        said.append(f"By the profit at the end of the day before: {steps} dollars.")
    return said


def _conditions(rules: Phase) -> str:
    """Days and consistency, as a clause."""
    asked = []
    if rules.minimum_days:
        asked.append(f"after {count_text(rules.minimum_days, 'day')} with a trade")
    if rules.winning_days:
        asked.append(f"after {count_text(rules.winning_days, 'day')} of {_number(rules.winning_day)} dollars or more")
    if rules.consistency is not None:
        of = "the profit" if rules.consistency_of == "profit" else "the winning days' profit"
        asked.append(f"while the best day is at most {_share(rules.consistency)} of {of}")
    return "".join(f", {clause}" for clause in asked)


def _fees(fees: Fees) -> list[str]:
    said = [f"{_number(fees.evaluation)} dollars for the evaluation."] if fees.evaluation else []
    said += [f"{_number(fees.monthly)} dollars for each month of the evaluation."] if fees.monthly else []
    said += [f"{_number(fees.reset)} dollars for a fresh start after a breach."] if fees.reset is not None else []
    return [
        *said,
        f"{_number(fees.activation)} dollars for the funded account." if fees.activation else "No activation.",
    ]


def _above_start(profit: float) -> str:
    return "the start" if profit == 0 else f"the start and {_number(profit)} dollars"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:g} %"
