"""Answers to many prompts as a file that appears whole, and a log beside it from which a killed run goes on."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..foundation import artifact, atomic
from ..foundation.errors import InputError

Record = dict[str, Any]
BEGINNING = b'{"identity": "'


class AnswerLog:
    """`<output>.partial`: a line that says which run it belongs to, then answers as they come, by number.

    Raises ArtifactError where `output` exists (and is not to be replaced) or is one of `inputs`, InputError where the
    log is of another run.
    """

    def __init__(
        self, output: Path, *, identity: str, overwrite: bool = False, inputs: Mapping[str, Path] | None = None
    ) -> None:
        self.output, self.path = output, output.with_name(f"{output.name}.partial")
        artifact.check_output_file(output, inputs or {}, overwrite=overwrite)
        with atomic.explain_no_place(output):
            try:
                self._file = atomic.hold(self.path)
            except BlockingIOError:
                raise InputError(
                    f"{output}: another process is writing it; wait for it or name another output"
                ) from None
        try:
            self.records = self._read(identity)
        except BaseException:
            self._file.close()
            raise
        if self.path.stat().st_size == 0:
            self._write({"identity": identity})

    def _read(self, identity: str) -> dict[int, Record]:
        """Answers of the earlier run; a last line that was cut off is removed."""
        content = self.path.read_bytes()
        if not content.startswith(BEGINNING) and not BEGINNING.startswith(content):
            raise InputError(f"{self.path}: in the way, and not made by this command; move it aside")
        whole = content[: content.rfind(b"\n") + 1]
        lines = [self._parse(n, line) for n, line in enumerate(whole.splitlines(), start=1)]
        if lines and lines[0].get("identity") != identity:
            raise InputError(
                f"{self.path}: belongs to a run with other settings, prompts or model; remove it or name another output"
            )
        os.truncate(self.path, len(whole))
        return {int(line.pop("number")): line for line in lines[1:]}

    def _parse(self, number: int, line: bytes) -> Record:
        """A line that was written whole. Raises InputError where it was altered since."""
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if not isinstance(record, dict) or (number > 1 and not isinstance(record.get("number"), int)):
            raise InputError(f"{self.path}:{number}: damaged; remove this file to begin again")
        return record

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
        with atomic.atomic_file(self.output, "w") as handle:
            for number in sorted(self.records):
                handle.write(json.dumps(self.records[number], ensure_ascii=False) + "\n")
        self.path.unlink()
        self.close()

    def close(self) -> None:
        """Let go of the log, which stays where it is."""
        self._file.close()
