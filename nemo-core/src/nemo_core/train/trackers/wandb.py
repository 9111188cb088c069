"""Weights & Biases; project, mode and key are those of its own environment (WANDB_PROJECT, WANDB_MODE, ...)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import wandb

from . import run_name, run_note


class WandB:
    """One run."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See Tracker; a step may be logged in several parts."""
        self._run.log({**values, "step": step}, step=step)

    def close(self) -> None:
        """See Tracker."""
        self._run.finish()


def open_tracker(folder: Path, config: Mapping[str, Any], *, resumed_at: int) -> WandB:
    """A new run, or the one that this folder began."""
    note = run_note(folder, "wandb")
    known = note.read_text(encoding="utf-8") if resumed_at and note.is_file() else None
    (folder / "logs").mkdir(exist_ok=True)
    run = wandb.init(
        name=run_name(folder),
        config=dict(config),
        dir=str(folder / "logs"),
        id=known,
        resume="allow" if known else None,
    )
    note.write_text(str(run.id), encoding="utf-8")
    return WandB(run)
