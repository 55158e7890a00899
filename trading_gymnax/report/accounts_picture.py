"""What accounts are worth to a policy over their lives, as a picture by matplotlib."""

from __future__ import annotations

import textwrap
from typing import Any

from trading_gymnax.render import ENTRY, INK, TARGET, calm, new_picture
from trading_gymnax.survival.estimates import Estimate
from trading_gymnax.survival.value_result import AccountValues
from trading_gymnax.text import usd

_WIDTH, _ROW, _MARGIN = 9.0, 0.5, 1.6  # inches
_CHARACTERS = 100  # of a line of the title
_COIN = "#7d848e"


def accounts_picture(found: AccountValues) -> Any:
    """Dollars an account after fees, with intervals: a row for each plan; the policy, its best size, and the coin."""
    first = found.first_size()
    picture = new_picture(_WIDTH, _MARGIN + _ROW * len(first))
    axes = picture.subplots()
    axes.axvline(0, color=INK, linewidth=0.8)
    many = len({case.contracts for case in found.cases}) > 1
    lines: list[tuple[str, str, float, list[Estimate]]] = [
        ("policy", ENTRY, -0.2, [case.policy.usd for case in first]),
        ("coin, as often and as large", _COIN, 0.2, [case.coin.usd for case in first]),
    ]
    if many:
        best = [found.best_size(case.plan).policy.usd for case in first]
        lines.insert(1, ("policy, best size", TARGET, 0.0, best))
    for name, color, away, estimates in lines:
        values = [one.value for one in estimates]
        ends = [[one.value - one.low for one in estimates], [one.high - one.value for one in estimates]]
        rows = [at + away for at in range(len(first))]
        axes.errorbar(values, rows, xerr=ends, fmt="o", color=color, markersize=4, elinewidth=1.4, label=name)
    axes.set_yticks(range(len(first)), [case.name for case in first])
    axes.set_ylim(len(first) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(lambda value, _: usd(value, sign=False))
    axes.set_xlabel(f"dollars an account after fees, within {found.horizon} sessions")
    title = "\n".join(textwrap.wrap(found.verdict, _CHARACTERS))  # matplotlib's own wrapping leaves low axes no height
    axes.set_title(title, loc="left", fontsize=9, pad=24, parse_math=False)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=len(lines), frameon=False, fontsize=8)
    calm(axes)
    return picture
