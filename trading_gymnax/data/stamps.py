"""Time stamps of any usual shape -> UTC: offsets, naive local time, epochs, day or month first."""

from __future__ import annotations

import dataclasses
import datetime as dt
import re

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute

from trading_gymnax.data.names import plain_text
from trading_gymnax.data.numerals import arrow_text
from trading_gymnax.data.zones import (
    MICROSECONDS_PER_MINUTE,
    OFFSETS_OF_NAMES,
    Zone,
    ZoneError,
    find_zone,
)

__all__ = ["MICROSECONDS_PER_MINUTE", "NOT_A_TIME", "Clock", "StampError", "Stamps", "place", "read_clock"]

NOT_A_TIME = int(np.iinfo(np.int64).min)

# A clock followed by Z, UTC, GMT or +hh:mm: the hyphens of a date alone must not look like an offset.
_OFFSET = r"(?:\d\s?(?:Z|UTC|GMT)|:\d\d(?:\.\d+)?\s?(?:UTC|GMT)?[+-]\d\d(?::?\d\d)?)$"
_ZONE_NAME = re.compile(r"[A-Za-z]+(?:/[A-Za-z_]+)+|[ECMP][SD]T|ET|CT")
_ENDS_WITH_ZONE = re.compile(rf"\d(?:\s?[AP]M)?\s(?:{_ZONE_NAME.pattern})$")
_DAYS = ("%m/%d/%Y", "%d/%m/%Y", "%m.%d.%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%m/%d/%y", "%d/%m/%y")
_CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S.%f")
_COMPACT = ("%Y%m%d %H:%M:%S", "%Y%m%d %H:%M", "%Y%m%d-%H:%M:%S", "%Y%m%d %H%M%S", "%Y%m%d;%H%M%S")
_YEAR_FIRST = tuple(f"{day} {clock}" for day in ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d") for clock in _CLOCKS)
_FORMATS = (
    "%Y%m%d%H%M",
    "%Y%m%d%H%M%S",
    *_COMPACT,
    *_YEAR_FIRST,
    *(f"{day} {clock}" for day in _DAYS for clock in _CLOCKS),
    *_DAYS,
)
_SAMPLE = 4000
_FEW = 40  # of the sample: a format that fits none of them is not tried on the others
_MANY = 20_000
# A stamp outside them comes from a wrong unit or a slip, and would overflow the time zone tables.
_YEARS = (1970, 2200)
_EPOCHS = (  # unit, from, to, microseconds of one
    ("seconds", 1e8, 1e10, 1e6),
    ("milliseconds", 3e11, 1.9e13, 1e3),
    ("microseconds", 1e14, 1e16, 1.0),
    ("nanoseconds", 1e17, 9e18, 1e-3),
)


class StampError(ValueError):
    """Stamps that cannot be read at all; the text says what to do."""


@dataclasses.dataclass(frozen=True)
class Stamps:
    """Time stamps of a table, in its order."""

    utc: np.ndarray  # microseconds since 1970 UTC, int64 [N]; NOT_A_TIME where there is none
    clock_change: np.ndarray  # bool [N]: local time that exists twice or never; utc is NOT_A_TIME there
    note: str  # how they were read, for the report


@dataclasses.dataclass(frozen=True)
class Clock:
    """Time stamps as they were written, before anybody says where."""

    wall: pd.Series  # naive datetimes [N]; NaT where there is none
    is_utc: bool  # the stamps themselves say where: an offset, a zone, an epoch
    note: str  # how they were read

    @property
    def microseconds(self) -> np.ndarray:
        """What the clock shows, since 1970, int64 [N]; NOT_A_TIME where nothing can be read."""
        return _result(self.wall, "").utc


def read_clock(values: pd.Series, timestamp_format: str | None, expected_format: str | None = None) -> Clock:
    """Read a column of stamps: datetimes, text or numbers. Raises StampError when it cannot be read.

    timestamp_format is the caller's; expected_format that of a vendor's layout, used where it fits all stamps.
    """
    if timestamp_format is None and expected_format is not None and values.dtype == "str":
        parsed = _read(values.str.strip(), expected_format, aware="%z" in expected_format)
        if parsed.notna().all():
            return _clock(parsed)
    values = _plain(values, digits_are_numbers=timestamp_format is None)
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return Clock(values.dt.tz_convert("UTC").dt.tz_localize(None), True, "stamps with a time zone")
    if pd.api.types.is_datetime64_dtype(values.dtype):
        return Clock(values, False, "stamps without an offset")
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        epoch = _epoch(numbers) if timestamp_format is None else None
        if epoch is not None:
            return epoch
        values = _digits(numbers, any_length=timestamp_format is not None)
    return _from_text(values.str.strip(), timestamp_format)


def place(clock: Clock, zone: Zone, because: str = "") -> Stamps:
    """Stamps without an offset as those of a zone's clock."""
    years = clock.wall.dt.year
    local = clock.wall.where((years >= _YEARS[0]) & (years < _YEARS[1]))
    known = local.dropna()
    newest_first = len(known) > 0 and bool(known.iloc[0] > known.iloc[-1])
    utc = zone.utc(local[::-1])[::-1] if newest_first else zone.utc(local)
    stamps = _result(utc, f"{clock.note}, read as {zone.key} time{zone.remark}{because}")
    return dataclasses.replace(stamps, clock_change=(utc.isna() & local.notna()).to_numpy(bool))


def as_utc(clock: Clock, because: str = "") -> Stamps:
    """Stamps that are UTC."""
    return _result(clock.wall, clock.note + because)


def _plain(values: pd.Series, digits_are_numbers: bool) -> pd.Series:
    """Datetimes and numbers as they are, text of nothing but digits as numbers; all else as text."""
    if isinstance(values.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_dtype(values.dtype):
        return values
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        return values
    text = values
    if values.dtype != "str":
        text = values.astype("object").map(plain_text, na_action="ignore").astype("str")
    if digits_are_numbers and _sample(text).str.fullmatch(r"\s*\d{8,19}\s*").mean() > 0.5:
        return pd.to_numeric(text, errors="coerce")
    return text


def _sample(text: pd.Series) -> pd.Series:
    """Rows spread over the whole column: one day of it says little about day and month."""
    known = text.dropna()
    return known.iloc[:: max(len(known) // _SAMPLE, 1)]


def _epoch(numbers: np.ndarray) -> Clock | None:
    """Seconds, milli-, micro- or nanoseconds since 1970 by their size; None where they are no epoch."""
    known = np.isfinite(numbers)
    middle = np.median(numbers[known]) if known.any() else 0.0
    for unit, low, high, micro in _EPOCHS:
        if low <= middle < high:
            known &= (numbers >= low) & (numbers < high)
            utc = np.full(len(numbers), NOT_A_TIME)
            # Doubles hold nanoseconds only to a quarter of a microsecond, which is nothing for a bar.
            utc[known] = np.rint(numbers[known] * micro).astype(np.int64)
            wall = pd.Series(utc.astype("datetime64[us]"))  # NOT_A_TIME is NaT
            return Clock(wall, True, f"{unit} since 1970 UTC")
    return None


def _digits(numbers: np.ndarray, any_length: bool) -> pd.Series:
    """Numbers such as 20250313 or 202503130930 as text."""
    known = np.isfinite(numbers)
    middle = np.median(numbers[known]) if known.any() else 0.0
    if not any_length and not any(1.9 <= middle / scale < 2.2 for scale in (1e7, 1e11, 1e13)):
        first = numbers[known][0] if known.any() else np.nan
        raise StampError(f"the time stamps are numbers (first: {first:.15g}), neither since 1970 nor like 202503130930")
    text = pd.Series(np.where(known, numbers, 0.0)).map("{:.0f}".format).astype("str")
    return text.where(pd.Series(known))


def _from_text(text: pd.Series, timestamp_format: str | None) -> Clock:
    known = text.dropna()
    if len(known) == 0:
        raise StampError("the column of time stamps is empty")
    if timestamp_format is not None:
        parsed = _read(text, timestamp_format, aware="%z" in timestamp_format)
        if parsed.isna().all():
            form = repr(timestamp_format)
            raise StampError(f"timestamp_format {form} fits none of the stamps (first: {known.iloc[0]!r})")
        return _clock(parsed)
    if _sample(text).str.contains("  ", regex=False).any():  # Interactive Brokers
        text = _with_single_blanks(text)
    if _sample(text).str.contains(_ENDS_WITH_ZONE).mean() > 0.5:
        return _with_zone_names(text)
    matched = pyarrow.compute.match_substring_regex(arrow_text(text), _OFFSET)
    with_offset = matched.fill_null(False).to_numpy(zero_copy_only=False)
    aware = bool(with_offset.any())
    if aware and _sample(text).str.contains("UTC|GMT", regex=True).any():
        text = _replaced(text, r"\s?(?:UTC|GMT)([+-])", r"\1")
        text = _replaced(text, r"\s?(?:UTC|GMT)$", "Z")
    parsed = _read_any(text, aware)
    naive = parsed.notna().to_numpy() & ~with_offset
    if aware and naive.any():
        count, first = int(naive.sum()), text[naive].iloc[0]
        raise StampError(
            f"{count:,} of {len(known):,} time stamps carry no offset (first: {first!r}) and the others do: "
            "write all of them in one way"
        )
    return _clock(parsed)


def _clock(parsed: pd.Series) -> Clock:
    if isinstance(parsed.dtype, pd.DatetimeTZDtype):
        return Clock(parsed.dt.tz_convert("UTC").dt.tz_localize(None), True, "stamps with an offset")
    return Clock(parsed, False, "stamps without an offset")


def _with_zone_names(text: pd.Series) -> Clock:
    """Stamps that end with a zone's name: "20250602 17:00:00 US/Central", "2025-06-02 17:00 EDT"."""
    sound, (stamps, zone_of) = _cut_at_blank(text, last=True)
    encoded = zone_of.dictionary_encode()
    endings = encoded.dictionary.to_pylist()
    names = [ending for ending in endings if _ZONE_NAME.fullmatch(ending)]
    name_of_ending = np.array([names.index(ending) if ending in names else -1 for ending in endings])
    code = np.full(len(text), -1)
    code[sound] = name_of_ending[encoded.indices.to_numpy()]
    array = pyarrow.compute.replace_with_mask(arrow_text(text), pyarrow.array(sound), stamps)
    clock = _from_text(_series(array, text).mask(code < 0).str.strip(), None)
    if clock.is_utc:
        raise StampError(f"the time stamps carry an offset and a zone's name (first: {text.dropna().iloc[0]!r})")
    wall, utc = clock.wall, pd.Series(pd.NaT, index=text.index, dtype="datetime64[us]")
    zones = [_named_zone(name, names, wall[code == at]) for at, name in enumerate(names)]
    for at, zone in enumerate(zones):
        chosen = code == at
        utc[chosen] = place(Clock(wall[chosen], False, ""), zone).utc.astype("datetime64[us]")
    listed = ", ".join(zone.key for zone in zones[:3])
    return Clock(utc, True, f"stamps with the name of a zone ({listed})")


def _named_zone(name: str, names: list[str], wall: pd.Series) -> Zone:
    """An abbreviation beside its summer twin is a fixed offset; alone it may be a city's clock all year."""
    hours = OFFSETS_OF_NAMES.get(name.upper())
    if hours is None:
        try:
            zone = find_zone(name)
        except ZoneError as error:
            raise StampError(f"the zone of the time stamps: {error}") from None
        if zone is None:  # an empty name does not match
            raise StampError(f"{name!r} names no zone")
        return zone
    if len(names) == 1:
        city = {"E": "America/New_York", "C": "America/Chicago", "M": "America/Denver", "P": "America/Los_Angeles"}
        zone = find_zone(city[name[0].upper()])
        moved = wall - pd.Timedelta(hours=hours)
        if zone is not None and not place(Clock(wall, False, ""), zone).utc.tolist() == _result(moved, "").utc.tolist():
            raise StampError(
                f"all time stamps end with {name}, in summer and in winter: that is the clock of {zone.key}, or UTC"
                f"{hours:+d} all year; leave the name out, and pass timezone={zone.key!r} or 'UTC{hours:+d}'"
            )
    return Zone(f"UTC{hours:+d}", dt.timezone(dt.timedelta(hours=hours)))


def _read(text: pd.Series, form: str, aware: bool) -> pd.Series:
    """Text -> datetimes, NaT where the format does not fit."""
    if len(text) > _MANY and form.count(" ") >= 1 and not aware and "%z" not in form:
        return _read_halves(text, form)
    try:
        return pd.to_datetime(text, format=form, errors="coerce", utc=aware)
    except (ValueError, TypeError) as error:
        raise StampError(f"timestamp_format {form!r} cannot be used: {error}") from None


def _read_halves(text: pd.Series, form: str) -> pd.Series:
    """The same for a long column of days and clocks: each different one is read once."""
    sound, halves = _cut_at_blank(text)
    result = np.full(len(text), np.datetime64("NaT", "us"))
    total = np.zeros(int(sound.sum()), "timedelta64[us]")
    for half, part in enumerate(form.split(" ", 1)):
        encoded = halves[half].dictionary_encode()
        read = _read(pd.Series(encoded.dictionary.to_pylist(), dtype="str"), part, aware=False)
        since = read.to_numpy().astype("datetime64[us]") - np.datetime64("1900-01-01" if half else "1970-01-01", "us")
        total += since[encoded.indices.to_numpy()]  # NaT stays NaT
    result[sound] = np.datetime64("1970-01-01", "us") + total
    return pd.Series(result, index=text.index)


def _cut_at_blank(text: pd.Series, last: bool = False) -> tuple[np.ndarray, tuple[pyarrow.Array, pyarrow.Array]]:
    """Where a text has a blank, bool [N], and of those what stands before and behind the first blank, or the last."""
    parts = pyarrow.compute.split_pattern(arrow_text(text), " ", max_splits=1, reverse=last)
    sound = pyarrow.compute.list_value_length(parts).fill_null(0).to_numpy() == 2
    flat = parts.filter(pyarrow.array(sound)).flatten()
    before, behind = (flat.take(pyarrow.array(np.arange(at, len(flat), 2))) for at in (0, 1))
    return sound, (before, behind)


def _with_single_blanks(text: pd.Series) -> pd.Series:
    array = arrow_text(text)
    while pyarrow.compute.any(pyarrow.compute.match_substring(array, "  ")).as_py():
        array = pyarrow.compute.replace_substring(array, "  ", " ")
    return _series(array, text)


def _replaced(text: pd.Series, pattern: str, by: str) -> pd.Series:
    """`str.replace` with an expression, which pandas would do row by row in Python."""
    return _series(pyarrow.compute.replace_substring_regex(arrow_text(text), pattern, by), text)


def _series(array: pyarrow.Array, like: pd.Series) -> pd.Series:
    return pd.Series(array.to_pandas(), index=like.index).astype("str")


def _read_any(text: pd.Series, aware: bool) -> pd.Series:
    """Text -> datetimes by the format that fits most; StampError when none fits, or two equally well."""
    sample = _sample(text)
    best, misses = "", len(sample)
    forms = [form + end for end in ("%z", " %z") for form in _FORMATS] if aware else list(_FORMATS)
    few = sample.iloc[:: max(len(sample) // _FEW, 1)]
    for form in ("ISO8601", *forms):
        if len(few) < len(sample) and bool(_read(few, form, aware).isna().all()):
            continue
        missed = int(_read(sample, form, aware).isna().sum())
        if missed < misses:
            best, misses = form, missed
        if misses == 0:
            break
    first = sample.iloc[0]
    if not best:
        example = "timestamp_format='%d %b %Y %H:%M' for '31 Jan 2025 09:30' say"
        raise StampError(f"the time stamps cannot be read (first: {first!r}): pass {example}")
    swapped = best.replace("%m", "%?").replace("%d", "%m").replace("%?", "%d")
    parsed = _read(text, best, aware)
    if swapped == best or swapped not in forms or _read(sample, swapped, aware).isna().sum() > misses:
        return parsed
    other = _read(text, swapped, aware)
    fits, other_fits = int(parsed.notna().sum()), int(other.notna().sum())
    if fits == other_fits and not other.equals(parsed):
        likely, second = (best, swapped) if _midnights(parsed) >= _midnights(other) else (swapped, best)
        runs_on = "; by the first of them the bars run on from one day to the next" * (
            _midnights(parsed) != _midnights(other)
        )
        raise StampError(
            f"nothing tells day and month of the time stamps apart (first: {first!r}): pass "
            f"timestamp_format={likely!r} or {second!r}{runs_on}"
        )
    return parsed if fits >= other_fits else other


def _midnights(stamps: pd.Series) -> int:
    """How often the next stamp is at most an hour later and of another day."""
    step = stamps.diff()
    return int(
        ((step > pd.Timedelta(0)) & (step <= pd.Timedelta("1h")) & (stamps.dt.day != stamps.shift().dt.day)).sum()
    )


def _result(utc: pd.Series, note: str) -> Stamps:
    micro = utc.to_numpy().astype("datetime64[us]").astype(np.int64)
    return Stamps(_sensible(micro), np.zeros(len(micro), bool), note)


def _sensible(utc: np.ndarray) -> np.ndarray:
    low, high = (int(np.datetime64(str(year), "us").astype(np.int64)) for year in _YEARS)
    return np.where((utc >= low) & (utc < high), utc, NOT_A_TIME)
