"""``nemo-launcher plan``: what a run would do, stage by stage."""

import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import keys
from ..journal import History, histories, read_events
from ..plan import Plan, PlannedStage
from ..settings import WorkflowSettings
from ..store import RunFolder
from ..ui.format import table
from ..ui.summary import shown_path
from .run import plan_of

READS_WIDTH = 40


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a run would do with a stage, and why."""

    will: str
    why: str


def run(settings: WorkflowSettings) -> dict[str, Any] | None:
    """Print the plan as a table on a terminal, as JSON elsewhere."""
    plan, _ = plan_of(settings)
    forecasts = forecast(plan)
    if sys.stdout.isatty():
        print(as_table(plan, forecasts))
        return None
    return as_record(plan, forecasts)


def forecast(plan: Plan) -> dict[str, Forecast]:
    """For each stage whether it would be skipped, from the journal and the artifacts on disk."""
    past = histories(read_events(RunFolder(Path(plan.run_dir)).journal))
    found: dict[str, Forecast] = {}
    for stage in plan.stages:
        found[stage.name] = foresee(stage, past.get(stage.name, History()), found)
    return found


def foresee(stage: PlannedStage, past: History, earlier: dict[str, Forecast]) -> Forecast:
    """What would happen to one stage."""
    changing = [i.stage for i in stage.inputs.values() if i.stage is not None and earlier[i.stage].will == "run"]
    if not past.key:
        return Forecast(will="run", why="never finished" if past.attempt else "new")
    if changing:
        return Forecast(will="run", why=f"after {', '.join(dict.fromkeys(changing))}, unless its output stays the same")
    if keys.is_current(stage, keys.key_now(stage), past):
        return Forecast(will="skip", why="done, from the same inputs and settings")
    if stage.kind is not None and keys.output_digest(stage) is None:
        return Forecast(will="run", why="its artifact is missing or damaged")
    return Forecast(will="run", why="its settings or inputs changed")


def as_table(plan: Plan, forecasts: dict[str, Forecast]) -> str:
    """The plan for people."""
    rows = [
        (
            stage.name,
            forecasts[stage.name].will,
            stage.use,
            reads(stage),
            stage.kind or "",
            room(stage),
            forecasts[stage.name].why,
        )
        for stage in plan.stages
    ]
    lines = [table(("stage", "will", "use", "reads", "makes", "resources", "why"), rows)]
    if plan.left_out:
        lines.append(f"left out (no target needs them): {', '.join(plan.left_out)}")
    lines.append(f"run folder: {shown_path(plan.run_dir)}")
    return "\n".join(lines)


def reads(stage: PlannedStage) -> str:
    """The stages and paths that a stage reads, cut to what fits beside the rest."""
    sources = dict.fromkeys(source.stage or shown_path(source.path) for source in stage.inputs.values())
    return textwrap.shorten(", ".join(sources), READS_WIDTH, placeholder=" ...")


def room(stage: PlannedStage) -> str:
    """What a stage occupies."""
    gpus = f", {stage.gpus} GPU" if stage.gpus else ""
    return f"{stage.cpus} CPU, {stage.memory_gib:g} GiB{gpus}"


def as_record(plan: Plan, forecasts: dict[str, Forecast]) -> dict[str, Any]:
    """The plan for programs."""
    stages = [
        {
            "stage": stage.name,
            "will": forecasts[stage.name].will,
            "why": forecasts[stage.name].why,
            "use": stage.use,
            "version": stage.version,
            "inputs": {name: source.stage or source.path for name, source in stage.inputs.items()},
            "output": stage.output,
            "kind": stage.kind,
            "resources": {"cpus": stage.cpus, "memory_gib": stage.memory_gib, "gpus": stage.gpus},
            "config": stage.config,
            "recipe_key": stage.recipe_key,
        }
        for stage in plan.stages
    ]
    return {"name": plan.name, "run_dir": plan.run_dir, "stages": stages, "left_out": list(plan.left_out)}
