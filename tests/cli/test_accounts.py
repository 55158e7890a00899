"""The command `accounts` as a trader types it."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from purejaxrl_ppo import PPOConfig, make_train
from tests.cli.test_cli import TINY, Begins, refusal
from tests.rules.handmade import LEVEL, make_bars
from tests.survival.few import few_attempts, short_judgement
from trading_gymnax import TradingPhase2, rewards
from trading_gymnax.accounts import life_fields, plan
from trading_gymnax.cli import main as cli
from trading_gymnax.cli.commands import Train
from trading_gymnax.cli.stored import WALKS
from trading_gymnax.data.contracts import CONTRACTS
from trading_gymnax.live.program import Programs
from trading_gymnax.market import pack
from trading_gymnax.parameters_life import life_table
from trading_gymnax.report.judge import HOLD
from trading_gymnax.runs import build, schedule_of
from trading_gymnax.settings import TradingSettings, read_settings, write_settings
from trading_gymnax.synthetic import regime


@pytest.fixture(scope="module")
def command(tmp_path_factory) -> list[str]:
    """Trains for the value of an account, on 16 sessions of which the last eight are held out; the folder is last."""
    spec = dataclasses.replace(CONTRACTS["NQ"], calendar=None)
    folder = tmp_path_factory.mktemp("runs")
    regime(16, spec=spec, first_session="2025-03-03").frame.to_parquet(folder / "nq.parquet")
    where = ["--data", str(folder / "nq.parquet"), "--market", "NQ", "--train-until", "2025-03-13"]
    life = ["--phase", "2", "--account", "topstep-50k", "--reward", "account-value", "--gamma", "0.9995"]
    more = ["--set", "payout_cap=1k", *TINY, "--eval-every", "0"]
    return ["train", *where, *life, *more, "--run-dir", str(folder / "nq")]


@pytest.fixture(scope="module")
def begun(command) -> pathlib.Path:
    """The folder of that run as its training begins."""

    def begin(*args, **options):
        raise Begins

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trading_gymnax.cli.training.fit", begin)
        with pytest.raises(Begins):
            cli.main(command)
    return pathlib.Path(command[-1])


@pytest.fixture(scope="module")
def trained(command, begun) -> pathlib.Path:
    """The folder of that run at its end."""
    with short_judgement():
        cli.main(command)
    return begun


def typed(*args: str) -> subprocess.CompletedProcess[str]:
    """The installed program's start, and whether JAX was imported, as its last line."""
    program = (
        f"import sys; sys.argv = ['trading-gymnax', *{list(args)!r}]\n"
        "import _console_start\n"
        "try:\n    _console_start.trading_gymnax()\nfinally:\n    print('jax' in sys.modules)"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_plans_are_listed_and_shown_without_jax():
    listed = typed("accounts")
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.endswith("False\n")
    assert "Topstep\ntopstep-50k " in listed.stdout
    shown = typed("accounts", "apex-eod", "topstep-50k")
    assert shown.stdout.endswith("False\n")
    heads = [
        line.split(":")[0] for line in shown.stdout.splitlines() if ", Trading Combine" in line or ", End-of" in line
    ]
    assert heads == [*(f"apex-eod-{size}" for size in ("25k", "50k", "100k", "150k")), "topstep-50k"]
    wrong = typed("accounts", "topstp-50k")
    assert (wrong.returncode, wrong.stdout) == (2, "False\n")
    assert wrong.stderr == "trading-gymnax: there is no plan and no folder 'topstp-50k': did you mean 'topstep-50k'?\n"


def test_the_same_from_within(capsys, tmp_path):
    cli.main(["accounts", "tpt-50k"])
    assert "tpt-50k: TakeProfitTrader, Test and PRO, 50,000 dollars" in capsys.readouterr().out
    assert "there is no file mine.json" in refusal(capsys, "accounts", "mine.json")
    (tmp_path / "mine.json").write_text("{}")
    assert "mine.json: the file lacks 'firm', 'sources', 'plans'" in refusal(
        capsys, "accounts", str(tmp_path / "mine.json")
    )
    said = refusal(capsys, "accounts", "tpt-50k", "--contracts", "2", "--lives", "9")
    assert "--contracts and --lives: name the folder of a run first" in said
    assert "accounts has no option --contract" in refusal(capsys, "accounts", "--contract", "2")


def test_a_run_remembers_its_account(begun):
    settings = read_settings(begun)
    assert (settings.account, settings.value_discount) == ("topstep-50k", 0.9995)
    rules = {**life_fields(plan("topstep-50k")), "payout_cap": 1_000}
    assert settings.changes == TradingSettings(changes=rules).to_dict()["changes"]
    env = build(settings).env
    assert env.account_life
    assert env.reward_fn == rewards.account_value(0.9995)
    assert env.default_params.payout_cap.tolist() == [1_000] * 6
    small = PPOConfig(num_envs=2, num_steps=2, total_timesteps=4, num_minibatches=1)
    learnt = jax.eval_shape(make_train(env, small), jax.random.key(0), env.default_params)  # it can be trained for
    assert learnt.metrics["reward"].shape == (1,)
    with pytest.raises(ValueError, match="a live account books no payouts"):
        Programs(env, None)


@pytest.mark.slow
def test_a_run_of_a_life_is_judged_beside_all_baselines(trained, capsys):
    rows = json.loads((trained / "evaluation.json").read_text())["out_of_sample"]["rows"]
    assert [row["sessions"] for row in rows.values()] == [8, 8]
    shutil.rmtree(trained / WALKS)  # the short judgement, which would be taken again
    with few_attempts():
        cli.main(["evaluate", str(trained)])
    said = capsys.readouterr().out
    assert "OUT OF SAMPLE: 2025-03-13 to 2025-03-24, 8 sessions" in said
    assert HOLD in said


@pytest.mark.slow
def test_a_run_of_a_life_does_not_trade_live(trained, tmp_path, capsys):
    assert "a live account books no payouts" in refusal(capsys, "paper", str(trained), "--folder", str(tmp_path / "a"))


@pytest.mark.parametrize(
    ("typed", "complaint"),
    [
        (["--set", "payout_cap=2"], "that is a parameter of an account's whole life: give --account"),
        (["--reward", "account-value"], "--reward account-value pays for payouts: give --account"),
        (["--account", "topstp-50k"], "there is no plan 'topstp-50k': did you mean 'topstep-50k'?"),
        (["--account", "mine.json"], "mine.json"),
        (["--account", "tpt-50k", "tpt-50k"], "--account names a plan twice"),
        (["--account", "tpt-50k", "apex-eod-50k", "--curriculum", "original-plan"], "leave out --curriculum"),
        (["--account", "tpt-50k", "--set", "payout_split=2"], "payout_split is a share between 0 and 1"),
        (["--account", "tpt-50k", "--set", "payout_cpa=2"], "did you mean 'payout_cap'?"),
        (["--account", "tpt-50k", "--market", "NQ", "MNQ", "--data", "a", "b"], "--account: a plan limits micro"),
    ],
)
def test_accounts_to_train_for_that_cannot_be(typed, complaint, capsys):
    assert complaint in refusal(capsys, "train", *typed)


def test_plans_in_turns_are_remembered_as_they_are_learnt(tmp_path):
    """What --set says holds in all of them; the last is the run's account, and the one that is judged."""
    command = Train(account=("apex-eod-50k", "topstep-50k"), changes=("payout_cap=1k", "sl_atr_mult=2"))
    write_settings(tmp_path / "run", command.settings())
    settings = read_settings(tmp_path / "run")
    assert settings.to_dict() == command.settings().to_dict()
    assert settings.account == "topstep-50k"
    before, last = ({**life_fields(plan(name)), "payout_cap": 1_000} for name in command.account)
    assert settings.accounts_before == {"apex-eod-50k": TradingSettings(changes=before).to_dict()["changes"]}
    schedule = schedule_of(settings)
    params = TradingPhase2(pack([make_bars([(LEVEL, LEVEL, LEVEL, LEVEL)] * 4)]), account_life=True).default_params
    for progress, rules in ((0.0, before), (0.49, before), (0.5, last), (1.0, last)):
        now = schedule(progress, params)
        held = params.replace(**rules)
        assert all(np.array_equal(getattr(now, name), getattr(held, name)) for name in rules)
    assert schedule_of(dataclasses.replace(settings, accounts_before=None)) is None


def test_limits_are_in_micros_where_these_are_traded():
    def limit(symbol):
        return (
            Train(account=("topstep-50k",), market=(symbol,), data=(pathlib.Path("x"),))
            .settings()
            .changes["contract_limit"]
        )

    assert limit("MNQ") == 10 * limit("NQ")


def test_the_parameters_of_a_life_are_listed(capsys):
    cli.main(["params", "--phase", "2", "--account-life"])
    listed = capsys.readouterr().out
    assert all(f"\n{row.name} " in f"\n{listed}" for row in life_table(2))


@pytest.mark.slow  # the value of accounts: tests/survival/test_value.py
def test_a_run_is_told_which_account_suits_it(trained, tmp_path, capsys):
    sizes = ["--contracts", "1", "2", "--sessions", "12", "--lives", "200", "--bankroll", "500"]
    with few_attempts():
        cli.main(["accounts", str(trained), "topstep-50k", "apex-eod-50k", *sizes, "--out", str(tmp_path)])
    said = capsys.readouterr().out
    assert "topstep-50k" in said
    assert "policy" in said
    assert "coin" in said
    assert "NO ACCOUNT" in said or "The account that suits it best" in said
    found = json.loads((tmp_path / "accounts.json").read_text())
    assert [(row["plan"], row["contracts"], row["who"]) for row in found["rows"]] == [
        (plan, size, who) for plan in ("topstep-50k", "apex-eod-50k") for size in (1, 2) for who in ("policy", "coin")
    ]
    assert all(0 <= row["ruin_low"] <= row["ruin"] <= row["ruin_high"] <= 1 for row in found["rows"])
    assert (tmp_path / "accounts.png").stat().st_size > 5_000
