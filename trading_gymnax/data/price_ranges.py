"""Prices that a contract has had: the lowest and the highest of some years, wide enough for every month's contract.

They tell a wrong market, a slipped decimal point and a missing factor from bars; they are no limits of trading.
Written from general knowledge of these markets and rounded outwards. A row holds from its year to the next row's; what
lies in the years after `LAST_YEAR` nobody knew when this was written, so there the ends are moved apart
(`plausible_range`). Adjusted series leave these prices; how far they may is `ADJUSTED`.
"""

from __future__ import annotations

import numpy as np

LAST_YEAR = 2025
ADJUSTED = 1.5  # a series may leave the range by this factor: back-adjustment, a far month
_FUTURE_FALL, _FUTURE_RISE = 0.5, 3.0

_Ranges = tuple[tuple[int, float, float], ...]

_ES: _Ranges = (
    (1997, 700, 1600), (2003, 780, 1600), (2008, 650, 1550), (2010, 1000, 1600), (2013, 1400, 2200),
    (2016, 1800, 2900), (2018, 2300, 3300), (2020, 2150, 3850), (2021, 3600, 4900), (2023, 3750, 5000),
    (2024, 4650, 6200), (2025, 4750, 7200),
)  # fmt: skip
_NQ: _Ranges = (
    (1999, 790, 4900), (2003, 950, 2300), (2008, 1000, 2300), (2010, 1650, 2900), (2013, 2600, 4800),
    (2016, 3850, 6600), (2018, 5800, 8900), (2020, 6600, 13_000), (2021, 12_000, 17_000), (2022, 10_400, 17_000),
    (2023, 10_600, 17_200), (2024, 16_000, 22_500), (2025, 16_200, 27_000),
)  # fmt: skip
_YM: _Ranges = (
    (2002, 7100, 14_300), (2008, 6400, 13_500), (2010, 9500, 16_700), (2014, 15_200, 18_500), (2016, 15_400, 25_000),
    (2018, 21_500, 29_000), (2020, 18_000, 31_000), (2021, 28_500, 37_000), (2023, 31_000, 38_500),
    (2024, 37_000, 45_500), (2025, 36_500, 49_500),
)  # fmt: skip
_RTY: _Ranges = (
    (2001, 320, 860), (2008, 340, 870), (2011, 600, 1300), (2015, 940, 1560), (2018, 1250, 1750), (2020, 950, 2050),
    (2021, 1930, 2470), (2022, 1630, 2300), (2024, 1900, 2480), (2025, 1700, 2700),
)  # fmt: skip
_CL: _Ranges = ((1983, 9, 45), (2003, 25, 150), (2009, 32, 116), (2015, 26, 78), (2020, -41, 67), (2021, 46, 132))
_GC: _Ranges = ((1975, 100, 900), (2003, 300, 1040), (2009, 800, 1950), (2013, 1030, 2100), (2020, 1440, 2500),
                (2024, 1980, 2900), (2025, 2600, 4500))  # fmt: skip
_SI: _Ranges = ((1975, 3, 52), (2003, 4, 22), (2009, 10, 50), (2013, 11.5, 33), (2020, 11.5, 36), (2025, 28, 75))
_HG: _Ranges = ((1988, 0.55, 4.3), (2009, 1.3, 4.7), (2015, 1.9, 3.4), (2020, 2, 5.3), (2025, 3.8, 6.2))
_NG: _Ranges = ((1990, 1, 16), (2009, 1.4, 7), (2020, 1.4, 10.2))
_BTC: _Ranges = ((2017, 3000, 21_000), (2020, 3800, 30_000), (2021, 15_000, 71_000), (2024, 38_000, 130_000))
_ETH: _Ranges = ((2021, 850, 5000), (2022, 850, 4100), (2024, 1350, 5100))
_EUR: _Ranges = ((1999, 0.82, 1.62),)
_GBP: _Ranges = ((1976, 1.03, 2.45),)
_AUD: _Ranges = ((1987, 0.47, 1.12),)

PRICE_RANGES: dict[str, _Ranges] = {
    "ES": _ES, "MES": _ES, "NQ": _NQ, "MNQ": _NQ, "YM": _YM, "MYM": _YM, "RTY": _RTY, "M2K": _RTY,
    "CL": _CL, "MCL": _CL, "QM": _CL, "GC": _GC, "MGC": _GC, "SI": _SI, "SIL": _SI, "HG": _HG, "MHG": _HG,
    "NG": _NG, "QG": _NG, "MNG": _NG, "BTC": _BTC, "MBT": _BTC, "ETH": _ETH, "MET": _ETH,
    "RB": ((2005, 0.37, 4.6),), "HO": ((1979, 0.28, 6),), "PL": ((1968, 100, 2350),), "PA": ((1977, 50, 3500),),
    "6E": _EUR, "M6E": _EUR, "6B": _GBP, "M6B": _GBP, "6A": _AUD, "M6A": _AUD,
    "6J": ((1976, 0.0033, 0.0135),), "6C": ((1977, 0.61, 1.11),), "6S": ((1975, 0.34, 1.45),),
    "6N": ((1997, 0.38, 0.89),), "6M": ((1995, 0.038, 0.135),),
    "ZB": ((1977, 55, 195),), "UB": ((2010, 100, 245),), "ZN": ((1982, 65, 142),), "TN": ((2016, 100, 162),),
    "ZF": ((1988, 85, 127),), "ZT": ((1990, 96, 112),),
    "ZC": ((1973, 140, 850),), "ZS": ((1973, 400, 1800),), "ZW": ((1973, 210, 1450),), "KE": ((1973, 230, 1400),),
    "ZL": ((1973, 12, 92),), "ZM": ((1973, 100, 560),),
    "HE": ((1996, 20, 136),), "LE": ((1973, 30, 260),), "GF": ((1973, 30, 390),),
}  # fmt: skip
"""(from year, lowest, highest) by symbol, points."""

NEGATIVE_PRICES = frozenset({"CL", "MCL", "QM", "RB", "HO", "NG", "QG", "MNG"})
"""Energy: the exchange trades these at and below zero; crude oil did on 2020-04-20."""


def plausible_range(ranges: _Ranges, years: np.ndarray) -> tuple[float, float]:
    """Lowest and highest price of the given calendar years (int [N]); the first row serves all earlier years."""
    starts = np.array([row[0] for row in ranges])
    rows = np.clip(np.searchsorted(starts, np.unique(years), side="right") - 1, 0, None)
    lowest, highest = min(ranges[row][1] for row in rows), max(ranges[row][2] for row in rows)
    if int(np.max(years)) > LAST_YEAR:
        lowest, highest = min(lowest, lowest * _FUTURE_FALL), highest * _FUTURE_RISE
    return float(lowest), float(highest)
