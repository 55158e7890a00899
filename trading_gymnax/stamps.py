"""Time stamps of any usual shape -> UTC: offsets, naive local time, epochs, compact digits, day or month first."""

from __future__ import annotations

import dataclasses
import difflib
import zoneinfo

import numpy as np
import pandas as pd

NOT_A_TIME = np.iinfo(np.int64).min
MICROSECONDS_PER_MINUTE = 60_000_000

# A clock followed by Z, UTC, GMT or +hh:mm: the hyphens of a date alone must not look like an offset.
_OFFSET = r"(?:\d\s?(?:Z|UTC|GMT)|:\d\d(?:\.\d+)?\s?[+-]\d\d(?::?\d\d)?)$"
_FORMATS = tuple(
    f"{day} {clock}" if clock else day
    for day in ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m-%d-%Y", "%d-%m-%Y", "%m/%d/%y", "%d/%m/%y")
    for clock in ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p", "%H:%M:%S.%f", "")
)
_SAMPLE = 2000
_YEARS = (
    1970,
    2200,
)  # a stamp outside them is a wrong unit or a typing mistake, and overflows time zone tables


class StampError(ValueError):
    """Stamps that cannot be read at all; the text says what to do."""


@dataclasses.dataclass(frozen=True)
class Stamps:
    """Time stamps of a table, in its order."""

    utc: np.ndarray  # microseconds since 1970 UTC, int64 [N]; NOT_A_TIME where there is none
    clock_change: np.ndarray  # bool [N]: local time that exists twice or never; utc is NOT_A_TIME there
    note: str  # how they were read, for the report


def parse_stamps(
    values: pd.Series, timezone: str | None, timestamp_format: str | None, utc_by_vendor: bool
) -> Stamps:
    """Read a column of stamps (datetimes, text or numbers) as UTC.

    `timezone` is needed for stamps that carry no offset; `utc_by_vendor` says that they are UTC without it. Raises
    StampError when the column cannot be read or nobody knows its time zone.
    """
    zone = check_timezone(timezone)
    values = _plain(values)
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return _result(values.dt.tz_convert("UTC").dt.tz_localize(None), "stamps with a time zone")
    if pd.api.types.is_datetime64_dtype(values.dtype):
        return _localize(values, zone, utc_by_vendor)
    if pd.api.types.is_numeric_dtype(values.dtype):
        epoch = _epoch(values.to_numpy(np.float64, na_value=np.nan)) if timestamp_format is None else None
        if epoch is not None:
            return epoch
        whole = values.astype("Int64") if np.all(values.dropna() % 1 == 0) else values
        values = whole.astype("str").where(values.notna())
    return _from_text(
        values.astype("str").where(values.notna()).str.strip(), zone, timestamp_format, utc_by_vendor
    )


def check_timezone(timezone: str | None) -> zoneinfo.ZoneInfo | None:
    """The named zone; StampError with the nearest name for one that does not exist."""
    if timezone is None:
        return None
    try:
        return zoneinfo.ZoneInfo(timezone)
    except (KeyError, ValueError, OSError, TypeError):
        near = difflib.get_close_matches(
            str(timezone), sorted(zoneinfo.available_timezones()), n=1, cutoff=0.5
        )
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else "it is like 'America/New_York', 'America/Chicago' or 'UTC'"
        )
        raise StampError(f"unknown timezone {timezone!r}: {hint}") from None


def _plain(values: pd.Series) -> pd.Series:
    """Objects as text, categories and digit strings as what they hold."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_datetime64_any_dtype(values.dtype):
        return values
    text = values.map(str, na_action="ignore").astype("str")
    filled = text.dropna()
    if len(filled) and filled.str.fullmatch(r"\s*\d{8,19}\s*").all():
        return pd.to_numeric(text)
    return text


def _epoch(numbers: np.ndarray) -> Stamps | None:
    """Seconds, milli-, micro- or nanoseconds since 1970 by their size; None where the numbers are no epoch."""
    finite = numbers[np.isfinite(numbers)]
    if len(finite) == 0:
        return None
    for unit, low, high, micro in (
        ("seconds", 1e8, 1e10, 1e6),
        ("milliseconds", 3e11, 1.9e13, 1e3),
        ("microseconds", 1e14, 1e16, 1.0),
        ("nanoseconds", 1e17, 1e19, 1e-3),
    ):
        if low <= finite.min() and finite.max() < high:
            known = np.isfinite(numbers)
            utc = np.full(len(numbers), NOT_A_TIME)
            # Doubles hold nanoseconds only to a quarter of a microsecond, which is nothing for a bar.
            utc[known] = np.rint(finite * micro).astype(np.int64)
            return Stamps(_sensible(utc), np.zeros(len(utc), bool), f"{unit} since 1970 UTC")
    return None


def _from_text(
    text: pd.Series, zone: zoneinfo.ZoneInfo | None, timestamp_format: str | None, utc_by_vendor: bool
) -> Stamps:
    known = text.dropna()
    if len(known) == 0:
        return Stamps(np.full(len(text), NOT_A_TIME), np.zeros(len(text), bool), "no stamps")
    with_offset = known.str.contains(_OFFSET, regex=True)
    if timestamp_format is None and with_offset.any() and not with_offset.all():
        first = known[~with_offset].iloc[0]
        raise StampError(
            f"{int((~with_offset).sum()):,} of {len(known):,} time stamps carry no offset (first: {first!r}) and the "
            "others do: write all of them in one way"
        )
    aware = bool(with_offset.all()) if timestamp_format is None else "%z" in timestamp_format
    if aware and timestamp_format is None:
        text = text.str.replace(r"\s?(?:UTC|GMT)$", "Z", regex=True)
    parsed = _parse_text(text, known, timestamp_format, aware)
    if aware:
        return _result(parsed.dt.tz_convert("UTC").dt.tz_localize(None), "stamps with an offset")
    return _localize(parsed, zone, utc_by_vendor)


def _parse_text(text: pd.Series, known: pd.Series, timestamp_format: str | None, aware: bool) -> pd.Series:
    """Text -> datetimes, NaT where it does not fit; StampError when no format fits or two do."""

    def read(values: pd.Series, form: str) -> pd.Series:
        try:
            return pd.to_datetime(values, format=form, errors="coerce", utc=aware)
        except ValueError as error:  # a format that is none
            raise StampError(f"timestamp_format {form!r} cannot be used: {error}") from None

    if timestamp_format is not None:
        parsed = read(text, timestamp_format)
        if parsed.isna().all():
            raise StampError(
                f"timestamp_format {timestamp_format!r} fits none of the stamps (first: {known.iloc[0]!r})"
            )
        return parsed
    sample = pd.concat([known.iloc[:_SAMPLE], known.iloc[-_SAMPLE:]])
    best, misses = "", len(sample)
    for form in ("ISO8601", *(("%Y%m%d%H%M", "%Y%m%d%H%M%S") if known.iloc[0].isdigit() else ()), *_FORMATS):
        missed = int(read(sample, form).isna().sum())
        if missed < misses:
            best, misses = form, missed
        if misses == 0:
            break
    if not best:
        raise StampError(
            f"the time stamps cannot be read (first: {known.iloc[0]!r}): pass timestamp_format='%Y-%m-%d %H:%M'"
        )
    parsed = read(text, best)
    swapped = best.replace("%m", "%M_").replace("%d", "%m").replace("%M_", "%d")
    if best == "ISO8601" or swapped == best or swapped not in _FORMATS:
        return parsed
    other = read(text, swapped)
    if other.notna().sum() == parsed.notna().sum() and not other.equals(parsed):
        raise StampError(
            f"day and month of the time stamps can be told apart nowhere (first: {known.iloc[0]!r}): pass "
            f"timestamp_format={best!r} or {swapped!r}"
        )
    return parsed if parsed.notna().sum() >= other.notna().sum() else other


def _localize(naive: pd.Series, zone: zoneinfo.ZoneInfo | None, utc_by_vendor: bool) -> Stamps:
    if zone is None:
        if not utc_by_vendor:
            first = naive.dropna().iloc[0] if naive.notna().any() else "none"
            raise StampError(
                f"the time stamps carry no offset (first: {first}), so nobody knows when these bars were: pass "
                "timezone='America/New_York' for US Eastern time (FirstRate, Kibot), 'America/Chicago' for exchange "
                "time, 'UTC', or whatever your source says"
            )
        return _result(naive, "stamps without an offset, UTC as NinjaTrader exports them")
    stamps = pd.DatetimeIndex(naive)
    sensible = pd.DatetimeIndex(
        pd.Series(stamps).where((stamps.year >= _YEARS[0]) & (stamps.year < _YEARS[1]))
    )
    try:  # the hour that comes twice in autumn, where the table has it twice
        local = sensible.tz_localize(zone, ambiguous="infer", nonexistent="NaT")
    except ValueError:
        local = sensible.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    result = _result(
        pd.Series(local.tz_convert("UTC").tz_localize(None)), f"stamps without an offset, {zone.key} time"
    )
    lost = (result.utc == NOT_A_TIME) & sensible.notna()
    return dataclasses.replace(result, clock_change=np.asarray(lost))


def _result(utc: pd.Series, note: str) -> Stamps:
    micro = utc.to_numpy().astype("datetime64[us]").astype(np.int64)
    return Stamps(_sensible(micro), np.zeros(len(micro), bool), note)


def _sensible(utc: np.ndarray) -> np.ndarray:
    low, high = (int(np.datetime64(str(year), "us").astype(np.int64)) for year in _YEARS)
    return np.where((utc >= low) & (utc < high), utc, NOT_A_TIME)
