"""Which column is what: stamps, prices, volume and instruments of a source by their names, as plain arrays."""

from __future__ import annotations

import dataclasses
import datetime as dt
from typing import Any

import numpy as np
import pandas as pd

from trading_gymnax.data.findings import Findings
from trading_gymnax.data.formats import open_table
from trading_gymnax.data.layouts import Layout, recognise
from trading_gymnax.data.names import (
    CLOCK_NAMES,
    COLUMN_NAMES,
    DATE_NAMES,
    PRICES,
    STAMP_NAMES,
    TICK_VOLUMES,
    VOLUME_PARTS,
    UnreadableError,
    normal_name,
    plain_text,
)
from trading_gymnax.data.numerals import PLAIN, Notation, NotationError, as_text, find_notation, is_text, matches
from trading_gymnax.data.source import Source
from trading_gymnax.data.spec import ContractSpec
from trading_gymnax.data.stamps import Clock, StampError, read_clock
from trading_gymnax.text import count_text, did_you_mean

_FIXED_POINT = 1e9
_NO_PRICE = 2.0**62  # Databento's mark for a price that is none, the largest int64, and what is near it
_LISTED = 30
_FEW_UNKNOWN = 10  # volumes of -1; more are a vendor's word for none
_FEW_UNREADABLE = 3  # damaged cells; more are a notation


@dataclasses.dataclass(frozen=True)
class RawTable:
    """A table as its source has it: N rows in its order, nothing dropped or rounded."""

    frame: pd.DataFrame  # all columns of the source
    names: tuple[str, ...]  # their names as they are looked up, by position
    position: dict[str, int]  # of open, high, low, close, volume among them, where there
    clock: Clock | None  # None where the stamps cannot be read; the findings say why
    prices: np.ndarray | None  # float64 [N, 4]: open, high, low, close; NaN where there is no number
    volume: np.ndarray | None  # float64 [N]; None where the source has no volume
    notation: Notation
    layout: Layout

    def __len__(self) -> int:
        return len(self.frame)

    def numbers(self, at: int) -> np.ndarray:
        """A column by position as float64 [N]; NaN for what is no finite number."""
        return self.notation.numbers(self.frame.iloc[:, at])

    def refuse_unreadable(self, findings: Findings) -> bool:
        """Refuse cells that hold digits and are no number to us: dropping their bars would drop the busiest ones."""
        found = False
        for name, at in self.position.items():
            column = self.frame.iloc[:, at]
            if not is_text(column):
                continue
            text = as_text(column[np.isnan(self.numbers(at))])
            unread = text[text.str.contains(r"\d", na=False)]
            if len(unread) > _FEW_UNREADABLE:
                first = unread.iloc[0]
                count = count_text(len(unread), "cell")
                findings.refuse("numbers", f"{count} of {name} hold no number that is understood, the first {first!r}")
                found = True
        return found

    def missing_value(self, row: int) -> str:
        """What stands where a number is missing in a row: "high='n/a'"; "" for a missing stamp."""
        for name, at in self.position.items():
            if not np.isfinite(self.notation.numbers(self.frame.iloc[row : row + 1, at])[0]):
                value = self.frame.iloc[row, at]
                return f"{name}={value!r}" if isinstance(value, str) else f"{name}={value}"
        return ""


def open_source(source: Any, findings: Findings) -> Source | None:
    """A path or a DataFrame as a frame; None where it is no table, and the findings say why.

    Raises FileNotFoundError for a missing file, and nothing else.
    """
    try:
        opened = open_table(source)
    except UnreadableError as error:
        findings.refuse("source", str(error))
        return None
    if len(opened.frame) == 0:
        findings.refuse("source", "the table has no rows")
        return None
    if opened.footer:
        lines = count_text(len(opened.footer), "line")
        findings.note("footer", f"{lines} below the bars left out: {opened.footer[0]!r}", len(opened.footer))
    return opened


def read_columns(
    source: Source,
    findings: Findings,
    spec: ContractSpec,
    timestamp_format: str | None,
    columns: dict[str, str],
) -> RawTable:
    """The columns that count; what is wrong with them goes to `findings`."""
    frame = source.frame
    names = _renamed(tuple(normal_name(name) for name in frame.columns), frame, columns, findings)
    layout = recognise(source)
    position = _find_columns(names, findings)
    notation = _notation(source, position, spec, findings)
    prices = volume = None
    if all(name in position for name in PRICES):
        prices = np.stack([notation.numbers(frame.iloc[:, position[name]]) for name in PRICES], axis=1)
        prices = _from_fixed_point(prices, layout, findings)
    volume = _volume(frame, names, position, notation, findings)
    clock = None
    try:
        clock = read_clock(_stamp_column(frame, names), timestamp_format, layout.timestamp_format)
    except StampError as error:
        findings.refuse("timestamp", str(error))
    return RawTable(frame, names, position, clock, prices, volume, notation, layout)


def _renamed(
    names: tuple[str, ...], frame: pd.DataFrame, columns: dict[str, str], findings: Findings
) -> tuple[str, ...]:
    """Names with those that the caller tells; the fields' own names then mean nothing else."""
    exact = [str(name) for name in frame.columns]
    places = {}
    for field, name in columns.items():
        key = name if name in exact else normal_name(name)
        listed = exact if name in exact else list(names)
        if listed.count(key) != 1:
            what = f"{listed.count(key)} columns are called {name!r}" if key in listed else f"no column is {name!r}"
            hint = did_you_mean(key, listed, cutoff=0.6)
            findings.refuse("columns", f"columns={field}={name!r}: {what}: {hint} {_list_of(frame)}")
            continue
        places[listed.index(key)] = field
    hidden = {alias for field in places.values() for alias in COLUMN_NAMES.get(field, (field,))}
    if {"timestamp", "date", "time"} & set(places.values()):
        hidden |= {*STAMP_NAMES, *DATE_NAMES, *CLOCK_NAMES}
    return tuple(places.get(at, f"{name} of the table" if name in hidden else name) for at, name in enumerate(names))


def _list_of(frame: pd.DataFrame) -> str:
    names = [str(name) for name in frame.columns]
    listed = ", ".join(repr(name) for name in names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    return f"the table has {listed or 'no columns'}"


def _find_columns(names: tuple[str, ...], findings: Findings) -> dict[str, int]:
    """Positions of the columns; what is missing, or there twice, goes to the findings."""
    position: dict[str, int] = {}
    missing = []
    for wanted, aliases in COLUMN_NAMES.items():
        name = next((alias for alias in aliases if alias in names), None)
        if name is None:
            missing += [wanted] if wanted in PRICES else []
        elif names.count(name) > 1:
            findings.refuse("columns", f"{names.count(name)} columns are called {name!r}: which one is meant?")
        else:
            position[wanted] = names.index(name)
    if missing:
        listed = ", ".join(repr(name) for name in names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
        text = (
            f"no column {', '.join(missing)}: the table has {listed or 'no columns'}; if one of them is meant, name "
            f"it: columns={{'{missing[0]}': ...}}, --columns {missing[0]}=NAME"
        )
        if missing == list(PRICES[:3]) and "close" in position:
            text += f"; if {names[position['close']]!r} is the only price, as of trades, make bars of a minute first"
        findings.refuse("columns", text, len(missing))
    return position


def _notation(source: Source, position: dict[str, int], spec: ContractSpec, findings: Findings) -> Notation:
    prices = [source.frame.iloc[:, position[name]] for name in PRICES if name in position]
    volumes = [source.frame.iloc[:, position["volume"]]] if "volume" in position else []
    try:
        notation = find_notation(prices, volumes, source.separator, spec)
    except NotationError as error:
        findings.refuse("numbers", str(error))
        return PLAIN
    if notation.note:
        findings.note("numbers", notation.note)
    return notation


def _from_fixed_point(prices: np.ndarray, layout: Layout, findings: Findings) -> np.ndarray:
    """Databento's whole numbers count thousand-millionths of a point, and the largest of them is no price."""
    known = np.isfinite(prices) & (np.abs(prices) < _NO_PRICE)
    whole = layout.fixed_point and known.any() and not (prices[known] % 1).any()
    if not whole or np.median(np.abs(prices[known])) < _FIXED_POINT / 1e3:
        return prices
    findings.note("numbers", f"whole prices read as {layout.name}'s fixed point: 1 is {1 / _FIXED_POINT:g} points")
    return np.where(known, prices, np.nan) / _FIXED_POINT


def _volume(
    frame: pd.DataFrame, names: tuple[str, ...], position: dict[str, int], notation: Notation, findings: Findings
) -> np.ndarray | None:
    """Volumes, float64 [N]; None where the table has none."""
    volume = notation.numbers(frame.iloc[:, position["volume"]]) if "volume" in position else None
    empty = volume is not None and np.isnan(volume).all() and _is_empty(frame.iloc[:, position["volume"]])
    if volume is not None and len(volume) and (volume == -1).all():
        empty = True  # Interactive Brokers, where nothing is known of volume
    if volume is None or empty or not volume.any():
        other = _other_volume(frame, names, notation)
        if other is not None:
            values, what = other
            findings.note(
                "volume", f"{what} serve as volume" + ", as the volume column is empty" * (volume is not None)
            )
            return values
    if volume is None or empty:
        what = "there is no volume column" if volume is None else "the volume column is empty"
        findings.note("volume", f"{what}: volumes are 0, and so is the volume feature")
        return None
    none = volume == -1
    if none.sum() > _FEW_UNKNOWN and none.mean() > 1 / 1000:
        count = count_text(int(none.sum()), "bar")
        findings.note("volume_unknown", f"{count} of volume -1, which means that none is known: read as 0")
        volume = np.where(none, 0.0, volume)
    if not volume.any():
        findings.note("volume", "the volume is 0 in all bars, and so is the volume feature")
    elif (volume > 0).any() and np.median(volume[volume > 0]) < 1:
        smallest = volume[volume > 0].min()
        findings.note(
            "volume_unit", f"volumes are fractions, {smallest:g} at least: they may count thousands or millions"
        )
    return volume


def _other_volume(frame: pd.DataFrame, names: tuple[str, ...], notation: Notation) -> tuple[np.ndarray, str] | None:
    """Volumes that are not called so: in two parts, or counts of price changes; and what they are called."""
    for parts in VOLUME_PARTS:
        if all(names.count(part) == 1 for part in parts):
            values = sum(notation.numbers(frame.iloc[:, names.index(part)]) for part in parts)
            return np.asarray(values), f"columns {parts[0]!r} and {parts[1]!r} together"
    for name in TICK_VOLUMES:
        if names.count(name) == 1:
            values = notation.numbers(frame.iloc[:, names.index(name)])
            if np.nan_to_num(values).any():
                return values, f"counts of price changes, {name!r},"
    return None


def _is_empty(column: pd.Series) -> bool:
    """Whether a column without a number holds nothing at all; "1.5K" is no number, and is not nothing."""
    return not column.dropna().astype("object").map(plain_text).str.strip().astype(bool).any()


def _stamp_column(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.Series:
    """The column or the index that holds the stamps; halves, date and time, are put together."""
    if isinstance(frame.index, pd.MultiIndex):
        raise StampError("the index has several levels: pass the rows of one market, stamps in a column")
    index = pd.Series(frame.index)
    if isinstance(frame.index, pd.DatetimeIndex):
        return index
    clocks = [name for name in CLOCK_NAMES if (name == "time" and name in names) or _is_clock(frame, names, name)]
    day = next((name for name in DATE_NAMES if name in names), None)
    whole = {"timestamp", "datetime"} & set(names) - set(clocks)
    if day is not None and clocks and not whole:
        return _date_and_time(_only(frame, names, day), _only(frame, names, clocks[0]))
    for name in STAMP_NAMES:
        if name in names:
            column = _only(frame, names, name)
            halves = [clock for clock in clocks if clock != name and _is_clock(frame, names, clock)]
            return _date_and_time(column, _only(frame, names, halves[0])) if halves else column
    if normal_name(frame.index.name) in STAMP_NAMES or not pd.api.types.is_numeric_dtype(index.dtype):
        return index
    raise StampError(
        f"no column timestamp, datetime, time or date, and the index holds no time stamps; {_list_of(frame)}; "
        "name the one that is meant: columns={'timestamp': ...}, --columns timestamp=NAME"
    )


def _only(frame: pd.DataFrame, names: tuple[str, ...], name: str) -> pd.Series:
    if names.count(name) > 1:
        raise StampError(f"{names.count(name)} columns are called {name!r}: which one is meant?")
    return frame.iloc[:, names.index(name)].reset_index(drop=True)


def _is_clock(frame: pd.DataFrame, names: tuple[str, ...], name: str) -> bool:
    return names.count(name) == 1 and _are_clocks(frame.iloc[:, names.index(name)])


def _are_clocks(column: pd.Series) -> bool:
    """Whether most cells are times of a day without a date: "18:00", "18:00:00.000"."""
    if pd.api.types.is_timedelta64_dtype(column.dtype):
        return True
    if pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_datetime64_any_dtype(column.dtype):
        return False
    sample = column.dropna().iloc[:: max(len(column) // 1000, 1)]
    if len(sample) and isinstance(sample.iloc[0], dt.time):
        return True
    text = sample.astype("object").map(plain_text).astype("str").str.strip()
    return bool(text.str.fullmatch(r"\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:\s?[AaPp][Mm])?").mean() > 0.5)


def _date_and_time(date: pd.Series, time: pd.Series) -> pd.Series:
    """Text "date time" when the two columns are the halves of a stamp; else the one that is whole.

    Dates that all lie at midnight are half a stamp, whatever clock they show.
    """
    if isinstance(date.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(date.dtype):
        if (date.dropna() != date.dropna().dt.normalize()).any():
            return date
        date = date.dt.strftime("%Y-%m-%d")
    if pd.api.types.is_timedelta64_dtype(time.dtype):
        time = pd.Series(np.datetime64("2000-01-01", "us"), index=time.index) + time
        time = time.dt.strftime("%H:%M:%S")
    days, clocks = as_text(date), as_text(time).str.strip()
    if days.str.contains(":", regex=False).mean() > 0.5:
        midnight = days.str.strip().str.extract(r"^(.*\d)[ T]0?0:00(?::00(?:\.0+)?)?(?:\s?Z)?$")[0]
        if midnight.isna().mean() > 0.5 or not _are_clocks(time):
            return date
        days = midnight
    if matches(clocks, r"^\d{1,6}$").mean() > 0.5:  # 93000 for 09:30:00
        width = 6 if clocks.str.len().max() > 4 else 4
        padded = clocks.str.zfill(width)
        seconds = ":" + padded.str[4:6] if width == 6 else ""
        clocks = padded.str[:2] + ":" + padded.str[2:4] + seconds
    elif matches(clocks, r"^\d{1,2}:\d\d").mean() <= 0.5:
        return time
    return days.str.strip() + " " + clocks
