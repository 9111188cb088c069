"""What to do next in a run: a pure function from (state, event) to (state, actions).

No clock, no file, no process: a race between stages is a sequence of events in a unit test. The caller performs the
actions (look, start, stop) and reports what came of them as further events.
"""

from collections.abc import Iterable
from dataclasses import replace

from .foundation.errors import EXIT_INTERRUPTED, EXIT_RETRY, EXIT_USER
from .state import (
    SUCCEEDED,
    UNSUCCESSFUL,
    Action,
    Begun,
    Ended,
    Event,
    Look,
    Looked,
    Phase,
    Room,
    RunState,
    Start,
    Stop,
    StopAsked,
)

RETRIES_AFTER_KILL = 1
KILL_MEANINGS = {9: ": out of memory, or killed by hand", 11: ": a crash in compiled code"}


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
        return f"killed by signal {event.signal}{KILL_MEANINGS.get(event.signal, '')}"
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
