"""Plans of accounts: their figures, where each was read, what a file must have, and how they are told."""

import json
import math
import pathlib
import re

import pytest

from trading_gymnax.accounts import PlanError, life_fields, plan, plans, read_plans
from trading_gymnax.accounts.schema import PARTS, rules_of
from trading_gymnax.accounts.words import plan_lines, table_lines
from trading_gymnax.rules import HIGH_WATER_MODES

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "trading_gymnax" / "accounts").glob("*.json"))
PAGE = (ROOT / "docs" / "accounts.md").read_text()


# -- figures --


def test_five_firms_and_their_common_sizes():
    assert {one.firm for one in plans().values()} == {
        *("Topstep", "Apex Trader Funding", "MyFundedFutures", "TakeProfitTrader", "Tradeify")
    }
    for family in ("topstep", "apex-eod", "apex-intraday", "mffu-pro", "mffu-rapid", "tpt", "tradeify-select"):
        assert [plan(f"{family}-{size}").size for size in ("50k", "100k", "150k")] == [50_000, 100_000, 150_000]


@pytest.mark.parametrize(
    ("part", "rule", "name", "value"),
    [
        ("evaluation", "profit_target", "topstep-150k", 9_000),
        ("evaluation", "drawdown", "topstep-150k", 4_500),
        ("evaluation", "consistency", "topstep-50k", 0.5),
        ("evaluation", "drawdown_mode", "topstep-intraday-50k", "INTRABAR"),
        ("evaluation", "daily_limit", "topstep-daily-limit-100k", 2_000),
        ("evaluation", "daily_limit", "apex-eod-150k", 2_000),
        ("evaluation", "daily_limit", "apex-intraday-150k", None),
        ("evaluation", "drawdown", "apex-eod-wide-50k", 2_500),
        ("evaluation", "drawdown", "mffu-core-narrow-50k", 1_500),
        ("evaluation", "minimum_days", "tpt-50k", 5),
        ("evaluation", "contracts", "tpt-50k", 6),
        ("evaluation", "flat_by", "tpt-early-50k", "16:10"),
        ("funded", "winning_day", "topstep-50k", 150),
        ("funded", "consistency", "topstep-consistency-50k", 0.4),
        ("funded", "split", "topstep-50k", 0.9),
        ("funded", "floor_after_payout", "topstep-50k", 0),
        ("funded", "micros", "topstep-50k", 1),
        ("funded", "payouts_at_most", "apex-eod-50k", 6),
        ("funded", "consistency", "apex-eod-thirty-50k", 0.3),
        ("funded", "buffer", "mffu-rapid-50k", 2_100),
        ("funded", "drawdown_mode", "mffu-rapid-50k", "INTRABAR"),
        ("funded", "drawdown_mode", "tpt-50k", "INTRABAR"),
        ("funded", "drawdown_mode", "tpt-plus-50k", "END_OF_DAY"),
        ("fees", "activation", "tpt-50k", 130),
    ],
)
def test_figures(part, rule, name, value):
    assert getattr(getattr(plan(name), part), rule) == value


def test_every_rule_has_its_page_or_a_reason():
    rules = {f"{part}.{rule}" for part in PARTS for rule in rules_of(part)}
    for one in plans().values():
        origins = dict(one.origins)
        assert set(origins) == rules
        for name, origin in origins.items():
            read = re.fullmatch(r"2026-\d\d-\d\d|second-hand, as gathered for this project", origin.read)
            dated = read and origin.page and origin.dated
            assert bool(dated) != bool(origin.assumed), (one.name, name)
            assert 'source "' not in origin.assumed  # said by its page


def test_a_variant_differs_where_it_says_so_and_nowhere_else():
    one, other = plan("topstep-50k"), plan("topstep-intraday-50k")
    assert one.fees == other.fees
    for part in ("evaluation", "funded"):
        rules = vars(getattr(one, part)).items() ^ vars(getattr(other, part)).items()
        assert {name for name, _ in rules} == {"drawdown_mode"}
    assert other.note


def test_the_page_names_every_plan_every_page_and_every_disagreement():
    for path in FILES:
        told = json.loads(path.read_text())
        used = {str(origin.page) for one in read_plans(path).values() for _, origin in one.origins} - {""}
        assert used <= {source["page"] for source in told["sources"].values()}
        for source in told["sources"].values():
            assert source["page"] in PAGE, source
        for entry in told["plans"]:
            assert f"`{entry['name']}`" in PAGE, entry["name"]


# -- as parameters --


def test_a_plan_as_the_parameters_of_a_life():
    fields = life_fields(plan("topstep-150k"))
    assert (fields["contract_limit"], fields["scaling_profit"]) == (15, (math.inf,) * 4)
    assert (fields["funded_contract_limit"], fields["funded_scaling_contracts"]) == (3, (4, 5, 10, 15))
    assert fields["funded_scaling_profit"] == (1_500, 2_000, 3_000, 4_500)
    assert (fields["evaluation_fee"], fields["monthly_fee"], fields["activation_fee"]) == (149, 149, 149)
    assert (fields["floor_lock"], fields["payout_floor"], fields["payout_share"]) == (0, 0, 0.5)
    assert fields["payout_cap"] == (5_000,) * 6
    micro = life_fields(plan("topstep-150k"), micro=True)
    assert (micro["contract_limit"], micro["funded_contract_limit"]) == (150, 3)
    apex = life_fields(plan("apex-eod-50k"))
    assert (apex["session_limit"], apex["payout_cap"]) == (21, (1_500, 1_500, 2_000, 2_500, 2_500, 3_000))
    assert (apex["daily_loss_limit"], apex["daily_loss_fails"], apex["payout_floor"]) == (1_000, False, math.inf)
    static = life_fields(plan("mffu-flex-50k"))
    assert static["floor_lock"] == -static["trailing_dd_limit"] == -2_000
    assert HIGH_WATER_MODES[static["high_water_mode"]] == "END_OF_DAY"


# -- files --


def told() -> dict:
    """A file of one plan, as a user may write it."""
    file = json.loads((ROOT / "trading_gymnax" / "accounts" / "topstep.json").read_text())
    file["plans"] = file["plans"][:1]
    return file


def written(folder: pathlib.Path, file: object) -> pathlib.Path:
    path = folder / "mine.json"
    path.write_text(file if isinstance(file, str) else json.dumps(file))
    return path


def test_a_users_own_file_is_read_like_the_packages(tmp_path):
    assert read_plans(written(tmp_path, told()))["topstep-50k"] == plan("topstep-50k")


def _drop(file, part, rule):
    del file["plans"][0][part][rule]


def _set(file, part, rule, value):
    file["plans"][0][part][rule] = value


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda f: _drop(f, "evaluation", "drawdown"),
            r"'topstep', evaluation lacks 'drawdown' \(drawdown: Distance",
        ),
        (lambda f: _drop(f, "fees", "reset"), "fees lacks 'reset'.*null where there is none"),
        (lambda f: _set(f, "funded", "spilt", {"is": 1, "from": "app"}), "no field 'spilt': did you mean 'split'"),
        (lambda f: f.pop("firm"), "the file lacks 'firm'"),
        (lambda f: f["plans"][0].pop("note"), "plan 'topstep' lacks 'note'"),
        (lambda f: f.update(plan=[]), "no field 'plan': did you mean 'plans'"),
        (lambda f: f["sources"]["app"].pop("read"), "source 'app' lacks 'read'"),
        (lambda f: _set(f, "funded", "split", {"is": 1.5, "from": "app"}), "split must be a share.*got 1.5"),
        (lambda f: _set(f, "funded", "split", {"is": None, "from": "app"}), "split must be a share.*got null"),
        (lambda f: _set(f, "funded", "split", {"is": True, "from": "app"}), "split must be a share.*got true"),
        (lambda f: _set(f, "funded", "split", {"is": 1}), 'split must say "from"'),
        (lambda f: _set(f, "funded", "split", {"is": 1, "from": "ap"}), "'ap', which is no source.*mean 'app'"),
        (lambda f: _set(f, "funded", "split", {"from": "app"}), 'split must be an object with "is"'),
        (lambda f: _set(f, "funded", "split", {"is": 1, "form": "app"}), "no field 'form': did you mean 'from'"),
        (lambda f: _set(f, "funded", "split", {"by_size": {"50k": 1}, "from": "app"}), "by_size has no '100k'"),
        (lambda f: _set(f, "funded", "drawdown_mode", {"is": "EOD", "from": "app"}), "'STATIC' or 'INTRABAR' or"),
        (lambda f: _set(f, "funded", "flat_by", {"is": "25:00", "from": "app"}), "flat_by must be an hour"),
        (lambda f: _set(f, "funded", "payout_caps", {"is": [1] * 7, "from": "app"}), "a list of dollars, 1 to 6"),
        (lambda f: _set(f, "funded", "scaling", {"is": [[0, 2], [0, 3]], "from": "app"}), "both rising"),
        (lambda f: _set(f, "funded", "scaling", {"is": [[5, 2]], "from": "app"}), "from a profit of 0 on"),
        (lambda f: _set(f, "funded", "daily_limit", {"is": 5, "from": "app"}), "daily_limit_ends go together"),
        (lambda f: f["plans"][0].update(sizes=["50"]), r"sizes must be a list of thousands"),
        (lambda f: f["plans"].append(f["plans"][0]), "the only one of its name"),
        (lambda f: f["plans"].append({"name": "x", "based_on": "topstp", "note": ""}), "did you mean 'topstep'"),
        (lambda f: f["plans"].append({"name": "x", "based_on": "topstep", "fess": {}, "note": ""}), "mean 'fees'"),
    ],
)
def test_what_a_file_lacks_or_has_too_much_is_named(change, complaint, tmp_path):
    file = told()
    change(file)
    with pytest.raises(PlanError, match=f"mine.json: .*{complaint}"):
        read_plans(written(tmp_path, file))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [('{"firm": 1, "firm": 2}', "'firm' stands twice"), ("{", "is no JSON"), ("[]", "must be an object")],
)
def test_what_is_no_file_of_plans(text, complaint, tmp_path):
    with pytest.raises(PlanError, match=complaint):
        read_plans(written(tmp_path, text))


def test_a_name_that_there_is_not():
    with pytest.raises(PlanError, match="there is no plan 'topstep-5k': did you mean 'topstep-50k'"):
        plan("topstep-5k")


# -- in words --


def test_a_plan_in_words():
    text = "\n".join(plan_lines(plan("topstep-50k")))
    for sentence in (
        "Passes at a profit of 3,000 dollars, when flat, while the best day is at most 50 % of the profit.",
        "Ends below a floor 2,000 dollars under the highest close of a day; it rises to the start and no further.",
        "By the profit at the end of the day before: 2 from a profit of 0, 3 from a profit of 1,500, 5 from a",
        "49 dollars for each month of the evaluation.",
        "help.futures.topstep.com/hc/en-us/articles/17972533195027, undated, read 2026-11-26:",
        "funded.payout_minimum: from memory, no page read gives one",
    ):
        assert sentence in text
    assert max(map(len, text.splitlines())) <= 110
    fixed = "\n".join(plan_lines(plan("mffu-flex-50k")))
    assert "a floor 2,000 dollars under the start, which never moves" in fixed


def test_the_table_has_a_row_for_each_plan():
    lines = table_lines(plans().values())
    rows = {line.split()[0]: line for line in lines[1:] if "-" in line}
    assert list(rows) == list(plans())
    assert rows["tpt-50k"].split() == [
        *("tpt-50k", "3,000", "2,000", "close", "of", "day", "-", "5", "50", "%", "170", "a", "month"),
        *("open", "profit", "-", "-", "80", "%"),
    ]
