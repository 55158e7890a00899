"""Other libraries train on the markets: with the libraries themselves, where the extra `interop` is installed."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trading_gymnax import TradingPhase1, TradingPhase2, load_market_data
from trading_gymnax.interop import FiveValueStep, MaskedGymEnv, five_value_make
from trading_gymnax.market import MarketData
from trading_gymnax.synthetic import regime

WHY = "is not installed: pip install '.[interop]'"
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def market() -> MarketData:
    """Ten sessions with a drift of half a bar's noise: easy to earn on."""
    tape = regime(10, seed=4, drift=0.5)
    return load_market_data(tape.frame, tape.spec)


def weights(tree) -> np.ndarray:
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


@pytest.mark.parametrize("make", [TradingPhase1, TradingPhase2])
@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_rejax_trains(market, make, algorithm):
    rejax = pytest.importorskip("rejax", reason=f"rejax {WHY}")
    env = make(market, window=4)
    shared = {"env": FiveValueStep(env), "env_params": env.default_params, "skip_initial_evaluation": True}
    sizes = {"total_timesteps": 2_048, "eval_freq": 1_024, "num_envs": 8}
    with jax.numpy_rank_promotion("allow"):
        if algorithm == "ppo":
            algo = rejax.PPO.create(**shared, **sizes, num_steps=32, num_epochs=2, num_minibatches=4)
        else:
            algo = rejax.DQN.create(**shared, **sizes, buffer_size=1_024, fill_buffer=256, batch_size=64)
        start = algo.init_state(KEY)
        state, (lengths, returns) = jax.jit(algo.train)(KEY)
    assert lengths.shape == returns.shape == (2, 128)
    assert np.isfinite(returns).all()
    assert lengths.min() >= 1
    learnt = "actor_ts" if algorithm == "ppo" else "q_ts"
    before, after = (weights(getattr(ts, learnt).params) for ts in (start, state))
    assert np.isfinite(after).all()
    assert not np.array_equal(before, after)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_maskable_ppo_of_sb3_contrib_learns(market):
    """A stronger signal and 12,000 steps: the sum of rewards of a session rises far above that of random trading."""
    contrib = pytest.importorskip("sb3_contrib", reason=f"sb3-contrib {WHY}")
    from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported

    env = MaskedGymEnv(TradingPhase1(market, window=4, rth_close=12.0, random_start_fraction=0.0))
    assert is_masking_supported(env)
    model = contrib.MaskablePPO("MlpPolicy", env, n_steps=512, batch_size=128, learning_rate=1e-3, seed=0, device="cpu")

    def mean_return(policy, episodes: int = 20) -> float:
        total = 0.0
        for episode in range(episodes):
            obs, _ = env.reset(seed=episode)
            over = False
            while not over:
                mask = get_action_masks(env)
                obs, reward, terminated, truncated, info = env.step(policy(obs, mask))
                assert not info["invalid_action"]
                total, over = total + reward, terminated or truncated
        return total / episodes

    rng = np.random.default_rng(0)
    luck = mean_return(lambda obs, mask: rng.choice(np.flatnonzero(mask)))
    model.learn(12_288)
    learnt = mean_return(lambda obs, mask: model.predict(obs, action_masks=mask)[0])
    assert learnt > luck + 1.0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_evosax_evolves_a_policy(market):
    """A linear policy, the whole population vmapped over the environment: its best member beats the first ones."""
    strategies = pytest.importorskip("evosax.algorithms", reason=f"evosax {WHY}")
    env = TradingPhase1(market, window=4, rth_close=11.0, random_start_fraction=0.0)
    params, size = env.default_params, env.obs_shape[0]

    def fitness(weights: jax.Array, key: jax.Array) -> jax.Array:
        def step(carry, key):
            obs, state, going = carry
            logits = jnp.clip(obs, -5, 5) @ weights["kernel"] + weights["bias"]
            action = jnp.argmax(jnp.where(env.action_mask(state, params), logits, -jnp.inf))
            obs, state, reward, terminated, truncated, _ = env.step(key, state, action, params)
            return (obs, state, going & ~(terminated | truncated)), reward * going

        obs, state = env.reset(key, params)
        return jax.lax.scan(step, (obs, state, True), jax.random.split(key, 90))[1].sum()

    solution = {"kernel": jnp.zeros((size, 3)), "bias": jnp.zeros(3)}
    with jax.numpy_rank_promotion("allow"):
        strategy = strategies.Open_ES(population_size=32, solution=solution)
        state = strategy.init(KEY, solution, strategy.default_params)
        episodes = jax.random.split(jax.random.key(7), 8)
        score = jax.jit(jax.vmap(lambda w: jax.vmap(fitness, (None, 0))(w, episodes).mean()))
        means = []
        for generation in range(15):
            keys = jax.random.split(jax.random.fold_in(KEY, generation))
            population, state = strategy.ask(keys[0], state, strategy.default_params)
            scores = score(population)
            state, _ = strategy.tell(keys[1], population, -scores, state, strategy.default_params)
            means.append(float(scores.mean()))
    assert np.isfinite(means).all()
    assert np.mean(means[-3:]) > np.mean(means[:3])


# -- libraries that call gymnax.make themselves --


def test_jaxmarl_counts_the_returns_of_its_wrapped_environment(market):
    """Its own wrappers, unedited: what `LogWrapper` says of an episode is the sum of its rewards."""
    wrappers = pytest.importorskip("jaxmarl.wrappers.gymnax", reason=f"jaxmarl {WHY}")
    from jaxmarl.wrappers.baselines import LogWrapper

    with five_value_make(data=market, window=4, max_steps_in_episode=20):
        env = LogWrapper(wrappers.GymnaxToJaxMARL("TradingPhase1-v0"))

    def step(state, key):
        action = jax.random.randint(key, (), 0, 3)
        _, state, reward, done, info = env.step(key, state, {"agent": action})
        return state, (reward["agent"], done["__all__"], info["returned_episode_returns"][0])

    state = env.reset(KEY)[1]
    rewards, ends, returns = (np.asarray(x) for x in jax.lax.scan(step, state, jax.random.split(KEY, 70))[1])
    last = np.flatnonzero(ends)
    assert len(last) >= 3
    sums = [part.sum() for part in np.split(rewards, last + 1)[:-1]]
    np.testing.assert_allclose(returns[last], sums, atol=1e-4)


def test_stoa_calls_a_truncation_a_termination(market):
    """Stoix's adapter, unedited: it knows one kind of end, and the value of what comes after is 0."""
    adapters = pytest.importorskip("stoa.env_adapters.gymnax", reason=f"stoa-env {WHY}")
    from stoa import StepType

    env = TradingPhase1(market, window=4, max_steps_in_episode=2)
    adapted = adapters.GymnaxToStoa(FiveValueStep(env), env.default_params)
    state, step = adapted.reset(KEY)
    for _ in range(2):
        state, step = adapted.step(state, jnp.int32(0))
    assert bool(step.extras["truncated"])
    assert not bool(step.extras["terminated"])
    assert (int(step.step_type), float(step.discount)) == (StepType.TERMINATED, 0.0)
