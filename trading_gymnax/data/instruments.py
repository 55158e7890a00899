"""Several instruments in one file: never spliced. One is chosen by name, or the file is refused with their names."""

from __future__ import annotations

import dataclasses
import re

import pandas as pd

from trading_gymnax.data.contracts import CONTRACTS
from trading_gymnax.data.findings import Findings
from trading_gymnax.data.names import SYMBOL_NAMES, normal_name, plain_text
from trading_gymnax.data.numerals import as_text, is_text
from trading_gymnax.data.source import Source
from trading_gymnax.data.spec import ContractSpec
from trading_gymnax.text import count_text, did_you_mean

_LISTED = 8
_CONTRACT = re.compile(r"[A-Z0-9]{1,3}?(?=[FGHJKMNQUVXZ]\d{1,2}$)")  # "ES" of "ESM5", "6E" of "6EZ24"
_SUFFIXES = re.compile(r"(\.[a-z]+\.\d+|=f|!|\d+!)$", re.IGNORECASE)  # continuous series: ES.c.0, ES=F, ES1!


def choose_instrument(
    source: Source, spec: ContractSpec, symbol: str | None, columns: dict[str, str], findings: Findings
) -> Source | None:
    """The rows of one instrument; None where it is not clear which, and the findings say why."""
    column = _symbol_column(source.frame, columns)
    if column is None:
        if symbol is None:
            return source
        findings.refuse("symbol", f"symbol={symbol!r} chooses rows by a column symbol, and the table has none")
        return None
    values = source.frame.iloc[:, column]
    values = as_text(values) if is_text(values) else values  # lists and the like have no other name
    codes, uniques = pd.factorize(values)
    texts = [plain_text(value).strip() for value in uniques]
    if symbol is not None:
        return _rows_of(source, values, codes, texts, symbol, spec, findings)
    if len(texts) > 1:
        counts = pd.Series(codes[codes >= 0]).value_counts()
        order = [int(code) for code in counts.index]
        listed = ", ".join(f"{texts[code]} ({counts[code]:,})" for code in order[:_LISTED])
        more = f" and {len(texts) - _LISTED:,} more" if len(texts) > _LISTED else ""
        first = texts[order[0]]
        findings.refuse(
            "symbol",
            f"{len(texts):,} instruments in one table, with their rows: {listed}{more}. Choose one: symbol={first!r}, "
            f"--symbol {first}{_roll_hint([texts[code] for code in order])}",
            len(texts),
        )
        return None
    if texts:
        _compare(texts[0], spec, findings)
    return source


def _rows_of(
    source: Source,
    values: pd.Series,
    codes: object,
    texts: list[str],
    symbol: str,
    spec: ContractSpec,
    findings: Findings,
) -> Source | None:
    exact = [at for at, text in enumerate(texts) if text == symbol.strip()]
    alike = exact or [at for at, text in enumerate(texts) if text.lower() == symbol.strip().lower()]
    if len(alike) != 1:
        hint = did_you_mean(symbol, texts, f"there are {', '.join(texts[:_LISTED])}")
        findings.refuse("symbol", f"the table has no instrument {symbol!r}: {hint}")
        return None
    _compare(texts[alike[0]], spec, findings)
    chosen = pd.Series(codes == alike[0]).to_numpy(bool)
    left_out = len(values) - int(chosen.sum())
    if left_out:
        findings.note("symbol", f"{texts[alike[0]]} alone: {count_text(left_out, 'row')} of others left out", left_out)
    return dataclasses.replace(source, frame=source.frame.loc[chosen])


def _roll_hint(names: list[str]) -> str:
    """The other way to load them, where the two with the most rows are contracts of one market."""
    found = [(_CONTRACT.match(name), name) for name in names[:2]]
    if len(found) < 2 or not all(match for match, _ in found) or len({match[0] for match, _ in found if match}) > 1:
        return ""
    early, late = sorted(names[:2], key=_expiry)
    return (
        f"; or contracts of one market in the order in which they are traded: symbol=({early!r}, {late!r}) with "
        f"roll='volume', --symbol {early} {late} --roll volume"
    )


def _expiry(name: str) -> tuple[int, str]:
    """Year and month letter of "ESM5", "ESM25"; the letters rise with the months."""
    match = _CONTRACT.match(name)
    rest = name[match.end() :] if match else name
    return int(rest[1:] or 0), rest[:1]


def _symbol_column(frame: pd.DataFrame, columns: dict[str, str]) -> int | None:
    exact, names = [str(name) for name in frame.columns], [normal_name(name) for name in frame.columns]
    if "symbol" in columns:
        wanted = columns["symbol"]
        known = exact if wanted in exact else names
        wanted = wanted if wanted in exact else normal_name(wanted)
        return known.index(wanted) if known.count(wanted) == 1 else None
    taken = {normal_name(name) for name in columns.values()}
    for name in SYMBOL_NAMES:
        if names.count(name) == 1 and name not in taken and not _is_float(frame.iloc[:, names.index(name)]):
            return names.index(name)
    return None


def _is_float(column: pd.Series) -> bool:
    """Numbers with a fraction tell no instruments apart, whatever their column is called."""
    return bool(pd.api.types.is_float_dtype(column.dtype))


def _compare(name: str, spec: ContractSpec, findings: Findings) -> None:
    """A doubt where the table itself names another contract than the one that it is read as."""
    plain = _SUFFIXES.sub("", name.upper())
    found = _CONTRACT.match(plain)
    root = plain if plain in CONTRACTS else found[0] if found else None
    if root not in CONTRACTS:
        return
    wanted = spec.symbol.partition("-")[0].upper()
    if wanted not in CONTRACTS or root == wanted:
        return
    there, here = CONTRACTS[root], CONTRACTS[wanted]
    if there.tick_size == here.tick_size and there.price_ranges == here.price_ranges:
        return  # a micro contract has the prices of the full one
    findings.doubt("symbol", f"the table says that its bars are of {name}, and they are read as {spec.symbol}")
