"""Every code of the rules has a name and a place in the books."""

import ast
import pathlib

import numpy as np
import pytest

import trading_gymnax
from trading_gymnax import TradingPhase1, TradingPhase2, rules
from trading_gymnax.evaluation import codes
from trading_gymnax.report.sections import ACTION_STYLES
from trading_gymnax.rules import DoneReason, ExitReason


@pytest.mark.parametrize(
    ("names", "numbers"), [(rules.EXIT_REASONS, ExitReason), (rules.DONE_REASONS, DoneReason)], ids=["exit", "done"]
)
def test_names_and_numbers_agree(names, numbers):
    assert {name: getattr(numbers, name) for name in names} == {name: at for at, name in enumerate(names)}
    assert {name for name in vars(numbers) if name.isupper()} == set(names)


def test_modes_and_actions_have_their_numbers():
    modes = rules.BAR_CLOSE, rules.INTRABAR, rules.END_OF_DAY
    assert dict(zip(rules.HIGH_WATER_MODES, modes, strict=True)) == {"BAR_CLOSE": 0, "INTRABAR": 1, "END_OF_DAY": 2}
    names = TradingPhase2.action_names
    assert [getattr(rules, name) for name in names] == list(range(6))
    assert TradingPhase1.action_names == names[:3]
    assert set(ACTION_STYLES) == set(names) - {"HOLD"}


def test_every_exit_fills_somewhere():
    places = [codes.exits(place) for place in (codes.AT_LEVEL, codes.AT_TARGET, codes.AT_CLOSE)]
    assert sorted(code for place in places for code in place) == list(range(1, len(rules.EXIT_REASONS)))
    own = codes.exits(codes.AT_LEVEL, by=codes.OWN)
    assert [rules.EXIT_REASONS[code] for code in own] == ["STOP", "TRAIL", "BREAKEVEN"]
    fates = [codes.done(fate) for fate in (codes.BREACHED, codes.LAPSED, codes.PASSED, codes.ENDED)]
    assert sorted(code for fate in fates for code in fate) == list(range(1, len(rules.DONE_REASONS)))
    assert codes.among(np.array([0, 1, 3, 8]), own).tolist() == [False, True, True, False]


def test_a_reason_that_the_books_do_not_know_stops_the_import():
    with pytest.raises(LookupError, match="exit reasons MARGIN_CALL: "):
        codes.check_complete((*rules.EXIT_REASONS, "MARGIN_CALL"), codes._EXITS, "exit reasons")
    with pytest.raises(LookupError, match="done reasons LAST_PAYOUT: "):
        codes.check_complete(rules.DONE_REASONS[:-1], codes._DONE, "done reasons")


@pytest.mark.parametrize("folder", ["evaluation", "survival", "live", "skill", "walkforward", "report", "cli"])
def test_book_keepers_ask_the_table_and_name_no_reason_of_an_account(folder):
    """What a new rule of an account ends or closes would be missed where reasons are listed by hand."""
    named = set()
    for path in (pathlib.Path(trading_gymnax.__file__).parent / folder).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            owner = getattr(node, "value", None) if isinstance(node, ast.Attribute) else None
            if getattr(owner, "id", getattr(owner, "attr", None)) in ("ExitReason", "DoneReason"):
                named.add(node.attr)
    assert named <= {"NONE", "STOP", "SESSION_END", "DATA_END"}


@pytest.mark.parametrize("code", [-1, 9])
def test_a_code_without_a_name_is_not_booked(code):
    codes.check_known(np.arange(9), rules.EXIT_REASONS, "the exit reason")
    with pytest.raises(AssertionError, match=f"the exit reason {code} has no name"):
        codes.check_known(np.array([0, code]), rules.EXIT_REASONS, "the exit reason")
