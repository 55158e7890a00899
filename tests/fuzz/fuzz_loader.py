"""Throw mutated files and tables at the loader, guided by the coverage of its own code.

    pip install ".[fuzz]"
    python tests/fuzz/fuzz_loader.py --seconds 600 --out fuzz

Every input is a file's bytes (text, gzip, parquet), a DataFrame built from them, with some of the loader's options, or
several markets and contracts that roll, loaded together and split by dates (`market_inputs.py`). The answer must be
bars or a market, `ValueError` or `FileNotFoundError`. Both must keep their promises: the rows of a plain table, read
once more by Python's own `csv`, must hold each bar, and a market must hold each table as it is read alone. Nothing may
be dropped or altered unsaid. Anything else is written to the folder `out/found`, one file for each place that it came
from; `out/corpus` keeps the inputs that reached new code. Exit status 1 when something was found. What it said last
stands in tests/fuzz/FINDINGS.md.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import gzip
import io
import json
import os
import pathlib
import sys
import tempfile
import traceback
import zipfile
from typing import Any

import numpy as np
import pandas as pd

try:
    import atheris
except ImportError:
    sys.exit('fuzz_loader: atheris is not installed: pip install "trading-gymnax[fuzz]"')

with atheris.instrument_imports(include=["trading_gymnax"]):
    from market_inputs import play  # the file beside this one

    from trading_gymnax.data.contracts import CONTRACTS, ContractSpec
    from trading_gymnax.data.loader import REPAIRS, Bars, load_bars

SHARED = pathlib.Path(__file__).resolve().parents[3] / "shared" / "data"
HEADER = ["timestamp", "open", "high", "low", "close", "volume"]
SEED_ROWS = 120
KINDS = ("text", "gzip", "bytes", "frame", "plain", "markets", "zip", "text")
DROPS = (
    "nan",
    "inconsistent",
    "bad_prices",
    "clock_change",
    "off_grid",
    "repeated",
    "stray_prints",
    "footer",
    "symbol",
)
ZONES = (
    None,
    "UTC",
    "America/New_York",
    "Asia/Kolkata",
    "UTC-5",
    "UTC+5:30",
    "ET",
    "EST",
    "New York+7",
    "EDT",
    "\ud800",
)
SYMBOLS = (None, None, None, None, "ESM5", "A", "\ud800")
COLUMNS = (
    (),
    (),
    (),
    (),
    "close=Last",
    "timestamp=Time,close=open",
    {"volume": "Volume"},
    {"symbol": "close"},
    "close",
)
SPECS = (
    ContractSpec("PLAIN", 0.25, 20.0, 2.5, calendar=None),
    ContractSpec("COIN", 0.01, 1.0, 0.0, calendar=None, session_start="00:00", session_minutes=1440, weekends=True),
    CONTRACTS["ES"],
    CONTRACTS["ZB"],
)
FORMATS = (None, None, None, "%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M", "%Y%m%d %H%M%S%z", "%j")


def seeds() -> dict[str, bytes]:
    """Small inputs of every kind: the raw files of ../shared/data where it is there, and tables made here."""
    found: dict[str, bytes] = {}
    options = bytes([1, 255, 0, 0, 0, 0])  # one zone, all repairs
    for path in sorted([*SHARED.glob("raw_*.gz"), *SHARED.glob("vendors/*.gz")]):
        lines = gzip.decompress(path.read_bytes()).splitlines(keepends=True)
        middle = len(lines) // 2
        text = b"".join(lines[:4] + lines[middle : middle + SEED_ROWS])
        found[path.name + ".text"] = bytes([0]) + options + text
        found[path.name + ".gzip"] = bytes([2]) + options + gzip.compress(text, 1)
    for path in sorted(SHARED.glob("*.parquet")):
        content = io.BytesIO()
        pd.read_parquet(path).iloc[:40].to_parquet(content, compression=None)
        found[path.name] = bytes([2]) + options + content.getvalue()
    start = dt.datetime(2025, 3, 3, 15, tzinfo=dt.UTC)
    for name, clock in {"iso": "%Y-%m-%d %H:%M:%S+00:00", "us": "%m/%d/%Y %I:%M %p", "digits": "%Y%m%d%H%M"}.items():
        prices = [(100 + i / 4, 101 + i / 4, 99 + i / 4, 100 + i / 4) for i in range(30)]
        stamps = [(start + dt.timedelta(minutes=i)).strftime(clock) for i in range(30)]
        rows = [",".join(map(str, [stamps[i], *prices[i], i])) for i in range(30)]
        found[name] = bytes([4]) + options + "\n".join([",".join(HEADER), *rows]).encode()
        records = [json.dumps(dict(zip(HEADER, [stamps[i], *prices[i], i], strict=True))) for i in range(30)]
        found[name + ".json"] = bytes([0]) + options + "\n".join(records).encode()
    found["frame"] = bytes([3]) + options + bytes(range(200))
    rng = np.random.default_rng(0)
    found |= {f"markets-{i}": bytes([5, *(rng.integers(0, 256, 80) * (rng.random(80) < 0.6))]) for i in range(40)}
    return found


def options_of(data: bytes) -> dict[str, Any]:
    """Loader options from six bytes."""
    zone, repairs, mark, form, symbol, columns = data.ljust(6, b"\0")[:6]
    # "too_short" always: a few hundred rows are never enough for an episode
    chosen = [name for i, name in enumerate(REPAIRS) if repairs >> (i % 8) & 1]
    return {
        "timezone": ZONES[zone % len(ZONES)],
        "repair": {*chosen, "too_short"},
        "timestamps_mark": (None, "start", "end")[mark % 3],
        "timestamp_format": FORMATS[form % len(FORMATS)],
        "bar_minutes": (None, None, None, 1, 5, 7)[mark // 3 % 6],
        "symbol": SYMBOLS[symbol % len(SYMBOLS)],
        "columns": COLUMNS[columns % len(COLUMNS)],
    }


def frame_of(data: bytes) -> pd.DataFrame:
    """A table whose names, types and values the bytes choose."""
    take = atheris.FuzzedDataProvider(data)
    size = take.ConsumeIntInRange(0, 40)
    columns = []
    names: list[Any] = []
    for at in range(take.ConsumeIntInRange(0, 8)):
        odd = take.ConsumeIntInRange(0, 7)
        names.append((*HEADER, "extra")[min(at, 6)] if odd else _odd_name(take))
        columns.append(_column(take, size, stamps=at == 0))
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(size))
    frame.columns = pd.Index(names, dtype=object) if names else frame.columns
    if columns and take.ConsumeIntInRange(0, 5) == 0:
        frame.index = pd.Index(columns[0])
    return frame


def _odd_name(take: Any) -> Any:
    return (None, 0, 1.5, "close", ("a", "b"), b"x", "Date", "time", take.ConsumeUnicodeNoSurrogates(6))[
        take.ConsumeIntInRange(0, 8)
    ]


def _column(take: Any, size: int, stamps: bool) -> pd.Series:
    kind = take.ConsumeIntInRange(0, 13)
    numbers = [take.ConsumeIntInRange(0, 4) * 0.25 + 100 for _ in range(size)]
    if stamps and kind > 4:
        step = take.ConsumeIntInRange(0, 120)
        start = pd.Timestamp("2025-03-08 15:00") + pd.Timedelta(minutes=take.ConsumeIntInRange(-9999, 9999))
        moments = pd.Series(pd.DatetimeIndex([start + i * pd.Timedelta(seconds=step * 30) for i in range(size)]))
        zone = (None, "UTC", "America/New_York", "Asia/Kolkata", "+03:17")[take.ConsumeIntInRange(0, 4)]
        moments = moments if zone is None else moments.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
        moments = moments if kind % 2 else moments.dt.as_unit(("s", "ms", "us", "ns")[kind // 2 % 4])
        return moments.astype(object).map(str) if kind == 13 else moments
    makers: tuple[Any, ...] = (
        lambda: pd.Series([take.ConsumeFloat() for _ in range(size)], dtype=float),
        lambda: pd.Series([take.ConsumeInt(8) for _ in range(size)], dtype="int64"),
        lambda: pd.Series([take.ConsumeUnicode(12) for _ in range(size)], dtype=object),
        lambda: pd.Series([(None, np.nan, np.inf, 1, "2", b"3", {}, [])[take.ConsumeIntInRange(0, 7)]] * size),
        lambda: pd.Series([take.ConsumeBool() for _ in range(size)], dtype="boolean"),
        lambda: pd.Series(numbers, dtype="float32"),
        lambda: pd.Series(numbers, dtype="category"),
        lambda: pd.Series(numbers, dtype="float64[pyarrow]"),
        lambda: pd.Series(np.array(numbers, dtype=complex)),
        lambda: pd.Series(pd.to_timedelta(numbers, unit="s")),
        lambda: pd.Series([str(x) for x in numbers], dtype=object),
    )
    return makers[kind]() if kind < len(makers) else pd.Series(numbers, dtype=float)


def check_bars(bars: Bars) -> None:
    """What every environment relies on."""
    assert len(bars) > 0
    assert (np.diff(bars.close_time) > np.timedelta64(0, "m")).all()
    assert (bars.high >= np.maximum(np.maximum(bars.open, bars.close), bars.low)).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert np.isfinite(bars.volume).all()
    assert (bars.volume >= 0).all()
    assert np.isfinite(bars.atr).all()
    assert np.isfinite(bars.features[bars.first_finite_bar :]).all()
    assert not bars.report.refused


def check_rows(bars: Bars, text: bytes, options: dict[str, Any]) -> None:
    """Every bar is a row of the text, and every row is a bar or was told as dropped."""
    rows = [row for row in csv.reader(io.StringIO(text.decode("utf-8", "replace"), newline="")) if row]
    if [name.strip() for name in rows[0]] != HEADER or any("+00:00" not in row[0] for row in rows[1:] if any(row)):
        return
    if options["columns"] or bars.report.finding("numbers"):
        return
    later = np.timedelta64(0 if options["timestamps_mark"] == "end" else bars.bar_minutes, "m")
    known = set()
    for row in rows[1:]:
        try:
            stamp = dt.datetime.fromisoformat(row[0].strip()).replace(tzinfo=None)
            ticks = tuple(round(float(x) / bars.spec.tick_size) for x in row[1:5])
            volume = 0.0 if bars.report.finding("volume") else round(float(row[5]), 6)  # told as empty
            volume = 0.0 if volume == -1 and bars.report.finding("volume_unknown") else volume  # told as none
            known.add((np.datetime64(stamp, "m") + later, *ticks, volume))
        except (ValueError, OverflowError, IndexError):
            continue
    columns = (bars.close_time, bars.open, bars.high, bars.low, bars.close, bars.volume.round(6))
    for bar in zip(*columns, strict=True):
        assert (bar[0], *map(int, bar[1:5]), float(bar[5])) in known, f"{bar} is in no row"
    dropped = sum(finding.count for finding in bars.report.findings if finding.name in DROPS)
    filled = sum(any(field.strip() for field in row) for row in rows[1:])
    assert filled <= len(bars) + dropped, f"{filled} rows, {len(bars)} bars, {dropped} told as dropped"


class Target:
    """One input after the other; what should not happen is kept, once for each place."""

    def __init__(self, out: pathlib.Path) -> None:
        self.found = out / "found"
        self.found.mkdir(parents=True, exist_ok=True)
        memory = pathlib.Path("/dev/shm")
        self.file = pathlib.Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None)) / "bars"
        self.places: set[str] = set()
        self.answers: dict[str, int] = {}

    def __call__(self, data: bytes) -> None:
        """Load one input."""
        try:
            answer = self._load(data)
        except Exception as error:  # that is what is looked for
            answer = "found"
            ours = ("trading_gymnax", "market_inputs")
            frames = [f for f in traceback.extract_tb(error.__traceback__) if any(x in f.filename for x in ours)]
            place = (
                f"{type(error).__name__}-{pathlib.Path(frames[-1].filename).stem}-{frames[-1].lineno}"
                if frames
                else (f"{type(error).__name__}-{str(error)[:40]}")
            )
            if place not in self.places:
                self.places.add(place)
                name = "".join(x if x.isalnum() or x in "-_" else "_" for x in place)
                (self.found / name).write_bytes(data)
                (self.found / f"{name}.txt").write_text(traceback.format_exc())
        self.answers[answer] = self.answers.get(answer, 0) + 1

    def _load(self, data: bytes) -> str:
        kind = KINDS[data[0] % len(KINDS)] if data else "bytes"
        options, content = options_of(data[1:7]), data[7:]
        spec = SPECS[data[5] // 16 % len(SPECS)] if len(data) > 5 else SPECS[0]
        source: Any = self.file
        if kind == "frame":
            source = frame_of(content)
        elif kind != "markets":
            self.file.write_bytes(gzip.compress(content, 0) if kind == "gzip" else content)
            if kind == "zip":
                with zipfile.ZipFile(self.file, "w") as archive:
                    archive.writestr("20250303_es_minute_trade.csv", content)
        try:
            if kind == "markets":
                return play(data[1:], self.file.parent)
            bars = load_bars(source, spec, **options)
        except (ValueError, FileNotFoundError) as error:
            ours = type(error).__module__.startswith(("builtins", "trading_gymnax"))
            if isinstance(error, UnicodeError) or not ours or not str(error).strip():
                raise RuntimeError("the error of a library, or one without a word, reached the user") from error
            return "refused"
        check_bars(bars)
        if kind not in ("frame", "zip") and content[:2] not in (b"\x1f\x8b", b"PK") and content[:4] != b"PAR1":
            check_rows(bars, content, options)
        return "bars"


def main() -> None:
    """Fuzz for a while."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=600, help="how long (default 600)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("fuzz"), help="folder of corpus and findings")
    parser.add_argument("--replay", type=pathlib.Path, help="load one input again, with the trace of what it does")
    chosen = parser.parse_args()
    target = Target(chosen.out)
    if chosen.replay:
        print(target._load(chosen.replay.read_bytes()))
        return
    corpus = chosen.out / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for name, content in seeds().items():
        (corpus / name).write_bytes(content)
    words = chosen.out / "words"
    tokens = [*HEADER, "date", "time", "symbol", "Latest", "Up", "Down", "Gmt time", ";", "1,234", "5900,25", "110'165"]
    tokens += [
        "US/Central",
        "EDT",
        "20250602  17:00:00",
        "[{",
        "nan",
        "inf",
        "1e308",
        "-1",
        "2025-03-09 02:30",
        "+00:00",
        "ticker",
        "PAR1",
    ]
    words.write_text("".join('"' + word.replace('"', "\\x22") + '"\n' for word in tokens))
    limits = ["-max_len=16384", "-timeout=120", "-rss_limit_mb=4096", "-print_final_stats=1", f"-dict={words}"]
    limits += [f"-max_total_time={chosen.seconds}", f"-artifact_prefix={target.found}{os.sep}"]

    def one(data: bytes) -> None:
        target(data)
        if sum(target.answers.values()) % 500 == 0:
            (chosen.out / "answers.txt").write_text(f"{target.answers}\n{sorted(target.places)}\n")

    atheris.Setup([sys.argv[0], *limits, str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
