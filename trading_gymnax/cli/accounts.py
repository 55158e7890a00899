"""The command `accounts`, and what it does without a run: plans listed, and shown in words. Without JAX."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Literal

import tyro

from trading_gymnax.accounts.plans import PlanError, plans, read_plans
from trading_gymnax.accounts.schema import Plan
from trading_gymnax.accounts.words import plan_lines, table_lines
from trading_gymnax.cli.commands import check_folder, check_tried
from trading_gymnax.extras import missing_extra
from trading_gymnax.settings import flag, read_settings
from trading_gymnax.text import did_you_mean


@dataclasses.dataclass(frozen=True)
class Accounts:
    """List the accounts that firms sell, show some in words, or ask which of them suits the policy of a run.

    Its held-out sessions are then played in many orders on the whole life of each account, evaluation, funded account
    and payouts, beside a coin's. A policy that sees its account takes minutes for it.
    """

    what: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names of plans, with their size or without, topstep-50k say, or files of your own. In front of them the folder of
    a run; without plans, those of 50 thousand dollars."""
    contracts: tuple[int, ...] = ()
    """Sizes of an entry to compare; by default that of the run, and 1 2 3 5, but for a policy that sees its account."""
    sessions: int = 60
    """Most sessions of an account's life."""
    lives: int | None = None
    """Lives of each account; by default 10,000, and 500 where the policy sees its account."""
    bankroll: float | None = None
    """Dollars to buy accounts with, one after another: how often is it ruined?"""
    accounts_bought: int = 10
    """How many of them."""
    checkpoint: Literal["best", "last"] = "last"
    """Which of the run's policies; the best one was chosen by its return in training."""
    configurations_tried: int = 1
    """Settings that were judged before these were chosen, these too."""
    out: pathlib.Path | None = None
    """Folder for accounts.png and accounts.json; by default that of the run."""

    @property
    def run_dir(self) -> pathlib.Path | None:
        """The folder of a run that was named first; None without one."""
        return pathlib.Path(self.what[0]) if self.what and pathlib.Path(self.what[0]).is_dir() else None

    @property
    def names(self) -> tuple[str, ...]:
        """What was named beside a run."""
        return self.what if self.run_dir is None else self.what[1:]

    def check(self) -> None:
        """Refuse what can be told without reading bars. Raises MissingExtra, ValueError, OSError."""
        chosen(self.names)
        if self.run_dir is None:
            self._check_bare()
            return
        check_tried(self.configurations_tried)
        if missing := missing_extra():
            raise missing
        read_settings(self.run_dir)
        check_folder(self.run_dir if self.out is None else self.out, "--out" if self.out else "the run's folder")

    def _check_bare(self) -> None:
        """Refuse options that only a comparison has, where no folder of a run stands in front."""
        fields = [field for field in dataclasses.fields(self) if field.name != "what"]
        given = [flag(field.name) for field in fields if getattr(self, field.name) != field.default]
        if given:
            raise ValueError(f"{' and '.join(given)}: name the folder of a run first, accounts runs/nq-phase2 say")


def chosen(names: Sequence[str]) -> list[Plan]:
    """Plans by name, by name without size, or from a file. Raises PlanError, and OSError for a missing file."""
    found: dict[str, Plan] = {}
    for name in names:
        if name.endswith(".json"):
            if not pathlib.Path(name).is_file():
                raise FileNotFoundError(f"there is no file {name}")
            found |= read_plans(name)
            continue
        fitting = {key: plan for key, plan in plans().items() if name in (key, key.rpartition("-")[0])}
        if not fitting:
            known = [*plans(), *dict.fromkeys(key.rpartition("-")[0] for key in plans())]
            hint = did_you_mean(name, known, "`trading-gymnax accounts` lists them; a file of your own ends in .json")
            raise PlanError(f"there is no plan and no folder {name!r}: {hint}")
        found |= fitting
    return list(found.values())


def show(command: Accounts) -> None:
    """Print the table of all plans, or those that were named in words."""
    if command.names:
        print("\n\n\n".join("\n".join(plan_lines(plan)) for plan in chosen(command.names)))
        return
    notice = "* assumed. `trading-gymnax accounts NAME` has the page of each rule, and all that is."
    print("\n".join([*table_lines(plans().values()), "", notice]))
