"""Answers on disk, a JSON line each, so that nothing is asked twice: neither after a kill nor in another run."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType

from ...foundation.atomic import explain_disk_full
from ...foundation.errors import InputError
from .request import Answer, Request, answer_from


class Journal:
    """The answers to requests so far; used as a context, in which new ones are appended and synced."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._answers: dict[str, Answer] = {}

    def __enter__(self) -> "Journal":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = open(self.path, "a+b")
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._handle.close()
            raise InputError(f"{self.path}: another run is writing its answers there; wait for it") from None
        self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.close()

    def _read(self) -> None:
        """Take over what is whole, and cut off a last line that a kill has torn."""
        self._handle.seek(0)
        whole = 0
        for number, line in enumerate(self._handle, 1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                entry = json.loads(line)
                self._answers[entry["id"]] = answer_from(entry)
            except (ValueError, KeyError, TypeError) as error:
                raise InputError(
                    f"{self.path}:{number}: no answer of this tool ({error}); move the file away"
                ) from None
        self._handle.truncate(whole)
        self._handle.seek(0, os.SEEK_END)

    def find(self, request: Request) -> Answer | None:
        """The answer to a request; None where it was not asked yet."""
        return self._answers.get(request.id)

    def add(self, request: Request, answer: Answer) -> None:
        """Keep an answer, on disk before anything else happens."""
        line = json.dumps({"id": request.id, "text": answer.text, "fault": answer.fault}, ensure_ascii=False)
        with explain_disk_full(self.path):
            self._handle.write(line.encode("utf-8", "replace") + b"\n")
            self._handle.flush()
            os.fsync(self._handle.fileno())
        self._answers[request.id] = answer
