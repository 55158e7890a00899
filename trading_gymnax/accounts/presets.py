"""Accounts as parameters of the environments: evaluations by size, and the system that this one replaces.

account = evaluation_account(50_000)
env, params = gymnax.make("TradingPhase2-v0", data="nq.parquet", market="NQ", **account.arguments())
params = params.replace(**account.params())          # or on an environment that exists
"""

from __future__ import annotations

import dataclasses
from typing import Any

from trading_gymnax.accounts.plans import plan
from trading_gymnax.accounts.schema import Plan
from trading_gymnax.limits import HIGH_WATER_MODES
from trading_gymnax.text import did_you_mean

SESSIONS = 30  # an evaluation's episode is long enough for so many
BARS_PER_SESSION = 450  # decision bars of 9:30 to 16:59 in bars of a minute


@dataclasses.dataclass(frozen=True)
class AccountPreset:
    """An account. `params()`, `options()` and `arguments()` give it out as fresh dicts."""

    name: str
    fields: tuple[tuple[str, Any], ...]  # of EnvParams, dollars
    constructor: tuple[tuple[str, Any], ...]  # arguments of the environment and its loader
    minimum_days: int = 0  # sessions with a trade before a pass counts; the environment does not enforce it
    fee_usd: float | None = None  # price of the evaluation, dollars; None: unknown
    contract_limit: int | None = None  # full-size contracts that may be held at once; None: no such rule

    def params(self) -> dict[str, Any]:
        """Fields of `EnvParams`, for `params.replace(**account.params())`."""
        return dict(self.fields)

    def options(self) -> dict[str, Any]:
        """Arguments of the constructor that are no parameters."""
        return dict(self.constructor)

    def arguments(self) -> dict[str, Any]:
        """Both together, for `gymnax.make(id, data=..., **account.arguments())`."""
        return dict(self.constructor + self.fields)


_OFF = float("inf")
_FAMILIES = {
    "2026": {"INTRABAR": "apex-intraday", "END_OF_DAY": "apex-eod"},
    "2025": {"INTRABAR": "apex-2025", "END_OF_DAY": "apex-2025"},
}
_SIZES = (25_000, 50_000, 100_000, 150_000)
_MODES = ("INTRABAR", "END_OF_DAY")


def evaluation_account(
    size: int, *, high_water_mode: str = "INTRABAR", terms: str = "2026", sessions: int = SESSIONS
) -> AccountPreset:
    """Trailing-drawdown evaluation of a futures account of 25, 50, 100 or 150 thousand dollars.

    size: dollars. high_water_mode: "INTRABAR" (the floor follows open profit in real time) or "END_OF_DAY" (it follows
    the equity at the close of the day). terms: which year's, see below. sessions: length of the episode in sessions of
    9:30 to 16:59 in one-minute bars; longer hours need more steps.

    Balance = size; a reached daily limit ends the day, not the account; the episode goes on over the night until
    target, drawdown or time limit. `account_features=True`: the observation shows the distance to each rule.
    `max_contracts` is the contract limit in full-size contracts (ten micros count as one), which binds sizes chosen by
    `risk_per_trade`. The environment ends an episode at the target even before `minimum_days`.

    The figures are those of the plans apex-intraday and apex-eod (terms="2026", sold since 2026-03-01) and apex-2025
    (sold until 2026-02-28, when END_OF_DAY was not sold), whose four sizes are the common ones; docs/accounts.md
    has the page that each was read from, and what is assumed. Passes of 2026 must come within 30 calendar days, fewer
    than 30 sessions: an agent gets more time here. `fee_usd` is None where no page gave it.

    Raises ValueError for another size, mode or year.
    """
    terms = str(terms)
    _check_asked(size, high_water_mode, terms, sessions)
    sold = plan(f"{_FAMILIES[terms][high_water_mode]}-{int(size) // 1_000}k")
    limit, lock = sold.evaluation.daily_limit, sold.evaluation.drawdown_lock
    fields = {
        "initial_balance": float(size),
        "profit_target": float(sold.evaluation.profit_target),
        "trailing_dd_limit": float(sold.evaluation.drawdown),
        "high_water_mode": HIGH_WATER_MODES.index(high_water_mode),
        "floor_lock": _OFF if lock is None else float(lock),
        "daily_loss_limit": _OFF if limit is None else float(limit),
        "daily_loss_fails": sold.evaluation.daily_limit_ends == "account",
        "terminate_at_session_end": False,
        "max_contracts": sold.evaluation.contracts,
        "max_steps_in_episode": sessions * BARS_PER_SESSION,
    }
    return AccountPreset(
        name=f"evaluation {size:,} ({terms}, {high_water_mode})",
        fields=tuple(fields.items()),
        constructor=(("account_features", True),),
        minimum_days=sold.evaluation.minimum_days,
        fee_usd=_known_fee(sold),
        contract_limit=sold.evaluation.contracts,
    )


def _known_fee(sold: Plan) -> float | None:
    """What a month of the evaluation costs, or the evaluation where it is paid once; None where no page gave it."""
    name = "fees.monthly" if sold.fees.monthly else "fees.evaluation"
    return None if name in sold.assumptions else sold.fees.monthly or sold.fees.evaluation


def _check_asked(size: int, high_water_mode: str, terms: str, sessions: int) -> None:
    """ValueError for an account that there is not."""
    if terms not in _FAMILIES:
        raise ValueError(f"terms are those of {' or '.join(map(repr, _FAMILIES))}; got {terms!r}")
    if size not in _SIZES:
        sizes = ", ".join(f"{known:,}" for known in _SIZES)
        raise ValueError(f"evaluation accounts come in {sizes} dollars; got {size!r}")
    if high_water_mode not in _MODES:
        hint = did_you_mean(str(high_water_mode).upper(), _MODES, "the floor of an evaluation follows one of these")
        raise ValueError(f"high_water_mode is 'INTRABAR' or 'END_OF_DAY', got {high_water_mode!r}: {hint}")
    if isinstance(sessions, bool) or not isinstance(sessions, int) or sessions < 1:
        raise ValueError(f"sessions is a whole number of trading days, 1 or more; got {sessions!r}")


def original() -> AccountPreset:
    """The closest setting to the system that this one replaces, for comparison; its fills are kinder than a market's.

    Entries fill at the close of the decision bar, stops without slippage, targets at the touch; the observation shows
    the raw columns close, volume, sma_5, sma_20, rsi, macd, momentum and atr instead of features free of price level,
    which a normaliser must make usable. Everything else is the default, such as the trailing limit of 15,000 dollars in
    Phase 1 and 2,500 in Phase 2. Source: the old system's own plan.
    The columns are the loader's (docs/rules.md, section 5.2): with data that is loaded already, or without data, use
    `params()` alone.
    """
    fields = {"fill_at_close": True, "stop_slippage_ticks": 0, "target_through_ticks": 0}
    columns = ("close", "volume", "sma_5", "sma_20", "rsi", "macd", "momentum", "atr")
    return AccountPreset("original", tuple(fields.items()), (("feature_columns", columns),))
