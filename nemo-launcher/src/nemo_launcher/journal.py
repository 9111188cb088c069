"""The journal of a run: one JSON object per line, appended and synced; a torn last line is left out.

Events: `run` (a launcher begins), `started`, `ended`, `done`, `skipped`, `failed`, `blocked`, `stop`, `run_ended`.
Each has `time`; those of a stage have `stage`. `done` carries the content key and the artifact's digest.
"""

import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .foundation import atomic

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class History:
    """What the journal tells of one stage: its last attempt, whether that is open, and what is done."""

    attempt: int = 0
    open: bool = False
    recipe_key: str = ""
    key: str = ""
    digest: str = ""
    seconds: float = 0.0
    last: str = ""
    reason: str = ""
    since: float = 0.0


class Journal:
    """Appends events; each is on disk when `write` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with atomic.explain_disk_full(path):
            repair_tail(path)

    def write(self, event: str, **facts: Any) -> Event:
        """Append one event. Raises DiskFull where there is no room."""
        row = {"time": round(time.time(), 3), "event": event, **facts}
        with atomic.explain_disk_full(self.path), open(self.path, "ab", buffering=0) as handle:
            handle.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            os.fsync(handle.fileno())
        return row


def repair_tail(path: Path) -> None:
    """End a torn last line, so that the next event starts on its own."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    with open(path, "rb+") as handle:
        handle.seek(-1, os.SEEK_END)
        if handle.read(1) != b"\n":
            handle.write(b"\n")


def read_events(path: Path) -> list[Event]:
    """All whole events; lines torn by a crash are passed over (a stage's own files say how it ended)."""
    if not path.is_file():
        return []
    rows = (parse(line) for line in path.read_text(encoding="utf-8", errors="replace").splitlines())
    return [row for row in rows if row is not None]


def parse(line: str) -> Event | None:
    """One line as an event, None where it is torn."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and "event" in row else None


def histories(events: Iterable[Event]) -> dict[str, History]:
    """What the events tell of each stage."""
    found: dict[str, History] = {}
    for event in events:
        if "stage" in event:
            found[event["stage"]] = advance(found.get(event["stage"], History()), event)
    return found


def advance(history: History, event: Mapping[str, Any]) -> History:
    """A stage's history after one more event."""
    last, reason = event["event"], event.get("reason", "")
    history = replace(history, last=last, reason=reason, since=event["time"])
    if last == "started":
        return replace(history, attempt=event["attempt"], open=True, recipe_key=event["recipe_key"])
    if last == "ended":
        return replace(history, open=False, seconds=history.seconds + event.get("seconds", 0.0))
    if last == "done":
        return replace(history, key=event["key"], digest=event["digest"], seconds=event["seconds"])
    return history
