"""Numbers, times and names as people write them: `--set`, every other option, and the table of `params`."""

import pytest

from purejaxrl_ppo import parse_command_line
from purejaxrl_ppo.cli.numbers import read_float, read_int
from trading_gymnax.cli import main as cli
from trading_gymnax.cli.values import hour_text, parse_changes, read_hour
from trading_gymnax.params import EnvParams, EnvParamsPhase2, numbers_of


def refusal(capsys, *args: str) -> str:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(args))
    said = capsys.readouterr()
    assert (ended.value.code, said.err.count("\n")) == (2, 1)
    return said.err


def options(*args: str):
    return parse_command_line(cli._commands(), prog="trading-gymnax", args=list(args), description="")


@pytest.mark.parametrize(
    ("text", "number"),
    [("2_000_000", 2_000_000), ("1e6", 1_000_000), ("50k", 50_000), ("1.5M", 1_500_000), ("-3", -3), ("1e2k", 100_000)],
)
def test_numbers_as_people_write_them(text, number):
    assert read_int(text) == read_float(text) == number
    assert type(read_int(text)) is int


@pytest.mark.parametrize("text", ["", "k", "1.5", "1e-3", "five", "5kk", "0x10", "nan", "inf", "1e999999999", "1:30"])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(ValueError, match="is not a"):
        read_int(text)


def test_options_take_them_too():
    command = options(
        "train", "--total-timesteps", "3M", "--num-envs", "1k", "--learning-rate", "1e-3", "--seed", "1_0"
    )
    config = command.config
    assert (config.total_timesteps, config.num_envs, config.learning_rate, config.seed) == (3_000_000, 1_000, 1e-3, 10)
    assert options("check", "x.csv", "--market", "NQ", "--rth", "9:30", "16:15").loader.rth == (9.5, 16.25)
    assert options("check", "x.csv", "--market", "NQ", "--rth", "10", "15.5").loader.rth == (10, 15.5)


def test_hours():
    assert [read_hour(text) for text in ("9:30", "16:59", "09:00", "9.5")] == [9.5, 16 + 59 / 60, 9, 9.5]
    assert [hour_text(hour) for hour in (9.5, 16 + 59 / 60, 0.001)] == ["9:30", "16:59", "0.001"]
    for text in ("9:60", "930x", "9:3", ""):
        with pytest.raises(ValueError, match="is not a time"):
            read_hour(text)


def test_set_reads_each_parameter_by_its_kind():
    pairs = ("sl_atr_mult=2", "initial_balance=50k", "floor_lock=inf", "stop_first=no", "rth_close=15:55")
    more = ("pass_reward=-1e3", "fill_at_close=True", "high_water_mode=INTRABAR", "max_steps_in_episode=1e3")
    assert parse_changes(pairs + more) == {
        "sl_atr_mult": 2,
        "initial_balance": 50_000,
        "floor_lock": float("inf"),
        "stop_first": False,
        "rth_close": 15 + 55 / 60,
        "pass_reward": -1000.0,
        "fill_at_close": True,
        "high_water_mode": 1,
        "max_steps_in_episode": 1_000,
    }


def test_wrong_names_and_values_are_one_sentence(capsys):
    def said(*pairs: str) -> str:
        return refusal(capsys, "train", "--set", *pairs)

    assert "did you mean 'commission_per_side'?" in said("commission=2")
    assert "did you mean 'sl_atr_mult'?" in said("sl-atr-mult=2")
    assert "there is no such parameter: `trading-gymnax params` lists them" in said("zzz=2")
    assert "that is a parameter of phase 2: give --phase 2 as well" in said("trail_atr_mult=2")
    assert "'9.30x' is not a time" in said("rth_open=9.30x")
    assert "'2' is neither true nor false" in said("stop_first=2")
    assert "'9:30' is not a number" in said("sl_atr_mult=9:30")
    assert "names sl_atr_mult twice" in said("sl_atr_mult=2", "sl_atr_mult=3")
    taken_for_an_option = refusal(capsys, "train", "--commission", "2.5")
    assert "no option --commission: did you mean --set commission_per_side=...?" in taken_for_an_option
    assert "`trading-gymnax train --help` lists those it has" in refusal(capsys, "train", "--qwerty", "2")


@pytest.mark.parametrize(("phase", "cls"), [(1, EnvParams), (2, EnvParamsPhase2)])
def test_params_lists_every_parameter_with_its_default(phase, cls, capsys):
    cli.main(["params", "--phase", str(phase)])
    page = capsys.readouterr().out
    named = [line.split()[0] for line in page.splitlines() if not line.startswith(" ")]
    assert named == [field.name for field in numbers_of(cls)]
    assert max(map(len, page.splitlines())) <= 120
    lines = {line.split()[0]: line for line in page.splitlines() if not line.startswith(" ")}
    assert lines["trailing_dd_limit"].split()[1:3] == ["15,000" if phase == 1 else "2,500", "dollars"]
    assert lines["rth_close"].split()[1] == "16:59"
    assert ("trail_atr_mult" in lines) == (phase == 2)
