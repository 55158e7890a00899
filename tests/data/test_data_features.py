"""Which features the loader builds: columns of the table, columns by name, a user's function."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.data.tables import PLAIN, load, table
from trading_gymnax.data.contracts import ContractSpec
from trading_gymnax.data.indicators import atr, rsi
from trading_gymnax.data.loader import DataError


@pytest.fixture(scope="module")
def clean() -> pd.DataFrame:
    return table("2025-03-03", "2025-03-04")


def refusal(frame: pd.DataFrame, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(frame, **options)
    return " ".join(str(caught.value).split())


def test_columns_computed_by_name_are_in_points(clean: pd.DataFrame) -> None:
    names = ["close", "volume", "sma_5", "sma_20", "rsi", "macd", "momentum", "atr"]
    bars = load(clean, feature_columns=names)
    assert bars.feature_names == tuple(names)
    np.testing.assert_array_equal(bars.features[:, 0], clean["close"].astype(np.float32))
    np.testing.assert_array_equal(bars.features[:, 4], rsi(clean["close"]).astype(np.float32))
    np.testing.assert_array_equal(bars.features[:, 7], atr(clean).astype(np.float32))
    assert bars.first_finite_bar == 19  # sma_20


def test_columns_of_the_table_come_before_computed_ones(clean: pd.DataFrame) -> None:
    mine = np.arange(len(clean), dtype=float)
    bars = load(clean.assign(RSI=mine, Signal=-mine), feature_columns=["rsi", "signal"])
    np.testing.assert_array_equal(bars.features, np.stack([mine, -mine], axis=1).astype(np.float32))
    assert "feature 'rsi' is the table's own column" in str(bars.report)
    assert bars.first_finite_bar == 0


def test_an_exact_name_comes_before_one_in_another_case(clean: pd.DataFrame) -> None:
    bars = load(clean.assign(Signal=1.0, signal=2.0), feature_columns=["Signal"])
    assert bars.features[0, 0] == 1.0
    assert "2 columns are called 'signal'" in refusal(clean.assign(Signal=1.0, signal=2.0), feature_columns=["SIGNAL"])


def test_columns_follow_their_rows_through_repairs(clean: pd.DataFrame) -> None:
    marked = clean.assign(mark=np.arange(len(clean), dtype=float))
    marked.loc[10, "close"] = np.nan
    bars = load(marked[::-1], repair="nan backward", feature_columns=["mark"])
    assert bars.features[8:12, 0].tolist() == [8.0, 9.0, 11.0, 12.0]


def test_prices_as_features_are_on_the_tick() -> None:
    spec = ContractSpec("X", 0.01, 1000.0, calendar=None)
    frame = table("2025-03-03", "2025-03-04")
    frame.loc[5, "high"] = 20_010.004  # snapped to 20,010.00
    bars = load(frame, spec, snap_to_tick=True, feature_columns=["high"])
    assert bars.features[5, 0] == np.float32(20_010.0)


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        (["clse"], "no column 'clse': did you mean 'close'?"),
        (["zzzzz"], "computed by name are close, volume, sma_5"),
        ([], "feature_columns is empty"),
        (["rsi", "rsi"], "feature_columns has 'rsi' twice"),
    ],
)
def test_columns_that_cannot_be(clean: pd.DataFrame, columns: list[str], text: str) -> None:
    assert text in refusal(clean, feature_columns=columns)


def test_columns_may_warm_up_but_not_break_off(clean: pd.DataFrame) -> None:
    column = np.ones(len(clean))
    column[:500] = np.nan
    assert load(clean.assign(x=column), feature_columns=["x"]).first_finite_bar == 500
    column[[700, 701]] = [np.nan, np.inf]
    text = refusal(clean.assign(x=column), feature_columns=["x"])
    assert "feature x is not finite on 2 bars after its first value (row 701 at 2025-03-03 05:40 New York" in text
    assert "feature x is a finite number on no bar" in refusal(clean.assign(x="text"), feature_columns=["x"])
    assert "feature x is a finite number on no bar" in refusal(clean.assign(x=1e200), feature_columns=["x"])


def test_late_features_move_the_warm_up_of_usable_sessions(clean: pd.DataFrame) -> None:
    column = np.ones(len(clean))
    column[: 1380 + 1000] = np.nan
    bars = load(clean.assign(x=column), feature_columns=["x"])
    assert dict(bars.report.unusable) == {"2025-03-03": "lies in the first 2,380 bars, the warm-up"}


def test_a_function_gets_points_by_new_york_time(clean: pd.DataFrame) -> None:
    seen: list[pd.DataFrame] = []

    def mine(frame: pd.DataFrame) -> pd.DataFrame:
        seen.append(frame)
        return pd.DataFrame({"body": frame["close"] - frame["open"], "hour": frame.index.hour}, index=frame.index)

    bars = load(clean, feature_fn=mine)
    assert bars.feature_names == ("body", "hour")
    frame = seen[0]
    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert str(frame.index[0]) == "2025-03-02 18:01:00-05:00"
    assert frame.index.name == "close_time"
    np.testing.assert_array_equal(frame["close"], clean["close"])
    np.testing.assert_array_equal(bars.features[:, 0], (clean["close"] - clean["open"]).astype(np.float32))
    assert bars.features[0, 1] == 18


def test_prices_of_a_function_are_the_nearest_to_the_decimal_ones() -> None:
    spec = ContractSpec("X", 0.01, 1000.0, calendar=None)
    frame = table("2025-03-03", "2025-03-04")
    frame.loc[:, "high"] = 63.57
    frame.loc[:, ["open", "low", "close"]] = 63.55
    seen: list[float] = []

    def mine(given: pd.DataFrame) -> pd.DataFrame:
        seen.append(given["high"].iloc[0])
        return given

    load(frame, spec, feature_fn=mine)
    assert seen[0] == 63.57  # 6357 * 0.01 would be 63.57 and a bit


def test_a_function_may_drop_the_index_but_not_the_rows(clean: pd.DataFrame) -> None:
    assert load(clean, feature_fn=lambda f: f[["close"]].reset_index(drop=True)).feature_names == ("close",)
    assert "got a frame of shape (2759, 5)" in refusal(clean, feature_fn=lambda f: f.iloc[1:])
    assert "got Series" in refusal(clean, feature_fn=lambda f: f["close"])
    assert "got NoneType" in refusal(clean, feature_fn=lambda f: None)
    assert "got a frame of shape (2760, 0)" in refusal(clean, feature_fn=lambda f: f[[]])
    assert "in their order" in refusal(clean, feature_fn=lambda f: f[::-1])
    assert "nothing but numbers" in refusal(clean, feature_fn=lambda f: f.assign(name="x"))


def test_a_function_that_looks_ahead_is_caught(clean: pd.DataFrame) -> None:
    def scaled(frame: pd.DataFrame) -> pd.DataFrame:
        return (frame - frame.mean()) / frame.std()

    text = refusal(clean, feature_fn=scaled)
    assert "feature_fn looks ahead: without the bars after number 1,840 it gives other values of open, high" in text
    bars = load(clean, feature_fn=scaled, repair="look_ahead")
    assert "results will be too good" in str(bars.report)
    assert "other values of close on 1 earlier bar" in refusal(
        clean, feature_fn=lambda f: f[["close"]].shift(-1).fillna(0.0)
    )
    grows = refusal(clean, feature_fn=lambda f: pd.DataFrame({str(len(f)): f["close"]}))
    assert "other columns for a shorter table" in grows


def test_a_causal_function_passes(clean: pd.DataFrame) -> None:
    bars = load(clean, feature_fn=lambda f: f[["close"]].pct_change().rolling(30).std())
    assert bars.first_finite_bar == 30
    assert bars.report.findings == ()


def test_errors_of_a_users_function_stay_as_they_are(clean: pd.DataFrame) -> None:
    with pytest.raises(ZeroDivisionError):
        load(clean, feature_fn=lambda f: 1 // 0)  # type: ignore[arg-type,return-value]


def test_the_spec_without_calendar_is_the_one_of_the_tests() -> None:
    assert PLAIN.calendar is None
