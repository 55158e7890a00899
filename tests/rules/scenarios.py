"""All worked examples of docs/rules.md, as data: see `scenario.Scenario`."""

from __future__ import annotations

from tests.rules.scenario import Scenario
from tests.rules.scenarios_account import ACCOUNT
from tests.rules.scenarios_bar import BAR
from tests.rules.scenarios_entry import ENTRY
from tests.rules.scenarios_episode import EPISODE
from tests.rules.scenarios_life import LIVES
from tests.rules.scenarios_management import MANAGEMENT
from tests.rules.scenarios_observation import OBSERVATION
from tests.rules.scenarios_sizes import SIZES

SCENARIOS: list[Scenario] = [*ENTRY, *BAR, *ACCOUNT, *EPISODE, *MANAGEMENT, *OBSERVATION, *LIVES, *SIZES]
