"""The measuring itself: protocol, ratios, verdicts, reasons, the pandas peer, and both scripts at tiny sizes."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import os
import pathlib
import subprocess
import sys
import textwrap
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import gpu, report
from benchmarks.bench import Options, choose, main
from benchmarks.comparison import Quantity, Row
from benchmarks.contenders import environments
from benchmarks.harness import Contender, Measured, measure_group
from benchmarks.machine import usable_cores
from benchmarks.peers.pandas_env import PandasEnv
from benchmarks.rows import FULL, QUICK, groups
from benchmarks.sampling import Sampler
from benchmarks.settings import PPOSettings
from tests import quick
from tests.rules.test_phase1 import three_days
from trading_gymnax import TradingPhase1
from trading_gymnax.data.loader import load_bars
from trading_gymnax.reference import ReferenceEnv
from trading_gymnax.synthetic import regime

ROOT = pathlib.Path(__file__).parents[1]
COMMAND_ROWS = {"first", "again", "command"}


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module of contenders on the path of the workers, which log the order in which they are asked."""
    (tmp_path / "contenders_of_a_test.py").write_text(
        textwrap.dedent(
            """
            import os

            def counting(name, log):
                print("a library that talks")
                values = iter(range(10, 20))
                def measure():
                    with open(log, "a") as file:
                        file.write(name)
                    return {"steps_per_s": next(values), "pid": os.getpid()}
                return measure, {"compile_s": 0.5}

            def devices():
                return lambda: {"devices": int(os.environ.get("JAX_NUM_CPU_DEVICES", 0))}, {}

            def absent():
                import no_such_library

            def broken():
                raise ValueError("bars are missing\\nand more")

            def failing():
                def measure():
                    raise RuntimeError("out of memory")
                return measure, {}

            def dying():
                os._exit(3)

            def sleeping():
                import time
                time.sleep(60)
            """
        )
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.chdir(ROOT)
    return tmp_path


def quiet(line: str) -> None:
    """Say nothing."""


def test_contenders_are_asked_in_turn_and_answer_with_their_numbers(module):
    log = str(module / "log")
    one, two = (Contender(name, "contenders_of_a_test:counting", {"name": name, "log": log}) for name in ("a", "b"))
    found = measure_group([one, two], 3, quiet)
    assert (module / "log").read_text() == "ababab"
    assert [numbers["steps_per_s"] for numbers in found["b"].rounds] == [10, 11, 12]
    assert found["a"].facts["compile_s"] == 0.5
    assert len({numbers["pid"] for numbers in found["a"].rounds}) == 1


def test_a_fresh_contender_gets_a_process_a_round(module):
    fresh = Contender("a", "contenders_of_a_test:counting", {"name": "a", "log": str(module / "log")}, fresh=True)
    rounds = measure_group([fresh], 2, quiet)["a"].rounds
    assert [numbers["steps_per_s"] for numbers in rounds] == [10, 10]
    assert rounds[0]["pid"] != rounds[1]["pid"]


def test_a_device_for_each_core_is_there_for_those_that_can_use_them(module):
    one, all_of_them = (Contender(str(x), "contenders_of_a_test:devices", {}, all_cores=x) for x in (False, True))
    found = measure_group([one, all_of_them], 1, quiet)
    assert [found[name].rounds for name in ("False", "True")] == [[{"devices": 0}], [{"devices": usable_cores()}]]


def test_environments_are_shared_out_evenly(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 6)
    monkeypatch.setattr(environments, "make_mesh", lambda count: count)
    assert [environments.sharing(count) for count in (1_000, 3_000, 7)] == [2, 6, None]


def test_what_cannot_be_measured_leaves_its_reason_and_the_others_their_numbers(module):
    names = ("absent", "broken", "failing", "dying", "counting")
    contenders = [Contender(name, f"contenders_of_a_test:{name}", {}) for name in names[:-1]]
    contenders.append(Contender("counting", "contenders_of_a_test:counting", {"name": "c", "log": str(module / "log")}))
    found = measure_group(contenders, 2, quiet, together=True)
    assert found["absent"].reason == "not installed (ModuleNotFoundError: No module named 'no_such_library')"
    assert found["broken"].reason == "ValueError: bars are missing"
    assert found["failing"].reason == "RuntimeError: out of memory"
    assert found["dying"].reason == "its process ended with status 3"
    assert found["counting"].reason is None
    assert len(found["counting"].rounds) == 2


def test_a_contender_that_does_not_answer_is_stopped(module):
    found = measure_group([Contender("s", "contenders_of_a_test:sleeping", {})], 1, quiet, patience_s=1.0)
    assert found["s"].reason == "no answer within 1 seconds"


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    row = Row("r", "what", Quantity("ours", ("a",)), Quantity("peer", ("b",)), 2.0)
    rounds = {"a": [10.0, 30.0, 100.0], "b": [5.0, 10.0, 200.0]}
    found = {name: Measured([{"steps_per_s": x} for x in values], {}) for name, values in rounds.items()}
    compared = report.compare(row, found)
    assert compared["ratios"] == [2.0, 3.0, 0.5]
    assert compared["ratio"] == 2.0
    assert compared["verdict"] == "met"
    assert report.compare(dataclasses.replace(row, target=2.1), found)["verdict"] == "missed"
    assert report.compare(dataclasses.replace(row, target=2.1, at_most=True), found)["verdict"] == "met"
    assert report.compare(dataclasses.replace(row, target=1.9, at_most=True), found)["verdict"] == "missed"


def test_a_reward_below_zero_is_met_by_nothing():
    row = Row("r", "what", Quantity("ours", ("a",)), Quantity("peer", ("b",)), 0.95)
    found = {name: Measured([{"steps_per_s": x}], {}) for name, x in {"a": -2.0, "b": -1.0}.items()}
    assert report.compare(row, found)["verdict"] == "missed"


def test_a_row_whose_peer_is_missing_says_why_and_is_bold_in_the_table():
    row = Row("r", "what", Quantity("ours", ("a",)), Quantity("peer", ("b",)), 2.0)
    found = {"a": Measured([{"steps_per_s": 1.0}], {}), "b": Measured([], {}, "not installed (x)")}
    compared = report.compare(row, found)
    assert compared["verdict"] == "not measured: b: not installed (x)"
    assert report.comparison_table([compared])[-1].endswith("| >= 2 | **not measured: b: not installed (x)** |")


def test_quantities_pick_scale_or_stand_for_themselves():
    replies = {"a": {"mb": 3.0}, "b": {"mb": 5.0}}
    assert Quantity("x", ("a", "b"), "mb", pick=max).of(replies) == 5.0
    assert Quantity("x", ("a", "b"), "mb", factor=10.0).of(replies) == 30.0
    assert Quantity("x", factor=0.02).of(replies) == 0.02


def test_nominal_operations_are_counted_by_hand():
    # two towers of 225 x 64 + 64 x 64 products, 3 logits and a value of 64 each; 2 operations a product
    forward = 2 * (2 * (14_400 + 4_096) + 64 * 3 + 64)
    assert PPOSettings().nominal_flops(225, 3) == 13 * forward == 968_448


def test_memory_counts_arguments_results_and_donations_once_and_leaves_the_market_out():
    market, x = jnp.zeros(5_000), jax.ShapeDtypeStruct((1_000,), jnp.float32)

    def add(x, market):
        return x + 1.0

    apart = environments.counted(add).lower(x, market).compile()
    assert environments.working_bytes(apart, market) == 4_000 + 4_000
    in_place = environments.counted(add, donate=(0,)).lower(x, market).compile()
    assert environments.working_bytes(in_place, market) == 4_000


@pytest.mark.parametrize("kind", ["stored", "stock"])
def test_a_rollout_draws_from_the_mask_and_stores_what_is_seen(kind):
    env = TradingPhase1(three_days(), window=3, min_bars_left=10, max_steps_in_episode=30)
    env.action_mask = lambda state, params: jnp.array([False, False, True])
    params, num_envs, num_steps = env.default_params, 4, 3
    start, roll = environments.programs(env, kind, num_envs, num_steps)
    before = jax.jit(start)(jax.random.key(0), params)
    buffer = jnp.full((num_steps, num_envs, *env.obs_shape) if kind == "stored" else (0,), jnp.nan)
    after, buffer, total = jax.jit(roll)(jax.random.key(1), before, buffer, params)
    np.testing.assert_array_equal(after.time - before.time, num_steps)
    assert ((after.position == -1) | (after.num_trades > 0)).all()  # only SELL was there to be drawn
    assert jnp.isfinite(total).all()
    if kind == "stored":
        np.testing.assert_allclose(buffer[-1], jax.vmap(env.get_obs, (0, None))(after, params), rtol=1e-6)
        assert jnp.isfinite(buffer).all()


def test_rows_bring_only_the_contenders_that_they_need():
    [group] = choose(groups(FULL), ("pandas",))
    assert [one.name for one in group.contenders] == ["consumed", "pandas"]
    assert len(choose(groups(FULL), ())) == len(groups(FULL))
    with pytest.raises(ValueError, match="no row 'pandsa': did you mean 'pandas'"):
        choose(groups(FULL), ("pandsa",))


@pytest.mark.parametrize("scale", [FULL, QUICK])
def test_every_row_compares_contenders_of_its_own_group(scale):
    names = [row.name for group in groups(scale) for row in group.rows]
    assert len(names) == len(set(names))
    for group in groups(scale):
        known = {one.name for one in group.contenders}
        for row in group.rows:
            assert {*row.ours.contenders, *row.peer.contenders} <= known


def test_the_pandas_peer_plays_exactly_as_the_reference():
    tape = regime(3, seed=2)
    bars = load_bars(tape.frame, tape.spec)
    rng = np.random.default_rng(0)
    for phase in (1, 2):
        envs = [make(bars, phase=phase, max_steps_in_episode=80) for make in (ReferenceEnv, PandasEnv)]
        seen = [env.reset(seed=1) for env in envs]
        ended = 0
        for _ in range(300):
            np.testing.assert_array_equal(seen[0][0], seen[1][0])
            action = int(rng.choice(np.flatnonzero(seen[0][-1]["action_mask"])))
            seen = [env.step(action) for env in envs]
            assert seen[0][1:4] == seen[1][1:4]
            assert {k: v for k, v in seen[0][4].items() if k != "action_mask"} == {
                k: v for k, v in seen[1][4].items() if k != "action_mask"
            }
            if seen[0][2] or seen[0][3]:
                ended += 1
                seen = [env.reset() for env in envs]
        assert ended > 0


@pytest.mark.slow
def test_a_smoke_run_writes_every_number_of_its_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("XLA_FLAGS", quick.FLAGS)
    main(Options(rows=("reference",), quick=True, out=tmp_path))
    [page], [file] = tmp_path.glob("*.md"), tmp_path.glob("*.json")
    content = json.loads(file.read_text())
    assert [row["row"] for row in content["rows"]] == ["reference"]
    for row in content["rows"]:
        assert row["ratio"] == row["ours_median"] / row["peer_median"] > 0
        assert row["verdict"] in ("met", "missed")
    assert set(content["contenders"]) == {"consumed", "reference"}
    assert content["contenders"]["consumed"]["facts"]["devices"] == math.gcd(QUICK.num_envs, usable_cores())
    assert "too small for these numbers" in page.read_text()
    assert page.read_text().strip() in capsys.readouterr().out


@pytest.mark.slow
def test_a_smoke_run_of_the_gpu_script_works_without_a_gpu(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("XLA_FLAGS", quick.FLAGS)
    gpu.main(gpu.Options(smoke=True, out=tmp_path))
    [page], [file] = tmp_path.glob("gpu_cpu_smoke.md"), tmp_path.glob("gpu_cpu_smoke.json")
    content = json.loads(file.read_text())
    assert {row["row"] for row in content["rows"]} == {"plain-16", "rejax-16", "learning-16", "wide", *COMMAND_ROWS}
    verdicts = {row["row"]: row["verdict"] for row in content["rows"]}
    assert verdicts["wide"] == verdicts["command"] == "missed"  # a CPU with programs that were compiled in a hurry
    assert verdicts["plain-16"] in ("met", "missed")
    if importlib.util.find_spec("rejax") is None:
        assert verdicts["rejax-16"].startswith("not measured: rejax, 16 x 16: not installed")
    stepping, training = (content["contenders"][name]["rounds"][0] for name in ("stepping, 16", "PPO, 16 x 16"))
    # 225 float32 read, and the state's row of 25 int32 read and written
    assert stepping["bytes_per_s"] == pytest.approx(stepping["steps_per_s"] * (225 * 4 + 2 * 25 * 4))
    assert training["flops_per_s"] == pytest.approx(training["steps_per_s"] * 968_448)
    [command] = content["contenders"]["command line"]["rounds"]
    assert command["again_s"] > 0
    assert command["first_s"] > 0
    assert "| PPO, 16 x 16 |" in page.read_text()


def test_a_run_out_of_time_says_so_in_every_row(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    gpu.main(gpu.Options(minutes=1e-6, smoke=True, out=tmp_path))
    [file] = tmp_path.glob("gpu_unknown_device_smoke.json")
    verdicts = [row["verdict"] for row in json.loads(file.read_text())["rows"]]
    assert len(verdicts) == 4 + len(COMMAND_ROWS)
    assert all("the time of the whole run was used up" in verdict for verdict in verdicts)


@pytest.mark.parametrize(
    ("says", "added", "reason"),
    [
        ("echo 87, 45", {"busy_percent": 87.0, "memory_busy_percent": 45.0}, None),
        ("echo [N/A], 45, 1234", {}, "utilisation was not sampled: could not convert string to float: '[N/A]'"),
    ],
)
def test_what_nvidia_smi_says_is_added_or_the_reason_kept(tmp_path, monkeypatch, says, added, reason):
    script = tmp_path / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n{says}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    sampler = Sampler()

    def go() -> dict[str, float]:
        enough = len(sampler._rows) + 2
        while len(sampler._rows) < enough and sampler.reason is None:
            time.sleep(0.02)
        return {"steps_per_s": 1.0}

    assert sampler.watch(go) == {"steps_per_s": 1.0, **added}
    sampler.stop()
    assert sampler.reason == reason


def test_impossible_options_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match="--rounds is how often everything is measured, 1 or more; got 0"):
        main(Options(rounds=0, out=tmp_path))
    command = [sys.executable, "-m", "benchmarks.bench", "--rows", "stok"]
    run = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert run.returncode == 1
    assert run.stderr.strip().endswith("bench: no row 'stok': did you mean 'stock'?")
