"""The host loop: files, resume to the bit, damage, signals and guards."""

import csv
import dataclasses
import gc
import json
import logging
import os
import pathlib
import shutil
import signal
import threading
import time
import warnings
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo import CheckpointError, FitOptions, PPOConfig, evaluate, fit, load_policy, programs, train
from purejaxrl_ppo.checkpoint import to_arrays
from purejaxrl_ppo.devices import plan_for
from purejaxrl_ppo.fit import _programs, evaluation_key
from purejaxrl_ppo.programs import compiler_options, kept_with_environment
from tests.ppo.probes import MarketTable, Table, no_bars_left, table

ENV = Table()
CONFIG = PPOConfig(num_envs=8, num_steps=16, total_timesteps=8 * 16 * 10, hidden_sizes=(8,), num_epochs=1)
PARAMS = table(
    reward=[[1.0, -3.0, 7.0]] * 4,
    start=(1, 1, 1, 1),
    following=[[0, 1, 2], [1, 2, 3], [2, 3, 0], [3, 0, 1]],
    terminal=[[False, False, True]] * 4,
    legal=[[True, True, False], [True, False, True], [False, True, True], [True] * 3],
    limit=7,
)
OPTIONS = FitOptions(eval_episodes=4, eval_every=5, checkpoint_every=2, keep_checkpoints=10, quiet=True)


class Infinite(Table):
    """An observation beyond float32 in one place."""

    def get_obs(self, state: Any, params: Any = None, key: Any = None) -> jax.Array:
        return super().get_obs(state).at[3].set(jnp.where(state.place == 3, jnp.inf, 0.0))


def setup() -> Any:
    """For `killed_run`."""
    return ENV, PARAMS, CONFIG, None


NO_EVALUATION = dataclasses.replace(OPTIONS, eval_every=0)  # saves compiling it


def run(folder: pathlib.Path, **changes: Any) -> Any:
    options = dataclasses.replace(OPTIONS, **changes)
    return fit(ENV, PARAMS, CONFIG, run_dir=folder, options=options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of 10 iterations in one go."""
    return run(tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture
def folder(finished: Any, tmp_path: pathlib.Path) -> pathlib.Path:
    """A copy of the finished run."""
    shutil.copytree(finished.run_dir, tmp_path / "run")
    return tmp_path / "run"


def forget_after(folder: pathlib.Path, iteration: int) -> None:
    """Leave the folder as a process killed after saving `iteration` leaves it."""
    for name in ("checkpoints", "best"):
        for step in (folder / name).iterdir():
            if int(step.name) > iteration:
                shutil.rmtree(step)


def damage(checkpoint: pathlib.Path) -> None:
    """Cut the largest file of a checkpoint's state in half."""
    files = [f for f in (checkpoint / "state").rglob("*") if f.is_file()]
    largest = max(files, key=lambda f: f.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def assert_same(a: Any, b: Any) -> None:
    a, b = to_arrays(a), to_arrays(b)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_what_a_run_leaves(finished):
    metrics = rows(finished.run_dir / "metrics.csv")
    assert [int(row["iteration"]) for row in metrics] == list(range(1, 11))
    assert [int(row["steps"]) for row in metrics] == [128 * i for i in range(1, 11)]
    evaluations = rows(finished.run_dir / "evaluations.csv")
    assert [int(row["iteration"]) for row in evaluations] == [5, 10]
    assert finished.best_score == max(float(row["sampled_return"]) for row in evaluations)
    assert {"sampled_return", "argmax_return"} <= set(evaluations[0])
    assert finished.iterations == 10
    assert json.loads((finished.run_dir / "run.json").read_text())["env"] == "Table"


def test_tensorboard_reads_the_events(finished):
    with warnings.catch_warnings():  # TensorBoard's own imports
        warnings.simplefilter("ignore")
        accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
        events = accumulator.EventAccumulator(str(finished.run_dir))
        events.Reload()
    scalars = events.Scalars("episode/episode_return")
    assert [event.step for event in scalars] == [128 * i for i in range(1, 11)]
    want = [float(row["episode_return"]) for row in rows(finished.run_dir / "metrics.csv")]
    np.testing.assert_allclose([event.value for event in scalars], want, rtol=1e-6)
    assert len(events.Scalars("evaluation/argmax_return")) == 2


@pytest.mark.parametrize("stop", [2, 6])
def test_resuming_equals_never_having_stopped(folder, finished, stop):
    forget_after(folder, stop)
    again = run(folder, chunk_iterations=3)  # other chunks, too
    assert_same(again.state, finished.state)
    assert again.best_score == finished.best_score
    for name in ("metrics.csv", "evaluations.csv"):
        assert (folder / name).read_text() == (finished.run_dir / name).read_text()


@pytest.mark.slow
def test_resuming_on_the_paths_of_a_gpu_equals_never_having_stopped(tmp_path, monkeypatch):
    plans = []

    def planned(config, spec, backend):
        plans.append(plan_for(config, spec, "gpu"))
        return plans[-1]

    monkeypatch.setattr(train, "plan_for", planned)
    config = dataclasses.replace(CONFIG, num_envs=16, hidden_sizes=(16, 16), total_timesteps=16 * 16 * 4)
    env = MarketTable()
    whole = fit(env, PARAMS, config, run_dir=tmp_path / "run", options=NO_EVALUATION)
    forget_after(tmp_path / "run", 2)
    again = fit(env, PARAMS, config, run_dir=tmp_path / "run", options=NO_EVALUATION)
    assert again.iterations == 4
    assert_same(again.state, whole.state)
    assert all(plan.fused_towers and plan.bfloat16 for plan in plans)


def test_a_killed_process_leaves_half_a_row(folder, finished):
    forget_after(folder, 4)
    with (folder / "metrics.csv").open("a") as file:
        file.write("11,14")
    run(folder)
    assert (folder / "metrics.csv").read_text() == (finished.run_dir / "metrics.csv").read_text()


def test_a_finished_run_is_left_alone(folder, finished):
    again = run(folder)
    assert_same(again.state, finished.state)
    assert len(rows(folder / "metrics.csv")) == 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_save_and_exit_zero(tmp_path, finished, number, capsys):
    before = signal.getsignal(number)

    def strike() -> None:
        while not (tmp_path / "run" / "metrics.csv").exists():
            time.sleep(0.005)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=strike)
    thread.start()
    with pytest.raises(SystemExit) as end:
        run(tmp_path / "run", chunk_iterations=1, quiet=False, eval_every=1)
    thread.join()
    assert end.value.code == 0
    assert "call fit again with run_dir=" in capsys.readouterr().out
    assert signal.getsignal(number) is before
    saved = len(rows(tmp_path / "run" / "metrics.csv"))
    assert 1 <= saved < 10
    assert_same(run(tmp_path / "run").state, finished.state)


def test_a_damaged_checkpoint_is_skipped_with_a_warning(folder, finished, caplog):
    damage(folder / "checkpoints" / "10")
    with caplog.at_level(logging.WARNING, "purejaxrl_ppo"):
        again = run(folder)
    assert "10 is damaged and skipped" in caplog.text
    assert_same(again.state, finished.state)


def test_a_checkpoint_with_flipped_bits_is_noticed(folder, caplog):
    files = [f for f in (folder / "checkpoints" / "10").rglob("*") if f.is_file() and "record" not in str(f)]
    for file in files:
        data = bytearray(file.read_bytes())
        for i in range(len(data) // 2, len(data), 40):
            data[i] ^= 1
        file.write_bytes(bytes(data))
    with caplog.at_level(logging.WARNING, "purejaxrl_ppo"):
        run(folder)
    assert "10 is damaged and skipped" in caplog.text


def test_when_every_checkpoint_is_damaged_the_error_says_so(folder):
    for step in (folder / "checkpoints").iterdir():
        damage(step)
    with pytest.raises(CheckpointError, match=r"every checkpoint in .* is damaged"):
        run(folder)


def test_another_configuration_is_refused_with_the_differences(folder):
    other = dataclasses.replace(CONFIG, gamma=0.5, num_epochs=2)
    with pytest.raises(ValueError, match=r"config.gamma: 0.99 there, 0.5 asked for; config.num_epochs: 1 there"):
        fit(ENV, PARAMS, other, run_dir=folder, options=OPTIONS)
    hyper = CONFIG.hyperparameters.replace(gamma=jnp.float32(0.5))
    with pytest.raises(ValueError, match=r"Differences: hyperparameters.gamma: 0.99"):
        fit(ENV, PARAMS, CONFIG, run_dir=folder, options=OPTIONS, hyperparameters=hyper)
    with pytest.raises(ValueError, match=r"env_params.reward"):
        fit(ENV, PARAMS.replace(reward=PARAMS.reward + 1), CONFIG, run_dir=folder, options=OPTIONS)


def doubled(progress: jax.Array, params: Any) -> Any:
    return params.replace(reward=params.reward * jnp.where(progress > 0.6, 2.0, 1.0))


def test_another_schedule_evaluation_or_warm_start_is_refused(folder, finished):
    def again(**changes: Any) -> None:
        fit(ENV, PARAMS, CONFIG, run_dir=folder, options=OPTIONS, **changes)

    with pytest.raises(ValueError, match=r"Differences: eval_params.reward: None there, '[0-9a-f]{16}' asked for$"):
        again(eval_params=PARAMS.replace(reward=PARAMS.reward + 1))
    with pytest.raises(ValueError, match=r"params_schedule.reward at 0.75: None there, .*reward at 1: None there"):
        again(params_schedule=doubled)
    with pytest.raises(ValueError, match=r"Differences: warm_start: None there, '[0-9a-f]{16}' asked for$"):
        again(warm_start=finished.policy)
    again(eval_params=jax.tree.map(jnp.copy, PARAMS))  # the same numbers are no difference


def test_a_run_with_schedule_evaluation_and_warm_start_goes_on_with_the_same(tmp_path, finished):
    config = dataclasses.replace(CONFIG, total_timesteps=CONFIG.batch_size)
    given = {"eval_params": PARAMS.replace(reward=PARAMS.reward + 1), "params_schedule": doubled}
    for warm_start in (finished.policy, finished.policy, None):  # going on needs no policy
        fit(ENV, PARAMS, config, run_dir=tmp_path, options=NO_EVALUATION, warm_start=warm_start, **given)
    other = finished.policy.replace(params=jax.tree.map(lambda x: x + 1, finished.policy.params))
    with pytest.raises(ValueError, match=r"Differences: warm_start: '[0-9a-f]{16}' there"):
        fit(ENV, PARAMS, config, run_dir=tmp_path, options=NO_EVALUATION, warm_start=other, **given)
    without = {"eval_params": given["eval_params"]}
    with pytest.raises(ValueError, match=r"params_schedule.given: 'True' there, None asked for"):
        fit(ENV, PARAMS, config, run_dir=tmp_path, options=NO_EVALUATION, **without)


def test_a_description_shows_the_parameters_and_their_differences(folder):
    run = json.loads((folder / "run.json").read_text())
    assert run["values"]["reward"] == np.asarray(PARAMS.reward).tolist()
    with pytest.raises(
        ValueError, match=r"Differences: env_params.reward: .*\d+\.\d.* there, .*\d+\.\d.* asked for$"
    ) as said:
        fit(ENV, PARAMS.replace(reward=PARAMS.reward + 1), CONFIG, run_dir=folder, options=OPTIONS)
    assert str((np.asarray(PARAMS.reward) + 1).tolist()) in str(said.value)
    del run["values"]  # as an older version wrote it
    (folder / "run.json").write_text(json.dumps(run))
    with pytest.raises(ValueError, match=r"env_params.reward: '[0-9a-f]{16}' there"):
        fit(ENV, PARAMS.replace(reward=PARAMS.reward + 1), CONFIG, run_dir=folder, options=OPTIONS)


def test_a_description_of_an_older_version_is_refused_in_a_sentence(folder):
    run = json.loads((folder / "run.json").read_text())
    del run["params_schedule"]
    (folder / "run.json").write_text(json.dumps(run))
    with pytest.raises(ValueError, match=r"run.json does not record params_schedule, as the version that wrote it"):
        fit(ENV, PARAMS, CONFIG, run_dir=folder, options=OPTIONS)
    assert load_policy(folder).sampled  # a policy needs less
    del run["spec"]
    (folder / "run.json").write_text(json.dumps(run))
    with pytest.raises(ValueError, match=r"run.json does not record spec: it does not describe a run of this trainer"):
        load_policy(folder)


def test_a_run_goes_on_with_its_own_generator(folder):
    run = json.loads((folder / "run.json").read_text())
    assert run["generator"] == "threefry2x32"
    (folder / "run.json").write_text(json.dumps({**run, "generator": "rbg"}))
    with pytest.raises(ValueError, match=r"generator rbg, and this process has threefry2x32: .*_IMPL=rbg"):
        fit(ENV, PARAMS, CONFIG, run_dir=folder, options=OPTIONS)


def test_fit_trains_once(tmp_path):
    hyper = CONFIG.hyperparameters.replace(gamma=jnp.array([0.9, 0.99]))
    with pytest.raises(ValueError, match=r"hyperparameters.gamma has the shape \(2,\): fit trains once, with scalars"):
        fit(ENV, PARAMS, CONFIG, run_dir=tmp_path / "run", options=OPTIONS, hyperparameters=hyper)
    with pytest.raises(ValueError, match="cannot run inside jit, vmap or grad: use make_train"):
        jax.vmap(lambda p: fit(ENV, p, CONFIG, run_dir=tmp_path / "run"))(jax.tree.map(lambda x: x[None], PARAMS))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["eval_episodes", "eval_max_steps", "keep_checkpoints", "chunk_iterations"])
def test_options_below_their_least_are_refused(name):
    with pytest.raises(ValueError, match=f"{name}=0 must be at least 1"):
        FitOptions(**{name: 0})


def test_numbers_that_are_none_stop_the_run(tmp_path):
    def poison(progress, params):  # rewards become infinite after half the run
        return params.replace(reward=jnp.where(progress > 0.45, jnp.inf, params.reward))

    config = dataclasses.replace(CONFIG, normalise_rewards=False)
    with pytest.raises(FloatingPointError, match="iteration 6: the last good checkpoint"):
        fit(ENV, PARAMS, config, run_dir=tmp_path / "run", options=NO_EVALUATION, params_schedule=poison)
    assert sorted(int(step.name) for step in (tmp_path / "run" / "checkpoints").iterdir()) == [2, 4]


def test_statistics_that_are_not_finite_are_not_saved(tmp_path):
    # an infinite observation is clipped for the network, so that every metric of its iteration is finite
    config = dataclasses.replace(CONFIG, total_timesteps=CONFIG.batch_size)
    env = Infinite()
    options = dataclasses.replace(NO_EVALUATION, compilation_cache=tmp_path / "cache")
    with pytest.raises(FloatingPointError, match=r"moments.0.mean is not finite after iteration 1: no checkpoint was"):
        fit(env, PARAMS, config, run_dir=tmp_path / "run", options=options)
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    assert list((tmp_path / "cache").glob("jit_chunk-*"))  # the next process need not compile it
    assert jax.config.jax_compilation_cache_dir is None


def test_debug_nans_finds_the_operation(tmp_path):
    def poison(progress, params):
        return params.replace(reward=params.reward * jnp.where(progress > 0.45, jnp.nan, 1.0))

    options = dataclasses.replace(NO_EVALUATION, debug_nans=True)
    with pytest.raises(FloatingPointError, match="nan"):
        fit(ENV, PARAMS, CONFIG, run_dir=tmp_path / "run", options=options, params_schedule=poison)
    assert not jax.config.jax_debug_nans


def test_rows_without_a_legal_action_are_reported(tmp_path, capsys):
    options = dataclasses.replace(NO_EVALUATION, quiet=False)
    params = PARAMS.replace(legal=jnp.zeros_like(PARAMS.legal))
    fit(ENV, params, CONFIG, run_dir=tmp_path / "run", options=options)
    assert "rows had no legal action" in capsys.readouterr().out


def test_the_policy_of_a_run_acts_like_the_trained_one(finished):
    best, last = (load_policy(finished.run_dir, sampled=False, checkpoint=name) for name in ("best", "last"))
    assert_same(last.params, finished.state.params)
    obs, state = ENV.reset(jax.random.key(0), PARAMS)
    mask = ENV.action_mask(state, PARAMS)
    one = last(jax.random.key(0), obs, mask)
    many = last(jax.random.key(0), jnp.stack([obs] * 3), jnp.stack([mask] * 3))
    assert one.shape == ()
    np.testing.assert_array_equal(many, one)
    with pytest.raises(ValueError, match="pass mask="):
        best(jax.random.key(0), obs)
    with pytest.raises(ValueError, match=r"shape \(5,\): its last axis must be 3 actions long"):
        best(jax.random.key(0), obs, jnp.ones(5, bool))
    with pytest.raises(FileNotFoundError, match="holds no run"):
        load_policy(finished.run_dir / "nowhere")


def test_evaluation_plays_one_episode_each_and_respects_masks(finished):
    policy = load_policy(finished.run_dir)
    played = evaluate(ENV, PARAMS, policy, jax.random.key(0), 32)
    assert played.returns.shape == (32,)
    assert bool(played.finished.all())
    assert 1 <= int(played.lengths.min()) <= int(played.lengths.max()) <= 7
    env = MarketTable()
    cut = evaluate(env, table(terminal=False, reward=1.0), policy, jax.random.key(0), 4, 3)
    np.testing.assert_array_equal(cut.returns, 3.0)
    assert cut.summary()["unfinished"] == 4
    bars = weakref.ref(env.bars)
    del env
    assert no_bars_left(bars)


def test_a_second_run_of_the_same_settings_does_not_compile_again(finished, tmp_path):
    chunk = _programs(ENV, CONFIG, None, None)[1]
    before = chunk._cache_size()
    other = PARAMS.replace(reward=PARAMS.reward * 2)
    fit(ENV, other, CONFIG, run_dir=tmp_path / "run", options=OPTIONS)
    assert chunk._cache_size() == before == 1


def test_a_gpu_compiles_without_comparisons_where_its_compiler_knows_how(monkeypatch):
    assert compiler_options() is None
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert compiler_options() == {"xla_gpu_experimental_enable_fusion_autotuner": False}
    monkeypatch.setattr(programs, "_WITHOUT_COMPARISONS", {"xla_gpu_no_such_option": False})
    assert compiler_options() is None


def test_programs_go_with_their_environment():
    class Held:
        """Equal to itself only, as an environment is."""

    built = []

    @kept_with_environment
    def build(env_of, size):
        built.append(size)
        return lambda: (env_of(), size)

    env, other = Held(), Held()
    assert build(env, 1) is build(env, 1)
    assert build(env, 1)() == (env, 1)
    assert build(other, 1)() == (other, 1)
    assert built == [1, 1]
    for size in range(2, 10):
        build(env, size)
    assert build(env, 9)()[1] == 9
    assert built[2:] == list(range(2, 10))
    build(env, 1)  # the ninth before: no longer kept
    assert built[-1] == 1
    gone = weakref.ref(env)
    del env
    gc.collect()
    assert gone() is None


def test_evaluations_draw_from_keys_of_their_own():
    """Training splits the seed's key in three, of which one makes the network and one the environments."""
    seed = jax.random.key(5)
    own = jax.random.key_data(jax.vmap(lambda i: evaluation_key(5, i))(jnp.arange(64)))
    training = jax.random.key_data(jnp.concatenate([seed[None], jax.random.split(seed, 3), jax.random.split(seed, 64)]))
    assert (
        len(np.unique(np.asarray(jnp.concatenate([own, training])), axis=0)) == 64 + 1 + 64
    )  # split(3) is in split(64)


def test_a_warm_start_begins_with_the_policy(finished, tmp_path, capsys):
    policy = load_policy(finished.run_dir, checkpoint="last")
    config = dataclasses.replace(CONFIG, total_timesteps=128, learning_rate=1e-30)
    options = dataclasses.replace(NO_EVALUATION, quiet=False)
    started = fit(ENV, PARAMS, config, run_dir=tmp_path / "run", options=options, warm_start=policy)
    assert_same(started.state.params, policy.params)
    assert "warm start: params.actor_head.bias: copied" in capsys.readouterr().out


def test_a_recurrent_run_resumes_and_carries_its_memory(tmp_path):
    config = dataclasses.replace(CONFIG, recurrent=True, gru_size=4, total_timesteps=8 * 16 * 4)
    env = MarketTable()
    whole = fit(env, PARAMS, config, run_dir=tmp_path / "run", options=NO_EVALUATION)
    forget_after(tmp_path / "run", 2)
    again = fit(env, PARAMS, config, run_dir=tmp_path / "run", options=NO_EVALUATION)
    assert_same(again.state, whole.state)
    bars = weakref.ref(env.bars)
    del env
    assert no_bars_left(bars)
    policy = load_policy(tmp_path / "run", sampled=False)
    carry = policy.initial_carry(2)
    obs, mask = jnp.eye(4)[:2], jnp.ones((2, 3), bool)
    action, after = policy(jax.random.key(0), obs, mask, carry)
    assert action.shape == (2,)
    assert after.shape == carry.shape == (2, 4)
    assert not np.allclose(after, carry)
    _, cleared = policy(jax.random.key(0), obs, mask, after, jnp.array([True, False]))
    _, fresh = policy(jax.random.key(0), obs, mask, carry)
    np.testing.assert_allclose(cleared[0], fresh[0], atol=1e-6)
    with pytest.raises(ValueError, match="initial_carry"):
        policy(jax.random.key(0), obs, mask)
