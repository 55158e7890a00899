"""What one instrument is: tick, dollars a point, commission, calendar, hours, and the prices it can have."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np

EQUITY_CALENDAR = "CME Globex Equity"

_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
_MINUTES_PER_DAY = 1440
_CENT_TOLERANCE = 1e-6
_LARGEST_UNIT = 64  # contracts taken together to make a tick whole cents

RTH = (9.5, 16 + 59 / 60)
"""Default hours, New York clock: 09:30 to 16:59, a minute before the session ends."""


@dataclasses.dataclass(frozen=True)
class ContractSpec:
    """One futures contract (docs/rules.md, section 8), or a stock, an ETF, a coin: what has a tick of whole cents.

    Hashable; raises ValueError on values that cannot be.

    Of the calendars, "CME Globex Equity" is taken for index futures because it knows the Globex hours
    (13:15 on the day after Thanksgiving, say); "CME_Equity" follows the pit and ends such days at 13:00.
    """

    symbol: str  # short name, "NQ"
    tick_size: float  # smallest price step, points
    multiplier: float  # dollars per point and contract
    commission_per_side: float = 2.50  # dollars per contract, paid at the entry and again at the exit
    calendar: str | None = EQUITY_CALENDAR  # name in pandas_market_calendars; None: each weekday is a session
    session_start: str = "18:00"  # New York clock; from noon on, the next day's date names the session
    session_minutes: int = 1380  # length of a session without a calendar, up to 1440; a calendar knows its own
    weekends: bool = False  # without a calendar: Saturdays and Sundays are sessions as well, as of coins
    negative_prices: bool = False  # prices of zero and below are prices, as crude oil had one in April 2020
    price_ranges: tuple[tuple[int, float, float], ...] = ()  # (from year, lowest, highest price), years rising

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
        minutes = self.session_minutes
        if not isinstance(minutes, int) or isinstance(minutes, bool) or not 1 <= minutes <= _MINUTES_PER_DAY:
            raise ValueError(f"session_minutes of {self.symbol} must be a whole number from 1 to 1440, got {minutes!r}")
        check_switch(f"weekends of {self.symbol}", self.weekends)
        check_switch(f"negative_prices of {self.symbol}", self.negative_prices)
        self._check_price_ranges()

    def _check_price_ranges(self) -> None:
        years = [row[0] for row in self.price_ranges]
        if years != sorted(set(years)) or not all(low < high for _, low, high in self.price_ranges):
            raise ValueError(
                f"price_ranges of {self.symbol} must be (from year, lowest, highest) with rising years, "
                f"got {self.price_ranges!r}"
            )

    @property
    def tick_value_cents(self) -> int:
        """Worth of one tick of one contract in whole cents; ValueError where it is not whole."""
        cents = self.tick_size * self.multiplier * 100
        if abs(cents - round(cents)) > _CENT_TOLERANCE or round(cents) < 1:
            raise ValueError(
                f"a tick of {self.symbol} is worth {cents:.6g} cents; money is counted in whole cents, "
                f"so tick_size * multiplier must be a whole number of cents{self._exact_unit(cents)}"
            )
        return round(cents)

    def _exact_unit(self, cents: float) -> str:
        """The way out: so many contracts, taken as one, have a tick of whole cents."""
        for count in range(2, _LARGEST_UNIT + 1):
            if round(cents * count) >= 1 and abs(cents * count - round(cents * count)) <= _CENT_TOLERANCE:
                values = self.tick_size, self.multiplier * count, self.commission_per_side * count
                listed = ", ".join(f"{value:.12g}" for value in values)
                return (
                    f". {count} contracts taken as one are exact: ContractSpec('{count}x{self.symbol}', {listed}, ...)"
                )
        return ""

    @property
    def session_start_minute(self) -> int:
        """Minutes from New York midnight to the session start, 0 to 1439."""
        hours, minutes = self.session_start.split(":")
        return int(hours) * 60 + int(minutes)

    @property
    def date_shift_days(self) -> int:
        """Days from the date on which a session starts to the date that names it."""
        return 1 if self.session_start_minute >= _MINUTES_PER_DAY // 2 else 0


def check_switch(name: str, value: object) -> None:
    """Raise ValueError for a switch that is neither True nor False: "no" would count as True."""
    if not isinstance(value, bool | int | np.bool_) or value not in (0, 1):
        raise ValueError(f"{name} must be True or False, got {value!r}")
