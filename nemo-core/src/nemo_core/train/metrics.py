"""Figures of a run, step by step: metrics.jsonl always, TensorBoard and other trackers beside it."""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..foundation import atomic
from .trackers import open_tracker

FILE = "metrics.jsonl"


class MetricsLog:
    """Appends rows to `folder`/metrics.jsonl and gives them to trackers (TensorBoard unless `tensorboard` is false).

    A run that continues after `resumed_at` steps first drops the rows of later steps: they are about to come again. So
    is the row that ends a run, where all steps were done (`looks`: the measurements that were logged at the last one).
    """

    def __init__(
        self,
        folder: Path,
        *,
        resumed_at: int = 0,
        looks: int | None = None,
        tensorboard: bool = True,
        trackers: Sequence[str] = (),
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = folder / FILE
        kept = [row for row in read_metrics(self.path) if row["step"] <= resumed_at] if resumed_at else []
        kept = kept if looks is None else without_the_end(kept, resumed_at, looks)
        folder.mkdir(parents=True, exist_ok=True)
        atomic.write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        self._handle = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - open for as long as the run
        self._told = False
        names = [*(["tensorboard"] if tensorboard else []), *trackers]
        self._trackers = [open_tracker(name, folder, config or {}, resumed_at=resumed_at) for name in names]

    def log(self, step: int, **values: float) -> None:
        """Add one row: {"step": step, **values}; `tokens` and `time_s` are by convention among the values."""
        with self._in_spite_of_a_full_disk():
            self._handle.write(json.dumps({"step": step, **values}) + "\n")
            self._handle.flush()
        for tracker in self._trackers:
            with self._in_spite_of_a_full_disk():
                tracker.log(step, values)

    def close(self) -> None:
        """Finish everywhere."""
        for close in (self._handle.close, *(tracker.close for tracker in self._trackers)):
            with self._in_spite_of_a_full_disk():
                close()

    @contextlib.contextmanager
    def _in_spite_of_a_full_disk(self) -> Iterator[None]:
        """Training goes on without figures; the first time, a line on stderr says so."""
        try:
            yield
        except OSError as error:
            if error.errno not in atomic.NO_ROOM:
                raise
            if not self._told:
                print(
                    f"nemo-core: warning: {self.path}: {error.strerror}; training goes on, without some figures",
                    file=sys.stderr,
                    flush=True,
                )
            self._told = True

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def without_the_end(rows: Sequence[dict[str, Any]], last: int, looks: int) -> list[dict[str, Any]]:
    """The rows but those of step `last` that hold no loss of a step, beyond the first `looks` of them."""
    kept, found = [], 0
    for row in rows:
        is_measured = row["step"] == last and "loss" not in row
        found += is_measured
        if not is_measured or found <= looks:
            kept.append(row)
    return kept


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a metrics.jsonl; a last line that a killed process left unfinished, and one that is damaged, are not."""
    if not path.is_file():
        return
    for line in path.read_bytes().splitlines(keepends=True):
        if line.endswith(b"\n") and (row := parsed(line)) is not None:
            yield row


def parsed(line: bytes) -> dict[str, Any] | None:
    """A row, or None where the line is none: figures are for people, and a run does not end for one."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) and isinstance(row.get("step"), int) else None
