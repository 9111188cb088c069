"""MLflow; server and experiment are those of its own environment (MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow

from . import run_name, run_note

LONGEST_VALUE = 500


class MLflow:
    """One run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See Tracker."""
        mlflow.log_metrics(dict(values), step=step)

    def close(self) -> None:
        """See Tracker."""
        mlflow.end_run()


def open_tracker(folder: Path, config: Mapping[str, Any], *, resumed_at: int) -> MLflow:
    """A new run, or the one that this folder began."""
    note = run_note(folder, "mlflow")
    known = note.read_text(encoding="utf-8") if resumed_at and note.is_file() else None
    run = mlflow.start_run(run_id=known, run_name=None if known else run_name(folder))
    note.write_text(run.info.run_id, encoding="utf-8")
    if known is None:
        mlflow.log_params({name: str(value)[:LONGEST_VALUE] for name, value in config.items()})
    return MLflow()
