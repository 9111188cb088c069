"""Rows of conversations and preferences as JSON lines, and the choices that depend on a row's id alone."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

SPLITS = ("train", "validation")
Row = dict[str, Any]


def fraction_of(*parts: object) -> float:
    """A number in [0, 1) that only `parts` decide, the same on every machine."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def write_row(handle: IO[bytes], row: Row) -> None:
    """Append one row."""
    handle.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def read_rows(folder: Path, split: str) -> Iterator[Row]:
    """Rows of one split of a conversations or preferences artifact."""
    with open(folder / "data" / f"{split}.jsonl", "rb") as handle:
        for line in handle:
            yield json.loads(line)
