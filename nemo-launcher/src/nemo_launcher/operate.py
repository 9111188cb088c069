"""Execute a plan: perform what `decide` says, report what came of it, until the run is over.

Order of writing makes a crash harmless: an attempt's files, then `started` in the journal, then the process, which
notes its own end. Whoever comes next reads the journal and those notes and goes on from there.
"""

import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType

from . import keys
from .attempt import prepare
from .decide import (
    Action,
    Begun,
    Ended,
    Event,
    Look,
    Looked,
    Phase,
    Room,
    RunState,
    StageState,
    Start,
    Stop,
    StopAsked,
    decide,
)
from .executors.local import Exit, LocalExecutor, exit_of, machine_room
from .foundation.errors import UserError
from .journal import History, Journal, histories, read_events
from .plan import Plan, PlannedStage
from .store import RunFolder, read_json

POLL_S = 0.05
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
Observer = Callable[["Operation"], None]


@dataclass
class Operation:
    """A run in progress."""

    plan: Plan
    folder: RunFolder
    journal: Journal
    state: RunState
    past: dict[str, History]
    executor: LocalExecutor = field(default_factory=LocalExecutor)
    keys: dict[str, str] = field(default_factory=dict)
    gpus: dict[str, tuple[int, ...]] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    stop_signals: list[signal.Signals] = field(default_factory=list)
    events: deque[Event] = field(default_factory=deque)

    def run(self, observe: Observer) -> RunState:
        """Execute to the end, calling `observe` about twenty times a second. The final state."""
        self.journal.write("run", capacity=self.state.room.cpus)
        self.take_over()
        self.events.append(Begun())
        with forwarded(self.stop_signals):
            try:
                self.loop(observe)
            except BaseException:
                self.stop_all()
                raise
        self.journal.write("run_ended", stages={n: str(s.phase) for n, s in self.state.stages.items()})
        return self.state

    def loop(self, observe: Observer) -> None:
        """Alternate between deciding and acting until nothing can happen any more."""
        handled, killed = 0, False
        deadline = float("inf")
        while True:
            while self.events:
                self.step(self.events.popleft())
            observe(self)
            if self.state.over:
                return
            if len(self.stop_signals) > handled:
                deadline = time.monotonic() + (self.plan.grace_s if handled == 0 else 0)
                handled = len(self.stop_signals)
                self.events.append(StopAsked())
            elif time.monotonic() > deadline and not killed:
                killed = True
                self.signal_running(signal.SIGKILL)
            time.sleep(POLL_S)
            self.events.extend(self.collect(stage, ended) for stage, ended in self.executor.ended().items())

    def step(self, event: Event) -> None:
        """Decide on one event, write down what changed, act."""
        before = self.state
        self.state, actions = decide(self.state, event)
        if isinstance(event, StopAsked) and not before.stopping:
            self.journal.write("stop", signal=int(self.stop_signals[-1]))
        self.note_changes(before)
        for action in actions:
            self.perform(action)

    def note_changes(self, before: RunState) -> None:
        """Journal every stage that came to its end by this decision."""
        for name, stage in self.state.stages.items():
            if stage.phase == before.stages[name].phase:
                continue
            if stage.phase == Phase.DONE:
                digest = keys.output_digest(self.plan.stage(name)) or ""
                self.journal.write(
                    "done", stage=name, key=self.keys[name], digest=digest, seconds=round(self.seconds[name], 3)
                )
            elif stage.phase in (Phase.SKIPPED, Phase.FAILED, Phase.BLOCKED):
                facts = {"key": self.keys[name]} if stage.phase == Phase.SKIPPED else {"reason": stage.reason}
                self.journal.write(str(stage.phase), stage=name, **facts)

    def perform(self, action: Action) -> None:
        """Act on one decision."""
        match action:
            case Look(name):
                self.look(self.plan.stage(name))
            case Start(name, attempt):
                self.start(self.plan.stage(name), attempt)
            case Stop(name):
                self.executor.send(name, self.stop_signals[-1] if self.stop_signals else signal.SIGTERM)

    def look(self, stage: PlannedStage) -> None:
        """Compare the stage's content key with what the journal says is done."""
        self.keys[stage.name] = keys.key_now(stage)
        past = self.past.get(stage.name, History())
        self.events.append(Looked(stage.name, keys.is_current(stage, self.keys[stage.name], past)))

    def start(self, stage: PlannedStage, attempt: int) -> None:
        """Write the attempt's files, journal it, start it."""
        folder = self.folder.attempt(stage.name, attempt)
        folder.mkdir(parents=True)
        taken = {index for name in self.executor.running for index in self.gpus.get(name, ())}
        free = [index for index in range(self.state.room.gpus) if index not in taken]
        self.gpus[stage.name] = tuple(free[: stage.gpus])
        prepare(
            stage,
            folder,
            cwd=self.plan.cwd,
            key=self.keys[stage.name],
            overwrite=attempt > 1,
            gpus=self.gpus[stage.name],
        )
        self.journal.write(
            "started", stage=stage.name, attempt=attempt, key=self.keys[stage.name], recipe_key=stage.recipe_key
        )
        self.started.setdefault(stage.name, time.time())
        self.executor.start(stage.name, folder)

    def collect(self, name: str, ended: Exit) -> Ended:
        """Journal how an attempt ended and look whether its artifact is whole."""
        attempt = self.state.stages[name].attempt
        self.note_end(name, attempt, ended)
        complete = is_complete(self.plan.stage(name), self.folder, attempt, ended)
        return Ended(name, ended.exit_code, ended.signal, complete)

    def note_end(self, name: str, attempt: int, ended: Exit) -> None:
        """Journal the end of an attempt."""
        self.seconds[name] = self.seconds.get(name, 0.0) + ended.seconds
        self.journal.write(
            "ended",
            stage=name,
            attempt=attempt,
            exit_code=ended.exit_code,
            signal=ended.signal,
            seconds=ended.seconds,
        )

    def take_over(self) -> None:
        """Settle attempts that an earlier launcher left open: adopt, record, or stop what is no longer wanted."""
        for name, past in self.past.items():
            if not past.open:
                continue
            folder = self.folder.attempt(name, past.attempt)
            stage = next((s for s in self.plan.stages if s.name == name), None)
            runs = self.executor.adopt(name, folder)
            if runs and (stage is None or stage.recipe_key != past.recipe_key):
                self.end_unwanted(name)
                runs = False
            if stage is not None and runs:
                self.continue_adopted(stage, past)
            else:
                self.record_end(name, past, stage)

    def continue_adopted(self, stage: PlannedStage, past: History) -> None:
        """Treat a stage that still runs as started by us."""
        order = read_json(self.folder.attempt(stage.name, past.attempt) / "argv.json")
        self.keys[stage.name] = str(order["key"])
        self.started[stage.name] = past.since
        visible = order["env"].get("CUDA_VISIBLE_DEVICES", "")
        self.gpus[stage.name] = tuple(int(index) for index in visible.split(",") if index)
        self.state = self.state.having(stage.name, phase=Phase.RUNNING)

    def record_end(self, name: str, past: History, stage: PlannedStage | None) -> None:
        """Journal an attempt that ended while no launcher looked; its artifact counts when it is whole."""
        folder = self.folder.attempt(name, past.attempt)
        ended = exit_of(folder)
        self.note_end(name, past.attempt, ended)
        same = stage is not None and stage.recipe_key == past.recipe_key
        if stage is not None and same and is_complete(stage, self.folder, past.attempt, ended):
            key = str(read_json(folder / "argv.json")["key"])
            digest = keys.output_digest(stage) or ""
            self.journal.write("done", stage=name, key=key, digest=digest, seconds=round(self.seconds[name], 3))
        self.past = histories(read_events(self.folder.journal))

    def end_unwanted(self, name: str) -> None:
        """Stop a stage of an earlier plan that this plan runs otherwise, or not at all."""
        self.executor.send(name, signal.SIGTERM)
        deadline = time.monotonic() + self.plan.grace_s
        while name in self.executor.running:
            if time.monotonic() > deadline:
                self.executor.send(name, signal.SIGKILL)
            time.sleep(POLL_S)
            self.executor.ended()

    def signal_running(self, number: signal.Signals) -> None:
        """Send a signal to every stage that runs."""
        for name in list(self.executor.running):
            self.executor.send(name, number)

    def stop_all(self) -> None:
        """The launcher cannot go on (no room for its journal, say): let stages save their state, then end them."""
        self.signal_running(signal.SIGTERM)
        deadline = time.monotonic() + self.plan.grace_s
        while self.executor.running and time.monotonic() < deadline:
            time.sleep(POLL_S)
            self.executor.ended()
        self.signal_running(signal.SIGKILL)


def is_complete(stage: PlannedStage, folder: RunFolder, attempt: int, ended: Exit) -> bool:
    """True where this attempt put a whole artifact in place; a stage without output is done when it ends well."""
    if stage.kind is None:
        return ended.exit_code == 0
    order = read_json(folder.attempt(stage.name, attempt) / "argv.json")
    return keys.output_digest(stage) is not None and keys.folder_identity(stage.output) != order.get("replaces")


@contextlib.contextmanager
def forwarded(heard: list[signal.Signals]) -> Iterator[None]:
    """While the block runs, append the signals that ask for an end to `heard` instead of dying of them."""

    def hear(number: int, _: FrameType | None) -> None:
        heard.append(signal.Signals(number))

    before = {number: signal.signal(number, hear) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def initial_state(plan: Plan, folder: RunFolder, past: dict[str, History]) -> RunState:
    """The state in which a run of `plan` begins. UserError where a stage needs GPUs that are not there."""
    room = room_of(plan)
    stages = {}
    for stage in plan.stages:
        asked = Room(cpus=stage.cpus, memory_gib=stage.memory_gib, gpus=stage.gpus)
        if asked.gpus > room.gpus:
            raise UserError(
                f"stage {stage.name!r} asks for {asked.gpus} GPUs, {room.gpus} may be used here; "
                f"set {stage.name}.resources.gpus={room.gpus}, or run where there are more"
            )
        attempt = max(past.get(stage.name, History()).attempt, folder.last_attempt(stage.name))
        stages[stage.name] = StageState(
            needs=stage.needs, room=asked.at_most(room), retries=stage.retries, attempt=attempt
        )
    return RunState(stages=stages, room=room)


def room_of(plan: Plan) -> Room:
    """What stages may occupy together."""
    cpus, memory, gpus = machine_room()
    limit = plan.capacity
    return Room(
        cpus=limit.cpus or cpus, memory_gib=limit.memory_gib or memory, gpus=gpus if limit.gpus is None else limit.gpus
    )


def open_operation(plan: Plan, folder: RunFolder) -> Operation:
    """An operation that continues what the run folder holds. The caller holds the folder's lock."""
    journal = Journal(folder.journal)
    past = histories(read_events(folder.journal))
    return Operation(plan=plan, folder=folder, journal=journal, state=initial_state(plan, folder, past), past=past)
