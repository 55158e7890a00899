"""Accounts that firms sell: their rules as data (`plans`), and as parameters of the environments (`presets`).

Users import the names below; the modules are for the package itself. A list of plans needs neither JAX nor the
environments, so that nothing here imports these at once.
"""

from trading_gymnax.accounts.lives import life_fields
from trading_gymnax.accounts.plans import PlanError, plan, plans, read_plans
from trading_gymnax.accounts.presets import (
    BARS_PER_SESSION,
    SESSIONS,
    AccountPreset,
    evaluation_account,
    original,
)
from trading_gymnax.accounts.schema import Plan

__all__ = [
    "BARS_PER_SESSION",
    "SESSIONS",
    "AccountPreset",
    "Plan",
    "PlanError",
    "evaluation_account",
    "life_fields",
    "original",
    "plan",
    "plans",
    "read_plans",
]
