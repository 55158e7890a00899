"""Time stamps of any usual shape -> UTC: offsets, naive local time, epochs, day or month first."""

from __future__ import annotations

import dataclasses
import zoneinfo

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute

from trading_gymnax.data.formats import plain_text
from trading_gymnax.text import did_you_mean

NOT_A_TIME = int(np.iinfo(np.int64).min)
MICROSECONDS_PER_MINUTE = 60_000_000

# A clock followed by Z, UTC, GMT or +hh:mm: the hyphens of a date alone must not look like an offset.
_OFFSET = r"(?:\d\s?(?:Z|UTC|GMT)|:\d\d(?:\.\d+)?\s?[+-]\d\d(?::?\d\d)?)$"
_DAYS = ("%m/%d/%Y", "%d/%m/%Y", "%m.%d.%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%m/%d/%y", "%d/%m/%y")
_CLOCKS = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S.%f")
_FORMATS = ("%Y%m%d%H%M", "%Y%m%d%H%M%S", *(f"{day} {clock}" for day in _DAYS for clock in _CLOCKS), *_DAYS)
_SAMPLE = 4000
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


def parse_stamps(values: pd.Series, timezone: str | None, timestamp_format: str | None, utc_by_vendor: bool) -> Stamps:
    """Read a column of stamps (datetimes, text or numbers) as UTC.

    `timezone` is needed for stamps that carry no offset; `utc_by_vendor` says that they are UTC without it.
    Raises StampError when the column cannot be read or nobody knows its time zone.
    """
    zone = check_timezone(timezone)
    values = _plain(values, digits_are_numbers=timestamp_format is None)
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return _result(values.dt.tz_convert("UTC").dt.tz_localize(None), "stamps with a time zone")
    if pd.api.types.is_datetime64_dtype(values.dtype):
        return _localize(values, zone, utc_by_vendor)
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = values.to_numpy(np.float64, na_value=np.nan)
        epoch = _epoch(numbers) if timestamp_format is None else None
        if epoch is not None:
            return epoch
        values = _digits(numbers, any_length=timestamp_format is not None)
    return _from_text(values.str.strip(), zone, timestamp_format, utc_by_vendor)


def check_timezone(timezone: str | None) -> zoneinfo.ZoneInfo | None:
    """The named zone; StampError with the nearest name for one that does not exist."""
    if timezone is None:
        return None
    try:
        return zoneinfo.ZoneInfo(timezone)
    except (KeyError, ValueError, OSError, TypeError, AttributeError):
        names = sorted(zoneinfo.available_timezones())
        hint = did_you_mean(timezone, names, "it is like 'America/New_York' or 'UTC'", cutoff=0.5)
        raise StampError(f"unknown timezone {timezone!r}: {hint}") from None


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


def _epoch(numbers: np.ndarray) -> Stamps | None:
    """Seconds, milli-, micro- or nanoseconds since 1970 by their size; None where they are no epoch."""
    known = np.isfinite(numbers)
    middle = np.median(numbers[known]) if known.any() else 0.0
    for unit, low, high, micro in _EPOCHS:
        if low <= middle < high:
            known &= (numbers >= low) & (numbers < high)
            utc = np.full(len(numbers), NOT_A_TIME)
            # Doubles hold nanoseconds only to a quarter of a microsecond, which is nothing for a bar.
            utc[known] = np.rint(numbers[known] * micro).astype(np.int64)
            return Stamps(_sensible(utc), np.zeros(len(utc), bool), f"{unit} since 1970 UTC")
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


def _from_text(
    text: pd.Series, zone: zoneinfo.ZoneInfo | None, timestamp_format: str | None, utc_by_vendor: bool
) -> Stamps:
    known = text.dropna()
    if len(known) == 0:
        raise StampError("the column of time stamps is empty")
    if timestamp_format is not None:
        parsed = _read(text, timestamp_format, aware="%z" in timestamp_format)
        if parsed.isna().all():
            form = repr(timestamp_format)
            raise StampError(f"timestamp_format {form} fits none of the stamps (first: {known.iloc[0]!r})")
        return _aware_or_naive(parsed, zone, utc_by_vendor)
    matched = pyarrow.compute.match_substring_regex(pyarrow.array(text, pyarrow.large_string()), _OFFSET)
    with_offset = matched.fill_null(False).to_numpy(zero_copy_only=False)
    aware = bool(with_offset.any())
    if aware and _sample(text).str.contains("UTC|GMT", regex=True).any():
        text = text.str.replace(r"\s?(?:UTC|GMT)$", "Z", regex=True)
    parsed = _read_any(text, aware)
    naive = parsed.notna().to_numpy() & ~with_offset
    if aware and naive.any():
        count, first = int(naive.sum()), text[naive].iloc[0]
        raise StampError(
            f"{count:,} of {len(known):,} time stamps carry no offset (first: {first!r}) and the others do: "
            "write all of them in one way"
        )
    return _aware_or_naive(parsed, zone, utc_by_vendor)


def _aware_or_naive(parsed: pd.Series, zone: zoneinfo.ZoneInfo | None, utc_by_vendor: bool) -> Stamps:
    if isinstance(parsed.dtype, pd.DatetimeTZDtype):
        return _result(parsed.dt.tz_convert("UTC").dt.tz_localize(None), "stamps with an offset")
    return _localize(parsed, zone, utc_by_vendor)


def _read(text: pd.Series, form: str, aware: bool) -> pd.Series:
    """Text -> datetimes, NaT where the format does not fit."""
    try:
        return pd.to_datetime(text, format=form, errors="coerce", utc=aware)
    except (ValueError, TypeError) as error:
        raise StampError(f"timestamp_format {form!r} cannot be used: {error}") from None


def _read_any(text: pd.Series, aware: bool) -> pd.Series:
    """Text -> datetimes by the format that fits most; StampError when none fits, or two equally well."""
    sample = _sample(text)
    best, misses = "", len(sample)
    for form in ("ISO8601", *_FORMATS):
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
    if swapped == best or swapped not in _FORMATS or _read(sample, swapped, aware).isna().sum() > misses:
        return parsed
    other = _read(text, swapped, aware)
    fits, other_fits = int(parsed.notna().sum()), int(other.notna().sum())
    if fits == other_fits and not other.equals(parsed):
        raise StampError(
            f"nothing tells day and month of the time stamps apart (first: {first!r}): pass "
            f"timestamp_format={best!r} or {swapped!r}"
        )
    return parsed if fits >= other_fits else other


def _localize(naive: pd.Series, zone: zoneinfo.ZoneInfo | None, utc_by_vendor: bool) -> Stamps:
    known = naive.dropna()
    if zone is None:
        if utc_by_vendor:
            return _result(naive, "stamps without an offset, UTC as NinjaTrader exports them")
        first = known.iloc[0] if len(known) else "none"
        raise StampError(
            f"the time stamps carry no offset (first: {first}), so nobody knows when these bars were: pass "
            "timezone='America/New_York' for US Eastern time (FirstRate, Kibot), 'America/Chicago' for "
            "exchange time, 'UTC', or whatever your source says"
        )
    years = naive.dt.year
    local = naive.where((years >= _YEARS[0]) & (years < _YEARS[1]))
    newest_first = len(known) > 0 and bool(known.iloc[0] > known.iloc[-1])
    forward = local[::-1] if newest_first else local
    try:  # the hour that comes twice in autumn, where the table has it twice
        aware = forward.dt.tz_localize(zone, ambiguous="infer", nonexistent="NaT")
    except ValueError:
        aware = forward.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    utc = aware.dt.tz_convert("UTC").dt.tz_localize(None)
    utc = utc[::-1] if newest_first else utc
    stamps = _result(utc, f"stamps without an offset, read as {zone.key} time")
    return dataclasses.replace(stamps, clock_change=(utc.isna() & local.notna()).to_numpy(bool))


def _result(utc: pd.Series, note: str) -> Stamps:
    micro = utc.to_numpy().astype("datetime64[us]").astype(np.int64)
    return Stamps(_sensible(micro), np.zeros(len(micro), bool), note)


def _sensible(utc: np.ndarray) -> np.ndarray:
    low, high = (int(np.datetime64(str(year), "us").astype(np.int64)) for year in _YEARS)
    return np.where((utc >= low) & (utc < high), utc, NOT_A_TIME)
