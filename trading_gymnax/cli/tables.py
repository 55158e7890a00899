"""What `contracts` and `params` do: tables, without JAX and pandas."""

from __future__ import annotations

from trading_gymnax.cli.commands import Contracts, Params
from trading_gymnax.cli.values import params_text
from trading_gymnax.data.contracts import contract_lines


def contracts(command: Contracts) -> None:
    """Print the table of contracts."""
    print("\n".join(contract_lines()))


def params(command: Params) -> None:
    """Print the table of parameters."""
    print(params_text(command.phase, account_life=command.account_life))
