"""One row per stage of a running operation: the data that live views draw."""

import time
from dataclasses import dataclass
from typing import Any

from ..operate import Operation
from ..state import Phase
from ..store import read_json


@dataclass(frozen=True, kw_only=True)
class Row:
    """A stage as it is now."""

    name: str
    phase: Phase
    seconds: float
    progress: dict[str, Any]
    reason: str
    retry: int


def rows_of(operation: Operation) -> list[Row]:
    """Rows in topological order."""
    return [row_of(operation, stage.name) for stage in operation.plan.stages]


def row_of(operation: Operation, name: str) -> Row:
    """The row of one stage; a running one reads its progress file."""
    stage = operation.state.stages[name]
    running = stage.phase == Phase.RUNNING
    since = operation.started.get(name, time.time())
    return Row(
        name=name,
        phase=stage.phase,
        seconds=time.time() - since if running else operation.seconds.get(name, 0.0),
        progress=read_json(operation.folder.attempt(name, stage.attempt) / "progress.json") if running else {},
        reason=stage.reason,
        retry=stage.retried + stage.killed,
    )
