"""The search: it finds what is plainly best, equals single runs, and survives what becomes NaN."""

import csv
import dataclasses
import re
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import struct
from gymnax.environments import environment

from purejaxrl_ppo import PPOConfig, SweepResult, make_train, parse_command_line, sweep
from purejaxrl_ppo.cli.commands import commands
from purejaxrl_ppo.presets import preset
from purejaxrl_ppo.sweep.halving import survivors
from purejaxrl_ppo.sweep.report import draw_sweep, table_rows, table_text, train_command, write_table
from purejaxrl_ppo.sweep.run import _programs
from tests.ppo.probes import BoxTarget, MarketTable, Table, no_bars_left, table

ENV = Table()
CONFIG = PPOConfig(num_envs=8, num_steps=16, total_timesteps=8 * 16 * 8, hidden_sizes=(8,), normalise_rewards=False)
BANDIT = table(reward=[[0.0, 1.0, 0.0]] * 4, limit=3)  # the second arm pays 1, the others nothing
RATES = {"learning_rate": (1e-8, 1e-1)}
SIZES: dict[str, Any] = {"configurations": 8, "seeds": 2, "rungs": (0.25, 0.5), "eval_episodes": 32}


@struct.dataclass
class SizedParams(environment.EnvParams):
    shape: jax.Array = None


class Sized(BoxTarget):
    """Observations as long as the parameters say."""

    def reset_env(self, key: Any, params: Any) -> Any:
        return params.shape, super().reset_env(key, params)[1]

    def step_env(self, key: Any, state: Any, action: Any, params: Any) -> Any:
        return params.shape, *super().step_env(key, state, action, params)[1:]


def search(params: Any = BANDIT, ranges: Any = RATES, **changes: Any) -> SweepResult:
    """Eight configurations of two seeds; every call with blocks of four runs is the same program."""
    options = {**SIZES, "runs_at_once": 4, **changes}
    return sweep(ENV, params, CONFIG, ranges, **options)


@pytest.fixture(scope="module")
def lines() -> list[str]:
    return []


@pytest.fixture(scope="module")
def found(lines) -> SweepResult:
    return search(report=lines.append)


def test_the_search_finds_the_rate_that_learns(found, lines):
    rates = found.hyperparameters["learning_rate"]
    assert rates[found.winner] > 1e-3
    assert found.scores[found.winner, -1] > 0.9  # nearly always the arm that pays
    assert (rates < 1e-5).sum() >= 2
    assert (found.last_scores[rates < 1e-5] < 0.6).all()  # nearly as they began, with a third
    assert found.steps == (256, 512, 1024)
    assert found.config_of(found.winner).learning_rate == pytest.approx(float(rates[found.winner]), rel=1e-7)
    assert [line.partition(", best")[0] for line in lines] == [
        "8 configurations x 2 seeds = 16 runs of 8 iterations of 8 x 16 = 1,024 steps",
        "256 steps: 8 configurations",
        "512 steps: 4 configurations",
        "1,024 steps: 2 configurations",
    ]
    assert lines[1].endswith("; 4 go on")
    assert found.diverged.tolist() == [0] * 8


def test_the_worse_half_goes_at_every_rung(found):
    assert sorted(found.rungs_reached.tolist()) == [1, 1, 1, 1, 2, 2, 3, 3]
    assert np.flatnonzero(found.rungs_reached > 1).tolist() == survivors(found.scores[:, 0], 2).tolist()
    second = np.flatnonzero(found.rungs_reached > 1)
    assert np.flatnonzero(found.rungs_reached > 2).tolist() == second[survivors(found.scores[second, 1], 2)].tolist()
    best, other = found.ranking[:2]
    assert found.scores[best, -1] >= found.scores[other, -1]
    assert (np.diff(found.rungs_reached[found.ranking]) <= 0).all()


def test_runs_of_a_search_equal_single_ones(found):
    """On the schedule of the whole budget, also for those that are dropped on the way."""
    train = jax.jit(make_train(ENV, CONFIG))
    dropped = int(found.ranking[-1])
    for i in (found.winner, dropped):
        for seed in range(2):
            hyper = found.config_of(i).hyperparameters
            single = np.asarray(train(jax.random.key(seed), BANDIT, hyper).metrics["episode_return"])
            for rung in range(found.rungs_reached[i]):
                assert found.train_returns[i, rung, seed] == pytest.approx(single[(1, 3, 7)[rung]], abs=1e-5)
    assert np.isnan(found.train_returns[dropped, 1:]).all()


@pytest.mark.slow
def test_blocks_of_another_size_find_the_same(found):
    env = MarketTable()
    other = sweep(
        env, BANDIT, CONFIG, RATES, **SIZES, runs_at_once=6
    )  # 16 runs as 3 x 6, two of them twice; 8 as 2 x 4; 4 as 1 x 4
    np.testing.assert_allclose(other.train_returns, found.train_returns, atol=1e-5)
    np.testing.assert_allclose(other.scores, found.scores, atol=1e-5)
    assert other.programs == _programs(env, CONFIG, None, 32, 10_000)[1]._cache_size() == 2
    bars = weakref.ref(env.bars)
    del env
    assert no_bars_left(bars)


def test_one_size_of_block_is_one_program(found):
    init, stage = _programs(ENV, CONFIG, None, 32, 10_000)
    before = init._cache_size(), stage._cache_size()
    search(ranges={"learning_rate": (1e-4, 1e-2), "gamma": (0.9, 0.99), "ent_coef": (1e-3, 1e-1)})
    search(rungs=(), configurations=2, key=jax.random.key(3))
    assert (init._cache_size(), stage._cache_size()) == before
    assert found.programs == 1


def test_it_is_judged_on_the_validation_parameters():
    against = table(reward=[[0.0, -1.0, 0.0]] * 4, limit=3)  # what training teaches is punished here
    result = search(validation_params=against)
    rates = result.hyperparameters["learning_rate"]
    assert rates[result.winner] < 1e-3
    assert rates.max() > 1e-2
    assert result.rungs_reached[rates.argmax()] == 1
    assert result.scores[result.winner, -1] <= 0 <= result.train_returns[result.winner, -1].min()


def test_a_configuration_that_becomes_nan_is_reported_and_dropped(tmp_path):
    lines: list[str] = []
    result = search(ranges={"learning_rate": (1e-4, 1e30)}, report=lines.append)
    rates = result.hyperparameters["learning_rate"]
    lost = result.diverged > 0
    assert 1 <= lost.sum() <= 7
    assert rates[lost].min() > rates[~lost].max()
    assert (result.last_scores[lost] == -np.inf).all()
    assert np.isfinite(result.last_scores[~lost]).all()
    assert result.winner in np.flatnonzero(~lost)
    assert f"{lost.sum()} became NaN or infinite" in lines[1]
    write_table(result, tmp_path / "sweep.csv")
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sorted(int(row["configuration"]) for row in rows if row["diverged"]) == np.flatnonzero(lost).tolist()
    assert {row["score"] for row in rows if row["diverged"]} == {"-inf"}
    assert "NaN or infinite in iteration 1" in table_text(result)
    draw_sweep(result, tmp_path / "sweep.png")


def test_when_all_become_nan_there_is_no_winner():
    result = search(ranges={"learning_rate": (1e29, 1e30)})
    assert (result.diverged > 0).all()
    assert (result.rungs_reached == 1).all()
    with pytest.raises(
        FloatingPointError, match="no configuration is left, all that were not dropped became NaN or infinite: lower"
    ):
        _ = result.winner


def test_one_that_is_lost_at_the_end_is_no_winner(found, tmp_path):
    scores = found.seed_scores.copy()
    scores[found.winner, -1, 1] = -np.inf
    second = dataclasses.replace(found, seed_scores=scores)
    assert second.winner == found.ranking[1]
    scores[second.winner, -1] = -np.inf
    none = dataclasses.replace(found, seed_scores=scores)
    with pytest.raises(FloatingPointError, match="no configuration is left"):
        _ = none.winner
    draw_sweep(none, tmp_path / "sweep.png")
    assert table_rows(none)[0]["score_std"] is None


def test_the_table_tells_what_the_result_holds(found, tmp_path):
    rows = table_rows(found)
    assert [row["rank"] for row in rows] == list(range(1, 9))
    first = rows[0]
    assert first["configuration"] == found.winner
    assert first["score"] == found.scores[found.winner, -1] == first["score_at_1024"]
    assert np.float32(first["learning_rate"]) == found.hyperparameters["learning_rate"][found.winner]
    assert first["steps"] == 1024
    assert rows[-1]["steps"] == 256
    assert rows[-1]["score_at_512"] is None
    assert first["score_std"] == pytest.approx(np.std(found.seed_scores[found.winner, -1]))
    text = table_text(found).splitlines()
    assert re.split(r"\s{2,}", text[0].strip()) == [
        *("rank", "learning_rate", "steps", "score", "+-", "training", "remark")
    ]
    assert len(text) == 9
    draw_sweep(found, tmp_path / "sweep.png")
    assert (tmp_path / "sweep.png").read_bytes()[:4] == b"\x89PNG"


def test_the_command_trains_the_winner_to_the_last_bit():
    default = preset("CartPole-v1")
    config = dataclasses.replace(
        default,
        learning_rate=float(str(np.float32(0.00123456789))),
        gamma=float(str(np.float32(0.987654321))),
        hidden_sizes=(8, 16),
        normalise_observations=True,
        target_kl=0.02,
        log_info=("x",),
        num_envs=16,
    )
    words = train_command("CartPole-v1", config, default, {"env_params": ("gravity=9.0",), "env_args": ()}).split()
    assert words[:3] == ["purejaxrl-ppo", "train", "CartPole-v1"]
    command = parse_command_line(commands(words[1:]), prog="purejaxrl-ppo", args=words[1:], description="")
    assert command.config == config
    assert command.env_params == ("gravity=9.0",)
    assert np.float32(command.config.learning_rate) == np.float32(0.00123456789)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"configurations": 1}, "configurations=1 must be a whole number, 2 or more"),
        ({"seeds": 0}, "seeds=0 must be a whole number, 1 or more"),
        ({"seeds": 1.5}, "seeds=1.5 must be a whole number"),
        ({"eta": 1}, "eta=1 must be a whole number, 2 or more"),
        ({"runs_at_once": 0}, "runs_at_once=0 must be a whole number, 1 or more"),
        ({"eval_episodes": 0}, "eval_episodes=0 must be a whole number, 1 or more"),
        ({"rungs": (0.5, 0.2)}, "rungs are fractions of the budget"),
        ({"ranges": {"gamma": (0.9, 1.1)}}, "gamma=1.1 must lie between 0 and 1"),
    ],
)
def test_wrong_numbers(changes, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        search(**changes)


def test_validation_of_another_kind_and_transforms_are_refused():
    env = Sized()
    three, four = (SizedParams(shape=jnp.zeros(n)) for n in (3, 4))
    with pytest.raises(ValueError, match="validation_params make an environment of other observations or actions"):
        sweep(env, three, CONFIG, RATES, validation_params=four)
    with pytest.raises(ValueError, match="sweep runs on the host: it cannot run inside jit, vmap or grad"):
        jax.jit(search)(BANDIT)
