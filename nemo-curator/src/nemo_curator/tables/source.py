"""An input of documents as a stream of Arrow tables that all have the same columns."""

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ..document import SCHEMA, Document, Reject, rejects_table
from ..foundation.errors import InputError, RetryableError
from ..read import jsonl, parquet
from ..read.files import InputFile, list_input
from ..read.records import Reading, Record, guarded, read_file
from .columns import as_type, unified

ROWS = 512
BATCH_BYTES = 8_000_000
Batch = tuple[pa.Table, pa.Table]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Files of documents, what their columns are, and how to read them."""

    files: list[InputFile]
    schema: pa.Schema
    reading: Reading

    def batches(self) -> Iterator[Batch]:
        """Documents and rejects of all files, in order."""
        for file in self.files:
            yield from read_batches(file, self.schema, self.reading)


def open_source(path: Path, *, text_field: str = "text", id_field: str = "id") -> Source:
    """The source at `path`: a documents artifact, or JSONL and Parquet files of the user's own.

    Raises InputError where there is nothing to read, or pages whose text is still to be extracted.
    """
    listing = list_input(path)
    page = next((file for file in listing.files if file.format not in ("jsonl", "parquet")), None)
    if page:
        raise InputError(
            f"input={path}: {page.name} holds pages, not texts; make documents of them first: run input=..."
        )
    listing.report_ignored(path)
    reading = Reading(text_field=text_field, id_field=id_field, keep_fields=False)
    return Source(files=listing.files, schema=unified(listing.files, reading), reading=reading)


def read_batches(file: InputFile, schema: pa.Schema, reading: Reading) -> Iterator[Batch]:
    """Documents of one file as tables of `schema`, each with the rejects of records that are none."""
    if file.format == "parquet" and is_curated(file):
        yield from curated_batches(file, schema)
        return
    documents: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    size = 0
    for record, fields in records_of(file, reading):
        if isinstance(record, Reject):
            rejects.append(record)
        else:
            documents.append(row_of(record, fields, schema, reading))
            size += record.num_bytes
        if len(documents) + len(rejects) >= ROWS or size >= BATCH_BYTES:
            yield to_batch(documents, rejects, schema)
            documents, rejects, size = [], [], 0
    if documents or rejects:
        yield to_batch(documents, rejects, schema)


def to_batch(documents: list[dict[str, Any]], rejects: list[Reject], schema: pa.Schema) -> Batch:
    """Rows as Arrow tables."""
    return pa.Table.from_pylist(documents, schema=schema), rejects_table(rejects)


def is_curated(file: InputFile) -> bool:
    """Whether a Parquet file has every column of a document already."""
    try:
        with file.open() as handle:
            found = pq.read_schema(handle)
    except parquet.BROKEN:
        return False
    return all(name in found.names and found.field(name).type == SCHEMA.field(name).type for name in SCHEMA.names)


def curated_batches(file: InputFile, schema: pa.Schema) -> Iterator[Batch]:
    """The rows of a file of a documents artifact, as they are; a Reject in the place of what is damaged."""
    number = 0
    try:
        with file.open() as handle, pq.ParquetFile(handle) as table:
            for batch in table.iter_batches(batch_size=min(ROWS, parquet.rows_at_a_time(table.metadata))):
                rows = pa.Table.from_batches([batch])
                for name in schema.names:
                    if name not in rows.column_names:
                        rows = rows.append_column(name, pa.nulls(rows.num_rows, schema.field(name).type))
                yield rows.select(schema.names).cast(schema), rejects_table([])
                number += rows.num_rows
    except parquet.BROKEN as error:
        if isinstance(error, OSError) and error.errno:
            raise RetryableError(f"{file.path}: cannot be read ({error}); run the same command again") from error
        yield schema.empty_table(), rejects_table([parquet.damaged(file, number, "corrupt_parquet", error)])


def records_of(file: InputFile, reading: Reading) -> Iterator[tuple[Record, dict[str, Any]]]:
    """Every record of a file with all of its fields."""
    if file.num_bytes == 0:
        yield from ((record, {}) for record in read_file(file, reading))
        return
    read = parquet_records if file.format == "parquet" else json_records
    seen: list[Any] = [None]
    for record in guarded(read(file, reading, seen), file):
        yield record, seen[0] if isinstance(record, Document) else {}


def json_records(file: InputFile, reading: Reading, seen: list[Any]) -> Iterator[Record]:
    """Every line of a file; its fields go into `seen`."""
    decoder = msgspec.json.Decoder()

    def decode(line: bytes) -> object:
        seen[0] = decoder.decode(line)
        return seen[0]

    return jsonl.read(file, reading, decode=decode)


def parquet_records(file: InputFile, reading: Reading, seen: list[Any]) -> Iterator[Record]:
    """Every row of a file; its fields go into `seen`."""
    return parquet.read(file, reading, notice=partial(operator.setitem, seen, 0))


def row_of(document: Document, fields: dict[str, Any], schema: pa.Schema, reading: Reading) -> dict[str, Any]:
    """A row of `schema`: the document's columns, and its owner's fields as they are."""
    row: dict[str, Any] = {
        field.name: as_type(fields.get(field.name), field.type) for field in list(schema)[len(SCHEMA) :]
    }
    language, score = fields.get("language"), fields.get("language_score")
    metadata = as_type(fields.get("metadata"), pa.string())
    return {
        **row,
        "id": document.id,
        "text": document.text,
        "url": document.url,
        "title": document.title,
        "language": language if isinstance(language, str) else "",
        "language_score": float(score) if isinstance(score, int | float) else 0.0,
        "source": document.source,
        "source_id": document.source_id,
        "metadata": metadata or "",
    }
