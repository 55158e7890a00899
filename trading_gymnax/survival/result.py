"""What `survival` finds: odds by account, as frames and as text."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pandas as pd

from trading_gymnax.accounts import AccountPreset
from trading_gymnax.survival.estimates import Curve, Days, Estimate
from trading_gymnax.text import count_text


@dataclasses.dataclass(frozen=True)
class Consecutive:
    """Attempts that start on every session of the view and go on with those that follow; shares of all, from 0 to 1."""

    attempts: int  # sessions, for a coin times the seeds
    passed: float
    breached: float
    running: float  # through all sessions of the horizon
    out_of_data: float  # neither passed nor breached when the data ended


@dataclasses.dataclass(frozen=True, eq=False)
class Odds:
    """What became of the attempts; probabilities after the last session of the horizon."""

    passed: Estimate
    breached: Estimate
    running: Estimate
    days: Days  # sessions to a pass
    usd: Estimate  # value of a pass * P(pass) - fees paid, dollars an attempt; before fees where they are unknown
    curve: Curve  # the three over the sessions
    consecutive: Consecutive


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One account, size and high-water mode."""

    account: AccountPreset
    contracts: int | None  # of every entry; None: chosen by risk
    high_water_mode: str
    pass_value_usd: float
    policy: Odds
    coin: Odds  # enters at the policy's rate and with its size, long or short by a coin
    over_coin: Estimate  # P(pass) of the policy less the coin's, over the same orders

    @property
    def name(self) -> str:
        """The account with what was changed about it."""
        size = "sized by risk" if self.contracts is None else f"{self.contracts} contract{'s'[: self.contracts != 1]}"
        mode = "" if self.high_water_mode in self.account.name else f", {self.high_water_mode}"
        return f"{self.account.name}{mode}, {size}"

    @property
    def fee_text(self) -> str:
        """The fee, or that it is unknown."""
        fee = self.account.fee_usd
        return "fee unknown" if fee is None else f"{fee:,.0f} dollars a month"


@dataclasses.dataclass(frozen=True, eq=False)
class Survival:
    """How accounts fare with a policy."""

    cases: tuple[Case, ...]  # by account, high-water mode, contracts
    num_sessions: int  # in the view
    horizon: int  # sessions of an attempt at most
    block_sessions: float
    paths: int
    dates: str
    notes: tuple[str, ...]  # what a reader must know, a sentence each

    def __repr__(self) -> str:
        cases = ", ".join(case.name for case in self.cases)
        return f"Survival({cases}: {self.paths:,} attempts from {count_text(self.num_sessions, 'session')})"

    def table(self) -> pd.DataFrame:
        """Two rows a case, the policy's and the coin's: each estimate with the ends of its interval."""
        rows = []
        for case in self.cases:
            for who, odds in (("policy", case.policy), ("coin", case.coin)):
                row: dict[str, Any] = {"case": case.name, "who": who}
                found_by_name = {
                    "passed": odds.passed,
                    "breached": odds.breached,
                    "running": odds.running,
                    "usd": odds.usd,
                }
                found_by_name["days"] = odds.days.median
                for name, found in found_by_name.items():
                    row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
                row |= {"days_5": odds.days.fast, "days_95": odds.days.slow, "fee_usd": case.account.fee_usd}
                row |= {f"consecutive_{k}": v for k, v in dataclasses.asdict(odds.consecutive).items()}
                rows.append(row)
        return pd.DataFrame(rows)

    def __str__(self) -> str:
        lines = [
            f"{self.num_sessions} sessions, {self.dates}; {self.paths:,} attempts of up to {self.horizon} sessions"
        ]
        for case in self.cases:
            lines.append(f"{case.name} ({case.fee_text})")
            for who, odds in (("policy", case.policy), ("coin", case.coin)):
                shares = (("pass", odds.passed), ("breach", odds.breached), ("running", odds.running))
                texts = [f"{name} {share_text(found)}" for name, found in shares]
                money = f"{odds.usd.value:+,.0f} ({odds.usd.low:+,.0f} to {odds.usd.high:+,.0f}) dollars an attempt"
                lines.append(f"  {who:6}  {'  '.join(texts)}")
                lines.append(f"  {'':6}  {money}, to a pass {days_text(odds.days)}")
        return "\n".join([*lines, *self.notes])


def share_text(found: Estimate) -> str:
    """ "12 % (8 to 17)"."""
    return f"{100 * found.value:.0f} % ({100 * found.low:.0f} to {100 * found.high:.0f})"


def days_text(days: Days) -> str:
    """ "9 sessions (3 to 21)": the median, and 5 and 95 % of the passes; "-" without a pass."""
    if math.isnan(days.fast):
        return "-"
    unit = "session" if round(days.median.value) == 1 else "sessions"
    return f"{days.median.value:.0f} {unit} ({days.fast:.0f} to {days.slow:.0f})"
