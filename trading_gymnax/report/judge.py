"""A policy beside its baselines on one market view: the table that `train` and `evaluate` print."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trading_gymnax.accounts import AccountPreset, evaluation_account
from trading_gymnax.evaluation.baselines import (
    FAST_BARS,
    SLOW_BARS,
    RandomEntries,
    RandomLegal,
    long_all_day,
    moving_average_cross,
)
from trading_gymnax.evaluation.evaluate import Evaluation, evaluate_policy
from trading_gymnax.evaluation.per_market import by_market, market_lines
from trading_gymnax.evaluation.robustness import Robustness, robustness
from trading_gymnax.evaluation.summary import Summary, mean_summary, percentile_among, summarise, verdict
from trading_gymnax.keys import stream
from trading_gymnax.phase1 import TradingPhase1
from trading_gymnax.report.key_statistics import GROUPS
from trading_gymnax.survival.odds import survival
from trading_gymnax.survival.refused import SurvivalRefused
from trading_gymnax.survival.result import Survival
from trading_gymnax.survival.value import lifetime_value, sizes_of
from trading_gymnax.survival.value_result import AccountValues
from trading_gymnax.text import count_text, number, plain, shares, usd

POLICY = "policy, most probable action"
POLICY_SAMPLED = "policy, drawn actions"
RANDOM = "random legal actions"
RANDOM_ENTRIES = "random entries at its rate"
LONG = "long from the open to the close"
CROSS = f"moving averages cross, {FAST_BARS}/{SLOW_BARS}"
HOLD = "always HOLD"
ACCOUNTS = tuple(evaluation_account(50_000, high_water_mode=mode) for mode in ("INTRABAR", "END_OF_DAY"))
"""Evaluation accounts that the command line asks about."""


@dataclasses.dataclass(frozen=True, eq=False)
class Judgement:
    """What one view says about a policy."""

    label: str  # "out of sample" or "in sample"
    dates: str  # first and last session of the view
    rows: dict[str, Summary]  # by name, in the order of the table
    evaluation: Evaluation  # of the policy's most probable actions
    luck_usd: np.ndarray  # net per session of random entries at the policy's rate, one a seed [N]; may be empty
    robustness: Robustness | None = None  # None where it was not asked for
    survival: Survival | None = None  # None where it was not asked for, or cannot be had
    no_survival: str = ""  # why it cannot be had
    long_usd: np.ndarray = dataclasses.field(default_factory=lambda: np.array([]))  # LONG's net of each session [S]
    doubts: tuple[str, ...] = ()  # of the bars: what may make all of this wrong
    account: str = ""  # that the policy was trained on, where it was
    value: AccountValues | None = None  # of that account over its whole life, in the run's size and in others
    no_value: str = ""  # why it cannot be had

    @property
    def percentile(self) -> float:
        """Share of the random entries that the policy beats; NaN without any."""
        if len(self.luck_usd) == 0:
            return math.nan
        return percentile_among(self.rows[POLICY].net_per_session_usd, self.luck_usd)

    @property
    def luck_spread_usd(self) -> float:
        """Standard deviation between the random entries' nets per session; NaN for fewer than two."""
        return float(self.luck_usd.std(ddof=1)) if len(self.luck_usd) > 1 else math.nan

    @property
    def verdict(self) -> str:
        """What its account earns for its fees, where it was trained on one, and what the sessions prove."""
        return f"{self.account_verdict} {self.session_verdict}".strip()

    @property
    def account_verdict(self) -> str:
        """Dollars for each dollar of fees, or why they are not known; "" where it was trained on no account."""
        if self.value is not None:
            return self.value.verdict_per_fee(self.account, self.label)
        return f"What the account {self.account} earns was {self.no_value}." if self.no_value else ""

    @property
    def session_verdict(self) -> str:
        """What the sessions prove about the policy's most probable actions."""
        row = self.rows[POLICY]
        sentences = [verdict(row, self.label)]
        if row.undecidable and self.robustness is not None:
            stop, target = self.robustness.stop_first, self.robustness.target_first
            sentences.append(
                f"With the stop first in such bars it makes {stop.net_per_session_usd:+,.0f} dollars a session, with "
                f"the target first {target.net_per_session_usd:+,.0f}."
            )
        if len(self.luck_usd) and row.trades:
            sentences.append(
                f"It beats {self.percentile:.0%} of {len(self.luck_usd)} policies that enter as often as it "
                f"does, by a coin (their mean: {self.luck_usd.mean():+,.0f} dollars a session, spread between them "
                f"{number(self.luck_spread_usd)})."
            )
        return " ".join(sentences)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "doubts": list(self.doubts),
            "label": self.label,
            "dates": self.dates,
            "verdict": self.verdict,
            "rows": {name: row.to_dict() for name, row in self.rows.items()},
            "random_entries_net_per_session_usd": [round(float(x), 2) for x in self.luck_usd],
            "percentile_among_random_entries": None if math.isnan(self.percentile) else self.percentile,
            "by_market": {market: plain(row) for market, row in by_market(self.evaluation).to_dict("index").items()},
            "robustness": None if self.robustness is None else self.robustness.to_dict(),
            "survival": None
            if self.survival is None
            else [plain(row) for row in self.survival.table().to_dict("records")],
            "no_survival": self.no_survival or None,
            **({"account": self._account()} if self.account else {}),
        }

    def _account(self) -> dict[str, Any]:
        found = None if self.value is None else [plain(row) for row in self.value.table().to_dict("records")]
        return {"name": self.account, "value": found, "no_value": self.no_value or None}

    def __str__(self) -> str:
        parts = [*(f"DOUBTFUL: {doubt}" for doubt in self.doubts), _title(self), *table(self.rows)]
        if RANDOM_ENTRIES in self.rows:
            seeds = count_text(len(self.luck_usd), "seed")
            parts.append(f"({RANDOM_ENTRIES}: means of {seeds}; std.err. is the spread between them)")
        parts += ["", *statistics(self.rows)]
        markets = by_market(self.evaluation)
        if len(markets) > 1:
            parts += ["", f"{POLICY}, by market:", *market_lines(markets)]
        if self.robustness is not None:
            parts += ["", *_robustness_lines(self.robustness)]
        if self.survival is not None:
            parts += ["", f"evaluation accounts: {self.survival}"]
        elif self.no_survival:
            parts += ["", f"evaluation accounts: {self.no_survival}"]
        if self.value is not None:
            parts += ["", f"the account {self.account} over its life:", *self.value.lines(), *self.value.notes]
        return "\n".join([*parts, "", self.verdict])


_FILLS = 7  # walks of `robustness`
_LIVES = 7  # as long as so many walks
_OTHER_WALKS = 4 + _FILLS + 1  # random, long, averages, HOLD; other fills; the accounts, about as long as one


class _Walks:
    """Counts the walks of a judgement for whoever waits."""

    def __init__(self, progress: Callable[[int, int, str], None] | None, total: int, label: str) -> None:
        self._progress, self._total, self._label = progress, total, label
        self._done, self._size = 0, 0

    def next(self, what: str, size: int = 1) -> None:
        """What was under way is done; `what`, which takes as long as `size` walks, is next."""
        self._done, self._size = self._done + self._size, size
        if self._progress:
            self._progress(self._done, self._total, f"{self._label}: {what}")


def judge(
    policy: Any,
    env: TradingPhase1,
    params: Any,
    *,
    key: jax.Array,
    label: str,
    baselines: bool = True,
    luck_seeds: int = 20,
    configurations_tried: int = 1,
    accounts: Sequence[AccountPreset] = (),
    account: str = "",
    progress: Callable[[int, int, str], None] | None = None,
) -> Judgement:
    """Walk a policy with the switch `sampled`, and its baselines, through the view of `params.market`.

    Args:
        policy, env, params: as in `evaluate_policy`.
        key: typed key.
        label: what the view is to the policy: "out of sample" or "in sample".
        baselines: False leaves only the policy's own two rows, and no robustness.
        luck_seeds: how many policies of random entries at the policy's rate it is compared with.
        configurations_tried: settings that were judged before this one was chosen, this one too; it deflates the
            policy's Sharpe ratios.
        accounts: evaluation accounts whose odds are estimated with the policy (`survival`), in the size of the
            parameters. Where they cannot be had, for lack of sessions say, the judgement holds the reason.
        account: name of the account that the parameters describe and the policy was trained on; its value over its
            whole life is then estimated, too (`lifetime_value`), and the verdict begins with it.
        progress: called with walks done, walks in all, and what is walked next.

    Raises ValueError for fewer than one configuration, and as `evaluate_policy`.
    """
    keys = jax.random.split(stream(key, "judge"), 5)
    walks = _Walks(progress, 2 + baselines * (_OTHER_WALKS + luck_seeds + _LIVES * bool(account)), label)
    walks.next("the policy, most probable actions")
    argmax = evaluate_policy(policy, env, params, key=keys[0])
    walks.next("the policy, drawn actions")
    drawn = evaluate_policy(policy, env, params, key=keys[1], sampled=True)
    rows = {name: summarise(found, configurations_tried) for name, found in ((POLICY, argmax), (POLICY_SAMPLED, drawn))}
    if not baselines:
        walks.next("done")
        return Judgement(label, _dates(argmax), rows, argmax, np.array([]), doubts=params.market.doubts)
    coin = _coin(env, argmax, rows[POLICY].entry_rate)
    others, luck, long_usd = _baselines(env, params, keys[2], keys[3], coin, luck_seeds, walks)
    walks.next("the policy under other fills", _FILLS)
    held = robustness(policy, env, params, key=keys[0], found=argmax)
    walks.next("evaluation accounts")
    odds, reason = _survival(policy, env, params, accounts, keys[4])
    if account:
        walks.next("lives of its account", _LIVES)
    value, no_value = _value(policy, env, params, keys[4]) if account else (None, "")
    walks.next("done")
    found = (label, _dates(argmax), rows | others, argmax, luck, held, odds, reason, long_usd, params.market.doubts)
    return Judgement(*found, account, value, no_value)


def _survival(
    policy: Any, env: TradingPhase1, params: Any, accounts: Sequence[AccountPreset], key: jax.Array
) -> tuple[Survival | None, str]:
    """The odds of the accounts, or why they cannot be had."""
    if not accounts:
        return None, ""
    try:
        return survival(policy, params.market, accounts, key=key, env=env, params=params), ""
    except SurvivalRefused as reason:
        return None, f"not estimated, since {reason}"


def _coin(env: TradingPhase1, found: Evaluation, rate: float) -> RandomEntries:
    """Random entries as often as a policy's and, where entries choose their size, of the sizes that it chose."""
    shares = None
    if env.entry_sizes:
        chosen = found.actions["chosen_legal"].to_numpy()
        entries = np.array(list(env.entry_sides)).reshape(-1, 2)  # a row a size
        counts = chosen[entries].sum(axis=1)
        shares = jnp.asarray(counts / max(counts.sum(), 1), jnp.float32)
    return RandomEntries(jnp.float32(0 if math.isnan(rate) else rate), shares)


def _value(policy: Any, env: TradingPhase1, params: Any, key: jax.Array) -> tuple[AccountValues | None, str]:
    """What the account of the parameters is worth, or why that cannot be had."""
    how: dict[str, Any] = {"env": env, "params": params, "contracts": sizes_of(params)}
    try:
        return lifetime_value(policy, params.market, None, key=key, **how), ""
    except SurvivalRefused as reason:
        return None, f"not estimated, since {reason}"


def _baselines(
    env: TradingPhase1,
    params: Any,
    key: jax.Array,
    luck_key: jax.Array,
    coin: RandomEntries,
    luck_seeds: int,
    walks: _Walks,
) -> tuple[dict[str, Summary], np.ndarray, np.ndarray]:
    """Rows of those that learnt nothing; net per session of random entries, one a seed; net of each session of LONG."""
    walks.next(RANDOM)
    rows = {RANDOM: summarise(evaluate_policy(RandomLegal(), env, params, key=key))}
    tosses = []
    for seed in jax.random.split(luck_key, luck_seeds):
        walks.next(RANDOM_ENTRIES)
        tosses.append(summarise(evaluate_policy(coin, env, params, key=seed), resamples=0))
    if tosses:
        rows[RANDOM_ENTRIES] = mean_summary(tosses)
    walks.next(LONG)
    always, far = long_all_day(params)
    held = evaluate_policy(always, env, far, key=key)
    # Its stop is out of reach, so a result in stop distances means nothing.
    rows[LONG] = dataclasses.replace(summarise(held), expectancy_r=math.nan)
    walks.next(CROSS)
    rows[CROSS] = summarise(evaluate_policy(moving_average_cross(params.market), env, params, key=key))
    walks.next(HOLD)
    # Entries at rate 0 are HOLD always, by a program that is compiled already.
    rows[HOLD] = summarise(evaluate_policy(dataclasses.replace(coin, rate=jnp.float32(0)), env, params, key=key))
    luck = np.array([row.net_per_session_usd for row in tosses])
    return rows, luck, held.sessions["net_usd"].to_numpy()


# -- as text --


def table(rows: dict[str, Summary]) -> list[str]:
    """Lines of plain text, the header first."""
    actions = list(next(iter(rows.values())).action_shares)
    short = [name.replace("MOVE_SL_TO_BE", "BE").replace("_TRAIL", "") for name in actions]
    wide = max(len(name) for name in rows)
    header = f"{'':{wide}}  trades  win %  $/session  std.err.       total $    max DD $  Sharpe"
    lines = [header + "".join(f"{f'{name} %':>10}" for name in short)]
    for name, row in rows.items():
        line = (
            f"{name:{wide}}  {row.trades:6,d}  {number(100 * row.win_rate, 1):>5}  {row.net_per_session_usd:9,.0f}"
            f"  {number(row.standard_error_usd):>8}  {row.net_usd:12,.0f}  {row.max_drawdown_usd:10,.0f}"
            f"  {'-' if row.ratio_doubt() else number(row.sharpe, 1):>6}"
        )
        lines.append(line + "".join(f"{number(100 * row.action_shares[action], 1):>10}" for action in actions))
    return lines


def statistics(rows: dict[str, Summary]) -> list[str]:
    """What the table leaves out, for the policy's most probable and its drawn actions side by side; lines of text."""
    both = [rows[name] for name in (POLICY, POLICY_SAMPLED) if name in rows]
    lines = [f"{'':42}{'most probable':>22}{'drawn':>22}"]
    for _, group in GROUPS:
        shown = [statistic for statistic in group if not statistic.tabled]
        lines += [f"{statistic.name:42}" + "".join(f"{statistic.show(row):>22}" for row in both) for statistic in shown]
    return [*lines, f"actions where legal: {shares(both[0].action_shares_when_legal)}"]


def _robustness_lines(found: Robustness) -> list[str]:
    sweep = ", ".join(f"{ticks}: {usd(outcome.net_usd)}" for ticks, outcome in found.slippage.items())
    stop, target = usd(found.stop_first.net_usd), usd(found.target_first.net_usd)
    return [
        f"net by ticks of slippage: {sweep}",
        f"net with the stop first in doubtful bars {stop}, with the target first {target}",
    ]


def _title(judgement: Judgement) -> str:
    count = judgement.rows[POLICY].sessions
    what = f"{judgement.label.upper()}: {judgement.dates}, {count_text(count, 'session')}"
    return f"{what}, each walked once from its first entry-allowed bar, on a fresh account"


def _dates(evaluation: Evaluation) -> str:
    dates = evaluation.sessions["date"]
    return f"{dates.iloc[0]:%Y-%m-%d} to {dates.iloc[-1]:%Y-%m-%d}"
