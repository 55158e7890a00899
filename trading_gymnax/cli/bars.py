"""What `check` and `audit` do with a file of bars, without JAX."""

from __future__ import annotations

from trading_gymnax.cli.commands import Audit, Check
from trading_gymnax.cli.wording import as_typed
from trading_gymnax.data.audit import audit_features, feature_table, load_function
from trading_gymnax.data.loader import DataError, load_bars


def check(command: Check) -> None:
    """Print what is wrong with a file."""
    try:
        report = load_bars(command.file, command.market, **command.loader.options_of_one()).report
        print(report.page(as_typed))
    except DataError as refused:
        print(refused.report.page(as_typed))
        raise SystemExit(1) from None


def audit(command: Audit) -> None:
    """Print which features look ahead."""
    make = load_function(command.features)
    table = feature_table(command.file, command.market, **command.loader.options_of_one())
    found = audit_features(make, table, command.cuts)
    print(found)
    if not found.passed:
        raise SystemExit(1)
