"""What stops new entries whatever the policy wants: a day's loss, the trailing floor, and errors."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from trading_gymnax.text import usd


@dataclasses.dataclass(frozen=True)
class Guard:
    """Limits of the whole account, which goes on from one session to the next; inf and None switch one off."""

    daily_loss_usd: float = math.inf
    """Loss of a session, open profit included, from which on no entry is made in that session."""
    trailing_usd: float = math.inf
    """Distance of equity below its highest value at a bar's close from which on no entry is made any more."""
    max_errors: int | None = 10
    """Errors of a session (bars left out, orders rejected) from which on no entry is made in it."""

    def __post_init__(self) -> None:
        for name in ("daily_loss_usd", "trailing_usd"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name} is an amount of dollars above 0, or inf for none; got {value!r}")
        if self.max_errors is not None and self.max_errors < 1:
            raise ValueError(f"max_errors counts from 1, or is None for no limit; got {self.max_errors!r}")

    @classmethod
    def of(cls, params: Any) -> Guard:
        """The limits that the parameters' account has, kept for the whole account."""
        return cls(float(np.asarray(params.daily_loss_limit)), float(np.asarray(params.trailing_dd_limit)))


@dataclasses.dataclass
class GuardState:
    """What the guard has seen; cents."""

    high_cents: int  # highest equity at a bar's close
    session_start_cents: int  # equity at the first bar of the session
    errors: int = 0  # of the session
    failed: bool = False  # the trailing floor was reached: no entry any more
    said: bool = False  # that it stops entries, in this session

    def snapshot(self) -> dict[str, Any]:
        """All of it as plain values."""
        return dict(vars(self))

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on from a snapshot."""
        vars(self).update(saved)

    def begin_session(self, equity_cents: int) -> None:
        """A new session: its own loss and its own errors."""
        self.session_start_cents, self.errors, self.said = equity_cents, 0, False

    def says(self, blocked: str | None) -> bool:
        """Whether this is the first time in the session that the guard stops entries."""
        first, self.said = blocked is not None and not self.said, self.said or blocked is not None
        return first

    def see(self, equity_cents: int, guard: Guard) -> str | None:
        """Equity at a bar's close; why no entry may be made, or None."""
        self.high_cents = max(self.high_cents, equity_cents)
        below = self.high_cents - equity_cents
        self.failed |= below >= guard.trailing_usd * 100
        if self.failed:
            return f"guard: {usd(guard.trailing_usd, sign=False)} below the highest equity were reached"
        loss = self.session_start_cents - equity_cents
        if loss >= guard.daily_loss_usd * 100:
            return f"guard: {usd(loss / 100, sign=False, cents=True)} lost in this session"
        if guard.max_errors is not None and self.errors >= guard.max_errors:
            return f"guard: {self.errors} errors in this session"
        return None
