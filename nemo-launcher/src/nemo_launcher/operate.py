"""Execute a plan: perform what `decide` says, report what came of it, until the run is over.

Order of writing makes a crash harmless: an attempt's files, then `started` in the journal, then the process, which
notes its own end. Whoever comes next reads the journal and those notes and goes on from there.
"""

import os
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from . import keys
from .attempt import prepare
from .decide import decide
from .executors.local import Exit, LocalExecutor
from .interrupts import forwarded
from .journal import History, Journal, histories, read_events
from .plan import Plan, PlannedStage
from .room import initial_state
from .state import Action, Begun, Ended, Event, Look, Looked, Phase, RunState, Start, Stop, StopAsked
from .store import RunFolder, read_json
from .takeover import take_over

POLL_S = 0.05
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
        self.journal.write("run", pid=os.getpid(), cpus=self.state.room.cpus)
        take_over(self)
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
                self.note_done(self.plan.stage(name), self.keys[name])
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
        complete = self.is_complete(self.plan.stage(name), attempt, ended)
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

    def note_done(self, stage: PlannedStage, key: str) -> None:
        """Journal that a stage's output is whole, and what it was made from."""
        digest, seconds = keys.output_digest(stage) or "", round(self.seconds[stage.name], 3)
        self.journal.write("done", stage=stage.name, key=key, digest=digest, seconds=seconds)

    def is_complete(self, stage: PlannedStage, attempt: int, ended: Exit) -> bool:
        """True where this attempt put a whole artifact in place; without an output, where it ended well."""
        if stage.kind is None:
            return ended.exit_code == 0
        order = read_json(self.folder.attempt(stage.name, attempt) / "argv.json")
        return keys.output_digest(stage) is not None and keys.folder_identity(stage.output) != order.get("replaces")

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


def open_operation(plan: Plan, folder: RunFolder) -> Operation:
    """An operation that continues what the run folder holds. The caller holds the folder's lock."""
    journal = Journal(folder.journal)
    past = histories(read_events(folder.journal))
    return Operation(plan=plan, folder=folder, journal=journal, state=initial_state(plan, folder, past), past=past)
