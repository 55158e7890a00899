"""Environments shared out over virtual devices: nothing but rounding changes, whoever goes on with a run."""

import csv
import dataclasses
import json
import pathlib
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

from benchmarks.scale import messages
from purejaxrl_ppo import PPOConfig, make_mesh, make_train, make_trainer
from purejaxrl_ppo.checkpoint import blank_arrays, to_arrays
from purejaxrl_ppo.devices import plan_for
from purejaxrl_ppo.networks import ActionSpec
from purejaxrl_ppo.rollout import draw_steps
from purejaxrl_ppo.sharding import Told, axis_of, environment_indices, local_config, of_all
from purejaxrl_ppo.wrappers import EnvSpec, prepare
from tests.ppo import sharded_run
from tests.ppo.probes import Table

LOSSES = ("total_loss", "policy_loss", "value_loss", "entropy", "approx_kl", "grad_norm")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The trainings with minibatches by time, on one device and on eight, made once."""
    folder = tmp_path_factory.mktemp("sharded")
    sharded_run.start(folder, "time")
    return folder


@pytest.fixture(scope="module")
def more_runs(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The other trainings, made once."""
    folder = tmp_path_factory.mktemp("sharded")
    sharded_run.start(folder, "pair", *sharded_run.ON_GPU, "rows", "envs", "shuffled", "fit")
    return folder


def facts(runs: pathlib.Path) -> dict[str, Any]:
    return dict(json.loads((runs / "facts.json").read_text()))


def metrics(runs: pathlib.Path, setting: str, count: int | None) -> dict[str, np.ndarray]:
    with np.load(runs / "metrics.npz") as file:
        return {k.split("/", 2)[2]: file[k] for k in file.files if k.startswith(f"{setting}/{count}/")}


def mesh_of(devices: int) -> AbstractMesh:
    """Devices that need not be there."""
    return AbstractMesh((devices,), ("envs",))


def assert_alike(runs: pathlib.Path, setting: str, count: int) -> None:
    """One device and `count` have the same metrics in every iteration, and the devices the same parameters."""
    one, many = metrics(runs, setting, None), metrics(runs, setting, count)
    assert one.keys() == many.keys() >= set(LOSSES)
    for name in one:
        assert one[name].shape == (sharded_run.ITERATIONS,)
        np.testing.assert_allclose(many[name], one[name], rtol=1e-4, atol=1e-4, err_msg=name)


def assert_shared_out(runs: pathlib.Path, setting: str) -> None:
    """Eight devices hold equal parameters, bit for bit, and two environments each."""
    assert facts(runs)[f"{setting} equal"]
    assert facts(runs)[f"{setting} shares"] == [2] * 8


def test_devices_learn_what_one_learns(runs):
    assert_alike(runs, "time", 8)
    assert_shared_out(runs, "time")


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["pair", *sharded_run.ON_GPU])
def test_two_devices_learn_what_one_learns(more_runs, setting):
    assert_alike(more_runs, setting, 2)


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["rows", "envs"])
def test_one_minibatch_is_the_same_however_it_is_shuffled(more_runs, setting):
    assert_alike(more_runs, setting, 8)
    assert_shared_out(more_runs, setting)
    # with four epochs, the KL limit stops some iterations
    assert setting != "rows" or metrics(more_runs, "rows", None)["gradient_steps"].min() < 4


def test_the_trainings_compared_have_everything_in_them(runs):
    one = metrics(runs, "time", None)
    assert one["episodes"].min() > 0
    assert 0 < one["truncated"].max() < 1
    assert one["choice_rows"].min() < 1
    assert one["info/twice"].std() > 0
    assert np.abs(np.diff(one["total_loss"])).min() > 1e-4  # what is compared to 1e-4 changes by more than that


@pytest.mark.slow
def test_minibatches_shuffled_apart_learn_as_well(more_runs):
    explained = metrics(more_runs, "shuffled", 8)["explained_variance"]
    assert explained[:3].mean() < 0 < 0.5 < explained[-3:].mean()
    assert_shared_out(more_runs, "shuffled")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "other"), [("one", "eight"), ("eight", "one")])
def test_a_run_goes_on_with_another_number_of_devices(more_runs, name, other):
    runs = more_runs
    assert facts(runs)[f"{name} read on {other}"]
    for log in ("metrics.csv", "evaluations.csv"):
        whole, half = (_columns(runs / run / log) for run in (name, f"{name}, then {other}"))
        assert whole.keys() == half.keys()
        for column in whole:
            np.testing.assert_allclose(half[column], whole[column], rtol=1e-4, atol=1e-4, err_msg=column)
        assert (runs / name / log).read_text().count("\n") == len(whole["iteration"]) + 1


def _columns(path: pathlib.Path) -> dict[str, np.ndarray]:
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def test_an_environment_draws_the_same_numbers_wherever_it_is():
    spec = EnvSpec(((4,),), ActionSpec(3), False)
    few, many = (PPOConfig(num_envs=n, num_steps=5, minibatch_by="rows", total_timesteps=10**4) for n in (4, 12))
    key = jax.random.key(1)
    keys, noise = draw_steps(spec, few, key, None)
    more_keys, more_noise = draw_steps(spec, many, key, None)
    assert noise.shape == (5, 4, 3)
    np.testing.assert_array_equal(noise, more_noise[:, :4])
    np.testing.assert_array_equal(jax.random.key_data(keys), jax.random.key_data(more_keys[:, :4]))
    assert len(np.unique(jax.random.key_data(more_keys).reshape(-1, 2), axis=0)) == 5 * 12
    assert len(np.unique(np.asarray(more_noise))) == 5 * 12 * 3


def test_over_a_named_axis():
    x = jnp.arange(24.0).reshape(4, 6) ** 2  # vmap's axes stand for devices here

    def device(row: jax.Array) -> tuple[Told, jax.Array]:
        own = Told(row.sum(), row.mean(), {"row": (row.mean(), row.var())}, row.max())
        assert of_all(own, None) is own
        return of_all(own, "envs"), environment_indices(6, "envs")

    told, indices = jax.vmap(device, axis_name="envs")(x)
    every, (mean, var) = np.asarray(x), told.moments["row"]
    found = (told.sums, told.means, mean, var, told.largest)
    for got, expected in zip(found, (every.sum(), every.mean(), every.mean(), every.var(), every.max()), strict=True):
        np.testing.assert_allclose(got, np.full(4, expected), rtol=1e-6)
    np.testing.assert_array_equal(indices.ravel(), np.arange(24))


def test_a_share_keeps_mode_and_iterations():
    config = PPOConfig(num_envs=64, num_steps=64, total_timesteps=64 * 64 * 7 + 5)
    share = local_config(config, mesh_of(8))
    assert (share.num_envs, share.num_steps, share.num_iterations) == (8, 64, 7)
    assert share.minibatch_mode == config.minibatch_mode == "time"  # 8 environments alone would take rows
    assert local_config(config, None) is config


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"num_envs": 60}, "num_envs=60 cannot be shared out over 8 devices: use a multiple of 8, such as 64"),
        (
            {"minibatch_by": "envs", "num_minibatches": 16},
            "the 8 environments of each of 8 devices cannot be split into num_minibatches=16 equal parts",
        ),
        ({"minibatch_by": "rows", "num_minibatches": 1024}, "the 512 rows of each of 8 devices cannot be split into"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(changes, sentence):
    config = PPOConfig(**{"num_envs": 64, "num_steps": 64, **changes})
    with pytest.raises(ValueError, match=sentence):
        make_train(Table(), config, mesh=mesh_of(8))


def test_meshes_that_cannot_serve_are_refused():
    with pytest.raises(
        ValueError, match=r"the mesh has the axes \('a', 'b'\), but environments are shared out over one"
    ):
        axis_of(AbstractMesh((2, 2), ("a", "b")))
    for count in (0, len(jax.devices()) + 1):
        with pytest.raises(ValueError, match=f"{count} devices were asked for, but there are {len(jax.devices())}"):
            make_mesh(count)


def test_blank_arrays_are_shaped_as_what_is_saved():
    tree = {"key": jax.random.split(jax.random.key(0), 3), "x": jnp.ones((2, 3)), "n": jnp.int32(4)}
    saved = to_arrays(tree)
    blank = blank_arrays(jax.eval_shape(lambda: tree))
    assert list(blank) == list(saved)
    for name in saved:
        assert (blank[name].shape, blank[name].dtype) == (saved[name].shape, saved[name].dtype)
        assert not blank[name].any()


def traced_update(config: PPOConfig, mesh: Any) -> Any:
    """The program of an iteration as JAX has it, and the state that goes into it."""
    trainer, params = make_trainer(Table(), config, mesh=mesh), Table().default_params
    state = jax.eval_shape(trainer.init, jax.random.key(0), params)
    return jax.jit(trainer.update).trace(state, params, config.hyperparameters).jaxpr.jaxpr, state


def test_a_minibatch_sends_its_gradient_once():
    config = PPOConfig(
        num_envs=64, num_steps=64, num_epochs=3, num_minibatches=4, hidden_sizes=(8,), microbatch_rows=64
    )
    assert plan_for(config, prepare(Table(), Table().default_params)[1], "cpu").microbatches > 1
    program, state = traced_update(config, make_mesh(1))
    sent = messages(program)
    size = 4 * (sum(x.size for x in jax.tree.leaves(state.params)) + 7)  # the terms of the loss travel with it
    assert sent[size] == 12
    assert max(sent) == size
    # two for the statistics of all minibatches' advantages, one for the returns', one for all that is told afterwards
    assert sum(sent.values()) == 12 + 2 + 1 + 1
    assert not messages(traced_update(config, None)[0])


def unordered(jaxpr: Any) -> int:
    """Senders of messages, a loop with messages in it being one, that do not wait for every sender before them."""
    waits: dict[Any, set[int]] = {}
    senders, found = 0, 0
    for equation in jaxpr.eqns:
        before = set().union(*(waits.get(x, set()) for x in equation.invars if not hasattr(x, "val")))
        if messages(SimpleNamespace(eqns=[equation])):
            found += len(before) < senders
            before |= {senders}
            senders += 1
        waits |= dict.fromkeys(equation.outvars, before)
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                inner = getattr(inner, "jaxpr", inner)
                found += unordered(inner) if hasattr(inner, "eqns") else 0
    return found


@pytest.mark.parametrize("changes", [{}, {"normalise_rewards": False, "normalise_advantages": False, "target_kl": 0.1}])
def test_messages_wait_for_one_another(changes):
    # those under way together are mixed up on CPUs: see `sharding`
    program, _ = traced_update(dataclasses.replace(sharded_run.SMALL, **changes), make_mesh(1))
    assert sum(messages(program).values()) > 3
    assert unordered(program) == 0


def test_messages_that_do_not_wait_are_seen():
    def program(last_of: str) -> int:
        def share(x: jax.Array) -> jax.Array:
            looped, _ = jax.lax.scan(lambda y, _: (jax.lax.psum(y, "envs"), None), x, length=2)
            return jax.lax.psum({"input": x, "loop": looped}[last_of] + 1, "envs") + looped

        mapped = jax.shard_map(share, mesh=make_mesh(1), in_specs=P(), out_specs=P(), check_vma=False)
        return unordered(jax.jit(mapped).trace(jnp.ones(3)).jaxpr.jaxpr)

    assert (program("input"), program("loop")) == (1, 0)
