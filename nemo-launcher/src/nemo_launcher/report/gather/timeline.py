"""How each stage went, folded from the rows of journal.jsonl (see `nemo_launcher.journal` for its events).

A run folder may be worked on in several sessions: it is resumed, or run again. Times here leave out the hours between
sessions, so that they add up to what the run took. Events and keys that are not known here are passed over.
"""

import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..view import State
from .reading import integer, mapping, number, text

Row = Mapping[str, Any]
Span = tuple[float, float]
SETTLED: Mapping[str, State] = {
    "done": "done",
    "skipped": "reused",
    "failed": "failed",
    "blocked": "blocked",
    "stopped": "cancelled",
}


@dataclass(frozen=True, kw_only=True)
class Course:
    """The course of a stage: its state, when each attempt ran (seconds of the run), and what was said of its end."""

    state: State
    spans: tuple[Span, ...] = ()
    seconds: float | None = None
    attempts: int = 0
    exit_code: int | None = None
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The courses of all stages; first and last moment (epoch seconds), and the seconds that sessions took together."""

    stages: Mapping[str, Course]
    begun: float | None = None
    ended: float | None = None
    seconds: float | None = None


@dataclass
class _Session:
    first: float
    last: float


@dataclass
class _Attempt:
    session: int
    begun: float
    seconds: float | None = None


@dataclass
class _Stage:
    state: State = "waiting"
    attempts: list[_Attempt] = field(default_factory=list)
    seconds: float | None = None
    exit_code: int | None = None
    message: str = ""


def fold(rows: Iterable[Row]) -> Timeline:
    """The timeline that the rows, oldest first, tell."""
    folding = _Folding()
    for row in rows:
        folding.take(row)
    return folding.timeline()


class _Folding:
    """What is known while rows are read."""

    def __init__(self) -> None:
        self.sessions: list[_Session] = []
        self.stages: dict[str, _Stage] = {}

    def take(self, row: Row) -> None:
        """Account for one more event."""
        now, event, name = number(row.get("time")), text(row.get("event")), text(row.get("stage"))
        if now is None:
            return
        if event == "run" or not self.sessions:
            self.sessions.append(_Session(now, now))
        self.sessions[-1].last = max(self.sessions[-1].last, now)
        if event == "run":
            self.begin_session()
        elif event == "run_ended":
            self.settle_all(mapping(row.get("stages")))
        elif name:
            self.take_stage(self.stages.setdefault(name, _Stage()), event, row, now)

    def begin_session(self) -> None:
        """What failed or was stopped before waits again."""
        for stage in self.stages.values():
            if stage.state in ("failed", "blocked", "cancelled"):
                stage.state, stage.message, stage.exit_code = "waiting", "", None

    def settle_all(self, phases: Row) -> None:
        """The states in which the session left its stages."""
        for name, phase in phases.items():
            stage = self.stages.setdefault(name, _Stage())
            stage.state = SETTLED.get(text(phase), "waiting")

    def take_stage(self, stage: _Stage, event: str, row: Row, now: float) -> None:
        """Account for an event of one stage."""
        steps: Mapping[str, Callable[[], None]] = {
            "started": lambda: self.start(stage, now),
            "ended": lambda: self.end(stage, row, now),
        }
        if event in steps:
            steps[event]()
        elif event in SETTLED:
            stage.state = SETTLED[event]
            stage.message = text(row.get("reason"))
            if event == "done":
                stage.seconds = number(row.get("seconds"))

    def start(self, stage: _Stage, now: float) -> None:
        """A new attempt; one after success is other work, so the earlier attempts no longer count."""
        if stage.state in ("done", "reused"):
            stage.attempts.clear()
        stage.state, stage.seconds, stage.exit_code, stage.message = "running", None, None, ""
        stage.attempts.append(_Attempt(len(self.sessions) - 1, now))

    def end(self, stage: _Stage, row: Row, now: float) -> None:
        """The end of the latest attempt, which a later session may have been the first to see."""
        stage.exit_code = integer(row.get("exit_code"))
        if not stage.attempts:
            return
        attempt = stage.attempts[-1]
        seconds = number(row.get("seconds"))
        attempt.seconds = max(0.0, now - attempt.begun if seconds is None else seconds)
        session = self.sessions[attempt.session]
        session.last = max(session.last, attempt.begun + attempt.seconds)

    def timeline(self) -> Timeline:
        """Everything, with the times between sessions taken out."""
        starts, total = [], 0.0
        for session in self.sessions:
            starts.append(total - session.first)
            total += session.last - session.first
        if not self.sessions:
            return Timeline(stages={})
        return Timeline(
            stages={name: self.course(stage, starts) for name, stage in self.stages.items()},
            begun=self.sessions[0].first,
            ended=self.sessions[-1].last,
            seconds=total,
        )

    def course(self, stage: _Stage, starts: list[float]) -> Course:
        """One stage; an attempt that has no end yet lasts to its session's."""
        spans = []
        for attempt in stage.attempts:
            seconds = attempt.seconds
            if seconds is None:
                seconds = self.sessions[attempt.session].last - attempt.begun
            begin = attempt.begun + starts[attempt.session]
            spans.append((begin, begin + seconds))
        worked = sum(end - begin for begin, end in spans) if spans else None
        return Course(
            state=stage.state,
            spans=tuple(spans),
            seconds=worked if stage.seconds is None else stage.seconds,
            attempts=len(spans),
            exit_code=stage.exit_code,
            message=stage.message,
        )


def iso(moment: float | None) -> str:
    """An epoch moment as a person reads it, in UTC; empty for None."""
    if moment is None:
        return ""
    try:
        return f"{datetime.datetime.fromtimestamp(moment, datetime.UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return ""
