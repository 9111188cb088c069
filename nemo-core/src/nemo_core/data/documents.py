"""Documents from an artifact, or from JSONL and Parquet files of the user's own, one shard (file) at a time."""

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..foundation import artifact
from ..foundation.errors import InputError

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Document:
    """A text and the name it keeps wherever it goes."""

    id: str
    text: str


def list_shards(source: Path) -> list[Path]:
    """Document files of an artifact (checked), a folder or a single file, in name order.

    Raises InputError where there is none, ArtifactError where the artifact is of another kind or damaged.
    """
    if (source / artifact.MANIFEST).is_file():
        artifact.read(source, "documents")
        return sorted((source / "data").glob("*.parquet"))
    if source.is_file() and source.name.endswith(SUFFIXES):
        return [source]
    found = sorted(p for p in source.rglob("*") if p.is_file() and p.name.endswith(SUFFIXES)) if source.is_dir() else []
    if not found:
        problem = "no documents in it" if source.exists() else "no such file or folder"
        raise InputError(f"{source}: {problem}; give a documents artifact, or files named *{', *'.join(SUFFIXES)}")
    return found


def read_shard(path: Path, *, text_field: str = "text") -> Iterator[Document]:
    """Documents of one file in order; an id is the row's own `id`, or file name and row number.

    Raises InputError naming file and line (or column) where a row has no text.
    """
    if path.name.endswith(".parquet"):
        return _read_parquet(path, text_field)
    return _read_jsonl(path, text_field)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Non-empty lines of a JSONL(.gz) file with their numbers. Raises InputError where it is no UTF-8 or cut short."""
    opened = gzip.open(path, "rb") if path.name.endswith(".gz") else open(path, "rb")  # noqa: SIM115 - closed below
    number = 0
    try:
        with opened as handle:
            for number, raw in enumerate(handle, start=1):
                if line := raw.decode("utf-8").strip():
                    yield number, line
    except UnicodeDecodeError as error:
        raise InputError(f"{path}:{number}: not valid UTF-8 ({error.reason}); re-encode the file as UTF-8") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"{path}:{number + 1}: damaged gzip ({error}); fetch the file again") from None


def parse_object(path: Path, number: int, line: str) -> dict[str, Any]:
    """The JSON object on one line. Raises InputError naming file:line."""
    try:
        row = json.loads(line)
    except ValueError as error:
        raise InputError(f"{path}:{number}: not valid JSON ({error}): {line[:80]!r}") from None
    if not isinstance(row, dict):
        raise InputError(f"{path}:{number}: a JSON object is needed, this is {type(row).__name__}: {line[:80]!r}")
    return row


def _read_jsonl(path: Path, text_field: str) -> Iterator[Document]:
    for number, line in read_lines(path):
        row = parse_object(path, number, line)
        text = row.get(text_field)
        if not isinstance(text, str):
            raise InputError(
                f"{path}:{number}: no text under {text_field!r} (keys: {', '.join(row) or 'none'}); "
                f"name the right one with text_field=..."
            )
        yield Document(str(row.get("id", f"{path.name}:{number}")), text)


def _read_parquet(path: Path, text_field: str) -> Iterator[Document]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a readable Parquet file ({error})") from None
    names = file.schema_arrow.names
    if text_field not in names:
        raise InputError(
            f"{path}: no column {text_field!r} (columns: {', '.join(names)}); name the right one with text_field=..."
        )
    columns = [name for name in ("id", text_field) if name in names]
    number = 0
    for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns):
        for row in batch.to_pylist():
            number += 1
            if not isinstance(row[text_field], str):
                raise InputError(f"{path}: row {number}: column {text_field!r} holds {row[text_field]!r}, not text")
            yield Document(str(row.get("id", f"{path.name}:{number}")), row[text_field])
