"""GAE and PPO loss against independent loops and numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purejaxrl_ppo.losses import add_terms, explained_variance, gae, ppo_loss, squared_errors, standard, standardise


def slow_gae(rewards, values, last, final, terminated, truncated, gamma, lam):
    """Advantages of one environment by the definition, in float64: a sum over the rest of the episode."""
    steps = len(rewards)
    advantages = np.zeros(steps)
    for t in range(steps):
        weight = 1.0
        for k in range(t, steps):
            after = last if k == steps - 1 else values[k + 1]
            if truncated[k]:
                after = final[k]
            if terminated[k]:
                after = 0.0
            advantages[t] += weight * (rewards[k] + gamma * after - values[k])
            if terminated[k] or truncated[k]:
                break
            weight *= gamma * lam
    return advantages


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.floats(0, 1))
def test_gae_equals_the_definition(seed, gamma, lam):
    rng = np.random.default_rng(seed)
    steps, batch = 12, 3
    rewards, values, final = (rng.normal(size=(steps, batch)) for _ in range(3))
    last = rng.normal(size=batch)
    terminated, truncated = (rng.random((steps, batch)) < 0.2 for _ in range(2))  # both at once happens too
    got, targets = fast_gae(*map(jnp.float32, (rewards, values, last, final)), terminated, truncated, gamma, lam)
    for b in range(batch):
        columns = (x[:, b] for x in (rewards, values))
        flags = (x[:, b] for x in (terminated, truncated))
        want = slow_gae(*columns, last[b], final[:, b], *flags, gamma, lam)
        np.testing.assert_allclose(got[:, b], want, atol=2e-5)
        np.testing.assert_allclose(targets[:, b], want + values[:, b], atol=2e-5)


def test_gae_by_hand():
    # gamma 0.5, lambda 0.5; one environment, three steps
    rewards, values = jnp.array([[1.0], [2.0], [3.0]]), jnp.array([[4.0], [6.0], [8.0]])
    final, last = jnp.array([[0.0], [10.0], [0.0]]), jnp.array([12.0])
    no = jnp.zeros((3, 1), bool)
    second = jnp.array([[False], [True], [False]])
    # step 2: 3 + 0.5*12 - 8 = 1. The second step ends the episode:
    #   terminated: 2 + 0 - 6 = -4; truncated: 2 + 0.5*10 - 6 = 1; neither: 2 + 0.5*8 - 6 = 0, plus 0.25*1
    # step 0: delta 1 + 0.5*6 - 4 = 0, plus 0.25 of the step after
    for terminated, truncated, middle in (
        (second, no, -4.0),
        (no, second, 1.0),
        (no, no, 0.25),
        (second, second, -4.0),
    ):
        got, _ = gae(rewards, values, last, final, terminated, truncated, 0.5, 0.5)
        np.testing.assert_allclose(got[:, 0], [0.25 * middle, middle, 1.0], atol=1e-6)


fast_gae = jax.jit(gae)


def loss(log_prob, old_log_prob, advantages, weights, **changes):
    n = len(log_prob)
    zero = jnp.zeros(n)
    settings = {"clip_eps": 0.2, "ent_coef": 0.1, "value_coef": 0.5, "clip_value": True} | changes
    return ppo_loss(
        jnp.array(log_prob), jnp.full(n, 0.7), zero, jnp.array(old_log_prob), zero, jnp.array(advantages),
        jnp.ones(n), jnp.array(weights), n, **settings,
    )  # fmt: skip


def test_ppo_loss_by_hand():
    # ratios 2 and 0.5, advantages 1 and -1, eps 0.2:
    # row 1: min(2, 1.2) = 1.2; row 2: min(-0.5, -0.8) = -0.8 -> policy loss -(1.2 - 0.8)/2 = -0.2
    terms = loss(np.log([2.0, 0.5]), np.log([1.0, 1.0]), [1.0, -1.0], [0.5, 0.5])
    assert terms.policy_loss == pytest.approx(-0.2, abs=1e-6)
    # values 0, old values 0, targets 1: half of mean squared error 1 = 0.5; entropy 0.7
    assert terms.value_loss == pytest.approx(0.5)
    assert terms.total_loss == pytest.approx(-0.2 + 0.5 * 0.5 - 0.1 * 0.7, abs=1e-6)
    # KL: mean of (2 - 1 - ln 2) and (0.5 - 1 + ln 2) = 0.5/2 = 0.25
    assert terms.approx_kl == pytest.approx(0.25, abs=1e-6)
    assert terms.clip_fraction == pytest.approx(1.0)
    assert terms.ratio_error == pytest.approx(1.0)


def test_rows_of_weight_zero_only_reach_the_value_loss():
    both = loss(np.log([2.0, 0.5]), np.log([1.0, 1.0]), [1.0, -1.0], [1.0, 0.0])
    assert both.policy_loss == pytest.approx(-1.2, abs=1e-6)
    assert both.value_loss == pytest.approx(0.5)
    nothing = loss(np.log([2.0, 0.5]), np.log([1.0, 1.0]), [1.0, -1.0], [0.0, 0.0])
    assert [nothing.policy_loss, nothing.entropy, nothing.ratio_error] == [0, 0, 0]


def test_parts_of_a_minibatch_add_up():
    rng = np.random.default_rng(0)
    columns = [jnp.float32(rng.normal(size=8) * 0.3) for _ in range(7)]
    weights = jnp.full(8, 1 / 8)
    options = {"clip_eps": 0.2, "ent_coef": 0.01, "value_coef": 0.5, "clip_value": True}
    whole = ppo_loss(*columns, weights, 8, **options)
    parts = [ppo_loss(*(c[i : i + 2] for c in columns), weights[i : i + 2], 8, **options) for i in range(0, 8, 2)]
    total = parts[0]
    for part in parts[1:]:
        total = add_terms(total, part)
    for name in type(whole).__dataclass_fields__:
        assert float(getattr(total, name)) == pytest.approx(float(getattr(whole, name)), abs=1e-6), name


def test_values_are_clipped_against_old_values():
    # old value 1, new value 2, target 1.5, eps 0.2: clipped value 1.2; errors 0.25 and 0.09, the worse counts
    args = jnp.array([2.0]), jnp.array([1.0]), jnp.array([1.5])
    assert squared_errors(*args, 0.2, clip=True)[0] == pytest.approx(0.25)
    # target 2: errors 0 and 0.64, the worse counts; without clipping 0
    args = jnp.array([2.0]), jnp.array([1.0]), jnp.array([2.0])
    assert squared_errors(*args, 0.2, clip=True)[0] == pytest.approx(0.64)
    assert squared_errors(*args, 0.2, clip=False)[0] == 0


def test_standardise_uses_the_rows_that_count():
    x = jnp.array([1.0, 3.0, 1000.0])
    got = standardise(x, standard(x, jnp.array([1.0, 1.0, 0.0])))
    np.testing.assert_allclose(got[:2], [-1.0, 1.0], rtol=1e-5)  # mean 2, deviation 1
    assert np.isfinite(standardise(x, standard(x, jnp.zeros(3)))).all()


def test_explained_variance():
    assert explained_variance(jnp.float32(0.5), jnp.float32(2.0)) == 0.75
    assert explained_variance(jnp.float32(4.0), jnp.float32(2.0)) == -1.0
    assert explained_variance(jnp.float32(1.0), jnp.float32(0.0)) == 0  # targets that do not vary: nothing to explain
