"""All worked examples of the rule book, as data: see `scenario.Scenario`."""

from __future__ import annotations

from .scenario import Scenario
from .scenarios_account import ACCOUNT
from .scenarios_bar import BAR
from .scenarios_entry import ENTRY
from .scenarios_episode import EPISODE
from .scenarios_management import MANAGEMENT
from .scenarios_observation import OBSERVATION

SCENARIOS: list[Scenario] = [*ENTRY, *BAR, *ACCOUNT, *EPISODE, *MANAGEMENT, *OBSERVATION]
