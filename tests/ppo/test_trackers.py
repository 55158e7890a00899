"""Trackers: what `fit` tells them and when; Weights & Biases and MLflow as they write to disk, without a network."""

import ast
import dataclasses
import importlib.util
import json
import pathlib
import struct
from collections.abc import Iterator

import pytest

from purejaxrl_ppo import FitOptions, TrackedRun, Tracker, fit
from purejaxrl_ppo.trackers import missing_package, named_trackers, tagged
from tests.ppo.test_fit import CONFIG, ENV, OPTIONS, PARAMS

ROOT = pathlib.Path(__file__).resolve().parents[2]
DESCRIPTION = {"env": "Table", "config": {"seed": 3, "gamma": 0.5}, "values": {"limit": 7}}
ROWS = [{"iteration": i + 1, "steps": 128 * (i + 1), "episode_return": i / 4, "loss": 1.0} for i in range(3)]
EVALUATION = {"iteration": 3, "steps": 384, "sampled_return": 5.0}


class Recorder(Tracker):
    """Remembers its calls."""

    def __init__(self):
        self.calls, self.rows = [], []

    def start(self, run):
        self.calls.append(("start", run.description["env"], run.steps))

    def metrics(self, rows):
        self.rows += rows

    def evaluation(self, row):
        self.calls.append(("evaluation", row["steps"]))

    def files(self, paths):
        self.calls.append(("files", sorted(path.name for path in paths)))

    def close(self):
        self.calls.append(("close",))


def test_a_tracker_of_ones_own_is_told_what_the_files_hold(tmp_path):
    options = dataclasses.replace(OPTIONS, tensorboard=False)
    whole, again = Recorder(), Recorder()
    fit(ENV, PARAMS, CONFIG, run_dir=tmp_path, options=options, trackers=[whole])
    kept = ["best", "evaluations.csv", "metrics.csv", "run.json"]
    told = [("start", "Table", 0), ("evaluation", 640), ("evaluation", 1280), ("files", kept), ("close",)]
    assert whole.calls == told
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [list(map(str, row.values())) for row in whole.rows] == [line.split(",") for line in lines[1:]]
    fit(ENV, PARAMS, CONFIG, run_dir=tmp_path, options=options, trackers=(again, Tracker()))
    assert again.calls == [("start", "Table", 1280), ("files", kept), ("close",)]
    assert again.rows == []


def test_an_error_closes_a_tracker_without_its_files(tmp_path):
    class Failing(Recorder):
        def metrics(self, rows):
            raise OSError("the server is gone")

    tracker = Failing()
    with pytest.raises(OSError, match="the server is gone"):
        fit(ENV, PARAMS, CONFIG, run_dir=tmp_path, options=OPTIONS, trackers=[tracker])
    assert tracker.calls == [("start", "Table", 0), ("close",)]


def test_what_is_no_tracker_is_refused(tmp_path):
    for wrong in (["wandb"], Tracker(), [Tracker]):
        with pytest.raises(ValueError, match=r"trackers must be a list of objects of purejaxrl_ppo.Tracker"):
            fit(ENV, PARAMS, CONFIG, run_dir=tmp_path, options=OPTIONS, trackers=wrong)


def test_metrics_lie_in_folders():
    row = {"iteration": 1, "steps": 2, "episode_return": 3.0, "loss": 4.0, "schedule/x": 5.0}
    assert tagged(row) == {"episode/episode_return": 3.0, "train/loss": 4.0, "schedule/x": 5.0}
    assert tagged({"steps": 2, "argmax_return": 1.0}, "evaluation") == {"evaluation/argmax_return": 1.0}


def test_a_tracker_that_is_not_installed_is_told_before_anything_else(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    sentence = 'mlflow is not installed: pip install "trading-gymnax[mlflow]"'
    assert missing_package(["mlflow"]) == sentence
    with pytest.raises(ValueError, match="mlflow is not installed"):
        FitOptions(track=("mlflow",))
    assert FitOptions().track == ()


def test_no_module_imports_a_tracker_before_it_is_asked_for():
    for path in (ROOT / "purejaxrl_ppo").rglob("*.py"):
        for node in ast.parse(path.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"wandb", "mlflow", "tensorboardX"}, path


def told(name: str, folder: pathlib.Path, steps: int = 0) -> None:
    """A short life of a tracker."""
    (tracker,) = named_trackers([name], tensorboard=False)
    (folder / "metrics.csv").write_text("a\n1\n")
    (folder / "best").mkdir(exist_ok=True)
    (folder / "best" / "policy").write_text("weights")
    tracker.start(TrackedRun(folder, DESCRIPTION, steps))
    tracker.metrics(ROWS)
    tracker.evaluation(EVALUATION)
    tracker.files([folder / "metrics.csv", folder / "best"])
    tracker.close()


@pytest.mark.filterwarnings("ignore")  # of the packages' own
def test_mlflow_keeps_a_run(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason='mlflow is not installed: pip install ".[mlflow]"')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/runs.db")
    folder = tmp_path / "nq"
    folder.mkdir()
    told("mlflow", folder)
    told("mlflow", folder, 384)  # goes on: the same run
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("Table").experiment_id])
    assert (run.info.run_name, run.info.status) == ("nq", "FINISHED")
    assert run.data.params == {"env": "Table", "seed": "3", "gamma": "0.5", "env/limit": "7"}
    history = client.get_metric_history(run.info.run_id, "episode/episode_return")
    assert {(point.step, point.value) for point in history} == {(128, 0.0), (256, 0.25), (384, 0.5)}
    assert run.data.metrics["evaluation/sampled_return"] == 5.0
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["best", "metrics.csv"]


@pytest.mark.filterwarnings("ignore")
def test_wandb_keeps_a_run_offline(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason='wandb is not installed: pip install ".[wandb]"')
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    told("wandb", tmp_path)
    wandb.teardown()  # its own process has written when it has ended
    (written,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert (tmp_path / "wandb-id.txt").read_text().strip() in written.name
    found = stored(written)
    assert [row["steps"] for row in found["history"]] == [128, 256, 384, 384]
    assert [row.get("episode/episode_return") for row in found["history"]] == [0.0, 0.25, 0.5, None]
    assert found["history"][-1]["evaluation/sampled_return"] == 5.0
    assert found["config"]["config"] == {"seed": 3, "gamma": 0.5}
    assert found["exit"] == [0]


def stored(path: pathlib.Path) -> dict:
    """What an offline run holds: history, configuration, exit status."""
    from wandb.proto import wandb_internal_pb2

    found = {"history": [], "config": {}, "exit": []}
    for data in logged(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        if record.HasField("history"):
            items = record.history.item
            found["history"].append({"/".join(x.nested_key) or x.key: json.loads(x.value_json) for x in items})
        elif record.HasField("run"):
            found["config"] |= {x.key: json.loads(x.value_json) for x in record.run.config.update}
        elif record.HasField("exit"):
            found["exit"].append(record.exit.exit_code)
    return found


def logged(content: bytes) -> Iterator[bytes]:
    """The records of a log of LevelDB's format: blocks of 32 KiB of parts, each behind checksum, length and kind."""
    at, parts = 7, b""  # behind the file's own header
    while at < len(content):
        left = 32_768 - at % 32_768
        _, length, kind = struct.unpack_from("<IHB", content.ljust(at + 7, b"\0"), at)
        if left < 7 or kind == 0:
            at += left
            continue
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""
