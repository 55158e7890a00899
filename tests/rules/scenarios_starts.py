"""Worked examples: where an episode may start (docs/rules.md, sections 2.4 and 2.5), as data.

Row 0 is bar 390, minute 930 (9:30); must-flat is minute 1379 (16:59) unless an early close comes before it.
An entry needs the next bar to close before must-flat, so the last decision bar of a full day is minute 1377.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tests.rules.handmade import make_bars
from tests.rules.scenario import Row, q, use
from trading_gymnax.data.loader import Bars


@dataclasses.dataclass(frozen=True)
class Starts:
    """A market and the bars on which its episodes may start."""

    name: str
    rows: Sequence[Row]
    usable: Sequence[int]  # sessions
    decision: Mapping[int, Sequence[int]]  # session -> bars that the clock allows
    random: Mapping[int, Sequence[int]]  # session -> bars from which a random start is drawn
    market: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    view: tuple[int, int] | None = None
    window: int = 20

    def bars(self) -> Bars:
        """The market."""
        return make_bars(self.rows, **self.market)


HOLES = use(times=[930, 940, 1000, 1377, 1378, 1379, 1380], tail=False)
THREE_DAYS = use(times=[930, 1375, 930, 1375, 930], sessions=[1, 1, 2, 2, 3])

STARTS = [
    Starts(
        name="a full day: minute m is bar 390 + m - 930",
        rows=[q()],
        usable=[1],
        # to minute 1377; 30 bars before 1379 are left up to minute 1348; session 0 is warm-up
        decision={0: [], 1: range(390, 838)},
        random={1: range(390, 809)},
    ),
    Starts(
        name="bars, not minutes, are counted to must-flat",
        rows=[q()] * 7,
        market=HOLES,
        params=use(min_bars_left=2),
        usable=[1],
        decision={1: [390, 391, 392, 393]},
        random={1: [390, 391, 392]},  # after 10:40 come 1377 and 1378
    ),
    Starts(
        name="too few bars left everywhere: the first decision bar",
        rows=[q()] * 7,
        market=HOLES,
        params=use(min_bars_left=5),
        usable=[1],
        decision={1: [390, 391, 392, 393]},
        random={1: [390]},
    ),
    Starts(
        name="any decision bar will do",
        rows=[q()] * 7,
        market=HOLES,
        params=use(min_bars_left=0),
        usable=[1],
        decision={1: [390, 391, 392, 393]},
        random={1: [390, 391, 392, 393]},
    ),
    Starts(
        name="every feature of the window is finite",
        rows=[q()] * 7,
        market=HOLES | use(first_finite_bar=373),
        params=use(min_bars_left=0),
        usable=[1],
        decision={1: [392, 393]},  # 392 - 20 + 1 = 373
        random={1: [392, 393]},
    ),
    Starts(
        name="a shorter window needs fewer finite bars",
        rows=[q()] * 7,
        market=HOLES | use(first_finite_bar=390),
        params=use(min_bars_left=0),
        window=2,
        usable=[1],
        decision={1: [391, 392, 393]},
        random={1: [391, 392, 393]},
    ),
    Starts(
        name="no bar has finite features",
        rows=[q()],
        market=use(first_finite_bar=841),  # the table ends with bar 840
        params=use(reward_scale=60.0),
        usable=[],
        decision={1: []},
        random={1: []},
    ),
    Starts(
        name="the last bar of the table is no decision bar",
        rows=[q()] * 3,
        market=use(times=[930, 1374, 1375], tail=False),
        params=use(min_bars_left=0),
        usable=[1],
        decision={1: [390, 391]},
        random={1: [390, 391]},
    ),
    Starts(
        name="a table that stops six minutes early",
        rows=[q()] * 3,
        market=use(times=[930, 1372, 1373], tail=False),
        params=use(min_bars_left=0, reward_scale=60.0),
        usable=[],
        decision={1: [390, 391]},
        random={1: [390, 391]},
    ),
    Starts(
        name="an early close: the last decision bar, and near enough to it",
        rows=[q()] * 4,
        market=use(times=[1148, 1149, 1150, 1150 + 230], sessions=[1, 1, 1, 2], scheduled_close={1: 1155})
        | use(tail=False),
        params=use(min_bars_left=0),
        usable=[1],
        decision={1: [390, 391], 2: []},  # after 392 comes another session
        random={1: [390, 391]},
    ),
    Starts(
        name="an early close: two bars before it no entry is allowed",
        rows=[q()] * 4,
        market=use(times=[1152, 1153, 1154, 1155], scheduled_close=1155),
        params=use(min_bars_left=0),
        usable=[1],
        decision={1: [390, 391]},
        random={1: [390, 391]},
    ),
    Starts(
        name="other hours",
        rows=[q()],
        params=use(rth_open=10.0, rth_close=16.0, min_bars_left=60),
        usable=[1],
        # minutes 960 to 1318; 60 bars before 1320 are left up to 1259
        decision={1: range(420, 779)},
        random={1: range(420, 720)},
    ),
    Starts(
        name="bars of five minutes",
        rows=[q()],
        market=use(bar_minutes=5),
        params=use(min_bars_left=2),
        # the warm-up fills sessions 0 and 1; minutes 930, 935, ... 1370; two bars are left up to 1365
        usable=[2],
        decision={2: range(390, 479)},
        random={2: range(390, 478)},
    ),
    Starts(
        name="three days",
        rows=[q()] * 5,
        market=THREE_DAYS,
        params=use(min_bars_left=1),
        usable=[1, 2, 3],
        # the last bar of a day has no bar of its day after it
        decision={1: [390], 2: [392]},
        random={1: [390], 2: [392]},
    ),
    Starts(
        name="the view limits the sessions",
        rows=[q()] * 5,
        market=THREE_DAYS,
        params=use(min_bars_left=0),
        view=(2, 3),
        usable=[2],
        decision={2: [392]},
        random={2: [392]},
    ),
]
