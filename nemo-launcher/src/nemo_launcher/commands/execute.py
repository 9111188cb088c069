"""Execute a plan whose run folder is locked, and tell how it went."""

import sys
import time
import traceback
from pathlib import Path
from typing import Any

from ..errors import Interrupted, RunFailed
from ..foundation.errors import EXIT_RETRY, EXIT_USER
from ..journal import histories, read_events
from ..operate import Operation, open_operation
from ..plan import Plan
from ..state import Phase, RunState
from ..store import RunFolder
from ..ui.format import duration
from ..ui.live import view
from ..ui.summary import closing_line, shown_path, summary

TAIL_LINES = 12


def execute(plan: Plan, folder: RunFolder) -> dict[str, Any] | None:
    """Run every stage that is not done; figures of the run, None where stdout is a terminal and shows them already.

    Raises RunFailed (exit code 2, 75 or 1) where a stage failed, Interrupted (130) where it was asked to stop.
    """
    began = time.monotonic()
    say(f"run {plan.name} in {shown_path(str(folder.path))}: {len(plan.stages)} stages")
    operation = open_operation(plan, folder)
    state = operation.run(view())
    say("")
    say(summary(plan, {n: str(s.phase) for n, s in state.stages.items()}, seconds_of(operation)))
    report = make_report(folder) if plan.report else None
    if report:
        say(f"\nreport: {shown_path(str(report))}")
    if state.stopping and state.in_phase(Phase.STOPPED):
        raise Interrupted(f"stopped; 'nemo-launcher resume {shown_path(str(folder.path))}' continues where it stopped")
    if state.in_phase(Phase.FAILED):
        raise failure(operation, state)
    result = finish(plan, folder, state, report, time.monotonic() - began)
    return None if sys.stdout.isatty() and sys.stderr.isatty() else result


def finish(plan: Plan, folder: RunFolder, state: RunState, report: Path | None, seconds: float) -> dict[str, Any]:
    """The closing line and the result of a run that succeeded."""
    closing = closing_line(plan)
    if closing:
        say(closing)
    done, skipped = state.in_phase(Phase.DONE), state.in_phase(Phase.SKIPPED)
    say(f"done in {duration(seconds)}: {len(done)} stages run, {len(skipped)} skipped")
    result = {"run": str(folder.path), "done": done, "skipped": skipped, "seconds": round(seconds, 2)}
    return {**result, **({"closing": closing} if closing else {}), **({"report": str(report)} if report else {})}


def make_report(folder: RunFolder) -> Path | None:
    """The HTML report of a run, finished or not; a defect in it is shown, and changes nothing of the run."""
    from ..report import render_run

    try:
        return render_run(folder.path)
    except Exception:  # noqa: BLE001 - the stages' work is done and stays done, whatever the report stumbles over
        traceback.print_exc()
        say("the report could not be written (above); the run itself is as shown")
        return None


def failure(operation: Operation, state: RunState) -> RunFailed:
    """The error for a run with failed stages: why each failed, the end of its log, what to do."""
    failed, blocked = state.in_phase(Phase.FAILED), state.in_phase(Phase.BLOCKED)
    parts = []
    for name in failed:
        folder = operation.folder.attempt(name, state.stages[name].attempt)
        tail = "\n".join(f"    {line}" for line in last_lines(folder / "stderr.log", TAIL_LINES))
        parts.append(f"stage {name!r} failed ({state.stages[name].reason})\n{tail}\n    whole log: {folder}/stderr.log")
    if blocked:
        parts.append(f"not run because of that: {', '.join(blocked)}")
    parts.append(f"then: nemo-launcher resume {shown_path(str(operation.folder.path))} (finished stages are kept)")
    codes = {state.stages[name].exit_code for name in failed}
    return RunFailed("\n".join(parts), codes.pop() or 1 if codes in ({EXIT_USER}, {EXIT_RETRY}) else 1)


def last_lines(path: Path, limit: int) -> list[str]:
    """The last lines of a log, [] where there is none; of a line redrawn in place only what it ended as."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").rstrip().split("\n")
    return [line.rstrip("\r").rpartition("\r")[2] for line in lines[-limit:]]


def seconds_of(operation: Operation) -> dict[str, float]:
    """Seconds that each stage took, in this run or when it was done."""
    past = histories(read_events(operation.folder.journal))
    return {name: history.seconds for name, history in past.items() if history.seconds}


def say(text: str) -> None:
    """A line for the person who watches."""
    print(text, file=sys.stderr, flush=True)
