"""The permutation test: its p-value by hand, that it is uniform where nothing can be learnt, and its power."""

import functools

import numpy as np
import pytest
from scipy import stats

from tests.skill.small import env_of, fitted, source
from trading_gymnax.skill.nulls import NULLS
from trading_gymnax.skill.permutation import PermutationTest, permutation_test, sequential_p_value


@pytest.mark.parametrize(
    ("real", "nulls", "enough", "expected"),
    [
        (5.0, [1, 2, 3, 4], 3, (1 / 5, 0, 4, False)),  # none as good: the real one is one of five
        (5.0, [5, 2, 9, 4], 3, (3 / 5, 2, 4, False)),  # a tie counts
        (5.0, [6, 2, 9, 4, 8, 8], 2, (2 / 3, 2, 3, True)),  # the second exceedance is the third tape
        (5.0, [9], 1, (1.0, 1, 1, True)),
        (5.0, [], 1, (1.0, 0, 0, False)),
    ],
)
def test_sequential_p_value(real, nulls, enough, expected):
    found = sequential_p_value(real, nulls, enough)
    assert (found.p_value, found.exceedances, found.tapes, found.stopped) == expected
    assert found.error == np.sqrt(expected[0] * (1 - expected[0]) / max(expected[2], 1))


def test_sequential_p_value_is_valid():
    """Under the null p <= a comes with a chance of at most a, and of a where a can be reached: 20,000 draws, N = 19."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20_000, 20))
    p = np.array([sequential_p_value(row[0], row[1:], 5).p_value for row in values])
    for level in (0.05, 0.1, 0.2, 0.25, 0.5):
        share = (p <= level).mean()
        error = np.sqrt(level * (1 - level) / len(p))
        assert share < level + 3 * error
        if level in (0.05, 0.1, 0.2, 0.25):  # k / 20, and with five exceedances 5 / 20
            assert share > level - 3 * error


@pytest.fixture(scope="module")
def small():
    bars = source(16, 0)
    return bars, env_of(bars)


def draw_of(bars, null="bars"):
    return lambda number: bars.drawn(null, 0, number) if number else bars.real()


HELD_OUT = "2025-01-20"  # the last six of 16 sessions


class Learner:
    """`fitted`, which remembers what it was asked for and what was taken from it."""

    def __init__(self) -> None:
        self.seeds, self.groups = [], []

    def __call__(self, env, params, seeds):
        self.groups.append(len(seeds))
        for seed, policy in zip(seeds, fitted(env, params, seeds), strict=True):
            self.seeds.append(seed)
            yield policy


def test_all_tapes_are_learnt_and_judged_as_the_real_one(small):
    bars, env = small
    learn, told, kept = Learner(), [], {}
    found = permutation_test(
        learn,
        env,
        draw_of(bars),
        HELD_OUT,
        tapes=6,
        enough=7,
        seeds=2,
        at_once=3,
        keep=kept.__setitem__,
        progress=lambda *said: told.append(said),
    )
    assert learn.seeds == [1000 * tape + seed for tape in range(7) for seed in (0, 1)]
    assert learn.groups == [6, 6, 6]  # the last one filled up, and not asked for
    assert len(found.tapes) == 6
    assert found.real == kept[0]
    assert found.tapes == tuple(kept[number] for number in range(1, 7))
    assert len(set(found.tapes)) > 3
    assert told[0] == (1, 7, "the real bars")
    assert told[-1] == (7, 7, "tape 6")
    assert found.held_out == "2025-01-20 to 2025-01-27"
    values = found.to_dict()
    assert values["p"]["p_value"] == found.found.p_value
    assert values["real_usd"] == pytest.approx(np.mean(found.real))


def test_it_stops_when_the_answer_is_clear_and_goes_on_where_it_stopped(small):
    bars, env = small
    whole = permutation_test(fitted, env, draw_of(bars), HELD_OUT, tapes=8, enough=9)
    kept = {0: whole.real, 1: whole.tapes[0], 2: whole.tapes[1]}
    learn = Learner()
    again = permutation_test(learn, env, draw_of(bars), HELD_OUT, tapes=8, enough=9, known=kept)
    assert again == whole
    assert learn.seeds == [1000 * tape for tape in range(3, 9)]
    better = (-1e9, *[nets[0] for nets in whole.tapes])  # a real result that every tape exceeds
    learn = Learner()
    stopped = permutation_test(
        learn, env, draw_of(bars), HELD_OUT, tapes=8, enough=3, known={0: (better[0],)}, at_once=2
    )
    assert stopped.found.stopped
    assert stopped.found.tapes == 3
    assert learn.seeds == [1000, 2000, 3000]
    assert stopped.found.p_value == 1.0


def test_verdicts():
    nulls = tuple((float(x),) for x in range(-20, 0))

    def found(real, tapes=nulls):
        return PermutationTest("bars", "2025", 1, (real,), tapes, 10)

    assert found(5.0).verdict.startswith("It is UNLIKELY TO BE LUCK: +5 dollars a session on 2025, mean of 1 seed")
    assert "p = 0.048" in found(5.0).verdict
    assert found(-3.5).verdict.startswith("It CANNOT BE TOLD FROM LUCK")
    assert found(5.0, nulls[:4]).verdict.startswith("TOO FEW TAPES to tell")


def test_numbers_that_cannot_be(small):
    bars, env = small
    with pytest.raises(ValueError, match="needs a tape, an exceedance"):
        permutation_test(fitted, env, draw_of(bars), HELD_OUT, tapes=0)


def p_value(seed: int, drift: float, null: str, tapes: int = 19) -> float:
    bars = source(20, seed, drift)
    env = shared_env()
    draw = draw_of(bars, null)
    found = permutation_test(fitted, env, draw, "2025-01-22", null=null, tapes=tapes, enough=tapes + 1)
    return found.found.p_value


@functools.cache
def shared_env():
    return env_of(source(20, 0))


@pytest.mark.slow
@pytest.mark.parametrize("null", NULLS)
def test_p_values_are_uniform_where_nothing_can_be_learnt(null):
    """100 martingales. A p-value on 19 tapes is a multiple of 1/20, so it is spread over the step below it."""
    spread = np.random.default_rng(1).random(100) / 20
    p = np.array([p_value(seed, 0.0, null) for seed in range(100)])
    found = stats.kstest(p - spread, "uniform").pvalue
    print(f"null {null}: Kolmogorov-Smirnov p = {found:.2f} over {len(p)} p-values, {np.mean(p <= 0.05):.0%} at 5 %")
    assert found > 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("drift", "least"), [(1 / 3, 0.9), (1 / 6, 0.3)])
def test_power(drift, least):
    """Share of 40 tapes of 20 short sessions at which an edge is found at 5 %, with 39 null tapes each."""
    found = np.mean([p_value(seed, drift, "bars", 39) <= 0.05 for seed in range(40)])
    print(f"power at a drift of {drift:.2f}: {found:.0%}")
    assert found >= least
