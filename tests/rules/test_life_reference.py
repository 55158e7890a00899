"""What a day's end makes of thousands of random accounts: `life` and the reference, number by number, in one program.

Amounts are few and round, so that every limit is often met to the cent. The parity tests play whole lives; this one
needs a second, and is what mutants of `life` meet first.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tests import quick
from tests.rules.handmade import make_bars
from tests.rules.parity import random_life, random_params
from tests.rules.scenarios_life import days
from trading_gymnax import life
from trading_gymnax.params import numbers_of
from trading_gymnax.params_life import EnvParamsLife
from trading_gymnax.phase1 import EnvStateLife
from trading_gymnax.reference import LIMIT_OFF, Fill
from trading_gymnax.reference_life import ReferenceLifeEnv, ReferenceLifeState

START = 5_000_000
IN_FORCE = (
    *("floor_lock", "high_water_mode", "daily_loss_limit", "daily_loss_fails", "profit_target"),
    *("position_size", "max_contracts"),
)
KEPT = [field.name for field in dataclasses.fields(life.LifeFields)]
KEPT += ["balance", "equity", "high_water_mark", "trailing_limit", "floor"]
SAID = ("paid_out", "fees", "paid_out_cents", "fees_cents", "payouts", "funded")
DAY = ("breached", "reached", "must_flat", "idle")


def round_plan(rng: np.random.Generator, plan: dict[str, Any]) -> dict[str, Any]:
    """The same plan in few, round amounts, with goals that are met as often as not."""

    def amount(value: float) -> float:
        return value if np.isinf(value) else max(5.0 * round(value / 25), 0.0)

    shares = {"payout_share": 0.5, "payout_split": 0.9, "consistency": 0.5, "payout_consistency": 0.5}
    coarse = {name: share if rng.random() < 0.7 else plan[name] for name, share in shares.items()}
    targets = ("profit_target", "payout_buffer", "winning_day_profit", "payout_winning_day_profit", "payout_minimum")
    coarse |= {name: max(amount(plan[name]), 0.01) for name in targets}
    for prefix in ("", "funded_"):
        steps = plan[f"{prefix}scaling_profit"]
        coarse[f"{prefix}scaling_profit"] = [5.0 * np.rint(step / 100) for step in steps]
    coarse["payout_cap"] = [max(amount(cap), 5.0) for cap in plan["payout_cap"]]
    coarse["session_limit"] = int(rng.choice([0, 20, 21, 22]))
    coarse |= {"initial_balance": 50_000.0, "position_size": int(rng.integers(1, 6))}
    return plan | coarse


def random_accounts(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Fields of states, int32 [count]; accounts are flat where a day can end."""

    def dollars(low: int, high: int) -> np.ndarray:
        return 500 * rng.integers(low, high, count)

    balance = START + dollars(-20, 40)
    position = (rng.random(count) < 0.05).astype(int)
    trades = rng.integers(0, 9, count)
    return {
        "position": position,
        "initial_balance": np.full(count, START),
        "balance": balance,
        "equity": balance + position * 700,
        "high_water_mark": balance + dollars(0, 20),
        "trailing_limit": np.where(rng.random(count) < 0.1, LIMIT_OFF, 200_000),
        "floor": START + dollars(-60, 10),
        "session_start_equity": balance - dollars(-10, 20),
        "session_number": rng.choice([1, 19, 20, 21, 22, 42], count),
        "num_trades": trades,
        "funded": rng.random(count) < 0.5,
        "cycle_start": balance - dollars(-5, 30),
        "days_traded": rng.integers(0, 4, count),
        "days_won": rng.integers(0, 3, count),
        "best_day": dollars(0, 20),
        "won_profit": dollars(0, 30),
        "trades_before": trades - rng.integers(0, 2, count),
        "payouts": rng.integers(0, 8, count),
        "paid_out": rng.integers(0, 100_000, count),
        "fees": rng.integers(0, 100_000, count),
        "withdrawn": rng.integers(0, 100_000, count),
    }


class Cases(NamedTuple):
    """Random accounts at a close, and what the reference makes of them; leaves [N, ...]."""

    params: EnvParamsLife
    axes: EnvParamsLife  # of `params`, for vmap
    state: EnvStateLife
    day: dict[str, np.ndarray]
    expected: dict[str, np.ndarray]


@functools.cache
def cases() -> Cases:
    """Made without JAX, so that the processes of the mutation tests share them."""
    rng, count = np.random.default_rng(11), 2_000
    plans = [round_plan(rng, random_params(rng, 1) | random_life(rng)) for _ in range(count)]
    fields = random_accounts(rng, count)
    flat = fields["position"] == 0
    day = {name: flat & (rng.random(count) < share) for name, share in zip(DAY, (0.1, 0.2, 0.7, 0.05), strict=True)}
    rows, keywords = days(0, 0)
    reference = ReferenceLifeEnv([make_bars(rows, **keywords)], account_features=True)
    seen = [
        closed(reference, plan, {name: x[i].item() for name, x in fields.items()}, {k: x[i] for k, x in day.items()})
        for i, plan in enumerate(plans)
    ]
    dtypes = {field.name: field.metadata["dtype"] for field in numbers_of(EnvParamsLife)}
    names = set(plans[0]) - {"commission_per_side", "reward_scale"}  # of a market, and not of an account
    params = {name: np.array([plan[name] for plan in plans], dtypes[name]) for name in names}
    state = dict.fromkeys(EnvStateLife.__dataclass_fields__, np.zeros(count, np.int32))
    state |= {name: x if x.dtype == bool else x.astype(np.int32) for name, x in fields.items()}
    return Cases(
        EnvParamsLife(**params),
        EnvParamsLife(**{name: 0 if name in names else None for name in EnvParamsLife.__dataclass_fields__}),
        EnvStateLife(**state),
        day,
        {name: np.array([one[name] for one in seen]) for name in seen[0]},
    )


def closed(env: ReferenceLifeEnv, plan: dict[str, Any], fields: dict[str, Any], day: dict[str, Any]) -> dict[str, Any]:
    """What the reference says of one account at a close."""
    env.params = dataclasses.replace(env.params, **plan)
    env.state = ReferenceLifeState(market_id=0, step_idx=390, **fields)
    fill = Fill(390, 391, bool(day["must_flat"]), breached=bool(day["breached"]))
    found: dict[str, Any] = {"features": env._life_block()}
    with env._phase():
        found |= {name: getattr(env.params, name) for name in IN_FORCE}
        found["reason"] = -1 if day["idle"] else int(env._terminal_reason(fill, bool(day["reached"])))
    found["over"], found["passed"] = fill.must_flat or fill.passed, fill.passed
    said = env._info(fill)
    found |= {f"said_{name}": said[name] for name in SAID}
    return found | {name: getattr(env.state, name) for name in KEPT}


def end_of_day(state: Any, day: dict[str, Any], params: Any) -> dict[str, Any]:
    """The same of `life`; `reason` counts where something was there to trade."""
    used = life.in_force(state, params)
    after, reason, over = life.end_of_step(state, *(day[name] for name in DAY), used)
    found = {"features": life.features(state, params), "over": over, "reason": jnp.where(day["idle"], -1, reason)}
    found |= {name: getattr(used, name) for name in IN_FORCE}
    said = life.info(after)
    found |= {f"said_{name}": said[name] for name in SAID}
    return found | {name: getattr(after, name) for name in KEPT}


def test_the_end_of_a_day_is_that_of_the_reference():
    params, axes, state, day, expected = cases()
    mine = jax.jit(jax.vmap(end_of_day, (0, 0, axes)), compiler_options=quick.OPTIONS)(state, day, params)
    assert set(mine) == set(expected) - {"passed"}
    for name, found in mine.items():
        if name in ("features", "said_paid_out", "said_fees"):
            np.testing.assert_allclose(found, expected[name].astype(np.float32), rtol=1e-5, atol=1e-5, err_msg=name)
        else:
            theirs = expected[name].astype(np.asarray(found).dtype)
            np.testing.assert_array_equal(found, theirs, err_msg=name)
    assert set(expected["reason"]) >= {-1, 0, 1, 2, 3, 7, 8}
    assert expected["passed"].sum() > 100
    assert (expected["payouts"] > state.payouts).sum() > 100
