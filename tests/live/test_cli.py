"""From a trained run to a paper session, its report, a live feed and its reconciliation, as a new user would go."""

from __future__ import annotations

import io
import json
import math
import sys

import numpy as np
import pytest

from tests.live.desk import always_buys, market, trader
from trading_gymnax.cli import live as cli_live
from trading_gymnax.cli.live_commands import Live
from trading_gymnax.cli.main import main
from trading_gymnax.live import Trader, read_ledger
from trading_gymnax.runs import TradingSettings, write_settings
from trading_gymnax.synthetic import regime

TINY = ["--num-envs", "16", "--num-steps", "16", "--total-timesteps", "512", "--hidden-sizes", "8", "8"]


@pytest.mark.slow
def test_from_a_run_to_its_report(tmp_path, capsys, monkeypatch):
    frame = regime(8).frame
    frame["mood"] = np.sin(np.arange(len(frame)) / 50)  # a column of the user's own
    (tmp_path / "runs").mkdir()
    bars, known, run = tmp_path / "nq.csv", tmp_path / "known.csv", tmp_path / "runs" / "nq"
    frame.to_csv(bars, index=False)
    columns = ["--feature-columns", "momentum", "rsi", "mood"]
    main(["train", "--data", str(bars), "--market", "NQ", "--run-dir", str(run), *columns, *TINY])
    main(["paper", str(run), "--sessions", "2"])
    said = capsys.readouterr()
    assert "2 sessions, 2,760 bars" in said.out
    assert (run / "paper" / "paper.html").is_file()
    main(["paper", str(run), "--sessions", "2"])
    assert "no bar later" in capsys.readouterr().err
    main(["reconcile", str(run), str(run / "paper")])
    assert "898 decisions compared, 0 differ" in capsys.readouterr().out

    # the same two sessions from standard input, in two parts that overlap
    cut = 6 * 1380
    frame[:cut].to_csv(known, index=False)
    text = frame[cut:].to_csv(index=False).splitlines(keepends=True)
    arguments = ["live", str(run), "--history", str(known), "--stale-minutes", "inf"]
    printed = []
    for part in (text[:1500], [text[0], *text[1400:]]):
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(part)))
        main(arguments)
        printed += [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == len({decision["id"] for decision in printed}) == 2760
    live, paper = (
        [line["decision"] for line in read_ledger(run / name) if line["kind"] == "bar"] for name in ("live", "paper")
    )
    assert live == paper
    assert printed == live

    few = tmp_path / "few.csv"
    few.write_text("".join(text[:1000]))
    main(["live", str(run), "--history", str(known), "--bars", str(few), "--folder", str(tmp_path / "stale")])
    late = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {decision["action"] for decision in late} == {"HOLD"}  # these bars are long past

    main(["export", str(run), "--to", "numpy"])
    trader = Trader.load(run, str(known))
    decision = trader.on_bar(dict(zip(text[0].strip().split(","), text[1].strip().split(","), strict=True)))
    assert decision.to_dict() == live[0]
    weights = np.load(run / "export" / "policy.npz")
    assert weights["actor_head/kernel"].shape == (8, 3)


def test_mistakes_are_told_in_a_sentence(tmp_path, capsys):
    for arguments in (["paper", "nowhere"], ["live", "nowhere"], ["export", "nowhere", "--to", "numpy"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert "nowhere" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named_before_the_work(tmp_path, capsys):
    """A file in its place: permissions do not stop the user who runs these tests in a container."""
    write_settings(tmp_path / "run", TradingSettings())
    (tmp_path / "file").touch()
    to = str(tmp_path / "file" / "below")
    for arguments in (["live", "--folder", to], ["paper", "--folder", to], ["export", "--to", "numpy", "--out", to]):
        with pytest.raises(SystemExit) as ended:
            main([arguments[0], str(tmp_path / "run"), *arguments[1:]])
        assert ended.value.code == 2
        assert f"{arguments[-2]} {to}: {tmp_path / 'file'} is no folder, choose another" in capsys.readouterr().err


@pytest.mark.parametrize("minutes", [math.inf, 1e9])
def test_a_growing_file_of_another_day(minutes, tmp_path, capsys, monkeypatch):
    """With inf old bars are traded as new ones and the wait for the next is no silence; a finite age sees silence."""
    made, file = trader(always_buys, timezone="UTC"), tmp_path / "bars.csv"
    lines = ["time,open,high,low,close,volume\n"]
    lines += [f"{b.time},{b.open},{b.high},{b.low},{b.close},{b.volume}\n" for b in market().coming[:4]]
    file.write_text("".join(lines[:4]))
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            raise KeyboardInterrupt
        with open(file, "a") as more:
            more.write(lines[4])

    monkeypatch.setattr(cli_live, "_trader", lambda *_: made)
    monkeypatch.setattr(cli_live.time, "sleep", wait)
    with pytest.raises(KeyboardInterrupt):
        cli_live.live(Live(tmp_path, bars=str(file), follow=True, stale_minutes=minutes))
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [decision["action"] for decision in told[:3]] == ["BUY", "BUY", "HOLD"]
    assert told[2]["account"]["side"] == 1  # while the file is waited for
    assert [decision["flatten"] for decision in told[3:]] == ([False] if math.isinf(minutes) else [True, False])
    assert bool(told[-1]["exit"]) == math.isinf(minutes)
