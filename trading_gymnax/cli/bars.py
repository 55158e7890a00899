"""What `check` and `audit` do with a file of bars, without JAX."""

from __future__ import annotations

import dataclasses

from trading_gymnax.cli.commands import Audit, Check
from trading_gymnax.cli.wording import as_typed
from trading_gymnax.data.audit import audit_features, feature_table, load_function
from trading_gymnax.data.loader import DataError, load_bars
from trading_gymnax.data.rolls import front_sessions


def check(command: Check) -> None:
    """Print what is wrong with a file; of several contracts in it, with each, and when which of them is traded."""
    tables = []
    for options in command.loader.options_of_each():
        try:
            tables.append(load_bars(command.file, command.market, **options))
            print(tables[-1].report.page(as_typed))
        except DataError as refused:
            print(refused.report.page(as_typed))
            raise SystemExit(1) from None
    if command.roll:
        names = command.loader.symbol or (tables[0].spec.symbol,)
        contracts = [
            dataclasses.replace(table, spec=dataclasses.replace(table.spec, symbol=name))
            for table, name in zip(tables, names, strict=True)
        ]
        spans = front_sessions(contracts, command.roll[0] if len(command.roll) == 1 else command.roll)
        for table, (first, end) in zip(contracts, spans, strict=True):
            print(f"{table.spec.symbol} is traded from {table.session_date[first]} to {table.session_date[end - 1]}")


def audit(command: Audit) -> None:
    """Print which features look ahead."""
    make = load_function(command.features)
    table = feature_table(command.file, command.market, **command.loader.options_of_one())
    found = audit_features(make, table, command.cuts)
    print(found)
    if not found.passed:
        raise SystemExit(1)
