"""Reading files that may be absent, torn or of another version: what cannot be read is noted, never raised."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TAIL_LINES = 40
TAIL_BYTES = 20_000


class Reader:
    """Reads files below `root` and collects, in `missing`, a sentence for each thing that was expected but not read."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.missing: list[str] = []

    def note(self, sentence: str) -> None:
        """Record once that something is not in the report."""
        if sentence not in self.missing:
            self.missing.append(sentence)

    def text(self, path: Path, *, why: str = "") -> str | None:
        """The content of a text file; None where it cannot be read, noted if `why` says what it was needed for."""
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            if why:
                self.note(f"{self.relative(path)} could not be read ({error.strerror}), so {why}.")
            return None

    def json(self, path: Path, *, why: str = "") -> Any:
        """The value in a JSON file; None where there is none."""
        text = self.text(path, why=why)
        if text is None:
            return None
        try:
            return json.loads(text)
        except ValueError:
            self.note(f"{self.relative(path)} is not valid JSON, so {why or 'it is left out'}.")
            return None

    def rows(self, path: Path, *, why: str = "") -> list[dict[str, Any]]:
        """The objects in a JSON Lines file; a torn or foreign line is counted and noted."""
        lines = [line for line in (self.text(path, why=why) or "").splitlines() if line.strip()]
        rows = [row for row in map(_object, lines) if row is not None]
        if len(rows) < len(lines):
            self.note(f"{self.relative(path)}: {len(lines) - len(rows)} of {len(lines)} lines are no JSON objects.")
        return rows

    def tail(self, path: Path) -> str:
        """The last lines of a log; empty where there is none."""
        try:
            with open(path, "rb") as handle:
                handle.seek(max(0, path.stat().st_size - TAIL_BYTES))
                text = handle.read().decode("utf-8", errors="replace")
        except OSError:
            return ""
        lines = [line.rsplit("\r", 1)[-1] for line in text.rstrip().split("\n")]
        return "\n".join(lines[-TAIL_LINES:]).strip("\n")

    def relative(self, path: Path) -> str:
        """`path` as seen from the run folder where it lies inside."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def _object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def number(value: Any) -> float | None:
    """`value` as a finite float; None for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def integer(value: Any) -> int | None:
    """`value` as a whole number; None for anything else."""
    known = number(value)
    return None if known is None else round(known)


def text(value: Any) -> str:
    """`value` as text; empty for None."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is a mapping, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> list[Any]:
    """`value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def numbers(value: Any) -> dict[str, float]:
    """The entries of a mapping that are finite numbers."""
    known = {str(name): number(entry) for name, entry in mapping(value).items()}
    return {name: entry for name, entry in known.items() if entry is not None}


def counts(value: Any) -> dict[str, int]:
    """The entries of a mapping that are numbers, as whole numbers."""
    return {name: round(entry) for name, entry in numbers(value).items()}
