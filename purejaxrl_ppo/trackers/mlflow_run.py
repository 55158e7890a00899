"""A run of MLflow. Its own variables say where to: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME."""

import os
import pathlib
import time
from collections.abc import Sequence
from typing import Any

from purejaxrl_ppo.trackers.base import TrackedRun, Tracker, tagged

ID_FILE = "mlflow-id.txt"
_METRICS_AT_ONCE, _PARAMS_AT_ONCE = 1_000, 100  # most that the server takes
_LONGEST = 500  # characters of a parameter


class MlflowRun(Tracker):
    """Sends the rows of a chunk together, and the files as artifacts; a run that goes on is the same run there."""

    _status = "FAILED"

    def start(self, run: TrackedRun) -> None:
        """Make the run there, or go on with it; its id is kept in the run's folder."""
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self._client: Any = MlflowClient()
        self._metric = Metric
        known = run.folder / ID_FILE
        if known.is_file():
            self._id = known.read_text().strip()
            self._client.update_run(self._id, status="RUNNING")
            return
        self._id = self._client.create_run(self._experiment(run), run_name=run.folder.name).info.run_id
        known.write_text(self._id + "\n")
        config, values = run.description["config"], run.description["values"]
        pairs = {"env": run.description["env"], **config, **{f"env/{name}": x for name, x in values.items()}}
        params = [Param(name, str(value)[:_LONGEST]) for name, value in pairs.items()]
        for first in range(0, len(params), _PARAMS_AT_ONCE):
            self._client.log_batch(self._id, params=params[first : first + _PARAMS_AT_ONCE])

    def metrics(self, rows: Sequence[dict[str, float]]) -> None:
        """Log the rows over their environment steps."""
        self._log([(row, tagged(row)) for row in rows])

    def evaluation(self, row: dict[str, float]) -> None:
        """Log the row under "evaluation"."""
        self._log([(row, tagged(row, "evaluation"))])

    def files(self, paths: Sequence[pathlib.Path]) -> None:
        """Log the files."""
        for path in paths:
            if path.is_dir():
                self._client.log_artifacts(self._id, str(path), path.name)
            else:
                self._client.log_artifact(self._id, str(path))
        self._status = "FINISHED"

    def close(self) -> None:
        """Say how the run ended."""
        self._client.set_terminated(self._id, self._status)

    def _experiment(self, run: TrackedRun) -> str:
        """Id of the experiment, made where it is new."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", str(run.description["env"]))
        found = self._client.get_experiment_by_name(name)
        return str(found.experiment_id if found else self._client.create_experiment(name))

    def _log(self, rows: Sequence[tuple[dict[str, float], dict[str, float]]]) -> None:
        now = int(time.time() * 1000)
        metrics = [
            self._metric(tag, value, now, int(row["steps"])) for row, tags in rows for tag, value in tags.items()
        ]
        for first in range(0, len(metrics), _METRICS_AT_ONCE):
            self._client.log_batch(self._id, metrics=metrics[first : first + _METRICS_AT_ONCE])
