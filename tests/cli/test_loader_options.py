"""What the command line says of files: instruments, columns, contracts, and contracts of one file that roll."""

import json

import numpy as np
import pandas as pd
import pytest

from tests.data.tables import table
from trading_gymnax import runs
from trading_gymnax.cli import main as cli
from trading_gymnax.data.contracts import CONTRACTS


def test_check_chooses_an_instrument_and_names_columns(tmp_path, capsys):
    one = table("2025-03-03").rename(columns={"close": "Settle", "timestamp": "Bar time"})
    path = tmp_path / "both.csv"
    pd.concat([one.assign(symbol="NQH5"), one.assign(symbol="NQM5")]).to_csv(path, index=False)
    options = ["check", str(path), "--market", "NQ", "--columns", 'close=Settle,timestamp="Bar time"']
    with pytest.raises(SystemExit) as ended:
        cli.main(options)
    assert ended.value.code == 1
    assert "Choose one: --symbol NQH5" in " ".join(capsys.readouterr().out.split())
    cli.main([*options, "--symbol", "NQM5"])
    page = capsys.readouterr().out
    assert "1,380 bars in 1 session, 2025-03-03 to 2025-03-03" in page


def test_check_does_what_its_answer_says_of_contracts_in_one_file(tmp_path, capsys):
    """Two contracts over four days; the later one has the larger volume from the third on, so it is traded on the
    fourth."""
    days = table("2025-03-03", "2025-03-04", "2025-03-05", "2025-03-06")
    late = days.assign(volume=days["volume"] * np.where(np.arange(len(days)) < 2 * 1380, 0.5, 2.0), symbol="NQM5")
    path = tmp_path / "both.csv"
    pd.concat([days.assign(symbol="NQH5"), late]).to_csv(path, index=False)
    with pytest.raises(SystemExit):
        cli.main(["check", str(path), "--market", "NQ"])
    assert "--symbol NQH5 NQM5 --roll volume" in " ".join(capsys.readouterr().out.split())
    cli.main(["check", str(path), "--market", "NQ", "--symbol", "NQH5", "NQM5", "--roll", "volume"])
    page = capsys.readouterr().out
    assert page.count("5,520 bars in 4 sessions, 2025-03-03 to 2025-03-06") == 2
    lines = ["NQH5 is traded from 2025-03-03 to 2025-03-05", "NQM5 is traded from 2025-03-06 to 2025-03-06"]
    assert page.splitlines()[-2:] == lines
    (tmp_path / "own.py").write_text("def made(bars):\n    return bars\n")
    with pytest.raises(SystemExit) as ended:
        cli.main(
            [
                "audit",
                str(path),
                "--market",
                "NQ",
                "--features",
                f"{tmp_path / 'own.py'}:made",
                "--symbol",
                "NQH5",
                "NQM5",
            ]
        )
    assert ended.value.code == 2
    assert "give one, this command looks at one table" in capsys.readouterr().err


def test_contracts_are_listed_with_their_sources(capsys):
    cli.main(["contracts"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(CONTRACTS) + 1
    assert any(line.startswith("MBT") and line.endswith("CME, Micro Bitcoin futures") for line in lines)


def test_two_contracts_of_one_file_are_rolled(tmp_path):
    early, late = table("2025-03-03", "2025-03-04"), table("2025-03-04", "2025-03-05", seed=1)
    path = tmp_path / "both.csv"
    pd.concat([early.assign(symbol="NQH5"), late.assign(symbol="NQM5")]).to_csv(path, index=False)
    settings = runs.TradingSettings(
        data=(str(path),), market=("NQ",), roll=("2025-03-05",), loader={"symbol": ("NQH5", "NQM5")}
    )
    market = runs.build_environment(settings).default_params.market
    assert market.symbols == ("NQ-NQH5", "NQ-NQM5")
    assert np.asarray(market.view).tolist() == [[0, 2], [1, 2]]
    again = runs.TradingSettings(**json.loads(json.dumps(settings.to_dict())))
    assert runs.build_environment(again).default_params.market.symbols == market.symbols
