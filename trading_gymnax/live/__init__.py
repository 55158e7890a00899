"""A trained policy, bar by bar: `Trader` decides as the environment would, to the bit.

Users import the names below; the modules are for the package itself:

- `bars`, `feed`: what a bar is, and what happens to one that is late, revised, missing or wrong.
- `features`, `function`, `history`, `tape`: features bar by bar and the last bars, equal to the batch bit for bit.
- `program`, `books`, `fills`: the environment's own rules on a growing tape, and real fills in their books.
- `guard`, `store`: limits that no policy moves, and the files from which a killed process goes on.
- `setup`, `trader`, `wording`, `decision`: all of it together, and what it says.
"""

from trading_gymnax.live.bars import BadBar, Bar
from trading_gymnax.live.books import FillError
from trading_gymnax.live.decision import Account, Decision, Exit, Order
from trading_gymnax.live.guard import Guard
from trading_gymnax.live.store import StateError, read_ledger
from trading_gymnax.live.trader import Trader

__all__ = [
    "Account",
    "BadBar",
    "Bar",
    "Decision",
    "Exit",
    "FillError",
    "Guard",
    "Order",
    "StateError",
    "Trader",
    "read_ledger",
]
