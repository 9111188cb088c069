"""Figures of a run, step by step: metrics.jsonl always, TensorBoard beside it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = "metrics.jsonl"


class MetricsLog:
    """Appends rows to `folder`/metrics.jsonl and, unless `tensorboard` is false, events under `folder`/tensorboard.

    A run that continues after `resumed_at` steps first drops the rows of later steps: they are about to come again.
    """

    def __init__(self, folder: Path, *, resumed_at: int = 0, tensorboard: bool = True) -> None:
        self.path = folder / FILE
        kept = [row for row in read_metrics(self.path) if row["step"] <= resumed_at] if resumed_at else []
        folder.mkdir(parents=True, exist_ok=True)
        self._handle = open(self.path, "w", encoding="utf-8")  # noqa: SIM115 - open for as long as the run
        self._writer = self._open_tensorboard(folder / "tensorboard", resumed_at) if tensorboard else None
        for row in kept:
            self._write(row)

    @staticmethod
    def _open_tensorboard(folder: Path, resumed_at: int) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(folder), purge_step=resumed_at + 1 if resumed_at else None)

    def log(self, step: int, **values: float) -> None:
        """Add one row: {"step": step, **values}; `tokens` and `time_s` are by convention among the values."""
        self._write({"step": step, **values})
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)

    def _write(self, row: dict[str, Any]) -> None:
        self._handle.write(json.dumps(row) + "\n")
        self._handle.flush()

    def close(self) -> None:
        """Finish both files."""
        self._handle.close()
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a metrics.jsonl; a last line that a killed process left unfinished is passed over."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)
