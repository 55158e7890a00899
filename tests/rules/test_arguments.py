"""Every setting with a wrong type, sign, size or name: one sentence that names it. Generated from the fields."""

import dataclasses
import typing
from typing import Any

import numpy as np
import pytest

from purejaxrl_ppo import FitOptions, PPOConfig
from tests.rules.handmade import LEVEL, make_bars
from trading_gymnax import EnvParams, EnvParamsPhase2
from trading_gymnax.limits import ParameterRefused
from trading_gymnax.market import MarketData, pack
from trading_gymnax.params import numbers_of
from trading_gymnax.params_life import AccountLife, EnvParamsPhase2Life

WRONG: tuple[Any, ...] = (
    *("text", b"text", None, {}, [], (), object, 1j, float("nan"), float("inf"), -float("inf")),
    *(-1, -1.5, 0, 0.5, 2, True, 2**31, 2**32 + 1, 2**63, 10**30, -(10**30), 1e300, ("a",), [[1], [2, 3]]),
    *(np.array([1.0, 2.0]), np.datetime64("2025-03-03"), "2"),
)
SETTINGS = [(cls, field) for cls in (PPOConfig, FitOptions) for field in dataclasses.fields(cls)]
PARAMS = [(cls, field.name) for cls in (EnvParams, EnvParamsPhase2) for field in numbers_of(cls)]
PARAMS += [(EnvParamsPhase2Life, field.name) for field in numbers_of(AccountLife)]


def one_sentence(error: ValueError, *names: str) -> None:
    text = str(error)
    assert any(name in text for name in names), text
    assert "\n" not in text
    assert type(error) in (ValueError, ParameterRefused)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type, decided apart from the trainer's own check."""
    if typing.get_origin(hint) is typing.Literal:
        return value in typing.get_args(hint)
    if "UnionType" in type(hint).__name__:
        return any(fits(value, one) for one in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return type(value) is tuple and all(fits(one, typing.get_args(hint)[0]) for one in value)
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint or (hint.__name__ == "Path" and type(value) is str)


@pytest.mark.parametrize(("cls", "field"), SETTINGS, ids=lambda x: getattr(x, "name", getattr(x, "__name__", "")))
def test_a_wrong_setting_of_the_trainer_is_one_sentence(cls, field):
    hint = typing.get_type_hints(cls)[field.name]
    refused = 0
    for value in WRONG:
        try:
            cls(**{field.name: value})
        except ValueError as error:
            refused += 1
            # a number may also be refused for what it makes of another one
            one_sentence(error, field.name, "num_envs x num_steps", "num_steps", "num_envs", "hidden_sizes")
        else:
            assert fits(value, hint), value
    assert refused > len(WRONG) // 2


@pytest.mark.parametrize("field", dataclasses.fields(PPOConfig), ids=lambda field: field.name)
def test_a_misspelt_setting_names_the_right_one(field):
    wrong = field.name[:-1]
    with pytest.raises(ValueError, match=rf"no setting '{wrong}': did you mean '{field.name}'\?"):
        PPOConfig.from_dict({wrong: field.default})


@pytest.fixture(scope="module")
def market() -> MarketData:
    return pack([make_bars([(LEVEL,) * 4] * 10)])


@pytest.fixture(scope="module")
def made(market) -> dict[type, Any]:
    return {cls: cls.create(market) for cls in (EnvParams, EnvParamsPhase2, EnvParamsPhase2Life)}


@pytest.mark.parametrize(("cls", "name"), PARAMS, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_a_wrong_parameter_is_one_sentence_and_never_another_number(cls, name, made, market):
    refused = 0
    for value in WRONG:
        try:
            params = made[cls].replace(**{name: value})
        except ValueError as error:
            refused += 1
            one_sentence(error, name, "contracts of NQ")
            if value is not None or name != "reward_scale":  # None: the median
                with pytest.raises(ValueError, match=r".+"):
                    cls.create(market, **{name: value})
        else:
            got = np.asarray(getattr(params, name), np.float64)
            np.testing.assert_allclose(got, np.broadcast_to(np.asarray(value, np.float64), got.shape), rtol=1e-6)
    assert refused > len(WRONG) // 2


@pytest.mark.parametrize(("cls", "name"), PARAMS, ids=lambda x: x if isinstance(x, str) else x.__name__)
def test_a_misspelt_parameter_names_the_right_one(cls, name, made, market):
    wrong = name[:-1] + "_"
    for make in (made[cls].replace, lambda **fields: cls.create(market, **fields)):
        with pytest.raises(ValueError, match=rf"has no field '{wrong}': did you mean '{name}'\?"):
            make(**{wrong: 1})
