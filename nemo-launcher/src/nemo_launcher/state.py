"""The values of a run's state machine: phases, states, what happened (events) and what to do (actions)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum


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
