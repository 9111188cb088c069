"""TensorBoard events under tensorboard/ in the run's folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class TensorBoard:
    """One run's events."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """See Tracker."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """See Tracker."""
        self._writer.close()


def open_tracker(folder: Path, config: Mapping[str, Any], *, resumed_at: int) -> TensorBoard:
    """Events after `resumed_at` are dropped: they come again."""
    purge = resumed_at + 1 if resumed_at else None
    return TensorBoard(SummaryWriter(str(folder / "tensorboard"), purge_step=purge))
