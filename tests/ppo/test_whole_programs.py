"""Programs kept whole: found only by what they were made from, and a start with them is the same training."""

import dataclasses
import os
import pickle

import gymnax
import jax
import numpy as np
import pytest
from jax.experimental import serialize_executable

from purejaxrl_ppo import FitOptions, PPOConfig, fit
from purejaxrl_ppo.whole_programs import Kept, ProgramStore, loaded
from tests.ppo.test_fit import forget_after

CONFIG = PPOConfig(num_envs=4, num_steps=8, total_timesteps=32, num_minibatches=1, num_epochs=1, hidden_sizes=(4,))
ARGUMENTS = (np.zeros(3, np.float32),)


@pytest.fixture
def kept_on_disk(tmp_path, monkeypatch):
    """A folder for JAX's cache on a device that is not called a CPU."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    wanted = {
        "jax_compilation_cache_dir": str(tmp_path / "cache"),
        "jax_persistent_cache_min_compile_time_secs": 1e6,  # JAX itself keeps nothing, and finds nothing
    }
    before = {name: jax.config.values[name] for name in wanted}
    for name, value in wanted.items():
        jax.config.update(name, value)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


def saved() -> ProgramStore:
    store = ProgramStore.of("market A", CONFIG, ARGUMENTS)
    assert store is not None
    assert store.load() is None
    for name in Kept._fields[1:]:
        store.compiled(name, jax.jit(lambda x: x + 1).lower(*ARGUMENTS))
    store.save("shapes")
    return store


def test_a_program_is_read_as_it_was_written(kept_on_disk):
    kept = saved().load()
    assert kept is not None
    assert kept.about == "shapes"
    np.testing.assert_array_equal(loaded(kept.chunk, abs)(*ARGUMENTS), [1, 1, 1])


@pytest.mark.parametrize(
    "asked",
    [
        ("market B", CONFIG, ARGUMENTS),
        ("market A", dataclasses.replace(CONFIG, gamma=0.5), ARGUMENTS),
        ("market A", CONFIG, (np.zeros(4, np.float32),)),
        ("market A", CONFIG, (np.zeros(3, np.int32),)),
        ("market A", CONFIG, ARGUMENTS[0]),
    ],
)
def test_another_text_setting_shape_type_or_structure_finds_nothing(kept_on_disk, asked):
    saved()
    assert ProgramStore.of(*asked).load() is None


def test_a_variable_that_steers_xla_finds_nothing(kept_on_disk, monkeypatch):
    saved()
    monkeypatch.setenv("XLA_SOMETHING", "1")
    assert ProgramStore.of("market A", CONFIG, ARGUMENTS).load() is None


def test_a_module_that_has_changed_or_is_new_finds_nothing(kept_on_disk, monkeypatch):
    (kept_on_disk / "of_a_user.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(kept_on_disk)
    store = saved()
    module = __import__("of_a_user")
    assert store.load() is None  # it was not imported then
    os.remove(store._path)
    store = saved()
    assert store.load() is not None
    (kept_on_disk / "of_a_user.py").write_text("x = 22\n")
    assert store.load() is None
    assert module.x == 1


def test_a_damaged_file_is_nothing_but_a_warning(kept_on_disk, caplog):
    store = saved()
    store._path.write_bytes(store._path.read_bytes()[:-9])
    assert store.load() is None
    assert "made anew" in caplog.text
    assert loaded(b"nothing", abs) is abs


def test_a_file_that_others_could_have_written_is_not_read(kept_on_disk, caplog):
    store = saved()
    assert store._path.stat().st_mode & 0o777 == 0o600
    for mode in (0o620, 0o602):
        store._path.chmod(mode)
        assert store.load() is None
        assert "others could have written it" in caplog.text
        caplog.clear()
    store._path.chmod(0o600)
    assert store.load() is not None


def test_nothing_is_kept_on_a_cpu_nor_without_a_cache(kept_on_disk, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    assert ProgramStore.of("market A", CONFIG, ARGUMENTS) is None
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    jax.config.update("jax_compilation_cache_dir", None)
    assert ProgramStore.of("market A", CONFIG, ARGUMENTS) is None


def test_a_second_start_traces_nothing_and_learns_the_same(kept_on_disk, monkeypatch):
    """Executables themselves stay in memory here: a CPU's cannot be written."""
    written, traced = [], []

    def write(program):
        written.append(program)
        return len(written) - 1, None, None

    monkeypatch.setattr(serialize_executable, "serialize", write)
    monkeypatch.setattr(serialize_executable, "deserialize_and_load", lambda number, *_: written[number])

    class Counted(type(gymnax.make("CartPole-v1")[0])):
        def step_env(self, *args):
            traced.append(1)
            return super().step_env(*args)

    config = dataclasses.replace(CONFIG, total_timesteps=4 * 32)
    options = FitOptions(quiet=True, eval_every=0, tensorboard=False, checkpoint_every=1, keep_checkpoints=10)
    results = []
    for name in ("imports what a run imports at its end", "first", "second", "second"):
        if len(results) == 3:
            forget_after(kept_on_disk / name, 2)  # and it goes on
        env = Counted()
        traced.clear()
        made_from = None if "imports" in name else "pole"
        made = fit(env, env.default_params, config, run_dir=kept_on_disk / name, options=options, made_from=made_from)
        assert made.iterations == 4
        results.append((len(traced), pickle.dumps(jax.device_get(jax.tree.leaves(made.state.params)))))
    _, (first, there), (second, here), (third, resumed) = results
    assert first > 0
    assert second == third == 0
    assert len(written) == 2
    assert here == there == resumed
