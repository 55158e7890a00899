"""What `lifetime_value` finds: odds and dollars by account, as a frame and as text."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pandas as pd

from trading_gymnax.accounts import Plan
from trading_gymnax.survival.estimates import Days, Estimate
from trading_gymnax.survival.refused import SurvivalRefused
from trading_gymnax.survival.result import share_text
from trading_gymnax.text import usd

OWN = "own account"
_ESTIMATES = ("passed", "paid", "breached", "payouts", "usd", "per_fee")


@dataclasses.dataclass(frozen=True)
class Bankroll:
    """Money with which accounts are bought one after another."""

    usd: float
    accounts: int = 10

    def __post_init__(self) -> None:
        if not 0 <= self.usd < math.inf:
            raise SurvivalRefused(f"a bankroll is dollars, 0 or more; got {self.usd!r}")
        if isinstance(self.accounts, bool) or not isinstance(self.accounts, int) or self.accounts < 1:
            raise SurvivalRefused(f"accounts are a whole number, 1 or more; got {self.accounts!r}")


@dataclasses.dataclass(frozen=True, eq=False)
class Value:
    """What became of the lives of one account."""

    passed: Estimate  # probability that the evaluation is passed
    paid: Estimate  # that there is a payout
    breached: Estimate  # that a limit of the account ends it, in either phase
    days_to_pass: Days  # sessions, of those that pass
    days_to_payout: Days  # sessions to the first one, of those that are paid
    payouts: Estimate  # mean number of them
    fees_usd: float  # mean
    usd: Estimate  # mean of what is paid out less the fees, dollars an account
    per_fee: Estimate  # dollars paid out for each dollar of fees; NaN without fees
    ruin: Estimate | None  # probability that a bankroll does not suffice for the fees; None: not asked


@dataclasses.dataclass(frozen=True, eq=False)
class AccountCase:
    """One plan with one size."""

    plan: Plan | None  # None: the account that the parameters describe
    contracts: int | None  # of every entry; None: chosen by risk
    policy: Value
    coin: Value  # enters at the policy's rate and with its size, long or short by a coin

    @property
    def name(self) -> str:
        """The plan's, or that of the parameters' account."""
        return OWN if self.plan is None else self.plan.name

    @property
    def fees_assumed(self) -> bool:
        """Whether no page has the fees of the plan."""
        return self.plan is not None and bool({"fees.monthly", "fees.evaluation"} & set(self.plan.assumptions))

    @property
    def size_text(self) -> str:
        """The size of an entry."""
        return "by risk" if self.contracts is None else str(self.contracts)

    @property
    def size_words(self) -> str:
        """The same in a sentence."""
        return "sized by risk" if self.contracts is None else f"with {self.contracts} at a time"

    @property
    def pays(self) -> bool:
        """Worth its fees beyond what few sessions leave unknown."""
        return self.policy.usd.low > 0


@dataclasses.dataclass(frozen=True, eq=False)
class AccountValues:
    """How accounts fare with a policy over their whole lives."""

    cases: tuple[AccountCase, ...]  # by plan, then size
    num_sessions: int  # in the view
    horizon: int  # sessions of a life at most
    block_sessions: float
    paths: int
    dates: str
    bankroll: Bankroll | None
    notes: tuple[str, ...]  # what a reader must know, a sentence each

    def first_size(self) -> tuple[AccountCase, ...]:
        """Of each plan the case of the size that was asked for first."""
        return tuple({case.name: case for case in reversed(self.cases)}.values())[::-1]

    def best_size(self, plan: Plan | None) -> AccountCase:
        """Of a plan, None for the parameters' account, the case with the most dollars an account."""
        return max((case for case in self.cases if case.plan == plan), key=lambda case: case.policy.usd.value)

    @property
    def verdict(self) -> str:
        """Which account suits the policy, if any."""
        best = max(self.cases, key=lambda case: case.policy.usd.value)
        found = f"{best.name} {best.size_words}, {_money(best.policy.usd)} dollars an account after fees"
        if best.pays and best.policy.usd.value > best.coin.usd.value:
            return f"The account that suits it best is {found}."
        if best.policy.usd.value > 0:
            return f"NO ACCOUNT IS PROVEN TO PAY: the best is {found}, which may be luck."
        return f"NO ACCOUNT PAYS: the least is lost on {found}."

    @property
    def standing(self) -> str:
        """Whether the size that was asked for first pays its fees: "good", "bad" or "unsure"."""
        case = self.cases[0]
        if case.policy.usd.value <= 0:
            return "bad"
        return "good" if case.pays and case.policy.usd.value > case.coin.usd.value else "unsure"

    def verdict_per_fee(self, name: str, where: str) -> str:
        """What the first plan earns for each dollar of fees, beside the coin and beside the best of the fixed sizes.

        name: of the account. where: "out of sample" say.
        """
        case, says = self.cases[0], {"good": "PAYS", "bad": "DOES NOT PAY", "unsure": "IS NOT PROVEN TO PAY"}
        said = (
            f"The account {name} {says[self.standing]} {where}: {case.size_words} {_earns(case.policy)}, in the hands "
            f"of a coin that enters as often {_ends(case.coin)}."
        )
        others, best = sum(one.plan == case.plan for one in self.cases) - 1, self.best_size(case.plan)
        if best is not case:
            found = f"{best.size_words}, {_ends(best.policy)}"
            return f"{said} The best of {others + 1} sizes on these sessions is that {found}."
        return said + (f" None of {others} other sizes earns more." if others else "")

    def table(self) -> pd.DataFrame:
        """Two rows a case, the policy's and the coin's: each estimate with the ends of its interval."""
        rows = []
        for case in self.cases:
            for who, value in (("policy", case.policy), ("coin", case.coin)):
                row: dict[str, Any] = {"plan": case.name, "contracts": case.contracts, "who": who}
                found = {name: getattr(value, name) for name in _ESTIMATES}
                found |= {"days_to_pass": value.days_to_pass.median, "days_to_payout": value.days_to_payout.median}
                found |= {} if value.ruin is None else {"ruin": value.ruin}
                for name, estimate in found.items():
                    row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
                rows.append(row | {"fees_usd": value.fees_usd})
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        head = (
            f"{self.num_sessions} sessions, {self.dates}; {self.paths:,} lives of up to {self.horizon} sessions of "
            "each account, 95 % intervals in brackets"
        )
        return "\n".join([head, "", *self.lines(), "", self.verdict, *self.notes])

    @property
    def header(self) -> tuple[str, ...]:
        """Names of the columns of `row`."""
        names = ("", "", "size", "passes", "is paid", "payouts", "fees", "dollars an account", "a dollar of fees earns")
        return names + (("ruined",) if self.bankroll else ())

    def lines(self) -> list[str]:
        """Of each plan the first size, the coin with it, and the best size where that is another."""
        rows = [self.header]
        for case in self.first_size():
            best = self.best_size(case.plan)
            shown = [("policy", case, case.policy), ("coin", case, case.coin)]
            shown += [("policy, best size", best, best.policy)] if best is not case else []
            rows += [self.row(at == 0, *one) for at, one in enumerate(shown)]
        wide = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
        return ["  ".join(_aligned(row, wide)).rstrip() for row in rows]

    def row(self, named: bool, who: str, case: AccountCase, value: Value) -> tuple[str, ...]:
        """Cells of a table, with the account's name or without."""
        assumed = "*" if case.fees_assumed else ""
        cells = (
            *(case.name if named else "", who, case.size_text, share_text(value.passed), share_text(value.paid)),
            *(f"{value.payouts.value:.2f}", usd(value.fees_usd, sign=False) + assumed, _money(value.usd)),
            _per_fee(value.per_fee),
        )
        return cells + ((share_text(value.ruin),) if value.ruin else ())


def _aligned(row: tuple[str, ...], wide: list[int]) -> list[str]:
    """Names to the left, figures to the right."""
    return [cell.ljust(w) if at < 2 else cell.rjust(w) for at, (cell, w) in enumerate(zip(row, wide, strict=True))]


def _money(found: Estimate) -> str:
    return f"{found.value:+,.0f} ({found.low:+,.0f} to {found.high:+,.0f})"


def _earns(value: Value) -> str:
    """Of a sentence; an account without fees earns dollars."""
    what = "an account earns" if math.isnan(value.per_fee.value) else "a dollar of fees earns"
    return f"{what} {_ends(value)} dollars"


def _ends(value: Value) -> str:
    return _money(value.usd) if math.isnan(value.per_fee.value) else _per_fee(value.per_fee)


def _per_fee(found: Estimate) -> str:
    return "-" if math.isnan(found.value) else f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"
