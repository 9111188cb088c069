"""Services that show the figures of runs; each module is loaded only when it is asked for.

A module has `open_tracker(folder, config, resumed_at=...)`, which gives a Tracker.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from ...foundation.backend import Backend, load_backend

TrackerName = Literal["tensorboard", "wandb", "mlflow"]
TRACKERS = {
    "tensorboard": Backend(module="nemo_core.train.trackers.tensorboard"),
    "wandb": Backend(module="nemo_core.train.trackers.wandb", extra="wandb"),
    "mlflow": Backend(module="nemo_core.train.trackers.mlflow", extra="mlflow"),
}


class Tracker(Protocol):
    """Takes the figures of a run."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Figures of a step."""

    def close(self) -> None:
        """Finish."""


def open_tracker(name: str, folder: Path, config: Mapping[str, Any], *, resumed_at: int = 0) -> Tracker:
    """A tracker for the run in `folder` with the settings `config`, which continues after `resumed_at` steps.

    Raises MissingBackend, naming the extra to install, where its library is missing.
    """
    module = load_backend("tracker", name, TRACKERS, package="nemo-core")
    tracker: Tracker = module.open_tracker(folder, config, resumed_at=resumed_at)
    return tracker


def run_name(folder: Path) -> str:
    """What a run is called: the name of its output."""
    return folder.name.removesuffix(".partial")


def run_note(folder: Path, service: str) -> Path:
    """The file that keeps the id which `service` gave the run, so that it goes on under the same id."""
    return folder / f".{service}-run"
