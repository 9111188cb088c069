"""A run folder, read whole into the view."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..view import Run, Stage, State
from . import timeline
from .artifacts import read_artifact
from .documents import read_curation
from .learning import read_learning
from .models import read_evaluation, read_exchanges
from .provenance import read_provenance
from .reading import Reader, items, mapping, text
from .timeline import Course, Timeline

TRAINED = ("checkpoint", "adapter")


def gather(folder: Path) -> Run:
    """Everything the report shows of the run in `folder`; what is absent is named in `Run.missing`."""
    reader = Reader(folder)
    plan = mapping(reader.json(folder / "plan.json", why="the order and the needs of the stages are not known"))
    rows = reader.rows(folder / "journal.jsonl", why="states and times of the stages are not known")
    told = timeline.fold(rows)
    stages = read_stages(plan, told, reader)
    kinds = {kind: [s.artifact for s in stages if s.artifact and s.artifact.kind == kind] for kind in _kinds(stages)}
    trained = [stage.artifact for stage in stages if stage.artifact and stage.artifact.kind in TRAINED]
    return Run(
        name=text(plan.get("name")) or folder.resolve().name,
        folder=str(folder.resolve()),
        state=state_of(stages),
        started=timeline.iso(told.begun),
        finished=timeline.iso(told.ended),
        seconds=told.seconds,
        provenance=read_provenance(plan, stages, reader),
        stages=stages,
        curations=tuple(read_curation(a) for a in kinds.get("documents", ()) if "documents_in" in a.stats),
        learnings=tuple(read_learning(a, reader) for a in trained if "objective" in a.stats),
        evaluations=tuple(read_evaluation(a, reader) for a in kinds.get("evaluation", ())),
        exchanges=tuple(e for a in kinds.get("endpoint", ()) for e in read_exchanges(a, reader)),
        missing=tuple(reader.missing),
    )


def _kinds(stages: Iterable[Stage]) -> set[str]:
    return {stage.artifact.kind for stage in stages if stage.artifact}


def read_stages(plan: Mapping[str, Any], told: Timeline, reader: Reader) -> tuple[Stage, ...]:
    """The stages of the plan in its order; without a plan, those that the journal or the artifacts know."""
    planned = planned_stages(plan)
    folder = reader.root / "artifacts"
    on_disk = sorted(p.name for p in folder.iterdir() if (p / "manifest.json").is_file()) if folder.is_dir() else []
    names = planned or dict.fromkeys([*told.stages, *on_disk])
    return tuple(_stage(name, mapping(planned.get(name)), told, reader) for name in names)


def planned_stages(plan: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The plan's stages by name, in its order."""
    return {text(mapping(entry).get("name")): mapping(entry) for entry in items(plan.get("stages"))}


def _stage(name: str, planned: Mapping[str, Any], told: Timeline, reader: Reader) -> Stage:
    artifact = read_artifact(name, reader.root / "artifacts" / name, reader)
    course = told.stages.get(name, Course(state="done" if artifact else "waiting"))
    log = newest_log(reader.root / "stages" / name)
    return Stage(
        name=name,
        use=text(planned.get("use")),
        needs=tuple(text(need) for need in items(planned.get("needs"))),
        state=course.state,
        spans=course.spans,
        seconds=course.seconds,
        attempts=course.attempts,
        exit_code=course.exit_code,
        message=course.message,
        log_path=reader.relative(log) if log else "",
        log_tail=reader.tail(log) if log and course.state in ("failed", "cancelled") else "",
        artifact=artifact,
    )


def newest_log(folder: Path) -> Path | None:
    """What the latest attempt of a stage wrote to stderr; None where there is none."""
    logs = list(folder.glob("attempt-*/stderr.log"))
    return max(logs, key=lambda log: (len(log.parent.name), log.parent.name), default=None)


def state_of(stages: Sequence[Stage]) -> State:
    """The run's state from its stages': the worst one rules."""
    states = {stage.state for stage in stages}
    order: tuple[State, ...] = ("failed", "blocked", "cancelled", "running", "waiting")
    worst = next((state for state in order if state in states), None)
    return worst or ("done" if states else "unknown")
