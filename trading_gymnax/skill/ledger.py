"""The ledger of a folder of runs: every look at a held-out view, so that settings tried are counted and not typed.

A look is one line of JSON in `ledger.jsonl` beside the run folders: when, by which command, which sessions, which
settings (by digest), and what was made on each date.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import filelock
import pandas as pd

from trading_gymnax.skill.overfitting import (
    deflated,
    num_blocks,
    probability_of_overfitting,
    superior_ability,
)
from trading_gymnax.text import chance, count_text, percent, probability

LEDGER = "ledger.jsonl"
WORN_OUT = 14
"""Settings after which a held-out period is none any more: the best of 14 without any edge passes a test at 5 % more
often than not, 1 - 0.95^14 = 51 %."""


@dataclasses.dataclass(frozen=True)
class Look:
    """One evaluation on a held-out view."""

    time: str  # UTC, ISO, to the microsecond: two looks of one second are two
    command: str
    run: str  # name of the run's folder
    markets: tuple[str, ...]  # symbols
    settings: str  # digest
    net_usd: Mapping[str, float]  # by date of the view, all markets together

    def overlaps(self, markets: Sequence[str], dates: Sequence[str]) -> bool:
        """Whether it saw one of these sessions."""
        return bool(set(self.markets) & set(markets)) and not set(self.net_usd).isdisjoint(dates)


def ledger_of(run_dir: pathlib.Path) -> pathlib.Path:
    """The ledger of the folder that holds a run."""
    return run_dir.resolve().parent / LEDGER


def digest_of(*settings: Any) -> str:
    """Digest of plain JSON values: equal settings, equal digest."""
    text = json.dumps(settings, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def look_at(command: str, run: str, markets: Sequence[str], settings: str, sessions: pd.DataFrame) -> Look:
    """A look from `Evaluation.sessions`."""
    by_date = sessions.groupby("date", sort=True)["net_usd"].sum()
    nets = {f"{date:%Y-%m-%d}": round(float(net), 2) for date, net in by_date.items()}
    now = dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")
    return Look(now, command, run, tuple(markets), settings, nets)


def write_look(path: pathlib.Path, look: Look) -> None:
    """Append a line, one writer at a time."""
    with filelock.FileLock(f"{path}.lock"), path.open("a") as file:
        file.write(json.dumps(dataclasses.asdict(look)) + "\n")


def read_ledger(path: pathlib.Path) -> list[Look]:
    """All looks, the oldest first; none where there is no ledger. Raises ValueError for a line that is no look."""
    if not path.is_file():
        return []
    looks = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            values = json.loads(line)
            looks.append(Look(**{**values, "markets": tuple(values["markets"])}))
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"{path}, line {number} is no entry of a ledger: {error}; take the line out") from error
    return looks


@dataclasses.dataclass(frozen=True)
class Tries:
    """What the ledger says about the sessions of one look."""

    looks: int  # at any of these sessions, this one too
    settings: int  # different ones among them
    compared: int  # settings whose nets are known for enough of the same dates, this one too
    days: int  # that they have in common
    pbo: float  # NaN where there are too few settings or days
    spa: float
    reality_check: float
    deflated_sharpe: float  # of this look

    @property
    def worn_out(self) -> bool:
        """Whether these sessions can no longer be called held out."""
        return self.settings >= WORN_OUT

    def __str__(self) -> str:
        tried = f"{count_text(self.settings, 'setting')} tried on these sessions in {count_text(self.looks, 'look')}"
        lines = [f"{tried}, by the ledger; deflated Sharpe ratio {chance(self.deflated_sharpe)}"]
        if math.isnan(self.pbo):
            lines.append("probability of backtest overfitting: needs two settings and eight common days or more")
        else:
            lines.append(
                f"of the {self.compared} settings with {self.days} common days: probability of backtest overfitting "
                f"{percent(self.pbo, 0)}, of such a best one by luck {probability(self.spa)} (SPA) to "
                f"{probability(self.reality_check)} (reality check)"
            )
        if self.worn_out:
            lines.append(
                f"These sessions are HELD OUT NO LONGER: the best of {self.settings} settings without any edge would "
                "look significant on them more often than not. Judge on later bars."
            )
        return "\n".join(lines)


def tries(looks: Sequence[Look], this: Look, at_least: int = 1) -> Tries:
    """Count the looks at the sessions of `this` (its last line in the ledger, or not yet written), and test the best.

    at_least: settings that were tried besides what the ledger knows, typed by the user; the larger number counts.
    """
    here = [look for look in looks if look != this and look.overlaps(this.markets, list(this.net_usd))] + [this]
    settings = max(at_least, len({look.settings for look in here}))
    nets = common_nets(here)
    enough = nets.shape[1] > 1 and num_blocks(len(nets)) >= 4
    values = nets.to_numpy()
    superior = superior_ability(values)
    return Tries(
        looks=len(here),
        settings=settings,
        compared=nets.shape[1],
        days=len(nets),
        pbo=probability_of_overfitting(values).pbo if enough else math.nan,
        spa=superior.spa,
        reality_check=superior.reality_check,
        deflated_sharpe=deflated(values, nets.shape[1] - 1, settings),
    )


def common_nets(looks: Sequence[Look]) -> pd.DataFrame:
    """Nets by date, a column a setting (its latest look), for those that share at least half of the last look's dates.

    Dates that one of them lacks are left out. The last look's setting is the last column.
    """
    this = looks[-1]
    latest = {look.settings: look for look in looks if look.markets == this.markets}
    latest.pop(this.settings)
    own = set(this.net_usd)
    kept = {s: look for s, look in latest.items() if 2 * len(own & set(look.net_usd)) >= len(own)}
    columns = [pd.Series(dict(look.net_usd), dtype=float) for look in [*kept.values(), this]]
    table = pd.concat(columns, axis=1, keys=[*kept, this.settings], join="inner").sort_index()
    return table if 2 * len(table) >= len(own) else columns[-1].to_frame(this.settings)
