"""What is traded: tick, dollars a point, commission, trading calendar and session start of each contract."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np

from trading_gymnax.text import did_you_mean

EQUITY_CALENDAR = "CME Globex Equity"
CRUDE_CALENDAR = "CMEGlobex_CrudeAndRefined"
METALS_CALENDAR = "CMEGlobex_PreciousMetals"

_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_MINUTES_PER_DAY = 1440
_CME_SESSION_MINUTES = 1380  # 18:00 to 17:00 New York, then an hour's halt


@dataclasses.dataclass(frozen=True)
class ContractSpec:
    """One futures contract (docs/rules.md, section 8). Hashable; raises ValueError on values that cannot be.

    Of the calendars, "CME Globex Equity" is taken for index futures because it knows the Globex hours
    (13:15 on the day after Thanksgiving, say); "CME_Equity" follows the pit and ends such days at 13:00.
    """

    symbol: str  # short name, "NQ"
    tick_size: float  # smallest price step, points
    multiplier: float  # dollars per point and contract
    commission_per_side: float = 2.50  # dollars per contract, paid at the entry and again at the exit
    calendar: str | None = EQUITY_CALENDAR  # name in pandas_market_calendars; None: each weekday is a session
    session_start: str = "18:00"  # New York clock; from noon on, the next day's date names the session

    def __post_init__(self) -> None:
        if not isinstance(self.symbol, str) or not self.symbol.strip():
            raise ValueError("a ContractSpec needs a symbol, for example symbol='NQ'")
        for name in ("tick_size", "multiplier", "commission_per_side"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            zero_allowed = name == "commission_per_side"
            if not number or value < 0 or (value == 0 and not zero_allowed):
                lowest = "0 or more" if zero_allowed else "above 0"
                raise ValueError(f"{name} of {self.symbol} must be a number {lowest}, got {value!r}")
        if self.calendar is not None and not isinstance(self.calendar, str):
            raise ValueError(
                f"calendar of {self.symbol} must be a name that pandas_market_calendars knows, or None for "
                f"every weekday, got {self.calendar!r}"
            )
        if not isinstance(self.session_start, str) or not _CLOCK.fullmatch(self.session_start):
            raise ValueError(f"session_start of {self.symbol} must be like '18:00', got {self.session_start!r}")

    @property
    def tick_value_cents(self) -> int:
        """Worth of one tick of one contract in whole cents; ValueError where it is not whole."""
        cents = self.tick_size * self.multiplier * 100
        if abs(cents - round(cents)) > 1e-6 or round(cents) < 1:
            raise ValueError(
                f"a tick of {self.symbol} is worth {cents:.6g} cents; money is counted in whole cents, "
                "so tick_size * multiplier must be a whole number of cents"
            )
        return round(cents)

    @property
    def session_start_minute(self) -> int:
        """Minutes from New York midnight to the session start, 0 to 1439."""
        hours, minutes = self.session_start.split(":")
        return int(hours) * 60 + int(minutes)

    @property
    def session_minutes(self) -> int:
        """Length of a full session without a calendar, minutes: 23 hours, as in all of the table."""
        return _CME_SESSION_MINUTES

    @property
    def date_shift_days(self) -> int:
        """Days from the date on which a session starts to the date that names it."""
        return 1 if self.session_start_minute >= _MINUTES_PER_DAY // 2 else 0


def check_switch(name: str, value: object) -> None:
    """Raise ValueError for a switch that is neither True nor False: "no" would count as True."""
    if not isinstance(value, bool | int | np.bool_) or value not in (0, 1):
        raise ValueError(f"{name} must be True or False, got {value!r}")


_FULL, _MICRO = 2.50, 0.75

CONTRACTS: dict[str, ContractSpec] = {
    spec.symbol: spec
    for spec in (
        ContractSpec("ES", 0.25, 50.0, _FULL, EQUITY_CALENDAR),
        ContractSpec("NQ", 0.25, 20.0, _FULL, EQUITY_CALENDAR),
        ContractSpec("YM", 1.00, 5.0, _FULL, EQUITY_CALENDAR),
        ContractSpec("RTY", 0.10, 50.0, _FULL, EQUITY_CALENDAR),
        ContractSpec("CL", 0.01, 1000.0, _FULL, CRUDE_CALENDAR),
        ContractSpec("GC", 0.10, 100.0, _FULL, METALS_CALENDAR),
        ContractSpec("MES", 0.25, 5.0, _MICRO, EQUITY_CALENDAR),
        ContractSpec("MNQ", 0.25, 2.0, _MICRO, EQUITY_CALENDAR),
        ContractSpec("MYM", 1.00, 0.50, _MICRO, EQUITY_CALENDAR),
        ContractSpec("M2K", 0.10, 5.0, _MICRO, EQUITY_CALENDAR),
        ContractSpec("MCL", 0.01, 100.0, _MICRO, CRUDE_CALENDAR),
        ContractSpec("MGC", 0.10, 10.0, _MICRO, METALS_CALENDAR),
    )
}


def contract(market: str | ContractSpec) -> ContractSpec:
    """The contract of that symbol (any case), or the given ContractSpec itself.

    Raises ValueError for an unknown symbol, naming the nearest one.
    """
    if isinstance(market, ContractSpec):
        return market
    if not isinstance(market, str):
        raise ValueError(f"market must be a symbol such as 'NQ' or a ContractSpec, got {market!r}")
    spec = CONTRACTS.get(market.strip().upper())
    if spec is not None:
        return spec
    hint = did_you_mean(market.strip().upper(), CONTRACTS)
    raise ValueError(
        f"unknown market {market!r}: {hint} known are {', '.join(CONTRACTS)}; "
        "any other instrument is a ContractSpec(symbol, tick_size, multiplier, ...)"
    )
