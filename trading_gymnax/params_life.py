"""`EnvParamsLife`: the parameters of `parameters_life` as traced arrays, cast, derived and checked."""

from __future__ import annotations

from flax import struct

from trading_gymnax.parameters_life import MAX_FEE_USD as MAX_FEE_USD
from trading_gymnax.parameters_life import AccountLife as AccountLife
from trading_gymnax.parameters_life import ParametersLife, ParametersPhase2Life
from trading_gymnax.parameters_life import life_table as life_table  # where users look for it
from trading_gymnax.params import EnvParams, EnvParamsPhase2, casting_replace


@casting_replace
@struct.dataclass(frozen=True)
class EnvParamsLife(ParametersLife, EnvParams):
    """Parameters of phase 1 with `account_life=True`: the market's, and those of the account's life behind them."""


@casting_replace
@struct.dataclass(frozen=True)
class EnvParamsPhase2Life(ParametersPhase2Life, EnvParamsPhase2):
    """Parameters of phase 2 with `account_life=True`."""


def of_one_session(params: EnvParams) -> EnvParams:
    """The parameters for sessions that are played one by one, each on a fresh evaluation: no phase follows another.

    Those without a life are given back.
    """
    if not isinstance(params, AccountLife):
        return params
    return params.replace(funded_phase=False, start_funded=False, session_limit=0)
