"""permute, cpcv and sweep from the command line: what they write, that they go on, and that looks are counted."""

import json

import pytest

from tests.skill.small import RTH, fitted, short
from trading_gymnax import load_market_data
from trading_gymnax.cli import main as cli
from trading_gymnax.cli import skill
from trading_gymnax.cli.looks import looking
from trading_gymnax.cli.resume import done_lines, note_done, open_folder
from trading_gymnax.runs import TradingSettings
from trading_gymnax.synthetic import martingale

TINY = ["--total-timesteps", "1024", "--num-envs", "16", "--num-steps", "64", "--set", "min_bars_left=0"]


@pytest.fixture(scope="module")
def where(tmp_path_factory):
    """Arguments for twelve short sessions of a martingale in a file, and the folder of it."""
    folder = tmp_path_factory.mktemp("skill")
    short(martingale(12, seed=4)).to_parquet(folder / "bars.parquet")
    hours = [*map(str, RTH)]
    file = ["--data", str(folder / "bars.parquet"), "--market", "MNQ", "--repair", "holiday_trading"]
    return folder, [*file, "--rth", *hours]


@pytest.fixture
def quick(monkeypatch):
    """A learner of microseconds in place of PPO."""
    monkeypatch.setattr(skill, "ppo_fold_learner", lambda config, schedule, limit: fitted)


def test_permute_goes_on_where_it_stopped(where, quick, capsys):
    folder, data = where
    run = folder / "permuted"
    args = ["permute", *data, *TINY, "--run-dir", str(run), "--enough", "9"]
    cli.main([*args, "--tapes", "2"])
    first = list(done_lines(run))
    assert [line["tape"] for line in first] == [0, 1, 2]
    said = capsys.readouterr()
    assert "TOO FEW TAPES to tell" in said.out
    assert "1 setting tried on these sessions in 1 look, by the ledger" in said.err
    cli.main([*args, "--tapes", "3"])
    assert [line["tape"] for line in done_lines(run)] == [0, 1, 2, 3]
    assert list(done_lines(run))[:3] == first
    made = json.loads((run / "permutation.json").read_text())
    assert made["p"]["tapes"] == 3
    assert made["real"] == first[0]["nets"]
    assert (run / "permutation.png").stat().st_size > 5_000
    with pytest.raises(SystemExit):
        cli.main([*args, "--tapes", "3", "--null", "signs"])
    assert "null: 'bars' there, 'signs' now" in capsys.readouterr().err


def test_cpcv_and_sweep_count_their_looks(where, quick, capsys):
    folder, data = where
    run = folder / "more" / "cpcv"
    cli.main(["cpcv", *data, *TINY, "--run-dir", str(run), "--groups", "3", "--held-out", "1"])
    assert "3 splits x 1 seed" in capsys.readouterr().out
    assert len(json.loads((run / "cpcv.json").read_text())["splits"]) == 3
    cli.main(["cpcv", *data, *TINY, "--run-dir", str(run), "--groups", "3", "--held-out", "1"])
    assert len(list(done_lines(run))) == 3
    assert "1 setting tried on these sessions in 2 looks" in capsys.readouterr().out
    vary = ["--vary", "sl_atr_mult=1,2", "tp_sl_ratio=1,3", "--train-until", "2025-01-10"]
    cli.main(["sweep", *data, *TINY, *vary, "--run-dir", str(folder / "more" / "sweep")])
    said = capsys.readouterr().out
    assert "5 settings tried on these sessions in 6 looks" in said
    assert "of the 5 settings with " in said
    assert "probability of backtest overfitting" in said
    assert said.count("sl_atr_mult=2") == 2


def test_a_cut_off_line_is_no_line(tmp_path):
    assert open_folder(tmp_path / "new", {"a": 1}) is False
    assert open_folder(tmp_path / "new", {"a": 1}) is True
    note_done(tmp_path / "new", {"tape": 0})
    with (tmp_path / "new" / "done.jsonl").open("a") as file:
        file.write('{"tape": 1, "ne')
    assert list(done_lines(tmp_path / "new")) == [{"tape": 0}]
    note_done(tmp_path / "new", {"tape": 2})
    assert list(done_lines(tmp_path / "new")) == [{"tape": 0}, {"tape": 2}]
    with pytest.raises(ValueError, match="a: 1 there, 2 now"):
        open_folder(tmp_path / "new", {"a": 2})


@pytest.mark.slow
def test_ppo_is_trained_on_tapes(where, capsys):
    folder, data = where
    cli.main(["permute", *data, *TINY, "--run-dir", str(folder / "ppo"), "--tapes", "2", "--seeds", "2"])
    assert [len(line["nets"]) for line in done_lines(folder / "ppo")] == [2, 2, 2]


def test_equal_settings_are_one_whichever_command_tries_them(tmp_path):
    """Given by --set to `permute`, varied by `sweep`, typed though they are the default: one setting."""
    views = [load_market_data(martingale(6).frame, "NQ")]

    def digest(changes, variant=None, **more):
        return looking("any", tmp_path, TradingSettings(changes=changes), views, 1, variant, **more).settings

    plain, wide = digest({}), digest({"sl_atr_mult": 3})
    assert digest({}, {}) == digest({"sl_atr_mult": 1.5}) == digest({"sl_atr_mult": 3.0}, {"sl_atr_mult": 1.5}) == plain
    assert digest({}, {"sl_atr_mult": 3.0}) == wide != plain
    assert digest({"stop_first": False}) != digest({"stop_first": True}) == plain
    assert digest({}, seeds=2) != plain
