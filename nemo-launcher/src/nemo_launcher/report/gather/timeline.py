"""How each stage went, folded from the rows of journal.jsonl.

A row names an event, a moment and (but for the run's own events) a stage:
``{"event": "started", "stage": "curate", "time": "2026-01-01T12:00:00+00:00", "attempt": 1}``. Events and keys that are
not known here are passed over.
"""

import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..view import State
from .reading import integer, number, text

STATES: Mapping[str, State] = {
    "planned": "waiting",
    "waiting": "waiting",
    "pending": "waiting",
    "ready": "waiting",
    "submitted": "running",
    "started": "running",
    "running": "running",
    "retrying": "running",
    "done": "done",
    "finished": "done",
    "succeeded": "done",
    "completed": "done",
    "skipped": "reused",
    "reused": "reused",
    "failed": "failed",
    "lost": "failed",
    "cancelled": "cancelled",
    "interrupted": "cancelled",
    "stopped": "cancelled",
}


@dataclass(frozen=True, kw_only=True)
class Course:
    """The course of a stage (or of the run): state, first and last moment in epoch seconds, and what was said."""

    state: State = "waiting"
    begun: float | None = None
    ended: float | None = None
    seconds: float | None = None
    attempts: int = 0
    exit_code: int | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The courses of all stages, and first and last moment of the journal in epoch seconds."""

    stages: Mapping[str, Course]
    begun: float | None = None
    ended: float | None = None


def fold(rows: Iterable[Mapping[str, Any]]) -> Timeline:
    """The timeline that the rows, oldest first, tell."""
    courses: dict[str, Course] = {}
    moments: list[float] = []
    for row in rows:
        now = moment(row.get("time"))
        if now is not None:
            moments.append(now)
        if name := text(row.get("stage")):
            courses[name] = advance(courses.get(name, Course()), row, now=now)
    return Timeline(stages=courses, begun=min(moments, default=None), ended=max(moments, default=None))


def advance(course: Course, row: Mapping[str, Any], *, now: float | None) -> Course:
    """The course after one more event."""
    state = STATES.get(text(row.get("event")))
    if state is None:
        return course
    if state == "running":
        return _begin(course, row, now=now)
    return replace(
        course,
        state=state,
        ended=now,
        seconds=number(row.get("seconds")) or course.seconds,
        exit_code=integer(row.get("exit_code")),
        message=text(row.get("message")) or text(row.get("reason")) or text(row.get("error")),
    )


def _begin(course: Course, row: Mapping[str, Any], *, now: float | None) -> Course:
    """A new attempt; the time before it does not count into the stage's own."""
    fresh = course.state != "running"
    attempts = integer(row.get("attempt")) or course.attempts + fresh
    return Course(state="running", begun=now if fresh else course.begun, attempts=attempts)


def moment(value: Any) -> float | None:
    """Epoch seconds of an ISO 8601 text or a number; None where it is neither."""
    if isinstance(value, str):
        try:
            return datetime.datetime.fromisoformat(value).timestamp()
        except ValueError:
            return None
    return number(value)


def iso(value: float | None) -> str:
    """An epoch moment as ISO 8601 in UTC; empty for None."""
    if value is None:
        return ""
    try:
        return datetime.datetime.fromtimestamp(value, datetime.UTC).isoformat(sep=" ", timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return ""
