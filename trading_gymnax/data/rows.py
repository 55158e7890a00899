"""The rows of a table that are left while it is checked, and how some of them are told and dropped."""

from __future__ import annotations

import dataclasses

import numpy as np

from trading_gymnax.data import sessions
from trading_gymnax.data.findings import Findings
from trading_gymnax.data.stamps import MICROSECONDS_PER_MINUTE, NOT_A_TIME
from trading_gymnax.text import count_text

_EXAMPLES = 3


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows that are left, N of them."""

    row: np.ndarray  # position in the source, int64 [N]
    prices: np.ndarray  # float64 [N, 4]: open, high, low, close, points
    volume: np.ndarray  # float64 [N]
    utc: np.ndarray  # stamp as the source has it, microseconds since 1970, int64 [N]
    ticks: np.ndarray  # prices in ticks, int32 [N, 4]; 0 until the prices are checked
    close_minute: np.ndarray  # UTC minute of the close since 1970, int64 [N]; 0 until the bar length is known
    day: np.ndarray  # date of the session, datetime64[D] [N]; likewise
    time: np.ndarray  # minute of the close since the session's start, int32 [N]; likewise

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: np.ndarray) -> Rows:
        """The rows of a mask or an index array."""
        return Rows(*(getattr(self, field.name)[chosen] for field in dataclasses.fields(self)))

    def examples(self, mask: np.ndarray) -> str:
        """ "row 12 at 2025-01-11 10:20 New York, ..." of the first chosen rows, counted from 1."""
        chosen = np.flatnonzero(mask)
        texts = []
        for at in chosen[:_EXAMPLES]:
            utc = self.utc[at : at + 1]
            when = f" at {_new_york_text(utc)}" if utc[0] not in (0, NOT_A_TIME) else ""
            texts.append(f"row {self.row[at] + 1:,}{when}")
        return ", ".join(texts) + (", ..." if len(chosen) > len(texts) else "")


def drop(rows: Rows, bad: np.ndarray, findings: Findings, repair: str, what: str) -> Rows:
    """Report and drop the bad rows under the name of their repair, which is not offered where it would leave no bar."""
    count = int(bad.sum())
    if count == 0:
        return rows
    text = f"{count_text(count, 'bar')} {what} ({rows.examples(bad)})"
    if count == len(rows) and repair not in findings.repair:
        findings.refuse(repair, text, count)
    else:
        findings.repairable(repair, text, count, f"dropped {'it' if count == 1 else 'them'}")
    return rows.take(~bad)


def _new_york_text(utc: np.ndarray) -> str:
    minute = sessions.new_york_minutes(utc // MICROSECONDS_PER_MINUTE).astype("datetime64[m]")[0]
    return f"{str(minute).replace('T', ' ')} New York"
