"""``nemo-launcher ls``: the runs in a folder."""

import sys
from collections import Counter
from typing import Any

from ..settings import ListSettings
from ..store import RunFolder
from ..ui.format import table
from .status import stage_status, with_history


def run(settings: ListSettings) -> list[dict[str, Any]] | None:
    """One row per run: how many stages are in which state."""
    rows = [describe(RunFolder(path.parent)) for path in sorted(settings.folder.glob("*/plan.json"))]
    if not sys.stdout.isatty():
        return rows
    lines = [(row["run"], ", ".join(f"{n} {state}" for state, n in row["stages"].items())) for row in rows]
    print(table(("run", "stages"), lines) if rows else f"no runs in {settings.folder}")
    return None


def describe(folder: RunFolder) -> dict[str, Any]:
    """A run's folder and its stages' states, counted."""
    plan = folder.read_plan()
    states = Counter(stage_status(folder, stage.name, past)["state"] for stage, past in with_history(folder, plan))
    return {"run": str(folder.path), "stages": dict(states)}
