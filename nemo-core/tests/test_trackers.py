"""Figures reach the services that show them, and a resumed run goes on under the same name."""

import pytest

from nemo_core.foundation.errors import ConfigError
from nemo_core.train.metrics import MetricsLog
from nemo_core.train.trackers import open_tracker


def log_two_stretches(folder, tracker):
    with MetricsLog(folder, tensorboard=False, trackers=[tracker], config={"steps": 3}) as log:
        log.log(1, loss=3.0)
        log.log(2, loss=2.0)
    with MetricsLog(folder, resumed_at=2, tensorboard=False, trackers=[tracker], config={"steps": 3}) as log:
        log.log(3, loss=1.0)


@pytest.mark.slow
def test_mlflow_gets_one_run_with_all_figures(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    log_two_stretches(tmp_path / "model.partial", "mlflow")
    (run,) = mlflow.search_runs(output_format="list")
    assert (run.info.run_name, run.data.params) == ("model", {"steps": "3"})
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.0), (3, 1.0)]


@pytest.mark.slow
def test_weights_and_biases_writes_offline_runs_under_one_id(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = tmp_path / "model.partial"
    log_two_stretches(folder, "wandb")
    name = (folder / ".wandb-run").read_text()
    files = sorted((folder / "logs").rglob("run-*.wandb"))
    assert files
    assert {path.stem for path in files} == {f"run-{name}"}


def test_an_unknown_tracker_is_named(tmp_path):
    with pytest.raises(ConfigError, match="unknown tracker 'tensorbord'; one of tensorboard, wandb, mlflow"):
        open_tracker("tensorbord", tmp_path, {})
