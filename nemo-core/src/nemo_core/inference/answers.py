"""Answers to many prompts as a file that appears whole, and a log beside it from which a killed run goes on."""

import fcntl
import json
import os
from pathlib import Path
from typing import Any

from ..foundation import atomic
from ..foundation.errors import InputError

Record = dict[str, Any]


class AnswerLog:
    """`<output>.partial`: a line that says which run it belongs to, then answers as they come, by number.

    Raises InputError where `output` exists (and is not to be replaced), or the log is of another run.
    """

    def __init__(self, output: Path, *, identity: str, overwrite: bool = False) -> None:
        self.output, self.path = output, output.with_name(f"{output.name}.partial")
        if output.exists() and not overwrite:
            raise InputError(f"{output}: exists already; name another output, or say overwrite=true to replace it")
        with atomic.explain_no_place(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a", encoding="utf-8")  # noqa: SIM115 - open as long as the run lasts
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.records = self._read(identity)
        except BlockingIOError:
            self._file.close()
            raise InputError(f"{output}: another process is writing it; wait for it or name another output") from None
        except BaseException:
            self._file.close()
            raise
        if self.path.stat().st_size == 0:
            self._write({"identity": identity})

    def _read(self, identity: str) -> dict[int, Record]:
        """Answers of the earlier run; a last line that was cut off is removed."""
        content = self.path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        os.truncate(self.path, len(whole))
        lines = [json.loads(line) for line in whole.splitlines()]
        if lines and lines[0].get("identity") != identity:
            raise InputError(
                f"{self.path}: belongs to a run with other settings, prompts or model; remove it or name another output"
            )
        return {line.pop("number"): line for line in lines[1:]}

    def add(self, number: int, record: Record) -> None:
        """Keep an answer; it survives the death of the process from now on."""
        self.records[number] = record
        self._write({"number": number, **record})

    def _write(self, line: Record) -> None:
        with atomic.explain_disk_full(self.path):
            self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._file.flush()

    def finish(self) -> None:
        """Write the output in the order of the prompts, and remove the log."""
        self.close()
        with atomic.atomic_file(self.output, "w") as handle:
            for number in sorted(self.records):
                handle.write(json.dumps(self.records[number], ensure_ascii=False) + "\n")
        self.path.unlink()

    def close(self) -> None:
        """Let go of the log, which stays where it is."""
        self._file.close()
