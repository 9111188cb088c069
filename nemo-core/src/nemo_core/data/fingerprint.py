"""Whether the data of a run are still those it began with, told without reading all of them."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ..foundation import atomic
from ..foundation.errors import InputError

EDGE_BYTES = 2**20
NOTE = ".data.json"


def fingerprint(path: Path) -> str:
    """Size, and SHA-256 of the first and the last MiB of a file."""
    size = path.stat().st_size
    with open(path, "rb") as handle:
        digest = hashlib.sha256(handle.read(EDGE_BYTES))
        handle.seek(max(0, size - EDGE_BYTES))
        digest.update(handle.read(EDGE_BYTES))
    return f"{size}:{digest.hexdigest()}"


def note_files(folder: Path, files: Iterable[Path]) -> None:
    """Write down in `folder` what the files are now; one that is missing is left to whoever opens it."""
    seen = {str(path): fingerprint(path) for path in files if path.is_file()}
    atomic.write_text(folder / NOTE, json.dumps(seen, indent=1) + "\n")


def check_unchanged(folder: Path, files: Iterable[Path]) -> None:
    """Raise InputError where a run was begun in `folder` and one of its files is no longer what it was."""
    note = folder / NOTE
    if not note.is_file():
        return
    try:
        before: dict[str, str] = msgspec.json.decode(note.read_bytes(), type=dict[str, str])
    except (msgspec.DecodeError, RecursionError) as error:
        raise InputError(
            f"{note}: damaged ({error}), so nobody knows whether the data is that of the run in {folder}; remove this "
            "file where you are sure that it is"
        ) from None
    for path in files:
        if str(path) in before and path.is_file() and fingerprint(path) != before[str(path)]:
            raise InputError(
                f"{path}: changed since the run in {folder} began; put the former file back, name another output, "
                f"or remove {folder} to begin anew"
            )
