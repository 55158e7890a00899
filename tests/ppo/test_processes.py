"""Several processes as one run: the same results as one, one log, and an end together."""

import csv
import pathlib
import signal
import subprocess
import time

import numpy as np
import pytest

from purejaxrl_ppo import start_processes
from purejaxrl_ppo.checkpoint import Checkpoints
from purejaxrl_ppo.cli.main import main
from tests.ppo import process_run


def assert_same_logs(one: pathlib.Path, other: pathlib.Path) -> None:
    for name in ("metrics.csv", "evaluations.csv"):
        want, got = (list(csv.DictReader((run / name).read_text().splitlines())) for run in (one, other))
        assert len(want) == len(got) == {"metrics.csv": process_run.ITERATIONS, "evaluations.csv": 2}[name]
        for row, same in zip(want, got, strict=True):
            assert row.keys() == same.keys()
            for key in row:
                np.testing.assert_allclose(float(same[key]), float(row[key]), rtol=1e-4, atol=1e-4, err_msg=key)


def saved_state(folder: pathlib.Path) -> dict[str, np.ndarray]:
    """The last checkpoint's arrays, which one process can read."""
    found = Checkpoints(folder / "checkpoints", keep=None, read_only=True).restore(("state",))
    assert found is not None
    assert found[1]["iteration"] == process_run.ITERATIONS
    return found[0]["state"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The run of one process on one device."""
    folder = tmp_path_factory.mktemp("runs") / "alone"
    main([*process_run.TRAIN, "--run-dir", str(folder), "--quiet"])
    return folder


@pytest.mark.slow
def test_two_processes_train_as_one_and_another_number_goes_on(tmp_path, alone):
    folder = tmp_path / "run"
    (status, out, _), (other_status, other_out, _) = process_run.finish(process_run.start(folder))
    assert (status, other_status) == (0, 0)
    assert "4 devices of 2 processes, 4 environments on each" in out
    # one of them speaks, but for a library that greets from every process
    assert [line for line in other_out.splitlines() if not line.startswith("[Gloo]")] == []
    assert_same_logs(alone, folder)
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    before = saved_state(folder)
    main(["resume", str(folder), "--quiet"])  # it is finished: one process reads what four devices wrote, and saves it
    after = saved_state(folder)
    assert before.keys() == after.keys()
    assert all(before[name].tobytes() == after[name].tobytes() for name in before)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_process_that_dies_stops_the_other_and_the_run_goes_on(tmp_path, alone, victim):
    folder = tmp_path / "run"
    processes = process_run.start(folder, "wait")
    wait_for_checkpoint(folder, 2, processes)
    processes[victim].kill()
    began = time.monotonic()
    ended = process_run.finish(processes)
    assert time.monotonic() - began < 60
    status, _, err = ended[1 - victim]
    assert ended[victim][0] == -signal.SIGKILL
    assert status not in (0, 2)
    assert "start all 2 processes again" in err
    assert f"the run in {folder} goes on from its last checkpoint" in err
    assert not (folder / "checkpoints" / str(process_run.ITERATIONS)).exists()
    assert [status for status, _, _ in process_run.finish(process_run.start(folder))] == [0, 0]
    assert_same_logs(alone, folder)


@pytest.mark.slow
def test_a_signal_to_one_process_stops_both_at_the_same_iteration(tmp_path, alone):
    folder = tmp_path / "run"
    processes = process_run.start(folder, "wait")
    wait_for_checkpoint(folder, 2, processes)
    processes[1].send_signal(signal.SIGTERM)
    ended = process_run.finish(processes)
    assert [status for status, _, _ in ended] == [0, 0]
    assert "and saved; to go on: purejaxrl-ppo resume" in ended[0][1]
    assert not (folder / "checkpoints" / str(process_run.ITERATIONS)).exists()
    main(["resume", str(folder), "--quiet", *process_run.TRAIN[-10:]])
    assert_same_logs(alone, folder)


@pytest.mark.slow
def test_a_process_that_fails_tells_the_other(tmp_path):
    folder = tmp_path / "run"
    main([*process_run.TRAIN, "--run-dir", str(folder), "--quiet", "--seed", "1"])
    (status, _, err), (other_status, _, other_err) = process_run.finish(process_run.start(folder))
    assert status == 2
    assert "config.seed: 1 there, 0 asked for" in err
    assert other_status == 2  # as wrong for all of them: a launcher need not try again
    assert f"process 0 failed ({folder} holds a run of another configuration" in other_err


@pytest.mark.slow
def test_processes_that_were_started_differently_do_not_train(tmp_path):
    folder = tmp_path / "run"
    (_, _, err), (status, _, other_err) = process_run.finish(process_run.start(folder, "seeds"))
    assert status == 2
    assert "process 1 was started with something else than process 0 (config: seed): all processes" in other_err
    assert "process 1 failed (process 1 was started with something else" in err
    assert not (folder / "checkpoints" / "2").exists()


def wait_for_checkpoint(folder: pathlib.Path, number: int, processes: "list[subprocess.Popen[str]]") -> None:
    while not (folder / "checkpoints" / str(number)).is_dir():
        for process in processes:
            assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--devices 0", "0 devices were asked for, but there "),
        ("--devices 4096", "4096 devices were asked for, but there "),
        ("--devices two", "--devices cannot be 'two': None or a whole number is expected"),
        ("--coordinator a:1", "coordinator without num_processes and process_id: give all three, or none where SLURM"),
        ("--process-id 1 --num-processes 2", "num_processes and process_id without coordinator: give all three"),
        ("--coordinator a --num-processes 2 --process-id 0", "coordinator='a' must be host:port of process 0, such as"),
        (
            "--coordinator a:0 --num-processes 2 --process-id 0",
            "coordinator='a:0' must be host:port of process 0, such",
        ),
        ("--coordinator a:1 --num-processes 0 --process-id 0", "num_processes=0 must be at least 1"),
        ("--coordinator a:1 --num-processes 2 --process-id 2", "process_id=2 must lie between 0 and 1, for 2 of them"),
    ],
)
def test_wrong_values_are_one_sentence(tmp_path, capsys, options, sentence):
    with pytest.raises(SystemExit) as ended:
        main(["train", "CartPole-v1", "--run-dir", str(tmp_path / "run"), *options.split()])
    assert ended.value.code == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"purejaxrl-ppo: {sentence}")
    assert printed.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_processes_cannot_meet_once_something_was_computed():
    with pytest.raises(ValueError, match="start_processes was called after JAX had computed something: call it first"):
        start_processes("127.0.0.1:1234", 1, 0)
