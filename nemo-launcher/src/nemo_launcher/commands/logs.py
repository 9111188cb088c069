"""``nemo-launcher logs``: what stages printed."""

import sys
import time
from pathlib import Path
from typing import Any

from ..foundation.errors import InputError
from ..settings import LogsSettings
from ..store import RunFolder, find_run, read_json
from .execute import last_lines

POLL_S = 0.2


def run(settings: LogsSettings) -> None:
    """Print the last attempt's log of one stage whole, or the last lines of every stage."""
    folder = find_run(settings.run, Path.cwd())
    plan = folder.read_plan()
    if settings.stage is None:
        for stage in plan.stages:
            print_tail(folder, stage.name, settings.lines)
        return
    print_stage(folder, plan.stage(settings.stage).name, follow=settings.follow)


def latest(folder: RunFolder, stage: str) -> Path | None:
    """Folder of the last attempt of a stage, None where it has not started."""
    number = folder.last_attempt(stage)
    return folder.attempt(stage, number) if number else None


def print_tail(folder: RunFolder, stage: str, limit: int) -> None:
    """The last lines of a stage under its name."""
    attempt = latest(folder, stage)
    if attempt is None:
        print(f"== {stage}: not started")
        return
    print(f"== {stage} ({attempt})")
    for name in ("stderr.log", "stdout.log"):
        for line in last_lines(attempt / name, limit):
            if line:
                print(f"   {line}")


def print_stage(folder: RunFolder, stage: str, *, follow: bool) -> None:
    """The whole log of a stage's last attempt; with `follow`, until that attempt ends."""
    attempt = latest(folder, stage)
    if attempt is None:
        raise InputError(f"stage {stage!r} has not started, so it has no log yet")
    offsets = {"stderr.log": 0, "stdout.log": 0}
    while True:
        over = not follow or is_over(attempt)
        for name in offsets:
            offsets[name] += copy_from(attempt / name, offsets[name])
        if over:
            return
        time.sleep(POLL_S)


def is_over(attempt: Path) -> bool:
    """True where an attempt runs no more."""
    from ..processes import Identity, is_alive

    status: dict[str, Any] = read_json(attempt / "status.json")
    if status.get("state") != "running":
        return bool(status)
    return not is_alive(Identity(int(status["pid"]), str(status["started"])))


def copy_from(path: Path, offset: int) -> int:
    """Print what a log holds beyond `offset`; how many bytes that was."""
    if not path.is_file():
        return 0
    with open(path, "rb") as handle:
        handle.seek(offset)
        fresh = handle.read()
    sys.stdout.write(fresh.decode("utf-8", errors="replace"))
    sys.stdout.flush()
    return len(fresh)
