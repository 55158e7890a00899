"""Defaults by kind of device: what is wider, what stays, and that help does not start a device."""

import dataclasses

import jax
import pytest

from trading_gymnax.cli import main as cli
from trading_gymnax.cli import training
from trading_gymnax.cli.trader import TRADER, WIDER, device_note, trader_for


def test_an_accelerator_plays_more_environments_in_as_many_iterations():
    wide = trader_for("gpu")
    assert trader_for("cpu") == TRADER
    assert (wide.num_envs, wide.total_timesteps) == (1_024, 8_000_000)
    assert wide.num_iterations == TRADER.num_iterations == 61
    assert dataclasses.replace(wide, num_envs=256, total_timesteps=2_000_000) == TRADER
    assert WIDER * TRADER.batch_size == wide.batch_size


@pytest.mark.parametrize(
    ("args", "num_envs"), [(["train"], 1_024), (["walk-forward"], 1_024), (["train", "--num-envs", "64"], 64)]
)
def test_the_device_decides_where_nothing_is_said(monkeypatch, args, num_envs):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert cli._command(args).config.num_envs == num_envs


def test_help_mistakes_and_other_commands_start_no_device(monkeypatch, capsys):
    monkeypatch.setattr(jax, "default_backend", lambda: pytest.fail("the device was started"))
    assert cli._command(["check", "nq.csv", "--market", "NQ"]).market == "NQ"
    for args in (["train", "-h"], ["walk-forward", "--help"], ["trian"], ["train", "--set", "x=1"], []):
        with pytest.raises(SystemExit):
            cli.main(args)
    assert "trian" in capsys.readouterr().err


def test_the_note_is_the_line_to_type():
    note = device_note("gpu", trader_for("gpu"))
    assert "--num-envs 1024 --total-timesteps 8000000" in note
    assert "(gpu)" in note
    assert "TF32 with --bfloat16 False" in note
    for said in (dataclasses.replace(trader_for("gpu"), bfloat16=False), trader_for("tpu")):
        assert "bfloat16" not in device_note("gpu" if said.bfloat16 is not None else "tpu", said)


def test_a_training_is_shared_out_over_the_devices_that_are_asked_for(monkeypatch, tmp_path):
    split, given = [], {}
    monkeypatch.setattr("purejaxrl_ppo.split_cpu", split.append)  # JAX has begun here, with one device
    monkeypatch.setattr(training, "fit", lambda *args, **more: given.update(more) or pytest.fail("trained"))

    def train(*options):
        return training.train(cli._command(["train", "--run-dir", str(tmp_path / "run"), *options]))

    with pytest.raises(ValueError, match=r"7 devices were asked for, but there (is|are) 1"):
        train("--devices", "7")
    monkeypatch.setattr(training, "make_mesh", lambda count: jax.sharding.AbstractMesh((count,), ("envs",)))
    with pytest.raises(ValueError, match="num_envs=256 cannot be shared out over 3 devices: use a multiple of 3"):
        train("--devices", "3")
    assert not (tmp_path / "run").exists()
    for options, size in ((("--devices", "2"), 2), ((), None)):
        with pytest.raises(pytest.fail.Exception, match="trained"):
            train(*options)
        assert (given["mesh"] and given["mesh"].size) == size
    assert split == [7, 3, 2]
