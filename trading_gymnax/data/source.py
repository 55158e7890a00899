"""What comes out of a file before anybody asks what its columns mean."""

from __future__ import annotations

import dataclasses

import pandas as pd


@dataclasses.dataclass(frozen=True)
class Source:
    """A table as it was opened: nothing dropped but what is no row."""

    frame: pd.DataFrame
    separator: str | None = None  # between the fields of a text; None where there is no text
    headless: bool = False  # the text has no line with names
    footer: tuple[str, ...] = ()  # lines below the bars that are none
