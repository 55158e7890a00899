"""A run of Weights & Biases. Its own variables say where to: WANDB_PROJECT, WANDB_MODE=offline and so on."""

import os
import pathlib
import uuid
from collections.abc import Sequence
from typing import Any

from purejaxrl_ppo.trackers.base import TrackedRun, Tracker, tagged

ID_FILE = "wandb-id.txt"


class WandbRun(Tracker):
    """Sends every row as it comes, and the files as an artifact; a run that goes on is the same run there."""

    _ended_well = False

    def start(self, run: TrackedRun) -> None:
        """Make the run there, or go on with it; its id is kept in the run's folder."""
        import wandb

        known = run.folder / ID_FILE
        if not known.is_file():
            known.write_text(uuid.uuid4().hex + "\n")
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "purejaxrl_ppo"),
            id=known.read_text().strip(),
            name=run.folder.name,
            dir=str(run.folder),
            resume="allow",
            config={name: run.description[name] for name in ("env", "config", "values")},
        )
        self._artifact = wandb.Artifact
        self._run.define_metric("*", step_metric="steps")

    def metrics(self, rows: Sequence[dict[str, float]]) -> None:
        """Log the rows over their environment steps."""
        for row in rows:
            self._run.log({"steps": row["steps"], **tagged(row)})

    def evaluation(self, row: dict[str, float]) -> None:
        """Log the row under "evaluation"."""
        self._run.log({"steps": row["steps"], **tagged(row, "evaluation")})

    def files(self, paths: Sequence[pathlib.Path]) -> None:
        """Log the files as an artifact of the type "run"."""
        artifact = self._artifact(f"run-{self._run.id}", type="run")
        for path in paths:
            if path.is_dir():
                artifact.add_dir(str(path), name=path.name)
            else:
                artifact.add_file(str(path))
        self._run.log_artifact(artifact)
        self._ended_well = True

    def close(self) -> None:
        """Wait until all is sent, or written where the mode is offline."""
        self._run.finish(exit_code=0 if self._ended_well else 1)
