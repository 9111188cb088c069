"""Prose that passes every rule, and files to keep it in."""

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

PROSE = (
    "The river that runs through the valley has been the reason for the town to be there, and with it came the mills "
    "that ground the corn of the farms around. Boats of every size carried flour and timber to the coast, where the "
    "merchants of the harbour paid in silver. When the railway arrived the boats were left to rot along the bank, and "
    "children used them to play at being pirates until the last of them sank in a winter flood."
)


def prose(number: int) -> str:
    """A paragraph that passes every Gopher rule and that no other number shares a sentence with."""
    shift = 13 * number % 60
    words = PROSE.split()
    names = ("Anna", "Boris", "Clara", "Dmitri", "Elena", "Farid", "Grace", "Hugo")
    told = (
        f"{names[number % 8]} the {number}th wrote to the mayor of the town and asked for {number * 7 + 3} barrels of "
    )
    return told + " ".join(
        f"{word}{number}" if i % 9 == 4 else word for i, word in enumerate(words[shift:] + words[:shift])
    )


def write_jsonl(path: Path, rows: Sequence[Any]) -> Path:
    """JSON lines; a str or bytes row is written as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [r if isinstance(r, bytes) else r.encode() if isinstance(r, str) else json.dumps(r).encode() for r in rows]
    content = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(content, mtime=0) if path.name.endswith(".gz") else content)
    return path


def read_folder(folder: Path) -> list[dict[str, Any]]:
    """Rows of all Parquet files of a folder, in order."""
    files = sorted(folder.glob("*.parquet"))
    return pa.concat_tables([pq.read_table(file) for file in files]).to_pylist() if files else []
