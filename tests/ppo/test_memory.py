"""Sizes that the memory cannot hold: refused before anything is allocated, or one sentence with the cause behind it."""

import importlib
import pathlib
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_ppo import FitOptions, PPOConfig, evaluate, fit, make_trainer, memory, policy_of, sweep
from purejaxrl_ppo.cli import main as trainer_cli
from purejaxrl_ppo.devices import plan_for
from purejaxrl_ppo.memory import OutOfMemory, check_memory, memory_in_words, size_text, training_bytes, tree_bytes
from purejaxrl_ppo.networks import make_network
from purejaxrl_ppo.rollout import Task, collect, keeps_states
from purejaxrl_ppo.wrappers import prepare
from tests.ppo.probes import StateTable, Table, table
from trading_gymnax.cli import main as trading_cli

fitting = importlib.import_module("purejaxrl_ppo.fit")  # the package's `fit` is the function
ROOT = pathlib.Path(__file__).parents[2]
PARAMS = table(reward=[[1.0, -3.0, 7.0]] * 4, start=(1, 1, 1, 1), following=[[1, 2, 3]] * 4, terminal=False, limit=7)
TINY = {"num_envs": 4, "num_steps": 8, "total_timesteps": 64, "hidden_sizes": (8,), "num_minibatches": 1}


def state_shapes(config: PPOConfig) -> Any:
    return jax.eval_shape(make_trainer(Table(), config).init, jax.random.key(0), PARAMS)


def little(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(memory, "available_bytes", lambda: size)


@pytest.mark.parametrize("kind", [Table, StateTable])
@pytest.mark.parametrize("more", [{}, {"recurrent": True, "gru_size": 5}])
def test_the_estimate_is_what_state_and_rollout_hold(more, kind):
    config = PPOConfig(**TINY, **more)
    env, spec = prepare(kind(), PARAMS)
    state = state_shapes(config)
    plan = plan_for(config, spec, "cpu")
    task = Task(env, PARAMS, spec, config, plan, make_network(config, spec.action))
    rollout = jax.eval_shape(lambda s: collect(task, s.params, s.obs_moments, s.runner)[1], state)
    # with states, the GRU's memory is kept for the values of final observations
    beside = tree_bytes(state.runner.memory) * config.num_steps if keeps_states(env, config) else 0
    sizes = training_bytes(config, spec, state, keeps_states(env, config), eval_episodes=10)
    width = "hidden_sizes or gru_size" if more else "hidden_sizes"
    assert list(sizes) == [width, "num_envs", "num_envs x num_steps", "eval_episodes"]
    assert sizes["num_envs x num_steps"] == tree_bytes((rollout.steps, rollout.final_value)) + beside
    held = tree_bytes((state.params, state.opt_state, state.runner, state.discounted_return))
    assert sizes[width] + sizes["num_envs"] == held
    assert sizes["eval_episodes"] == tree_bytes(state.runner) // 4 * 10


def test_what_does_not_fit_is_refused_with_the_setting_behind_it(monkeypatch):
    little(monkeypatch, 3_000_000_000)
    check_memory("training", {"num_envs": 2_000_000_000, "hidden_sizes": 1_000_000_000})
    with pytest.raises(OutOfMemory) as refused:
        check_memory("training", {"num_envs": 2_000_000_000, "hidden_sizes": 1_000_000_001})
    assert str(refused.value) == (
        "training wants at least 3.0 GB of memory, and there are 3.0 GB: lower num_envs, which takes 2.0 GB of it"
    )
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    check_memory("training", {"num_envs": 10**30})


def test_the_memory_there_is_the_least_of_the_limits(monkeypatch, tmp_path):
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PHYS_PAGES": 1000, "SC_PAGE_SIZE": 4096}.__getitem__)
    monkeypatch.setattr(memory, "_CONTROL_GROUP", tmp_path)
    limits = {"space": -1}
    monkeypatch.setattr(memory.resource, "getrlimit", lambda kind: (limits["space"], limits["space"]))
    assert memory.available_bytes() == 4_096_000
    limits["space"] = 3_000_000
    assert memory.available_bytes() == 3_000_000
    group = pathlib.Path("/proc/self/cgroup").read_text().partition("0::")[2].strip().lstrip("/")
    (tmp_path / group).mkdir(parents=True, exist_ok=True)
    (tmp_path / group / "memory.max").write_text("2000000\n")
    assert memory.available_bytes() == 2_000_000
    (tmp_path / group / "memory.max").write_text("max\n")
    assert memory.available_bytes() == 3_000_000


def test_errors_of_numpy_and_xla_become_a_sentence_with_their_cause():
    sentence = r"^the job ran out of memory when 1,125,899\.9 GB more were wanted: lower its size$"
    with pytest.raises(OutOfMemory, match=sentence) as refused, memory_in_words("the job", "its size"):
        np.ones(2**50, np.uint8)
    assert str(refused.value.__cause__).startswith("Unable to allocate 1.00 PiB")
    sentence = r"^the job ran out of memory when 35,184\.4 GB more were wanted: lower its size$"
    with pytest.raises(MemoryError, match=sentence) as refused, memory_in_words("the job", "its size"):
        jax.block_until_ready(jnp.zeros(2**45, jnp.uint8))
    assert isinstance(refused.value.__cause__, jax.errors.JaxRuntimeError)
    with pytest.raises(OutOfMemory, match=r"^the job ran out of memory: lower it"), memory_in_words("the job", "it"):
        raise MemoryError
    with pytest.raises(OutOfMemory, match=r"^known$"), memory_in_words("the job", "its size"):
        raise OutOfMemory("known")
    with pytest.raises(jax.errors.JaxRuntimeError, match=r"^INTERNAL"), memory_in_words("the job", "its size"):
        raise jax.errors.JaxRuntimeError("INTERNAL: 12 bytes")


def test_sizes_are_said_in_their_unit():
    assert [size_text(x) for x in (7, 1500, 2.5e6, 3e9, 4e15)] == [
        "7 bytes",
        "1.5 kB",
        "2.5 MB",
        "3.0 GB",
        "4,000,000.0 GB",
    ]


def test_a_training_that_cannot_fit_writes_nothing(monkeypatch, tmp_path):
    config = PPOConfig(**TINY)
    least = sum(training_bytes(config, prepare(Table(), PARAMS)[1], state_shapes(config), False).values())
    little(monkeypatch, least - 1)
    options = FitOptions(eval_every=0, quiet=True, tensorboard=False)
    with pytest.raises(MemoryError, match=r"^training wants at least .* lower .*, which takes"):
        fit(Table(), PARAMS, config, run_dir=tmp_path / "run", options=options)
    assert not (tmp_path / "run").exists()
    little(monkeypatch, least)
    fit(Table(), PARAMS, config, run_dir=tmp_path / "run", options=options)
    with pytest.raises(MemoryError, match=r"lower eval_episodes, which takes"):
        fit(Table(), PARAMS, config, run_dir=tmp_path / "other", options=FitOptions(eval_episodes=10**6))


def test_a_search_that_cannot_fit_names_the_runs_at_once(monkeypatch):
    little(monkeypatch, 1_000_000)
    config = PPOConfig(**TINY)
    with pytest.raises(MemoryError, match=r"^training 2,000 runs side by side wants .* lower runs_at_once or eval_epi"):
        sweep(Table(), PARAMS, config, {"gamma": (0.9, 0.99)}, configurations=1000, seeds=2, rungs=())


def test_an_evaluation_that_cannot_fit_names_the_episodes(monkeypatch):
    config = PPOConfig(**TINY)
    state = make_trainer(Table(), config).init(jax.random.key(0), PARAMS)
    policy = policy_of(state, Table(), PARAMS, config)
    little(monkeypatch, 1_000_000)
    with pytest.raises(MemoryError, match=r"^the evaluation wants at least .* lower the number of episodes"):
        evaluate(Table(), PARAMS, policy, jax.random.key(0), num_episodes=10**6)


@pytest.mark.parametrize(
    ("main", "args", "sentence"),
    [
        (trainer_cli.main, "train CartPole-v1 --num-envs 100000000 --num-steps 1", "lower num_envs, which takes"),
        (trainer_cli.main, "train CartPole-v1 --hidden-sizes 1000000 1000000", "at least 24,000.2 GB"),
        (trainer_cli.main, "train CartPole-v1 --num-steps 100000000", "lower num_envs x num_steps, which takes"),
        (trainer_cli.main, "train CartPole-v1 --recurrent --gru-size 1000000", "lower hidden_sizes or gru_size"),
        (trainer_cli.main, "train CartPole-v1 --eval-episodes 2000000000", "lower eval_episodes"),
        (trainer_cli.main, "sweep CartPole-v1 --configurations 1000000", "lower runs_at_once or"),
        (trading_cli.main, "certify --sessions 1000000", "lower the number of sessions"),
    ],
)
def test_sizes_beyond_any_memory_are_one_sentence(main, args, sentence, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    little(monkeypatch, 2_000_000_000)
    monkeypatch.setattr(fitting._Loop, "open", None)  # nothing is to be trained by mistake
    large = "--total-timesteps 1000000000000 --num-minibatches 1" if "train" in args else ""
    with pytest.raises(SystemExit) as ended:
        main([*args.split(), *large.split()])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert sentence in said
    assert said.count("\n") == 1
    assert not list(tmp_path.glob("runs/*"))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of address space as Linux has them")
def test_memory_that_ends_in_the_middle_of_a_training_is_one_sentence(tmp_path):
    """The state fits; the program's temporary arrays, which nothing tells beforehand, do not."""
    size = ["--num-envs", "4000000", "--num-steps", "4", "--total-timesteps", "16000000", "--num-minibatches", "1"]
    command = [
        sys.executable,
        "-m",
        "tests.faults.limited",
        "1500",
        "purejaxrl_ppo.cli.main",
        "train",
        "CartPole-v1",
        *size,
    ]
    ended = subprocess.run(
        [*command, "--run-dir", str(tmp_path / "run"), "--eval-every", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr
    assert "purejaxrl-ppo: training ran out of memory when " in ended.stderr
    assert "Traceback" not in ended.stderr
