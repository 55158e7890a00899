"""Killed processes, full disks, folders that cannot be written or vanish, two processes in one folder."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from purejaxrl_ppo import load_policy
from purejaxrl_ppo.checkpoint import Checkpoints
from purejaxrl_ppo.host import only_process
from tests.faults.run import train

ROOT = pathlib.Path(__file__).parents[2]
KILLS = 20


def start(folder: pathlib.Path, iterations: int = 6, prefix: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [*prefix, sys.executable, "-m", "tests.faults.run", str(folder), str(iterations)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], status: int = 0) -> str:
    """Wait for the end; what stood on stderr, which is one sentence for a fault and nothing otherwise."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == status, said
    if status == 2:
        assert said.startswith("faults: ")
        assert said.count("\n") == 1
    return said


def arrays(folder: pathlib.Path, iteration: int) -> dict[str, np.ndarray]:
    found = Checkpoints(folder / "checkpoints", keep=None, read_only=True).restore(("state",))
    assert found is not None
    assert found[1]["iteration"] == iteration
    return found[0]["state"]


def assert_same_end(folder: pathlib.Path, whole: pathlib.Path, iteration: int) -> None:
    got, want = arrays(folder, iteration), arrays(whole, iteration)
    assert got.keys() == want.keys()
    for name in want:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)
    assert (folder / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


def rows(folder: pathlib.Path) -> int:
    path = folder / "metrics.csv"
    return path.read_text().count("\n") if path.is_file() else 0


def wait_for_a_checkpoint(process: subprocess.Popen[str], folder: pathlib.Path) -> None:
    while not any(step.name.isdigit() for step in folder.glob("checkpoints/*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@contextlib.contextmanager
def file_system(folder: pathlib.Path, size: str) -> Iterator[pathlib.Path]:
    """A small file system of its own at `folder`, given back at the end."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        made = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    if made.returncode:
        pytest.skip(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A run of six iterations in one go."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(folder)
    return folder


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_ends_as_if_never_stopped(tmp_path):
    iterations, rng = 300, random.Random(0)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(start(whole, iterations))
    for kill in range(KILLS):
        process, began, before = start(broken, iterations), time.monotonic(), rows(broken)
        if kill % 4:  # in the middle of iterations and checkpoints
            while rows(broken) <= before and process.poll() is None and time.monotonic() - began < 120:
                before = min(before, rows(broken))  # resuming drops rows that no checkpoint holds
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, 0.6))
        else:  # while it imports, compiles or restores
            time.sleep(rng.uniform(0.0, 6.0))
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGKILL)
        finish(process, -signal.SIGKILL)
    assert 0 < rows(broken) < iterations
    finish(start(broken, iterations))
    assert_same_end(broken, whole, iterations)
    assert not [path for path in broken.rglob("*") if "tmp" in path.name or "partial" in path.name]


@pytest.mark.slow
def test_a_full_disk_ends_with_a_sentence_and_the_run_goes_on_when_there_is_room(tmp_path):
    with file_system(tmp_path / "disk", "8m") as disk:
        folder, filler = disk / "run", disk / "filler"
        process = start(folder, 60)
        wait_for_a_checkpoint(process, folder)
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        said = finish(process, 2)
        assert "No space left on device" in said
        assert load_policy(folder, checkpoint="last").sampled
        assert not list(folder.rglob("probe*"))
        assert "No space left on device" in finish(start(folder, 60), 2)
        assert rows(folder) < 60
        filler.unlink()
        assert finish(start(folder, 60)) == ""
        assert rows(folder) == 61
        assert arrays(folder, 60)


def test_a_folder_that_cannot_be_written_is_a_sentence_and_its_policy_can_be_played(tmp_path, finished):
    with file_system(tmp_path / "disk", "4m") as disk:
        run = shutil.copytree(finished, disk / "run")
        remount = ["mount", "-o", "remount,ro", str(disk)]
        subprocess.run(remount, check=True)
        with pytest.raises(ValueError, match="Read-only file system; use another run_dir"):
            train(run, 12)
        with pytest.raises(ValueError, match=f"nothing can be written to {disk}/new"):
            train(disk / "new")
        assert load_policy(run).sampled


@pytest.mark.slow
def test_a_second_process_is_refused_and_a_dead_one_locks_nothing(tmp_path):
    folder = tmp_path / "run"
    first = start(folder, 100_000)
    wait_for_a_checkpoint(first, folder)
    said = finish(start(folder, 100_000), 2)
    assert said == (
        f"faults: process {first.pid} is training in {folder}: wait for it or stop it, or use another run_dir\n"
    )
    assert first.poll() is None  # and it was not disturbed
    assert load_policy(folder, checkpoint="last").sampled  # to look on is allowed
    first.send_signal(signal.SIGKILL)
    finish(first, -signal.SIGKILL)
    with only_process(folder):
        assert (folder / "lock").read_text() == f"{os.getpid()}\n"


def test_a_second_run_in_one_process_is_refused_as_well(tmp_path):
    with only_process(tmp_path / "run"):
        with pytest.raises(ValueError, match=f"process {os.getpid()} is training in"), only_process(tmp_path / "run"):
            pass
        with only_process(tmp_path / "other"):
            pass
    with only_process(tmp_path / "run"):
        pass


@pytest.mark.slow
def test_event_files_removed_during_the_run_do_not_disturb_it(tmp_path):
    folder = tmp_path / "run"
    process = start(folder, 40)
    wait_for_a_checkpoint(process, folder)
    for events in folder.glob("events.out.tfevents*"):
        events.unlink()
    assert finish(process) == ""
    assert rows(folder) == 41


@pytest.mark.slow
def test_a_folder_moved_away_during_the_run_is_a_sentence(tmp_path):
    folder = tmp_path / "run"
    process = start(folder, 100_000)
    wait_for_a_checkpoint(process, folder)
    folder.rename(tmp_path / "elsewhere")
    assert "No such file or directory" in finish(process, 2)
    assert load_policy(tmp_path / "elsewhere", checkpoint="last").sampled


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "gone"])
def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, finished, damage, caplog):
    """The run goes on from the one before and ends as if nothing had been damaged, tried of one damage of four."""
    folder = shutil.copytree(finished, tmp_path / "run")
    files = sorted(path for path in (folder / "checkpoints" / "6").rglob("*") if path.is_file())
    for path in files:
        data = bytearray(path.read_bytes())
        if damage == "cut":
            path.write_bytes(data[: len(data) // 2])
        elif damage == "flip" and data:
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
        elif damage == "empty":
            path.write_bytes(b"")
        elif damage == "gone":
            path.unlink()
    arrays(folder, 4)
    assert "checkpoint" in caplog.text or damage == "gone"
    if damage == "flip":
        train(folder)
        assert_same_end(folder, finished, 6)
        return
    kept = Checkpoints(folder / "checkpoints", keep=None)
    kept.remove_newer(4)  # as the training does before it goes on
    assert kept.steps()[0] == 4
    kept.close()
