"""Evaluation accounts as presets: the parameters of an account that somebody sells, with date and source.

account = evaluation_account(50_000)
env, params = gymnax.make("TradingPhase2-v0", data="nq.parquet", market="NQ", **account.arguments())
params = params.replace(**account.params())          # or on an environment that exists
"""

from __future__ import annotations

import dataclasses
from typing import Any

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


@dataclasses.dataclass(frozen=True)
class _Terms:
    """What an evaluation of one size asks; dollars."""

    profit_target: float
    trailing_limit: float
    daily_limit: float  # of the end-of-day variety; inf where there is none
    contracts: int
    fee: float | None


_OFF = float("inf")
_SOLD: dict[str, dict[int, _Terms]] = {
    "2026": {
        25_000: _Terms(1_500, 1_000, 500, 4, None),
        50_000: _Terms(3_000, 2_000, 1_000, 10, None),
        100_000: _Terms(6_000, 3_000, 1_500, 14, None),
        150_000: _Terms(9_000, 4_000, 2_000, 17, None),
    },
    "2025": {
        25_000: _Terms(1_500, 1_500, _OFF, 4, 147),
        50_000: _Terms(3_000, 2_500, _OFF, 10, 167),
        100_000: _Terms(6_000, 3_000, _OFF, 14, None),
        150_000: _Terms(9_000, 5_000, _OFF, 17, None),
    },
}
_MINIMUM_DAYS = {"2026": 0, "2025": 7}


def evaluation_account(
    size: int, *, high_water_mode: str = "INTRABAR", terms: str = "2026", sessions: int = SESSIONS
) -> AccountPreset:
    """Trailing-drawdown evaluation of a futures account of 25, 50, 100 or 150 thousand dollars.

    size: dollars. high_water_mode: "INTRABAR" (the floor follows open profit in real time) or "END_OF_DAY" (it follows
    the equity at the close of the day). terms: which year's, see below. sessions: length of the episode in sessions of
    9:30 to 16:59 in one-minute bars; longer hours need more steps.

    Balance = size; profit target, trailing limit and, where there is one, daily limit as below; a reached daily limit
    ends the day, not the account; the floor locks at the start balance plus 100 dollars; the episode goes on over the
    night until target, drawdown or time limit. `account_features=True`: the observation shows the distance to each
    rule. `max_contracts` is the contract limit in full-size contracts (ten micros count as one), which binds sizes
    chosen by `risk_per_trade`. The environment ends an episode at the target even before `minimum_days`.

    Figures of Apex Trader Funding, whose four sizes are the common ones, in dollars per size of 25 / 50 / 100 / 150
    thousand; firms change them without notice, so compare with the firm's own page before relying on them:

    - terms="2026", sold since 2026-03-01: target 1,500 / 3,000 / 6,000 / 9,000; trailing limit 1,000 / 2,000 / 3,000 /
      4,000, intraday or end of day; daily limit of the end-of-day variety 500 / 1,000 / 1,500 / 2,000, which pauses
      the day; no minimum days. Source: "Prop Firm Rules Dataset" of FuturesEdge (github.com/powerFC/
      propfirm-rules-dataset, state of 2026-09-04), which read them on the firm's pages on 2026-07-11. Lock at start +
      100: "Prop Firm Rules" of Puravida Edge (huggingface.co/datasets/puravidaedge/prop-firm-rules, verified
      2026-11-01), which states it for the funded account; the first source gives none for the evaluation, so that
      it is an assumption here. The contract limits are those of 2025, an assumption; the fee was not to be found.
      Passes must come within 30 calendar days, fewer than 30 sessions: an agent gets more time here.
    - terms="2025", sold until 2026-02-28: the same targets; trailing limit 1,500 / 2,500 / 3,000 / 5,000, intraday, no
      daily limit; 4 / 10 / 14 / 17 contracts; at least 7 trading days; 147 and 167 dollars a month for the two smaller
      sizes. Sources: the Apex funded account agreement of 2024-06-16 (pastebin.com/Wqbz2pkG) for limits and contracts
      of the two smaller sizes; nomadfuturestrader.com/apex-trader-funding (undated, about 2024) for all limits, as the
      balance that a payout needs is start + limit + 100; zerosedge.com (undated, about 2025) for all contract limits;
      bdnq-trader.com (undated, about 2024) for the days; propfirmapp.com/?p=249 (undated, about 2025) for the targets
      of the three smaller sizes and the two prices. The target of 150 thousand is an assumption (6 % as for the
      others); the other prices were not to be found. END_OF_DAY was not sold then.

    Raises ValueError for another size, mode or year.
    """
    asked = _asked(size, high_water_mode, str(terms), sessions)
    fields = {
        "initial_balance": float(size),
        "profit_target": float(asked.profit_target),
        "trailing_dd_limit": float(asked.trailing_limit),
        "high_water_mode": HIGH_WATER_MODES.index(high_water_mode),
        "floor_lock": 100.0,
        "daily_loss_limit": float(asked.daily_limit) if high_water_mode == "END_OF_DAY" else _OFF,
        "daily_loss_fails": False,
        "terminate_at_session_end": False,
        "max_contracts": asked.contracts,
        "max_steps_in_episode": sessions * BARS_PER_SESSION,
    }
    return AccountPreset(
        name=f"evaluation {size:,} ({terms}, {high_water_mode})",
        fields=tuple(fields.items()),
        constructor=(("account_features", True),),
        minimum_days=_MINIMUM_DAYS[str(terms)],
        fee_usd=asked.fee,
        contract_limit=asked.contracts,
    )


def _asked(size: int, high_water_mode: str, terms: str, sessions: int) -> _Terms:
    """What the account asks; ValueError for an account that there is not."""
    years = _SOLD.get(terms)
    if years is None:
        raise ValueError(f"terms are those of {' or '.join(map(repr, _SOLD))}; got {terms!r}")
    if size not in years:
        sizes = ", ".join(f"{known:,}" for known in years)
        raise ValueError(f"evaluation accounts come in {sizes} dollars; got {size!r}")
    if high_water_mode not in ("INTRABAR", "END_OF_DAY"):
        modes = ("INTRABAR", "END_OF_DAY")
        hint = did_you_mean(str(high_water_mode).upper(), modes, "the floor of an evaluation follows one of these")
        raise ValueError(f"high_water_mode is 'INTRABAR' or 'END_OF_DAY', got {high_water_mode!r}: {hint}")
    if isinstance(sessions, bool) or not isinstance(sessions, int) or sessions < 1:
        raise ValueError(f"sessions is a whole number of trading days, 1 or more; got {sessions!r}")
    return years[size]


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
