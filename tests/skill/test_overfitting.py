"""Many tries: CSCV against a second implementation, the package's SPA, the deflated ratio against its formula."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from trading_gymnax.skill.overfitting import (
    deflated,
    num_blocks,
    probability_of_overfitting,
    sharpe_variance,
    superior_ability,
)


def plain_cscv(nets: np.ndarray, blocks: int) -> tuple[float, float, list[float]]:
    """The paper's algorithm word for word: matrices joined from blocks, a loop over all choices."""
    parts = np.array_split(nets, blocks)
    logits, losses = [], 0
    for half in itertools.combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[at] for at in half])
        outside = np.concatenate([parts[at] for at in range(blocks) if at not in half])
        ratios_in = [column.mean() / column.std() if column.std() else 0.0 for column in inside.T]
        ratios_out = [column.mean() / column.std() if column.std() else 0.0 for column in outside.T]
        best = int(np.argmax(ratios_in))
        below = sum(other < ratios_out[best] for other in ratios_out)
        same = sum(other == ratios_out[best] for other in ratios_out)
        share = (below + (same + 1) / 2) / (len(ratios_out) + 1)
        logits.append(math.log(share / (1 - share)))
        losses += outside[:, best].mean() < 0
    return sum(x <= 0 for x in logits) / len(logits), losses / len(logits), logits


@pytest.mark.parametrize(("days", "settings", "blocks"), [(24, 2, 4), (53, 7, 8), (60, 16, 10)])
def test_cscv_is_that_of_a_second_implementation(days, settings, blocks):
    rng = np.random.default_rng(days)
    nets = rng.normal(20, 300, (days, settings))
    nets[:, 0] = 0.0  # one that never trades
    found = probability_of_overfitting(nets, blocks)
    pbo, loss, logits = plain_cscv(nets, blocks)
    np.testing.assert_allclose(found.logits, logits, rtol=0, atol=1e-6)
    assert found.pbo == pytest.approx(pbo, abs=1e-6)
    assert found.loss == pytest.approx(loss, abs=1e-6)


def test_near_a_half_on_noise_and_near_zero_on_an_edge():
    """Mean over 40 tables of noise; each has a spread of its own. One setting with an edge is the best everywhere."""
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 100, (40, 48, 12))
    pbo = np.array([probability_of_overfitting(table, 8).pbo for table in noise])
    assert abs(pbo.mean() - 0.5) < 3 * pbo.std() / math.sqrt(len(pbo))
    noise[:, :, 3] += 100.0
    assert np.mean([probability_of_overfitting(table, 8).pbo for table in noise]) < 0.02


def test_blocks():
    assert [num_blocks(days) for days in (1, 7, 8, 20, 31, 32, 500)] == [0, 2, 4, 10, 14, 16, 16]
    for blocks, days in ((3, 20), (2, 20), (8, 7)):
        with pytest.raises(ValueError, match="an even number of blocks"):
            probability_of_overfitting(np.zeros((days, 2)), blocks)
    with pytest.raises(ValueError, match="two settings or more"):
        probability_of_overfitting(np.zeros((20, 1)))


def test_spa_is_that_of_the_package():
    from arch.bootstrap import SPA

    nets = np.random.default_rng(2).normal(30, 200, (60, 9))
    reference = SPA(np.zeros(60), -nets, reps=2_000, seed=0)
    reference.compute()
    found = superior_ability(nets)
    assert found.spa == pytest.approx(reference.pvalues["consistent"], abs=1e-6)
    assert found.reality_check == pytest.approx(reference.pvalues["upper"], abs=1e-6)
    with_idle = np.concatenate([nets, np.zeros((60, 1))], axis=1)
    assert superior_ability(with_idle) == found  # one that never trades is left out
    assert math.isnan(superior_ability(np.zeros((60, 2))).spa)
    assert math.isnan(superior_ability(nets[:7]).spa)


def test_spa_finds_an_edge_and_none_in_noise():
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 100, (60, 16))
    noise -= noise.mean(axis=0)
    assert superior_ability(noise).spa > 0.5
    noise[:, 5] += 60.0
    found = superior_ability(noise)
    assert found.spa <= found.reality_check < 0.01


def test_the_deflated_ratio_is_that_of_its_formula():
    """Bailey & Lopez de Prado 2014 by hand, with the variance between the settings."""
    nets = np.random.default_rng(4).normal(40, 200, (80, 5))
    ratios = nets.mean(axis=0) / nets.std(axis=0, ddof=1)
    variance = ratios.var(ddof=1)
    assert sharpe_variance(nets) == pytest.approx(variance, abs=1e-12)
    trials, g = 30, 0.5772156649015329
    best = math.sqrt(variance) * (
        (1 - g) * stats.norm.ppf(1 - 1 / trials) + g * stats.norm.ppf(1 - 1 / trials / math.e)
    )
    column = nets[:, 2]
    skew, kurtosis = stats.skew(column), stats.kurtosis(column) + 3
    spread = math.sqrt(1 - skew * ratios[2] + (kurtosis - 1) / 4 * ratios[2] ** 2)
    expected = stats.norm.cdf((ratios[2] - best) * math.sqrt(79) / spread)
    assert deflated(nets, 2, trials) == pytest.approx(expected, abs=1e-6)
    assert sharpe_variance(nets[:, :1]) is None
