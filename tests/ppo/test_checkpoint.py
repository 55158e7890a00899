"""A checkpoint that cannot be written: one error for who saves, and nobody else's output is touched."""

import logging
import pathlib
import resource
import sys
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from purejaxrl_ppo import checkpoint
from purejaxrl_ppo.checkpoint import CheckpointError, Checkpoints

LIMIT = 200_000  # bytes of a file
LARGE = {"state": {"weights": np.random.default_rng(0).normal(size=LIMIT // 4)}}


@pytest.fixture
def checkpoints(tmp_path: pathlib.Path) -> Iterator[Checkpoints]:
    """A folder with one checkpoint, in which no file can grow large."""
    made = Checkpoints(tmp_path / "checkpoints", keep=3)
    made.save(1, {"state": {"weights": np.zeros(9)}}, {})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield made
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    made.close()


def test_a_file_too_large_is_refused_before_anything_is_written(checkpoints, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "_save", lambda *_: pytest.fail("it was written"))
    with pytest.raises(CheckpointError, match=r"iteration 2 cannot be written .*\(File too large\)"):
        checkpoints.save(2, LARGE, {})
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["1"]


def test_where_it_ends_in_the_middle_only_orbax_is_silent(checkpoints, monkeypatch, capfd, caplog):
    def save(*args):
        """Says something amid the save, as another thread may at any time."""
        stream = sys.stderr
        speaker = threading.Thread(target=lambda: print("mine", file=sys.stderr))
        speaker.start(), speaker.join()
        assert sys.stderr is stream
        logging.getLogger("absl").error("an error of mine in another folder")
        Checkpoints._save(checkpoints, *args)

    monkeypatch.setattr(checkpoint, "_check_room", lambda *_: None)
    monkeypatch.setattr(checkpoints, "_save", save)
    with pytest.raises(CheckpointError, match=r"\(File too large\)"):
        checkpoints.save(2, LARGE, {})
    for thread in threading.enumerate():  # of Orbax, which may still speak
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(5)
    assert "mine\n" in capfd.readouterr().err
    assert [record.getMessage() for record in caplog.records if record.name == "absl" and record.levelno >= 40] == [
        "an error of mine in another folder"
    ]
    assert checkpoints.steps() == [1]
    assert checkpoints.restore(("state",))[0]["state"]["weights"].tolist() == [0] * 9


def test_there_is_room_for_what_fits(tmp_path):
    checkpoint._check_room(tmp_path, LIMIT)
    with pytest.raises(OSError, match=r"No space left|File too large"):
        checkpoint._check_room(tmp_path, 1 << 60)
    assert list(tmp_path.iterdir()) == []
