"""A zip, or a folder of files, as one table; LEAN's one file a day with milliseconds since midnight."""

from __future__ import annotations

import io
import pathlib
import re
import zipfile
import zlib
from collections.abc import Callable

import numpy as np
import pandas as pd

from trading_gymnax.data.names import PRICES, UnreadableError, normal_name
from trading_gymnax.data.source import Source

_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)-?(\d\d)-?(\d\d)(?!\d)")
_LEAN = re.compile(
    r"\d{8}_(?P<symbol>\w+?)_(?:minute|second|tick|hour|daily)_trade(?:_(?P<month>\d{6}))?(?:_\d{8})?\.csv$"
)
_DAY_MILLISECONDS = 86_400_000
_LEAN_SCALE = 10_000.0  # of the prices of stocks, which LEAN writes as whole numbers


def is_zip(content: bytes) -> bool:
    """Whether a file begins as a zip does."""
    return content[:4] in (b"PK\x03\x04", b"PK\x05\x06")


def open_zip(content: bytes, open_file: Callable[[bytes], Source]) -> Source:
    """All tables of a zip as one. Raises UnreadableError for none, a damaged one and tables that differ."""
    return _joined(_members("", content), open_file)


def open_folder(path: pathlib.Path, open_file: Callable[[bytes], Source]) -> Source:
    """All files of a folder as one table, in the order of their names; those in folders of it are left alone."""
    files: list[tuple[str, bytes]] = []
    try:
        for file in sorted(path.iterdir()):
            if file.is_file() and not file.name.startswith("."):
                content = file.read_bytes()
                files += _members(file.name, content) if is_zip(content) else [(file.name, content)]
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error}") from None
    if not files:
        raise UnreadableError(f"{path} is a folder without a file: name one file of bars")
    return _joined(files, open_file)


def _members(outer: str, content: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = sorted(name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name)
            return [(f"{outer} {name}".strip(), archive.read(name)) for name in names]
    except (zipfile.BadZipFile, OSError, EOFError, zlib.error, ValueError, NotImplementedError, RuntimeError) as error:
        raise UnreadableError(f"the zip file is broken, or locked: {error}") from None


def _joined(files: list[tuple[str, bytes]], open_file: Callable[[bytes], Source]) -> Source:
    if not files:
        raise UnreadableError("the zip file is empty")
    parts = []
    for name, content in files:
        try:
            opened = open_file(content)
        except UnreadableError as error:
            raise UnreadableError(f"{name}: {error}") from None
        parts.append((name, _lean(name, opened)))
    first_name, first = parts[0]
    for name, part in parts[1:]:
        columns = [[normal_name(column) for column in one.frame.columns] for one in (first, part)]
        if columns[0] != columns[1]:
            raise UnreadableError(
                f"{name} has other columns than {first_name}: {', '.join(columns[1])[:80]}, and not "
                f"{', '.join(columns[0])[:80]}; files that are one table have the same"
            )
    frames = [part.frame.set_axis(first.frame.columns, axis=1) for _, part in parts]
    footer = tuple(line for _, part in parts for line in part.footer)
    return Source(pd.concat(frames, ignore_index=True), first.separator, first.headless, footer)


def _lean(name: str, opened: Source) -> Source:
    """LEAN's file of one day: milliseconds since midnight, the date in the file's name; others as they are."""
    frame = opened.frame
    if not opened.headless or frame.empty or normal_name(frame.columns[0]) != "timestamp":
        return opened
    since = pd.to_numeric(frame.iloc[:, 0], errors="coerce").to_numpy(np.float64)
    if not (np.isfinite(since).all() and (since >= 0).all() and (since < _DAY_MILLISECONDS).all()):
        return opened
    day = _DAY.search(pathlib.PurePath(name.rpartition(" ")[2]).name) or _DAY.search(name)
    if day is None:
        raise UnreadableError(f"{name} holds milliseconds since midnight, and no date stands in its name")
    try:
        midnight = np.datetime64("-".join(day.groups()), "ms")
    except ValueError:
        raise UnreadableError(f"{name} holds milliseconds since midnight, and {day[0]} is no date") from None
    frame = frame.assign(**{frame.columns[0]: midnight + since.astype("timedelta64[ms]")})
    described = _LEAN.search(name)
    if described is not None:
        frame["symbol"] = "_".join(part for part in (described["symbol"], described["month"]) if part)
        frame = _unscaled(frame)
    return Source(frame, opened.separator, False, opened.footer)


def _unscaled(frame: pd.DataFrame) -> pd.DataFrame:
    """Stocks are written in ten-thousandths of a dollar, to the cent: all prices are multiples of a hundred."""
    for name in PRICES:  # those of a future end it at the first
        prices = pd.to_numeric(frame[name], errors="coerce").to_numpy(np.float64)
        if not (np.isfinite(prices).all() and (prices >= _LEAN_SCALE / 100).all() and not (prices % 100).any()):
            return frame
    return frame.assign(**{name: pd.to_numeric(frame[name]).to_numpy(np.float64) / _LEAN_SCALE for name in PRICES})
