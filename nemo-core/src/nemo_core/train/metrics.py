"""Figures of a run, step by step: metrics.jsonl always, TensorBoard and other trackers beside it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from .trackers import open_tracker

FILE = "metrics.jsonl"


class MetricsLog:
    """Appends rows to `folder`/metrics.jsonl and gives them to trackers (TensorBoard unless `tensorboard` is false).

    A run that continues after `resumed_at` steps first drops the rows of later steps: they are about to come again.
    """

    def __init__(
        self,
        folder: Path,
        *,
        resumed_at: int = 0,
        tensorboard: bool = True,
        trackers: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = folder / FILE
        kept = [row for row in read_metrics(self.path) if row["step"] <= resumed_at] if resumed_at else []
        folder.mkdir(parents=True, exist_ok=True)
        self._handle = open(self.path, "w", encoding="utf-8")  # noqa: SIM115 - open for as long as the run
        for row in kept:
            self._write(row)
        names = [*(["tensorboard"] if tensorboard else []), *trackers]
        self._trackers = [open_tracker(name, folder, config or {}, resumed_at=resumed_at) for name in names]

    def log(self, step: int, **values: float) -> None:
        """Add one row: {"step": step, **values}; `tokens` and `time_s` are by convention among the values."""
        self._write({"step": step, **values})
        for tracker in self._trackers:
            tracker.log(step, values)

    def _write(self, row: dict[str, Any]) -> None:
        self._handle.write(json.dumps(row) + "\n")
        self._handle.flush()

    def close(self) -> None:
        """Finish everywhere."""
        self._handle.close()
        for tracker in self._trackers:
            tracker.close()

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
