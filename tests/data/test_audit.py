"""The look-ahead audit: planted look-ahead is named by column and first bar, and causal features pass."""

import pathlib

import numpy as np
import pandas as pd
import pytest

from tests.data.tables import PLAIN, table
from trading_gymnax.data.audit import audit_features, feature_table, load_function
from trading_gymnax.data.indicators import default_features

BARS = 2 * 1380


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """Two sessions as a feature function gets them."""
    return feature_table(table("2025-03-03", "2025-03-04"), PLAIN)


def causal(frame: pd.DataFrame) -> pd.DataFrame:
    close = frame["close"]
    day = (frame.index - pd.Timedelta("1min") + pd.Timedelta("6h")).date
    return default_features(frame).assign(
        change=close.pct_change(), high_so_far=close.groupby(day).cummax(), hour=frame.index.hour
    )


def only(frame: pd.DataFrame, make, cuts):
    """The one column that looks ahead."""
    audit = audit_features(lambda x: causal(x).assign(planted=make(x)), frame, cuts)
    assert not audit.passed
    (change,) = audit.changed
    assert change.column == "planted"
    assert change.time == frame.index[change.bar]
    assert change.cut_time == frame.index[change.cut - 1]
    return change


def test_the_table_is_what_a_feature_function_gets(frame):
    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert len(frame) == BARS
    assert str(frame.index[0]) == "2025-03-02 18:01:00-05:00"


def test_causal_features_pass(frame):
    audit = audit_features(causal, frame)
    assert audit.passed
    assert len(audit.cuts) == 50
    assert str(audit) == "no column changes when later bars are cut off (50 cuts)"
    assert audit.columns[-3:] == ("change", "high_so_far", "hour")


def test_cuts_are_spread_and_stand_around_the_ends_of_sessions(frame):
    cuts = audit_features(causal, frame, 30).cuts
    assert len(cuts) == 30
    # the only end of a session in the table is after bar 1,380
    assert {1379, 1380, 1381} <= set(cuts)
    assert cuts[0] >= 390
    assert np.histogram(cuts, bins=9, range=(390, BARS))[0].min() >= 3
    assert cuts[-1] > BARS - 100


def test_a_shift_into_the_future(frame):
    change = only(frame, lambda x: x["close"].shift(-1), (1000, 700, 2000))
    # with 700 bars the last one, number 699, has no bar behind it
    assert (change.bar, change.cut, change.cuts, change.bars_ahead) == (699, 700, 3, 1)
    assert change.largest == np.inf
    assert str(frame.index[699]) in str(change)
    assert "at least 1 bar ahead" in str(change)


def test_a_shift_that_is_filled_up(frame):
    change = only(frame, lambda x: x["close"].shift(-2).fillna(x["close"]), [700])
    close = frame["close"].to_numpy()
    assert (change.bar, change.bars_ahead) == (698, 2)
    assert change.largest == max(abs(close[700] - close[698]), abs(close[701] - close[699]))


def test_a_centred_mean(frame):
    change = only(frame, lambda x: x["close"].rolling(11, center=True).mean(), [500, 900])
    assert (change.bar, change.cut, change.bars_ahead) == (495, 500, 5)


def test_a_score_over_the_whole_table(frame):
    change = only(frame, lambda x: (x["close"] - x["close"].mean()) / x["close"].std(), [500, 900])
    assert (change.bar, change.cut, change.bars_ahead) == (0, 500, 900)


def test_filling_backward(frame):
    def every_hundredth(x: pd.DataFrame) -> pd.Series:
        return x["close"].where(np.arange(len(x)) % 100 == 0).bfill()

    # bar 1,250 has the value of bar 1,300, and so have all after bar 1,200
    change = only(frame, every_hundredth, [1251])
    assert (change.bar, change.bars_ahead) == (1201, 50)


def test_an_hour_known_at_its_start(frame):
    def hourly(x: pd.DataFrame) -> pd.Series:
        hours = x["close"].resample("1h").last()
        return hours.reindex(x.index, method="ffill")

    # bar 0 closes at 18:01: the hour of 19:00 begins with bar 59, and the cut leaves its first 31 bars
    change = only(frame, hourly, [90])
    assert (str(change.time)[11:16], change.bar, change.bars_ahead) == ("19:00", 59, 31)


def test_what_changes_by_rounding_only_is_told_with_its_size(frame):
    def centred(x: pd.DataFrame) -> pd.Series:
        return (x["close"] - 20_000) * (1 + 1e-14 * len(x))

    assert 0 < only(frame, centred, [500]).largest < 1e-8


def test_minus_nan_is_nan_and_minus_zero_is_not_zero(frame):
    def signs(x: pd.DataFrame) -> pd.DataFrame:
        short = len(x) < BARS
        nan = np.copysign(np.nan, -1.0 if short else 1.0)
        return pd.DataFrame({"nan": np.full(len(x), nan), "zero": np.full(len(x), -0.0 if short else 0.0)})

    assert [change.column for change in audit_features(signs, frame, 3).changed] == ["zero"]


def test_several_columns_are_named_in_order(frame):
    def make(x: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"b": x["close"].shift(-1), "ok": x["close"], "a": x["close"].mean()})

    audit = audit_features(make, frame, 5)
    assert [change.column for change in audit.changed] == ["b", "a"]
    assert str(audit).splitlines()[0] == "2 of 3 columns look ahead (5 cuts):"
    assert str(audit).splitlines()[1].startswith(f"  b: bar {audit.cuts[0] - 1:,} (")


def fails(frame, make, cuts=3) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        audit_features(make, frame, cuts)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_function_that_is_none_is_a_sentence(frame):
    def raises(x):
        return x["clse"]

    def raises_when_short(x):
        return x[["close"]] / (len(x) == BARS or {}["missing"])

    def other_length(x):
        return x[["close"]].iloc[1:]

    def other_columns(x):
        return x[["close", "open"]] if len(x) == BARS else x[["close"]]

    def text(x):
        return x[["close"]].astype(str) + "x"

    def two_of_a_name(x):
        return x[["close", "close"]]

    assert fails(frame, raises) == "raises fails on the first 2,760 bars: KeyError: 'clse'"
    assert "raises_when_short fails on the first 1,000 bars: KeyError: 'missing'" in fails(
        frame, raises_when_short, [1000]
    )
    assert "a row for each of the 2,760 bars, got a frame of shape (2759, 1)" in fails(frame, other_length)
    assert (
        fails(frame, other_columns, [7])
        == "other_columns returns other columns for the first 7 bars than for all 2,760"
    )
    assert "text must return nothing but numbers" in fails(frame, text)
    assert "two columns of one name: close, close" in fails(frame, two_of_a_name)


def test_chance_is_not_called_look_ahead(frame):
    rng = np.random.default_rng(0)
    said = fails(frame, lambda x: x[["open"]].assign(noise=rng.random(len(x))))
    assert said.startswith("the same table gives other values of noise when the features are built a second time")
    assert "not look-ahead" in said

    def seeded(x: pd.DataFrame) -> pd.DataFrame:
        return x[["open"]].assign(noise=np.random.default_rng(0).random(len(x)))

    assert audit_features(seeded, frame, 3).passed


@pytest.mark.parametrize("cuts", [[0], [BARS], [], 0, -3])
def test_cuts_that_cannot_be(frame, cuts):
    assert "cut" in fails(frame, causal, cuts)


def test_a_function_is_loaded_from_the_file_that_is_named(tmp_path: pathlib.Path):
    path = tmp_path / "my_features.py"
    path.write_text("def make(frame):\n    return frame * 2\n\nlimit = 3\n")
    assert load_function(f"{path}:make")(4) == 8
    with pytest.raises(ValueError, match="has no function 'mke': did you mean 'make'"):
        load_function(f"{path}:mke")
    with pytest.raises(ValueError, match="has no function 'limit': there are make"):
        load_function(f"{path}:limit")
    with pytest.raises(FileNotFoundError, match=r"there is no file .*my_feature\.py: did you mean 'my_features\.py'\?"):
        load_function(f"{tmp_path / 'my_feature.py'}:make")
    for text in ("my_features.py", ":make", "my_features.py:"):
        with pytest.raises(ValueError, match=r"not of the form FILE\.py:function"):
            load_function(text)
    (tmp_path / "broken.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(ValueError, match=r"cannot be imported: ModuleNotFoundError: No module named"):
        load_function(f"{tmp_path / 'broken.py'}:make")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"must end in \.py"):
        load_function(f"{tmp_path / 'notes.txt'}:make")
