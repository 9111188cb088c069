"""Settle what an earlier launcher left open: take its running stages over, record those that ended meanwhile."""

import signal
import time
from typing import TYPE_CHECKING

from . import graph, keys
from .executors.local import exit_of
from .journal import History, histories, read_events
from .plan import Plan, PlannedStage
from .state import Phase
from .store import read_json

if TYPE_CHECKING:
    from .operate import Operation

POLL_S = 0.05


def take_over(operation: "Operation") -> None:
    """Adopt each open attempt that this plan would start just so, end the others, record those that ended."""
    for name, past in list(operation.past.items()):
        if not past.open:
            continue
        stage = next((s for s in operation.plan.stages if s.name == name), None)
        runs = operation.executor.adopt(name, operation.folder.attempt(name, past.attempt))
        if runs and stage is not None and is_wanted(operation, stage, past):
            adopt(operation, stage, past)
            continue
        if runs:
            end(operation, name)
        record_end(operation, name, past, stage)


def key_of(operation: "Operation", name: str, attempt: int) -> str:
    """The content key with which an attempt was started."""
    return str(read_json(operation.folder.attempt(name, attempt) / "argv.json").get("key", ""))


def is_wanted(operation: "Operation", stage: PlannedStage, past: History) -> bool:
    """True where all that the stage reads is current, and it was started with just these inputs and settings."""
    if stage.recipe_key != past.recipe_key:
        return False
    upstream = graph.needed_by(stage.needs, {s.name: s.needs for s in operation.plan.stages})
    if not all(is_done(operation, name) for name in in_order(operation.plan, upstream)):
        return False
    return keys.key_now(stage) == key_of(operation, stage.name, past.attempt)


def in_order(plan: Plan, names: set[str]) -> list[str]:
    """`names` in the order of the plan: what a stage reads is looked at before the stage."""
    return [stage.name for stage in plan.stages if stage.name in names]


def is_done(operation: "Operation", name: str) -> bool:
    """True where a stage's output is there and made from what is there now."""
    stage, past = operation.plan.stage(name), operation.past.get(name, History())
    if not past.key or keys.output_digest(stage) is None:
        return False
    return keys.is_current(stage, keys.key_now(stage), past)


def adopt(operation: "Operation", stage: PlannedStage, past: History) -> None:
    """Treat a stage that still runs as started by this launcher."""
    order = read_json(operation.folder.attempt(stage.name, past.attempt) / "argv.json")
    operation.keys[stage.name] = str(order["key"])
    operation.started[stage.name] = past.since
    operation.gpus[stage.name] = tuple(order["gpus"])
    operation.state = operation.state.having(stage.name, phase=Phase.RUNNING)


def end(operation: "Operation", name: str) -> None:
    """Stop a stage of an earlier plan that this plan runs otherwise, or not at all."""
    operation.executor.send(name, signal.SIGTERM)
    deadline = time.monotonic() + operation.plan.grace_s
    while name in operation.executor.running:
        if time.monotonic() > deadline:
            operation.executor.send(name, signal.SIGKILL)
        time.sleep(POLL_S)
        operation.executor.ended()


def record_end(operation: "Operation", name: str, past: History, stage: PlannedStage | None) -> None:
    """Journal an attempt that ended while no launcher looked; its artifact counts when it is whole."""
    ended = exit_of(operation.folder.attempt(name, past.attempt))
    operation.note_end(name, past.attempt, ended)
    key = key_of(operation, name, past.attempt)
    same = stage is not None and stage.recipe_key == past.recipe_key and key
    if stage is not None and same and operation.is_complete(stage, past.attempt, ended):
        operation.note_done(stage, key)
    operation.past = histories(read_events(operation.folder.journal))
