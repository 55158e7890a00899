"""The contracts that are known by symbol, each with its source; anything else is a `ContractSpec` of the user's.

Ticks, units and hours are those of the exchange's contract specifications, which CME Group publishes on the page of
each product (named in `Listed.product`); they are written here from knowledge of those pages, and the day on which
a page was read is not recorded: compare before you trade. Commissions are typical of retail brokers and no exchange's.
"""

from __future__ import annotations

import dataclasses

from trading_gymnax.data.price_ranges import NEGATIVE_PRICES, PRICE_RANGES
from trading_gymnax.data.spec import EQUITY_CALENDAR, ContractSpec, check_switch
from trading_gymnax.text import did_you_mean

__all__ = ["CONTRACTS", "EQUITY_CALENDAR", "LISTED", "ContractSpec", "Listed", "check_switch", "contract"]

_FX = "CMEGlobex_FX"
_RATES = "CME Globex Fixed Income"
_GRAINS = "CMEGlobex_Grains"
_LIVESTOCK = "CMEGlobex_Livestock"
_CRYPTO = "CME Globex Crypto"
_CRUDE = "CMEGlobex_CrudeAndRefined"
_GAS = "CMEGlobex_NatGas"
_METALS = "CMEGlobex_PreciousMetals"
_COPPER = "CMEGlobex_BaseMetals"
_SESSION_STARTS = {_GRAINS: "20:00", _LIVESTOCK: "09:30"}  # New York; 18:00 for all others
_FULL, _MICRO = 2.50, 0.75


@dataclasses.dataclass(frozen=True)
class Listed:
    """A row of the table: the contract, and where its numbers come from."""

    spec: ContractSpec
    product: str  # name of the product's page at the exchange, under "contract specs"
    exchange: str  # CME, CBOT, NYMEX or COMEX, all of CME Group


def _listed(
    symbol: str, tick: float, multiplier: float, cost: float, calendar: str, exchange: str, product: str
) -> Listed:
    spec = ContractSpec(
        symbol,
        tick,
        multiplier,
        cost,
        calendar,
        _SESSION_STARTS.get(calendar, "18:00"),
        negative_prices=symbol in NEGATIVE_PRICES,
        price_ranges=PRICE_RANGES.get(symbol, ()),
    )
    return Listed(spec, product, exchange)


LISTED: dict[str, Listed] = {
    row.spec.symbol: row
    for row in (
        _listed("ES", 0.25, 50.0, _FULL, EQUITY_CALENDAR, "CME", "E-mini S&P 500 futures"),
        _listed("NQ", 0.25, 20.0, _FULL, EQUITY_CALENDAR, "CME", "E-mini Nasdaq-100 futures"),
        _listed("YM", 1.00, 5.0, _FULL, EQUITY_CALENDAR, "CBOT", "E-mini Dow Jones futures"),
        _listed("RTY", 0.10, 50.0, _FULL, EQUITY_CALENDAR, "CME", "E-mini Russell 2000 futures"),
        _listed("CL", 0.01, 1000.0, _FULL, _CRUDE, "NYMEX", "Crude Oil futures"),
        _listed("GC", 0.10, 100.0, _FULL, _METALS, "COMEX", "Gold futures"),
        _listed("MES", 0.25, 5.0, _MICRO, EQUITY_CALENDAR, "CME", "Micro E-mini S&P 500 futures"),
        _listed("MNQ", 0.25, 2.0, _MICRO, EQUITY_CALENDAR, "CME", "Micro E-mini Nasdaq-100 futures"),
        _listed("MYM", 1.00, 0.50, _MICRO, EQUITY_CALENDAR, "CBOT", "Micro E-mini Dow Jones futures"),
        _listed("M2K", 0.10, 5.0, _MICRO, EQUITY_CALENDAR, "CME", "Micro E-mini Russell 2000 futures"),
        _listed("MCL", 0.01, 100.0, _MICRO, _CRUDE, "NYMEX", "Micro WTI Crude Oil futures"),
        _listed("MGC", 0.10, 10.0, _MICRO, _METALS, "COMEX", "Micro Gold futures"),
        _listed("6E", 0.00005, 125_000.0, _FULL, _FX, "CME", "Euro FX futures"),
        _listed("6B", 0.0001, 62_500.0, _FULL, _FX, "CME", "British Pound futures"),
        _listed("6J", 0.0000005, 12_500_000.0, _FULL, _FX, "CME", "Japanese Yen futures"),
        _listed("6A", 0.00005, 100_000.0, _FULL, _FX, "CME", "Australian Dollar futures"),
        _listed("6C", 0.00005, 100_000.0, _FULL, _FX, "CME", "Canadian Dollar futures"),
        _listed("6S", 0.00005, 125_000.0, _FULL, _FX, "CME", "Swiss Franc futures"),
        _listed("6N", 0.00005, 100_000.0, _FULL, _FX, "CME", "New Zealand Dollar futures"),
        _listed("6M", 0.00001, 500_000.0, _FULL, _FX, "CME", "Mexican Peso futures"),
        _listed("M6E", 0.0001, 12_500.0, _MICRO, _FX, "CME", "Micro EUR/USD futures"),
        _listed("M6B", 0.0001, 6_250.0, _MICRO, _FX, "CME", "Micro GBP/USD futures"),
        _listed("M6A", 0.0001, 10_000.0, _MICRO, _FX, "CME", "Micro AUD/USD futures"),
        _listed("ZB", 1 / 32, 1000.0, _FULL, _RATES, "CBOT", "U.S. Treasury Bond futures"),
        _listed("UB", 1 / 32, 1000.0, _FULL, _RATES, "CBOT", "Ultra U.S. Treasury Bond futures"),
        _listed("ZN", 1 / 64, 1000.0, _FULL, _RATES, "CBOT", "10-Year T-Note futures"),
        _listed("TN", 1 / 64, 1000.0, _FULL, _RATES, "CBOT", "Ultra 10-Year U.S. Treasury Note futures"),
        _listed("ZF", 1 / 128, 1000.0, _FULL, _RATES, "CBOT", "5-Year T-Note futures"),
        _listed("ZT", 1 / 256, 2000.0, _FULL, _RATES, "CBOT", "2-Year T-Note futures"),
        _listed("ZC", 0.25, 50.0, _FULL, _GRAINS, "CBOT", "Corn futures"),
        _listed("ZS", 0.25, 50.0, _FULL, _GRAINS, "CBOT", "Soybean futures"),
        _listed("ZW", 0.25, 50.0, _FULL, _GRAINS, "CBOT", "Chicago SRW Wheat futures"),
        _listed("KE", 0.25, 50.0, _FULL, _GRAINS, "CBOT", "KC HRW Wheat futures"),
        _listed("ZL", 0.01, 600.0, _FULL, _GRAINS, "CBOT", "Soybean Oil futures"),
        _listed("ZM", 0.10, 100.0, _FULL, _GRAINS, "CBOT", "Soybean Meal futures"),
        _listed("HE", 0.025, 400.0, _FULL, _LIVESTOCK, "CME", "Lean Hog futures"),
        _listed("LE", 0.025, 400.0, _FULL, _LIVESTOCK, "CME", "Live Cattle futures"),
        _listed("GF", 0.025, 500.0, _FULL, _LIVESTOCK, "CME", "Feeder Cattle futures"),
        _listed("NG", 0.001, 10_000.0, _FULL, _GAS, "NYMEX", "Henry Hub Natural Gas futures"),
        _listed("QG", 0.005, 2_500.0, _FULL, _GAS, "NYMEX", "E-mini Natural Gas futures"),
        _listed("MNG", 0.001, 1_000.0, _MICRO, _GAS, "NYMEX", "Micro Henry Hub Natural Gas futures"),
        _listed("RB", 0.0001, 42_000.0, _FULL, _CRUDE, "NYMEX", "RBOB Gasoline futures"),
        _listed("HO", 0.0001, 42_000.0, _FULL, _CRUDE, "NYMEX", "NY Harbor ULSD futures"),
        _listed("QM", 0.025, 500.0, _FULL, _CRUDE, "NYMEX", "E-mini Crude Oil futures"),
        _listed("SI", 0.005, 5_000.0, _FULL, _METALS, "COMEX", "Silver futures"),
        _listed("SIL", 0.005, 1_000.0, _MICRO, _METALS, "COMEX", "Micro Silver futures"),
        _listed("HG", 0.0005, 25_000.0, _FULL, _COPPER, "COMEX", "Copper futures"),
        _listed("MHG", 0.0005, 2_500.0, _MICRO, _COPPER, "COMEX", "Micro Copper futures"),
        _listed("PL", 0.10, 50.0, _FULL, _METALS, "NYMEX", "Platinum futures"),
        _listed("PA", 0.50, 100.0, _FULL, _METALS, "NYMEX", "Palladium futures"),
        _listed("BTC", 5.00, 5.0, _FULL, _CRYPTO, "CME", "Bitcoin futures"),
        _listed("MBT", 5.00, 0.10, _MICRO, _CRYPTO, "CME", "Micro Bitcoin futures"),
        _listed("ETH", 0.50, 50.0, _FULL, _CRYPTO, "CME", "Ether futures"),
        _listed("MET", 0.50, 0.10, _MICRO, _CRYPTO, "CME", "Micro Ether futures"),
    )
}
"""Rows of `trading-gymnax contracts`, by symbol."""

CONTRACTS: dict[str, ContractSpec] = {symbol: row.spec for symbol, row in LISTED.items()}


def contract(market: str | ContractSpec) -> ContractSpec:
    """The contract of that symbol (any case), or the given ContractSpec itself.

    Raises ValueError for an unknown symbol, naming the nearest one.
    """
    if isinstance(market, ContractSpec):
        return market
    if not isinstance(market, str):
        raise ValueError(f"market must be a symbol such as 'NQ' or a ContractSpec, got {market!r}")
    spec = CONTRACTS.get(market.strip().upper())
    if spec is not None:
        return spec
    hint = did_you_mean(market.strip().upper(), CONTRACTS)
    raise ValueError(
        f"unknown market {market!r}: {hint} known are {', '.join(CONTRACTS)}; "
        "any other instrument is a ContractSpec(symbol, tick_size, multiplier, ...)"
    )


def contract_lines() -> list[str]:
    """The table of `trading-gymnax contracts`, one contract a line."""
    lines = [f"{'symbol':<7}{'tick':>10}{'$ a point':>12}{'$ a tick':>10}  {'session':<13}{'calendar':<27}source"]
    for symbol, row in LISTED.items():
        spec = row.spec
        worth = spec.tick_size * spec.multiplier
        hours = f"from {spec.session_start}"
        text = f"{symbol:<7}{spec.tick_size:>10.10g}{spec.multiplier:>12,.10g}{worth:>10.6g}  {hours:<13}"
        text += f"{spec.calendar!s:<27}{row.exchange}, {row.product}"
        lines.append(text + _obstacle(spec))
    return lines


def _obstacle(spec: ContractSpec) -> str:
    try:
        _ = spec.tick_value_cents
    except ValueError:
        return "  (its tick is no whole number of cents: not tradeable alone, see docs/vendors.md)"
    return ""
