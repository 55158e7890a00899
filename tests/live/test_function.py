"""Features of a user's function, bar by bar: those of the whole table, also across a restart, or a refusal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tests.live.desk import always_buys
from trading_gymnax.data.loader import load_bars
from trading_gymnax.live import Trader
from trading_gymnax.live.history import bars_from, until
from trading_gymnax.runs import TradingSettings, write_settings
from trading_gymnax.synthetic import SYNTH, regime

CUT = 2 * 1380


def spreads(frame: pd.DataFrame) -> pd.DataFrame:
    """A window of 120 bars, a smoothing that forgets slowly, and the clock."""
    moves = np.log(frame["close"]).diff()
    smooth = moves.ewm(span=40, adjust=False).mean() * 1e4
    return pd.DataFrame({"range": frame["close"].rolling(120).max() - frame["close"], "smooth": smooth}).assign(
        hour=frame.index.hour + frame.index.minute / 60
    )


def loaded(where, history, **options):
    """A trader of a run that a function's features were made for, whatever its policy."""
    run = where / "run"
    run.mkdir(exist_ok=True)
    write_settings(run, TradingSettings())
    return Trader.load(
        run,
        history,
        load_policy=lambda run_dir, sampled, checkpoint: always_buys,
        feature_fn=spreads,
        durable=False,
        **options,
    )


def test_a_trader_goes_on_with_a_function_s_features(tmp_path):
    frame = regime(3).frame[: CUT + 40]
    whole = load_bars(frame, SYNTH, feature_fn=spreads, repair="too_short")
    bars = list(bars_from(whole, CUT))
    trader = loaded(tmp_path, frame[:CUT], folder=tmp_path / "live", feature_bars=2_000)
    for at, bar in enumerate(bars):
        if at == 20:
            trader = loaded(tmp_path, until(whole, CUT), folder=tmp_path / "live", feature_bars=2_000)
            assert trader.resumed
        trader.on_bar(bar)
        assert trader.tape.features[0, -1, :3].tobytes() == whole.features[CUT + at].tobytes()
        assert trader.tape.bars[0, -2, 7].tobytes() == whole.atr[CUT + at].tobytes()


def test_a_function_that_needs_more_bars_is_refused(tmp_path):
    frame = regime(3).frame[:CUT]
    with pytest.raises(RuntimeError, match=r"when streamed.*feature_fn needs more bars"):
        loaded(tmp_path, frame, feature_bars=119)
    for options, text in (({"feature_bars": 0}, "counts from 1"), ({"own": ["range"]}, "give one of the two")):
        with pytest.raises(ValueError, match=text):
            loaded(tmp_path, frame, **options)
