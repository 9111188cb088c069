"""Live progress: one line per stage that is redrawn on a terminal; changes and a line every 15 s elsewhere."""

import shutil
import sys
import time
from typing import TextIO

from ..operate import Operation
from ..state import Phase
from .format import duration
from .progress import progress_parts
from .rows import Row, rows_of

REDRAW_S = 0.2
LINE_EVERY_S = 15.0
SIGNS = {
    Phase.WAITING: ("·", "2"),
    Phase.CHECKING: ("·", "2"),
    Phase.READY: ("·", "2"),
    Phase.RUNNING: ("▶", "36"),
    Phase.DONE: ("✓", "32"),
    Phase.SKIPPED: ("↷", "32"),
    Phase.FAILED: ("✗", "31"),
    Phase.BLOCKED: ("⊘", "33"),
    Phase.STOPPED: ("■", "33"),
}


class Terminal:
    """Redraws the table of stages in place."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.drawn, self.last = stream, 0, 0.0

    def __call__(self, operation: Operation) -> None:
        """Draw, a few times a second, and once more at the end."""
        now = time.monotonic()
        if now - self.last < REDRAW_S and not operation.state.over:
            return
        self.last = now
        columns, height = shutil.get_terminal_size()
        lines = [coloured(row, columns) for row in shown(rows_of(operation), height - 1)]
        back = f"\x1b[{self.drawn}F" if self.drawn else ""
        self.stream.write(back + "".join(f"\x1b[2K{line}\n" for line in lines) + "\x1b[0J")
        self.stream.flush()
        self.drawn = len(lines)


class Lines:
    """Prints a line where a stage changes, and one per running stage every 15 s."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.last = stream, time.monotonic()
        self.seen: dict[str, tuple[Phase, int]] = {}

    def __call__(self, operation: Operation) -> None:
        """Print what changed since the last call."""
        due = time.monotonic() - self.last >= LINE_EVERY_S
        if due:
            self.last = time.monotonic()
        for name, stage in operation.state.stages.items():
            before = self.seen.get(name, (Phase.WAITING, 0))
            changed = (stage.phase, stage.attempt) != before and stage.phase not in (Phase.CHECKING, Phase.WAITING)
            self.seen[name] = (stage.phase, stage.attempt)
            if changed or (due and stage.phase == Phase.RUNNING):
                row = next(row for row in rows_of(operation) if row.name == name)
                print(line_of(row), file=self.stream, flush=True)


def view() -> Terminal | Lines:
    """The view that suits this process's stderr."""
    stream = sys.stderr
    return Terminal(stream) if stream.isatty() else Lines(stream)


def shown(rows: list[Row], limit: int) -> list[Row]:
    """At most `limit` rows: finished ones leave first, then waiting ones."""
    surplus = len(rows) - limit
    for phases in ({Phase.DONE, Phase.SKIPPED}, {Phase.WAITING, Phase.CHECKING, Phase.READY, Phase.BLOCKED}):
        for row in [row for row in rows if row.phase in phases][: max(0, surplus)]:
            rows.remove(row)
            surplus -= 1
    return rows[: max(1, limit)]


def coloured(row: Row, columns: int) -> str:
    """A row cut to the terminal's width, its sign coloured."""
    sign, colour = SIGNS[row.phase]
    return f"\x1b[{colour}m{sign}\x1b[0m {line_of(row)[: columns - 3]}"


def line_of(row: Row) -> str:
    """A stage in one line: name, state, progress, rate, time left, note."""
    again = f" (retry {row.retry})" if row.phase == Phase.RUNNING and row.retry else ""
    parts = [f"{row.name:<14} {row.phase:<8}{again}"]
    if row.phase == Phase.RUNNING:
        parts.append(f"{duration(row.seconds):>9}")
        parts += progress_parts(row.progress)
    elif row.phase in (Phase.DONE, Phase.FAILED, Phase.STOPPED) and row.seconds:
        parts.append(f"{duration(row.seconds):>9}")
    elif row.phase == Phase.SKIPPED:
        parts.append("done before, from the same inputs and settings")
    return "  ".join([*parts, *([row.reason] if row.reason else [])])
