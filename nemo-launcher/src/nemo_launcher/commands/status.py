"""``nemo-launcher status``: where each stage is, from the run folder's JSON files alone."""

import sys
import time
from pathlib import Path
from typing import Any

from ..journal import History, histories, read_events
from ..plan import Plan
from ..processes import Identity, is_alive
from ..settings import RunReference
from ..state import Phase
from ..store import RunFolder, find_run, read_json
from ..ui.format import duration, table
from ..ui.progress import progress_parts

PHASES = {"started": Phase.RUNNING, "ended": Phase.STOPPED, "done": Phase.DONE, "skipped": Phase.SKIPPED}


def run(settings: RunReference) -> dict[str, Any] | None:
    """Print the state of a run: a table on a terminal, JSON elsewhere."""
    folder = find_run(settings.run, Path.cwd())
    plan = folder.read_plan()
    rows = [stage_status(folder, stage.name, past) for stage, past in with_history(folder, plan)]
    launcher = folder.holder()
    if sys.stdout.isatty():
        print(as_text(folder, rows, launcher))
        return None
    return {"run": str(folder.path), "launcher": launcher.pid if launcher else None, "stages": rows}


def with_history(folder: RunFolder, plan: Plan) -> list[tuple[Any, History]]:
    """Each planned stage with what the journal tells of it."""
    past = histories(read_events(folder.journal))
    return [(stage, past.get(stage.name, History())) for stage in plan.stages]


def stage_status(folder: RunFolder, name: str, past: History) -> dict[str, Any]:
    """One stage: state, attempt, seconds, and the progress of a running one."""
    attempt = folder.attempt(name, past.attempt)
    state, seconds, progress = phase_of(attempt, past), past.seconds, {}
    if state == Phase.RUNNING:
        seconds, progress = time.time() - past.since, read_json(attempt / "progress.json")
    row = {"stage": name, "state": str(state), "attempt": past.attempt, "seconds": round(seconds, 1)}
    return {**row, **({"progress": progress} if progress else {}), **({"reason": past.reason} if past.reason else {})}


def phase_of(attempt: Path, past: History) -> Phase:
    """The phase that the journal tells; an open attempt is looked at."""
    if not past.open:
        return PHASES.get(past.last) or Phase(past.last or "waiting")
    status = read_json(attempt / "status.json")
    if status.get("state") != "running":
        return Phase.RUNNING if not status else Phase.STOPPED
    return Phase.RUNNING if is_alive(Identity(int(status["pid"]), str(status["started"]))) else Phase.STOPPED


def as_text(folder: RunFolder, rows: list[dict[str, Any]], launcher: Identity | None) -> str:
    """The state of a run for people."""
    lines = [
        (
            row["stage"],
            row["state"],
            str(row["attempt"] or ""),
            duration(row["seconds"]) if row["seconds"] else "",
            "  ".join(progress_parts(row.get("progress", {}))) or row.get("reason", ""),
        )
        for row in rows
    ]
    shown = table(("stage", "state", "attempt", "time", ""), lines, right=(2, 3))
    finished = all(row["state"] in (Phase.DONE, Phase.SKIPPED) for row in rows)
    if launcher is not None:
        return f"{shown}\nrunning, process {launcher.pid}"
    return shown if finished else f"{shown}\nno launcher is at work; 'nemo-launcher resume {folder.path}' continues"
