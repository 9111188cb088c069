"""The rollout journal: an append-only file of what was generated and scored at every step.

Samples are the costly part of a run and depend on chance; with them on disk, a killed run repeats its lost updates
from the very same samples and ends with the same weights.
"""

import json
import os
from pathlib import Path
from typing import Any

from nemo_core.foundation.atomic import explain_disk_full
from nemo_core.foundation.errors import ArtifactError


class Journal:
    """JSON lines ``{"step": int, ...}`` in `path`, one per step, each on disk before the step trains on it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._drop_torn_tail()

    def _drop_torn_tail(self) -> None:
        """Cut off a last line that a kill left unfinished; its step is generated again."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(self.path, whole)

    def append(self, step: int, record: dict[str, Any]) -> None:
        """Add the record of `step` and wait until it is on disk."""
        line = json.dumps({"step": step, **record}, ensure_ascii=False, separators=(",", ":"))
        with explain_disk_full(self.path), open(self.path, "a", encoding="utf-8") as handle:
            handle.write(line + "\n")
            handle.flush()
            os.fsync(handle.fileno())

    def since(self, step: int) -> dict[int, dict[str, Any]]:
        """The records of `step` and later, by step. Raises ArtifactError naming a line that is damaged."""
        found: dict[int, dict[str, Any]] = {}
        if not self.path.exists():
            return found
        with open(self.path, encoding="utf-8") as handle:
            for number, line in enumerate(handle, start=1):
                record = self._parse(line, number)
                if record["step"] >= step:
                    found[record["step"]] = record
        return found

    def _parse(self, line: str, number: int) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads(line)
            int(record["step"])
        except (ValueError, KeyError, TypeError) as error:
            raise ArtifactError(
                f"{self.path}:{number}: damaged journal line ({error}); remove {self.path.parent.parent} to start anew"
            ) from None
        return record
