"""What to do next in a run: a pure function from (state, event) to (state, actions).

No clock, no file, no process: a race between stages is a sequence of events in a unit test. The caller performs the
actions (look, start, stop) and reports what came of them as further events.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

RETRIES_AFTER_KILL = 1
EXIT_USER = 2
EXIT_RETRY = 75
EXIT_INTERRUPTED = 130


class Phase(StrEnum):
    """Where a stage is on its way."""

    WAITING = "waiting"
    CHECKING = "checking"
    READY = "ready"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    BLOCKED = "blocked"
    STOPPED = "stopped"


SUCCEEDED = frozenset({Phase.DONE, Phase.SKIPPED})
UNSUCCESSFUL = frozenset({Phase.FAILED, Phase.BLOCKED, Phase.STOPPED})
FINAL = SUCCEEDED | UNSUCCESSFUL


@dataclass(frozen=True, kw_only=True)
class Room:
    """An amount of processors, memory and GPUs."""

    cpus: int
    memory_gib: float
    gpus: int

    def fits(self, asked: "Room") -> bool:
        """True where `asked` is at most this."""
        return asked.cpus <= self.cpus and asked.memory_gib <= self.memory_gib and asked.gpus <= self.gpus

    def less(self, used: "Room") -> "Room":
        """What is left when `used` is taken."""
        return Room(
            cpus=self.cpus - used.cpus, memory_gib=self.memory_gib - used.memory_gib, gpus=self.gpus - used.gpus
        )

    def at_most(self, whole: "Room") -> "Room":
        """This, cut to what `whole` has: a stage that asks for more than there is runs alone."""
        return Room(
            cpus=min(self.cpus, whole.cpus),
            memory_gib=min(self.memory_gib, whole.memory_gib),
            gpus=min(self.gpus, whole.gpus),
        )


@dataclass(frozen=True, kw_only=True)
class StageState:
    """One stage in a run."""

    needs: tuple[str, ...]
    room: Room
    retries: int
    phase: Phase = Phase.WAITING
    attempt: int = 0
    retried: int = 0
    killed: int = 0
    exit_code: int | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class RunState:
    """All stages, the room they share, and whether the run was asked to stop."""

    stages: Mapping[str, StageState]
    room: Room
    stopping: bool = False

    def having(self, name: str, **changes: object) -> "RunState":
        """This state with one stage changed."""
        changed = replace(self.stages[name], **changes)  # type: ignore[arg-type]
        return replace(self, stages={**self.stages, name: changed})

    def in_phase(self, *phases: Phase) -> list[str]:
        """Names of the stages in any of `phases`."""
        return [name for name, stage in self.stages.items() if stage.phase in phases]

    @property
    def over(self) -> bool:
        """True when nothing can happen any more."""
        return all(stage.phase in FINAL for stage in self.stages.values())


@dataclass(frozen=True)
class Begun:
    """The run begins, or continues."""


@dataclass(frozen=True)
class Looked:
    """A stage's inputs are there; `current` says that its output was made from just these already."""

    stage: str
    current: bool


@dataclass(frozen=True)
class Ended:
    """An attempt ended: by itself with an exit code, or by a signal; `complete` where its artifact is whole."""

    stage: str
    exit_code: int | None
    signal: int | None
    complete: bool


@dataclass(frozen=True)
class StopAsked:
    """Someone asked the run to stop."""


Event = Begun | Looked | Ended | StopAsked


@dataclass(frozen=True)
class Look:
    """Compute the stage's content key and compare it with what is done."""

    stage: str


@dataclass(frozen=True)
class Start:
    """Start attempt number `attempt` of the stage."""

    stage: str
    attempt: int


@dataclass(frozen=True)
class Stop:
    """Ask the stage's processes to end."""

    stage: str


Action = Look | Start | Stop


def decide(state: RunState, event: Event) -> tuple[RunState, list[Action]]:
    """The state after `event`, and what to do now."""
    match event:
        case Begun():
            pass
        case Looked(name, current):
            state = state.having(name, phase=Phase.SKIPPED if current else Phase.READY)
        case Ended():
            state = after_end(state, event)
        case StopAsked():
            return stop(state)
    return settle(state)


def stop(state: RunState) -> tuple[RunState, list[Action]]:
    """Start nothing more; ask what runs to end."""
    state = replace(state, stopping=True)
    return settle(state)[0], [Stop(name) for name in state.in_phase(Phase.RUNNING)]


def after_end(state: RunState, event: Ended) -> RunState:
    """A stage's state after an attempt: done, to be tried again, failed, or stopped with the run."""
    stage = state.stages[event.stage]
    if event.complete and (event.exit_code == 0 or may_try_again(event)):
        return state.having(event.stage, phase=Phase.DONE, exit_code=0, reason="")
    if state.stopping:
        return state.having(event.stage, phase=Phase.STOPPED, exit_code=event.exit_code, reason="interrupted")
    if event.signal is not None and stage.killed < RETRIES_AFTER_KILL:
        return state.having(event.stage, phase=Phase.READY, killed=stage.killed + 1, reason=why(event))
    if event.signal is None and may_try_again(event) and stage.retried < stage.retries:
        return state.having(event.stage, phase=Phase.READY, retried=stage.retried + 1, reason=why(event))
    return state.having(event.stage, phase=Phase.FAILED, exit_code=event.exit_code, reason=why(event))


def may_try_again(event: Ended) -> bool:
    """True where the same command may well succeed next time."""
    return event.signal is not None or event.exit_code in (EXIT_RETRY, EXIT_INTERRUPTED)


def why(event: Ended) -> str:
    """How an attempt ended, in words."""
    if event.signal is not None:
        return f"killed by signal {event.signal}"
    if event.exit_code == 0:
        return "ended well but wrote no whole artifact"
    meanings = {EXIT_USER: "settings or input are wrong", EXIT_RETRY: "preempted or out of a resource"}
    meaning = meanings.get(event.exit_code or 0)
    return f"exit code {event.exit_code}{f': {meaning}' if meaning else ''}"


def settle(state: RunState) -> tuple[RunState, list[Action]]:
    """Block what cannot run, look at what could, start what fits."""
    if state.stopping:
        idle = state.in_phase(Phase.WAITING, Phase.CHECKING, Phase.READY)
        for name in idle:
            state = state.having(name, phase=Phase.STOPPED, reason="not started: the run was interrupted")
        return state, []
    state = block(state)
    state, looks = look(state)
    state, starts = start(state)
    return state, [*looks, *starts]


def block(state: RunState) -> RunState:
    """Mark every stage that waits for one that will not succeed."""
    while True:
        doomed = {
            name: bad
            for name in state.in_phase(Phase.WAITING)
            if (bad := first_in(state, state.stages[name].needs, UNSUCCESSFUL))
        }
        if not doomed:
            return state
        for name, bad in doomed.items():
            state = state.having(name, phase=Phase.BLOCKED, reason=f"{bad} {state.stages[bad].phase}")


def first_in(state: RunState, names: Iterable[str], phases: frozenset[Phase]) -> str | None:
    """The first of `names` in one of `phases`."""
    return next((name for name in names if state.stages[name].phase in phases), None)


def look(state: RunState) -> tuple[RunState, list[Action]]:
    """Look at each waiting stage whose needs are met."""
    actions: list[Action] = []
    for name in state.in_phase(Phase.WAITING):
        if all(state.stages[need].phase in SUCCEEDED for need in state.stages[name].needs):
            state = state.having(name, phase=Phase.CHECKING)
            actions.append(Look(name))
    return state, actions


def start(state: RunState) -> tuple[RunState, list[Action]]:
    """Start ready stages, in order, as long as they fit beside those that run."""
    actions: list[Action] = []
    for name in state.in_phase(Phase.READY):
        stage = state.stages[name]
        if free(state).fits(stage.room):
            state = state.having(name, phase=Phase.RUNNING, attempt=stage.attempt + 1)
            actions.append(Start(name, stage.attempt + 1))
    return state, actions


def free(state: RunState) -> Room:
    """The room that running stages leave."""
    left = state.room
    for name in state.in_phase(Phase.RUNNING):
        left = left.less(state.stages[name].room)
    return left
