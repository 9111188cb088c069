"""Runs a stage's command again and again, each time stopped a little later, until it finishes.

``python interrupted.py`` reads a task as JSON from standard input and prints what every try came to. A try is a fork
of this process, in which the libraries are loaded already, so it costs little.
"""

import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

WRITES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link"}


@dataclass
class Trap:
    """Counts changes of files under `folder` and sends this process `number` at the one numbered `at` (from 1)."""

    folder: str
    at: int
    number: int
    seen: int = 0

    def __call__(self, event: str, values: tuple[Any, ...]) -> None:
        if not changes(event, values) or not os.path.abspath(os.fsdecode(values[0])).startswith(self.folder):
            return
        self.seen += 1
        if self.seen == self.at:
            os.kill(os.getpid(), self.number)


def changes(event: str, values: tuple[Any, ...]) -> bool:
    """Whether an audit event changes a named file."""
    if event == "open":
        writes = isinstance(values[2], int) and values[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return bool(writes) and isinstance(values[0], str | bytes | os.PathLike)
    return event in WRITES and isinstance(values[0], str | bytes | os.PathLike)


def forked(work: Callable[[], int], log: Path) -> int:
    """What `work` returns in a forked process whose standard streams go to `log`; minus the signal that ended it."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        target = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(target, 1)
        os.dup2(target, 2)
        try:
            code = work()
        except BaseException:
            traceback.print_exc()
            code = 99
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def reach(task: dict[str, Any], number: int, log: Path) -> int:
    """The exit code of one try, stopped at the `number`-th change of a file, or for lack of that many bytes."""
    if task["trouble"] == "disk":
        fill(Path(task["folder"]) / "filler", keep=number)
    trap = Trap(task["folder"], number, signal.Signals[task["trouble"]]) if task["trouble"] != "disk" else None

    def work() -> int:
        if trap:
            sys.addaudithook(trap)
        code: int = PROGRAM([task["stage"].partition("/")[2], task["recipe"]])
        return code

    return forked(work, log)


def fill(filler: Path, *, keep: int) -> None:
    """Make `filler` take all room of its file system but `keep` bytes."""
    filler.unlink(missing_ok=True)
    room = os.statvfs(filler.parent)
    with open(filler, "wb") as handle:
        os.posix_fallocate(handle.fileno(), 0, max(1, room.f_bavail * room.f_frsize - keep))


def tries(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Exit code, messages and whether the output appeared, of every try up to the first that made it."""
    log = Path(task["folder"]).parent / "log"
    results = []
    number = task["first"]
    while not results or not (results[-1]["exists"] or len(results) == task["limit"]):
        code = reach(task, number, log)
        exists = os.path.exists(task["output"])
        results.append({"at": number, "code": code, "exists": exists, "log": log.read_text(errors="replace")})
        number *= task["factor"]
    return results


if __name__ == "__main__":
    TASK = json.load(sys.stdin)
    PROGRAM = importlib.import_module(f"{TASK['stage'].partition('/')[0].replace('-', '_')}.cli").main
    for module in TASK["preload"]:
        importlib.import_module(module)
    print(json.dumps(tries(TASK)))
